/* SPDX-License-Identifier: MIT */
/*
 * Accounts that a web service knows, by the interface that MongooseIM and
 * Prosody have for it: check_password, user_exists, set_password, register,
 * remove_user below one URL, answered with "true" or "false". Connections are
 * kept between questions; certificates are checked; redirections aren't
 * followed, as the password would go with them.
 */
#include "core/module.h"

#include <curl/curl.h>

#define ANSWER_MAX 1024

enum method { METHOD_POST, METHOD_GET };

struct http {
	struct str url, ca_file, credentials;
	unsigned method;
	uint64_t timeout_ms;
	bool can_change;
};

struct reply {
	char text[ANSWER_MAX];
	size_t n;
};

static size_t
on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct reply *r = ctx;

	n *= size;
	if (r->n + n > sizeof(r->text))
		return 0; /* ends it: no answer is that long */
	memcpy(r->text + r->n, p, n);
	r->n += n;
	return n;
}

/* ---- the request ------------------------------------------------------- */

static void
add_field(struct buf *b, const char *name, struct str value)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_printf(b, "%s%s=", b->n > 0 ? "&" : "", name);
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || strchr("-._~", c) != NULL) {
			buf_add_c(b, (char)c);
		} else {
			buf_add_c(b, '%');
			buf_add_c(b, digits[c >> 4]);
			buf_add_c(b, digits[c & 15]);
		}
	}
}

static const char *
fields_of(struct auth_ask *ask)
{
	struct buf b = { 0 };
	const char *text;

	add_field(&b, "user", ask->user);
	add_field(&b, "server", ask->host);
	if (ask->what != AUTH_EXISTS && ask->what != AUTH_REMOVE)
		add_field(&b, "pass", ask->password);
	text = str_dup_c(ask->arena, buf_str(&b));
	explicit_bzero(b.p, b.n);
	buf_fini(&b);
	return text;
}

static const char *
url_of(struct auth_ask *ask, const char *query)
{
	static const char *const paths[] = {
		[AUTH_CHECK] = "check_password",
		[AUTH_EXISTS] = "user_exists",
		[AUTH_SET] = "set_password",
		[AUTH_CREATE] = "register",
		[AUTH_REMOVE] = "remove_user",
	};
	const struct http *o = ask->options;
	bool has_slash = str_has_suffix(o->url, STR("/"));

	return arena_printf(ask->arena, STR_FMT "%s%s%s%s", STR_ARG(o->url),
	    has_slash ? "" : "/", paths[ask->what], query != NULL ? "?" : "",
	    query != NULL ? query : "");
}

/* Passwords leave this machine by TLS alone. */
static bool
is_url_safe(struct str url)
{
	static const char *const ours[] = { "http://localhost",
		"http://127.0.0.1", "http://[::1]", NULL };

	if (str_has_prefix(url, STR("https://")))
		return true;
	for (size_t i = 0; ours[i] != NULL; i++) {
		struct str rest = str_skip(url, strlen(ours[i]));

		if (str_has_prefix(url, str_c(ours[i])) &&
		    (rest.n == 0 || rest.p[0] == ':' || rest.p[0] == '/'))
			return true;
	}
	return false;
}

static void
request_set(CURL *c, struct auth_ask *ask, struct reply *r, char *error)
{
	const struct http *o = ask->options;
	const char *fields = fields_of(ask);
	bool is_get = ask->what <= AUTH_EXISTS && o->method == METHOD_GET;

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, url_of(ask, is_get ? fields : NULL));
	if (!is_get)
		curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, fields);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "rookery");
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	if (o->ca_file.n > 0)
		curl_easy_setopt(c, CURLOPT_CAINFO, o->ca_file.p);
	if (o->credentials.n > 0)
		curl_easy_setopt(c, CURLOPT_USERPWD, o->credentials.p);
}

/* ---- the answer -------------------------------------------------------- */

static int
down(struct auth_ask *ask, const char *why)
{
	snprintf(ask->why, sizeof(ask->why), "the web service: %.*s",
	    (int)sizeof(ask->why) - 20, why);
	return ERR_CLOSED;
}

static int
reply_read(struct auth_ask *ask, long status, const struct reply *r)
{
	struct str text = str_trim(str_mem(r->text, r->n));
	char why[32];

	if (status == 200 && (str_is(text, "true") || str_is(text, "1")))
		return 0;
	if (status == 200 && (str_is(text, "false") || str_is(text, "0")))
		return ERR_DENIED;
	if ((status == 201 || status == 204) && ask->what >= AUTH_SET)
		return 0;
	if (status == 401 || status == 403 || status == 404 || status == 409)
		return ERR_DENIED;
	if (status == 200)
		return down(ask, "its answer is neither true nor false");
	snprintf(why, sizeof(why), "status %ld", status);
	return down(ask, why);
}

static int
answer(struct auth_ask *ask)
{
	const struct http *o = ask->options;
	char error[CURL_ERROR_SIZE] = "";
	struct reply r = { .n = 0 };
	CURLcode code;
	long status = 0;

	if (ask->what >= AUTH_SET && !o->can_change)
		return ERR_DENIED;
	if (!is_url_safe(o->url))
		return down(ask,
		    "'url' is not given, or not https beyond this machine");
	if (ask->state == NULL)
		ask->state = curl_easy_init();
	if (ask->state == NULL)
		return down(ask, "libcurl does not start");
	request_set(ask->state, ask, &r, error);
	code = curl_easy_perform(ask->state);
	curl_easy_setopt(ask->state, CURLOPT_ERRORBUFFER, NULL);
	if (code != CURLE_OK)
		return down(
		    ask, error[0] != '\0' ? error : curl_easy_strerror(code));
	curl_easy_getinfo(ask->state, CURLINFO_RESPONSE_CODE, &status);
	return reply_read(ask, status, &r);
}

static void
state_free(void *state)
{
	curl_easy_cleanup(state);
}

static const struct auth_backend backend = {
	.can = AUTH_CAN(AUTH_CHECK) | AUTH_CAN(AUTH_EXISTS) |
	       AUTH_CAN(AUTH_SET) | AUTH_CAN(AUTH_CREATE) |
	       AUTH_CAN(AUTH_REMOVE),
	.answer = answer,
	.state_free = state_free,
};

static int
load(struct arena *a, const char **why_r)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		return 0;
	*why_r = "libcurl does not start";
	return ERR_INVALID;
}

static void
unload(void)
{
	curl_global_cleanup();
}

static const char *const methods[] = { "post", "get", NULL };

static const struct option options[] = {
	OPT_TEXT("url", struct http, url, "", 2000,
	    "below which check_password and the others are; https, or this "
	    "machine"),
	OPT_CHOICE("method", struct http, method, "post", methods,
	    "how check_password and user_exists are asked; with get the "
	    "password is in the URL, which is often logged"),
	{
	    .name = "credentials",
	    .type = OPTION_TEXT,
	    .offset = offsetof(struct http, credentials),
	    .max = 1000,
	    .value = "",
	    .is_secret = true,
	    .help = "NAME:PASSWORD by which we log in to the service",
	},
	OPT_TEXT("ca_file", struct http, ca_file, "", 4096,
	    "the authorities of its certificate; empty: the system's"),
	OPT_SPAN("timeout", struct http, timeout_ms, "5s", 100, SECONDS(30),
	    "how long it may take to answer"),
	OPT_BOOL("changes", struct http, can_change, "false",
	    "whether it is told of new accounts, new passwords and removals"),
	OPTIONS_END,
};

MODULE(auth_http) = {
	.summary = "accounts that a web service knows",
	.is_optional = true,
	.options_size = sizeof(struct http),
	.options = options,
	.load = load,
	.unload = unload,
	.auth = &backend,
};
