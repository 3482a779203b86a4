/* SPDX-License-Identifier: MIT */
/*
 * Is what the configuration names on this machine? Asked before anything is
 * started, reloaded or given up for it.
 */
#include "core/daemon_impl.h"

#include "base/err.h"
#include "core/yaml.h"

#include <pwd.h>
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

void
machine_check(const struct conf *conf, struct problems *problems, bool load)
{
	certs_check(conf, problems, load);
	user_check(conf, problems);
	log_check(conf, problems);
}
