/* SPDX-License-Identifier: MIT */
/* What a client stream is made of. For stream*.c, session.c and sm*.c. */
#ifndef CORE_STREAM_INTERNAL_H
#define CORE_STREAM_INTERNAL_H

#include "core/sasl.h"
#include "core/stream.h"
#include "xml/writer.h"

#define MECHANISM_MAX 32
#define LANG_MAX 35

/*
 * A login by SASL2 (XEP-0388) under way: what was asked with it, and the answer
 * as far as it is made. All of it is in the arena of the request.
 */
struct login {
	struct stream *stream;
	struct elem *request; /* <authenticate/> */
	struct elem *success;
	struct elem *bound;	 /* in it, while a resource is bound */
	struct account *account; /* pinned, once it is loaded */
	struct str data;	 /* with success, or none */
	struct str salt;	 /* of the keys that were used, or none */
	struct upgrade *upgrade; /* under way (XEP-0480), or NULL */
	struct str client;	 /* its name for others, once it is known */
	struct elem *token;	 /* a new one (XEP-0484), or NULL */
	bool by_token;		 /* it is a token that was shown */
	bool is_last;		 /* and is no longer good */
	unsigned holds;		 /* of modules that prepare something */
	bool is_dead;		 /* the stream is gone meanwhile */
};

/* What a stream needs until it has a session; freed then. */
struct nego {
	uint64_t due; /* clock_mono(); for all of it, whatever comes */
	struct timer deadline;
	struct timer delay; /* before the answer to a failure */
	struct stream *stream;
	struct sasl *sasl;
	struct login *login;	  /* by SASL2, or NULL */
	struct str note;	  /* of a module; heap */
	struct jid user;	  /* bare; the text is on the heap */
	struct account *account;  /* pinned, once it is loaded */
	struct elem *waiting;	  /* what came before the account was there */
	struct session *resuming; /* waits for its receipts */
	enum qname condition;	  /* of the failure that is delayed */
	const char *text;
	unsigned failures;
	unsigned lacking; /* keys of the account in `from`: scram_bit()s */
	char mechanism[MECHANISM_MAX];
	char lang[LANG_MAX + 1]; /* of the header, or "" */
	struct str from;	 /* bare, of the header, or none; heap */
	struct str client; /* of the user agent, see login_client(); heap */
};

struct stream {
	struct list node;	     /* of the loop's streams */
	struct transport *transport; /* NULL when it is gone */
	struct session *session;
	struct host *host;
	struct nego *nego;
	const struct stream_policy *policy;
	struct xml_stream xml;
	struct buf pending; /* a stanza's beginning; what came meanwhile */
	uint64_t heard;	    /* loop_now() of the last byte */
	unsigned holds;	    /* callbacks under way that name it */
	bool has_header;    /* ours has been sent */
	bool is_authenticated;
	bool is_closing; /* nothing is read any more */
	bool is_waiting; /* what comes is put by */
	bool is_busy;	 /* in the loop of stream_input() */
	bool is_moving;
	bool is_starting_tls;
	bool has_succeeded; /* a new header is due, at the account's home */
	struct log_ctx log;
	char ip[ADDR_TEXT_MAX];
};

/* stream.c */

static inline enum xml_scope
stream_scope(const struct stream *s)
{
	return s->transport->ops->is_framed ? XML_STANDALONE : XML_IN_STREAM;
}

/* Sends text that is XML already. */
void stream_send_text(struct stream *s, struct str text);
/* A stanza of whoever keeps no copy. */
void stream_send_stanza(struct stream *s, const struct stanza *st);
/* A whole stanza, rendered in the stream's content namespace. */
void stream_send_wire(struct stream *s, struct wire *w);
/* With an application-specific condition, as XML. */
void stream_fail_with(struct stream *s, enum qname condition, const char *text,
    struct str specific);
/* Closes without a word: its link is taken for dead. */
void stream_abandon(struct stream *s);
/* It waits: what comes is put by until stream_go_on(). */
void stream_wait(struct stream *s);
void stream_go_on(struct stream *s);
/* From now on it is the session's; what was for login is freed. */
void stream_adopt(struct stream *s, struct session *session);
/* A callback under way keeps its memory. */
void stream_pin(struct stream *s);
void stream_unpin(struct stream *s);

/* stream_open.c */

void stream_on_open(struct stream *s, const struct elem *root);
/* Our header, from the default host when there is none yet. */
void stream_send_header(struct stream *s, struct str to, struct str lang);
void stream_send_features(struct stream *s);
bool stream_needs_tls(const struct stream *s);
bool stream_offers_tls(const struct stream *s);

/* stream_auth.c: elements before login. */

void stream_on_starttls(struct stream *s);
void stream_on_auth(struct stream *s, struct elem *e);
void stream_on_response(struct stream *s, struct elem *e);
void stream_on_abort(struct stream *s);

/* Answers a failed exchange, in time; `user` or STR_NONE is for the log. */
void stream_auth_fail(
    struct stream *s, enum qname condition, const char *text, struct str user);
/* The same when somebody is logged in already: the stream ends. */
void stream_auth_end(struct stream *s, enum qname condition);
/* What came of a step of the exchange. */
void stream_auth_step(struct stream *s, const struct sasl_result *r);
/* What it is called in logs, if that is short. */
void stream_auth_named(struct stream *s, struct str mechanism);
/* Begins the exchange of a mechanism; false if it has failed. */
bool stream_auth_begin(struct stream *s, struct str mechanism);

/* stream_login.c: SASL2. */

void stream_on_authenticate(struct stream *s, struct elem *e);
void stream_on_login_elem(struct stream *s, struct elem *e);
void login_challenge(struct stream *s, struct str data);
/* The exchange went well; the stream is about to move to its account. */
void login_authenticated(struct stream *s, const struct sasl_result *r);
/* At home, with the account: does what was asked for, and answers. */
void login_go_on(struct stream *s);
void login_free(struct login **l);
/* By these mechanisms, which are on offer otherwise, too. */
void login_offer(const struct stream *s, struct elem *features,
    const struct str *names, size_t count);
/* Tells of success; what comes behind is no longer part of the login. */
void login_succeed(struct stream *s, struct str authzid);

/* The id of its user agent, or none; it is the client's secret. */
struct str login_agent(const struct login *l);
/* The name for others of an account's client. */
struct str login_client(const struct stream *s, struct arena *a,
    struct str bare, struct str agent_id);

/* stream_upgrade.c: XEP-0480. */

/*
 * Begins to find out for which mechanisms the account of the header has no keys
 * yet; the features follow. False when there is no need.
 */
bool upgrade_look_up(struct stream *s);
/* Adds what the account can be upgraded to. */
void upgrade_offer(const struct stream *s, struct elem *authentication);
/* The tasks that were asked for, if any has to be done; the login follows. */
bool upgrade_begin(struct stream *s);
/* What comes meanwhile. */
void upgrade_on_elem(struct stream *s, struct elem *e);

/* stream_token.c: XEP-0484. */

void login_offer_tokens(const struct stream *s, struct elem *inlines);
void login_by_token(struct stream *s, struct str message);
/* Notes the client, makes the token that it is to have, and goes on. */
void login_tokens(struct stream *s);

/* stream_bind2.c: resuming and binding as a part of it. */

void login_offer_inline(const struct stream *s, struct elem *inlines);
/* All that was asked for beside. */
void login_inline(struct stream *s);
void login_bind(struct stream *s);
/* From stream management: how the resumption that was asked for ended. */
void login_resumed(struct stream *s, const struct session *session, uint32_t h);
void login_not_resumed(struct stream *s, int64_t h);

/* stream_bind.c: elements between login and session. */

void stream_load_account(struct stream *s);
/* Once the account is there: may it have a session? Else the stream ends. */
bool stream_may_bind(struct stream *s);
void stream_on_unbound(struct stream *s, struct elem *e);
/* Room for one more session; false if there is none. */
bool stream_make_room(struct account *acct);
/* What waits for others is put where a new session finds it. */
void stream_spool_others(const struct session *session);
/* A session that waits to be resumed, or NULL. */
struct session *stream_resumable(const struct account *acct, struct str id);
/* Frees what waits in the negotiation, and ends it. */
void nego_free(struct nego **n);

#endif
