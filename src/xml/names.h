/* SPDX-License-Identifier: MIT */
/*
 * Names of the protocols as integers. The rows are in xep/NNNN-name.def:
 *
 *	XEP(0199, "XMPP Ping", "2.0.1")   the specification and our version
 *	NS(PING, "urn:xmpp:ping")         NS_PING
 *	EL(PING, NS_PING, "ping")         EL_PING, in that namespace
 *	AT(SEQNR, "seqnr")                AT_SEQNR, of any element
 *
 * Each name is declared once in all the files; attributes that many use are
 * in rfc6120.def. The content namespace of a stream (jabber:client,
 * jabber:server, jabber:component:accept) is NS_CLIENT in the tree,
 * whatever it was on the wire.
 */
#ifndef XML_NAMES_H
#define XML_NAMES_H

#include "base/str.h"

#define XEP(number, title, version)
#define NS(id, uri) NS_##id,
#define EL(id, ns, local)
#define AT(id, local)
enum ns {
	NS_NONE, /* none, or one that we have no name for */
#include "xep/all.def"
	NS_COUNT,
};
#undef NS
#undef EL

#define NS(id, uri)
#define EL(id, ns, local) EL_##id,
enum qname {
	EL_NONE,  /* a name that is not in our tables */
	EL_ANY,	  /* for look-ups and routes: whatever it is called */
	EL_CHARS, /* a text node */
#include "xep/all.def"
	EL_COUNT,
};
#undef EL
#undef AT

#define EL(id, ns, local)
#define AT(id, local) AT_##id,
enum attr_name {
	AT_NONE,
#include "xep/all.def"
	AT_COUNT,
};
#undef XEP
#undef NS
#undef EL
#undef AT

typedef uint16_t qname_t;
typedef uint16_t ns_t;
typedef uint16_t attr_t;

/* Fills the tables; once, before any thread starts. */
API void names_init(void);

/* NS_NONE, EL_NONE, AT_NONE for what is not in the tables. */
API ns_t names_ns(struct str uri);
API qname_t names_elem(ns_t ns, struct str local);
API attr_t names_attr(struct str local);

/* Static texts. */
API struct str names_ns_uri(ns_t ns);
API ns_t names_elem_ns(qname_t name);
API struct str names_elem_local(qname_t name);
API struct str names_attr_local(attr_t name);

#endif
