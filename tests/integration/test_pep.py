# SPDX-License-Identifier: MIT
"""What publishing to many costs, and what one who comes costs the store."""

import asyncio
import base64
import hashlib
import http.client

import pytest

from harness.component import Component

pytestmark = pytest.mark.workers(2)

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
]
PUBSUB = "http://jabber.org/protocol/pubsub"
INFO = "http://jabber.org/protocol/disco#info"
CONTACTS = 20
DEVICES = 50
NODES = 20
# As many nodes are read one by one; from more, all in one list.
READS_MAX = 8


@pytest.fixture
def web(make_server, event_loop):
    made = make_server({"listen": LISTEN, "auth": {
        "allow_plain_without_tls": True}})
    event_loop.run_until_complete(made.start())
    return made


def metric(server, name):
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=20)
    try:
        link.request("GET", "/metrics")
        for line in link.getresponse().read().decode().splitlines():
            if line.startswith(f"rookery_{name} "):
                return int(float(line.rsplit(" ", 1)[1]))
    finally:
        link.close()
    raise KeyError(name)


class Caps:
    """Of a client that is interested in these nodes."""

    def __init__(self, nodes):
        self.features = sorted([INFO] + [node + "+notify" for node in nodes])
        text = "client/pc//x<" + "".join(f + "<" for f in self.features)
        self.ver = base64.b64encode(
            hashlib.sha1(text.encode()).digest()).decode()

    def presence(self):
        return ("<presence><c xmlns='http://jabber.org/protocol/caps' "
                f"hash='sha-1' node='urn:caps' ver='{self.ver}'/></presence>")

    def answer(self, query):
        return (f"<iq type='result' id='{query.get('id')}' "
                f"to='{query.get('from')}'><query xmlns='{INFO}' "
                f"node='urn:caps#{self.ver}'>"
                "<identity category='client' type='pc' name='x'/>" +
                "".join(f"<feature var='{f}'/>" for f in self.features) +
                "</query></iq>")


async def befriend(server, one, other):
    for a, b in ((one, other), (other, one)):
        status, value = await server.api(
            "add_rosteritem", localuser=a, localhost="localhost", user=b,
            host="localhost", nick="", groups=[], subs="both")
        assert status == 200, value


async def publish(romeo, node, item="current"):
    await romeo.ask(f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'>"
                    f"<item id='{item}'><x xmlns='{node}'/></item></publish>"
                    "</pubsub>", kind="set")


def is_event(elem):
    return elem.name == "message" and elem.find("event") is not None


async def hear(client, caps):
    """Waits for an event; each worker may ask for the capabilities once."""
    while True:
        elem = await client.take(lambda e: is_event(e) or (
            e.name == "iq" and e.get("type") == "get"))
        if is_event(elem):
            return
        client.send(caps.answer(elem))


async def comes(server, user, caps):
    client = await server.client(user, register=False)
    client.send(caps.presence())
    return client


async def test_publish_to_many(web):
    """One post and one rendering for each worker, to 1,000 who hear of it."""
    caps = Caps(["urn:feed"])
    await web.register("romeo")
    for i in range(CONTACTS):
        await web.register(f"c{i}")
        await befriend(web, "romeo", f"c{i}")
    romeo = await web.client("romeo", register=False)
    romeo.send("<presence/>")
    await publish(romeo, "urn:feed", "first")
    # What each hears first tells that it is known.
    contacts = []
    for i in range(CONTACTS):
        came = await asyncio.gather(*[
            comes(web, f"c{i}", caps) for _ in range(DEVICES)])
        await asyncio.gather(*[hear(one, caps) for one in came])
        contacts += came
    names = ("fanout_posts_total", "fanout_renders_total")
    before = [metric(web, name) for name in names]
    await publish(romeo, "urn:feed", "second")
    await asyncio.gather(*[hear(contact, caps) for contact in contacts])
    for name, count in zip(names, before):
        assert 1 <= metric(web, name) - count <= 2, name


async def test_coming_is_cheap(web):
    """Reads of the store for one who comes, whatever there is to be read."""
    nodes = [f"urn:node:{i}" for i in range(NODES)]
    await web.register("romeo")
    romeo = await web.client("romeo", register=False)
    romeo.send("<presence/>")
    for node in nodes:
        await publish(romeo, node)
    for count in (1, READS_MAX, NODES):
        user = f"c{count}"
        await web.register(user)
        await befriend(web, "romeo", user)
        before = metric(web, "pubsub_reads_total")
        caps = Caps(nodes[:count])
        client = await comes(web, user, caps)
        for _ in range(count):
            await hear(client, caps)
        reads = metric(web, "pubsub_reads_total") - before
        assert reads == (count if count <= READS_MAX else 1)


async def test_names_are_bounded(web):
    """So many nodes one client may be interested in, and no more."""
    nodes = [f"urn:name:{i:03}" for i in range(260)]
    await web.register("romeo")
    caps = Caps(nodes)
    romeo = await comes(web, "romeo", caps)
    await publish(romeo, nodes[255], "last")
    await hear(romeo, caps)
    await publish(romeo, nodes[256], "beyond")
    await publish(romeo, nodes[0], "first")
    event = await romeo.take(is_event)
    assert event.find("event").elems()[0].get("node") == nodes[0]


async def test_contacts_are_bounded(make_server):
    """Clients of one contact, as many as it says that it has."""
    many, most = 5100, 5000
    server = make_server({
        "listen": LISTEN + [{"type": "component", "ip": "127.0.0.1",
                             "port": "component"}],
        "auth": {"allow_plain_without_tls": True},
        "components": [{"host": "things.test", "secret": "secret"}]})
    await server.start()
    await server.register("romeo")
    await server.ctl_ok("add_rosteritem", "romeo", "localhost", "thing",
                        "things.test", "", "", "both")
    romeo = await server.client("romeo", register=False)
    romeo.send("<presence/>")
    await publish(romeo, "urn:feed", "first")
    caps = Caps(["urn:feed"])
    things = await Component("things.test").login(server.port["component"])
    for i in range(many):
        things.send(caps.presence().replace(
            "<presence>", f"<presence from='thing@things.test/{i}' "
            "to='romeo@localhost'>"))
        if i == 0:
            things.send(caps.answer(await things.take(
                lambda e: e.name == "iq")).replace(
                    "<iq ", "<iq from='thing@things.test/0' "))
            await things.take(is_event)
    for i in range(1, most):
        await things.take(is_event)
    heard = set()
    for item in ("second", "third"):
        await publish(romeo, "urn:feed", item)
        for _ in range(most):
            heard.add((await things.take(is_event)).get("to"))
    assert heard == {f"thing@things.test/{i}" for i in range(most)}
