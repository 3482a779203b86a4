/* SPDX-License-Identifier: MIT */
#include "core/conf_tables.h"

#include <stdint.h>

/* In the order of enum log_level. */
static const char *const levels[] = { "none", "emergency", "alert", "critical",
	"error", "warning", "notice", "info", "debug", NULL };
/* In the order of enum log_format. */
static const char *const formats[] = { "text", "json", NULL };
/* In the order of enum listen_type. */
static const char *const listen_types[] = { "c2s", "http", "s2s", "component",
	"proxy65", "mux", NULL };
/* In the order of enum starttls_policy. */
static const char *const starttls[] = { "required", "optional", "none", NULL };

const struct option conf_top_options[] = {
	{
	    .name = "hosts",
	    .type = OPTION_LIST,
	    .offset = offsetof(struct conf_top, hosts),
	    .min = 1,
	    .max = 1000,
	    .help = "the domains served",
	},
	OPT_LIST("admins", struct conf_top, admins, NULL, 1000,
	    "accounts that may administer the server"),
	OPT_TEXT("data_dir", struct conf_top, data_dir, "/var/lib/rookery",
	    1000, "the folder below which everything is kept"),
	OPT_TEXT("plugin_dir", struct conf_top, plugin_dir, "", 1000,
	    "the folder of the modules; by default that of the installation"),
	OPT_TEXT("workers", struct conf_top, workers, "auto", 10,
	    "threads that serve connections, from 1 to 128; auto: one for "
	    "each core"),
	OPT_LIST("certificates", struct conf_top, certificates, NULL, 1000,
	    "PEM files with chain and key, as patterns of glob(7); the one "
	    "that names the host is chosen"),
	OPT_TEXT("user", struct conf_top, user, "", 100,
	    "the user to become when started by root, once the listening "
	    "sockets are open"),
	OPTIONS_END,
};

const struct option conf_log_options[] = {
	OPT_CHOICE("level", struct conf_log, level, "info", levels,
	    "what is logged: this and everything graver"),
	OPT_TEXT("target", struct conf_log, target, "stderr", 1000,
	    "where lines go: stderr, syslog, or the path of a file"),
	OPT_CHOICE("format", struct conf_log, format, "text", formats,
	    "lines of text, or JSON objects"),
	OPTIONS_END,
};

const struct option conf_database_options[] = {
	OPT_TEXT("driver", struct conf_database, driver, "sqlite", 40,
	    "the kind of database"),
	OPT_TEXT("path", struct conf_database, path, "rookery.db", 1000,
	    "the file of an embedded database; a relative path is below "
	    "data_dir"),
	{
	    .name = "dsn",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct conf_database, dsn),
	    .max = 4000,
	    .value = "",
	    .is_secret = true,
	    .help = "how to connect to a database server",
	},
	OPTIONS_END,
};

const struct option conf_listen_options[] = {
	OPT_CHOICE("type", struct conf_listen, type, NULL, listen_types,
	    "who is served there; mux: clients (with STARTTLS or direct TLS) "
	    "and HTTPS on one port, told apart by ALPN and their first bytes"),
	OPT_TEXT("ip", struct conf_listen, ip, "::", 60,
	    "the address; \"::\" is all of IPv6 and IPv4"),
	OPT_UINT("port", struct conf_listen, port, NULL, 0, 65535,
	    "the TCP port; 0: any that is free"),
	OPT_CHOICE("starttls", struct conf_listen, starttls, "required",
	    starttls,
	    "whether clients (c2s, mux) must, may or can not use STARTTLS; "
	    "unless they must, mux serves HTTP without TLS, too"),
	OPT_BOOL("tls", struct conf_listen, is_tls, "false",
	    "TLS from the first byte on, and nothing else"),
	OPT_LIST("proxy_protocol", struct conf_listen, proxies, NULL, 100,
	    "networks of proxies that begin each connection with a PROXY "
	    "header (v1 or v2); nobody else's is believed"),
	OPTIONS_END,
};

const struct option conf_component_options[] = {
	OPT_HOST("host", struct component_conf, host, NULL,
	    "the component's domain, which is none of ours"),
	{
	    .name = "secret",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct component_conf, secret),
	    .min = 1,
	    .max = 1000,
	    .is_secret = true,
	    .help = "what the component shows that it knows",
	},
	OPTIONS_END,
};

const struct option conf_auth_options[] = {
	{
	    .name = "backends",
	    .type = OPTION_LIST,
	    .offset = offsetof(struct auth_conf, backends),
	    .min = 1,
	    .max = 10,
	    .value = "internal",
	    .help = "who knows the accounts, in the order of asking: internal "
		    "is the store, NAME the module auth_NAME, on the hosts "
		    "where that is on",
	},
	{
	    .name = "mechanisms",
	    .type = OPTION_LIST,
	    .offset = offsetof(struct auth_conf, mechanisms),
	    .min = 1,
	    .max = 20,
	    .value = "EXTERNAL, SCRAM-SHA-512-PLUS, SCRAM-SHA-512, "
		     "SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, "
		     "SCRAM-SHA-1, PLAIN, ANONYMOUS",
	    .help = "SASL mechanisms, in the order of offering; EXTERNAL is "
		    "offered to who has shown a certificate for it, ANONYMOUS "
		    "by hosts where the module anonymous is on",
	},
	OPT_TEXT("client_ca_file", struct auth_conf, client_ca_file, "", 1000,
	    "a PEM file of the authorities by whose certificates clients may "
	    "log in (SASL EXTERNAL), and of what they have revoked (CRL); by "
	    "default clients are not asked for certificates"),
	OPT_BOOL("allow_plain_without_tls", struct auth_conf,
	    allow_plain_without_tls, "false",
	    "offer PLAIN on connections without TLS, too: for tests only"),
	OPT_BOOL("upgrade", struct auth_conf, is_upgrading, "false",
	    "some accounts were brought from elsewhere with keys for some "
	    "SCRAM mechanisms only: clients that say who they are in the "
	    "header are offered just those, and make the others (XEP-0480)"),
	OPT_SPAN("cache_lifetime", struct auth_conf, cache_ms, "1m", 0,
	    HOURS(1),
	    "how long it is remembered that a backend other than internal "
	    "took a password; 0: it is asked each time"),
	OPT_UINT("scram_iterations", struct auth_conf, scram_iterations,
	    "10000", 4096, 1000000,
	    "rounds of hashing for the keys of new passwords"),
	OPT_SPAN("token_lifetime", struct auth_conf, token_lifetime_ms, "30d",
	    0, DAYS(3650),
	    "how long a client that stays away may log in by the token "
	    "(XEP-0484) that its last login brought; 0: no tokens"),
	OPT_SPAN("client_retention", struct auth_conf, client_retention_ms,
	    "60d", 0, DAYS(3650),
	    "how long clients that stay away are remembered, for the list "
	    "of who has access to an account (XEP-0494), and after their "
	    "tokens have expired; 0: no new ones are, and get no tokens"),
	OPTIONS_END,
};

const struct option conf_limits_options[] = {
	OPT_SIZE("stanza_size", struct limits_conf, stanza_size, "256KiB",
	    10000, 64 << 20, "the largest stanza"),
	OPT_SIZE("pre_auth_stanza_size", struct limits_conf,
	    pre_auth_stanza_size, "10000", 1000, 64 << 20,
	    "the largest stanza before the login"),
	OPT_SIZE("c2s_rate", struct limits_conf, c2s_rate, "100000", 0,
	    UINT32_MAX,
	    "bytes a second taken from a client on average; 0: any number"),
	OPT_SIZE("s2s_rate", struct limits_conf, s2s_rate, "500000", 0,
	    UINT32_MAX,
	    "bytes a second taken from another server on average; 0: any "
	    "number"),
	OPT_RATE("handshakes", struct limits_conf, handshakes, "200/1s",
	    "handshakes of TLS that each worker begins with one address; what "
	    "is beyond waits"),
	OPT_RATE("s2s_streams", struct limits_conf, s2s_streams, "600/1m",
	    "streams that servers at one address may open to each worker"),
	OPT_RATE("s2s_keys", struct limits_conf, s2s_keys, "1000/1m",
	    "keys of dialback that servers at one address may have each "
	    "worker look at"),
	OPT_UINT("sessions_per_account", struct limits_conf,
	    sessions_per_account, "20", 1, 10000,
	    "clients that an account may have at a time"),
	OPT_UINT("roster_items", struct limits_conf, roster_items, "2000", 0,
	    100000, "contacts in a roster"),
	OPT_UINT("offline_messages", struct limits_conf, offline_messages,
	    "1000", 0, 1000000, "messages kept for an account"),
	OPT_SIZE("session_queue", struct limits_conf, session_queue, "4MiB",
	    65536, 1 << 30,
	    "what may wait for a slow client before it is detached"),
	OPT_SPAN("negotiation", struct limits_conf, negotiation_ms, "30s",
	    SECONDS(1), HOURS(1), "the time a client has until it is in"),
	OPT_SPAN("resume", struct limits_conf, resume_ms, "10m", 0, DAYS(7),
	    "how long a client that was cut off may resume its stream"),
	OPT_TEXT("resume_location", struct limits_conf, resume_location, "",
	    300,
	    "where clients had best come back to (XEP-0198), as HOST:PORT: for "
	    "one of several behind a load balancer"),
	OPT_UINT("auth_failures", struct limits_conf, auth_failures, "3", 1,
	    100, "failed logins on one connection before it is closed"),
	OPT_UINT("capabilities", struct limits_conf, capabilities, "5000", 1,
	    1000000,
	    "kinds of clients whose capabilities are kept: by each worker, and "
	    "of each host in the store"),
	OPTIONS_END,
};

/* In the order of enum s2s_require. */
static const char *const s2s_require[] = { "certificate", "dialback", NULL };

const struct option conf_s2s_options[] = {
	OPT_CHOICE("require", struct s2s_conf, require, "certificate",
	    s2s_require,
	    "how other servers show who they are: by a certificate that we "
	    "trust, or, if they have none, by dialback, which trusts the DNS"),
	OPT_LIST("certificate_for", struct s2s_conf, certificate_for, NULL,
	    1000,
	    "domains that must have a certificate, whatever 'require' says: "
	    "names, or with everything below them as '*.example.org'"),
	OPT_LIST("dialback_for", struct s2s_conf, dialback_for, NULL, 1000,
	    "domains for which dialback is enough, whatever 'require' says"),
	OPT_LIST("plain_for", struct s2s_conf, plain_for, NULL, 1000,
	    "domains with which we talk by dialback, and without TLS if they "
	    "have none: for tests only"),
	OPT_LIST("allow", struct s2s_conf, allow, NULL, 1000,
	    "the only domains that we talk to; by default all"),
	OPT_LIST("deny", struct s2s_conf, deny, NULL, 1000,
	    "domains that we don't talk to; it goes before 'allow'"),
	OPT_TEXT("ca_file", struct s2s_conf, ca_file, "", 1000,
	    "a PEM file of the authorities that certificates are trusted by; "
	    "by default those of the system"),
	OPT_SPAN("timeout", struct s2s_conf, timeout_ms, "30s", SECONDS(1),
	    HOURS(1), "how long stanzas wait for a stream that is not up yet"),
	OPT_SPAN("resume", struct s2s_conf, resume_ms, "1m", SECONDS(1),
	    HOURS(1),
	    "how long a stream that broke may be resumed (XEP-0198), and "
	    "stanzas wait for that"),
	OPT_SPAN("retry", struct s2s_conf, retry_ms, "1m", SECONDS(1), HOURS(1),
	    "the longest time in which a server that could not be reached is "
	    "not tried again; it begins with a second, and doubles"),
	OPT_SPAN("idle", struct s2s_conf, idle_ms, "15m", SECONDS(1), DAYS(7),
	    "streams that carry nothing for so long are closed"),
	OPT_SPAN("dead", struct s2s_conf, dead_ms, "30s", SECONDS(1), HOURS(1),
	    "a server that acknowledges nothing of what it was sent for so "
	    "long, or does not answer the probes of an idle connection, is "
	    "taken for dead: the stream is cut, and another one opened"),
	OPTIONS_END,
};

const struct option conf_dns_options[] = {
	OPT_LIST("servers", struct dns_conf, servers, NULL, 10,
	    "who is asked, as IP or IP:PORT; by default whom the system asks"),
	OPTIONS_END,
};

const struct conf_section conf_sections[] = {
	{ NULL, conf_top_options, NULL },
	{ "log", conf_log_options, "What is logged, and where." },
	{ "database", conf_database_options, "Where everything is stored." },
	{ "listen", conf_listen_options,
	    "A list of maps: the sockets that are listened on." },
	{ "components", conf_component_options,
	    "A list of maps: programs that connect to a listener of type "
	    "component, gateways for instance, and are a domain each." },
	{ "auth", conf_auth_options, "Who may log in, and how." },
	{ "limits", conf_limits_options, "Bounds on what peers may ask for." },
	{ "s2s", conf_s2s_options,
	    "Streams with other servers; none without a listener of type "
	    "s2s." },
	{ "dns", conf_dns_options, "Whom to ask for other servers." },
	{ NULL, NULL, NULL },
};

const char *const conf_section_keys[] = { "log", "database", "listen",
	"components", "auth", "limits", "s2s", "dns", "modules", "host_config",
	NULL };
