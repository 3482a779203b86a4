/* SPDX-License-Identifier: MIT */
/*
 * Accounts that a program knows, by ejabberd's extauth protocol. Each worker
 * runs as many of it as it has questions at a time; each serves many.
 */
#include "core/module.h"

struct external {
	struct str_list program;
	uint64_t timeout_ms;
	bool can_change;
};

static int
answer(struct auth_ask *ask)
{
	const struct external *o = ask->options;

	if (o->program.count == 0) {
		snprintf(ask->why, sizeof(ask->why), "'program' is not given");
		return ERR_CONFIG;
	}
	/* It may know the user, but not whether he may be changed. */
	if (ask->what >= AUTH_SET && !o->can_change)
		return ERR_DENIED;
	return auth_program_answer(ask, &o->program, o->timeout_ms);
}

static const struct auth_backend backend = {
	.can = AUTH_CAN(AUTH_CHECK) | AUTH_CAN(AUTH_EXISTS) |
	       AUTH_CAN(AUTH_SET) | AUTH_CAN(AUTH_CREATE) |
	       AUTH_CAN(AUTH_REMOVE),
	.answer = answer,
	.state_free = auth_program_free,
};

static const struct option options[] = {
	OPT_LIST("program", struct external, program, "", 20,
	    "path and arguments of the program"),
	OPT_SPAN("timeout", struct external, timeout_ms, "5s", 100, SECONDS(30),
	    "how long it may think before it is killed"),
	OPT_BOOL("changes", struct external, can_change, "true",
	    "whether it is told of new accounts, new passwords and removals"),
	OPTIONS_END,
};

MODULE(auth_external) = {
	.summary = "accounts that a program knows",
	.is_optional = true,
	.options_size = sizeof(struct external),
	.options = options,
	.auth = &backend,
};
