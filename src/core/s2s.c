/* SPDX-License-Identifier: MIT */
/* What outgoing and incoming streams between servers share. */
#include "core/s2s.h"

#include "core/component.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/host.h"
#include "core/metrics.h"
#include "core/router.h"
#include "core/s2s_impl.h"
#include "core/stanza_impl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define PRE_AUTH_DEPTH 8
#define PRE_AUTH_ELEMENTS 64

static _Thread_local struct xml_limits before_auth, after_auth;
/* All of the loop, from their first connection to their end. */
static _Thread_local struct list streams[S2S_WAYS];

static void limits_set(void);

/* Input -------------------------------------------------------------------- */

static void
fail_xml(struct s2s_stream *s, enum xml_error err)
{
	static const enum qname conditions[] = {
		[XML_NOT_WELL_FORMED] = EL_SE_NOT_WELL_FORMED,
		[XML_BAD_PREFIX] = EL_SE_BAD_NAMESPACE_PREFIX,
		[XML_RESTRICTED] = EL_SE_RESTRICTED_XML,
		[XML_TOO_BIG] = EL_SE_POLICY_VIOLATION,
		[XML_TOO_DEEP] = EL_SE_POLICY_VIOLATION,
		[XML_BAD_ENCODING] = EL_SE_UNSUPPORTED_ENCODING,
		[XML_BAD_CONTENT] = EL_SE_BAD_FORMAT,
	};

	s2s_fail(s, conditions[err],
	    err == XML_TOO_BIG ? "the stanza is too big" : NULL);
}

/* What a peer says before it may. */
static void
hold(struct s2s_stream *s, const char *p, size_t n)
{
	buf_add(&s->held, p, n);
}

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct s2s_stream *s = (struct s2s_stream *)ctx;

	s->heard = loop_now();
	while (n > 0 && !s->is_closing) {
		enum xml_error err;

		if (s->is_moving) {
			hold(s, p, n);
			return;
		}
		/* What follows <starttls/> may have been slipped in. */
		if (s->is_starting_tls && !conn_is_tls(s->conn)) {
			s2s_fail(s, EL_SE_POLICY_VIOLATION, "text before TLS");
			return;
		}
		s->is_restarted = false;
		err = xml_stream_feed(&s->xml, p, n);
		if (err != XML_FINE && !s->is_closing) {
			fail_xml(s, err);
			return;
		}
		if (!s->is_restarted)
			return;
		p += n - s->xml.unread;
		n = s->xml.unread;
	}
}

static void
on_secured(void *ctx)
{
	struct s2s_stream *s = (struct s2s_stream *)ctx;

	s->is_starting_tls = false;
	if (!s->is_closing)
		s->ops->secured(s);
}

static void
on_closed(void *ctx, int err)
{
	struct s2s_stream *s = (struct s2s_stream *)ctx;

	s->conn = NULL;
	s->is_closing = true;
	s->ops->gone(s, err);
}

void
s2s_stream_arrived(struct s2s_stream *s)
{
	struct buf held = s->held;

	s->is_moving = false;
	s->held = (struct buf){ 0 };
	limits_set();
	s->xml.limits = s->is_up ? &after_auth : &before_auth;
	if (held.n > 0)
		on_data(s, held.p, held.n);
	buf_fini(&held);
}

static const struct conn_events conn_events = {
	.data = on_data,
	.secured = on_secured,
	.closed = on_closed,
};

static void
on_open(void *ctx, struct elem *root)
{
	struct s2s_stream *s = (struct s2s_stream *)ctx;

	if (!s->is_closing)
		s->ops->open(s, root);
}

static void
on_stanza(void *ctx, struct elem *e)
{
	struct s2s_stream *s = (struct s2s_stream *)ctx;
	struct arena *a = elem_arena(e);

	if (!s->is_closing && elem_name(e) != EL_STREAM_ERROR) {
		s->ops->element(s, e);
		return;
	}
	if (!s->is_closing) {
		log_info(&s->log, "the other server fails the stream: " STR_FMT,
		    STR_ARG(elem_local(elem_child_in(e, NS_STREAM_ERROR))));
		s2s_fail(s, EL_NONE, NULL);
	}
	arena_free(&a);
}

static void
on_close(void *ctx)
{
	s2s_fail((struct s2s_stream *)ctx, EL_NONE, NULL);
}

static const struct xml_events xml_events = {
	.open = on_open,
	.stanza = on_stanza,
	.close = on_close,
};

/* Life --------------------------------------------------------------------- */

static void
limits_set(void)
{
	const struct limits_conf *conf = &conf_now()->limits;

	before_auth = (struct xml_limits){
		.bytes = (uint32_t)conf->pre_auth_stanza_size,
		.depth = PRE_AUTH_DEPTH,
		.elements = PRE_AUTH_ELEMENTS,
		.attributes = STANZA_ATTRIBUTES,
	};
	after_auth = (struct xml_limits){
		.bytes = (uint32_t)conf->stanza_size,
		.depth = STANZA_DEPTH,
		.elements = STANZA_ELEMENTS,
		.attributes = STANZA_ATTRIBUTES,
	};
}

void
s2s_stream_init(struct s2s_stream *s, struct conn *c, const struct s2s_ops *ops)
{
	limits_set();
	s->ops = ops;
	s->conn = c;
	s->heard = loop_now();
	s->has_header = s->is_closing = s->is_up = false;
	s->was_ended = s->is_moving = s->is_paused = false;
	s->peer_max = s->peer_idle_ms = 0;
	s->is_restarted = s->is_starting_tls = false;
	xml_stream_init(&s->xml, &xml_events, s, &before_auth);
	addr_ip(conn_peer(c), s->ip);
	s->log.source = "s2s";
	log_field(&s->log, "ip", str_c(s->ip));
	conn_set_owner(c, &conn_events, s);
	conn_set_rate(c, (uint32_t)conf_now()->limits.s2s_rate);
	conn_set_patience(c, conf_now()->s2s.dead_ms);
}

void
s2s_stream_fini(struct s2s_stream *s)
{
	timer_stop(&s->timer);
	list_del(&s->node);
	xml_stream_fini(&s->xml);
	buf_fini(&s->held);
	str_free(&s->local);
	str_free(&s->remote);
}

static void
name_set(struct str *to, struct str name)
{
	if (str_eq(*to, name))
		return;
	str_free(to);
	*to = str_is_none(name) ? STR_NONE : str_heap(name);
}

void
s2s_stream_name(struct s2s_stream *s, struct str local, struct str remote)
{
	name_set(&s->local, local);
	name_set(&s->remote, remote);
	log_field(&s->log, "local", s->local);
	log_field(&s->log, "remote", s->remote);
}

void
s2s_stream_up(struct s2s_stream *s)
{
	s->since = loop_now();
	limits_set(); /* this loop may not be the one it began on */
	s->is_up = true;
	s->xml.limits = &after_auth;
}

void
s2s_stream_restart(struct s2s_stream *s)
{
	s->is_restarted = true;
	s->has_header = false;
	xml_stream_restart(&s->xml);
}

static bool
is_shown(const struct s2s_stream *s)
{
	return s->is_up && !s->is_closing && s->conn != NULL;
}

static void
stream_row(const struct s2s_stream *s, s2s_row_fn *row, void *ctx)
{
	row(ctx, s->local, s->remote, s->ip,
	    conn_is_tls(s->conn) ? conn_tls_version(s->conn) : "none", s->how,
	    (loop_now() - s->since) / 1000,
	    s->sm != NULL ? s2s_sm_count(s->sm) : 0);
}

/* Output ------------------------------------------------------------------- */

static void
write_attr(struct buf *out, const char *name, struct str value)
{
	if (str_is_none(value))
		return;
	buf_printf(out, " %s='", name);
	xml_escape(out, value);
	buf_add_c(out, '\'');
}

void
s2s_send_header(struct s2s_stream *s, bool has_id)
{
	struct buf *out = conn_out(s->conn);

	buf_add_str(out,
	    STR("<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
		"xmlns:stream='http://etherx.jabber.org/streams' "
		"xmlns:db='jabber:server:dialback'"));
	write_attr(out, "from", s->local);
	write_attr(out, "to", s->remote);
	if (has_id)
		write_attr(out, "id", str_c(s->id));
	buf_add_str(out, STR(" version='1.0' xml:lang='en'>"));
	conn_touched(s->conn);
	s->has_header = true;
}

void
s2s_send_elem(struct s2s_stream *s, const struct elem *e)
{
	if (s->is_closing)
		return;
	xml_write(conn_out(s->conn), e, XML_IN_STREAM);
	conn_touched(s->conn);
}

/* With the prefix of the header, which some old servers insist on. */
void
s2s_send_dialback(struct s2s_stream *s, enum qname name, struct str from,
    struct str to, struct str id, struct str type, struct str key)
{
	const char *local = name == EL_DB_RESULT ? "result" : "verify";
	struct buf *out;

	if (s->is_closing)
		return;
	out = conn_out(s->conn);
	buf_printf(out, "<db:%s", local);
	write_attr(out, "from", from);
	write_attr(out, "to", to);
	write_attr(out, "id", id);
	write_attr(out, "type", type);
	if (str_is_none(key)) {
		buf_add_str(out, STR("/>"));
	} else {
		buf_add_c(out, '>');
		xml_escape(out, key);
		buf_printf(out, "</db:%s>", local);
	}
	conn_touched(s->conn);
}

void
s2s_put(struct s2s_stream *s, struct stanza *st)
{
	struct conn *c = s->conn;
	struct buf *out;
	size_t at;

	if (conn_queued(c) > conf_now()->limits.session_queue ||
	    (s->sm != NULL && s2s_sm_is_full(s->sm))) {
		stanza_refuse_with(st, EL_RESOURCE_CONSTRAINT,
		    "too much waits for the other server", EL_NONE);
		return;
	}
	out = conn_out(c);
	at = out->n;
	stanza_write(out, st, XML_IN_STREAM);
	if (s->peer_max > 0 && out->n - at > s->peer_max) {
		out->n = at;
		stanza_refuse_with(st, EL_POLICY_VIOLATION,
		    "the other server does not take stanzas of this size",
		    EL_NONE);
		return;
	}
	conn_touched(c);
	s->heard = loop_now();
	metric_add(METRIC_S2S_STANZAS_OUT, 1);
	if (s->sm != NULL)
		s2s_sm_sent(s->sm, st);
	else
		stanza_free(&st);
}

/* Limits (XEP-0478) -------------------------------------------------------- */

void
s2s_add_limits(struct elem *parent, bool is_up)
{
	const struct conf *conf = conf_now();
	struct elem *e = elem_add(parent, EL_STREAM_LIMITS);
	struct arena *a = elem_arena(parent);

	elem_add_text(e, EL_LIMITS_MAX_BYTES,
	    str_printf(a, "%llu",
		(unsigned long long)(is_up
					 ? conf->limits.stanza_size
					 : conf->limits.pre_auth_stanza_size)));
	elem_add_text(e, EL_LIMITS_IDLE_SECONDS,
	    str_printf(
		a, "%llu", (unsigned long long)conf->s2s.idle_ms / 1000));
}

void
s2s_read_limits(struct s2s_stream *s, const struct elem *parent)
{
	const struct elem *e = elem_child(parent, EL_STREAM_LIMITS);
	const struct elem *max = elem_child(e, EL_LIMITS_MAX_BYTES);
	const struct elem *idle = elem_child(e, EL_LIMITS_IDLE_SECONDS);
	uint64_t n;

	s->peer_max = s->peer_idle_ms = 0;
	if (max != NULL && str_to_u64(str_trim(elem_text(max)), &n))
		s->peer_max = n;
	if (idle != NULL && str_to_u64(str_trim(elem_text(idle)), &n) &&
	    n > 0 && n <= UINT32_MAX)
		s->peer_idle_ms = n * 1000;
}

/* We close first, so that nothing is under way when the peer would. */
uint64_t
s2s_idle_ms(const struct s2s_stream *s)
{
	uint64_t ours = conf_now()->s2s.idle_ms;

	if (s->peer_idle_ms == 0)
		return ours;
	return MIN(ours, s->peer_idle_ms - s->peer_idle_ms / 4);
}

/* Stanzas ------------------------------------------------------------------ */

void
s2s_take(struct s2s_stream *s, struct elem *e,
    bool (*speaks_for)(struct s2s_stream *s, struct str domain),
    struct str local)
{
	struct stanza *st;
	enum qname condition, fault = EL_NONE;
	int err = stanza_of(e, &st, &condition);

	if (!s->is_up)
		fault = EL_SE_NOT_AUTHORIZED;
	else if (str_is_none(elem_attr(e, AT_FROM)) ||
		 str_is_none(elem_attr(e, AT_TO)))
		fault = EL_SE_IMPROPER_ADDRESSING;
	else if (jid_is_none(&st->from) || !speaks_for(s, st->from.domain))
		fault = EL_SE_INVALID_FROM;
	else if (!jid_is_none(&st->to) &&
		 (!router_is_ours(st->to.domain) ||
		     (!str_is_none(local) && !str_eq(st->to.domain, local))))
		fault = EL_SE_HOST_UNKNOWN;
	if (fault != EL_NONE) {
		stanza_free(&st);
		s2s_fail(s, fault, NULL);
		return;
	}
	metric_add(METRIC_S2S_STANZAS_IN, 1);
	if (s->sm != NULL)
		st->receipt = s2s_sm_came(s->sm);
	if (jid_is_none(&st->to))
		stanza_free(&st); /* nobody's name could be put to an answer */
	else if (err < 0)
		stanza_refuse(st, condition);
	else if (!s2s_is_welcome(&st->from))
		(void)stanza_refuse_with(st, EL_NOT_ALLOWED,
		    "this server does not talk to you", EL_NONE);
	else
		router_came(st);
}

static void
write_error(struct buf *out, enum qname condition, const char *text)
{
	static const struct str ns =
	    STR_INIT(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'");

	buf_add_str(out, STR("<stream:error><"));
	buf_add_str(out, names_elem_local(condition));
	buf_add_str(out, ns);
	buf_add_str(out, STR("/>"));
	if (text != NULL) {
		buf_add_str(out, STR("<text"));
		buf_add_str(out, ns);
		buf_add_str(out, STR(" xml:lang='en'>"));
		xml_escape(out, str_c(text));
		buf_add_str(out, STR("</text>"));
	}
	buf_add_str(out, STR("</stream:error>"));
}

void
s2s_fail(struct s2s_stream *s, enum qname condition, const char *text)
{
	struct conn *c = s->conn;

	if (s->is_closing || c == NULL)
		return;
	if (s->is_moving) {
		s->is_closing = true; /* at the other end of the move */
		return;
	}
	if (s->sm != NULL && condition == EL_NONE)
		s2s_sm_last(s->sm);
	s->is_closing = s->was_ended = true;
	timer_stop(&s->timer);
	xml_stream_stop(&s->xml);
	if (condition != EL_NONE) {
		log_info(&s->log, "stream error: " STR_FMT "%s%s",
		    STR_ARG(names_elem_local(condition)),
		    text != NULL ? ": " : "", text != NULL ? text : "");
		metric_add(METRIC_STREAM_ERRORS, 1);
	}
	if (s->has_header) {
		if (condition != EL_NONE)
			write_error(conn_out(c), condition, text);
		buf_add_str(conn_out(c), STR("</stream:stream>"));
		conn_touched(c);
	}
	conn_close(c);
}

/* What is asked of names -------------------------------------------------- */

static bool
is_version_1(struct str version)
{
	struct str rest = version, major = str_cut(&rest, '.');
	uint64_t n, minor;

	return str_to_u64(major, &n) && str_to_u64(rest, &minor) && n >= 1;
}

enum qname
s2s_check_header(const struct elem *root)
{
	if (elem_ns(root) != NS_STREAM)
		return EL_SE_INVALID_NAMESPACE;
	if (elem_name(root) != EL_STREAM)
		return EL_SE_BAD_FORMAT;
	if (!str_eq(
		elem_attr_named(root, STR("xmlns")), names_ns_uri(NS_SERVER)))
		return EL_SE_INVALID_NAMESPACE;
	if (!is_version_1(elem_attr(root, AT_VERSION)))
		return EL_SE_UNSUPPORTED_VERSION;
	return EL_NONE;
}

/* Keys --------------------------------------------------------------------- */

struct str
s2s_secret(void)
{
	const struct host *h = host_at(0);

	return str_mem(h->secret, sizeof(h->secret));
}

struct str
s2s_key(struct arena *a, struct str secret, struct str receiving,
    struct str originating, struct str id)
{
	unsigned char digest[32], mac[32];
	unsigned n = sizeof(mac);
	struct str key, text;

	must(EVP_Digest(secret.p, secret.n, digest, NULL, EVP_sha256(), NULL) ==
	     1);
	key = str_hex(a, str_mem(digest, sizeof(digest)));
	text = str_printf(a, STR_FMT " " STR_FMT " " STR_FMT,
	    STR_ARG(receiving), STR_ARG(originating), STR_ARG(id));
	must(HMAC(EVP_sha256(), key.p, (int)key.n,
		 (const unsigned char *)text.p, text.n, mac, &n) != NULL);
	return str_hex(a, str_mem(mac, n));
}

/* All of a loop ------------------------------------------------------------ */

struct list *
s2s_streams(enum s2s_way way)
{
	if (streams[way].next == NULL)
		list_init(&streams[way]);
	return &streams[way];
}

size_t
s2s_count(enum s2s_way way)
{
	struct s2s_stream *s;
	size_t n = 0;

	LIST_EACH(s, s2s_streams(way), struct s2s_stream, node)
	{
		n += is_shown(s);
	}
	return n;
}

void
s2s_list(enum s2s_way way, s2s_row_fn *row, void *ctx)
{
	struct s2s_stream *s;

	LIST_EACH(s, s2s_streams(way), struct s2s_stream, node)
	{
		if (is_shown(s))
			stream_row(s, row, ctx);
	}
}

void
s2s_close_all(void)
{
	struct s2s_stream *s;

	for (unsigned way = 0; way < S2S_WAYS; way++)
		LIST_EACH(
		    s, s2s_streams((enum s2s_way)way), struct s2s_stream, node)
		{
			s->ops->close(s);
		}
}

void
s2s_stop(void)
{
	links_stop();
	s2s_sms_stop();
	dns_thread_done();
	dials_stop();
}
