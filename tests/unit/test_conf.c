/* SPDX-License-Identifier: MIT */
#include "conf_rig.h"

#include "core/yaml.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOSTS "hosts: [a.example]\n"

/* A file, and all that is said to be wrong with it. */
static const struct {
	const char *text;
	const char *told;
} cases[] = {
	{ HOSTS "listen: []\n", "" },
	{ "", "f.yml:1: 'hosts' is missing: the domains to be served, such as "
	      "[example.org]\n"
	      "f.yml:1: a listener with TLS needs 'certificates'; there are "
	      "none\n" },
	{ "- a\n", "f.yml:1: a map is expected, such as 'hosts: "
		   "[example.org]'\n" },
	{ HOSTS "lisen: []\nlisten: []\n",
	    "f.yml:2: unknown key 'lisen'; did you mean 'listen'?\n" },
	{ "hosts: a.example\nlisten: []\n",
	    "f.yml:1: 'hosts': a list is expected, such as [a, b]\n" },
	{ "hosts: [a@b]\nlisten: []\n", "f.yml:1: 'a@b' is not a domain\n" },
	{ "hosts:\n  - a.example\n  - A.example\nlisten: []\n",
	    "f.yml:3: host 'a.example' is there twice\n" },
	{ "hosts: []\nlisten: []\n",
	    "f.yml:1: 'hosts': 0 items are too few\n" },
	{ HOSTS "listen: []\nadmins: [joe]\n",
	    "f.yml:3: 'joe' is not the address of an account, such as "
	    "admin@example.org\n" },
	{ HOSTS "listen: []\nworkers: many\n",
	    "f.yml:3: 'workers': 'many' is neither auto nor a number from 1 "
	    "to 128\n" },
	{ HOSTS "listen: []\ndata_dir: ''\n",
	    "f.yml:3: 'data_dir' is empty\n" },
	{ HOSTS "listen: []\nlog: {level: loud}\n",
	    "f.yml:3: 'level' of 'log': 'loud' is not one of: none, emergency, "
	    "alert, critical, error, warning, notice, info, debug\n" },
	{ HOSTS "listen: []\nlog: []\n",
	    "f.yml:3: a map is expected here, such as {name: value}\n" },
	{ HOSTS "listen: []\nlog: {level: [info]}\n",
	    "f.yml:3: 'level' of 'log': a text is expected, not a list\n" },
	{ HOSTS "listen: []\ndatabase: {driver: sqlit}\n",
	    "f.yml:3: unknown database driver 'sqlit'; did you mean "
	    "'sqlite'?\n" },
	{ HOSTS "listen: []\nlimits:\n  stanza_size: 12\n  resum: 1h\n",
	    "f.yml:4: 'stanza_size' of 'limits': '12' is out of range: from "
	    "10000 to 64MiB\n"
	    "f.yml:5: unknown key 'resum' of 'limits'; did you mean "
	    "'resume'?\n" },
	{ HOSTS "listen: []\nauth: {mechanisms: [PLAIN, SCRAM-SHA1]}\n",
	    "f.yml:3: unknown mechanism 'SCRAM-SHA1'; did you mean "
	    "'SCRAM-SHA-1'?\n" },
	{ HOSTS "listen: []\nauth: {backends: [magic]}\n",
	    "f.yml:3: unknown backend 'magic'; there are: internal\n" },

	/* listeners */
	{ HOSTS "listen: {type: c2s}\n",
	    "f.yml:2: 'listen': a list is expected, such as [{type: c2s, "
	    "port: 5222}]\n" },
	{ HOSTS "listen: [{ip: 127.0.0.1, type: c2s}]\n",
	    "f.yml:2: a listener needs 'type' and 'port', such as {type: c2s, "
	    "port: 5222}\n" },
	{ HOSTS "listen: [{ip: localhost, type: c2s, port: 5222}]\n",
	    "f.yml:2: 'ip' of 'listen': 'localhost' is not an IP address\n" },
	{ HOSTS "listen: [{type: http, ip: 127.0.0.1, port: 5280}]\n", "" },
	{ HOSTS "listen: [{type: ftp, ip: 127.0.0.1, port: 5280}]\n",
	    "f.yml:2: 'type' of 'listen': 'ftp' is not one of: c2s, http, "
	    "s2s, component, proxy65, mux\n" },
	{ HOSTS "listen: [{type: s2s, ip: '::1', port: 1, starttls: none}]\n",
	    "f.yml:2: 'starttls' of a listener for servers can only be "
	    "'required'\n" },
	{ HOSTS "listen: []\ndns:\n  servers: ['::1', 127.0.0.1:5353, x:1]\n",
	    "f.yml:4: 'x:1' is not an address, such as 127.0.0.1:53\n" },
	{ HOSTS "listen: []\ns2s: {require: hope}\n",
	    "f.yml:3: 'require' of 's2s': 'hope' is not one of: certificate, "
	    "dialback\n" },
	{ HOSTS "listen: [{type: http, port: 5280, starttls: none}]\n",
	    "f.yml:2: 'starttls' has no place beside 'type: http'\n" },
	{ HOSTS "listen: [{type: c2s, port: 5222}]\n",
	    "f.yml:2: a listener with TLS needs 'certificates'; there are "
	    "none\n" },
	{ HOSTS "listen: [{type: c2s, port: 5222, starttls: none}]\n", "" },
	{ HOSTS "listen: [{type: c2s, ip: '::1', port: 5222}]\n", "" },
	{ HOSTS "listen: [{type: c2s, ip: 10.0.0.1, port: 5222}]\n"
		"certificates: [/etc/*.pem]\n",
	    "" },
	{ HOSTS "listen: [{type: c2s, ip: '::1', port: 1, tls: true, starttls: "
		"none}]\n",
	    "f.yml:2: 'starttls' has no place beside 'tls: true'\n" },
	{ HOSTS "listen:\n"
		"  - {type: c2s, ip: 127.0.0.1, port: 5222}\n"
		"  - {type: c2s, ip: 127.0.0.1, port: 5222, tls: true}\n"
		"  - {type: c2s, ip: 127.0.0.1, port: 0}\n"
		"  - {type: c2s, ip: 127.0.0.1, port: 0}\n",
	    "f.yml:4: the same address and port as in line 3\n" },
	{ HOSTS "listen: [{type: c2s, ip: '::1', port: 1, proxy_protocol: "
		"[10/8]}]\n",
	    "f.yml:2: '10/8' is not a network, such as 10.0.0.0/8\n" },

	/* modules */
	{ HOSTS "listen: []\nmodules: {towr: {}}\n",
	    "f.yml:3: unknown module 'towr'; did you mean 'tower'?\n" },
	{ HOSTS "listen: []\nmodules: {tower: {windws: 3}}\n",
	    "f.yml:3: unknown key 'windws' of module 'tower'; did you mean "
	    "'windows'?\n" },
	{ HOSTS "listen: []\nmodules: {tower: {windows: 0}}\n",
	    "f.yml:3: 'windows' of module 'tower': '0' is out of range: from "
	    "1 to 100\n" },
	{ HOSTS "listen: []\nmodules: {tower: {key: "
		"'abracadabra-abracadabra'}}\n",
	    "f.yml:3: 'key' of module 'tower': '***' is longer than 20 "
	    "bytes\n" },
	{ HOSTS "listen: []\nmodules: {tower: {enabled: 3}}\n",
	    "f.yml:3: 'enabled' is neither true nor false\n" },
	{ HOSTS "listen: []\nmodules: {defaults: most}\n",
	    "f.yml:3: 'defaults' of 'modules' is neither true nor false\n" },
	{ HOSTS "listen: []\nmodules: {tower: high}\n",
	    "f.yml:3: module 'tower': a map of its options is expected, such "
	    "as {}\n" },
	{ HOSTS "listen: []\nmodules: [tower]\n",
	    "f.yml:3: 'modules': a map is expected, such as {ping: {}}\n" },
	{ HOSTS "listen: []\nmodules: {store_sqlite: {enabled: false}}\n",
	    "f.yml:3: module 'store_sqlite' is always on\n" },
	{ HOSTS "listen: []\nmodules:\n  moat: {}\n  tower: {enabled: no}\n",
	    "f.yml:5: module 'tower' is off, but 'moat' needs it\n" },
	{ HOSTS "listen: []\nhost_config: {b.example: {modules: {}}}\n",
	    "f.yml:3: unknown host 'b.example'; did you mean 'a.example'?\n" },
	{ HOSTS "listen: []\nhost_config: {a.example: {module: {}}}\n",
	    "f.yml:3: unknown key 'module' of 'host_config'; did you mean "
	    "'modules'?\n" },

	/* YAML itself */
	{ "hosts: &x [a.example]\n",
	    "f.yml:1: anchors and aliases (& and *) are not taken here; put "
	    "the text in quotes if it is one\n" },
	{ "hosts: !!seq [a.example]\n",
	    "f.yml:1: tags (!) are not taken here; put the text in quotes if "
	    "it is one\n" },
	{ "log: {}\nlog: {}\n",
	    "f.yml:2: key 'log' is there already, in line 1\n" },
	{ "? [a]\n: b\n", "f.yml:1: a key must be a plain text\n" },
	{ "a: b\n---\nc: d\n", "f.yml:2: a second document begins here\n" },
	{ "a: [[[[[[[[[[[[[]]]]]]]]]]]]]\n",
	    "f.yml:1: this is nested too deep\n" },
	{ "a: [\n", "f.yml:2: not YAML: while parsing a flow node: did not "
		    "find expected node content\n" },
	{ "a: \"\\0\"\n", "f.yml:1: a text may not contain a NUL\n" },
};

static void
test_told(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *a = arena_new(0);
		struct conf *conf;
		const char *told = rig_conf_parse(a, cases[i].text, &conf);

		if (strcmp(told, cases[i].told) != 0)
			fail_msg("of\n%s\nit says\n%s\ninstead of\n%s",
			    cases[i].text, told, cases[i].told);
		assert_int_equal(conf != NULL, cases[i].told[0] == '\0');
		conf_free(&conf);
		arena_free(&a);
	}
}

static void
test_many_problems(void **state)
{
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a, .file = "f.yml" };
	struct buf b = { 0 };
	struct conf *conf = NULL;

	buf_add_str(&b, STR(HOSTS "listen: []\n"));
	for (int i = 0; i < 50; i++)
		buf_printf(&b, "banana%d: 1\n", i);
	modules_add_static(rig_modules);
	assert_true(conf_parse(buf_str(&b), NULL, &problems, &conf) < 0);
	assert_int_equal(problems.count, PROBLEMS_MAX);
	assert_int_equal(problems.more, 50 - PROBLEMS_MAX);
	buf_fini(&b);
	arena_free(&a);
}

static void
test_too_large(void **state)
{
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a, .file = "f.yml" };
	char *text = arena_bytes(a, YAML_BYTES_MAX + 1);
	struct conf *conf = NULL;

	memset(text, '#', YAML_BYTES_MAX + 1);
	assert_true(conf_parse(str_mem(text, YAML_BYTES_MAX + 1), NULL,
			&problems, &conf) < 0);
	assert_int_equal(problems.count, 1);
	arena_free(&a);
}

/* ---- values ---- */

static const struct module_conf *
module_of(const struct module_conf *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (str_is(list[i].name, name))
			return &list[i];
	}
	return NULL;
}

static const struct module_conf *
host_module(const struct conf *conf, size_t host, const char *name)
{
	return module_of(
	    conf->hosts[host].modules, conf->hosts[host].module_count, name);
}

static void
test_defaults(void **state)
{
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a };
	struct conf *conf = NULL;

	modules_add_static(rig_modules);
	assert_int_equal(conf_load(NULL, NULL, &problems, &conf), 0);
	assert_null(conf->path);
	assert_int_equal(conf->host_count, 1);
	assert_true(str_is(conf->hosts[0].name, "localhost"));
	assert_string_equal(conf->data_dir, "rookery-data");
	assert_string_equal(conf->database.driver, "sqlite");
	assert_in_range(conf->workers, 1, 128);
	assert_int_equal(conf->log.level, LOG_LEVEL_INFO);
	assert_int_equal(conf->listen_count, 8);
	assert_int_equal(conf->listen[4].type, LISTEN_S2S);
	assert_int_equal(addr_port(&conf->listen[4].addr), 5269);
	assert_true(conf->listen[5].is_optional);
	assert_int_equal(conf->s2s.require, S2S_CERTIFICATE);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(conf->listen[i].type, LISTEN_C2S);
		assert_int_equal(addr_port(&conf->listen[i].addr), 5222);
		assert_true(addr_is_loopback(&conf->listen[i].addr));
		assert_int_equal(
		    conf->listen[i].policy.starttls, STARTTLS_REQUIRED);
	}
	assert_false(conf->listen[0].is_optional);
	assert_true(conf->listen[1].is_optional);
	assert_int_equal(conf->limits.stanza_size, 262144);
	assert_int_equal(conf->limits.pre_auth_stanza_size, 10000);
	assert_int_equal(conf->limits.negotiation_ms, 30000);
	assert_int_equal(conf->limits.resume_ms, 600000);
	assert_int_equal(conf->auth.scram_iterations, 10000);
	assert_int_equal(conf->auth.mechanisms.count, 9);
	assert_false(conf->auth.allow_plain_without_tls);

	assert_non_null(host_module(conf, 0, "tower"));
	assert_non_null(host_module(conf, 0, "moat"));
	assert_null(host_module(conf, 0, "ruin"));
	assert_null(host_module(conf, 0, "store_sqlite"));
	assert_int_equal(conf->global_count > 0, 1);
	assert_non_null(
	    module_of(conf->globals, conf->global_count, "store_sqlite"));
	assert_null(
	    module_of(conf->globals, conf->global_count, "store_other"));
	conf_free(&conf);
	arena_free(&a);
}

static void
test_values(void **state)
{
	static const char text[] =
	    "hosts: [A.example, b.example]\n"
	    "admins: [Joe@A.example]\n"
	    "workers: 3\n"
	    "log: {level: debug, target: /tmp/x, format: json}\n"
	    "database: {driver: other, dsn: 'password=x'}\n"
	    "listen: [{type: c2s, ip: 10.0.0.1, port: 5223, tls: true,\n"
	    "          proxy_protocol: [10.0.0.0/8]}]\n"
	    "certificates: [x.pem, y.pem]\n"
	    "limits: {c2s_rate: 10KB, resume: 0}\n";
	struct arena *a = arena_new(0);
	struct conf *conf;

	assert_string_equal(rig_conf_parse(a, text, &conf), "");
	assert_true(str_is(conf->hosts[0].name, "a.example"));
	assert_true(str_is(conf->admins.item[0], "joe@a.example"));
	assert_int_equal(conf->workers, 3);
	assert_int_equal(conf->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(conf->log.format, LOG_JSON);
	assert_string_equal(conf->database.driver, "other");
	assert_true(conf->listen[0].policy.is_direct_tls);
	assert_int_equal(conf->listen[0].proxy_count, 1);
	assert_int_equal(conf->listen[0].line, 6);
	assert_int_equal(conf->certificates.count, 2);
	assert_int_equal(conf->limits.c2s_rate, 10000);
	assert_int_equal(conf->limits.resume_ms, 0);
	assert_non_null(
	    module_of(conf->globals, conf->global_count, "store_other"));
	assert_null(
	    module_of(conf->globals, conf->global_count, "store_sqlite"));
	conf_free(&conf);
	arena_free(&a);
}

static const struct tower_options *
tower_of(const struct conf *conf, size_t host)
{
	return (const struct tower_options *)host_module(conf, host, "tower")
	    ->options;
}

static void
test_modules(void **state)
{
	static const char text[] =
	    "hosts: [a.example, b.example, c.example]\n"
	    "listen: []\n"
	    "modules:\n"
	    "  tower: {windows: 7, motto: 'of @HOST@'}\n"
	    "  ruin:\n"
	    "host_config:\n"
	    "  B.example:\n"
	    "    modules:\n"
	    "      tower: {host: high.@HOST@, motto: mine}\n"
	    "      ruin: {enabled: false}\n"
	    "  c.example: {modules: {tower: {enabled: false}, moat: {}}}\n";
	struct arena *a = arena_new(0);
	struct conf *conf;

	assert_string_equal(rig_conf_parse(a, text, &conf),
	    "f.yml:11: module 'tower' is off, but 'moat' needs it\n");

	assert_string_equal(
	    rig_conf_parse(a,
		str_dup_c(a, str_sub(str_c(text), 0,
				 (size_t)(strstr(text, "  c.ex") - text))),
		&conf),
	    "");
	assert_int_equal(tower_of(conf, 0)->windows, 7);
	assert_true(str_is(tower_of(conf, 0)->motto, "of a.example"));
	assert_true(str_is(tower_of(conf, 0)->host, "tower.a.example"));
	assert_int_equal(tower_of(conf, 1)->windows, 7);
	assert_true(str_is(tower_of(conf, 1)->motto, "mine"));
	assert_true(str_is(tower_of(conf, 1)->host, "high.b.example"));
	assert_non_null(host_module(conf, 0, "ruin"));
	assert_null(host_module(conf, 1, "ruin"));
	assert_null(host_module(conf, 0, "moat"));
	conf_free(&conf);
	arena_free(&a);
}

/* What is named comes on top of what is on anyhow. */
static void
test_module_defaults(void **state)
{
	struct arena *a = arena_new(0);
	struct conf *conf;

	assert_string_equal(rig_conf_parse(a,
				HOSTS "listen: []\nmodules: {defaults: true, "
				      "tower: {windows: 7}}\n",
				&conf),
	    "");
	assert_int_equal(tower_of(conf, 0)->windows, 7);
	assert_non_null(host_module(conf, 0, "moat"));
	conf_free(&conf);
	assert_string_equal(
	    rig_conf_parse(a,
		HOSTS "listen: []\nmodules: {defaults: false, tower: }\n",
		&conf),
	    "");
	assert_null(host_module(conf, 0, "moat"));
	conf_free(&conf);
	arena_free(&a);
}

/* What a module needs is on without being named. */
static void
test_needs(void **state)
{
	struct arena *a = arena_new(0);
	struct conf *conf;

	assert_string_equal(
	    rig_conf_parse(a, HOSTS "listen: []\nmodules: {moat: {}}\n", &conf),
	    "");
	assert_non_null(host_module(conf, 0, "moat"));
	assert_non_null(host_module(conf, 0, "tower"));
	assert_null(host_module(conf, 0, "ruin"));
	conf_free(&conf);
	arena_free(&a);
}

/* ---- a reload, and a dump ---- */

static void
test_kept(void **state)
{
	static const char before[] =
	    "hosts: [a.example, b.example]\nlisten: []\nworkers: 2\n"
	    "data_dir: x\n";
	static const char after[] =
	    "hosts: [a.example, new.example]\nlisten: []\nworkers: 3\n"
	    "data_dir: x\nlimits: {auth_failures: 9}\n"
	    "host_config: {new.example: {modules: {ruin: {}}}}\n";
	struct arena *a = arena_new(0);
	struct problems problems = { .arena = a, .file = "f.yml" };
	struct conf *old, *new = NULL;

	assert_string_equal(rig_conf_parse(a, before, &old), "");
	assert_int_equal(conf_parse(STR(after), old, &problems, &new), 0);
	conf_free(&old);
	assert_int_equal(new->kept.count, 2);
	assert_true(str_is(new->kept.item[0], "hosts"));
	assert_true(str_is(new->kept.item[1], "workers"));
	assert_int_equal(new->workers, 2);
	assert_int_equal(new->host_count, 2);
	assert_true(str_is(new->hosts[1].name, "b.example"));
	assert_int_equal(new->limits.auth_failures, 9);
	conf_free(&new);
	arena_free(&a);
}

/* What is dumped, read again, is the same; secrets are not in it. */
static void
test_dump(void **state)
{
	static const char text[] =
	    "hosts: [a.example, b.example]\n"
	    "admins: [joe@a.example]\n"
	    "listen:\n"
	    "  - {type: c2s, ip: 127.0.0.1, port: 5222,\n"
	    "     proxy_protocol: [10.0.0.0/8, '2001:db8::/32']}\n"
	    "  - {type: c2s, ip: '::1', port: 5223, tls: true}\n"
	    "database: {dsn: abracadabra}\n"
	    "modules: {tower: {key: abracadabra, birds: [a, 'b c']}}\n";
	struct arena *a = arena_new(0);
	struct conf *conf, *again;
	struct str dump, dump_again;

	assert_string_equal(rig_conf_parse(a, text, &conf), "");
	dump = conf_dump(a, conf);
	assert_null(strstr(dump.p, "abracadabra"));
	assert_non_null(strstr(dump.p, "key: \"***\""));
	assert_non_null(strstr(dump.p, "birds: [a, \"b c\"]"));
	assert_string_equal(rig_conf_parse(a, dump.p, &again), "");
	dump_again = conf_dump(a, again);
	assert_string_equal(dump.p, dump_again.p);
	conf_free(&conf);
	conf_free(&again);
	arena_free(&a);
}

static int
teardown(void **state)
{
	modules_unload();
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_module_defaults),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_dump),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
