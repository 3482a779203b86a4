/* SPDX-License-Identifier: MIT */
/*
 * ejabberd's commands about rooms that a file names, one address a line. The
 * file is read and checked as a whole before anything is done.
 */
#include "modules/muc/commands.h"

#define FILE_MAX (16u << 20)

struct batch {
	struct cmd *c;
	bool destroys;
	const char *path, *failure;
	struct str text; /* of the file, on the heap */
	struct str rest; /* of the text */
	struct jid room; /* the present one */
	struct host *host;
	struct loop *loop;
	int err;
};

/* ---- reading ----------------------------------------------------------- */

/* Where it may block. */
static void
read_file(void *arg)
{
	struct batch *b = arg;

	b->failure = cmd_file_read(b->path, FILE_MAX, &b->text);
}

static void
end(struct batch *b)
{
	str_free(&b->text);
	if (b->failure != NULL)
		cmd_fail(b->c, CMD_BAD_ARG, 0, "%s", b->failure);
	else
		cmd_on_done(b->c, b->err);
}

static struct str
next_line(struct str *rest)
{
	struct str line = STR_NONE;

	while (!str_is_none(*rest) && line.n == 0) {
		line = str_trim(str_cut(rest, '\n'));
		if (line.n > 0 && line.p[0] == '#')
			line = STR_NONE;
	}
	return line;
}

static struct host *
host_of(struct str service)
{
	for (size_t i = 0; i < host_count(); i++) {
		struct mod *m = mod_find(host_at(i), "muc");

		if (m != NULL && mod_service(m) != NULL &&
		    str_eq(mod_service(m)->full, service))
			return host_at(i);
	}
	return NULL;
}

static bool
is_room(struct str line)
{
	struct arena *a = arena_new(0);
	struct jid jid;
	bool is = jid_parse(a, line, &jid) == 0 && jid_is_bare(&jid) &&
		  jid.local.n > 0 && host_of(jid.domain) != NULL;

	arena_free(&a);
	return is;
}

/* ---- one after the other ----------------------------------------------- */

static void advance(struct batch *b);

static void
on_next(void *msg)
{
	advance(msg);
}

static void
on_done(void *ctx, int err)
{
	struct batch *b = ctx;

	b->err = err < 0 ? err : b->err;
	loop_post(b->loop, on_next, b);
}

static void
create(struct batch *b, struct room *r)
{
	struct store_write *w;

	r->config.is_persistent = true;
	room_create(r, NULL);
	w = store_write_new(r->jid.full);
	save_all(r, w);
	store_commit(&w, on_done, b);
}

/* What is as it is to be already is passed over. */
static void
on_room(void *ctx, struct room *r)
{
	struct batch *b = ctx;
	struct elem *e;

	if (r == NULL) {
		on_done(b, ERR_STORE);
	} else if (r->is_there != b->destroys) {
		on_done(b, 0);
	} else if (b->destroys) {
		e = elem_new(cmd_arena(b->c), EL_MUC_USER_DESTROY);
		subs_tell_end(r, e);
		room_destroy(r, e, on_done, b);
	} else {
		create(b, r);
	}
}

static void
at_home(void *msg)
{
	struct batch *b = msg;
	struct mod *m = mod_find(b->host, "muc");

	if (m == NULL)
		on_done(b, ERR_ABSENT);
	else
		room_call(m, &b->room, on_room, b);
}

static void
advance(struct batch *b)
{
	struct str line = next_line(&b->rest);

	if (line.n == 0 || b->err < 0) {
		end(b);
		return;
	}
	jid_parse(cmd_arena(b->c), line, &b->room);
	b->host = host_of(b->room.domain);
	if (b->host == NULL)
		loop_post(b->loop, on_next, b);
	else
		loop_post(account_home(b->room.bare), at_home, b);
}

static void
on_read(void *arg)
{
	struct batch *b = arg;
	struct str rest, line;

	b->rest = rest = b->text;
	while (b->failure == NULL && (line = next_line(&rest)).n > 0)
		if (!is_room(line))
			b->failure = arena_printf(cmd_arena(b->c),
			    "Not a room of ours: " STR_FMT, STR_ARG(line));
	if (b->failure != NULL)
		end(b);
	else
		advance(b);
}

static void
start(struct cmd *c, bool destroys)
{
	struct batch *b = arena_new_of(cmd_arena(c), struct batch);

	b->c = c;
	b->destroys = destroys;
	b->loop = loop_self();
	b->path = str_dup_c(cmd_arena(c), cmd_str(c, "file"));
	loop_work(read_file, on_read, b);
}

void
run_create_rooms_file(struct cmd *c)
{
	start(c, false);
}

void
run_destroy_rooms_file(struct cmd *c)
{
	start(c, true);
}
