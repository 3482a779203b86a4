/* SPDX-License-Identifier: MIT */
/* Reading the configuration: everything but the modules' part. */
#include "core/conf.h"

#include "core/conf_tables.h"
#include "core/hooks.h"
#include "core/scram.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORKERS_MAX 128
#define COMPONENTS_MAX 100

/* With no file at all. */
static const char builtin[] = "hosts: [localhost]\n"
			      "data_dir: rookery-data\n"
			      "listen:\n"
			      "  - {type: c2s, ip: 127.0.0.1, port: 5222}\n"
			      "  - {type: c2s, ip: '::1', port: 5222}\n"
			      "  - {type: http, ip: 127.0.0.1, port: 5280}\n"
			      "  - {type: http, ip: '::1', port: 5280}\n"
			      "  - {type: s2s, ip: 127.0.0.1, port: 5269}\n"
			      "  - {type: s2s, ip: '::1', port: 5269}\n"
			      "  - {type: proxy65, ip: 127.0.0.1, port: 7777}\n"
			      "  - {type: proxy65, ip: '::1', port: 7777}\n";
static const char listen_default[] =
    "[{type: c2s, ip: '::', port: 5222, starttls: required}, "
    "{type: s2s, ip: '::', port: 5269, starttls: required}, "
    "{type: proxy65, ip: '::', port: 7777}]";

static _Thread_local const struct conf *now;

const struct conf *
conf_now(void)
{
	return now;
}

void
conf_use(const struct conf *conf)
{
	now = conf;
}

void
conf_free(struct conf **conf)
{
	struct arena *a;

	if (*conf == NULL)
		return;
	a = (*conf)->arena;
	*conf = NULL;
	arena_free(&a);
}

/* ---- the top ---- */

static const char *
text_or_null(struct str s)
{
	return s.n > 0 ? s.p : NULL;
}

/* Where a key of the top stands. */
static unsigned
line_of(const struct conf *conf, const char *key)
{
	const struct tree *t = tree_get(conf->tree, key);

	return t != NULL ? t->line : 0;
}

unsigned
conf_item_line(const struct conf *conf, const char *key, size_t index)
{
	const struct tree *t = tree_get(conf->tree, key);

	if (t == NULL || t->kind != TREE_LIST)
		return 0;
	t = t->first;
	while (t != NULL && index-- > 0)
		t = t->next;
	return t != NULL ? t->line : 0;
}

static bool
has_host(const struct conf *conf, struct str name)
{
	for (size_t i = 0; i < conf->host_count; i++) {
		if (str_eq(conf->hosts[i].name, name))
			return true;
	}
	return false;
}

static void
hosts_read(struct conf *conf, struct problems *p, const struct str_list *list)
{
	if (tree_get(conf->tree, "hosts") == NULL)
		problem_add(p, 1,
		    "'hosts' is missing: the domains to be "
		    "served, such as [example.org]");
	conf->hosts = (struct host_conf *)arena_zalloc(
	    conf->arena, (list->count + 1) * sizeof(*conf->hosts));
	for (size_t i = 0; i < list->count; i++) {
		unsigned line = conf_item_line(conf, "hosts", i);
		struct str name;

		if (jid_prep_domain(conf->arena, list->item[i], &name) < 0)
			problem_add(p, line, "'" STR_FMT "' is not a domain",
			    STR_ARG(list->item[i]));
		else if (has_host(conf, name))
			problem_add(p, line,
			    "host '" STR_FMT "' is there twice", STR_ARG(name));
		else
			conf->hosts[conf->host_count++].name =
			    str_dup(conf->arena, name);
	}
}

static void
admins_read(struct conf *conf, struct problems *p, const struct str_list *list)
{
	struct str *admins = (struct str *)arena_alloc(
	    conf->arena, (list->count + 1) * sizeof(*admins));

	for (size_t i = 0; i < list->count; i++) {
		struct jid jid;

		if (jid_parse(conf->arena, list->item[i], &jid) < 0 ||
		    str_is_none(jid.local) || !jid_is_bare(&jid))
			problem_add(p, conf_item_line(conf, "admins", i),
			    "'" STR_FMT "' is not the address of an account, "
			    "such as admin@example.org",
			    STR_ARG(list->item[i]));
		admins[i] = str_dup(conf->arena, jid.bare);
	}
	conf->admins = (struct str_list){ admins, list->count };
}

static unsigned
cores_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	return 1;
}

static void
workers_read(struct conf *conf, struct problems *p, struct str text)
{
	uint64_t n = 0;

	if (str_is(text, "auto"))
		n = MIN(MAX(cores_count(), 1u), WORKERS_MAX);
	else if (!str_to_u64(text, &n) || n < 1 || n > WORKERS_MAX)
		problem_add(p, line_of(conf, "workers"),
		    "'workers': '" STR_FMT
		    "' is neither auto nor a number from 1 to %u",
		    STR_ARG(text), WORKERS_MAX);
	conf->workers = (unsigned)n;
}

static void
top_read(struct conf *conf, struct problems *p)
{
	struct optval_scope scope = { conf->arena, p, STR_NONE, "" };
	struct conf_top top = { 0 };

	optvals_default(&scope, conf_top_options, &top);
	optvals_read(
	    &scope, conf_top_options, conf->tree, conf_section_keys, &top);
	hosts_read(conf, p, &top.hosts);
	admins_read(conf, p, &top.admins);
	workers_read(conf, p, top.workers);
	conf->certificates = top.certificates;
	conf->plugin_dir = text_or_null(top.plugin_dir);
	conf->user = text_or_null(top.user);
	conf->data_dir = top.data_dir.p;
	if (top.data_dir.n == 0)
		problem_add(
		    p, line_of(conf, "data_dir"), "'data_dir' is empty");
}

/* ---- sections ---- */

static void
section_read(struct conf *conf, struct problems *p, const char *name,
    const struct option *options, void *values)
{
	struct optval_scope scope = { conf->arena, p, STR_NONE, NULL };
	const struct tree *map = tree_get(conf->tree, name);

	scope.where = arena_printf(conf->arena, " of '%s'", name);
	optvals_default(&scope, options, values);
	if (map != NULL)
		optvals_read(&scope, options, map, NULL, values);
}

static void
log_read(struct conf *conf, struct problems *p)
{
	struct conf_log log = { 0 };

	section_read(conf, p, "log", conf_log_options, &log);
	conf->log.level = (enum log_level)log.level;
	conf->log.format = (enum log_format)log.format;
	conf->log.target = log.target.p;
}

/* The drivers there are: modules called store_DRIVER. */
static const char *const *
drivers(struct arena *a)
{
	const char *const *names = modules_names(a);
	const char **found;
	size_t n = 0;

	while (names[n] != NULL)
		n++;
	found = (const char **)arena_zalloc(a, (n + 1) * sizeof(*found));
	for (n = 0; *names != NULL; names++) {
		if (strncmp(*names, "store_", 6) == 0)
			found[n++] = *names + 6;
	}
	return found;
}

static void
database_read(struct conf *conf, struct problems *p)
{
	struct conf_database db = { 0 };
	const char *module;

	section_read(conf, p, "database", conf_database_options, &db);
	conf->database.driver =
	    str_is(db.driver, "postgresql") ? "pg" : db.driver.p;
	conf->database.path = text_or_null(db.path);
	conf->database.dsn = text_or_null(db.dsn);
	module = arena_printf(conf->arena, "store_%s", conf->database.driver);
	/* Without a folder of modules there is none; that has been said. */
	if (modules_check_dir() == 0 && !modules_has(module)) {
		const struct tree *t = tree_get(conf->tree, "database");
		const struct tree *d = tree_get(t, "driver");

		problem_unknown(p, d != NULL ? d->line : 0, "database driver",
		    db.driver, "", drivers(conf->arena));
	}
}

/* Mechanisms that we know, ended by NULL. */
static const char *const *
mechanisms(struct arena *a)
{
	const struct scram_hash *h = scram_hashes;
	const char **names;
	size_t n = 0;

	while (h[n].mechanism != NULL)
		n++;
	names = (const char **)arena_zalloc(a, (2 * n + 4) * sizeof(*names));
	for (n = 0; h->mechanism != NULL; h++) {
		names[n++] = h->mechanism;
		names[n++] = arena_printf(a, "%s-PLUS", h->mechanism);
	}
	names[n++] = "PLAIN";
	names[n++] = "EXTERNAL";
	names[n] = "ANONYMOUS";
	return names;
}

/* Where an item of a list in a section stands. */
static unsigned
nested_line(
    const struct conf *conf, const char *section, const char *key, size_t index)
{
	const struct tree *t = tree_get(tree_get(conf->tree, section), key);

	if (t == NULL || t->kind != TREE_LIST)
		return 0;
	t = t->first;
	while (t != NULL && index-- > 0)
		t = t->next;
	return t != NULL ? t->line : 0;
}

/* The backends there are: our own, and modules called auth_BACKEND. */
static const char *const *
auth_backends(struct arena *a)
{
	const char *const *names = modules_names(a);
	const char **found;
	size_t n = 0;

	while (names[n] != NULL)
		n++;
	found = (const char **)arena_zalloc(a, (n + 2) * sizeof(*found));
	found[0] = "internal";
	for (n = 1; *names != NULL; names++) {
		if (strncmp(*names, "auth_", 5) == 0)
			found[n++] = *names + 5;
	}
	return found;
}

/* What others than the store know is checked by PLAIN alone. */
static void
check_plain(const struct conf *conf, struct problems *p)
{
	const struct auth_conf *auth = &conf->auth;
	bool has_plain = false;

	for (size_t i = 0; i < auth->mechanisms.count; i++)
		has_plain |= str_is(auth->mechanisms.item[i], "PLAIN");
	for (size_t i = 0; i < auth->backends.count && !has_plain; i++)
		if (!str_is(auth->backends.item[i], "internal"))
			problem_add(p, nested_line(conf, "auth", "backends", i),
			    "backend '" STR_FMT
			    "' needs PLAIN among 'mechanisms'",
			    STR_ARG(auth->backends.item[i]));
}

static void
auth_read(struct conf *conf, struct problems *p)
{
	const char *const *backends = auth_backends(conf->arena);
	const char *const *known = mechanisms(conf->arena);
	struct auth_conf *auth = &conf->auth;

	section_read(conf, p, "auth", conf_auth_options, auth);
	for (size_t i = 0; i < auth->mechanisms.count; i++) {
		struct str name = auth->mechanisms.item[i];
		const char *const *k = known;

		while (*k != NULL && !str_is(name, *k))
			k++;
		if (*k == NULL)
			problem_unknown(p,
			    nested_line(conf, "auth", "mechanisms", i),
			    "mechanism", name, "", known);
	}
	for (size_t i = 0; i < auth->backends.count; i++) {
		struct str name = auth->backends.item[i];

		if (!str_is(name, "internal") &&
		    !modules_has(arena_printf(
			conf->arena, "auth_" STR_FMT, STR_ARG(name))))
			problem_unknown(p,
			    nested_line(conf, "auth", "backends", i), "backend",
			    name, "", backends);
	}
	check_plain(conf, p);
}

static void
dns_read(struct conf *conf, struct problems *p)
{
	struct str_list *servers = &conf->dns.servers;
	struct buf b = { 0 };

	section_read(conf, p, "dns", conf_dns_options, &conf->dns);
	for (size_t i = 0; i < servers->count; i++) {
		struct str rest = servers->item[i], ip = rest, port = STR_NONE;
		struct addr addr;
		uint64_t n = 53;

		if (addr_parse(ip, 53, &addr) < 0) {
			ip = str_cut(&rest, ':');
			port = rest;
		}
		if (addr_parse(ip, 53, &addr) < 0 ||
		    (!str_is_none(port) &&
			(!str_to_u64(port, &n) || n < 1 || n > 65535)))
			problem_add(p, nested_line(conf, "dns", "servers", i),
			    "'" STR_FMT
			    "' is not an address, such as 127.0.0.1:53",
			    STR_ARG(servers->item[i]));
		buf_printf(&b, "%s" STR_FMT, i > 0 ? "," : "",
		    STR_ARG(servers->item[i]));
	}
	conf->dns.servers_text = str_dup_c(conf->arena, buf_str(&b));
	buf_fini(&b);
}

/* ---- listeners ---- */

static void
proxies_read(struct conf *conf, struct problems *p, const struct tree *map,
    const struct str_list *list, struct listen_conf *l)
{
	const struct tree *t = tree_get(map, "proxy_protocol");

	l->proxies = (struct addr_net *)arena_zalloc(
	    conf->arena, (list->count + 1) * sizeof(*l->proxies));
	l->proxy_count = list->count;
	t = t != NULL && t->kind == TREE_LIST ? t->first : NULL;
	for (size_t i = 0; i < list->count; i++) {
		if (addr_net_parse(list->item[i], &l->proxies[i]) < 0)
			problem_add(p, t != NULL ? t->line : map->line,
			    "'" STR_FMT
			    "' is not a network, such as 10.0.0.0/8",
			    STR_ARG(list->item[i]));
		t = t != NULL ? t->next : NULL;
	}
}

static bool
same_addr(const struct addr *a, const struct addr *b)
{
	char ip[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];

	if (addr_port(a) != addr_port(b) || addr_port(a) == 0 ||
	    a->ss.sa.sa_family != b->ss.sa.sa_family)
		return false;
	addr_ip(a, ip);
	addr_ip(b, other);
	return strcmp(ip, other) == 0;
}

/* What can't be known from a table. */
static void
listen_check(const struct conf *conf, struct problems *p,
    const struct tree *map, const struct listen_conf *l)
{
	bool has_none = !listen_is_negotiated(l->type);
	bool has_tls = l->policy.is_direct_tls || l->type == LISTEN_MUX ||
		       (!has_none && l->policy.starttls != STARTTLS_NONE);

	if (has_none && tree_get(map, "starttls") != NULL)
		problem_add(p, map->line,
		    "'starttls' has no place beside 'type: %s'",
		    conf_listen_options[0].choices[l->type]);
	if (l->type == LISTEN_PROXY65 && l->policy.is_direct_tls)
		problem_add(
		    p, map->line, "'tls' has no place beside 'type: proxy65'");

	if (l->type == LISTEN_S2S && !l->policy.is_direct_tls &&
	    l->policy.starttls != STARTTLS_REQUIRED)
		problem_add(p, map->line,
		    "'starttls' of a listener for servers can only be "
		    "'required'");
	if (l->policy.is_direct_tls && tree_get(map, "starttls") != NULL)
		problem_add(
		    p, map->line, "'starttls' has no place beside 'tls: true'");
	if (has_tls && conf->certificates.count == 0 &&
	    !addr_is_loopback(&l->addr))
		problem_add(p, map->line,
		    "a listener with TLS needs 'certificates'; there are none");
	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *o = &conf->listen[i];

		if (same_addr(&o->addr, &l->addr))
			problem_add(p, map->line,
			    "the same address and port as in line %u", o->line);
	}
}

static void
listen_item(struct conf *conf, struct problems *p, const struct tree *map,
    struct listen_conf *l)
{
	struct optval_scope scope = { conf->arena, p, STR_NONE,
		" of 'listen'" };
	struct conf_listen raw = { 0 };

	l->line = map->line;
	optvals_default(&scope, conf_listen_options, &raw);
	if (!optvals_read(&scope, conf_listen_options, map, NULL, &raw))
		return;
	if (tree_get(map, "type") == NULL || tree_get(map, "port") == NULL) {
		problem_add(p, map->line,
		    "a listener needs 'type' and 'port', such as "
		    "{type: c2s, port: 5222}");
		return;
	}
	if (addr_parse(raw.ip, (uint16_t)raw.port, &l->addr) < 0) {
		problem_add(p, map->line,
		    "'ip' of 'listen': '" STR_FMT "' is not an IP address",
		    STR_ARG(raw.ip));
		return;
	}
	l->type = (enum listen_type)raw.type;
	l->policy.starttls = (enum starttls_policy)raw.starttls;
	l->policy.is_direct_tls = raw.is_tls;
	proxies_read(conf, p, map, &raw.proxies, l);
	listen_check(conf, p, map, l);
}

static void
listen_read(struct conf *conf, struct problems *p)
{
	const struct tree *list = tree_get(conf->tree, "listen");

	if (list == NULL)
		list = yaml_read(conf->arena, STR(listen_default), p);
	if (list->kind != TREE_LIST) {
		problem_add(p, list->line,
		    "'listen': a list is expected, such as "
		    "[{type: c2s, port: 5222}]");
		return;
	}
	if (list->count > 100) {
		problem_add(p, list->line, "more than 100 listeners");
		return;
	}
	conf->listen = (struct listen_conf *)arena_zalloc(
	    conf->arena, (list->count + 1) * sizeof(*conf->listen));
	for (const struct tree *t = list->first; t != NULL; t = t->next) {
		listen_item(conf, p, t, &conf->listen[conf->listen_count]);
		conf->is_federated |=
		    conf->listen[conf->listen_count].type == LISTEN_S2S;
		conf->listen_count++;
	}
}

/* ---- components ---- */

static void
component_check(struct conf *conf, struct problems *p, const struct tree *map,
    const struct component_conf *c)
{
	if (str_is_none(c->host) || c->host.n == 0 || c->secret.n == 0) {
		problem_add(p, map->line,
		    "a component needs 'host' and 'secret', such as "
		    "{host: irc.example.org, secret: ...}");
		return;
	}
	if (has_host(conf, c->host))
		problem_add(p, map->line,
		    "'" STR_FMT "' is one of 'hosts', and no component",
		    STR_ARG(c->host));
	for (size_t i = 0; i < conf->component_count; i++)
		if (str_eq(conf->components[i].host, c->host))
			problem_add(p, map->line,
			    "component '" STR_FMT "' is there twice",
			    STR_ARG(c->host));
}

static void
components_read(struct conf *conf, struct problems *p)
{
	struct optval_scope scope = { conf->arena, p, STR_NONE,
		" of 'components'" };
	const struct tree *list = tree_get(conf->tree, "components");

	if (list == NULL)
		return;
	if (list->kind != TREE_LIST || list->count > COMPONENTS_MAX) {
		problem_add(p, list->line,
		    "'components': a list of up to %d is expected, such as "
		    "[{host: irc.example.org, secret: ...}]",
		    COMPONENTS_MAX);
		return;
	}
	conf->components = (struct component_conf *)arena_zalloc(
	    conf->arena, (list->count + 1) * sizeof(*conf->components));
	for (const struct tree *t = list->first; t != NULL; t = t->next) {
		struct component_conf *c =
		    &conf->components[conf->component_count];

		optvals_default(&scope, conf_component_options, c);
		if (!optvals_read(&scope, conf_component_options, t, NULL, c))
			continue;
		component_check(conf, p, t, c);
		conf->component_count++;
	}
}

/* ---- what a reload keeps ---- */

static void
keep(struct conf *conf, const char *key)
{
	struct str *items = (struct str *)arena_alloc(
	    conf->arena, (conf->kept.count + 1) * sizeof(*items));

	for (size_t i = 0; i < conf->kept.count; i++)
		items[i] = conf->kept.item[i];
	items[conf->kept.count] = str_c(key);
	conf->kept = (struct str_list){ items, conf->kept.count + 1 };
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *
keep_text(struct conf *conf, const char *key, const char *new, const char *old)
{
	if (same_text(new, old))
		return new;
	keep(conf, key);
	return old != NULL ? str_dup_c(conf->arena, str_c(old)) : NULL;
}

static bool
same_hosts(const struct conf *conf, const struct conf *old)
{
	if (conf->host_count != old->host_count)
		return false;
	for (size_t i = 0; i < old->host_count; i++) {
		if (!str_eq(conf->hosts[i].name, old->hosts[i].name))
			return false;
	}
	return true;
}

static void
hosts_keep(struct conf *conf, const struct conf *old)
{
	if (same_hosts(conf, old))
		return;
	keep(conf, "hosts");
	conf->host_count = old->host_count;
	conf->hosts = (struct host_conf *)arena_zalloc(
	    conf->arena, (old->host_count + 1) * sizeof(*conf->hosts));
	for (size_t i = 0; i < old->host_count; i++)
		conf->hosts[i].name = str_dup(conf->arena, old->hosts[i].name);
}

static void
running_keep(struct conf *conf, const struct conf *old)
{
	hosts_keep(conf, old);
	conf->data_dir =
	    keep_text(conf, "data_dir", conf->data_dir, old->data_dir);
	conf->plugin_dir =
	    keep_text(conf, "plugin_dir", conf->plugin_dir, old->plugin_dir);
	conf->user = keep_text(conf, "user", conf->user, old->user);
	conf->database.driver = keep_text(conf, "database.driver",
	    conf->database.driver, old->database.driver);
	conf->database.path = keep_text(
	    conf, "database.path", conf->database.path, old->database.path);
	conf->database.dsn = keep_text(
	    conf, "database.dsn", conf->database.dsn, old->database.dsn);
	if (conf->workers != old->workers) {
		keep(conf, "workers");
		conf->workers = old->workers;
	}
}

/* ---- all of it ---- */

static void
plugins_find(struct conf *conf, struct problems *p)
{
	int err;

	modules_set_dir(conf->plugin_dir);
	err = modules_check_dir();
	if (err < 0)
		problem_add(p, line_of(conf, "plugin_dir"),
		    "the folder of modules, %s, cannot be read: %s",
		    modules_dir(), err_text(err));
}

/* What is sent at once must find room. */
static void
limits_read(struct conf *conf, struct problems *p)
{
	const struct limits_conf *l = &conf->limits;
	const struct tree *map = tree_get(conf->tree, "limits");
	const struct tree *at = tree_get(map, "session_queue");

	section_read(conf, p, "limits", conf_limits_options, &conf->limits);
	if (at == NULL)
		at = tree_get(map, "stanza_size");
	if (at != NULL && l->session_queue < l->stanza_size)
		problem_add(p, at->line,
		    "'session_queue' of 'limits' is %llu, less than "
		    "'stanza_size', %llu: the largest stanza must fit in it",
		    (unsigned long long)l->session_queue,
		    (unsigned long long)l->stanza_size);
}

static void
tree_read(
    struct conf *conf, const struct conf *running, struct problems *problems)
{
	top_read(conf, problems);
	if (running == NULL)
		plugins_find(conf, problems);
	log_read(conf, problems);
	database_read(conf, problems);
	auth_read(conf, problems);
	limits_read(conf, problems);
	section_read(conf, problems, "s2s", conf_s2s_options, &conf->s2s);
	dns_read(conf, problems);
	listen_read(conf, problems);
	components_read(conf, problems);
	if (running != NULL)
		running_keep(conf, running);
	conf_read_modules(conf, problems);
}

int
conf_parse(struct str text, const struct conf *running,
    struct problems *problems, struct conf **conf_r)
{
	struct arena *a = arena_new(16384);
	struct conf *conf = arena_new_of(a, struct conf);
	struct tree *root = yaml_read(a, text, problems);

	conf->arena = a;
	conf->tree = root;
	if (root != NULL && root->kind != TREE_MAP)
		problem_add(problems, root->line,
		    "a map is expected, such as 'hosts: [example.org]'");
	else if (root != NULL)
		tree_read(conf, running, problems);
	if (problems->count > 0) {
		conf_free(&conf);
		return ERR_CONFIG;
	}
	*conf_r = conf;
	return 0;
}

static int
file_read(const char *path, struct buf *b, struct problems *problems)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 0;

	while (n >= 0 && b->n <= YAML_BYTES_MAX) {
		buf_reserve(b, 65536);
		n = read(fd, b->p + b->n, 65536);
		if (n <= 0)
			break;
		b->n += (size_t)n;
	}
	if (n < 0)
		problem_add(
		    problems, 0, "cannot be read: %s", err_text(-errno));
	if (fd >= 0)
		close(fd);
	return n < 0 ? ERR_CONFIG : 0;
}

static int
builtin_load(
    const struct conf *running, struct problems *problems, struct conf **conf_r)
{
	int err;

	problems->file = "built-in configuration";
	err = conf_parse(STR(builtin), running, problems, conf_r);
	/* A machine need not have IPv6. */
	if (err == 0)
		for (size_t i = 1; i < (*conf_r)->listen_count; i += 2)
			(*conf_r)->listen[i].is_optional = true;
	return err;
}

int
conf_load(const char *path, const struct conf *running,
    struct problems *problems, struct conf **conf_r)
{
	struct buf b = { 0 };
	int err;

	if (path == NULL)
		return builtin_load(running, problems, conf_r);
	problems->file = path;
	err = file_read(path, &b, problems);
	if (err == 0)
		err = conf_parse(buf_str(&b), running, problems, conf_r);
	if (err == 0)
		(*conf_r)->path = str_dup_c((*conf_r)->arena, str_c(path));
	buf_fini(&b);
	return err;
}

const char *
conf_default_path(void)
{
	return access(ROOKERY_CONFIG_FILE, F_OK) == 0 ? ROOKERY_CONFIG_FILE
						      : NULL;
}
