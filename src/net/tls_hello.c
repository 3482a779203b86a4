/* SPDX-License-Identifier: MIT */
/*
 * Where a ClientHello ends. OpenSSL takes some 45 KiB for a handshake as soon
 * as it has seen the first byte, and whoever never goes on would have them for
 * nothing: so bytes wait, as they are, until the hello is whole.
 */
#include "base/err.h"
#include "net/tls_impl.h"

#define RECORD_HEAD 5
#define MESSAGE_HEAD 4
#define HANDSHAKE 22
#define CLIENT_HELLO 1

/* The length of a record of the handshake; 0 when its head is not there yet. */
static int
record_size(struct str bytes)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	int n;

	if ((bytes.n > 0 && p[0] != HANDSHAKE) || (bytes.n > 1 && p[1] != 3))
		return ERR_INVALID;
	if (bytes.n < RECORD_HEAD)
		return 0;
	n = p[3] << 8 | p[4];
	return n > 0 ? RECORD_HEAD + n : ERR_INVALID;
}

/* The length of a message by its head, or the least that it can be. */
static int
message_size(const unsigned char *head, size_t had)
{
	if (had > 0 && head[0] != CLIENT_HELLO)
		return ERR_INVALID;
	if (had < MESSAGE_HEAD)
		return MESSAGE_HEAD;
	return MESSAGE_HEAD + (head[1] << 16 | head[2] << 8 | head[3]);
}

int
tls_hello_size(struct str bytes)
{
	unsigned char head[MESSAGE_HEAD];
	size_t at = 0, had = 0;
	int need = MESSAGE_HEAD;

	/* It may come in as many records as the client likes. */
	while (had < (size_t)need) {
		struct str rest = str_skip(bytes, at);
		int n = record_size(rest);

		if (n <= 0)
			return n;
		if (at + (size_t)n > TLS_HELLO_MAX)
			return ERR_INVALID;
		for (size_t i = RECORD_HEAD; i < MIN((size_t)n, rest.n); i++) {
			if (had < MESSAGE_HEAD)
				head[had] = (unsigned char)rest.p[i];
			had++;
		}
		need = message_size(head, had);
		if (need < 0 || need > TLS_HELLO_MAX)
			return ERR_INVALID;
		if (rest.n < (size_t)n)
			return 0;
		at += (size_t)n;
	}
	return (int)at;
}
