# SPDX-License-Identifier: MIT
"""Two slixmpp devices of one account, one of which loses its link at random,
keep one history: by carbons, stream management and, when a session could not
be resumed, the archive. ROOKERY_SYNC_MESSAGES says how many messages."""

import asyncio
import os
import random

import pytest

slixmpp = pytest.importorskip("slixmpp")

COUNT = int(os.environ.get("ROOKERY_SYNC_MESSAGES", "1000"))
NS_SID = "urn:xmpp:sid:0"
NS_MAM = "urn:xmpp:mam:2"
NS_FORWARD = "{urn:xmpp:forward:0}forwarded"
NS_CARBONS = "urn:xmpp:carbons:2"
BODY = "{jabber:client}body"


class Device(slixmpp.ClientXMPP):
    """Keeps a history as clients do: by number, in the order of arrival; what
    came by several ways counts once."""

    def __init__(self, server, name, resource, resumes=True):
        super().__init__(f"{name}@localhost/{resource}", "secret")
        self.daemon = server
        self.ca_certs = server.authority.pem
        self.history = []
        self.known = set()
        self.twice = []      # live, though it was had
        self.last_id = None  # in the archive
        self.is_there = asyncio.Event()
        self.catching = None
        self.catches = self.resumptions = 0
        for plugin in ("xep_0198", "xep_0280", "xep_0313"):
            self.register_plugin(plugin)
        self["xep_0198"].allow_resume = resumes
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("session_resumed", self.on_resumed)
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("carbon_received", self.on_carbon)
        self.add_event_handler("carbon_sent", self.on_carbon)

    async def begin(self):
        self.is_there.clear()
        self.connect(("127.0.0.1", self.daemon.port["c2s"]))
        await asyncio.wait_for(self.is_there.wait(), 60)
        return self

    async def on_start(self, _):
        # From here on copies come, and wait for what was before them.
        self.catching = []
        await self["xep_0280"].enable()
        self.send_presence()
        await self.catch_up()
        live, self.catching = self.catching, None
        for number, came_live in live:
            self.note(number, came_live)
        self.is_there.set()

    def on_resumed(self, _):
        self.resumptions += 1
        self.is_there.set()

    async def catch_up(self):
        """All after the last that we know, by pages."""
        self.catches += 1
        while True:
            rsm = {"max": 100}
            if self.last_id is not None:
                rsm["after"] = self.last_id
            answer = await self["xep_0313"].retrieve(rsm=rsm, timeout=60)
            for message in answer["mam"]["results"]:
                result = message.xml.find(f"{{{NS_MAM}}}result")
                self.last_id = result.get("id")
                inner = result.find(NS_FORWARD).find("{jabber:client}message")
                if inner.find(BODY) is not None:
                    self.note(int(inner.find(BODY).text))
            fin = answer.xml.find(f"{{{NS_MAM}}}fin")
            if fin.get("complete") == "true":
                return

    def note(self, number, came_live=False):
        if self.catching is not None and came_live:
            self.catching.append((number, False))
        elif number not in self.known:
            self.known.add(number)
            self.history.append(number)
        elif came_live:
            self.twice.append(number)

    def on_message(self, message):
        if message.xml.find(f"{{{NS_MAM}}}result") is not None or \
                message.xml.find(BODY) is None:
            return
        ident = message.xml.find(f"{{{NS_SID}}}stanza-id")
        delayed = message.xml.find("{urn:xmpp:delay}delay") is not None
        if ident is not None and self.catching is None and not delayed:
            self.last_id = ident.get("id")
        self.note(int(message["body"]), True)

    def on_carbon(self, message):
        kind = message.xml.find(f"{{{NS_CARBONS}}}received")
        if kind is None:
            kind = message.xml.find(f"{{{NS_CARBONS}}}sent")
        inner = kind.find(NS_FORWARD).find("{jabber:client}message")
        if inner.find(BODY) is not None:
            self.note(int(inner.find(BODY).text), True)

    async def lose_link(self):
        self.transport.abort()
        while self.transport is not None:
            await asyncio.sleep(0.01)


async def drop_at_random(device, rng, is_over):
    """Its link breaks; it resumes, or has forgotten its session."""
    while not is_over.is_set():
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        await device.lose_link()
        await asyncio.sleep(rng.uniform(0, 0.1))
        if rng.random() < 0.3:
            device["xep_0198"].sm_id = None
            device["xep_0198"].session_end(None)
        await device.begin()


class Talk:
    """Romeo writes to Juliet's account or to one of her devices, and her
    desktop, at times, to him."""

    def __init__(self, romeo, desktop, rng):
        self.romeo = romeo
        self.desktop = desktop
        self.rng = rng
        self.sent = 0

    def say(self):
        number = self.sent
        self.sent += 1
        chance = self.rng.random()
        if chance < 0.2:
            self.desktop.send_message("romeo@localhost", str(number),
                                      mtype="chat")
        else:
            to = "juliet@localhost"
            if chance > 0.9:
                to += "/desktop"
            self.romeo.send_message(to, str(number), mtype="chat")

    async def run(self):
        for _ in range(COUNT):
            self.say()
            while self.behind() > 200:
                await asyncio.sleep(0.005)
            if self.sent % 5 == 0:
                await asyncio.sleep(0.005)

    def behind(self):
        return self.sent - len(self.desktop.known | self.romeo.known)


async def archive_of(server, user):
    device = await Device(server, user, "reader").begin()
    await device.disconnect()
    return device.history


@pytest.mark.slow(900)
async def test_two_devices(make_server):
    rng = random.Random(COUNT)
    server = make_server({"limits": {"c2s_rate": 0, "resume": "5m"}})
    await server.start()
    for name in ("romeo", "juliet"):
        await server.register(name)
    romeo = await Device(server, "romeo", "r").begin()
    desktop = await Device(server, "juliet", "desktop").begin()
    phone = await Device(server, "juliet", "phone").begin()
    is_over = asyncio.Event()
    dropping = asyncio.create_task(drop_at_random(phone, rng, is_over))
    talk = Talk(romeo, desktop, rng)
    await talk.run()
    is_over.set()
    await dropping
    everything = set(range(COUNT))
    await server.wait_for(
        lambda: desktop.known | {int(n) for n in romeo.known} >= everything,
        "the end", 60)
    archive = await archive_of(server, "juliet")
    assert sorted(archive) == list(range(COUNT)), "in the archive"
    await server.wait_for(lambda: phone.known >= everything, "the phone", 60)
    # What she writes herself, a device has not from the server.
    assert phone.history == archive, differences(phone.history, archive)
    hers = set(romeo.known)
    assert [n for n in archive if n not in hers] == \
        [n for n in desktop.history if n not in hers]
    assert not phone.twice and not desktop.twice
    print(f"{COUNT} messages, {phone.resumptions} resumptions, "
          f"{phone.catches} times from the archive")
    for device in (romeo, desktop, phone):
        await device.disconnect()


def differences(a, b):
    return [(i, x, y) for i, (x, y) in enumerate(zip(a, b)) if x != y][:10]


async def test_page_while_spool_is_read(server):
    """A page asked for while offline messages are on their way is whole
    when its end comes (XEP-0313 section 4.1)."""
    romeo = await server.client("romeo")
    await server.register("juliet")
    await romeo.enable_sm()
    for number in range(400):
        romeo.send(f"<message to='juliet@localhost' type='chat'>"
                   f"<body>{number}</body></message>")
    await romeo.wait_ack()
    for _ in range(3):
        juliet = await server.client("juliet", register=False)
        juliet.wire.send(
            "<presence/><iq type='set' id='page'><query xmlns="
            "'urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>"
            "<max>100</max></set></query></iq>")
        results = 0
        while True:
            elem = await juliet.elem()
            if elem.name == "iq" and elem.get("id") == "page":
                break
            results += elem.find("result", NS_MAM) is not None
        assert results == 100
        juliet.cut()


async def test_live_while_spool_is_read(server):
    """What is found in a page is not sent once more behind it, though there
    was much to be sent before; and nothing is missing."""
    romeo = await server.client("romeo")
    await server.register("juliet")
    await romeo.enable_sm()
    sent = 0
    for _ in range(4):
        for _ in range(300):
            romeo.send(f"<message to='juliet@localhost' type='chat'>"
                       f"<body>{sent}</body></message>")
            sent += 1
        await romeo.wait_ack()
        juliet = await server.client("juliet", register=False)
        juliet.wire.send("<presence/>")
        for number in range(sent, sent + 50):
            romeo.send(f"<message to='juliet@localhost' type='chat'>"
                       f"<body>{number}</body></message>")
            if number % 10 == 0:
                juliet.wire.send(
                    "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'>"
                    "<set xmlns='http://jabber.org/protocol/rsm'><max>100"
                    "</max><before/></set></query></iq>")
        sent += 50
        await romeo.wait_ack()
        await romeo_is_through(romeo, juliet)
        juliet.cut()


async def romeo_is_through(romeo, juliet):
    romeo.send("<message to='juliet@localhost' type='chat'>"
               "<body>end</body></message>")
    paged, seen, is_over, ends = set(), set(), False, 0
    while not is_over or ends < 5:
        elem = await juliet.elem()
        if elem.name == "iq" and elem.get("id") == "page":
            ends += 1
        result = elem.find("result", NS_MAM)
        if result is not None:
            paged.add(result.get("id"))
        ident = elem.find("stanza-id", NS_SID)
        if ident is None:
            continue
        if ends > 0:
            assert ident.get("id") not in paged, "it was in a page"
        assert ident.get("id") not in seen
        seen.add(ident.get("id"))
        is_over |= elem.find("body").text == "end"
