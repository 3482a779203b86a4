/* SPDX-License-Identifier: MIT */
/*
 * Shared groups: made by ejabberd's srg_* commands, or read from a directory.
 * Members find whom their groups display in their rosters, subscribed as if
 * both had asked, and can't be without.
 */
#include "modules/shared_roster/shared_roster.h"

static void
shared_start(struct mod *m)
{
	shared_ops_start(m);
}

static void
shared_reload(struct mod *m)
{
	const struct shared *s = mod_state(m);

	if (!s->is_ready || !shared_is_lead(m))
		return;
	/* There may be room for all now. */
	if (s->table.all->count > 0)
		shared_people_soon(m);
	shared_source_start(m);
}

static void
shared_stop(struct mod *m)
{
	struct shared *s = mod_state(m);

	s->is_stopped = true;
	shared_sync_stop(m);
	shared_ops_stop(m);
	shared_source_stop(m);
	table_free(&s->table);
}

/* ---- accounts come and go ---------------------------------------------- */

static bool
run_people(struct mod *m, struct op *op)
{
	shared_people_soon(m);
	return false;
}

static void
on_created(struct mod *m, struct account *acct)
{
	const struct shared *s = mod_state(m);

	if (s->table.all != NULL && s->table.all->count > 0)
		shared_post(shared_op(mod_host(m), run_people));
}

/* Its name may be another's one day. */
static bool
run_forget(struct mod *m, struct op *op)
{
	const struct shared *s = mod_state(m);
	const struct links *in = map_get(&s->table.by_user, op->user);

	if (s->table.everyone != NULL)
		shared_people_soon(m);
	for (size_t i = 0; in != NULL && i < in->count; i++) {
		json_t *j;

		/* The directory says who is in its groups. */
		if (in->group[i]->source.n > 0)
			continue;
		j = group_json(in->group[i]);
		json_object_del(json_object_get(j, "members"), op->user.p);
		op_change(op, in->group[i]->id, j);
	}
	return op->count > 0;
}

static void
on_deleted(struct mod *m, struct account *acct)
{
	const struct shared *s = mod_state(m);
	struct op *op;

	if (s->is_ready && s->table.everyone == NULL &&
	    map_get(&s->table.by_user, acct->jid.local) == NULL)
		return;
	op = shared_op(mod_host(m), run_forget);
	op->user = str_dup(op->arena, acct->jid.local);
	shared_post(op);
}

/* ------------------------------------------------------------------------ */

static void
shared_check(struct mod *m, struct check *c)
{
	const struct shared_options *o = mod_options(m);
	char name[64];

	if (o->source.n == 0)
		return;
	snprintf(name, sizeof(name), "auth_%.*s", (int)MIN(o->source.n, 40),
	    o->source.p);
	if (mod_find(mod_host(m), name) == NULL)
		check_say(c, CHECK_FAIL,
		    "list that module under 'modules', or set "
		    "modules.shared_roster.source to \"\"",
		    "shared_roster", "%s, its source, is not on for the host",
		    name);
}

static const struct hook hooks[] = {
	{ HOOK_ROSTER_LOADED, NORMAL, .account = shared_on_roster },
	{ HOOK_ACCOUNT_CREATED, LATE, .account = on_created },
	{ HOOK_ACCOUNT_DELETED, LATE, .account = on_deleted },
	HOOKS_END,
};

static const struct option options[] = {
	OPT_UINT("groups", struct shared_options, groups_max, "500", 1, 10000,
	    "how many there may be"),
	OPT_UINT("members", struct shared_options, members_max, "1000", 1,
	    10000, "how many one may have, and how many accounts count as all"),
	OPT_TEXT("source", struct shared_options, source, "", 40,
	    "who has more groups: ldap, the directory of auth_ldap (see "
	    "'groups_base' there), or nobody"),
	OPT_SPAN("refresh", struct shared_options, refresh_ms, "5m", 1000,
	    DAYS(1), "how often that is asked"),
	OPTIONS_END,
};

MODULE(shared_roster) = {
	.summary = "groups whose members have each other in their rosters",
	.options_size = sizeof(struct shared_options),
	.state_size = sizeof(struct shared),
	.options = options,
	.hooks = hooks,
	.commands = shared_commands,
	.start = shared_start,
	.reload = shared_reload,
	.stop = shared_stop,
	.check = shared_check,
};
