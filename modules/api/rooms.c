/* SPDX-License-Identifier: MIT */
/* Rooms, by the commands that the room service has. */
#include "modules/api/api.h"

static const struct jid *
room(const struct call *c)
{
	return &call_arg(c, "room_id")->jid;
}

/* How a command's refusal is told. */
static void
refuse(struct call *c, unsigned status, const char *text)
{
	if (status == 404)
		call_problem(c, 404, "no-such-room", "There is no such room.");
	else if (status == 501)
		call_problem(c, 404, "no-rooms", "This host has no rooms.");
	else if (status == 400 || status == 409)
		call_problem(c, status == 400 ? 422 : 409, "not-done", "%s",
		    text != NULL ? text : "It could not be done.");
	else
		call_problem(c, 503, "unavailable",
		    "It could not be done. Try again later.");
}

/* Calls `command` with the room and what is added to that. */
static void
call_command(
    struct call *c, const char *command, json_t *args, cmd_answer_fn *told)
{
	json_object_set_new(args, "room", json_of(room(c)->local));
	json_object_set_new(args, "service", json_of(room(c)->domain));
	cmd_call(command, args, call_origin(c), told, c);
	json_decref(args);
}

/* Those that there are -----------------------------------------------------*/

static void
on_rooms(void *ctx, unsigned status, const json_t *value, const char *text)
{
	struct call *c = ctx;
	struct str after = call_text(c, "after"), last = STR_NONE;
	size_t limit = (size_t)call_number(c, "limit", PAGE_USUAL), i;
	json_t *list, *v;

	if (status != 200) {
		refuse(c, status, text);
		return;
	}
	list = json_array();
	json_array_foreach(value, i, v)
	{
		struct str id =
		    str_mem(json_string_value(v), json_string_length(v));

		if (!str_is_none(after) && str_cmp(id, after) <= 0)
			continue;
		if (json_array_size(list) == limit) {
			call_json(c, json_pack("{s:o, s:o}", "rooms", list,
					 "next", json_of(last)));
			return;
		}
		last = str_dup(c->arena, id);
		json_array_append_new(
		    list, json_pack("{s:o}", "room_id", json_of(id)));
	}
	call_json(c, json_pack("{s:o, s:n}", "rooms", list, "next"));
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
	    json_string_value(*(json_t *const *)b));
}

static void
on_unsorted(void *ctx, unsigned status, const json_t *value, const char *text)
{
	struct call *c = ctx;
	size_t n = json_array_size(value);
	json_t **item, *sorted;

	if (status != 200 || n == 0) {
		on_rooms(ctx, status, value, text);
		return;
	}
	item = arena_alloc(c->arena, n * sizeof(*item));
	for (size_t i = 0; i < n; i++)
		item[i] = json_array_get(value, i);
	qsort(item, n, sizeof(*item), by_name);
	sorted = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append(sorted, item[i]);
	on_rooms(ctx, status, sorted, text);
	json_decref(sorted);
}

void
run_rooms(struct call *c)
{
	struct mod *muc = mod_find(c->host, "muc");
	json_t *args;

	if (muc == NULL || mod_service(muc) == NULL) {
		refuse(c, 501, NULL);
		return;
	}
	args = json_pack("{s:o}", "service", json_of(mod_service(muc)->full));
	cmd_call("muc_online_rooms", args, call_origin(c), on_unsorted, c);
	json_decref(args);
}

/* One of them --------------------------------------------------------------*/

static const char *
option_of(const json_t *options, const char *name)
{
	const json_t *o;
	size_t i;

	json_array_foreach(options, i, o)
	{
		const char *n = json_string_value(json_object_get(o, "name"));

		if (n != NULL && strcmp(n, name) == 0)
			return json_string_value(json_object_get(o, "value"));
	}
	return "";
}

static bool
is_true(const json_t *options, const char *name)
{
	return strcmp(option_of(options, name), "true") == 0;
}

static json_t *
room_json(const struct call *c, const json_t *options)
{
	return json_pack("{s:o, s:s, s:s, s:b, s:b}", "room_id",
	    json_of(room(c)->bare), "title", option_of(options, "title"),
	    "description", option_of(options, "description"), "is_public",
	    is_true(options, "public"), "members_only",
	    is_true(options, "members_only"));
}

static void
on_options(void *ctx, unsigned status, const json_t *value, const char *text)
{
	if (status == 200)
		call_json(ctx, room_json(ctx, value));
	else
		refuse(ctx, status, text);
}

void
run_room(struct call *c)
{
	call_command(c, "get_room_options", json_object(), on_options);
}

static void
on_done(void *ctx, unsigned status, const json_t *value, const char *text)
{
	if (status == 200)
		call_empty(ctx);
	else
		refuse(ctx, status, text);
}

void
run_room_end(struct call *c)
{
	call_command(c, "destroy_room", json_object(), on_done);
}

/* A new one ----------------------------------------------------------------*/

static void
add_option(json_t *options, const char *name, struct str value)
{
	json_array_append_new(options,
	    json_pack("{s:s, s:o}", "name", name, "value", json_of(value)));
}

static void
add_bool(
    json_t *options, const struct call *c, const char *arg, const char *name)
{
	const struct arg *a = call_arg(c, arg);

	if (a->is_given)
		add_option(
		    options, name, a->number ? STR("true") : STR("false"));
}

/* "owner=romeo@localhost;member=juliet@localhost" */
static struct str
standings(const struct call *c)
{
	const struct arg *members = call_arg(c, "members");
	struct str owner = call_arg(c, "owner_user_id")->jid.bare, all;
	struct buf out = { 0 };

	buf_add_str(&out, STR("owner="));
	buf_add_str(&out, owner);
	for (size_t i = 0; i < members->count; i++) {
		if (str_eq(members->jids[i].bare, owner))
			continue;
		buf_add_str(&out, STR(";member="));
		buf_add_str(&out, members->jids[i].bare);
	}
	all = str_dup(c->arena, buf_str(&out));
	buf_fini(&out);
	return all;
}

/* A separator in a name would be another's affiliation. */
static bool
names_are_plain(const struct call *c)
{
	const struct arg *members = call_arg(c, "members");
	struct str owner = call_arg(c, "owner_user_id")->jid.bare;

	for (size_t i = 0; i < members->count; i++) {
		struct str name = members->jids[i].bare;

		if (str_find(name, ';') < name.n ||
		    str_find(name, '=') < name.n)
			return false;
	}
	return str_find(owner, ';') == owner.n &&
	       str_find(owner, '=') == owner.n;
}

static void
on_created(void *ctx, unsigned status, const json_t *value, const char *text)
{
	struct call *c = ctx;

	if (status == 200)
		call_command(c, "get_room_options", json_object(), on_options);
	else if (status == 400 && text != NULL &&
		 strcmp(text, "Room already exists") == 0)
		refuse(c, 409, text);
	else
		refuse(c, status, text);
}

static void
create(struct call *c)
{
	json_t *options = json_array();
	const struct arg *title = call_arg(c, "title");
	const struct arg *text = call_arg(c, "description");

	if (title->is_given)
		add_option(options, "title", title->text);
	if (text->is_given)
		add_option(options, "description", text->text);
	add_bool(options, c, "is_public", "public");
	add_bool(options, c, "members_only", "members_only");
	add_option(options, "affiliations", standings(c));
	call_command(c, "create_room_with_opts",
	    json_pack("{s:o, s:o}", "host", json_of(c->host->jid.full),
		"options", options),
	    on_created);
}

/* Begun before we died: is it there, and his? */
static void
on_begun(void *ctx, unsigned status, const json_t *value, const char *text)
{
	struct call *c = ctx;
	const char *aff = json_string_value(value);

	if (status == 200 && aff != NULL && strcmp(aff, "owner") == 0)
		on_created(c, 200, NULL, NULL);
	else
		create(c);
}

void
run_room_new(struct call *c)
{
	struct str owner = call_arg(c, "owner_user_id")->jid.bare;

	if (!names_are_plain(c))
		call_problem(c, 422, "not-done",
		    "Names with ';' or '=' can't be members so.");
	else if (c->is_again)
		call_command(c, "get_room_affiliation",
		    json_pack("{s:o}", "jid", json_of(owner)), on_begun);
	else
		create(c);
}

/* Members ------------------------------------------------------------------*/

static void
on_members(void *ctx, unsigned status, const json_t *value, const char *text)
{
	struct call *c = ctx;
	json_t *list, *v;
	size_t i;

	if (status != 200) {
		refuse(c, status, text);
		return;
	}
	list = json_array();
	json_array_foreach(value, i, v)
	{
		json_array_append_new(
		    list, json_pack("{s:O, s:O}", "user_id",
			      json_object_get(v, "jid"), "affiliation",
			      json_object_get(v, "affiliation")));
	}
	call_json(c, json_pack("{s:o}", "members", list));
}

void
run_members(struct call *c)
{
	call_command(c, "get_room_affiliations", json_object(), on_members);
}

static void
set_affiliation(struct call *c, struct str affiliation)
{
	const struct jid *who = &call_arg(c, "user_id")->jid;

	call_command(c, "set_room_affiliation",
	    json_pack("{s:o, s:o, s:o}", "user", json_of(who->local), "host",
		json_of(who->domain), "affiliation", json_of(affiliation)),
	    on_done);
}

void
run_member_set(struct call *c)
{
	const struct arg *a = call_arg(c, "affiliation");

	set_affiliation(c, a->is_given ? a->text : STR("member"));
}

void
run_member_end(struct call *c)
{
	set_affiliation(c, STR("none"));
}
