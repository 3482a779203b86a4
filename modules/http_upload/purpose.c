/* SPDX-License-Identifier: MIT */
/*
 * What files are for (XEP-0363, "Upload purpose"): each purpose has its own
 * quota and its own time, but ephemeral files share the quota of messages.
 */
#include "modules/http_upload/upload.h"

/* Nothing that is kept for good ends before that. */
#define FOREVER_MS ((int64_t)DAYS(36500) * 2)

static const struct {
	const char *name;
	enum qname element;
} purposes[PURPOSES] = {
	[FOR_MESSAGE] = { "message", EL_UPLOAD_FOR_MESSAGE },
	[FOR_PROFILE] = { "profile", EL_UPLOAD_FOR_PROFILE },
	[FOR_EPHEMERAL] = { "ephemeral", EL_UPLOAD_FOR_EPHEMERAL },
	[FOR_PERMANENT] = { "permanent", EL_UPLOAD_FOR_PERMANENT },
};

const char *
purpose_name(enum purpose p)
{
	return purposes[p].name;
}

uint64_t
purpose_quota(const struct upload_options *o, enum purpose p)
{
	switch (p) {
	case FOR_PROFILE:
		return o->profile_quota;
	case FOR_PERMANENT:
		return o->permanent_quota;
	default:
		return o->quota;
	}
}

uint64_t
purpose_max_size(const struct upload_options *o, enum purpose p)
{
	return MIN(o->max_size, purpose_quota(o, p));
}

bool
purpose_is_on(const struct upload_options *o, enum purpose p)
{
	return purpose_quota(o, p) > 0;
}

/* One that we do not know is none: then it is a message's. */
static struct elem *
purpose_find(const struct elem *request, enum purpose *purpose_r)
{
	for (int p = 0; p < PURPOSES; p++) {
		struct elem *e = elem_child(request, purposes[p].element);

		*purpose_r = (enum purpose)p;
		if (e != NULL)
			return e;
	}
	*purpose_r = FOR_MESSAGE;
	return NULL;
}

bool
purpose_read(const struct upload_options *o, const struct elem *request,
    struct slot *s, enum qname *refusal_r)
{
	struct elem *e = purpose_find(request, &s->purpose);
	struct str before;

	*refusal_r = EL_FEATURE_NOT_IMPLEMENTED;
	if (!purpose_is_on(o, s->purpose))
		return false;
	if (s->purpose != FOR_EPHEMERAL)
		return true;
	*refusal_r = EL_BAD_REQUEST;
	before = elem_attr_named(e, STR("expire-before"));
	return !str_is_none(before) && clock_parse(before, &s->before) == 0 &&
	       s->before > clock_real();
}

int64_t
slot_end(const struct upload_options *o, const struct slot *s)
{
	int64_t now = clock_real(), end = now + (int64_t)o->keep_ms;

	switch (s->purpose) {
	case FOR_PROFILE:
		return now + (int64_t)o->profile_keep_ms;
	case FOR_PERMANENT:
		return now + FOREVER_MS;
	case FOR_EPHEMERAL:
		return MIN(end, s->before);
	default:
		return end;
	}
}
