/* SPDX-License-Identifier: MIT */
/*
 * The load generator: many users of one server, in one thread, on epoll.
 *
 * It scans rather than parses: it finds the end of each element at stream
 * level, looks at the name and the attributes of the first tag, and searches
 * the few small elements of a login for what it needs. So its own cost stays
 * well below that of any server. What is wrong with the server's answers ends
 * the run, with a line on stderr; the figures go to stdout as one JSON object.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

#include <openssl/ssl.h>

#define PIDS_MAX 32
#define USERS_MAX 18000

/* ---- options.c */

struct mode;

struct options {
	const struct mode *mode;
	const char *host, *domain, *muc, *pass, *prefix, *resource;
	const char *mechanism; /* NULL: PLAIN if offered, then SCRAM */
	const char *server, *version, *note;
	const char *cache; /* file of salted passwords, or NULL */
	const char *ready; /* presence, roster or bind: what ends a login */
	int port, first, users, at_once;
	bool starttls, direct_tls, bare, sm, oldest, quiet;
	int window, body, rooms, occupants, joins, page, sources;
	int talkers; /* users that send, the first ones; 0: all */
	double seconds, warm_up, hold, settle, rate, patience;
	int pids[PIDS_MAX], pid_count;
};

extern struct options opt;

void options_read(int argc, char **argv);
_Noreturn void die(const char *fmt, ...) PRINTF_LIKE(1, 2);
void note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* ---- stats.c */

#define NS 1000000000ull

uint64_t now_ns(void);

/* Counts by value, 64 classes for each power of two. {0} is an empty one. */
struct histogram {
	uint64_t count[64 * 64], n, max;
	double sum;
};

void histogram_add(struct histogram *h, uint64_t ns);
/* Milliseconds below which the share `q` of all values is. */
double histogram_ms(const struct histogram *h, double q);

/* One JSON object on stdout, member by member. */
void figures_begin(void);
void figure(const char *name, double value, int digits);
void figure_text(const char *name, const char *value);
void figures_end(void);

/* ---- sample.c */

/* What the server's processes, with all their children, have used so far. */
struct sample {
	uint64_t at;				 /* now_ns() */
	double server_cpu, own_cpu, machine_cpu; /* seconds */
	double rss_kb, pss_kb;
	int processes, threads;
};

struct sample sample_take(void);

/* ---- scan.c */

enum unit {
	UNIT_MORE, /* it is not complete */
	UNIT_SPACE,
	UNIT_DECLARATION,
	UNIT_OPEN, /* <stream:stream> */
	UNIT_CLOSE,
	UNIT_ELEMENT,
};

/* What the text begins with at stream level, and how long it is. */
enum unit scan_unit(struct str text, size_t *len_r);
/* Is the element, at the beginning of the text, of that name? */
bool scan_is(struct str text, const char *name);
/* An attribute of the first tag; STR_NONE if it has none of the name. */
struct str scan_attr(struct str text, const char *name);
/* The text in the first element of that name; STR_NONE if there is none. */
struct str scan_text(struct str text, const char *name);
bool scan_has(struct str text, const char *what);
bool scan_is_error(struct str text);

/* ---- scram.c */

struct scram;

/* The message for <auth/>, in Base64, in `b`; the exchange is the caller's. */
struct scram *scram_begin(const char *mechanism, int index, struct buf *b);
/* The answer to the server's first message; false if that is no good. */
bool scram_answer(struct scram *s, struct str challenge, struct buf *b);
/* Is the server's final message the right one? */
bool scram_is_final(const struct scram *s, struct str final);
void scram_free(struct scram **s);
/* Salted passwords, from one run to the next. */
void scram_cache_load(void);
void scram_cache_save(void);

/* ---- user.c */

enum step {
	STEP_NONE,
	STEP_CONNECT,
	STEP_HANDSHAKE,
	STEP_FEATURES,
	STEP_PROCEED,
	STEP_CHALLENGE,
	STEP_SUCCESS,
	STEP_FEATURES_AGAIN,
	STEP_BIND,
	STEP_SESSION,
	STEP_SM,
	STEP_PRESENCE,
	STEP_READY,
	STEP_GONE,
};

struct user {
	int fd, index;
	enum step step;
	bool wants_write, is_dirty, has_sm, needs_session, is_joined;
	SSL *ssl;
	struct buf in, out;
	size_t out_at; /* what of `out` is sent */
	char *jid;
	struct scram *scram;
	uint64_t started;
	uint32_t sm_in, sm_since;
	uint64_t tx, rx; /* numbers of the next messages */
};

struct mode {
	const char *name;
	/* Completes and checks the options. */
	void (*prepare)(void);
	/* A stanza, other than an iq request, for a user who is in. */
	void (*stanza)(struct user *u, struct str stanza);
	/* With everybody in; says the figures. */
	void (*run)(void);
};

extern struct user *users;
extern int ready_count, failed_count, dropped_count;
extern uint64_t bytes_in, bytes_out;
extern struct histogram login_time;
extern char tls_text[128], mechanism_text[32];

void users_init(void);
void user_connect(int i);
void user_fail(struct user *u, const char *why);
/* Is in; `login_time` counts it. */
void user_is_ready(struct user *u);
/* Is through, and leaves at once. */
void user_leave(struct user *u);
void user_start_tls(struct user *u);
void user_send(struct user *u, const char *p, size_t n);
void user_sendf(struct user *u, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* What has been queued leaves with the next turn, or with this. */
void users_flush(void);
/* Waits for input, that long at most, and deals with it. */
void users_turn(uint64_t ns);
void users_spin(double seconds);

/* ---- signin.c */

void signin_open(struct user *u, enum step step);
/* An element for a user who is not in yet. */
void signin_element(struct user *u, struct str element);
/* Logs everybody in, `at_once` at a time; ends the process if some fail. */
void signin_all(void);
extern struct sample signin_before, signin_after;

/* ---- traffic.c: what chat, muc and mam have in common */

struct traffic {
	uint64_t sent, expected; /* and how many copies should come back */
	uint64_t received, errors, reordered;
	uint64_t measured; /* received while measuring */
	bool is_running, is_measuring;
	struct histogram latency;
};

extern struct traffic traffic;

/* An id that tells when it was sent, and 64 bits; 34 characters. */
#define TRAFFIC_ID_LEN 34
char *traffic_id(char *p, char kind, uint64_t sent_at, uint64_t number);
bool traffic_id_parse(
    struct str id, char kind, uint64_t *sent_at_r, uint64_t *number_r);
/* Text of opt.body bytes for all messages. */
struct str traffic_body(void);
void traffic_received(uint64_t sent_at, uint64_t now);
/* Asks for an acknowledgement now and then, if the user has XEP-0198. */
void traffic_sm(struct user *u);
/*
 * Warms up, measures, waits for what is on its way. `begin` fills the
 * windows; `due` sends one at its time if there is a rate. `own` says figures
 * of the mode alone.
 */
void traffic_run(
    void (*begin)(void), void (*due)(uint64_t at), void (*own)(double seconds));

/* ---- the modes */

extern const struct mode mode_register, mode_login, mode_chat, mode_presence,
    mode_muc, mode_mam;

#endif
