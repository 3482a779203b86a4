/* SPDX-License-Identifier: MIT */
/* Arguments, from path, query and body, against the rows of the route. */
#include "modules/api/api.h"

#include <stdio.h>

/* By name ------------------------------------------------------------------*/

static size_t
place_of(const struct route *r, struct str name)
{
	size_t i;

	for (i = 0; i < PARAMS_MAX && r->params[i].name != NULL; i++)
		if (str_is(name, r->params[i].name))
			return i;
	return PARAMS_MAX;
}

const struct arg *
call_arg(const struct call *c, const char *name)
{
	size_t i = place_of(c->route, str_c(name));

	must(i < PARAMS_MAX);
	return &c->arg[i];
}

struct str
call_text(const struct call *c, const char *name)
{
	return call_arg(c, name)->text;
}

int64_t
call_number(const struct call *c, const char *name, int64_t by_default)
{
	const struct arg *a = call_arg(c, name);

	return a->is_given ? a->number : by_default;
}

const char *
call_origin(const struct call *c)
{
	return arena_printf(c->arena, "api token " STR_FMT, STR_ARG(c->app));
}

/* Values -------------------------------------------------------------------*/

/* "romeo" is of the host; "romeo@example.org" is what it says. */
static bool
read_user(const struct call *c, struct str text, struct jid *jid_r)
{
	struct str local;

	if (str_find(text, '@') < text.n)
		return jid_parse(c->arena, text, jid_r) == 0 &&
		       jid_is_bare(jid_r) && !str_is_none(jid_r->local);
	if (jid_prep_local(c->arena, text, &local) < 0 || local.n == 0)
		return false;
	*jid_r = jid_make(c->arena, local, c->host->jid.domain, STR_NONE);
	return true;
}

static const struct jid *
room_service(const struct call *c)
{
	struct mod *muc = mod_find(c->host, "muc");

	return muc != NULL ? mod_service(muc) : NULL;
}

static bool
read_room(const struct call *c, struct str text, struct jid *jid_r)
{
	const struct jid *service = room_service(c);
	struct str local;

	if (service == NULL)
		return false;
	if (str_find(text, '@') < text.n)
		return jid_parse(c->arena, text, jid_r) == 0 &&
		       jid_is_bare(jid_r) && !str_is_none(jid_r->local) &&
		       str_eq(jid_r->domain, service->domain);
	if (jid_prep_local(c->arena, text, &local) < 0 || local.n == 0)
		return false;
	*jid_r = jid_make(c->arena, local, service->domain, STR_NONE);
	return true;
}

static bool
is_choice(const char *choices, struct str text)
{
	struct str rest = str_c(choices);

	while (!str_is_none(rest))
		if (str_eq(str_cut(&rest, ' '), text))
			return true;
	return false;
}

/* Characters that XML can't carry are refused, too. */
static bool
is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' && c != '\n' && c != '\t' && c != '\r')
			return false;
		if (c == 0xef && i + 2 < s.n &&
		    (unsigned char)s.p[i + 1] == 0xbf &&
		    (unsigned char)s.p[i + 2] >= 0xbe)
			return false;
	}
	return str_is_utf8(s);
}

static bool
read_text(
    const struct call *c, const struct param *p, struct str text, struct arg *a)
{
	uint64_t n;

	a->is_given = true;
	a->text = str_dup(c->arena, text);
	switch (p->type) {
	case P_TEXT:
		return text.n >= p->min && text.n <= p->max && is_plain(text);
	case P_USER:
	case P_USERS:
		a->jids = &a->jid;
		a->count = 1;
		return read_user(c, a->text, &a->jid);
	case P_ROOM:
		return read_room(c, a->text, &a->jid);
	case P_TIME:
		return clock_parse(text, &a->number) == 0;
	case P_UINT:
		if (!str_to_u64(text, &n) || n < p->min || n > p->max)
			return false;
		a->number = (int64_t)n;
		return true;
	case P_BOOL:
		a->number = str_is(text, "true");
		return a->number != 0 || str_is(text, "false");
	case P_CHOICE:
		return is_choice(p->choices, text);
	}
	return false;
}

static bool
read_list(const struct call *c, const struct param *p, const json_t *list,
    struct arg *a)
{
	size_t n = json_array_size(list);

	a->is_given = true;
	if (p->type != P_USERS || n < 1 || n > p->max)
		return false;
	a->count = n;
	a->jids = arena_alloc(c->arena, n * sizeof(*a->jids));
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);
		struct str text =
		    str_mem(json_string_value(v), json_string_length(v));

		if (!json_is_string(v) || !is_plain(text) ||
		    !read_user(c, str_dup(c->arena, text), &a->jids[i]))
			return false;
		for (size_t k = 0; k < i; k++)
			if (jid_eq(&a->jids[k], &a->jids[i]))
				return false;
	}
	return true;
}

static bool
read_json(
    const struct call *c, const struct param *p, const json_t *v, struct arg *a)
{
	a->is_given = true;
	if (json_is_string(v) && p->type != P_UINT && p->type != P_BOOL)
		return read_text(c, p,
		    str_mem(json_string_value(v), json_string_length(v)), a);
	if (json_is_array(v))
		return read_list(c, p, v, a);
	if (json_is_boolean(v) && p->type == P_BOOL) {
		a->number = json_is_true(v);
		return true;
	}
	if (!json_is_integer(v) || p->type != P_UINT)
		return false;
	a->number = json_integer_value(v);
	return a->number >= (int64_t)p->min && (uint64_t)a->number <= p->max;
}

/* What is wrong ------------------------------------------------------------*/

static const char *
kind_of(const struct call *c, const struct param *p)
{
	switch (p->type) {
	case P_TEXT:
		return arena_printf(c->arena, "a text of %llu to %llu bytes",
		    (unsigned long long)p->min, (unsigned long long)p->max);
	case P_USER:
		return "a user: a name, or an address";
	case P_USERS:
		return arena_printf(c->arena,
		    "a user, or a list of 1 to %llu different ones",
		    (unsigned long long)p->max);
	case P_ROOM:
		return "a room of this host";
	case P_TIME:
		return "a time, such as 2026-01-31T12:00:00Z";
	case P_UINT:
		return arena_printf(c->arena, "a number from %llu to %llu",
		    (unsigned long long)p->min, (unsigned long long)p->max);
	case P_BOOL:
		return "true or false";
	case P_CHOICE:
		break;
	}
	return arena_printf(c->arena, "one of: %s", p->choices);
}

static bool
refuse_value(struct call *c, const struct param *p)
{
	unsigned status = p->in == IN_PATH ? 404 : 400;

	call_problem(c, status, "bad-argument", "'%s' is to be %s.", p->name,
	    kind_of(c, p));
	return false;
}

static bool
refuse_unknown(struct call *c, struct str name)
{
	call_problem(c, 400, "unknown-argument",
	    "There is no argument '" STR_FMT "' here.",
	    STR_ARG(str_sub(name, 0, 64)));
	return false;
}

/* Where they come from -----------------------------------------------------*/

bool
path_fits(const char *pattern, struct str path)
{
	struct str mine = str_c(pattern);

	for (;;) {
		struct str a = str_cut(&mine, '/'), b = str_cut(&path, '/');

		if (a.n > 0 && a.p[0] == '{' ? b.n == 0 : !str_eq(a, b))
			return false;
		if (str_is_none(mine) || str_is_none(path))
			return str_is_none(mine) && str_is_none(path);
	}
}

static bool
read_path(struct call *c, struct str path)
{
	struct str mine = str_c(c->route->path + 1);

	while (!str_is_none(mine)) {
		struct str a = str_cut(&mine, '/'), b = str_cut(&path, '/');
		const struct param *p;
		size_t i;

		if (a.n == 0 || a.p[0] != '{')
			continue;
		i = place_of(c->route, str_sub(a, 1, a.n - 2));
		must(i < PARAMS_MAX);
		p = &c->route->params[i];
		if (!read_text(c, p, b, &c->arg[i]))
			return refuse_value(c, p);
	}
	return true;
}

static bool
read_query(struct call *c)
{
	struct str name, value;

	for (size_t k = 0; http_arg(c->req, k, &name, &value); k++) {
		size_t i = place_of(c->route, name);

		if (i == PARAMS_MAX || c->route->params[i].in != IN_QUERY ||
		    c->arg[i].is_given)
			return refuse_unknown(c, name);
		if (!is_plain(value) ||
		    !read_text(c, &c->route->params[i], value, &c->arg[i]))
			return refuse_value(c, &c->route->params[i]);
	}
	return true;
}

static bool
has_body(const struct route *r)
{
	for (size_t i = 0; i < PARAMS_MAX && r->params[i].name != NULL; i++)
		if (r->params[i].in == IN_BODY)
			return true;
	return false;
}

static bool
is_json(struct str type)
{
	return str_eq_nocase(
	    str_trim(str_cut(&type, ';')), STR("application/json"));
}

static bool
parse_body(struct call *c)
{
	struct str body = http_body(c->req);
	json_error_t error;

	if (str_is_empty(body) && !has_body(c->route))
		return true;
	if (!has_body(c->route)) {
		call_problem(c, 400, "unexpected-body", "This takes no body.");
		return false;
	}
	if (!is_json(http_head(c->req, "content-type"))) {
		call_problem(c, 415, "not-json",
		    "The body is to be of type application/json.");
		return false;
	}
	c->body = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(c->body))
		return true;
	call_problem(c, 400, "bad-json", "The body is not a JSON object: %s",
	    c->body != NULL ? "it is something else" : error.text);
	return false;
}

static bool
read_body(struct call *c)
{
	const char *name;
	json_t *v;

	if (!parse_body(c))
		return false;
	json_object_foreach(c->body, name, v)
	{
		size_t i = place_of(c->route, str_c(name));

		if (i == PARAMS_MAX || c->route->params[i].in != IN_BODY)
			return refuse_unknown(c, str_c(name));
		if (!read_json(c, &c->route->params[i], v, &c->arg[i]))
			return refuse_value(c, &c->route->params[i]);
	}
	return true;
}

bool
call_read_args(struct call *c, struct str path)
{
	const struct param *p = c->route->params;

	if (!read_path(c, path) || !read_query(c) || !read_body(c))
		return false;
	for (size_t i = 0; i < PARAMS_MAX && p[i].name != NULL; i++) {
		if (!p[i].is_needed || c->arg[i].is_given)
			continue;
		call_problem(
		    c, 400, "missing-argument", "'%s' is missing.", p[i].name);
		return false;
	}
	return true;
}
