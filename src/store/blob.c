/* SPDX-License-Identifier: MIT */
#include "store/blob.h"

/* What a browser may show in place. */
static bool
is_harmless(struct str type)
{
	static const char *const kinds[] = { "image/jpeg", "image/png",
		"image/gif", "image/webp", "image/avif", "image/heic", "video/",
		"audio/", "text/plain" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_has_prefix(type, str_c(kinds[i])))
			return true;
	return false;
}

struct str
blob_disposition(struct arena *a, const struct blob_meta *meta)
{
	return str_printf(a, "%s; filename*=UTF-8''" STR_FMT,
	    is_harmless(meta->type) ? "inline" : "attachment",
	    STR_ARG(str_percent(a, meta->name)));
}
