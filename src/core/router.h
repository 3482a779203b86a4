/* SPDX-License-Identifier: MIT */
/*
 * The router: from any loop, towards the home of the recipient.
 */
#ifndef CORE_ROUTER_H
#define CORE_ROUTER_H

#include "core/stanza.h"

struct session;
struct host;

/*
 * Takes the stanza over and brings it to st->to: a local account or host, a
 * service of a module, a component, a remote domain; or answers the sender
 * with the right error. Order between two addresses is kept.
 */
API void router_send(struct stanza *st);

/*
 * Takes off what the sender says in the name of our hosts, accounts and
 * services: delays (XEP-0203) that they are to have noted. router_came() sends
 * the rest on: for what comes from outside.
 */
void router_strip(struct stanza *st);
void router_came(struct stanza *st);

/* Is it a domain of ours: a host, a service of a module, a component? */
API bool router_is_ours(struct str domain);

/* Is the domain none of ours, of our services or of our components? */
API bool router_is_remote(struct str domain);

/*
 * Who takes stanzas for domains that are neither ours nor a component's
 * (federation): he takes them over, from any loop. Without him they get
 * remote-server-not-found. Before the loops run.
 */
void router_set_remote(void (*send)(struct stanza *st));

/*
 * Sends an iq (get or set, without id: one is made) and calls back on this
 * loop with the answer (a result or an error; the callee's to free), or with
 * NULL after `timeout_ms` (in a later turn when too many are under way). An
 * answer counts only if it comes from where the iq went.
 */
typedef void iq_answer_fn(void *ctx, struct stanza *answer);
API void iq_send(
    struct stanza *iq, uint64_t timeout_ms, iq_answer_fn *answer, void *ctx);
/* Forgets all that wait with this ctx: they are not called any more. */
API void iq_forget(void *ctx);

/*
 * The same for a stanza that waits for what comes of it (or NULL: none does):
 * the callee gets that, too, and takes it over. `waits` is the asker's list of
 * all such questions, on this loop; at its end iq_waits_end() forgets them and
 * refuses what waits.
 */
typedef void iq_waited_fn(
    void *ctx, struct stanza *waiting, struct stanza *answer);
API void iq_ask(struct list *waits, struct stanza *iq, uint64_t timeout_ms,
    struct stanza *waiting, iq_waited_fn *answer, void *ctx);
API void iq_waits_end(struct list *waits);

/*
 * Fan-out: one stanza to many, rendered once. The root's `to` differs, all
 * else is shared. Recipients are local or remote addresses; local ones get
 * it through the deliver hooks at home, one post for each worker.
 */
struct fanout;
API struct fanout *fanout_new(struct stanza *st); /* takes it over */
API void fanout_add(struct fanout *f, const struct jid *to);
API void fanout_send(struct fanout **f); /* sends and frees */

/* A domain that a module serves: its stanzas go to the handler, at the home
 * of their bare JID. The handler takes the stanza over. */
struct mod;
typedef void service_fn(struct mod *m, struct stanza *st);

#endif
