/* SPDX-License-Identifier: MIT */
/*
 * XEP-0065: the service that relays files between clients that cannot reach
 * each other. It tells where the relay (a listener of type proxy65) is, and
 * lets the host's own users activate what they and somebody have connected.
 */
#include "core/module.h"

#include "xep/0030-disco.h"

#define SID_MAX 200

struct proxy65_options {
	struct str host, address;
	uint64_t max_size, rate;
};

static void
on_info(struct stanza *iq)
{
	static const char *const features[] = {
		"http://jabber.org/protocol/disco#info",
		"http://jabber.org/protocol/bytestreams",
		NULL,
	};
	struct elem *query;

	if (elem_attr(stanza_payload(iq), AT_NODE).n > 0) {
		stanza_refuse(iq, EL_ITEM_NOT_FOUND);
		return;
	}
	query = elem_add(stanza_result(iq), EL_DISCO_INFO);
	disco_add_identity(
	    query, "proxy", "bytestreams", STR("SOCKS5 Bytestreams"));
	disco_add_features(query, features);
	stanza_send_back(iq);
}

static void
on_where(struct mod *m, struct stanza *iq)
{
	const struct proxy65_options *o = mod_options(m);
	unsigned port = bytestream_port();
	struct elem *e;

	if (port == 0) {
		stanza_refuse(iq, EL_ITEM_NOT_FOUND);
		return;
	}
	e = elem_add(elem_add(stanza_result(iq), EL_BYTESTREAMS),
	    EL_BYTESTREAMS_STREAMHOST);
	elem_set(e, AT_JID, mod_service(m)->full);
	elem_set(e, AT_HOST,
	    o->address.n > 0 ? o->address : mod_host(m)->jid.domain);
	elem_set_uint(e, AT_PORT, port);
	stanza_send_back(iq);
}

static void
on_activate(struct mod *m, struct stanza *iq)
{
	const struct proxy65_options *o = mod_options(m);
	struct bytestream_terms terms = {
		.bytes = o->max_size,
		.rate = (uint32_t)o->rate,
	};
	const struct elem *query = stanza_payload(iq);
	struct str sid = elem_attr(query, AT_SID);
	struct jid target;

	if (sid.n == 0 || sid.n > SID_MAX ||
	    jid_parse(iq->arena,
		elem_text(elem_child(query, EL_BYTESTREAMS_ACTIVATE)),
		&target) < 0)
		stanza_refuse(iq, EL_BAD_REQUEST);
	else
		bytestream_activate(iq, sid, &target, &terms);
}

/* The relay is for those who have an account here, and whom they choose. */
static bool
is_ours(struct mod *m, const struct stanza *iq)
{
	return !str_is_none(iq->from.local) &&
	       str_eq(iq->from.domain, mod_host(m)->jid.domain);
}

static void
on_service(struct mod *m, struct stanza *st)
{
	qname_t payload =
	    st->kind == STANZA_IQ ? elem_name(stanza_payload(st)) : EL_NONE;

	if (!str_is_none(st->to.local) || !(st->type & (IQ_GET | IQ_SET)))
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	else if (payload == EL_DISCO_INFO && st->type == IQ_GET)
		on_info(st);
	else if (payload == EL_DISCO_ITEMS && st->type == IQ_GET)
		stanza_send_back(
		    (elem_add(stanza_result(st), EL_DISCO_ITEMS), st));
	else if (payload != EL_BYTESTREAMS)
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	else if (!is_ours(m, st))
		stanza_refuse(st, EL_FORBIDDEN);
	else if (st->type == IQ_GET)
		on_where(m, st);
	else
		on_activate(m, st);
}

static const struct option options[] = {
	OPT_HOST("host", struct proxy65_options, host, "proxy.@HOST@",
	    "the domain of the service"),
	OPT_TEXT("address", struct proxy65_options, address, "", 255,
	    "name or IP address of the relay, as clients reach it; by default "
	    "the host's name"),
	OPT_SIZE("max_size", struct proxy65_options, max_size, "1GiB", 0,
	    (uint64_t)1 << 50, "what is relayed for one transfer; 0: no limit"),
	OPT_SIZE("rate", struct proxy65_options, rate, "4MiB", 0, UINT32_MAX,
	    "bytes a second in each direction; 0: no limit"),
	OPTIONS_END,
};

MODULE(proxy65) = {
	.summary = "relay files between clients",
	.options_size = sizeof(struct proxy65_options),
	.options = options,
	.service_option = "host",
	.service = on_service,
};
