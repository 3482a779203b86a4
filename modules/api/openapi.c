/* SPDX-License-Identifier: MIT */
/* The OpenAPI 3.1 document, from the tables. */
#include "modules/api/api.h"

static json_t *
reference(const char *kind, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "#/components/%s/%s", kind, name);
	return json_pack("{s:s}", "$ref", text);
}

/* Arguments ----------------------------------------------------------------*/

static json_t *
words(const char *choices)
{
	struct str rest = str_c(choices);
	json_t *list = json_array();

	while (!str_is_none(rest))
		json_array_append_new(list, json_of(str_cut(&rest, ' ')));
	return list;
}

static json_t *
param_schema(const struct param *p)
{
	switch (p->type) {
	case P_TEXT:
		return json_pack("{s:s, s:I, s:I}", "type", "string",
		    "minLength", (json_int_t)(p->min > 0), "maxLength",
		    (json_int_t)p->max);
	case P_USER:
	case P_ROOM:
		return json_pack("{s:s, s:i, s:i}", "type", "string",
		    "minLength", 1, "maxLength", 3071);
	case P_USERS:
		return json_pack("{s:[{s:s}, {s:s, s:{s:s}, s:i, s:I, s:b}]}",
		    "anyOf", "type", "string", "type", "array", "items", "type",
		    "string", "minItems", 1, "maxItems", (json_int_t)p->max,
		    "uniqueItems", 1);
	case P_TIME:
		return json_pack(
		    "{s:s, s:s}", "type", "string", "format", "date-time");
	case P_UINT:
		return json_pack("{s:s, s:I, s:I}", "type", "integer",
		    "minimum", (json_int_t)p->min, "maximum",
		    (json_int_t)p->max);
	case P_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case P_CHOICE:
		break;
	}
	return json_pack(
	    "{s:s, s:o}", "type", "string", "enum", words(p->choices));
}

static json_t *
parameters(const struct route *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < PARAMS_MAX && r->params[i].name != NULL; i++) {
		const struct param *p = &r->params[i];

		if (p->in == IN_BODY)
			continue;
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", p->name,
			"in", p->in == IN_PATH ? "path" : "query", "required",
			p->is_needed, "description", p->help, "schema",
			param_schema(p)));
	}
	if (r->actor != NULL)
		json_array_append_new(
		    list, reference("parameters", "IdempotencyKey"));
	return list;
}

/* NULL when there is none. */
static json_t *
request_body(const struct route *r)
{
	json_t *properties = json_object(), *needed = json_array(), *schema;

	for (size_t i = 0; i < PARAMS_MAX && r->params[i].name != NULL; i++) {
		const struct param *p = &r->params[i];
		json_t *v;

		if (p->in != IN_BODY)
			continue;
		v = param_schema(p);
		json_object_set_new(v, "description", json_string(p->help));
		json_object_set_new(properties, p->name, v);
		if (p->is_needed)
			json_array_append_new(needed, json_string(p->name));
	}
	if (json_object_size(properties) == 0) {
		json_decref(properties);
		json_decref(needed);
		return NULL;
	}
	schema =
	    json_pack("{s:s, s:o, s:b, s:o}", "type", "object", "properties",
		properties, "additionalProperties", 0, "required", needed);
	return json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content",
	    "application/json", "schema", schema);
}

/* Answers ------------------------------------------------------------------*/

static json_t *
field_type(struct str type)
{
	json_t *v;

	if (type.n > 0 && type.p[0] == '[') {
		char name[64];

		snprintf(name, sizeof(name), STR_FMT,
		    STR_ARG(str_sub(type, 1, type.n - 2)));
		return json_pack("{s:s, s:o}", "type", "array", "items",
		    reference("schemas", name));
	}
	if (!str_is(type, "time"))
		return json_pack("{s:o}", "type", json_of(type));
	v = json_pack("{s:s}", "type", "string");
	json_object_set_new(v, "format", json_string("date-time"));
	return v;
}

static void
add_field(json_t *schema, const struct field *f)
{
	struct str type = str_c(f->type);
	bool is_needed = true, may_be_null = false;
	json_t *v;

	for (; type.n > 0; type.n--) {
		if (type.p[type.n - 1] == '*')
			is_needed = false;
		else if (type.p[type.n - 1] == '?')
			may_be_null = true;
		else
			break;
	}
	v = field_type(type);
	if (may_be_null)
		json_object_set_new(v, "type",
		    json_pack("[O, s]", json_object_get(v, "type"), "null"));
	json_object_set_new(v, "description", json_string(f->help));
	json_object_set_new(json_object_get(schema, "properties"), f->name, v);
	if (is_needed)
		json_array_append_new(
		    json_object_get(schema, "required"), json_string(f->name));
}

static json_t *
schemas(void)
{
	json_t *all = json_object(), *schema;

	for (const struct field *f = fields; f->schema != NULL; f++) {
		schema = json_object_get(all, f->schema);
		if (schema == NULL) {
			schema = json_pack("{s:s, s:{}, s:[], s:b}", "type",
			    "object", "properties", "required",
			    "additionalProperties", 0);
			json_object_set_new(all, f->schema, schema);
		}
		add_field(schema, f);
	}
	return all;
}

static json_t *
success(const struct route *r)
{
	json_t *schema;

	if (r->status == 204)
		return json_pack("{s:s}", "description", "It is done.");
	schema = r->result != NULL ? reference("schemas", r->result)
				   : json_pack("{s:s}", "type", "object");
	return json_pack("{s:s, s:{s:{s:o}}}", "description", "It is done.",
	    "content", "application/json", "schema", schema);
}

static json_t *
operation(const struct route *r)
{
	char status[8];
	json_t *body = request_body(r), *responses = json_object(), *op;

	snprintf(status, sizeof(status), "%u", r->status);
	json_object_set_new(responses, status, success(r));
	json_object_set_new(
	    responses, "default", reference("responses", "Problem"));
	op = json_pack("{s:s, s:s, s:o, s:o}", "operationId", r->id, "summary",
	    r->summary, "parameters", parameters(r), "responses", responses);
	if (body != NULL)
		json_object_set_new(op, "requestBody", body);
	if (r->scope == NULL)
		json_object_set_new(op, "security", json_array());
	else
		json_object_set_new(op, "description",
		    json_sprintf("Needs the scope %s.", r->scope));
	return op;
}

static json_t *
paths(void)
{
	static const char *const small[] = { "get", "put", "post", "patch",
		"delete" };
	json_t *all = json_object(), *item;

	for (const struct route *r = routes; r->path != NULL; r++) {
		item = json_object_get(all, r->path);
		if (item == NULL) {
			item = json_object();
			json_object_set_new(all, r->path, item);
		}
		for (size_t i = 0; i < ARRAY_LEN(small); i++)
			if (str_eq_nocase(str_c(small[i]), str_c(r->method)))
				json_object_set_new(
				    item, small[i], operation(r));
	}
	return all;
}

static json_t *
components(void)
{
	return json_pack("{s:o, s:{s:{s:s, s:{s:{s:o}}}},"
			 " s:{s:{s:s, s:s, s:b, s:s, s:{s:s, s:i, s:i}}},"
			 " s:{s:{s:s, s:s}}}",
	    "schemas", schemas(), "responses", "Problem", "description",
	    "It was refused, or failed (RFC 9457).", "content",
	    "application/problem+json", "schema",
	    reference("schemas", "Problem"), "parameters", "IdempotencyKey",
	    "name", "Idempotency-Key", "in", "header", "required", 0,
	    "description",
	    "Who sends the same request again with the same key, within a "
	    "day, gets the first answer, and nothing is done twice.",
	    "schema", "type", "string", "minLength", 1, "maxLength", 255,
	    "securitySchemes", "token", "type", "http", "scheme", "bearer");
}

void
run_openapi(struct call *c)
{
	call_json(
	    c, json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:[{s:[]}], s:o, "
			 "s:o}",
		   "openapi", "3.1.0", "info", "title", "Rookery", "version",
		   "1", "description",
		   "Messages, files, users and rooms of one host of a Rookery "
		   "server, for applications.",
		   "servers", "url", "/api/v1", "security", "token", "paths",
		   paths(), "components", components()));
}
