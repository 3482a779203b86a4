/* SPDX-License-Identifier: MIT */
/* What modules offer each other, by name. */
#include "core/mods.h"

#include <dlfcn.h>
#include <pthread.h>

#define PUBLISHED_MAX 128

/* Names stay for good; ops come and go. */
static struct {
	const char *name;
	const void *ops;
} published[PUBLISHED_MAX];
static unsigned count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int
published_find(const char *name)
{
	unsigned n = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(published[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

void
mod_publish(const char *name, const void *ops)
{
	int i;

	pthread_mutex_lock(&lock);
	i = published_find(name);
	if (i < 0) {
		must(count < PUBLISHED_MAX);
		i = (int)count;
		published[i].name = xstrdup(name);
	}
	__atomic_store_n(&published[i].ops, ops, __ATOMIC_RELEASE);
	if ((unsigned)i == count)
		__atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

const void *
mod_lookup(const char *name)
{
	int i = published_find(name);

	return i < 0 ? NULL
		     : __atomic_load_n(&published[i].ops, __ATOMIC_ACQUIRE);
}

static const void *
code_of(const void *p)
{
	Dl_info info;

	return dladdr(p, &info) != 0 ? info.dli_fbase : NULL;
}

void
publish_drop(const void *table)
{
	const void *code = code_of(table);

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < count; i++) {
		if (published[i].ops != NULL &&
		    code_of(published[i].ops) == code)
			__atomic_store_n(
			    &published[i].ops, NULL, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
}
