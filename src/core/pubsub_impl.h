/* SPDX-License-Identifier: MIT */
/* Publish-subscribe from the inside, for src/core/pubsub*.c. */
#ifndef CORE_PUBSUB_IMPL_H
#define CORE_PUBSUB_IMPL_H

#include "base/err.h"
#include "base/map.h"
#include "core/host.h"
#include "core/pubsub.h"
#include "core/pubsub_config.h"
#include "core/roster.h"
#include "core/router.h"
#include "store/store.h"

#define PUBSUB_STORE STR("pubsub")
#define PUBSUB_LAST STR("pubsub-last")
#define PUBSUB_ID_MAX 1023
#define PUBSUB_AUTHORIZATION \
	"http://jabber.org/protocol/pubsub#subscribe_authorization"

enum pubsub_aff {
	AFF_NONE,
	AFF_OUTCAST,
	AFF_PUBLISH_ONLY,
	AFF_MEMBER,
	AFF_PUBLISHER,
	AFF_OWNER,
};

struct affiliation {
	struct list node;
	struct str jid; /* bare; heap */
	enum pubsub_aff aff;
};

struct subscription {
	struct list node;
	struct jid jid;	  /* view of a heap text */
	struct str subid; /* heap */
	bool is_pending;
	bool is_quiet; /* pubsub#deliver is false */
	bool is_told;  /* by his clients: while a notice is sent */
};

/* One item: its place in the store. The payload is only there. */
struct item {
	struct list node;	     /* in the order of publication */
	struct str key;		     /* heap */
	struct str id;		     /* a view of the key */
	uint64_t published, created; /* microseconds: last and first */
};

struct op;

struct node {
	struct pubsub *ps;
	struct str name;    /* heap */
	struct str store;   /* heap: where its items are */
	struct str creator; /* bare; heap */
	int64_t created;
	struct pubsub_config config;
	struct list affiliations, subscriptions;
	size_t aff_count, sub_count;

	/* Items, loaded when they are first needed. */
	bool is_loaded, is_loading;
	bool is_purged; /* as soon as they are loaded */
	struct map by_id;
	struct list items;
	struct list waiting; /* struct op */
};

struct pubsub {
	unsigned refs;
	bool is_dead; /* its module has let it go */
	bool is_loaded;
	bool is_holding;      /* the account's load */
	struct jid jid;	      /* view of a heap text */
	struct account *acct; /* NULL: a service */
	struct host *host;
	struct pubsub_limits limits;
	struct pubsub_bounds bounds;
	bool (*may_create)(const struct jid *who);
	struct map nodes;
	struct list waiting; /* struct op, until it is loaded */
	unsigned waiting_count;
	struct map contacts; /* struct contact, by full JID */
};

/* A request under way; in the arena of its iq. */
struct op {
	struct list link;
	struct pubsub *ps;
	struct stanza *iq;
	struct elem *action; /* the child that says what to do */
	struct str node_name;
	void (*fn)(struct op *op, struct node *node);
	void *data;			/* of the operation */
	struct node *gone;		/* taken out, to be freed at the end */
	struct list notices;		/* stanzas, sent when it is committed */
	enum qname condition, specific; /* why it failed half-way */
};

/* ---- pubsub.c: life, requests ------------------------------------------ */

struct pubsub *pubsub_ref(struct pubsub *ps);
void pubsub_unref(struct pubsub **ps);
/* Ends the operation with an error; as stanza_refuse_with(). */
void op_refuse(struct op *op, enum qname condition, enum qname specific);
void op_unsupported(struct op *op, const char *feature);
/* Ends it with an empty result. */
void op_reply(struct op *op);
/* A result to which the payload is added; then op_send(). */
struct elem *op_result(struct op *op, enum qname payload);
void op_send(struct op *op);
/* Ends it without an answer: the iq is the caller's. */
struct stanza *op_end(struct op *op);
/* Commits, then goes on with fn(op, node): node is NULL if it went. */
void op_commit(struct op *op, struct store_write **w,
    void (*fn)(struct op *op, struct node *node));
/* Goes on when the node's items are loaded. */
void op_with_items(struct op *op, struct node *node,
    void (*fn)(struct op *op, struct node *node));
struct str pubsub_now(struct arena *a);

/* ---- pubsub_node.c ----------------------------------------------------- */

struct node *node_find(const struct pubsub *ps, struct str name);
/* In memory only, with the service's defaults. */
struct node *node_new(
    struct pubsub *ps, struct str name, const struct jid *creator);
void node_free(struct node *node);
/* Its record, as it is now. */
void node_put(struct store_write *w, const struct node *node);
/* All that is kept of it. */
void node_erase(struct store_write *w, const struct node *node);
/* From its record. NULL if that can't be read. */
struct node *node_of(struct pubsub *ps, struct str name, struct str record);

/* The owner of an account's nodes, and a service's admins, need no entry. */
enum pubsub_aff node_aff(const struct node *node, const struct jid *who);
/* What the list says of that bare address. */
enum pubsub_aff node_listed(const struct node *node, struct str bare);
/* ERR_LIMIT when there are too many. */
int node_set_aff(struct node *node, struct str bare, enum pubsub_aff aff);
const char *aff_name(enum pubsub_aff aff);
bool aff_of(struct str name, enum pubsub_aff *aff_r);
struct subscription *node_subscription(
    const struct node *node, const struct jid *jid);
/* NULL when there are too many. */
struct subscription *node_subscribe(
    struct node *node, const struct jid *jid, bool is_pending);
void node_unsubscribe(struct node *node, struct subscription *sub);
/* May he read? Else why not, as an error. */
bool node_may_read(const struct node *node, const struct jid *who,
    enum qname *condition_r, enum qname *specific_r);
bool node_may_publish(const struct node *node, const struct jid *who);
bool node_is_subscriber(const struct node *node, const struct jid *who);

/* ---- pubsub_items.c: the index of items, and their store --------------- */

void items_load(struct node *node);
void items_free(struct node *node);
/* Index and store; the oldest go when there are too many. */
void item_put(struct store_write *w, struct node *node, struct str id,
    const struct elem *payload, struct str publisher);
void item_drop(struct store_write *w, struct node *node, struct item *item);
void items_clear(struct store_write *w, struct node *node);
/* All of them, with a notice, but for nobody's request. */
void items_purge(struct node *node);
/* What has expired goes. */
void items_expire(struct node *node);
/*
 * The stored value as an <item/>, and when it was published (milliseconds);
 * NULL if it is broken, or has expired.
 */
struct elem *item_parse(struct arena *a, const struct node *node, struct str id,
    struct str value, enum qname name, int64_t *published_r);
/* Did he publish the stored value? */
bool item_is_of(struct arena *a, struct str value, const struct jid *who);

/* ---- pubsub_publish.c -------------------------------------------------- */

/* Operations, here and below: each ends with an answer. */
void do_publish(struct op *op, struct node *node);
void do_retract(struct op *op, struct node *node);
void do_purge(struct op *op, struct node *node);

/* ---- pubsub_get.c ------------------------------------------------------ */

void do_items(struct op *op, struct node *node);

/* ---- pubsub_history.c -------------------------------------------------- */

void do_history(struct op *op, struct node *node);

/* ---- pubsub_disco.c ---------------------------------------------------- */

void do_disco_info(struct op *op, struct node *node);
void do_disco_items(struct op *op, struct node *node);

/* ---- pubsub_owner.c ---------------------------------------------------- */

void do_create(struct op *op, struct node *node);
void do_get_configure(struct op *op, struct node *node);
void do_configure(struct op *op, struct node *node);
void do_default(struct op *op, struct node *node);
void do_delete(struct op *op, struct node *node);
void do_get_owner_affiliations(struct op *op, struct node *node);
void do_set_owner_affiliations(struct op *op, struct node *node);
void do_get_owner_subscriptions(struct op *op, struct node *node);
void do_set_owner_subscriptions(struct op *op, struct node *node);
/* May he make nodes here, and is there room? Refuses if not. */
bool may_make_node(struct op *op);

/* ---- pubsub_subscribe.c ------------------------------------------------ */

void do_subscribe(struct op *op, struct node *node);
void do_unsubscribe(struct op *op, struct node *node);
void do_get_options(struct op *op, struct node *node);
void do_set_options(struct op *op, struct node *node);
void do_subscribe_default(struct op *op, struct node *node);
void do_get_subscriptions(struct op *op, struct node *node);
void do_get_affiliations(struct op *op, struct node *node);
/* Asks one of the owners whether the subscription shall be (8.6). */
void ask_owner(
    struct node *node, const struct subscription *sub, const struct jid *owner);
/* The answer to what an owner was asked. */
void pubsub_authorized(struct pubsub *ps, struct stanza *msg);
/* Those of that bare address that may not read any more are cancelled. */
void subscriptions_check(struct pubsub *ps, struct str bare);
/* A <subscription/> with what is to be told of it. */
struct elem *subscription_add(struct elem *parent, enum qname name,
    const struct node *node, const struct subscription *sub);

/* ---- pubsub_notify.c --------------------------------------------------- */

/* A message from the owner; <event/> in *event_r. */
struct stanza *notice_new(const struct node *node, struct elem **event_r);
/* To all who are to hear of the node. Takes it over. */
void notice_send(struct node *node, struct stanza *notice);
/* And those whose subscription is pending: there will be no other. */
void notice_send_last(struct node *node, struct stanza *notice);
void notice_send_to(
    struct node *node, struct stanza *notice, const struct jid *to);
/* `id` may be none, if the node has no items. */
void notify_item(struct node *node, struct str id, const struct elem *payload,
    struct str publisher);
void notify_retract(struct node *node, struct str id);
void notify_purge(struct node *node);
/* What he may see of the account's nodes, that he is interested in. */
void notify_last_all(struct pubsub *ps, const struct jid *to);
/* The last item of a node to its new subscriber. */
void notify_last(struct node *node, const struct jid *to);
/* The subscription's state has changed: a notice for later. */
void notify_subscription(struct list *notices, struct node *node,
    const struct jid *who, struct str subid, const char *state);
/* Now, or never. */
void notices_send(struct list *notices);
void notices_drop(struct list *notices);

/* ---- pubsub_caps.c ----------------------------------------------------- */

/* Is the entity interested in the node (NODE+notify)? */
struct contact {
	struct pubsub *ps;
	struct jid jid;	     /* view of a heap text */
	struct str key;	     /* heap; of capabilities not known yet */
	struct caps *caps;   /* or NULL: not known (yet) */
	bool is_allowed;     /* to see the account's presence */
	struct list waiting; /* in an enquiry */
	struct enquiry *enquiry;
};
bool contact_wants(const struct contact *c, struct str node);
/* The worker's cache is kept as long as anybody uses it. */
void caps_use(void);
void caps_unuse(void);
void contacts_free(struct pubsub *ps);

/* ---- pubsub_known.c: capabilities in the store ------------------------- */

void caps_find(
    const struct host *host, struct str key, store_value_fn *found, void *ctx);
/* What has been verified; another goes when there are too many. */
void caps_store(const struct host *host, struct str key, struct str text);

#endif
