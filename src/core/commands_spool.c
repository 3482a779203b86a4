/* SPDX-License-Identifier: MIT */
/* Commands about what waits for those who are offline, and is old. */
#include "base/clock.h"
#include "base/err.h"
#include "core/commands.h"
#include "core/host.h"
#include "core/spool.h"

#define PAGE 100

/* Account after account, each at its home. */
struct purge {
	const struct host *host; /* NULL: all */
	int64_t before;
	struct arena *arena; /* of the page */
	struct str *owners;
	size_t count, next;
	bool is_last;
	struct cmd *cmd;     /* who waits for it, or NULL and then... */
	struct cmd_job *job; /* ...who may ask about it */
};

static struct cmd_job job = { .what = "deletion of old messages" };

static void purge_next(struct purge *p);

static void
purge_end(struct purge *p, int err)
{
	if (p->cmd != NULL)
		cmd_on_done(p->cmd, err);
	else
		cmd_job_end(p->job, err);
	arena_free(&p->arena);
	xfree(p);
}

static void
on_purged(void *ctx, int err, uint64_t count)
{
	struct purge *p = (struct purge *)ctx;

	if (p->job != NULL)
		p->job->count += count;
	if (err < 0)
		purge_end(p, err);
	else
		purge_next(p);
}

/* One that is gone meanwhile has nothing. */
static void
at_home(void *ctx, int err, struct account *acct)
{
	struct purge *p = (struct purge *)ctx;

	if (acct != NULL)
		spool_expire(acct, p->before, on_purged, p);
	else
		on_purged(p, err == ERR_ABSENT ? 0 : err, 0);
}

static void
on_owners(void *ctx, int err, const struct str *names, size_t count)
{
	struct purge *p = (struct purge *)ctx;
	struct arena *old = p->arena;

	if (err < 0) {
		purge_end(p, err);
		return;
	}
	p->arena = arena_new(0);
	p->owners = (struct str *)arena_alloc(
	    p->arena, (count + 1) * sizeof(*p->owners));
	for (size_t i = 0; i < count; i++)
		p->owners[i] = str_dup(p->arena, names[i]);
	p->count = count;
	p->next = 0;
	p->is_last = count < PAGE;
	arena_free(&old);
	purge_next(p);
}

static void
purge_next(struct purge *p)
{
	while (p->next < p->count && (p->job == NULL || !p->job->is_aborted)) {
		struct jid jid = jid_of(p->owners[p->next++]);
		const struct host *host = host_find(jid.domain);

		if (host != NULL && (p->host == NULL || p->host == host)) {
			account_call(&jid, at_home, p);
			return;
		}
	}
	if (p->is_last || (p->job != NULL && p->job->is_aborted))
		purge_end(p, 0);
	else
		kv_owners(STR("spool"),
		    p->count > 0 ? p->owners[p->count - 1] : STR_NONE, PAGE,
		    on_owners, p);
}

static struct purge *
purge_of(struct cmd *c)
{
	struct purge *p;
	int64_t before;

	if (!cmd_days_ago(c, &before))
		return NULL;
	p = (struct purge *)xzalloc(sizeof(*p));
	p->before = before;
	return p;
}

static void
delete_old_messages(struct cmd *c)
{
	struct purge *p = purge_of(c);

	if (p == NULL)
		return;
	p->cmd = c;
	purge_next(p);
}

/*
 * Accounts come one after the other, and each in small pages: size and rate
 * of a batch are of no consequence.
 */
static void
delete_old_messages_batch(struct cmd *c)
{
	const struct host *host = cmd_host(c, "host");
	struct purge *p = host != NULL ? purge_of(c) : NULL;

	if (p == NULL)
		return;
	if (!cmd_job_begin(c, &job)) {
		xfree(p);
		return;
	}
	p->host = host;
	p->job = &job;
	purge_next(p);
}

static void
delete_old_messages_status(struct cmd *c)
{
	if (cmd_host(c, "host") != NULL)
		cmd_job_tell(c, &job);
}

static void
abort_delete_old_messages(struct cmd *c)
{
	if (cmd_host(c, "host") != NULL)
		cmd_job_abort(c, &job);
}

#define HOST \
	{ \
		.name = "host", .type = "string" \
	}
#define NUMBER(name_) \
	{ \
		.name = name_, .type = "integer" \
	}

const struct command commands_spool[] = {
	{
	    .name = "delete_old_messages",
	    .tag = "offline",
	    .help = "Delete offline messages older than DAYS",
	    .args = { NUMBER("days") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = delete_old_messages,
	},
	{
	    .name = "delete_old_messages_batch",
	    .tag = "offline",
	    .help = "Delete offline messages older than DAYS in the "
		    "background",
	    .args = { HOST, NUMBER("days"), NUMBER("batch_size"),
		NUMBER("rate") },
	    .result_name = "res",
	    .result = "restuple",
	    .run = delete_old_messages_batch,
	},
	{
	    .name = "delete_old_messages_status",
	    .tag = "offline",
	    .help = "Status of the deletion of old offline messages",
	    .args = { HOST },
	    .result_name = "status",
	    .result = "string",
	    .run = delete_old_messages_status,
	},
	{
	    .name = "abort_delete_old_messages",
	    .tag = "offline",
	    .help = "Abort the deletion of old offline messages",
	    .args = { HOST },
	    .result_name = "status",
	    .result = "string",
	    .run = abort_delete_old_messages,
	},
	COMMANDS_END,
};
