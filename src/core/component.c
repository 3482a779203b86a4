/* SPDX-License-Identifier: MIT */
/* XEP-0114, the server's side: streams of components, and the way to them. */
#include "core/component.h"

#include "base/map.h"
#include "base/random.h"
#include "core/account.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/metrics.h"
#include "core/penalty.h"
#include "core/router.h"
#include "core/s2s_impl.h"
#include "core/stanza_impl.h"

#include <openssl/evp.h>

#define ID_BYTES 16
#define NS_ACCEPT "jabber:component:accept"

struct component {
	struct s2s_stream s;  /* local and remote are both its domain */
	struct str secret;    /* that it logged in with; on the heap */
	struct deferred move; /* to its home, when its turn is over */
	uint64_t since;	      /* loop_now() */
	uint64_t received, sent;
	bool is_waiting; /* for the answer to its handshake */
};

static _Thread_local struct list streams;
/* Established ones of this loop, by domain. */
static _Thread_local struct map homed;
/* Domains that are connected to any loop; keys and values are one text. */
static _Thread_local struct map known;

/* The configuration ------------------------------------------------------- */

static const struct component_conf *
conf_find(struct str domain)
{
	const struct conf *conf = conf_now();
	size_t count = conf != NULL ? conf->component_count : 0;

	for (size_t i = 0; i < count; i++)
		if (str_eq(conf->components[i].host, domain))
			return &conf->components[i];
	return NULL;
}

bool
component_has(struct str domain)
{
	return conf_find(domain) != NULL;
}

/* Who is there ------------------------------------------------------------ */

struct news {
	struct str domain; /* on the heap */
	bool is_up;
};

static void
on_news(void *msg)
{
	struct news *n = (struct news *)msg;
	struct str *text = (struct str *)map_get(&known, n->domain);

	if (n->is_up && text == NULL) {
		text = (struct str *)xmalloc(sizeof(*text));
		*text = n->domain;
		map_set(&known, *text, text);
		n->domain = STR_NONE;
	} else if (!n->is_up && text != NULL) {
		map_del(&known, *text);
		str_free(text);
		xfree(text);
	}
	str_free(&n->domain);
	xfree(n);
}

static void
news_tell(struct str domain, bool is_up)
{
	for (unsigned i = 0; i < loop_count(); i++) {
		struct news *n = (struct news *)xmalloc(sizeof(*n));

		*n = (struct news){ str_heap(domain), is_up };
		if (loop_at(i) == loop_self())
			on_news(n);
		else
			loop_post(loop_at(i), on_news, n);
	}
}

bool
component_is_up(struct str domain)
{
	return map_get(&known, domain) != NULL;
}

/* Is `domain` below `parent`? */
static bool
is_below(struct str domain, struct str parent)
{
	return domain.n > parent.n + 1 &&
	       domain.p[domain.n - parent.n - 1] == '.' &&
	       str_has_suffix(domain, parent);
}

static bool
belongs_to(struct str domain, const struct host *host)
{
	if (is_below(domain, host->jid.domain))
		return true;
	for (size_t i = 0; i < host_count(); i++)
		if (is_below(domain, host_at(i)->jid.domain))
			return false;
	return true;
}

void
component_each(const struct host *host,
    void (*fn)(void *ctx, struct str domain), void *ctx)
{
	const struct conf *conf = conf_now();

	for (size_t i = 0; i < conf->component_count; i++) {
		struct str domain = conf->components[i].host;

		if (component_is_up(domain) && belongs_to(domain, host))
			fn(ctx, domain);
	}
}

/* Life of a stream -------------------------------------------------------- */

static void
on_gone(struct s2s_stream *s, int err)
{
	struct component *c = CONTAINER_OF(s, struct component, s);

	if (s->is_up)
		log_info(&s->log, "the component is gone");
	if (map_get(&homed, s->local) == c) {
		map_del(&homed, s->local);
		news_tell(s->local, false);
	}
	loop_undefer(&c->move);
	str_free(&c->secret);
	s2s_stream_fini(s);
	xfree(c);
}

static void
on_deadline(struct timer *t)
{
	s2s_fail(CONTAINER_OF(t, struct s2s_stream, timer),
	    EL_SE_CONNECTION_TIMEOUT, "the handshake took too long");
}

static void
on_refused(struct timer *t)
{
	s2s_fail(CONTAINER_OF(t, struct s2s_stream, timer),
	    EL_SE_NOT_AUTHORIZED, NULL);
}

static void
hosts_hear(const struct jid *domain)
{
	for (size_t i = 0; i < host_count(); i++)
		hook_component(host_at(i), domain);
}

/* It is at home now, and the connection of its domain. */
static void
component_begin(struct component *c)
{
	struct s2s_stream *s = &c->s;
	struct component *old = (struct component *)map_get(&homed, s->local);
	struct arena *a = arena_new(0);
	struct jid jid = jid_of(s->local);

	/* One that came back must not wait for its dead link to be noticed. */
	if (old != NULL) {
		map_del(&homed, s->local);
		s2s_fail(&old->s, EL_SE_CONFLICT,
		    "another connection took the domain over");
	}
	map_set(&homed, s->local, c);
	c->since = loop_now();
	s2s_stream_up(s);
	conn_set_rate(s->conn, 0);
	s2s_send_elem(s, elem_new(a, EL_HANDSHAKE));
	arena_free(&a);
	c->is_waiting = false;
	log_info(&s->log, "the component is there");
	metric_add(METRIC_COMPONENTS, 1);
	if (old == NULL)
		news_tell(s->local, true);
	hosts_hear(&jid);
}

static void
on_arrived(void *ctx)
{
	struct component *c = (struct component *)ctx;
	const struct component_conf *conf = conf_find(c->s.local);

	if (streams.next == NULL)
		list_init(&streams);
	list_add(&streams, &c->s.node);
	if (conf == NULL || !str_eq_secret(conf->secret, c->secret))
		s2s_fail(&c->s, EL_SE_NOT_AUTHORIZED, NULL);
	else
		component_begin(c);
}

static void
on_move(struct deferred *d)
{
	struct component *c = CONTAINER_OF(d, struct component, move);
	struct loop *home = account_home(c->s.local);

	if (c->s.is_closing)
		return;
	/* It has to wait for the answer before it says more. */
	if (c->s.xml.parser != NULL || xml_stream_is_midway(&c->s.xml)) {
		s2s_fail(&c->s, EL_SE_NOT_AUTHORIZED, NULL);
		return;
	}
	timer_stop(&c->s.timer);
	list_del(&c->s.node);
	if (home == loop_self())
		on_arrived(c);
	else
		conn_move(c->s.conn, home, on_arrived);
}

/* Getting in -------------------------------------------------------------- */

static void
send_header(struct s2s_stream *s)
{
	struct buf *out = conn_out(s->conn);

	buf_add_str(out,
	    STR("<?xml version='1.0'?><stream:stream xmlns='" NS_ACCEPT "' "
		"xmlns:stream='http://etherx.jabber.org/streams' from='"));
	xml_escape(out, s->local);
	buf_printf(out, "' id='%s'>", s->id);
	conn_touched(s->conn);
	s->has_header = true;
}

static enum qname
check_header(const struct elem *root)
{
	if (elem_ns(root) != NS_STREAM)
		return EL_SE_INVALID_NAMESPACE;
	if (elem_name(root) != EL_STREAM)
		return EL_SE_BAD_FORMAT;
	if (!str_is(elem_attr_named(root, STR("xmlns")), NS_ACCEPT))
		return EL_SE_INVALID_NAMESPACE;
	return EL_NONE;
}

static void
on_open(struct s2s_stream *s, const struct elem *root)
{
	struct arena *a = arena_new(0);
	struct str to = elem_attr(root, AT_TO), domain = STR_NONE, id;
	enum qname condition = check_header(root);

	id = random_token(a, ID_BYTES);
	memcpy(s->id, id.p, MIN(id.n, S2S_ID_MAX));
	if (str_is_none(to) || jid_prep_domain(a, to, &domain) < 0)
		domain = STR_NONE;
	if (condition == EL_NONE &&
	    (str_is_none(domain) || !component_has(domain)))
		condition = EL_SE_HOST_UNKNOWN;
	if (!str_is_none(domain) && domain.n < 256)
		s2s_stream_name(s, domain, domain);
	send_header(s);
	if (condition != EL_NONE)
		s2s_fail(s, condition, NULL);
	arena_free(&a);
}

/* SHA-1 of the stream's id and the secret, in lower case hexadecimal. */
static bool
is_handshake(struct component *c, struct str secret, struct elem *e)
{
	struct arena *a = elem_arena(e);
	unsigned char digest[20];
	struct str text;

	text = str_printf(a, "%s" STR_FMT, c->s.id, STR_ARG(secret));
	must(EVP_Digest(text.p, text.n, digest, NULL, EVP_sha1(), NULL) == 1);
	return str_eq_secret(str_hex(a, str_mem(digest, sizeof(digest))),
	    str_trim(elem_text(e)));
}

static void
on_handshake(struct component *c, struct elem *e)
{
	const struct component_conf *conf = conf_find(c->s.local);
	uint64_t delay;

	c->is_waiting = true;
	if (conf != NULL && is_handshake(c, conf->secret, e)) {
		c->secret = str_heap(conf->secret);
		loop_defer(&c->move, on_move);
		return;
	}
	log_notice(&c->s.log, "refused a component: the handshake is wrong");
	metric_add(METRIC_LOGIN_FAILURES, 1);
	delay = penalty_add(conn_peer(c->s.conn), loop_now());
	timer_start(&c->s.timer, delay, on_refused);
}

/* Stanzas ----------------------------------------------------------------- */

static void
on_stanza(struct component *c, struct elem *e)
{
	struct s2s_stream *s = &c->s;
	struct stanza *st;
	enum qname condition;
	int err = stanza_of(e, &st, &condition);

	if (jid_is_none(&st->from) || !str_eq(st->from.domain, s->local)) {
		stanza_free(&st);
		s2s_fail(s, EL_SE_INVALID_FROM, NULL);
		return;
	}
	c->received++;
	metric_add(METRIC_COMPONENT_STANZAS_IN, 1);
	if (err < 0)
		stanza_refuse(st, condition);
	else if (jid_is_none(&st->to))
		stanza_refuse_with(
		    st, EL_BAD_REQUEST, "'to' is missing", EL_NONE);
	else
		router_came(st);
}

static void
on_element(struct s2s_stream *s, struct elem *e)
{
	struct component *c = CONTAINER_OF(s, struct component, s);
	struct arena *a = elem_arena(e);
	enum qname name = elem_name(e);

	if (name == EL_HANDSHAKE && !s->is_up && !c->is_waiting) {
		on_handshake(c, e);
	} else if (!s->is_up) {
		loop_undefer(&c->move);
		s2s_fail(s, EL_SE_NOT_AUTHORIZED, NULL);
	} else if (name == EL_MESSAGE || name == EL_PRESENCE || name == EL_IQ) {
		on_stanza(c, e);
		return;
	} else {
		s2s_fail(s, EL_SE_UNSUPPORTED_STANZA_TYPE, NULL);
	}
	arena_free(&a);
}

/* STARTTLS is not for components. */
static void
on_secured(struct s2s_stream *s)
{
}

static const struct s2s_ops ops = {
	.open = on_open,
	.element = on_element,
	.secured = on_secured,
	.gone = on_gone,
};

void
component_accept(void *ctx, struct conn *conn)
{
	struct component *c = (struct component *)xzalloc(sizeof(*c));
	uint64_t ms = conf_now()->limits.negotiation_ms;

	if (streams.next == NULL)
		list_init(&streams);
	list_add(&streams, &c->s.node);
	s2s_stream_init(&c->s, conn, &ops);
	c->s.log.source = "component";
	ms -= MIN(ms, loop_now() - conn_since(conn));
	timer_start(&c->s.timer, ms, on_deadline);
}

static void
send_here(void *msg)
{
	struct stanza *st = (struct stanza *)msg;
	struct component *c =
	    (struct component *)map_get(&homed, st->to.domain);

	if (c == NULL || c->s.is_closing || c->s.conn == NULL) {
		stanza_refuse(st, EL_REMOTE_SERVER_TIMEOUT);
		return;
	}
	if (conn_queued(c->s.conn) > conf_now()->limits.session_queue) {
		stanza_refuse(st, EL_RESOURCE_CONSTRAINT);
		return;
	}
	stanza_write(conn_out(c->s.conn), st, XML_IN_STREAM);
	conn_touched(c->s.conn);
	c->sent++;
	metric_add(METRIC_COMPONENT_STANZAS_OUT, 1);
	receipt_done_after_flush(&st->receipt);
	stanza_free(&st);
}

void
component_send(struct stanza *st)
{
	struct loop *home = account_home(st->to.domain);

	if (home == loop_self())
		send_here(st);
	else
		loop_post(home, send_here, st);
}

/* All of a loop ----------------------------------------------------------- */

void
component_streams(
    void (*fn)(void *ctx, const struct component_info *info), void *ctx)
{
	struct component *c;

	for (size_t i = 0; (c = (struct component *)map_next(&homed, &i));) {
		struct component_info info = {
			.domain = c->s.local,
			.ip = c->s.ip,
			.is_tls = c->s.conn != NULL && conn_is_tls(c->s.conn),
			.since = c->since,
			.received = c->received,
			.sent = c->sent,
		};

		fn(ctx, &info);
	}
}

bool
component_close(struct str domain, const char *text)
{
	struct component *c = (struct component *)map_get(&homed, domain);

	if (c == NULL)
		return false;
	s2s_fail(&c->s, EL_SE_POLICY_VIOLATION, text);
	return true;
}

void
components_check(void)
{
	struct component *c;

	for (size_t i = 0; (c = (struct component *)map_next(&homed, &i));) {
		const struct component_conf *conf = conf_find(c->s.local);

		if (conf == NULL)
			s2s_fail(&c->s, EL_SE_HOST_GONE, NULL);
		else if (!str_eq_secret(conf->secret, c->secret))
			s2s_fail(&c->s, EL_SE_NOT_AUTHORIZED,
			    "the secret has changed");
	}
}

void
components_close(void)
{
	struct component *c;

	if (streams.next == NULL)
		return;
	LIST_EACH(c, &streams, struct component, s.node)
	{
		s2s_fail(&c->s, EL_SE_SYSTEM_SHUTDOWN, NULL);
	}
}

size_t
components_closing(void)
{
	struct component *c;
	size_t n = 0;

	if (streams.next == NULL)
		return 0;
	LIST_EACH(c, &streams, struct component, s.node)
	{
		n += c->s.is_closing;
	}
	return n;
}

void
components_stop(void)
{
	struct str *text;

	for (size_t i = 0; (text = (struct str *)map_next(&known, &i));) {
		str_free(text);
		xfree(text);
	}
	map_fini(&known);
	map_fini(&homed);
}
