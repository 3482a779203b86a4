/* SPDX-License-Identifier: MIT */
/*
 * Addresses (RFC 7622, prepared as the field does: Nodeprep, Resourceprep of
 * RFC 6122 and IDNA 2008 for domains, so that peers agree on what is equal).
 *
 * A struct jid is a view of one prepared text, "local@domain/resource".
 * Missing parts are STR_NONE. Two prepared JIDs are equal if their bytes are.
 */
#ifndef JID_JID_H
#define JID_JID_H

#include "base/arena.h"
#include "base/str.h"

#define JID_PART_MAX 1023

struct jid {
	struct str full;     /* all of it */
	struct str bare;     /* a prefix of full */
	struct str local;    /* or none */
	struct str domain;   /* never none in a valid JID */
	struct str resource; /* or none */
};

/*
 * Parses and prepares. The result lives in `a`, or in `text` itself when
 * that was prepared already (the usual case, and then nothing is copied).
 * ERR_INVALID when it is not a JID; then *jid_r is all none.
 */
API int jid_parse(struct arena *a, struct str text, struct jid *jid_r);
/* Of prepared text that we made or stored: only splits it. */
API struct jid jid_of(struct str prepared);

/* Is there no JID at all: zeroed, or refused by jid_parse()? */
API bool jid_is_none(const struct jid *j);
static inline bool
jid_is_bare(const struct jid *j)
{
	return str_is_none(j->resource);
}

static inline bool
jid_eq(const struct jid *a, const struct jid *b)
{
	return str_eq(a->full, b->full);
}

static inline bool
jid_eq_bare(const struct jid *a, const struct jid *b)
{
	return str_eq(a->bare, b->bare);
}

/* The JID without its resource (a view of the same text). */
API struct jid jid_to_bare(const struct jid *j);
/* A copy in the arena; joined from prepared parts (STR_NONE: without). */
API struct jid jid_dup(struct arena *a, const struct jid *j);
API struct jid jid_make(
    struct arena *a, struct str local, struct str domain, struct str resource);

/*
 * Prepare one part alone; ERR_INVALID if it is not allowed (and then none).
 * As above, the result may be `text` itself.
 */
API int jid_prep_local(struct arena *a, struct str text, struct str *part_r);
API int jid_prep_domain(struct arena *a, struct str text, struct str *part_r);
API int jid_prep_resource(struct arena *a, struct str text, struct str *part_r);
/* SASLprep (RFC 4013) of a user name or password. */
API int jid_saslprep(struct arena *a, struct str text, struct str *text_r);
/*
 * Has it only characters that Unicode 3.2 knows? Others (most emoji) may
 * stand in addresses and nicknames, as with our peers, but the name of a new
 * account or room should not have them: what they look like, and what equals
 * them, was not settled when the profiles were made (RFC 3454, section 7).
 */
API bool jid_is_assigned(struct str part);

#endif
