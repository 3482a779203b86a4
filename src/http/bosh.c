/* SPDX-License-Identifier: MIT */
/*
 * BOSH (XEP-0124, XEP-0206): requests in, and the sessions they are for. A
 * session's id tells on which loop it began. That loop knows where it lives
 * now, so that a request finds it from wherever it came in.
 */
#include "http/bosh.h"

#include "base/map.h"
#include "base/random.h"
#include "core/conf.h"
#include "net/loop.h"
#include "xml/parser.h"
#include "xml/writer.h"

#define SID_BYTES 24
#define RID_MAX ((UINT64_C(1) << 53) - 1)
#define HTTPBIND "http://jabber.org/protocol/httpbind"
#define PARTS_MAX 1000
#define TYPE "text/xml; charset=utf-8"

struct front {
	struct str sid; /* heap */
	struct loop *at;
	struct bosh *session;
	char ip[ADDR_TEXT_MAX];
};

static __thread struct map fronts;

/* Answers -----------------------------------------------------------------*/

static void
answer_now(void *msg)
{
	struct bosh_ask *ask = (struct bosh_ask *)msg;

	http_header(ask->http, "access-control-allow-origin", "*");
	http_header(ask->http, "cache-control", "no-store");
	http_answer(ask->http, 200, TYPE, wire_str(ask->answer));
	wire_unref(&ask->answer);
	arena_free(&ask->arena);
}

void
bosh_answer(struct bosh_ask *ask, struct wire *answer)
{
	ask->answer = answer;
	if (ask->from == loop_self())
		answer_now(ask);
	else
		loop_post(ask->from, answer_now, ask);
}

void
bosh_refuse(struct bosh_ask *ask, const char *condition)
{
	struct str text = str_printf(ask->arena,
	    "<body xmlns='" HTTPBIND "' type='terminate' condition='%s'/>",
	    condition);

	bosh_answer(ask, wire_new(text));
}

/* The directory -----------------------------------------------------------*/

void
bosh_moved(struct str sid, struct loop *to)
{
	struct front *f = (struct front *)map_get(&fronts, sid);

	if (f != NULL)
		f->at = to;
}

static void
on_free(void *msg)
{
	bosh_free((struct bosh *)msg);
}

static void
on_ended(void *msg)
{
	struct str sid = { (const char *)msg, strlen((const char *)msg) };
	struct front *f = (struct front *)map_del(&fronts, sid);

	if (f != NULL) {
		/* Behind all that was sent there. */
		loop_post(f->at, on_free, f->session);
		str_free(&f->sid);
		xfree(f);
	}
	if (fronts.count == 0)
		map_fini(&fronts);
	str_free(&sid);
}

void
bosh_ended(struct str sid, struct loop *birth)
{
	loop_post(birth, on_ended, (void *)(uintptr_t)str_heap(sid).p);
}

static size_t
count_from(const char *ip)
{
	size_t n = 0, i = 0;
	struct front *f;

	while ((f = (struct front *)map_next(&fronts, &i)) != NULL)
		n += strcmp(f->ip, ip) == 0;
	return n;
}

static void
take_now(void *msg)
{
	struct bosh_ask *ask = (struct bosh_ask *)msg;

	bosh_take(ask->session, ask);
}

static void
find_now(void *msg)
{
	struct bosh_ask *ask = (struct bosh_ask *)msg;
	struct front *f = (struct front *)map_get(&fronts, ask->sid);

	if (f == NULL) {
		bosh_refuse(ask, "item-not-found");
		return;
	}
	ask->session = f->session;
	if (f->at == loop_self())
		take_now(ask);
	else
		loop_post(f->at, take_now, ask);
}

static void
find(struct bosh_ask *ask)
{
	struct str rest = ask->sid, head = str_cut(&rest, '.');
	uint64_t n;

	if (!str_to_u64(head, &n) || n >= loop_count())
		bosh_refuse(ask, "item-not-found");
	else if (loop_at((unsigned)n) == loop_self())
		find_now(ask);
	else
		loop_post(loop_at((unsigned)n), find_now, ask);
}

/* What is asked for -------------------------------------------------------*/

static struct str
attr(const struct elem *body, const char *name)
{
	return elem_attr_named(body, str_c(name));
}

static uint64_t
number(const struct elem *body, const char *name, uint64_t otherwise)
{
	uint64_t n;

	return str_to_u64(attr(body, name), &n) ? n : otherwise;
}

static bool
is_true(struct str s)
{
	return str_is(s, "true") || str_is(s, "1");
}

static void
add_part(struct bosh_ask *ask, struct str text)
{
	ask->part[ask->part_count++] = text;
}

static void
add_open(struct bosh_ask *ask, const struct elem *body)
{
	struct arena *a = ask->arena;
	struct elem *open = elem_new(a, EL_FRAME_OPEN);

	elem_set(open, AT_TO, elem_attr(body, AT_TO));
	elem_set(open, AT_FROM, elem_attr(body, AT_FROM));
	elem_set(open, AT_VERSION, STR("1.0"));
	elem_set(open, AT_XML_LANG, elem_attr(body, AT_XML_LANG));
	add_part(ask, xml_text(a, open));
}

/* Clients that forget the namespace mean stanzas, nothing of BOSH's own. */
static void
amend(struct elem *e)
{
	static const struct {
		const char *name;
		enum qname qname;
	} stanzas[] = {
		{ "message", EL_MESSAGE },
		{ "presence", EL_PRESENCE },
		{ "iq", EL_IQ },
	};

	if (!str_is(elem_ns_uri(e), HTTPBIND))
		return;
	for (size_t i = 0; i < ARRAY_LEN(stanzas); i++)
		if (str_is(elem_local(e), stanzas[i].name))
			elem_rename(e, stanzas[i].qname);
}

/* 0, or the status to refuse it with. */
static unsigned
read_parts(struct bosh_ask *ask, const struct elem *body, bool is_open)
{
	size_t count = elem_count(body, EL_ANY);
	struct elem *e;

	if (count > PARTS_MAX)
		return 413;
	ask->part = (struct str *)arena_alloc(
	    ask->arena, (count + 2) * sizeof(*ask->part));
	if (is_open)
		add_open(ask, body);
	for (e = elem_child(body, EL_ANY); e != NULL;
	     e = elem_next(e, EL_ANY)) {
		/* The stream's tags are not for clients to write here. */
		if (elem_ns(e) == NS_FRAMING)
			return 400;
		amend(e);
		add_part(ask, xml_text(ask->arena, e));
	}
	if (ask->is_last)
		add_part(
		    ask, STR("<close "
			     "xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"));
	ask->is_empty = ask->part_count == 0;
	return 0;
}

static unsigned
read_ask(struct bosh_ask *ask, const struct elem *body)
{
	uint64_t pause;
	bool is_open;

	ask->sid = attr(body, "sid");
	ask->rid = number(body, "rid", 0);
	if (ask->rid == 0 || ask->rid > RID_MAX)
		return 400;
	ask->has_ack = str_to_u64(attr(body, "ack"), &ask->ack);
	pause = number(body, "pause", 0);
	ask->has_pause = pause > 0;
	ask->pause_ms = MIN(pause, 86400) * 1000;
	ask->is_last = str_is(elem_attr(body, AT_TYPE), "terminate");
	is_open = str_is_none(ask->sid) ||
		  is_true(attr(body, "{urn:xmpp:xbosh}restart"));
	return read_parts(ask, body, is_open);
}

/* From this machine, a proxy on it included, or by TLS. */
static bool
is_safe(const struct http_req *r)
{
	return http_is_tls(r) || addr_is_loopback(http_peer(r));
}

static void
create(
    struct bosh_ask *ask, const struct elem *body, const struct bosh_conf *conf)
{
	struct bosh_terms t = {
		.peer = *http_peer(ask->http),
		.wait_ms = MIN(number(body, "wait", 60) * 1000, conf->wait_ms),
		.inactivity_ms = conf->inactivity_ms,
		.pause_ms = conf->pause_ms,
		.hold = (unsigned)MIN(number(body, "hold", 1), BOSH_HOLD_MAX),
		.is_tls = http_is_tls(ask->http),
		.is_safe = ask->is_safe,
		.has_acks = !str_is_none(attr(body, "ack")),
	};
	struct front *f;
	char ip[ADDR_TEXT_MAX];

	addr_limit_key(&t.peer, ip);
	if (!str_is_none(attr(body, "newkey")) ||
	    count_from(ip) >= conf->sessions) {
		bosh_refuse(ask, "policy-violation");
		return;
	}
	f = (struct front *)xzalloc(sizeof(*f));
	memcpy(f->ip, ip, sizeof(ip));
	f->at = loop_self();
	f->sid = str_heap(
	    str_printf(ask->arena, "%u." STR_FMT, loop_index(loop_self()),
		STR_ARG(random_token(ask->arena, SID_BYTES))));
	f->session = bosh_new(f->sid, &t, ask);
	map_set(&fronts, f->sid, f);
}

static void
on_post(struct http_req *r, const struct bosh_conf *conf)
{
	struct xml_limits limits = { HTTP_BODY_MAX, STANZA_DEPTH + 2,
		STANZA_ELEMENTS, STANZA_ATTRIBUTES };
	struct arena *a = arena_new(0);
	struct bosh_ask *ask = (struct bosh_ask *)arena_zalloc(a, sizeof(*ask));
	struct elem *body = xml_parse(a, http_body(r), &limits, NS_NONE, NULL);
	unsigned status = 400;

	*ask = (struct bosh_ask){ .arena = a, .http = r, .from = loop_self() };
	ask->is_safe = is_safe(r);
	if (body != NULL && str_is(elem_ns_uri(body), HTTPBIND) &&
	    str_is(elem_local(body), "body"))
		status = read_ask(ask, body);
	if (status != 0) {
		http_header(r, "access-control-allow-origin", "*");
		http_answer_text(r, status, "That is no BOSH request.");
		arena_free(&a);
	} else if (!str_is_none(ask->sid)) {
		find(ask);
	} else {
		create(ask, body, conf);
	}
}

void
bosh_handle(struct http_req *r, const struct bosh_conf *conf)
{
	if (str_is(http_method(r), "OPTIONS")) {
		http_header(r, "access-control-allow-origin", "*");
		http_header(r, "access-control-allow-methods", "POST, OPTIONS");
		http_header(r, "access-control-allow-headers", "content-type");
		http_header(r, "access-control-max-age", "86400");
		http_answer(r, 200, "text/plain", STR(""));
	} else if (!str_is(http_method(r), "POST") || http_is_local(r)) {
		http_header(r, "allow", "POST, OPTIONS");
		http_answer_text(r, 405, "This is for BOSH clients.");
	} else if (!is_safe(r) && !conf->allow_without_tls) {
		http_answer_text(r, 403, "TLS is needed.");
	} else {
		on_post(r, conf);
	}
}
