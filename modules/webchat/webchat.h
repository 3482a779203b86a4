/* SPDX-License-Identifier: MIT */
/* What the files of this module share. */
#ifndef WEBCHAT_H
#define WEBCHAT_H

#include "core/module.h"

/* The client's own code: where it is, the rest of it is. */
#define WEBCHAT_MAIN "converse.min.js"

struct webchat_options {
	struct str dir, websocket_url, bosh_url;
};

/* files.c: where the client is, for the arena's life. */
const char *webchat_folder(struct arena *a, const struct mod *m);
/* One of its files, by the rest of the path, or 404. */
void webchat_file(struct http_req *r);

/* page.c: what the server makes for the client. */
void webchat_page(struct http_req *r);
void webchat_help(struct http_req *r);
void webchat_start(struct http_req *r);

#endif
