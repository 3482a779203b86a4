/* SPDX-License-Identifier: MIT */
/*
 * The loader and the dispatch, with tables that are linked in, on two loops.
 * The main thread plays the daemon's.
 */
#include "core/conf.h"
#include "core/daemon.h"
#include "core/mods.h"
#include "xml/names.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define WAIT_MS 20000

/* ---- modules ---- */

struct values {
	uint64_t n;
	struct str host;
};

static const struct option options[] = {
	OPT_UINT("n", struct values, n, "1", 0, 9, "a number"),
	OPTIONS_END,
};
static const struct option service_options[] = {
	OPT_UINT("n", struct values, n, "1", 0, 9, "a number"),
	OPT_HOST("host", struct values, host, "svc.@HOST@", "its domain"),
	OPTIONS_END,
};

/* What handlers did, on the loop where the test runs. */
static char trace[512];
static enum verdict answer;		       /* of the handler called "b" */
static unsigned starts, stops, reloads, freed; /* atomic */

static void
trace_add(const struct mod *m, const char *what)
{
	size_t n = strlen(trace);

	snprintf(trace + n, sizeof(trace) - n, "%s%s ", mod_name(m), what);
}

static enum verdict
on_plain(struct mod *m, struct stanza *st)
{
	assert_int_equal(st->stage, 0);
	trace_add(m, "");
	return STANZA_PASS;
}

static enum verdict
on_first(struct mod *m, struct stanza *st)
{
	trace_add(m, "1");
	return STANZA_PASS;
}

static enum verdict
on_last(struct mod *m, struct stanza *st)
{
	trace_add(m, "5");
	return STANZA_PASS;
}

static enum verdict
on_answer(struct mod *m, struct stanza *st)
{
	trace_add(m, "");
	return answer;
}

static void
on_start(struct mod *m)
{
	__atomic_fetch_add(&starts, 1, __ATOMIC_RELAXED);
	/* What it needs has started. */
	if (strcmp(mod_name(m), "c") == 0)
		assert_non_null(mod_find(mod_host(m), "d"));
}

static void
on_stop(struct mod *m)
{
	__atomic_fetch_add(&stops, 1, __ATOMIC_RELAXED);
}

static void
on_reload(struct mod *m)
{
	__atomic_fetch_add(&reloads, 1, __ATOMIC_RELAXED);
}

static void
on_free(struct mod *m, void *state)
{
	__atomic_fetch_add(&freed, *(unsigned *)state, __ATOMIC_RELAXED);
}

static void
on_service(struct mod *m, struct stanza *st)
{
	trace_add(m, "!");
	stanza_free(&st);
}

static enum verdict
on_iq(struct mod *m, struct stanza *iq)
{
	trace_add(m, ".iq");
	return answer;
}

static enum verdict
on_any(struct mod *m, struct stanza *iq)
{
	trace_add(m, ".any");
	return STANZA_PASS;
}

static const struct hook a_hooks[] = {
	{ HOOK_MESSAGE_SENT, LAST, .stanza = on_last },
	{ HOOK_MESSAGE_SENT, NORMAL, .stanza = on_plain },
	HOOKS_END,
};
static const struct hook b_hooks[] = {
	{ HOOK_MESSAGE_SENT, NORMAL, .stanza = on_answer },
	HOOKS_END,
};
static const struct hook c_hooks[] = {
	{ HOOK_MESSAGE_SENT, FIRST, .stanza = on_first },
	{ HOOK_MESSAGE_SENT, NORMAL, .stanza = on_plain },
	HOOKS_END,
};
static const struct iq_route a_routes[] = {
	{ IQ_GET, TO_HOST | TO_ACCOUNT, EL_BIND, on_iq },
	{ IQ_GET | IQ_SET, TO_HOST, EL_ANY, on_any },
	ROUTES_END,
};
static const struct iq_route b_routes[] = {
	{ IQ_GET | IQ_SET, TO_HOST | TO_SELF, EL_BIND, on_iq },
	{ IQ_SET, TO_HOST, EL_BIND_RESOURCE, on_iq },
	ROUTES_END,
};
static const struct feature b_features[] = {
	{ TO_HOST, STR_INIT("urn:b") },
	FEATURES_END,
};
static const char *const c_needs[] = { "d", NULL };
static const char *const loop1_needs[] = { "loop2", NULL };
static const char *const loop2_needs[] = { "loop1", NULL };

static int
fail_load(struct arena *a, const char **why_r)
{
	*why_r = "there is no moon";
	return ERR_ABSENT;
}

static const struct module a_module = {
	.hooks = a_hooks,
	.iq = a_routes,
	.options = options,
	.options_size = sizeof(struct values),
	.account_size = 64,
	.account_free = on_free,
	.start = on_start,
	.stop = on_stop,
	.reload = on_reload,
};
static const struct module b_module = { .hooks = b_hooks,
	.iq = b_routes,
	.features = b_features,
	.options = service_options,
	.options_size = sizeof(struct values),
	.service_option = "host",
	.service = on_service,
	.start = on_start,
	.stop = on_stop,
	.reload = on_reload };
static const struct module c_module = { .hooks = c_hooks,
	.needs = c_needs,
	.is_optional = true,
	.start = on_start,
	.stop = on_stop };
static const struct module d_module = {
	.is_optional = true,
	.start = on_start,
	.stop = on_stop,
};
static const struct module driver = { .is_global = true };
static const struct module loop1 = { .needs = loop1_needs,
	.is_optional = true };
static const struct module loop2 = { .needs = loop2_needs,
	.is_optional = true };
static const struct module moody = { .load = fail_load, .is_optional = true };

static const struct builtin tables[] = {
	{ "a", &a_module },
	{ "b", &b_module },
	{ "c", &c_module },
	{ "d", &d_module },
	{ "loop1", &loop1 },
	{ "loop2", &loop2 },
	{ "moody", &moody },
	{ "store_sqlite", &driver },
	{ NULL, NULL },
};

/* ---- the rig ---- */

#define HOSTS "hosts: [x.example, y.example]\nlisten: []\n"

static struct conf *conf;
static struct arena *scratch;

static struct conf *
conf_of(const char *text)
{
	struct problems problems = { .arena = scratch, .file = "f.yml" };
	struct conf *c = NULL;

	if (conf_parse(str_c(text), NULL, &problems, &c) < 0)
		fail_msg("%s", problem_line(&problems, 0));
	return c;
}

static void
on_started(struct loop *l)
{
	conf_use(conf);
	modules_start_worker();
}

static void
on_stop_worker(void *arg)
{
	modules_stop_worker();
}

static void
on_nothing(void *arg)
{
}

static int
setup(void **state)
{
	const char *why = NULL;

	starts = stops = reloads = freed = 0;
	trace[0] = '\0';
	answer = STANZA_PASS;
	scratch = arena_new(0);
	names_init();
	modules_add_static(tables);
	conf = conf_of(HOSTS);
	conf_use(conf);
	hosts_init(conf, STR("secret"));
	loops_new(2);
	if (modules_load(scratch, conf, &why) < 0)
		fail_msg("%s", why);
	loops_run(on_started);
	loops_call(on_nothing, NULL); /* has started everywhere */
	return 0;
}

static int
teardown(void **state)
{
	loops_call(on_stop_worker, NULL);
	loops_stop();
	loops_free();
	modules_unload();
	hosts_fini();
	conf_use(NULL);
	conf_free(&conf);
	arena_free(&scratch);
	return 0;
}

/* Runs fn on the first loop only, so that it may use the globals. */
static void
on_first_loop(void *fn)
{
	void (*run)(void) = *(void (**)(void))fn;

	if (loop_index(loop_self()) == 0)
		run();
}

static void
on_loop(void (*fn)(void))
{
	loops_call(on_first_loop, &fn);
}

static void
pump(const bool *done)
{
	uint64_t end = clock_mono() + WAIT_MS;

	while (!*done && clock_mono() < end) {
		struct pollfd fd = { .fd = main_fd(), .events = POLLIN };

		poll(&fd, 1, 50);
		main_run();
		modules_settle();
	}
	assert_true(*done);
}

static struct {
	bool done;
	int err;
	char why[200];
} result;

static void
on_done(void *ctx, int err, const char *why)
{
	result.err = err;
	snprintf(result.why, sizeof(result.why), "%s", why != NULL ? why : "");
	result.done = true;
}

static int
request(void (*fn)(const char *, modules_done_fn *, void *), const char *name)
{
	memset(&result, 0, sizeof(result));
	fn(name, on_done, NULL);
	pump(&result.done);
	return result.err;
}

static struct stanza *
message_new(void)
{
	return stanza_new(EL_MESSAGE);
}

/* ---- hooks ---- */

static void
run_message(void)
{
	struct stanza *st = message_new();

	trace[0] = '\0';
	assert_int_equal(
	    hook_stanza(HOOK_MESSAGE_SENT, host_at(0), st), STANZA_PASS);
	stanza_free(&st);
}

static void
test_order(void **state)
{
	on_loop(run_message);
	assert_string_equal(trace, "a b a5 ");
	assert_int_equal(request(modules_load_one, "c"), 0);
	on_loop(run_message);
	assert_string_equal(trace, "c1 a b c a5 ");
}

static void
run_done(void)
{
	struct stanza *st = message_new();

	answer = STANZA_DONE;
	assert_int_equal(
	    hook_stanza(HOOK_MESSAGE_SENT, host_at(1), st), STANZA_DONE);
	assert_string_equal(trace, "a b ");
	stanza_free(&st);
}

static void
test_done(void **state)
{
	on_loop(run_done);
}

static struct stanza *held;

static void
run_hold(void)
{
	held = message_new();
	trace[0] = '\0';
	answer = STANZA_HELD;
	assert_int_equal(
	    hook_stanza(HOOK_MESSAGE_SENT, host_at(0), held), STANZA_HELD);
	assert_int_not_equal(held->stage, 0);
}

static void
run_go_on(void)
{
	trace[0] = '\0';
	answer = STANZA_PASS;
	assert_int_equal(
	    hook_stanza(HOOK_MESSAGE_SENT, host_at(0), held), STANZA_PASS);
	assert_int_equal(held->stage, 0);
	stanza_free(&held);
}

static void
test_held(void **state)
{
	on_loop(run_hold);
	on_loop(run_go_on);
	assert_string_equal(trace, "a5 ");
}

/* It goes on behind its handler, whatever has come before or after. */
static void
test_held_meanwhile(void **state)
{
	on_loop(run_hold);
	assert_int_equal(request(modules_load_one, "c"), 0);
	on_loop(run_go_on);
	assert_string_equal(trace, "c a5 ");

	on_loop(run_hold);
	assert_int_equal(request(modules_unload_one, "b"), 0);
	on_loop(run_go_on);
	assert_string_equal(trace, "a5 ");
}

static void
run_nothing_there(void)
{
	assert_true(hook_has(HOOK_MESSAGE_SENT, host_at(0)));
	assert_false(hook_has(HOOK_IQ_SENT, host_at(0)));
	assert_false(hook_has(HOOK_MESSAGE_SENT, NULL));
}

static void
test_has(void **state)
{
	on_loop(run_nothing_there);
}

/* ---- routes and services ---- */

static enum verdict
iq_run(const char *type, enum qname payload, enum iq_where where)
{
	struct stanza *iq = stanza_new(EL_IQ);
	enum verdict v;

	stanza_set_type(iq, strcmp(type, "get") == 0 ? IQ_GET : IQ_SET);
	elem_add(iq->root, payload);
	trace[0] = '\0';
	v = iq_route_run(host_at(0), where, iq);
	stanza_free(&iq);
	return v;
}

static void
run_routes(void)
{
	assert_int_equal(iq_run("get", EL_BIND, TO_HOST), STANZA_PASS);
	assert_string_equal(trace, "a.iq b.iq a.any ");
	assert_int_equal(iq_run("set", EL_BIND, TO_HOST), STANZA_PASS);
	assert_string_equal(trace, "b.iq a.any ");
	assert_int_equal(iq_run("get", EL_BIND, TO_SELF), STANZA_PASS);
	assert_string_equal(trace, "a.iq b.iq ");
	assert_int_equal(iq_run("get", EL_BIND, TO_ACCOUNT), STANZA_PASS);
	assert_string_equal(trace, "a.iq ");
	assert_int_equal(iq_run("get", EL_BIND_RESOURCE, TO_HOST), STANZA_PASS);
	assert_string_equal(trace, "a.any ");
	assert_int_equal(iq_run("get", EL_SESSION, TO_SELF), STANZA_PASS);
	assert_string_equal(trace, "");
	answer = STANZA_DONE;
	assert_int_equal(iq_run("get", EL_BIND, TO_HOST), STANZA_DONE);
	assert_string_equal(trace, "a.iq ");
}

static void
test_routes(void **state)
{
	on_loop(run_routes);
}

static void
on_var(void *ctx, struct str var)
{
	*(unsigned *)ctx += str_is(var, "urn:b");
}

static void
on_domain(void *ctx, const struct jid *domain)
{
	*(unsigned *)ctx += str_is(domain->full, "svc.y.example");
}

static void
run_services(void)
{
	struct mod *m = service_find(STR("svc.y.example"));
	unsigned count = 0;

	assert_non_null(m);
	assert_ptr_equal(mod_host(m), host_at(1));
	assert_true(str_is(mod_service(m)->full, "svc.y.example"));
	assert_null(service_find(STR("y.example")));
	service_deliver(m, message_new());
	assert_string_equal(trace, "b! ");
	mod_each_service(host_at(1), on_domain, &count);
	mod_each_feature(host_at(1), TO_HOST, on_var, &count);
	mod_each_feature(host_at(1), TO_ACCOUNT, on_var, &count);
	assert_int_equal(count, 2);
}

static void
run_no_service(void)
{
	assert_null(service_find(STR("svc.y.example")));
	assert_null(mod_find(host_at(1), "b"));
}

static void
test_services(void **state)
{
	on_loop(run_services);
	assert_int_equal(request(modules_unload_one, "b"), 0);
	on_loop(run_no_service);
}

/* ---- loading and unloading ---- */

static void
test_load(void **state)
{
	/* a and b, for two hosts, on two loops. */
	on_loop(run_nothing_there);
	assert_int_equal(starts, 8);
	assert_int_equal(request(modules_load_one, "c"), 0);
	assert_int_equal(starts, 16);
	assert_true(request(modules_load_one, "c") == ERR_EXISTS);
	assert_string_equal(result.why, "module 'c' is loaded already");
	assert_true(request(modules_unload_one, "d") == ERR_DENIED);
	assert_string_equal(result.why, "module 'd' is needed by 'c'");
	assert_int_equal(request(modules_unload_one, "c"), 0);
	assert_int_equal(request(modules_unload_one, "d"), 0);
	assert_int_equal(stops, 8);
	assert_int_equal(mods_dead_count(), 0);
	assert_true(request(modules_unload_one, "d") == ERR_ABSENT);
	assert_int_equal(request(modules_load_one, "d"), 0);
}

static void
test_load_refused(void **state)
{
	static const struct {
		void (*fn)(const char *, modules_done_fn *, void *);
		const char *name, *why;
	} cases[] = {
		{ modules_load_one, "zzz", "no module 'zzz'" },
		{ modules_load_one, "../a", "no module '../a'" },
		{ modules_load_one, "moody",
		    "module 'moody': there is no moon" },
		{ modules_load_one, "loop1",
		    "module 'loop1' needs too many others, or itself" },
		{ modules_unload_one, "roster",
		    "module 'roster' is a part of the server" },
		{ modules_unload_one, "store_sqlite",
		    "module 'store_sqlite' keeps the database" },
		{ modules_reload_one, "zzz", "module 'zzz' is not loaded" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(request(cases[i].fn, cases[i].name) < 0);
		assert_string_equal(result.why, cases[i].why);
	}
	on_loop(run_message);
	assert_string_equal(trace, "a b a5 ");
}

static void
test_reload_one(void **state)
{
	assert_int_equal(request(modules_reload_one, "a"), 0);
	assert_int_equal(reloads, 4);
	assert_int_equal(stops, 0);
}

/* ---- other configurations ---- */

static void
on_conf(void *c)
{
	conf_use((const struct conf *)c);
}

static void
conf_apply(const char *text)
{
	struct conf *new = conf_of(text), *old = conf;
	struct buf notes = { 0 };
	bool done = false;
	uint64_t end = clock_mono() + WAIT_MS;

	conf = new;
	conf_use(new);
	loops_call(on_conf, new);
	modules_apply(scratch, new, &notes);
	while (!done && clock_mono() < end)
		done = !modules_settle() && mods_dead_count() == 0;
	assert_true(done);
	assert_int_equal(notes.n, 0);
	buf_fini(&notes);
	conf_free(&old);
}

static void
run_options(void)
{
	const struct values *x =
	    (const struct values *)mod_options(mod_find(host_at(0), "a"));
	const struct values *y =
	    (const struct values *)mod_options(mod_find(host_at(1), "a"));

	assert_int_equal(x->n, 7);
	assert_int_equal(y->n, 1);
	assert_null(mod_find(host_at(0), "b"));
	assert_non_null(mod_find(host_at(1), "b"));
	assert_non_null(service_find(STR("other.y.example")));
	assert_null(service_find(STR("svc.y.example")));
	assert_non_null(mod_find(host_at(0), "d"));
}

static void
test_apply(void **state)
{
	conf_apply(HOSTS "modules: {a: {}, b: {host: other.@HOST@}, d: {}}\n"
			 "host_config:\n"
			 "  x.example: {modules: {a: {n: 7}, b: {enabled: "
			 "false}}}\n");
	on_loop(run_options);
	/* a of x, b of y; d started twice on each loop. */
	assert_int_equal(reloads, 4);
	assert_int_equal(stops, 2);
	assert_int_equal(starts, 12);

	conf_apply(HOSTS "modules: {}\n");
	assert_int_equal(stops, 12);
	assert_null(loaded_peek("a"));
}

/* ---- slots, publishing ---- */

static void
run_slots(void)
{
	struct account acct = { .host = host_at(0) };
	struct mod *a = mod_find(host_at(0), "a");
	unsigned *state;

	assert_null(account_slot_peek(&acct, a));
	state = (unsigned *)account_slot(&acct, a);
	assert_int_equal(*state, 0);
	*state = 41;
	assert_ptr_equal(account_slot(&acct, a), state);
	assert_ptr_equal(account_slot_peek(&acct, a), state);
	slots_free_account(&acct);
	assert_null(acct.slots);
}

static void
test_slots(void **state)
{
	on_loop(run_slots);
	assert_int_equal(freed, 41);
}

static void
test_publish(void **state)
{
	static const int one, two;

	assert_null(mod_lookup("test.ops"));
	mod_publish("test.ops", &one);
	assert_ptr_equal(mod_lookup("test.ops"), &one);
	mod_publish("test.ops", &two);
	assert_ptr_equal(mod_lookup("test.ops"), &two);
	mod_publish("test.ops", NULL);
	assert_null(mod_lookup("test.ops"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_done),
		TEST(test_held),
		TEST(test_held_meanwhile),
		TEST(test_has),
		TEST(test_routes),
		TEST(test_services),
		TEST(test_load),
		TEST(test_load_refused),
		TEST(test_reload_one),
		TEST(test_apply),
		TEST(test_slots),
		TEST(test_publish),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
