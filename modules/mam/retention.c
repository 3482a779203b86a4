/* SPDX-License-Identifier: MIT */
/*
 * How long messages are kept: by host, and shorter for accounts that have a
 * limit of their own (store "mam-retention", key "days"). One worker looks
 * for both four times a day; the store deletes in slices.
 */
#include "modules/mam/mam.h"

#define STORE STR("mam-retention")
#define KEY STR("days")
#define FIRST_MS MINUTES(10)
#define EACH_MS HOURS(6)
#define PAGE 100

static void next_owner(struct mam *mam);

static void
on_timer(struct timer *t)
{
	struct mam *mam = (struct mam *)(void *)t;

	mam->is_running = true;
	str_free(&mam->after);
	next_owner(mam);
}

static void
over(struct mam *mam)
{
	mam->is_running = false;
	str_free(&mam->after);
	timer_start(&mam->timer, EACH_MS, on_timer);
}

/* ---- the host ---------------------------------------------------------- */

static void
on_host_done(void *ctx, int err, uint64_t count)
{
	struct mam *mam = ctx;

	if (err < 0)
		log_warn(
		    mod_log(mam->mod), "old messages stay: %s", err_text(err));
	else if (count > 0)
		log_info(mod_log(mam->mod), "%llu old messages deleted",
		    (unsigned long long)count);
	over(mam);
}

static void
expire_host(struct mam *mam)
{
	const struct mam_options *o = mod_options(mam->mod);

	if (o->retention == 0)
		over(mam);
	else
		archive_expire(mod_host(mam->mod)->jid.full,
		    clock_real() - (int64_t)o->retention, NULL, on_host_done,
		    mam);
}

/* ---- accounts with a limit of their own -------------------------------- */

static void
on_owner_done(void *ctx, int err, uint64_t count)
{
	struct mam *mam = ctx;

	if (err < 0)
		log_warn(mod_log(mam->mod),
		    "old messages of " STR_FMT " stay: %s", STR_ARG(mam->after),
		    err_text(err));
	next_owner(mam);
}

static void
on_days(void *ctx, int err, struct str value)
{
	struct mam *mam = ctx;
	uint64_t days;

	if (err < 0 || !str_to_u64(value, &days) || days == 0)
		next_owner(mam);
	else
		archive_expire(mam->after, clock_real() - (int64_t)DAYS(days),
		    NULL, on_owner_done, mam);
}

/* The next one of our host; the names come in order, of all hosts. */
static void
on_owners(void *ctx, int err, const struct str *names, size_t count)
{
	struct mam *mam = ctx;

	for (size_t i = 0; err == 0 && i < count; i++) {
		struct jid jid = jid_of(names[i]);

		str_free(&mam->after);
		mam->after = str_heap(names[i]);
		if (str_eq(jid.domain, mod_host(mam->mod)->jid.domain)) {
			kv_get(mam->after, STORE, KEY, on_days, mam);
			return;
		}
	}
	if (err == 0 && count == PAGE)
		next_owner(mam);
	else
		expire_host(mam);
}

static void
next_owner(struct mam *mam)
{
	kv_owners(STORE, mam->after, PAGE, on_owners, mam);
}

/* ------------------------------------------------------------------------ */

void
mam_retention_start(struct mod *m)
{
	struct mam *mam = mod_state(m);

	mam->mod = m;
	if (loop_index(loop_self()) == 0)
		timer_start(&mam->timer, FIRST_MS, on_timer);
}

void
mam_retention_stop(struct mod *m)
{
	struct mam *mam = mod_state(m);

	timer_stop(&mam->timer);
	if (!mam->is_running)
		str_free(&mam->after);
}
