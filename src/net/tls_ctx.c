/* SPDX-License-Identifier: MIT */
/*
 * How our TLS is: versions, ciphers, groups, tickets; and what a handshake
 * asks while it is under way (server name, ALPN).
 */
#include "base/clock.h"
#include "base/random.h"
#include "net/tls_impl.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>

#define CIPHERS_12 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/*
 * AES-128 first: its key schedule is of SHA-256, for which processors have
 * instructions, and so the handshake is cheaper, and the session smaller.
 */
#define CIPHERS_13 \
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:" \
	"TLS_CHACHA20_POLY1305_SHA256"
/* Not const only because of what OpenSSL's macro casts it to. */
static char groups[] = "X25519:P-256:P-384:P-521";

/* ALPN --------------------------------------------------------------------- */

#define PROTOCOLS_MAX 4

/* Ours in order of preference; the role's number is the index. */
static const char *const protocols[][PROTOCOLS_MAX] = {
	[TLS_C2S] = { "xmpp-client" },
	[TLS_S2S] = { "xmpp-server" },
	[TLS_HTTPS] = { "http/1.1" },
	[TLS_MUX] = { "xmpp-client", "http/1.1" },
};

const char *
tls_alpn_name(struct str protocol)
{
	for (size_t i = 0; i < TLS_MUX; i++)
		if (str_is(protocol, protocols[i][0]))
			return protocols[i][0];
	return NULL;
}

/* Is it in the client's list (each with its length before it)? */
static const unsigned char *
offered_find(const unsigned char *list, unsigned n, const char *protocol)
{
	struct str rest = str_mem(list, n);

	while (rest.n > 0) {
		size_t len = (unsigned char)rest.p[0];

		if (len >= rest.n)
			return NULL;
		if (str_is(str_sub(rest, 1, len), protocol))
			return (const unsigned char *)rest.p;
		rest = str_skip(rest, 1 + len);
	}
	return NULL;
}

unsigned
tls_alpn_offer(enum tls_role role, unsigned char wire_r[64])
{
	const char *const *ours = protocols[role];
	unsigned n = 0;

	for (int i = 0; i < PROTOCOLS_MAX && ours[i] != NULL; i++) {
		size_t len = strlen(ours[i]);

		wire_r[n] = (unsigned char)len;
		memcpy(wire_r + n + 1, ours[i], len);
		n += (unsigned)len + 1;
	}
	return n;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls_hello *h =
	    (const struct tls_hello *)SSL_get_app_data(ssl);
	const char *const *ours = protocols[h->role];

	for (int i = 0; i < PROTOCOLS_MAX && ours[i] != NULL; i++) {
		const unsigned char *p = offered_find(in, in_len, ours[i]);

		if (p == NULL)
			continue;
		*out_len = *p;
		*out = p + 1;
		/* Browsers would ask their users for one. */
		if (h->role == TLS_MUX && i == 0)
			tls_ask_client(ssl);
		return SSL_TLSEXT_ERR_OK;
	}
	/* After STARTTLS it is plain what is spoken. */
	return h->is_direct ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

/* The server name ---------------------------------------------------------- */

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_hello *h =
	    (const struct tls_hello *)SSL_get_app_data(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_cert *cert;

	if (name == NULL || h->certs == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	cert = tls_certs_find(h->certs, str_c(name));
	if (cert != NULL && cert->ctx != SSL_get_SSL_CTX(ssl))
		SSL_set_SSL_CTX(ssl, cert->ctx);
	return SSL_TLSEXT_ERR_OK;
}

/* Tickets ------------------------------------------------------------------ */

#define TICKET_MS HOURS(12)

struct ticket_key {
	unsigned char name[16];
	unsigned char cipher[32];
	unsigned char mac[32];
};

/*
 * The keys of the process: the present one, and the one before it, which
 * still opens tickets. They outlive reloads, and are forgotten in time.
 */
static struct {
	pthread_mutex_t lock;
	struct ticket_key keys[2];
	uint64_t made; /* 0: never */
} tickets = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
tickets_turn(void)
{
	uint64_t now = clock_mono();

	if (tickets.made != 0 && now - tickets.made < TICKET_MS)
		return;
	if (tickets.made == 0 || now - tickets.made >= 2 * TICKET_MS)
		random_bytes(&tickets.keys[1], sizeof(tickets.keys[1]));
	else
		tickets.keys[1] = tickets.keys[0];
	random_bytes(&tickets.keys[0], sizeof(tickets.keys[0]));
	tickets.made = MAX(now, 1u);
}

/* Copies the key of that name (NULL: the present one); -1 if there is none. */
static int
ticket_key_get(const unsigned char *name, struct ticket_key *key_r)
{
	int found = -1;

	pthread_mutex_lock(&tickets.lock);
	tickets_turn();
	for (int i = 0; i < 2 && found < 0; i++) {
		const struct ticket_key *k = &tickets.keys[i];

		if (name == NULL || memcmp(k->name, name, 16) == 0) {
			*key_r = *k;
			found = i;
		}
	}
	pthread_mutex_unlock(&tickets.lock);
	return found;
}

static int
ticket_mac_set(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(
		    OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_END,
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

/*
 * Who has shown a certificate shows it each time: a session that is resumed
 * would lack its chain.
 */
static bool
may_have_ticket(SSL *ssl)
{
	return SSL_get0_peer_certificate(ssl) == NULL;
}

/* OpenSSL: 1 fine, 2 fine but make a new ticket, 0 unknown, -1 failed. */
static int
on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_new)
{
	struct ticket_key key;
	int which = ticket_key_get(is_new ? NULL : name, &key), ret = -1;

	if (which < 0 || (is_new && !may_have_ticket(ssl)))
		return 0;
	if (is_new) {
		memcpy(name, key.name, 16);
		random_bytes(iv, EVP_MAX_IV_LENGTH);
	}
	if (EVP_CipherInit_ex(
		cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, is_new) == 1 &&
	    ticket_mac_set(mac, &key) == 1)
		ret = which == 0 ? 1 : 2;
	OPENSSL_cleanse(&key, sizeof(key));
	return ret;
}

/*
 * Whoever asks for the peer's certificate looks at it later, in peace: see
 * tls_verify.c.
 */
static int
on_certificate(X509_STORE_CTX *ctx, void *arg)
{
	return 1;
}

/* Contexts ----------------------------------------------------------------- */

SSL_CTX *
tls_ctx_new(void)
{
	static const unsigned char id[] = "rookery";
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	must(ctx != NULL);
	must(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	must(SSL_CTX_set_cipher_list(ctx, CIPHERS_12) == 1);
	must(SSL_CTX_set_ciphersuites(ctx, CIPHERS_13) == 1);
	must(SSL_CTX_set1_groups_list(ctx, groups) == 1);
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* The chain is as in the file; to look for one costs a verification. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS |
				  SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	/* One is made when the handshake is done: see conn_tls.c. */
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_certificate, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	return ctx;
}
