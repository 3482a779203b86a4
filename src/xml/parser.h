/* SPDX-License-Identifier: MIT */
/*
 * Parsing streams of stanzas, under limits, with leased parsers.
 *
 * An xml_stream is the parsing state of one connection, small and embedded
 * in it. Between stanzas it holds no parser: it takes one from the thread's
 * pool when bytes come and gives it back at the next stanza boundary. The
 * pool keeps parsers that stand inside a stream header of the same
 * declarations, so that a lease costs a pointer. Limits are enforced while
 * bytes come in, before memory is spent. No DTD, entity declaration,
 * comment or processing instruction passes (RFC 6120 section 11.1).
 */
#ifndef XML_PARSER_H
#define XML_PARSER_H

#include "base/arena.h"
#include "xml/elem.h"

enum xml_error {
	XML_FINE,
	XML_NOT_WELL_FORMED, /* not-well-formed */
	XML_BAD_PREFIX,	     /* bad-namespace-prefix: undeclared prefix */
	XML_RESTRICTED,	     /* restricted-xml */
	XML_TOO_BIG,	     /* policy-violation, with stanza-too-big */
	XML_TOO_DEEP,	     /* policy-violation: depth, width, attributes */
	XML_BAD_ENCODING,    /* unsupported-encoding: not UTF-8 */
	XML_BAD_CONTENT,     /* bad-format: text between stanzas */
};

struct xml_limits {
	uint32_t bytes;	     /* of one stanza, header or white space run */
	uint32_t depth;	     /* of nested elements in a stanza */
	uint32_t elements;   /* in a stanza */
	uint32_t attributes; /* of one element, namespaces included */
};

struct xml_stream;

/*
 * What was read. Called inside xml_stream_feed(); they may call
 * xml_stream_stop(), and must not free the stream itself.
 */
struct xml_events {
	/*
	 * The stream header; `root` and its arena die after the call. Its
	 * declarations are among the attributes: see elem_attr_named().
	 */
	void (*open)(void *ctx, struct elem *root);
	/* One stanza, whose arena the callee owns from now on. */
	void (*stanza)(void *ctx, struct elem *stanza);
	/* </stream:stream>. */
	void (*close)(void *ctx);
};

struct parser; /* a leased one */

struct xml_stream {
	const struct xml_events *events;
	void *ctx;
	const struct xml_limits *limits;
	struct parser *parser; /* the lease, or NULL */
	struct wire *header;   /* the declarations to be primed with */
	bool is_stopped;
	bool is_framed; /* no stream element: each stanza is a document */
	size_t unread;	/* bytes of the last feed that were not looked at */
};

/* `limits` is borrowed, and may be changed between calls (after login). */
API void xml_stream_init(struct xml_stream *s, const struct xml_events *events,
    void *ctx, const struct xml_limits *limits);
/* Not inside an event of this stream. */
API void xml_stream_fini(struct xml_stream *s);
/*
 * A new stream on the same connection: expects a header again. What was fed
 * after the stanza that led to this (when called inside an event) is not
 * read; `unread` tells how much it is. It is the end of the bytes given to
 * xml_stream_feed(): feed it again if that is right, or drop it after
 * STARTTLS.
 */
API void xml_stream_restart(struct xml_stream *s);
/*
 * Nothing more is reported for bytes after this point, until a restart. The
 * same is so after </stream:stream> and after an error.
 */
API void xml_stream_stop(struct xml_stream *s);
/*
 * Reports what these bytes complete; XML_FINE, or why the stream is broken.
 * Not to be called inside an event of the same stream. On a framed stream
 * (WebSocket) each call brings one or more whole documents, with nothing but
 * white space around them; every root element is reported as a stanza.
 */
API enum xml_error xml_stream_feed(
    struct xml_stream *s, const char *p, size_t n);
/* Bytes of a stanza have begun to arrive, and are not complete. */
API bool xml_stream_is_midway(const struct xml_stream *s);
/*
 * Gives the parser back, midway or not: what has been fed of a stanza, or of
 * the header, is forgotten, and has to be fed again from its beginning.
 */
API void xml_stream_rewind(struct xml_stream *s);

/*
 * Parses one whole document (stored XML, a command's argument) into `a`.
 * Same refusals; `why_r` may be NULL, and so may `limits` for our own text.
 * `content_ns`: what an element without a namespace is taken for, NS_NONE
 * for nothing. NULL when it is refused.
 */
API struct elem *xml_parse(struct arena *a, struct str text,
    const struct xml_limits *limits, ns_t content_ns, enum xml_error *why_r);

/* Frees the thread's pool; call at the end of a thread. */
API void xml_thread_done(void);

#endif
