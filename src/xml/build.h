/* SPDX-License-Identifier: MIT */
/*
 * Building elements out of what expat reports. For src/xml/ alone.
 *
 * Expat resolves the prefixes and hands names over as "uri\xFFlocal" or
 * "uri\xFFlocal\xFFprefix". The byte FF is in no UTF-8 text, so that no
 * namespace can be forged with it (CVE-2022-25236).
 */
#ifndef XML_BUILD_H
#define XML_BUILD_H

#include "xml/elem.h"

#define BUILD_SEPARATOR '\xff'

/* How to take names; embedded in each parser. */
struct build {
	struct str content; /* this namespace is NS_CLIENT too; or none */
	ns_t bare_ns;	    /* what no namespace is taken for */
	uint32_t strange;   /* names seen that are not in our tables */
	/* The namespace found last: most stanzas repeat a few. */
	char last_uri[120];
	size_t last_len;
	ns_t last_ns;
};

/* A new last child of `parent`, or a root in `a` when that is NULL. */
struct elem *build_elem(struct build *b, struct arena *a, struct elem *parent,
    const char *name, const char **attrs, size_t attr_count);
/* More text at the end of `e`, joined with what came just before. */
void build_text(struct elem *e, const char *text, size_t n);
/* The prefix of a name as expat hands it over, or none. */
struct str build_prefix(const char *name);

#endif
