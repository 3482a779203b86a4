/* SPDX-License-Identifier: MIT */
/*
 * The configuration of a publish-subscribe node: rows that say each field's
 * name, type and place. From the same rows come forms, the check of what is
 * submitted, what is stored, and the preconditions of publish-options.
 */
#ifndef CORE_PUBSUB_CONFIG_H
#define CORE_PUBSUB_CONFIG_H

#include "base/str.h"
#include "xml/elem.h"

#define PUBSUB_NODE_CONFIG "http://jabber.org/protocol/pubsub#node_config"
#define PUBSUB_PUBLISH_OPTIONS \
	"http://jabber.org/protocol/pubsub#publish-options"
/* What "max" is kept as: as much as the service allows. */
#define PUBSUB_MAX UINT32_MAX

enum pubsub_access {
	ACCESS_OPEN,
	ACCESS_PRESENCE,
	ACCESS_ROSTER,
	ACCESS_AUTHORIZE,
	ACCESS_WHITELIST,
};

enum pubsub_publish {
	PUBLISH_PUBLISHERS,
	PUBLISH_SUBSCRIBERS,
	PUBLISH_OPEN,
};

enum pubsub_send_last { SEND_NEVER, SEND_ON_SUB, SEND_ON_SUB_AND_PRESENCE };
/* What becomes of the oldest item when there is no room for another. */
enum pubsub_full { FULL_RETRACT, FULL_DISCARD, FULL_REJECT };
enum pubsub_reply { REPLY_NONE, REPLY_OWNER, REPLY_PUBLISHER };

struct pubsub_config {
	struct str title, description, type; /* heap */
	struct str groups;		     /* heap, one a line */
	unsigned access, publish, send_last, message, reply, full;
	uint32_t max_items, item_expire, max_payload;
	bool persist, payloads, notify, subscribe;
	bool notify_retract, notify_delete, notify_config, notify_sub;
	bool purge_offline;
	bool by_presence; /* to those who are available only */
};

/* Bounds of the service. */
struct pubsub_bounds {
	uint32_t max_items, max_payload;
	bool is_pep; /* has a roster */
};

/*
 * The defaults of such a service, for a node of that name (or none): what an
 * account keeps for itself is private from the beginning, whether the client
 * thinks of it or not. Texts are none.
 */
void pubsub_config_init(struct pubsub_config *c,
    const struct pubsub_bounds *bounds, struct str node);
void pubsub_config_fini(struct pubsub_config *c);
struct pubsub_config pubsub_config_copy(const struct pubsub_config *c);

/*
 * Takes what the submitted form says. ERR_INVALID: a value is not allowed, and
 * `c` may be changed in part. ERR_ABSENT: `is_strict`, and there is a field we
 * do not know. ERR_DENIED: the access model is not offered here.
 */
int pubsub_config_read(struct pubsub_config *c, const struct elem *form,
    const struct pubsub_bounds *bounds, bool is_strict);
/* Is it so already as the form says? An unknown field is never met. */
bool pubsub_config_meets(const struct pubsub_config *c, const struct elem *form,
    const struct pubsub_bounds *bounds);
/* A form with all fields: "form" has types and options, "submit" is kept. */
struct elem *pubsub_config_form(struct elem *parent, const char *type,
    const struct pubsub_config *c, const struct pubsub_bounds *bounds);
uint32_t pubsub_config_items(
    const struct pubsub_config *c, const struct pubsub_bounds *bounds);
/* The names of an access model, and of a publish model. */
const char *pubsub_access_name(unsigned access);
const char *pubsub_publish_name(unsigned publish);

#endif
