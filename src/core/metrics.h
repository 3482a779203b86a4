/* SPDX-License-Identifier: MIT */
/*
 * Counters: one row each; each worker has its own, and readers sum them.
 * Names become rookery_NAME in Prometheus.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include "base/base.h"

#define METRICS(X) \
	X(CONNECTIONS, "connections_total", "client connections accepted") \
	X(LOGINS, "logins_total", "successful logins") \
	X(LOGIN_FAILURES, "login_failures_total", "failed logins") \
	X(SESSIONS_RESUMED, "sessions_resumed_total", "streams resumed") \
	X(MESSAGES_IN, "messages_received_total", "messages from clients") \
	X(PRESENCES_IN, "presences_received_total", "presences from clients") \
	X(IQS_IN, "iqs_received_total", "iqs from clients") \
	X(STANZAS_OUT, "stanzas_sent_total", "stanzas sent to clients") \
	X(BYTES_IN, "bytes_received_total", "bytes read from clients") \
	X(STANZA_ERRORS, "stanza_errors_total", "stanzas answered by errors") \
	X(STREAM_ERRORS, "stream_errors_total", "streams ended by errors") \
	X(SPOOLED, "spooled_messages_total", "messages kept for later") \
	X(S2S_IN, "s2s_in_total", "streams that servers opened to us") \
	X(S2S_OUT, "s2s_out_total", "streams that we opened to servers") \
	X(S2S_STANZAS_IN, "s2s_received_total", "stanzas from servers") \
	X(S2S_STANZAS_OUT, "s2s_sent_total", "stanzas sent to servers") \
	X(COMPONENTS, "components_total", "logins of components") \
	X(COMPONENT_STANZAS_IN, "component_received_total", \
	    "stanzas from components") \
	X(COMPONENT_STANZAS_OUT, "component_sent_total", \
	    "stanzas sent to components") \
	X(FANOUT_POSTS, "fanout_posts_total", \
	    "batches of what goes to many, one for each worker") \
	X(FANOUT_RENDERS, "fanout_renders_total", \
	    "batches that were rendered, once for all in them") \
	X(PUBSUB_READS, "pubsub_reads_total", \
	    "reads of last items for whom has come") \
	X(REGISTRATIONS, "registrations_total", "accounts made") \
	X(CHALLENGES_FAILED, "challenges_failed_total", \
	    "wrong answers to challenges of who signed up") \
	X(STRANGERS_LIMITED, "strangers_limited_total", \
	    "stanzas of strangers that were too many") \
	X(STRANGERS_REFUSED, "strangers_refused_total", \
	    "messages refused because strangers sent them") \
	X(BLOCKLISTED, "blocklisted_total", \
	    "stanzas refused by real-time block lists")

enum metric {
#define METRIC_ID(id, name, help) METRIC_##id,
	METRICS(METRIC_ID)
#undef METRIC_ID
	    METRIC_COUNT,
};

/* Adds to the calling thread's counter; a store, no lock. */
API void metric_add(enum metric m, uint64_t n);
/* The sum over all threads. */
API uint64_t metric_sum(enum metric m);
API const char *metric_name(enum metric m);
API const char *metric_help(enum metric m);

#endif
