/* SPDX-License-Identifier: MIT */
/*
 * XEP-0441: what an account wants archived. Kept as the element that the
 * client sent, in one keyed value; read when the account is loaded.
 */
#include "modules/mam/mam.h"

#define STORE STR("mam")
#define KEY STR("prefs")
#define JIDS_MAX 1000
/* Devices are kept as keys of their own, with the time as value. */
#define DEVICE STR("device ")
#define DEVICES_MAX 30

const char *const mam_defaults[] = { "always", "never", "roster", NULL };

/* ---- the preferences in memory ----------------------------------------- */

static void
drop_jids(struct str **jids, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		str_free(&(*jids)[i]);
	xfree(*jids);
	*jids = NULL;
	*count = 0;
}

static void
drop_lists(struct mam_prefs *p)
{
	drop_jids(&p->always, &p->always_count);
	drop_jids(&p->never, &p->never_count);
}

void
mam_prefs_free(struct mod *m, void *state)
{
	struct mam_prefs *p = state;

	drop_lists(p);
	drop_jids(&p->device, &p->device_count);
}

static void
take_jids(const struct elem *list, struct str **jids, size_t *count)
{
	struct elem *e = elem_child(list, EL_MAM_JID);

	*jids = xmalloc((elem_count(list, EL_MAM_JID) + 1) * sizeof(**jids));
	*count = 0;
	for (; e != NULL; e = elem_next(e, EL_MAM_JID))
		(*jids)[(*count)++] = str_heap(elem_text(e));
}

static bool
find_default(struct str name, enum mam_default *found_r)
{
	for (unsigned i = 0; mam_defaults[i] != NULL; i++)
		if (str_is(name, mam_defaults[i])) {
			*found_r = (enum mam_default)i;
			return true;
		}
	return false;
}

/* `prefs` was checked before. */
static void
set_prefs(struct mod *m, struct account *acct, const struct elem *prefs)
{
	struct mam_prefs *p = account_slot(acct, m);

	drop_lists(p);
	p->is_set = find_default(elem_attr(prefs, AT_DEFAULT), &p->by_default);
	take_jids(
	    elem_child(prefs, EL_MAM_ALWAYS), &p->always, &p->always_count);
	take_jids(elem_child(prefs, EL_MAM_NEVER), &p->never, &p->never_count);
}

struct load {
	struct mod *mod;
	struct account *acct;
};

static void
add_device(struct mam_prefs *p, struct str resource)
{
	if (p->device == NULL)
		p->device = xmalloc(DEVICES_MAX * sizeof(*p->device));
	if (p->device_count == DEVICES_MAX) {
		str_free(&p->device[0]);
		p->device_count--;
		memmove(p->device, p->device + 1,
		    p->device_count * sizeof(*p->device));
	}
	p->device[p->device_count++] = str_heap(resource);
}

static void
load_prefs(struct load *load, struct str value)
{
	struct arena *a = arena_new(0);
	struct elem *prefs =
	    xml_parse(a, str_dup(a, value), NULL, NS_NONE, NULL);

	if (prefs != NULL)
		set_prefs(load->mod, load->acct, prefs);
	arena_free(&a);
}

static void
on_loaded(void *ctx, int err, const struct kv_item *items, size_t count)
{
	struct load *load = ctx;

	for (size_t i = 0; i < count; i++) {
		if (str_eq(items[i].key, KEY))
			load_prefs(load, items[i].value);
		else if (str_has_prefix(items[i].key, DEVICE))
			add_device(account_slot(load->acct, load->mod),
			    str_skip(items[i].key, DEVICE.n));
	}
	account_load_release(load->acct, err);
	xfree(load);
}

bool
mam_is_device(struct mod *m, const struct session *s)
{
	const struct mam_prefs *p = account_slot_peek(s->account, m);

	for (size_t i = 0; p != NULL && i < p->device_count; i++)
		if (str_eq(p->device[i], s->jid.resource))
			return true;
	return false;
}

void
mam_note_device(struct mod *m, struct session *s)
{
	struct str owner = s->account->jid.bare;
	struct mam_prefs *p = account_slot(s->account, m);
	struct store_write *w;
	struct arena *a;

	s->reads_archive = true;
	if (mam_is_device(m, s))
		return;
	w = store_write_new(owner);
	a = store_write_arena(w);
	if (p->device_count == DEVICES_MAX)
		kv_del(w, owner, STORE,
		    str_printf(a, STR_FMT STR_FMT, STR_ARG(DEVICE),
			STR_ARG(p->device[0])));
	kv_put(w, owner, STORE,
	    str_printf(
		a, STR_FMT STR_FMT, STR_ARG(DEVICE), STR_ARG(s->jid.resource)),
	    clock_format(a, clock_real(), false));
	store_commit(&w, NULL, NULL);
	add_device(p, s->jid.resource);
}

void
mam_prefs_load(struct mod *m, struct account *acct)
{
	struct load *load = xmalloc(sizeof(*load));

	load->mod = m;
	load->acct = acct;
	account_load_hold(acct);
	kv_list(acct->jid.bare, STORE, STR_NONE, false, DEVICES_MAX + 1,
	    on_loaded, load);
}

static bool
has_jid(const struct str *jids, size_t count, const struct jid *with)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(jids[i], with->bare) || str_eq(jids[i], with->full))
			return true;
	return false;
}

bool
mam_wants(struct mod *m, struct account *acct, const struct jid *with)
{
	const struct mam_options *o = mod_options(m);
	const struct mam_prefs *p = account_slot_peek(acct, m);
	enum mam_default by_default = o->by_default;

	if (p != NULL && p->is_set) {
		if (has_jid(p->never, p->never_count, with))
			return false;
		if (has_jid(p->always, p->always_count, with))
			return true;
		by_default = p->by_default;
	}
	if (by_default == MAM_ROSTER) {
		const struct roster_item *item = roster_find(acct, with->bare);

		return item != NULL && item->is_in_roster;
	}
	return by_default == MAM_ALWAYS;
}

/* ---- the iq ------------------------------------------------------------ */

static void
add_jids(
    struct elem *prefs, enum qname name, const struct str *jids, size_t count)
{
	struct elem *list = elem_add(prefs, name);

	for (size_t i = 0; i < count; i++)
		elem_add_text(
		    list, EL_MAM_JID, str_dup(elem_arena(prefs), jids[i]));
}

static enum verdict
send_prefs(struct mod *m, struct stanza *iq)
{
	const struct mam_options *o = mod_options(m);
	const struct mam_prefs none = { 0 };
	const struct mam_prefs *p = account_slot_peek(iq_account(iq), m);
	struct elem *e = elem_add(stanza_result(iq), EL_MAM_PREFS);

	if (p == NULL)
		p = &none;
	elem_set(e, AT_DEFAULT,
	    str_c(mam_defaults[p->is_set ? p->by_default : o->by_default]));
	add_jids(e, EL_MAM_ALWAYS, p->always, p->always_count);
	add_jids(e, EL_MAM_NEVER, p->never, p->never_count);
	return stanza_send_back(iq);
}

struct change {
	struct mod *mod;
	struct stanza *iq;
};

static void
on_stored(void *ctx, int err)
{
	struct change *change = ctx;
	struct stanza *iq = change->iq;
	struct account *acct = iq_account(iq);

	if (err < 0) {
		stanza_refuse(iq, EL_INTERNAL_SERVER_ERROR);
		return;
	}
	if (acct != NULL) {
		set_prefs(change->mod, acct, stanza_payload(iq));
		send_prefs(change->mod, iq);
	} else {
		stanza_free(&iq);
	}
}

/* Puts prepared addresses in the place of what was sent. */
static bool
prepare_jids(struct arena *a, struct elem *list)
{
	struct elem *e = elem_child(list, EL_MAM_JID);

	for (; e != NULL; e = elem_next(e, EL_MAM_JID)) {
		struct jid jid;

		if (jid_parse(a, elem_text(e), &jid) < 0)
			return false;
		elem_set_text(e, jid.full);
	}
	return true;
}

enum verdict
mam_on_prefs(struct mod *m, struct stanza *iq)
{
	struct elem *prefs = stanza_payload(iq);
	struct elem *always = elem_child(prefs, EL_MAM_ALWAYS);
	struct elem *never = elem_child(prefs, EL_MAM_NEVER);
	enum mam_default unused;
	struct change *change;
	struct store_write *w;

	if (iq->type == IQ_GET)
		return send_prefs(m, iq);
	if (!find_default(elem_attr(prefs, AT_DEFAULT), &unused))
		return stanza_refuse(iq, EL_BAD_REQUEST);
	if (elem_count(always, EL_MAM_JID) + elem_count(never, EL_MAM_JID) >
	    JIDS_MAX)
		return stanza_refuse(iq, EL_RESOURCE_CONSTRAINT);
	if (!prepare_jids(iq->arena, always) || !prepare_jids(iq->arena, never))
		return stanza_refuse(iq, EL_JID_MALFORMED);
	change = arena_new_of(iq->arena, struct change);
	change->mod = m;
	change->iq = iq;
	w = store_write_new(iq->from.bare);
	kv_put(w, iq->from.bare, STORE, KEY, xml_text(iq->arena, prefs));
	store_commit(&w, on_stored, change);
	return STANZA_DONE;
}
