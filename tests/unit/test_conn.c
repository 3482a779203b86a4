/* SPDX-License-Identifier: MIT */
/* Plain connections, over socket pairs: the test holds the other end. */
#include "net/conn.h"

#include "base/clock.h"
#include "base/err.h"
#include "net/conn_impl.h"
#include "net_help.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
	struct conn *c;
	int fd; /* the test's end */
	struct buf got;
	struct gate data;    /* bytes */
	struct gate closed;  /* times */
	struct gate drained; /* times */
	struct gate arrived; /* times */
	int err;
	bool is_echo;
	unsigned home; /* loop that it must be called on */
};

static void
on_data(void *ctx, const char *p, size_t n)
{
	struct end *e = (struct end *)ctx;

	must(loop_index(loop_self()) == e->home);
	buf_add(&e->got, p, n);
	if (e->is_echo)
		conn_send(e->c, str_mem(p, n));
	gate_add(&e->data, (int)n);
}

static void
on_drained(void *ctx)
{
	gate_add(&((struct end *)ctx)->drained, 1);
}

static void
on_closed(void *ctx, int err)
{
	struct end *e = (struct end *)ctx;

	must(loop_index(loop_self()) == e->home);
	e->err = err;
	e->c = NULL;
	gate_add(&e->closed, 1);
}

static const struct conn_events events = {
	.data = on_data,
	.drained = on_drained,
	.closed = on_closed,
};

static void
end_make(void *arg)
{
	struct end *e = (struct end *)arg;
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	e->fd = fds[0];
	e->c = conn_new(fds[1], NULL);
	conn_set_owner(e->c, &events, e);
}

static struct end *
end_new(unsigned loop)
{
	static const struct gate gate = GATE_INIT;
	struct end *e = (struct end *)xzalloc(sizeof(*e));

	e->data = e->closed = e->drained = e->arrived = gate;
	e->home = loop;
	on_loop(loop, end_make, e);
	return e;
}

static void
end_free(struct end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	gate_wait(&e->closed, 1);
	buf_fini(&e->got);
	xfree(e);
}

static void
peer_write(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t part = send(fd, p, n, MSG_NOSIGNAL);

		must(part > 0);
		p += part;
		n -= (size_t)part;
	}
}

/* Reads just so many bytes, or up to the end; how many. */
static size_t
peer_read(int fd, char *p, size_t n)
{
	size_t had = 0;

	while (had < n) {
		struct pollfd pfd = { fd, POLLIN, 0 };
		ssize_t part;

		must(poll(&pfd, 1, WAIT_S * 1000) == 1);
		part = read(fd, p + had, n - had);
		if (part <= 0)
			break;
		had += (size_t)part;
	}
	return had;
}

static void
pattern_fill(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 2654435761u >> 13);
}

static bool
pattern_is(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (char)(i * 2654435761u >> 13))
			return false;
	return true;
}

static void
test_echo(void **state)
{
	struct end *e = end_new(0);
	char text[6] = "";

	e->is_echo = true;
	peer_write(e->fd, "hello", 5);
	assert_int_equal(peer_read(e->fd, text, 5), 5);
	assert_string_equal(text, "hello");
	end_free(e);
}

/* Ends --------------------------------------------------------------------- */

static void
test_peer_ends(void **state)
{
	struct end *e = end_new(0);

	peer_write(e->fd, "last words", 10);
	shutdown(e->fd, SHUT_WR);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, 0);
	assert_int_equal(e->got.n, 10);
	end_free(e);
}

#define BIG (3u << 20)

static void
send_big_and_close(void *arg)
{
	struct end *e = (struct end *)arg;
	char *p = (char *)xmalloc(BIG);

	pattern_fill(p, BIG);
	conn_send(e->c, str_mem(p, BIG));
	must(conn_queued(e->c) == BIG);
	conn_close(e->c);
	conn_send(e->c, STR("too late"));
	must(gate_count(&e->closed) == 0);
	xfree(p);
}

static void
test_close_flushes(void **state)
{
	struct end *e = end_new(0);
	char *p = (char *)xmalloc(BIG + 1);

	on_loop(0, send_big_and_close, e);
	assert_int_equal(peer_read(e->fd, p, BIG + 1), BIG);
	assert_true(pattern_is(p, BIG));
	shutdown(e->fd, SHUT_WR);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, 0);
	xfree(p);
	end_free(e);
}

static void
close_now(void *arg)
{
	conn_close(((struct end *)arg)->c);
}

static void
abort_now(void *arg)
{
	struct end *e = (struct end *)arg;

	conn_abort(e->c);
	must(gate_count(&e->closed) == 0);
	conn_send(e->c, STR("nobody hears"));
	conn_close(e->c);
	conn_abort(e->c);
	must(gate_count(&e->closed) == 0);
}

/* A peer that neither reads nor ends is not waited for for ever. */
static void
test_close_is_bounded(void **state)
{
	struct end *e = end_new(0);
	uint64_t began = clock_mono();

	on_loop(0, close_now, e);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, 0);
	assert_true(clock_mono() - began < 30000);
	end_free(e);
}

static void
test_close_cannot_flush(void **state)
{
	struct end *e = end_new(0);

	on_loop(0, send_big_and_close, e);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, ERR_TIMEOUT);
	end_free(e);
}

static void
test_abort(void **state)
{
	struct end *e = end_new(0);

	on_loop(0, abort_now, e);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, ERR_CLOSED);
	end_free(e);
}

/* On the loop, so that it can't notice the end before it writes. */
static void
vanish_and_send(void *arg)
{
	struct end *e = (struct end *)arg;

	close(e->fd);
	e->fd = -1;
	conn_send(e->c, STR("anybody there?"));
}

static void
test_peer_vanishes(void **state)
{
	struct end *e = end_new(0);

	on_loop(0, vanish_and_send, e);
	gate_wait(&e->closed, 1);
	end_free(e);
}

/* Output ------------------------------------------------------------------- */

static void
send_above_mark(void *arg)
{
	struct end *e = (struct end *)arg;
	struct buf *b = conn_out(e->c);

	buf_reserve(b, BIG);
	pattern_fill(b->p + b->n, BIG);
	b->n += BIG;
	conn_touched(e->c);
}

static void
test_drained(void **state)
{
	struct end *e = end_new(0);
	char *p = (char *)xmalloc(BIG);

	on_loop(0, send_above_mark, e);
	assert_int_equal(gate_count(&e->drained), 0);
	assert_int_equal(peer_read(e->fd, p, BIG), BIG);
	assert_true(pattern_is(p, BIG));
	gate_wait(&e->drained, 1);
	xfree(p);
	end_free(e);
}

#define CROWD 100
#define WIRE_SIZE 3000
#define WIRES 40

struct crowd {
	struct end *ends[CROWD];
	struct wire *wire;
};

/* Wires by reference, and copied bytes in between. */
static void
crowd_send(void *arg)
{
	struct crowd *crowd = (struct crowd *)arg;

	for (int i = 0; i < CROWD; i++) {
		for (int j = 0; j < WIRES; j++) {
			conn_send(crowd->ends[i]->c, STR("<"));
			conn_send_wire(crowd->ends[i]->c, crowd->wire);
			if (j % 3 == 0)
				conn_send(crowd->ends[i]->c, STR(">>"));
		}
	}
}

static void
crowd_check(const struct crowd *crowd, int fd)
{
	static char got[WIRES * (WIRE_SIZE + 3)];
	const char *p = got;
	size_t n = WIRES * (WIRE_SIZE + 1) + (WIRES + 2) / 3 * 2;

	assert_int_equal(peer_read(fd, got, n), n);
	for (int j = 0; j < WIRES; j++) {
		assert_int_equal(*p++, '<');
		assert_memory_equal(p, crowd->wire->p, WIRE_SIZE);
		p += WIRE_SIZE;
		if (j % 3 == 0) {
			assert_memory_equal(p, ">>", 2);
			p += 2;
		}
	}
	assert_ptr_equal(p, got + n);
}

static void
test_wires(void **state)
{
	struct crowd crowd;
	char bytes[WIRE_SIZE];

	pattern_fill(bytes, sizeof(bytes));
	crowd.wire = wire_new(str_mem(bytes, sizeof(bytes)));
	for (int i = 0; i < CROWD; i++)
		crowd.ends[i] = end_new(0);
	on_loop(0, crowd_send, &crowd);
	for (int i = 0; i < CROWD; i++)
		crowd_check(&crowd, crowd.ends[i]->fd);
	for (int i = 0; i < CROWD; i++)
		end_free(crowd.ends[i]);
	assert_int_equal(
	    __atomic_load_n(&crowd.wire->refs, __ATOMIC_ACQUIRE), 1);
	wire_unref(&crowd.wire);
}

static void
idle_check(void *arg)
{
	struct end *e = (struct end *)arg;

	must(e->c->out.bytes.p == NULL && e->c->out.wires == NULL);
	must(conn_queued(e->c) == 0);
}

static void
test_idle_owns_nothing(void **state)
{
	struct end *e = end_new(0);
	char text[5];

	e->is_echo = true;
	peer_write(e->fd, "hello", 5);
	assert_int_equal(peer_read(e->fd, text, 5), 5);
	on_loop(0, idle_check, e);
	assert_true(sizeof(struct conn) <= 450);
	end_free(e);
}

/* Input -------------------------------------------------------------------- */

static void
pause_now(void *arg)
{
	conn_pause(((struct end *)arg)->c);
}

static void
resume_now(void *arg)
{
	conn_resume(((struct end *)arg)->c);
}

static void
nothing(void *arg)
{
}

static void
test_pause(void **state)
{
	struct end *e = end_new(0);

	on_loop(0, pause_now, e);
	peer_write(e->fd, "wait", 4);
	/* Some turns, in which it must not be read. */
	for (int i = 0; i < 20; i++)
		on_loop(0, nothing, NULL);
	assert_int_equal(gate_count(&e->data), 0);
	on_loop(0, resume_now, e);
	gate_wait(&e->data, 4);
	end_free(e);
}

static void
rate_set(void *arg)
{
	conn_set_rate(((struct end *)arg)->c, 20000);
}

static void
rate_unset(void *arg)
{
	conn_set_rate(((struct end *)arg)->c, 0);
}

/* 40000 bytes at once, and the other 20000 take a second. */
static void
test_rate(void **state)
{
	struct end *e = end_new(0);
	static char bytes[60000];
	uint64_t began;

	pattern_fill(bytes, sizeof(bytes));
	on_loop(0, rate_set, e);
	began = clock_mono();
	peer_write(e->fd, bytes, sizeof(bytes));
	gate_wait(&e->data, 60000);
	assert_true(clock_mono() - began >= 700);
	assert_true(pattern_is(e->got.p, e->got.n));

	on_loop(0, rate_unset, e);
	began = clock_mono();
	for (int i = 0; i < 100; i++)
		peer_write(e->fd, bytes, sizeof(bytes));
	gate_wait(&e->data, 101 * 60000);
	assert_true(clock_mono() - began < 200 * 1000);
	end_free(e);
}

/* Moves -------------------------------------------------------------------- */

static void
on_arrived(void *ctx)
{
	struct end *e = (struct end *)ctx;

	e->home = loop_index(loop_self());
	conn_send(e->c, STR(""));
	gate_add(&e->arrived, 1);
}

static void
move_on(struct end *e)
{
	conn_move(e->c, loop_at((e->home + 1) % loop_count()), on_arrived);
}

static void
on_data_move(void *ctx, const char *p, size_t n)
{
	struct end *e = (struct end *)ctx;

	on_data(ctx, p, n);
	move_on(e);
}

static const struct conn_events moving_events = {
	.data = on_data_move,
	.drained = on_drained,
	.closed = on_closed,
};

static void
events_set(void *arg)
{
	struct end *e = (struct end *)arg;

	conn_set_owner(e->c, &moving_events, e);
}

struct writer {
	int fd;
	const char *p;
	size_t n;
};

static void *
writer_main(void *arg)
{
	struct writer *w = (struct writer *)arg;

	peer_write(w->fd, w->p, w->n);
	return NULL;
}

/* An echo that changes the loop after each piece it reads. */
static void
test_move(void **state)
{
	struct end *e = end_new(0);
	char *out = (char *)xmalloc(BIG), *in = (char *)xmalloc(BIG);
	struct writer w = { e->fd, out, BIG };
	pthread_t thread;

	pattern_fill(out, BIG);
	e->is_echo = true;
	on_loop(0, events_set, e);
	pthread_create(&thread, NULL, writer_main, &w);
	assert_int_equal(peer_read(e->fd, in, BIG), BIG);
	pthread_join(thread, NULL);
	assert_memory_equal(in, out, BIG);
	assert_true(gate_count(&e->arrived) > 10);
	xfree(in);
	xfree(out);
	end_free(e);
}

static void
abort_and_move(void *arg)
{
	struct end *e = (struct end *)arg;

	conn_abort(e->c);
	move_on(e);
}

/* The owner hears of its end where it has moved to. */
static void
test_move_dead(void **state)
{
	struct end *e = end_new(0);

	on_loop(0, abort_and_move, e);
	gate_wait(&e->closed, 1);
	assert_int_equal(gate_count(&e->arrived), 1);
	assert_int_equal(e->home, 1);
	end_free(e);
}

static void
close_and_move(void *arg)
{
	struct end *e = (struct end *)arg;

	send_big_and_close(e);
	move_on(e);
}

static void
test_move_closing(void **state)
{
	struct end *e = end_new(0);
	char *p = (char *)xmalloc(BIG + 1);

	on_loop(0, close_and_move, e);
	assert_int_equal(peer_read(e->fd, p, BIG + 1), BIG);
	shutdown(e->fd, SHUT_WR);
	gate_wait(&e->closed, 1);
	assert_int_equal(e->err, 0);
	xfree(p);
	end_free(e);
}

/* Congestion --------------------------------------------------------------- */

static struct gate ran = GATE_INIT;
static struct gate blocker = GATE_INIT;

static void
block(void *arg)
{
	gate_add(&ran, 1);
	gate_wait(&blocker, 1);
}

static void
count_one(void *arg)
{
	gate_add(&ran, 1);
}

#define FLOOD 10000

static void
flood(void *arg)
{
	for (int i = 0; i < FLOOD; i++)
		loop_post(loop_at(1), count_one, NULL);
	must(loop_is_congested(loop_at(1)));
}

static void
test_congestion(void **state)
{
	struct end *e = end_new(0);

	loop_post(loop_at(1), block, NULL);
	gate_wait(&ran, 1);
	on_loop(0, flood, NULL);
	peer_write(e->fd, "not yet", 7);
	for (int i = 0; i < 20; i++)
		on_loop(0, nothing, NULL);
	assert_int_equal(gate_count(&e->data), 0);

	gate_add(&blocker, 1);
	gate_wait(&ran, 1 + FLOOD);
	gate_wait(&e->data, 7);
	assert_false(loop_is_congested(loop_at(1)));
	end_free(e);
}

/* Whatever is open when the loops end is closed, also what moves just now. */
static void
test_end(void **state)
{
	struct end *ends[20];

	loops_up(2);
	for (int i = 0; i < 20; i++) {
		ends[i] = end_new(i % 2);
		ends[i]->is_echo = true;
		on_loop(i % 2, events_set, ends[i]);
		peer_write(ends[i]->fd, "go", 2);
	}
	loops_stop();
	for (int i = 0; i < 20; i++)
		end_free(ends[i]);
	loops_free();
}

static int
up(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	loops_up(2);
	return 0;
}

static int
down(void **state)
{
	loops_down();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest running[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_peer_ends),
		cmocka_unit_test(test_close_flushes),
		cmocka_unit_test(test_close_is_bounded),
		cmocka_unit_test(test_close_cannot_flush),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_peer_vanishes),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_wires),
		cmocka_unit_test(test_idle_owns_nothing),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_move_dead),
		cmocka_unit_test(test_move_closing),
		cmocka_unit_test(test_congestion),
	};
	const struct CMUnitTest ending[] = {
		cmocka_unit_test(test_end),
	};
	int failed = cmocka_run_group_tests_name("conn", running, up, down);

	return failed + cmocka_run_group_tests_name("end", ending, NULL, NULL);
}
