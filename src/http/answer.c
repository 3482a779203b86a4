/* SPDX-License-Identifier: MIT */
/* Answers: heads, bodies, and files that are read off the loop. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "http/request.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* What is read of a file in one go. */
#define PIECE (128 * 1024)

const char *
status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} texts[] = {
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Status";
}

void
http_header(struct http_req *r, const char *name, const char *value)
{
	must(r->header_count < ANSWER_HEADERS_MAX);
	r->header[r->header_count].name = name;
	r->header[r->header_count++].value = value;
}

static void
write_date(struct buf *out)
{
	static __thread time_t last;
	static __thread char text[40];
	time_t now = (time_t)(clock_real() / 1000);
	struct tm tm;

	if (now != last) {
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		last = now;
	}
	buf_printf(out, "date: %s\r\n", text);
}

static const struct log_ctx log_http = { .source = "http" };

/* Of the path only what it was taken for: the rest may be a secret. */
static void
log_refusal(const struct http_req *r, unsigned status)
{
	char ip[ADDR_TEXT_MAX];

	addr_ip(http_peer(r), ip);
	log_info(&log_http, "%u %s for " STR_FMT " %s from %s", status,
	    status_text(status), STR_ARG(r->method),
	    r->route != NULL ? r->route->path : "of no route", ip);
}

static void
write_head(struct http_req *r, struct buf *out, unsigned status,
    const char *type, uint64_t length)
{
	if (status >= 400 && !http_is_local(r))
		log_refusal(r, status);
	buf_printf(out, "HTTP/1.1 %u %s\r\n", status, status_text(status));
	write_date(out);
	if (type != NULL && status != 204 && status != 304)
		buf_printf(out, "content-type: %s\r\n", type);
	if (status != 204 && status != 304)
		buf_printf(out, "content-length: %llu\r\n",
		    (unsigned long long)length);
	for (size_t i = 0; i < r->header_count; i++)
		buf_printf(
		    out, "%s: %s\r\n", r->header[i].name, r->header[i].value);
	if (r->is_last)
		buf_add_str(out, STR("connection: close\r\n"));
	buf_add_str(out, STR("\r\n"));
}

static bool
wants_body(const struct http_req *r, unsigned status)
{
	return !str_is(r->method, "HEAD") && status != 204 && status != 304;
}

/* A body that was not read stands in the way of what may follow it. */
static bool
answer_begin(struct http_req *r)
{
	must(!r->is_answered);
	r->is_answered = true;
	if (r->web != NULL) {
		r->is_last |= web_is_midway(r->web);
		return true;
	}
	req_free(r);
	return false;
}

void
http_answer(
    struct http_req *r, unsigned status, const char *type, struct str body)
{
	struct conn *c;
	struct web *w = r->web;

	if (!answer_begin(r))
		return;
	c = web_conn(w);
	write_head(r, conn_out(c), status, type, body.n);
	if (wants_body(r, status))
		buf_add_str(conn_out(c), body);
	conn_touched(c);
	web_answered(w);
}

void
http_answer_text(struct http_req *r, unsigned status, const char *text)
{
	http_answer(r, status, "text/plain; charset=utf-8",
	    str_printf(r->arena, "%s\n", text));
}

/* Files -------------------------------------------------------------------*/

struct file_send {
	struct web *web; /* NULL: the client has gone */
	int fd;
	uint64_t offset, left;
	ssize_t got;
	bool is_reading;
	char piece[PIECE];
};

struct file_send *
file_send_new(int fd, uint64_t offset, uint64_t length)
{
	struct file_send *f = (struct file_send *)xmalloc(sizeof(*f));

	f->web = NULL;
	f->fd = fd;
	f->offset = offset;
	f->left = length;
	f->is_reading = false;
	return f;
}

static void
file_send_free(struct file_send *f)
{
	close(f->fd);
	xfree(f);
}

void
file_send_attach(struct file_send *f, struct web *w)
{
	f->web = w;
}

void
file_send_detach(struct file_send *f)
{
	f->web = NULL;
	if (!f->is_reading)
		file_send_free(f);
}

uint64_t
file_send_left(const struct file_send *f)
{
	return f->left;
}

/* On a thread of the pool. */
static void
read_work(void *arg)
{
	struct file_send *f = (struct file_send *)arg;

	f->got = pread(f->fd, f->piece, (size_t)MIN(f->left, (uint64_t)PIECE),
	    (off_t)f->offset);
}

static void
read_done(void *arg)
{
	struct file_send *f = (struct file_send *)arg;
	struct web *w = f->web;

	f->is_reading = false;
	if (w == NULL) {
		file_send_free(f);
		return;
	}
	if (f->got <= 0) {
		/* Shorter than was said: the client must notice. */
		web_abort(w);
		return;
	}
	conn_send(web_conn(w), str_mem(f->piece, (size_t)f->got));
	f->offset += (uint64_t)f->got;
	f->left -= (uint64_t)f->got;
	file_send_go(f);
}

void
file_send_go(struct file_send *f)
{
	struct web *w = f->web;

	if (f->is_reading)
		return;
	if (f->left == 0) {
		web_answered(w);
		return;
	}
	/* Else the connection tells when it has drained. */
	if (conn_queued(web_conn(w)) <= CONN_HIGH_MARK) {
		f->is_reading = true;
		loop_work(read_work, read_done, f);
	}
}

void
http_answer_file(struct http_req *r, unsigned status, const char *type, int fd,
    uint64_t offset, uint64_t length)
{
	struct web *w = r->web;
	struct conn *c;

	if (!answer_begin(r)) {
		close(fd);
		return;
	}
	c = web_conn(w);
	write_head(r, conn_out(c), status, type, length);
	conn_touched(c);
	if (!wants_body(r, status) || length == 0) {
		close(fd);
		web_answered(w);
		return;
	}
	web_send_file(w, file_send_new(fd, offset, length));
}
