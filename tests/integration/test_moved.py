# SPDX-License-Identifier: MIT
"""XEP-0283 where the old account is elsewhere (a component plays its server):
asked in the account's name; one that is gone says where to; one that answers
something else, or for somebody else, is not believed; requests beyond the bound
are not looked into."""

import pytest

from harness.component import Component

OLD = "old.localhost"
STATEMENT = (
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    "<items node='{node}'><item id='current'><moved xmlns='urn:xmpp:moved:1'>"
    "<new-jid>{jid}</new-jid></moved></item></items></pubsub>")
GONE = ("<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
        ">{uri}</gone></error>")


@pytest.fixture
def server(make_server, event_loop):
    made = make_server({
        "components": [{"host": OLD, "secret": "secret"}],
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
             "starttls": "optional"},
            {"type": "component", "ip": "127.0.0.1", "port": "component"},
        ],
    })
    event_loop.run_until_complete(made.start())
    return made


async def begun(server, count=1):
    """Romeo, who lets in `count` people of the old server."""
    romeo = await server.client("romeo")
    for i in range(count):
        await server.ctl_ok("add_rosteritem", "romeo", "localhost", f"j{i}",
                            OLD, "J", "", "from")
    romeo.send("<presence/>")
    await romeo.ping("localhost")
    old = await Component(OLD, "secret").login(server.port["component"])
    return romeo, old


def move(old, name, number=0):
    old.send(f"<presence type='subscribe' from='{name}@{OLD}' "
             "to='romeo@localhost'><moved xmlns='urn:xmpp:moved:1'>"
             f"<old-jid>j{number}@{OLD}</old-jid></moved></presence>")


async def asked(old):
    iq = await old.take(lambda e: e.name == "iq" and e.get("type") == "get")
    assert iq.get("from") == "romeo@localhost"
    items = iq.find("pubsub").find("items")
    assert items.get("node") == "urn:xmpp:moved:1"
    assert items.find("item").get("id") == "current"
    return iq


def answer(old, iq, kind, text):
    old.send(f"<iq type='{kind}' id='{iq.get('id')}' from='{iq.get('to')}' "
             f"to='{iq.get('from')}'>{text}</iq>")


def is_presence(kind, key, jid):
    return lambda e: e.name == "presence" and e.get("type") == kind and \
        e.get(key) == jid


@pytest.mark.parametrize("kind, text", [
    ("error", GONE.format(uri=f"xmpp:new@{OLD}")),
    ("error", GONE.format(uri=f"xmpp:new@{OLD}?message")),
    ("result", STATEMENT.format(node="urn:xmpp:moved:1", jid=f"new@{OLD}")),
])
async def test_confirmed(server, kind, text):
    _, old = await begun(server)
    move(old, "new")
    answer(old, await asked(old), kind, text)
    await old.take(is_presence("subscribed", "to", f"new@{OLD}"))
    await old.take(is_presence("unsubscribed", "to", f"j0@{OLD}"))


@pytest.mark.parametrize("kind, text", [
    ("error", GONE.format(uri=f"xmpp:other@{OLD}")),
    ("error", GONE.format(uri=f"new@{OLD}")),
    ("error", GONE.format(uri="xmpp:@@")),
    ("error", "<error type='cancel'><item-not-found xmlns='"
     "urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
    ("result", STATEMENT.format(node="urn:xmpp:moved:1", jid=f"x@{OLD}")),
    ("result", STATEMENT.format(node="urn:xmpp:moved:1",
                                jid=f"new@{OLD}/a")),
    ("result", STATEMENT.format(node="some:node", jid=f"new@{OLD}")),
    ("result", ""),
])
async def test_not_confirmed(server, kind, text):
    romeo, old = await begun(server)
    move(old, "new")
    iq = await asked(old)
    # Meanwhile nothing waits for it.
    old.send(f"<message from='j0@{OLD}' to='{romeo.jid}'><body>hi</body>"
             "</message>")
    await romeo.take(lambda e: e.name == "message")
    answer(old, iq, kind, text)
    request = await romeo.take(
        is_presence("subscribe", "from", f"new@{OLD}"))
    assert request.find("moved").find("old-jid").text == f"j0@{OLD}"


async def test_bound(server):
    """Eight at a time; who is one too many asks as anybody does."""
    romeo, old = await begun(server, 9)
    for i in range(9):
        move(old, f"new{i}", i)
    await romeo.take(is_presence("subscribe", "from", f"new8@{OLD}"))
    for i in range(8):
        iq = await asked(old)
        answer(old, iq, "result", STATEMENT.format(
            node="urn:xmpp:moved:1",
            jid=iq.get("to").replace("j", "new", 1)))
    for i in range(8):
        await old.take(is_presence("subscribed", "to", f"new{i}@{OLD}"))


async def test_unloaded(server):
    """What waits when the module goes is a request as any other."""
    romeo, old = await begun(server)
    move(old, "new")
    iq = await asked(old)
    await server.ctl_ok("module_unload", "moved")
    await romeo.take(is_presence("subscribe", "from", f"new@{OLD}"))
    answer(old, iq, "error", GONE.format(uri=f"xmpp:new@{OLD}"))
    await old.ping("localhost")


async def test_deleted(server):
    """The account goes while the old one is asked."""
    _, old = await begun(server)
    move(old, "new")
    iq = await asked(old)
    await server.ctl_ok("unregister", "romeo", "localhost")
    answer(old, iq, "error", GONE.format(uri=f"xmpp:new@{OLD}"))
    await old.ping("localhost")
