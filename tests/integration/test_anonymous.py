# SPDX-License-Identifier: MIT
"""Guests (SASL ANONYMOUS, XEP-0175): what they may, what they may not, and
that nothing is left of them."""

import re

import pytest

from harness.client import Client, Failure
from harness.wire import client_context
from harness.xml import NS_SASL2

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@localhost/")
ROOMS = "conference.localhost"
ROSTER = "<query xmlns='jabber:iq:roster'/>"


def config(**options):
    """Guests at localhost, and not at capulet.example."""
    options = {"rate": "unlimited", **options}
    modules = {"mam": {}, "offline": {}, "disco": {}, "private": {},
               "pep": {}, "vcard": {}, "http_upload": {}, "muc": {},
               "multicast": {},
               "register": {"enabled": True}}
    return {"limits": {"resume": "2s"},
            "listen": [{"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                        "starttls": "optional"},
                       {"type": "c2s", "ip": "127.0.0.1", "port": "tls",
                        "tls": True},
                       {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"},
                       {"type": "http", "ip": "127.0.0.1", "port": "http"}],
            "modules": modules,
            "host_config": {"localhost": {"modules": {
                "anonymous": options}}}}


async def arrive(server, host="localhost"):
    client = Client("nobody", host=host)
    await client.connect(server.port["c2s"])
    await client.open()
    return client


async def enter(server, trace=None):
    client = await arrive(server)
    client.begin_auth("ANONYMOUS", trace)
    await client.sasl_answer("success")
    await client.open()
    await client.bind("trace")
    assert UUID.match(client.jid), client.jid
    return client


def guests(server):
    return server.ctl("registered_users", "localhost")[1].split()


async def gone(server, but=()):
    await server.wait_for(lambda: guests(server) == list(but),
                          "guests to be gone")


async def refused(client, payload, kind="set", to=None,
                  condition="forbidden"):
    with pytest.raises(Failure) as failure:
        await client.ask(payload, kind, to=to)
    assert failure.value.condition == condition, payload


async def test_offered(make_server):
    """Only where the host chose it."""
    server = make_server(config())
    await server.start()
    assert (await arrive(server)).mechanisms()[-1] == "ANONYMOUS"
    client = await arrive(server, "capulet.example")
    assert "ANONYMOUS" not in client.mechanisms()
    client.begin_auth("ANONYMOUS", b"")
    with pytest.raises(Failure) as failure:
        await client.sasl_answer("success")
    assert failure.value.condition == "invalid-mechanism"


async def test_talks(make_server):
    """A guest talks to users and to guests, and is known as one."""
    server = make_server(config())
    await server.start()
    await server.register("romeo")
    romeo = await Client("romeo").login(server.port["c2s"], resource="x")
    romeo.send("<presence/>")
    one, other = await enter(server), await enter(server, b"sirhc")
    assert one.jid != other.jid and "sirhc" not in other.jid
    other.send("<presence/>")
    for to in (romeo, other):
        one.send(f"<message to='{to.jid}' type='chat'><body>hi</body>"
                 "</message>")
        got = await to.take(lambda e: e.name == "message")
        assert got.find("body").text == "hi" and got.get("from") == one.jid
    romeo.send(f"<message to='{one.jid}' type='chat'><body>ho</body>"
               "</message>")
    await one.take(lambda e: e.name == "message")
    for client in (romeo, one):
        answer = await client.ask(
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            to=one.jid.partition("/")[0])
        found = [(i.get("category"), i.get("type"))
                 for i in answer.find("query").elems()
                 if i.name == "identity"]
        assert found == [("account", "anonymous")]
    # A request to another client is a matter of the two.
    one.send(f"<iq type='set' id='j' to='{romeo.jid}'>"
             "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' "
             "sid='a'/></iq>")
    await romeo.take(lambda e: e.name == "iq" and e.get("id") == "j")
    for client in (one, other, romeo):
        await client.leave()
    await gone(server, ["romeo"])


async def test_keeps_nothing(make_server):
    """What would stay is refused, here and with services; so are other
    servers."""
    server = make_server(config())
    await server.start()
    await server.register("romeo")
    romeo = await Client("romeo").login(server.port["c2s"], resource="x")
    romeo.send("<presence/>")
    one = await enter(server)
    one.send("<presence/>")
    assert (await one.ask(ROSTER)).get("type") == "result"
    item = "<query xmlns='jabber:iq:roster'><item jid='romeo@localhost'/></query>"
    await refused(one, item)
    await refused(one, "<query xmlns='jabber:iq:private'><a xmlns='b'/>"
                  "</query>")
    await refused(one, "<vCard xmlns='vcard-temp'/>")
    await refused(one, "<query xmlns='jabber:iq:register'><username>x"
                  "</username><password>y</password></query>",
                  to="localhost")
    await refused(one, "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                  "<publish node='n'><item/></publish></pubsub>")
    await refused(one, "<query xmlns='jabber:iq:register'/>",
                  to=f"verona@{ROOMS}")
    await refused(one, "<request xmlns='urn:xmpp:http:upload:0' "
                  "filename='a' size='1'/>", "get", to="upload.localhost")
    await refused(one, "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
                  to=f"verona@{ROOMS}")
    for kind, to in (("message", "juliet@elsewhere.example"),
                     ("presence", "juliet@elsewhere.example"),
                     ("iq type='get' id='1'", "elsewhere.example")):
        one.send(f"<{kind} to='{to}'><query xmlns='jabber:iq:version'/>"
                 f"</{kind.split()[0]}>")
        got = await one.take(lambda e: e.get("type") == "error")
        assert got.find("error").find("forbidden") is not None, str(got)
    # Nor by way of those who would pass it on.
    for to, inner in (
            ("multicast.localhost",
             "<addresses xmlns='http://jabber.org/protocol/address'>"
             "<address type='to' jid='juliet@elsewhere.example'/>"
             "</addresses>"),
            (f"verona@{ROOMS}",
             "<x xmlns='http://jabber.org/protocol/muc#user'>"
             "<invite to='romeo@localhost'/>"
             "<invite to='juliet@elsewhere.example'/></x>")):
        one.send(f"<message to='{to}'>{inner}</message>")
        got = await one.take(lambda e: e.get("type") == "error")
        assert got.find("error").find("forbidden") is not None, str(got)
    for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
        one.send(f"<presence type='{kind}' to='romeo@localhost'/>")
        got = await one.take(lambda e: e.get("type") == "error")
        assert got.find("error").find("forbidden") is not None, str(got)
    # Who would be a contact of his is told that he isn't.
    bare = one.jid.partition("/")[0]
    romeo.send(f"<presence type='subscribe' to='{bare}'/>")
    got = await romeo.take(lambda e: e.get("type") == "unsubscribed")
    assert got.get("from") == bare
    # No other client gets into it.
    other = Client(bare.partition("@")[0], "secret")
    await other.connect(server.port["c2s"])
    await other.open()
    with pytest.raises(Failure):
        await other.auth("SCRAM-SHA-1")
    other.close()
    await one.leave()
    await gone(server, ["romeo"])
    romeo.send(f"<message to='{bare}' type='chat' id='late'><body>?</body>"
               "</message>")
    got = await romeo.take(lambda e: e.get("id") == "late")
    assert got.get("type") == "error"
    romeo.close()


async def test_room(make_server):
    """A guest is in a room of others, until he goes."""
    server = make_server(config())
    await server.start()
    await server.register("romeo")
    romeo = await Client("romeo").login(server.port["c2s"], resource="x")
    join = "<x xmlns='http://jabber.org/protocol/muc'/></presence>"
    romeo.send(f"<presence to='verona@{ROOMS}/romeo'>{join}")
    await romeo.take(lambda e: e.name == "message")
    await romeo.ask("<query xmlns='http://jabber.org/protocol/muc#owner'>"
                    "<x xmlns='jabber:x:data' type='submit'/></query>",
                    "set", to=f"verona@{ROOMS}")
    one = await enter(server)
    one.send(f"<presence to='verona@{ROOMS}/guest'>{join}")
    one.send(f"<message to='verona@{ROOMS}' type='groupchat'><body>hi</body>"
             "</message>")
    await romeo.take(lambda e: e.name == "message" and
                     e.get("from", "").endswith("/guest"))
    one.cut()
    await romeo.take(lambda e: e.name == "presence" and
                     e.get("type") == "unavailable" and
                     e.get("from", "").endswith("/guest"))
    await gone(server, ["romeo"])
    romeo.close()


async def test_resumes_and_ends(make_server):
    """With stream management he stays until nobody can come back; a crash
    leaves nobody; one who never binds goes as well."""
    server = make_server(config())
    await server.start()
    one = await enter(server)
    await one.enable_sm()
    one.cut()
    other = await arrive(server)
    other.begin_auth("ANONYMOUS", b"")
    await other.sasl_answer("success")
    assert len(guests(server)) == 2
    await server.kill()
    await server.start()
    await gone(server)


async def test_turned_off(make_server):
    """Guests are no users when nobody bounds them: they go."""
    server = make_server(config())
    await server.start()
    await server.register("romeo")
    one, leaving, coming = (await enter(server), await enter(server),
                            await arrive(server))
    coming.begin_auth("ANONYMOUS", b"")
    await coming.sasl_answer("success")
    leaving.cut()
    await server.ctl_ok("module_unload", "anonymous")
    error = await one.take(lambda e: e.name == "error")
    assert error.find("not-authorized") is not None, str(error)
    await gone(server, ["romeo"])
    coming.close()
    await server.ctl_ok("module_load", "anonymous")


async def test_stays_at_restart(make_server):
    """What ends is the server: its next start sees to them."""
    server = make_server(config())
    await server.start()
    await (await enter(server)).enable_sm()
    await server.restart()
    await gone(server)


async def test_sasl2(make_server):
    """By SASL2 and Bind 2: no token, for there is nothing to come back to."""
    server = make_server(config())
    await server.start()
    client = Client("nobody")
    await client.connect(server.port["tls"],
                         tls=client_context(alpn=["xmpp-client"]))
    await client.open()
    new = client.features.find("authentication", NS_SASL2)
    assert "ANONYMOUS" in [m.text for m in new.elems()]
    answer = await client.authenticate(
        "ANONYMOUS", "<bind xmlns='urn:xmpp:bind:0'/>"
        "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
        "<request-token xmlns='urn:xmpp:fast:0' "
        "mechanism='HT-SHA-256-NONE'/>")
    assert answer.name == "success", str(answer)
    assert UUID.match(answer.find("authorization-identifier").text)
    assert answer.find("token") is None
    client.close()
    await gone(server)


async def test_bounds(make_server):
    """So many at a time, so many from an address; and trace information that
    is none."""
    server = make_server(config(max=2))
    await server.start()
    first, second = await enter(server), await enter(server)
    third = await arrive(server)
    third.begin_auth("ANONYMOUS", b"")
    with pytest.raises(Failure) as failure:
        await third.sasl_answer("success")
    assert failure.value.condition == "temporary-auth-failure"
    assert failure.value.elem.find("text").text == "too many guests"
    await first.leave()
    await server.wait_for(lambda: len(guests(server)) == 1, "one to go")
    third.begin_auth("ANONYMOUS")
    await third.sasl_answer("success")
    second.close()
    for trace in (b"\xff", b"x" * 256, b"a\0b"):
        client = await arrive(server)
        client.begin_auth("ANONYMOUS", trace)
        with pytest.raises(Failure) as failure:
            await client.sasl_answer("success")
        assert failure.value.condition == "malformed-request"
        client.close()


async def test_rate(make_server):
    server = make_server(config(rate="2/1h"), workers=1)
    await server.start()
    for _ in range(2):
        (await enter(server)).close()
    client = await arrive(server)
    client.begin_auth("ANONYMOUS", b"")
    with pytest.raises(Failure):
        await client.sasl_answer("success")
