/* SPDX-License-Identifier: MIT */
/*
 * The clients of an account: who has logged in with a <user-agent/> that has
 * an id (XEP-0388), and their tokens (XEP-0484). At the account's home. Loaded
 * when they are first asked for, and kept with the account.
 *
 * No token is stored: it is made of the host's secret, which is no part of the
 * database, and of what is stored. So neither the database alone nor a backup
 * of it lets anybody in.
 */
#ifndef CORE_CLIENT_H
#define CORE_CLIENT_H

#include "base/arena.h"
#include "base/list.h"
#include "base/str.h"
#include "core/account.h"

struct store_write;
struct transport;

/* A token; `serial` is none when there is none. Texts are on the heap. */
struct token {
	struct str serial;
	struct str mechanism; /* the only one that it is good for */
	int64_t issued, expires;
	uint64_t count; /* the highest that it was used with */
};

struct client {
	struct list node;
	struct str id; /* public; nobody can tell the client's own from it */
	struct str software, device; /* as it says, or none */
	int64_t first_seen, last_seen;
	bool by_password; /* the last time, and it is that password still */
	/* What it uses, and what it was given but has not used yet. */
	struct token token, fresh;
};

/*
 * Loads them; done(ctx, err) at once or later, on the calling loop. The account
 * stays in memory until then. ERR_STORE.
 */
void clients_load(
    struct account *acct, void (*done)(void *ctx, int err), void *ctx);
/* Once they are loaded: all in order of id, and the one of an id, or NULL. */
struct client *clients_next(const struct account *acct, struct client *after);
struct client *client_find(const struct account *acct, struct str id);
void clients_free(struct account *acct);

/*
 * It has logged in; made if it is new. Of too many, the one that has not been
 * seen for longest is forgotten. Texts may be none. NULL if none are to be
 * remembered.
 */
struct client *client_seen(struct account *acct, struct str id,
    struct str software, struct str device, bool by_password);
/* Writes it; done(ctx, err), or NULL. */
void client_save(struct account *acct, const struct client *c,
    void (*done)(void *ctx, int err), void *ctx);
/* Forgets it, with its tokens. */
void client_remove(struct account *acct, struct client *c,
    void (*done)(void *ctx, int err), void *ctx);
bool client_is_connected(const struct account *acct, const struct client *c);
bool client_has_token(const struct client *c);
/* The password has changed: no token is good any more. */
void clients_drop_tokens(struct account *acct, struct store_write *w);

/*
 * For lists of who has access (client_iq.c): has it any, the name of a session
 * whose client is not known, and the end of all sessions of a client.
 */
struct session;
bool client_has_access(const struct account *acct, const struct client *c);
struct str client_session_id(const struct session *s, struct arena *a);
void client_close_sessions(struct account *acct, struct str id);

/* A new token, in `a`, good once it is saved. */
struct str token_make(struct account *acct, struct client *c,
    struct str mechanism, struct arena *a);
/* Is the one in use due to be replaced? */
bool token_is_due(const struct client *c);

/* What a client shows: its hash over "Initiator" and the channel binding. */
struct token_proof {
	struct str mechanism;
	struct str hash;
	struct str binding;
	bool has_count;
	uint64_t count;
	bool is_last; /* invalidates it */
};
/*
 * Checks it; on success the token is the one in use, and *answer_r, in `a`,
 * is what proves that we know it too. Else *why_r is for the log.
 */
enum token_result { TOKEN_FINE, TOKEN_WRONG, TOKEN_EXPIRED };
enum token_result token_check(struct account *acct, struct client *c,
    const struct token_proof *proof, struct arena *a, struct str *answer_r,
    const char **why_r);

/* Mechanisms for tokens over this transport, strongest first. */
size_t token_offer(const struct transport *t, struct str *names_r, size_t max);
/* Is it one of them? Then its channel binding, in `a`; STR("") for none. */
bool token_binding(const struct transport *t, struct str mechanism,
    struct arena *a, struct str *bytes_r);

#endif
