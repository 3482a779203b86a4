/* SPDX-License-Identifier: MIT */
#ifndef MODULES_MAM_MAM_H
#define MODULES_MAM_MAM_H

#include "core/module.h"

enum mam_default { MAM_ALWAYS, MAM_NEVER, MAM_ROSTER };
extern const char *const mam_defaults[]; /* ended by NULL */

struct mam_options {
	unsigned by_default; /* enum mam_default */
	uint64_t retention;
	uint64_t page_max;
};

/* What an account wants archived (XEP-0441); on the heap, in its slot. */
struct mam_prefs {
	bool is_set; /* else the host's default holds */
	enum mam_default by_default;
	struct str *always, *never; /* bare or full JIDs */
	size_t always_count, never_count;
	/* Resources whose clients read the archive; the oldest first. */
	struct str *device;
	size_t device_count;
	unsigned kept; /* messages, since it was loaded */
};

/* May what is exchanged with `with` be archived? */
bool mam_wants(struct mod *m, struct account *acct, const struct jid *with);
/*
 * A client that reads the archive is not sent again what is in there when it
 * logs in the next time: remembers its resource; and is it one of them?
 */
void mam_note_device(struct mod *m, struct session *s);
bool mam_is_device(struct mod *m, const struct session *s);
void mam_prefs_load(struct mod *m, struct account *acct);
void mam_prefs_free(struct mod *m, void *state);
enum verdict mam_on_prefs(struct mod *m, struct stanza *iq);

/* The first medium of a message, for the archive's columns. */
void mam_media(const struct elem *message, struct archive_item *item);

/*
 * XEP-0424: a retraction that has just been archived. What it retracts is
 * looked for in the account's archive and replaced by a tombstone, if the
 * same bare JID sent it. HELD until that is done, so that who hears of the
 * retraction finds the archive changed; PASS if it is no retraction.
 */
enum verdict mam_retract(
    struct account *acct, struct stanza *st, bool is_outgoing);

/* What a login that binds is told of the archive (bind.c). */
void mam_on_prepare(struct mod *m, struct login *l);
void mam_on_bind(struct mod *m, struct session *s, const struct elem *bind,
    struct elem *bound);

/* In each instance. */
struct mam {
	struct timer timer; /* first: found from the timer */
	struct mod *mod;
	bool is_running;
	struct str after; /* the owner that was looked at last; heap */
};

/* One worker looks now and then for what is too old. */
void mam_retention_start(struct mod *m);
void mam_retention_stop(struct mod *m);

extern const struct command mam_commands[];

#endif
