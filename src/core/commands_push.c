/* SPDX-License-Identifier: MIT */
/*
 * ejabberd's commands that put a list of contacts in rosters. The list is in a
 * file, as Erlang writes it:
 *
 *	[{"juliet", "example.org", "Capulets", "Juliet"},
 *	 {<<"romeo">>, <<"example.org">>, <<"Montagues"/utf8>>, <<"Romeo">>}].
 *
 * It is read and checked as a whole before anything is done.
 */
#include "base/err.h"
#include "core/commands.h"
#include "core/host.h"
#include "core/roster.h"
#include "net/loop.h"

#define FILE_MAX (1u << 20)
#define CONTACTS_MAX 10000

struct contact {
	struct jid jid;
	struct str group, nick;
};

struct push {
	struct cmd *cmd;
	const char *path, *failure;
	struct str text; /* of the file, on the heap */
	struct contact *contacts;
	size_t count, room;
	bool is_all;	 /* each contact gets the others */
	struct jid only; /* else: who gets them */
	size_t at;	 /* whose turn it is */
	size_t waiting;	 /* of his items, and one for the look */
	int err;
};

/* Reading -----------------------------------------------------------------*/

/* Where it may block. */
static void
read_file(void *arg)
{
	struct push *p = (struct push *)arg;

	p->failure = cmd_file_read(p->path, FILE_MAX, &p->text);
}

/* Blanks, and comments up to the end of their line. */
static void
skip_blank(struct str *rest)
{
	for (;;) {
		*rest = str_trim(*rest);
		if (rest->n == 0 || rest->p[0] != '%')
			return;
		str_cut(rest, '\n');
	}
}

static bool
take(struct str *rest, struct str word)
{
	skip_blank(rest);
	if (!str_has_prefix(*rest, word))
		return false;
	*rest = str_skip(*rest, word.n);
	return true;
}

/* Up to the closing quote; a backslash takes the next as it is. */
static bool
take_quoted(struct arena *a, struct str *rest, struct str *text_r)
{
	size_t end = 0, n = 0;
	char *text;

	while (end < rest->n && rest->p[end] != '"')
		end += rest->p[end] == '\\' ? 2 : 1;
	if (end >= rest->n)
		return false;
	text = arena_bytes(a, end + 1);
	for (size_t i = 0; i < end; i++) {
		if (rest->p[i] == '\\')
			i++;
		text[n++] = rest->p[i];
	}
	*text_r = str_mem(text, n);
	*rest = str_skip(*rest, end + 1);
	return str_is_utf8(*text_r);
}

/* "text", <<"text">> or <<"text"/utf8>>. */
static bool
take_text(struct arena *a, struct str *rest, struct str *text_r)
{
	bool is_binary = take(rest, STR("<<"));

	if (!take(rest, STR("\"")) || !take_quoted(a, rest, text_r))
		return false;
	if (!is_binary)
		return true;
	take(rest, STR("/utf8"));
	return take(rest, STR(">>"));
}

static bool
contact_jid(struct arena *a, struct str user, struct str host, struct jid *jid)
{
	struct str local, domain;

	if (jid_prep_local(a, user, &local) < 0 ||
	    jid_prep_domain(a, host, &domain) < 0)
		return false;
	*jid = jid_make(a, local, domain, STR_NONE);
	return true;
}

static bool
take_contact(struct arena *a, struct str *rest, struct contact *c)
{
	struct str user, host;

	return take(rest, STR("{")) && take_text(a, rest, &user) &&
	       take(rest, STR(",")) && take_text(a, rest, &host) &&
	       take(rest, STR(",")) && take_text(a, rest, &c->group) &&
	       take(rest, STR(",")) && take_text(a, rest, &c->nick) &&
	       take(rest, STR("}")) && contact_jid(a, user, host, &c->jid);
}

static void
contact_add(struct arena *a, struct push *p, const struct contact *c)
{
	size_t size = sizeof(*p->contacts);

	if (p->count == p->room) {
		p->room = MAX(2 * p->room, (size_t)16);
		p->contacts = (struct contact *)arena_grow(
		    a, p->contacts, p->count * size, p->room * size);
	}
	p->contacts[p->count++] = *c;
}

static bool
take_list(struct arena *a, struct push *p, struct str *rest)
{
	struct contact c;

	if (!take(rest, STR("[")))
		return false;
	if (take(rest, STR("]")))
		return true;
	do {
		if (p->count == CONTACTS_MAX || !take_contact(a, rest, &c))
			return false;
		contact_add(a, p, &c);
	} while (take(rest, STR(",")));
	return take(rest, STR("]"));
}

static unsigned
line_at(const struct push *p, const char *at)
{
	unsigned line = 1;

	for (const char *c = p->text.p; c < at; c++)
		line += *c == '\n';
	return line;
}

static void
parse(struct push *p)
{
	struct arena *a = cmd_arena(p->cmd);
	struct str rest = p->text;
	bool is_good = take_list(a, p, &rest) && take(&rest, STR("."));

	skip_blank(&rest);
	if (!is_good || rest.n > 0)
		p->failure = arena_printf(a,
		    "line %u of the file: not a list of up to %d contacts, as "
		    "[{\"user\", \"host\", \"group\", \"nick\"}, ...].",
		    line_at(p, rest.p), CONTACTS_MAX);
}

/* Pushing -----------------------------------------------------------------*/

static void next_owner(struct push *p);

static const struct jid *
owner_of(const struct push *p)
{
	return p->is_all ? &p->contacts[p->at].jid : &p->only;
}

static void
end(struct push *p)
{
	struct arena *a = cmd_arena(p->cmd);

	if (p->failure == NULL && p->err < 0)
		p->failure =
		    arena_printf(a, STR_FMT ": %s", STR_ARG(owner_of(p)->bare),
			p->err == ERR_LIMIT ? "the roster is full"
					    : err_text(p->err));
	if (p->failure != NULL)
		cmd_fail(p->cmd, CMD_BAD_ARG, 0, "%s", p->failure);
	else
		cmd_ok(p->cmd, NULL);
}

static void
step(void *ctx, int err)
{
	struct push *p = (struct push *)ctx;

	if (err < 0)
		p->err = err;
	if (--p->waiting > 0)
		return;
	if (p->err < 0 || !p->is_all || ++p->at == p->count)
		end(p);
	else
		next_owner(p);
}

static void
put(struct push *p, struct account *acct, const struct contact *c)
{
	struct roster_item item = {
		.jid = c->jid,
		.name = c->nick,
		.groups = { &c->group, c->group.n > 0 },
		.sub = ROSTER_BOTH,
		.is_in_roster = true,
	};
	int err;

	p->waiting++;
	err = roster_put(acct, &item, step, p);
	if (err < 0)
		step(p, err);
}

static void
on_owner(void *ctx, int err, struct account *acct)
{
	struct push *p = (struct push *)ctx;

	if (err == 0 && acct == NULL)
		err = ERR_ABSENT;
	for (size_t i = 0; i < p->count && err == 0 && p->err == 0; i++)
		if (!str_eq(p->contacts[i].jid.bare, owner_of(p)->bare))
			put(p, acct, &p->contacts[i]);
	step(p, err);
}

static void
next_owner(struct push *p)
{
	p->waiting = 1;
	account_call(owner_of(p), on_owner, p);
}

static void
on_read(void *arg)
{
	struct push *p = (struct push *)arg;

	if (p->failure == NULL)
		parse(p);
	for (size_t i = 0; p->is_all && i < p->count && p->failure == NULL; i++)
		if (host_find(p->contacts[i].jid.domain) == NULL)
			p->failure = arena_printf(cmd_arena(p->cmd),
			    STR_FMT " is of no host here",
			    STR_ARG(p->contacts[i].jid.bare));
	str_free(&p->text);
	if (p->failure != NULL || p->count == 0)
		end(p);
	else
		next_owner(p);
}

static struct push *
push_new(struct cmd *c)
{
	struct push *p = arena_new_of(cmd_arena(c), struct push);

	p->cmd = c;
	p->path = str_dup_c(cmd_arena(c), cmd_str(c, "file"));
	return p;
}

static void
run_push_roster(struct cmd *c)
{
	struct push *p = push_new(c);

	if (cmd_account(c, "user", "host", &p->only))
		loop_work(read_file, on_read, p);
}

static void
run_push_roster_all(struct cmd *c)
{
	struct push *p = push_new(c);

	p->is_all = true;
	loop_work(read_file, on_read, p);
}

const struct command commands_push[] = {
	{ .name = "push_roster",
	    .tag = "roster",
	    .help = "Put the contacts of a file in a user's roster",
	    .args = { ARG("file", "string"), ARG("user", "string"),
		ARG("host", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_push_roster },
	{ .name = "push_roster_all",
	    .tag = "roster",
	    .help = "Put the contacts of a file in the rosters of all of them",
	    .args = { ARG("file", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_push_roster_all },
	COMMANDS_END,
};
