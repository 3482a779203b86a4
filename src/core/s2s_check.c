/* SPDX-License-Identifier: MIT */
/* A look at another server, by a stream that is like all others. */
#include "core/s2s_impl.h"

#include <stdio.h>

struct check {
	struct s2s_out *out;
	const struct s2s_probe *probe;
	void *ctx;
};

static void
on_check_step(void *ctx, const char *text)
{
	struct check *c = (struct check *)ctx;

	c->probe->step(c->ctx, text);
}

static void
on_check_up(void *ctx)
{
	struct check *c = (struct check *)ctx;
	char text[100];

	snprintf(text, sizeof(text), "a stream can be had, by %s",
	    out_stream(c->out)->how);
	c->probe->done(c->ctx, true, text);
	out_forget(&c->out);
	xfree(c);
}

static void
on_check_down(void *ctx, enum qname condition, const char *text)
{
	struct check *c = (struct check *)ctx;

	c->probe->done(c->ctx, false,
	    text != NULL ? text : "the other server closes the stream");
	xfree(c);
}

static const struct out_user check_user = {
	.up = on_check_up,
	.down = on_check_down,
	.step = on_check_step,
	.is_probe = true,
};

void
s2s_check(struct str local, struct str remote, const struct s2s_probe *probe,
    void *ctx)
{
	struct check *c = (struct check *)xzalloc(sizeof(*c));

	c->probe = probe;
	c->ctx = ctx;
	c->out = out_start(local, remote, &check_user, c, NULL);
}
