/* SPDX-License-Identifier: MIT */
/*
 * The core's side of modules: running hooks, finding routes and services. For
 * the calling worker's instances, on its loop.
 */
#ifndef CORE_HOOKS_H
#define CORE_HOOKS_H

#include "core/module.h"

/*
 * Runs the stanza hooks of a point from st->stage on. HELD: st->stage says
 * where to go on (call again with the same point after stanza_resume() with
 * PASS); otherwise the stage is 0 again.
 */
enum verdict hook_stanza(
    enum hook_point point, const struct host *host, struct stanza *st);
/* Would all its handlers just PASS? (See `skips' in struct hook.) */
bool hook_skips(
    enum hook_point point, const struct host *host, const struct stanza *st);
void hook_session(enum hook_point point, struct session *s);
enum verdict hook_session_send(struct session *s, struct stanza *st);
enum verdict hook_session_nonza(struct session *s, struct elem *e);
void hook_presence(struct session *s, struct elem *presence);
/* HOOK_PRESENCE_ALLOW: may the account's presence go there? */
bool hook_presence_allow(struct account *acct, const struct jid *to);
/* HOOK_SPOOL_ALLOW: may what waits from there come now? */
bool hook_spool_allow(struct account *acct, const struct jid *from);
void hook_account(enum hook_point point, struct account *acct);
/* HOOK_ACCOUNT_BELONGINGS */
void hook_belongings(struct belongings *b);
void hook_roster(struct account *acct, const struct roster_item *item);
/* HOOK_STREAM_FEATURES or HOOK_BIND_FEATURES. */
void hook_features(
    enum hook_point point, struct stream *s, struct elem *features);
void hook_login(struct login *l, const struct host *host);
void hook_bind(struct session *s, const struct elem *bind, struct elem *bound);
enum verdict hook_stream_iq(struct stream *s, struct stanza *iq);
void hook_component(const struct host *host, const struct jid *domain);
/* Is there any handler at the point? (To skip work that only they need.) */
bool hook_has(enum hook_point point, const struct host *host);

/*
 * The route for an iq; `where` is one of TO_HOST, TO_ACCOUNT, TO_SELF (for
 * which TO_ACCOUNT routes serve too). Tries each that fits until one does
 * not PASS. PASS: nobody took it.
 */
enum verdict iq_route_run(
    const struct host *host, enum iq_where where, struct stanza *iq);

/* The service at a domain, on this worker: NULL if there is none. */
struct mod *service_find(struct str domain);
/* Where its options want its service, empty if nowhere. */
struct str service_domain(const struct module *table, const void *options);
/* Hands a stanza to it, on the right loop already. */
void service_deliver(struct mod *m, struct stanza *st);

/*
 * Slots of a dying account or session: calls the modules' free functions and
 * frees the slots; ->slots is NULL then, as at first. account_slot(),
 * session_slot() and their _peek() are in slots.c, with these.
 */
void slots_free_account(struct account *acct);
void slots_free_session(struct session *s);

/*
 * Parts of the core that are written as module tables themselves (the
 * roster, core commands); always on, for each host.
 */
struct builtin {
	const char *name;
	const struct module *module;
};
extern const struct builtin builtins[];	    /* ended by a NULL name */
extern const struct module roster_module;   /* roster.c */
extern const struct module clients_module;  /* client_iq.c */
extern const struct module commands_module; /* commands*.c */

/*
 * Life of modules. modules_load: main thread, before loops run; reads the
 * plugin folder for what `conf` names. modules_start/stop: on each loop.
 */
struct conf;
int modules_load(struct arena *a, const struct conf *conf, const char **why_r);
void modules_start_worker(void);
void modules_stop_worker(void);
void modules_unload(void);
/*
 * Main thread: what `conf` has on now; notes gets a line for each module that
 * could not be loaded. modules_settle ends those that have nothing to wait for
 * any more; true: some do, so call it again before long.
 */
struct buf;
void modules_apply(struct arena *a, const struct conf *conf, struct buf *notes);
bool modules_settle(void);
/* Settles those that are on their way out, for so long that they usually do. */
void modules_await(void);
/* While running, from any loop; done(ctx, err, why) on that loop. */
typedef void modules_done_fn(void *ctx, int err, const char *why);
void modules_load_one(const char *name, modules_done_fn *done, void *ctx);
void modules_unload_one(const char *name, modules_done_fn *done, void *ctx);
void modules_reload_one(const char *name, modules_done_fn *done, void *ctx);
/*
 * Where modules are: the folder of .so files (NULL: that of this build), and
 * tables that are linked in (for tests), ended by a NULL name; with those no
 * file is looked for.
 */
void modules_set_dir(const char *dir);
const char *modules_dir(void);
void modules_add_static(const struct builtin *tables);
/* Can it be read? -errno. */
int modules_check_dir(void);
/* Names of all that could be loaded, sorted, ended by NULL. */
const char *const *modules_names(struct arena *a);
/* Is it among them? */
bool modules_has(const char *name);
/* The table of a module; NULL with *why_r, from `a`. On the main thread. */
const struct module *modules_open(
    struct arena *a, const char *name, const char **why_r);
/*
 * The table of a module that is known; on the main thread, that of any that
 * can be loaded. NULL if there is none.
 */
const struct module *modules_table(const char *name);
void modules_each(
    void (*fn)(void *ctx, const char *name, const struct module *table),
    void *ctx);

#endif
