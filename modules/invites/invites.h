/* SPDX-License-Identifier: MIT */
/*
 * Invitations. A token is 128 random bits, shown once; the store has what it
 * is good for under its SHA-256, so a copy of the database invites nobody.
 * What changes invitations of a host runs at the home worker of its domain,
 * one after the other; so none is used twice.
 */
#ifndef MODULES_INVITES_INVITES_H
#define MODULES_INVITES_INVITES_H

#include "core/module.h"

#define STORE STR("invite")	       /* of the host; by id */
#define STORE_NAMES STR("invite_name") /* of the host; user name: id */
#define TOKEN_LEN 32
#define ID_LEN 64
/* What a host may have at a time; what is over goes when one is made. */
#define INVITES_MAX 2000
#define USES_MAX 1000
#define DAYS_MAX 365

enum invite_kind {
	INVITE_ACCOUNT, /* an account here */
	INVITE_CONTACT, /* a contact; and an account here, if `makes_account` */
	INVITE_RESET,	/* a new password for an account */
};

struct invite {
	struct str id; /* SHA-256 of the token, hexadecimal */
	enum invite_kind kind;
	bool makes_account;
	struct str by;	 /* who invites: bare JID, or "" */
	struct str name; /* the user name that it is for, or "" */
	int64_t created, expires;
	uint64_t uses; /* that are left */
	struct str used_by;
};

struct invites_options {
	struct str url;
	uint64_t keep_ms, reset_ms, each;
	bool users_invite, users_make_accounts;
	struct rate ip_rate;
	uint64_t password_min;
};

/* One that is being used. */
struct busy {
	struct str id;
	struct work *waiting; /* for its end, in no order */
};

struct invites {
	struct mod *mod;
	struct adhoc *adhoc;
	struct addr_rate failures; /* tokens that were no good */
	struct map busy;	   /* those being used, by id; at home */
};

/* ---- invite.c: all from any loop, `done` comes on the calling one ------- */

/* A new one; `want` says all but id, created. The token comes with it. */
typedef void invite_made_fn(
    void *ctx, int err, struct str token, const struct invite *inv);
void invite_make(
    struct mod *m, const struct invite *want, invite_made_fn *done, void *ctx);
/*
 * What is it good for? ERR_ABSENT: nothing (unknown, used, expired). It
 * lives until `done` returns.
 */
typedef void invite_found_fn(void *ctx, int err, const struct invite *inv);
void invite_find(
    struct mod *m, struct str token, invite_found_fn *done, void *ctx);
bool invite_makes_account(const struct invite *inv);
struct invite invite_read(struct arena *a, struct str id, struct str value);
/* Takes one use away, of that contact; ERR_ABSENT: it can't be used. */
void invite_redeem_contact(struct mod *m, struct str token, struct str inviter,
    struct str contact, store_done_fn *done, void *ctx);
/*
 * Makes the account, or sets the new password, by a token that was good. It
 * may have expired since, if `was_checked`. ERR_ABSENT (the token is not good
 * any more), ERR_LIMIT (it is being used), ERR_EXISTS, ERR_INVALID, ERR_STORE.
 */
void invite_redeem(const struct host *host, struct str token,
    const struct jid *who, struct str password, bool was_checked,
    store_done_fn *done, void *ctx);
/* The id by which the store has a token. */
struct str invite_id(struct arena *a, struct str token);
void invite_delete(
    struct mod *m, struct str id, store_done_fn *done, void *ctx);
/* The module stops: nothing waits any longer. */
void invites_let_go(struct invites *s);
/*
 * It is good for nothing from now on, not even to who has shown it, but is
 * listed until it goes.
 */
void invite_expire(
    struct mod *m, struct str id, store_done_fn *done, void *ctx);
/*
 * The same for all that are of `by` (a bare JID); with none, all that are over
 * go. Tells how many there were.
 */
void invite_sweep(
    struct mod *m, struct str by, store_count_fn *done, void *ctx);
/* Is the user name kept for somebody? */
void invite_is_reserved(
    const struct host *host, struct str name, store_done_fn *done, void *ctx);

/* ---- links.c ------------------------------------------------------------ */

struct str invite_uri(struct arena *a, const struct host *host,
    const struct invite *inv, struct str token);
/* None when there is no HTTP listener. */
struct str invite_url(struct arena *a, struct mod *m, struct str token);

/* ---- page.c, sign_up.c, contact.c, user.c, commands.c ------------------- */

void on_page(struct http_req *r);
void on_form(struct http_req *r);
void invite_show(const struct host *host, struct stream *stream,
    struct str token, store_done_fn *done, void *ctx);
enum verdict on_stream_iq(
    struct mod *m, struct stream *stream, struct stanza *iq);
void on_stream_features(struct mod *m, struct stream *s, struct elem *features);
enum verdict on_presence(struct mod *m, struct stanza *st);
extern const struct adhoc_command invites_adhoc[];
extern const struct command invites_commands[];

#endif
