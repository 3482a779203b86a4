/* SPDX-License-Identifier: MIT */
/* What the world sees of a host: certificates, names, ports. */
#include "base/clock.h"
#include "base/err.h"
#include "core/check_impl.h"
#include "net/probe.h"

#include <idn2.h>

/* One port that does not answer takes so long. */
#define PORT_MS SECONDS(3)
#define TARGETS_MAX 4
#define ADDRS_MAX 4

/* A way to reach us. */
struct way {
	const char *service;   /* of SRV */
	const char *alpn;      /* with TLS from the start; else NULL */
	const char *namespace; /* of the stream */
	uint16_t port;	       /* of ours; 0: we have none */
	uint16_t usual;	       /* without SRV; 0: not to be found so */
	struct str domain;
	bool is_service; /* some can do without */
};

/* Certificates -------------------------------------------------------------*/

static const char *
in_ascii(struct check *c, struct str name)
{
	const char *text = str_dup_c(c->arena, name), *copy = NULL;
	char *ascii = NULL;

	if (idn2_to_ascii_8z(
		text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK)
		copy = str_dup_c(c->arena, str_c(ascii));
	idn2_free(ascii);
	return copy != NULL && strlen(copy) < DNS_NAME_MAX - 40 ? copy : NULL;
}

static void
judge(struct check *c, struct str name, const struct tls_report *r)
{
	const char *what =
	    arena_printf(c->arena, "certificate of " STR_FMT, STR_ARG(name));

	if (r->is_expired)
		check_say(c, CHECK_FAIL,
		    "renew it, then rookeryctl reload_config", what,
		    "%s has expired", r->file);
	else if (r->is_own)
		check_say(c, CHECK_FAIL,
		    "certificates: [FILE]; docs/certificates.md has how to "
		    "get one",
		    what, "it is signed by itself: nobody trusts it");
	else if (r->why != NULL)
		check_say(c, CHECK_FAIL,
		    "put the authority's intermediate certificates behind it "
		    "in the same file (certbot: fullchain.pem)",
		    what, "%s: %s", r->file, r->why);
	else
		check_say(c, r->days < 14 ? CHECK_WARNING : CHECK_OK,
		    "renew it, then rookeryctl reload_config (certbot: a "
		    "deploy hook, docs/certificates.md)",
		    what, "%s, %lld days left", r->file, (long long)r->days);
}

void
check_certificates(struct check *c)
{
	const struct check_host *h = c->now;
	struct tls_report r;

	if (tls_report(h->name, &r))
		judge(c, h->name, &r);
	else
		check_say(c, CHECK_FAIL,
		    "certificates: [FILE], with one that names the host",
		    "certificate", "none names " STR_FMT, STR_ARG(h->name));
	if (!c->is_federated)
		return;
	for (size_t i = 0; i < h->service_count; i++)
		if (!tls_report(h->services[i], &r))
			check_say(c, CHECK_WARNING,
			    "add the name to the certificate: other servers "
			    "want it for what is there",
			    "certificate", "none names " STR_FMT,
			    STR_ARG(h->services[i]));
}

/* Ports --------------------------------------------------------------------*/

static const char *
opening(struct check *c, const struct way *w)
{
	return arena_printf(c->arena,
	    "<?xml version='1.0'?><stream:stream to='" STR_FMT "' "
	    "version='1.0' xmlns='%s' "
	    "xmlns:stream='http://etherx.jabber.org/streams'>",
	    STR_ARG(w->domain), w->namespace);
}

/* Up to the certificate; NULL, or what is wrong. */
static const char *
talk(struct check *c, const struct way *w, struct probe_conn *conn,
    const char *server, uint64_t until)
{
	struct str hello = str_c(opening(c, w));
	const char *why = NULL;

	if (w->alpn == NULL) {
		if (probe_ask(conn, hello, "</stream:features>", until) < 0)
			return "it does not answer as an XMPP server";
		if (probe_ask(conn,
			STR("<starttls "
			    "xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
			"<proceed", until) < 0)
			return "there is no STARTTLS";
	}
	if (probe_tls(conn, server, w->domain, w->alpn, until, &why) < 0)
		return why;
	if (probe_ask(conn, hello, "</stream:features>", until) < 0)
		return "it does not answer as an XMPP server";
	return why;
}

/* Is it reached there, and are we who we should be? */
static bool
try_address(struct check *c, const struct way *w, const char *what,
    const struct addr *addr, const char *server)
{
	uint64_t until = MIN(c->until, clock_mono() + PORT_MS);
	char ip[ADDR_TEXT_MAX];
	const char *why;
	struct probe_conn *conn;
	int err;

	addr_ip(addr, ip);
	conn = probe_dial(addr, until, &err);
	if (conn == NULL) {
		check_say(c, CHECK_FAIL,
		    "open the port in the firewall, let it come to this "
		    "machine, or take the address out of DNS",
		    what, "%s port %u cannot be reached: %s", ip,
		    addr_port(addr), err_text(err));
		return false;
	}
	why = talk(c, w, conn, server, until);
	probe_close(&conn);
	check_say(c, why == NULL ? CHECK_OK : CHECK_FAIL,
	    "see what answers there: is it this server, with this "
	    "certificate?",
	    what, "%s port %u: %s", ip, addr_port(addr),
	    why == NULL ? "reached, and the certificate is good" : why);
	return why == NULL;
}

static void
try_target(struct check *c, const struct way *w, const char *what,
    const char *target, uint16_t port, const char *server)
{
	struct addr addrs[DNS_ADDR_MAX];
	size_t count;
	int err = probe_addrs(c->dns, target, port, addrs, &count);

	if (err < 0)
		check_say(c, CHECK_FAIL,
		    arena_printf(
			c->arena, "%s. IN A (and AAAA) ADDRESS", target),
		    what, "%s has no address: %s", target, err_text(err));
	for (size_t i = 0; i < count && i < ADDRS_MAX; i++)
		try_address(c, w, what, &addrs[i], server);
}

/* Names --------------------------------------------------------------------*/

static void
without_srv(struct check *c, const struct way *w, const char *domain,
    const char *name, const char *what)
{
	struct addr addrs[DNS_ADDR_MAX];
	size_t count = 0;
	const char *advice = arena_printf(
	    c->arena, "%s. 3600 IN SRV 5 1 %u %s.", name, w->port, domain);

	if (w->port == 0)
		return;
	if (w->usual == w->port)
		(void)probe_addrs(c->dns, domain, w->port, addrs, &count);
	if (w->usual == 0 || count > 0 || w->is_service)
		check_say(c, CHECK_WARNING, advice, what, "there is no SRV");
	else
		check_say(c, CHECK_FAIL, advice, what,
		    "there is no SRV, and nothing else that leads here");
	if (count > 0)
		try_target(c, w, what, domain, w->port, domain);
}

static void
try_way(struct check *c, const struct way *w, const char *domain)
{
	const char *name =
	    arena_printf(c->arena, "_%s._tcp.%s", w->service, domain);
	const char *what = arena_printf(c->arena, "DNS %s", name);
	struct dns_srv rows[DNS_SRV_MAX];
	size_t count;
	int err = probe_srv(c->dns, name, rows, &count);

	if (err != 0 && err != ERR_ABSENT) {
		/* What follows would wait as long. */
		c->is_dns_dead = true;
		check_say(c, CHECK_FAIL,
		    "dns: {servers: [IP]}, or look at /etc/resolv.conf", what,
		    "DNS does not answer: %s", err_text(err));
		return;
	}
	if (count == 0) {
		without_srv(c, w, domain, name, what);
		return;
	}
	for (size_t i = 0; i < count && i < TARGETS_MAX; i++) {
		if (rows[i].target[0] == '\0')
			check_say(c, w->port != 0 ? CHECK_WARNING : CHECK_OK,
			    "take out the SRV of target '.'", what,
			    "it says that there is no such service");
		else
			try_target(
			    c, w, what, rows[i].target, rows[i].port, domain);
	}
}

static void
try_servers(struct check *c, struct str name, bool is_service)
{
	const char *domain = in_ascii(c, name);
	struct way ways[] = {
		{ "xmpp-server", NULL, "jabber:server", c->s2s_port, 5269, name,
		    is_service },
		{ "xmpps-server", "xmpp-server", "jabber:server",
		    c->s2s_tls_port, 0, name, is_service },
	};

	/* One of the two is enough. */
	for (size_t i = 0; domain != NULL && i < ARRAY_LEN(ways); i++)
		if (ways[i].port != 0 && !c->is_dns_dead)
			try_way(c, &ways[i], domain);
}

static void
check_caa(struct check *c, const char *domain)
{
	char text[520];

	if (probe_caa(c->dns, domain, text, sizeof(text)) == 0)
		check_say(c, CHECK_OK, NULL, "DNS CAA",
		    "certificates may be issued by: %s",
		    text[0] != '\0' ? text : "nobody");
	else
		check_say(c, CHECK_WARNING,
		    arena_printf(c->arena,
			"%s. IN CAA 0 issue \"letsencrypt.org\"", domain),
		    "DNS CAA", "any authority may issue certificates");
}

/* XEP-0156: browsers ask the domain itself. */
static bool
tells_ways(struct check *c, const char *domain, const struct addr *addr)
{
	uint64_t until = MIN(c->until, clock_mono() + PORT_MS);
	const char *ask, *why;
	struct probe_conn *conn;
	bool is_fine;
	int err;

	conn = probe_dial(addr, until, &err);
	if (conn == NULL)
		return false;
	ask = arena_printf(c->arena,
	    "GET /.well-known/host-meta HTTP/1.1\r\nHost: %s\r\n"
	    "Connection: close\r\n\r\n",
	    domain);
	is_fine = probe_tls(conn, domain, c->now->name, "http/1.1", until,
		      &why) == 0 &&
		  why == NULL &&
		  probe_ask(conn, str_c(ask),
		      "urn:xmpp:alt-connections:", until) == 0;
	probe_close(&conn);
	return is_fine;
}

static void
check_host_meta(struct check *c, const char *domain)
{
	const char *what =
	    arena_printf(c->arena, "https://%s/.well-known/host-meta", domain);
	struct addr addrs[DNS_ADDR_MAX];
	size_t count = 0;

	if (c->https_port == 0)
		return;
	(void)probe_addrs(c->dns, domain, 443, addrs, &count);
	for (size_t i = 0; i < count && i < ADDRS_MAX; i++) {
		if (!tells_ways(c, domain, &addrs[i]))
			continue;
		check_say(c, CHECK_OK, NULL, what,
		    "browsers are told where to connect");
		return;
	}
	check_say(c, CHECK_WARNING,
	    "let the web server of the domain forward it to our listener of "
	    "type http, see docs/dns.md",
	    what, "browsers are not told where to connect");
}

void
check_names(struct check *c)
{
	struct check_host *h = c->now;
	const char *domain = in_ascii(c, h->name);
	struct way ways[] = {
		{ "xmpp-client", NULL, "jabber:client", c->starttls_port, 5222,
		    h->name, false },
		{ "xmpps-client", "xmpp-client", "jabber:client", c->tls_port,
		    0, h->name, false },
	};

	if (domain == NULL || strchr(domain, '.') == NULL) {
		check_say(c, CHECK_WARNING, "hosts: [a domain of yours]", "DNS",
		    STR_FMT " is no domain that others could find",
		    STR_ARG(h->name));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(ways) && !c->is_dns_dead; i++)
		try_way(c, &ways[i], domain);
	if (c->is_dns_dead)
		return;
	if (!c->is_federated)
		check_say(c, CHECK_WARNING, "listen: {type: s2s, port: 5269}",
		    "other servers", "nobody elsewhere can be reached");
	else
		try_servers(c, h->name, false);
	for (size_t i = 0; c->is_federated && i < h->service_count; i++)
		try_servers(c, h->services[i], true);
	check_caa(c, domain);
	check_host_meta(c, domain);
}

/* STUN and TURN ------------------------------------------------------------*/

static void
try_relay(struct check *c, const struct check_relay *r)
{
	uint64_t until = MIN(c->until, clock_mono() + PORT_MS);
	const char *host = str_dup_c(c->arena, r->host);
	struct addr addrs[DNS_ADDR_MAX];
	struct probe_conn *conn = NULL;
	size_t count = 0;
	int err;

	if (addr_parse(r->host, r->port, &addrs[0]) == 0)
		err = 0;
	else
		err = probe_addrs(c->dns, host, r->port, addrs, &count);
	if (err == 0 && r->is_udp)
		err = probe_stun(&addrs[0], until);
	else if (err == 0)
		conn = probe_dial(&addrs[0], until, &err);
	probe_close(&conn);
	check_say(c, err == 0 ? CHECK_OK : CHECK_FAIL,
	    "start it, open its port, or take it out of the configuration",
	    "calls", "%s port %u over %s: %s", host, r->port,
	    r->is_udp ? "UDP" : "TCP", err == 0 ? "it answers" : err_text(err));
}

void
check_relays(struct check *c)
{
	const struct check_host *h = c->now;

	if (!h->tells_relays || h->relay_count == 0)
		check_say(c, CHECK_WARNING,
		    "docs/operating.md, Calls: coturn, and a few lines of "
		    "configuration",
		    "calls", "no TURN server: many calls will not come about");
	for (size_t i = 0; i < h->relay_count; i++)
		try_relay(c, &h->relays[i]);
}
