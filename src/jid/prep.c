/* SPDX-License-Identifier: MIT */
/*
 * Preparation of the parts of an address. Plain ASCII, which nearly all of
 * them are, is only looked at; the rest goes through libidn and libidn2.
 *
 * Both libraries are handed valid UTF-8 without NUL only (CVE-2015-2059),
 * and what they answer must prepare to itself, so that a prepared address
 * may be compared and prepared again.
 */
#include "base/err.h"
#include "jid/jid.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stringprep.h>

#define LABEL_MAX 63
#define SECRET_MAX 4096 /* of SASLprep, when it is not plain ASCII */

#define BIT(c) (UINT64_C(1) << ((c)&63))

/* ASCII that Nodeprep leaves alone: no capitals, no space, no "&'/:<>@. */
static bool
is_plain_local(struct str s)
{
	static const uint64_t set[2] = {
		(UINT64_MAX << 0x21) &
		    ~(BIT('"') | BIT('&') | BIT('\'') | BIT('/') | BIT(':') |
			BIT('<') | BIT('>')),
		(UINT64_MAX << ('[' & 63)) & ~BIT(0x7f),
	};

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c > 0x7f || (set[c >> 6] & BIT(c)) == 0)
			return false;
	}
	return true;
}

/* ASCII that Resourceprep and SASLprep leave alone. */
static bool
is_plain_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	}
	return true;
}

/* Letters, digits and hyphens in labels of the right length. */
static bool
is_plain_domain(struct str s)
{
	while (!str_is_none(s)) {
		struct str label = str_cut(&s, '.');

		if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++) {
			char c = label.p[i];

			if (!(c >= 'a' && c <= 'z') &&
			    !(c >= '0' && c <= '9') && c != '-')
				return false;
		}
	}
	return true;
}

/* Is any label in the ASCII form of something else? */
static bool
has_alabel(struct str s)
{
	while (!str_is_none(s)) {
		if (str_has_prefix(str_cut(&s, '.'), STR("xn--")))
			return true;
	}
	return false;
}

static bool
is_fit_for_libraries(struct str s)
{
	return str_is_utf8(s) && str_find(s, '\0') == s.n;
}

/* Prepares the text in `p` (of `size` bytes, ended by NUL), twice. */
static bool
prep_stable(char *p, size_t size, const Stringprep_profile *profile)
{
	char again[SECRET_MAX];

	must(size <= sizeof(again));
	if (stringprep(p, size, 0, profile) != STRINGPREP_OK)
		return false;
	memcpy(again, p, strlen(p) + 1);
	return stringprep(again, size, 0, profile) == STRINGPREP_OK &&
	       strcmp(again, p) == 0;
}

static int
prep(struct arena *a, struct str text, size_t max,
    const Stringprep_profile *profile, struct str *part_r)
{
	char p[SECRET_MAX];

	*part_r = STR_NONE;
	if (text.n == 0 || text.n > max || !is_fit_for_libraries(text))
		return ERR_INVALID;
	memcpy(p, text.p, text.n);
	p[text.n] = '\0';
	if (!prep_stable(p, max + 1, profile) || p[0] == '\0')
		return ERR_INVALID;
	*part_r = str_dup(a, str_c(p));
	return 0;
}

int
jid_prep_local(struct arena *a, struct str text, struct str *part_r)
{
	if (text.n > 0 && text.n <= JID_PART_MAX && is_plain_local(text)) {
		*part_r = text;
		return 0;
	}
	return prep(a, text, JID_PART_MAX, stringprep_xmpp_nodeprep, part_r);
}

int
jid_prep_resource(struct arena *a, struct str text, struct str *part_r)
{
	if (text.n > 0 && text.n <= JID_PART_MAX && is_plain_text(text)) {
		*part_r = text;
		return 0;
	}
	return prep(
	    a, text, JID_PART_MAX, stringprep_xmpp_resourceprep, part_r);
}

int
jid_saslprep(struct arena *a, struct str text, struct str *text_r)
{
	if (text.n > 0 && is_plain_text(text)) {
		*text_r = text;
		return 0;
	}
	return prep(a, text, SECRET_MAX - 1, stringprep_saslprep, text_r);
}

bool
jid_is_assigned(struct str part)
{
	char p[JID_PART_MAX + 1];

	if (is_plain_text(part))
		return true;
	if (part.n > JID_PART_MAX || !is_fit_for_libraries(part))
		return false;
	memcpy(p, part.p, part.n);
	p[part.n] = '\0';
	return stringprep(p, sizeof(p), STRINGPREP_NO_UNASSIGNED,
		   stringprep_xmpp_resourceprep) == STRINGPREP_OK;
}

/* "[::1]" in the one form that RFC 5952 knows for it. */
static int
prep_ip6(struct arena *a, struct str text, struct str *part_r)
{
	struct str inner = str_sub(text, 1, text.n - 2);
	char address[INET6_ADDRSTRLEN];
	struct in6_addr ip;

	if (text.n < 4 || text.p[text.n - 1] != ']' ||
	    inner.n >= sizeof(address) || str_find(inner, '\0') < inner.n)
		return ERR_INVALID;
	memcpy(address, inner.p, inner.n);
	address[inner.n] = '\0';
	if (inet_pton(AF_INET6, address, &ip) != 1 ||
	    inet_ntop(AF_INET6, &ip, address, sizeof(address)) == NULL)
		return ERR_INVALID;
	if (str_is(inner, address))
		*part_r = text;
	else
		*part_r = str_printf(a, "[%s]", address);
	return 0;
}

/* The ASCII form of a domain, in the arena; none if it has none. */
static struct str
to_ascii(struct arena *a, const char *text)
{
	char *ascii = NULL;
	struct str result = STR_NONE;
	int flags = IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL;

	if (idn2_to_ascii_8z(text, &ascii, flags) == IDN2_OK)
		result = str_dup(a, str_c(ascii));
	idn2_free(ascii);
	if (str_has_suffix(result, STR(".")))
		result.n--;
	return is_plain_domain(result) ? result : STR_NONE;
}

/*
 * By the ASCII form to Unicode, so that both forms of a name, and all that
 * maps to it, become the same.
 */
static int
prep_idn(struct arena *a, struct str text, struct str *part_r)
{
	struct str ascii = to_ascii(a, str_dup_c(a, text)), again;
	char *unicode = NULL;
	int ret = ERR_INVALID;

	if (str_is_none(ascii))
		return ret;
	ascii = str_dup(a, ascii); /* ended by NUL, without a last dot */
	if (idn2_to_unicode_8z8z(ascii.p, &unicode, IDN2_NONTRANSITIONAL) ==
	    IDN2_OK) {
		*part_r = str_dup(a, str_c(unicode));
		again = to_ascii(a, part_r->p);
		if (part_r->n <= JID_PART_MAX && str_eq(again, ascii))
			ret = 0;
	}
	idn2_free(unicode);
	return ret;
}

static struct str
lower_case(struct arena *a, struct str text)
{
	char *p = arena_bytes(a, text.n);
	bool is_changed = false;

	for (size_t i = 0; i < text.n; i++) {
		p[i] = text.p[i];
		if (p[i] >= 'A' && p[i] <= 'Z') {
			p[i] = (char)(p[i] - 'A' + 'a');
			is_changed = true;
		}
	}
	return is_changed ? str_mem(p, text.n) : text;
}

int
jid_prep_domain(struct arena *a, struct str text, struct str *part_r)
{
	int ret;

	*part_r = STR_NONE;
	if (text.n > JID_PART_MAX)
		return ERR_INVALID;
	if (text.n > 1 && text.p[text.n - 1] == '.')
		text.n--;
	if (text.n > 0 && text.p[0] == '[')
		return prep_ip6(a, text, part_r);
	if (is_plain_domain(text) && text.n > 0 && !has_alabel(text)) {
		*part_r = text;
		return 0;
	}
	if (text.n == 0 || text.p[text.n - 1] == '.' ||
	    !is_fit_for_libraries(text))
		return ERR_INVALID;
	text = lower_case(a, text);
	if (is_plain_domain(text) && !has_alabel(text)) {
		*part_r = text;
		return 0;
	}
	ret = prep_idn(a, text, part_r);
	if (ret < 0)
		*part_r = STR_NONE;
	return ret;
}
