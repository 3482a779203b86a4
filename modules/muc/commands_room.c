/* SPDX-License-Identifier: MIT */
/* ejabberd's commands about one room; they run at its home. */
#include "modules/muc/commands.h"

struct host *
cmd_service_host(struct cmd *c, struct str service)
{
	for (size_t i = 0; i < host_count(); i++) {
		struct host *h = host_at(i);
		struct mod *m = cmd_mod(c, h->jid.full);

		if (m != NULL && mod_service(m) != NULL &&
		    str_eq(mod_service(m)->full, service))
			return h;
	}
	cmd_fail(c, CMD_NOT_FOUND, 0, "There is no such room service");
	return NULL;
}

/* ---- on the way to the room -------------------------------------------- */

struct trip {
	struct cmd *c;
	struct host *host;
	struct jid room;
	bool needs_room;
	void (*fn)(struct cmd *c, struct room *r);
};

static void
on_room(void *ctx, struct room *r)
{
	struct trip *t = ctx;

	if (r == NULL)
		cmd_fail(t->c, CMD_FAILED, 0, "The room could not be loaded");
	else if (t->needs_room && !r->is_there)
		cmd_fail(t->c, CMD_NOT_FOUND, 0, "The room does not exist");
	else
		t->fn(t->c, r);
}

static void
at_home(void *msg)
{
	struct trip *t = msg;
	struct mod *m = mod_find(t->host, "muc");

	if (m == NULL)
		cmd_fail(t->c, CMD_FAILED, 0, "There are no rooms any more");
	else
		room_call(m, &t->room, on_room, t);
}

static void
start_trip(
    struct cmd *c, bool needs_room, void (*fn)(struct cmd *c, struct room *r))
{
	struct arena *a = cmd_arena(c);
	struct trip *t = arena_new_of(a, struct trip);
	struct str local, service;

	if (jid_prep_domain(a, cmd_str(c, "service"), &service) < 0 ||
	    jid_prep_local(a, cmd_str(c, "room"), &local) < 0 || local.n == 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid 'room' or 'service'");
		return;
	}
	t->host = cmd_service_host(c, service);
	if (t->host == NULL)
		return;
	t->c = c;
	t->fn = fn;
	t->needs_room = needs_room;
	t->room = jid_make(a, local, service, STR_NONE);
	loop_post(account_home(t->room.bare), at_home, t);
}

void
cmd_at_room(struct cmd *c, void (*fn)(struct cmd *c, struct room *r))
{
	start_trip(c, true, fn);
}

void
cmd_at_any_room(struct cmd *c, void (*fn)(struct cmd *c, struct room *r))
{
	start_trip(c, false, fn);
}

/* ---- coming and going -------------------------------------------------- */

/* "owner=jid;member=jid", as ejabberd writes it. */
static bool
set_affiliations(struct room *r, struct arena *a, struct str text)
{
	struct str rest = text;

	while (!str_is_none(rest)) {
		struct str one = str_cut(&rest, ';');
		struct str name = str_trim(str_cut(&one, '='));
		struct jid jid;
		enum aff aff;

		if (name.n == 0)
			continue;
		if (!aff_parse(name, &aff) || str_is_none(one) ||
		    jid_parse(a, str_trim(one), &jid) < 0)
			return false;
		aff_set(r, jid.bare, aff, STR_NONE, STR_NONE);
	}
	return true;
}

static bool
set_option(struct room *r, struct config *conf, struct arena *a,
    struct str name, struct str value)
{
	if (str_is(name, "affiliations"))
		return set_affiliations(r, a, value);
	if (str_is(name, "subscribers"))
		return value.n == 0;
	return config_set(conf, name, value);
}

/* An empty room that is not persistent would be gone at once. */
static void
create(struct cmd *c, struct room *r, const json_t *options)
{
	struct arena *a = cmd_arena(c);
	struct store_write *w;
	const json_t *o;
	size_t i;

	if (r->is_there) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Room already exists");
		return;
	}
	r->config.is_persistent = true;
	room_create(r, NULL);
	json_array_foreach(options, i, o)
	{
		struct str name =
		    str_c(json_string_value(json_object_get(o, "name")));
		struct str value =
		    str_c(json_string_value(json_object_get(o, "value")));

		if (set_option(r, &r->config, a, name, value))
			continue;
		room_erase(r, NULL, NULL);
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid option: " STR_FMT,
		    STR_ARG(name));
		return;
	}
	r->config.is_persistent = true;
	w = store_write_new(r->jid.full);
	save_all(r, w);
	store_commit(&w, cmd_on_done, c);
}

static void
on_create(struct cmd *c, struct room *r)
{
	create(c, r, NULL);
}

static void
on_create_with_opts(struct cmd *c, struct room *r)
{
	create(c, r, cmd_json(c, "options"));
}

void
run_create_room(struct cmd *c)
{
	if (cmd_host(c, "host") != NULL)
		cmd_at_any_room(c, on_create);
}

void
run_create_room_with_opts(struct cmd *c)
{
	if (cmd_host(c, "host") != NULL)
		cmd_at_any_room(c, on_create_with_opts);
}

static void
on_destroy(struct cmd *c, struct room *r)
{
	struct arena *a = cmd_arena(c);
	struct elem *e = elem_new(a, EL_MUC_USER_DESTROY);

	subs_tell_end(r, e);
	room_destroy(r, e, cmd_on_done, c);
}

void
run_destroy_room(struct cmd *c)
{
	cmd_at_room(c, on_destroy);
}

/* ---- options ----------------------------------------------------------- */

static void
on_change_option(struct cmd *c, struct room *r)
{
	struct store_write *w = NULL;
	struct config conf;

	config_copy(&conf, &r->config);
	if (!config_set(&conf, cmd_str(c, "option"), cmd_str(c, "value"))) {
		config_fini(&conf);
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid option or value");
		return;
	}
	if (conf.is_persistent || r->is_stored)
		w = store_write_new(r->jid.full);
	room_configure(r, &conf, w);
	if (w != NULL)
		store_commit(&w, cmd_on_done, c);
	else
		cmd_ok(c, NULL);
}

void
run_change_room_option(struct cmd *c)
{
	cmd_at_room(c, on_change_option);
}

static void
on_get_options(struct cmd *c, struct room *r)
{
	cmd_result(c, config_json(cmd_arena(c), &r->config));
}

void
run_get_room_options(struct cmd *c)
{
	cmd_at_room(c, on_get_options);
}

/* ---- affiliations ------------------------------------------------------ */

static void
on_get_affiliation(struct cmd *c, struct room *r)
{
	struct jid jid;

	if (jid_parse(cmd_arena(c), cmd_str(c, "jid"), &jid) < 0)
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid JID");
	else
		cmd_result(c, json_string(aff_names[aff_of(r, &jid)]));
}

void
run_get_room_affiliation(struct cmd *c)
{
	cmd_at_room(c, on_get_affiliation);
}

static json_t *
json_str(struct str s)
{
	return json_stringn(s.p != NULL ? s.p : "", s.n);
}

static void
on_get_affiliations(struct cmd *c, struct room *r)
{
	json_t *list = json_array();
	const struct affiliation *a;

	for (size_t i = 0; (a = map_next(&r->affs, &i)) != NULL;)
		json_array_append_new(
		    list, json_pack("{s:o, s:s, s:o}", "jid", json_str(a->jid),
			      "affiliation", aff_names[a->aff], "reason",
			      json_str(a->reason)));
	cmd_result(c, list);
}

void
run_get_room_affiliations(struct cmd *c)
{
	cmd_at_room(c, on_get_affiliations);
}

static void
on_set_affiliation(struct cmd *c, struct room *r)
{
	struct change change = { 0 };
	struct arena *a = cmd_arena(c);
	struct store_write *w;
	struct str user, host;

	if (!aff_parse(cmd_str(c, "affiliation"), &change.aff) ||
	    jid_prep_local(a, cmd_str(c, "user"), &user) < 0 ||
	    jid_prep_domain(a, cmd_str(c, "host"), &host) < 0) {
		cmd_fail(c, CMD_BAD_ARG, 0, "Invalid user or affiliation");
		return;
	}
	change.jid = jid_make(a, user, host, STR_NONE);
	w = room_write(r);
	aff_change(r, &change, w);
	if (w != NULL)
		store_commit(&w, cmd_on_done, c);
	else
		cmd_ok(c, NULL);
}

void
run_set_room_affiliation(struct cmd *c)
{
	cmd_at_room(c, on_set_affiliation);
}

/* ---- occupants --------------------------------------------------------- */

static void
on_get_occupants(struct cmd *c, struct room *r)
{
	json_t *list = json_array();
	const struct occupant *o;

	LIST_EACH(o, &r->occupants, struct occupant, node)
	json_array_append_new(
	    list, json_pack("{s:o, s:o, s:s}", "jid", json_str(o->jid), "nick",
		      json_str(o->nick), "role", role_names[o->role]));
	cmd_result(c, list);
}

void
run_get_room_occupants(struct cmd *c)
{
	cmd_at_room(c, on_get_occupants);
}

static void
on_get_occupants_number(struct cmd *c, struct room *r)
{
	cmd_result(c, json_integer((json_int_t)room_size(r)));
}

void
run_get_room_occupants_number(struct cmd *c)
{
	cmd_at_room(c, on_get_occupants_number);
}

/* ---- what was said ----------------------------------------------------- */

static void
add_said(json_t *list, struct arena *a, struct str id, struct str xml)
{
	int64_t when = 0;

	uuid7_time(id, &when);
	json_array_append_new(list, json_pack("{s:o, s:o}", "timestamp",
					json_str(clock_format(a, when, true)),
					"message", json_str(xml)));
}

static void
on_said(void *ctx, int err, const struct archive_page *page)
{
	struct cmd *c = ctx;
	json_t *list;

	if (err < 0) {
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(err));
		return;
	}
	list = json_array();
	for (size_t i = 0; i < page->count; i++)
		add_said(
		    list, cmd_arena(c), page->items[i].id, page->items[i].xml);
	cmd_result(c, list);
}

static void
on_get_history(struct cmd *c, struct room *r)
{
	struct archive_filter filter = { .is_backwards = true,
		.limit = (size_t)r->config.history };
	const struct past *p;
	json_t *list;

	if (r->config.is_archived && filter.limit > 0) {
		archive_find(r->jid.full, &filter, on_said, c);
		return;
	}
	list = json_array();
	LIST_EACH(p, &r->past, struct past, node)
	add_said(list, cmd_arena(c), p->id, p->xml);
	cmd_result(c, list);
}

void
run_get_room_history(struct cmd *c)
{
	cmd_at_room(c, on_get_history);
}

/* ---- invitations ------------------------------------------------------- */

static void
invite(struct room *r, struct str password, struct str reason,
    const struct jid *to)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct elem *x = elem_add(st->root, EL_CONFERENCE);

	stanza_set_from(st, &r->jid);
	stanza_set_to(st, to);
	elem_set_copy(x, AT_JID, r->jid.full);
	if (password.n > 0 && !str_is(password, "none"))
		elem_set_copy(x, AT_PASSWORD, password);
	if (reason.n > 0 && !str_is(reason, "none"))
		elem_set_copy(x, AT_REASON, reason);
	router_send(st);
}

static void
on_invite(struct cmd *c, struct room *r)
{
	const json_t *user, *users = cmd_json(c, "users");
	size_t i;

	json_array_foreach(users, i, user)
	{
		struct jid jid;

		if (jid_parse(cmd_arena(c), str_c(json_string_value(user)),
			&jid) < 0) {
			cmd_fail(c, CMD_BAD_ARG, 0, "Invalid JID: %s",
			    json_string_value(user));
			return;
		}
		invite(r, cmd_str(c, "password"), cmd_str(c, "reason"), &jid);
	}
	cmd_ok(c, NULL);
}

void
run_send_direct_invitation(struct cmd *c)
{
	cmd_at_room(c, on_invite);
}
