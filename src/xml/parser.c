/* SPDX-License-Identifier: MIT */
#include "xml/parser.h"

#include "xml/lease.h"
#include "xml/tree.h"

void
xml_stream_init(struct xml_stream *s, const struct xml_events *events,
    void *ctx, const struct xml_limits *limits)
{
	*s = (struct xml_stream){
		.events = events,
		.ctx = ctx,
		.limits = limits,
	};
}

void
xml_stream_rewind(struct xml_stream *s)
{
	if (s->parser != NULL)
		parser_return(s->parser);
	s->parser = NULL;
}

/* Lets go of the parser and of the header. */
static void
stream_drop(struct xml_stream *s)
{
	xml_stream_rewind(s);
	wire_unref(&s->header);
}

void
xml_stream_fini(struct xml_stream *s)
{
	must(s->parser == NULL || !s->parser->is_parsing);
	stream_drop(s);
}

void
xml_stream_restart(struct xml_stream *s)
{
	s->is_stopped = false;
	if (s->parser != NULL && s->parser->is_parsing) {
		/* Inside an event: xml_stream_feed() lets the parser go. */
		parser_cut(s->parser, CUT_CALLEE);
		wire_unref(&s->header);
		return;
	}
	stream_drop(s);
}

void
xml_stream_stop(struct xml_stream *s)
{
	s->is_stopped = true;
}

bool
xml_stream_is_midway(const struct xml_stream *s)
{
	return s->parser != NULL && !parser_is_at_boundary(s->parser);
}

static struct str
skip_space(struct str s)
{
	while (s.n > 0 && strchr(" \n\r\t", s.p[0]) != NULL && s.p[0] != '\0')
		s = str_skip(s, 1);
	return s;
}

/* A parser for a document: one with an XML declaration begins afresh. */
static struct parser *
document_lease(struct str text)
{
	if (str_has_prefix(text, STR("<?xml")))
		return parser_lease();
	return parser_lease_primed(NULL);
}

static void
stream_lease(struct xml_stream *s, struct str text)
{
	if (s->is_framed) {
		s->parser = document_lease(text);
	} else if (s->header != NULL) {
		s->parser = parser_lease_primed(s->header);
	} else {
		s->parser = parser_lease();
		s->parser->mode = PARSE_STREAM;
	}
	s->parser->stream = s;
	s->parser->limits = s->limits;
}

/*
 * Runs the parser over what is left of a feed, and returns it if it stands
 * between stanzas or cannot go on. Answers whether the feed may go on.
 */
static bool
stream_run(struct xml_stream *s, struct str *rest, enum xml_error *error_r)
{
	struct parser *p = s->parser;
	enum cut cut;
	size_t used;

	p->limits = s->limits;
	parser_run(p, rest->p, rest->n, &used);
	*rest = str_skip(*rest, used);
	*error_r = p->error;
	cut = p->cut;
	if (cut == CUT_NOT && rest->n == 0 && s->is_framed &&
	    !parser_is_at_boundary(p))
		*error_r = XML_NOT_WELL_FORMED; /* no whole document */
	if (cut != CUT_NOT || *error_r != XML_FINE ||
	    (rest->n == 0 && parser_is_at_boundary(p))) {
		s->parser = NULL;
		parser_return(p);
	}
	if (*error_r != XML_FINE)
		s->is_stopped = true;
	return cut == CUT_NOT || cut == CUT_TIRED ||
	       (cut == CUT_END && s->is_framed);
}

enum xml_error
xml_stream_feed(struct xml_stream *s, const char *p, size_t n)
{
	struct str rest = str_mem(p, n);
	enum xml_error error = XML_FINE;
	bool may_go_on = true;

	while (rest.n > 0 && !s->is_stopped && may_go_on) {
		if (s->parser == NULL) {
			/* White space between stanzas costs no lease. */
			rest = skip_space(rest);
			if (rest.n == 0)
				break;
			stream_lease(s, rest);
		}
		may_go_on = stream_run(s, &rest, &error);
	}
	s->unread = rest.n;
	return error;
}

/* One document ------------------------------------------------------------- */

/* For what we stored ourselves: only what keeps recursion shallow. */
static const struct xml_limits no_limits = {
	.bytes = UINT32_MAX / 4,
	.depth = 1000,
	.elements = UINT32_MAX,
	.attributes = 10000,
};

struct elem *
xml_parse(struct arena *a, struct str text, const struct xml_limits *limits,
    ns_t content, enum xml_error *why_r)
{
	struct parser *p;
	struct elem *root;
	enum xml_error error;
	size_t used;

	text = skip_space(text);
	p = document_lease(text);
	p->limits = limits != NULL ? limits : &no_limits;
	p->arena = a;
	p->build.bare_ns = content;
	parser_run(p, text.p, text.n, &used);
	text = skip_space(str_skip(text, used));
	root = p->root;
	error = p->error;
	if (error == XML_FINE && text.n > 0 && p->cut == CUT_NOT)
		error = XML_TOO_BIG;
	else if (error == XML_FINE &&
		 (text.n > 0 || root == NULL ||
		     (p->cut != CUT_END && !parser_is_at_boundary(p))))
		error = XML_NOT_WELL_FORMED;
	p->arena = NULL; /* it is the caller's */
	p->build.bare_ns = NS_NONE;
	parser_return(p);
	if (why_r != NULL)
		*why_r = error;
	return error == XML_FINE ? root : NULL;
}
