/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "core/roster_impl.h"
#include "xml/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct str groups[] = { STR_INIT("Friends & <foes>"),
	STR_INIT("Přátelé") };

static struct roster_item
sample(void)
{
	return (struct roster_item){
		.jid = jid_of(STR("juliet@example.org")),
		.name = STR("\"Juliet\" & <co>"),
		.groups = { groups, 2 },
		.sub = ROSTER_FROM,
		.is_asking = true,
		.is_approved = true,
		.is_in_roster = true,
	};
}

static void
assert_same(const struct roster_item *a, const struct roster_item *b)
{
	assert_true(jid_eq(&a->jid, &b->jid));
	assert_true(str_eq(a->name, b->name));
	assert_int_equal(a->sub, b->sub);
	assert_int_equal(a->is_asking, b->is_asking);
	assert_int_equal(a->is_approved, b->is_approved);
	assert_int_equal(a->is_pending_in, b->is_pending_in);
	assert_int_equal(a->is_in_roster, b->is_in_roster);
	assert_int_equal(a->groups.count, b->groups.count);
	for (size_t i = 0; i < a->groups.count; i++)
		assert_true(str_eq(a->groups.item[i], b->groups.item[i]));
}

/* Into the store and back, and into memory of its own. */
static void
test_round_trip(void **state)
{
	struct arena *a = arena_new(0);
	struct roster_item item = sample(), got;
	struct roster_entry *e;

	for (unsigned sub = ROSTER_NONE; sub <= ROSTER_BOTH; sub++) {
		item.sub = (enum roster_sub)sub;
		item.is_asking = sub & 1;
		item.is_approved = sub & 2;
		assert_int_equal(
		    roster_item_parse(a, roster_item_text(a, &item), &got), 0);
		assert_same(&item, &got);
		e = roster_entry_new(&got);
		assert_same(&item, &e->item);
		got = roster_item_copy(a, &e->item);
		xfree(e);
		assert_same(&item, &got);
	}
	arena_free(&a);
}

/* What groups give is kept apart from what is the user's own. */
static void
test_shared(void **state)
{
	struct arena *a = arena_new(0);
	struct roster_item item = sample(), got, next = { 0 };

	item.shared = ROSTER_TO;
	item.own = ROSTER_FROM;
	item.sub = ROSTER_BOTH;
	item.is_own = true;
	item.shared_groups = 1;
	item.shared_name = STR("J. Capulet");
	assert_int_equal(
	    roster_item_parse(a, roster_item_text(a, &item), &got), 0);
	assert_same(&item, &got);
	assert_int_equal(got.shared, ROSTER_TO);
	assert_int_equal(got.own, ROSTER_FROM);
	assert_true(got.is_own);
	assert_int_equal(got.shared_groups, 1);
	assert_true(str_is(got.shared_name, "J. Capulet"));

	/* A change that knows nothing of it takes nothing away. */
	next.jid = item.jid;
	next.is_in_roster = true;
	roster_item_inherit(a, &next, &got);
	assert_int_equal(next.sub, ROSTER_TO);
	assert_int_equal(next.own, ROSTER_NONE);
	assert_int_equal(next.groups.count, 1);
	assert_true(str_eq(next.groups.item[0], groups[0]));

	/* Half of a subscription alone is in no roster, and kept. */
	item = (struct roster_item){
		.jid = item.jid,
		.sub = ROSTER_FROM,
		.shared = ROSTER_FROM,
	};
	assert_false(roster_item_is_void(&item));
	assert_int_equal(
	    roster_item_parse(a, roster_item_text(a, &item), &got), 0);
	assert_false(got.is_in_roster);
	assert_false(got.is_own);
	assert_int_equal(got.sub, ROSTER_FROM);
	arena_free(&a);
}

/* A request alone is no item of the roster; its stanza is kept whole. */
static void
test_request(void **state)
{
	struct arena *a = arena_new(0);
	struct elem *e;
	struct roster_item item = {
		.jid = jid_of(STR("romeo@example.net")),
		.is_pending_in = true,
		.request = STR("<presence xmlns='jabber:client' "
			       "type='subscribe' from='romeo@example.net'>"
			       "<status>It is I</status></presence>"),
	}, got;

	assert_false(roster_item_is_void(&item));
	assert_int_equal(
	    roster_item_parse(a, roster_item_text(a, &item), &got), 0);
	assert_same(&item, &got);
	e = xml_parse(a, got.request, NULL, NS_CLIENT, NULL);
	assert_int_equal(elem_name(e), EL_PRESENCE);
	assert_true(elem_attr_is(e, AT_TYPE, "subscribe"));
	assert_true(str_is(elem_child_text(e, EL_STATUS), "It is I"));

	/* Without a stanza it is a request still. */
	item.request = STR_NONE;
	assert_int_equal(
	    roster_item_parse(a, roster_item_text(a, &item), &got), 0);
	assert_true(got.is_pending_in);
	assert_false(got.is_in_roster);
	item.is_pending_in = false;
	assert_true(roster_item_is_void(&item));
	arena_free(&a);
}

static void
test_unreadable(void **state)
{
	static const char *const texts[] = { "", "item", "<item", "<item/>",
		"<item xmlns='jabber:iq:roster'/>",
		"<query xmlns='jabber:iq:roster'/>" };
	struct arena *a = arena_new(0);
	struct roster_item item;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(
		    roster_item_parse(a, str_c(texts[i]), &item), ERR_INVALID);
	arena_free(&a);
}

/* What clients see: the item, or that it is gone. */
static void
test_view(void **state)
{
	struct arena *a = arena_new(0);
	struct elem *query = elem_new(a, EL_ROSTER), *e;
	struct roster_item item = sample();

	roster_item_add(query, &item);
	e = elem_child(query, EL_ROSTER_ITEM);
	assert_true(elem_attr_is(e, AT_SUBSCRIPTION, "from"));
	assert_true(elem_attr_is(e, AT_ASK, "subscribe"));
	assert_true(elem_attr_is(e, AT_APPROVED, "true"));
	assert_int_equal(elem_count(e, EL_ROSTER_GROUP), 2);
	item.is_in_roster = false;
	roster_item_add(query, &item);
	e = elem_next(e, EL_ROSTER_ITEM);
	assert_true(elem_attr_is(e, AT_SUBSCRIPTION, "remove"));
	assert_true(str_is_none(elem_attr(e, AT_NAME)));
	arena_free(&a);
}

/* RFC 6121 section 2.3.3. */
static const struct {
	const char *text;
	enum qname condition;
} sets[] = {
	{ "<item jid='a@b'/>", EL_NONE },
	{ "<item jid='b' name=''/>", EL_NONE },
	{ "<item jid='A@B/C'><group>x</group><group>y</group></item>",
	    EL_NONE },
	{ "<item/>", EL_BAD_REQUEST },
	{ "<item jid=''/>", EL_JID_MALFORMED },
	{ "<item jid='@b'/>", EL_JID_MALFORMED },
	{ "<item jid='a@b'><group/></item>", EL_NOT_ACCEPTABLE },
	{ "<item jid='a@b'><group>x</group><group>x</group></item>",
	    EL_BAD_REQUEST },
};

static void
test_sets(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct arena *a = arena_new(0);
		struct elem *e =
		    xml_parse(a, str_c(sets[i].text), NULL, NS_ROSTER, NULL);
		struct roster_item item;
		enum qname condition;
		int err = roster_item_of(a, e, &item, &condition);

		assert_int_equal(condition, sets[i].condition);
		assert_int_equal(err, condition == EL_NONE ? 0 : ERR_INVALID);
		arena_free(&a);
	}
}

/* The bounds of a name and of the number of groups. */
static void
test_bounds(void **state)
{
	struct arena *a = arena_new(0);
	struct elem *e = elem_new(a, EL_ROSTER_ITEM);
	char *name = arena_bytes(a, ROSTER_NAME_MAX + 1);
	struct roster_item item;
	enum qname condition;

	memset(name, 'n', ROSTER_NAME_MAX + 1);
	elem_set(e, AT_JID, STR("a@b"));
	elem_set(e, AT_NAME, str_mem(name, ROSTER_NAME_MAX));
	assert_int_equal(roster_item_of(a, e, &item, &condition), 0);
	elem_set(e, AT_NAME, str_mem(name, ROSTER_NAME_MAX + 1));
	assert_int_equal(roster_item_of(a, e, &item, &condition), ERR_INVALID);
	assert_int_equal(condition, EL_NOT_ACCEPTABLE);
	elem_set(e, AT_NAME, STR_NONE);
	for (unsigned i = 0; i < ROSTER_GROUPS_MAX; i++)
		elem_add_text(e, EL_ROSTER_GROUP, str_printf(a, "g%u", i));
	assert_int_equal(roster_item_of(a, e, &item, &condition), 0);
	elem_add_text(e, EL_ROSTER_GROUP, STR("one more"));
	assert_int_equal(roster_item_of(a, e, &item, &condition), ERR_INVALID);
	assert_int_equal(condition, EL_NOT_ACCEPTABLE);
	arena_free(&a);
}

static int
set_up(void **state)
{
	names_init();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
