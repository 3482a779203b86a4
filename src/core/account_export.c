/* SPDX-License-Identifier: MIT */
/*
 * The command export_account: everything of one account as a file of XEP-0227,
 * readable by its owner alone. It is read from the store a page at a time and
 * written off the loop, so what it takes is one page. What the format has no
 * place for comes as <store/> of our own namespace, values in Base64. Keys of
 * clients (XEP-0484) stay: elsewhere they would be good for nothing.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/random.h"
#include "core/account.h"
#include "core/commands.h"
#include "core/roster.h"
#include "net/loop.h"
#include "store/store.h"
#include "xml/parser.h"
#include "xml/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PAGE 100
#define STORES_MAX 10000
#define OURS "urn:rookery:export:0"

struct export
{
	struct cmd *c;
	struct account *acct; /* pinned */
	struct str bare;
	const char *path;
	int fd;
	struct buf out;
	int err, error; /* ours, errno */
	struct section *sections;
	size_t count, at;
	struct str after; /* heap: last key of the page */
	void (*next)(struct export * k);
};

/* Items of a store, between two texts. */
struct section {
	struct str store, open, close;
	void (*item)(struct export *k, const struct kv_item *item);
};

static void
add(struct export *k, const char *text)
{
	buf_add_str(&k->out, str_c(text));
}

static void
add_attr(struct export *k, const char *name, struct str value)
{
	add(k, " ");
	add(k, name);
	add(k, "='");
	xml_escape(&k->out, value);
	add(k, "'");
}

static void
add_base64(struct export *k, struct str bytes)
{
	struct arena *a = arena_new(0);

	buf_add_str(&k->out, str_base64(a, bytes));
	arena_free(&a);
}

/* ---- the file ------------------------------------------------------------ */

static void
end(struct export *k)
{
	struct cmd *c = k->c;

	buf_fini(&k->out);
	str_free(&k->after);
	account_unpin(k->acct);
	if (k->error != 0)
		cmd_fail(
		    c, CMD_FAILED, 0, "%s: %s", k->path, strerror(k->error));
	else if (k->err < 0)
		cmd_fail(c, CMD_FAILED, 0, "%s", err_text(k->err));
	else
		cmd_ok(c, NULL);
}

static void
write_out(void *arg)
{
	struct export *k = (struct export *)arg;
	struct str rest = buf_str(&k->out);

	while (rest.n > 0 && k->error == 0) {
		ssize_t n = write(k->fd, rest.p, rest.n);

		if (n >= 0)
			rest = str_skip(rest, (size_t)n);
		else if (errno != EINTR)
			k->error = errno;
	}
}

static void
close_file(void *arg)
{
	struct export *k = (struct export *)arg;
	bool is_whole;

	write_out(k);
	if (k->error == 0 && k->err == 0 && fsync(k->fd) < 0)
		k->error = errno;
	is_whole = k->error == 0 && k->err == 0;
	close(k->fd);
	if (!is_whole)
		unlink(k->path);
}

static void
on_closed(void *arg)
{
	end((struct export *)arg);
}

static void
finish(struct export *k)
{
	loop_work(close_file, on_closed, k);
}

static void
on_written(void *arg)
{
	struct export *k = (struct export *)arg;

	buf_fini(&k->out);
	if (k->error != 0)
		finish(k);
	else
		k->next(k);
}

/* Writes what there is, then goes on. */
static void
flush(struct export *k, void (*next)(struct export *k))
{
	k->next = next;
	loop_work(write_out, on_written, k);
}

static void
fail(struct export *k, int err)
{
	k->err = err;
	finish(k);
}

/* ---- the archive --------------------------------------------------------- */

static void archive_next(struct export *k);

static void
add_message(struct export *k, const struct archive_item *item)
{
	struct arena *a = arena_new(0);
	int64_t when = 0;

	uuid7_time(item->id, &when);
	add(k, "<result xmlns='urn:xmpp:mam:2'");
	add_attr(k, "id", item->id);
	add(k, "><forwarded xmlns='urn:xmpp:forward:0'><delay "
	       "xmlns='urn:xmpp:delay'");
	add_attr(k, "stamp", clock_format(a, when, true));
	add(k, "/>");
	buf_add_str(&k->out, item->xml);
	add(k, "</forwarded></result>\n");
	arena_free(&a);
}

static void
on_archive(void *ctx, int err, const struct archive_page *page)
{
	struct export *k = (struct export *)ctx;

	if (err < 0) {
		fail(k, err);
		return;
	}
	for (size_t i = 0; i < page->count; i++)
		add_message(k, &page->items[i]);
	if (page->count > 0 && !page->is_complete) {
		str_free(&k->after);
		k->after = str_heap(page->items[page->count - 1].id);
		flush(k, archive_next);
		return;
	}
	add(k, "</archive></user></host></server-data>\n");
	finish(k);
}

static void
archive_next(struct export *k)
{
	struct archive_filter f = { .page_after = k->after, .limit = PAGE };

	archive_find(k->bare, &f, on_archive, k);
}

/* ---- keyed values -------------------------------------------------------- */

static void
item_xml(struct export *k, const struct kv_item *item)
{
	buf_add_str(&k->out, item->value);
	add(k, "\n");
}

static void
item_other(struct export *k, const struct kv_item *item)
{
	add(k, "<item key='");
	add_base64(k, item->key);
	add(k, "'>");
	add_base64(k, item->value);
	add(k, "</item>\n");
}

/* A node's record: configuration, affiliations, subscriptions. */
static void
item_node(struct export *k, const struct kv_item *item)
{
	static const qname_t parts[] = { EL_OWNER_CONFIGURE,
		EL_OWNER_AFFILIATIONS, EL_OWNER_SUBSCRIPTIONS };
	struct arena *a = arena_new(0);
	struct elem *e =
	    xml_parse(a, str_dup(a, item->value), NULL, NS_NONE, NULL);

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct elem *part = elem_child(e, parts[i]);

		if (part == NULL || (i > 0 && elem_first_node(part) == NULL))
			continue;
		elem_set_copy(part, AT_NODE, item->key);
		buf_add_str(&k->out, xml_text(a, part));
		add(k, "\n");
	}
	arena_free(&a);
}

static void section_next(struct export *k);

static void
on_page(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct export *k = (struct export *)ctx;
	const struct section *s = &k->sections[k->at];

	if (err < 0) {
		fail(k, err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		s->item(k, &items[i]);
	str_free(&k->after);
	if (count == PAGE) {
		k->after = str_heap(items[count - 1].key);
	} else {
		buf_add_str(&k->out, s->close);
		k->at++;
	}
	flush(k, section_next);
}

static void
section_next(struct export *k)
{
	const struct section *s = &k->sections[k->at];

	if (k->at == k->count) {
		add(k, "<archive xmlns='urn:xmpp:pie:0#mam'>\n");
		archive_next(k);
		return;
	}
	if (str_is_none(k->after))
		buf_add_str(&k->out, s->open);
	kv_list(k->bare, s->store, k->after, false, PAGE, on_page, k);
}

static struct section
section_of(struct arena *a, struct str store)
{
	struct section s = { .store = str_dup(a, store), .item = item_xml };
	struct buf open = { 0 };

	if (str_is(store, "spool")) {
		s.open = STR("<offline-messages>\n");
		s.close = STR("</offline-messages>\n");
	} else if (str_is(store, "private")) {
		s.open = STR("<query xmlns='jabber:iq:private'>\n");
		s.close = STR("</query>\n");
	} else if (str_is(store, "vcard")) {
		s.open = s.close = STR("");
	} else if (str_is(store, "pubsub")) {
		s.open = STR("<pubsub xmlns='http://jabber.org/protocol/"
			     "pubsub#owner'>\n");
		s.close = STR("</pubsub>\n");
		s.item = item_node;
	} else if (str_has_prefix(store, STR("pubsub/"))) {
		buf_add_str(&open, STR("<items node='"));
		xml_escape(&open, str_skip(store, 7));
		buf_add_str(&open, STR("'>\n"));
		s.close = STR("</items>\n");
	} else {
		buf_add_str(&open, STR("<store xmlns='" OURS "' name='"));
		xml_escape(&open, store);
		buf_add_str(&open, STR("'>\n"));
		s.close = STR("</store>\n");
		s.item = item_other;
	}
	if (buf_str(&open).n > 0)
		s.open = str_dup(a, buf_str(&open));
	buf_fini(&open);
	return s;
}

static bool
is_told_otherwise(struct str store)
{
	return str_is(store, "roster") || str_is(store, "clients") ||
	       str_is(store, "pubsub-last");
}

/* Stores come in order: those of nodes stand together, and are wrapped. */
static void
on_stores(void *ctx, int err, const struct str *names, size_t count)
{
	struct export *k = (struct export *)ctx;
	struct arena *a = cmd_arena(k->c);
	struct section *last_node = NULL;

	if (err < 0) {
		fail(k, err);
		return;
	}
	k->sections = (struct section *)arena_alloc(
	    a, (count + 1) * sizeof(*k->sections));
	for (size_t i = 0; i < count; i++) {
		struct section *s = &k->sections[k->count];

		if (is_told_otherwise(names[i]))
			continue;
		*s = section_of(a, names[i]);
		k->count++;
		if (!str_has_prefix(names[i], STR("pubsub/")))
			continue;
		if (last_node == NULL)
			s->open = str_printf(a,
			    "<pubsub xmlns='http://jabber.org/protocol/"
			    "pubsub'>\n" STR_FMT,
			    STR_ARG(s->open));
		last_node = s;
	}
	if (last_node != NULL)
		last_node->close = STR("</items>\n</pubsub>\n");
	k->after = STR_NONE;
	flush(k, section_next);
}

/* ---- the account --------------------------------------------------------- */

static void
add_roster(struct export *k)
{
	struct arena *a = arena_new(0);
	struct elem *query = elem_new(a, EL_ROSTER);
	const struct roster_item *item;

	for (size_t i = 0; (item = roster_next(k->acct, &i)) != NULL;) {
		if (item->is_in_roster)
			roster_item_add(query, item);
		if (!item->is_pending_in)
			continue;
		if (!str_is_empty(item->request)) {
			buf_add_str(&k->out, item->request);
			continue;
		}
		add(k, "<presence xmlns='jabber:client' type='subscribe'");
		add_attr(k, "from", item->jid.full);
		add(k, "/>\n");
	}
	buf_add_str(&k->out, xml_text(a, query));
	add(k, "\n");
	arena_free(&a);
}

static void
add_keys(struct export *k, const struct scram_keys *keys)
{
	struct arena *a = arena_new(0);

	add(k, "<scram-credentials xmlns='urn:xmpp:pie:0#scram'");
	add_attr(k, "mechanism", keys->mechanism);
	buf_add_str(&k->out, str_printf(a, "><iter-count>%u</iter-count><salt>",
				 (unsigned)keys->iterations));
	add_base64(k, keys->salt);
	add(k, "</salt><server-key>");
	add_base64(k, keys->server_key);
	add(k, "</server-key><stored-key>");
	add_base64(k, keys->stored_key);
	add(k, "</stored-key></scram-credentials>\n");
	arena_free(&a);
}

static void
on_row(void *ctx, int err, const struct account_row *row)
{
	struct export *k = (struct export *)ctx;

	if (err < 0) {
		fail(k, err);
		return;
	}
	add(k, "<?xml version='1.0' encoding='UTF-8'?>\n"
	       "<server-data xmlns='urn:xmpp:pie:0'><host");
	add_attr(k, "jid", k->acct->jid.domain);
	add(k, "><user");
	add_attr(k, "name", k->acct->jid.local);
	add(k, ">\n");
	for (size_t i = 0; i < row->key_count; i++)
		add_keys(k, &row->keys[i]);
	add_roster(k);
	kv_stores(k->bare, STR_NONE, STORES_MAX, on_stores, k);
}

static void
open_file(void *arg)
{
	struct export *k = (struct export *)arg;

	k->fd = open(k->path,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (k->fd < 0)
		k->error = errno;
}

static void
on_opened(void *arg)
{
	struct export *k = (struct export *)arg;

	if (k->fd < 0)
		end(k);
	else
		store_account_get(k->bare, on_row, k);
}

static void
on_account(struct cmd *c, struct account *acct)
{
	struct export *k;

	if (acct == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 0, "unregistered_user");
		return;
	}
	k = arena_new_of(cmd_arena(c), struct export);
	k->c = c;
	k->acct = acct;
	k->bare = acct->jid.bare;
	k->path = str_dup_c(cmd_arena(c), cmd_str(c, "file"));
	account_pin(acct);
	loop_work(open_file, on_opened, k);
}

static void
run_export(struct cmd *c)
{
	if (cmd_str(c, "file").n == 0 || cmd_str(c, "file").p[0] != '/')
		cmd_fail(c, CMD_BAD_ARG, 0, "The file's whole path is needed");
	else
		command_at_home(c, on_account);
}

const struct command commands_export[] = {
	{ .name = "export_account",
	    .tag = "accounts",
	    .help = "Write everything of an account, with its archive, to a "
		    "new file on the server's machine (XEP-0227)",
	    .args = { ARG("user", "string"), ARG("host", "string"),
		ARG("file", "string") },
	    .result_name = "res",
	    .result = "rescode",
	    .run = run_export },
	COMMANDS_END,
};
