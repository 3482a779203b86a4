/* SPDX-License-Identifier: MIT */
#include "core/stanza.h"

#include "base/err.h"
#include "core/stanza_impl.h"
#include "xml/parser.h"
#include "xml/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct stanza *
parse(const char *text, int *err_r, enum qname *condition_r)
{
	struct arena *a = arena_new(0);
	struct elem *root = xml_parse(a, str_c(text), NULL, NS_CLIENT, NULL);
	struct stanza *st;

	assert_non_null(root);
	*err_r = stanza_of(root, &st, condition_r);
	return st;
}

/* What is made of a stanza; a condition where it is refused. */
static const struct {
	const char *text;
	enum stanza_type type;
	enum qname condition;
} cases[] = {
	{ "<message/>", MESSAGE_NORMAL, EL_NONE },
	{ "<message type='chat'/>", MESSAGE_CHAT, EL_NONE },
	{ "<message type='telegram'/>", MESSAGE_NORMAL, EL_NONE },
	{ "<message type='error'/>", MESSAGE_ERROR, EL_NONE },
	{ "<message to='@'/>", MESSAGE_NORMAL, EL_JID_MALFORMED },
	{ "<message to=''/>", MESSAGE_NORMAL, EL_JID_MALFORMED },
	{ "<message from='a@b@c'/>", MESSAGE_NORMAL, EL_JID_MALFORMED },
	{ "<presence/>", PRESENCE_AVAILABLE, EL_NONE },
	{ "<presence type='subscribed' to='a@b'/>", PRESENCE_SUBSCRIBED,
	    EL_NONE },
	{ "<presence type='available'/>", 0, EL_BAD_REQUEST },
	{ "<presence type=''/>", 0, EL_BAD_REQUEST },
	{ "<iq type='get' id='1'><a/></iq>", IQ_GET, EL_NONE },
	{ "<iq type='set' id='1'> <a/> </iq>", IQ_SET, EL_NONE },
	{ "<iq type='result' id='1'/>", IQ_RESULT, EL_NONE },
	{ "<iq type='result' id='1'><a/></iq>", IQ_RESULT, EL_NONE },
	{ "<iq type='error' id='1'><a/><error/></iq>", IQ_ERROR, EL_NONE },
	{ "<iq type='get'><a/></iq>", IQ_GET, EL_BAD_REQUEST },
	{ "<iq type='get' id=''><a/></iq>", IQ_GET, EL_BAD_REQUEST },
	{ "<iq type='get' id='1'/>", IQ_GET, EL_BAD_REQUEST },
	{ "<iq type='get' id='1'>text</iq>", IQ_GET, EL_BAD_REQUEST },
	{ "<iq type='set' id='1'><a/><b/></iq>", IQ_SET, EL_BAD_REQUEST },
	{ "<iq type='result' id='1'><a/><b/></iq>", IQ_RESULT, EL_BAD_REQUEST },
	{ "<iq id='1'><a/></iq>", 0, EL_BAD_REQUEST },
	{ "<iq type='put' id='1'><a/></iq>", 0, EL_BAD_REQUEST },
	{ "<other/>", 0, EL_BAD_REQUEST },
};

static void
test_of(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum qname condition;
		int err;
		struct stanza *st = parse(cases[i].text, &err, &condition);

		if (st->type != cases[i].type ||
		    condition != cases[i].condition ||
		    err != (condition == EL_NONE ? 0 : ERR_INVALID))
			fail_msg("%s", cases[i].text);
		stanza_free(&st);
	}
}

/* Addresses are prepared, in the tree as well. */
static void
test_addresses(void **state)
{
	struct jid own = jid_of(STR("Romeo@example.net/Balcony"));
	enum qname condition;
	int err;
	struct stanza *st = parse("<message to='JULIET@Example.ORG/Tomb'/>",
			  &err, &condition),
		      *copy;

	assert_int_equal(err, 0);
	assert_true(str_is(st->to.full, "juliet@example.org/Tomb"));
	assert_true(str_is(st->to.bare, "juliet@example.org"));
	assert_true(elem_attr_is(st->root, AT_TO, "juliet@example.org/Tomb"));
	stanza_set_from(st, &own);
	assert_true(str_is(st->from.local, "Romeo"));
	assert_true(str_is(st->from.resource, "Balcony"));
	copy = stanza_copy(st);
	stanza_free(&st);
	assert_true(str_is(copy->to.resource, "Tomb"));
	assert_true(str_is(copy->from.bare, "Romeo@example.net"));
	own = (struct jid){ 0 };
	stanza_set_from(copy, &own);
	assert_true(str_is_none(elem_attr(copy->root, AT_FROM)));
	stanza_free(&copy);
}

/* What a client says of itself is overwritten. */
static void
test_of_session(void **state)
{
	struct arena *a = arena_new(0);
	struct elem *root = elem_new(a, EL_MESSAGE);
	struct jid own = jid_of(STR("romeo@example.net/orchard"));
	enum qname condition;
	struct stanza *st;

	elem_set(root, AT_FROM, STR("tybalt@example.net"));
	assert_int_equal(stanza_of_session(root, &own, &st, &condition), 0);
	assert_true(str_is(st->from.full, "romeo@example.net/orchard"));
	assert_true(str_is(elem_attr(root, AT_FROM), own.full.p));
	stanza_free(&st);
}

/* Error answers; NULL where there must be none. */
static const struct {
	const char *text, *answer;
	enum qname condition;
} errors[] = {
	{ "<message from='a@b/c' to='d@e' id='1'><body>x</body></message>",
	    "<message xmlns='jabber:client' from='d@e' to='a@b/c' id='1' "
	    "type='error'><body>x</body><error type='cancel'>"
	    "<service-unavailable "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
	    "</error></message>",
	    EL_SERVICE_UNAVAILABLE },
	{ "<presence from='a@b/c' id='1'><priority>x</priority></presence>",
	    "<presence xmlns='jabber:client' from='b' id='1' type='error' "
	    "to='a@b/c'><error type='modify'><bad-request "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
	    EL_BAD_REQUEST },
	{ "<message type='error' from='a@b/c' to='d@e'/>", NULL, EL_FORBIDDEN },
	{ "<iq type='result' id='1' from='a@b/c' to='d@e'/>", NULL,
	    EL_FORBIDDEN },
	{ "<iq type='error' id='1' from='a@b/c' to='d@e'/>", NULL,
	    EL_FORBIDDEN },
	{ "<presence type='error' from='a@b/c' to='d@e'/>", NULL,
	    EL_FORBIDDEN },
	{ "<presence type='unavailable' from='a@b/c' to='d@e'/>", NULL,
	    EL_FORBIDDEN },
};

static struct str
text_of(const struct stanza *st)
{
	return xml_text(st->arena, st->root);
}

/* Attributes may come in any order: both are parsed and compared. */
static void
assert_same(const struct elem *a, const struct elem *b)
{
	attr_t name;
	struct str local, value;

	assert_int_equal(elem_name(a), elem_name(b));
	for (size_t i = 0; elem_attr_at(b, i, &name, &local, &value); i++)
		assert_true(str_eq(elem_attr(a, name), value));
	for (size_t i = 0; elem_attr_at(a, i, &name, &local, &value); i++)
		assert_true(str_eq(elem_attr(b, name), value));
	assert_true(str_eq(elem_text(a), elem_text(b)));
	a = elem_child(a, EL_ANY);
	b = elem_child(b, EL_ANY);
	for (; a != NULL && b != NULL;
	     a = elem_next(a, EL_ANY), b = elem_next(b, EL_ANY))
		assert_same(a, b);
	assert_true(a == NULL && b == NULL);
}

static void
test_errors(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		enum qname condition;
		int err;
		struct stanza *st = parse(errors[i].text, &err, &condition);
		bool is_answered =
		    stanza_make_error(st, errors[i].condition, NULL, EL_NONE);

		assert_int_equal(is_answered, errors[i].answer != NULL);
		if (is_answered)
			assert_same(st->root,
			    xml_parse(st->arena, str_c(errors[i].answer), NULL,
				NS_NONE, NULL));
		assert_true(text_of(st).n > 0);
		stanza_free(&st);
	}
}

/* A big stanza is not sent back. */
static void
test_big_error(void **state)
{
	struct jid jid = jid_of(STR("a@b/c"));
	struct stanza *st = stanza_new(EL_MESSAGE);
	char *text = arena_bytes(st->arena, 100000);

	memset(text, 'x', 100000);
	stanza_set_from(st, &jid);
	stanza_set_to(st, &jid);
	elem_add_text(st->root, EL_BODY, str_mem(text, 100000));
	assert_true(
	    stanza_make_error(st, EL_SERVICE_UNAVAILABLE, "gone", EL_NONE));
	assert_true(xml_text(st->arena, st->root).n < 500);
	stanza_free(&st);
}

static void
test_result(void **state)
{
	enum qname condition;
	int err;
	struct stanza *st = parse("<iq type='get' id='7' from='a@b/c' "
				  "to='d@e'><q xmlns='x'/></iq>",
	    &err, &condition);

	elem_add(stanza_result(st), EL_ROSTER);
	assert_int_equal(st->type, IQ_RESULT);
	assert_true(str_is(st->to.full, "a@b/c"));
	assert_true(str_is(st->from.full, "d@e"));
	assert_true(str_is(stanza_id(st), "7"));
	assert_int_equal(elem_name(stanza_payload(st)), EL_ROSTER);
	stanza_free(&st);
}

/* Changes that make shared bytes untrue. */
static void
change_attr(struct elem *e)
{
	elem_set(elem_child(e, EL_BODY), AT_XML_LANG, STR("en"));
}

static void
change_lost_attr(struct elem *e)
{
	elem_set(e, AT_ID, STR_NONE);
}

static void
change_child(struct elem *e)
{
	elem_add(e, EL_SUBJECT);
}

static void
change_removal(struct elem *e)
{
	elem_remove(elem_child(e, EL_BODY));
}

static void
change_text(struct elem *e)
{
	elem_append_text(elem_child(e, EL_BODY), STR("more"));
}

static void
change_new_text(struct elem *e)
{
	elem_set_text(elem_child(e, EL_BODY), STR("other"));
}

static void
change_name(struct elem *e)
{
	elem_rename(elem_child(e, EL_BODY), EL_SUBJECT);
}

static void
change_order(struct elem *e)
{
	elem_append(e, elem_child(e, EL_BODY));
}

static void
change_nothing(struct elem *e)
{
}

static void (*const changes[])(struct elem *e) = { change_nothing, change_attr,
	change_lost_attr, change_child, change_removal, change_text,
	change_new_text, change_name, change_order };

static struct elem *
written(struct arena *a, const struct stanza *st, enum xml_scope scope)
{
	struct buf buf = { 0 };
	struct elem *e;

	stanza_write(&buf, st, scope);
	if (scope == XML_STANDALONE)
		assert_non_null(strstr(
		    str_dup_c(a, buf_str(&buf)), " xmlns='jabber:client'"));
	e = xml_parse(a, buf_str(&buf), NULL, NS_CLIENT, NULL);
	assert_non_null(e);
	buf_fini(&buf);
	return e;
}

/* What is written from shared bytes is what is in the tree, always. */
static void
test_rendered(void **state)
{
	struct jid to = jid_of(STR("juliet@example.org/<'&\">"));
	enum qname condition;
	int err;
	struct stanza *st = parse("<message type='chat' id='1' to='x@y'>"
				  "<body>&lt;hi&gt;</body><x xmlns='urn:x'/>"
				  "<thread/></message>",
	    &err, &condition);
	struct wire *w = stanza_render(st);

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct stanza *copy = stanza_copy(st), *again;

		stanza_set_to(copy, &to);
		stanza_share(copy, w);
		changes[i](copy->root);
		assert_same(
		    written(copy->arena, copy, XML_IN_STREAM), copy->root);
		assert_same(
		    written(copy->arena, copy, XML_STANDALONE), copy->root);
		again = stanza_copy(copy);
		assert_null(again->rendered);
		stanza_free(&again);
		stanza_free(&copy);
	}
	assert_int_equal(w->refs, 1);
	wire_unref(&w);
	stanza_free(&st);
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
		cmocka_unit_test(test_of),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_of_session),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_big_error),
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_rendered),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
