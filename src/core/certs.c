/* SPDX-License-Identifier: MIT */
/* The certificates that the configuration asks for. */
#include "core/daemon_impl.h"

#include "base/err.h"
#include "core/yaml.h"
#include "net/tls.h"

#include <glob.h>

static struct tls_certs *installed;

static bool
needs_tls(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct stream_policy *p = &conf->listen[i].policy;

		if (conf->listen[i].type == LISTEN_MUX || p->is_direct_tls ||
		    p->starttls != STARTTLS_NONE)
			return true;
	}
	return false;
}

static const char **
patterns_of(struct arena *a, const struct conf *conf)
{
	size_t count = conf->certificates.count;
	const char **patterns =
	    (const char **)arena_zalloc(a, (count + 1) * sizeof(*patterns));

	for (size_t i = 0; i < count; i++)
		patterns[i] = conf->certificates.item[i].p;
	return patterns;
}

void
certs_check(const struct conf *conf, struct problems *problems, bool load)
{
	size_t before = problems->count;
	const char **patterns = patterns_of(problems->arena, conf);
	struct tls_certs *certs = NULL;
	const char *why;
	glob_t found;

	for (size_t i = 0; patterns[i] != NULL; i++) {
		if (glob(patterns[i], 0, NULL, &found) != 0)
			problem_add(problems,
			    conf_item_line(conf, "certificates", i),
			    "'certificates': there is no file '%s'",
			    patterns[i]);
		else
			globfree(&found);
	}
	if (!load || patterns[0] == NULL || problems->count > before)
		return;
	if (tls_certs_load(problems->arena, patterns, NULL, &certs, &why) < 0)
		problem_add(problems, conf_item_line(conf, "certificates", 0),
		    "'certificates': %s", why);
	tls_certs_unref(&certs);
}

static int
configured_load(struct arena *a, const struct conf *conf,
    struct tls_certs **certs_r, const char **why_r)
{
	const char **patterns = patterns_of(a, conf);
	int err;

	err = tls_certs_load(a, patterns, installed, certs_r, why_r);
	if (err < 0)
		return err;
	for (size_t i = 0; i < conf->host_count; i++) {
		struct str name = conf->hosts[i].name;
		int64_t end;

		if (!tls_certs_cover(*certs_r, name, &end))
			log_notice(&log_daemon,
			    "no certificate is for host " STR_FMT,
			    STR_ARG(name));
	}
	return 0;
}

static int
self_signed_load(struct arena *a, const struct conf *conf,
    struct tls_certs **certs_r, const char **why_r)
{
	const char *path =
	    arena_printf(a, "%s/self-signed.pem", conf->data_dir);
	struct str *names = (struct str *)arena_alloc(
	    a, (conf->host_count + 1) * sizeof(*names));
	int err;

	for (size_t i = 0; i < conf->host_count; i++)
		names[i] = conf->hosts[i].name;
	err = tls_certs_self_signed(
	    a, path, names, conf->host_count, certs_r, why_r);
	if (err == 0)
		privilege_give_path(path);
	return err;
}

int
certs_apply(struct arena *a, const struct conf *conf, const char **why_r)
{
	struct tls_certs *certs = NULL;
	int err = 0;

	if (conf->certificates.count > 0)
		err = configured_load(a, conf, &certs, why_r);
	else if (needs_tls(conf))
		err = self_signed_load(a, conf, &certs, why_r);
	if (err < 0)
		return err;
	tls_install(certs);
	tls_certs_unref(&installed);
	installed = certs;
	return 0;
}

struct trust_file {
	const char *section, *option;
	enum tls_peer whom;
	const char *file; /* or NULL */
};

#define TRUST_FILES 2

static void
trust_files(const struct conf *conf, struct trust_file files_r[TRUST_FILES])
{
	struct str s2s = conf->s2s.ca_file, auth = conf->auth.client_ca_file;

	files_r[0] = (struct trust_file){ "s2s", "ca_file", TLS_SERVERS,
		s2s.n > 0 ? s2s.p : NULL };
	files_r[1] = (struct trust_file){ "auth", "client_ca_file", TLS_CLIENTS,
		auth.n > 0 ? auth.p : NULL };
}

int
trust_apply(struct arena *a, const struct conf *conf, const char **why_r)
{
	struct trust_file files[TRUST_FILES];
	const char *why = NULL;

	trust_files(conf, files);
	for (size_t i = 0; i < TRUST_FILES; i++) {
		const struct trust_file *f = &files[i];

		if (tls_trust(a, f->whom, f->file, &why) == 0)
			continue;
		*why_r = arena_printf(
		    a, "cannot load '%s.%s': %s", f->section, f->option, why);
		return ERR_TLS;
	}
	return 0;
}

void
trust_check(const struct conf *conf, struct problems *problems)
{
	struct trust_file files[TRUST_FILES];
	const char *why = NULL;

	trust_files(conf, files);
	for (size_t i = 0; i < TRUST_FILES; i++) {
		const struct trust_file *f = &files[i];
		const struct tree *t =
		    tree_get(tree_get(conf->tree, f->section), f->option);

		if (f->file == NULL || t == NULL ||
		    tls_trust_check(problems->arena, f->file, &why) == 0)
			continue;
		problem_add(problems, t->line,
		    "'%s' of '%s': %s cannot be loaded: %s", f->option,
		    f->section, f->file, why);
	}
}

void
certs_drop(void)
{
	tls_install(NULL);
	tls_certs_unref(&installed);
}
