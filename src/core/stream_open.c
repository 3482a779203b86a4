/* SPDX-License-Identifier: MIT */
/* Stream headers (RFC 6120 section 4.7) and what is offered after them. */
#include "core/stream_internal.h"

#include "base/random.h"
#include "core/conf.h"
#include "core/hooks.h"
#include "core/sm.h"

#define STREAM_ID_BYTES 16
#define OFFERS_MAX 16

/* Fit to be echoed: letters, digits and hyphens (RFC 5646). */
static bool
is_lang(struct str lang)
{
	if (lang.n == 0 || lang.n > LANG_MAX)
		return false;
	for (size_t i = 0; i < lang.n; i++) {
		char c = lang.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

static void
write_attr(struct buf *out, const char *name, struct str value)
{
	buf_add_c(out, ' ');
	buf_add_str(out, str_c(name));
	buf_add_str(out, STR("='"));
	xml_escape(out, value);
	buf_add_c(out, '\'');
}

void
stream_send_header(struct stream *s, struct str to, struct str lang)
{
	struct transport *t = s->transport;
	struct arena *a = arena_new(0);
	struct host *host = s->host != NULL ? s->host : host_at(0);
	struct buf *out = t->ops->begin(t);

	if (s->xml.is_framed)
		buf_add_str(out,
		    STR("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'"));
	else
		buf_add_str(out,
		    STR("<?xml version='1.0'?>"
			"<stream:stream xmlns='jabber:client' "
			"xmlns:stream='http://etherx.jabber.org/streams'"));
	write_attr(out, "id", random_token(a, STREAM_ID_BYTES));
	write_attr(out, "from", host->jid.full);
	if (!str_is_none(to))
		write_attr(out, "to", to);
	write_attr(out, "version", STR("1.0"));
	write_attr(out, "xml:lang", is_lang(lang) ? lang : STR("en"));
	buf_add_str(out, s->xml.is_framed ? STR("/>") : STR(">"));
	t->ops->end(t);
	arena_free(&a);
	s->has_header = true;
}

/* ---- the client's header ---- */

/* "1.0" and all that is later; without one, it is older than RFC 3920. */
static bool
is_version_1(struct str version)
{
	struct str rest = version, major = str_cut(&rest, '.');
	uint64_t n, minor;

	return str_to_u64(major, &n) && str_to_u64(rest, &minor) && n >= 1;
}

static enum qname
check_names(const struct stream *s, const struct elem *root)
{
	if (s->xml.is_framed)
		return EL_NONE;
	if (elem_ns(root) != NS_STREAM)
		return EL_SE_INVALID_NAMESPACE;
	if (elem_name(root) != EL_STREAM)
		return EL_SE_BAD_FORMAT;
	if (!str_eq(
		elem_attr_named(root, STR("xmlns")), names_ns_uri(NS_CLIENT)))
		return EL_SE_INVALID_NAMESPACE;
	if (!str_eq(elem_attr_named(root, STR("xmlns:stream")),
		names_ns_uri(NS_STREAM)))
		return EL_SE_BAD_NAMESPACE_PREFIX;
	return EL_NONE;
}

/* Which host it wants; once logged in, it has to be the same again. */
static enum qname
check_host(
    struct stream *s, struct arena *a, struct str to, const char **text_r)
{
	struct host *host = NULL;
	struct str name;

	if (str_is_none(to) || to.n == 0) {
		*text_r = "the header lacks 'to'";
		if (s->is_authenticated)
			return EL_NONE;
		if (host_count() != 1)
			return EL_SE_IMPROPER_ADDRESSING;
		host = host_at(0);
	} else if (jid_prep_domain(a, to, &name) == 0) {
		host = host_find(name);
	}
	if (host == NULL || (s->is_authenticated && host != s->host)) {
		*text_r = "not a host of this server";
		return EL_SE_HOST_UNKNOWN;
	}
	s->host = host;
	return EL_NONE;
}

/* The address to be named in the answer, if the client has told its own. */
static struct str
answer_to(struct arena *a, const struct elem *root)
{
	struct str from = elem_attr(root, AT_FROM);
	struct jid jid;

	if (str_is_none(from) || jid_parse(a, from, &jid) < 0)
		return STR_NONE;
	return jid.bare;
}

static void
keep_lang(struct nego *n, struct str lang)
{
	size_t len = is_lang(lang) ? lang.n : 0;

	memcpy(n->lang, lang.p != NULL ? lang.p : "", len);
	n->lang[len] = '\0';
}

void
stream_on_open(struct stream *s, const struct elem *root)
{
	struct arena *a = elem_arena(root);
	const char *text = NULL;
	enum qname condition = check_names(s, root);

	if (condition == EL_NONE)
		condition = check_host(s, a, elem_attr(root, AT_TO), &text);
	if (condition == EL_NONE && !is_version_1(elem_attr(root, AT_VERSION)))
		condition = EL_SE_UNSUPPORTED_VERSION;
	stream_send_header(s, answer_to(a, root), elem_attr(root, AT_XML_LANG));
	if (condition != EL_NONE) {
		stream_fail(s, condition, text);
		return;
	}
	keep_lang(s->nego, elem_attr(root, AT_XML_LANG));
	str_free(&s->nego->from);
	s->nego->from = str_heap(answer_to(a, root));
	if (!upgrade_look_up(s))
		stream_send_features(s);
}

/* ---- features ---- */

bool
stream_offers_tls(const struct stream *s)
{
	return s->policy->starttls != STARTTLS_NONE && !stream_is_tls(s) &&
	       s->transport->ops->start_tls != NULL;
}

bool
stream_needs_tls(const struct stream *s)
{
	return s->policy->starttls == STARTTLS_REQUIRED && stream_offers_tls(s);
}

static void
offer_tls(const struct stream *s, struct elem *features)
{
	struct elem *e = elem_add(features, EL_STARTTLS);

	if (s->policy->starttls == STARTTLS_REQUIRED)
		elem_add(e, EL_TLS_REQUIRED);
}

static void
offer_mechanisms(const struct stream *s, struct elem *features)
{
	struct str names[OFFERS_MAX];
	size_t count = sasl_offer(
	    s->host, s->transport, s->nego->lacking, names, OFFERS_MAX);
	struct elem *e;

	if (count == 0)
		return;
	e = elem_add(features, EL_MECHANISMS);
	for (size_t i = 0; i < count; i++)
		elem_add_text(e, EL_MECHANISM, names[i]);
	login_offer(s, features, names, count);
	count = sasl_offer_bindings(s->transport, names, OFFERS_MAX);
	if (count == 0)
		return;
	e = elem_add(features, EL_SASL_CB);
	for (size_t i = 0; i < count; i++)
		elem_set(elem_add(e, EL_SASL_CB_TYPE), AT_TYPE, names[i]);
}

static void
offer_limits(const struct stream *s, struct elem *features)
{
	const struct limits_conf *conf = &conf_now()->limits;
	struct elem *e = elem_add(features, EL_STREAM_LIMITS);

	elem_add_text(e, EL_LIMITS_MAX_BYTES,
	    str_printf(elem_arena(features), "%llu",
		(unsigned long long)(s->is_authenticated
					 ? conf->stanza_size
					 : conf->pre_auth_stanza_size)));
}

static void
offer_session(const struct stream *s, struct elem *features)
{
	if (s->session != NULL) {
		/* Bound with its login (XEP-0386). */
		if (!sm_counts(s->session->sm))
			elem_add(features, EL_SM);
		return;
	}
	elem_add(features, EL_BIND);
	elem_add(elem_add(features, EL_SESSION), EL_SESSION_OPTIONAL);
	elem_add(features, EL_SM);
}

void
stream_send_features(struct stream *s)
{
	struct arena *a = arena_new(0);
	struct elem *features = elem_new(a, EL_FEATURES);

	if (stream_offers_tls(s) && !s->is_authenticated)
		offer_tls(s, features);
	if (s->is_authenticated)
		offer_session(s, features);
	else if (!stream_needs_tls(s))
		offer_mechanisms(s, features);
	offer_limits(s, features);
	if (!stream_needs_tls(s) || s->is_authenticated)
		hook_features(HOOK_STREAM_FEATURES, s, features);
	stream_send_elem(s, features);
	arena_free(&a);
}
