# SPDX-License-Identifier: MIT
"""What publishing to many costs, and what one who comes costs the store."""

import base64
import hashlib
import http.client

import pytest

pytestmark = pytest.mark.workers(2)

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
]
PUBSUB = "http://jabber.org/protocol/pubsub"
INFO = "http://jabber.org/protocol/disco#info"
CONTACTS = 30
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
    """One post for each worker, however many hear of it."""
    caps = Caps(["urn:feed"])
    await web.register("romeo")
    for i in range(CONTACTS):
        await web.register(f"c{i}")
        await befriend(web, "romeo", f"c{i}")
    romeo = await web.client("romeo", register=False)
    romeo.send("<presence/>")
    await publish(romeo, "urn:feed", "first")
    contacts = []
    for i in range(CONTACTS):
        contacts.append(await comes(web, f"c{i}", caps))
        # What it hears first tells that it is known.
        await hear(contacts[-1], caps)
    before = metric(web, "fanout_posts_total")
    await publish(romeo, "urn:feed", "second")
    for contact in contacts:
        await hear(contact, caps)
    assert 1 <= metric(web, "fanout_posts_total") - before <= 2


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
