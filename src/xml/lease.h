/* SPDX-License-Identifier: MIT */
/*
 * Parsers: expat with our limits, and the thread's pool of them. For
 * src/xml/ alone; parser.h is what others see.
 */
#ifndef XML_LEASE_H
#define XML_LEASE_H

#include "base/buf.h"
#include "xml/build.h"
#include "xml/parser.h"

#include <expat.h>

enum parse_mode {
	PARSE_DOCUMENT, /* from the beginning: the root is the stanza */
	PARSE_NESTED,	/* inside a root of ours: cheap for many documents */
	PARSE_STREAM,	/* inside a peer's root, which stays open */
};

/* Why the parser stopped in the middle of the bytes it was given. */
enum cut {
	CUT_NOT,
	CUT_END,     /* the document, or the stream, is complete */
	CUT_TIRED,   /* at a stanza boundary; a fresh parser shall go on */
	CUT_CALLEE,  /* the stream was stopped or restarted */
	CUT_REFUSED, /* `error` says why */
};

struct parser {
	XML_Parser expat;
	struct wire *primed; /* the header it stands inside of, or NULL */
	enum parse_mode mode;
	bool is_priming;
	bool is_parsing; /* expat is at work: its callbacks may run */

	struct xml_stream *stream; /* who leases it; NULL for xml_parse() */
	const struct xml_limits *limits;
	struct build build;

	/* The stanza that is being read. */
	struct arena *arena;
	struct elem *root;
	struct elem *at; /* where the next node goes */
	uint32_t depth;	 /* of open elements, the stream's included */
	uint32_t elements;
	uint32_t declarations; /* of namespaces, of the next element */

	/* The stream header's declarations while it is read. */
	struct buf header;

	/* Positions count from the first byte expat got. */
	uint64_t fed;
	uint64_t boundary; /* the end of the last complete stanza */
	uint64_t rescans;  /* bytes expat looked at again, of this stanza */
	bool is_tired;
	unsigned char first; /* byte of the document */

	enum cut cut;
	enum xml_error error;
};

/* A parser at the beginning of a document; pooled or new. */
struct parser *parser_lease(void);
/*
 * A parser that stands inside a stream header of these declarations; inside
 * a root without any (PARSE_NESTED) if there is none.
 */
struct parser *parser_lease_primed(struct wire *header);
/* Gives it back; one that is worn out or stands midway is taken apart. */
void parser_return(struct parser *p);

/* Handle.c: sets expat's callbacks, as after each reset. */
void parser_listen(struct parser *p);
/* What expat's own error is to us. */
enum xml_error parser_error_of(const struct parser *p);
/* Takes one reference, answers one: to equal bytes, kept but once. */
struct wire *pool_share_header(struct wire *header);

/* Stops before the rest of what expat was given. */
void parser_cut(struct parser *p, enum cut why);
/* Is all that came so far complete, but for white space? */
bool parser_is_at_boundary(const struct parser *p);
/*
 * Takes up to `n` bytes; how many, is in *used_r: fewer than `n` after a cut
 * or at a limit. p->cut and p->error tell more.
 */
void parser_run(struct parser *p, const char *bytes, size_t n, size_t *used_r);

#endif
