/* SPDX-License-Identifier: MIT */
/*
 * Files on their way. A file lives at DATA_DIR/uploads/HOST/XX/TOKEN, XX being
 * the first two letters of the token: a page that says whose it is and what it
 * claims to be, then its bytes. The token is random, so to know it is to be
 * allowed to read it.
 */
#ifndef UPLOAD_H
#define UPLOAD_H

#include "core/module.h"

#define TOKEN_BYTES 24
#define TOKEN_LEN 32
#define NAME_MAX_BYTES 255
#define TYPE_MAX_BYTES 127
/* The page before a file's bytes. */
#define PAGE 4096
/* How long a slot may be used. */
#define SLOT_MS MINUTES(15)
#define STORE STR("upload")
#define KIND "uploads"

struct upload_options {
	struct str host;
	struct str url;
	uint64_t max_size, quota, keep_ms;
};

struct upload {
	struct mod *mod;
	struct map pending; /* of struct asking, by account */
	struct timer expiry;
	bool is_expiring;
};

/* What a slot is for. */
struct slot {
	struct str token, name, type, owner;
	uint64_t size;
	int64_t until; /* clock_real() */
};

/* address.c: texts live in the arena. */
struct str upload_base(struct arena *a, struct mod *m);
struct str slot_put_url(struct arena *a, struct mod *m, const struct slot *s);
struct str slot_get_url(struct arena *a, struct mod *m, const struct slot *s);
/* What was signed, from the request for it; false if it was not so. */
bool slot_of_request(const struct http_req *r, struct slot *s);
/* TOKEN and NAME of a path; false when it is none of ours. */
bool slot_of_path(const struct http_req *r, struct slot *s);
struct str url_escape(struct arena *a, struct str text);
/* Fit for a header: "type/subtype", perhaps with parameters. */
bool type_is_fine(struct str type);

/* slot.c: requests for slots, in XMPP. */
void on_slot_request(struct mod *m, struct stanza *iq);
/* "SIZE TIME DONE": what the owner's store says of a token. */
struct str note_make(
    struct arena *a, uint64_t size, int64_t time, bool is_done);

/* belongings.c: of an account that is to go, or whose goods are listed */
void on_belongings(struct mod *m, struct belongings *b);

/* put.c, get.c */
void on_put(struct http_req *r);
void on_get(struct http_req *r);
void on_options(struct http_req *r);
void cors_headers(struct http_req *r);

/* files.c: on a thread of the pool only, but for the last. */
const char *file_path(struct arena *a, const char *folder, struct str token);
int file_create(const char *path);
/* Durable under its name, or -errno; -EEXIST: there is one. */
int file_publish(int fd, const char *temporary, const char *path);
bool page_write(int fd, const struct slot *s, int64_t time);
/* Opens it and reads its page; a descriptor or -errno. */
int file_open(
    struct arena *a, const char *path, struct slot *s, int64_t *time_r);
/* Removes what is too old, now and then; on the first loop. */
void expiry_start(struct mod *m);

#endif
