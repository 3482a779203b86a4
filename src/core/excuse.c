/* SPDX-License-Identifier: MIT */
#include "core/excuse.h"

#include "xml/names.h"

#include <string.h>

struct excuse {
	struct receipt *receipt;
	enum stanza_type type;
	struct str from, to, id;
	char text[];
};

static struct str
copy(char **end, struct str s)
{
	struct str out = s;

	if (s.n > 0) {
		memcpy(*end, s.p, s.n);
		out.p = *end;
		*end += s.n;
	}
	return out;
}

struct excuse *
excuse_of(const struct stanza *st, struct receipt *r)
{
	struct str id = stanza_id(st);
	struct excuse *x = (struct excuse *)xmalloc(
	    sizeof(*x) + st->from.full.n + st->to.full.n + id.n);
	char *end = x->text;

	x->receipt = receipt_ref(r);
	x->type = st->type;
	x->from = copy(&end, st->from.full);
	x->to = copy(&end, st->to.full);
	x->id = copy(&end, id);
	return x;
}

struct excuse *
excuse_new(const struct stanza *st)
{
	return excuse_of(st, st->receipt);
}

static void
tell_sender(struct excuse *x, const char *text)
{
	struct stanza *st = stanza_new(EL_MESSAGE);
	struct jid from, to;

	if (jid_parse(st->arena, x->from, &from) < 0 ||
	    jid_parse(st->arena, x->to, &to) < 0) {
		stanza_free(&st);
		return;
	}
	stanza_set_type(st, x->type);
	stanza_set_from(st, &from);
	stanza_set_to(st, &to);
	if (x->id.n > 0)
		elem_set_copy(st->root, AT_ID, x->id);
	st->receipt = x->receipt;
	x->receipt = NULL;
	stanza_refuse_with(st, EL_INTERNAL_SERVER_ERROR, text, EL_NONE);
}

void
excuse_end(struct excuse **xp, int err, const char *text)
{
	struct excuse *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	if (err < 0 && receipt_claim(x->receipt))
		tell_sender(x, text);
	receipt_done(&x->receipt);
	xfree(x);
}
