/* SPDX-License-Identifier: MIT */
/*
 * Tokens of applications: made and revoked by commands, shown once, kept as a
 * hash among the host's keyed values. A token has scopes, and may end.
 */
#ifndef CORE_APP_TOKEN_H
#define CORE_APP_TOKEN_H

#include "core/host.h"

/* What a host may have; a command that would make more fails. */
#define TOKENS_MAX 1000

struct app_token {
	struct str id, name;
	struct str scopes;	  /* words, parted by spaces */
	int64_t created, expires; /* clock_real(); 0: does not end */
};

/* ended by NULL */
extern const char *const app_token_scopes[];

/* Is it one of the token's words? */
API bool app_token_has_scope(const struct app_token *t, const char *scope);
/*
 * Whose is it? done(ctx, err, token) comes on the calling loop: ERR_DENIED
 * (unknown, revoked or too old), ERR_STORE; the token lives until it returns.
 * Costs the same whether it is nearly right or not at all.
 */
typedef void app_token_fn(void *ctx, int err, const struct app_token *t);
API void app_token_check(
    const struct host *host, struct str text, app_token_fn *done, void *ctx);

#endif
