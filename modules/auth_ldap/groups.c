/* SPDX-License-Identifier: MIT */
/*
 * The directory's groups. Users are read first, page by page: so their names
 * are known, and whoever is a member but no such user is left out. What can't
 * be read to its end is no answer at all.
 */
#include "modules/auth_ldap/auth_ldap.h"

#include <ctype.h>

#define PAGE 500
#define USERS_MAX 100000
#define GROUPS_MAX 10000
#define MEMBERS_MAX 100000 /* of one group */

struct reading {
	struct auth_ask *ask;
	const struct directory *o;
	struct arena *arena;
	LDAP *ld;
	struct map by_dn, by_user; /* struct auth_member */
	struct auth_group *group;
	size_t user_count, group_count, group_room;
};

/* ---- entries ----------------------------------------------------------- */

static char *
text_new(struct arena *a, struct str text)
{
	char *p = arena_bytes(a, text.n + 1);

	if (text.n > 0)
		memcpy(p, text.p, text.n);
	p[text.n] = '\0';
	return p;
}

/* The same for all ways to write one name. */
static struct str
dn_key(struct arena *a, const char *text)
{
	LDAPDN dn = NULL;
	char *plain = NULL, *key;
	struct str s = STR_NONE;

	if (ldap_str2dn(text, &dn, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS)
		return s;
	if (ldap_dn2str(dn, &plain, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS &&
	    plain != NULL) {
		key = text_new(a, str_c(plain));
		for (char *p = key; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		s = str_c(key);
	}
	ldap_memfree(plain);
	ldap_dnfree(dn);
	return s;
}

/* The first value, or none. */
static struct str
value_of(struct reading *r, LDAPMessage *entry, struct str attribute)
{
	struct berval **v = ldap_get_values_len(r->ld, entry, attribute.p);
	struct str s = STR_NONE;

	if (v != NULL && v[0] != NULL)
		s = str_dup(r->arena, str_mem(v[0]->bv_val, v[0]->bv_len));
	ldap_value_free_len(v);
	return s;
}

static int
take_user(struct reading *r, LDAPMessage *entry)
{
	struct auth_member *m = arena_new_of(r->arena, struct auth_member);
	char *dn = ldap_get_dn(r->ld, entry);
	struct str key;

	if (++r->user_count > USERS_MAX) {
		ldap_memfree(dn);
		return ERR_LIMIT;
	}
	m->user = value_of(r, entry, r->o->user_attribute);
	for (size_t i = 0;
	     i < r->o->name_attributes.count && str_is_empty(m->name); i++)
		m->name = value_of(r, entry, r->o->name_attributes.item[i]);
	key = dn != NULL ? dn_key(r->arena, dn) : STR_NONE;
	ldap_memfree(dn);
	if (m->user.n == 0 || key.n == 0)
		return 0;
	map_set(&r->by_dn, key, m);
	map_set(&r->by_user, m->user, m);
	return 0;
}

/* A name of an entry, perhaps with "#'0101'B" behind it, or a user. */
static const struct auth_member *
member_of(struct reading *r, const struct berval *v)
{
	struct str text = str_mem(v->bv_val, v->bv_len);
	const struct auth_member *m = map_get(&r->by_user, text);
	struct str key;

	if (m != NULL)
		return m;
	if (str_has_suffix(text, STR("'B")) && str_find(text, '#') < text.n)
		text = str_sub(text, 0, str_find(text, '#'));
	key = dn_key(r->arena, str_dup_c(r->arena, text));
	return key.n > 0 ? map_get(&r->by_dn, key) : NULL;
}

static int
take_members(struct reading *r, LDAPMessage *entry, struct auth_group *g)
{
	const struct str_list *all = &r->o->member_attributes;
	struct auth_member *member;
	const struct auth_member *m;
	struct berval **v;
	size_t room = 0;

	for (size_t i = 0; i < all->count; i++) {
		v = ldap_get_values_len(r->ld, entry, all->item[i].p);
		room += v != NULL ? (size_t)ldap_count_values_len(v) : 0;
		ldap_value_free_len(v);
	}
	if (room > MEMBERS_MAX)
		return ERR_LIMIT;
	member = arena_alloc(r->arena, (room + 1) * sizeof(*member));
	for (size_t i = 0; i < all->count; i++) {
		v = ldap_get_values_len(r->ld, entry, all->item[i].p);
		for (size_t k = 0; v != NULL && v[k] != NULL; k++) {
			m = member_of(r, v[k]);
			if (m != NULL && g->count < room)
				member[g->count++] = *m;
		}
		ldap_value_free_len(v);
	}
	g->member = member;
	return 0;
}

static int
take_group(struct reading *r, LDAPMessage *entry)
{
	struct auth_group *g, *grown;

	if (r->group_count == GROUPS_MAX)
		return ERR_LIMIT;
	if (r->group_count == r->group_room) {
		r->group_room = MAX(2 * r->group_room, 16);
		grown = arena_alloc(r->arena, r->group_room * sizeof(*grown));
		for (size_t i = 0; i < r->group_count; i++)
			grown[i] = r->group[i];
		r->group = grown;
	}
	g = &r->group[r->group_count];
	*g = (struct auth_group){ 0 };
	g->id = value_of(r, entry, r->o->group_attribute);
	g->description = value_of(r, entry, STR("description"));
	if (g->id.n == 0)
		return 0;
	r->group_count++;
	return take_members(r, entry, g);
}

/* ---- searches ---------------------------------------------------------- */

struct search {
	struct str base, filter;
	char **attrs;
	int (*take)(struct reading *r, LDAPMessage *entry);
};

/* The next page; `*cookie` is empty after the last. */
static int
page(struct reading *r, const struct search *s, struct berval *cookie)
{
	LDAPControl *ask[2] = { NULL, NULL }, **got = NULL, *last;
	LDAPMessage *found = NULL, *entry;
	int code, err = 0, about = 0;
	ber_int_t estimate;

	code = ldap_create_page_control(
	    r->ld, PAGE, cookie->bv_len > 0 ? cookie : NULL, 0, &ask[0]);
	if (code != LDAP_SUCCESS)
		return ldap_down(r->ask, "searching", code);
	code = ldap_search_ext_s(r->ld, s->base.p, LDAP_SCOPE_SUBTREE,
	    s->filter.p, s->attrs, 0, ask, NULL, NULL, 0, &found);
	ldap_control_free(ask[0]);
	ldap_memfree(cookie->bv_val);
	*cookie = (struct berval){ 0 };
	if (code == LDAP_SUCCESS)
		code = ldap_parse_result(
		    r->ld, found, &about, NULL, NULL, NULL, &got, 0);
	last = got != NULL
		   ? ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, got, NULL)
		   : NULL;
	if (code == LDAP_SUCCESS && last != NULL)
		code = ldap_parse_pageresponse_control(
		    r->ld, last, &estimate, cookie);
	ldap_controls_free(got);
	for (entry = code == LDAP_SUCCESS ? ldap_first_entry(r->ld, found)
					  : NULL;
	     entry != NULL && err == 0; entry = ldap_next_entry(r->ld, entry))
		err = s->take(r, entry);
	ldap_msgfree(found);
	if (code != LDAP_SUCCESS)
		return ldap_down(r->ask, "searching for groups", code);
	if (err == ERR_LIMIT)
		snprintf(r->ask->why, sizeof(r->ask->why),
		    "the directory: there are too many users, groups or "
		    "members");
	return err;
}

static int
all_pages(struct reading *r, const struct search *s)
{
	struct berval cookie = { 0 };
	int err;

	do {
		err = page(r, s, &cookie);
	} while (err == 0 && cookie.bv_len > 0);
	ldap_memfree(cookie.bv_val);
	return err;
}

/* The names for a search; ended by NULL. */
static char **
attributes(struct reading *r, struct str first, const struct str_list *more,
    struct str last)
{
	char **list = arena_alloc(r->arena, (more->count + 3) * sizeof(char *));
	size_t n = 0;

	list[n++] = text_new(r->arena, first);
	for (size_t i = 0; i < more->count; i++)
		list[n++] = text_new(r->arena, more->item[i]);
	if (last.n > 0)
		list[n++] = text_new(r->arena, last);
	list[n] = NULL;
	return list;
}

static int
read_all(struct reading *r)
{
	const struct directory *o = r->o;
	struct search users = { o->base, o->users_filter,
		attributes(r, o->user_attribute, &o->name_attributes, STR_NONE),
		take_user };
	struct search groups = { o->groups_base, o->groups_filter,
		attributes(r, o->group_attribute, &o->member_attributes,
		    STR("description")),
		take_group };
	int err = link_get(r->ask, &r->ld);

	r->user_count = r->group_count = 0;
	if (err == 0)
		err = all_pages(r, &users);
	if (err == 0)
		err = all_pages(r, &groups);
	map_fini(&r->by_dn);
	map_fini(&r->by_user);
	r->by_dn = r->by_user = (struct map){ 0 };
	return err;
}

int
ldap_groups(struct auth_ask *ask)
{
	const struct directory *o = ask->options;
	struct reading r = { .ask = ask, .o = o, .arena = ask->arena };
	bool was_kept = ask->state != NULL;
	int err;

	if (o->url.n == 0 || o->base.n == 0 || o->groups_base.n == 0)
		return ldap_down(
		    ask, "'url', 'base' and 'groups_base'", LDAP_PARAM_ERROR);
	err = read_all(&r);
	/* A directory closes connections that idle. */
	if (err == ERR_CLOSED) {
		link_drop(ask);
		if (was_kept)
			err = read_all(&r);
		if (err == ERR_CLOSED)
			link_drop(ask);
	}
	if (err < 0)
		return err;
	ask->why[0] = '\0';
	ask->group = r.group;
	ask->group_count = r.group_count;
	return 0;
}
