/* SPDX-License-Identifier: MIT */
/*
 * The API for applications, /api/v1/. One table of routes (routes.c) says what
 * there is: it is dispatched by, checked against, and made into the OpenAPI
 * document.
 *
 * A call is one request. It lives in an arena of its own, which goes with it
 * from loop to loop: from the one its connection is on to the home of the
 * account that it is for, and back. One loop at a time touches it.
 */
#ifndef MODULES_API_API_H
#define MODULES_API_API_H

#include "core/module.h"

#include <jansson.h>

#define PARAMS_MAX 12
#define RECIPIENTS_MAX 100
#define MEMBERS_MAX 500
#define TEXT_MAX 65536
#define PAGE_MAX 200
#define PAGE_USUAL 50
/* How long answers are kept for those who ask again. */
#define KEEP_MS DAYS(1)

struct api_options {
	struct rate rate;
	uint64_t calls; /* under way, for each worker */
};

/* The state of an instance. */
struct api {
	struct mod *mod;
	uint64_t calls;
	struct map busy;   /* keys of what is being done (once.c) */
	struct map flying; /* struct flight, by id of the message (send.c) */
	struct timer sweep;
	bool is_sweeping;
	bool is_stopped;
};

/* ---- the table: routes.c ------------------------------------------------ */

enum param_in { IN_PATH, IN_QUERY, IN_BODY };

enum param_type {
	P_TEXT,	 /* min to max bytes */
	P_USER,	 /* an account of the host, or an address elsewhere */
	P_USERS, /* one of those or a list of them */
	P_ROOM,	 /* a room of the host's service */
	P_TIME,	 /* RFC 3339 */
	P_UINT,	 /* min to max */
	P_BOOL,
	P_CHOICE, /* one of the words in `choices`, parted by spaces */
};

struct param {
	const char *name;
	enum param_in in;
	enum param_type type;
	bool is_needed;
	uint64_t min, max;
	const char *choices;
	const char *help;
};

struct call;

struct route {
	const char *method, *path; /* "/users/{user_id}" */
	const char *id;		   /* in the document */
	const char *scope;	   /* NULL: anybody may */
	const char *summary;
	unsigned status;    /* of success */
	const char *result; /* its schema; NULL: nothing */
	void (*run)(struct call *c);
	/* Its sender or owner: then it runs at home, once for each key. */
	const char *actor;
	struct param params[PARAMS_MAX];
};

extern const struct route routes[]; /* ended by one without path */

/* A field of what is answered. */
struct field {
	const char *schema, *name;
	const char *type; /* "string", "string?" (or null), "[Message]"... */
	const char *help;
};

extern const struct field fields[]; /* ended by one without schema */

/* ---- calls --------------------------------------------------------------- */

/* An argument; none of it set when it was not given. */
struct arg {
	bool is_given;
	struct str text;
	struct jid jid; /* of a user or a room */
	struct jid *jids;
	size_t count;
	int64_t number; /* a time in milliseconds, a number, a bool */
};

struct call {
	struct arena *arena;
	struct http_req *req;
	struct mod *mod; /* on the connection's loop */
	struct loop *loop;
	struct host *host;
	const struct route *route;
	struct str token, app; /* the token's id and name */
	struct arg arg[PARAMS_MAX];
	json_t *body;

	/* once.c */
	struct str key; /* of the store; none: may be done twice */
	struct str print;
	struct str *ids; /* of what it makes */
	size_t id_count;
	bool is_again; /* it was begun before, and not finished */
	bool is_kept;  /* its answer is an old one */

	/* The answer. */
	unsigned status;
	const char *type;
	struct str text;
	const char *allow;

	void *ctx; /* of the one who runs */
};

/* Arguments by their names: our own bug if the route has no such one. */
const struct arg *call_arg(const struct call *c, const char *name);
struct str call_text(const struct call *c, const char *name);
int64_t call_number(const struct call *c, const char *name, int64_t by_default);
/* How the origin of commands is told in the log. */
const char *call_origin(const struct call *c);

/* args.c: false when it has answered why not. */
bool call_read_args(struct call *c, struct str path);
/* Does the path fit the route's? */
bool path_fits(const char *pattern, struct str path);

/*
 * answer.c: each answers, once, from any loop. `value` is taken over. A
 * problem's slug is the end of its type.
 */
void call_json(struct call *c, json_t *value);
void call_empty(struct call *c);
void call_problem(struct call *c, unsigned status, const char *slug,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
/* 503, or 404 for ERR_ABSENT. */
void call_error(struct call *c, int err, const char *what);
/* Takes it home, whatever it was: frees the call. On its own loop. */
void call_end(struct call *c);
void json_text(struct buf *out, const json_t *value);
json_t *json_of(struct str s); /* null for none */
json_t *json_time(struct arena *a, int64_t when);

/* home.c: goes to the actor's home and runs there. */
void call_at_home(struct call *c);
struct mod *api_here(const struct host *host);
struct api *api_state(struct mod *m);

/* once.c: at home. Runs the call unless it has been run; keeps its answer. */
void once_begin(struct call *c);
void once_end(struct call *c);
/* Is a thing being done? enter: false if so. */
bool busy_enter(struct api *api, struct str key);
void busy_leave(struct api *api, struct str key);

/* send.c: messages, at the sender's home. */
struct letter {
	struct jid to;
	enum stanza_type type;
	struct str id; /* a UUIDv7 */
	struct str text;
	int64_t time; /* when it was written; 0: now */
	/* A file; url none: none. */
	struct str url, name, media_type;
	uint64_t size;
};
/*
 * sent(ctx, why) on this loop: EL_NONE when it is durable, or how it was
 * refused. With `is_again` only if it is not in the sender's archive. What
 * `l` points at lives until then.
 */
typedef void sent_fn(void *ctx, enum qname why);
void letter_send(const struct host *host, const struct jid *from,
    const struct letter *l, bool is_again, sent_fn *sent, void *ctx);
enum verdict on_deliver(struct mod *m, struct stanza *st);
/* Answers what a refusal means. */
void call_refused(struct call *c, enum qname why);

/* history.c: reads an archive for a call, and answers. */
struct reading {
	struct str owner;
	struct str with; /* or none */
	bool wants_sent, wants_received;
	bool is_room, has_media;
};
void history_read(struct call *c, const struct reading *r);

/* What routes run: messages.c, media.c, users.c, rooms.c, openapi.c */
void run_send(struct call *c);
void run_messages(struct call *c);
void run_media_new(struct call *c);
void run_media(struct call *c);
void run_user(struct call *c);
void run_user_change(struct call *c);
void run_rooms(struct call *c);
void run_room_new(struct call *c);
void run_room(struct call *c);
void run_room_end(struct call *c);
void run_room_send(struct call *c);
void run_room_messages(struct call *c);
void run_members(struct call *c);
void run_member_set(struct call *c);
void run_member_end(struct call *c);
void run_openapi(struct call *c);

/* media.c */
extern const struct upload_listener media_listener;
#define MEDIA_STORE STR("api-media")
#define ONCE_STORE STR("api-once")

/* sweep.c: drops what is too old, now and then; on the first worker. */
void sweep_start(struct mod *m);

#endif
