/* SPDX-License-Identifier: MIT */
/* What the files of the module share. Everything lives in the iq's arena. */
#ifndef MODULES_ADMIN_ADMIN_H
#define MODULES_ADMIN_ADMIN_H

#include "core/module.h"
#include "xep/0004-forms.h"

#define ADMIN "http://jabber.org/protocol/admin"
#define API_NODE "api-commands/"

/* The rows of XEP-0133; each is lent for the call. */
void service_each(
    void (*fn)(void *ctx, const struct adhoc_command *row), void *ctx);
void service_run(struct adhoc_call *call);

/* One of the server's commands: its node is API_NODE and its name. */
void api_run(struct adhoc_call *call);

/*
 * Runs a command with words as on the command line, and calls back as
 * cmd_start() does.
 */
void admin_start(struct adhoc_call *call, const char *command,
    const struct str *words, size_t count, cmd_done_fn *done, void *ctx);
/* The stanza error for a command that was refused. */
enum qname admin_condition(const struct cmd_outcome *o);
/* Adds `text`, line by line, as the values of a field. */
void admin_add_lines(struct elem *field, struct str text);

#endif
