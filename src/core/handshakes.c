/* SPDX-License-Identifier: MIT */
#include "core/handshakes.h"

#include "core/addr_rate.h"
#include "core/conf.h"
#include "net/loop.h"
#include "net/tls.h"

/* How long one waits before it may ask again. */
#define AGAIN_MS SECONDS(1)
#define COMPLAIN_MS MINUTES(1)

static __thread struct addr_rate begun;
static __thread uint64_t complain_at;
static __thread bool is_over;

static void
complain(const struct addr *peer)
{
	char ip[ADDR_TEXT_MAX];

	if (loop_now() < complain_at)
		return;
	complain_at = loop_now() + COMPLAIN_MS;
	addr_ip(peer, ip);
	log_notice(
	    NULL, "handshakes of %s wait: more than 'limits.handshakes'", ip);
}

static uint64_t
wait_ms(const struct addr *peer)
{
	const struct rate *rate = &conf_now()->limits.handshakes;

	if (is_over || addr_is_loopback(peer) ||
	    addr_rate_take(&begun, rate, peer))
		return 0;
	complain(peer);
	return MIN(rate->per_ms, AGAIN_MS);
}

void
handshakes_init(void)
{
	tls_set_gate(wait_ms);
}

void
handshakes_thread_done(void)
{
	is_over = true;
	addr_rate_fini(&begun);
}
