/* SPDX-License-Identifier: MIT */
/* The example of AWS' documentation, and what is signed beside the host. */
#include "modules/blob_s3/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct s3_keys keys = {
	.region = STR_INIT("us-east-1"),
	.access = STR_INIT("AKIAIOSFODNN7EXAMPLE"),
	.secret = STR_INIT("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
};

static struct s3_request
request(void)
{
	return (struct s3_request){
		.method = "GET",
		.scheme = STR("https"),
		.host = STR("examplebucket.s3.amazonaws.com"),
		.path = STR("/test.txt"),
		.time_s = 1369353600,
		.good_s = 86400,
	};
}

static void
test_documented(void **state)
{
	struct arena *a = arena_new(0);
	struct s3_request r = request();
	struct str url = s3_presign(a, &keys, &r);

	(void)state;
	assert_string_equal(url.p,
	    "https://examplebucket.s3.amazonaws.com/test.txt"
	    "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
	    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2F"
	    "s3%2Faws4_request&X-Amz-Date=20130524T000000Z"
	    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
	    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835"
	    "f995330da4c265957d157751f604d404");
	arena_free(&a);
}

static void
test_headers(void **state)
{
	struct arena *a = arena_new(0);
	struct s3_request r = request();
	struct str url;

	(void)state;
	r.header[0] = (struct s3_pair){ "content-length", STR("5") };
	r.header[1] = (struct s3_pair){ "x-amz-acl", STR("private") };
	r.header_count = 2;
	r.query[0] = (struct s3_pair){ "response-content-type", STR("a/b") };
	r.query_count = 1;
	url = s3_presign(a, &keys, &r);
	assert_non_null(strstr(url.p,
	    "&X-Amz-SignedHeaders=content-length%3Bhost%3Bx-amz-acl"
	    "&response-content-type=a%2Fb&X-Amz-Signature="));
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documented),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
