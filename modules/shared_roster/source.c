/* SPDX-License-Identifier: MIT */
/*
 * What others know, on the lead: the groups of a directory, asked from time to
 * time, and who has an account. A directory that can't tell changes nothing.
 */
#include "modules/shared_roster/shared_roster.h"

#define PEOPLE_MS 300
#define AGAIN_MS 5000

/* ---- the directory ----------------------------------------------------- */

struct answer {
	const struct auth_group *group;
	size_t count;
};

static bool
is_named(const struct answer *answer, struct str id)
{
	for (size_t i = 0; i < answer->count; i++)
		if (str_eq(answer->group[i].id, id))
			return true;
	return false;
}

static json_t *
members_of(struct mod *m, const struct auth_group *from)
{
	const struct shared_options *o = mod_options(m);
	struct arena *a = arena_new(0);
	json_t *members = json_object();
	struct str user;

	for (size_t i = 0; i < from->count; i++) {
		struct str name = from->member[i].name;

		if (jid_prep_local(a, from->member[i].user, &user) < 0 ||
		    user.n == 0)
			continue;
		if (json_object_size(members) >= o->members_max) {
			log_warn(mod_log(m),
			    "group " STR_FMT ": only %zu of %zu members",
			    STR_ARG(from->id), json_object_size(members),
			    from->count);
			break;
		}
		name = str_sub(name, 0, MIN(name.n, TEXT_MAX));
		json_object_set_new(members, str_dup_c(a, user),
		    str_is_utf8(name) && name.n > 0
			? json_stringn(name.p, name.n)
			: json_string(""));
	}
	arena_free(&a);
	return members;
}

static json_t *
text_json(struct str text)
{
	text = str_sub(text, 0, MIN(text.n, TEXT_MAX));
	if (text.n == 0 || !str_is_utf8(text))
		return json_string("");
	return json_stringn(text.p, text.n);
}

/* Which groups it displays is ours to say; at first, itself. */
static void
take_group(struct mod *m, struct op *op, const struct auth_group *from)
{
	const struct shared_options *o = mod_options(m);
	const struct shared *s = mod_state(m);
	const struct group *old = table_find(&s->table, from->id);
	json_t *j, *was = NULL;

	if (from->id.n == 0 || from->id.n > ID_MAX || from->id.p[0] == '@' ||
	    !str_is_utf8(from->id))
		return;
	if (old == NULL && s->table.groups.count + op->count >= o->groups_max) {
		log_warn(mod_log(m), "no room for group " STR_FMT,
		    STR_ARG(from->id));
		return;
	}
	/* One of ours keeps its name. */
	if (old != NULL && old->source.n == 0)
		return;
	if (old != NULL) {
		was = group_json(old);
		j = json_deep_copy(was);
	} else {
		j = json_object();
		json_object_set_new(j, "display", json_array());
		json_array_append_new(
		    json_object_get(j, "display"), text_json(from->id));
	}
	json_object_set_new(j, "label", text_json(from->id));
	json_object_set_new(j, "description", text_json(from->description));
	json_object_set_new(j, "source", text_json(o->source));
	json_object_set_new(j, "members", members_of(m, from));
	if (was != NULL && json_equal(was, j))
		json_decref(j);
	else
		op_change(op, from->id, j);
	json_decref(was);
}

static bool
run_take(struct mod *m, struct op *op)
{
	const struct shared *s = mod_state(m);
	const struct answer *answer = op->data;
	struct group *g;

	for (size_t i = 0; (g = map_next(&s->table.groups, &i)) != NULL;)
		if (g->source.n > 0 && !is_named(answer, g->id))
			op_change(op, g->id, NULL);
	for (size_t i = 0; i < answer->count; i++)
		take_group(m, op, &answer->group[i]);
	return op->count > 0;
}

static void
take(struct mod *m, const struct auth_group *group, size_t count)
{
	struct op *op = shared_op(mod_host(m), run_take);
	struct answer *answer = arena_new_of(op->arena, struct answer);
	struct auth_group *copy =
	    arena_alloc(op->arena, count * sizeof(*copy) + 1);

	for (size_t i = 0; i < count; i++) {
		struct auth_member *member = arena_alloc(
		    op->arena, group[i].count * sizeof(*member) + 1);

		for (size_t k = 0; k < group[i].count; k++) {
			member[k].user =
			    str_dup(op->arena, group[i].member[k].user);
			member[k].name =
			    str_dup(op->arena, group[i].member[k].name);
		}
		copy[i].id = str_dup(op->arena, group[i].id);
		copy[i].description = str_dup(op->arena, group[i].description);
		copy[i].member = member;
		copy[i].count = group[i].count;
	}
	answer->group = copy;
	answer->count = count;
	op->data = answer;
	shared_post(op);
}

static void on_refresh(struct timer *t);

static void
on_groups(struct mod *m, int err, const char *why,
    const struct auth_group *group, size_t count)
{
	const struct shared_options *o = mod_options(m);
	struct shared *s = mod_state(m);

	s->is_asking = false;
	if (s->is_stopped)
		return;
	if (err < 0 && !s->was_down)
		log_warn(mod_log(m),
		    "the groups stay as they are, as there is no answer: %s",
		    why[0] != '\0' ? why : err_text(err));
	if (err == 0 && s->was_down)
		log_notice(mod_log(m), "there is an answer about groups again");
	s->was_down = err < 0;
	if (err == 0)
		take(m, group, count);
	timer_start(&s->refresh, o->refresh_ms, on_refresh);
}

struct mod *
shared_mod(const struct shared *s)
{
	struct mod *m;

	for (size_t i = 0; i < host_count(); i++) {
		m = mod_find(host_at(i), "shared_roster");
		if (m != NULL && mod_state(m) == s)
			return m;
	}
	return NULL;
}

static void
ask(struct mod *m)
{
	const struct shared_options *o = mod_options(m);
	struct shared *s = mod_state(m);

	timer_stop(&s->refresh);
	if (s->is_asking)
		return;
	if (o->source.n == 0) {
		take(m, NULL, 0);
		return;
	}
	s->is_asking = true;
	auth_groups(m, o->source, on_groups);
}

static void
on_refresh(struct timer *t)
{
	struct mod *m = shared_mod(CONTAINER_OF(t, struct shared, refresh));

	if (m != NULL)
		ask(m);
}

void
shared_source_start(struct mod *m)
{
	struct shared *s = mod_state(m);

	/* The module that is asked may be starting, too. */
	timer_start(&s->refresh, 100, on_refresh);
}

void
shared_source_stop(struct mod *m)
{
	struct shared *s = mod_state(m);

	timer_stop(&s->refresh);
	timer_stop(&s->people);
}

/* ---- accounts ---------------------------------------------------------- */

struct people {
	struct host *host;
	struct op *op;
	json_t *members;
};

static bool
run_people(struct mod *m, struct op *op)
{
	const struct shared *s = mod_state(m);

	return s->table.all != NULL && s->table.all->count > 0;
}

static struct shared *
people_state(const struct people *p)
{
	struct mod *m = mod_find(p->host, "shared_roster");

	return m != NULL ? mod_state(m) : NULL;
}

static void
on_names(struct account_walk *w, const struct str *names, size_t count)
{
	struct people *p = account_walk_ctx(w);
	struct mod *m = mod_find(p->host, "shared_roster");
	const struct shared_options *o = m != NULL ? mod_options(m) : NULL;
	struct arena *a = arena_new(0);

	for (size_t i = 0; o != NULL && i < count &&
			   json_object_size(p->members) <= o->members_max;
	     i++)
		json_object_set_new(
		    p->members, str_dup_c(a, names[i]), json_string(""));
	arena_free(&a);
	account_walk_next(w);
}

static void
drop_people(struct people *p)
{
	struct arena *a = p->op->arena;

	json_decref(p->members);
	arena_free(&a);
}

static void
on_walked(void *ctx, int err)
{
	struct people *p = ctx;
	struct mod *m = mod_find(p->host, "shared_roster");
	struct shared *s = people_state(p);
	const struct shared_options *o = m != NULL ? mod_options(m) : NULL;
	bool is_over;

	if (s != NULL)
		s->is_counting = false;
	if (s == NULL || s->is_stopped) {
		drop_people(p);
		return;
	}
	if (err < 0) {
		drop_people(p);
		shared_people_again(m);
		return;
	}
	is_over = json_object_size(p->members) > o->members_max;
	if (is_over && !s->was_over)
		log_warn(mod_log(m),
		    "'members' is less than there are accounts: all who are "
		    "in groups of all stay as they are");
	s->was_over = is_over;
	if (is_over && s->table.everyone != NULL) {
		drop_people(p);
		return;
	}
	/* The first list, of too many: nobody was given any yet. */
	if (is_over)
		json_object_clear(p->members);
	op_change(
	    p->op, STR(EVERYONE), json_pack("{s:o}", "members", p->members));
	shared_post(p->op);
}

static void
on_people(struct timer *t)
{
	static const struct account_visitor visitor = { .page = on_names,
		.end = on_walked };
	struct shared *s = CONTAINER_OF(t, struct shared, people);
	struct mod *m = shared_mod(s);
	struct people *p;
	struct op *op;

	if (m == NULL)
		return;
	if (s->is_counting) {
		timer_start(t, PEOPLE_MS, on_people);
		return;
	}
	s->is_counting = true;
	op = shared_op(mod_host(m), run_people);
	p = arena_new_of(op->arena, struct people);
	p->op = op;
	p->host = mod_host(m);
	p->members = json_object();
	account_walk(p->host, &visitor, p);
}

static void
people_in(struct mod *m, uint64_t ms)
{
	struct shared *s = mod_state(m);

	if (!timer_is_running(&s->people))
		timer_start(&s->people, ms, on_people);
}

void
shared_people_soon(struct mod *m)
{
	people_in(m, PEOPLE_MS);
}

void
shared_people_again(struct mod *m)
{
	people_in(m, AGAIN_MS);
}
