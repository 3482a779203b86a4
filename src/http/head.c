/* SPDX-License-Identifier: MIT */
/*
 * Heads of requests (RFC 9112), read strictly: what another server in front
 * might read in another way is refused, not guessed at.
 */
#include "http/request.h"

static bool
is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

/* Visible characters, blanks and what is beyond ASCII. */
static bool
is_field_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
text_unescape(
    struct arena *a, struct str text, bool is_form, struct str *text_r)
{
	char *out = arena_bytes(a, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '%') {
			int high = -1, low = -1;

			if (text.n - i >= 3) {
				high = hex_digit(text.p[i + 1]);
				low = hex_digit(text.p[i + 2]);
			}
			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && is_form) {
			c = ' ';
		}
		out[n++] = c;
	}
	out[n] = '\0';
	*text_r = str_mem(out, n);
	return str_is_utf8(*text_r);
}

/* The request line --------------------------------------------------------*/

/* No segment that climbs, no slash in disguise, no control character. */
static bool
path_is_clean(struct str raw, struct str path)
{
	struct str rest = path;
	size_t slashes = 0, decoded = 0;

	for (size_t i = 0; i < raw.n; i++)
		slashes += raw.p[i] == '/';
	for (size_t i = 0; i < path.n; i++) {
		decoded += path.p[i] == '/';
		if ((unsigned char)path.p[i] < ' ' || path.p[i] == '\\' ||
		    path.p[i] == 0x7f)
			return false;
	}
	while (!str_is_none(rest)) {
		struct str segment = str_cut(&rest, '/');

		if (str_is(segment, ".") || str_is(segment, ".."))
			return false;
	}
	return slashes == decoded && path.n > 0 && path.p[0] == '/';
}

/* "http://host/path" is as good as "/path". */
static struct str
target_path(struct str target)
{
	static const struct str schemes[] = { STR_INIT("http://"),
		STR_INIT("https://") };

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct str rest = str_skip(target, schemes[i].n);
		size_t slash = str_find(rest, '/');

		if (target.n >= schemes[i].n &&
		    str_eq_nocase(str_sub(target, 0, schemes[i].n), schemes[i]))
			return slash < rest.n ? str_skip(rest, slash)
					      : STR("/");
	}
	return target;
}

static unsigned
line_parse(struct http_req *r, struct str line)
{
	struct str target, path;

	r->method = str_cut(&line, ' ');
	target = target_path(str_cut(&line, ' '));
	if (!is_token(r->method) || str_is_none(line))
		return 400;
	if (str_is(line, "HTTP/1.0"))
		r->is_old = r->is_last = true;
	else if (!str_is(line, "HTTP/1.1"))
		return str_has_prefix(line, STR("HTTP/")) ? 505 : 400;
	path = str_cut(&target, '?');
	r->query = target;
	/* OPTIONS of the server as a whole. */
	if (str_is(path, "*") && str_is(r->method, "OPTIONS"))
		path = STR("/");
	if (!text_unescape(r->arena, path, false, &r->path) ||
	    !path_is_clean(path, r->path))
		return 400;
	return 0;
}

/* Fields ------------------------------------------------------------------*/

static struct str
lowered(struct arena *a, struct str s)
{
	char *p = arena_bytes(a, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32)
						      : s.p[i];
	return str_mem(p, s.n);
}

static struct str
trim_blanks(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = str_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Those that would mean something else if one were overlooked. */
static bool
is_single(struct str name)
{
	return str_is(name, "host") || str_is(name, "content-length") ||
	       str_is(name, "authorization") ||
	       str_is(name, "sec-websocket-key") || str_is(name, "origin") ||
	       str_is(name, "range");
}

static unsigned
field_parse(struct http_req *r, struct str line)
{
	struct str name = str_cut(&line, ':');
	struct field *f;

	if (str_is_none(line) || !is_token(name) || !is_field_text(line))
		return 400;
	if (r->field_count == FIELDS_MAX)
		return 431;
	f = &r->field[r->field_count];
	f->name = lowered(r->arena, name);
	f->value = trim_blanks(line);
	if (is_single(f->name) &&
	    !str_is_none(http_head(r, str_dup_c(r->arena, f->name))))
		return 400;
	r->field_count++;
	return 0;
}

struct str
http_head(const struct http_req *r, const char *name)
{
	for (size_t i = 0; i < r->field_count; i++)
		if (str_is(r->field[i].name, name))
			return r->field[i].value;
	return STR_NONE;
}

bool
http_has_word(struct str value, const char *word)
{
	while (!str_is_none(value)) {
		struct str one = trim_blanks(str_cut(&value, ','));

		if (str_eq_nocase(one, str_c(word)))
			return true;
	}
	return false;
}

/* How long the body is. Bodies in chunks are not taken. */
static unsigned
length_parse(struct http_req *r)
{
	struct str length = http_head(r, "content-length");

	if (!str_is_none(http_head(r, "transfer-encoding")))
		return str_is_none(length) ? 411 : 400;
	if (str_is_none(length))
		return str_is(r->method, "POST") || str_is(r->method, "PUT") ||
			       str_is(r->method, "PATCH")
			   ? 411
			   : 0;
	if (!str_to_u64(length, &r->length))
		return 400;
	return 0;
}

unsigned
head_parse(struct http_req *r, struct str head)
{
	unsigned status;
	size_t end;

	head = str_dup(r->arena, head);
	for (bool is_first = true;; is_first = false) {
		struct str line;

		end = str_find(head, '\n');
		if (end == head.n || end == 0 || head.p[end - 1] != '\r')
			return 400;
		line = str_sub(head, 0, end - 1);
		head = str_skip(head, end + 1);
		if (line.n == 0)
			break;
		status = is_first ? line_parse(r, line) : field_parse(r, line);
		if (status != 0)
			return status;
	}
	if (str_is_none(http_head(r, "host")) && !r->is_old)
		return 400;
	if (http_has_word(http_head(r, "connection"), "close"))
		r->is_last = true;
	return length_parse(r);
}

/* What handlers ask --------------------------------------------------------*/

bool
http_arg(
    const struct http_req *r, size_t i, struct str *name_r, struct str *value_r)
{
	struct str rest = r->query, one = STR_NONE;

	do {
		if (str_is_none(rest))
			return false;
		one = str_cut(&rest, '&');
		if (one.n == 0)
			i++;
	} while (i-- > 0);
	if (!text_unescape(r->arena, str_cut(&one, '='), true, name_r))
		*name_r = STR("");
	if (str_is_none(one) || !text_unescape(r->arena, one, true, value_r))
		*value_r = STR("");
	return true;
}
