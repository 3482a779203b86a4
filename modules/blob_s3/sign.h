/* SPDX-License-Identifier: MIT */
/*
 * Addresses that are signed (AWS Signature Version 4, in the query): whoever
 * has one may do just that, with those headers, while it is good.
 */
#ifndef S3_SIGN_H
#define S3_SIGN_H

#include "core/module.h"

struct s3_keys {
	struct str region, access, secret;
};

struct s3_pair {
	const char *name; /* a header's in small letters */
	struct str value;
};

#define S3_PAIRS_MAX 4

/* Pairs are in the order of their names; those of the query behind "X-Amz". */
struct s3_request {
	const char *method;
	struct str scheme, host; /* "https", "NAME" or "NAME:PORT" */
	struct str path;	 /* as it is sent: escaped */
	struct s3_pair query[S3_PAIRS_MAX];
	size_t query_count;
	/* Beside that of the host, which sorts among them. */
	struct s3_pair header[S3_PAIRS_MAX];
	size_t header_count;
	int64_t time_s; /* since the epoch: signed then */
	uint64_t good_s;
};

/* Lives in the arena. */
struct str s3_presign(
    struct arena *a, const struct s3_keys *keys, const struct s3_request *r);

#endif
