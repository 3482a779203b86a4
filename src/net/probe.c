/* SPDX-License-Identifier: MIT */
/* Connections on a thread that may wait, to see whether one can be had. */
#include "net/probe.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "net/tls_impl.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <unistd.h>

/* An answer is looked at so far. */
#define ANSWER_MAX 65536
#define STUN_HEAD 20
#define STUN_COOKIE "\x21\x12\xa4\x42"

struct probe_conn {
	int fd;
	SSL *ssl; /* NULL: without TLS */
};

static int
wait_fd(int fd, short events, uint64_t until)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = clock_mono();
	int n;

	if (now >= until)
		return ERR_TIMEOUT;
	do
		n = poll(&p, 1, (int)MIN(until - now, MINUTES(1)));
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : ERR_TIMEOUT;
}

/* Dialling -----------------------------------------------------------------*/

static int
dial(int fd, const struct addr *addr, uint64_t until)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (connect(fd, &addr->ss.sa, addr->len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	if (wait_fd(fd, POLLOUT, until) < 0)
		return ERR_TIMEOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

struct probe_conn *
probe_dial(const struct addr *addr, uint64_t until, int *err_r)
{
	struct probe_conn *c;
	int fd = socket(addr->ss.sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*err_r = fd < 0 ? -errno : dial(fd, addr, until);
	if (*err_r < 0) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	c = (struct probe_conn *)xzalloc(sizeof(*c));
	c->fd = fd;
	return c;
}

void
probe_close(struct probe_conn **c)
{
	struct probe_conn *gone = *c;

	*c = NULL;
	if (gone == NULL)
		return;
	SSL_free(gone->ssl);
	close(gone->fd);
	xfree(gone);
}

/* TLS ----------------------------------------------------------------------*/

/* After what OpenSSL has answered: 0 to try again. */
static int
ssl_wait(struct probe_conn *c, int ret, uint64_t until)
{
	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return wait_fd(c->fd, POLLIN, until);
	case SSL_ERROR_WANT_WRITE:
		return wait_fd(c->fd, POLLOUT, until);
	case SSL_ERROR_ZERO_RETURN:
		return ERR_CLOSED;
	default:
		return ERR_TLS;
	}
}

static void
offer_alpn(SSL *ssl, const char *alpn)
{
	unsigned char wire[64];
	size_t n = strlen(alpn);

	wire[0] = (unsigned char)n;
	memcpy(wire + 1, alpn, n);
	must(SSL_set_alpn_protos(ssl, wire, (unsigned)n + 1) == 0);
}

static int
shake_hands(struct probe_conn *c, uint64_t until)
{
	int ret, err = 0;

	ERR_clear_error();
	while (err == 0 && (ret = SSL_connect(c->ssl)) != 1)
		err = ssl_wait(c, ret, until);
	return err;
}

/* Is what they have shown a certificate for the domain? NULL: it is. */
static const char *
verify(const SSL *ssl, struct str domain)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	const char *why = "no certificate";

	if (leaf != NULL && tls_verify(leaf, SSL_get_peer_cert_chain(ssl),
				domain, true, &why) == 0)
		return NULL;
	return why;
}

int
probe_tls(struct probe_conn *c, const char *server, struct str domain,
    const char *alpn, uint64_t until, const char **why_r)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int err;

	must(ctx != NULL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	c->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	must(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
	(void)SSL_set_tlsext_host_name(c->ssl, (char *)(uintptr_t)server);
	if (alpn != NULL)
		offer_alpn(c->ssl, alpn);
	err = shake_hands(c, until);
	*why_r = err < 0 ? "the TLS handshake fails" : verify(c->ssl, domain);
	ERR_clear_error();
	return err < 0 ? ERR_TLS : 0;
}

/* Talking ------------------------------------------------------------------*/

static int
send_all(struct probe_conn *c, struct str bytes, uint64_t until)
{
	int err = 0;

	while (bytes.n > 0 && err == 0) {
		ssize_t n;

		if (c->ssl != NULL)
			n = SSL_write(c->ssl, bytes.p, (int)bytes.n);
		else
			n = send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n > 0)
			bytes = str_skip(bytes, (size_t)n);
		else if (c->ssl != NULL)
			err = ssl_wait(c, (int)n, until);
		else if (errno == EAGAIN)
			err = wait_fd(c->fd, POLLOUT, until);
		else
			err = -errno;
	}
	return err;
}

/* Bytes, 0 after having waited, or an error. */
static ssize_t
read_some(struct probe_conn *c, char *p, size_t n, uint64_t until)
{
	ssize_t got;

	if (c->ssl != NULL) {
		got = SSL_read(c->ssl, p, (int)n);
		return got > 0 ? got : ssl_wait(c, (int)got, until);
	}
	got = recv(c->fd, p, n, 0);
	if (got > 0)
		return got;
	if (got == 0)
		return ERR_CLOSED;
	return errno == EAGAIN ? wait_fd(c->fd, POLLIN, until) : -errno;
}

int
probe_ask(
    struct probe_conn *c, struct str bytes, const char *text, uint64_t until)
{
	char *got = (char *)xmalloc(ANSWER_MAX);
	size_t have = 0;
	int err = send_all(c, bytes, until);

	while (err == 0) {
		ssize_t n = read_some(c, got + have, ANSWER_MAX - have, until);

		if (n < 0) {
			err = (int)n;
			break;
		}
		have += (size_t)n;
		if (memmem(got, have, text, strlen(text)) != NULL)
			break;
		if (have == ANSWER_MAX || clock_mono() >= until)
			err = ERR_ABSENT;
	}
	xfree(got);
	return err;
}

/* STUN ---------------------------------------------------------------------*/

static bool
is_stun_answer(const uint8_t *ask, const uint8_t *got, ssize_t n)
{
	/* A success response of the same transaction. */
	return n >= STUN_HEAD && got[0] == 1 && got[1] == 1 &&
	       memcmp(ask + 4, got + 4, STUN_HEAD - 4) == 0;
}

static int
stun_exchange(int fd, uint64_t until)
{
	uint8_t ask[STUN_HEAD] = { 0, 1 }, got[600];

	memcpy(ask + 4, STUN_COOKIE, 4);
	random_bytes(ask + 8, 12);
	for (int tries = 0; tries < 3; tries++) {
		uint64_t next = clock_mono() + 500 * ((uint64_t)tries + 1);

		if (send(fd, ask, sizeof(ask), 0) < 0)
			return -errno;
		while (wait_fd(fd, POLLIN, MIN(next, until)) == 0) {
			ssize_t n = recv(fd, got, sizeof(got), 0);

			if (is_stun_answer(ask, got, n))
				return 0;
			if (n < 0 && errno != EAGAIN)
				return -errno;
		}
	}
	return ERR_TIMEOUT;
}

int
probe_stun(const struct addr *addr, uint64_t until)
{
	int fd = socket(addr->ss.sa.sa_family,
	    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = connect(fd, &addr->ss.sa, addr->len) < 0
		  ? -errno
		  : stun_exchange(fd, until);
	close(fd);
	return err;
}
