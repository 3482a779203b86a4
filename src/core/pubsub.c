/* SPDX-License-Identifier: MIT */
/* Life of a struct pubsub, and the way of requests through it. */
#include "core/pubsub_impl.h"

#include "base/clock.h"
#include "base/log.h"
#include "xml/writer.h"

static struct log_ctx log_ctx = { .source = "pubsub" };

/* Requests that wait until a service is loaded. */
#define WAITING_MAX 1000

/* ---- life -------------------------------------------------------------- */

struct pubsub *
pubsub_ref(struct pubsub *ps)
{
	ps->refs++;
	return ps;
}

void
pubsub_unref(struct pubsub **psp)
{
	struct pubsub *ps = *psp;
	struct str text = ps->jid.full;
	struct node *node;

	*psp = NULL;
	if (--ps->refs > 0)
		return;
	caps_unuse();
	for (size_t i = 0; (node = map_next(&ps->nodes, &i)) != NULL;)
		node_free(node);
	map_fini(&ps->nodes);
	str_free(&text);
	xfree(ps);
}

static void
refuse_waiting(struct list *waiting)
{
	struct op *op;

	while ((op = LIST_FIRST(waiting, struct op, link)) != NULL) {
		list_del(&op->link);
		op_refuse(op, EL_SERVICE_UNAVAILABLE, EL_NONE);
	}
}

void
pubsub_free(struct pubsub **psp)
{
	struct pubsub *ps = *psp;

	*psp = NULL;
	if (ps == NULL)
		return;
	ps->is_dead = true;
	contacts_free(ps);
	refuse_waiting(&ps->waiting);
	pubsub_unref(&ps);
}

static struct pubsub *
pubsub_new(const struct jid *jid, const struct pubsub_limits *limits)
{
	struct pubsub *ps = xzalloc(sizeof(*ps));

	ps->refs = 1;
	ps->jid = jid_of(str_heap(jid->bare));
	ps->limits = *limits;
	ps->bounds.max_items = (uint32_t)limits->max_items;
	ps->bounds.max_payload = (uint32_t)limits->max_payload;
	list_init(&ps->waiting);
	caps_use();
	return ps;
}

/* ---- loading ----------------------------------------------------------- */

static void op_start(struct op *op);

static void
run_waiting(struct pubsub *ps)
{
	struct op *op;

	while ((op = LIST_FIRST(&ps->waiting, struct op, link)) != NULL) {
		list_del(&op->link);
		op_start(op);
	}
}

static void
on_nodes(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct pubsub *ps = ctx;
	struct account *acct = ps->acct;

	for (size_t i = 0; i < count && !ps->is_dead; i++)
		if (node_of(ps, items[i].key, items[i].value) == NULL)
			log_error(&log_ctx,
			    "node " STR_FMT " of " STR_FMT " can't be read",
			    STR_ARG(items[i].key), STR_ARG(ps->jid.full));
	if (err < 0 && !ps->is_holding)
		log_error(&log_ctx, "nodes of " STR_FMT " can't be read: %s",
		    STR_ARG(ps->jid.full), err_text(err));
	ps->is_loaded = err == 0;
	/* It may have been killed before it could see its owner go. */
	if (ps->is_loaded && !ps->is_dead && acct != NULL &&
	    list_is_empty(&acct->sessions))
		pubsub_offline(ps);
	if (ps->is_holding)
		account_load_release(acct, err);
	if (ps->is_loaded)
		run_waiting(ps);
	else
		refuse_waiting(&ps->waiting);
	pubsub_unref(&ps);
}

static void
load(struct pubsub *ps)
{
	kv_list(ps->jid.bare, PUBSUB_STORE, STR_NONE, false,
	    ps->limits.max_nodes, on_nodes, pubsub_ref(ps));
}

struct pubsub *
pubsub_new_account(struct account *acct, const struct pubsub_limits *limits)
{
	struct pubsub *ps = pubsub_new(&acct->jid, limits);

	ps->acct = acct;
	ps->host = acct->host;
	ps->bounds.is_pep = true;
	ps->is_holding = acct->state == ACCOUNT_LOADING;
	if (ps->is_holding)
		account_load_hold(acct);
	load(ps);
	return ps;
}

struct pubsub *
pubsub_new_service(const struct jid *domain, struct host *host,
    const struct pubsub_limits *limits,
    bool (*may_create)(const struct jid *who))
{
	struct pubsub *ps = pubsub_new(domain, limits);

	ps->host = host;
	ps->may_create = may_create;
	load(ps);
	return ps;
}

void
pubsub_offline(struct pubsub *ps)
{
	struct node *node;

	for (size_t i = 0; (node = map_next(&ps->nodes, &i)) != NULL;)
		if (node->config.purge_offline)
			items_purge(node);
}

/* Strictly growing, as digits whose order is that of time. */
struct str
pubsub_now(struct arena *a)
{
	static _Thread_local uint64_t last;
	uint64_t now = (uint64_t)clock_real_us();

	last = now > last ? now : last + 1;
	return str_printf(a, "%016llx", (unsigned long long)last);
}

/* ---- answers ----------------------------------------------------------- */

/* The operation is at its end: it holds nothing any more. */
struct stanza *
op_end(struct op *op)
{
	struct stanza *iq = op->iq;
	struct pubsub *ps = op->ps;

	notices_drop(&op->notices);
	if (op->gone != NULL)
		node_free(op->gone);
	if (ps->acct != NULL)
		account_unpin(ps->acct);
	pubsub_unref(&ps);
	return iq;
}

void
op_refuse(struct op *op, enum qname condition, enum qname specific)
{
	stanza_refuse_with(op_end(op), condition, NULL, specific);
}

void
op_unsupported(struct op *op, const char *feature)
{
	struct stanza *iq = op_end(op);
	struct elem *error;

	if (!stanza_make_error(
		iq, EL_FEATURE_NOT_IMPLEMENTED, NULL, EL_PE_UNSUPPORTED)) {
		stanza_free(&iq);
		return;
	}
	error = elem_child(iq->root, EL_ERROR);
	elem_set(
	    elem_child(error, EL_PE_UNSUPPORTED), AT_FEATURE, str_c(feature));
	router_send(iq);
}

void
op_reply(struct op *op)
{
	stanza_reply(op_end(op));
}

struct elem *
op_result(struct op *op, enum qname payload)
{
	return elem_add(stanza_result(op->iq), payload);
}

void
op_send(struct op *op)
{
	stanza_send_back(op_end(op));
}

/* ---- waiting for the store --------------------------------------------- */

static void
on_committed(void *ctx, int err)
{
	struct op *op = ctx;
	struct node *node;

	if (err < 0 || op->ps->is_dead) {
		op_refuse(op,
		    err < 0 ? EL_INTERNAL_SERVER_ERROR : EL_SERVICE_UNAVAILABLE,
		    EL_NONE);
		return;
	}
	notices_send(&op->notices);
	node = node_find(op->ps, op->node_name);
	op->fn(op, node);
}

void
op_commit(struct op *op, struct store_write **w,
    void (*fn)(struct op *op, struct node *node))
{
	op->fn = fn;
	store_commit(w, on_committed, op);
}

void
op_with_items(struct op *op, struct node *node,
    void (*fn)(struct op *op, struct node *node))
{
	if (node->is_loaded) {
		items_expire(node);
		fn(op, node);
		return;
	}
	op->fn = fn;
	list_add(&node->waiting, &op->link);
	items_load(node);
}

/* ---- what is asked for ------------------------------------------------- */

enum need {
	NEED_NODE = 1,	/* nodeid-required, item-not-found without it */
	NEED_ITEMS = 2, /* loaded first */
	NEED_OWNER = 4, /* forbidden to others */
	NEED_READER = 8,
};

struct action {
	qname_t name;
	int type;
	int need;
	void (*fn)(struct op *op, struct node *node);
};

static const struct action actions[] = {
	{ EL_PUBLISH, IQ_SET, 0, do_publish },
	{ EL_PUBSUB_RETRACT, IQ_SET, NEED_NODE | NEED_ITEMS, do_retract },
	{ EL_PUBSUB_CREATE, IQ_SET, 0, do_create },
	{ EL_PUBSUB_SUBSCRIBE, IQ_SET, NEED_NODE, do_subscribe },
	{ EL_PUBSUB_UNSUBSCRIBE, IQ_SET, NEED_NODE, do_unsubscribe },
	{ EL_PUBSUB_OPTIONS, IQ_SET, NEED_NODE, do_set_options },
	{ EL_PUBSUB_OPTIONS, IQ_GET, NEED_NODE, do_get_options },
	{ EL_PUBSUB_DEFAULT, IQ_GET, 0, do_subscribe_default },
	{ EL_PUBSUB_ITEMS, IQ_GET, NEED_NODE | NEED_ITEMS, do_items },
	{ EL_PUBSUB_SUBSCRIPTIONS, IQ_GET, 0, do_get_subscriptions },
	{ EL_PUBSUB_AFFILIATIONS, IQ_GET, 0, do_get_affiliations },
	{ EL_OWNER_CONFIGURE, IQ_GET, NEED_NODE | NEED_OWNER,
	    do_get_configure },
	{ EL_OWNER_CONFIGURE, IQ_SET, NEED_NODE | NEED_OWNER | NEED_ITEMS,
	    do_configure },
	{ EL_OWNER_DEFAULT, IQ_GET, 0, do_default },
	{ EL_OWNER_DELETE, IQ_SET, NEED_NODE | NEED_OWNER, do_delete },
	{ EL_OWNER_PURGE, IQ_SET, NEED_NODE | NEED_OWNER | NEED_ITEMS,
	    do_purge },
	{ EL_OWNER_AFFILIATIONS, IQ_GET, NEED_NODE | NEED_OWNER,
	    do_get_owner_affiliations },
	{ EL_OWNER_AFFILIATIONS, IQ_SET, NEED_NODE | NEED_OWNER,
	    do_set_owner_affiliations },
	{ EL_OWNER_SUBSCRIPTIONS, IQ_GET, NEED_NODE | NEED_OWNER,
	    do_get_owner_subscriptions },
	{ EL_OWNER_SUBSCRIPTIONS, IQ_SET, NEED_NODE | NEED_OWNER,
	    do_set_owner_subscriptions },
};

/* Here the payload itself says what to do. */
static const struct action plain_actions[] = {
	{ EL_DISCO_INFO, IQ_GET, NEED_NODE | NEED_READER, do_disco_info },
	{ EL_DISCO_ITEMS, IQ_GET, NEED_NODE | NEED_READER | NEED_ITEMS,
	    do_disco_items },
	{ EL_MAM_QUERY, IQ_GET | IQ_SET, NEED_NODE | NEED_READER | NEED_ITEMS,
	    do_history },
	{ EL_MAM_METADATA, IQ_GET, NEED_NODE | NEED_READER | NEED_ITEMS,
	    do_history },
};

/* The child that an action is known for; with <create/>, not <configure/>. */
static const struct action *
action_of(const struct stanza *iq, struct elem **elem_r)
{
	struct elem *payload = stanza_payload(iq);
	struct elem *e = elem_child(payload, EL_ANY);

	for (size_t i = 0; i < ARRAY_LEN(plain_actions); i++)
		if (plain_actions[i].name == elem_name(payload) &&
		    plain_actions[i].type & (int)iq->type) {
			*elem_r = payload;
			return &plain_actions[i];
		}
	for (; e != NULL; e = elem_next(e, EL_ANY)) {
		for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
			if (actions[i].name == elem_name(e) &&
			    actions[i].type == (int)iq->type) {
				*elem_r = e;
				return &actions[i];
			}
		}
	}
	return NULL;
}

/* Is there what it needs? Refuses if not. */
static bool
check_needs(struct op *op, const struct node *node, int need)
{
	enum qname condition = EL_NONE, specific = EL_NONE;

	if (need & NEED_NODE && op->node_name.n == 0) {
		condition = EL_BAD_REQUEST;
		specific = EL_PE_NODEID_REQUIRED;
	} else if (need & NEED_NODE && node == NULL) {
		condition = EL_ITEM_NOT_FOUND;
	} else if (need & NEED_OWNER &&
		   node_aff(node, &op->iq->from) != AFF_OWNER) {
		condition = EL_FORBIDDEN;
	} else if (need & NEED_READER) {
		node_may_read(node, &op->iq->from, &condition, &specific);
	}
	if (condition == EL_NONE)
		return true;
	op_refuse(op, condition, specific);
	return false;
}

static void
op_start(struct op *op)
{
	const struct action *action = action_of(op->iq, &op->action);
	struct node *node;

	if (action == NULL) {
		op_refuse(op, EL_BAD_REQUEST, EL_NONE);
		return;
	}
	op->node_name = elem_attr(op->action, AT_NODE);
	node = node_find(op->ps, op->node_name);
	if (!check_needs(op, node, action->need))
		return;
	if (action->need & NEED_ITEMS)
		op_with_items(op, node, action->fn);
	else
		action->fn(op, node);
}

enum verdict
pubsub_iq(struct pubsub *ps, struct stanza *iq)
{
	struct op *op = arena_new_of(iq->arena, struct op);

	op->ps = pubsub_ref(ps);
	op->iq = iq;
	list_init(&op->notices);
	if (ps->acct != NULL)
		account_pin(ps->acct);
	if (ps->is_loaded) {
		op_start(op);
	} else if (ps->waiting_count >= WAITING_MAX) {
		op_refuse(op, EL_RESOURCE_CONSTRAINT, EL_NONE);
	} else {
		ps->waiting_count++;
		list_add(&ps->waiting, &op->link);
	}
	return STANZA_DONE;
}

enum verdict
pubsub_message(struct pubsub *ps, struct stanza *msg)
{
	if (ps->is_loaded && msg->type != MESSAGE_ERROR)
		pubsub_authorized(ps, msg);
	else
		stanza_free(&msg);
	return STANZA_DONE;
}
