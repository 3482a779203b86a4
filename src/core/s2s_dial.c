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
#include <stdarg.h>
#include <stdio.h>

#define CONNECT_MS 8000
/* RFC 8305: between attempts, and how long the first answer waits. */
#define STAGGER_MS 250
#define RESOLVE_MS 50
#define DEFAULT_PORT 5269

struct target;

struct candidate {
	struct target *target;
	struct addr addr;
	struct connecting *connecting; /* while it is tried */
	bool is_over;		       /* it was tried, in vain */
};

struct target {
	struct dns_srv srv;
	struct dial *dial;
	bool is_direct;
	bool is_asked, is_known; /* its addresses */
	struct candidate candidates[DNS_ADDR_MAX];
	size_t count;
};

struct dial {
	struct list node;
	dial_fn *fn; /* NULL: nobody waits any more */
	void *ctx;
	void (*tell)(void *ctx, const char *text); /* or NULL */
	char domain[DNS_NAME_MAX];
	unsigned asked; /* questions under way, whose answers name it */
	struct dns_srv rows[2 * DNS_SRV_MAX]; /* as they came */
	bool is_direct[2 * DNS_SRV_MAX];
	struct target targets[2 * DNS_SRV_MAX];
	size_t target_count;
	size_t group_at, group_end; /* those of one priority, at work */
	bool is_refused;	    /* a target of "." */
	int err;		    /* the last that went wrong */
	int srv_err;
	struct timer next; /* the next attempt, beside those at work */
};

static _Thread_local struct list dials;

static void dial_step(struct dial *d, bool may_skip);

static void
dial_settle(struct dial *d)
{
	if (d->fn != NULL || d->asked > 0)
		return;
	list_del(&d->node);
	xfree(d);
}

static void PRINTF_LIKE(2, 3) dial_tell(struct dial *d, const char *fmt, ...)
{
	char text[DNS_NAME_MAX + 200];
	va_list args;

	if (d->tell == NULL || d->fn == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	d->tell(d->ctx, text);
}

/* Addresses, raced (RFC 8305) ---------------------------------------------- */

/* Those at work are stopped, and may be tried again. */
static void
attempts_stop(struct dial *d)
{
	timer_stop(&d->next);
	for (size_t i = d->group_at; i < d->group_end; i++) {
		struct target *t = &d->targets[i];

		for (size_t k = 0; k < t->count; k++)
			conn_connect_stop(&t->candidates[k].connecting);
	}
}

static void
on_connected(void *ctx, struct conn *c, int err)
{
	struct candidate *k = (struct candidate *)ctx;
	struct target *t = k->target;
	struct dial *d = t->dial;
	char ip[ADDR_TEXT_MAX];

	k->connecting = NULL;
	k->is_over = true;
	addr_ip(&k->addr, ip);
	if (c == NULL) {
		dial_tell(d, "TCP to %s port %u: %s", ip,
		    (unsigned)addr_port(&k->addr), err_text(err));
		d->err = err;
		dial_step(d, true);
		return;
	}
	dial_tell(d, "TCP to %s port %u: connected%s", ip,
	    (unsigned)addr_port(&k->addr),
	    t->is_direct ? ", for direct TLS" : "");
	attempts_stop(d);
	d->fn(d->ctx, c, t->is_direct, 0);
}

static void
on_next(struct timer *timer)
{
	dial_step(CONTAINER_OF(timer, struct dial, next), true);
}

/* The families in turn, beginning with the one that came first. */
static void
candidates_set(struct target *t, const struct addr *addrs, size_t count)
{
	bool is_used[DNS_ADDR_MAX] = { false };
	int family = count > 0 ? addrs[0].ss.sa.sa_family : 0;

	while (t->count < count) {
		size_t i = 0, any = count;

		for (; i < count; i++) {
			if (is_used[i])
				continue;
			if (any == count)
				any = i;
			if (addrs[i].ss.sa.sa_family == family)
				break;
		}
		if (i == count)
			i = any;
		is_used[i] = true;
		t->candidates[t->count++] =
		    (struct candidate){ .target = t, .addr = addrs[i] };
		family =
		    addrs[i].ss.sa.sa_family == AF_INET ? AF_INET6 : AF_INET;
	}
}

static void
on_addrs(void *ctx, int err, const struct addr *addrs, size_t count)
{
	struct target *t = (struct target *)ctx;
	struct dial *d = t->dial;

	d->asked--;
	if (d->fn == NULL) {
		dial_settle(d);
		return;
	}
	t->is_known = true;
	if (err < 0 && d->err == 0)
		d->err = err;
	if (count == 0)
		dial_tell(d, "DNS: %s has no address: %s", t->srv.target,
		    err_text(err));
	candidates_set(t, addrs, count);
	dial_step(d, false);
}

/* The first that was not tried. may_skip: over targets not known yet. */
static struct candidate *
candidate_next(struct dial *d, bool may_skip, bool *is_waiting_r)
{
	*is_waiting_r = false;
	for (size_t i = d->group_at; i < d->group_end; i++) {
		struct target *t = &d->targets[i];

		if (!t->is_known) {
			*is_waiting_r = true;
			if (!may_skip)
				return NULL;
			continue;
		}
		for (size_t k = 0; k < t->count; k++)
			if (!t->candidates[k].is_over &&
			    t->candidates[k].connecting == NULL)
				return &t->candidates[k];
	}
	return NULL;
}

static bool
is_at_work(const struct dial *d)
{
	for (size_t i = d->group_at; i < d->group_end; i++)
		for (size_t k = 0; k < d->targets[i].count; k++)
			if (d->targets[i].candidates[k].connecting != NULL)
				return true;
	return false;
}

/* The targets of the next priority; false: there are none. */
static bool
group_next(struct dial *d)
{
	d->group_at = d->group_end;
	while (d->group_end < d->target_count &&
	       d->targets[d->group_end].srv.priority ==
		   d->targets[d->group_at].srv.priority) {
		struct target *t = &d->targets[d->group_end++];

		d->asked++;
		dns_addrs(t->srv.target, t->srv.port, on_addrs, t);
	}
	return d->group_end > d->group_at;
}

/*
 * Begins one more attempt, if there is something to be tried; else waits for
 * what is under way, goes on to the next priority, or says that it is over.
 */
static void
dial_step(struct dial *d, bool may_skip)
{
	bool is_waiting;
	struct candidate *k = candidate_next(d, may_skip, &is_waiting);

	if (k != NULL) {
		k->connecting =
		    conn_connect(&k->addr, CONNECT_MS, on_connected, k);
		timer_start(&d->next, STAGGER_MS, on_next);
		return;
	}
	if (is_waiting && !may_skip)
		timer_start(&d->next, RESOLVE_MS, on_next);
	if (is_waiting || is_at_work(d) || group_next(d))
		return;
	d->fn(d->ctx, NULL, false, d->err < 0 ? d->err : ERR_CLOSED);
}

void
dial_next(struct dial *d)
{
	dial_step(d, true);
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
	struct dns_srv rows[2 * DNS_SRV_MAX], *old = d->rows;
	bool is_used[2 * DNS_SRV_MAX] = { false };
	size_t n = d->target_count;

	memcpy(rows, old, n * sizeof(*rows));
	dns_srv_order(rows, n, draw);
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (
		    is_used[k] || memcmp(&rows[i], &old[k], sizeof(*rows)) != 0)
			k++;
		is_used[k] = true;
		d->targets[i].srv = rows[i];
		d->targets[i].is_direct = d->is_direct[k];
		dial_tell(d, "DNS: SRV %s port %u, priority %u, weight %u%s",
		    rows[i].target, rows[i].port, rows[i].priority,
		    rows[i].weight, d->is_direct[k] ? ", direct TLS" : "");
	}
}

static void
targets_done(struct dial *d)
{
	for (size_t i = 0; i < ARRAY_LEN(d->targets); i++)
		d->targets[i].dial = d;
	if (d->target_count > 0) {
		targets_order(d);
	} else if (d->is_refused) {
		dial_tell(d, "DNS: SRV says that the domain has no server");
		d->err = ERR_ABSENT;
	} else if (d->srv_err != 0) {
		d->err = d->srv_err;
	} else {
		struct target *t = &d->targets[d->target_count++];

		memcpy(t->srv.target, d->domain, sizeof(d->domain));
		t->srv.port = DEFAULT_PORT;
		dial_tell(d, "DNS: no SRV record: the domain itself, port %u",
		    DEFAULT_PORT);
	}
	dial_step(d, true);
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
		d->rows[d->target_count] = rows[i];
		d->is_direct[d->target_count++] = is_direct;
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
	struct dial *d = (struct dial *)ctx;

	d->asked--;
	if (d->fn == NULL)
		dial_settle(d);
	else
		d->fn(d->ctx, NULL, false, ERR_ABSENT);
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
dial_start(struct str domain, dial_fn *fn, void *ctx,
    void (*tell)(void *ctx, const char *text))
{
	struct dial *d = (struct dial *)xzalloc(sizeof(*d));
	char name[DNS_NAME_MAX + 20];

	if (dials.next == NULL)
		list_init(&dials);
	list_add(&dials, &d->node);
	d->fn = fn;
	d->ctx = ctx;
	d->tell = tell;
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
	attempts_stop(gone);
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
		attempts_stop(d);
		list_del(&d->node);
		xfree(d);
	}
}
