/* SPDX-License-Identifier: MIT */
/* XEP-0401: ad-hoc commands that make invitations. */
#include "modules/invites/invites.h"

#include "xep/0004-forms.h"

#define RESULT "urn:xmpp:invite#invitation"

static bool
is_ours(const struct stanza *iq)
{
	return host_find(iq->from.domain) != NULL &&
	       !str_is_none(iq->from.local);
}

static bool
may_invite(void *ctx, const struct stanza *iq)
{
	const struct mod *m = (const struct mod *)ctx;
	const struct invites_options *o = mod_options(m);
	struct jid bare = jid_to_bare(&iq->from);

	return is_ours(iq) &&
	       str_eq(iq->from.domain, mod_host(m)->jid.domain) &&
	       (o->users_invite || host_is_admin(&bare));
}

static bool
may_make_accounts(void *ctx, const struct stanza *iq)
{
	struct jid bare = jid_to_bare(&iq->from);

	return is_ours(iq) && host_is_admin(&bare);
}

static void
on_made(void *ctx, int err, struct str token, const struct invite *inv)
{
	struct adhoc_call *call = (struct adhoc_call *)ctx;
	struct mod *m = (struct mod *)call->ctx;
	struct arena *a = call->arena;
	struct elem *form;
	struct str url;

	if (err < 0) {
		adhoc_refuse(call,
		    err == ERR_LIMIT	? EL_RESOURCE_CONSTRAINT
		    : err == ERR_EXISTS ? EL_CONFLICT
					: EL_INTERNAL_SERVER_ERROR,
		    EL_NONE);
		return;
	}
	form = form_add(adhoc_done(call), "result", RESULT);
	form_add_field(form, "text-single", "uri", "Invitation URI",
	    invite_uri(a, mod_host(m), inv, token));
	url = invite_url(a, m, token);
	if (url.n > 0)
		form_add_field(
		    form, "text-single", "landing-url", "Invitation page", url);
	form_add_field(form, "text-single", "expire", "Good until",
	    clock_format(a, inv->expires, false));
	adhoc_send(call);
}

static struct str
bare_text(const struct adhoc_call *call)
{
	return jid_to_bare(call->who).full;
}

static void
run_invite(struct adhoc_call *call)
{
	struct mod *m = (struct mod *)call->ctx;
	const struct invites_options *o = mod_options(m);
	struct jid bare = jid_to_bare(call->who);
	struct invite want = {
		.kind = INVITE_CONTACT,
		.makes_account =
		    (o->users_make_accounts || host_is_admin(&bare)) &&
		    mod_find(mod_host(m), "register") != NULL,
		.by = bare_text(call),
		.name = STR(""),
		.expires = clock_real() + (int64_t)o->keep_ms,
		.uses = 1,
	};

	invite_make(m, &want, on_made, call);
}

static void
ask_for_name(struct adhoc_call *call)
{
	struct elem *form =
	    form_add(adhoc_stage(call, 1u << ADHOC_COMPLETE), "form", NULL);

	elem_add_text(form, EL_FORM_TITLE, STR("Create account"));
	form_add_field(form, "text-single", "username", "Username", STR_NONE);
	form_add_field(form, "boolean", "roster-subscription",
	    "Roster subscription", STR("0"));
	adhoc_send(call);
}

static void
run_create_account(struct adhoc_call *call)
{
	struct mod *m = (struct mod *)call->ctx;
	const struct invites_options *o = mod_options(m);
	struct str name = str_trim(form_value(call->form, "username"));
	struct invite want = {
		.kind = INVITE_ACCOUNT,
		.makes_account = true,
		.by = form_bool(call->form, "roster-subscription", false)
			  ? bare_text(call)
			  : STR(""),
		.name = STR(""),
		.expires = clock_real() + (int64_t)o->keep_ms,
		.uses = 1,
	};

	if (call->stage == 0)
		ask_for_name(call);
	else if (name.n > 0 &&
		 jid_prep_local(call->arena, name, &want.name) < 0)
		adhoc_refuse(call, EL_BAD_REQUEST, EL_COMMAND_BAD_PAYLOAD);
	else
		invite_make(m, &want, on_made, call);
}

const struct adhoc_command invites_adhoc[] = {
	{ "urn:xmpp:invite#invite", "Invite user", may_invite, run_invite },
	{ "urn:xmpp:invite#create-account", "Create account", may_make_accounts,
	    run_create_account },
	ADHOC_END,
};
