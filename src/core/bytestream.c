/* SPDX-License-Identifier: MIT */
#include "core/bytestream.h"

#include "base/log.h"
#include "base/map.h"
#include "core/conf.h"
#include "core/module.h"
#include "net/conn.h"

#include <openssl/evp.h>

#define ADDRESS_LEN 40 /* SHA-1 in hexadecimal */
#define GREETING_MS SECONDS(30)
#define WAITING_MS MINUTES(2)
/* That wait, on each worker; and of one IP address. */
#define WAITING_MAX 2000
#define WAITING_MAX_EACH 50
/* What may come before it is activated, which none has a reason to send. */
#define EARLY_MAX 1024

/* RFC 1928. */
#define SOCKS_VERSION 5
#define SOCKS_CONNECT 1
#define SOCKS_DOMAIN 3
enum socks_reply {
	SOCKS_FINE = 0,
	SOCKS_NOT_ALLOWED = 2,
	SOCKS_BAD_COMMAND = 7,
	SOCKS_BAD_ADDRESS = 8,
	SOCKS_NO_METHOD = 0xff,
};

/* One of the two, until its connection has closed. */
struct end {
	struct conn *conn;
	enum { END_GREETING, END_REQUEST, END_WAITING, END_OPEN } state;
	char address[ADDRESS_LEN];
	char from[ADDR_TEXT_MAX]; /* addr_limit_key() */
	struct buf in;		  /* what is not complete, or came early */
	struct timer timer;
	struct pair *pair;
	struct end *other; /* when it is open */
	uint64_t taken;
};

struct pair {
	char address[ADDRESS_LEN]; /* the key */
	struct end *end[2];
	bool is_open;
	uint64_t bytes, limit;
};

/* Of this loop: pairs by address, and how many wait from an IP address. */
static _Thread_local struct map pairs;
static _Thread_local size_t waiting;

static const struct log_ctx log_bytestream = { .source = "bytestream" };

unsigned
bytestream_port(void)
{
	const struct conf *conf = conf_now();

	for (size_t i = 0; i < conf->listen_count; i++)
		if (conf->listen[i].type == LISTEN_PROXY65)
			return addr_port(&conf->listen[i].addr);
	return 0;
}

/* ---- pairs ------------------------------------------------------------- */

static struct str
address_of(const char *address)
{
	return str_mem(address, ADDRESS_LEN);
}

static struct pair *
pair_need(const char *address)
{
	struct pair *p = map_get(&pairs, address_of(address));

	if (p != NULL)
		return p;
	p = xzalloc(sizeof(*p));
	memcpy(p->address, address, ADDRESS_LEN);
	map_set(&pairs, address_of(p->address), p);
	return p;
}

static void
pair_leave(struct end *e)
{
	struct pair *p = e->pair;

	if (p == NULL)
		return;
	for (size_t i = 0; i < 2; i++)
		if (p->end[i] == e)
			p->end[i] = NULL;
	e->pair = NULL;
	if (!p->is_open)
		waiting--;
	if (p->end[0] != NULL || p->end[1] != NULL)
		return;
	if (p->is_open)
		log_info(
		    &log_bytestream, "relayed %" PRIu64 " bytes", p->bytes);
	map_del(&pairs, address_of(p->address));
	if (pairs.count == 0)
		map_fini(&pairs);
	xfree(p);
}

static size_t
waiting_from(const char *from)
{
	struct pair *p;
	size_t n = 0;

	for (size_t i = 0; (p = map_next(&pairs, &i)) != NULL;) {
		for (size_t k = 0; k < 2 && !p->is_open; k++)
			n += p->end[k] != NULL &&
			     strcmp(from, p->end[k]->from) == 0;
	}
	return n;
}

/* False if there is no place for it. */
static bool
pair_join(struct end *e)
{
	struct pair *p;

	addr_limit_key(conn_peer(e->conn), e->from);
	if (waiting >= WAITING_MAX || waiting_from(e->from) >= WAITING_MAX_EACH)
		return false;
	p = pair_need(e->address);
	if (p->is_open || (p->end[0] != NULL && p->end[1] != NULL))
		return false;
	p->end[p->end[0] != NULL] = e;
	e->pair = p;
	waiting++;
	return true;
}

/* ---- SOCKS5 ------------------------------------------------------------ */

static void
end_refuse(struct end *e)
{
	timer_stop(&e->timer);
	conn_close(e->conn);
}

/* BND is what DST was. */
static void
reply(struct end *e, enum socks_reply code)
{
	char b[5 + ADDRESS_LEN + 2] = { SOCKS_VERSION, (char)code, 0,
		SOCKS_DOMAIN, ADDRESS_LEN };

	memcpy(b + 5, e->address, ADDRESS_LEN);
	conn_send(e->conn, str_mem(b, sizeof(b)));
	if (code != SOCKS_FINE)
		end_refuse(e);
}

static void
on_late(struct timer *t)
{
	struct end *e = CONTAINER_OF(t, struct end, timer);

	conn_abort(e->conn);
}

/* At its address's home. */
static void
on_arrived(void *ctx)
{
	struct end *e = ctx;

	if (!pair_join(e)) {
		reply(e, SOCKS_NOT_ALLOWED);
		return;
	}
	timer_start(&e->timer, WAITING_MS, on_late);
	reply(e, SOCKS_FINE);
}

static struct loop *
home_of(struct str address)
{
	uint64_t n = 0;

	/* It is a hash already. */
	for (size_t i = 0; i < 8; i++)
		n = n << 4 | (uint64_t)(address.p[i] & 15);
	return loop_at((unsigned)(n % loop_count()));
}

static bool
is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') ||
			(p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return true;
}

/* How many bytes were taken; 0: there must be more, or that is all. */
static size_t
take_greeting(struct end *e, const uint8_t *p, size_t n)
{
	bool is_free = false;

	if (n > 0 && p[0] != SOCKS_VERSION) {
		conn_abort(e->conn);
		return 0;
	}
	if (n < 2 || n < 2u + p[1])
		return 0;
	for (size_t i = 0; i < p[1]; i++)
		is_free |= p[2 + i] == 0;
	e->state = END_REQUEST;
	if (is_free) {
		conn_send(e->conn, str_mem("\5\0", 2));
		return 2u + p[1];
	}
	conn_send(e->conn, str_mem("\5\xff", 2));
	end_refuse(e);
	return 0;
}

static size_t
take_request(struct end *e, const uint8_t *p, size_t n)
{
	size_t size = 5 + ADDRESS_LEN + 2;
	struct loop *home;

	if (n > 0 && p[0] != SOCKS_VERSION) {
		conn_abort(e->conn);
		return 0;
	}
	if (n < 5)
		return 0;
	if (p[1] != SOCKS_CONNECT || p[3] != SOCKS_DOMAIN ||
	    p[4] != ADDRESS_LEN) {
		memset(e->address, '0', ADDRESS_LEN);
		reply(e, p[1] != SOCKS_CONNECT ? SOCKS_BAD_COMMAND
					       : SOCKS_BAD_ADDRESS);
		return 0;
	}
	if (n < size)
		return 0;
	memcpy(e->address, p + 5, ADDRESS_LEN);
	if (!is_hex(e->address, ADDRESS_LEN) || p[size - 2] != 0 ||
	    p[size - 1] != 0) {
		memset(e->address, '0', ADDRESS_LEN);
		reply(e, SOCKS_BAD_ADDRESS);
		return 0;
	}
	/* From here on it may be another thread's. */
	buf_shift(&e->in, size);
	e->state = END_WAITING;
	timer_stop(&e->timer);
	conn_pause(e->conn);
	home = home_of(address_of(e->address));
	if (home == loop_self())
		on_arrived(e);
	else
		conn_move(e->conn, home, on_arrived);
	return 0;
}

static void
take(struct end *e)
{
	size_t n = 1;

	while (n > 0 && e->in.n > 0) {
		const uint8_t *p = (const uint8_t *)e->in.p;

		n = e->state == END_GREETING ? take_greeting(e, p, e->in.n)
					     : take_request(e, p, e->in.n);
		if (n > 0)
			buf_shift(&e->in, n);
	}
}

/* ---- the relay --------------------------------------------------------- */

static void
relay(struct end *e, struct str bytes)
{
	struct pair *p = e->pair;

	p->bytes += bytes.n;
	if (p->limit > 0 && p->bytes > p->limit) {
		log_info(&log_bytestream, "more than %" PRIu64 " bytes: ended",
		    p->limit);
		conn_abort(e->conn);
		return;
	}
	if (e->other == NULL)
		return;
	conn_send(e->other->conn, bytes);
	if (conn_queued(e->other->conn) > CONN_HIGH_MARK)
		conn_pause(e->conn);
}

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct end *e = ctx;

	if (e->state == END_OPEN) {
		relay(e, str_mem(p, n));
		return;
	}
	if (e->in.n + n > EARLY_MAX) {
		conn_abort(e->conn);
		return;
	}
	buf_add(&e->in, p, n);
	if (e->state < END_WAITING)
		take(e);
}

static void
on_drained(void *ctx)
{
	struct end *e = ctx;

	if (e->other != NULL)
		conn_resume(e->other->conn);
}

/* What the other has sent still goes out. */
static void
on_closed(void *ctx, int err)
{
	struct end *e = ctx;

	timer_stop(&e->timer);
	if (e->other != NULL) {
		e->other->other = NULL;
		conn_close(e->other->conn);
	}
	pair_leave(e);
	buf_fini(&e->in);
	xfree(e);
}

void
bytestream_accept(void *ctx, struct conn *c)
{
	static const struct conn_events events = {
		.data = on_data,
		.drained = on_drained,
		.closed = on_closed,
	};
	struct end *e = xzalloc(sizeof(*e));

	e->conn = c;
	conn_set_owner(c, &events, e);
	timer_start(&e->timer, GREETING_MS, on_late);
}

void
bytestream_thread_done(void)
{
	map_fini(&pairs);
	waiting = 0;
}

/* ---- activation -------------------------------------------------------- */

struct activation {
	struct stanza *iq; /* this is in its arena */
	struct bytestream_terms terms;
	char address[ADDRESS_LEN];
};

static void
end_open(struct end *e, struct end *other, uint32_t rate)
{
	e->state = END_OPEN;
	e->other = other;
	timer_stop(&e->timer);
	conn_set_rate(e->conn, rate);
}

static void
end_go(struct end *e)
{
	if (e->in.n > 0)
		relay(e, buf_str(&e->in));
	buf_fini(&e->in);
	e->in = (struct buf){ 0 };
	conn_resume(e->conn);
}

static void
pair_open(struct pair *p, const struct bytestream_terms *terms)
{
	p->is_open = true;
	p->limit = terms->bytes;
	waiting -= 2;
	end_open(p->end[0], p->end[1], terms->rate);
	end_open(p->end[1], p->end[0], terms->rate);
	end_go(p->end[0]);
	end_go(p->end[1]);
}

static void
on_activate(void *msg)
{
	struct activation *act = msg;
	struct pair *p = map_get(&pairs, address_of(act->address));

	if (p == NULL) {
		stanza_refuse(act->iq, EL_ITEM_NOT_FOUND);
	} else if (p->is_open || p->end[0] == NULL || p->end[1] == NULL) {
		stanza_refuse(act->iq, EL_NOT_ALLOWED);
	} else {
		pair_open(p, &act->terms);
		stanza_result(act->iq);
		stanza_send_back(act->iq);
	}
}

/* Section 6.3.4: SHA1(SID + Requester JID + Target JID). */
static void
address_make(struct arena *a, struct str sid, const struct jid *requester,
    const struct jid *target, char *address)
{
	struct str text = str_printf(a, STR_FMT STR_FMT STR_FMT, STR_ARG(sid),
	    STR_ARG(requester->full), STR_ARG(target->full));
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	must(EVP_Digest(text.p, text.n, digest, &n, EVP_sha1(), NULL) == 1);
	memcpy(address, str_hex(a, str_mem((const char *)digest, n)).p,
	    ADDRESS_LEN);
}

enum verdict
bytestream_activate(struct stanza *iq, struct str sid, const struct jid *target,
    const struct bytestream_terms *terms)
{
	struct activation *act = arena_new_of(iq->arena, struct activation);

	act->iq = iq;
	act->terms = *terms;
	address_make(iq->arena, sid, &iq->from, target, act->address);
	loop_post(home_of(address_of(act->address)), on_activate, act);
	return STANZA_DONE;
}
