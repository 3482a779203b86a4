/* SPDX-License-Identifier: MIT */
/*
 * TLS on a connection. OpenSSL reads and writes through a BIO that has no
 * memory: it reads from the bytes just received, and appends to the
 * loop's one buffer of sealed records. So a connection owns no buffers, one
 * system call brings many records, and many leave with one.
 */
#include "base/err.h"
#include "net/conn_impl.h"
#include "net/tls_impl.h"

#include <stdio.h>

#include <openssl/err.h>

/* Plain bytes sealed before the kernel is asked to take them. */
#define SEAL_BATCH 65536
#define PIECES_MAX 64

struct conn_tls {
	struct tls_hello hello;
	SSL *ssl;	   /* NULL while the client's hello is not whole */
	struct buf kept;   /* received, not yet read by OpenSSL */
	struct buf unsent; /* sealed (or plain before TLS), to be sent first */
	bool is_secured;   /* the handshake is done */
	bool has_begun;	   /* as a client: our hello is on its way */
	bool has_ended;	   /* our close_notify is on its way */
	bool has_failed;   /* tell it, once it may be told */
	bool owes_ticket;  /* it leaves with the first bytes that we say */
	bool is_verified;  /* the client's certificate has been looked at */
	int client_err;	   /* what came of that */
	const char *client_why;
};

/* The BIO ------------------------------------------------------------------ */

/* What the BIO reads from and writes to, for the duration of a call. */
static _Thread_local struct {
	const char *p;
	size_t n;
	struct buf *sealed;
} now;

static int
wire_read(BIO *bio, char *p, size_t n, size_t *n_r)
{
	BIO_clear_retry_flags(bio);
	if (now.n == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	n = MIN(n, now.n);
	memcpy(p, now.p, n);
	now.p += n;
	now.n -= n;
	*n_r = n;
	return 1;
}

static int
wire_write(BIO *bio, const char *p, size_t n, size_t *n_r)
{
	BIO_clear_retry_flags(bio);
	buf_add(now.sealed, p, n);
	*n_r = n;
	return 1;
}

static long
wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_PUSH ||
		       cmd == BIO_CTRL_POP
		   ? 1
		   : 0;
}

static int
wire_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *wire_method;

static void
wire_method_init(void)
{
	BIO_METHOD *m =
	    BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");

	must(m != NULL);
	BIO_meth_set_read_ex(m, wire_read);
	BIO_meth_set_write_ex(m, wire_write);
	BIO_meth_set_ctrl(m, wire_ctrl);
	BIO_meth_set_create(m, wire_create);
	wire_method = m;
}

static void
ssl_set_bio(SSL *ssl)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, wire_method_init);
	bio = BIO_new(wire_method);
	must(bio != NULL);
	SSL_set_bio(ssl, bio, bio);
}

static SSL *
ssl_new(struct conn_tls *t, const struct tls_cert *cert)
{
	SSL *ssl = SSL_new(cert->ctx);

	must(ssl != NULL);
	SSL_set_app_data(ssl, (char *)&t->hello);
	ssl_set_bio(ssl);
	return ssl;
}

static void
now_set(struct conn *c, const char *p, size_t n)
{
	now.p = p;
	now.n = n;
	now.sealed = &c->loop->scratch->sealed;
}

/* Output ------------------------------------------------------------------- */

/* What the kernel does not take at once waits in the connection. */
static void
sealed_send(struct conn *c)
{
	struct conn_tls *t = c->tls;
	struct buf *sealed = &c->loop->scratch->sealed;
	ssize_t n = 0;

	if (sealed->n == 0)
		return;
	if (t->unsent.n == 0 &&
	    !(c->flags & (CONN_FULL | CONN_MOVING | CONN_DEAD)))
		n = conn_write(c, sealed->p, sealed->n);
	if (n >= 0)
		buf_add(&t->unsent, sealed->p + n, sealed->n - (size_t)n);
	buf_clear(sealed);
}

static void
unsent_send(struct conn *c)
{
	struct buf *unsent = &c->tls->unsent;
	ssize_t n;

	if (unsent->n == 0)
		return;
	n = conn_write(c, unsent->p, unsent->n);
	if (n == (ssize_t)unsent->n)
		buf_fini(unsent);
	else if (n > 0)
		buf_shift(unsent, (size_t)n);
}

/*
 * The next record's plain bytes: of the queue itself where they lie in one
 * piece, else joined in the loop's buffer.
 */
static struct str
record_plain(struct conn *c)
{
	struct iovec pieces[PIECES_MAX];
	int count = outq_pieces(&c->out, pieces, PIECES_MAX);
	char *join = c->loop->scratch->join;
	size_t n = 0;

	if (count == 1 || pieces[0].iov_len >= RECORD_MAX)
		return str_mem(
		    pieces[0].iov_base, MIN(pieces[0].iov_len, RECORD_MAX));
	for (int i = 0; i < count && n < RECORD_MAX; i++) {
		size_t part = MIN(pieces[i].iov_len, RECORD_MAX - n);

		memcpy(join + n, pieces[i].iov_base, part);
		n += part;
	}
	return str_mem(join, n);
}

/*
 * Having sent a ticket OpenSSL holds a buffer to read into, which only a look
 * for input has it give back.
 */
static void
ticket_sent(SSL *ssl)
{
	size_t n;
	char c;

	(void)SSL_peek_ex(ssl, &c, 1, &n);
}

/* Seals some of the queue into the loop's buffer. */
static void
queue_seal(struct conn *c)
{
	bool has_ticket = c->tls->owes_ticket;
	size_t total = 0;

	now_set(c, NULL, 0);
	if (has_ticket)
		SSL_new_session_ticket(c->tls->ssl);
	c->tls->owes_ticket = false;
	while (outq_size(&c->out) > 0 && total < SEAL_BATCH) {
		struct str plain = record_plain(c);
		size_t n;

		if (SSL_write_ex(c->tls->ssl, plain.p, plain.n, &n) != 1) {
			conn_fail(c, ERR_TLS);
			return;
		}
		outq_drop(&c->out, n);
		total += n;
	}
	if (has_ticket)
		ticket_sent(c->tls->ssl);
}

static bool handshake_step(struct conn *c);

/* The client speaks first. */
static void
client_begin(struct conn *c)
{
	c->tls->has_begun = true;
	now_set(c, NULL, 0);
	handshake_step(c);
	if (!(c->flags & CONN_DEAD))
		sealed_send(c);
}

void
conn_tls_flush(struct conn *c)
{
	struct conn_tls *t = c->tls;

	unsent_send(c);
	if (t->hello.is_client && !t->has_begun)
		client_begin(c);
	while (t->is_secured && !t->has_ended && outq_size(&c->out) > 0 &&
	       !(c->flags & (CONN_FULL | CONN_DEAD))) {
		queue_seal(c);
		sealed_send(c);
	}
}

size_t
conn_tls_queued(const struct conn *c)
{
	return c->tls->unsent.n;
}

void
conn_tls_end(struct conn *c)
{
	struct conn_tls *t = c->tls;

	if (!t->is_secured || t->has_ended)
		return;
	t->has_ended = true;
	now_set(c, NULL, 0);
	SSL_shutdown(t->ssl);
	sealed_send(c);
}

/* Input -------------------------------------------------------------------- */

static void
tls_failed(struct conn *c, const char *why)
{
	struct conn_tls *t = c->tls;
	char ip[ADDR_TEXT_MAX];

	addr_ip(&c->peer, ip);
	log_debug(
	    NULL, "TLS with %s failed: %s", ip, why != NULL ? why : "unknown");
	ERR_clear_error();
	t->has_failed = true;
	t->has_ended = true;
	sealed_send(c); /* the alert */
	if (!(c->flags & CONN_MOVING))
		conn_fail(c, ERR_TLS);
}

/*
 * What a call's answer means. The usual one is found out without OpenSSL's
 * queue of errors, which is slow to ask.
 */
static int
ssl_error(SSL *ssl, int ret)
{
	if (SSL_want_read(ssl) && BIO_should_read(SSL_get_rbio(ssl)))
		return SSL_ERROR_WANT_READ;
	return SSL_get_error(ssl, ret);
}

static void
tls_stopped(struct conn *c, int err)
{
	switch (err) {
	case SSL_ERROR_NONE:
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		break;
	case SSL_ERROR_ZERO_RETURN:
		conn_eof(c);
		break;
	default:
		tls_failed(c, ERR_reason_error_string(ERR_peek_last_error()));
	}
}

/* In TLS 1.3 it is made when it is known whether a certificate was shown. */
static bool
owes_ticket(const struct conn_tls *t)
{
	const struct tls_hello *h = &t->hello;

	return !h->is_client && h->role != TLS_S2S &&
	       SSL_version(t->ssl) >= TLS1_3_VERSION &&
	       SSL_get0_peer_certificate(t->ssl) == NULL;
}

/* Answers false when it is not done, or nothing may be delivered now. */
static bool
handshake_step(struct conn *c)
{
	struct conn_tls *t = c->tls;
	int ret;

	ERR_clear_error();
	ret = SSL_do_handshake(t->ssl);
	if (ret != 1) {
		tls_stopped(c, ssl_error(t->ssl, ret));
		return false;
	}
	t->is_secured = true;
	tls_certs_unref(&t->hello.certs);
	t->owes_ticket = owes_ticket(t);
	sealed_send(c);
	conn_touched(c);
	if (!(c->flags & CONN_DEAF) && c->events->secured != NULL)
		c->events->secured(c->ctx);
	return !(c->flags & CONN_DEAF);
}

/* Is there something that OpenSSL has not read, or not handed out? */
static bool
has_more(SSL *ssl)
{
	return now.n > 0 || SSL_pending(ssl) > 0;
}

/* Reads what it can in one buffer; answers as SSL_get_error(). */
static int
plain_fill(SSL *ssl, char *plain, size_t *n_r)
{
	size_t n = 0, part;
	int ret = 1;

	while (ret == 1 && has_more(ssl) && n + RECORD_MAX <= SCRATCH_PLAIN) {
		ret = SSL_read_ex(ssl, plain + n, SCRATCH_PLAIN - n, &part);
		if (ret == 1)
			n += part;
	}
	*n_r = n;
	return ret == 1 ? SSL_ERROR_NONE : ssl_error(ssl, ret);
}

/* All that can be read, in as few calls as the loop's buffer allows. */
static void
plain_read(struct conn *c)
{
	SSL *ssl = c->tls->ssl;
	char *plain = c->loop->scratch->plain;
	int err = SSL_ERROR_NONE;
	size_t n;

	while (
	    err == SSL_ERROR_NONE && has_more(ssl) && !(c->flags & CONN_DEAF)) {
		err = plain_fill(ssl, plain, &n);
		if (n > 0)
			c->events->data(c->ctx, plain, n);
		if (!(c->flags & CONN_DEAD))
			tls_stopped(c, err);
	}
}

/* Its state, for a server. */
static void
server_begin(struct conn_tls *t)
{
	t->ssl = ssl_new(t, t->hello.certs->certs[0]);
	SSL_set_accept_state(t->ssl);
	if (t->hello.role == TLS_C2S)
		tls_ask_client(t->ssl);
	if (t->hello.role != TLS_S2S)
		return;
	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
}

/* As it would have said itself. */
static void
hello_refuse(struct conn *c)
{
	static const char decode_error[] = { 21, 3, 3, 0, 2, 2, 50 };

	buf_add(&c->loop->scratch->sealed, decode_error, sizeof(decode_error));
	tls_failed(c, "no hello, or too big");
}

/* Has its address begun too many of late? Then it waits. */
static bool
may_begin(struct conn *c)
{
	uint64_t ms = tls_wait_ms(&c->peer);

	if (ms > 0)
		conn_slow(c, ms);
	return ms == 0;
}

/*
 * Answers whether there is a whole hello, and so something to read it. Before
 * that a client is worth what it has sent, and no byte more.
 */
static bool
hello_take(struct conn *c, const char *p, size_t n)
{
	struct conn_tls *t = c->tls;
	int size = tls_hello_size(str_mem(p, n));

	if (size < 0) {
		hello_refuse(c);
	} else if (size > 0 && may_begin(c)) {
		server_begin(t);
		return true;
	} else {
		t->kept =
		    (struct buf){ (char *)memcpy(xmalloc(n), p, n), n, n };
	}
	return false;
}

void
conn_tls_input(struct conn *c, const char *p, size_t n)
{
	struct conn_tls *t = c->tls;

	if (t->has_failed)
		return;
	if (t->kept.n > 0) {
		buf_add(&t->kept, p, n);
		conn_tls_go_on(c);
		return;
	}
	if (t->ssl == NULL && !hello_take(c, p, n))
		return;
	now_set(c, p, n);
	if (t->is_secured || handshake_step(c))
		plain_read(c);
	if (c->flags & CONN_DEAD)
		return;
	if (now.n > 0)
		buf_add(&t->kept, now.p, now.n);
	sealed_send(c);
}

bool
conn_tls_has_kept(const struct conn *c)
{
	return c->tls->kept.n > 0 || c->tls->has_failed;
}

void
conn_tls_go_on(struct conn *c)
{
	struct conn_tls *t = c->tls;
	struct buf kept = t->kept;

	if (t->has_failed) {
		conn_fail(c, ERR_TLS);
		return;
	}
	if (kept.n == 0 || (c->flags & CONN_HELD))
		return;
	t->kept = (struct buf){ 0 };
	conn_tls_input(c, kept.p, kept.n);
	buf_fini(&kept);
}

/* Life --------------------------------------------------------------------- */

/* What is queued is still plain: it goes before all that TLS sends. */
static void
queue_to_unsent(struct conn *c)
{
	struct iovec pieces[PIECES_MAX];

	while (outq_size(&c->out) > 0) {
		int count = outq_pieces(&c->out, pieces, PIECES_MAX);
		size_t n = 0;

		for (int i = 0; i < count; i++) {
			buf_add(&c->tls->unsent, pieces[i].iov_base,
			    pieces[i].iov_len);
			n += pieces[i].iov_len;
		}
		outq_drop(&c->out, n);
	}
}

static void
tls_begin(struct conn *c, struct conn_tls *t)
{
	c->tls = t;
	queue_to_unsent(c);
	conn_touched(c);
}

void
conn_tls_start(struct conn *c, enum tls_role role, bool is_direct)
{
	struct tls_certs *certs = tls_installed();
	struct conn_tls *t;

	if (certs == NULL) {
		conn_fail(c, ERR_TLS);
		return;
	}
	t = (struct conn_tls *)xzalloc(sizeof(*t));
	t->hello = (struct tls_hello){
		.certs = certs, .role = role, .is_direct = is_direct
	};
	tls_begin(c, t);
}

void
conn_start_tls_client(struct conn *c, const char *server, struct str own,
    enum tls_role role, bool is_direct)
{
	struct tls_certs *certs = tls_installed();
	const struct tls_cert *cert;
	unsigned char alpn[64];
	struct conn_tls *t;

	must(!(c->flags & CONN_MOVING) && c->tls == NULL);
	if (certs == NULL || (c->flags & (CONN_CLOSING | CONN_DEAD))) {
		tls_certs_unref(&certs);
		conn_fail(c, ERR_TLS);
		return;
	}
	cert = tls_certs_find(certs, own);
	t = (struct conn_tls *)xzalloc(sizeof(*t));
	t->hello = (struct tls_hello){ .certs = certs,
		.role = role,
		.is_direct = is_direct,
		.is_client = true };
	t->ssl = ssl_new(t, cert != NULL ? cert : certs->certs[0]);
	tls_begin(c, t);
	SSL_set_connect_state(t->ssl);
	/* The macro casts the const away; the name is copied. */
	SSL_set_tlsext_host_name(t->ssl, (char *)(uintptr_t)server);
	if (is_direct)
		SSL_set_alpn_protos(t->ssl, alpn, tls_alpn_offer(role, alpn));
}

void
conn_tls_free(struct conn *c)
{
	struct conn_tls *t = c->tls;

	if (t == NULL)
		return;
	tls_certs_unref(&t->hello.certs);
	SSL_free(t->ssl);
	buf_fini(&t->kept);
	buf_fini(&t->unsent);
	xfree(t);
	c->tls = NULL;
}

/* What is known of it ------------------------------------------------------ */

bool
conn_is_tls(const struct conn *c)
{
	return c->tls != NULL && c->tls->is_secured;
}

const char *
conn_tls_version(const struct conn *c)
{
	return conn_is_tls(c) ? SSL_get_version(c->tls->ssl) : NULL;
}

const char *
conn_tls_cipher(const struct conn *c)
{
	return conn_is_tls(c) ? SSL_get_cipher_name(c->tls->ssl) : NULL;
}

const char *
conn_tls_sni(const struct conn *c)
{
	if (!conn_is_tls(c))
		return NULL;
	return SSL_get_servername(c->tls->ssl, TLSEXT_NAMETYPE_host_name);
}

const char *
conn_tls_alpn(const struct conn *c)
{
	const unsigned char *p;
	unsigned n;

	if (!conn_is_tls(c))
		return NULL;
	SSL_get0_alpn_selected(c->tls->ssl, &p, &n);
	return tls_alpn_name(str_mem(p, n));
}

void
conn_tls_describe_peer(const struct conn *c, char *text_r, size_t size)
{
	X509 *leaf =
	    conn_is_tls(c) ? SSL_get1_peer_certificate(c->tls->ssl) : NULL;

	snprintf(text_r, size, "none");
	if (leaf != NULL)
		tls_cert_describe(leaf, text_r, size);
	X509_free(leaf);
}

int
conn_tls_verify(const struct conn *c, struct str domain, const char **why_r)
{
	SSL *ssl;
	X509 *leaf;
	int err;

	if (!conn_is_tls(c))
		return ERR_ABSENT;
	ssl = c->tls->ssl;
	leaf = SSL_get1_peer_certificate(ssl);
	if (leaf == NULL)
		return ERR_ABSENT;
	err = tls_verify(leaf, SSL_get_peer_cert_chain(ssl), domain,
	    c->tls->hello.is_client, why_r);
	X509_free(leaf);
	return err;
}

/* It costs a chain of signatures, so it is found out once. */
static int
client_verify(struct conn_tls *t, X509 *leaf)
{
	if (!t->is_verified) {
		t->is_verified = true;
		t->client_err = tls_verify_client(
		    leaf, SSL_get_peer_cert_chain(t->ssl), &t->client_why);
	}
	return t->client_err;
}

int
conn_tls_client(const struct conn *c, struct arena *a, struct str *addrs_r,
    size_t max, const char **why_r)
{
	X509 *leaf;
	int ret;

	if (!conn_is_tls(c) || c->tls->hello.role == TLS_S2S)
		return ERR_ABSENT;
	leaf = SSL_get0_peer_certificate(c->tls->ssl);
	if (leaf == NULL)
		return ERR_ABSENT;
	ret = client_verify(c->tls, leaf);
	if (ret < 0)
		*why_r = c->tls->client_why;
	else
		ret = (int)tls_cert_addrs(leaf, a, addrs_r, max);
	return ret;
}

/* Channel bindings --------------------------------------------------------- */

static int
binding_exporter(SSL *ssl, struct arena *a, struct str *bytes_r)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char *p;

	/* Without EMS another connection could have the same keys. */
	if (SSL_version(ssl) < TLS1_3_VERSION &&
	    SSL_get_extms_support(ssl) != 1)
		return ERR_ABSENT;
	if (bytes_r == NULL)
		return 0;
	p = (unsigned char *)arena_bytes(a, 32);
	/* The context is there, and empty: not the same in TLS 1.2 as none. */
	if (SSL_export_keying_material(ssl, p, 32, label, strlen(label),
		(const unsigned char *)"", 0, 1) != 1)
		return ERR_TLS;
	*bytes_r = str_mem(p, 32);
	return 0;
}

static int
binding_end_point(SSL *ssl, struct arena *a, struct str *bytes_r)
{
	X509 *leaf = SSL_get_certificate(ssl);
	const EVP_MD *md = NULL;
	int nid = NID_undef;
	unsigned n = EVP_MAX_MD_SIZE;
	unsigned char *p;

	if (leaf == NULL ||
	    X509_get_signature_info(leaf, &nid, NULL, NULL, NULL) != 1)
		return ERR_ABSENT;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	if (nid != NID_undef)
		md = EVP_get_digestbynid(nid);
	if (md == NULL)
		return ERR_ABSENT;
	if (bytes_r == NULL)
		return 0;
	p = (unsigned char *)arena_bytes(a, n);
	if (X509_digest(leaf, md, p, &n) != 1)
		return ERR_TLS;
	*bytes_r = str_mem(p, n);
	return 0;
}

/* The first Finished: the client's, but of a resumed session ours. */
static int
binding_unique(SSL *ssl, struct arena *a, struct str *bytes_r)
{
	char text[EVP_MAX_MD_SIZE];
	size_t n;

	/* In TLS 1.3 keys always depend on the whole handshake. */
	if (SSL_version(ssl) < TLS1_3_VERSION &&
	    SSL_get_extms_support(ssl) != 1)
		return ERR_ABSENT;
	if (SSL_session_reused(ssl))
		n = SSL_get_finished(ssl, text, sizeof(text));
	else
		n = SSL_get_peer_finished(ssl, text, sizeof(text));
	if (n == 0)
		return ERR_ABSENT;
	if (bytes_r != NULL)
		*bytes_r = str_dup(a, str_mem(text, n));
	return 0;
}

int
conn_tls_binding(const struct conn *c, enum tls_binding kind, struct arena *a,
    struct str *bytes_r)
{
	if (!conn_is_tls(c))
		return ERR_ABSENT;
	switch (kind) {
	case TLS_EXPORTER:
		return binding_exporter(c->tls->ssl, a, bytes_r);
	case TLS_SERVER_END_POINT:
		return binding_end_point(c->tls->ssl, a, bytes_r);
	case TLS_UNIQUE:
		return binding_unique(c->tls->ssl, a, bytes_r);
	}
	return ERR_ABSENT;
}
