/* SPDX-License-Identifier: MIT */
/* Questions to DNS on a thread that may wait: a channel of its own. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/probe.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>

#define TRY_MS 1500
#define TRIES 2
#define CAA_TYPE 257

struct probe_dns {
	ares_channel channel;
	uint64_t until;
	/* The question under way. */
	bool is_answered;
	int status;
	struct dns_srv *rows;
	struct addr *addrs;
	size_t count;
	uint16_t port;
	struct buf text;
};

struct probe_dns *
probe_dns_new(const char *servers, uint64_t until)
{
	struct probe_dns *d = (struct probe_dns *)xzalloc(sizeof(*d));
	struct ares_options options = { .timeout = TRY_MS, .tries = TRIES };
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS;

	d->until = until;
	if (ares_init_options(&d->channel, &options, mask) != ARES_SUCCESS) {
		xfree(d);
		return NULL;
	}
	if (servers != NULL && servers[0] != '\0')
		(void)ares_set_servers_ports_csv(d->channel, servers);
	return d;
}

void
probe_dns_free(struct probe_dns **d)
{
	struct probe_dns *gone = *d;

	*d = NULL;
	if (gone == NULL)
		return;
	ares_destroy(gone->channel);
	buf_fini(&gone->text);
	xfree(gone);
}

static void
turn(struct probe_dns *d, int ms)
{
	ares_socket_t socks[ARES_GETSOCK_MAXNUM];
	struct pollfd fds[ARES_GETSOCK_MAXNUM];
	int bits = ares_getsock(d->channel, socks, ARES_GETSOCK_MAXNUM);
	nfds_t n = 0;

	for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		short events = 0;

		if (ARES_GETSOCK_READABLE(bits, i))
			events |= POLLIN;
		if (ARES_GETSOCK_WRITABLE(bits, i))
			events |= POLLOUT;
		if (events != 0)
			fds[n++] =
			    (struct pollfd){ .fd = socks[i], .events = events };
	}
	if (poll(fds, n, ms) <= 0)
		ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	for (nfds_t i = 0; i < n; i++)
		ares_process_fd(d->channel,
		    fds[i].revents & ~POLLOUT ? fds[i].fd : ARES_SOCKET_BAD,
		    fds[i].revents & POLLOUT ? fds[i].fd : ARES_SOCKET_BAD);
}

static int
err_of(int status, size_t count)
{
	switch (status) {
	case ARES_SUCCESS:
		return count > 0 ? 0 : ERR_ABSENT;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_ENONAME:
	case ARES_EBADNAME:
		return ERR_ABSENT;
	case ARES_ETIMEOUT:
	case ARES_ECANCELLED:
		return ERR_TIMEOUT;
	default:
		return ERR_INVALID;
	}
}

/* Until the question is answered, or it is too late. */
static int
wait_answer(struct probe_dns *d)
{
	while (!d->is_answered) {
		uint64_t now = clock_mono();

		if (now >= d->until)
			ares_cancel(d->channel);
		else
			turn(d, (int)MIN(d->until - now, 100));
	}
	return err_of(d->status, d->count);
}

static void
ask_begin(struct probe_dns *d)
{
	d->is_answered = false;
	d->count = 0;
}

static void
answered(struct probe_dns *d, int status)
{
	d->status = status;
	d->is_answered = true;
}

/* SRV ----------------------------------------------------------------------*/

static void
on_srv(void *ctx, int status, int timeouts, unsigned char *p, int n)
{
	struct probe_dns *d = (struct probe_dns *)ctx;
	int count;

	if (status == ARES_SUCCESS) {
		count = dns_srv_parse(p, (size_t)n, d->rows);
		if (count < 0)
			status = ARES_EBADRESP;
		else
			d->count = (size_t)count;
	}
	answered(d, status);
}

int
probe_srv(struct probe_dns *d, const char *name,
    struct dns_srv rows[DNS_SRV_MAX], size_t *count_r)
{
	int err;

	ask_begin(d);
	d->rows = rows;
	ares_query(d->channel, name, ns_c_in, ns_t_srv, on_srv, d);
	err = wait_answer(d);
	*count_r = d->count;
	return err;
}

/* Addresses ----------------------------------------------------------------*/

static void
on_addrs(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct probe_dns *d = (struct probe_dns *)ctx;
	struct ares_addrinfo_node *n = info != NULL ? info->nodes : NULL;

	for (; n != NULL && d->count < DNS_ADDR_MAX; n = n->ai_next) {
		struct addr *a = &d->addrs[d->count];

		if (n->ai_addrlen > sizeof(a->ss))
			continue;
		memcpy(&a->ss, n->ai_addr, n->ai_addrlen);
		a->len = n->ai_addrlen;
		if (a->ss.sa.sa_family == AF_INET6)
			a->ss.in6.sin6_port = htons(d->port);
		else
			a->ss.in.sin_port = htons(d->port);
		d->count++;
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
	answered(d, status);
}

int
probe_addrs(struct probe_dns *d, const char *host, uint16_t port,
    struct addr addrs[DNS_ADDR_MAX], size_t *count_r)
{
	struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	int err;

	ask_begin(d);
	d->addrs = addrs;
	d->port = port;
	ares_getaddrinfo(d->channel, host, NULL, &hints, on_addrs, d);
	err = wait_answer(d);
	*count_r = d->count;
	return err;
}

/* CAA (RFC 8659) -----------------------------------------------------------*/

static void
on_caa(void *ctx, int status, int timeouts, unsigned char *p, int n)
{
	struct probe_dns *d = (struct probe_dns *)ctx;
	struct ares_caa_reply *replies = NULL, *r;

	if (status == ARES_SUCCESS)
		status = ares_parse_caa_reply(p, n, &replies);
	for (r = replies; r != NULL; r = r->next) {
		struct str tag = str_mem(r->property, r->plength);

		d->count++;
		if (!str_is(tag, "issue") || d->text.n > 500)
			continue;
		buf_printf(&d->text, "%s" STR_FMT, d->text.n > 0 ? ", " : "",
		    STR_ARG(str_mem(r->value, r->length)));
	}
	ares_free_data(replies);
	answered(d, status);
}

int
probe_caa(struct probe_dns *d, const char *name, char *text_r, size_t size)
{
	int err;

	ask_begin(d);
	buf_fini(&d->text);
	ares_query(d->channel, name, ns_c_in, CAA_TYPE, on_caa, d);
	err = wait_answer(d);
	snprintf(text_r, size, STR_FMT, STR_ARG(buf_str(&d->text)));
	return err;
}
