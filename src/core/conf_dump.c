/* SPDX-License-Identifier: MIT */
/* The configuration in use, as a file that would make it. */
#include "core/conf_tables.h"
#include "core/hooks.h"

static void
pad(struct buf *b, unsigned depth)
{
	while (depth-- > 0)
		buf_add_str(b, STR("  "));
}

static void
table_dump(struct buf *b, unsigned depth, const struct option *table,
    const void *values)
{
	for (; table->type != OPTION_END; table++) {
		if (!optval_is_given(table, values))
			continue;
		pad(b, depth);
		buf_printf(b, "%s: ", table->name);
		optval_print(b, table, values);
		buf_add_c(b, '\n');
	}
}

static void
text_dump(struct buf *b, const char *key, const char *text)
{
	if (text == NULL)
		return;
	buf_printf(b, "%s: ", key);
	yaml_print_text(b, str_c(text));
	buf_add_c(b, '\n');
}

static void
list_dump(struct buf *b, const char *key, const struct str_list *list)
{
	buf_printf(b, "%s: [", key);
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			buf_add_str(b, STR(", "));
		yaml_print_text(b, list->item[i]);
	}
	buf_add_str(b, STR("]\n"));
}

static void
top_dump(struct buf *b, const struct conf *conf)
{
	buf_add_str(b, STR("hosts: ["));
	for (size_t i = 0; i < conf->host_count; i++) {
		if (i > 0)
			buf_add_str(b, STR(", "));
		yaml_print_text(b, conf->hosts[i].name);
	}
	buf_add_str(b, STR("]\n"));
	list_dump(b, "admins", &conf->admins);
	text_dump(b, "data_dir", conf->data_dir);
	text_dump(b, "plugin_dir", modules_dir());
	buf_printf(b, "workers: %u\n", conf->workers);
	list_dump(b, "certificates", &conf->certificates);
	text_dump(b, "user", conf->user);
}

static struct str
text_of(const char *text)
{
	return text != NULL ? str_c(text) : STR("");
}

static void
sections_dump(struct buf *b, const struct conf *conf)
{
	struct conf_log log = { .level = (unsigned)conf->log.level,
		.format = (unsigned)conf->log.format,
		.target = text_of(conf->log.target) };
	struct conf_database db = { text_of(conf->database.driver),
		text_of(conf->database.path), text_of(conf->database.dsn) };

	buf_add_str(b, STR("log:\n"));
	table_dump(b, 1, conf_log_options, &log);
	buf_add_str(b, STR("database:\n"));
	table_dump(b, 1, conf_database_options, &db);
	buf_add_str(b, STR("auth:\n"));
	table_dump(b, 1, conf_auth_options, &conf->auth);
	buf_add_str(b, STR("limits:\n"));
	table_dump(b, 1, conf_limits_options, &conf->limits);
	buf_add_str(b, STR("s2s:\n"));
	table_dump(b, 1, conf_s2s_options, &conf->s2s);
	buf_add_str(b, STR("dns:\n"));
	table_dump(b, 1, conf_dns_options, &conf->dns);
}

static void
net_dump(struct buf *b, const struct addr_net *net)
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };
	bool is_v4 = memcmp(net->bytes, v4, sizeof(v4)) == 0 && net->bits >= 96;
	struct addr addr = { 0 };
	char ip[ADDR_TEXT_MAX];

	addr.ss.in6.sin6_family = AF_INET6;
	addr.len = sizeof(addr.ss.in6);
	memcpy(&addr.ss.in6.sin6_addr, net->bytes, sizeof(net->bytes));
	addr_ip(&addr, ip);
	buf_printf(b, "\"%s/%d\"", ip, is_v4 ? net->bits - 96 : net->bits);
}

static void
listener_dump(struct buf *b, const struct listen_conf *l)
{
	const struct option *type = &conf_listen_options[0];
	const struct option *starttls = &conf_listen_options[3];
	char ip[ADDR_TEXT_MAX];

	addr_ip(&l->addr, ip);
	buf_printf(b, "  - {type: %s, ip: \"%s\", port: %u",
	    type->choices[l->type], ip, addr_port(&l->addr));
	if (l->policy.is_direct_tls)
		buf_add_str(b, STR(", tls: true"));
	else if (listen_is_negotiated(l->type))
		buf_printf(
		    b, ", starttls: %s", starttls->choices[l->policy.starttls]);
	for (size_t i = 0; i < l->proxy_count; i++) {
		buf_add_str(b, i == 0 ? STR(", proxy_protocol: [") : STR(", "));
		net_dump(b, &l->proxies[i]);
	}
	buf_add_str(b, l->proxy_count > 0 ? STR("]}\n") : STR("}\n"));
}

static void
components_dump(struct buf *b, const struct conf *conf)
{
	if (conf->component_count > 0)
		buf_add_str(b, STR("components:\n"));
	for (size_t i = 0; i < conf->component_count; i++) {
		const struct component_conf *c = &conf->components[i];

		buf_add_str(b, STR("  - {host: "));
		yaml_print_text(b, c->host);
		buf_add_str(b, STR(", secret: "));
		optval_print(b, &conf_component_options[1], c);
		buf_add_str(b, STR("}\n"));
	}
}

static void
modules_dump(
    struct buf *b, unsigned depth, const struct module_conf *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct module *table = modules_table(list[i].name.p);
		bool is_empty = table == NULL || table->options == NULL ||
				table->options->type == OPTION_END;

		pad(b, depth);
		buf_printf(b, "%s:%s\n", list[i].name.p, is_empty ? " {}" : "");
		if (!is_empty)
			table_dump(
			    b, depth + 1, table->options, list[i].options);
	}
}

/* The global modules at the top; what is on for a host, with that host. */
struct str
conf_dump(struct arena *a, const struct conf *conf)
{
	struct buf b = { 0 };
	struct str text;

	top_dump(&b, conf);
	sections_dump(&b, conf);
	buf_add_str(&b,
	    conf->listen_count > 0 ? STR("listen:\n") : STR("listen: []\n"));
	for (size_t i = 0; i < conf->listen_count; i++)
		listener_dump(&b, &conf->listen[i]);
	components_dump(&b, conf);
	buf_add_str(&b,
	    conf->global_count > 0 ? STR("modules:\n") : STR("modules: {}\n"));
	modules_dump(&b, 1, conf->globals, conf->global_count);
	buf_add_str(&b, STR("host_config:\n"));
	for (size_t i = 0; i < conf->host_count; i++) {
		const struct host_conf *h = &conf->hosts[i];

		buf_add_str(&b, STR("  "));
		yaml_print_text(&b, h->name);
		buf_add_str(&b, STR(":\n    modules:\n"));
		modules_dump(&b, 3, h->modules, h->module_count);
	}
	text = str_dup(a, buf_str(&b));
	buf_fini(&b);
	return text;
}
