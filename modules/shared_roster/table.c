/* SPDX-License-Identifier: MIT */
/* Groups in memory, and what they give to whom. */
#include "modules/shared_roster/shared_roster.h"

/* ---- groups ------------------------------------------------------------ */

static struct str
text_of(struct arena *a, const json_t *j, const char *key)
{
	const json_t *text = json_object_get(j, key);

	if (!json_is_string(text))
		return STR_NONE;
	return str_dup(
	    a, str_mem(json_string_value(text), json_string_length(text)));
}

static void
read_display(struct group *g, const json_t *list)
{
	size_t n = json_array_size(list);
	struct str *id = arena_alloc(g->arena, n * sizeof(*id) + 1);

	for (size_t i = 0; i < n; i++)
		id[i] = str_dup(g->arena,
		    str_c(json_string_value(json_array_get(list, i))));
	g->display = id;
	g->display_count = n;
}

static void
read_members(struct group *g, json_t *members)
{
	size_t n = json_object_size(members), i = 0;
	struct member *m = arena_alloc(g->arena, n * sizeof(*m) + 1);
	const char *user;
	json_t *name;

	json_object_foreach(members, user, name)
	{
		m[i].user = str_dup(g->arena, str_c(user));
		m[i].name = str_dup(g->arena, str_c(json_string_value(name)));
		i++;
	}
	g->member = m;
	g->member_count = n;
}

static struct group *
group_new(struct str id, struct str text)
{
	json_t *j = json_loadb(text.p, text.n, 0, NULL);
	struct arena *a;
	struct group *g;

	if (!json_is_object(j)) {
		json_decref(j);
		return NULL;
	}
	a = arena_new(0);
	g = arena_new_of(a, struct group);
	g->arena = a;
	g->id = str_dup(a, id);
	g->label = text_of(a, j, "label");
	g->description = text_of(a, j, "description");
	g->source = text_of(a, j, "source");
	g->has_all = json_is_true(json_object_get(j, "all"));
	read_display(g, json_object_get(j, "display"));
	read_members(g, json_object_get(j, "members"));
	json_decref(j);
	return g;
}

static json_t *
text_json(struct str text)
{
	return json_stringn(text.n > 0 ? text.p : "", text.n);
}

json_t *
group_json(const struct group *g)
{
	json_t *j = json_object(), *display = json_array(),
	       *members = json_object();

	for (size_t i = 0; i < g->display_count; i++)
		json_array_append_new(display, text_json(g->display[i]));
	for (size_t i = 0; i < g->member_count; i++)
		json_object_set_new(
		    members, g->member[i].user.p, text_json(g->member[i].name));
	json_object_set_new(j, "label", text_json(g->label));
	json_object_set_new(j, "description", text_json(g->description));
	if (g->source.n > 0)
		json_object_set_new(j, "source", text_json(g->source));
	if (g->has_all)
		json_object_set_new(j, "all", json_true());
	json_object_set_new(j, "display", display);
	json_object_set_new(j, "members", members);
	return j;
}

static void
group_free(struct group *g)
{
	struct arena *a;

	if (g == NULL)
		return;
	a = g->arena;
	arena_free(&a);
}

struct group *
table_find(const struct table *t, struct str id)
{
	return map_get(&t->groups, id);
}

static void
index_drop(struct table *t)
{
	map_fini(&t->by_user);
	map_fini(&t->shown_by);
	t->by_user = t->shown_by = (struct map){ 0 };
	arena_free(&t->index);
	t->all = NULL;
}

void
table_set(struct table *t, struct str id, struct str text)
{
	struct group *g = str_is_none(text) ? NULL : group_new(id, text), *old;

	index_drop(t);
	if (str_is(id, EVERYONE)) {
		old = t->everyone;
		t->everyone = g;
	} else if (g != NULL) {
		old = map_set(&t->groups, g->id, g);
	} else {
		old = map_del(&t->groups, id);
	}
	group_free(old);
}

void
table_free(struct table *t)
{
	struct group *g;

	index_drop(t);
	for (size_t i = 0; (g = map_next(&t->groups, &i)) != NULL;)
		group_free(g);
	map_fini(&t->groups);
	group_free(t->everyone);
	*t = (struct table){ 0 };
}

/* ---- the index --------------------------------------------------------- */

static void
link_add(struct arena *a, struct links *l, struct group *g)
{
	struct group **grown;

	/* Powers of two are full. */
	if ((l->count & (l->count - 1)) == 0) {
		grown = arena_alloc(
		    a, MAX(2 * l->count, 1) * sizeof(struct group *));
		for (size_t i = 0; i < l->count; i++)
			grown[i] = l->group[i];
		l->group = grown;
	}
	l->group[l->count++] = g;
}

static void
link_to(struct arena *a, struct map *map, struct str key, struct group *g)
{
	struct links *l = map_get(map, key);

	if (l == NULL) {
		l = arena_new_of(a, struct links);
		map_set(map, key, l);
	}
	link_add(a, l, g);
}

void
table_index(struct table *t)
{
	struct arena *a;
	struct group *g;

	index_drop(t);
	a = t->index = arena_new(0);
	t->all = arena_new_of(a, struct links);
	for (size_t i = 0; (g = map_next(&t->groups, &i)) != NULL;) {
		if (g->has_all)
			link_add(a, t->all, g);
		for (size_t k = 0; k < g->member_count; k++)
			link_to(a, &t->by_user, g->member[k].user, g);
		for (size_t k = 0; k < g->display_count; k++)
			link_to(a, &t->shown_by, g->display[k], g);
	}
	/* It isn't kept up to date while no group wants it. */
	if (t->all->count == 0) {
		group_free(t->everyone);
		t->everyone = NULL;
	}
}

bool
table_is_whole(const struct table *t)
{
	return t->all != NULL && (t->all->count == 0 || t->everyone != NULL);
}

/* ---- what they give ---------------------------------------------------- */

struct giving {
	const struct table *table;
	struct arena *arena;
	const struct host *host;
	struct str user;
	struct map grants;
};

/* Sorted, so that the same groups always make the same list. */
static void
add_label(struct giving *v, struct roster_grant *grant, struct str label)
{
	size_t n = grant->groups.count, at = 0;
	const struct str *old = grant->groups.item;
	struct str *item;

	while (at < n && str_cmp(old[at], label) < 0)
		at++;
	if (n >= ROSTER_GRANT_GROUPS_MAX || (at < n && str_eq(old[at], label)))
		return;
	item = arena_alloc(v->arena, (n + 1) * sizeof(*item));
	for (size_t i = 0; i < n; i++)
		item[i + (i >= at)] = old[i];
	item[at] = label;
	grant->groups = (struct str_list){ item, n + 1 };
}

static void
give(struct giving *v, const struct member *m, enum roster_sub half,
    struct str label)
{
	struct roster_grant *grant;
	struct jid jid;

	if (str_eq(m->user, v->user))
		return;
	jid = jid_make(v->arena, m->user, v->host->jid.domain, STR_NONE);
	grant = map_get(&v->grants, jid.full);
	if (grant == NULL) {
		grant = arena_new_of(v->arena, struct roster_grant);
		grant->jid = jid;
		map_set(&v->grants, grant->jid.full, grant);
	}
	grant->sub = (enum roster_sub)(grant->sub | half);
	if (half != ROSTER_TO)
		return;
	if (str_is_empty(grant->name) && m->name.n > 0)
		grant->name = m->name;
	add_label(v, grant, label);
}

static void
give_all(struct giving *v, const struct group *of, enum roster_sub half)
{
	struct str label = of->label.n > 0 ? of->label : of->id;
	const struct group *all = of->has_all ? v->table->everyone : NULL;

	for (size_t i = 0; i < of->member_count; i++)
		give(v, &of->member[i], half, label);
	for (size_t i = 0; all != NULL && i < all->member_count; i++)
		give(v, &all->member[i], half, label);
}

/* He sees whom his group displays, and is seen where it is displayed. */
static void
give_by(struct giving *v, const struct group *g)
{
	const struct links *by = map_get(&v->table->shown_by, g->id);
	const struct group *shown;

	for (size_t i = 0; i < g->display_count; i++) {
		shown = table_find(v->table, g->display[i]);
		if (shown != NULL)
			give_all(v, shown, ROSTER_TO);
	}
	for (size_t i = 0; by != NULL && i < by->count; i++)
		give_all(v, by->group[i], ROSTER_FROM);
}

struct map
table_grants(const struct table *t, struct arena *a, const struct host *host,
    struct str user)
{
	struct giving v = { t, a, host, user, { 0 } };
	const struct links *mine = map_get(&t->by_user, user);

	for (size_t i = 0; mine != NULL && i < mine->count; i++)
		give_by(&v, mine->group[i]);
	for (size_t i = 0; t->all != NULL && i < t->all->count; i++)
		give_by(&v, t->all->group[i]);
	return v.grants;
}
