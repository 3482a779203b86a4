/* SPDX-License-Identifier: MIT */
/* What a preloaded fault shares with the test: a file, mapped by both. */
#ifndef FAULT_CONTROL_H
#define FAULT_CONTROL_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file that this variable names; NULL when none does, or it can't be. */
static inline void *
control_map(const char *variable, size_t size)
{
	const char *path = getenv(variable);
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return NULL;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p != MAP_FAILED ? p : NULL;
}

#endif
