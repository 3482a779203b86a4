/* SPDX-License-Identifier: MIT */
/*
 * Files of blobs. One lives at DATA_DIR/uploads/HOST/XX/TOKEN, XX being the
 * first two letters of the token: a page that says whose it is and what it
 * claims to be, then its bytes. Its time of change says when it is to go.
 */
#ifndef BLOB_FILE_H
#define BLOB_FILE_H

#include "core/module.h"

/* The page before a file's bytes. */
#define PAGE 4096
#define KIND "uploads"

struct files {
	bool is_expiring; /* on the pool */
};

/* files.c: on a thread of the pool only, but for the first. */
const char *file_path(struct arena *a, const char *folder, struct str token);
int file_create(const char *path);
/* Durable under its name, or -errno; -EEXIST: there is one. */
int file_publish(int fd, const char *temporary, const char *path, int64_t end);
bool page_write(int fd, const struct blob_meta *meta);
int write_all(int fd, const char *p, size_t n);
/* Opens it and reads its page; a descriptor or -errno. */
int file_open(struct arena *a, const char *path, struct blob_meta *meta_r);
/* Durably; 0 when there is none. */
int file_remove(const char *path);

/* sweep.c */
void files_expire(struct mod *m);

#endif
