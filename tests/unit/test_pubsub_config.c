/* SPDX-License-Identifier: MIT */
/* Configurations of nodes: defaults, what is refused, what meets a form. */
#include "core/pubsub_config.h"

#include "base/err.h"
#include "xep/0004-forms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct pubsub_bounds pep = { 100, 1000, true };
static const struct pubsub_bounds service = { 100, 1000, false };

/* A submitted form with one field. */
static struct elem *
form_with(struct arena *a, const char *var, const char *value)
{
	struct elem *root = elem_new(a, EL_OWNER_CONFIGURE);
	struct elem *form = form_add(root, "submit", PUBSUB_NODE_CONFIG);

	form_add_field(form, NULL, var, NULL, str_c(value));
	return form;
}

/* What one field does to the defaults of PEP, as the form says it then. */
static const struct {
	const char *var, *value;
	int err;
	const char *then;
} cases[] = {
	{ "pubsub#access_model", "open", 0, "open" },
	{ "pubsub#access_model", "whitelist", 0, "whitelist" },
	{ "pubsub#access_model", "everybody", ERR_INVALID, NULL },
	{ "pubsub#access_model", "", ERR_INVALID, NULL },
	{ "pubsub#max_items", "max", 0, "max" },
	{ "pubsub#max_items", "100", 0, "100" },
	{ "pubsub#max_items", "101", ERR_INVALID, NULL },
	{ "pubsub#max_items", "-1", ERR_INVALID, NULL },
	{ "pubsub#max_items", "4294967295", ERR_INVALID, NULL },
	{ "pubsub#max_payload_size", "1001", ERR_INVALID, NULL },
	{ "pubsub#persist_items", "false", 0, "0" },
	{ "pubsub#persist_items", "true", 0, "1" },
	{ "pubsub#persist_items", "maybe", ERR_INVALID, NULL },
	{ "pubsub#send_last_published_item", "never", 0, "never" },
	{ "pubsub#title", "Sonnets", 0, "Sonnets" },
	{ "pubsub#node_type", "collection", ERR_INVALID, NULL },
	{ "pubsub#presence_based_delivery", "1", 0, "1" },
	{ "pubsub#presence_based_delivery", "no", ERR_INVALID, NULL },
	{ "pubsub#publish_node_full", "reject", 0, "reject" },
	{ "pubsub#publish_node_full", "explode", ERR_INVALID, NULL },
	{ "pubsub#unknown", "1", 0, NULL },
};

static void
reads_fields(void **state)
{
	struct arena *a = arena_new(0);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct elem *form = form_with(a, cases[i].var, cases[i].value);
		struct pubsub_config c;
		int err;

		pubsub_config_init(&c, &pep, STR_NONE);
		err = pubsub_config_read(&c, form, &pep, false);
		if (err != cases[i].err)
			print_message(
			    "%s = %s\n", cases[i].var, cases[i].value);
		assert_int_equal(err, cases[i].err);
		if (cases[i].then != NULL) {
			form =
			    pubsub_config_form(elem_new(a, EL_OWNER_CONFIGURE),
				"submit", &c, &pep);
			assert_true(str_is(
			    form_value(form, cases[i].var), cases[i].then));
		}
		pubsub_config_fini(&c);
	}
	arena_free(&a);
}

static void
is_strict_with_options(void **state)
{
	struct arena *a = arena_new(0);
	struct pubsub_config c;

	pubsub_config_init(&c, &pep, STR_NONE);
	assert_int_equal(pubsub_config_read(&c,
			     form_with(a, "pubsub#unknown", "1"), &pep, true),
	    ERR_ABSENT);
	assert_false(
	    pubsub_config_meets(&c, form_with(a, "pubsub#unknown", "1"), &pep));
	pubsub_config_fini(&c);
	arena_free(&a);
}

static void
meets_what_is_so(void **state)
{
	struct arena *a = arena_new(0);
	struct pubsub_config c;

	pubsub_config_init(&c, &pep, STR_NONE);
	assert_true(pubsub_config_meets(
	    &c, form_with(a, "pubsub#access_model", "presence"), &pep));
	assert_false(pubsub_config_meets(
	    &c, form_with(a, "pubsub#access_model", "open"), &pep));
	assert_true(pubsub_config_meets(
	    &c, form_with(a, "pubsub#persist_items", "true"), &pep));
	assert_true(
	    pubsub_config_meets(&c, form_with(a, "pubsub#title", ""), &pep));
	/* The most there can be is what "max" means. */
	c.max_items = PUBSUB_MAX;
	assert_true(pubsub_config_meets(
	    &c, form_with(a, "pubsub#max_items", "100"), &pep));
	assert_false(pubsub_config_meets(
	    &c, form_with(a, "pubsub#max_items", "99"), &pep));
	pubsub_config_fini(&c);
	arena_free(&a);
}

/* A service has no roster to decide by. */
static void
has_no_roster(void **state)
{
	struct arena *a = arena_new(0);
	struct pubsub_config c;

	pubsub_config_init(&c, &service, STR_NONE);
	assert_int_equal(c.access, ACCESS_OPEN);
	assert_int_equal(pubsub_config_items(&c, &service), 100);
	assert_int_equal(
	    pubsub_config_read(&c,
		form_with(a, "pubsub#access_model", "roster"), &service, false),
	    ERR_DENIED);
	pubsub_config_fini(&c);
	arena_free(&a);
}

/* What is kept is read again as it was, with each line of a list. */
static void
comes_back(void **state)
{
	struct arena *a = arena_new(0);
	struct elem *form =
	    form_with(a, "pubsub#roster_groups_allowed", "Friends");
	struct elem *kept;
	struct pubsub_config c, again;

	form_add_value(
	    form_field(form, "pubsub#roster_groups_allowed"), STR("Kin"));
	pubsub_config_init(&c, &pep, STR_NONE);
	assert_int_equal(pubsub_config_read(&c, form, &pep, false), 0);
	assert_true(str_is(c.groups, "Friends\nKin"));
	kept = pubsub_config_form(
	    elem_new(a, EL_OWNER_CONFIGURE), "submit", &c, &pep);
	pubsub_config_init(&again, &pep, STR_NONE);
	assert_int_equal(pubsub_config_read(&again, kept, &pep, false), 0);
	assert_true(pubsub_config_meets(&again, kept, &pep));
	assert_true(str_eq(again.groups, c.groups));
	pubsub_config_fini(&again);
	pubsub_config_fini(&c);
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_fields),
		cmocka_unit_test(is_strict_with_options),
		cmocka_unit_test(meets_what_is_so),
		cmocka_unit_test(has_no_roster),
		cmocka_unit_test(comes_back),
	};

	names_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
