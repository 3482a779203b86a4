/* SPDX-License-Identifier: MIT */
/*
 * XEP-0215: External Service Discovery. Tells the host's own users where to
 * find STUN and TURN servers for their calls, with credentials for TURN that
 * last for a while: an expiry and a user as the name, and its HMAC under a
 * secret that coturn has as well (its use-auth-secret).
 */
#include "core/module.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SERVICES_MAX 32
#define URI_MAX 300

struct extdisco_options {
	struct str_list services;
	struct str secret;
	uint64_t lifetime;
};

struct service {
	struct str type, host, transport;
	uint64_t port;
	bool needs_credentials;
};

struct extdisco {
	struct arena *arena; /* of what follows */
	struct service *services;
	size_t count;
};

/* ---- the configuration ------------------------------------------------- */

static const struct scheme {
	struct str name;
	uint64_t port;
	const char *transport;
	bool needs_credentials;
} schemes[] = {
	{ STR_INIT("stun"), 3478, "udp", false },
	{ STR_INIT("stuns"), 5349, "tcp", false },
	{ STR_INIT("turn"), 3478, "udp", true },
	{ STR_INIT("turns"), 5349, "tcp", true },
};

static const struct scheme *
scheme_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (str_eq(schemes[i].name, name))
			return &schemes[i];
	}
	return NULL;
}

/* "host:port", "[::1]:port", either without its port. */
static bool
read_authority(struct service *s, struct str text)
{
	struct str port = text;

	if (text.n > 0 && text.p[0] == '[') {
		port = str_skip(text, 1);
		s->host = str_cut(&port, ']');
		if (str_is_none(port))
			return false;
		str_cut(&port, ':');
	} else {
		s->host = str_cut(&port, ':');
	}
	if (s->host.n == 0)
		return false;
	return str_is_none(port) ||
	       (str_to_u64(port, &s->port) && s->port > 0 && s->port < 65536);
}

/* RFC 7064 and 7065: "turn:turn.example.org:3478?transport=udp". */
static bool
read_uri(struct service *s, struct str uri)
{
	struct str rest = uri, key = STR("transport=");
	const struct scheme *scheme = scheme_find(str_cut(&rest, ':'));
	struct str query = rest, authority = str_cut(&query, '?');

	if (scheme == NULL || str_is_none(rest))
		return false;
	s->type = scheme->name;
	s->port = scheme->port;
	s->transport = str_c(scheme->transport);
	s->needs_credentials = scheme->needs_credentials;
	if (!str_is_none(query)) {
		if (!str_has_prefix(query, key))
			return false;
		s->transport = str_skip(query, key.n);
		if (!str_is(s->transport, "udp") &&
		    !str_is(s->transport, "tcp"))
			return false;
	}
	return read_authority(s, authority);
}

static void
extdisco_start(struct mod *m)
{
	const struct extdisco_options *o = mod_options(m);
	struct extdisco *x = mod_state(m);

	if (x->arena != NULL)
		arena_free(&x->arena);
	x->arena = arena_new(0);
	x->services = arena_zalloc(
	    x->arena, MAX(o->services.count, 1) * sizeof(*x->services));
	x->count = 0;
	for (size_t i = 0; i < o->services.count; i++) {
		struct service *s = &x->services[x->count];
		struct str uri = str_dup(x->arena, o->services.item[i]);

		if (uri.n > URI_MAX || !read_uri(s, uri))
			log_warn(mod_log(m),
			    "services: '" STR_FMT "' is left out: write "
			    "stun:HOST, or turn:HOST:PORT?transport=udp",
			    STR_ARG(uri));
		else if (s->needs_credentials && o->secret.n == 0)
			log_warn(mod_log(m),
			    "services: '" STR_FMT "' is left out: TURN needs "
			    "`secret', the same as coturn's",
			    STR_ARG(uri));
		else
			x->count++;
	}
}

static void
extdisco_stop(struct mod *m)
{
	struct extdisco *x = mod_state(m);

	arena_free(&x->arena);
}

static void
extdisco_check(struct mod *m, struct check *c)
{
	const struct extdisco_options *o = mod_options(m);
	const struct extdisco *x = mod_state(m);

	if (x->count < o->services.count)
		check_say(c, CHECK_FAIL, "see the log for which, and why",
		    "calls", "%zu of %zu services are left out",
		    o->services.count - x->count, o->services.count);
	for (size_t i = 0; i < x->count; i++)
		check_relay(c, x->services[i].host,
		    (uint16_t)x->services[i].port,
		    str_is(x->services[i].transport, "udp"));
}

/* ---- answers ----------------------------------------------------------- */

/* What coturn works out as well: draft-uberti-behave-turn-rest. */
static struct str
password_of(struct arena *a, struct str secret, struct str name)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	must(HMAC(EVP_sha1(), secret.p, (int)secret.n, (const uint8_t *)name.p,
		 name.n, mac, &n) != NULL);
	return str_base64(a, str_mem((const char *)mac, n));
}

/*
 * The name holds a hash of the account: the same each time, so that quotas
 * work, without telling the relay who calls. The iq is its answer by now.
 */
static void
add_credentials(struct mod *m, const struct stanza *iq, struct elem *service)
{
	const struct extdisco_options *o = mod_options(m);
	struct arena *a = iq->arena;
	int64_t until = clock_real() + (int64_t)o->lifetime;
	struct str who = password_of(a, o->secret, iq->to.bare);
	struct str name = str_printf(a, "%" PRIi64 ":" STR_FMT, until / 1000,
	    STR_ARG(str_hex(a, str_sub(who, 0, 12))));

	elem_set(service, AT_USERNAME, name);
	elem_set(service, AT_PASSWORD, password_of(a, o->secret, name));
	elem_set(service, AT_EXPIRES, clock_format(a, until, false));
	elem_set(service, AT_RESTRICTED, STR("true"));
}

static void
add_service(struct mod *m, const struct stanza *iq, struct elem *to,
    const struct service *s)
{
	struct elem *e = elem_add(to, EL_EXTDISCO_SERVICE);

	elem_set_copy(e, AT_TYPE, s->type);
	elem_set_copy(e, AT_HOST, s->host);
	elem_set_uint(e, AT_PORT, s->port);
	elem_set_copy(e, AT_TRANSPORT, s->transport);
	if (s->needs_credentials)
		add_credentials(m, iq, e);
}

/* Credentials cost money: they are for those who have an account here. */
static bool
is_ours(struct mod *m, const struct stanza *iq)
{
	return iq->from.local.n > 0 &&
	       str_eq(iq->from.domain, mod_host(m)->jid.domain);
}

static enum verdict
on_services(struct mod *m, struct stanza *iq)
{
	const struct extdisco *x = mod_state(m);
	struct str type =
	    str_dup(iq->arena, elem_attr(stanza_payload(iq), AT_TYPE));
	struct elem *services;

	if (!is_ours(m, iq))
		return stanza_refuse(iq, EL_FORBIDDEN);
	services = elem_add(stanza_result(iq), EL_EXTDISCO_SERVICES);
	if (type.n > 0)
		elem_set(services, AT_TYPE, type);
	for (size_t i = 0; i < x->count; i++) {
		if (type.n == 0 || str_eq(type, x->services[i].type))
			add_service(m, iq, services, &x->services[i]);
	}
	return stanza_send_back(iq);
}

static bool
is_wanted(
    const struct service *s, struct str type, struct str host, struct str port)
{
	uint64_t n;

	return s->needs_credentials && str_eq(s->type, type) &&
	       str_eq_nocase(s->host, host) &&
	       (str_is_none(port) || (str_to_u64(port, &n) && n == s->port));
}

static enum verdict
on_credentials(struct mod *m, struct stanza *iq)
{
	const struct extdisco *x = mod_state(m);
	const struct elem *e =
	    elem_child(stanza_payload(iq), EL_EXTDISCO_SERVICE);
	struct elem *credentials = NULL;
	struct str type, host, port;

	if (!is_ours(m, iq))
		return stanza_refuse(iq, EL_FORBIDDEN);
	if (e == NULL)
		return stanza_refuse(iq, EL_BAD_REQUEST);
	type = str_dup(iq->arena, elem_attr(e, AT_TYPE));
	host = str_dup(iq->arena, elem_attr(e, AT_HOST));
	port = elem_attr(e, AT_PORT);
	port = str_is_none(port) ? port : str_dup(iq->arena, port);
	for (size_t i = 0; i < x->count; i++) {
		if (!is_wanted(&x->services[i], type, host, port))
			continue;
		if (credentials == NULL)
			credentials = elem_add(
			    stanza_result(iq), EL_EXTDISCO_CREDENTIALS);
		add_service(m, iq, credentials, &x->services[i]);
	}
	if (credentials == NULL)
		return stanza_refuse(iq, EL_ITEM_NOT_FOUND);
	return stanza_send_back(iq);
}

/* ---- the module -------------------------------------------------------- */

static const struct option options[] = {
	OPT_LIST("services", struct extdisco_options, services, "",
	    SERVICES_MAX,
	    "URIs of servers: stun:HOST, turn:HOST:PORT?transport=udp, "
	    "turns:HOST:PORT?transport=tcp"),
	{
	    .name = "secret",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct extdisco_options, secret),
	    .max = 1000,
	    .value = "",
	    .help = "shared with the TURN servers (coturn: static-auth-secret)",
	    .is_secret = true,
	},
	OPT_SPAN("lifetime", struct extdisco_options, lifetime, "12h",
	    MINUTES(1), DAYS(30), "how long credentials are good for"),
	OPTIONS_END,
};

static const struct iq_route routes[] = {
	{ IQ_GET, TO_HOST, EL_EXTDISCO_SERVICES, on_services },
	{ IQ_GET, TO_HOST, EL_EXTDISCO_CREDENTIALS, on_credentials },
	ROUTES_END,
};

static const struct feature features[] = {
	{ TO_HOST, STR_INIT("urn:xmpp:extdisco:2") },
	FEATURES_END,
};

MODULE(extdisco) = {
	.summary = "tell clients of STUN and TURN servers for calls",
	.is_optional = true,
	.options_size = sizeof(struct extdisco_options),
	.state_size = sizeof(struct extdisco),
	.options = options,
	.iq = routes,
	.features = features,
	.check = extdisco_check,
	.start = extdisco_start,
	.reload = extdisco_start,
	.stop = extdisco_stop,
};
