/* SPDX-License-Identifier: MIT */
/*
 * Answers to an authority's question whether a host is ours (RFC 8555, 8.3):
 * the files that certbot --webroot, or another client of ACME, leaves in a
 * folder. Anybody may read them, and nothing else of what is there.
 */
#include "core/module.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_ 200 /* of a token; 43 are usual */
#define FILE_MAX 4096

struct acme_options {
	struct str folder;
};

struct answer {
	struct http_req *req;
	const char *path;
	char text[FILE_MAX];
	ssize_t n; /* -1: there is none */
};

/* base64url, as tokens are: so no path leads out of the folder. */
static bool
is_token(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return name.n > 0 && name.n <= NAME_MAX_;
}

/* On a thread of the pool. */
static void
answer_work(void *arg)
{
	struct answer *w = arg;
	struct stat st;
	int fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	w->n = -1;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size <= FILE_MAX)
		w->n = read(fd, w->text, sizeof(w->text));
	close(fd);
}

static void
answer_done(void *arg)
{
	struct answer *w = arg;

	if (w->n < 0)
		http_answer_text(w->req, 404, "There is no such file.");
	else
		http_answer(w->req, 200, "application/octet-stream",
		    str_mem(w->text, (size_t)w->n));
}

static void
on_challenge(struct http_req *r)
{
	const struct acme_options *o = mod_options(http_mod(r));
	struct str name = http_rest(r);
	struct answer *w = arena_new_of(http_arena(r), struct answer);

	if (o->folder.n == 0 || !is_token(name)) {
		http_answer_text(r, 404, "There is no such file.");
		return;
	}
	w->req = r;
	w->path = arena_printf(http_arena(r),
	    STR_FMT "/.well-known/acme-challenge/" STR_FMT, STR_ARG(o->folder),
	    STR_ARG(name));
	loop_work(answer_work, answer_done, w);
}

static void
acme_check(struct mod *m, struct check *c)
{
	const struct acme_options *o = mod_options(m);
	struct arena *a = arena_new(0);
	const char *path = str_dup_c(a, o->folder);

	if (o->folder.n == 0)
		check_say(c, CHECK_FAIL,
		    "modules.acme.folder: /var/lib/rookery/acme", "acme",
		    "it is on, and has no folder");
	else if (access(path, R_OK | X_OK) < 0)
		check_say(c, CHECK_FAIL,
		    arena_printf(a,
			"mkdir -p %s/.well-known/acme-challenge, and let the "
			"server's user read it",
			path),
		    "acme", "%s cannot be read", path);
	arena_free(&a);
}

static const struct option options[] = {
	OPT_TEXT("folder", struct acme_options, folder, "", 4000,
	    "where certbot --webroot -w FOLDER leaves its answers"),
	OPTIONS_END,
};

static const struct http_route http[] = {
	{ .method = "GET",
	    .path = "/.well-known/acme-challenge/",
	    .fn = on_challenge },
	HTTP_ROUTES_END,
};

MODULE(acme) = {
	.summary = "answer an authority's question whose host it is (ACME)",
	.is_optional = true,
	.options_size = sizeof(struct acme_options),
	.options = options,
	.http = http,
	.check = acme_check,
};
