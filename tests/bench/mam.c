/* SPDX-License-Identifier: MIT */
/*
 * Archives: each user asks for its last page (or the first), and when it has
 * come, again.
 * What is in the archives is of earlier runs of chat.
 */
#include "load.h"

static uint64_t results;

static void
mam_ask(struct user *u)
{
	char id[TRAFFIC_ID_LEN + 1];

	*traffic_id(id, 'q', now_ns(), u->tx++) = '\0';
	user_sendf(u,
	    "<iq type='set' id='%s'><query xmlns='urn:xmpp:mam:2' "
	    "queryid='f'><set xmlns='http://jabber.org/protocol/rsm'>"
	    "<max>%d</max>%s</set></query></iq>",
	    id, opt.page, opt.oldest ? "" : "<before/>");
	traffic.sent++;
	traffic.expected++;
}

static void
mam_stanza(struct user *u, struct str s)
{
	uint64_t sent_at, number;

	if (scan_is(s, "message")) {
		results += traffic.is_measuring && scan_has(s, "<result");
		return;
	}
	if (!scan_is(s, "iq") ||
	    !traffic_id_parse(scan_attr(s, "id"), 'q', &sent_at, &number))
		return;
	if (scan_is_error(s)) {
		note(STR_FMT, STR_ARG(s));
		die("the server refuses to show archives");
	}
	traffic_received(sent_at, now_ns());
	if (traffic.is_running)
		mam_ask(u);
}

static void
mam_begin(void)
{
	for (int i = 0; i < opt.talkers; i++)
		mam_ask(&users[i]);
}

static void
mam_figures(double seconds)
{
	figure("seconds", seconds, 2);
	figure("page", opt.page, 0);
	figure("results_per_s", (double)results / seconds, 1);
	figure("results_per_query",
	    (double)results / (double)MAX(traffic.measured, 1), 1);
}

static void
mam_run(void)
{
	traffic_run(mam_begin, NULL, mam_figures);
}

static void
mam_prepare(void)
{
	if (opt.page < 1 || opt.rate > 0)
		die("an option is out of range");
}

const struct mode mode_mam = {
	.name = "mam",
	.prepare = mam_prepare,
	.stanza = mam_stanza,
	.run = mam_run,
};
