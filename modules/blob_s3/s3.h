/* SPDX-License-Identifier: MIT */
/*
 * Blobs in a bucket of an S3 server. What is known of one is in the host's own
 * store (record.c), so an address to fetch it needs no question to the bucket;
 * the bytes are an object HOST/TOKEN.
 */
#ifndef BLOB_S3_H
#define BLOB_S3_H

#include "core/module.h"
#include "modules/blob_s3/sign.h"

#include <curl/curl.h>

enum addressing { ADDRESS_PATH, ADDRESS_VIRTUAL };

struct s3_options {
	struct str endpoint, public_endpoint, region, bucket, prefix;
	struct str access_key, secret_key, credentials_file, ca_file;
	unsigned addressing;
	uint64_t link_ms, timeout_ms, transfer_ms;
	bool is_direct;
};

/* From the options, or a file; see keys.c. Heap. */
struct keys {
	struct str access, secret;
	uint64_t read; /* loop_now(); 0: never */
	bool is_reading;
};

struct s3 {
	struct mod *mod;
	CURLM *multi; /* NULL: stopped, or not yet */
	bool is_stopped;
	struct list transfers;
	struct timer timer;
	struct keys keys;
	bool is_expiring;
};

/* keys.c */
void keys_init(struct s3 *s);
void keys_fini(struct s3 *s);
/* False when there are none; lent for this turn. */
bool keys_get(struct s3 *s, struct s3_keys *keys_r);

/* address.c */
enum whose { OURS, PUBLIC };
/* Fills in where the object is; the rest of `r` is the caller's. */
bool address_of(struct arena *a, struct s3 *s, enum whose whose,
    struct str token, struct s3_request *r);
bool endpoint_is_fine(struct str endpoint);
/* For one of our own requests: good for a while from now; none: no keys. */
struct str address_now(
    struct arena *a, struct s3 *s, struct s3_request *r, uint64_t good_s);

/* record.c: what the host's store says of a blob. */
enum record_state {
	RECORD_COMING = 'c', /* by way of us */
	RECORD_DIRECT = 'd', /* by somebody else: perhaps it is there */
	RECORD_THERE = 't',
	RECORD_REMOVED = 'r', /* DIRECT before: perhaps it comes yet */
};
struct record {
	enum record_state state;
	int64_t until; /* all but THERE: no put begins after that */
	struct blob_meta meta;
};
#define RECORDS STR("blob_s3")
void record_put(struct store_write *w, struct mod *m, struct str token,
    const struct record *r);
/* Texts are views of `text`. */
bool record_read(struct str text, struct record *r_r);
/* Can a put end yet that is not ours? One that has begun takes its time. */
bool record_is_open(struct mod *m, const struct record *r);

/*
 * transfer.c: one request to the bucket. done() comes in a later turn, once:
 * the status, or 0 when none came; what failed has been logged.
 */
struct transfer;
typedef void transfer_fn(void *ctx, unsigned status, int64_t length);
struct transfer *transfer_new(struct s3 *s, const char *method, struct str url,
    transfer_fn *done, void *ctx);
/* With a body of that size, which comes by transfer_write(). */
void transfer_upload(struct transfer *t, uint64_t size, struct str type);
void transfer_start(struct transfer *t);
/* Lent until wanted(), which comes when more is wanted; not at the end. */
void transfer_write(
    struct transfer *t, struct str bytes, void (*wanted)(void *ctx), void *ctx);
/* It is over without an answer; done() does not come. */
void transfer_drop(struct transfer **t);
void transfers_stop(struct s3 *s);

/* put.c, find.c, removal.c */
struct blob_put *s3_put_begin(
    struct mod *m, struct str token, const struct blob_meta *meta);
void s3_put_write(struct blob_put *p, struct str bytes, bool is_last,
    blob_done_fn *done, void *ctx);
void s3_put_end(struct blob_put **p, blob_done_fn *done, void *ctx);
/* Is one by that token coming to this process? */
bool s3_is_claimed(struct str token);
void s3_find(struct mod *m, struct str token, const char *method,
    blob_found_fn *done, void *ctx);
bool s3_offers(struct mod *m);
void s3_offer(struct mod *m, struct str token, const struct blob_meta *meta,
    bool has_type, int64_t until, blob_url_fn *done, void *ctx);
void s3_remove(struct mod *m, const struct str *tokens, size_t count,
    blob_done_fn *done, void *ctx);
void s3_expire(struct mod *m);

#endif
