/* SPDX-License-Identifier: MIT */
/*
 * Files on their way. Their bytes are with a storage (store/blob.h), under a
 * token that is random, so to know it is to be allowed to read them; what an
 * account and the host have is noted here.
 */
#ifndef UPLOAD_H
#define UPLOAD_H

#include "core/module.h"

#define TOKEN_BYTES 24
#define TOKEN_LEN 32
#define NAME_MAX_BYTES 255
#define TYPE_MAX_BYTES 127
#define STORE STR("upload")
/* Of the host: "OWNER TOKEN", with index_note() of each file that it has. */
#define INDEX STR("upload_index")

/* What a file is for, as its uploader says. */
enum purpose {
	FOR_MESSAGE,
	FOR_PROFILE,
	FOR_EPHEMERAL,
	FOR_PERMANENT,
	PURPOSES,
};

struct upload_options {
	struct str host;
	struct str url, storage;
	uint64_t max_size, quota, host_quota, keep_ms, slot_ms;
	uint64_t profile_quota, profile_keep_ms, permanent_quota;
	struct str_list types;
};

struct upload {
	struct mod *mod;
	struct map pending; /* of struct asking, by account */
	struct timer expiry;
	bool is_pruning; /* in the store, what was noted of them */
	bool is_stopped;
};

/* What a slot is for. */
struct slot {
	struct str token, name, type, owner;
	uint64_t size;
	int64_t until; /* clock_real() */
	enum purpose purpose;
	int64_t before; /* FOR_EPHEMERAL: not to be had from then on */
};

/* address.c: texts live in the arena. */
struct str upload_base(struct arena *a, struct mod *m);
struct str slot_put_url(struct arena *a, struct mod *m, const struct slot *s);
struct str slot_get_url(struct arena *a, struct mod *m, const struct slot *s);
/* What was signed, from the request for it; false if it was not so. */
bool slot_of_request(const struct http_req *r, struct slot *s);
/* TOKEN and NAME of a path; false when it is none of ours. */
bool slot_of_path(const struct http_req *r, struct slot *s);
/* Fit for a header: "type/subtype", perhaps with parameters. */
bool type_is_fine(struct str type);

bool is_token(struct str s);

/* purpose.c */
/* The one asked for; false with *refusal_r when it can't be. */
bool purpose_read(const struct upload_options *o, const struct elem *request,
    struct slot *s, enum qname *refusal_r);
/* Is it one that is offered, and its namespace's element? */
bool purpose_is_on(const struct upload_options *o, enum purpose p);
const char *purpose_name(enum purpose p);
/* What one account may have for it, and the largest file. */
uint64_t purpose_quota(const struct upload_options *o, enum purpose p);
uint64_t purpose_max_size(const struct upload_options *o, enum purpose p);
/* When a file that is put now is removed. */
int64_t slot_end(const struct upload_options *o, const struct slot *s);

/* slot.c: requests for slots, in XMPP. */
void on_slot_request(struct mod *m, struct stanza *iq);
/*
 * "SIZE END PURPOSE": what the owner's store says of a token: a file, or a slot
 * that may still be used. It stands for so many bytes.
 */
struct str note_make(struct arena *a, const struct slot *s, int64_t end);

/* content.c: what a file is, by its beginning; on a thread of the pool. */
#define CONTENT_LOOK (64 * 1024)
/* Is such content allowed? `type_r` says what it is, for the log. */
bool content_is_allowed(const struct upload_options *o, struct str beginning,
    char type_r[TYPE_MAX_BYTES + 1]);
/* Is that type, as somebody calls it, among those allowed? */
bool type_is_allowed(const struct upload_options *o, struct str type);
void content_fini(void);

/* usage.c: what a host has, counted by all workers together. */
void usage_init(void);
void usage_fini(void);
/* Room for so many bytes; false when there is none. */
bool usage_take(const struct host *host, uint64_t bytes, uint64_t max);
void usage_give(const struct host *host, uint64_t bytes);
bool usage_has_room(const struct host *host, uint64_t bytes, uint64_t max);
/* Counts what is there, and forgets of the index what is too old. */
void usage_start(struct mod *m);
void index_prune(struct mod *m);
struct str index_key(struct arena *a, struct str owner, struct str token);
/*
 * Who is to note a file, or to forget one, claims its token before he looks at
 * what is noted; of any loop. False: another does that now. The token is lent.
 */
bool token_claim(struct str token);
void token_unclaim(struct str token);
/* "SIZE END UNTIL": until then others may put it, and we don't know; or 0. */
struct str index_note(
    struct arena *a, uint64_t size, int64_t end, int64_t until);
bool index_read(
    struct str note, uint64_t *size_r, int64_t *end_r, int64_t *until_r);

/* removal.c: files that go before their time. */
void remove_all_of(struct mod *m, struct account *acct);
extern const struct retraction_listener on_retraction;

/* belongings.c: of an account that is to go, or whose goods are listed */
void on_belongings(struct mod *m, struct belongings *b);

/* put.c, get.c */
void on_put(struct http_req *r);
void on_get(struct http_req *r);
void on_options(struct http_req *r);
void cors_headers(struct http_req *r);

/* storage.c: where files are, and its instance; NULL: it is not on. */
const struct blob_backend *storage_of(const struct mod *m, struct mod **at_r);
struct blob_meta slot_meta(const struct slot *s, int64_t end);
void storage_remove(struct mod *m, const struct str *tokens, size_t count,
    blob_done_fn *done, void *ctx);
/* May clients put their files there by themselves? */
bool storage_takes_direct(struct mod *m);
/* Removes what is too old, now and then; on the first loop. */
void expiry_start(struct mod *m);
/*
 * A slot of that kind is over: was it used? Settles what is noted of it; done()
 * comes later, whatever came of it.
 */
void direct_settle(struct mod *m, struct str owner, struct str token,
    uint64_t size, int64_t end, void (*done)(void *ctx), void *ctx);

#endif
