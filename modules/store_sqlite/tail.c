/* SPDX-License-Identifier: MIT */
#include "modules/store_sqlite/tail.h"

#include "modules/store_sqlite/archive.h"

#include <stdatomic.h>
#include <stdlib.h>

/* So many are entered together; beyond the most, appends wait for that. */
#define BATCH_ROWS 16384
#define BATCH_MOST (4 * BATCH_ROWS)
/* If they can't be entered, no more than that wait for it. */
#define TAIL_MOST (16 * BATCH_ROWS)
/* Where owners hash to: a power of two. */
#define SLOTS 16384
/* Rows that are entered between two looks at the clock. */
#define ROWS_AT_ONCE 32

struct row {
	int64_t seq;
	/* Together the key of the map. */
	int64_t owner;
	struct uuid id;
	struct str with; /* bare */
	struct str origin;
	struct row *next; /* of the batch and slot */
	uint32_t slot;
	bool has_media;
	bool is_entered;
	bool is_changed; /* in the table, or gone from it */
};

#define ROW_KEY_LEN (sizeof(int64_t) + ID_LEN)
_Static_assert(
    offsetof(struct row, id) - offsetof(struct row, owner) == sizeof(int64_t),
    "what tells rows apart is in one piece");

struct batch {
	struct arena *arena;
	struct row **rows;    /* by seq */
	struct row **by_slot; /* of each, the newest */
	size_t count, cap;
	struct uuid first; /* no row has a lower id */
	uint32_t number;
};

struct tail {
	struct batch now;   /* rows are added here */
	struct batch old;   /* is being entered, in order, up to `at` */
	struct row **order; /* its rows by owner and id */
	size_t at;
	size_t at_safe;	  /* up to there it is committed */
	struct map by_id; /* of both */
	struct uuid high; /* no row that left the tail has a higher id */
	/* What this transaction has entered, and all of whose rows. */
	struct row **rows;
	size_t row_count, row_cap;
	uint32_t *slots;
	size_t slot_count, slot_cap;
};

/* The newest batch with rows of an owner that hashes to the slot. */
static _Atomic uint32_t slots[SLOTS];
/* The newest batch that is in the indices. */
static _Atomic uint32_t entered;

static uint32_t
slot_of(struct str owner)
{
	return str_hash(owner) & (SLOTS - 1);
}

bool
tail_has(struct str owner)
{
	return atomic_load_explicit(
		   &slots[slot_of(owner)], memory_order_acquire) >
	       atomic_load_explicit(&entered, memory_order_acquire);
}

/* ---- batches ----------------------------------------------------------- */

static void
batch_fini(struct batch *b)
{
	if (b->arena != NULL)
		arena_free(&b->arena);
	xfree(b->rows);
	xfree(b->by_slot);
	*b = (struct batch){ 0 };
}

static struct str
row_key(const struct row *r)
{
	return str_mem((const char *)&r->owner, ROW_KEY_LEN);
}

static struct row *
batch_add(struct batch *b, uint32_t slot, const struct uuid *id)
{
	struct row *r;

	if (b->arena == NULL) {
		b->arena = arena_new(0);
		b->by_slot = xzalloc(SLOTS * sizeof(*b->by_slot));
	}
	if (b->count == b->cap) {
		b->cap = b->cap == 0 ? 64 : b->cap * 2;
		b->rows = xrealloc(b->rows, b->cap * sizeof(struct row *));
	}
	r = arena_zalloc(b->arena, sizeof(*r));
	r->id = *id;
	r->slot = slot;
	r->next = b->by_slot[slot];
	b->by_slot[slot] = r;
	if (b->count == 0 || memcmp(id->b, b->first.b, ID_LEN) < 0)
		b->first = *id;
	b->rows[b->count++] = r;
	return r;
}

/* The last one added. */
static struct row *
batch_pop(struct batch *b)
{
	struct row *r = b->rows[--b->count];

	b->by_slot[r->slot] = r->next;
	return r;
}

static struct row *
batch_find(const struct batch *b, int64_t seq)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (b->rows[mid]->seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low < b->count && b->rows[low]->seq == seq ? b->rows[low] : NULL;
}

static void
batch_number(struct tail *t)
{
	t->now.number = atomic_load(&entered) + 1 + (t->old.count > 0);
}

/* What was entered is in the indices for good: forgets it. */
static void
old_leave(struct tail *t)
{
	for (size_t i = 0; i < t->old.count; i++) {
		struct row *r = t->old.rows[i];

		map_del(&t->by_id, row_key(r));
		if (memcmp(r->id.b, t->high.b, ID_LEN) > 0)
			t->high = r->id;
	}
	atomic_store_explicit(&entered, t->old.number, memory_order_release);
	batch_fini(&t->old);
	xfree(t->order);
	t->order = NULL;
	t->at = t->at_safe = 0;
}

static int
row_cmp(const void *a, const void *b)
{
	const struct row *x = *(struct row *const *)a,
			 *y = *(struct row *const *)b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	return memcmp(x->id.b, y->id.b, ID_LEN);
}

static void
now_becomes_old(struct tail *t)
{
	t->old = t->now;
	t->now = (struct batch){ 0 };
	batch_number(t);
	t->order = xmalloc(t->old.count * sizeof(*t->order));
	memcpy(t->order, t->old.rows, t->old.count * sizeof(*t->order));
	qsort(t->order, t->old.count, sizeof(*t->order), row_cmp);
}

/* Makes room for what follows, once nothing can undo it any more. */
static void
old_leave_if_safe(struct tail *t)
{
	if (t->old.count > 0 && t->at_safe == t->old.count)
		old_leave(t);
}

/* ---- entering ---------------------------------------------------------- */

static int
enter_with(struct db *db, sqlite3_stmt *st, const struct row *r)
{
	if (st != NULL) {
		sqlite3_bind_int64(st, 1, r->owner);
		sqlite3_bind_int64(st, 3, r->seq);
	}
	bind_id(st, 2, &r->id);
	return db_run(db, st);
}

static int
enter_by_id(struct db *db, const struct row *r)
{
	return enter_with(db,
	    db_prepare(db, "INSERT OR IGNORE INTO archive_by_id(owner, id, seq)"
			   " VALUES(?1, ?2, ?3)"),
	    r);
}

static int
enter_by_with(struct db *db, const struct row *r)
{
	sqlite3_stmt *st = db_prepare(db,
	    "INSERT OR IGNORE INTO archive_by_with(owner, with_bare, id, seq)"
	    " VALUES(?1, ?4, ?2, ?3)");

	bind_text(st, 4, r->with);
	return enter_with(db, st, r);
}

static int
enter_by_origin(struct db *db, const struct row *r)
{
	sqlite3_stmt *st = db_prepare(db,
	    "INSERT OR IGNORE INTO archive_by_origin(owner, origin_id, id, seq)"
	    " VALUES(?1, ?4, ?2, ?3)");

	bind_text(st, 4, r->origin);
	return enter_with(db, st, r);
}

static int
enter_by_media(struct db *db, const struct row *r)
{
	return enter_with(db,
	    db_prepare(db,
		"INSERT OR IGNORE INTO archive_by_media(owner, id, seq)"
		" VALUES(?1, ?2, ?3)"),
	    r);
}

/* 1 if the table still has it, and then what it is there. */
static int
row_look(struct db *db, struct row *r)
{
	sqlite3_stmt *st = db_prepare(
	    db, "SELECT media_url IS NOT NULL FROM archive WHERE seq = ?1");
	int64_t has_media;
	int err;

	if (st != NULL)
		sqlite3_bind_int64(st, 1, r->seq);
	err = db_number(db, st, -1, &has_media);
	r->has_media = has_media > 0;
	return err < 0 ? err : has_media >= 0;
}

static void
row_note(struct tail *t, struct row *r)
{
	if (t->row_count == t->row_cap) {
		t->row_cap = t->row_cap == 0 ? 64 : t->row_cap * 2;
		t->rows = xrealloc(t->rows, t->row_cap * sizeof(*t->rows));
	}
	t->rows[t->row_count++] = r;
	r->is_entered = true;
}

static int
row_enter(struct db *db, struct row *r)
{
	int err = 0;

	if (r->is_entered)
		return 0;
	if (r->is_changed && (err = row_look(db, r)) <= 0)
		return err;
	err = enter_by_id(db, r);
	if (err == 0)
		err = enter_by_with(db, r);
	if (err == 0 && !str_is_none(r->origin))
		err = enter_by_origin(db, r);
	if (err == 0 && r->has_media)
		err = enter_by_media(db, r);
	if (err == 0)
		row_note(db->tail, r);
	return err;
}

static int
batch_merge(struct db *db, struct batch *b, uint32_t slot)
{
	struct row *r = b->count > 0 ? b->by_slot[slot] : NULL;
	int err = 0;

	for (; err == 0 && r != NULL; r = r->next)
		err = row_enter(db, r);
	return err;
}

/*
 * Nobody need ask for the slot's owners once this is committed, unless more
 * of their rows come before that.
 */
static void
slot_note(struct tail *t, uint32_t slot)
{
	if (t->slot_count == t->slot_cap) {
		t->slot_cap = t->slot_cap == 0 ? 16 : t->slot_cap * 2;
		t->slots = xrealloc(t->slots, t->slot_cap * sizeof(*t->slots));
	}
	t->slots[t->slot_count++] = slot;
}

static void
slot_unnote(struct tail *t, uint32_t slot)
{
	for (size_t i = t->slot_count; i-- > 0;) {
		if (t->slots[i] == slot)
			t->slots[i] = t->slots[--t->slot_count];
	}
}

int
tail_merge(struct db *db, struct str owner)
{
	struct tail *t = db->tail;
	uint32_t slot = slot_of(owner);
	int err;

	if (!tail_has(owner))
		return 0;
	err = batch_merge(db, &t->old, slot);
	if (err == 0)
		err = batch_merge(db, &t->now, slot);
	if (err == 0)
		slot_note(t, slot);
	return err;
}

static int
state_put(struct db *db, int64_t seq)
{
	sqlite3_stmt *st =
	    db_prepare(db, "UPDATE archive_index SET entered = ?1");

	if (st != NULL)
		sqlite3_bind_int64(st, 1, seq);
	return db_run(db, st);
}

/* Enters all that is left of the old batch, or what there is time for. */
static int
old_enter(struct db *db, uint64_t until)
{
	struct tail *t = db->tail;
	int err = 0;

	while (err == 0 && t->at < t->old.count) {
		err = row_enter(db, t->order[t->at]);
		t->at += err == 0;
		if (t->at % ROWS_AT_ONCE == 0 && clock_mono() >= until)
			break;
	}
	if (err == 0 && t->at == t->old.count)
		err = state_put(db, t->old.rows[t->old.count - 1]->seq);
	return err;
}

/* Can the old batch be entered? Otherwise there is none to enter. */
static bool
old_make(struct tail *t)
{
	old_leave_if_safe(t);
	if (t->old.count == 0 && t->now.count > 0)
		now_becomes_old(t);
	return t->old.count > 0;
}

/* A batch leaves with the slice after the one that has entered its last. */
int
tail_slice(struct db *db, uint64_t until)
{
	struct tail *t = db->tail;

	if (!old_make(t))
		return 1;
	return old_enter(db, t->now.count > BATCH_MOST ? UINT64_MAX : until);
}

static bool
batch_is_after(const struct batch *b, const struct uuid *id)
{
	return b->count == 0 || memcmp(b->first.b, id->b, ID_LEN) >= 0;
}

int
tail_merge_before(struct db *db, const struct uuid *id, uint64_t until)
{
	struct tail *t = db->tail;
	bool is_last = batch_is_after(&t->now, id);
	int err;

	if (is_last && batch_is_after(&t->old, id))
		return 1;
	if (!old_make(t))
		return 1;
	is_last = batch_is_after(&t->now, id);
	err = old_enter(db, until);
	if (err < 0)
		return err;
	return is_last && t->at == t->old.count;
}

/* ---- rows -------------------------------------------------------------- */

static struct row *
row_add(struct db *db, struct str owner, int64_t seq, int64_t key,
    const struct uuid *id)
{
	struct tail *t = db->tail;
	struct row *r = batch_add(&t->now, slot_of(owner), id);

	r->seq = seq;
	r->owner = key;
	slot_unnote(t, r->slot);
	map_set(&t->by_id, row_key(r), r);
	atomic_store_explicit(
	    &slots[r->slot], t->now.number, memory_order_release);
	return r;
}

/* Ids grow with time: most need no look at the index. */
static int
id_check(struct db *db, int64_t key, const struct uuid *id)
{
	struct tail *t = db->tail;
	struct row r = { .owner = key, .id = *id };
	sqlite3_stmt *st;
	int64_t n;
	int err;

	if (map_get(&t->by_id, row_key(&r)) != NULL)
		return ERR_EXISTS;
	if (memcmp(id->b, t->high.b, ID_LEN) > 0)
		return 0;
	st = db_prepare(
	    db, "SELECT 1 FROM archive_by_id WHERE owner = ?1 AND id = ?2");
	if (st != NULL)
		sqlite3_bind_int64(st, 1, key);
	bind_id(st, 2, id);
	err = db_number(db, st, 0, &n);
	return err == 0 && n != 0 ? ERR_EXISTS : err;
}

int
tail_add(struct db *db, struct str owner, int64_t key, const struct uuid *id,
    const struct archive_item *m)
{
	struct tail *t = db->tail;
	struct str rest = m->with, bare = str_cut(&rest, '/');
	struct row *r;
	int err;

	if (t->now.count >= TAIL_MOST)
		return ERR_LIMIT;
	err = id_check(db, key, id);
	if (err < 0)
		return err;
	r = row_add(db, owner, db->seq_high + 1, key, id);
	r->with = str_dup(t->now.arena, bare);
	r->has_media = !str_is_none(m->media_url);
	r->origin = str_is_none(m->origin_id)
			? STR_NONE
			: str_dup(t->now.arena, m->origin_id);
	return 0;
}

void
tail_change(struct db *db, int64_t seq)
{
	struct row *r = batch_find(&db->tail->old, seq);

	if (r == NULL)
		r = batch_find(&db->tail->now, seq);
	if (r != NULL)
		r->is_changed = true;
}

bool
tail_is_due(const struct db *db)
{
	return db->tail->old.count > 0 || db->tail->now.count >= BATCH_ROWS;
}

bool
tail_is_empty(const struct db *db)
{
	return db->tail->old.count == 0 && db->tail->now.count == 0;
}

/* ---- transactions ------------------------------------------------------ */

size_t
tail_mark(const struct db *db)
{
	return db->tail->now.count;
}

/*
 * Nobody knows what of the rest of the transaction has been undone with it: to
 * enter a row twice does no harm.
 */
void
tail_undo(struct db *db, size_t mark)
{
	struct tail *t = db->tail;

	while (t->row_count > 0)
		t->rows[--t->row_count]->is_entered = false;
	while (t->now.count > mark)
		map_del(&t->by_id, row_key(batch_pop(&t->now)));
	t->at = t->at_safe;
	t->slot_count = 0;
}

void
tail_commit(struct db *db)
{
	struct tail *t = db->tail;

	while (t->slot_count > 0)
		atomic_store_explicit(
		    &slots[t->slots[--t->slot_count]], 0, memory_order_release);
	t->row_count = 0;
	t->at_safe = t->at;
}

/* ---- the beginning and the end ----------------------------------------- */

static int
rows_load(struct db *db, int64_t after)
{
	sqlite3_stmt *st = db_prepare(db,
	    "SELECT a.seq, a.owner, a.id, o.owner, a.with_bare, a.origin_id,"
	    " a.media_url IS NOT NULL FROM archive a"
	    " LEFT JOIN archive_owner o ON o.key = a.owner"
	    " WHERE a.seq > ?1 ORDER BY a.seq");
	struct arena *a;
	int ret;

	if (st != NULL)
		sqlite3_bind_int64(st, 1, after);
	while ((ret = db_step(db, st)) > 0) {
		struct uuid id = { { 0 } };
		struct row *r;

		a = arena_new(0);
		if (sqlite3_column_bytes(st, 2) == ID_LEN)
			memcpy(id.b, sqlite3_column_blob(st, 2), ID_LEN);
		r = row_add(db, column_text(a, st, 3),
		    sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
		    &id);
		arena_free(&a);
		a = db->tail->now.arena;
		r->with = column_text(a, st, 4);
		r->origin = column_text(a, st, 5);
		r->has_media = sqlite3_column_int(st, 6) != 0;
	}
	return ret;
}

/* The clock may have been ahead: what has left is not after that, or now. */
static int
high_load(struct db *db)
{
	sqlite3_stmt *st =
	    db_prepare(db, "SELECT max(ts) FROM archive WHERE seq > ?1");
	char text[UUID_LEN + 1];
	int64_t ts;
	int err;

	if (st != NULL)
		sqlite3_bind_int64(st, 1, MAX(db->seq_high - BATCH_MOST, 0));
	err = db_number(db, st, 0, &ts);
	uuid7_max(MAX(ts, clock_real()), text);
	uuid_parse(str_c(text), &db->tail->high);
	return err;
}

int
tail_load(struct db *db)
{
	int64_t high;
	int err;

	tail_free(db);
	db->tail = xzalloc(sizeof(*db->tail));
	batch_number(db->tail);
	err = db_number(
	    db, db_prepare(db, "SELECT entered FROM archive_index"), 0, &high);
	if (err == 0)
		err = rows_load(db, high);
	if (err == 0)
		err = high_load(db);
	return err;
}

void
tail_free(struct db *db)
{
	struct tail *t = db->tail;

	if (t == NULL)
		return;
	batch_fini(&t->now);
	batch_fini(&t->old);
	map_fini(&t->by_id);
	xfree(t->order);
	xfree(t->rows);
	xfree(t->slots);
	xfree(t);
	db->tail = NULL;
}
