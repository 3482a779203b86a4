/* SPDX-License-Identifier: MIT */
/*
 * Connections, half of them with TLS, whose owners do anything at any time:
 * pause, move, limit, send, close, abort. Each must end, and just once, and
 * what came before its end must have come in order.
 */
#include "base/err.h"
#include "net/conn_impl.h"
#include "net_help.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOPS 3
#define PEERS 8
#define EACH 40

static char dir[] = "/tmp/test_conn_stress_XXXXXX";
static struct gate ended = GATE_INIT;
static SSL_CTX *client_ctx;

struct owner {
	struct conn *c;
	struct timer timer; /* does something, later */
	uint32_t seed;
	uint8_t next; /* byte that must come */
	bool is_ended;
};

static unsigned
chance(struct owner *o, unsigned n)
{
	o->seed = o->seed * 1664525 + 1013904223;
	return (o->seed >> 8) % n;
}

static void act(struct owner *o);

static void
on_arrived(void *ctx)
{
	act((struct owner *)ctx);
}

static void
on_timer(struct timer *t)
{
	struct owner *o = CONTAINER_OF(t, struct owner, timer);

	conn_resume(o->c);
	conn_set_rate(o->c, 0);
	act(o);
}

static void
send_much(struct owner *o)
{
	static char much[20000];
	struct wire *w = wire_new(str_mem(much, sizeof(much)));

	conn_send(o->c, STR("some"));
	conn_send_wire(o->c, w);
	conn_send_wire(o->c, w);
	wire_unref(&w);
}

/* At most one of these, and nothing after a move. */
static void
act(struct owner *o)
{
	switch (chance(o, 40)) {
	case 0:
	case 1:
	case 2:
	case 3:
		conn_pause(o->c);
		timer_start(&o->timer, chance(o, 3), on_timer);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		timer_stop(&o->timer);
		conn_resume(o->c);
		conn_move(o->c, loop_at(chance(o, LOOPS)), on_arrived);
		break;
	case 8:
		conn_set_rate(o->c, 50000);
		timer_start(&o->timer, 5, on_timer);
		break;
	case 9:
		conn_close(o->c);
		break;
	case 10:
		conn_abort(o->c);
		break;
	default:
		send_much(o);
	}
}

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct owner *o = (struct owner *)ctx;

	must(!o->is_ended);
	for (size_t i = 0; i < n; i++)
		must((uint8_t)p[i] == o->next++);
	act(o);
}

static void
on_secured(void *ctx)
{
	act((struct owner *)ctx);
}

static void
on_drained(void *ctx)
{
	act((struct owner *)ctx);
}

static void
on_closed(void *ctx, int err)
{
	struct owner *o = (struct owner *)ctx;

	must(!o->is_ended);
	o->is_ended = true;
	timer_stop(&o->timer);
	xfree(o);
	gate_add(&ended, 1);
}

static const struct conn_events events = {
	.data = on_data,
	.secured = on_secured,
	.drained = on_drained,
	.closed = on_closed,
};

struct start {
	int fd;
	uint32_t seed;
	bool is_tls;
};

static void
on_start(void *arg)
{
	struct start *s = (struct start *)arg;
	struct owner *o = (struct owner *)xzalloc(sizeof(*o));

	o->seed = s->seed;
	o->c = conn_new(s->fd, NULL);
	conn_set_owner(o->c, &events, o);
	if (s->is_tls)
		conn_start_tls(o->c, TLS_C2S);
}

/* Writes a count up and reads what comes, until it is closed. */
static void
peer_plain(int fd, size_t left)
{
	char out[512], in[65536];
	uint8_t next = 0;

	while (left > 0) {
		size_t n = MIN(left, sizeof(out));

		for (size_t i = 0; i < n; i++)
			out[i] = (char)next++;
		if (send(fd, out, n, MSG_NOSIGNAL) != (ssize_t)n)
			return;
		left -= n;
		while (recv(fd, in, sizeof(in), MSG_DONTWAIT) > 0)
			;
	}
	shutdown(fd, SHUT_WR);
	while (recv(fd, in, sizeof(in), 0) > 0)
		;
}

static void
peer_tls(int fd, size_t left)
{
	SSL *ssl = SSL_new(client_ctx);
	char out[512], in[16384];
	uint8_t next = 0;

	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) == 1) {
		while (left > 0) {
			size_t n = MIN(left, sizeof(out));

			for (size_t i = 0; i < n; i++)
				out[i] = (char)next++;
			if (SSL_write(ssl, out, (int)n) != (int)n)
				break;
			left -= n;
		}
		SSL_shutdown(ssl);
		shutdown(fd, SHUT_WR);
		while (SSL_read(ssl, in, sizeof(in)) > 0)
			;
	}
	SSL_free(ssl);
	ERR_clear_error();
}

static void *
peer_main(void *arg)
{
	uint32_t seed = *(uint32_t *)arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct start s = { 0 };
		int fds[2];

		must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
		s.fd = fds[1];
		s.seed = seed + i * 7919;
		s.is_tls = (seed + i) % 2 == 0;
		on_loop(s.seed % LOOPS, on_start, &s);
		if (s.is_tls)
			peer_tls(fds[0], 30000);
		else
			peer_plain(fds[0], 30000);
		close(fds[0]);
	}
	return NULL;
}

static void
test_stress(void **state)
{
	pthread_t threads[PEERS];
	uint32_t seeds[PEERS];

	for (unsigned i = 0; i < PEERS; i++) {
		seeds[i] = i * 1001;
		pthread_create(&threads[i], NULL, peer_main, &seeds[i]);
	}
	for (unsigned i = 0; i < PEERS; i++)
		pthread_join(threads[i], NULL);
	gate_wait(&ended, PEERS * EACH);
	assert_int_equal(gate_count(&ended), PEERS * EACH);
}

static int
up(void **state)
{
	struct arena *a = arena_new(0);
	struct str name = STR("localhost");
	struct tls_certs *c;
	const char *why;
	char path[64];

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/crt", dir);
	assert_int_equal(tls_certs_self_signed(a, path, &name, 1, &c, &why), 0);
	tls_install(c);
	tls_certs_unref(&c);
	unlink(path);
	rmdir(dir);
	arena_free(&a);
	client_ctx = SSL_CTX_new(TLS_client_method());
	loops_up(LOOPS);
	return 0;
}

static int
down(void **state)
{
	loops_down();
	SSL_CTX_free(client_ctx);
	tls_install(NULL);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stress),
	};

	return cmocka_run_group_tests_name("conn_stress", tests, up, down);
}
