/* SPDX-License-Identifier: MIT */
#include "xml/names.h"

static const struct str ns_uris[NS_COUNT] = {
#define XEP(number, title, version)
#define NS(id, uri) [NS_##id] = STR_INIT(uri),
#define EL(id, ns, local)
#define AT(id, local)
#include "xep/all.def"
#undef NS
#undef EL
};

static const struct {
	ns_t ns;
	struct str local;
} elems[EL_COUNT] = {
#define NS(id, uri)
#define EL(id, in, text) [EL_##id] = { .ns = (in), .local = STR_INIT(text) },
#include "xep/all.def"
#undef EL
#undef AT
};

static const struct str attrs[AT_COUNT] = {
#define EL(id, ns, local)
#define AT(id, local) [AT_##id] = STR_INIT(local),
#include "xep/all.def"
#undef XEP
#undef NS
#undef EL
#undef AT
};

/*
 * Open addressing, filled once and then only read; 0 is a free place. The
 * names are ours, so that no stranger can make the chains long.
 */
#define NS_PLACES 4096
#define ELEM_PLACES 8192
#define ATTR_PLACES 4096

static uint16_t ns_places[NS_PLACES];
static uint16_t elem_places[ELEM_PLACES];
static uint16_t attr_places[ATTR_PLACES];

static uint32_t
hash(uint32_t seed, struct str s)
{
	uint32_t h = UINT32_C(2166136261) ^ seed * UINT32_C(0x9e3779b9);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT32_C(16777619);
	return h ^ h >> 15;
}

ns_t
names_ns(struct str uri)
{
	uint32_t at = hash(0, uri);
	ns_t ns;

	while ((ns = ns_places[at % NS_PLACES]) != NS_NONE) {
		if (str_eq(ns_uris[ns], uri))
			break;
		at++;
	}
	return ns;
}

qname_t
names_elem(ns_t ns, struct str local)
{
	uint32_t at = hash(ns, local);
	qname_t name;

	while ((name = elem_places[at % ELEM_PLACES]) != EL_NONE) {
		if (elems[name].ns == ns && str_eq(elems[name].local, local))
			break;
		at++;
	}
	return name;
}

attr_t
names_attr(struct str local)
{
	uint32_t at = hash(0, local);
	attr_t name;

	while ((name = attr_places[at % ATTR_PLACES]) != AT_NONE) {
		if (str_eq(attrs[name], local))
			break;
		at++;
	}
	return name;
}

/* Puts `name` where its search will end. */
static void
put(uint16_t *places, uint32_t count, uint32_t at, uint16_t name)
{
	while (places[at % count] != 0)
		at++;
	places[at % count] = name;
}

void
names_init(void)
{
	must(NS_COUNT < NS_PLACES / 2 && EL_COUNT < ELEM_PLACES / 2 &&
	     AT_COUNT < ATTR_PLACES / 2);
	for (ns_t ns = NS_NONE + 1; ns < NS_COUNT; ns++) {
		if (names_ns(ns_uris[ns]) == NS_NONE)
			put(ns_places, NS_PLACES, hash(0, ns_uris[ns]), ns);
	}
	for (qname_t e = EL_CHARS + 1; e < EL_COUNT; e++) {
		if (names_elem(elems[e].ns, elems[e].local) == EL_NONE)
			put(elem_places, ELEM_PLACES,
			    hash(elems[e].ns, elems[e].local), e);
	}
	for (attr_t a = AT_NONE + 1; a < AT_COUNT; a++) {
		if (names_attr(attrs[a]) == AT_NONE)
			put(attr_places, ATTR_PLACES, hash(0, attrs[a]), a);
	}
}

struct str
names_ns_uri(ns_t ns)
{
	return ns < NS_COUNT ? ns_uris[ns] : STR_NONE;
}

ns_t
names_elem_ns(qname_t name)
{
	return name < EL_COUNT ? elems[name].ns : NS_NONE;
}

struct str
names_elem_local(qname_t name)
{
	return name < EL_COUNT ? elems[name].local : STR_NONE;
}

struct str
names_attr_local(attr_t name)
{
	return name < AT_COUNT ? attrs[name] : STR_NONE;
}
