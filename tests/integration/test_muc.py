# SPDX-License-Identifier: MIT
"""Rooms, with slixmpp as the client: a private group (members only, addresses
open) whose devices come and go, and what of it is there after a restart."""

import asyncio
import random
import xml.etree.ElementTree as ET

import pytest

slixmpp = pytest.importorskip("slixmpp")
# pylint: disable=wrong-import-position
from slixmpp.exceptions import IqError, PresenceError  # noqa: E402

pytestmark = pytest.mark.workers(1, 2)

ROOM = "verona@conference.localhost"
OMEMO = "eu.siacs.conversations.axolotl"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
WAIT = 20


class Device(slixmpp.ClientXMPP):
    """One client of an account. Remembers what the room told it."""

    def __init__(self, server, user, resource):
        super().__init__(f"{user}@localhost/{resource}", "secret")
        self.daemon = server
        self.nick = user
        self.secrets = []
        self.is_there = asyncio.Event()
        for plugin in ("xep_0030", "xep_0045", "xep_0199", "xep_0203",
                       "xep_0313"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("groupchat_message", self.on_message)

    async def on_start(self, _):
        self.send_presence()
        self.is_there.set()

    def on_message(self, msg):
        self.secrets += payloads(msg.xml)

    async def begin(self):
        self.connect(("127.0.0.1", self.daemon.port["c2s"]),
                     disable_starttls=True)
        await asyncio.wait_for(self.is_there.wait(), WAIT)
        return self

    async def join(self):
        return await self["xep_0045"].join_muc_wait(
            slixmpp.JID(ROOM), self.nick, maxchars=0, timeout=WAIT)

    async def members(self):
        """To whom one has to encrypt."""
        found = set()
        for aff in ("owner", "admin", "member"):
            found |= {str(jid) for jid in await
                      self["xep_0045"].get_affiliation_list(
                          slixmpp.JID(ROOM), aff)}
        return found

    def say(self, text):
        msg = self.make_message(mto=ROOM, mtype="groupchat",
                                mbody="This message is encrypted.")
        encrypted = ET.SubElement(msg.xml, f"{{{OMEMO}}}encrypted")
        ET.SubElement(encrypted, f"{{{OMEMO}}}payload").text = text
        msg.send()

    async def heard(self, *texts):
        await self.daemon.wait_for(
            lambda: self.secrets == list(texts), f"{texts} at {self.boundjid}")

    async def archive(self):
        answer = await self["xep_0313"].retrieve(jid=slixmpp.JID(ROOM))
        return [text for result in answer["mam"]["results"]
                for text in payloads(result.xml)]

    async def is_joined(self):
        """XEP-0410."""
        try:
            await self["xep_0199"].send_ping(f"{ROOM}/{self.nick}",
                                             timeout=WAIT)
            return True
        except IqError as error:
            assert error.condition == "not-acceptable"
            return False

    async def leave(self):
        await asyncio.wait_for(self.disconnect(), 10)


def payloads(elem):
    return [e.text for e in elem.iter(f"{{{OMEMO}}}payload")]


async def make_private(owner):
    """What Conversations does when it makes a private group."""
    form = await owner["xep_0045"].get_room_config(slixmpp.JID(ROOM))
    values = {"persistentroom": True, "membersonly": True,
              "publicroom": False, "whois": "anyone", "changesubject": True,
              "allowinvites": False, "enablearchiving": True,
              "roomname": "Verona"}
    form.reply()
    form.set_values({"muc#roomconfig_" + name: value
                     for name, value in values.items()})
    await owner["xep_0045"].set_room_config(slixmpp.JID(ROOM), form)


@pytest.fixture
def plain(make_server, event_loop):
    server = make_server({"auth": {"allow_plain_without_tls": True}})
    event_loop.run_until_complete(server.start())
    return server


async def test_private_group(plain):
    """Three devices of two members; each hears all of it, each once."""
    for user in ("romeo", "juliet", "nurse"):
        await plain.register(user)
    romeo = await Device(plain, "romeo", "desk").begin()
    phone = await Device(plain, "juliet", "phone").begin()
    laptop = await Device(plain, "juliet", "laptop").begin()
    nurse = await Device(plain, "nurse", "shelf").begin()

    await romeo.join()
    await make_private(romeo)
    await romeo["xep_0045"].set_affiliation(
        slixmpp.JID(ROOM), "member", jid=slixmpp.JID("juliet@localhost"))
    with pytest.raises(PresenceError) as refused:
        await nurse.join()
    assert refused.value.condition == "registration-required"
    with pytest.raises(IqError) as refused:
        await nurse.members()
    assert refused.value.condition == "forbidden"

    await phone.join()
    await laptop.join()
    assert await phone.members() == {"romeo@localhost", "juliet@localhost"}
    assert await phone.is_joined() and await laptop.is_joined()
    romeo["xep_0045"].set_subject(slixmpp.JID(ROOM), "Tomorrow")
    romeo.say("one")
    await laptop.heard("one")
    laptop.say("two")
    for device in (romeo, phone, laptop):
        await device.heard("one", "two")

    # A link breaks; what is said meanwhile waits in the archive.
    phone.abort()
    await plain.wait_until(lambda: is_gone(plain, "phone"), "the phone's end")
    romeo.say("three")
    await laptop.heard("one", "two", "three")
    phone = await Device(plain, "juliet", "phone").begin()
    assert not await phone.is_joined()
    await phone.join()
    assert await phone.archive() == ["one", "two", "three"]
    phone.say("four")
    await romeo.heard("one", "two", "three", "four")
    await phone.heard("four")

    for device in (romeo, phone, laptop, nurse):
        await device.leave()
    await plain.restart()
    phone = await Device(plain, "juliet", "phone").begin()
    assert not await phone.is_joined()
    _, subject, occupants, _ = await phone.join()
    assert subject["subject"] == "Tomorrow"
    assert [str(p["from"]) for p in occupants] == [f"{ROOM}/juliet"]
    assert await phone.members() == {"romeo@localhost", "juliet@localhost"}
    assert await phone.archive() == ["one", "two", "three", "four"]
    nurse = await Device(plain, "nurse", "shelf").begin()
    with pytest.raises(IqError) as refused:
        await nurse.archive()
    assert refused.value.condition == "forbidden"
    await phone.leave()
    await nurse.leave()


async def is_gone(server, resource):
    status, found = await server.api(
        "get_room_occupants", room="verona", service="conference.localhost")
    return status == 200 and not any(
        o["jid"].endswith("/" + resource) for o in found)


async def test_acknowledged_is_kept(plain):
    """A message that was acknowledged is in the archive after a crash."""
    romeo = await plain.client("romeo", resource="raw")
    await romeo.enable_sm()
    romeo.send(
        f"<presence to='{ROOM}/romeo'>"
        "<x xmlns='http://jabber.org/protocol/muc'/></presence>"
        f"<iq type='set' id='c' to='{ROOM}'>"
        "<query xmlns='http://jabber.org/protocol/muc#owner'>"
        "<x xmlns='jabber:x:data' type='submit'>"
        "<field var='muc#roomconfig_persistentroom'><value>1</value></field>"
        "</x></query></iq>")
    for i in range(50):
        romeo.send(f"<message to='{ROOM}' type='groupchat' id='m{i}'>"
                   f"<body>word {i}</body></message>")
    await romeo.wait_ack()
    await plain.kill()
    await plain.start()
    desk = await Device(plain, "romeo", "desk").begin()
    await desk.join()
    answer = await desk["xep_0313"].retrieve(jid=slixmpp.JID(ROOM))
    bodies = [e.text for result in answer["mam"]["results"]
              for e in result.xml.iter("{jabber:client}body")]
    assert bodies == [f"word {i}" for i in range(50)]
    await desk.leave()


class Guest:
    """Does anything at all to two rooms, and does not care what comes."""

    def __init__(self, server, dice, number):
        self.server, self.dice, self.number = server, dice, number
        self.client = None

    async def begin(self):
        self.client = await self.server.client(
            f"guest{self.number % 6}", register=False,
            resource=f"r{self.number}")
        self.client.send("<presence/>")
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        while (await self.client.event(timeout=3600))[0] == "elem":
            pass

    async def end(self, cut):
        if cut:
            self.client.cut()
        else:
            self.client.close()
        await asyncio.wait_for(
            asyncio.gather(self.reader, return_exceptions=True), WAIT)

    def nick(self):
        return f"nick{self.dice.randrange(7)}"

    def jid(self):
        return f"guest{self.dice.randrange(6)}@localhost"

    def iq(self, room, payload, kind="set", nick=""):
        return (f"<iq type='{kind}' id='i' to='{room}{nick}'>"
                f"{payload}</iq>")

    def admin(self, item):
        return ("<query xmlns='http://jabber.org/protocol/muc#admin'>"
                f"<item {item}/></query>")

    def config(self):
        field = self.dice.choice(("membersonly", "moderatedroom",
                                  "persistentroom", "enablearchiving",
                                  "publicroom", "enablelogging"))
        return ("<query xmlns='http://jabber.org/protocol/muc#owner'>"
                "<x xmlns='jabber:x:data' type='submit'>"
                f"<field var='muc#roomconfig_{field}'><value>"
                f"{self.dice.randrange(2)}</value></field>"
                "<field var='muc#roomconfig_whois'><value>"
                f"{self.dice.choice(('anyone', 'moderators'))}"
                "</value></field></x></query>")

    def act(self):
        room = f"room{self.dice.randrange(2)}@conference.localhost"
        pick = self.dice.random()
        join = (f"<presence to='{room}/{self.nick()}'>"
                "<x xmlns='http://jabber.org/protocol/muc'/></presence>")
        if pick < .35:
            return join
        if pick < .45:
            return f"<presence to='{room}/{self.nick()}'/>"
        if pick < .5:
            return f"<presence to='{room}/x' type='unavailable'/>"
        if pick < .65:
            return (f"<message to='{room}' type='groupchat' id='m'>"
                    "<body>words</body></message>")
        return self.rarely(room, pick)

    def rarely(self, room, pick):
        aff = self.dice.choice(("outcast", "none", "member", "admin", "owner"))
        role = self.dice.choice(("none", "visitor", "participant",
                                 "moderator"))
        if pick < .72:
            return self.iq(room, self.admin(
                f"affiliation='{aff}' jid='{self.jid()}'"))
        if pick < .78:
            return self.iq(room, self.admin(
                f"role='{role}' nick='{self.nick()}'"))
        if pick < .84:
            return self.iq(room, self.config())
        if pick < .86:
            return self.iq(
                room, "<query xmlns='http://jabber.org/protocol/muc#owner'>"
                "<destroy/></query>")
        if pick < .9:
            return self.iq(room, "<query xmlns='urn:xmpp:mam:2'/>")
        if pick < .94:
            return self.iq(room, "<ping xmlns='urn:xmpp:ping'/>", "get",
                           "/" + self.nick())
        if pick < .97:
            return (f"<message to='{room}/{self.nick()}' type='chat'>"
                    "<body>psst</body></message>")
        return (f"<message to='{room}/x' type='error'><error type='wait'>"
                "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                "</error></message>")


@pytest.mark.parametrize("seed", [1, 2])
async def test_anything(plain, seed):
    """Whatever people do in rooms, the server goes on, and a room that is
    made afterwards is as any other."""
    dice = random.Random(seed)
    for i in range(6):
        await plain.register(f"guest{i}")
    guests = [Guest(plain, dice, i) for i in range(9)]
    for guest in guests:
        await guest.begin()
    for turn in range(150):
        for guest in guests:
            guest.client.send("".join(
                guest.act() for _ in range(dice.randrange(1, 5))))
        if turn % 10 == 9:
            guest = dice.choice(guests)
            await guest.end(dice.random() < .5)
            await guest.begin()
        await asyncio.sleep(0)
    for guest in guests:
        await guest.end(False)
    assert plain.is_alive
    await plain.wait_until(lambda: has_no_occupants(plain), "empty rooms")
    await plain.register("romeo")
    romeo = await Device(plain, "romeo", "desk").begin()
    own, _, _, _ = await romeo.join()
    assert 201 in own["muc"]["status_codes"]
    await romeo.leave()


async def has_no_occupants(server):
    for room in ("room0", "room1"):
        status, found = await server.api(
            "get_room_occupants_number", room=room,
            service="conference.localhost")
        if status == 200 and found > 0:
            return False
    return True


async def test_rooms_of_a_file(plain, tmp_path):
    """create_rooms_file and destroy_rooms_file: all lines or none."""
    rooms = [f"red{i}@conference.localhost" for i in range(20)]
    names = tmp_path / "rooms"
    names.write_text("# rooms\n" + "\n".join(rooms) + "\nred@elsewhere\n")
    status, _ = await plain.api("create_rooms_file", file=str(names))
    assert status == 400
    assert await all_rooms(plain) == []
    names.write_text("# rooms\n\n" + "\n".join(rooms) + "\n")
    for _ in range(2):
        status, found = await plain.api("create_rooms_file", file=str(names))
        assert (status, found) == (200, 0)
        assert await all_rooms(plain) == sorted(rooms)
    names.write_text(rooms[3])
    status, found = await plain.api("destroy_rooms_file", file=str(names))
    assert (status, found) == (200, 0)
    assert await all_rooms(plain) == sorted(rooms[:3] + rooms[4:])
    status, _ = await plain.api(
        "create_rooms_file", file=str(tmp_path / "none"))
    assert status == 400
    with open(names, "w", encoding="ascii") as out:
        out.write("#" * ((16 << 20) + 1))
    status, _ = await plain.api("create_rooms_file", file=str(names))
    assert status == 400


async def all_rooms(server):
    status, found = await server.api(
        "muc_online_rooms", service="conference.localhost")
    assert status == 200
    return sorted(found)


async def test_memory_of_rooms(make_server):
    """A room with somebody in it takes a kilobyte, and 300 bytes for him; to
    which comes what his session knows of where he is."""
    server = make_server({
        "auth": {"allow_plain_without_tls": True},
        "modules": {"muc": {"max_rooms": 10000, "persistent": False,
                            "presence_rate": "100000/s",
                            "archive": False}}})
    await server.start()

    async def enter(number):
        """A client with the most that it may have told of its presence."""
        client = await server.client(f"user{number}", resource="desk")
        for i in range(1000):
            room = f"room{number}-{i}@conference.localhost"
            client.send(f"<presence to='{room}/r'>"
                        "<x xmlns='http://jabber.org/protocol/muc'/>"
                        "</presence>")
            if i % 100 == 99:
                await client.ask(INFO, to=room)
        return client

    clients = [await enter(0)]
    before = server.memory()
    clients += [await enter(i) for i in range(1, 5)]
    assert (server.memory() - before) * 1024 / 4000 < 1600
    assert len(clients) == 5
