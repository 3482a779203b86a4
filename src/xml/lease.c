/* SPDX-License-Identifier: MIT */
#include "xml/lease.h"

#include "base/random.h"

#define POOL_MAX 16

/* Looking at bytes again and again is bounded too: this often on average. */
#define RESCANS_MAX 128
#define RESCANS_FREE (1 << 20)

static _Thread_local struct parser *pool[POOL_MAX];
static _Thread_local unsigned pooled;

/* The same bytes as a parser of the pool holds already, if one does. */
struct wire *
pool_share_header(struct wire *header)
{
	for (unsigned i = 0; i < pooled; i++) {
		struct wire *there = pool[i]->primed;

		if (there == NULL || !str_eq(wire_str(there), wire_str(header)))
			continue;
		wire_unref(&header);
		return wire_ref(there);
	}
	return header;
}

/* The life of a parser ----------------------------------------------------- */

/*
 * What every new document needs. Expat would ask the kernel for the salt of
 * its tables each time; ours comes from what the thread has in store.
 */
static void
parser_begin(struct parser *p)
{
	XML_SetHashSalt(p->expat, (unsigned long)random_u64() | 1);
	parser_listen(p);
}

static struct parser *
parser_new(void)
{
	static const XML_Memory_Handling_Suite memory = { xmalloc, xrealloc,
		xfree };
	static const char separator[] = { BUILD_SEPARATOR, '\0' };
	struct parser *p = (struct parser *)xzalloc(sizeof(*p));

	p->expat = XML_ParserCreate_MM("UTF-8", &memory, separator);
	must(p->expat != NULL);
	parser_begin(p);
	return p;
}

static void
parser_free(struct parser *p)
{
	XML_ParserFree(p->expat);
	wire_unref(&p->primed);
	arena_free(&p->arena);
	buf_fini(&p->header);
	xfree(p);
}

/* Back to the beginning of a document. */
static void
parser_reset(struct parser *p)
{
	XML_Parser expat = p->expat;

	must(XML_ParserReset(expat, "UTF-8") == XML_TRUE);
	wire_unref(&p->primed);
	arena_free(&p->arena);
	buf_fini(&p->header);
	*p = (struct parser){ .expat = expat };
	parser_begin(p);
}

/* Takes the parser at `i` out of the pool; the others stay in order. */
static struct parser *
pool_take(unsigned i)
{
	struct parser *p = pool[i];

	pooled--;
	memmove(pool + i, pool + i + 1, (pooled - i) * sizeof(struct parser *));
	return p;
}

struct parser *
parser_lease(void)
{
	struct parser *p;

	for (unsigned i = pooled; i-- > 0;) {
		if (pool[i]->mode == PARSE_DOCUMENT)
			return pool_take(i);
	}
	if (pooled < POOL_MAX)
		return parser_new();
	p = pool_take(0);
	parser_reset(p);
	return p;
}

/* Reads the header, as the stream's own parser did. */
static void
parser_prime(struct parser *p, struct wire *header)
{
	struct str text = header != NULL ? wire_str(header) : STR("<d>");
	enum XML_Status status;

	p->mode = header != NULL ? PARSE_STREAM : PARSE_NESTED;
	p->primed = header != NULL ? wire_ref(header) : NULL;
	p->is_priming = true;
	status = XML_Parse(p->expat, text.p, (int)text.n, 0);
	p->is_priming = false;
	p->fed = p->boundary = text.n;
	p->build.strange = 0;
	if (status != XML_STATUS_OK) {
		p->error = XML_NOT_WELL_FORMED;
		p->cut = CUT_REFUSED;
	}
}

static bool
is_primed_with(const struct parser *p, const struct wire *header)
{
	if (header == NULL)
		return p->mode == PARSE_NESTED;
	return p->primed == header ||
	       (p->primed != NULL &&
		   str_eq(wire_str(p->primed), wire_str(header)));
}

struct parser *
parser_lease_primed(struct wire *header)
{
	struct parser *p;

	for (unsigned i = pooled; i-- > 0;) {
		if (is_primed_with(pool[i], header)) {
			p = pool_take(i);
			p->boundary = p->fed;
			return p;
		}
	}
	p = parser_lease();
	parser_prime(p, header);
	return p;
}

void
parser_return(struct parser *p)
{
	bool is_fresh = p->cut == CUT_NOT && parser_is_at_boundary(p);

	p->stream = NULL;
	p->limits = NULL;
	p->root = NULL;
	if (p->is_tired || p->error != XML_FINE) {
		parser_free(p);
		return;
	}
	if (!is_fresh)
		parser_reset(p);
	if (pooled == POOL_MAX)
		parser_free(pool_take(0));
	pool[pooled++] = p;
}

void
xml_thread_done(void)
{
	while (pooled > 0)
		parser_free(pool[--pooled]);
}

/* Bytes in ----------------------------------------------------------------- */

/* Where expat stands: before the first byte it has not understood yet. */
static uint64_t
consumed(const struct parser *p)
{
	XML_Index at = XML_GetCurrentByteIndex(p->expat);

	return at > 0 ? (uint64_t)at : 0;
}

bool
parser_is_at_boundary(const struct parser *p)
{
	return p->mode != PARSE_DOCUMENT && p->depth == 1 &&
	       p->boundary == p->fed;
}

/* A lone CR at the end waits for its LF, but it is white space for sure. */
static void
skip_trailing_cr(struct parser *p, char last)
{
	if (p->mode != PARSE_DOCUMENT && p->depth == 1 && last == '\r' &&
	    p->fed - p->boundary == 1)
		p->boundary = p->fed;
}

/* Limits that can be told before the bytes are looked at. */
static void
check_before(struct parser *p)
{
	uint64_t limit = p->limits->bytes;

	p->rescans += p->fed - MIN(consumed(p), p->fed);
	if (p->fed - p->boundary > limit ||
	    p->rescans > MAX(limit * RESCANS_MAX, RESCANS_FREE))
		p->error = XML_TOO_BIG;
}

/* What a document's first or second byte (after `first`) says against it. */
static enum xml_error
error_of_start(bool is_first, unsigned char first, unsigned char c)
{
	if (is_first && (c == 0 || c >= 0xfe))
		return XML_BAD_ENCODING;
	if (is_first)
		return c == '<' || c == 0xef ? XML_FINE : XML_NOT_WELL_FORMED;
	if (first == 0xef) /* a byte order mark */
		return c == 0xbb ? XML_FINE : XML_NOT_WELL_FORMED;
	return c == 0 ? XML_BAD_ENCODING : XML_FINE;
}

/* Whatever it was told, expat guesses UTF-16 by the first two bytes. */
static void
check_encoding(struct parser *p, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n && p->fed + i < 2; i++) {
		bool is_first = p->fed + i == 0;
		unsigned char c = (unsigned char)bytes[i];

		if (p->error == XML_FINE)
			p->error = error_of_start(is_first, p->first, c);
		if (is_first)
			p->first = c;
	}
}

void
parser_run(struct parser *p, const char *bytes, size_t n, size_t *used_r)
{
	uint64_t limit = p->limits->bytes, base = p->fed, room;
	enum XML_Status status;

	*used_r = 0;
	check_before(p);
	check_encoding(p, bytes, n);
	if (p->error != XML_FINE) {
		p->cut = CUT_REFUSED;
		return;
	}
	/* Never more than one byte past the limit. */
	room = MIN(limit - (p->fed - p->boundary) + 1, INT32_MAX / 4);
	n = (size_t)MIN((uint64_t)n, room);
	p->fed += n;
	p->is_parsing = true;
	status = XML_Parse(p->expat, bytes, (int)n, 0);
	p->is_parsing = false;
	*used_r = n;
	if (p->cut == CUT_NOT && status != XML_STATUS_OK)
		p->error = parser_error_of(p);
	else if (p->cut == CUT_NOT && p->fed - p->boundary > limit)
		p->error = XML_TOO_BIG;
	else if (p->cut != CUT_NOT && p->cut != CUT_REFUSED)
		*used_r = (size_t)(p->boundary - base);
	if (p->error != XML_FINE)
		p->cut = CUT_REFUSED;
	else if (n > 0)
		skip_trailing_cr(p, bytes[n - 1]);
}
