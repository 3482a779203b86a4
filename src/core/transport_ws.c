/* SPDX-License-Identifier: MIT */
/*
 * Streams over WebSockets (RFC 6455, RFC 7395): each text message is a stanza
 * or a tag of the stream. No extensions. The connection moves to the home of
 * its account like any other.
 */
#include "base/arena.h"
#include "core/conf.h"
#include "core/metrics.h"
#include "core/stream.h"

#include <openssl/sha.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define CONTROL_MAX 125
#define HEAD_ROOM 14

enum opcode {
	OP_MORE = 0,
	OP_TEXT = 1,
	OP_BINARY = 2,
	OP_CLOSE = 8,
	OP_PING = 9,
	OP_PONG = 10,
};

/* Why it is closed. */
enum {
	CLOSE_NORMAL = 1000,
	CLOSE_PROTOCOL = 1002,
	CLOSE_KIND = 1003,
	CLOSE_TOO_BIG = 1009
};

struct ws {
	struct transport base;
	struct conn *conn;
	struct buf out;	    /* of a stanza that is being written */
	struct buf message; /* as far as it has come */
	struct buf early;   /* what came while it was moving */
	unsigned char head[HEAD_ROOM];
	unsigned head_size;
	char control[CONTROL_MAX];
	uint64_t left; /* of the frame's payload */
	uint64_t at;   /* in the payload, for the mask */
	unsigned char mask[4];
	unsigned control_size;
	enum opcode opcode; /* of the frame */
	bool is_final;
	bool is_midway; /* between the frames of a message */
	bool in_payload;
	bool is_moving;
	bool is_closing; /* our close frame has been sent */
	void (*arrived)(void *ctx);
	void *arrived_ctx;
};

static void ws_input(struct ws *w, const char *p, size_t n);

static struct ws *
ws_of(const struct transport *t)
{
	return (struct ws *)(uintptr_t)t;
}

/* Output ------------------------------------------------------------------*/

/* The head of a frame, in full and unmasked; its size. */
static size_t
frame_head(unsigned char head[HEAD_ROOM], enum opcode opcode, uint64_t n)
{
	size_t size = 2;

	head[0] = (unsigned char)(0x80 | opcode);
	if (n <= CONTROL_MAX) {
		head[1] = (unsigned char)n;
		return size;
	}
	size = n <= UINT16_MAX ? 2 : 8;
	head[1] = size == 2 ? 126 : 127;
	for (size_t i = 0; i < size; i++)
		head[2 + i] = (unsigned char)(n >> (8 * (size - 1 - i)));
	return 2 + size;
}

static void
send_frame(struct ws *w, enum opcode opcode, struct str bytes)
{
	unsigned char head[HEAD_ROOM];
	size_t n = frame_head(head, opcode, bytes.n);

	conn_send(w->conn, str_mem(head, n));
	conn_send(w->conn, bytes);
}

static void
close_with(struct ws *w, unsigned code)
{
	char bytes[2] = { (char)(code >> 8), (char)code };

	if (w->is_closing)
		return;
	w->is_closing = true;
	send_frame(w, OP_CLOSE, str_mem(bytes, sizeof(bytes)));
	conn_close(w->conn);
}

/* Input -------------------------------------------------------------------*/

static uint64_t
message_max(const struct ws *w)
{
	const struct limits_conf *conf = &conf_now()->limits;
	const struct stream *s = w->base.stream;

	return s != NULL && stream_is_authenticated(s)
		   ? conf->stanza_size
		   : conf->pre_auth_stanza_size;
}

/* How long the head is, as far as that is known. */
static unsigned
head_need(const struct ws *w)
{
	unsigned need = 2;

	if (w->head_size < 2)
		return need;
	if ((w->head[1] & 0x7f) == 126)
		need += 2;
	else if ((w->head[1] & 0x7f) == 127)
		need += 8;
	return need + 4;
}

/* 0, or the code to close with. */
static unsigned
frame_check(const struct ws *w)
{
	bool is_control = (w->opcode & 8) != 0;

	if ((w->head[0] & 0x70) != 0 || (w->head[1] & 0x80) == 0)
		return CLOSE_PROTOCOL;
	if (is_control)
		return w->opcode > OP_PONG || !w->is_final ||
			       w->left > CONTROL_MAX
			   ? CLOSE_PROTOCOL
			   : 0;
	if (w->opcode == OP_BINARY)
		return CLOSE_KIND;
	if (w->opcode > OP_BINARY || (w->opcode == OP_MORE) != w->is_midway)
		return CLOSE_PROTOCOL;
	if (w->left > message_max(w) || w->message.n + w->left > message_max(w))
		return CLOSE_TOO_BIG;
	return 0;
}

static void
frame_begin(struct ws *w)
{
	unsigned n = head_need(w), code;

	w->is_final = (w->head[0] & 0x80) != 0;
	w->opcode = (enum opcode)(w->head[0] & 0x0f);
	w->left = w->head[1] & 0x7f;
	if (w->left >= 126) {
		w->left = 0;
		for (unsigned i = 2; i < n - 4; i++)
			w->left = w->left << 8 | w->head[i];
	}
	memcpy(w->mask, w->head + n - 4, 4);
	w->head_size = 0;
	w->at = 0;
	w->control_size = 0;
	w->in_payload = true;
	code = frame_check(w);
	if (code != 0) {
		log_info(stream_log(w->base.stream),
		    "a wrong frame of a WebSocket: %u", code);
		close_with(w, code);
	}
}

static void
on_control(struct ws *w)
{
	struct str bytes = str_mem(w->control, w->control_size);

	if (w->opcode == OP_PING) {
		send_frame(w, OP_PONG, bytes);
	} else if (w->opcode == OP_CLOSE) {
		unsigned code = CLOSE_NORMAL;

		if (bytes.n >= 2)
			code = (unsigned)(unsigned char)bytes.p[0] << 8 |
			       (unsigned char)bytes.p[1];
		close_with(w, bytes.n == 1 || code < 1000 || code > 4999 ||
				      (code >= 1004 && code <= 1006)
				  ? CLOSE_PROTOCOL
				  : code);
	}
}

static void
frame_end(struct ws *w)
{
	struct buf message;

	w->in_payload = false;
	if (w->opcode & 8) {
		on_control(w);
		return;
	}
	w->is_midway = !w->is_final;
	if (w->is_midway)
		return;
	message = w->message;
	w->message = (struct buf){ 0 };
	if (w->base.stream != NULL && message.n > 0)
		stream_input(w->base.stream, message.p, message.n);
	buf_fini(&message);
}

static void
unmask(struct ws *w, char *to, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i++, w->at++)
		to[i] = (char)(from[i] ^ w->mask[w->at & 3]);
}

static size_t
payload_input(struct ws *w, const char *p, size_t n)
{
	n = (size_t)MIN((uint64_t)n, w->left);
	if (w->opcode & 8) {
		unmask(w, w->control + w->control_size, p, n);
		w->control_size += (unsigned)n;
	} else {
		buf_reserve(&w->message, n);
		unmask(w, w->message.p + w->message.n, p, n);
		w->message.n += n;
	}
	w->left -= n;
	return n;
}

static void
ws_input(struct ws *w, const char *p, size_t n)
{
	while (!w->is_closing) {
		size_t used = 0;

		if (w->is_moving) {
			buf_add(&w->early, p, n);
			return;
		}
		if (w->in_payload) {
			used = payload_input(w, p, n);
			if (w->left == 0)
				frame_end(w);
			else if (used == n)
				return;
		} else if (n == 0) {
			return;
		} else {
			w->head[w->head_size++] = (unsigned char)*p;
			used = 1;
			if (w->head_size == head_need(w))
				frame_begin(w);
		}
		p += used;
		n -= used;
	}
}

/* Events of the connection -----------------------------------------------*/

static void
on_data(void *ctx, const char *p, size_t n)
{
	metric_add(METRIC_BYTES_IN, n);
	ws_input((struct ws *)ctx, p, n);
}

static void
on_drained(void *ctx)
{
	struct ws *w = (struct ws *)ctx;

	if (w->base.stream != NULL)
		stream_drained(w->base.stream);
}

static void
on_closed(void *ctx, int err)
{
	struct ws *w = (struct ws *)ctx;

	if (w->base.stream != NULL)
		stream_gone(w->base.stream, err);
	buf_fini(&w->out);
	buf_fini(&w->message);
	buf_fini(&w->early);
	xfree(w);
}

static const struct conn_events events = {
	.data = on_data,
	.drained = on_drained,
	.closed = on_closed,
};

/* What the stream asks for ------------------------------------------------*/

static struct buf *
ws_begin(struct transport *t)
{
	return &ws_of(t)->out;
}

static void
ws_end(struct transport *t)
{
	struct ws *w = ws_of(t);

	send_frame(w, OP_TEXT, buf_str(&w->out));
	buf_fini(&w->out);
	w->out = (struct buf){ 0 };
}

static void
ws_send_wire(struct transport *t, struct wire *wire)
{
	unsigned char head[HEAD_ROOM];
	size_t n = frame_head(head, OP_TEXT, wire->n);

	conn_send(ws_of(t)->conn, str_mem(head, n));
	conn_send_wire(ws_of(t)->conn, wire);
}

static size_t
ws_queued(const struct transport *t)
{
	return conn_queued(ws_of(t)->conn);
}

static void
ws_pause(struct transport *t)
{
	conn_pause(ws_of(t)->conn);
}

static void
ws_resume(struct transport *t)
{
	conn_resume(ws_of(t)->conn);
}

static void
ws_set_rate(struct transport *t, uint32_t bytes_per_s)
{
	conn_set_rate(ws_of(t)->conn, bytes_per_s);
}

static void
on_arrived(void *ctx)
{
	struct ws *w = (struct ws *)ctx;
	struct buf early = w->early;

	w->is_moving = false;
	w->early = (struct buf){ 0 };
	w->arrived(w->arrived_ctx);
	ws_input(w, early.p, early.n);
	buf_fini(&early);
}

static void
ws_move(
    struct transport *t, struct loop *to, void (*arrived)(void *ctx), void *ctx)
{
	struct ws *w = ws_of(t);

	w->is_moving = true;
	w->arrived = arrived;
	w->arrived_ctx = ctx;
	conn_move(w->conn, to, on_arrived);
}

static void
ws_close(struct transport *t)
{
	close_with(ws_of(t), CLOSE_NORMAL);
}

static bool
ws_is_tls(const struct transport *t)
{
	return conn_is_tls(ws_of(t)->conn);
}

static int
ws_binding(const struct transport *t, enum tls_binding kind, struct arena *a,
    struct str *bytes_r)
{
	return conn_tls_binding(ws_of(t)->conn, kind, a, bytes_r);
}

static const struct addr *
ws_peer(const struct transport *t)
{
	return conn_peer(ws_of(t)->conn);
}

static struct conn *
ws_conn(const struct transport *t)
{
	return ws_of(t)->conn;
}

static const struct transport_ops ops = {
	.name = "websocket",
	.is_framed = true,
	.can_move = true,
	.begin = ws_begin,
	.end = ws_end,
	.send_wire = ws_send_wire,
	.queued = ws_queued,
	.pause = ws_pause,
	.resume = ws_resume,
	.set_rate = ws_set_rate,
	.move = ws_move,
	.close = ws_close,
	.is_tls = ws_is_tls,
	.binding = ws_binding,
	.peer = ws_peer,
	.conn = ws_conn,
};

void
websocket_start(struct conn *c)
{
	/* For good, as streams keep it. */
	static const struct stream_policy secure = { STARTTLS_NONE, true };
	static const struct stream_policy plain = { STARTTLS_NONE, false };
	struct ws *w = (struct ws *)xzalloc(sizeof(*w));

	w->base.ops = &ops;
	w->conn = c;
	conn_set_owner(c, &events, w);
	stream_new(&w->base, conn_is_tls(c) ? &secure : &plain);
}

const char *
websocket_accept(struct arena *a, struct str key)
{
	struct str text = str_printf(a, STR_FMT GUID, STR_ARG(key));
	unsigned char digest[SHA_DIGEST_LENGTH];

	SHA1((const unsigned char *)text.p, text.n, digest);
	return str_base64(a, str_mem(digest, sizeof(digest))).p;
}
