/* SPDX-License-Identifier: MIT */
/*
 * SCRAM (RFC 5802, 7677): the cryptography and the messages, without any
 * state of an exchange and without input or output.
 */
#ifndef CORE_SCRAM_H
#define CORE_SCRAM_H

#include "base/arena.h"
#include "store/store.h"

#define SCRAM_DIGEST_MAX 64
#define SCRAM_BLOCK_MAX 128 /* of input, that a digest takes at a time */
#define SCRAM_SALT_LEN 16
#define SCRAM_ITERATIONS_MAX 1000000

struct scram_hash {
	const char *mechanism; /* "SCRAM-SHA-256" */
	const char *digest;    /* OpenSSL's name for it */
	size_t size;	       /* of its output */
};

/* All that we know, weakest first; ended by a NULL mechanism. */
extern const struct scram_hash scram_hashes[];
/* Has the row keys for it? NULL if not. */
const struct scram_keys *scram_keys_find(
    const struct account_row *row, const struct scram_hash *h);
/* As one bit of a set. */
static inline unsigned
scram_bit(const struct scram_hash *h)
{
	return 1u << (h - scram_hashes);
}
/* By mechanism name, with or without -PLUS; NULL if it is none. */
const struct scram_hash *scram_hash_find(struct str mechanism);

/*
 * The keys for a password that has been prepared already. Slow on purpose:
 * PBKDF2 with so many iterations. Results live in `a`.
 */
void scram_keys_make(struct arena *a, const struct scram_hash *h,
    struct str password, struct str salt, uint32_t iterations,
    struct scram_keys *keys_r);

/*
 * Mechanism and keys of a SaltedPassword of h->size bytes; salt and iterations
 * are the caller's to set.
 */
void scram_keys_of(struct arena *a, const struct scram_hash *h,
    struct str salted, struct scram_keys *keys_r);

/*
 * Of a first message, which is kept until the client goes on. There is room for
 * the longest name, and the longest address beside it.
 */
#define SCRAM_FIRST_MAX 4096

/* client-first-message, taken apart; views of the message or in `a`. */
struct scram_first {
	char binding;		 /* 'n', 'y' or 'p' */
	struct str binding_type; /* with 'p' */
	struct str authzid;	 /* none if absent */
	struct str user;
	struct str nonce;
	struct str gs2_header; /* with its last comma */
	struct str bare;       /* client-first-message-bare */
};

/* ERR_INVALID when it is not one. */
int scram_parse_first(
    struct arena *a, struct str message, struct scram_first *first_r);

struct scram_final {
	struct str binding; /* bytes of c= */
	struct str nonce;
	struct str proof;	  /* bytes of p= */
	struct str without_proof; /* client-final-message-without-proof */
};

/* The same for client-final-message. */
int scram_parse_final(
    struct arena *a, struct str message, struct scram_final *final_r);

/*
 * Checks the client's proof over an auth message. In constant time for
 * given lengths. On success *signature_r is what v= shows.
 */
bool scram_verify(struct arena *a, const struct scram_hash *h,
    const struct scram_keys *keys, struct str auth_message, struct str proof,
    struct str *signature_r);

/* Is this the password that the keys were made of? Slow like the making. */
bool scram_password_is(
    struct arena *a, const struct scram_keys *keys, struct str password);

/* HMAC and plain digest of `h`; `out` has room for SCRAM_DIGEST_MAX. */
void scram_hmac(const struct scram_hash *h, struct str key, struct str text,
    unsigned char *out);
void scram_digest(
    const struct scram_hash *h, struct str text, unsigned char *out);

#endif
