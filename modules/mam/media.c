/* SPDX-License-Identifier: MIT */
/* Links to media in a message: XEP-0447, XEP-0066. */
#include "modules/mam/mam.h"

/* For links that come without a type: by the end of the path. */
static const struct {
	const char *suffix, *type;
} types[] = {
	{ ".jpg", "image/jpeg" },
	{ ".jpeg", "image/jpeg" },
	{ ".png", "image/png" },
	{ ".gif", "image/gif" },
	{ ".webp", "image/webp" },
	{ ".avif", "image/avif" },
	{ ".heic", "image/heic" },
	{ ".mp4", "video/mp4" },
	{ ".webm", "video/webm" },
	{ ".mov", "video/quicktime" },
	{ ".mkv", "video/x-matroska" },
	{ ".ogg", "audio/ogg" },
	{ ".oga", "audio/ogg" },
	{ ".opus", "audio/ogg" },
	{ ".mp3", "audio/mpeg" },
	{ ".m4a", "audio/mp4" },
};

static struct str
type_by_name(struct str url)
{
	struct str path = str_cut(&url, '?');

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct str suffix = str_c(types[i].suffix);

		if (path.n > suffix.n &&
		    str_eq_nocase(str_skip(path, path.n - suffix.n), suffix))
			return str_c(types[i].type);
	}
	return STR_NONE;
}

void
mam_media(const struct elem *message, struct archive_item *item)
{
	const struct elem *sharing = elem_child(message, EL_FILE_SHARING);
	const struct elem *source =
	    elem_child(elem_child(sharing, EL_FILE_SOURCES), EL_URL_DATA);
	struct str url = elem_attr(source, AT_TARGET);

	if (url.n > 0)
		item->media_type = elem_child_text(
		    elem_child(sharing, EL_FILE), EL_FILE_MEDIA_TYPE);
	else
		url = elem_child_text(elem_child(message, EL_OOB), EL_OOB_URL);
	if (!str_has_prefix(url, STR("https://")) &&
	    !str_has_prefix(url, STR("http://")))
		return;
	item->media_url = url;
	if (item->media_type.n == 0)
		item->media_type = type_by_name(url);
}
