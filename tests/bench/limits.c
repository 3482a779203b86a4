/* SPDX-License-Identifier: MIT */
#include "limits.h"

#include "base/str.h"

#include <expat.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* To try whether it works, not to measure. */
static bool is_short;

double
limits_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void
limits_say(const char *what, double value, const char *unit)
{
	printf("{\"server\":\"limits\",\"mode\":\"limit\",\"what\":\"%s\","
	       "\"value\":%.4g,\"unit\":\"%s\"}\n",
	    what, value, unit);
	fflush(stdout);
}

/* ---- TLS */

/* A context of a server, with a certificate of P-256, or of a client. */
static SSL_CTX *
context_new(bool is_server)
{
	SSL_CTX *c =
	    SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
	EVP_PKEY *key;
	X509 *cert;
	X509_NAME *name;

	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
	if (!is_server)
		return c;
	key = EVP_EC_gen("P-256");
	cert = X509_new();
	name = X509_get_subject_name(cert);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	must(X509_sign(cert, key, EVP_sha256()) != 0);
	must(SSL_CTX_use_certificate(c, cert) == 1);
	must(SSL_CTX_use_PrivateKey(c, key) == 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return c;
}

/* Both ends, over memory. */
static void
pair_new(SSL_CTX *server, SSL_CTX *client, SSL **s_r, SSL **c_r)
{
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());

	*s_r = SSL_new(server);
	*c_r = SSL_new(client);
	BIO_up_ref(up);
	BIO_up_ref(down);
	SSL_set_bio(*s_r, up, down);
	SSL_set_bio(*c_r, down, up);
	SSL_set_accept_state(*s_r);
	SSL_set_connect_state(*c_r);
}

/* CPU seconds of the server's side. */
static double
handshake(SSL *server, SSL *client)
{
	bool is_client_done = false, is_server_done = false;
	double spent = 0, from;

	for (int i = 0; i < 20 && !(is_client_done && is_server_done); i++) {
		is_client_done =
		    is_client_done || SSL_do_handshake(client) == 1;
		from = limits_cpu();
		is_server_done =
		    is_server_done || SSL_do_handshake(server) == 1;
		spent += limits_cpu() - from;
	}
	must(is_client_done && is_server_done);
	return spent;
}

static void
limits_handshake(void)
{
	SSL_CTX *server = context_new(true), *client = context_new(false);
	const int n = is_short ? 100 : 1000;
	double spent = 0, from;

	for (int i = 0; i < n; i++) {
		SSL *s, *c;

		pair_new(server, client, &s, &c);
		spent += handshake(s, c);
		SSL_free(c);
		from = limits_cpu();
		SSL_free(s);
		spent += limits_cpu() - from;
	}
	limits_say(
	    "TLS 1.3 handshake, P-256, server's side", spent / n * 1e6, "us");
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
limits_records(void)
{
	enum { SIZE = 300, BATCH = 500, ROUNDS = 200 };
	SSL_CTX *server = context_new(true), *client = context_new(false);
	static char text[16384];
	double in = 0, out = 0, from;
	SSL *s, *c;

	pair_new(server, client, &s, &c);
	handshake(s, c);
	for (int i = 0; i < ROUNDS; i++) {
		for (int j = 0; j < BATCH; j++)
			must(SSL_write(c, text, SIZE) == SIZE);
		from = limits_cpu();
		for (int j = 0; j < BATCH; j++)
			must(SSL_read(s, text, sizeof(text)) == SIZE);
		in += limits_cpu() - from;
		from = limits_cpu();
		for (int j = 0; j < BATCH; j++)
			must(SSL_write(s, text, SIZE) == SIZE);
		out += limits_cpu() - from;
		for (int j = 0; j < BATCH; j++)
			must(SSL_read(c, text, sizeof(text)) == SIZE);
	}
	limits_say("TLS record of 300 bytes, read and written",
	    (in + out) / (ROUNDS * BATCH) * 1e6, "us");
	SSL_free(s);
	SSL_free(c);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
limits_idle_tls(void)
{
	enum { N = 1000 };
	SSL_CTX *server = context_new(true), *client = context_new(false);
	static SSL *kept[N];
	size_t before = 0, after;

	for (int i = 0; i < N; i++) {
		int fds[2];
		SSL *c = SSL_new(client);

		/* The first ones load what all share. */
		if (i == 50)
			before = mallinfo2().uordblks;
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) ==
		     0);
		kept[i] = SSL_new(server);
		SSL_set_fd(kept[i], fds[0]);
		SSL_set_fd(c, fds[1]);
		SSL_set_accept_state(kept[i]);
		SSL_set_connect_state(c);
		handshake(kept[i], c);
		SSL_free(c);
		close(fds[1]);
	}
	after = mallinfo2().uordblks;
	limits_say("idle SSL object of a server",
	    (double)(after - before) / (N - 50), "B");
	for (int i = 0; i < N; i++) {
		close(SSL_get_fd(kept[i]));
		SSL_free(kept[i]);
	}
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

/* ---- XML */

static unsigned long seen;

static void
on_start(void *ctx, const XML_Char *name, const XML_Char **attrs)
{
	seen++;
}

static void
on_end(void *ctx, const XML_Char *name)
{
	seen++;
}

static void
on_text(void *ctx, const XML_Char *text, int n)
{
	seen += (unsigned long)n;
}

static void
limits_parse(void)
{
	static const char open[] =
	    "<stream:stream xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
	static const char message[] =
	    "<message to='juliet@example.org/balcony' type='chat' "
	    "id='c0000012345678-00ab'><body>Wherefore art thou, and what "
	    "light through yonder window breaks? It is the east, &amp; more."
	    "</body><request xmlns='urn:xmpp:receipts'/><active "
	    "xmlns='http://jabber.org/protocol/chatstates'/></message>";
	const int n = 200000;
	XML_Parser p = XML_ParserCreateNS(NULL, ' ');
	double from;

	XML_SetElementHandler(p, on_start, on_end);
	XML_SetCharacterDataHandler(p, on_text);
	XML_Parse(p, open, (int)sizeof(open) - 1, 0);
	from = limits_cpu();
	for (int i = 0; i < n; i++)
		must(XML_Parse(p, message, (int)sizeof(message) - 1, 0) ==
		     XML_STATUS_OK);
	limits_say("expat, a message of 280 bytes",
	    (limits_cpu() - from) / n * 1e6, "us");
	XML_ParserFree(p);
}

static void
limits_relays(void)
{
	double seconds = is_short ? 0.3 : 3;

	limits_relay(50, 1, seconds);
	limits_relay(500, 1, seconds);
	/* What is beyond the caches costs the kernel, too. */
	if (!is_short)
		limits_relay(9000, 1, 5);
	limits_relay(500, 4, seconds);
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "relay", limits_relays },
	{ "handshake", limits_handshake },
	{ "records", limits_records },
	{ "idle", limits_idle_tls },
	{ "parse", limits_parse },
};

int
main(int argc, char **argv)
{
	struct rlimit limit;
	bool was_known;

	if (argc > 1 && strcmp(argv[1], "short") == 0) {
		is_short = true;
		argc--;
		argv++;
	}
	was_known = argc < 2;
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (argc < 2 || strcmp(argv[1], parts[i].name) == 0) {
			parts[i].run();
			was_known = true;
		}
	}
	if (was_known)
		return 0;
	fputs("usage: limits [short] [", stderr);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		fprintf(stderr, "%s%s", i > 0 ? "|" : "", parts[i].name);
	fputs("]\n", stderr);
	return 2;
}
