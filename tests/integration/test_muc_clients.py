# SPDX-License-Identifier: MIT
"""A private group as Gajim's library and slixmpp see it: members only, with
open addresses, and encrypted to every device of every member. Three devices
come and go; each reads each message, and reads it once."""

import asyncio
import base64
import json
import os
import sys
import xml.etree.ElementTree as ET

import pytest

slixmpp = pytest.importorskip("slixmpp")
pytest.importorskip("nbxmpp")
# pylint: disable=wrong-import-position
from slixmpp.exceptions import PresenceError  # noqa: E402

import test_pep_clients  # noqa: E402
from test_clients import strict  # noqa: E402,F401  pylint: disable=unused-import
from test_pep_clients import DEVICES, HERE, OMEMO, devices  # noqa: E402

pytestmark = pytest.mark.workers(2)

ROOM = "capulets@conference.localhost"
PAGE = 3
WAIT = 20
SID = "urn:xmpp:sid:0"
MAM = "urn:xmpp:mam:2"


class Log:
    """What one device has read, however it came."""

    def __init__(self):
        self.live = []
        self.texts = {}

    def add(self, ident, text, is_old):
        # The archive may have what came live too: they share the id.
        if not is_old:
            self.live.append(ident)
            assert self.live.count(ident) == 1, f"{text} came twice"
        assert self.texts.setdefault(ident, text) == text

    @property
    def read(self):
        return [self.texts[ident] for ident in sorted(self.texts)]

    @property
    def last(self):
        return max(self.texts, default=None)


class Slixmpp(test_pep_clients.Slixmpp):
    """A device by slixmpp."""

    def __init__(self, server, user, resource, number, log):
        super().__init__(server, user, resource)
        self.number, self.log = number, log
        self.invited = []
        for plugin in ("xep_0045", "xep_0249", "xep_0313", "xep_0359"):
            self.register_plugin(plugin)
        self.add_event_handler("groupchat_message", self.on_groupchat)
        self.add_event_handler("groupchat_direct_invite", self.invited.append)

    def on_groupchat(self, msg):
        ident = msg.xml.find(f"{{{SID}}}stanza-id")
        if msg.xml.find(f"{{{OMEMO}}}encrypted") is not None:
            self.log.add(ident.get("id"), self.decrypt(msg.xml), False)

    def decrypt(self, xml):
        path = f"{{{OMEMO}}}encrypted/{{{OMEMO}}}header/{{{OMEMO}}}key"
        if str(self.number) not in [k.get("rid") for k in xml.findall(path)]:
            return None
        payload = f"{{{OMEMO}}}encrypted/{{{OMEMO}}}payload"
        return base64.b64decode(xml.find(payload).text).decode()

    async def begin(self):
        await super().begin()
        await self.publish(DEVICES, "current", devices(self.number),
                           access_model="open", persist_items="true")
        return self

    async def join(self, nick):
        await self["xep_0045"].join_muc_wait(
            slixmpp.JID(ROOM), nick, maxstanzas=0, timeout=WAIT)

    async def list(self, aff):
        return {str(jid) for jid in await self[
            "xep_0045"].get_affiliation_list(slixmpp.JID(ROOM), aff)}

    async def devices_of(self, jid):
        found = await self.items(jid, DEVICES)
        return [int(d.get("id")) for d in found["current"]]

    async def send_encrypted(self, text, keys):
        msg = self.make_message(mto=ROOM, mtype="groupchat",
                                mbody="This message is encrypted.")
        encrypted = ET.SubElement(msg.xml, f"{{{OMEMO}}}encrypted")
        header = ET.SubElement(encrypted, f"{{{OMEMO}}}header",
                               sid=str(self.number))
        for key in keys:
            ET.SubElement(header, f"{{{OMEMO}}}key",
                          rid=str(key)).text = "a2V5"
        ET.SubElement(header, f"{{{OMEMO}}}iv").text = "MDAwMDAwMDAwMDAw"
        ET.SubElement(encrypted, f"{{{OMEMO}}}payload").text = (
            base64.b64encode(text.encode()).decode())
        msg.send()

    async def catch_up(self):
        """Page by page from what was read last."""
        while True:
            rsm = {"max": PAGE}
            if self.log.last:
                rsm["after"] = self.log.last
            answer = await self["xep_0313"].retrieve(
                jid=slixmpp.JID(ROOM), rsm=rsm, timeout=WAIT)
            for msg in answer["mam"]["results"]:
                result = msg.xml.find(f"{{{MAM}}}result")
                for message in result.iter("{jabber:client}message"):
                    if message.find(f"{{{OMEMO}}}encrypted") is not None:
                        self.log.add(result.get("id"), self.decrypt(message),
                                     True)
            if answer["mam_fin"].xml.get("complete") == "true":
                return

    async def cut(self):
        self.abort()


class Gajim(test_pep_clients.Gajim):
    """A device by nbxmpp_group.py."""

    def __init__(self, server, user, resource, number, log):
        super().__init__(server, user)
        self.resource, self.number, self.log = resource, number, log
        self.known = 0

    async def begin(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, os.path.join(HERE, "nbxmpp_group.py"), self.user,
            self.resource, str(self.server.port["c2s"]), str(self.number),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        self.reader = asyncio.ensure_future(self.read())
        await self.tells(event="login")
        await self.ask("set_devices", devices=[self.number])
        return self

    async def read(self):
        async for line in self.process.stdout:
            what = json.loads(line)
            if what["event"] == "said":
                self.log.add(what["id"], what["text"], what["is_old"])
            self.told.append(what)

    async def join(self, nick):
        await self.ask("join", room=ROOM, nick=nick)
        await self.server.wait_for(lambda: any(
            t["event"] == "presence" and 110 in t["codes"]
            for t in self.told), f"{nick}'s own presence")

    async def list(self, aff):
        found = await self.ask("get_affiliation", room=ROOM, affiliation=aff)
        return set(found["users"])

    async def devices_of(self, jid):
        return await self.ask("get_devices", jid=jid)

    async def send_encrypted(self, text, keys):
        await self.ask("say", room=ROOM, text=text, keys=keys)

    async def catch_up(self):
        while True:
            page = await self.ask("catch_up", room=ROOM, after=self.log.last)
            if page["complete"]:
                return

    async def cut(self):
        self.process.kill()
        await self.process.wait()
        await self.reader


async def recipients(device):
    """Whom a message is encrypted to: all devices of all who belong to it."""
    members = set()
    for aff in ("owner", "admin", "member"):
        members |= await device.list(aff)
    assert members == {"romeo@localhost", "juliet@localhost"}
    keys = []
    for jid in sorted(members):
        keys += await device.devices_of(jid)
    return keys


async def say(device, *texts):
    keys = await recipients(device)
    for text in texts:
        await device.send_encrypted(text, keys)


async def make_group(owner):
    """As Conversations makes one."""
    muc, room = owner["xep_0045"], slixmpp.JID(ROOM)
    form = await muc.get_room_config(room)
    form.reply()
    form.set_values({"muc#roomconfig_" + name: value for name, value in {
        "persistentroom": True, "membersonly": True, "publicroom": False,
        "whois": "anyone", "enablearchiving": True}.items()})
    await muc.set_room_config(room, form)
    await muc.set_affiliation(room, "member",
                              jid=slixmpp.JID("juliet@localhost"))
    muc.invite(room, slixmpp.JID("juliet@localhost"))


class Group:
    """The three devices; their logs outlive their connections."""

    MAKERS = {"phone": (Slixmpp, "romeo", 11), "desk": (Gajim, "romeo", 11),
              "gajim": (Gajim, "juliet", 21)}

    def __init__(self, server):
        self.server = server
        self.logs = {name: Log() for name in self.MAKERS}
        self.there = {}
        self.said = []

    async def connect(self, name):
        maker, user, number = self.MAKERS[name]
        self.there[name] = await maker(
            self.server, user, name, number, self.logs[name]).begin()
        return self.there[name]

    async def comes(self, name):
        device = await self.connect(name)
        await device.join(device.user if isinstance(device, Gajim)
                          else "romeo")
        await device.catch_up()

    async def goes(self, name, cut=False):
        device = self.there.pop(name)
        await (device.cut() if cut else device.end())

    async def speaks(self, name, *texts):
        await say(self.there[name], *texts)
        self.said += texts
        await self.all_read()

    async def all_read(self):
        for name in self.there:
            log = self.logs[name]
            await self.server.wait_for(lambda log=log: log.read == self.said,
                                       f"{self.said} at {name}")

    async def is_gone(self, name):
        status, found = await self.server.api(
            "get_room_occupants", room="capulets",
            service="conference.localhost")
        return status == 200 and not any(
            o["jid"].endswith("/" + name) for o in found)


async def test_private_group(strict):  # noqa: F811
    for user in ("romeo", "juliet", "nurse"):
        await strict.register(user)
    group = Group(strict)
    phone = await group.connect("phone")
    await phone.join("romeo")
    gajim = await group.connect("gajim")
    await make_group(phone)
    await gajim.tells(event="invite", room=ROOM)
    features = await gajim.ask("info", room=ROOM)
    assert {"muc_membersonly", "muc_nonanonymous", MAM} <= set(features)
    await gajim.join("juliet")
    await group.speaks("phone", "one", "two")
    await group.speaks("gajim", "three", "four")

    # Another device of one's own, under the same nickname, reads it all.
    await group.comes("desk")
    await group.all_read()
    await group.speaks("desk", "five")
    # One leaves, one is lost; each comes back, and others go on meanwhile.
    await group.goes("gajim")
    await group.speaks("phone", *[f"six {n}" for n in range(8)])
    await group.goes("phone", cut=True)
    await strict.wait_until(lambda: group.is_gone("phone"), "the phone's end")
    await group.speaks("desk", "seven")
    await group.comes("gajim")
    await group.speaks("gajim", "eight")
    await group.comes("phone")
    await group.all_read()

    for name in list(group.there):
        await group.goes(name)
    await strict.restart()
    stranger = await Slixmpp(strict, "nurse", "shelf", 31, Log()).begin()
    with pytest.raises(PresenceError) as refused:
        await stranger.join("nurse")
    assert refused.value.condition == "registration-required"
    await stranger.end()
    await group.comes("desk")
    await group.speaks("desk", "nine", "ten")
    for name in ("phone", "gajim"):
        await group.comes(name)
    await group.all_read()
    await group.speaks("gajim", "eleven")
    for name in list(group.there):
        await group.goes(name)
    assert [log.read for log in group.logs.values()] == [group.said] * 3
