/* SPDX-License-Identifier: MIT */
/*
 * What files truly are, by their first bytes (libmagic). To read its rules
 * takes a while, so those who looked leave them to who looks next.
 */
#include "modules/http_upload/upload.h"

#include <stdio.h>

/* Is "image/png", perhaps with parameters, one of "image/..."? */
static bool
type_matches(struct str type, struct str pattern)
{
	struct str major = pattern, kind;

	type = str_trim(str_cut(&type, ';'));
	if (str_is(pattern, "*/*") || str_eq_nocase(type, pattern))
		return true;
	if (!str_has_suffix(pattern, STR("/*")))
		return false;
	major = str_cut(&major, '/');
	kind = str_cut(&type, '/');
	return !str_is_none(type) && str_eq_nocase(kind, major);
}

bool
type_is_allowed(const struct upload_options *o, struct str type)
{
	for (size_t i = 0; i < o->types.count; i++)
		if (type_matches(type, o->types.item[i]))
			return true;
	return o->types.count == 0;
}

#ifdef HAVE_LIBMAGIC
#include <magic.h>
#include <pthread.h>

/* As many as there are threads of the pool, as a rule. */
#define LOOKERS_MAX 8

static struct {
	pthread_mutex_t lock;
	magic_t idle[LOOKERS_MAX];
	size_t count;
} lookers = { .lock = PTHREAD_MUTEX_INITIALIZER };

static magic_t
looker_get(void)
{
	magic_t m = NULL;

	pthread_mutex_lock(&lookers.lock);
	if (lookers.count > 0)
		m = lookers.idle[--lookers.count];
	pthread_mutex_unlock(&lookers.lock);
	if (m != NULL)
		return m;
	m = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS);
	if (m != NULL && magic_load(m, NULL) < 0) {
		log_error(NULL, "libmagic: %s", magic_error(m));
		magic_close(m);
		m = NULL;
	}
	return m;
}

static void
looker_put(magic_t m)
{
	pthread_mutex_lock(&lookers.lock);
	if (lookers.count < LOOKERS_MAX) {
		lookers.idle[lookers.count++] = m;
		m = NULL;
	}
	pthread_mutex_unlock(&lookers.lock);
	if (m != NULL)
		magic_close(m);
}

void
content_fini(void)
{
	while (lookers.count > 0)
		magic_close(lookers.idle[--lookers.count]);
}

static void
content_look(struct str beginning, char type_r[TYPE_MAX_BYTES + 1])
{
	magic_t m = looker_get();
	const char *type =
	    m != NULL ? magic_buffer(m, beginning.p, beginning.n) : NULL;

	snprintf(
	    type_r, TYPE_MAX_BYTES + 1, "%s", type != NULL ? type : "unknown");
	if (m != NULL)
		looker_put(m);
}
#else
void
content_fini(void)
{
}

static void
content_look(struct str beginning, char type_r[TYPE_MAX_BYTES + 1])
{
	snprintf(type_r, TYPE_MAX_BYTES + 1, "unknown");
}
#endif

bool
content_is_allowed(const struct upload_options *o, struct str beginning,
    char type_r[TYPE_MAX_BYTES + 1])
{
	if (o->types.count == 0)
		return true;
	content_look(beginning, type_r);
	return type_is_allowed(o, str_c(type_r));
}
