/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include "base/log.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>

void
must_failed(const char *what, const char *file, int line)
{
	static _Thread_local bool is_failing;

	if (!is_failing) {
		is_failing = true;
		log_write(LOG_LEVEL_CRITICAL, NULL, "bug: %s at %s:%d", what,
		    file, line);
	}
	abort();
}

/* Says why on the way out; the log needs no heap. */
static _Noreturn void
out_of_memory(size_t size)
{
	log_write(LOG_LEVEL_CRITICAL, NULL, "out of memory (%zu bytes)", size);
	abort();
}

void *
xmalloc(size_t size)
{
	void *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *
xzalloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *
xrealloc(void *ptr, size_t size)
{
	void *p = realloc(ptr, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory(size);
	return p;
}

char *
xstrdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return (char *)memcpy(xmalloc(size), text, size);
}

void
xfree(void *ptr)
{
	free(ptr);
}

void
heap_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
