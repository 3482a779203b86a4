# SPDX-License-Identifier: MIT
"""XEP-0033 across servers: once to a service that is there, to each where
there is none, and for nobody who is a stranger."""

import pytest

from harness.federation import Peer, is_error, is_message
from harness.wire import PATIENCE

pytestmark = pytest.mark.workers(2)

NS = "http://jabber.org/protocol/address"
DISCO = "http://jabber.org/protocol/disco"
WITH = {"modules": {"multicast": {}, "disco": {}, "ping": {}},
        "services": ["multicast"]}


def message(service, text, *addresses):
    rows = "".join(f"<address type='{kind}' jid='{jid}'/>"
                   for kind, jid in addresses)
    return (f"<message to='{service}' type='chat' id='{text}'><addresses "
            f"xmlns='{NS}'>{rows}</addresses><body>{text}</body></message>")


def addresses(elem):
    return [(e.get("type"), e.get("jid"), e.get("delivered"))
            for e in elem.find("addresses", NS).elems()]


async def test_between_services(federation):
    a, b = await federation.start(**WITH)
    juliet, romeo = await federation.users()
    nurse = await a.client("nurse", host="a.test")
    paris = await b.client("paris", host="b.test")
    tybalt = await b.client("tybalt", host="b.test")
    everyone = (romeo, nurse, paris, tybalt)
    for text in ("one", "two"):
        juliet.send(message(
            "multicast.a.test", text, ("to", romeo.jid), ("cc", nurse.jid),
            ("cc", paris.jid), ("bcc", tybalt.jid)))
        for client in everyone:
            got = await client.take(is_message(text))
            assert got.get("from") == juliet.jid
            assert got.get("to") == client.jid
            seen = [("to", romeo.jid, "true"), ("cc", nurse.jid, "true"),
                    ("cc", paris.jid, "true")]
            if client is tybalt:
                seen.append(("bcc", tybalt.jid, "true"))
            assert addresses(got) == seen
    # It went by the other's service.
    assert "multicast.b.test" in await a.ctl_ok("list_outgoing_s2s")
    # Failures come from where they are, once.
    juliet.send(message("multicast.a.test", "lost", ("to", romeo.jid),
                        ("to", "nobody@b.test")))
    await romeo.take(is_message("lost"))
    got = await juliet.take(is_error("service-unavailable"))
    assert got.get("from") == "nobody@b.test" and got.get("id") == "lost"
    for client in (juliet, *everyone):
        await client.ping()
        assert not client.wire.events


async def test_no_relay(federation):
    """Of another server's user all is refused if one of it is not for us."""
    a, _ = await federation.start(**WITH)
    juliet, romeo = await federation.users()
    for third in ("x@c.test", "paris@b.test"):
        romeo.send(message("multicast.a.test", third, ("to", juliet.jid),
                           ("cc", third)))
        got = await romeo.take(is_error("forbidden"))
        assert got.get("id") == third
    # What has been there already is no matter of ours.
    romeo.send(message("multicast.a.test", "in", ("to", juliet.jid)).replace(
        "</addresses>", "<address type='cc' jid='x@c.test' delivered='true'/>"
        "</addresses>"))
    got = await juliet.take(is_message("in"))
    assert addresses(got) == [("to", juliet.jid, "true"),
                              ("cc", "x@c.test", "true")]
    await juliet.ping()
    assert not juliet.wire.events
    # His presence is taken back when he goes.
    romeo.send(f"<presence to='multicast.a.test'><addresses xmlns='{NS}'>"
               f"<address type='to' jid='{juliet.jid}'/></addresses>"
               "</presence>")
    got = await juliet.take(lambda e: e.name == "presence")
    assert got.get("from") == romeo.jid and got.get("type") is None
    await romeo.leave()
    got = await juliet.take(lambda e: e.name == "presence")
    assert got.get("from") == romeo.jid and got.get("type") == "unavailable"


class Asked:
    """b.test by hand, behind one stream that carries its answers, too."""

    def __init__(self, visit):
        self.visit = visit

    async def question(self, what, to="b.test"):
        got = await self.visit.elem()
        assert got.name == "iq" and got.get("type") == "get", str(got)
        assert got.get("from") == "a.test" and got.get("to") == to
        assert got.find("query", f"{DISCO}#{what}") is not None
        return got

    def answer(self, iq, what, payload):
        self.visit.send(
            f"<iq type='result' id='{iq.get('id')}' from='{iq.get('to')}' "
            f"to='a.test'><query xmlns='{DISCO}#{what}'>{payload}</query>"
            "</iq>")


async def let_in(federation, authority, folder, domains=("b.test",)):
    a, = await federation.start(domains=("a.test",), **WITH)
    pem = authority.issue(str(folder / "b.pem"), *domains)
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    juliet.send(message("multicast.a.test", "m0", ("to", "x@b.test"),
                        ("to", "y@b.test"), ("bcc", "z@b.test"),
                        ("replyto", "r@b.test")))
    visit = await peer.visit()
    await visit.let_in(before="<bidi xmlns='urn:xmpp:features:bidi'/>")
    return juliet, peer, Asked(visit)


async def test_server_with_it(federation, authority, tmp_path):
    """The domain itself takes it: one stanza, as the sender wrote it."""
    juliet, peer, asked = await let_in(federation, authority, tmp_path)
    asked.answer(await asked.question("info"), "info",
                 f"<feature var='{NS}'/>")
    juliet.send(message("multicast.a.test", "m1", ("to", "x@b.test"),
                        ("cc", "y@b.test"), ("cc", "q@a.test")))
    got = await asked.visit.elem()
    assert got.get("to") == "b.test" and got.get("from") == juliet.jid
    assert addresses(got) == [("to", "x@b.test", None),
                              ("to", "y@b.test", None),
                              ("bcc", "z@b.test", None),
                              ("replyto", "r@b.test", None)]
    # It is known now.
    got = await asked.visit.elem()
    assert got.get("to") == "b.test"
    assert addresses(got) == [("to", "x@b.test", None),
                              ("cc", "y@b.test", None),
                              ("cc", "q@a.test", "true")]
    peer.close()


@pytest.mark.parametrize("items", [
    None, "", "<item jid='multicast.evil.test'/><item jid='evilb.test'/>"
    "<item jid='u@m.b.test'/><item jid='m.b.test/r'/><item jid='@'/><item/>"
    "<item jid='b.test'/>"], ids=["error", "none", "strangers"])
async def test_server_without_it(federation, authority, tmp_path, items):
    """Each gets his own; services of others are not asked."""
    juliet, peer, asked = await let_in(federation, authority, tmp_path)
    # Meanwhile another one: it waits behind the first.
    juliet.send(message("multicast.a.test", "m1", ("to", "x@b.test"),
                        ("to", "y@b.test")))
    iq = await asked.question("info")
    if items is None:
        asked.visit.send(
            f"<iq type='error' id='{iq.get('id')}' from='b.test' to='a.test'>"
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:"
            "xml:ns:xmpp-stanzas'/></error></iq>")
    else:
        asked.answer(iq, "info", "<feature var='x'/>")
        asked.answer(await asked.question("items"), "items", items)
    seen = []
    for _ in range(5):
        got = await asked.visit.elem()
        assert got.name == "message", str(got)
        seen.append((got.get("id"), got.get("to")))
        blind = [a for a in addresses(got) if a[0] == "bcc"]
        assert blind == ([("bcc", "z@b.test", "true")]
                         if got.get("to") == "z@b.test" else [])
    assert sorted(seen[:3]) == [("m0", f"{u}@b.test") for u in "xyz"]
    assert sorted(seen[3:]) == [("m1", f"{u}@b.test") for u in "xy"]
    # And it is known, too.
    juliet.send(message("multicast.a.test", "m2", ("to", "x@b.test"),
                        ("to", "y@b.test")))
    for _ in range(2):
        assert (await asked.visit.elem()).get("id") == "m2"
    peer.close()


async def test_waiting_is_bounded(federation, authority, tmp_path):
    juliet, peer, asked = await let_in(federation, authority, tmp_path)
    iq = await asked.question("info")
    for i in range(1, 101):
        juliet.send(message("multicast.a.test", f"m{i}", ("to", "x@b.test"),
                            ("to", "y@b.test")))
    got = await juliet.take(is_error("resource-constraint"), PATIENCE)
    assert got.get("id") == "m100"
    asked.answer(iq, "info", f"<feature var='{NS}'/>")
    for i in range(100):
        assert (await asked.visit.elem()).get("id") == f"m{i}"
    peer.close()
