/* SPDX-License-Identifier: MIT */
/* TLS on connections, and certificates, against OpenSSL as the client. */
#include "net/tls.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/conn_impl.h"
#include "net/tls_impl.h"
#include "net_help.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_tls_XXXXXX";

static const char *
in_dir(const char *name)
{
	static char paths[8][PATH_MAX];
	static int at;
	char *path = paths[at++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

/* The server's side -------------------------------------------------------- */

struct end {
	struct conn *c;
	int fd; /* the client's */
	struct gate secured;
	struct gate data; /* bytes */
	struct gate closed;
	int err;
	bool is_direct;
	bool moves; /* after each piece of data */
	bool pauses;
	enum tls_role role;
	struct arena *arena;
	struct str binding[3];
	char sni[64], alpn[32], version[16];
};

static void
on_moved(void *ctx)
{
}

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct end *e = (struct end *)ctx;

	conn_send(e->c, str_mem(p, n));
	gate_add(&e->data, (int)n);
	if (e->moves)
		conn_move(e->c,
		    loop_at((loop_index(loop_self()) + 1) % loop_count()),
		    on_moved);
}

static void
text_keep(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text != NULL ? text : "");
}

static void
on_secured(void *ctx)
{
	struct end *e = (struct end *)ctx;

	for (int kind = TLS_EXPORTER; kind <= TLS_UNIQUE; kind++) {
		int there =
		    conn_tls_binding(e->c, (enum tls_binding)kind, NULL, NULL);

		e->binding[kind] = STR_NONE;
		/* To ask for it only answers the same as to make it. */
		must(conn_tls_binding(e->c, (enum tls_binding)kind, e->arena,
			 &e->binding[kind]) == there);
	}
	text_keep(e->sni, sizeof(e->sni), conn_tls_sni(e->c));
	text_keep(e->alpn, sizeof(e->alpn), conn_tls_alpn(e->c));
	text_keep(e->version, sizeof(e->version), conn_tls_version(e->c));
	must(conn_is_tls(e->c) && conn_tls_cipher(e->c) != NULL);
	if (e->pauses)
		conn_pause(e->c);
	gate_add(&e->secured, 1);
}

static void
on_closed(void *ctx, int err)
{
	struct end *e = (struct end *)ctx;

	e->err = err;
	e->c = NULL;
	gate_add(&e->closed, 1);
}

static const struct conn_events events = {
	.data = on_data,
	.secured = on_secured,
	.closed = on_closed,
};

static void
end_make(void *arg)
{
	struct end *e = (struct end *)arg;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	e->fd = fds[0];
	e->c = conn_new(fds[1], NULL);
	conn_set_owner(e->c, &events, e);
	must(!conn_is_tls(e->c) && conn_tls_version(e->c) == NULL);
	if (e->is_direct) {
		conn_tls_start(e->c, e->role, true);
	} else {
		conn_send(e->c, STR("plain"));
		conn_start_tls(e->c, e->role);
	}
	conn_send(e->c, STR("first"));
}

static struct end *
end_new(const struct end *like)
{
	static const struct gate gate = GATE_INIT;
	struct end *e = (struct end *)xzalloc(sizeof(*e));
	char plain[5];

	if (like != NULL)
		*e = *like;
	e->secured = e->data = e->closed = gate;
	e->arena = arena_new(0);
	on_loop(0, end_make, e);
	if (!e->is_direct) {
		assert_int_equal(recv(e->fd, plain, 5, MSG_WAITALL), 5);
		assert_memory_equal(plain, "plain", 5);
	}
	return e;
}

static void
end_free(struct end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	gate_wait(&e->closed, 1);
	arena_free(&e->arena);
	xfree(e);
}

/* The client's side -------------------------------------------------------- */

static SSL_CTX *client_ctx;
static SSL_SESSION *client_session; /* the newest ticket */

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(client_session);
	client_session = session;
	return 1;
}

static SSL *
client_new(const struct end *e, int version, const char *sni)
{
	SSL *ssl = SSL_new(client_ctx);

	must(ssl != NULL);
	SSL_set_min_proto_version(ssl, version);
	SSL_set_max_proto_version(ssl, version);
	if (sni != NULL)
		SSL_set_tlsext_host_name(ssl, sni);
	SSL_set_fd(ssl, e->fd);
	return ssl;
}

static void
client_read(SSL *ssl, char *p, size_t n)
{
	size_t had = 0;

	while (had < n) {
		int ret = SSL_read(ssl, p + had, (int)(n - had));

		assert_true(ret > 0);
		had += (size_t)ret;
	}
}

/* The handshake, and what was queued for its end. */
static void
client_connect(SSL *ssl, struct end *e)
{
	char text[5];

	assert_int_equal(SSL_connect(ssl), 1);
	client_read(ssl, text, 5);
	assert_memory_equal(text, "first", 5);
	gate_wait(&e->secured, 1);
}

static SSL *
client_up(struct end *e, int version, const char *sni)
{
	SSL *ssl = client_new(e, version, sni);

	client_connect(ssl, e);
	return ssl;
}

static void
client_free(SSL *ssl)
{
	SSL_shutdown(ssl);
	SSL_free(ssl);
}

static bool
leaf_has_name(SSL *ssl, const char *name)
{
	X509 *leaf = SSL_get1_peer_certificate(ssl);
	bool has = X509_check_host(leaf, name, 0, 0, NULL) == 1;

	X509_free(leaf);
	return has;
}

/* Connections -------------------------------------------------------------- */

#define MEGA (1u << 20)

static void
echo_check(SSL *ssl)
{
	char *out = (char *)xmalloc(MEGA), *in = (char *)xmalloc(MEGA);

	for (size_t i = 0; i < MEGA; i++)
		out[i] = (char)(i * 2654435761u >> 11);
	for (size_t at = 0; at < MEGA;) {
		/* Of all sizes, so that records meet reads everywhere. */
		size_t n = MIN(MEGA - at, at % 20011 + 1);
		int ret = SSL_write(ssl, out + at, (int)n);

		assert_true(ret > 0);
		at += (size_t)ret;
	}
	client_read(ssl, in, MEGA);
	assert_memory_equal(in, out, MEGA);
	xfree(in);
	xfree(out);
}

static void
echo_with(int version, const char *text, bool moves)
{
	struct end *e = end_new(&(struct end){ .moves = moves });
	SSL *ssl = client_up(e, version, "one.example");

	assert_string_equal(e->version, text);
	assert_string_equal(e->sni, "one.example");
	echo_check(ssl);
	client_free(ssl);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, 0);
	end_free(e);
}

static void
test_echo(void **state)
{
	echo_with(TLS1_2_VERSION, "TLSv1.2", false);
	echo_with(TLS1_3_VERSION, "TLSv1.3", false);
}

static void
test_echo_moving(void **state)
{
	echo_with(TLS1_2_VERSION, "TLSv1.2", true);
	echo_with(TLS1_3_VERSION, "TLSv1.3", true);
}

static void
resume_now(void *arg)
{
	conn_resume(((struct end *)arg)->c);
}

/*
 * Data that came in one read with the end of the handshake is kept while
 * the owner has paused.
 */
static void
test_pause_when_secured(void **state)
{
	struct end *e = end_new(&(struct end){ .pauses = true });
	SSL *ssl = client_up(e, TLS1_2_VERSION, NULL);
	char text[3];

	assert_int_equal(SSL_write(ssl, "abc", 3), 3);
	on_loop(0, on_moved, NULL);
	assert_int_equal(gate_count(&e->data), 0);
	on_loop(0, resume_now, e);
	client_read(ssl, text, 3);
	assert_memory_equal(text, "abc", 3);
	client_free(ssl);
	end_free(e);
}

static void
test_garbage(void **state)
{
	struct end *e = end_new(NULL);

	assert_int_equal(send(e->fd, "<stream:stream>", 15, 0), 15);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, ERR_TLS);
	assert_int_equal(gate_count(&e->data), 0);
	end_free(e);
}

/* What a client begins with: one record. */
static size_t
hello_make(SSL *ssl, unsigned char *p, size_t size)
{
	BIO *out = BIO_new(BIO_s_mem());
	int n;

	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	assert_int_equal(SSL_connect(ssl), -1);
	n = BIO_read(out, p, (int)size);
	assert_true(n > 100 && (size_t)n < size);
	assert_int_equal(tls_hello_size(str_mem(p, (size_t)n)), n);
	return (size_t)n;
}

/* The same hello in records of so many bytes; their length. */
static size_t
hello_split(const unsigned char *hello, size_t n, size_t part, unsigned char *p)
{
	size_t had = 0;

	for (size_t at = 5; at < n; at += part) {
		size_t len = MIN(part, n - at);

		memcpy(p + had, hello, 3);
		p[had + 3] = (unsigned char)(len >> 8);
		p[had + 4] = (unsigned char)len;
		memcpy(p + had + 5, hello + at, len);
		had += 5 + len;
	}
	return had;
}

static void
hello_with(int version, size_t part, size_t step)
{
	struct end *e = end_new(NULL);
	SSL *ssl = client_new(e, version, "one.example");
	unsigned char whole[2048], p[8192];
	size_t n =
	    hello_split(whole, hello_make(ssl, whole, sizeof(whole)), part, p);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(tls_hello_size(str_mem(p, i)), 0);
	assert_int_equal(tls_hello_size(str_mem(p, n)), n);
	for (size_t at = 0; at < n; at += step) {
		size_t len = MIN(step, n - at);

		assert_int_equal(send(e->fd, p + at, len, 0), len);
		on_loop(0, on_moved, NULL);
	}
	SSL_set_fd(ssl, e->fd);
	client_connect(ssl, e);
	assert_string_equal(e->sni, "one.example");
	client_free(ssl);
	end_free(e);
}

/* However it comes, in records and in time. */
static void
test_hello_in_pieces(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		hello_with(versions[i], 2048, 1);
		hello_with(versions[i], 2048, 100);
		hello_with(versions[i], 7, 3);
		hello_with(versions[i], 64, 8192);
		hello_with(versions[i], 1, 8192);
	}
}

static const struct {
	const char *bytes;
	size_t n;
	int size;
} hellos[] = {
	{ "", 0, 0 },
	{ "\x16", 1, 0 },
	{ "\x16\x03\x01\x00", 4, 0 },
	{ "\x16\x03\x01\x00\x04\x01\x00\x00", 8, 0 },
	{ "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, 9 },
	/* The rest is for whoever reads the hello. */
	{ "\x16\x03\x01\x00\x04\x01\x00\x00\x00\x17", 10, 9 },
	/* Another message in the record, of which not all is there. */
	{ "\x16\x03\x01\x00\x05\x01\x00\x00\x00", 9, 0 },
	{ "\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x02\x00\x00", 14, 14 },
	/* Other records, other versions of TLS, HTTP. */
	{ "\x15", 1, ERR_INVALID },
	{ "G", 1, ERR_INVALID },
	{ "\x80\x80\x01\x03\x03", 5, ERR_INVALID },
	{ "\x16\x02", 2, ERR_INVALID },
	{ "\x16\x03\x01\x00\x02\x01\x00\x17", 8, ERR_INVALID },
	/* A message that is no hello. */
	{ "\x16\x03\x01\x00\x04\x02", 6, ERR_INVALID },
	/* Nothing in a record. */
	{ "\x16\x03\x01\x00\x00", 5, ERR_INVALID },
	/* Just within what is kept, and a byte more: of record and message. */
	{ "\x16\x03\x01\x17\xfb", 5, 0 },
	{ "\x16\x03\x01\x17\xfc", 5, ERR_INVALID },
	{ "\x16\x03\x01\xff\xff", 5, ERR_INVALID },
	{ "\x16\x03\x01\x00\x04\x01\x00\x17\xfc", 9, 0 },
	{ "\x16\x03\x01\x00\x04\x01\x00\x17\xfd", 9, ERR_INVALID },
	{ "\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9, ERR_INVALID },
};

static void
test_hello_size(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		int size =
		    tls_hello_size(str_mem(hellos[i].bytes, hellos[i].n));

		if (size != hellos[i].size)
			fail_msg(
			    "hello %zu: %d, not %d", i, size, hellos[i].size);
	}
}

/* What is no hello, or too big, is told so at once. */
static void
test_hello_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		struct end *e;
		char alert[7];

		if (hellos[i].size >= 0)
			continue;
		e = end_new(NULL);
		assert_int_equal(
		    send(e->fd, hellos[i].bytes, hellos[i].n, 0), hellos[i].n);
		gate_wait(&e->closed, 1);
		assert_int_equal(e->err, ERR_TLS);
		assert_int_equal(recv(e->fd, alert, 7, MSG_WAITALL), 7);
		assert_memory_equal(alert, "\x15\x03\x03\x00\x02\x02\x32", 7);
		end_free(e);
	}
}

static void
test_old_version(void **state)
{
	struct end *e = end_new(NULL);
	SSL *ssl = client_new(e, TLS1_1_VERSION, NULL);

	SSL_set_security_level(ssl, 0);
	assert_int_not_equal(SSL_connect(ssl), 1);
	SSL_free(ssl);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, ERR_TLS);
	end_free(e);
	ERR_clear_error();
}

static void
close_now(void *arg)
{
	struct end *e = (struct end *)arg;

	conn_send(e->c, STR("bye"));
	conn_close(e->c);
}

static void
test_close_notify(void **state)
{
	struct end *e = end_new(NULL);
	SSL *ssl = client_up(e, TLS1_3_VERSION, NULL);
	char text[4];

	on_loop(0, close_now, e);
	client_read(ssl, text, 3);
	assert_memory_equal(text, "bye", 3);
	assert_int_equal(SSL_read(ssl, text, 1), 0);
	assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
	client_free(ssl);
	close(e->fd);
	e->fd = -1;
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, 0);
	end_free(e);
}

static void
idle_check(void *arg)
{
	struct end *e = (struct end *)arg;

	must(e->c->out.bytes.p == NULL);
	must(conn_queued(e->c) == 0 && !conn_tls_has_kept(e->c));
}

static void
test_idle_owns_nothing(void **state)
{
	struct end *e = end_new(NULL);
	SSL *ssl = client_up(e, TLS1_3_VERSION, NULL);

	on_loop(0, idle_check, e);
	client_free(ssl);
	end_free(e);
}

/* Channel bindings --------------------------------------------------------- */

static void
exporter_check(SSL *ssl, const struct end *e)
{
	unsigned char ours[32];
	const char *label = "EXPORTER-Channel-Binding";

	assert_int_equal(SSL_export_keying_material(ssl, ours, 32, label,
			     strlen(label), (const unsigned char *)"", 0, 1),
	    1);
	assert_int_equal(e->binding[TLS_EXPORTER].n, 32);
	assert_memory_equal(e->binding[TLS_EXPORTER].p, ours, 32);
}

static void
end_point_check(SSL *ssl, const struct end *e)
{
	X509 *leaf = SSL_get1_peer_certificate(ssl);
	unsigned char ours[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	assert_int_equal(X509_digest(leaf, EVP_sha256(), ours, &n), 1);
	assert_int_equal(e->binding[TLS_SERVER_END_POINT].n, n);
	assert_memory_equal(e->binding[TLS_SERVER_END_POINT].p, ours, n);
	X509_free(leaf);
}

static void
unique_check(SSL *ssl, const struct end *e)
{
	char ours[EVP_MAX_MD_SIZE];
	size_t n = SSL_session_reused(ssl)
		       ? SSL_get_peer_finished(ssl, ours, sizeof(ours))
		       : SSL_get_finished(ssl, ours, sizeof(ours));

	assert_int_equal(e->binding[TLS_UNIQUE].n, n);
	assert_memory_equal(e->binding[TLS_UNIQUE].p, ours, n);
}

/* Connects again with the last session; did the server take it? */
static struct end *
resumed_up(int version, const char *sni, SSL **ssl_r)
{
	struct end *e = end_new(NULL);

	*ssl_r = client_new(e, version, sni);
	SSL_set_session(*ssl_r, client_session);
	client_connect(*ssl_r, e);
	return e;
}

/*
 * Bytes before the handshake (0-RTT) could be replayed: tickets allow none, and
 * those of a client that has not looked are dropped.
 */
static void
test_early_data(void **state)
{
	struct end *e = end_new(NULL);
	SSL *ssl = client_up(e, TLS1_3_VERSION, "one.example");
	size_t n;

	client_free(ssl);
	end_free(e);
	assert_int_equal(SSL_SESSION_get_max_early_data(client_session), 0);
	assert_int_equal(
	    SSL_SESSION_set_max_early_data(client_session, 1000), 1);
	e = end_new(NULL);
	ssl = client_new(e, TLS1_3_VERSION, "one.example");
	SSL_set_session(ssl, client_session);
	assert_int_equal(SSL_write_early_data(ssl, "early", 5, &n), 1);
	client_connect(ssl, e);
	assert_int_equal(
	    SSL_get_early_data_status(ssl), SSL_EARLY_DATA_REJECTED);
	assert_int_equal(SSL_session_reused(ssl), 1);
	echo_check(ssl);
	client_free(ssl);
	end_free(e);
}

static void
bindings_with(int version)
{
	for (int i = 0; i < 2; i++) {
		struct end *e;
		SSL *ssl;

		if (i == 0) {
			e = end_new(NULL);
			ssl = client_up(e, version, "one.example");
		} else {
			e = resumed_up(version, "one.example", &ssl);
		}
		assert_int_equal(SSL_session_reused(ssl), i);
		exporter_check(ssl, e);
		end_point_check(ssl, e);
		unique_check(ssl, e);
		client_free(ssl);
		end_free(e);
	}
}

static void
test_bindings(void **state)
{
	bindings_with(TLS1_2_VERSION);
	bindings_with(TLS1_3_VERSION);
}

static void
test_bindings_need_ems(void **state)
{
	struct end *e = end_new(NULL);
	SSL *ssl = client_new(e, TLS1_2_VERSION, NULL);

	SSL_set_options(ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	client_connect(ssl, e);
	assert_true(str_is_none(e->binding[TLS_EXPORTER]));
	assert_true(str_is_none(e->binding[TLS_UNIQUE]));
	end_point_check(ssl, e);
	client_free(ssl);
	end_free(e);
}

/* Names -------------------------------------------------------------------- */

/* What is asked for, and a name of the certificate that must come. */
static const struct {
	const char *sni;
	const char *name;
} names[] = {
	{ "one.example", "one.example" },
	{ "ONE.example", "one.example" },
	{ "two.example", "two.example" },
	{ "a.wild.example", "b.wild.example" },
	{ "exact.wild.example", "exact.wild.example" },
	{ "a.b.wild.example", "one.example" },
	{ "wild.example", "one.example" },
	{ "unknown.example", "one.example" },
	{ NULL, "one.example" },
};

static void
test_sni(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct end *e = end_new(NULL);
		SSL *ssl = client_up(
		    e, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, names[i].sni);

		assert_true(leaf_has_name(ssl, names[i].name));
		end_point_check(ssl, e);
		client_free(ssl);
		end_free(e);
	}
}

static const struct {
	enum tls_role role;
	bool is_direct;
	const char *offer;  /* each with its length */
	const char *chosen; /* NULL: refused */
} alpns[] = {
	{ TLS_C2S, true, "\x0bxmpp-client", "xmpp-client" },
	{ TLS_C2S, true, "\x02h2\x0bxmpp-client", "xmpp-client" },
	{ TLS_C2S, true, "", "" },
	{ TLS_C2S, true, "\x02h2\x08http/1.1", NULL },
	{ TLS_C2S, true, "\x0bxmpp-server", NULL },
	{ TLS_C2S, false, "\x02h2", "" },
	{ TLS_S2S, true, "\x0bxmpp-server", "xmpp-server" },
	{ TLS_HTTPS, true, "\x02h2\x08http/1.1", "http/1.1" },
	{ TLS_HTTPS, true, "\x02h2", NULL },
	{ TLS_HTTPS, true, "\x08http/1.1", "http/1.1" },
	{ TLS_MUX, true, "\x08http/1.1", "http/1.1" },
	{ TLS_MUX, true, "\x0bxmpp-client", "xmpp-client" },
	{ TLS_MUX, true, "\x0bxmpp-server", NULL },
};

static void
alpn_check(size_t i)
{
	struct end *e = end_new(&(struct end){
	    .is_direct = alpns[i].is_direct, .role = alpns[i].role });
	SSL *ssl = client_new(e, TLS1_3_VERSION, NULL);
	const char *offer = alpns[i].offer;

	if (offer[0] != '\0')
		SSL_set_alpn_protos(
		    ssl, (const unsigned char *)offer, (unsigned)strlen(offer));
	if (alpns[i].chosen != NULL) {
		client_connect(ssl, e);
		assert_string_equal(e->alpn, alpns[i].chosen);
		client_free(ssl);
	} else {
		assert_int_not_equal(SSL_connect(ssl), 1);
		assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()),
		    SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
		SSL_free(ssl);
		gate_wait(&e->closed, 1);
		assert_int_equal(e->err, ERR_TLS);
		ERR_clear_error();
	}
	end_free(e);
}

static void
test_alpn(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(alpns); i++)
		alpn_check(i);
}

/* Certificates ------------------------------------------------------------- */

static struct tls_certs *
self_signed(const char *file, const char *a, const char *b)
{
	struct arena *arena = arena_new(0);
	struct str list[2] = { str_c(a), str_c(b) };
	struct tls_certs *certs;
	const char *why = NULL;
	int ret = tls_certs_self_signed(
	    arena, in_dir(file), list, b != NULL ? 2 : 1, &certs, &why);

	if (ret != 0)
		fprintf(stderr, "%s\n", why);
	assert_int_equal(ret, 0);
	arena_free(&arena);
	return certs;
}

static void
make_file(const char *file, const char *a, const char *b)
{
	struct tls_certs *certs = self_signed(file, a, b);

	tls_certs_unref(&certs);
}

static struct tls_certs *
load(const char *const *patterns, const struct tls_certs *previous)
{
	struct arena *a = arena_new(0);
	struct tls_certs *certs = NULL;
	const char *why = NULL;
	int ret = tls_certs_load(a, patterns, previous, &certs, &why);

	if (ret != 0) {
		assert_int_equal(ret, ERR_TLS);
		assert_non_null(why);
		assert_null(certs);
	}
	arena_free(&a);
	return certs;
}

static struct tls_certs *
load_one(const char *pattern, const struct tls_certs *previous)
{
	const char *const patterns[] = { pattern, NULL };

	return load(patterns, previous);
}

static bool
covers(const struct tls_certs *c, const char *host)
{
	int64_t not_after = 0;
	bool does = tls_certs_cover(c, str_c(host), &not_after);

	if (does)
		assert_true(not_after > clock_real() / 1000);
	return does;
}

static void
test_cover(void **state)
{
	struct tls_certs *c = self_signed("cover.crt", "*.example.org",
	    "b\xc3\xbc"
	    "cher.example");

	assert_true(covers(c, "a.example.org"));
	assert_true(covers(c, "A.Example.ORG"));
	assert_true(covers(c, "a.example.org."));
	assert_false(covers(c, "example.org"));
	assert_false(covers(c, "a.b.example.org"));
	assert_false(covers(c, ".example.org"));
	assert_true(covers(c, "b\xc3\xbc"
			      "cher.example"));
	assert_true(covers(c, "xn--bcher-kva.example"));
	assert_false(covers(c, ""));
	assert_false(covers(c, "."));
	tls_certs_unref(&c);
	unlink(in_dir("cover.crt"));
}

static ino_t
inode(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	return st.st_ino;
}

static void
test_self_signed(void **state)
{
	ino_t first, again, other;

	make_file("self.crt", "localhost", "127.0.0.1");
	first = inode(in_dir("self.crt"));
	make_file("self.crt", "127.0.0.1", "LOCALHOST");
	again = inode(in_dir("self.crt"));
	assert_int_equal(first, again);
	make_file("self.crt", "localhost", NULL);
	other = inode(in_dir("self.crt"));
	assert_int_not_equal(first, other);
	unlink(in_dir("self.crt"));
}

static void
copy_part(const char *from, const char *to, const char *begin, const char *end)
{
	static char text[16384];
	FILE *f = fopen(in_dir(from), "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	char *a, *b;

	fclose(f);
	text[n] = '\0';
	a = strstr(text, begin);
	assert_non_null(a);
	b = strstr(a, end) + strlen(end);
	f = fopen(in_dir(to), "w");
	fwrite(a, 1, (size_t)(b - a), f);
	fputc('\n', f);
	fclose(f);
}

#define KEY_BEGIN "-----BEGIN PRIVATE KEY-----"
#define KEY_END "-----END PRIVATE KEY-----"
#define CERT_BEGIN "-----BEGIN CERTIFICATE-----"
#define CERT_END "-----END CERTIFICATE-----"

static void
file_write(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	fputs(text, f);
	fclose(f);
}

static void
test_key_beside(void **state)
{
	struct tls_certs *c;

	mkdir(in_dir("live"), 0700);
	make_file("both", "beside.example", NULL);
	copy_part("both", "live/beside.pem", CERT_BEGIN, CERT_END);
	copy_part("both", "live/beside.key", KEY_BEGIN, KEY_END);
	make_file("both", "certbot.example", NULL);
	copy_part("both", "live/fullchain.pem", CERT_BEGIN, CERT_END);
	copy_part("both", "live/privkey.pem", KEY_BEGIN, KEY_END);
	/* privkey.pem has no certificate, which is no fault. */
	c = load_one(in_dir("live/*.pem"), NULL);
	assert_non_null(c);
	assert_int_equal(c->count, 2);
	assert_true(covers(c, "beside.example"));
	assert_true(covers(c, "certbot.example"));
	tls_certs_unref(&c);
	unlink(in_dir("both"));
}

static bool
log_has(const char *text)
{
	static char log[65536];
	FILE *f = fopen(in_dir("log"), "r");
	size_t n = fread(log, 1, sizeof(log) - 1, f);

	fclose(f);
	log[n] = '\0';
	return strstr(log, text) != NULL;
}

static void
test_bad_file(void **state)
{
	struct tls_certs *c, *again;

	mkdir(in_dir("bad"), 0700);
	make_file("bad/a.pem", "a.example", NULL);
	make_file("bad/b.pem", "b.example", NULL);
	c = load_one(in_dir("bad/*.pem"), NULL);
	assert_int_equal(c->count, 2);

	/* One breaks: its names are still served with what was loaded. */
	file_write("bad/b.pem", "not a certificate\n");
	again = load_one(in_dir("bad/*.pem"), c);
	assert_true(covers(again, "b.example"));
	assert_true(log_has("b.pem is bad, so the one loaded before stays"));
	tls_certs_unref(&c);
	assert_true(covers(again, "b.example"));
	tls_certs_unref(&again);

	/* Without one before, it is left out. */
	c = load_one(in_dir("bad/*.pem"), NULL);
	assert_true(covers(c, "a.example"));
	assert_false(covers(c, "b.example"));
	assert_true(log_has("b.pem is left out"));
	tls_certs_unref(&c);

	assert_null(load_one(in_dir("bad/b.pem"), NULL));
	assert_null(load_one(in_dir("bad/missing.pem"), NULL));
	assert_null(load_one(in_dir("none/*.pem"), NULL));
}

static void
test_key_of_another(void **state)
{
	mkdir(in_dir("mixed"), 0700);
	make_file("both", "x.example", NULL);
	copy_part("both", "mixed/x.pem", CERT_BEGIN, CERT_END);
	unlink(in_dir("both"));
	make_file("both", "y.example", NULL);
	copy_part("both", "mixed/x.key", KEY_BEGIN, KEY_END);
	assert_null(load_one(in_dir("mixed/x.pem"), NULL));
	assert_true(log_has("the key is of another certificate"));
	unlink(in_dir("both"));
}

/* A reload: the connection under way stays, the next has the new one. */
static void
test_reload(void **state)
{
	struct tls_certs *before = tls_installed();
	struct end *e = end_new(NULL), *next;
	SSL *ssl = client_up(e, TLS1_3_VERSION, "one.example"), *next_ssl;
	struct end *half = end_new(NULL);
	SSL *half_ssl = client_new(half, TLS1_3_VERSION, "two.example");
	struct tls_certs *c = self_signed("new.crt", "new.example", NULL);

	tls_install(c);
	tls_certs_unref(&c);
	next = end_new(NULL);
	next_ssl = client_up(next, TLS1_3_VERSION, "one.example");
	assert_true(leaf_has_name(next_ssl, "new.example"));
	echo_check(ssl);
	/* This one had begun before, so it has the old set. */
	client_connect(half_ssl, half);
	assert_true(leaf_has_name(half_ssl, "two.example"));

	client_free(ssl);
	client_free(next_ssl);
	client_free(half_ssl);
	end_free(e);
	end_free(next);
	end_free(half);
	tls_install(before);
	tls_certs_unref(&before);
	unlink(in_dir("new.crt"));
}

/* A ticket of before a reload is still good after it. */
static void
test_ticket_after_reload(void **state)
{
	struct tls_certs *before = tls_installed(), *c;
	struct end *e = end_new(NULL);
	SSL *ssl = client_up(e, TLS1_3_VERSION, "one.example");

	client_free(ssl);
	end_free(e);
	c = load_one(in_dir("served/*.crt"), before);
	tls_install(c);
	tls_certs_unref(&c);
	e = resumed_up(TLS1_3_VERSION, "one.example", &ssl);
	assert_int_equal(SSL_session_reused(ssl), 1);
	client_free(ssl);
	end_free(e);
	tls_install(before);
	tls_certs_unref(&before);
}

static int
up(void **state)
{
	struct tls_certs *c;

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(log_open(in_dir("log"), LOG_TEXT), 0);
	mkdir(in_dir("served"), 0700);
	make_file("served/1.crt", "one.example", NULL);
	make_file("served/2.crt", "two.example", NULL);
	make_file("served/3.crt", "*.wild.example", NULL);
	make_file("served/4.crt", "exact.wild.example", NULL);
	c = load_one(in_dir("served/*.crt"), NULL);
	tls_install(c);
	tls_certs_unref(&c);

	client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(client_ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(client_ctx, on_session);
	loops_up(2);
	return 0;
}

static int
down(void **state)
{
	char command[PATH_MAX + 16];

	loops_down();
	SSL_SESSION_free(client_session);
	SSL_CTX_free(client_ctx);
	tls_install(NULL);
	log_open("stderr", LOG_TEXT);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

/* Names by RFC 6120, 13.7.1.2: DNS, SRV and of XMPP; the last label whole. */
static const struct {
	const char *names;
	const char *domain;
	bool is_for;
} certificate_names[] = {
	{ "DNS:b.test", "b.test", true },
	{ "DNS:B.Test", "b.test", true },
	{ "DNS:a.test,DNS:b.test", "b.test", true },
	{ "DNS:b.test", "x.b.test", false },
	{ "DNS:x.b.test", "b.test", false },
	{ "DNS:*.b.test", "x.b.test", true },
	{ "DNS:*.b.test", "b.test", false },
	{ "DNS:*.b.test", "y.x.b.test", false },
	{ "DNS:*.test", "b.test", false },
	{ "DNS:*", "test", false },
	{ "DNS:x*.b.test", "xy.b.test", false },
	{ "DNS:x.*.test", "x.b.test", false },
	{ "DNS:*.*.b.test", "x.y.b.test", false },
	{ "DNS:*.b.test", "*.b.test", false },
	{ "DNS:xn--bcher-kva.test",
	    "b\xc3\xbc"
	    "cher.test",
	    true },
	{ "otherName:1.3.6.1.5.5.7.8.5;UTF8:b.test", "b.test", true },
	{ "otherName:1.3.6.1.5.5.7.8.5;UTF8:*.b.test", "x.b.test", false },
	{ "otherName:1.3.6.1.5.5.7.8.5;IA5STRING:b.test", "b.test", false },
	{ "otherName:1.3.6.1.5.5.7.8.5;UTF8:user@b.test", "b.test", false },
	{ "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server.b.test", "b.test",
	    true },
	{ "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_XMPP-Server.b.test", "b.test",
	    true },
	{ "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-client.b.test", "b.test",
	    false },
	{ "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server", "b.test",
	    false },
	{ "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server.*.b.test",
	    "x.b.test", false },
	{ "otherName:1.2.3.4;UTF8:b.test", "b.test", false },
	{ "email:x@b.test", "b.test", false },
	{ "URI:xmpp:b.test", "b.test", false },
	{ "IP:127.0.0.1", "127.0.0.1", false },
};

static void
test_names(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(certificate_names); i++) {
		X509 *x = X509_new();
		/* The common name counts for nothing. */
		X509_NAME *name = X509_get_subject_name(x);
		X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL,
		    NID_subject_alt_name, certificate_names[i].names);

		assert_non_null(ext);
		assert_int_equal(
		    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			(const unsigned char *)"b.test", -1, -1, 0),
		    1);
		assert_int_equal(X509_add_ext(x, ext, -1), 1);
		if (tls_cert_is_for(x, str_c(certificate_names[i].domain)) !=
		    certificate_names[i].is_for)
			fail_msg("%s for %s", certificate_names[i].names,
			    certificate_names[i].domain);
		X509_EXTENSION_free(ext);
		X509_free(x);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_echo_moving),
		cmocka_unit_test(test_pause_when_secured),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_hello_size),
		cmocka_unit_test(test_hello_in_pieces),
		cmocka_unit_test(test_hello_refused),
		cmocka_unit_test(test_old_version),
		cmocka_unit_test(test_close_notify),
		cmocka_unit_test(test_idle_owns_nothing),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_bindings_need_ems),
		cmocka_unit_test(test_sni),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_cover),
		cmocka_unit_test(test_self_signed),
		cmocka_unit_test(test_key_beside),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_key_of_another),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_ticket_after_reload),
		cmocka_unit_test(test_early_data),
	};

	return cmocka_run_group_tests_name("tls", tests, up, down);
}
