/* SPDX-License-Identifier: MIT */
#include "modules/blob_s3/sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#define HASH_BYTES 32

static struct str
hmac(struct arena *a, struct str key, struct str text)
{
	unsigned char *mac = (unsigned char *)arena_bytes(a, HASH_BYTES);
	unsigned n = 0;

	must(HMAC(EVP_sha256(), key.p, (int)key.n,
		 (const unsigned char *)text.p, text.n, mac, &n) != NULL);
	must(n == HASH_BYTES);
	return str_mem(mac, n);
}

static struct str
hash(struct arena *a, struct str text)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	must(EVP_Digest(text.p, text.n, bytes, &n, EVP_sha256(), NULL) == 1);
	return str_hex(a, str_mem(bytes, n));
}

/* Names and values, the host's where it belongs. */
struct headers {
	struct buf names, lines;
};

static void
header_add(struct headers *h, const char *name, struct str value)
{
	buf_printf(&h->names, "%s%s", h->names.n > 0 ? ";" : "", name);
	buf_printf(&h->lines, "%s:" STR_FMT "\n", name, STR_ARG(value));
}

static void
headers_make(struct headers *h, const struct s3_request *r)
{
	bool has_host = false;

	for (size_t i = 0; i < r->header_count; i++) {
		if (!has_host && strcmp(r->header[i].name, "host") > 0) {
			header_add(h, "host", r->host);
			has_host = true;
		}
		header_add(h, r->header[i].name, r->header[i].value);
	}
	if (!has_host)
		header_add(h, "host", r->host);
}

static struct str
query_make(struct arena *a, const struct s3_keys *keys,
    const struct s3_request *r, struct str scope, const char *stamp,
    struct str names)
{
	struct buf q = { 0 };
	struct str text;

	buf_printf(&q,
	    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" STR_FMT
	    "&X-Amz-Date=%s&X-Amz-Expires=%llu&X-Amz-SignedHeaders=" STR_FMT,
	    STR_ARG(str_percent(a, str_printf(a, STR_FMT "/" STR_FMT,
				       STR_ARG(keys->access), STR_ARG(scope)))),
	    stamp, (unsigned long long)r->good_s,
	    STR_ARG(str_percent(a, names)));
	for (size_t i = 0; i < r->query_count; i++)
		buf_printf(&q, "&%s=" STR_FMT, r->query[i].name,
		    STR_ARG(str_percent(a, r->query[i].value)));
	text = str_dup(a, buf_str(&q));
	buf_fini(&q);
	return text;
}

static struct str
signing_key(struct arena *a, const struct s3_keys *keys, const char *day)
{
	struct str first = str_printf(a, "AWS4" STR_FMT, STR_ARG(keys->secret));
	struct str key = hmac(a, first, str_c(day));

	explicit_bzero((char *)(uintptr_t)first.p, first.n);
	key = hmac(a, key, keys->region);
	key = hmac(a, key, STR("s3"));
	return hmac(a, key, STR("aws4_request"));
}

struct str
s3_presign(
    struct arena *a, const struct s3_keys *keys, const struct s3_request *r)
{
	struct headers h = { 0 };
	time_t when = (time_t)r->time_s;
	struct str scope, query, canonical, text, url;
	char stamp[24], day[12];
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	strftime(day, sizeof(day), "%Y%m%d", &tm);
	headers_make(&h, r);
	scope = str_printf(
	    a, "%s/" STR_FMT "/s3/aws4_request", day, STR_ARG(keys->region));
	query = query_make(a, keys, r, scope, stamp, buf_str(&h.names));
	canonical = str_printf(a,
	    "%s\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT
	    "\nUNSIGNED-PAYLOAD",
	    r->method, STR_ARG(r->path), STR_ARG(query),
	    STR_ARG(buf_str(&h.lines)), STR_ARG(buf_str(&h.names)));
	text = str_printf(a, "AWS4-HMAC-SHA256\n%s\n" STR_FMT "\n" STR_FMT,
	    stamp, STR_ARG(scope), STR_ARG(hash(a, canonical)));
	url = str_printf(a,
	    STR_FMT "://" STR_FMT STR_FMT "?" STR_FMT
		    "&X-Amz-Signature=" STR_FMT,
	    STR_ARG(r->scheme), STR_ARG(r->host), STR_ARG(r->path),
	    STR_ARG(query),
	    STR_ARG(str_hex(a, hmac(a, signing_key(a, keys, day), text))));
	buf_fini(&h.names);
	buf_fini(&h.lines);
	return url;
}
