/* SPDX-License-Identifier: MIT */
/*
 * The configuration: a YAML file, checked against option tables. What was
 * read is immutable; a reload makes a new one, which each worker takes up on
 * its own loop, and the old one is freed when the last has let go of it.
 */
#ifndef CORE_CONF_H
#define CORE_CONF_H

#include "core/option.h"
#include "core/stream.h"
#include "net/listener.h"

struct arena;
struct module;
struct problems;
struct tree;

enum listen_type {
	LISTEN_C2S,
	LISTEN_HTTP,
	LISTEN_S2S,
	LISTEN_COMPONENT,
	LISTEN_PROXY65,
	LISTEN_MUX
};

/* Is TLS a matter of STARTTLS there? */
static inline bool
listen_is_negotiated(enum listen_type type)
{
	return type == LISTEN_C2S || type == LISTEN_S2S || type == LISTEN_MUX;
}

struct listen_conf {
	enum listen_type type;
	struct addr addr;
	struct stream_policy policy; /* starttls, direct TLS */
	struct addr_net *proxies;
	size_t proxy_count;
	bool is_optional; /* no error when the address is not there */
	unsigned line;	  /* in the file, for messages */
};

struct limits_conf {
	uint64_t stanza_size;
	uint64_t pre_auth_stanza_size;
	uint64_t c2s_rate; /* bytes a second for a session, 0: none */
	uint64_t s2s_rate;
	struct rate handshakes;	 /* of one address */
	struct rate s2s_streams; /* the same */
	struct rate s2s_keys;
	uint64_t sessions_per_account;
	uint64_t roster_items;
	uint64_t offline_messages;  /* spooled for an account */
	uint64_t session_queue;	    /* bytes to a client before detaching */
	uint64_t negotiation_ms;    /* everything before login */
	uint64_t resume_ms;	    /* how long a detached session waits */
	struct str resume_location; /* "host:port", or "" */
	uint64_t auth_failures;	    /* on one connection */
	uint64_t capabilities;	    /* kinds of clients that are known */
};

struct auth_conf {
	struct str_list backends;
	struct str_list mechanisms;
	struct str client_ca_file; /* or "" */
	bool allow_plain_without_tls;
	bool is_upgrading; /* accounts may lack keys of some mechanisms */
	uint64_t cache_ms; /* how long a backend's yes holds */
	uint64_t scram_iterations;
	uint64_t token_lifetime_ms;   /* 0: no tokens */
	uint64_t client_retention_ms; /* 0: none are remembered */
};

enum s2s_require { S2S_CERTIFICATE, S2S_DIALBACK };

/* Streams with other servers. */
struct s2s_conf {
	unsigned require; /* enum s2s_require */
	/* Patterns of domains for which it is otherwise: s2s_policy.c */
	struct str_list certificate_for, dialback_for, plain_for;
	struct str_list allow, deny;
	struct str ca_file;
	uint64_t timeout_ms; /* until a stream is up */
	uint64_t resume_ms;  /* how long a broken one may be resumed */
	uint64_t retry_ms;   /* the longest pause after failures */
	uint64_t idle_ms;
	uint64_t dead_ms; /* without a sign of life */
};

/* A program that connects to us and is a domain (XEP-0114). */
struct component_conf {
	struct str host, secret;
};

struct dns_conf {
	struct str_list servers;
	const char *servers_text; /* with commas between */
};

/* One module for one host: its options struct, filled by its table. */
struct module_conf {
	struct str name;
	const void *options; /* options_size bytes, or NULL */
};

struct host_conf {
	struct str name;
	struct module_conf *modules;
	size_t module_count;
};

struct conf {
	struct arena *arena; /* all of it */
	const char *path;    /* NULL: the built-in default */
	struct host_conf *hosts;
	size_t host_count;
	struct str_list admins; /* prepared bare JIDs */
	const char *data_dir;
	const char *plugin_dir;
	unsigned workers;
	struct {
		enum log_level level;
		const char *target;
		enum log_format format;
	} log;
	struct str_list certificates;
	struct {
		const char *driver, *path, *dsn;
	} database;
	struct listen_conf *listen;
	size_t listen_count;
	struct component_conf *components;
	size_t component_count;
	struct auth_conf auth;
	struct limits_conf limits;
	struct s2s_conf s2s;
	struct dns_conf dns;
	bool is_federated; /* some listener is for other servers */
	const char *user;  /* to become when started as root, or NULL */

	struct module_conf *globals; /* modules without a host */
	size_t global_count;
	const struct tree *tree; /* what was read */
	/* Keys whose new values take a restart; the old ones hold. */
	struct str_list kept;
};

/* The calling worker's configuration; never NULL while loops run. */
API const struct conf *conf_now(void);

/* What conf_now() answers on the calling thread from now on. */
void conf_use(const struct conf *conf);

/*
 * Reads a file, or with NULL the built-in default. `running` (or NULL) is the
 * configuration that a reload replaces: what cannot change while running is
 * taken from it, and named in `kept`. ERR_CONFIG when it is wrong: then
 * `problems`, whose arena is the caller's, has all that is. It reads tables of
 * modules: so on the main thread only.
 */
int conf_load(const char *path, const struct conf *running,
    struct problems *problems, struct conf **conf_r);
/* The same of a text; problems->file is what it is called. */
int conf_parse(struct str text, const struct conf *running,
    struct problems *problems, struct conf **conf_r);
void conf_free(struct conf **conf);
/* The line of an item in a list at the top; 0 if it is not in the file. */
unsigned conf_item_line(const struct conf *conf, const char *key, size_t index);
/* ROOKERY_CONFIG_FILE if there is such a file, else NULL. */
const char *conf_default_path(void);
/* All of it as YAML, secrets masked, in the arena. */
struct str conf_dump(struct arena *a, const struct conf *conf);

/*
 * The options of a module for a host (NULL: a global one), whether it is on
 * there or not: its table's defaults and what the file says. In the arena.
 */
const void *conf_module_options(const struct conf *conf, struct arena *a,
    struct problems *problems, const char *name, const struct module *table,
    const struct host_conf *host);

#endif
