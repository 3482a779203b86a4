/* SPDX-License-Identifier: MIT */
/* "STATE UNTIL END SIZE", and owner, name and type, each on a line. */
#include "modules/blob_s3/s3.h"

void
record_put(struct store_write *w, struct mod *m, struct str token,
    const struct record *r)
{
	const struct blob_meta *b = &r->meta;

	kv_put(w, mod_host(m)->jid.full, RECORDS, token,
	    str_printf(store_write_arena(w),
		"%c %lld %lld %llu\n" STR_FMT "\n" STR_FMT "\n" STR_FMT,
		(char)r->state, (long long)r->until, (long long)b->end,
		(unsigned long long)b->size, STR_ARG(b->owner),
		STR_ARG(b->name), STR_ARG(b->type)));
}

bool
record_read(struct str text, struct record *r_r)
{
	struct str first = str_cut(&text, '\n');
	struct str state = str_cut(&first, ' ');

	*r_r = (struct record){ .state = RECORD_THERE };
	r_r->meta.owner = str_cut(&text, '\n');
	r_r->meta.name = str_cut(&text, '\n');
	r_r->meta.type = text;
	if (state.n != 1 || str_is_none(text))
		return false;
	r_r->state = (enum record_state)state.p[0];
	return str_to_i64(str_cut(&first, ' '), &r_r->until) &&
	       str_to_i64(str_cut(&first, ' '), &r_r->meta.end) &&
	       str_to_u64(first, &r_r->meta.size);
}

bool
record_is_open(struct mod *m, const struct record *r)
{
	const struct s3_options *o = mod_options(m);

	return (r->state == RECORD_DIRECT || r->state == RECORD_REMOVED) &&
	       r->until + (int64_t)o->transfer_ms >= clock_real();
}
