/* SPDX-License-Identifier: MIT */
#include "core/host.h"

#include "base/map.h"
#include "core/conf.h"
#include "core/edited.h"
#include "core/rounds.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static struct host *hosts;
static size_t count;
static struct map by_name;

/* So that each host's secret tells nothing of another's. */
static void
secret_derive(struct host *h, struct str secret)
{
	unsigned n = sizeof(h->secret);

	must(HMAC(EVP_sha256(), secret.p, (int)secret.n,
		 (const unsigned char *)h->jid.full.p, h->jid.full.n, h->secret,
		 &n) != NULL);
}

void
hosts_init(const struct conf *conf, struct str secret)
{
	must(hosts == NULL);
	count = conf->host_count;
	hosts = (struct host *)xzalloc((count + 1) * sizeof(*hosts));
	for (size_t i = 0; i < count; i++) {
		struct host *h = &hosts[i];

		h->jid = jid_of(str_heap(conf->hosts[i].name));
		h->index = (unsigned)i;
		secret_derive(h, secret);
		h->rounds = rounds_new();
		map_set(&by_name, h->jid.full, h);
	}
}

void
hosts_fini(void)
{
	for (size_t i = 0; i < count; i++) {
		struct str name = hosts[i].jid.full;

		str_free(&name);
		rounds_free(&hosts[i].rounds);
	}
	map_fini(&by_name);
	xfree(hosts);
	hosts = NULL;
	count = 0;
}

struct host *
host_find(struct str name)
{
	return (struct host *)map_get(&by_name, name);
}

size_t
host_count(void)
{
	return count;
}

struct host *
host_at(size_t index)
{
	must(index < count);
	return &hosts[index];
}

static bool
conf_is_admin(const struct jid *bare)
{
	const struct str_list *admins = &conf_now()->admins;

	for (size_t i = 0; i < admins->count; i++) {
		if (str_eq(admins->item[i], bare->bare))
			return true;
	}
	return false;
}

size_t
host_admins(struct arena *a, const struct str **jids_r)
{
	const struct str_list *named = &conf_now()->admins;
	struct str *more, *all;
	size_t extra = edited_all(EDITED_ADMINS, a, &more), n = named->count;

	all = (struct str *)arena_alloc(a, (n + extra + 1) * sizeof(*all));
	if (n > 0)
		memcpy(all, named->item, n * sizeof(*all));
	for (size_t i = 0; i < extra; i++) {
		struct jid jid = jid_of(more[i]);

		if (!conf_is_admin(&jid))
			all[n++] = more[i];
	}
	*jids_r = all;
	return n;
}

bool
host_is_admin(const struct jid *bare)
{
	return conf_is_admin(bare) || edited_has(EDITED_ADMINS, bare->bare);
}
