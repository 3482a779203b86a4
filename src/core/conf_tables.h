/* SPDX-License-Identifier: MIT */
/* The tables of the configuration's own sections; inside of conf*.c. */
#ifndef CORE_CONF_TABLES_H
#define CORE_CONF_TABLES_H

#include "core/conf.h"
#include "core/optval.h"

/* What is read as text and then made into something else. */
struct conf_top {
	struct str_list hosts, admins, certificates;
	struct str data_dir, plugin_dir, workers, user;
};

struct conf_log {
	unsigned level, format;
	struct str target;
};

struct conf_database {
	struct str driver, path, dsn;
};

struct conf_listen {
	unsigned type, starttls;
	struct str ip;
	uint64_t port;
	bool is_tls;
	struct str_list proxies;
};

extern const struct option conf_top_options[];
extern const struct option conf_log_options[];
extern const struct option conf_database_options[];
extern const struct option conf_listen_options[];
extern const struct option conf_component_options[];
extern const struct option conf_auth_options[];
extern const struct option conf_limits_options[];
extern const struct option conf_s2s_options[];
extern const struct option conf_dns_options[];

/* All of them, for the manual; ended by a row without options. */
struct conf_section {
	const char *name; /* NULL: at the top */
	const struct option *options;
	const char *help;
};
extern const struct conf_section conf_sections[];
/* Keys at the top that are no options: "log", "listen"...; ended by NULL. */
extern const char *const conf_section_keys[];

/* conf_modules.c: reads `modules` and `host_config`. */
void conf_read_modules(struct conf *conf, struct problems *problems);

#endif
