/* SPDX-License-Identifier: MIT */
/* With which servers we talk, on which terms, and how much they may ask. */
#include "core/conf.h"
#include "core/edited.h"
#include "core/s2s_impl.h"

#define BUCKETS 4096

/* Domains ------------------------------------------------------------------ */

/* "*", a name, or "*.name", which is everything below the name. */
static bool
pattern_fits(struct str pattern, struct str domain)
{
	if (str_is(pattern, "*") || str_eq_nocase(pattern, domain))
		return true;
	if (pattern.n < 3 || pattern.p[0] != '*' || pattern.p[1] != '.')
		return false;
	pattern = str_skip(pattern, 1);
	return domain.n > pattern.n &&
	       str_eq_nocase(str_skip(domain, domain.n - pattern.n), pattern);
}

static bool
list_has(const struct str_list *list, struct str domain)
{
	for (size_t i = 0; i < list->count; i++)
		if (pattern_fits(list->item[i], domain))
			return true;
	return false;
}

/* The strictest that names it holds. */
enum s2s_terms
s2s_terms(struct str domain)
{
	const struct s2s_conf *conf = &conf_now()->s2s;

	if (list_has(&conf->certificate_for, domain))
		return S2S_TERMS_CERTIFICATE;
	if (list_has(&conf->dialback_for, domain))
		return S2S_TERMS_DIALBACK;
	if (list_has(&conf->plain_for, domain))
		return S2S_TERMS_PLAIN;
	return conf->require == S2S_DIALBACK ? S2S_TERMS_DIALBACK
					     : S2S_TERMS_CERTIFICATE;
}

bool
s2s_is_allowed(struct str domain)
{
	const struct s2s_conf *conf = &conf_now()->s2s;

	if (list_has(&conf->deny, domain) || edited_has(EDITED_BLOCKED, domain))
		return false;
	if (conf->allow.count == 0 && edited_is_empty(EDITED_ALLOWED))
		return true;
	return list_has(&conf->allow, domain) ||
	       edited_has_domain(EDITED_ALLOWED, domain);
}

bool
s2s_is_welcome(const struct jid *who)
{
	if (edited_fits(EDITED_BLOCKED, who))
		return false;
	return edited_is_empty(EDITED_ALLOWED) ||
	       edited_fits(EDITED_ALLOWED, who) ||
	       list_has(&conf_now()->s2s.allow, who->domain);
}

/* Rates -------------------------------------------------------------------- */

/*
 * A place for each address, by its hash; those that share one share what they
 * may spend. So it is bounded, and nobody can push another one out.
 */
static _Thread_local struct bucket {
	uint64_t since;
	uint32_t spent;
} buckets[2][BUCKETS];

static struct bucket *
bucket_of(const struct addr *from, enum s2s_cost what)
{
	char key[ADDR_TEXT_MAX];

	addr_limit_key(from, key);
	return &buckets[what][str_hash(str_c(key)) % BUCKETS];
}

bool
s2s_may_spend(const struct addr *from, enum s2s_cost what)
{
	const struct limits_conf *conf = &conf_now()->limits;
	const struct rate *rate =
	    what == S2S_COST_KEY ? &conf->s2s_keys : &conf->s2s_streams;
	struct bucket *b = bucket_of(from, what);
	uint64_t now = loop_now();

	if (rate->count == 0)
		return true;
	if (b->since == 0 || now - b->since >= rate->per_ms) {
		b->since = now;
		b->spent = 0;
	}
	if (b->spent >= rate->count)
		return false;
	b->spent++;
	return true;
}
