/* SPDX-License-Identifier: MIT */
/* Archives: what is written to them. */
#include "modules/store_pg/pg.h"

#include <stdio.h>
#include <time.h>

int
archive_check(const struct store_change *c)
{
	struct uuid id;
	int64_t ts;

	if (uuid7_time(c->item.id, &ts) < 0 || !uuid_parse(c->item.id, &id))
		return ERR_INVALID;
	return 0;
}

/* The partition of a time: "archive_202601". */
static struct str
month_name(int64_t ts, char text[40])
{
	time_t t = (time_t)(ts / 1000);
	struct tm tm = { 0 };

	gmtime_r(&t, &tm);
	return str_mem(text, (size_t)snprintf(text, 40, "archive_%04d%02d",
				 tm.tm_year + 1900, tm.tm_mon + 1));
}

static int
append(struct link *l, struct job *job, const struct store_change *c)
{
	const struct archive_item *m = &c->item;
	struct str resource = m->with, bare = str_cut(&resource, '/');
	struct str host = c->owner;
	struct query q;
	struct uuid id;
	char month[40];
	int64_t ts;

	must(uuid7_time(m->id, &ts) == 0 && uuid_parse(m->id, &id));
	str_cut(&host, '@');
	query_init(&q,
	    "SELECT archive_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
	    " $11, $12, $13, $14)");
	query_text(&q, c->owner);
	query_text(&q, str_is_none(host) ? c->owner : host);
	query_text(&q, month_name(ts, month));
	query_id(&q, &id);
	query_number(&q, ts);
	query_text(&q, bare);
	query_text(&q, resource);
	query_flag(&q, m->is_outgoing);
	query_text(&q, m->xml);
	query_text(&q, m->body);
	query_text(&q, m->origin_id);
	query_text(&q, m->media_url);
	query_text(&q, m->media_type);
	query_text(&q, media_id(m->media_url));
	return link_query(l, job, 0, &q);
}

static int
replace(struct link *l, struct job *job, const struct store_change *c)
{
	struct uuid id = { { 0 } };
	struct query q;

	query_init(&q,
	    "WITH u AS (UPDATE archive SET xml = $3, body = NULL,"
	    " media_url = NULL, media_type = NULL, media_id = NULL"
	    " WHERE owner = (SELECT key FROM archive_owner WHERE owner = $1)"
	    " AND id = $2 RETURNING 1)"
	    " SELECT store_must(EXISTS(SELECT 1 FROM u))");
	query_text(&q, c->owner);
	/* What is no id is in no archive, and neither is this one. */
	uuid_parse(c->item.id, &id);
	query_id(&q, &id);
	query_text(&q, c->item.xml);
	return link_query(l, job, 0, &q);
}

/* The name goes at once, the rows when there is time. */
static int
clear_all(struct link *l, struct job *job, const struct store_change *c)
{
	struct query q;

	query_init(&q, "UPDATE archive_owner SET owner = NULL, cleared = now()"
		       " WHERE owner = $1");
	query_text(&q, c->owner);
	return link_query(l, job, 0, &q);
}

static int
clear_with(struct link *l, struct job *job, const struct store_change *c)
{
	struct str rest = c->item.with, bare = str_cut(&rest, '/');
	struct query q;

	query_init(&q,
	    "DELETE FROM archive WHERE with_bare = $2"
	    " AND owner = (SELECT key FROM archive_owner WHERE owner = $1)");
	query_text(&q, c->owner);
	query_text(&q, bare);
	return link_query(l, job, 0, &q);
}

int
archive_change(struct link *l, struct job *job, const struct store_change *c)
{
	switch (c->op) {
	case CHANGE_ARCHIVE_APPEND:
		return append(l, job, c);
	case CHANGE_ARCHIVE_REPLACE:
		return replace(l, job, c);
	default:
		return str_is_empty(c->item.with) ? clear_all(l, job, c)
						  : clear_with(l, job, c);
	}
}
