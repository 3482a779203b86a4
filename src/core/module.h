/* SPDX-License-Identifier: MIT */
/*
 * The one header for modules.
 *
 * A module is a const table, read by the core: registration is data. There
 * is one instance (struct mod) for each host and worker, so its state is
 * touched by one thread only and needs no lock; state of an account or a
 * session lives with that account or session, at its home worker.
 *
 * Handlers run on a loop and must not block. Each takes a verdict: PASS, not
 * mine; DONE, answered, stored or dropped on purpose (the stanza now belongs
 * to the handler, which has sent or freed it); HELD, the stanza waits for
 * stanza_resume() (and what follows it to the same account waits behind it).
 */
#ifndef CORE_MODULE_H
#define CORE_MODULE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "core/account.h"
#include "core/account_walk.h"
#include "core/addr_rate.h"
#include "core/adhoc.h"
#include "core/app_token.h"
#include "core/auth_backend.h"
#include "core/auth_program.h"
#include "core/belongings.h"
#include "core/blocklist.h"
#include "core/bytestream.h"
#include "core/check.h"
#include "core/command.h"
#include "core/command_call.h"
#include "core/component.h"
#include "core/excuse.h"
#include "core/guest.h"
#include "core/history.h"
#include "core/host.h"
#include "core/key_rate.h"
#include "core/metrics.h"
#include "core/offers.h"
#include "core/option.h"
#include "core/pubsub.h"
#include "core/pubsub_self.h"
#include "core/roster.h"
#include "core/router.h"
#include "core/session.h"
#include "core/spool.h"
#include "core/stanza.h"
#include "core/stream.h"
#include "core/web.h"
#include "jid/jid.h"
#include "net/addr.h"
#include "net/loop.h"
#include "store/backend.h"
#include "store/blob.h"
#include "store/store.h"
#include "xml/elem.h"
#include "xml/parser.h"
#include "xml/writer.h"

#define MODULE_ABI 1

struct mod; /* an instance */

/* ---- hooks --------------------------------------------------------------*/

enum hook_point {
	/*
	 * A client's stanza, true `from` set, at its sender's home, before
	 * it is routed. `st->to` is set, except for broadcast presence.
	 */
	HOOK_MESSAGE_SENT,
	HOOK_PRESENCE_SENT,
	HOOK_IQ_SENT,
	/*
	 * For an account, at its home, before the sessions are chosen. Runs
	 * for stanzas from anywhere, once for each.
	 */
	HOOK_MESSAGE_DELIVER,
	HOOK_PRESENCE_DELIVER,
	HOOK_IQ_DELIVER,
	/* A message that no session takes: PASS makes the RFC's error. */
	HOOK_MESSAGE_OFFLINE,
	/*
	 * The message goes to these sessions now (carbons): called once with
	 * the first session chosen.
	 */
	HOOK_MESSAGE_ROUTED,

	/* (mod, session) */
	HOOK_SESSION_BOUND,	  /* after bind, before any stanza */
	HOOK_SESSION_AVAILABLE,	  /* initial presence was broadcast */
	HOOK_SESSION_UNAVAILABLE, /* was available */
	HOOK_SESSION_DETACHED,	  /* the stream is gone, resumption possible */
	HOOK_SESSION_RESUMED,
	HOOK_SESSION_CLOSED, /* for good */

	/*
	 * (mod, session, stanza): a stanza is about to be written to the
	 * client of a session for which `filters` is raised.
	 * PASS: write it. DONE: the handler took it over. HELD is not
	 * allowed.
	 */
	HOOK_SESSION_SEND,
	/* (mod, session, nonza element): DONE if it is the module's. */
	HOOK_SESSION_NONZA,
	/*
	 * (mod, account, JID): may the account's presence be sent there (to a
	 * contact, in answer to a probe)? DONE: it must not.
	 */
	HOOK_PRESENCE_ALLOW,
	/*
	 * (mod, account, JID): may a message from there that waits in the
	 * spool be handed over? DONE: it is dropped.
	 */
	HOOK_SPOOL_ALLOW,
	/* (mod, session, element of our presence): may add children to it. */
	HOOK_PRESENCE_BROADCAST,

	/* (mod, account) */
	HOOK_ACCOUNT_LOAD, /* may use account_load_hold() */
	/* Before the account is ready; may use account_load_hold(). */
	HOOK_ROSTER_LOADED,
	HOOK_ACCOUNT_UNLOAD,
	HOOK_ACCOUNT_OFFLINE, /* its last available session is gone */
	HOOK_ACCOUNT_DELETED, /* keyed values and archive go by themselves */
	/*
	 * (mod, belongings): what it has elsewhere is listed, or removed (see
	 * belongings.h); before the account goes.
	 */
	HOOK_ACCOUNT_BELONGINGS,
	HOOK_ACCOUNT_CREATED,
	/* (mod, account, roster item as it is now; sub NONE: may be gone) */
	HOOK_ROSTER_CHANGED,

	/* (mod, stream, <features/>): adds what the stream offers. */
	HOOK_STREAM_FEATURES,
	/* (mod, stream, <inline/>): what can be asked for with Bind 2. */
	HOOK_BIND_FEATURES,
	/*
	 * (mod, login): before a resource is bound with a login (XEP-0386);
	 * may use login_hold().
	 */
	HOOK_BIND_PREPARE,
	/*
	 * (mod, session, <bind/>, <bound/>): does what was asked for with it,
	 * before HOOK_SESSION_BOUND. Nothing may be sent.
	 */
	HOOK_BIND_REQUEST,
	/* (mod, stream, stanza): an iq before login (XEP-0077); no HELD. */
	HOOK_STREAM_IQ,
	/* (mod, disco query element, stanza): adds to an answer about a host
	 * (to has no local part) or an account: features, forms. */
	HOOK_DISCO_INFO,
	HOOK_DISCO_ITEMS,

	/* (mod, domain): a component is connected; at the domain's home. */
	HOOK_COMPONENT_UP,
	/*
	 * A message to the host itself; on any loop. PASS: the error that it
	 * would be without.
	 */
	HOOK_HOST_MESSAGE,
	/* An iq request to the host itself, before its routes. Not HELD. */
	HOOK_IQ_HOST,

	HOOK_COUNT,
};

/* Who goes first; equal ranks run by module name. */
enum hook_rank { FIRST, EARLY, NORMAL, LATE, LAST };

struct hook {
	enum hook_point point;
	enum hook_rank rank;
	/* The member that fits the point. */
	union {
		enum verdict (*stanza)(struct mod *m, struct stanza *st);
		void (*session)(struct mod *m, struct session *s);
		enum verdict (*send)(
		    struct mod *m, struct session *s, struct stanza *st);
		enum verdict (*nonza)(
		    struct mod *m, struct session *s, struct elem *e);
		void (*presence)(
		    struct mod *m, struct session *s, struct elem *e);
		enum verdict (*contact)(struct mod *m, struct account *acct,
		    const struct jid *contact);
		void (*account)(struct mod *m, struct account *acct);
		void (*belongings)(struct mod *m, struct belongings *b);
		void (*roster)(struct mod *m, struct account *acct,
		    const struct roster_item *item);
		void (*features)(
		    struct mod *m, struct stream *s, struct elem *features);
		void (*login)(struct mod *m, struct login *l);
		void (*bind)(struct mod *m, struct session *s,
		    const struct elem *bind, struct elem *bound);
		enum verdict (*stream_iq)(
		    struct mod *m, struct stream *s, struct stanza *iq);
		void (*disco)(
		    struct mod *m, struct elem *query, const struct stanza *iq);
		void (*component)(struct mod *m, const struct jid *domain);
	};
	/*
	 * For stanza hooks: true if the handler would do nothing with this
	 * one but PASS. It must be cheap: asked for each recipient of what
	 * goes to many, to spare them trees of their own. NULL: always run.
	 */
	bool (*skips)(struct mod *m, const struct stanza *st);
};

#define HOOKS_END \
	{ \
		.point = HOOK_COUNT \
	}

/* ---- iq routes ----------------------------------------------------------*/

enum iq_where {
	TO_HOST = 1,	/* the domain itself */
	TO_ACCOUNT = 2, /* a bare JID, on its behalf, from anyone */
	TO_SELF = 4,	/* the sender's own bare JID, or no `to` */
};

struct iq_route {
	int types; /* IQ_GET, IQ_SET or both */
	int where;
	enum qname payload;
	enum verdict (*fn)(struct mod *m, struct stanza *iq);
};

#define ROUTES_END \
	{ \
		.types = 0 \
	}

/* For TO_ACCOUNT and TO_SELF routes: the account, at its home. */
API struct account *iq_account(const struct stanza *iq);
/* For TO_SELF routes: the session that asked. NULL if it is gone. */
API struct session *iq_session(const struct stanza *iq);

/* ---- the table ----------------------------------------------------------*/

/* Disco identities; `where` as in routes (TO_HOST, TO_ACCOUNT). */
struct identity {
	int where;
	const char *category, *type, *name;
};

/* Disco features by namespace, of host and accounts. */
struct feature {
	int where;
	struct str var;
};
#define FEATURES_END \
	{ \
		.where = 0 \
	}

struct module {
	const char *summary;
	const char *const *needs; /* other modules, ended by NULL */
	/* For backends and the like: one instance a worker, without a host. */
	bool is_global;
	/*
	 * Off unless the configuration names it, as are all whose names begin
	 * with `auth_`, `blob_` or `store_`: of those, what another needs or
	 * `database` asks for is on as well.
	 */
	bool is_optional;
	size_t options_size, state_size, account_size, session_size;
	const struct option *options;
	const struct hook *hooks;
	const struct iq_route *iq;
	const struct feature *features;
	const struct identity *identities;
	const struct command *commands;
	const struct http_route *http; /* of its host, see core/web.h */
	/* A backend of accounts, by the module's name: core/auth_backend.h */
	const struct auth_backend *auth;
	/*
	 * A domain of its own: the option (OPT_HOST) that names it, and what
	 * is sent there. A stanza for it comes at the home of its bare JID.
	 */
	const char *service_option;
	service_fn *service;

	/* Once for the process, on the main thread, before and after all. */
	int (*load)(struct arena *a, const char **why_r);
	void (*unload)(void);
	/*
	 * For each host and worker, on the worker's loop. start: state is
	 * zeroed. reload: options have changed. stop: may be NULL, as all.
	 */
	void (*start)(struct mod *m);
	void (*reload)(struct mod *m);
	void (*stop)(struct mod *m);
	/* For `rookeryctl check`: tells what may be wrong with its options. */
	void (*check)(struct mod *m, struct check *c);
	/* Frees what is in the state of an account or a session. */
	void (*account_free)(struct mod *m, void *state);
	void (*session_free)(struct mod *m, void *state);
};

/*
 * MODULE(ping) = { .summary = "...", ... };
 * Defines what a module exports: its name (that of its folder and file), the
 * ABI it was built for, and its table.
 */
#define MODULE(name_) \
	API extern const char rookery_module_name[]; \
	API extern const uint32_t rookery_module_abi; \
	API extern const struct module rookery_module; \
	const char rookery_module_name[] = #name_; \
	const uint32_t rookery_module_abi = MODULE_ABI; \
	const struct module rookery_module

/* Where files that do not change are, as installed: those of its users. */
API const char *installed_dir(void);

/* What an instance is made of. Lent; the state is its own to change. */
API void *mod_state(const struct mod *m);
API const void *mod_options(const struct mod *m);
API struct host *mod_host(const struct mod *m);
API const char *mod_name(const struct mod *m);
API struct log_ctx *mod_log(struct mod *m);
/* Its service's domain, or NULL. */
API const struct jid *mod_service(const struct mod *m);
/* It stays in memory, its code too, until it is released; on its loop. */
API void mod_hold(struct mod *m);
API void mod_release(struct mod *m);
/* For stop(): the server ends, not the module alone. */
API bool mod_is_ending(void);
/* On this worker, for the host; NULL if it is not on there. */
API struct mod *mod_find(const struct host *host, const char *name);

/*
 * What one module offers another: an ops struct, by name. Published while the
 * publisher is loaded; look it up each time.
 */
API void mod_publish(const char *name, const void *ops);
API const void *mod_lookup(const char *name);

/* Features and identities of what is on for the host (disco, caps). */
API void mod_each_feature(const struct host *host, int where,
    void (*fn)(void *ctx, struct str var), void *ctx);
API void mod_each_identity(const struct host *host, int where,
    void (*fn)(void *ctx, const struct identity *id), void *ctx);
/* Runs HOOK_DISCO_INFO or HOOK_DISCO_ITEMS for an answer under way. */
API void hook_disco(enum hook_point point, const struct host *host,
    struct elem *query, const struct stanza *iq);
/*
 * Changes whenever a module came, went or was reloaded: for those who keep
 * what they made of the above.
 */
API unsigned mod_generation(void);
/* On this worker: what disco says of the host or of accounts has changed. */
API void mod_changed(void);
/* Service domains of the host. */
API void mod_each_service(const struct host *host,
    void (*fn)(void *ctx, const struct jid *domain), void *ctx);

#endif
