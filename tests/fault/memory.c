/* SPDX-License-Identifier: MIT */
/*
 * Memory that is refused, for tests: preloaded (LD_PRELOAD) into the server, it
 * counts what is asked of the heap, and says no once, when the number comes
 * that the test has written to the file that they share, FAULT_MEMORY: see
 * tests/harness/disk.py.
 */
#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define SHOWN __attribute__((visibility("default")))

struct control {
	uint64_t refuse_at; /* the call of this number, from 1; 0: none */
	uint64_t asked;	    /* calls since the test has made it 0 */
};

static struct control nothing, *control = &nothing;

/* The C library's own, by the names that it has for who stands before them. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

__attribute__((constructor)) static void
begin(void)
{
	void *p = control_map("FAULT_MEMORY", sizeof(*control));

	if (p != NULL)
		control = p;
}

static bool
is_refused(void)
{
	uint64_t at = __atomic_load_n(&control->refuse_at, __ATOMIC_ACQUIRE);

	if (at == 0 ||
	    __atomic_add_fetch(&control->asked, 1, __ATOMIC_ACQ_REL) != at)
		return false;
	errno = ENOMEM;
	return true;
}

SHOWN void *
malloc(size_t size)
{
	return is_refused() ? NULL : __libc_malloc(size);
}

SHOWN void *
calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __libc_calloc(count, size);
}

SHOWN void *
realloc(void *old, size_t size)
{
	return is_refused() ? NULL : __libc_realloc(old, size);
}
