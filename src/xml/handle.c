/* SPDX-License-Identifier: MIT */
/* What expat reports becomes trees, or is refused. */
#include "xml/lease.h"

#include "xml/tree.h"

#include <strings.h>

/* A parser is not kept when it may have grown: expat never forgets a name. */
#define STRANGE_MAX 4096
#define STANZA_KEPT (64 * 1024)
#define POSITION_MAX (1 << 30)

/*
 * Stanzas must be reported with their last byte, which newer versions of
 * expat put off; older ones do not know the function.
 */
extern XML_Bool set_reparse_deferral(
    XML_Parser expat, XML_Bool enabled) __asm__("XML_SetReparseDeferralEnabled")
    __attribute__((weak));

void
parser_cut(struct parser *p, enum cut why)
{
	if (p->cut != CUT_NOT)
		return;
	p->cut = why;
	XML_StopParser(p->expat, XML_FALSE);
}

static void
refuse(struct parser *p, enum xml_error error)
{
	if (p->cut == CUT_NOT)
		p->error = error;
	parser_cut(p, CUT_REFUSED);
}

/* The position after what is reported just now. */
static uint64_t
position(const struct parser *p)
{
	return (uint64_t)XML_GetCurrentByteIndex(p->expat) +
	       (uint64_t)XML_GetCurrentByteCount(p->expat);
}

/* Is what ends here longer than it may be? Then it is refused. */
static bool
refuse_length(struct parser *p)
{
	if (p->is_priming || position(p) - p->boundary <= p->limits->bytes)
		return false;
	refuse(p, XML_TOO_BIG);
	return true;
}

static void
set_boundary(struct parser *p)
{
	uint64_t now = position(p);

	if (now - p->boundary > STANZA_KEPT || now > POSITION_MAX ||
	    p->build.strange > STRANGE_MAX)
		p->is_tired = true;
	p->boundary = now;
	p->rescans = 0;
}

/* What a callee asked for while it was called, and a change of parsers. */
static void
after_event(struct parser *p)
{
	if (p->stream == NULL)
		return;
	if (p->stream->is_stopped)
		parser_cut(p, CUT_CALLEE);
	else if (p->is_tired)
		parser_cut(p, CUT_TIRED);
}

/* The stream header -------------------------------------------------------- */

/* The content namespaces; to us they are one. */
static struct str
content_ns(struct str uri)
{
	static const struct str known[] = {
		STR_INIT("jabber:client"),
		STR_INIT("jabber:server"),
		STR_INIT("jabber:component:accept"),
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq(known[i], uri))
			return known[i];
	}
	return STR_NONE;
}

static void
escape_uri(struct buf *out, const char *uri)
{
	for (; *uri != '\0'; uri++) {
		unsigned char c = (unsigned char)*uri;

		if (c < ' ' || strchr("&<>'\"", c) != NULL)
			buf_printf(out, "&#%u;", c);
		else
			buf_add_c(out, (char)c);
	}
}

static void
on_namespace(void *data, const char *prefix, const char *uri)
{
	struct parser *p = (struct parser *)data;

	if (p->cut != CUT_NOT)
		return;
	p->declarations++;
	if (prefix != NULL)
		p->build.strange++;
	if (p->mode != PARSE_STREAM || p->depth > 0)
		return;
	if (prefix == NULL)
		p->build.content = content_ns(str_c(uri));
	if (p->is_priming || p->declarations > p->limits->attributes)
		return;
	buf_add_str(&p->header, STR(" xmlns"));
	if (prefix != NULL) {
		buf_add_c(&p->header, ':');
		buf_add_str(&p->header, str_c(prefix));
	}
	buf_add_str(&p->header, STR("='"));
	escape_uri(&p->header, uri != NULL ? uri : "");
	buf_add_c(&p->header, '\'');
}

/* The declarations become attributes of the root, for the callee to see. */
static void
add_declarations(struct elem *root, struct str header)
{
	struct str name, value;

	str_cut(&header, ' ');
	while (!str_is_none(header)) {
		name = str_cut(&header, '=');
		header = str_skip(header, 1);
		value = str_cut(&header, '\'');
		str_cut(&header, ' ');
		elem_set_named(root, str_dup(root->arena, name),
		    str_dup(root->arena, value));
	}
}

/* "<PREFIX:stream DECLARATIONS>": what an equal stream is primed with. */
static struct wire *
make_header(const struct parser *p, const char *name)
{
	struct str prefix = build_prefix(name), rest = str_c(name), local;
	struct wire *w;

	local = str_cut(&rest, BUILD_SEPARATOR);
	if (!str_is_none(rest))
		local = str_cut(&rest, BUILD_SEPARATOR);
	w = wire_join((const struct str[]){ STR("<"), prefix,
			  str_is_none(prefix) ? STR("") : STR(":"), local,
			  buf_str(&p->header), STR(">") },
	    6);
	return pool_share_header(w);
}

static void
on_header(struct parser *p, const char *name, const char **attrs, size_t count)
{
	struct xml_stream *s = p->stream;
	struct arena *a;
	struct elem *root;

	if (refuse_length(p))
		return;
	p->depth = 1;
	set_boundary(p);
	if (p->is_priming)
		return;
	a = arena_new(0);
	root = build_elem(&p->build, a, NULL, name, attrs, count);
	add_declarations(root, buf_str(&p->header));
	wire_unref(&p->primed);
	p->primed = make_header(p, name);
	buf_fini(&p->header);
	wire_unref(&s->header);
	s->header = wire_ref(p->primed);
	s->events->open(s->ctx, root);
	arena_free(&a);
	after_event(p);
}

/* Stanzas ------------------------------------------------------------------ */

static size_t
count_attrs(const char **attrs)
{
	size_t n = 0;

	while (attrs[2 * n] != NULL)
		n++;
	return n;
}

/* Elements that are open around a stanza. */
static uint32_t
outer_depth(const struct parser *p)
{
	return p->mode == PARSE_DOCUMENT ? 0 : 1;
}

static void
on_start(void *data, const char *name, const char **attrs)
{
	struct parser *p = (struct parser *)data;
	size_t count = count_attrs(attrs);
	uint32_t outer = outer_depth(p);

	if (p->cut != CUT_NOT)
		return;
	if (!p->is_priming &&
	    (count + p->declarations > p->limits->attributes ||
		p->depth + 1 > p->limits->depth + outer ||
		p->elements >= p->limits->elements)) {
		refuse(p, XML_TOO_DEEP);
		return;
	}
	p->declarations = 0;
	/* No element is in XML's own namespace, which has no other prefix. */
	if (str_is(build_prefix(name), "xml")) {
		refuse(p, XML_BAD_PREFIX);
		return;
	}
	if (p->depth < outer) {
		on_header(p, name, attrs, count);
		return;
	}
	if (p->depth == outer) {
		if (p->root != NULL) { /* xml_parse() wants but one */
			refuse(p, XML_NOT_WELL_FORMED);
			return;
		}
		if (p->arena == NULL)
			p->arena = arena_new(0);
		p->elements = 0;
	}
	p->at = build_elem(&p->build, p->arena, p->at, name, attrs, count);
	if (p->depth == outer)
		p->root = p->at;
	p->depth++;
	p->elements++;
}

static void
on_stanza(struct parser *p)
{
	struct elem *stanza = p->root;

	if (refuse_length(p))
		return;
	p->elements = 0;
	p->at = NULL;
	set_boundary(p);
	if (p->stream != NULL) {
		p->root = NULL;
		p->arena = NULL; /* the callee's from now on */
		p->stream->events->stanza(p->stream->ctx, stanza);
	}
	if (p->mode == PARSE_DOCUMENT)
		parser_cut(p, CUT_END);
	after_event(p);
}

static void
on_end(void *data, const char *name)
{
	struct parser *p = (struct parser *)data;

	if (p->cut != CUT_NOT)
		return;
	p->depth--;
	if (p->depth == 0 && p->mode == PARSE_NESTED) {
		refuse(p, XML_NOT_WELL_FORMED);
		return;
	}
	if (p->depth == 0 && p->mode == PARSE_STREAM) {
		set_boundary(p);
		p->stream->is_stopped = true;
		parser_cut(p, CUT_END);
		p->stream->events->close(p->stream->ctx);
		return;
	}
	if (p->depth == outer_depth(p))
		on_stanza(p);
	else
		p->at = p->at->parent;
}

static bool
is_space(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] != ' ' && s[i] != '\n' && s[i] != '\t' && s[i] != '\r')
			return false;
	}
	return true;
}

static void
on_chars(void *data, const char *text, int n)
{
	struct parser *p = (struct parser *)data;

	if (p->cut != CUT_NOT)
		return;
	if (p->at != NULL)
		build_text(p->at, text, (size_t)n);
	else if (is_space(text, (size_t)n))
		set_boundary(p);
	else
		refuse(p, XML_BAD_CONTENT);
}

/* What RFC 6120 section 11.1 forbids --------------------------------------- */

static void
on_comment(void *data, const char *text)
{
	refuse((struct parser *)data, XML_RESTRICTED);
}

static void
on_instruction(void *data, const char *target, const char *text)
{
	refuse((struct parser *)data, XML_RESTRICTED);
}

static void
on_doctype(void *data, const char *name, const char *system, const char *public,
    int has_subset)
{
	refuse((struct parser *)data, XML_RESTRICTED);
}

static void
on_entity(void *data, const char *name, int is_parameter)
{
	refuse((struct parser *)data, XML_RESTRICTED);
}

static void
on_declaration(
    void *data, const char *version, const char *encoding, int standalone)
{
	if (encoding != NULL && strcasecmp(encoding, "UTF-8") != 0)
		refuse((struct parser *)data, XML_BAD_ENCODING);
}

enum xml_error
parser_error_of(const struct parser *p)
{
	switch (XML_GetErrorCode(p->expat)) {
	case XML_ERROR_UNBOUND_PREFIX:
	case XML_ERROR_UNDECLARING_PREFIX:
	case XML_ERROR_RESERVED_PREFIX_XML:
	case XML_ERROR_RESERVED_PREFIX_XMLNS:
	case XML_ERROR_RESERVED_NAMESPACE_URI:
		return XML_BAD_PREFIX;
	case XML_ERROR_UNDEFINED_ENTITY:
	case XML_ERROR_RECURSIVE_ENTITY_REF:
	case XML_ERROR_ASYNC_ENTITY:
	case XML_ERROR_BINARY_ENTITY_REF:
	case XML_ERROR_ATTRIBUTE_EXTERNAL_ENTITY_REF:
	case XML_ERROR_EXTERNAL_ENTITY_HANDLING:
	case XML_ERROR_AMPLIFICATION_LIMIT_BREACH:
		return XML_RESTRICTED;
	case XML_ERROR_UNKNOWN_ENCODING:
	case XML_ERROR_INCORRECT_ENCODING:
		return XML_BAD_ENCODING;
	case XML_ERROR_NO_MEMORY: /* a size that does not fit an int */
		return XML_TOO_BIG;
	default:
		return XML_NOT_WELL_FORMED;
	}
}

void
parser_listen(struct parser *p)
{
	XML_Parser x = p->expat;

	XML_SetUserData(x, p);
	XML_SetReturnNSTriplet(x, 1);
	XML_SetElementHandler(x, on_start, on_end);
	XML_SetCharacterDataHandler(x, on_chars);
	XML_SetStartNamespaceDeclHandler(x, on_namespace);
	XML_SetCommentHandler(x, on_comment);
	XML_SetProcessingInstructionHandler(x, on_instruction);
	XML_SetStartDoctypeDeclHandler(x, on_doctype);
	XML_SetSkippedEntityHandler(x, on_entity);
	XML_SetXmlDeclHandler(x, on_declaration);
	if (set_reparse_deferral != NULL)
		set_reparse_deferral(x, XML_FALSE);
}
