/* SPDX-License-Identifier: MIT */
/*
 * The tables, as numbered steps from nothing to now. A step that has been
 * released is never changed: what comes later is a step of its own. All that
 * is missing is done in one transaction, under a lock, as several servers may
 * be started at once.
 */
#include "modules/store_pg/pg.h"

#include <stdlib.h>

/* Texts compare by bytes. Times are milliseconds since 1970. */
static const char accounts_and_values[] =
    "CREATE TABLE account("
    " jid text COLLATE \"C\" PRIMARY KEY, host text COLLATE \"C\" NOT NULL,"
    " local text COLLATE \"C\" NOT NULL,"
    " first_name text, last_name text, email text,"
    " created bigint NOT NULL, ban text,"
    " last_seen bigint NOT NULL, last_status text);"
    "CREATE UNIQUE INDEX account_host ON account(host, local);"
    /* SCRAM keys, never a password. */
    "CREATE TABLE account_key("
    " jid text COLLATE \"C\" NOT NULL, mechanism text COLLATE \"C\" NOT NULL,"
    " salt bytea NOT NULL, iterations bigint NOT NULL,"
    " stored_key bytea NOT NULL, server_key bytea NOT NULL,"
    " PRIMARY KEY(jid, mechanism));"
    "CREATE TABLE kv("
    " owner text COLLATE \"C\" NOT NULL, store text COLLATE \"C\" NOT NULL,"
    " key bytea NOT NULL, value bytea NOT NULL,"
    " PRIMARY KEY(owner, store, key));"
    "CREATE INDEX kv_store ON kv(store, owner);"
    "CREATE VIEW chat_user AS SELECT"
    " jid AS user_id, first_name, last_name, email AS email_addr"
    " FROM account;"
    /*
     * For each connection that writes, how many transactions it committed:
     * so the next one knows of a commit whose answer was lost.
     */
    "CREATE TABLE writer("
    " id uuid PRIMARY KEY, seq bigint NOT NULL,"
    " is_open boolean NOT NULL DEFAULT true, touched timestamptz NOT NULL)"
    " WITH (fillfactor = 50);"
    /* Undoes a write that found nothing to change. */
    "CREATE FUNCTION store_must(is_there boolean) RETURNS void"
    " LANGUAGE plpgsql AS $$ BEGIN"
    "  IF NOT is_there THEN"
    "   RAISE SQLSTATE 'RKABS' USING MESSAGE = 'no such row';"
    "  END IF;"
    " END $$;";

/*
 * An owner's key stands for its JID, as indices hold it. To clear an archive
 * is to take the owner's name away; the rows go later, bit by bit. Ids are
 * UUIDv7s: ordered by time, so a partition for each month is a range of them.
 */
static const char archive[] =
    "CREATE TABLE archive_owner("
    " key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " owner text COLLATE \"C\" UNIQUE, host text COLLATE \"C\" NOT NULL,"
    " cleared timestamptz);"
    "CREATE INDEX archive_host ON archive_owner(host, key);"
    "CREATE INDEX archive_cleared ON archive_owner(key)"
    " WHERE owner IS NULL;"
    "CREATE TABLE archive("
    " owner bigint NOT NULL, id uuid NOT NULL, ts bigint NOT NULL,"
    " with_bare text COLLATE \"C\" NOT NULL,"
    " with_resource text COLLATE \"C\", is_outgoing boolean NOT NULL,"
    " xml text NOT NULL, body text, origin_id text COLLATE \"C\","
    " media_url text, media_type text, media_id text)"
    " PARTITION BY RANGE (id);"
    "CREATE UNIQUE INDEX archive_id ON archive(owner, id);"
    "CREATE INDEX archive_with ON archive(owner, with_bare, id);"
    "CREATE INDEX archive_media ON archive(owner, id)"
    " WHERE media_url IS NOT NULL;"
    "CREATE INDEX archive_origin ON archive(owner, origin_id, id)"
    " WHERE origin_id IS NOT NULL;"
    "CREATE FUNCTION archive_plain(t text) RETURNS text"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$"
    " SELECT CASE WHEN octet_length(t) = char_length(t) THEN t"
    "  ELSE regexp_replace(normalize(t, NFD),"
    "   '[' || chr(768) || '-' || chr(879) || ']', '', 'g') END $$;"
    /*
     * What is indexed: the owner, as a word that no body has, and the body
     * without accents and ASCII's punctuation, so that words are what people
     * take for words. Most bodies are ASCII. It calls nothing of ours, as
     * whoever fills an index (autovacuum, pg_restore) does not look here; and
     * nothing that is not immutable, so that it is put in place of its call.
     */
    "CREATE FUNCTION archive_words(owner bigint, body text) RETURNS tsvector"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000 AS $$"
    " SELECT array_to_tsvector(ARRAY['@' || owner::text]) ||"
    "  to_tsvector('pg_catalog.simple'::regconfig, translate("
    "   CASE WHEN octet_length(body) = char_length(body) THEN body"
    "    ELSE regexp_replace(normalize(body, NFD),"
    "     '[' || chr(768) || '-' || chr(879) || ']', '', 'g') END,"
    "   '!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32))) $$;"
    "CREATE FUNCTION archive_query(owner bigint, q tsquery) RETURNS tsquery"
    " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$"
    " SELECT CASE WHEN numnode(q) = 0 OR owner IS NULL THEN NULL"
    "  ELSE ('''@' || owner::text || '''')::tsquery && q END $$;"
    "CREATE INDEX archive_search ON archive"
    " USING gin (archive_words(owner, body))"
    " WITH (gin_pending_list_limit = 256) WHERE body IS NOT NULL;";

/*
 * A partition is made beside the table and attached to it, which disturbs
 * nobody. Its name is the month, as text, for the first id of it.
 */
static const char partitions[] =
    "CREATE FUNCTION archive_first_id(t timestamp) RETURNS uuid"
    " LANGUAGE sql IMMUTABLE AS $$"
    " SELECT (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0')"
    "  || repeat('0', 20))::uuid $$;"
    "CREATE FUNCTION archive_month(part text) RETURNS timestamp"
    " LANGUAGE sql IMMUTABLE AS $$"
    " SELECT make_timestamp(substr(part, 9, length(part) - 10)::int,"
    "  right(part, 2)::int, 1, 0, 0, 0) $$;"
    "CREATE FUNCTION archive_partition(part text) RETURNS void"
    " LANGUAGE plpgsql AS $$ DECLARE"
    "  first timestamp := archive_month(part);"
    " BEGIN"
    "  PERFORM pg_advisory_xact_lock(1383034731, 2);"
    "  IF EXISTS(SELECT 1 FROM pg_inherits i JOIN pg_class c"
    "    ON c.oid = i.inhrelid WHERE i.inhparent = 'archive'::regclass"
    "    AND c.relname = part) THEN"
    "   RETURN;"
    "  END IF;"
    "  EXECUTE format('CREATE TABLE %I (LIKE archive INCLUDING DEFAULTS)',"
    "   part);"
    "  EXECUTE format('ALTER TABLE archive ATTACH PARTITION %I"
    " FOR VALUES FROM (%L) TO (%L)', part, archive_first_id(first),"
    "   archive_first_id(first + interval '1 month'));"
    " END $$;"
    "CREATE FUNCTION archive_ahead() RETURNS void"
    " LANGUAGE plpgsql AS $$ BEGIN"
    "  FOR i IN 0..2 LOOP"
    "   PERFORM archive_partition('archive_' || to_char(now() AT TIME ZONE"
    "    'UTC' + i * interval '1 month', 'YYYYMM'));"
    "  END LOOP;"
    "  DELETE FROM writer WHERE touched < now() - interval '30 days'"
    "   OR NOT is_open AND touched < now() - interval '1 day';"
    " END $$;"
    "CREATE FUNCTION archive_append(p_owner text, p_host text, p_part text,"
    " p_id uuid, p_ts bigint, p_bare text, p_resource text,"
    " p_is_outgoing boolean, p_xml text, p_body text, p_origin text,"
    " p_url text, p_type text, p_media text) RETURNS void"
    " LANGUAGE plpgsql AS $$ DECLARE"
    "  k bigint;"
    " BEGIN"
    "  LOOP"
    "   SELECT key INTO k FROM archive_owner WHERE owner = p_owner;"
    "   EXIT WHEN k IS NOT NULL;"
    "   INSERT INTO archive_owner(owner, host) VALUES(p_owner, p_host)"
    "    ON CONFLICT (owner) DO NOTHING RETURNING key INTO k;"
    "   EXIT WHEN k IS NOT NULL;"
    "  END LOOP;"
    "  IF to_regclass(p_part) IS NULL THEN"
    "   PERFORM archive_partition(p_part);"
    "  END IF;"
    "  INSERT INTO archive(owner, id, ts, with_bare, with_resource,"
    "   is_outgoing, xml, body, origin_id, media_url, media_type, media_id)"
    "   VALUES(k, p_id, p_ts, p_bare, p_resource, p_is_outgoing, p_xml,"
    "   p_body, p_origin, p_url, p_type, p_media);"
    " END $$;";

/* What takes rows away, in slices; each answers how many. */
static const char expiry[] =
    /*
     * Drops a month that is over by `before` if it holds nothing of other
     * hosts: NULL when there is none, or when the table is too busy.
     */
    "CREATE FUNCTION archive_drop(p_host text, p_before uuid) RETURNS bigint"
    " LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$ DECLARE"
    "  part text; n bigint; is_mixed boolean;"
    " BEGIN"
    "  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c"
    "    ON c.oid = i.inhrelid WHERE i.inhparent = 'archive'::regclass"
    "    AND archive_first_id(archive_month(c.relname::text)"
    "     + interval '1 month') <= p_before ORDER BY length(c.relname), 1"
    "  LOOP"
    "   EXECUTE format('LOCK TABLE %I IN SHARE MODE', part);"
    "   EXECUTE format('SELECT EXISTS(SELECT 1 FROM archive_owner o WHERE"
    " o.host <> $1 AND EXISTS(SELECT 1 FROM %I a WHERE a.owner = o.key))',"
    "    part) INTO is_mixed USING p_host;"
    "   CONTINUE WHEN is_mixed;"
    "   EXECUTE format('SELECT count(*) FROM %I', part) INTO n;"
    "   EXECUTE format('DROP TABLE %I', part);"
    "   RETURN n;"
    "  END LOOP;"
    "  RETURN NULL;"
    " EXCEPTION WHEN lock_not_available OR deadlock_detected THEN"
    "  RETURN NULL;"
    " END $$;"
    "CREATE FUNCTION archive_delete(k bigint, p_before uuid, p_limit bigint)"
    " RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE"
    "  n bigint;"
    " BEGIN"
    "  DELETE FROM archive a USING (SELECT id FROM archive WHERE owner = k"
    "   AND id < p_before ORDER BY id LIMIT p_limit) d"
    "   WHERE a.owner = k AND a.id = d.id;"
    "  GET DIAGNOSTICS n = ROW_COUNT;"
    "  RETURN n;"
    " END $$;"
    /* From the archive `p_from` on; `o_next` is where to go on, or -1. */
    "CREATE FUNCTION archive_expire(p_host text, p_before uuid,"
    " p_from bigint, p_limit bigint, OUT o_count bigint, OUT o_next bigint)"
    " LANGUAGE plpgsql AS $$ DECLARE"
    "  k bigint; n bigint; seen int := 0;"
    " BEGIN"
    "  o_count := 0;"
    "  FOR k IN SELECT key FROM archive_owner"
    "    WHERE (host = p_host OR owner = p_host)"
    "    AND key >= p_from ORDER BY key"
    "  LOOP"
    "   o_next := k;"
    "   EXIT WHEN seen >= p_limit;"
    "   n := archive_delete(k, p_before, p_limit - o_count);"
    "   o_count := o_count + n;"
    /* It may have more. */
    "   EXIT WHEN o_count >= p_limit;"
    "   o_next := NULL;"
    "   seen := seen + 1;"
    "  END LOOP;"
    "  o_next := coalesce(o_next, -1);"
    " END $$;"
    /*
     * Of archives that were cleared. An owner's row stays a while: what
     * appends may have read its key before.
     */
    "CREATE FUNCTION archive_purge(p_limit bigint) RETURNS bigint"
    " LANGUAGE plpgsql AS $$ DECLARE"
    "  k bigint; n bigint;"
    " BEGIN"
    "  DELETE FROM archive_owner o WHERE owner IS NULL"
    "   AND cleared < now() - interval '1 minute'"
    "   AND NOT EXISTS(SELECT 1 FROM archive a WHERE a.owner = o.key);"
    "  SELECT key INTO k FROM archive_owner o WHERE owner IS NULL"
    "   AND EXISTS(SELECT 1 FROM archive a WHERE a.owner = o.key)"
    "   ORDER BY key LIMIT 1 FOR UPDATE SKIP LOCKED;"
    "  IF NOT FOUND THEN RETURN 0; END IF;"
    "  RETURN archive_delete(k, 'ffffffff-ffff-ffff-ffff-ffffffffffff',"
    "   p_limit);"
    " END $$;";

/*
 * A message between two accounts here is in the archives of both: the
 * sender's is shown, and the recipient's if the sender keeps none.
 */
static const char view[] =
    "CREATE VIEW chat_message AS SELECT"
    " a.id::text AS message_id,"
    " CASE WHEN a.is_outgoing THEN o.owner ELSE a.with_bare END"
    " AS from_user_id,"
    " CASE WHEN a.is_outgoing THEN a.with_bare ELSE o.owner END"
    " AS to_user_id,"
    " a.body AS message,"
    " CASE WHEN a.media_type LIKE 'image/%' THEN a.media_url END"
    " AS photo_url,"
    " CASE WHEN a.media_type LIKE 'image/%' THEN a.media_id END"
    " AS photo_id,"
    " CASE WHEN a.media_type LIKE 'video/%' THEN a.media_url END"
    " AS video_url,"
    " CASE WHEN a.media_type LIKE 'video/%' THEN a.media_id END"
    " AS video_id,"
    " to_char(timestamp 'epoch' + a.ts * interval '1 millisecond',"
    "  'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS timestamp"
    " FROM archive_owner o JOIN archive a ON a.owner = o.key"
    " WHERE o.owner IS NOT NULL"
    " AND (a.body IS NOT NULL OR a.media_url IS NOT NULL)"
    " AND (a.is_outgoing OR a.with_bare = o.owner"
    " OR NOT EXISTS(SELECT 1 FROM account WHERE jid = o.owner)"
    " OR NOT EXISTS(SELECT 1 FROM archive_owner s"
    " WHERE s.owner = a.with_bare));";

static const char *const steps[][6] = {
	{ accounts_and_values, archive, partitions, expiry, view, NULL },
};

_Static_assert(ARRAY_LEN(steps) == SCHEMA_VERSION, "one step a version");

/* ---- running them ------------------------------------------------------ */

static int
fail(PGconn *conn, const char *what, struct arena *a, const char **why_r)
{
	char why[300];

	connect_reason(conn, why, sizeof(why));
	*why_r = arena_printf(
	    a, "PostgreSQL: database %s: %s: %s", PQdb(conn), what, why);
	return ERR_STORE;
}

static int
run(PGconn *conn, const char *sql)
{
	PGresult *res = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(res);

	PQclear(res);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
		   ? 0
		   : ERR_STORE;
}

/* The first column of the first row, in the arena; NULL: no such thing. */
static int
ask(PGconn *conn, const char *sql, struct arena *a, const char **text_r)
{
	PGresult *res = PQexec(conn, sql);
	bool is_fine = PQresultStatus(res) == PGRES_TUPLES_OK;

	*text_r = NULL;
	if (is_fine && PQntuples(res) > 0 && !PQgetisnull(res, 0, 0))
		*text_r = arena_printf(a, "%s", PQgetvalue(res, 0, 0));
	PQclear(res);
	return is_fine ? 0 : ERR_STORE;
}

/* Is it fit for us? Before anything is made in it. */
static int
database_check(PGconn *conn, struct arena *a, const char **why_r)
{
	const char *encoding;

	if (PQserverVersion(conn) < 130000) {
		*why_r = arena_printf(a,
		    "PostgreSQL: the server has version %d, 13 is the oldest "
		    "that will do",
		    PQserverVersion(conn) / 10000);
		return ERR_STORE;
	}
	if (ask(conn, "SHOW server_encoding", a, &encoding) < 0)
		return fail(conn, "encoding", a, why_r);
	if (encoding != NULL && strcmp(encoding, "UTF8") != 0) {
		*why_r = arena_printf(a,
		    "PostgreSQL: database %s: its encoding is %s, but must be "
		    "UTF8",
		    PQdb(conn), encoding);
		return ERR_STORE;
	}
	return 0;
}

static int
version_get(PGconn *conn, int *version_r, struct arena *a, const char **why_r)
{
	const char *text;

	if (run(conn, "CREATE TABLE IF NOT EXISTS rookery_schema("
		      " version int PRIMARY KEY,"
		      " applied timestamptz NOT NULL DEFAULT now())") < 0 ||
	    ask(conn, "SELECT coalesce(max(version), 0) FROM rookery_schema", a,
		&text) < 0)
		return fail(conn, "version", a, why_r);
	*version_r = text != NULL ? atoi(text) : 0;
	if (*version_r > SCHEMA_VERSION) {
		*why_r = arena_printf(a,
		    "PostgreSQL: database %s: its tables have version %d, but "
		    "this program knows only up to %d: use the newer one",
		    PQdb(conn), *version_r, SCHEMA_VERSION);
		return ERR_STORE;
	}
	return 0;
}

static int
step_run(PGconn *conn, int version, struct arena *a, const char **why_r)
{
	const char *const *part = steps[version - 1];
	const char *done = arena_printf(
	    a, "INSERT INTO rookery_schema(version) VALUES(%d)", version);

	for (; *part != NULL; part++) {
		if (run(conn, *part) < 0)
			break;
	}
	if (*part != NULL || run(conn, done) < 0)
		return fail(
		    conn, arena_printf(a, "to version %d", version), a, why_r);
	return 0;
}

int
schema_migrate(PGconn *conn, int to, struct arena *a, const char **why_r)
{
	int from = 0, err = database_check(conn, a, why_r);

	if (err == 0 &&
	    run(conn, "BEGIN; SET LOCAL client_min_messages = warning;"
		      "SELECT pg_advisory_xact_lock(1383034731, 1)") < 0)
		err = fail(conn, "lock", a, why_r);
	if (err == 0)
		err = version_get(conn, &from, a, why_r);
	for (int version = from; err == 0 && version < to;)
		err = step_run(conn, ++version, a, why_r);
	if (err == 0 && run(conn, "SELECT archive_ahead()") < 0)
		err = fail(conn, "partitions", a, why_r);
	if (err == 0 && run(conn, "COMMIT") < 0)
		err = fail(conn, "commit", a, why_r);
	if (err == 0 && from != 0 && from < to)
		log_notice(
		    &pg_log, "tables brought from version %d to %d", from, to);
	return err;
}
