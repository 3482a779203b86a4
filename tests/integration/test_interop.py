# SPDX-License-Identifier: MIT
"""Federation with Debian's prosody and ejabberd, by certificates of one
authority and by dialback: everything that users do across domains."""

import asyncio
import base64
import hashlib
import os
import urllib.request

import pytest

from conftest import CONFIG, end
from harness import peers
from harness.client import Failure
from harness.component import Component
from harness.server import Authority, Server, merge
from harness.wire import PATIENCE

ROOK = "rook.xmpp"
GATE = f"gate.{ROOK}"
SERVICES = ("conference", "gate", "multicast", "pubsub", "upload")
PEERS = [name for name, kind in peers.ALL.items() if kind.is_there()]

pytestmark = pytest.mark.skipif(not PEERS, reason="no other server is there")

ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
PUBSUB = "http://jabber.org/protocol/pubsub"
AVATAR = "urn:xmpp:avatar"
numbers = iter(range(10**6))


class World:
    """rookeryd and the peers, for all tests of one way of authentication."""

    def __init__(self, build, folder, dialback):
        self.folder = str(folder)
        self.dialback = dialback
        self.names = peers.NameThread()
        self.authority = self.new_authority("ca")
        self.peers = {n: peers.ALL[n](os.path.join(self.folder, n))
                      for n in PEERS}
        domains = [ROOK] + [f"{s}.{ROOK}" for s in SERVICES]
        self.server = Server(build, merge({
            "hosts": [ROOK],
            "admins": [],
            "components": [{"host": GATE, "secret": "sesame"}],
            # Not all who talk are contacts.
            "host_config": {ROOK: {"modules": {
                "multicast": {}, "strangers": {
                    "sender_messages": "unlimited",
                    "account_messages": "unlimited"}}}},
            "dns": {"servers": [self.names.address]},
            "s2s": {"ca_file": self.authority.pem, "retry": "1s",
                    "require": "dialback" if dialback else "certificate"},
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"},
                {"type": "http", "ip": "127.0.0.1", "port": "http"},
                {"type": "component", "ip": "127.0.0.1",
                 "port": "component"},
            ],
        }, CONFIG), workers=2, hosts=domains,
            authority=self.authority_of(ROOK))
        self.domains = domains

    def new_authority(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path)
        return Authority(path)

    def authority_of(self, name):
        """With dialback, nobody trusts the other's."""
        if self.dialback:
            return self.new_authority("ca." + name)
        return self.authority

    async def start(self):
        for name, peer in self.peers.items():
            pem = self.authority_of(name).issue(
                os.path.join(self.folder, name + ".pem"), *peer.domains)
            await asyncio.to_thread(peer.start, self.names, pem,
                                    self.authority, self.dialback)
            self.names.add(peer.port["s2s"], *peer.domains)
        config = self.server.config
        self.server.config = lambda: merge(config(), {"hosts": [ROOK]})
        await self.server.start()
        self.names.add(self.server.port["s2s"], *self.domains)

    def stop(self, loop):
        for peer in self.peers.values():
            peer.destroy()
        faults = loop.run_until_complete(end(self.server))
        self.names.close()
        assert not faults, "\n".join(faults)


@pytest.fixture(scope="module", params=["certificates", "dialback"])
def world(request, build, tmp_path_factory):
    made = World(build, tmp_path_factory.mktemp("interop"),
                 request.param == "dialback")
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(made.start())
        yield made
    finally:
        made.stop(loop)
        loop.close()


@pytest.fixture(params=PEERS)
def peer(request, world):
    return world.peers[request.param]


@pytest.fixture
def pair(world, peer, event_loop):
    """Juliet here and Romeo there, each with a name of his own."""
    n = next(numbers)

    async def both():
        juliet = await world.server.client(f"juliet{n}", host=ROOK,
                                           resource="here")
        return juliet, await peer.client(f"romeo{n}")
    juliet, romeo = event_loop.run_until_complete(both())
    yield juliet, romeo
    juliet.close()
    romeo.close()


def has_body(text):
    return lambda e: e.name == "message" and e.get("type") != "error" and \
        e.find("body") is not None and e.find("body").text == text


def is_presence(kind, sender):
    return lambda e: e.name == "presence" and e.get("type") == kind and \
        (e.get("from") or "").startswith(sender)


def is_error(ident, *conditions):
    def fits(elem):
        return elem.get("id") == ident and elem.get("type") == "error" and \
            any(elem.find("error").find(c, ERRORS) is not None
                for c in conditions)
    return fits


async def say(one, other, text):
    one.send(f"<message to='{other.jid}' type='chat' id='{text}'><body>{text}"
             "</body></message>")
    got = await other.take(has_body(text))
    assert got.get("from") == one.jid and got.get("to") == other.jid


async def befriend(one, other):
    """Both see the other's presence."""
    for client in (one, other):
        # Answers to requests go to who has asked for his roster.
        await client.ask("<query xmlns='jabber:iq:roster'/>")
        client.send("<presence/>")
    for a, b in ((one, other), (other, one)):
        a.send(f"<presence to='{b.bare}' type='subscribe'/>")
        await b.take(is_presence("subscribe", a.bare))
        b.send(f"<presence to='{a.bare}' type='subscribed'/>")
        await a.take(is_presence("subscribed", b.bare))
        await a.take(is_presence(None, b.jid))


async def quiet(*clients):
    """What was on its way has come; there are no messages left."""
    for client in clients:
        await client.ping(client.host)
        left = [e for e in client.wire.events if e[0] == "elem"
                and e[1].name == "message"]
        assert not left, left


async def test_chat(world, pair):
    juliet, romeo = pair
    for one, other in (pair, pair[::-1], pair):
        await say(one, other, "ay me")
    for i in range(50):
        juliet.send(f"<message to='{romeo.jid}' type='chat'><body>{i}</body>"
                    "</message>")
        romeo.send(f"<message to='{juliet.jid}' type='chat'><body>{i}</body>"
                   "</message>")
    for i in range(50):
        for client in pair:
            got = await client.take(lambda e: e.name == "message")
            assert has_body(str(i))(got)
    how = "dialback" if world.dialback else "EXTERNAL"
    start = world.server.start_mark
    await world.server.log_line(rf"is up \({how}.*", start)
    await world.server.log_line(
        rf"incoming stream for {romeo.host} is up \({how}", start)


async def test_ping_and_disco(pair, peer):
    juliet, romeo = pair
    info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    items = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    await juliet.ping(peer.domain)
    await romeo.ping(ROOK)
    for one, host, rooms in ((juliet, peer.domain, peer.rooms),
                             (romeo, ROOK, f"conference.{ROOK}")):
        answer = await one.ask(info, to=host)
        assert "server" in [e.get("category")
                            for e in answer.find("query").elems()]
        answer = await one.ask(items, to=host)
        assert rooms in [i.get("jid") for i in answer.find("query").elems()]
        answer = await one.ask(info, to=rooms)
        assert "http://jabber.org/protocol/muc" in [
            f.get("var") for f in answer.find("query").elems()]


async def test_subscription(pair):
    juliet, romeo = pair
    await befriend(juliet, romeo)
    romeo.send("<presence><show>away</show></presence>")
    got = await juliet.take(is_presence(None, romeo.jid))
    assert got.find("show").text == "away"
    juliet.send("<presence><show>dnd</show></presence>")
    await romeo.take(lambda e: is_presence(None, juliet.jid)(e)
                     and e.find("show") is not None)
    # Each is probed when the other comes again.
    juliet.send("<presence type='unavailable'/>")
    await romeo.take(is_presence("unavailable", juliet.jid))
    juliet.send("<presence/>")
    got = await juliet.take(is_presence(None, romeo.jid))
    assert got.find("show").text == "away"
    romeo.send("<presence type='unavailable'/>")
    await juliet.take(is_presence("unavailable", romeo.jid))
    romeo.send("<presence/>")
    await romeo.take(is_presence(None, juliet.jid))
    await juliet.take(is_presence(None, romeo.jid))
    # And it ends.
    juliet.send(f"<presence to='{romeo.bare}' type='unsubscribe'/>")
    await romeo.take(is_presence("unsubscribe", juliet.bare))
    romeo.send(f"<presence to='{juliet.bare}' type='unsubscribe'/>")
    await juliet.take(is_presence("unsubscribe", romeo.bare))


async def join(client, room, nick):
    client.send(f"<presence to='{room}/{nick}'><x "
                "xmlns='http://jabber.org/protocol/muc'><history "
                "maxstanzas='0'/></x></presence>")
    got = await client.take(
        lambda e: e.name == "presence" and e.get("from") == f"{room}/{nick}")
    assert got.get("type") != "error", got


@pytest.mark.parametrize("where", ["here", "there"])
async def test_room(pair, peer, where):
    juliet, romeo = pair
    owner, guest = (juliet, romeo) if where == "here" else (romeo, juliet)
    service = f"conference.{ROOK}" if where == "here" else peer.rooms
    room = f"hall{next(numbers)}@{service}"
    await join(owner, room, "owner")
    await owner.ask("<query xmlns='http://jabber.org/protocol/muc#owner'><x "
                    "xmlns='jabber:x:data' type='submit'/></query>", "set",
                    room)
    await join(guest, room, "guest")
    await owner.take(is_presence(None, f"{room}/guest"))
    for one, nick in ((owner, "owner"), (guest, "guest")):
        one.send(f"<message to='{room}' type='groupchat'><body>by {nick}"
                 "</body></message>")
        for client in (owner, guest):
            got = await client.take(has_body(f"by {nick}"))
            assert got.get("from") == f"{room}/{nick}"
    for one, other, name in ((owner, guest, "owner"),
                             (guest, owner, "guest")):
        to = "guest" if name == "owner" else "owner"
        one.send(f"<message to='{room}/{to}' type='chat'><body>whisper "
                 f"{name}</body><x xmlns='http://jabber.org/protocol/muc"
                 "#user'/></message>")
        got = await other.take(has_body(f"whisper {name}"))
        assert got.get("from") == f"{room}/{name}"
    # A kick reaches him; so does that somebody has gone.
    await owner.ask("<query xmlns='http://jabber.org/protocol/muc#admin'><item"
                    " nick='guest' role='none'/></query>", "set", room)
    await guest.take(lambda e: is_presence("unavailable", f"{room}/guest")(e)
                     and "307" in str(e))
    await join(guest, room, "guest")
    await owner.take(is_presence(None, f"{room}/guest"))
    guest.cut()
    await owner.take(is_presence("unavailable", f"{room}/guest"))


def caps(feature):
    """What a client announces and answers, with that one +notify."""
    features = sorted(["http://jabber.org/protocol/disco#info",
                       feature + "+notify"])
    text = "client/pc//T<" + "".join(f + "<" for f in features)
    ver = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    query = ("<identity category='client' type='pc' name='T'/>" +
             "".join(f"<feature var='{f}'/>" for f in features))
    return (f"<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1'"
            f" node='http://t.example' ver='{ver}'/></presence>"), query, ver


@pytest.mark.parametrize("who", ["ours", "theirs"])
async def test_avatar(pair, who):
    juliet, romeo = pair
    await befriend(juliet, romeo)
    fan, star = (romeo, juliet) if who == "ours" else (juliet, romeo)
    presence, query, ver = caps(AVATAR + ":metadata")
    fan.send(presence)
    other = asyncio.ensure_future(Pump(fan).run(query, ver))
    try:
        data = b"\x89PNG\r\n\x1a\n" + os.urandom(40)
        ident = hashlib.sha1(data).hexdigest()
        await star.ask(
            f"<pubsub xmlns='{PUBSUB}'><publish node='{AVATAR}:data'><item "
            f"id='{ident}'><data xmlns='{AVATAR}:data'>"
            f"{base64.b64encode(data).decode()}</data></item></publish>"
            "</pubsub>", "set")
        await star.ask(
            f"<pubsub xmlns='{PUBSUB}'><publish node='{AVATAR}:metadata'>"
            f"<item id='{ident}'><metadata xmlns='{AVATAR}:metadata'><info "
            f"bytes='{len(data)}' id='{ident}' type='image/png'/></metadata>"
            "</item></publish></pubsub>", "set")
        got = await asyncio.wait_for(other, PATIENCE * 2)
        assert got.get("from").startswith(star.bare) and ident in str(got)
    finally:
        other.cancel()
    answer = await fan.ask(f"<pubsub xmlns='{PUBSUB}'><items "
                           f"node='{AVATAR}:data'/></pubsub>", to=star.bare)
    assert base64.b64encode(data).decode() in str(answer)


class Pump:
    """Answers what it is asked about its capabilities, until it is notified
    of an avatar."""

    def __init__(self, client):
        self.client = client

    @staticmethod
    def is_event(elem):
        return elem.name == "message" and AVATAR + ":metadata" in str(elem)

    @staticmethod
    def is_question(elem):
        query = elem.find("query") if elem.name == "iq" else None
        return query is not None and elem.get("type") == "get" and \
            query.ns.endswith("disco#info")

    async def run(self, query, ver):
        while True:
            got = await self.client.take(
                lambda e: self.is_event(e) or self.is_question(e),
                PATIENCE * 2)
            if self.is_event(got):
                return got
            self.client.send(
                f"<iq type='result' id='{got.get('id')}' "
                f"to='{got.get('from')}'><query xmlns='http://jabber.org/"
                f"protocol/disco#info' node='http://t.example#{ver}'>{query}"
                "</query></iq>")


async def test_vcards(pair):
    juliet, romeo = pair
    for one, other, name in ((juliet, romeo, "J"), (romeo, juliet, "R")):
        await one.ask(f"<vCard xmlns='vcard-temp'><FN>{name}</FN></vCard>",
                      "set")
        answer = await other.ask("<vCard xmlns='vcard-temp'/>", to=one.bare)
        assert answer.find("vCard").find("FN").text == name


async def test_vcard4(pair):
    """XEP-0292, which is a node that contacts may read."""
    juliet, romeo = pair
    await befriend(juliet, romeo)
    for one, other, name in ((juliet, romeo, "J"), (romeo, juliet, "R")):
        await one.ask(
            f"<pubsub xmlns='{PUBSUB}'><publish node='urn:xmpp:vcard4'><item "
            "id='current'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn>"
            f"<text>{name}</text></fn></vcard></item></publish></pubsub>",
            "set")
        answer = await other.ask(
            f"<pubsub xmlns='{PUBSUB}'><items node='urn:xmpp:vcard4'/>"
            "</pubsub>", to=one.bare)
        assert f"<text>{name}</text>" in str(answer)


async def test_vcard_avatar(pair):
    """Who knows only vCards sees an avatar that was published (XEP-0398)."""
    juliet, romeo = pair
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + os.urandom(40)).decode()
    ident = hashlib.sha1(base64.b64decode(data)).hexdigest()
    for node, payload in (
            ("data", f"<data xmlns='{AVATAR}:data'>{data}</data>"),
            ("metadata", f"<metadata xmlns='{AVATAR}:metadata'><info bytes='48'"
             f" id='{ident}' type='image/png'/></metadata>")):
        await juliet.ask(
            f"<pubsub xmlns='{PUBSUB}'><publish node='{AVATAR}:{node}'><item "
            f"id='{ident}'>{payload}</item></publish></pubsub>", "set")
    # The conversion comes behind what she sends.
    await juliet.ask("<vCard xmlns='vcard-temp'/>")
    answer = await romeo.ask("<vCard xmlns='vcard-temp'/>", to=juliet.bare)
    photo = answer.find("vCard").find("PHOTO")
    assert photo.find("BINVAL").text == data


UPLOAD = "urn:xmpp:http:upload:0"


async def slot_of(client, service):
    answer = await client.ask(
        f"<request xmlns='{UPLOAD}' filename='a.txt' size='5' "
        "content-type='text/plain'/>", to=service)
    return answer.find("slot")


def fetch(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


@pytest.mark.parametrize("who", ["ours", "theirs"])
async def test_upload_link(world, pair, peer, who):
    one, other = pair if who == "ours" else pair[::-1]
    service = f"upload.{ROOK}" if who == "ours" else peer.upload
    slot = await slot_of(one, service)
    local = f"http://127.0.0.1:{world.server.port['http']}"
    host = {"Host": ROOK} if who == "ours" else {}

    def here(url):
        """The name is only known to our own name server."""
        return local + "/" + url.split("/", 3)[3] if who == "ours" else url

    def put():
        request = urllib.request.Request(
            here(slot.find("put").get("url")), data=b"hello", method="PUT",
            headers={"Content-Type": "text/plain", **host})
        for header in slot.find("put").elems():
            request.add_header(header.get("name"), header.text)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status
    assert await asyncio.to_thread(put) == 201
    link = slot.find("get").get("url")
    one.send(f"<message to='{other.jid}' type='chat'><body>{link}</body>"
             f"<x xmlns='jabber:x:oob'><url>{link}</url></x></message>")
    got = await other.take(has_body(link))
    url = here(got.find("x").find("url").text)
    assert await asyncio.to_thread(fetch, url, **host) == b"hello"
    # A service is for its own users.
    with pytest.raises(Failure):
        await slot_of(other, service)


def is_to_gate(name, sender, kind=None):
    return lambda e: e.name == name and e.get("from") == sender and \
        e.get("type") == kind and GATE in e.get("to")


async def test_component(world, pair, peer):
    """XEP-0114: a program behind our server, and users of another one."""
    _, romeo = pair
    gate = await Component(GATE, "sesame").login(
        world.server.port["component"])
    try:
        romeo.send(f"<message to='irc@{GATE}/x' type='chat'><body>ahoy</body>"
                   "</message>")
        got = await gate.take(is_to_gate("message", romeo.jid, "chat"))
        assert got.get("to") == f"irc@{GATE}/x" and has_body("ahoy")(got)
        gate.send(f"<message from='irc@{GATE}/x' to='{romeo.jid}' type='chat'>"
                  "<body>hoy</body></message>")
        got = await romeo.take(has_body("hoy"))
        assert got.get("from") == f"irc@{GATE}/x"
        # It asks and is asked.
        await gate.ping(peer.domain)
        asked = asyncio.ensure_future(romeo.ask(
            "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=GATE))
        got = await gate.take(is_to_gate("iq", romeo.jid, "get"))
        gate.send(f"<iq type='result' from='{GATE}' to='{romeo.jid}' "
                  f"id='{got.get('id')}'><query xmlns='http://jabber.org/"
                  "protocol/disco#info'><identity category='gateway' "
                  "type='irc'/></query></iq>")
        assert "gateway" in str(await asked)
        # Presence, by what it decides itself.
        await romeo.ask("<query xmlns='jabber:iq:roster'/>")
        romeo.send("<presence/>")
        romeo.send(f"<presence to='irc@{GATE}' type='subscribe'/>")
        await gate.take(is_to_gate("presence", romeo.bare, "subscribe"))
        for kind in (" type='subscribed'", ""):
            gate.send(f"<presence from='irc@{GATE}' to='{romeo.bare}'{kind}/>")
        await romeo.take(is_presence("subscribed", f"irc@{GATE}"))
        await romeo.take(is_presence(None, f"irc@{GATE}"))
        gate.send(f"<presence from='irc@{GATE}' to='{romeo.bare}' "
                  "type='unsubscribed'/>")
        gate.send(f"<message from='irc@{GATE}' to='nobody@{peer.domain}' "
                  "type='chat' id='n'><body>?</body></message>")
        await gate.take(is_error("n", "service-unavailable", "item-not-found"))
    finally:
        gate.close()

    async def is_down():
        return GATE not in await world.server.ctl_ok("connected_components")
    await world.server.wait_until(is_down)
    romeo.send(f"<message to='irc@{GATE}' type='chat' id='off'><body>?</body>"
               "</message>")
    await romeo.take(is_error("off", "remote-server-timeout",
                              "service-unavailable", "recipient-unavailable"))
    await quiet(romeo)


async def test_room_of_three(world, event_loop):
    """One of each server, in a room here; and what was said is found again."""
    n = next(numbers)
    everyone = [await world.server.client(f"host{n}", host=ROOK)]
    for peer in world.peers.values():
        everyone.append(await peer.client(f"guest{n}"))
    room = f"hall{n}@conference.{ROOK}"
    for i, client in enumerate(everyone):
        await join(client, room, f"nick{i}")
        if i == 0:
            await client.ask(
                "<query xmlns='http://jabber.org/protocol/muc#owner'><x "
                "xmlns='jabber:x:data' type='submit'/></query>", "set", room)
    for i, one in enumerate(everyone):
        one.send(f"<message to='{room}' type='groupchat'><body>from {i}"
                 "</body></message>")
        for client in everyone:
            got = await client.take(has_body(f"from {i}"))
            assert got.get("from") == f"{room}/nick{i}"
    for client in everyone[1:]:
        await client.ask("<query xmlns='urn:xmpp:mam:2'/>", "set", room)
        found = [str(e[1]) for e in client.wire.events if e[0] == "elem"
                 and e[1].find("result", "urn:xmpp:mam:2") is not None]
        assert len(found) == len(everyone), found
        for i in range(len(everyone)):
            assert f"from {i}" in found[i]
    for client in everyone:
        client.close()


async def others(world, peer):
    """One more here, and one more there."""
    n = next(numbers)
    return (await world.server.client(f"nurse{n}", host=ROOK),
            await peer.client(f"paris{n}"))


def addressed(service, text, *jids):
    rows = "".join(f"<address type='to' jid='{jid}'/>" for jid in jids)
    return (f"<message to='{service}' type='chat' id='{text}'><addresses "
            f"xmlns='http://jabber.org/protocol/address'>{rows}</addresses>"
            f"<body>{text}</body></message>")


async def test_multicast(world, pair, peer):
    """XEP-0033, by our service to their users, and by theirs, if they have
    one, to ours: each gets it once, from the sender himself."""
    juliet, romeo = pair
    nurse, paris = await others(world, peer)
    ways = [(juliet, f"multicast.{ROOK}", (romeo, paris, nurse))]
    if peer.multicast:
        ways.append((romeo, peer.multicast, (juliet, nurse, paris)))
    for one, service, rest in ways:
        for text in ("once", "twice"):
            one.send(addressed(service, text, *(c.jid for c in rest)))
            for client in rest:
                got = await client.take(has_body(text))
                assert got.get("from") == one.jid
    await quiet(juliet, romeo, nurse, paris)
    nurse.close()
    paris.close()


async def test_blocking(pair):
    juliet, romeo = pair
    await befriend(juliet, romeo)
    await juliet.ask(f"<block xmlns='urn:xmpp:blocking'><item "
                     f"jid='{romeo.bare}'/></block>", "set")
    await romeo.take(is_presence("unavailable", juliet.jid))
    romeo.send(f"<message to='{juliet.jid}' type='chat' id='b'><body>hear me"
               "</body></message>")
    await romeo.take(is_error("b", "service-unavailable"))
    juliet.send(f"<message to='{romeo.jid}' type='chat' id='o'><body>?</body>"
                "</message>")
    await juliet.take(is_error("o", "not-acceptable"))
    await quiet(juliet, romeo)
    await juliet.ask(f"<unblock xmlns='urn:xmpp:blocking'><item "
                     f"jid='{romeo.bare}'/></unblock>", "set")
    await romeo.take(is_presence(None, juliet.jid))
    await say(romeo, juliet, "again")


async def test_archive(pair):
    juliet, romeo = pair
    juliet.send("<presence/>")
    await say(juliet, romeo, "sent")
    await say(romeo, juliet, "got")
    form = ("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' "
            "type='hidden'><value>urn:xmpp:mam:2</value></field><field "
            f"var='with'><value>{romeo.bare}</value></field></x>")

    def results():
        return [str(e[1]) for e in juliet.wire.events if e[0] == "elem"
                and e[1].find("result", "urn:xmpp:mam:2") is not None]
    await juliet.ask(f"<query xmlns='urn:xmpp:mam:2'>{form}</query>", "set")
    assert len(results()) == 2
    assert "sent" in results()[0] and "got" in results()[1]
    # It is nobody else's, near or far.
    for asker, owner in ((romeo, juliet), (juliet, romeo)):
        with pytest.raises(Failure):
            await asker.ask("<query xmlns='urn:xmpp:mam:2'/>", "set",
                            owner.bare)
    assert not [e for e in romeo.wire.events if e[0] == "elem"
                and "mam:2" in str(e[1])]


async def test_push_to_a_remote_server(pair):
    """Romeo is the app server."""
    juliet, romeo = pair
    await juliet.ask(f"<enable xmlns='urn:xmpp:push:0' jid='{romeo.jid}' "
                     "node='n1'/>", "set")
    await juliet.leave()
    romeo.send(f"<message to='{juliet.bare}' type='chat'><body>wake up</body>"
               "</message>")
    got = await romeo.take(lambda e: e.name == "iq" and
                           e.find("pubsub") is not None)
    assert got.get("type") == "set" and "n1" in str(got)
    assert got.get("from") in (ROOK, juliet.bare)
    romeo.send(f"<iq type='result' id='{got.get('id')}' "
               f"to='{got.get('from')}'/>")
    await quiet(romeo)


async def test_failures_come_once(world, pair, peer):
    juliet, romeo = pair
    juliet.send(f"<message to='nobody@{peer.domain}' type='chat' id='u'><body>?"
                "</body></message>")
    await juliet.take(is_error("u", "service-unavailable", "item-not-found"))
    romeo.send(f"<message to='nobody@{ROOK}' type='chat' id='u'><body>?</body>"
               "</message>")
    await romeo.take(is_error("u", "service-unavailable"))
    for one in (juliet, romeo):
        one.send("<message to='x@nowhere.xmpp' type='chat' id='d'><body>?"
                 "</body></message>")
        await one.take(is_error("d", "remote-server-not-found",
                                "remote-server-timeout"))
    # A domain that is not served where its records lead.
    world.names.add(peer.port["s2s"], "ghost.xmpp")
    juliet.send("<message to='x@ghost.xmpp' type='chat' id='g'><body>?</body>"
                "</message>")
    await juliet.take(lambda e: e.get("id") == "g"
                      and e.get("type") == "error")
    await quiet(juliet, romeo)
