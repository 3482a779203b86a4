/* SPDX-License-Identifier: MIT */
/* XEP-0390's own examples, and what must not be hashed. */
#include "xep/0390-caps.h"
#include "xml/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char simple[] =
    "<query xmlns='http://jabber.org/protocol/disco#info'>"
    "<identity category='client' name='BombusMod' type='mobile'/>"
    "<feature var='http://jabber.org/protocol/si'/>"
    "<feature var='http://jabber.org/protocol/bytestreams'/>"
    "<feature var='http://jabber.org/protocol/chatstates'/>"
    "<feature var='http://jabber.org/protocol/disco#info'/>"
    "<feature var='http://jabber.org/protocol/disco#items'/>"
    "<feature var='urn:xmpp:ping'/>"
    "<feature var='jabber:iq:time'/>"
    "<feature var='jabber:iq:privacy'/>"
    "<feature var='jabber:iq:version'/>"
    "<feature var='http://jabber.org/protocol/rosterx'/>"
    "<feature var='urn:xmpp:time'/>"
    "<feature var='jabber:x:oob'/>"
    "<feature var='http://jabber.org/protocol/ibb'/>"
    "<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
    "<feature var='urn:xmpp:receipts'/>"
    "<feature var='jabber:iq:roster'/>"
    "<feature var='jabber:iq:last'/>"
    "</query>";

static const char complex_one[] =
    "<query xmlns='http://jabber.org/protocol/disco#info'>"
    "<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>"
    "<identity category='client' name='Ткаббер' type='pc' xml:lang='ru'/>"
    "<feature var='games:board'/>"
    "<feature var='http://jabber.org/protocol/activity'/>"
    "<feature var='http://jabber.org/protocol/activity+notify'/>"
    "<feature var='http://jabber.org/protocol/bytestreams'/>"
    "<feature var='http://jabber.org/protocol/chatstates'/>"
    "<feature var='http://jabber.org/protocol/commands'/>"
    "<feature var='http://jabber.org/protocol/disco#info'/>"
    "<feature var='http://jabber.org/protocol/disco#items'/>"
    "<feature var='http://jabber.org/protocol/evil'/>"
    "<feature var='http://jabber.org/protocol/feature-neg'/>"
    "<feature var='http://jabber.org/protocol/geoloc'/>"
    "<feature var='http://jabber.org/protocol/geoloc+notify'/>"
    "<feature var='http://jabber.org/protocol/ibb'/>"
    "<feature var='http://jabber.org/protocol/iqibb'/>"
    "<feature var='http://jabber.org/protocol/mood'/>"
    "<feature var='http://jabber.org/protocol/mood+notify'/>"
    "<feature var='http://jabber.org/protocol/rosterx'/>"
    "<feature var='http://jabber.org/protocol/si'/>"
    "<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
    "<feature var='http://jabber.org/protocol/tune'/>"
    "<feature var='http://www.facebook.com/xmpp/messages'/>"
    "<feature "
    "var='http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify'/>"
    "<feature var='jabber:iq:avatar'/>"
    "<feature var='jabber:iq:browse'/>"
    "<feature var='jabber:iq:dtcp'/>"
    "<feature var='jabber:iq:filexfer'/>"
    "<feature var='jabber:iq:ibb'/>"
    "<feature var='jabber:iq:inband'/>"
    "<feature var='jabber:iq:jidlink'/>"
    "<feature var='jabber:iq:last'/>"
    "<feature var='jabber:iq:oob'/>"
    "<feature var='jabber:iq:privacy'/>"
    "<feature var='jabber:iq:roster'/>"
    "<feature var='jabber:iq:time'/>"
    "<feature var='jabber:iq:version'/>"
    "<feature var='jabber:x:data'/>"
    "<feature var='jabber:x:event'/>"
    "<feature var='jabber:x:oob'/>"
    "<feature var='urn:xmpp:avatar:metadata+notify'/>"
    "<feature var='urn:xmpp:ping'/>"
    "<feature var='urn:xmpp:receipts'/>"
    "<feature var='urn:xmpp:time'/>"
    "<x xmlns='jabber:x:data' type='result'>"
    "<field type='hidden' var='FORM_TYPE'>"
    "<value>urn:xmpp:dataforms:softwareinfo</value>"
    "</field>"
    "<field var='software'>"
    "<value>Tkabber</value>"
    "</field>"
    "<field var='software_version'>"
    "<value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value>"
    "</field>"
    "<field var='os'>"
    "<value>Windows</value>"
    "</field>"
    "<field var='os_version'>"
    "<value>XP</value>"
    "</field>"
    "</x>"
    "</query>";

#define QUERY(x) \
	"<query xmlns='http://jabber.org/protocol/disco#info'>" x "</query>"
#define FORM(x) "<x xmlns='jabber:x:data' type='result'>" x "</x>"
#define TYPE "<field type='hidden' var='FORM_TYPE'><value>urn:x</value></field>"

static const struct {
	const char *xml, *algo, *hash;
} cases[] = {
	{ simple, "sha-256", "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=" },
	{ simple, "sha3-256", "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=" },
	{ complex_one, "sha-256",
	    "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=" },
	{ complex_one, "sha3-256",
	    "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=" },
	{ simple, "sha-1", NULL },
	{ simple, "no-hash", NULL },
	{ QUERY("<other/>"), "sha-256", NULL },
	{ QUERY(FORM("<field var='os'><value>x</value></field>")), "sha-256",
	    NULL },
	{ QUERY(FORM(TYPE "<reported/>")), "sha-256", NULL },
	{ QUERY(FORM(TYPE "<item/>")), "sha-256", NULL },
};

static void
hashes(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena *a = arena_new(0);
		struct elem *query =
		    xml_parse(a, str_c(cases[i].xml), NULL, NS_NONE, NULL);
		struct str hash = caps2_hash(a, query, str_c(cases[i].algo));

		assert_non_null(query);
		if (cases[i].hash == NULL)
			assert_true(str_is_none(hash));
		else
			assert_true(str_is(hash, cases[i].hash));
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes),
	};

	names_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
