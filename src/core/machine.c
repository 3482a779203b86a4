/* SPDX-License-Identifier: MIT */
/*
 * Is what the configuration names on this machine? Asked before anything is
 * started, reloaded or given up for it.
 */
#include "core/daemon_impl.h"

#include "base/err.h"
#include "core/yaml.h"

#include <errno.h>
#include <libgen.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

/* As the file has it, which in a reload may be another than ours. */
static const struct tree *
text_of(const struct tree *map, const char *key)
{
	const struct tree *t = tree_get(map, key);

	return t != NULL && t->kind == TREE_TEXT && t->text.n > 0 ? t : NULL;
}

static void
user_check(const struct conf *conf, struct problems *problems)
{
	const struct tree *user = text_of(conf->tree, "user");

	/* It is root alone who becomes another. */
	if (user != NULL && geteuid() == 0 &&
	    getpwnam(str_dup_c(problems->arena, user->text)) == NULL)
		problem_add(problems, user->line,
		    "'user': there is no user '" STR_FMT "'",
		    STR_ARG(user->text));
}

static void
log_check(const struct conf *conf, struct problems *problems)
{
	const struct tree *target =
	    text_of(tree_get(conf->tree, "log"), "target");
	int err = target != NULL
		      ? log_can_open(str_dup_c(problems->arena, target->text))
		      : 0;

	if (err < 0)
		problem_add(problems, target->line,
		    "'target' of 'log': cannot log to " STR_FMT ": %s",
		    STR_ARG(target->text), err_text(err));
}

/* It is there or can be made; as whom is not known here. */
static void
data_check(const struct conf *conf, struct problems *problems)
{
	const struct tree *t = text_of(conf->tree, "data_dir");
	struct stat st;
	char *folder;
	int err = 0;

	if (t == NULL)
		return;
	folder = arena_bytes(problems->arena, t->text.n + 1);
	memcpy(folder, t->text.p, t->text.n + 1);
	if (stat(folder, &st) < 0)
		err = -errno;
	else if (!S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err == -ENOENT && stat(dirname(folder), &st) == 0)
		err = 0;
	if (err == -ENOENT || err == -ENOTDIR)
		problem_add(problems, t->line, "'data_dir': " STR_FMT ": %s",
		    STR_ARG(t->text), err_text(err));
}

/* At a start conf_load() has seen it, but what runs has loaded from its own. */
static void
plugins_check(const struct conf *conf, struct problems *problems)
{
	const struct tree *t = text_of(conf->tree, "plugin_dir");

	if (t != NULL &&
	    access(str_dup_c(problems->arena, t->text), R_OK | X_OK) < 0)
		problem_add(problems, t->line, "'plugin_dir': " STR_FMT ": %s",
		    STR_ARG(t->text), err_text(-errno));
}

void
machine_check(const struct conf *conf, struct problems *problems, bool load)
{
	certs_check(conf, problems, load);
	user_check(conf, problems);
	log_check(conf, problems);
	if (!load)
		return;
	trust_check(conf, problems);
	data_check(conf, problems);
	plugins_check(conf, problems);
}
