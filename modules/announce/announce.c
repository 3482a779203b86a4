/* SPDX-License-Identifier: MIT */
/*
 * Announcements: to all who are online, to everybody; a message of the day,
 * which each account gets once, at a login; and a welcome for new accounts.
 * The two that stay are kept with the host, and each worker knows them.
 */
#include "core/module.h"

#define STORE "announce"
#define TEXT_MAX 16384
/* Everybody is told page by page, so that the store keeps up. */
#define PAGE_PAUSE_MS 50

enum kind { MOTD, WELCOME, KINDS };

static const char *const keys[] = { "motd", "welcome" };

/* Heap; `id` tells one message of the day from the next. */
struct notice {
	struct str id, subject, body;
};

struct state {
	struct notice notice[KINDS];
	bool is_stopped;
};

/* ---- notices ----------------------------------------------------------- */

static void
notice_clear(struct notice *n)
{
	str_free(&n->id);
	str_free(&n->subject);
	str_free(&n->body);
	*n = (struct notice){ 0 };
}

/* id, subject and body, apart by a byte that no text has. */
static struct str
notice_pack(struct arena *a, const struct notice *n)
{
	return str_printf(a, STR_FMT "\x1f" STR_FMT "\x1f" STR_FMT,
	    STR_ARG(n->id), STR_ARG(n->subject), STR_ARG(n->body));
}

static void
notice_set(struct notice *n, struct str packed)
{
	struct str rest = packed, id = str_cut(&rest, '\x1f'),
		   subject = str_cut(&rest, '\x1f');

	notice_clear(n);
	if (id.n == 0)
		return;
	n->id = str_heap(id);
	n->subject = str_heap(subject);
	n->body = str_heap(str_is_none(rest) ? STR("") : rest);
}

static void
on_motd(void *ctx, int err, struct str value)
{
	struct state *s = mod_state(ctx);

	if (err == 0 && !s->is_stopped)
		notice_set(&s->notice[MOTD], value);
}

static void
on_welcome(void *ctx, int err, struct str value)
{
	struct state *s = mod_state(ctx);

	if (err == 0 && !s->is_stopped)
		notice_set(&s->notice[WELCOME], value);
}

static void
announce_start(struct mod *m)
{
	static store_value_fn *const fns[] = { on_motd, on_welcome };

	for (size_t i = 0; i < KINDS; i++)
		kv_get(mod_host(m)->jid.bare, STR(STORE), str_c(keys[i]),
		    fns[i], m);
}

static void
announce_stop(struct mod *m)
{
	struct state *s = mod_state(m);

	s->is_stopped = true;
	for (size_t i = 0; i < KINDS; i++)
		notice_clear(&s->notice[i]);
}

/* ---- messages ---------------------------------------------------------- */

static struct stanza *
message_new(const struct host *host, const struct jid *to,
    enum stanza_type type, struct str subject, struct str body)
{
	struct stanza *st = stanza_new(EL_MESSAGE);

	stanza_set_type(st, type);
	stanza_set_from(st, &host->jid);
	stanza_set_to(st, to);
	if (subject.n > 0)
		elem_add_text(
		    st->root, EL_SUBJECT, str_dup(st->arena, subject));
	elem_add_text(st->root, EL_BODY, str_dup(st->arena, body));
	return st;
}

struct login {
	struct mod *m;
	struct arena *arena; /* this is in it */
	struct jid jid;
};

static void
on_noted(void *ctx, int err)
{
}

static void
note_seen(struct str owner, struct str id)
{
	struct store_write *w = store_write_new(owner);

	kv_put(w, owner, STR(STORE), STR("motd"), id);
	store_commit(&w, on_noted, NULL);
}

/* Told first, noted then: who is told twice after a crash has lost nothing. */
static void
on_seen(void *ctx, int err, struct str value)
{
	struct login *l = ctx;
	const struct state *s = mod_state(l->m);
	const struct notice *n = &s->notice[MOTD];
	struct arena *a = l->arena;

	if (s->is_stopped || str_is_none(n->id) ||
	    (err < 0 && err != ERR_ABSENT) ||
	    (err == 0 && str_eq(value, n->id))) {
		arena_free(&a);
		return;
	}
	router_send(message_new(
	    mod_host(l->m), &l->jid, MESSAGE_HEADLINE, n->subject, n->body));
	note_seen(l->jid.bare, n->id);
	arena_free(&a);
}

static void
on_available(struct mod *m, struct session *session)
{
	const struct state *s = mod_state(m);
	struct arena *a;
	struct login *l;

	if (str_is_none(s->notice[MOTD].id))
		return;
	a = arena_new(0);
	l = arena_new_of(a, struct login);
	l->m = m;
	l->arena = a;
	l->jid = jid_dup(a, &session->jid);
	kv_get(l->jid.bare, STR(STORE), STR("motd"), on_seen, l);
}

static void
on_created(struct mod *m, struct account *acct)
{
	const struct state *s = mod_state(m);
	const struct notice *n = &s->notice[WELCOME];

	if (!str_is_none(n->id))
		router_send(message_new(mod_host(m), &acct->jid, MESSAGE_NORMAL,
		    n->subject, n->body));
}

/* ---- commands: those who are there ------------------------------------- */

struct order {
	struct cmd *cmd;
	struct host *host;
	enum kind kind;
	struct notice notice; /* in the command's arena */
	struct str packed;    /* the same */
	bool is_motd;	      /* who is told it now need not be told again */
	struct timer timer;
	struct account_walk *walk;
};

static bool
order_read(struct cmd *c, struct order **order_r)
{
	struct order *o = arena_new_of(cmd_arena(c), struct order);

	o->cmd = c;
	o->host = cmd_host(c, "host");
	if (o->host == NULL)
		return false;
	if (cmd_mod(c, o->host->jid.domain) == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 0, "announce is not on there");
		return false;
	}
	*order_r = o;
	return true;
}

static bool
order_texts(struct order *o)
{
	struct cmd *c = o->cmd;

	o->notice.id = random_token(cmd_arena(c), 9);
	o->notice.subject = cmd_str(c, "subject");
	o->notice.body = cmd_str(c, "body");
	if (o->notice.body.n > 0 && o->notice.body.n <= TEXT_MAX &&
	    o->notice.subject.n <= TEXT_MAX &&
	    str_find(o->notice.subject, '\x1f') == o->notice.subject.n)
		return true;
	cmd_fail(c, CMD_BAD_ARG, 0, "body: 1 to %d bytes of text", TEXT_MAX);
	return false;
}

static void
tell_session(void *ctx, struct session *s)
{
	const struct order *o = ctx;

	if (!session_is_available(s) || s->account->host != o->host)
		return;
	session_send(s, message_new(o->host, &s->jid, MESSAGE_HEADLINE,
			    o->notice.subject, o->notice.body));
	if (o->is_motd)
		note_seen(s->jid.bare, o->notice.id);
}

static void
tell_part(void *ctx, unsigned worker)
{
	session_each(tell_session, ctx);
}

static void
on_told(void *ctx)
{
	struct order *o = ctx;

	cmd_ok(o->cmd, NULL);
}

static void
run_send_online(struct cmd *c)
{
	struct order *o;

	if (order_read(c, &o) && order_texts(o))
		worker_gather(tell_part, on_told, o);
}

/* ---- everybody --------------------------------------------------------- */

static void
on_pause(struct timer *t)
{
	struct order *o = CONTAINER_OF(t, struct order, timer);

	account_walk_next(o->walk);
}

static void
on_names(struct account_walk *w, const struct str *names, size_t count)
{
	struct order *o = account_walk_ctx(w);
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < count; i++) {
		struct jid jid = account_walk_jid(w, a, names[i]);

		router_send(message_new(o->host, &jid, MESSAGE_NORMAL,
		    o->notice.subject, o->notice.body));
		arena_reset(a);
	}
	arena_free(&a);
	o->walk = w;
	timer_start(&o->timer, PAGE_PAUSE_MS, on_pause);
}

static void
on_walked(void *ctx, int err)
{
	struct order *o = ctx;

	cmd_on_done(o->cmd, err);
}

static void
run_send_all(struct cmd *c)
{
	static const struct account_visitor visitor = { .page = on_names,
		.end = on_walked };
	struct order *o;

	if (order_read(c, &o) && order_texts(o))
		account_walk(o->host, &visitor, o);
}

/* ---- what stays -------------------------------------------------------- */

static void
learn_part(void *ctx, unsigned worker)
{
	const struct order *o = ctx;
	struct mod *m = mod_find(o->host, "announce");
	struct state *s = m != NULL ? mod_state(m) : NULL;

	if (s != NULL)
		notice_set(&s->notice[o->kind], o->packed);
}

static void
on_learnt(void *ctx)
{
	struct order *o = ctx;

	cmd_ok(o->cmd, NULL);
}

static void
on_kept(void *ctx, int err)
{
	struct order *o = ctx;

	if (err < 0)
		cmd_on_done(o->cmd, err);
	else
		worker_gather(learn_part, on_learnt, o);
}

static void
keep(struct order *o, enum kind kind)
{
	struct str owner = o->host->jid.bare;
	struct store_write *w = store_write_new(owner);

	o->kind = kind;
	o->packed = str_is_none(o->notice.id)
			? STR_NONE
			: notice_pack(cmd_arena(o->cmd), &o->notice);
	if (str_is_none(o->packed))
		kv_del(w, owner, STR(STORE), str_c(keys[kind]));
	else
		kv_put(w, owner, STR(STORE), str_c(keys[kind]), o->packed);
	store_commit(&w, on_kept, o);
}

static void
on_online_told(void *ctx)
{
	keep(ctx, MOTD);
}

static void
run_motd_set_online(struct cmd *c)
{
	struct order *o;

	if (!order_read(c, &o) || !order_texts(o))
		return;
	o->is_motd = true;
	worker_gather(tell_part, on_online_told, o);
}

static void
run_motd_update(struct cmd *c)
{
	struct order *o;

	if (order_read(c, &o) && order_texts(o))
		keep(o, MOTD);
}

static void
run_motd_delete(struct cmd *c)
{
	struct order *o;

	if (order_read(c, &o))
		keep(o, MOTD);
}

static void
run_welcome_set(struct cmd *c)
{
	struct order *o;

	if (order_read(c, &o) && order_texts(o))
		keep(o, WELCOME);
}

static void
run_welcome_delete(struct cmd *c)
{
	struct order *o;

	if (order_read(c, &o))
		keep(o, WELCOME);
}

static void
run_motd_get(struct cmd *c)
{
	const struct notice *n;
	struct order *o;

	if (!order_read(c, &o))
		return;
	n = &((struct state *)mod_state(cmd_mod(c, o->host->jid.domain)))
		 ->notice[MOTD];
	cmd_result(c, json_pack("{s:s%, s:s%}", "subject",
			  n->subject.n > 0 ? n->subject.p : "", n->subject.n,
			  "body", n->body.n > 0 ? n->body.p : "", n->body.n));
}

#define TEXTS \
	{ \
		{ .name = "host", .type = "string" }, \
		    { .name = "subject", .type = "string" }, \
		{ \
			.name = "body", .type = "string" \
		} \
	}
#define HOST_ONLY \
	{ \
		{ \
			.name = "host", .type = "string" \
		} \
	}
#define ROW(name_, help_, args_, run_) \
	{ \
		.name = (name_), .tag = "announce", .help = (help_), \
		.args = args_, .result_name = "res", .result = "rescode", \
		.run = (run_) \
	}
#define LIST(...) __VA_ARGS__

static const struct command commands[] = {
	ROW("announce_send_online", "Send an announcement to online users",
	    LIST(TEXTS), run_send_online),
	ROW("announce_send_all", "Send an announcement to all users",
	    LIST(TEXTS), run_send_all),
	ROW("announce_motd_set_online",
	    "Set the message of the day, and send it to online users",
	    LIST(TEXTS), run_motd_set_online),
	ROW("announce_motd_update", "Set the message of the day", LIST(TEXTS),
	    run_motd_update),
	ROW("announce_motd_delete", "Delete the message of the day",
	    LIST(HOST_ONLY), run_motd_delete),
	{
	    .name = "announce_motd_get",
	    .tag = "announce",
	    .help = "Get the message of the day",
	    .args = HOST_ONLY,
	    .result_name = "motd",
	    .result = "{subject:string, body:string}",
	    .run = run_motd_get,
	},
	ROW("announce_welcome_set", "Set what new accounts are told",
	    LIST(TEXTS), run_welcome_set),
	ROW("announce_welcome_delete", "Tell new accounts nothing",
	    LIST(HOST_ONLY), run_welcome_delete),
	COMMANDS_END,
};

static const struct hook hooks[] = {
	{ HOOK_SESSION_AVAILABLE, LATE, .session = on_available },
	{ HOOK_ACCOUNT_CREATED, LATE, .account = on_created },
	HOOKS_END,
};

MODULE(announce) = {
	.summary = "announcements, a message of the day, a welcome",
	.state_size = sizeof(struct state),
	.hooks = hooks,
	.commands = commands,
	.start = announce_start,
	.stop = announce_stop,
};
