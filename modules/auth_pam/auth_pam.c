/* SPDX-License-Identifier: MIT */
/*
 * Accounts of the system, by PAM. Another program asks it (rookery-pam), so
 * that what PAM's modules do, wait or need is not the server's.
 */
#include "core/module.h"

struct pam {
	struct str service, folder, program;
	uint64_t timeout_ms;
	bool tells_users;
};

static int
answer(struct auth_ask *ask)
{
	const struct pam *o = ask->options;
	struct str words[] = { o->program, o->service, o->folder };
	struct str_list command = { words, o->folder.n > 0 ? 3 : 2 };

	if (ask->what == AUTH_EXISTS && !o->tells_users)
		return ERR_UNKNOWN;
	return auth_program_answer(ask, &command, o->timeout_ms);
}

static const struct auth_backend backend = {
	.can = AUTH_CAN(AUTH_CHECK) | AUTH_CAN(AUTH_EXISTS),
	.answer = answer,
	.state_free = auth_program_free,
};

static const struct option options[] = {
	OPT_TEXT("service", struct pam, service, "rookery", 100,
	    "PAM's service: the file in /etc/pam.d"),
	OPT_TEXT("service_folder", struct pam, folder, "", 1000,
	    "another folder than /etc/pam.d"),
	OPT_TEXT("program", struct pam, program, PAM_PROGRAM, 1000,
	    "the program that asks PAM; it may have rights of its own"),
	OPT_BOOL("users", struct pam, tells_users, "true",
	    "whether the service's account rules tell who exists; where they "
	    "let anybody in, false: then users exist from their first login"),
	OPT_SPAN("timeout", struct pam, timeout_ms, "10s", 100, SECONDS(60),
	    "how long it may take to answer"),
	OPTIONS_END,
};

MODULE(auth_pam) = {
	.summary = "accounts of the system, by PAM",
	.is_optional = true,
	.options_size = sizeof(struct pam),
	.options = options,
	.auth = &backend,
};
