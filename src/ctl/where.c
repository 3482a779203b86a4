/* SPDX-License-Identifier: MIT */
/*
 * Where a server's socket is: below the data_dir of its configuration. Of
 * that file only this one key is read; the server judges the rest.
 */
#include "base/err.h"
#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#define SOCKET_NAME "rookery.sock"
#define DATA_DIR_BUILT_IN "rookery-data"
#define DATA_DIR_INSTALLED "/var/lib/rookery"

/* A key of the outermost mapping is followed by its value. */
struct walk {
	int depth;
	bool is_value; /* of the outermost mapping: what comes next */
	bool is_ours;  /* ... and it is data_dir's */
	const char *found;
};

static void
on_node(struct arena *a, struct walk *w, const yaml_event_t *e)
{
	struct str text = STR_NONE;

	if (w->depth != 1)
		return;
	if (e->type == YAML_SCALAR_EVENT)
		text = str_mem(e->data.scalar.value, e->data.scalar.length);
	if (w->is_value && w->is_ours && text.n > 0)
		w->found = str_dup_c(a, text);
	if (!w->is_value)
		w->is_ours = str_is(text, "data_dir");
	w->is_value = !w->is_value;
}

static void
on_yaml(struct arena *a, struct walk *w, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		on_node(a, w, e);
		w->depth++;
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		w->depth--;
		break;
	case YAML_SCALAR_EVENT:
	case YAML_ALIAS_EVENT:
		on_node(a, w, e);
		break;
	default:
		break;
	}
}

/* The value of data_dir, NULL if it is not given; false: it is no YAML. */
static bool
find_data_dir(struct arena *a, FILE *f, const char **dir_r)
{
	struct walk w = { 0 };
	yaml_parser_t parser;
	yaml_event_t e;
	bool ok = true, done = false;

	if (!yaml_parser_initialize(&parser))
		return false;
	yaml_parser_set_input_file(&parser, f);
	while (ok && !done) {
		ok = yaml_parser_parse(&parser, &e) != 0;
		if (!ok)
			break;
		on_yaml(a, &w, &e);
		done = e.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&parser);
	*dir_r = w.found;
	return ok;
}

int
where_socket(struct arena *a, const char *conf, const char **socket_r,
    const char **why_r)
{
	const char *path = conf != NULL ? conf : ROOKERY_CONFIG_FILE;
	const char *dir = NULL;
	FILE *f = fopen(path, "re");
	bool ok;

	if (f == NULL && (conf != NULL || errno != ENOENT)) {
		*why_r = arena_printf(
		    a, "can't read %s: %s", path, err_text(-errno));
		return ERR_CONFIG;
	}
	if (f == NULL) {
		*socket_r = DATA_DIR_BUILT_IN "/" SOCKET_NAME;
		return 0;
	}
	ok = find_data_dir(a, f, &dir);
	fclose(f);
	if (!ok) {
		*why_r = arena_printf(a, "%s is not good YAML", path);
		return ERR_CONFIG;
	}
	*socket_r = arena_printf(
	    a, "%s/%s", dir != NULL ? dir : DATA_DIR_INSTALLED, SOCKET_NAME);
	return 0;
}
