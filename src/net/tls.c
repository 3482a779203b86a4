/* SPDX-License-Identifier: MIT */
/* Sets of certificates, what hosts they cover, and the one in use. */
#include "net/tls.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/tls_impl.h"

#include <glob.h>
#include <pthread.h>

/* Of two for the same name: the one that lasts longer, with more chain. */
static bool
cert_is_better(const struct tls_cert *a, const struct tls_cert *b)
{
	if (a->not_after != b->not_after)
		return a->not_after > b->not_after;
	return a->chain > b->chain;
}

struct tls_certs *
tls_certs_new(struct tls_cert **certs, size_t count)
{
	struct tls_certs *c = (struct tls_certs *)xzalloc(sizeof(*c));

	c->refs = 1;
	c->certs = certs;
	c->count = count;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < certs[i]->name_count; j++) {
			struct str name = certs[i]->names[j];
			const struct tls_cert *other =
			    (struct tls_cert *)map_get(&c->by_name, name);

			if (other == NULL || cert_is_better(certs[i], other)) {
				/* The key must live as long as the value. */
				map_del(&c->by_name, name);
				map_set(&c->by_name, name, certs[i]);
			}
		}
	}
	return c;
}

struct tls_certs *
tls_certs_ref(struct tls_certs *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void
tls_certs_unref(struct tls_certs **c)
{
	struct tls_certs *gone = *c;

	*c = NULL;
	if (gone == NULL ||
	    __atomic_fetch_sub(&gone->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	map_fini(&gone->by_name);
	for (size_t i = 0; i < gone->count; i++)
		tls_cert_free(&gone->certs[i]);
	xfree(gone->certs);
	xfree(gone);
}

const struct tls_cert *
tls_certs_find(const struct tls_certs *c, struct str host)
{
	char name[TLS_NAME_MAX];
	const struct tls_cert *cert;
	struct str rest;

	if (!tls_name(host, name))
		return NULL;
	rest = str_c(name);
	cert = (const struct tls_cert *)map_get(&c->by_name, rest);
	if (cert != NULL || name[0] == '*')
		return cert;
	/* A wildcard stands for just one label. */
	rest = str_skip(rest, str_find(rest, '.'));
	if (rest.n < 2 || rest.p == name)
		return NULL;
	rest.p--;
	rest.n++;
	name[rest.p - name] = '*';
	return (const struct tls_cert *)map_get(&c->by_name, rest);
}

bool
tls_certs_cover(
    const struct tls_certs *c, struct str host, int64_t *not_after_r)
{
	const struct tls_cert *cert = tls_certs_find(c, host);

	if (cert != NULL && not_after_r != NULL)
		*not_after_r = cert->not_after;
	return cert != NULL;
}

/* The one in use ----------------------------------------------------------- */

static pthread_mutex_t installed_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_certs *installed;
static uint64_t (*gate)(const struct addr *peer);

void
tls_set_gate(uint64_t (*wait_ms)(const struct addr *peer))
{
	gate = wait_ms;
}

uint64_t
tls_wait_ms(const struct addr *peer)
{
	return gate != NULL ? gate(peer) : 0;
}

void
tls_install(struct tls_certs *certs)
{
	struct tls_certs *old;

	if (certs != NULL)
		tls_certs_ref(certs);
	pthread_mutex_lock(&installed_lock);
	old = installed;
	installed = certs;
	pthread_mutex_unlock(&installed_lock);
	tls_certs_unref(&old);
}

struct tls_certs *
tls_installed(void)
{
	struct tls_certs *certs;

	pthread_mutex_lock(&installed_lock);
	certs = installed;
	if (certs != NULL)
		tls_certs_ref(certs);
	pthread_mutex_unlock(&installed_lock);
	return certs;
}

/* Loading ------------------------------------------------------------------ */

struct loading {
	struct arena *a;
	const struct tls_certs *previous;
	struct tls_cert **certs;
	size_t count;
	const char *why; /* all that went wrong */
};

static void
loading_add(struct loading *ld, struct tls_cert *cert)
{
	ld->certs = (struct tls_cert **)xrealloc(
	    ld->certs, (ld->count + 1) * sizeof(struct tls_cert *));
	ld->certs[ld->count++] = cert;
	if (cert->not_after < clock_real() / 1000)
		log_warn(NULL, "certificate %s has expired", cert->file);
}

static void
loading_failed(struct loading *ld, const char *file, const char *why)
{
	bool is_lent = false;

	for (size_t i = 0; ld->previous != NULL && i < ld->previous->count;
	     i++) {
		const struct tls_cert *old = ld->previous->certs[i];

		if (strcmp(old->file, file) == 0) {
			loading_add(ld, tls_cert_dup(old));
			is_lent = true;
		}
	}
	log_warn(NULL, "certificate %s %s: %s", file,
	    is_lent ? "is bad, so the one loaded before stays" : "is left out",
	    why);
	ld->why =
	    arena_printf(ld->a, "%s%s%s: %s", ld->why != NULL ? ld->why : "",
		ld->why != NULL ? "; " : "", file, why);
}

static void
loading_file(struct loading *ld, const char *file)
{
	struct tls_cert *cert;
	const char *why = NULL;

	for (size_t i = 0; i < ld->count; i++)
		if (strcmp(ld->certs[i]->file, file) == 0)
			return;
	switch (tls_cert_load(ld->a, file, &cert, &why)) {
	case 0:
		loading_add(ld, cert);
		break;
	case ERR_ABSENT:
		log_debug(NULL, "%s holds no certificate to serve", file);
		break;
	default:
		loading_failed(ld, file, why);
	}
}

static void
loading_pattern(struct loading *ld, const char *pattern)
{
	glob_t found = { 0 };

	if (glob(pattern, 0, NULL, &found) != 0) {
		if (strpbrk(pattern, "*?[") == NULL)
			loading_failed(ld, pattern, "no such file");
		globfree(&found);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		loading_file(ld, found.gl_pathv[i]);
	globfree(&found);
}

int
tls_certs_load(struct arena *a, const char *const *patterns,
    const struct tls_certs *previous, struct tls_certs **certs_r,
    const char **why_r)
{
	struct loading ld = { .a = a, .previous = previous };

	for (size_t i = 0; patterns[i] != NULL; i++)
		loading_pattern(&ld, patterns[i]);
	if (ld.count == 0) {
		*why_r = ld.why != NULL ? ld.why : "no certificate found";
		return ERR_TLS;
	}
	*why_r = ld.why;
	*certs_r = tls_certs_new(ld.certs, ld.count);
	return 0;
}
