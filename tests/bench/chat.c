/* SPDX-License-Identifier: MIT */
/*
 * Users in pairs. With windows, each message that arrives is answered by one;
 * with a rate, all take turns, and latency counts from when one was due.
 * "presence" does the same with directed presence.
 */
#include "load.h"

static struct user *
partner(const struct user *u)
{
	return &users[(u - users) ^ 1];
}

static void
chat_send(struct user *u, uint64_t at)
{
	bool is_presence = opt.mode == &mode_presence;
	struct str to = str_c(partner(u)->jid);
	char head[512], *p = head;

	must(to.n < 300);
	if (opt.bare)
		to.n = str_find(to, '/');
	p = stpcpy(p, is_presence ? "<presence to='" : "<message to='");
	p = mempcpy(p, to.p, to.n);
	p = stpcpy(p, is_presence ? "' id='" : "' type='chat' id='");
	p = traffic_id(p, 'c', at, u->tx++);
	p = stpcpy(p, is_presence ? "'><status>" : "'><body>");
	user_send(u, head, (size_t)(p - head));
	user_send(u, traffic_body().p, traffic_body().n);
	if (is_presence)
		user_send(u, "</status></presence>", 20);
	else
		user_send(u, "</body></message>", 17);
	traffic.sent++;
	traffic.expected++;
	traffic_sm(u);
}

static void
chat_stanza(struct user *u, struct str s)
{
	uint64_t sent_at, number, now;

	if (!scan_is(s, opt.mode == &mode_presence ? "presence" : "message") ||
	    !traffic_id_parse(scan_attr(s, "id"), 'c', &sent_at, &number))
		return;
	if (scan_is_error(s)) {
		if (traffic.errors++ == 0)
			note(STR_FMT, STR_ARG(s));
		return;
	}
	traffic.reordered += number != u->rx;
	u->rx = number + 1;
	now = now_ns();
	traffic_received(sent_at, now);
	if (traffic.is_running && opt.rate <= 0)
		chat_send(u, now);
}

static void
chat_begin(void)
{
	for (int i = 0; i < opt.talkers; i++) {
		int share = (opt.window + (i & 1 ? 0 : 1)) / 2;

		for (int j = 0; j < share; j++)
			chat_send(&users[i], now_ns());
	}
}

/* Even users first, then the odd ones. */
static void
chat_due(uint64_t at)
{
	static int next;

	chat_send(&users[next], at);
	next += 2;
	if (next >= opt.talkers)
		next = next & 1 ? 0 : 1;
}

static void
chat_figures(double seconds)
{
	figure("seconds", seconds, 2);
	figure("talkers", opt.talkers, 0);
	figure("window", opt.rate > 0 ? 0 : opt.window, 0);
	figure("rate", opt.rate, 0);
	figure("body", opt.body, 0);
	figure("bare", opt.bare, 0);
}

static void
chat_run(void)
{
	traffic_run(chat_begin, chat_due, chat_figures);
}

static void
chat_prepare(void)
{
	opt.users &= ~1;
	opt.talkers &= ~1;
	if (opt.users < 2)
		die("at least two users");
}

const struct mode mode_chat = {
	.name = "chat",
	.prepare = chat_prepare,
	.stanza = chat_stanza,
	.run = chat_run,
};

const struct mode mode_presence = {
	.name = "presence",
	.prepare = chat_prepare,
	.stanza = chat_stanza,
	.run = chat_run,
};
