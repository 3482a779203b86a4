/* SPDX-License-Identifier: MIT */
/*
 * Elements to bytes. Output is always made from the tree. Namespaces are
 * declared as defaults where they change; prefixes are used for attributes
 * only (and "stream:" on a stream's own elements, as clients expect).
 */
#ifndef XML_WRITER_H
#define XML_WRITER_H

#include "base/buf.h"
#include "xml/elem.h"

/* Where the bytes go: what the surrounding document has declared. */
enum xml_scope {
	XML_IN_STREAM, /* content namespace is default, "stream:" declared */
	/*
	 * Nothing: the root declares its namespace itself. A root of the
	 * stream's own is "stream:" here as well, and declares both.
	 */
	XML_STANDALONE,
};

/* Appends the whole element, with all that is inside. */
API void xml_write(struct buf *out, const struct elem *e, enum xml_scope scope);
/* Only `<name attr='..'...>` and `</name>`, without what is inside. */
API void xml_write_open(
    struct buf *out, const struct elem *e, enum xml_scope scope);
API void xml_write_close(struct buf *out, const struct elem *e);
/* Only what is inside; as written after xml_write_open() of the same. */
API void xml_write_inside(struct buf *out, const struct elem *e);
/*
 * Text with the five entities, fit for attribute values too (tabs and line
 * ends become references); what XML forbids, or is not UTF-8, is left out.
 */
API void xml_escape(struct buf *out, struct str text);
/* As text in the arena, standalone. */
API struct str xml_text(struct arena *a, const struct elem *e);

#endif
