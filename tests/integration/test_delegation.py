# SPDX-License-Identifier: MIT
"""Namespaces that a component answers for (XEP-0355)."""

import pytest

from harness.client import Failure
from harness.component import Component
from harness.server import merge
from harness.xml import escape

pytestmark = pytest.mark.workers(1, 3)

GATE = "gate.localhost"
NS = "urn:xmpp:delegation:2"
MOOD = "urn:example:mood"
DISCO = "http://jabber.org/protocol/disco#info"


def settings(**more):
    return merge({
        "components": [{"host": GATE, "secret": "open sesame"}],
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
             "starttls": "optional"},
            {"type": "component", "ip": "127.0.0.1", "port": "component"},
        ],
        "modules": {"disco": {}, "ping": {}, "version": {}, "last": {},
                    "delegation": {"namespaces": [
                        f"{GATE} {MOOD}", f"{GATE} jabber:iq:version",
                        f"{GATE} jabber:iq:last node"]}},
    }, more)


@pytest.fixture
def server(make_server, event_loop):
    made = make_server(settings(), hosts=["localhost"])
    event_loop.run_until_complete(made.start())
    return made


async def gate(server):
    """The component, when it has been told and asked."""
    made = await Component(GATE, "open sesame").login(
        server.port["component"])
    assert await introduced(server, made) == {
        f"{NS}:{kind}:{ns}" for kind in ("", "bare") for ns in
        (MOOD, "jabber:iq:version", "jabber:iq:last")}
    return made


async def introduced(server, made, grants=3):
    """It is told of what is delegated, and asked; the nodes."""
    made.told = None
    asked = set()
    for _ in range(1 + 2 * grants * server.workers):
        elem = await made.elem()
        if elem.name == "message":
            made.told = elem
            continue
        node = elem.find("query").get("node")
        asked.add(node)
        features = {
            f"{NS}::jabber:iq:version": ["jabber:iq:version", "urn:x:host"],
            f"{NS}:bare:{MOOD}": [MOOD, "urn:x:bare"]}.get(node, [])
        made.send(f"<iq type='result' id='{elem.get('id')}' from='{GATE}'"
                  f" to='localhost'><query xmlns='{DISCO}' node='{node}'>" +
                  "".join(f"<feature var='{f}'/>" for f in features) +
                  "</query></iq>")
    return asked


def inner(elem):
    return elem.find("delegation", NS).find("forwarded").find("iq")


def answer(component, elem, body="", **changes):
    """The result, wrapped, as the XEP has it."""
    iq = inner(elem)
    attrs = {"to": iq.get("from"), "id": iq.get("id"), "type": "result",
             **changes}
    attrs = " ".join(f"{k}='{escape(v)}'" for k, v in attrs.items() if v)
    component.send(
        f"<iq type='result' id='{elem.get('id')}' from='{GATE}'"
        f" to='localhost'><delegation xmlns='{NS}'><forwarded"
        f" xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' {attrs}>"
        f"{body}</iq></forwarded></delegation></iq>")


def ask(client, ident, payload, to=None, kind="set"):
    to = f" to='{to}'" if to else ""
    client.send(f"<iq type='{kind}' id='{ident}'{to}>{payload}</iq>")


async def test_answered(server):
    """4.3: to nobody, to the host, to a bare JID; the client can't tell."""
    component = await gate(server)
    listed = [(d.get("namespace"), [a.get("name") for a in d.elems()])
              for d in component.told.find("delegation", NS).elems()]
    assert listed == [(MOOD, []), ("jabber:iq:version", []),
                      ("jabber:iq:last", ["node"])]
    romeo = await server.client("romeo")
    await server.register("juliet")
    for number, to in enumerate((None, "localhost", "juliet@localhost")):
        ask(romeo, f"m{number}", f"<mood xmlns='{MOOD}'><happy/></mood>", to)
        elem = await component.elem()
        assert (elem.get("type"), elem.get("from"), elem.get("to")) == (
            "set", "localhost", GATE)
        iq = inner(elem)
        assert iq.get("from") == romeo.jid and iq.get("type") == "set"
        assert iq.find("mood", MOOD).find("happy") is not None
        answer(component, elem, f"<mood xmlns='{MOOD}'/>")
        result = await romeo.elem()
        assert result.get("type") == "result"
        assert result.get("id") == f"m{number}"
        assert result.find("mood", MOOD) is not None
        assert result.get("from") in (to, romeo.jid.partition("/")[0], None)


async def test_full_jid(server):
    """Only bare ones are delegated."""
    await gate(server)
    romeo = await server.client("romeo")
    ask(romeo, "m", f"<mood xmlns='{MOOD}'/>", romeo.jid)
    assert (await romeo.elem()).get("from") == romeo.jid


async def test_attributes(server):
    """Without the attribute the server does what it always did."""
    component = await gate(server)
    romeo = await server.client("romeo")
    result = await romeo.ask("<query xmlns='jabber:iq:last'/>",
                             to="romeo@localhost")
    assert result.find("query").get("seconds") == "0"
    ask(romeo, "l", "<query xmlns='jabber:iq:last' node='x'/>",
        "romeo@localhost", "get")
    elem = await component.elem()
    assert inner(elem).find("query").get("node") == "x"
    answer(component, elem)
    assert (await romeo.elem()).get("type") == "result"


@pytest.mark.parametrize("changes", [
    {"to": "juliet@localhost/x"}, {"id": "other"}, {"type": "error"},
    {"type": "set"}, {"from": "juliet@localhost"}])
async def test_bad_answers(server, changes):
    """What is not his answer is no answer."""
    component = await gate(server)
    romeo = await server.client("romeo")
    ask(romeo, "m", f"<mood xmlns='{MOOD}'/>")
    answer(component, await component.elem(), **changes)
    error = await romeo.elem()
    assert error.find("error").elems()[0].name == "service-unavailable"


async def test_error_and_absence(server):
    """An error of the component, and no component, look the same."""
    component = await gate(server)
    romeo = await server.client("romeo")
    ask(romeo, "m", f"<mood xmlns='{MOOD}'/>")
    elem = await component.elem()
    component.send(
        f"<iq type='error' id='{elem.get('id')}' from='{GATE}'"
        f" to='localhost'><error type='cancel'><forbidden"
        f" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
    error = await romeo.elem()
    assert error.find("error").elems()[0].name == "service-unavailable"
    component.close()
    for _ in range(500):
        with pytest.raises(Failure) as caught:
            await romeo.ask("<query xmlns='jabber:iq:version'/>",
                            to="localhost")
        if "service-unavailable" in str(caught.value):
            break
        await server.pause(0.02)
    assert "service-unavailable" in str(caught.value)


async def test_its_own(server):
    """4.3.1: what the component sends is the server's business."""
    component = await gate(server)
    component.send(f"<iq type='get' id='v' from='{GATE}' to='localhost'>"
                   f"<query xmlns='jabber:iq:version'/></iq>")
    assert (await component.elem()).find("query").find("name").text == \
        "Rookery"


async def test_reload(server):
    """A component that is there hears what has changed, and is asked."""
    made = await gate(server)
    server.overrides["modules"]["delegation"] = {
        "namespaces": [f"{GATE} {MOOD}"]}
    server.write_config()
    await server.ctl_ok("reload_config")
    assert await introduced(server, made, 1) == {
        f"{NS}::{MOOD}", f"{NS}:bare:{MOOD}"}
    assert [e.get("namespace") for e in made.told.find(
        "delegation", NS).elems()] == [MOOD]
    await shows(server, [("romeo@localhost", {"urn:x:bare", MOOD}, set())])
    await made.ping("localhost")
    assert not made.wire.events


async def test_nested_disco(server):
    """7.2: its features stand where ours of the namespace were."""
    await gate(server)
    await shows(server, [
        ("localhost", {"urn:x:host", "jabber:iq:version", NS},
         {"urn:x:bare"}),
        ("romeo@localhost", {"urn:x:bare", MOOD}, {"urn:x:host"})])


async def shows(server, rows):
    romeo = await server.client("romeo")
    query = f"<query xmlns='{DISCO}'/>"
    for to, has, lacks in rows:
        for _ in range(500):
            found = {f.get("var") for f in (await romeo.ask(
                query, to=to)).find("query").elems()}
            if has <= found:
                break
            await server.pause(0.02)
        assert has <= found and not lacks & found


async def test_settings(make_server):
    """What can't be read is left out, and said."""
    server = make_server(settings(modules={"delegation": {"namespaces": [
        "a@b.example urn:x", "b.example", f"{GATE} {MOOD}"]}}),
                         hosts=["localhost"])
    server.announce("is left out")
    await server.start()
    text = "\n".join(server.lines(0))
    assert "'a@b.example urn:x' is left out" in text
    assert "'b.example' is left out" in text
