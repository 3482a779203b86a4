/* SPDX-License-Identifier: MIT */
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 4
#define IDS 20000

static char ids[THREADS][IDS][UUID_LEN + 1];

static void *
make_ids(void *arg)
{
	char(*mine)[UUID_LEN + 1] = (char(*)[UUID_LEN + 1]) arg;

	for (size_t i = 0; i < IDS; i++)
		uuid7(mine[i]);
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* Each thread's ids grow, and no two threads make the same. */
static void
test_uuid_order(void **state)
{
	char *all = (char *)ids;
	pthread_t thread[THREADS];

	for (size_t t = 0; t < THREADS; t++)
		assert_int_equal(
		    pthread_create(&thread[t], NULL, make_ids, ids[t]), 0);
	for (size_t t = 0; t < THREADS; t++)
		assert_int_equal(pthread_join(thread[t], NULL), 0);
	for (size_t t = 0; t < THREADS; t++) {
		for (size_t i = 1; i < IDS; i++)
			assert_true(strcmp(ids[t][i - 1], ids[t][i]) < 0);
	}
	qsort(all, THREADS * IDS, UUID_LEN + 1, compare);
	for (size_t i = 1; i < THREADS * IDS; i++)
		assert_true(compare(all + (i - 1) * (UUID_LEN + 1),
				all + i * (UUID_LEN + 1)) < 0);
}

static void
test_uuid_form(void **state)
{
	char id[UUID_LEN + 1], low[UUID_LEN + 1], high[UUID_LEN + 1];
	int64_t before = clock_real(), when;

	uuid7(id);
	assert_int_equal(strlen(id), UUID_LEN);
	assert_int_equal(id[14], '7');
	assert_non_null(strchr("89ab", id[19]));
	assert_int_equal(uuid7_time(str_c(id), &when), 0);
	/* Other tests may have pushed the counter over into a millisecond. */
	assert_true(when >= before - 60000 && when <= before + 60000);

	uuid7_min(when, low);
	uuid7_max(when, high);
	assert_true(strcmp(low, id) <= 0 && strcmp(id, high) <= 0);
	uuid7_max(when - 1, high);
	assert_true(strcmp(high, low) < 0);
	uuid7_min(0, low);
	assert_string_equal(low, "00000000-0000-7000-8000-000000000000");
	uuid7_max(INT64_MAX, high);
	assert_string_equal(high, "ffffffff-ffff-7fff-bfff-ffffffffffff");
}

static const char *const bad_ids[] = {
	"",
	"01a22308-8819-77e5-a8c6-f73b02f0c37",
	"01a22308-8819-77e5-a8c6-f73b02f0c3777",
	"01a22308-8819-47e5-a8c6-f73b02f0c377",
	"01a22308-8819-77e5-08c6-f73b02f0c377",
	"01a22308-8819-77e5-a8c6-f73b02f0c37x",
	"01a22308x8819-77e5-a8c6-f73b02f0c377",
	"01a22308-8819-77e5-a8c6f-73b02f0c377",
	"01a2230--8819-77e5-a8c6-f73b02f0c377",
};

static void
test_uuid_time(void **state)
{
	int64_t when;

	for (size_t i = 0; i < ARRAY_LEN(bad_ids); i++)
		assert_int_equal(
		    uuid7_time(str_c(bad_ids[i]), &when), ERR_INVALID);
	/* RFC 9562, appendix A.6. */
	assert_int_equal(
	    uuid7_time(STR("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &when), 0);
	assert_true(when == INT64_C(1645557742000));
}

static void
test_bytes(void **state)
{
	static unsigned char bytes[4096];
	bool is_seen[256] = { false };
	size_t seen = 0;

	/* In pieces that cross the buffer's end, and beyond it. */
	for (size_t i = 0; i < 1024; i += 32)
		random_bytes(bytes + i, 32);
	random_bytes(bytes + 1024, 3072);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		seen += is_seen[bytes[i]] ? 0 : 1;
		is_seen[bytes[i]] = true;
	}
	/* Missing even one of 256 values in 4096 draws is rare: 1 in 35000. */
	assert_true(seen > 240);
	assert_true(random_u64() != random_u64());
}

static void
test_token(void **state)
{
	struct arena *a = arena_new(0);

	for (size_t n = 0; n < 50; n++) {
		struct str token = random_token(a, n);

		assert_int_equal(token.n, (n * 4 + 2) / 3);
		assert_int_equal(strspn(token.p, "abcdefghijklmnopqrstuvwxyz"
						 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						 "0123456789-_"),
		    token.n);
	}
	arena_free(&a);
}

/* A child does not repeat its parent's numbers. */
static void
test_fork(void **state)
{
	uint64_t theirs = 0, ours;
	int pipes[2], status;
	pid_t child;

	random_u64();
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		theirs = random_u64();
		_exit(write(pipes[1], &theirs, sizeof(theirs)) == sizeof(theirs)
			  ? 0
			  : 1);
	}
	ours = random_u64();
	assert_int_equal(
	    read(pipes[0], &theirs, sizeof(theirs)), sizeof(theirs));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(ours != theirs);
	close(pipes[0]);
	close(pipes[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uuid_order),
		cmocka_unit_test(test_uuid_form),
		cmocka_unit_test(test_uuid_time),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_fork),
	};
	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	arena_thread_done();
	return ret;
}
