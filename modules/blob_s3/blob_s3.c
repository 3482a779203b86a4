/* SPDX-License-Identifier: MIT */
/*
 * Blobs in a bucket of Amazon's S3 or of any server that speaks its protocol.
 * Clients fetch from the bucket, and put there if we let them, by addresses
 * that we sign (AWS Signature Version 4); our own requests go by such, too.
 */
#include "modules/blob_s3/s3.h"

#include <dlfcn.h>

static const struct blob_backend backend = {
	.put_begin = s3_put_begin,
	.put_write = s3_put_write,
	.put_end = s3_put_end,
	.find = s3_find,
	.remove = s3_remove,
	.expire = s3_expire,
	.offers = s3_offers,
	.offer = s3_offer,
};

/*
 * What ends early leaves a thread of libcurl's behind that still looks up a
 * name (transfer.c): its code is to be there when we have gone.
 */
static void
libcurl_keep(void)
{
	Dl_info at;
	void *handle;

	if (dladdr((void *)(uintptr_t)curl_easy_init, &at) == 0)
		return;
	handle = dlopen(at.dli_fname, RTLD_NOW | RTLD_NODELETE);
	if (handle != NULL)
		dlclose(handle);
}

static int
load(struct arena *a, const char **why_r)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		*why_r = "libcurl does not start";
		return ERR_INVALID;
	}
	libcurl_keep();
	mod_publish("blob_s3", &backend);
	return 0;
}

static void
unload(void)
{
	curl_global_cleanup();
}

static void
start(struct mod *m)
{
	struct s3 *s = mod_state(m);

	s->mod = m;
	list_init(&s->transfers);
	keys_init(s);
}

static void
reload(struct mod *m)
{
	keys_init(mod_state(m));
}

static void
stop(struct mod *m)
{
	struct s3 *s = mod_state(m);

	transfers_stop(s);
	keys_fini(s);
}

static bool
is_tls(struct str endpoint)
{
	return endpoint.n == 0 || str_has_prefix(endpoint, STR("https://"));
}

static void
check(struct mod *m, struct check *c)
{
	const struct s3_options *o = mod_options(m);

	if (!endpoint_is_fine(o->endpoint) || o->bucket.n == 0 ||
	    (o->public_endpoint.n > 0 && !endpoint_is_fine(o->public_endpoint)))
		check_say(c, CHECK_FAIL,
		    "set endpoint, such as https://s3.example.org, and bucket",
		    "blob_s3", "there is no place for files");
	else if (o->credentials_file.n == 0 &&
		 (o->access_key.n == 0 || o->secret_key.n == 0))
		check_say(c, CHECK_FAIL,
		    "set access_key and secret_key, or credentials_file",
		    "blob_s3", "there are no keys for the bucket");
	else if (!is_tls(o->endpoint) || !is_tls(o->public_endpoint))
		check_say(c, CHECK_WARNING, "use https beyond this machine",
		    "blob_s3", "files go to the bucket without TLS");
	else
		check_say(c, CHECK_OK, NULL, "blob_s3",
		    "files go to the bucket " STR_FMT, STR_ARG(o->bucket));
}

static const char *const addressing[] = { "path", "virtual", NULL };

static const struct option options[] = {
	OPT_TEXT("endpoint", struct s3_options, endpoint, "", 500,
	    "the S3 server, such as https://s3.eu-central-1.amazonaws.com or "
	    "https://minio.example.org:9000"),
	OPT_TEXT("public_endpoint", struct s3_options, public_endpoint, "", 500,
	    "the same as clients reach it, if that differs: another name, or "
	    "a CDN that passes Host on"),
	OPT_TEXT("region", struct s3_options, region, "us-east-1", 100,
	    "the region, which is part of signatures"),
	OPT_TEXT("bucket", struct s3_options, bucket, "", 100,
	    "the bucket, which exists already and is not public"),
	OPT_CHOICE("addressing", struct s3_options, addressing, "path",
	    addressing,
	    "whether the bucket is a part of the path or of the host's name"),
	OPT_TEXT("prefix", struct s3_options, prefix, "", 200,
	    "what the names of objects begin with, before HOST/TOKEN"),
	OPT_TEXT("access_key", struct s3_options, access_key, "", 200,
	    "the name of the key by which we sign"),
	{
	    .name = "secret_key",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct s3_options, secret_key),
	    .max = 200,
	    .value = "",
	    .is_secret = true,
	    .help = "the key by which we sign",
	},
	OPT_TEXT("credentials_file", struct s3_options, credentials_file, "",
	    4096,
	    "a file that has both keys, as AWS' tools write it "
	    "(aws_access_key_id = ..., aws_secret_access_key = ...); read "
	    "again when it has changed"),
	OPT_BOOL("direct", struct s3_options, is_direct, "true",
	    "clients put files into the bucket by themselves, unless "
	    "http_upload checks their types"),
	OPT_SPAN("link", struct s3_options, link_ms, "1h", SECONDS(1), DAYS(3),
	    "how long an address to fetch a file stays the same; it is good "
	    "for up to twice as long"),
	OPT_SPAN("timeout", struct s3_options, timeout_ms, "30s", SECONDS(1),
	    MINUTES(10), "how long the S3 server may say nothing"),
	OPT_SPAN("transfer", struct s3_options, transfer_ms, "1h", SECONDS(1),
	    DAYS(1),
	    "how long a client's own put may go on when its slot is over: a "
	    "slot counts until then, and what came of a file that was removed "
	    "meanwhile is deleted then"),
	OPT_TEXT("ca_file", struct s3_options, ca_file, "", 4096,
	    "the authorities of its certificate; empty: the system's"),
	OPTIONS_END,
};

MODULE(blob_s3) = {
	.summary = "keep uploaded files in a bucket of an S3 server",
	.is_optional = true,
	.options_size = sizeof(struct s3_options),
	.state_size = sizeof(struct s3),
	.options = options,
	.load = load,
	.unload = unload,
	.start = start,
	.reload = reload,
	.stop = stop,
	.check = check,
};
