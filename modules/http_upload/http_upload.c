/* SPDX-License-Identifier: MIT */
/*
 * XEP-0363: HTTP File Upload. Clients ask a service of the host for a slot, put
 * the file there and send its address to whom they like. Files are kept by a
 * storage (store/blob.h), until their time is over, or their message is
 * retracted, or their account deleted.
 */
#include "modules/http_upload/upload.h"

#include "xep/0004-forms.h"
#include "xep/0030-disco.h"

#define FORM_TYPE "urn:xmpp:http:upload:0"

/* ---- the service ------------------------------------------------------- */

static void
on_info(struct mod *m, struct stanza *iq)
{
	static const char *const features[] = {
		"http://jabber.org/protocol/disco#info", FORM_TYPE, NULL
	};
	const struct upload_options *o = mod_options(m);
	struct str node = elem_attr(stanza_payload(iq), AT_NODE);
	struct elem *query;

	if (!str_is_none(node) && node.n > 0) {
		stanza_refuse(iq, EL_ITEM_NOT_FOUND);
		return;
	}
	query = elem_add(stanza_result(iq), EL_DISCO_INFO);
	disco_add_identity(query, "store", "file", STR("Files"));
	disco_add_features(query, features);
	form_add_field(form_add(query, "result", FORM_TYPE), NULL,
	    "max-file-size", NULL,
	    str_printf(iq->arena, "%llu", (unsigned long long)o->max_size));
	for (int p = 0; p < PURPOSES; p++)
		if (purpose_is_on(o, (enum purpose)p))
			disco_add_feature(
			    query, str_printf(iq->arena,
				       "urn:xmpp:http:upload:purpose:0#%s",
				       purpose_name((enum purpose)p)));
	stanza_send_back(iq);
}

static void
on_items(struct stanza *iq)
{
	elem_add(stanza_result(iq), EL_DISCO_ITEMS);
	stanza_send_back(iq);
}

static void
on_service(struct mod *m, struct stanza *st)
{
	qname_t payload =
	    st->kind == STANZA_IQ ? elem_name(stanza_payload(st)) : EL_NONE;

	if (!str_is_none(st->to.local) || !(st->type & (IQ_GET | IQ_SET)))
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
	else if (payload == EL_UPLOAD_REQUEST)
		on_slot_request(m, st);
	else if (payload == EL_DISCO_INFO && st->type == IQ_GET)
		on_info(m, st);
	else if (payload == EL_DISCO_ITEMS && st->type == IQ_GET)
		on_items(st);
	else
		stanza_refuse(st, EL_SERVICE_UNAVAILABLE);
}

/* ---- the module -------------------------------------------------------- */

static int
upload_load(struct arena *a, const char **why_r)
{
	usage_init();
	mod_publish("retraction_listener", &on_retraction);
	return 0;
}

static void
upload_unload(void)
{
	usage_fini();
	content_fini();
}

static void
upload_start(struct mod *m)
{
	struct upload *u = mod_state(m);

	u->mod = m;
	usage_start(m);
	expiry_start(m);
}

static void
upload_stop(struct mod *m)
{
	struct upload *u = mod_state(m);

	u->is_stopped = true;
	timer_stop(&u->expiry);
}

static const struct option options[] = {
	OPT_HOST("host", struct upload_options, host, "upload.@HOST@",
	    "the domain of the service"),
	OPT_TEXT("url", struct upload_options, url, "", 1000,
	    "where clients reach our HTTP listener, such as "
	    "https://files.example.org; by default by the host's name and the "
	    "port"),
	OPT_TEXT("storage", struct upload_options, storage, "file", 50,
	    "who keeps the files: file, for DATA_DIR/uploads, or s3, or NAME "
	    "of another module blob_NAME that is on"),
	OPT_SIZE("max_size", struct upload_options, max_size, "100MiB", 1,
	    (uint64_t)1 << 40, "the largest file"),
	OPT_SIZE("quota", struct upload_options, quota, "1GiB", 1,
	    (uint64_t)1 << 50, "what one account may have here"),
	OPT_SIZE("host_quota", struct upload_options, host_quota, "1TiB", 1,
	    (uint64_t)1 << 60, "what all accounts of the host may have here"),
	OPT_SPAN("slot", struct upload_options, slot_ms, "15m", SECONDS(1),
	    DAYS(1), "how long a slot may be used"),
	OPT_LIST("types", struct upload_options, types, NULL, 200,
	    "types of files that are taken, such as image/*, by what is in "
	    "them, whatever they are called; encrypted files are "
	    "application/octet-stream; by default all"),
	OPT_SIZE("profile_quota", struct upload_options, profile_quota, "10MiB",
	    0, (uint64_t)1 << 50,
	    "what one account may have for its profile; 0: this purpose is "
	    "not offered"),
	OPT_SPAN("profile_keep", struct upload_options, profile_keep_ms,
	    "3650d", SECONDS(1), DAYS(36500),
	    "how long files for profiles are kept"),
	OPT_SIZE("permanent_quota", struct upload_options, permanent_quota, "0",
	    0, (uint64_t)1 << 50,
	    "what one account may have for good; 0: this purpose is not "
	    "offered"),
	OPT_SPAN("keep", struct upload_options, keep_ms, "31d", SECONDS(1),
	    DAYS(3650), "how long files are kept"),
	OPTIONS_END,
};

static const struct hook hooks[] = {
	{ HOOK_ACCOUNT_BELONGINGS, NORMAL, .belongings = on_belongings },
	{ HOOK_ACCOUNT_DELETED, NORMAL, .account = remove_all_of },
	HOOKS_END,
};

static const struct http_route http[] = {
	{ .method = "PUT",
	    .path = "/upload/",
	    .fn = on_put,
	    .is_streamed = true },
	{ .method = "GET", .path = "/upload/", .fn = on_get },
	{ .method = "OPTIONS", .path = "/upload/", .fn = on_options },
	HTTP_ROUTES_END,
};

static void
upload_check(struct mod *m, struct check *c)
{
	const struct upload_options *o = mod_options(m);
	struct mod *at;

	if (storage_of(m, &at) == NULL)
		check_say(c, CHECK_FAIL,
		    "turn its module on, or set storage: file", "uploads",
		    "the module blob_" STR_FMT " is not on",
		    STR_ARG(o->storage));
}

static const char *const needs[] = { "blob_file", NULL };

MODULE(http_upload) = {
	.summary = "let clients share files",
	.needs = needs,
	.options_size = sizeof(struct upload_options),
	.state_size = sizeof(struct upload),
	.options = options,
	.hooks = hooks,
	.http = http,
	.load = upload_load,
	.unload = upload_unload,
	.service_option = "host",
	.service = on_service,
	.start = upload_start,
	.stop = upload_stop,
	.check = upload_check,
};
