/* SPDX-License-Identifier: MIT */
/* Parameters and columns, in PostgreSQL's binary formats. */
#include "modules/store_pg/pg.h"

#include <arpa/inet.h>
#include <endian.h>

/* Object ids of types, from pg_type.dat: these never change. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_TEXT = 25,
	OID_UUID = 2950,
	OID_UUIDS = 2951,
};

void
query_init(struct query *q, const char *sql)
{
	q->sql = sql;
	q->n = 0;
}

static int
add(struct query *q, Oid type, const char *value, size_t n)
{
	must(q->n < PARAMS_MAX && n <= INT32_MAX);
	q->type[q->n] = type;
	q->value[q->n] = value;
	q->length[q->n] = (int)n;
	return ++q->n;
}

static int
add_room(struct query *q, Oid type, const void *value, size_t n)
{
	must(q->n < PARAMS_MAX);
	memcpy(q->room[q->n], value, n);
	return add(q, type, q->room[q->n], n);
}

int
query_text(struct query *q, struct str s)
{
	return add(q, OID_TEXT, s.p, s.n);
}

int
query_filled(struct query *q, struct str s)
{
	return query_text(q, str_is_empty(s) ? STR_NONE : s);
}

int
query_bytes(struct query *q, struct str s)
{
	return add(q, OID_BYTEA, s.p != NULL ? s.p : "", s.n);
}

int
query_number(struct query *q, int64_t n)
{
	uint64_t be = htobe64((uint64_t)n);

	return add_room(q, OID_INT8, &be, sizeof(be));
}

int
query_flag(struct query *q, bool flag)
{
	char c = flag ? 1 : 0;

	return add_room(q, OID_BOOL, &c, 1);
}

int
query_id(struct query *q, const struct uuid *id)
{
	return add_room(q, OID_UUID, id->b, sizeof(id->b));
}

/* One dimension, no NULLs, from 1; then each with its length. */
int
query_ids(
    struct query *q, struct arena *a, const struct uuid *ids, size_t count)
{
	uint32_t head[5] = { htonl(count > 0 ? 1 : 0), 0, htonl(OID_UUID),
		htonl((uint32_t)count), htonl(1) };
	size_t head_n = count > 0 ? sizeof(head) : 12;
	char *p = arena_bytes(a, head_n + count * 20), *at = p + head_n;
	uint32_t n = htonl(16);

	memcpy(p, head, head_n);
	for (size_t i = 0; i < count; i++, at += 20) {
		memcpy(at, &n, 4);
		memcpy(at + 4, ids[i].b, 16);
	}
	return add(q, OID_UUIDS, p, (size_t)(at - p));
}

int
query_limit(struct query *q, size_t limit)
{
	return query_number(q, limit > INT32_MAX ? INT32_MAX : (int64_t)limit);
}

/* ---- columns ----------------------------------------------------------- */

struct str
column_text(struct arena *a, const PGresult *res, int row, int column)
{
	if (PQgetisnull(res, row, column))
		return STR_NONE;
	return column_bytes(a, res, row, column);
}

struct str
column_bytes(struct arena *a, const PGresult *res, int row, int column)
{
	return str_dup(a, str_mem(PQgetvalue(res, row, column),
			      (size_t)PQgetlength(res, row, column)));
}

int64_t
column_number(const PGresult *res, int row, int column)
{
	uint64_t be;

	if (PQgetlength(res, row, column) != sizeof(be))
		return 0;
	memcpy(&be, PQgetvalue(res, row, column), sizeof(be));
	return (int64_t)be64toh(be);
}

bool
column_flag(const PGresult *res, int row, int column)
{
	return PQgetlength(res, row, column) == 1 &&
	       *PQgetvalue(res, row, column) != 0;
}
