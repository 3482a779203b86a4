/* SPDX-License-Identifier: MIT */
/* An exchange from the inside, for the files that each do some mechanisms. */
#ifndef CORE_SASL_IMPL_H
#define CORE_SASL_IMPL_H

#include "core/sasl.h"
#include "core/scram.h"

#define SASL_MECHANISMS_MAX 16

enum step { STEP_FIRST, STEP_STORE, STEP_FINAL, STEP_OVER };

struct sasl {
	struct arena *arena;
	struct host *host;
	const struct transport *transport;
	unsigned lacking;
	sasl_fn *on_step;
	void *ctx;
	/* What is done with each message. */
	void (*take)(struct sasl *s, struct str message);
	const struct scram_hash *hash; /* of SCRAM */
	bool is_plus;
	enum step step;
	bool is_waiting; /* for the store or the pool */
	bool is_dead;	 /* freed meanwhile */
	struct jid user;
	bool is_known, is_banned, has_authzid;
	struct scram_keys keys;
	struct scram_first first;
	struct str nonce;	 /* the client's and ours */
	struct str server_first; /* for the auth message */
};

/* Answers, with what goes to the client beside. */
void sasl_fail(struct sasl *s, enum qname condition, const char *text);
void sasl_succeed(struct sasl *s, struct str data);
/* It waits for something: nothing more is taken until sasl_is_back(). */
void sasl_wait(struct sasl *s);
/* False when nobody is interested any more: then it is gone. */
bool sasl_is_back(struct sasl *s);

/* sasl_external.c */

/*
 * Is it offered: has the client shown a certificate for an address of this
 * host, and does somebody vouch for it?
 */
bool external_is_offered(const struct host *host, const struct transport *t);
/* May it be tried? Who has shown a certificate is told what is wrong. */
bool external_is_there(const struct transport *t);
void external_take(struct sasl *s, struct str message);

/* sasl_anonymous.c */

/* Does the host let guests in? */
bool anonymous_is_offered(const struct host *host);
void anonymous_take(struct sasl *s, struct str message);

#endif
