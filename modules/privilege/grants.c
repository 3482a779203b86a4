/* SPDX-License-Identifier: MIT */
#include "grants.h"

/* "gate.example.org both http://jabber.org/protocol/pubsub" */
struct iq_grant {
	struct str domain, type, ns;
	int types; /* IQ_GET, IQ_SET; 0: the row is wrong */
};

static struct iq_grant
iq_grant_of(struct str row)
{
	struct iq_grant g = { .types = 0 };
	struct str rest = str_trim(row);

	g.domain = str_cut(&rest, ' ');
	rest = str_trim(rest);
	g.type = str_cut(&rest, ' ');
	g.ns = str_trim(rest);
	if (g.domain.n == 0 || g.ns.n == 0)
		return g;
	if (str_is(g.type, "get"))
		g.types = IQ_GET;
	else if (str_is(g.type, "set"))
		g.types = IQ_SET;
	else if (str_is(g.type, "both"))
		g.types = IQ_GET | IQ_SET;
	return g;
}

bool
grants_list(const struct str_list *list, struct str domain)
{
	for (size_t i = 0; i < list->count; i++)
		if (str_eq(list->item[i], domain))
			return true;
	return false;
}

bool
grants_iq(const struct grants *g, struct str domain, enum stanza_type type,
    struct str ns)
{
	for (size_t i = 0; i < g->iq.count; i++) {
		struct iq_grant grant = iq_grant_of(g->iq.item[i]);

		if ((grant.types & (int)type) != 0 &&
		    str_eq(grant.domain, domain) && str_eq(grant.ns, ns))
			return true;
	}
	return false;
}

static struct elem *
add_perm(struct elem *privilege, const char *access, const char *type)
{
	struct elem *perm = elem_add(privilege, EL_PRIVILEGE_PERM);

	elem_set(perm, AT_ACCESS, str_c(access));
	if (type != NULL)
		elem_set(perm, AT_TYPE, str_c(type));
	return perm;
}

static void
add_roster(const struct grants *g, struct str domain, struct elem *privilege)
{
	bool can_get = grants_list(&g->roster_get, domain);
	bool can_set = grants_list(&g->roster_set, domain);
	struct elem *perm;

	if (!can_get && !can_set)
		return;
	perm = add_perm(privilege, "roster",
	    !can_get  ? "set"
	    : can_set ? "both"
		      : "get");
	elem_set(perm, AT_PUSH, can_get ? STR("true") : STR("false"));
}

static void
add_iqs(const struct grants *g, struct str domain, struct elem *privilege)
{
	struct elem *perm = NULL, *e;

	for (size_t i = 0; i < g->iq.count; i++) {
		struct iq_grant grant = iq_grant_of(g->iq.item[i]);

		if (grant.types == 0 || !str_eq(grant.domain, domain))
			continue;
		if (perm == NULL)
			perm = add_perm(privilege, "iq", NULL);
		e = elem_add(perm, EL_PRIVILEGE_NAMESPACE);
		elem_set_copy(e, AT_NS, grant.ns);
		elem_set_copy(e, AT_TYPE, grant.type);
	}
}

bool
grants_write(const struct grants *g, struct str domain, struct elem *privilege)
{
	add_roster(g, domain, privilege);
	if (grants_list(&g->message, domain))
		add_perm(privilege, "message", "outgoing");
	add_iqs(g, domain, privilege);
	if (grants_list(&g->presence, domain))
		add_perm(privilege, "presence", "managed_entity");
	return elem_first_node(privilege) != NULL;
}

void
grants_check(const struct grants *g, const struct log_ctx *log)
{
	for (size_t i = 0; i < g->iq.count; i++) {
		struct str row = g->iq.item[i];

		if (iq_grant_of(row).types == 0)
			log_warn(log,
			    "'" STR_FMT "' of 'iq' grants nothing; it should "
			    "be DOMAIN get|set|both NAMESPACE",
			    STR_ARG(row));
	}
}
