/* SPDX-License-Identifier: MIT */
/* A request's inside, and its connection's; for the files of src/http. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "http/http.h"

#define HEAD_MAX 8192
#define FIELDS_MAX 64
#define ANSWER_HEADERS_MAX 12

struct field {
	struct str name, value; /* the name in small letters */
};

struct web;
struct file_send;

struct http_req {
	struct arena *arena; /* the request itself lives in it */
	struct web *web;     /* NULL: the client has gone */
	struct mod *mod;     /* held */
	struct host *host;
	const struct http_route *route;
	const char *user;
	struct str method, path, query;
	struct field field[FIELDS_MAX];
	size_t field_count;
	uint64_t length; /* of the body, as announced */
	struct buf body;
	const struct http_sink *sink;
	void *sink_ctx;
	bool is_running; /* the handler was called */
	bool is_answered;
	bool is_last; /* closes the connection */
	bool is_old;  /* HTTP/1.0 */
	struct {
		const char *name, *value;
	} header[ANSWER_HEADERS_MAX];
	size_t header_count;
};

/*
 * Parses a whole head, its empty line included; 0, or the status with which to
 * refuse it. (head.c)
 */
unsigned head_parse(struct http_req *r, struct str head);
/* Undoes %XX (and '+', if `is_form`); false when it is not well-formed. */
bool text_unescape(
    struct arena *a, struct str text, bool is_form, struct str *text_r);
const char *status_text(unsigned status);

/* conn.c, for answer.c: the answer is queued, or handed to a file_send. */
struct conn *web_conn(struct web *w);
void web_answered(struct web *w);
/* A part of the body has not come yet. */
bool web_is_midway(const struct web *w);
void web_send_file(struct web *w, struct file_send *f);
void web_abort(struct web *w);
void req_free(struct http_req *r);
/* conn.c: serves a connection, of the admin socket or not. */
void web_new(struct conn *c, bool is_local);
/* answer.c */
struct file_send *file_send_new(int fd, uint64_t offset, uint64_t length);
/* Reads on, unless enough is queued. `web` gone: it frees itself. */
void file_send_go(struct file_send *f);
void file_send_attach(struct file_send *f, struct web *w);
void file_send_detach(struct file_send *f);
/* Bytes that have not been read yet. */
uint64_t file_send_left(const struct file_send *f);

#endif
