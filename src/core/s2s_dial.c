/* SPDX-License-Identifier: MIT */
/*
 * From a domain to connections: SRV of both kinds (XEP-0368), or else the
 * domain itself at port 5269; then each address of each target in turn.
 */
#include "base/err.h"
#include "base/random.h"
#include "core/conf.h"
#include "core/s2s_impl.h"

#include <idn2.h>
#include <stdio.h>

#define CONNECT_MS 8000
#define DEFAULT_PORT 5269

struct target {
	struct dns_srv srv;
	bool is_direct;
};

struct dial {
	struct list node;
	dial_fn *fn; /* NULL: nobody waits any more */
	void *ctx;
	char domain[DNS_NAME_MAX];
	unsigned asked; /* questions under way, whose answers name it */
	struct target targets[2 * DNS_SRV_MAX];
	size_t target_count, target_at;
	struct addr addrs[DNS_ADDR_MAX];
	size_t addr_count, addr_at;
	bool is_direct;	 /* of the target at work */
	bool is_refused; /* a target of "." */
	int err;	 /* the last that went wrong */
	int srv_err;
	struct connecting *connecting;
};

static _Thread_local struct list dials;

static void
dial_settle(struct dial *d)
{
	if (d->fn != NULL || d->asked > 0)
		return;
	list_del(&d->node);
	xfree(d);
}

/* Addresses ---------------------------------------------------------------- */

static void
on_connected(void *ctx, struct conn *c, int err)
{
	struct dial *d = (struct dial *)ctx;

	d->connecting = NULL;
	if (c != NULL) {
		d->fn(d->ctx, c, d->is_direct, 0);
		return;
	}
	d->err = err;
	dial_next(d);
}

static void
on_addrs(void *ctx, int err, const struct addr *addrs, size_t count)
{
	struct dial *d = (struct dial *)ctx;

	d->asked--;
	if (d->fn == NULL) {
		dial_settle(d);
		return;
	}
	if (err < 0 && d->err == 0)
		d->err = err;
	memcpy(d->addrs, addrs, count * sizeof(*addrs));
	d->addr_count = count;
	d->addr_at = 0;
	dial_next(d);
}

void
dial_next(struct dial *d)
{
	struct target *t;

	if (d->addr_at < d->addr_count) {
		d->connecting = conn_connect(
		    &d->addrs[d->addr_at++], CONNECT_MS, on_connected, d);
		return;
	}
	if (d->target_at == d->target_count) {
		d->fn(d->ctx, NULL, false, d->err < 0 ? d->err : ERR_CLOSED);
		return;
	}
	t = &d->targets[d->target_at++];
	d->is_direct = t->is_direct;
	d->asked++;
	dns_addrs(t->srv.target, t->srv.port, on_addrs, d);
}

/* Targets ------------------------------------------------------------------ */

static uint64_t
draw(uint64_t n)
{
	return random_u64() % n;
}

/* Both kinds are one list, of which each row keeps its kind (0368). */
static void
targets_order(struct dial *d)
{
	struct dns_srv rows[2 * DNS_SRV_MAX];
	bool is_used[2 * DNS_SRV_MAX] = { false };
	struct target sorted[2 * DNS_SRV_MAX] = { 0 };
	size_t n = d->target_count;

	for (size_t i = 0; i < n; i++)
		rows[i] = d->targets[i].srv;
	dns_srv_order(rows, n, draw);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (is_used[k] ||
		       memcmp(&rows[i], &d->targets[k].srv, sizeof(*rows)) != 0)
			k++;
		is_used[k] = true;
		sorted[i] = d->targets[k];
	}
	memcpy(d->targets, sorted, n * sizeof(*sorted));
}

static void
targets_done(struct dial *d)
{
	if (d->target_count > 0) {
		targets_order(d);
	} else if (d->is_refused) {
		d->err = ERR_ABSENT;
	} else if (d->srv_err != 0) {
		d->err = d->srv_err;
	} else {
		struct target *t = &d->targets[d->target_count++];

		memcpy(t->srv.target, d->domain, sizeof(d->domain));
		t->srv.port = DEFAULT_PORT;
	}
	dial_next(d);
}

static void
on_srv(struct dial *d, int err, const struct dns_srv *rows, size_t count,
    bool is_direct)
{
	d->asked--;
	if (d->fn == NULL) {
		dial_settle(d);
		return;
	}
	if (err < 0 && err != ERR_ABSENT)
		d->srv_err = err;
	for (size_t i = 0; i < count; i++) {
		if (rows[i].target[0] == '\0') {
			d->is_refused |= !is_direct;
			continue;
		}
		d->targets[d->target_count].srv = rows[i];
		d->targets[d->target_count++].is_direct = is_direct;
	}
	if (d->asked == 0)
		targets_done(d);
}

static void
on_srv_tls(void *ctx, int err, const struct dns_srv *rows, size_t count)
{
	on_srv((struct dial *)ctx, err, rows, count, true);
}

static void
on_srv_plain(void *ctx, int err, const struct dns_srv *rows, size_t count)
{
	on_srv((struct dial *)ctx, err, rows, count, false);
}

/* Life --------------------------------------------------------------------- */

static void
on_no_name(void *ctx, int err, const struct addr *addrs, size_t count)
{
	on_addrs(ctx, ERR_ABSENT, addrs, 0);
}

static bool
domain_ascii(struct str domain, char ascii_r[DNS_NAME_MAX])
{
	char text[DNS_NAME_MAX], *ascii = NULL;
	bool fits;

	if (domain.n >= sizeof(text))
		return false;
	memcpy(text, domain.p, domain.n);
	text[domain.n] = '\0';
	if (idn2_to_ascii_8z(
		text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	/* With the service before it. */
	fits = strlen(ascii) + 20 < DNS_NAME_MAX;
	if (fits)
		memcpy(ascii_r, ascii, strlen(ascii) + 1);
	idn2_free(ascii);
	return fits;
}

struct dial *
dial_start(struct str domain, dial_fn *fn, void *ctx)
{
	struct dial *d = (struct dial *)xzalloc(sizeof(*d));
	char name[DNS_NAME_MAX + 20];

	if (dials.next == NULL)
		list_init(&dials);
	list_add(&dials, &d->node);
	d->fn = fn;
	d->ctx = ctx;
	(void)dns_use(conf_now()->dns.servers_text);
	if (!domain_ascii(domain, d->domain)) {
		d->asked = 1;
		dns_addrs("invalid", 0, on_no_name, d);
		return d;
	}
	d->asked = 2;
	snprintf(name, sizeof(name), "_xmpps-server._tcp.%s", d->domain);
	dns_srv(name, on_srv_tls, d);
	snprintf(name, sizeof(name), "_xmpp-server._tcp.%s", d->domain);
	dns_srv(name, on_srv_plain, d);
	return d;
}

const char *
dial_name(const struct dial *d)
{
	return d->domain;
}

void
dial_free(struct dial **d)
{
	struct dial *gone = *d;

	*d = NULL;
	if (gone == NULL)
		return;
	gone->fn = NULL;
	conn_connect_stop(&gone->connecting);
	dial_settle(gone);
}

void
dials_stop(void)
{
	struct dial *d;

	if (dials.next == NULL)
		return;
	LIST_EACH(d, &dials, struct dial, node)
	{
		conn_connect_stop(&d->connecting);
		list_del(&d->node);
		xfree(d);
	}
}
