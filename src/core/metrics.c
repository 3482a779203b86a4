/* SPDX-License-Identifier: MIT */
#include "core/metrics.h"

#include <pthread.h>

/* One for each thread that ever counted; they stay for the process. */
struct counters {
	struct counters *next;
	uint64_t value[METRIC_COUNT];
};

static _Thread_local struct counters *mine;
static struct counters *all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
	const char *name, *help;
} rows[METRIC_COUNT] = {
#define METRIC_ROW(id, name_, help_) [METRIC_##id] = { name_, help_ },
	METRICS(METRIC_ROW)
#undef METRIC_ROW
};

static void
counters_new(void)
{
	mine = (struct counters *)xzalloc(sizeof(*mine));
	pthread_mutex_lock(&lock);
	mine->next = all;
	all = mine;
	pthread_mutex_unlock(&lock);
}

/* The owner alone writes: so a load and a store are enough. */
void
metric_add(enum metric m, uint64_t n)
{
	uint64_t *value;

	if (mine == NULL)
		counters_new();
	value = &mine->value[m];
	__atomic_store_n(value, *value + n, __ATOMIC_RELAXED);
}

uint64_t
metric_sum(enum metric m)
{
	uint64_t sum = 0;

	pthread_mutex_lock(&lock);
	for (const struct counters *c = all; c != NULL; c = c->next)
		sum += __atomic_load_n(&c->value[m], __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return sum;
}

const char *
metric_name(enum metric m)
{
	return rows[m].name;
}

const char *
metric_help(enum metric m)
{
	return rows[m].help;
}
