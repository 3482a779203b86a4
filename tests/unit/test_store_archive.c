/* SPDX-License-Identifier: MIT */
/* Archives of any backend, against a model that looks at every item. */
#include "store_rig.h"

#include "base/err.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define JULIET "juliet@example.net"
#define ROMEO "romeo@example.net"
#define START 1700000000000

/* The id of the n-th item of a millisecond. */
static struct str
id_at(int64_t ms, unsigned n)
{
	return str_printf(rig.a, "%08x-%04x-7%03x-8000-%012x",
	    (unsigned)(ms >> 16), (unsigned)(ms & 0xffff), n, n);
}

struct items {
	const char *owner;
	const struct archive_item *item;
	size_t count;
};

static void
fill_items(struct store_write *w, void *arg)
{
	const struct items *s = arg;

	for (size_t i = 0; i < s->count; i++)
		archive_append(w, str_c(s->owner), &s->item[i]);
}

static int
append(const char *owner, const struct archive_item *item, size_t count)
{
	struct items s = { .owner = owner, .item = item, .count = count };

	return rig_write(0, owner, fill_items, &s);
}

static struct str
append_body(const char *owner, int64_t ms, const char *with, const char *body)
{
	static unsigned n;
	struct archive_item m = {
		.id = id_at(ms, n++ % 4096),
		.with = str_c(with),
		.xml = STR("<message/>"),
		.body = str_c(body),
	};

	assert_int_equal(append(owner, &m, 1), 0);
	return m.id;
}

/* ---- the model --------------------------------------------------------- */

#define ITEMS 2000

static struct archive_item model[ITEMS];
static int64_t model_ms[ITEMS];
static unsigned seed;

static unsigned
rnd(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static const char *const peers[] = { "romeo@example.net/orchard",
	"romeo@example.net", "nurse@example.net/phone",
	"room@muc.example.net/romeo", "example.net", JULIET "/x" };
static const char *const words[] = { "love", "night", "name rose",
	"Wherefore art thou", "naïve café", NULL };

static void
model_make(void)
{
	int64_t ms = START;
	unsigned n = 0;

	seed = 7;
	for (size_t i = 0; i < ITEMS; i++) {
		struct archive_item *m = &model[i];
		bool is_same = i > 0 && rnd(4) == 0;
		const char *word = words[rnd(ARRAY_LEN(words))];

		ms += is_same ? 0 : 1 + rnd(50);
		n = is_same ? n + 1 : 0;
		model_ms[i] = ms;
		*m = (struct archive_item){
			.id = id_at(ms, n),
			.with = str_c(peers[rnd(ARRAY_LEN(peers))]),
			.is_outgoing = rnd(2) == 0,
			.xml = str_printf(rig.a, "<message>%zu</message>", i),
			.body = str_c(word),
		};
		if (rnd(5) == 0) {
			m->media_url = str_printf(
			    rig.a, "https://up.example.net/f/%zu/pic.jpg", i);
			m->media_type = STR("image/jpeg");
		}
		if (rnd(3) == 0)
			m->origin_id = str_printf(rig.a, "o%zu", i);
	}
	for (size_t i = 0; i < ITEMS; i += 250)
		assert_int_equal(append(JULIET, model + i, 250), 0);
	/* Others' are not ours. */
	assert_int_equal(append(ROMEO, model, 300), 0);
}

static bool
with_matches(struct str with, struct str filter)
{
	struct str bare = with;

	if (str_find(filter, '/') < filter.n)
		return str_eq(with, filter);
	bare = str_cut(&bare, '/');
	return str_eq(bare, filter);
}

static bool
model_matches(size_t i, const struct archive_filter *f)
{
	const struct archive_item *m = &model[i];
	bool is_listed = f->id_count == 0;

	for (size_t k = 0; k < f->id_count; k++)
		is_listed |= str_eq(f->ids[k], m->id);
	return is_listed &&
	       (str_is_empty(f->with) || with_matches(m->with, f->with)) &&
	       (f->start == 0 || model_ms[i] >= f->start) &&
	       (f->end == 0 || model_ms[i] <= f->end) &&
	       (str_is_empty(f->after_id) || str_cmp(m->id, f->after_id) > 0) &&
	       (str_is_empty(f->before_id) ||
		   str_cmp(m->id, f->before_id) < 0) &&
	       (str_is_empty(f->origin_id) ||
		   str_eq(m->origin_id, f->origin_id)) &&
	       (!f->has_media || !str_is_none(m->media_url)) &&
	       (str_is_empty(f->text) ||
		   (!str_is_none(m->body) && str_eq(m->body, f->text)));
}

static size_t
model_find(const struct archive_filter *f, size_t *found)
{
	size_t n = 0;

	for (size_t i = 0; i < ITEMS; i++) {
		if (model_matches(i, f))
			found[n++] = i;
	}
	return n;
}

static void
assert_item(const struct archive_item *m, size_t i)
{
	const struct archive_item *as = &model[i];

	assert_true(str_eq(m->id, as->id));
	assert_true(str_eq(m->with, as->with));
	assert_true(str_eq(m->xml, as->xml));
	assert_true(str_eq(m->body, as->body));
	assert_true(str_eq(m->origin_id, as->origin_id));
	assert_true(str_eq(m->media_url, as->media_url));
	assert_true(str_eq(m->media_type, as->media_type));
	assert_int_equal(str_is_none(m->body), str_is_none(as->body));
	assert_int_equal(m->is_outgoing, as->is_outgoing);
}

/* Pages through all that match, from one end to the other. */
static void
check_forwards(struct archive_filter f, size_t limit)
{
	static size_t found[ITEMS];
	size_t n = model_find(&f, found), at = 0;
	struct archive_page page;

	f.limit = limit;
	f.want_total = true;
	do {
		assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
		assert_int_equal(page.total, n);
		assert_int_equal(page.count, MIN(limit, n - at));
		for (size_t i = 0; i < page.count; i++)
			assert_item(&page.items[i], found[at + i]);
		at += page.count;
		assert_int_equal(page.is_complete, at == n);
		if (page.count > 0)
			f.page_after = page.items[page.count - 1].id;
	} while (!page.is_complete);
	assert_int_equal(at, n);
}

static void
check_backwards(struct archive_filter f, size_t limit)
{
	static size_t found[ITEMS];
	size_t n = model_find(&f, found), at = n;
	struct archive_page page;

	f.limit = limit;
	f.is_backwards = true;
	do {
		assert_int_equal(rig_find(1, rig.a, JULIET, &f, &page), 0);
		assert_int_equal(page.count, MIN(limit, at));
		at -= page.count;
		for (size_t i = 0; i < page.count; i++)
			assert_item(&page.items[i], found[at + i]);
		assert_int_equal(page.is_complete, at == 0);
		if (page.count > 0)
			f.page_before = page.items[0].id;
	} while (!page.is_complete);
	assert_int_equal(at, 0);
}

static void
check_filter(const struct archive_filter *f)
{
	struct archive_page page;
	struct archive_filter none = *f;
	static size_t found[ITEMS];
	size_t n = model_find(f, found);

	check_forwards(*f, 1 + rnd(60) + n / 8);
	check_backwards(*f, 1 + rnd(60) + n / 8);
	check_forwards(*f, SIZE_MAX);

	/* Just counting. */
	none.limit = 0;
	none.want_total = true;
	assert_int_equal(rig_find(0, rig.a, JULIET, &none, &page), 0);
	assert_int_equal(page.count, 0);
	assert_int_equal(page.total, n);
	assert_int_equal(page.is_complete, n == 0);
}

static struct archive_filter
filter_random(struct str *ids)
{
	static const char *const others[] = { "romeo@example.net",
		"romeo@example.net/orchard", "nurse@example.net",
		"room@muc.example.net/romeo", "example.net", JULIET,
		"nobody@example.net" };
	struct archive_filter f = { 0 };
	size_t i = rnd(ITEMS), k = i + rnd(ITEMS - (unsigned)i);

	if (rnd(2) == 0)
		f.with = str_c(others[rnd(ARRAY_LEN(others))]);
	if (rnd(3) == 0)
		f.start = model_ms[i] + (int)rnd(3) - 1;
	if (rnd(3) == 0)
		f.end = model_ms[k] + (int)rnd(3) - 1;
	if (rnd(4) == 0)
		f.after_id = model[i].id;
	if (rnd(4) == 0)
		f.before_id = model[k].id;
	if (rnd(4) == 0)
		f.has_media = true;
	if (rnd(5) == 0)
		f.text = STR("love");
	if (rnd(8) == 0)
		f.origin_id = str_printf(rig.a, "o%zu", k);
	if (rnd(6) == 0) {
		f.ids = ids;
		f.id_count = 1 + rnd(40);
		for (size_t n = 0; n < f.id_count; n++)
			ids[n] = model[rnd(ITEMS)].id;
	}
	return f;
}

static void
test_find(void **state)
{
	static struct str ids[64];
	struct archive_filter f = { 0 };

	model_make();
	check_filter(&f);
	check_forwards(f, 1 + ITEMS / 2);
	for (int i = 0; i < 150; i++) {
		f = filter_random(ids);
		check_filter(&f);
	}
}

/* Times include their whole millisecond. */
static void
test_find_times(void **state)
{
	struct archive_filter f = { .limit = 10, .start = START };
	struct archive_page page;

	append_body(JULIET, START - 1, ROMEO, "one");
	append_body(JULIET, START, ROMEO, "two");
	append_body(JULIET, START, ROMEO, "three");
	append_body(JULIET, START + 1, ROMEO, "four");
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	assert_int_equal(page.count, 3);
	f.end = START;
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	assert_int_equal(page.count, 2);
	f.start = START + 1;
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	assert_int_equal(page.count, 0);
	assert_true(page.is_complete);
}

static void
assert_find(const struct archive_filter *f, int err)
{
	struct archive_page page;

	assert_int_equal(rig_find(0, rig.a, JULIET, f, &page), err);
	assert_int_equal(page.count, 0);
}

static void
test_find_absent(void **state)
{
	struct str known = append_body(ROMEO, START, JULIET, "hers");
	struct str own = append_body(JULIET, START + 5, ROMEO, "mine");
	struct str ids[] = { own, known };
	static const char *const bad[] = { "x", "",
		"018bcfe5-6800-7000-8000-00000000000",
		"018BCFE5-6800-7000-8000-000000000000",
		"018bcfe5x6800x7000x8000x000000000000" };
	struct archive_filter f = { .limit = 10, .page_after = known };
	struct archive_page page;

	assert_find(&f, ERR_ABSENT);
	f = (struct archive_filter){ .limit = 10, .page_before = known };
	assert_find(&f, ERR_ABSENT);
	f = (struct archive_filter){ .limit = 10, .after_id = known };
	assert_find(&f, ERR_ABSENT);
	f = (struct archive_filter){ .limit = 10, .before_id = known };
	assert_find(&f, ERR_ABSENT);
	f = (struct archive_filter){ .limit = 10, .ids = ids, .id_count = 2 };
	assert_find(&f, ERR_ABSENT);
	f.id_count = 1;
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	assert_int_equal(page.count, 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ids[0] = str_c(bad[i]);
		assert_find(&f, ERR_ABSENT);
	}
	f = (struct archive_filter){ .limit = 10, .page_after = own };
	assert_find(&f, 0);

	/* Somebody who has no archive at all. */
	assert_int_equal(rig_find(0, rig.a, "x@y", &f, &page), ERR_ABSENT);
	f = (struct archive_filter){ .limit = 10, .want_total = true };
	assert_int_equal(rig_find(0, rig.a, "x@y", &f, &page), 0);
	assert_true(page.is_complete);
	assert_int_equal(page.count + page.total, 0);
}

static void
test_ends(void **state)
{
	struct archive_page page;
	uint64_t n;

	assert_int_equal(rig_ends(0, rig.a, JULIET, &page), 0);
	assert_int_equal(page.count, 0);
	append_body(JULIET, START + 2, ROMEO, "second");
	assert_int_equal(rig_ends(0, rig.a, JULIET, &page), 0);
	assert_int_equal(page.count, 1);
	rig_assert_str(page.items[0].body, "second");
	append_body(JULIET, START + 1, ROMEO, "first");
	append_body(JULIET, START + 3, ROMEO, "third");
	assert_int_equal(rig_ends(0, rig.a, JULIET, &page), 0);
	assert_int_equal(page.count, 2);
	rig_assert_str(page.items[0].body, "first");
	rig_assert_str(page.items[1].body, "third");
	assert_int_equal(rig_archive_count(0, JULIET, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(rig_archive_count(0, ROMEO, &n), 0);
	assert_int_equal(n, 0);
}

/* ---- writes ------------------------------------------------------------ */

static void
test_append_refused(void **state)
{
	struct archive_item m = {
		.id = id_at(START, 1),
		.with = STR(ROMEO),
		.xml = STR("<message/>"),
	};
	struct archive_item two[2] = { m, m };
	uint64_t n;

	assert_int_equal(append(JULIET, &m, 1), 0);
	assert_int_equal(append(JULIET, &m, 1), ERR_EXISTS);
	assert_int_equal(append(ROMEO, &m, 1), 0);
	two[0].id = id_at(START, 2);
	assert_int_equal(append(JULIET, two, 2), ERR_EXISTS);
	assert_int_equal(rig_archive_count(0, JULIET, &n), 0);
	assert_int_equal(n, 1);
	m.id = STR("not-a-uuid");
	assert_int_equal(append(JULIET, &m, 1), ERR_INVALID);
	m.id = STR("018bcfe5-6800-4000-8000-000000000000");
	assert_int_equal(append(JULIET, &m, 1), ERR_INVALID);
}

static void
fill_replace(struct store_write *w, void *arg)
{
	archive_replace(w, STR(JULIET), *(struct str *)arg, STR("<gone/>"));
}

static void
find_text(const char *owner, const char *text, struct archive_page *page_r)
{
	struct archive_filter f = {
		.text = str_c(text),
		.limit = 100,
		.want_total = true,
	};

	assert_int_equal(rig_find(0, rig.a, owner, &f, page_r), 0);
	assert_int_equal(page_r->total, page_r->count);
}

static void
assert_text(const char *owner, const char *text, size_t count)
{
	struct archive_page page;

	find_text(owner, text, &page);
	if (page.count != count)
		fail_msg("'%s' finds %zu, not %zu", text, page.count, count);
}

static void
test_replace(void **state)
{
	struct str id = append_body(JULIET, START, ROMEO, "a secret");
	struct str unindexed;
	struct archive_filter f = { .limit = 10 };
	struct archive_page page;

	assert_text(JULIET, "secret", 1);
	unindexed = append_body(JULIET, START + 1, ROMEO, "another secret");
	assert_int_equal(rig_write(0, JULIET, fill_replace, &id), 0);
	assert_int_equal(rig_write(0, JULIET, fill_replace, &unindexed), 0);
	assert_text(JULIET, "secret", 0);
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	assert_int_equal(page.count, 2);
	rig_assert_str(page.items[0].xml, "<gone/>");
	assert_true(str_is_none(page.items[0].body));
	rig_assert_str(page.items[0].with, ROMEO);

	id = id_at(START + 9, 9);
	assert_int_equal(rig_write(0, JULIET, fill_replace, &id), ERR_ABSENT);
	id = STR("x");
	assert_int_equal(rig_write(0, JULIET, fill_replace, &id), ERR_ABSENT);
	rig_kind.check(rig.dir);
}

static void
fill_clear_with(struct store_write *w, void *arg)
{
	archive_clear(w, STR(JULIET), STR(ROMEO));
}

static void
fill_clear(struct store_write *w, void *arg)
{
	archive_clear(w, STR(JULIET), STR_NONE);
	archive_clear(w, STR("nobody@example.net"), STR_NONE);
}

static void
test_clear_with(void **state)
{
	uint64_t n;

	append_body(JULIET, START, ROMEO "/a", "word");
	append_body(JULIET, START + 1, ROMEO, "word");
	assert_text(JULIET, "word", 2);
	append_body(JULIET, START + 2, ROMEO, "word");
	append_body(JULIET, START + 3, "nurse@example.net", "word");
	assert_int_equal(rig_write(0, JULIET, fill_clear_with, NULL), 0);
	assert_int_equal(rig_archive_count(0, JULIET, &n), 0);
	assert_int_equal(n, 1);
	assert_text(JULIET, "word", 1);
	rig_kind.check(rig.dir);
}

/* Gone at once for the owner; from the disk a little later. */
static void
test_clear(void **state)
{
	struct archive_page page;
	struct archive_filter f = { .limit = 100 };
	uint64_t n;

	model_make();
	assert_text(JULIET, "nothing", 0);
	assert_int_equal(rig_write(0, JULIET, fill_clear, NULL), 0);
	assert_int_equal(rig_archive_count(0, JULIET, &n), 0);
	assert_int_equal(n, 0);
	append_body(JULIET, START, ROMEO, "anew");
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	assert_int_equal(page.count, 1);
	rig_await_number("SELECT count(*) FROM archive", 301);
	if (rig_kind.is_embedded)
		rig_await_number("SELECT count(*) FROM archive_owner", 2);
	assert_int_equal(rig_archive_count(0, ROMEO, &n), 0);
	assert_int_equal(n, 300);
	assert_text(JULIET, "anew", 1);
	assert_text(JULIET, "love", 0);
	rig_kind.check(rig.dir);
}

/* Clearing goes on after a restart. */
static void
test_clear_restart(void **state)
{
	model_make();
	assert_int_equal(rig_write(0, JULIET, fill_clear, NULL), 0);
	rig_close();
	rig_open(rig.dir);
	rig_assert_absent(JULIET, "s", "k");
	rig_await_number("SELECT count(*) FROM archive", 300);
}

static void
test_expire(void **state)
{
	struct archive_filter f = { .limit = SIZE_MAX };
	const atomic_bool is_aborted = true;
	struct archive_page page;
	uint64_t n;

	model_make();
	append_body("x@example.org", START - 5, ROMEO, "other host");
	assert_text(JULIET, "nothing", 0);
	assert_int_equal(
	    rig_expire_until(0, "example.net", START * 2, &is_aborted, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(rig_expire(0, "example.net", model_ms[1200], &n), 0);
	for (size_t i = 1199; model_ms[i] == model_ms[1200]; i--)
		n++;
	assert_int_equal(n, 1200 + 300);
	assert_int_equal(rig_find(0, rig.a, JULIET, &f, &page), 0);
	for (size_t i = 0; i < page.count; i++)
		assert_item(&page.items[i], ITEMS - page.count + i);
	assert_true(page.count >= 800);
	assert_int_equal(rig_archive_count(0, ROMEO, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(rig_archive_count(0, "x@example.org", &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(rig_expire(0, "example.net", START, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(rig_expire(0, "example.net", 0, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(rig_expire(0, "none.example", START * 2, &n), 0);
	assert_int_equal(n, 0);
	rig_kind.check(rig.dir);
}

/* ---- search ------------------------------------------------------------ */

static void
test_search(void **state)
{
	append_body(JULIET, START, ROMEO, "O Romeo, Romeo! wherefore art thou");
	append_body(JULIET, START + 1, ROMEO, "Deny thy father; naïve Ärger");
	append_body(JULIET, START + 2, ROMEO, "meeting owner o1 and body");
	append_body(ROMEO, START + 3, JULIET, "Romeo speaks");

	assert_text(JULIET, "romeo", 1);
	assert_text(ROMEO, "ROMEO", 1);
	assert_text(JULIET, "thou romeo", 1);
	assert_text(JULIET, "thou father", 0);
	assert_text(JULIET, "\"art thou\"", 1);
	assert_text(JULIET, "\"thou art\"", 0);
	assert_text(JULIET, "\"art thou\" romeo!", 1);
	assert_text(JULIET, "naive", 1);
	assert_text(JULIET, "arger", 1);
	assert_text(JULIET, "meet", 0);
	assert_text(JULIET, "meet*", 1);
	/* What would be syntax is text. */
	assert_text(JULIET, "romeo OR father", 0);
	assert_text(JULIET, "NOT romeo", 0);
	assert_text(JULIET, "owner:o2", 0);
	assert_text(JULIET, "body:romeo", 0);
	assert_text(JULIET, "o2", 0);
	assert_text(JULIET, "romeo\"", 1);
	assert_text(JULIET, "\"romeo", 1);
	assert_text(JULIET, "(romeo)", 1);
	assert_text(JULIET, "romeo ^ + - , ;", 1);
	assert_text(JULIET, "!?", 0);
	assert_text(JULIET, "   ", 0);
	assert_text(JULIET, "\xff\xfe romeo", 0);
	assert_text(JULIET, "\xf0\x9f\x98\x80", 0);
	assert_text("nobody@example.net", "romeo", 0);
}

static int turn_left;
static bool turn_is_bad;

static void
on_turn_page(void *ctx, int err, const struct archive_page *page)
{
	size_t expected = (size_t)(uintptr_t)ctx;

	if (err != 0 || page->count != expected)
		turn_is_bad = true;
	if (--turn_left == 0)
		rig_done();
}

/* What one turn asks: an append, and at once a look for it. */
static void
start_turn(void *arg)
{
	struct archive_filter any = { .limit = 100 },
			      text = { .limit = 100, .text = STR("now") };

	turn_left = 0;
	for (uintptr_t i = 1; i <= 10; i++) {
		struct store_write *w = store_write_new(STR(JULIET));
		struct archive_item m = {
			.id = id_at(START, (unsigned)i),
			.with = STR(ROMEO),
			.xml = STR("<message/>"),
			.body = STR("now"),
		};

		archive_append(w, STR(JULIET), &m);
		store_commit(&w, NULL, NULL);
	}
	turn_left += 2;
	archive_find(STR(JULIET), &any, on_turn_page, (void *)10);
	archive_find(STR(JULIET), &text, on_turn_page, (void *)10);
}

static void
test_turn(void **state)
{
	turn_is_bad = false;
	rig_run(0, start_turn, NULL);
	assert_false(turn_is_bad);
}

/* ---- views ------------------------------------------------------------- */

static void
fill_accounts(struct store_write *w, void *arg)
{
	struct account_row row = {
		.jid = STR(JULIET),
		.first_name = STR("Juliet"),
		.email = STR("j@example.net"),
	};

	account_create(w, &row);
	row = (struct account_row){ .jid = STR(ROMEO) };
	account_create(w, &row);
}

/* Plain tables for others: each message once, whoever keeps it. */
static void
test_views(void **state)
{
	struct archive_item sent = {
		.id = id_at(START + 123, 1),
		.with = STR(ROMEO "/phone"),
		.is_outgoing = true,
		.xml = STR("<message/>"),
		.body = STR("hello"),
		.media_url = STR("https://up.example.net/d/SLOT/a.jpg?x=1"),
		.media_type = STR("image/jpeg"),
	};
	struct archive_item got = sent, bare = sent;

	assert_int_equal(rig_write(0, JULIET, fill_accounts, NULL), 0);
	assert_int_equal(
	    rig_number("SELECT count(*) FROM chat_user WHERE"
		       " user_id = '" JULIET "' AND first_name = 'Juliet'"
		       " AND last_name IS NULL"
		       " AND email_addr = 'j@example.net'"),
	    1);

	got.id = id_at(START + 125, 1);
	got.is_outgoing = false;
	got.with = STR(JULIET "/balcony");
	bare.id = id_at(START + 130, 2);
	bare.body = bare.media_url = bare.media_type = STR_NONE;
	assert_int_equal(append(JULIET, &sent, 1), 0);
	assert_int_equal(append(ROMEO, &got, 1), 0);
	assert_int_equal(append(JULIET, &bare, 1), 0);
	assert_int_equal(rig_number("SELECT count(*) FROM chat_message"), 1);
	assert_int_equal(
	    rig_number(str_printf(rig.a,
		"SELECT count(*) FROM chat_message WHERE"
		" message_id = '" STR_FMT "' AND from_user_id = '" JULIET
		"' AND to_user_id = '" ROMEO "' AND message = 'hello'"
		" AND photo_url LIKE '%%/SLOT/a.jpg?x=1'"
		" AND photo_id = 'SLOT' AND video_url IS NULL"
		" AND video_id IS NULL"
		" AND timestamp = '2023-11-14T22:13:20.123Z'",
		STR_ARG(sent.id))
			   .p),
	    1);

	/* From outside, into a room, and from one who keeps nothing. */
	got.with = STR("x@elsewhere.example/r");
	got.id = id_at(START + 200, 1);
	got.media_type = STR("video/mp4");
	got.media_url = STR("https://a.example/film.mp4");
	assert_int_equal(append(JULIET, &got, 1), 0);
	got.with = STR(ROMEO "/phone");
	got.id = id_at(START + 201, 1);
	assert_int_equal(append("room@muc.example.net", &got, 1), 0);
	assert_int_equal(rig_number("SELECT count(*) FROM chat_message"), 3);
	assert_int_equal(
	    rig_number("SELECT count(*) FROM chat_message WHERE"
		       " video_id = 'film.mp4' AND photo_url IS NULL"),
	    2);
	assert_int_equal(rig_write(0, JULIET, fill_clear, NULL), 0);
	assert_int_equal(rig_number("SELECT count(*) FROM chat_message"
				    " WHERE from_user_id = '" JULIET "'"),
	    1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_find),
		TEST(test_find_times),
		TEST(test_find_absent),
		TEST(test_ends),
		TEST(test_append_refused),
		TEST(test_replace),
		TEST(test_clear_with),
		TEST(test_clear),
		TEST(test_clear_restart),
		TEST(test_expire),
		TEST(test_search),
		TEST(test_turn),
		TEST(test_views),
	};

	return rig_main(tests);
}
