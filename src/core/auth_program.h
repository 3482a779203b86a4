/* SPDX-License-Identifier: MIT */
/*
 * Programs that answer about accounts, by ejabberd's protocol: a text such as
 * "auth:user:host:password" after its length in two bytes, answered with
 * 0 2 0 1 for yes and 0 2 0 0 for no. For modules that are such backends.
 */
#ifndef CORE_AUTH_PROGRAM_H
#define CORE_AUTH_PROGRAM_H

#include "core/auth_backend.h"
#include "core/option.h"

/*
 * Answers by the program of ask->state, which is started if there is none or
 * another; `command` are its path and arguments. One that doesn't answer in
 * time, or wrongly, is killed; one that was is not started again for a second.
 */
API int auth_program_answer(
    struct auth_ask *ask, const struct str_list *command, uint64_t timeout_ms);
/* state_free of those backends. */
API void auth_program_free(void *state);

#endif
