/* SPDX-License-Identifier: MIT */
/*
 * The keys of the bucket: of the options, or of a file as AWS' tools have it,
 * which is read on the pool, again now and then, so that it may be changed.
 */
#include "modules/blob_s3/s3.h"

#include <errno.h>
#include <stdio.h>

#define AGAIN_MS MINUTES(1)
#define LINE_BYTES 512

struct reading {
	struct s3 *s3;
	char *path; /* heap */
	struct str access, secret;
	int err;
};

static void
secret_free(struct str *s)
{
	if (s->n > 0)
		explicit_bzero((char *)(uintptr_t)s->p, s->n);
	str_free(s);
}

static void
keep(struct str *at, struct str value)
{
	if (!str_is_none(*at))
		secret_free(at);
	*at = str_heap(str_trim(value));
}

/* Of the section [default], or before any. */
static void
file_read(struct reading *r, FILE *f)
{
	char line[LINE_BYTES];
	bool is_ours = true;

	while (fgets(line, sizeof(line), f) != NULL) {
		struct str value = str_trim(str_c(line));
		struct str name = value;

		if (value.n > 0 && value.p[0] == '[') {
			is_ours = str_is(value, "[default]");
			continue;
		}
		name = str_trim(str_cut(&value, '='));
		if (!is_ours || str_is_none(value))
			continue;
		if (str_is(name, "aws_access_key_id"))
			keep(&r->access, value);
		else if (str_is(name, "aws_secret_access_key"))
			keep(&r->secret, value);
	}
	explicit_bzero(line, sizeof(line));
}

static void
read_work(void *arg)
{
	struct reading *r = arg;
	FILE *f = fopen(r->path, "re");

	if (f == NULL) {
		r->err = -errno;
		return;
	}
	file_read(r, f);
	fclose(f);
	if (str_is_none(r->access) || str_is_none(r->secret))
		r->err = ERR_ABSENT;
}

static void
read_done(void *arg)
{
	struct reading *r = arg;
	struct keys *k = &r->s3->keys;

	k->is_reading = false;
	if (r->s3->is_stopped) {
		/* Nobody needs them. */
	} else if (r->err == 0) {
		struct keys old = *k;

		k->access = r->access;
		k->secret = r->secret;
		r->access = old.access;
		r->secret = old.secret;
	} else {
		log_error(mod_log(r->s3->mod), "the keys in %s: %s", r->path,
		    r->err == ERR_ABSENT ? "they are not in it"
					 : err_text(r->err));
	}
	secret_free(&r->access);
	secret_free(&r->secret);
	xfree(r->path);
	xfree(r);
}

static void
keys_read(struct s3 *s)
{
	const struct s3_options *o = mod_options(s->mod);
	struct reading *r;

	s->keys.read = MAX(loop_now(), 1);
	s->keys.is_reading = true;
	r = (struct reading *)xzalloc(sizeof(*r));
	r->s3 = s;
	r->path = xmalloc(o->credentials_file.n + 1);
	memcpy(r->path, o->credentials_file.p, o->credentials_file.n);
	r->path[o->credentials_file.n] = '\0';
	loop_work(read_work, read_done, r);
}

void
keys_init(struct s3 *s)
{
	const struct s3_options *o = mod_options(s->mod);

	if (o->credentials_file.n > 0 && !s->keys.is_reading)
		keys_read(s);
}

void
keys_fini(struct s3 *s)
{
	secret_free(&s->keys.access);
	secret_free(&s->keys.secret);
}

bool
keys_get(struct s3 *s, struct s3_keys *keys_r)
{
	const struct s3_options *o = mod_options(s->mod);

	*keys_r = (struct s3_keys){ o->region, o->access_key, o->secret_key };
	if (o->credentials_file.n > 0) {
		if (!s->keys.is_reading && loop_now() > s->keys.read + AGAIN_MS)
			keys_read(s);
		keys_r->access = s->keys.access;
		keys_r->secret = s->keys.secret;
	}
	return keys_r->access.n > 0 && keys_r->secret.n > 0;
}
