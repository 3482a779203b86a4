/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <string.h>

static const struct {
	int err;
	const char *text;
} texts[] = {
	{ 0, "success" },
	{ ERR_INVALID, "invalid" },
	{ ERR_LIMIT, "limit reached" },
	{ ERR_ABSENT, "not found" },
	{ ERR_EXISTS, "exists already" },
	{ ERR_STORE, "storage failed" },
	{ ERR_TLS, "TLS failed" },
	{ ERR_CONFIG, "bad configuration" },
	{ ERR_CLOSED, "closed" },
	{ ERR_DENIED, "denied" },
	{ ERR_TIMEOUT, "timed out" },
	{ ERR_UNKNOWN, "can't be told" },
};

const char *
err_text(int err)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i].err == err)
			return texts[i].text;
	}
	return err < 0 && err > ERR_INVALID ? strerror(-err) : "unknown error";
}
