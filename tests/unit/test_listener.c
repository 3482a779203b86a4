/* SPDX-License-Identifier: MIT */
/* Listeners, over loopback; always on ports that the kernel gives. */
#include "net/listener.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/conn_impl.h"
#include "net_help.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOPS 2
#define CROWD 200

static char dir[] = "/tmp/test_listener_XXXXXX";
static struct gate accepted = GATE_INIT;
static struct gate closed = GATE_INIT;
static struct gate bytes = GATE_INIT;
static unsigned by_loop[LOOPS];
static char last_peer[ADDR_TEXT_MAX]; /* of the one accepted last */
static uint16_t last_port;
static bool last_is_tls;
static struct conn *last;

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct conn **c = (struct conn **)ctx;

	conn_send(*c, str_mem(p, n));
	gate_add(&bytes, (int)n);
}

static void
on_closed(void *ctx, int err)
{
	xfree(ctx);
	gate_add(&closed, 1);
}

static const struct conn_events events = {
	.data = on_data,
	.closed = on_closed,
};

static void
on_accepted(void *ctx, struct conn *c)
{
	struct conn **own = (struct conn **)xmalloc(sizeof(*own));

	*own = c;
	conn_set_owner(c, &events, own);
	pthread_mutex_lock(&accepted.lock);
	by_loop[loop_index(loop_self())]++;
	addr_ip(conn_peer(c), last_peer);
	last_port = addr_port(conn_peer(c));
	last_is_tls = conn_is_tls(c);
	last = c;
	pthread_mutex_unlock(&accepted.lock);
	gate_add(&accepted, 1);
}

/* What the last `accepted` saw. */
static void
last_check(const char *ip, uint16_t port, bool is_tls)
{
	pthread_mutex_lock(&accepted.lock);
	assert_string_equal(last_peer, ip);
	if (port != 0)
		assert_int_equal(last_port, port);
	assert_int_equal(last_is_tls, is_tls);
	pthread_mutex_unlock(&accepted.lock);
}

static void
gates_reset(void)
{
	struct gate *gates[] = { &accepted, &closed, &bytes };

	for (size_t i = 0; i < ARRAY_LEN(gates); i++)
		gate_add(gates[i], -gate_count(gates[i]));
}

static struct listener_config
config(const char *ip, uint16_t port)
{
	struct listener_config cfg = { .accepted = on_accepted };

	assert_int_equal(addr_parse(str_c(ip), port, &cfg.addr), 0);
	return cfg;
}

static int
try_open(const struct listener_config *cfg, struct listener **l, uint16_t *port)
{
	struct arena *a = arena_new(0);
	const char *why = NULL;
	struct addr bound;
	int ret = listener_open(a, cfg, l, &bound, &why);

	if (ret == 0)
		*port = addr_port(&bound);
	else
		assert_non_null(why);
	arena_free(&a);
	return ret;
}

static struct listener *
open_with(const struct listener_config *cfg, uint16_t *port)
{
	struct listener *l = NULL;

	assert_int_equal(try_open(cfg, &l, port), 0);
	assert_int_not_equal(*port, 0);
	return l;
}

static struct listener *
open_on(const char *ip, uint16_t *port)
{
	struct listener_config cfg = config(ip, 0);

	return open_with(&cfg, port);
}

/* On loopback a socket may happen to reach itself. */
static bool
is_self(int fd)
{
	struct addr here = { .len = sizeof(here.ss) }, there = here;

	getsockname(fd, &here.ss.sa, &here.len);
	getpeername(fd, &there.ss.sa, &there.len);
	return addr_port(&here) == addr_port(&there);
}

/* A connected socket, or -errno. */
static int
dial(const char *ip, uint16_t port)
{
	struct addr a;
	int fd;

	addr_parse(str_c(ip), port, &a);
	fd = socket(a.ss.sa.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &a.ss.sa, a.len) != 0) {
		close(fd);
		return -errno;
	}
	if (!is_self(fd))
		return fd;
	close(fd);
	return -ECONNREFUSED;
}

static void
ping(int fd)
{
	char text[4];

	assert_int_equal(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
	assert_int_equal(recv(fd, text, 4, MSG_WAITALL), 4);
	assert_memory_equal(text, "ping", 4);
}

/* Waits for the end; whether the kernel says FIN or RST does not matter. */
static void
hang_up_wait(int fd)
{
	char text[256];

	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
}

/* Addresses ---------------------------------------------------------------- */

static void
test_crowd(void **state)
{
	uint16_t port;
	struct listener *l = open_on("127.0.0.1", &port);
	int fds[CROWD];

	gates_reset();
	by_loop[0] = by_loop[1] = 0;
	for (int i = 0; i < CROWD; i++) {
		fds[i] = dial("127.0.0.1", port);
		assert_true(fds[i] >= 0);
	}
	gate_wait(&accepted, CROWD);
	assert_true(by_loop[0] > 0 && by_loop[1] > 0);
	for (int i = 0; i < CROWD; i++)
		ping(fds[i]);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	gate_wait(&closed, CROWD);
	listener_close(&l);
	assert_null(l);
	listener_close(&l);
}

static void
options_check(void *arg)
{
	int value = 0;
	socklen_t n = sizeof(value);

	getsockopt(last->fd, IPPROTO_TCP, TCP_NODELAY, &value, &n);
	must(value != 0);
	getsockopt(last->fd, SOL_SOCKET, SO_KEEPALIVE, &value, &n);
	must(value != 0);
	must(addr_port(conn_local(last)) == *(uint16_t *)arg);
	must(addr_is_loopback(conn_local(last)));
}

static void
test_options(void **state)
{
	uint16_t port;
	struct listener *l = open_on("127.0.0.1", &port);
	int fd;

	gates_reset();
	fd = dial("127.0.0.1", port);
	gate_wait(&accepted, 1);
	last_check("127.0.0.1", 0, false);
	on_loop(loop_index(last->loop), options_check, &port);
	close(fd);
	gate_wait(&closed, 1);
	listener_close(&l);
}

static void
test_in_use(void **state)
{
	uint16_t port, other;
	struct listener *l = open_on("127.0.0.1", &port), *again = NULL;
	struct listener_config cfg = config("127.0.0.1", port);

	assert_int_equal(try_open(&cfg, &again, &other), -EADDRINUSE);
	assert_null(again);
	listener_close(&l);
	assert_int_equal(dial("127.0.0.1", port), -ECONNREFUSED);
	/* And at once it is free again. */
	l = open_with(&cfg, &other);
	assert_int_equal(other, port);
	listener_close(&l);
}

static void
test_bad_address(void **state)
{
	struct listener_config cfg = config("192.0.2.1", 0);
	struct listener *l = NULL;
	uint16_t port;

	assert_int_equal(try_open(&cfg, &l, &port), -EADDRNOTAVAIL);
}

static void
ping_by(const char *ip, uint16_t port)
{
	int fd = dial(ip, port);

	assert_true(fd >= 0);
	ping(fd);
	last_check(ip, 0, false);
	close(fd);
}

static bool
has_ipv6(void)
{
	int fd = dial("::1", 1);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -ECONNREFUSED;
}

/* "::" is for both families, also beside "0.0.0.0" on the same port. */
static void
test_dual_stack(void **state)
{
	uint16_t port, same;
	struct listener *l = open_on("::", &port), *four;
	struct listener_config cfg = config("0.0.0.0", port);

	ping_by("127.0.0.1", port);
	if (has_ipv6()) {
		ping_by("::1", port);
		four = open_with(&cfg, &same);
		assert_int_equal(same, port);
		ping_by("127.0.0.1", port);
		ping_by("::1", port);
		listener_close(&four);
	}
	listener_close(&l);
}

/* PROXY -------------------------------------------------------------------- */

static struct listener *
open_proxied(const char *net, bool is_tls, uint16_t *port)
{
	struct addr_net trusted;
	struct listener_config cfg = config("127.0.0.1", 0);

	assert_int_equal(addr_net_parse(str_c(net), &trusted), 0);
	cfg.proxies = &trusted;
	cfg.proxy_count = 1;
	cfg.is_direct_tls = is_tls;
	return open_with(&cfg, port);
}

static void
send_text(int fd, const char *text)
{
	assert_int_equal(
	    send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
test_proxy(void **state)
{
	uint16_t port;
	struct listener *l = open_proxied("127.0.0.0/8", false, &port);
	int fd = dial("127.0.0.1", port);
	char text[5];

	/* In pieces, and what follows the header is for the owner. */
	gates_reset();
	send_text(fd, "PROXY TCP4 192.0.2.7 ");
	usleep(1000);
	assert_int_equal(gate_count(&accepted), 0);
	send_text(fd, "192.0.2.8 4321 5222\r\nhello");
	assert_int_equal(recv(fd, text, 5, MSG_WAITALL), 5);
	assert_memory_equal(text, "hello", 5);
	last_check("192.0.2.7", 4321, false);
	ping(fd);
	close(fd);

	fd = dial("127.0.0.1", port);
	send_text(fd, "PROXY UNKNOWN\r\n");
	ping(fd);
	last_check("127.0.0.1", 0, false);
	close(fd);

	gates_reset();
	fd = dial("127.0.0.1", port);
	send_text(fd, "<stream:stream>");
	hang_up_wait(fd);
	assert_int_equal(gate_count(&accepted), 0);
	listener_close(&l);
}

/* It may begin to trust a proxy and end that, and its port stays open. */
static void
test_change(void **state)
{
	uint16_t port;
	struct listener *l = open_on("127.0.0.1", &port);
	struct listener_config cfg = config("127.0.0.1", 1);
	struct addr_net trusted;
	int old = dial("127.0.0.1", port), fd;

	ping(old);
	assert_int_equal(addr_net_parse(STR("127.0.0.0/8"), &trusted), 0);
	cfg.proxies = &trusted;
	cfg.proxy_count = 1;
	listener_change(l, &cfg);
	memset(&trusted, 0, sizeof(trusted));
	fd = dial("127.0.0.1", port);
	send_text(fd, "PROXY TCP4 192.0.2.7 192.0.2.8 4321 5222\r\n");
	ping(fd);
	last_check("192.0.2.7", 4321, false);
	close(fd);

	cfg.proxy_count = 0;
	listener_change(l, &cfg);
	fd = dial("127.0.0.1", port);
	ping(fd);
	last_check("127.0.0.1", 0, false);
	close(fd);
	ping(old);
	close(old);
	listener_close(&l);
}

/* From elsewhere a header is not believed: it is just bytes. */
static void
test_proxy_untrusted(void **state)
{
	uint16_t port;
	struct listener *l = open_proxied("10.0.0.0/8", false, &port);
	int fd = dial("127.0.0.1", port);
	char text[16];

	gates_reset();
	send_text(fd, "PROXY UNKNOWN\r\n");
	assert_int_equal(recv(fd, text, 15, MSG_WAITALL), 15);
	last_check("127.0.0.1", 0, false);
	close(fd);
	listener_close(&l);
}

/* Direct TLS --------------------------------------------------------------- */

static SSL_CTX *client_ctx;

static void
tls_ping(int fd)
{
	SSL *ssl = SSL_new(client_ctx);
	char text[4];

	SSL_set_fd(ssl, fd);
	assert_int_equal(SSL_connect(ssl), 1);
	assert_int_equal(SSL_write(ssl, "ping", 4), 4);
	assert_int_equal(SSL_read(ssl, text, 4), 4);
	assert_memory_equal(text, "ping", 4);
	SSL_shutdown(ssl);
	SSL_free(ssl);
}

static void
test_direct_tls(void **state)
{
	uint16_t port;
	struct listener_config cfg = config("127.0.0.1", 0);
	struct listener *l;
	int fd;

	cfg.is_direct_tls = true;
	l = open_with(&cfg, &port);
	fd = dial("127.0.0.1", port);
	tls_ping(fd);
	last_check("127.0.0.1", 0, true);
	close(fd);
	listener_close(&l);

	l = open_proxied("127.0.0.1", true, &port);
	fd = dial("127.0.0.1", port);
	send_text(fd, "PROXY TCP6 2001:db8::7 2001:db8::8 1 2\r\n");
	tls_ping(fd);
	last_check("2001:db8::7", 1, true);
	close(fd);
	listener_close(&l);
}

/* Who says nothing is dropped, and who says too little. */
static void
test_deadline(void **state)
{
	uint16_t port;
	struct listener_config cfg = config("127.0.0.1", 0);
	struct listener *l;
	int silent, slow;

	gates_reset();
	cfg.is_direct_tls = true;
	cfg.deadline_ms = 50;
	l = open_with(&cfg, &port);
	silent = dial("127.0.0.1", port);
	slow = dial("127.0.0.1", port);
	assert_int_equal(send(slow, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
	hang_up_wait(silent);
	hang_up_wait(slow);
	assert_int_equal(gate_count(&accepted), 0);
	listener_close(&l);
}

/* Closing drops those whose handshake has not ended. */
static void
test_close_drops_pending(void **state)
{
	uint16_t port;
	struct listener_config cfg = config("127.0.0.1", 0);
	struct listener *l;
	int fd;

	gates_reset();
	cfg.is_direct_tls = true;
	l = open_with(&cfg, &port);
	fd = dial("127.0.0.1", port);
	listener_close(&l);
	hang_up_wait(fd);
	assert_int_equal(gate_count(&accepted), 0);
}

/* Trouble ------------------------------------------------------------------ */

static void
log_wait(int fd, const char *text)
{
	static char log[65536];

	for (int i = 0; i < WAIT_S * 100; i++) {
		ssize_t n = pread(fd, log, sizeof(log) - 1, 0);

		log[MAX(n, 0)] = '\0';
		if (strstr(log, text) != NULL)
			return;
		usleep(10 * 1000);
	}
	fail_msg("the log never said: %s", text);
}

/* Out of files: it waits, says so, and goes on when there are some. */
static void
test_out_of_files(void **state)
{
	uint16_t port;
	struct listener *l = open_on("127.0.0.1", &port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), next, log;
	struct rlimit old, low;
	struct addr a;
	char path[PATH_MAX];

	gates_reset();
	snprintf(path, sizeof(path), "%s/log", dir);
	log = open(path, O_RDONLY);
	assert_true(log >= 0);
	getrlimit(RLIMIT_NOFILE, &old);
	next = dup(fd);
	close(next);
	low = old;
	low.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	addr_parse(STR("127.0.0.1"), port, &a);
	assert_int_equal(connect(fd, &a.ss.sa, a.len), 0);
	log_wait(log, "cannot accept connections for now");
	assert_int_equal(gate_count(&accepted), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	ping(fd);
	close(log);
	close(fd);
	listener_close(&l);
}

/* Before and after the loops run */

static void
test_without_loops(void **state)
{
	uint16_t port;
	struct listener *l, *stays;
	int fd;

	gates_reset();
	loops_new(1);
	l = open_on("127.0.0.1", &port);
	listener_close(&l);
	assert_int_equal(dial("127.0.0.1", port), -ECONNREFUSED);
	stays = open_on("127.0.0.1", &port);
	/* The kernel takes it already; it is served once the loops run. */
	fd = dial("127.0.0.1", port);
	assert_true(fd >= 0);
	loops_run(NULL);
	ping(fd);
	loops_stop();
	assert_int_equal(dial("127.0.0.1", port), -ECONNREFUSED);
	listener_close(&stays);
	hang_up_wait(fd);
	loops_free();
}

static int
up(void **state)
{
	struct arena *a = arena_new(0);
	struct str name = STR("localhost");
	struct tls_certs *c;
	const char *why;
	char path[PATH_MAX];

	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	assert_int_equal(log_open(path, LOG_TEXT), 0);
	snprintf(path, sizeof(path), "%s/crt", dir);
	assert_int_equal(tls_certs_self_signed(a, path, &name, 1, &c, &why), 0);
	tls_install(c);
	tls_certs_unref(&c);
	arena_free(&a);
	client_ctx = SSL_CTX_new(TLS_client_method());
	loops_up(LOOPS);
	return 0;
}

static int
down(void **state)
{
	loops_down();
	return 0;
}

static int
clean_up(void **state)
{
	char command[PATH_MAX];

	SSL_CTX_free(client_ctx);
	tls_install(NULL);
	log_open("stderr", LOG_TEXT);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest running[] = {
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_dual_stack),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_proxy_untrusted),
		cmocka_unit_test(test_direct_tls),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_close_drops_pending),
		cmocka_unit_test(test_out_of_files),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(test_without_loops),
	};
	int failed = cmocka_run_group_tests_name("listener", running, up, down);

	return failed +
	       cmocka_run_group_tests_name("alone", alone, NULL, clean_up);
}
