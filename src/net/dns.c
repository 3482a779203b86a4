/* SPDX-License-Identifier: MIT */
/*
 * c-ares tells which of its sockets it wants to hear of; each gets a poll
 * handle of the loop. Its time-outs are one timer of ours.
 */
#include "net/dns.h"

#include "base/err.h"
#include "net/loop_impl.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <pthread.h>

#define TRY_MS 2000
#define TRIES 3

struct watch {
	struct list node;
	uv_poll_t poll;
	ares_socket_t fd;
};

/* The calling thread's resolver. */
static _Thread_local struct {
	ares_channel channel;
	struct list watches;
	struct timer timer;
	char *servers;
	size_t asked;  /* questions that are not answered */
	uint32_t life; /* counts its openings */
	bool is_open;
	bool is_ending;
} dns;

/* A question under way, and what came of it. */
struct question {
	dns_srv_fn *srv;   /* one of the two */
	dns_addr_fn *addr; /* and the other is NULL */
	void *ctx;
	uint32_t life;
	uint16_t port;
	int err;
	size_t count;
	struct dns_srv rows[DNS_SRV_MAX];
	struct addr addrs[DNS_ADDR_MAX];
};

static void dns_wait(void);

/* Sockets ----------------------------------------------------------------- */

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = (struct watch *)poll->data;
	ares_socket_t fd = w->fd;
	bool reads = status < 0 || (events & UV_READABLE) != 0;
	bool writes = status < 0 || (events & UV_WRITABLE) != 0;

	/* It may be gone after the first. */
	ares_process_fd(dns.channel, reads ? fd : ARES_SOCKET_BAD,
	    writes ? fd : ARES_SOCKET_BAD);
	dns_wait();
}

static void
on_closed(uv_handle_t *handle)
{
	xfree(handle->data);
}

static struct watch *
watch_of(ares_socket_t fd)
{
	struct watch *w;

	LIST_EACH(w, &dns.watches, struct watch, node)
	{
		if (w->fd == fd)
			return w;
	}
	return NULL;
}

static void
on_socket(void *ctx, ares_socket_t fd, int reads, int writes)
{
	struct watch *w = watch_of(fd);

	if (!reads && !writes) {
		if (w == NULL)
			return;
		list_del(&w->node);
		uv_close((uv_handle_t *)&w->poll, on_closed);
		return;
	}
	if (w == NULL) {
		w = (struct watch *)xzalloc(sizeof(*w));
		w->fd = fd;
		w->poll.data = w;
		must(uv_poll_init(
			 (uv_loop_t *)loop_uv(loop_self()), &w->poll, fd) == 0);
		list_add(&dns.watches, &w->node);
	}
	uv_poll_start(&w->poll,
	    (reads ? UV_READABLE : 0) | (writes ? UV_WRITABLE : 0), on_poll);
}

static void
on_timer(struct timer *t)
{
	ares_process_fd(dns.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns_wait();
}

/* Wakes when the next question wants to be asked again. */
static void
dns_wait(void)
{
	struct timeval tv;

	if (ares_timeout(dns.channel, NULL, &tv) == NULL)
		timer_stop(&dns.timer);
	else
		timer_start(&dns.timer,
		    (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 +
			1,
		    on_timer);
}

/* Life --------------------------------------------------------------------- */

static void
library_init(void)
{
	must(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
}

static bool
dns_open(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ares_options options = {
		.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = on_socket,
	};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS;

	if (dns.is_open)
		return true;
	pthread_once(&once, library_init);
	list_init(&dns.watches);
	/* No domains: names are whole. */
	if (ares_init_options(&dns.channel, &options, mask) != ARES_SUCCESS)
		return false;
	dns.is_open = true;
	if (dns.servers != NULL)
		(void)ares_set_servers_ports_csv(dns.channel, dns.servers);
	return true;
}

static void
dns_close(void)
{
	if (!dns.is_open)
		return;
	dns.is_ending = true;
	ares_destroy(dns.channel);
	timer_stop(&dns.timer);
	dns.is_ending = false;
	dns.is_open = false;
	dns.asked = 0;
	dns.life++;
}

static bool
servers_are_fine(const char *servers)
{
	ares_channel channel;
	bool is_fine;

	if (ares_init(&channel) != ARES_SUCCESS)
		return false;
	is_fine = ares_set_servers_ports_csv(channel, servers) == ARES_SUCCESS;
	ares_destroy(channel);
	return is_fine;
}

int
dns_use(const char *servers)
{
	const char *text = servers != NULL ? servers : "";

	if (strcmp(dns.servers != NULL ? dns.servers : "", text) == 0)
		return 0;
	if (text[0] != '\0' && !servers_are_fine(text))
		return ERR_INVALID;
	/* With a new channel, so that "" means the system's again. */
	if (dns.asked > 0)
		return 0;
	dns_close();
	xfree(dns.servers);
	dns.servers = text[0] != '\0' ? xstrdup(text) : NULL;
	return 0;
}

void
dns_thread_done(void)
{
	dns_close();
	xfree(dns.servers);
	dns.servers = NULL;
}

/* Questions ---------------------------------------------------------------- */

static struct question *
question_new(void *ctx)
{
	struct question *q = (struct question *)xzalloc(sizeof(*q));

	q->ctx = ctx;
	q->life = dns.life;
	dns.asked++;
	return q;
}

static void
on_answered(void *msg)
{
	struct question *q = (struct question *)msg;

	if (q->life == dns.life) {
		dns.asked--;
		if (q->srv != NULL)
			q->srv(q->ctx, q->err, q->rows, q->count);
		else
			q->addr(q->ctx, q->err, q->addrs, q->count);
	}
	xfree(q);
}

/* Not from inside c-ares, which does not like to be called meanwhile. */
static void
question_answer(struct question *q, int status)
{
	if (dns.is_ending) {
		xfree(q);
		return;
	}
	switch (status) {
	case ARES_SUCCESS:
		q->err = q->count > 0 ? 0 : ERR_ABSENT;
		break;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_ENONAME:
	case ARES_EBADNAME:
		q->err = ERR_ABSENT;
		break;
	case ARES_ETIMEOUT:
		q->err = ERR_TIMEOUT;
		break;
	default:
		q->err = ERR_INVALID;
	}
	loop_post(loop_self(), on_answered, q);
}

int
dns_srv_parse(
    const unsigned char *p, size_t n, struct dns_srv rows[DNS_SRV_MAX])
{
	struct ares_srv_reply *replies = NULL, *r;
	int status = ares_parse_srv_reply(p, (int)n, &replies), count = 0;

	if (status == ARES_ENODATA)
		return 0;
	if (status != ARES_SUCCESS)
		return -1;
	for (r = replies; r != NULL && count < DNS_SRV_MAX; r = r->next) {
		struct dns_srv *row = &rows[count];
		size_t len = strlen(r->host);

		if (len > 0 && r->host[len - 1] == '.')
			len--;
		if (len >= sizeof(row->target))
			continue;
		row->priority = r->priority;
		row->weight = r->weight;
		row->port = r->port;
		memcpy(row->target, r->host, len);
		row->target[len] = '\0';
		count++;
	}
	ares_free_data(replies);
	return count;
}

static void
on_srv(void *ctx, int status, int timeouts, unsigned char *p, int n)
{
	struct question *q = (struct question *)ctx;
	int count;

	if (status == ARES_SUCCESS) {
		count = dns_srv_parse(p, (size_t)n, q->rows);
		if (count < 0)
			status = ARES_EBADRESP;
		else
			q->count = (size_t)count;
	}
	question_answer(q, status);
}

void
dns_srv(const char *name, dns_srv_fn *found, void *ctx)
{
	struct question *q;
	bool is_open = dns_open();

	q = question_new(ctx);
	q->srv = found;
	if (!is_open) {
		question_answer(q, ARES_ENOTINITIALIZED);
		return;
	}
	ares_query(dns.channel, name, ns_c_in, ns_t_srv, on_srv, q);
	dns_wait();
}

static void
on_addrs(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct question *q = (struct question *)ctx;
	struct ares_addrinfo_node *n = info != NULL ? info->nodes : NULL;

	for (; n != NULL && q->count < DNS_ADDR_MAX; n = n->ai_next) {
		struct addr *a = &q->addrs[q->count];

		if (n->ai_addrlen > sizeof(a->ss))
			continue;
		memcpy(&a->ss, n->ai_addr, n->ai_addrlen);
		a->len = n->ai_addrlen;
		if (a->ss.sa.sa_family == AF_INET6)
			a->ss.in6.sin6_port = htons(q->port);
		else
			a->ss.in.sin_port = htons(q->port);
		q->count++;
	}
	if (info != NULL)
		ares_freeaddrinfo(info);
	question_answer(q, status);
}

void
dns_addrs(const char *host, uint16_t port, dns_addr_fn *found, void *ctx)
{
	struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct question *q;
	bool is_open = dns_open();

	q = question_new(ctx);
	q->addr = found;
	q->port = port;
	if (!is_open) {
		question_answer(q, ARES_ENOTINITIALIZED);
		return;
	}
	ares_getaddrinfo(dns.channel, host, NULL, &hints, on_addrs, q);
	dns_wait();
}

/* Order -------------------------------------------------------------------- */

/* Those of no weight first, so that they have a small chance. */
static bool
comes_before(const struct dns_srv *a, const struct dns_srv *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	return a->weight == 0 && b->weight != 0;
}

static void
rows_sort(struct dns_srv *rows, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct dns_srv row = rows[i];
		size_t at = i;

		while (at > 0 && comes_before(&row, &rows[at - 1])) {
			rows[at] = rows[at - 1];
			at--;
		}
		rows[at] = row;
	}
}

/* Moves one of the rows, which are of one priority, to the front. */
static void
row_draw(struct dns_srv *rows, size_t count, uint64_t (*draw)(uint64_t n))
{
	uint64_t sum = 0, at;
	size_t i = 0;
	struct dns_srv row;

	for (size_t k = 0; k < count; k++)
		sum += rows[k].weight;
	at = draw(sum + 1);
	for (sum = rows[0].weight; sum < at; sum += rows[i].weight)
		i++;
	row = rows[i];
	memmove(&rows[1], rows, i * sizeof(row));
	rows[0] = row;
}

void
dns_srv_order(struct dns_srv *rows, size_t count, uint64_t (*draw)(uint64_t n))
{
	rows_sort(rows, count);
	for (size_t i = 0; i < count; i++) {
		size_t n = 1;

		while (
		    i + n < count && rows[i + n].priority == rows[i].priority)
			n++;
		if (n > 1)
			row_draw(&rows[i], n, draw);
	}
}
