# SPDX-License-Identifier: MIT
"""Privileged components (XEP-0356): what is granted, and nothing else."""

import pytest

from harness.client import Failure
from harness.component import Component

pytestmark = pytest.mark.workers(1, 3)

GATE, POOR = "gate.localhost", "poor.localhost"
NS = "urn:xmpp:privilege:2"
PUBSUB = "http://jabber.org/protocol/pubsub"
ROSTER = "<query xmlns='jabber:iq:roster'/>"


@pytest.fixture
def server(make_server, event_loop):
    made = make_server({
        "components": [{"host": GATE, "secret": "gate"},
                       {"host": POOR, "secret": "poor"}],
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
             "starttls": "optional"},
            {"type": "component", "ip": "127.0.0.1", "port": "component"},
        ],
        "host_config": {"localhost": {"modules": {"privilege": {
            "roster_get": [GATE], "roster_set": [GATE], "message": [GATE],
            "presence": [GATE],
            "iq": [f"{GATE} both {PUBSUB}", f"{GATE} get urn:xmpp:ping"],
        }}}},
    })
    event_loop.run_until_complete(made.start())
    return made


async def component(server, domain):
    return await Component(domain, domain.split(".", maxsplit=1)[0]).login(
        server.port["component"])


async def fails(condition, asking):
    with pytest.raises(Failure) as caught:
        await asking
    assert condition in str(caught.value), caught.value


def is_privilege(elem):
    return elem.find("privilege", NS) is not None


def has_body(text):
    return lambda e: e.name == "message" and e.find("body") is not None \
        and e.find("body").text == text


async def test_advertised(server):
    gate = await component(server, GATE)
    got = await gate.take(is_privilege)
    assert got.get("from") == "localhost" and got.get("to") == GATE
    perms = {p.get("access"): p for p in got.find("privilege", NS).elems()}
    assert perms["roster"].get("type") == "both"
    assert perms["roster"].get("push") == "true"
    assert perms["message"].get("type") == "outgoing"
    assert perms["presence"].get("type") == "managed_entity"
    assert [(n.get("ns"), n.get("type")) for n in perms["iq"].elems()] == [
        (PUBSUB, "both"), ("urn:xmpp:ping", "get")]
    # Who has none is told nothing.
    poor = await component(server, POOR)
    await poor.ping("localhost")
    assert not poor.wire.events


async def test_roster(server):
    gate = await component(server, GATE)
    juliet = await server.client("juliet")
    await juliet.ask(ROSTER)
    answer = await gate.ask(ROSTER, to=juliet.bare)
    assert answer.get("from") == juliet.bare
    assert not answer.find("query").elems()
    await gate.ask("<query xmlns='jabber:iq:roster'><item jid='nurse@gate."
                   "localhost' name='Nurse'/></query>", "set", juliet.bare)
    pushed = await juliet.take(lambda e: e.find("query") is not None
                               and e.get("type") == "set")
    assert pushed.find("query").elems()[0].get("name") == "Nurse"
    pushed = await gate.take(lambda e: e.get("type") == "set")
    assert pushed.get("from") == juliet.bare and pushed.get("to") == GATE
    assert pushed.find("query").elems()[0].get("jid") == "nurse@gate.localhost"
    # By her own hand, too, and when it is removed.
    await juliet.ask("<query xmlns='jabber:iq:roster'><item jid='nurse@gate."
                     "localhost' subscription='remove'/></query>", "set")
    pushed = await gate.take(lambda e: e.get("type") == "set")
    item = pushed.find("query").elems()[0]
    assert item.get("subscription") == "remove"
    # An error is as she would have got it.
    await fails("bad-request", gate.ask(ROSTER, "set", juliet.bare))


async def test_roster_of_those_offline(server):
    gate = await component(server, GATE)
    await server.register("romeo")
    await gate.ask("<query xmlns='jabber:iq:roster'><item jid='a@b.example'/>"
                   "</query>", "set", "romeo@localhost")
    answer = await gate.ask(ROSTER, to="romeo@localhost")
    assert answer.find("query").elems()[0].get("jid") == "a@b.example"


async def test_roster_refused(server):
    poor = await component(server, POOR)
    gate = await component(server, GATE)
    juliet = await server.client("juliet")
    romeo = await server.client("romeo")
    for kind in ("get", "set"):
        await fails("forbidden", poor.ask(ROSTER, kind, juliet.bare))
        await fails("forbidden", romeo.ask(ROSTER, kind, juliet.bare))
    # Somebody at the component is not the component.
    await fails("forbidden", gate.ask(ROSTER, to=juliet.bare,
                                      sender=f"x@{GATE}"))
    # A host where nothing is granted.
    await server.register("mercutio", "capulet.example")
    await fails("forbidden", gate.ask(ROSTER, to="mercutio@capulet.example"))


def wrapped(inner, sender=GATE, to="localhost"):
    return (f"<message from='{sender}' to='{to}' id='w'><privilege "
            f"xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>{inner}"
            "</forwarded></privilege></message>")


def inner_message(sender, to, body):
    return (f"<message xmlns='jabber:client' from='{sender}' to='{to}' "
            f"type='chat' id='i'><body>{body}</body></message>")


async def test_message(server):
    gate = await component(server, GATE)
    juliet = await server.client("juliet")
    romeo = await server.client("romeo")
    juliet.send("<presence/>")
    romeo.send("<presence/>")
    await juliet.ask("<enable xmlns='urn:xmpp:carbons:2'/>", "set")
    gate.send(wrapped(inner_message(juliet.bare, romeo.bare, "for her")))
    got = await romeo.take(has_body("for her"))
    assert got.get("from") == juliet.bare and got.get("id") == "i"
    # Her clients have a copy, and her archive.
    await juliet.take(lambda e: e.find("sent", "urn:xmpp:carbons:2")
                      is not None and "for her" in str(e))
    await juliet.ask("<query xmlns='urn:xmpp:mam:2'/>", "set")
    assert any("for her" in str(e) for e in juliet.wire.events)
    gate.send(wrapped(inner_message("localhost", romeo.bare, "by the host")))
    got = await romeo.take(has_body("by the host"))
    assert got.get("from") == "localhost"


async def test_message_refused(server):
    gate = await component(server, GATE)
    poor = await component(server, POOR)
    romeo = await server.client("romeo")
    await server.register("juliet")

    async def refused(one, text, condition):
        one.send(text)
        got = await one.take(lambda e: e.get("type") == "error")
        assert condition in str(got), got
    good = inner_message("juliet@localhost", romeo.jid, "no")
    await refused(poor, wrapped(good, POOR), "forbidden")
    await refused(gate, wrapped(good, f"x@{GATE}"), "forbidden")
    await refused(gate, wrapped(good, to="capulet.example"),
                  "service-unavailable")
    for sender in ("juliet@localhost/balcony", "juliet@capulet.example",
                   "juliet@elsewhere.example", "nobody@localhost", GATE):
        await refused(gate, wrapped(inner_message(sender, romeo.jid, "no")),
                      "forbidden")
    await refused(gate, wrapped(""), "bad-request")
    await refused(gate, wrapped("<iq xmlns='jabber:client' type='get' id='1'"
                                "/>"), "bad-request")
    romeo.send(wrapped(good).replace(f" from='{GATE}'", ""))
    await romeo.take(lambda e: "forbidden" in str(e))
    await romeo.ping()
    assert not romeo.wire.events


def privileged(inner):
    return f"<privileged_iq xmlns='{NS}'>{inner}</privileged_iq>"


PING = ("<iq xmlns='jabber:client' type='{kind}' id='in'{more}>"
        "<ping xmlns='urn:xmpp:ping'/></iq>")


async def test_iq(server):
    gate = await component(server, GATE)
    juliet = await server.client("juliet")
    romeo = await server.client("romeo")
    answer = await gate.ask(privileged(PING.format(
        kind="get", more=" to='localhost'")), to=juliet.bare)
    assert answer.get("from") == juliet.bare
    forwarded = answer.find("privilege", NS).find("forwarded")
    inner = forwarded.elems()[0]
    assert inner.get("type") == "result" and inner.get("from") == "localhost"
    assert inner.get("to") == juliet.bare and inner.ns == "jabber:client"
    # What she may do to her own: publish.
    await gate.ask(privileged(
        f"<iq xmlns='jabber:client' type='set' id='p' from='{juliet.bare}'>"
        f"<pubsub xmlns='{PUBSUB}'><publish node='urn:x:tune'><item id='1'>"
        "<tune xmlns='urn:x:tune'/></item></publish></pubsub></iq>"),
        "set", juliet.bare)
    got = await juliet.ask(f"<pubsub xmlns='{PUBSUB}'><items "
                           "node='urn:x:tune'/></pubsub>")
    assert "<tune" in str(got)
    # To another, whose client answers.
    gate.send(f"<iq type='get' id='far' from='{GATE}' to='{juliet.bare}'>" +
              privileged(PING.format(kind="get", more=f" to='{romeo.jid}'"))
              + "</iq>")
    asked = await romeo.take(lambda e: e.name == "iq")
    assert asked.get("from") == juliet.bare
    romeo.send(f"<iq type='error' id='{asked.get('id')}' to='{juliet.bare}'>"
               "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:"
               "ns:xmpp-stanzas'/></error></iq>")
    answer = await gate.take(lambda e: e.get("id") == "far")
    assert answer.get("type") == "result"
    assert "not-allowed" in str(answer) and "type='error'" in str(answer)
    assert "id='in'" in str(answer)


async def test_iq_refused(server):
    gate = await component(server, GATE)
    poor = await component(server, POOR)
    juliet = await server.client("juliet")
    juliet.send("<presence/>")
    good = privileged(PING.format(kind="get", more=" to='localhost'"))
    await fails("forbidden", poor.ask(good, to=juliet.bare))
    await fails("forbidden", gate.ask(good, to=juliet.jid))
    await fails("forbidden", gate.ask(good, to="localhost"))
    await fails("forbidden", gate.ask(good, "set", juliet.bare))
    await fails("forbidden", gate.ask(good, to=juliet.bare,
                                      sender=f"x@{GATE}"))
    for inner in (
            PING.format(kind="set", more=""),
            PING.format(kind="get", more=" from='romeo@localhost'"),
            PING.format(kind="get", more=f" from='{juliet.jid}'"),
            PING.format(kind="get", more="").replace("urn:xmpp:ping",
                                                     "urn:x:other"),
            PING.format(kind="get", more="").replace(
                " xmlns='jabber:client'", ""),
            "<iq xmlns='jabber:client' type='get' id='1'/>", ""):
        await fails("forbidden", gate.ask(privileged(inner), to=juliet.bare))
    # The type that is not granted.
    await fails("forbidden", gate.ask(
        privileged(PING.format(kind="set", more="")), "set", juliet.bare))
    await fails("forbidden", juliet.ask(good, to="localhost"))
    await juliet.ping()


async def test_presence(server):
    juliet = await server.client("juliet")
    juliet.send("<presence><show>away</show></presence>")
    await juliet.ping()
    gate = await component(server, GATE)
    poor = await component(server, POOR)
    # Who was there before.
    got = await gate.take(lambda e: e.name == "presence")
    assert got.get("from") == juliet.jid and got.get("to") == GATE
    assert got.find("show").text == "away"
    romeo = await server.client("romeo")
    romeo.send("<presence id='p'/>")
    got = await gate.take(lambda e: e.name == "presence")
    assert got.get("from") == romeo.jid and not got.get("type")
    # Nothing between first and last.
    romeo.send("<presence><show>dnd</show></presence>")
    romeo.send("<presence to='x@nowhere.example' type='subscribe'/>")
    romeo.send("<presence type='unavailable'/>")
    got = await gate.take(lambda e: e.name == "presence")
    assert got.get("from") == romeo.jid and got.get("type") == "unavailable"
    juliet.cut()
    got = await gate.take(lambda e: e.name == "presence")
    assert got.get("from") == juliet.jid and got.get("type") == "unavailable"
    await poor.ping("localhost")
    assert not poor.wire.events


async def test_reload_and_unload(server):
    gate = await component(server, GATE)
    await gate.take(is_privilege)
    settings = server.overrides["host_config"]["localhost"]["modules"]
    settings["privilege"] = {"message": [GATE]}
    server.write_config()
    await server.ctl_ok("reload_config")
    got = await gate.take(is_privilege)
    assert [p.get("access") for p in got.find("privilege", NS).elems()] == [
        "message"]
    juliet = await server.client("juliet")
    await fails("forbidden", gate.ask(ROSTER, to=juliet.bare))
    await server.ctl_ok("module_unload", "privilege")
    await fails("forbidden", gate.ask(ROSTER, to=juliet.bare))


async def test_wrong_row_is_told(make_server):
    server = make_server({"host_config": {"localhost": {"modules": {
        "privilege": {"iq": [f"{GATE} all"]}}}}})
    server.announce("grants nothing")
    await server.start()
    await server.log_line("grants nothing")
