/* SPDX-License-Identifier: MIT */
/* The listeners that the configuration asks for. */
#include "core/daemon_impl.h"

#include "base/err.h"
#include "core/bytestream.h"
#include "core/component.h"
#include "core/s2s.h"
#include "core/transport.h"

#include <errno.h>

struct open_listener {
	struct list node;
	struct listen_conf conf; /* with proxies of its own */
	uint64_t deadline_ms;	 /* of limits */
	struct listener *listener;
	bool is_wanted;
};

static struct list listeners = { &listeners, &listeners };

/* For good, as streams keep the one of their listener. */
static const struct stream_policy policies[] = {
	{ STARTTLS_REQUIRED, false },
	{ STARTTLS_OPTIONAL, false },
	{ STARTTLS_NONE, false },
	{ STARTTLS_NONE, true },
};

static const struct stream_policy *
policy_of(const struct stream_policy *p)
{
	return &policies[p->is_direct_tls ? 3 : (int)p->starttls];
}

static void
on_client(void *ctx, struct conn *c)
{
	stream_new(transport_tcp(c), (const struct stream_policy *)ctx);
}

static void (*serve_http)(struct conn *c);

void
daemon_set_http(void (*accepted)(struct conn *c))
{
	serve_http = accepted;
}

static void
on_http(void *ctx, struct conn *c)
{
	must(serve_http != NULL);
	serve_http(c);
}

/*
 * One port for clients and HTTP: by ALPN, or by what is said first, as all
 * methods begin with a letter and no stream does.
 */
static bool
speaks_http(const struct conn *c, char first)
{
	const char *alpn = conn_is_tls(c) ? conn_tls_alpn(c) : NULL;

	if (alpn != NULL)
		return strcmp(alpn, "http/1.1") == 0;
	return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
}

static void
on_nothing(void *ctx, const char *p, size_t n)
{
}

static void
on_refused(void *ctx, int err)
{
}

/* Where clients must use TLS, what is said in the clear is not for HTTP. */
static void
refuse_plain(struct conn *c)
{
	static const struct conn_events deaf = {
		.data = on_nothing,
		.closed = on_refused,
	};

	conn_set_owner(c, &deaf, NULL);
	conn_send(c, STR("HTTP/1.1 403 Forbidden\r\n"
			 "content-type: text/plain; charset=utf-8\r\n"
			 "content-length: 18\r\nconnection: close\r\n\r\n"
			 "HTTPS is required\n"));
	conn_close(c);
}

static void
on_mux(void *ctx, struct conn *c, char first)
{
	const struct stream_policy *policy = (const struct stream_policy *)ctx;
	bool is_http = speaks_http(c, first);

	if (conn_is_tls(c))
		policy = &policies[3];
	if (!is_http)
		on_client((void *)(uintptr_t)policy, c);
	else if (policy->starttls == STARTTLS_REQUIRED)
		refuse_plain(c);
	else
		on_http(NULL, c);
}

static const char *
tls_text(const struct listen_conf *l)
{
	static const char *const tls[] = { "STARTTLS required",
		"STARTTLS optional", "no TLS" };

	if (l->policy.is_direct_tls)
		return "TLS";
	return listen_is_negotiated(l->type) ? tls[l->policy.starttls]
					     : "no TLS";
}

/* "127.0.0.1:5222 (c2s, STARTTLS required)" */
static const char *
listener_text(
    struct arena *a, const struct listen_conf *l, const struct addr *addr)
{
	static const char *const types[] = { "c2s", "http", "s2s", "component",
		"proxy65", "mux" };
	bool is_v6 = addr->ss.sa.sa_family == AF_INET6;
	char ip[ADDR_TEXT_MAX];

	addr_ip(addr, ip);
	return arena_printf(a, "%s%s%s:%u (%s, %s%s)", is_v6 ? "[" : "", ip,
	    is_v6 ? "]" : "", addr_port(addr), types[l->type], tls_text(l),
	    l->proxy_count > 0 ? ", PROXY protocol" : "");
}

static void
listener_free(struct open_listener *o)
{
	list_del(&o->node);
	listener_close(&o->listener);
	xfree(o->conf.proxies);
	xfree(o);
}

/* Takes over all of `l`. */
static void
listener_set(struct open_listener *o, const struct listen_conf *l)
{
	size_t bytes = l->proxy_count * sizeof(*l->proxies);

	o->conf = *l;
	o->conf.proxies = (struct addr_net *)xmalloc(bytes + 1);
	if (bytes > 0)
		memcpy(o->conf.proxies, l->proxies, bytes);
	o->deadline_ms = daemon_conf->limits.negotiation_ms;
	o->is_wanted = true;
}

static struct listener_config
listener_config(const struct open_listener *o)
{
	const struct listen_conf *l = &o->conf;
	struct listener_config config = {
		.addr = l->addr,
		.is_direct_tls = l->policy.is_direct_tls,
		.role = TLS_C2S,
		.proxies = l->proxies,
		.proxy_count = l->proxy_count,
		.deadline_ms = (uint32_t)o->deadline_ms,
		.accepted = on_client,
		.ctx = (void *)(uintptr_t)policy_of(&l->policy),
	};

	if (l->type == LISTEN_HTTP) {
		config.role = TLS_HTTPS;
		config.accepted = on_http;
	} else if (l->type == LISTEN_S2S) {
		config.role = TLS_S2S;
		config.accepted = s2s_accept;
	} else if (l->type == LISTEN_COMPONENT) {
		config.accepted = component_accept;
	} else if (l->type == LISTEN_PROXY65) {
		config.accepted = bytestream_accept;
	} else if (l->type == LISTEN_MUX) {
		config.role = TLS_MUX;
		config.sorted = on_mux;
	}
	return config;
}

static bool
is_no_such_address(int err)
{
	return err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT;
}

static int
listener_start(struct arena *a, const struct listen_conf *l, const char **why_r)
{
	struct open_listener *o = (struct open_listener *)xzalloc(sizeof(*o));
	struct listener_config config;
	struct addr bound = { 0 };
	const char *why = NULL;
	int err;

	listener_set(o, l);
	config = listener_config(o);
	err = listener_open(a, &config, &o->listener, &bound, &why);
	if (err < 0) {
		xfree(o->conf.proxies);
		xfree(o);
		if (l->is_optional && is_no_such_address(err))
			return 0;
		*why_r = arena_printf(a, "cannot listen on %s: %s",
		    listener_text(a, l, &l->addr),
		    why != NULL ? why : err_text(err));
		return err;
	}
	list_add(&listeners, &o->node);
	log_info(&log_daemon, "listening on %s", listener_text(a, l, &bound));
	return 0;
}

int
listeners_open(struct arena *a, const struct conf *conf, const char **why_r)
{
	for (size_t i = 0; i < conf->listen_count; i++) {
		int err = listener_start(a, &conf->listen[i], why_r);

		if (err < 0)
			return err;
	}
	return 0;
}

void
listeners_close(void)
{
	struct open_listener *o;

	LIST_EACH(o, &listeners, struct open_listener, node)
	{
		listener_free(o);
	}
}

static bool
is_port_ours(const struct addr *addr)
{
	const struct open_listener *o;

	LIST_EACH(o, &listeners, struct open_listener, node)
	{
		if (addr_port(&o->conf.addr) == addr_port(addr))
			return true;
	}
	return false;
}

void
listeners_check(const struct conf *conf, struct problems *problems)
{
	struct arena *a = problems->arena;

	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *l = &conf->listen[i];
		int err = listener_probe(&l->addr);

		if (err == 0 || (l->is_optional && is_no_such_address(err)))
			continue;
		if (err == -EADDRINUSE && is_port_ours(&l->addr))
			continue;
		problem_add(problems, l->line, "cannot listen on %s: %s%s",
		    listener_text(a, l, &l->addr), err_text(err),
		    err == -EACCES ? "; root, who could, has been given up"
				   : "");
	}
}

/* ---- changes ---- */

static bool
same_addr(const struct listen_conf *a, const struct listen_conf *b)
{
	return a->addr.len == b->addr.len &&
	       memcmp(&a->addr.ss, &b->addr.ss, a->addr.len) == 0;
}

static bool
same_listener(const struct listen_conf *a, const struct listen_conf *b)
{
	return a->type == b->type && same_addr(a, b) &&
	       policy_of(&a->policy) == policy_of(&b->policy) &&
	       a->proxy_count == b->proxy_count &&
	       (a->proxy_count == 0 ||
		   memcmp(a->proxies, b->proxies,
		       a->proxy_count * sizeof(*a->proxies)) == 0);
}

typedef bool same_fn(const struct listen_conf *a, const struct listen_conf *b);

/* One that is open and not claimed by another row yet; it is from now on. */
static struct open_listener *
listener_claim(const struct listen_conf *l, same_fn *same)
{
	struct open_listener *o;

	LIST_EACH(o, &listeners, struct open_listener, node)
	{
		if (!o->is_wanted && same(&o->conf, l)) {
			o->is_wanted = true;
			return o;
		}
	}
	return NULL;
}

/* The socket stays: one that root had opened would not open again. */
static void
listener_become(struct open_listener *o, const struct listen_conf *l)
{
	struct addr_net *old = o->conf.proxies;
	struct listener_config config;

	listener_set(o, l);
	config = listener_config(o);
	listener_change(o->listener, &config);
	xfree(old);
}

static void
note(struct buf *notes, const char *what, const char *text)
{
	log_info(&log_daemon, "%s%s", what, text);
	buf_printf(notes, "%s%s\n", what, text);
}

static void
unwanted_close(struct arena *a, struct buf *notes)
{
	struct open_listener *o;

	LIST_EACH(o, &listeners, struct open_listener, node)
	{
		if (o->is_wanted)
			continue;
		note(notes, "no longer listening on ",
		    listener_text(a, &o->conf, &o->conf.addr));
		listener_free(o);
	}
}

/* Those that are what they should be; `found_r` is of the rows. */
static void
same_keep(const struct conf *conf, bool *found_r)
{
	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *l = &conf->listen[i];
		struct open_listener *o = listener_claim(l, same_listener);

		found_r[i] = o != NULL;
		if (o != NULL &&
		    o->deadline_ms != daemon_conf->limits.negotiation_ms)
			listener_become(o, l);
	}
}

static void
others_change(
    struct arena *a, const struct conf *conf, bool *found, struct buf *notes)
{
	for (size_t i = 0; i < conf->listen_count; i++) {
		const struct listen_conf *l = &conf->listen[i];
		struct open_listener *o =
		    found[i] ? NULL : listener_claim(l, same_addr);

		if (o == NULL)
			continue;
		found[i] = true;
		listener_become(o, l);
		note(notes, "now listening on ", listener_text(a, l, &l->addr));
	}
}

void
listeners_apply(struct arena *a, const struct conf *conf, struct buf *notes)
{
	bool *found = (bool *)arena_zalloc(a, conf->listen_count + 1);
	struct open_listener *o;

	LIST_EACH(o, &listeners, struct open_listener, node)
	{
		o->is_wanted = false;
	}
	same_keep(conf, found);
	others_change(a, conf, found, notes);
	unwanted_close(a, notes);
	for (size_t i = 0; i < conf->listen_count; i++) {
		const char *why = NULL;

		if (found[i])
			continue;
		if (listener_start(a, &conf->listen[i], &why) < 0) {
			log_error(&log_daemon, "%s", why);
			buf_printf(notes, "%s\n", why);
		} else {
			buf_printf(notes, "now listening on %s\n",
			    listener_text(
				a, &conf->listen[i], &conf->listen[i].addr));
		}
	}
}
