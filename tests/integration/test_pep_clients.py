# SPDX-License-Identifier: MIT
"""Avatars, OMEMO's device lists and bookmarks, between slixmpp and nbxmpp (as
Gajim uses it), in both directions, on one server and across two; and all of it
after a restart, or after servers were killed as soon as they had answered."""

import asyncio
import json
import os
import sys
import xml.etree.ElementTree as ET

import pytest

slixmpp = pytest.importorskip("slixmpp")
pytest.importorskip("nbxmpp")

pytestmark = pytest.mark.workers(2)

HERE = os.path.dirname(os.path.abspath(__file__))
AVATAR = "urn:xmpp:avatar:metadata"
OMEMO = "eu.siacs.conversations.axolotl"
DEVICES = OMEMO + ".devicelist"
BOOKMARKS = "urn:xmpp:bookmarks:1"
# What is decoded as an image is for the clients to look at, not for us.
IMAGES = {user: b"\x89PNG\r\n\x1a\n" + user.encode()
          for user in ("romeo", "juliet")}
WAIT = 20


class Slixmpp(slixmpp.ClientXMPP):
    """Remembers what it was notified of."""

    def __init__(self, server, user, resource="slixmpp", host="localhost"):
        super().__init__(f"{user}@{host}/{resource}", "secret")
        self.daemon = server
        self.heard = []
        self.is_there = asyncio.Event()
        self.ca_certs = server.authority.pem
        for plugin in ("xep_0030", "xep_0060", "xep_0084", "xep_0115",
                       "xep_0163"):
            self.register_plugin(plugin)
        for node in (AVATAR, DEVICES, BOOKMARKS):
            self["xep_0030"].add_feature(node + "+notify")
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("pubsub_publish", self.on_event)

    async def on_start(self, _):
        await self["xep_0115"].update_caps()
        self.send_presence()
        self.is_there.set()

    def on_event(self, msg):
        for item in msg.xml.iter("{http://jabber.org/protocol/pubsub#event}"
                                 "item"):
            self.heard.append((msg["from"].bare,
                               msg["pubsub_event"]["items"]["node"],
                               item.get("id")))

    async def begin(self):
        self.connect(("127.0.0.1", self.daemon.port["c2s"]))
        await asyncio.wait_for(self.is_there.wait(), WAIT)
        return self

    async def hears(self, *what):
        await self.daemon.wait_for(lambda: what in self.heard,
                                   f"{what} at {self.boundjid}")

    async def publish(self, node, item, xml, **options):
        form = self["xep_0004"].make_form(ftype="submit")
        form.add_field(var="FORM_TYPE", ftype="hidden", value="http://"
                       "jabber.org/protocol/pubsub#publish-options")
        for name, value in options.items():
            form.add_field(var="pubsub#" + name, value=value)
        await self["xep_0060"].publish(
            self.boundjid.bare, node, id=item, options=form,
            payload=ET.fromstring(xml), timeout=WAIT)

    async def items(self, jid, node):
        """The payloads, by their ids."""
        answer = await self["xep_0060"].get_items(jid, node, timeout=WAIT)
        return {item["id"]: item["payload"]
                for item in answer["pubsub"]["items"]}

    async def end(self):
        await asyncio.wait_for(self.disconnect(), WAIT)


class Gajim:
    """nbxmpp_client.py, and what it has told."""

    def __init__(self, server, user, host="localhost"):
        self.server = server
        self.user = user
        self.host = host
        self.jid = f"{user}@{host}"
        self.told = []
        self.process = self.reader = None

    async def begin(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, os.path.join(HERE, "nbxmpp_client.py"), self.user,
            "gajim", str(self.server.port["c2s"]), self.host,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        self.reader = asyncio.ensure_future(self.read())
        await self.tells(event="login")
        return self

    async def read(self):
        async for line in self.process.stdout:
            self.told.append(json.loads(line))

    def find(self, **what):
        for one in self.told:
            if all(one.get(k) == v for k, v in what.items()):
                return one
        return None

    async def tells(self, **what):
        await self.server.wait_for(lambda: self.find(**what),
                                   f"{what} at {self.user}'s Gajim")
        return self.find(**what)

    async def ask(self, do, **args):
        self.told = [t for t in self.told if t["event"] != "answer"]
        self.process.stdin.write(
            json.dumps({"do": do, **args}).encode() + b"\n")
        await self.process.stdin.drain()
        answer = await self.tells(event="answer")
        assert "error" not in answer, answer
        return answer["data"]

    async def end(self):
        self.process.stdin.close()
        await asyncio.wait_for(self.process.wait(), WAIT)
        await self.reader


def devices(*ids):
    return f"<list xmlns='{OMEMO}'>" + "".join(
        f"<device id='{i}'/>" for i in ids) + "</list>"


async def gajim_publishes(gajim, friend, desk):
    """To a friend, and to another device of its own."""
    await gajim.ask("set_avatar", image=IMAGES["romeo"].hex())
    await gajim.ask("set_devices", devices=[11, 12])
    await gajim.ask("set_bookmark", jid="a@rooms.example", name="A")
    await friend.hears(gajim.jid, DEVICES, "current")
    await desk.hears(gajim.jid, BOOKMARKS, "a@rooms.example")
    sha = friend["xep_0084"].generate_id(IMAGES["romeo"])
    await friend.hears(gajim.jid, AVATAR, sha)


async def slixmpp_publishes(friend, gajim):
    plugin = friend["xep_0084"]
    sha = plugin.generate_id(IMAGES["juliet"])
    await plugin.publish_avatar(IMAGES["juliet"], timeout=WAIT)
    await plugin.publish_avatar_metadata([{
        "id": sha, "type": "image/png", "bytes": len(IMAGES["juliet"])}])
    await friend.publish(DEVICES, "current", devices(21), access_model="open")
    await friend.publish(
        BOOKMARKS, "b@rooms.example",
        f"<conference xmlns='{BOOKMARKS}' name='B' autojoin='true'/>",
        persist_items="true", max_items="max", access_model="whitelist",
        send_last_published_item="never")
    told = await gajim.tells(event="pubsub", jid=friend.boundjid.bare,
                             node=DEVICES)
    assert told["data"] == [21]
    await gajim.tells(event="pubsub", jid=friend.boundjid.bare, node=AVATAR,
                      id=sha)
    # Bookmarks are nobody else's business.
    assert gajim.find(jid=friend.boundjid.bare, node=BOOKMARKS) is None


async def all_is_there(gajim, friend, desk):
    """What one has published the other can get, and reads as it was."""
    sha = friend["xep_0084"].generate_id(IMAGES["romeo"])
    found = await friend["xep_0084"].retrieve_avatar(
        gajim.jid, sha, timeout=WAIT)
    item = found["pubsub"]["items"]["item"]
    assert item["avatar_data"]["value"] == IMAGES["romeo"]
    found = await friend.items(gajim.jid, DEVICES)
    assert [d.get("id") for d in found["current"]] == ["11", "12"]
    with pytest.raises(slixmpp.exceptions.IqError) as refused:
        await friend.items(gajim.jid, BOOKMARKS)
    assert refused.value.condition == "not-allowed"
    found = await desk.items(gajim.jid, BOOKMARKS)
    assert found["a@rooms.example"].get("name") == "A"

    sha = friend["xep_0084"].generate_id(IMAGES["juliet"])
    found = await gajim.ask("get_avatar", jid=friend.boundjid.bare, id=sha)
    assert found["data"] == IMAGES["juliet"].hex()
    assert await gajim.ask("get_devices", jid=friend.boundjid.bare) == [21]
    found = await gajim.ask("get_bookmarks")
    assert [(b["jid"], b["name"], b["autojoin"]) for b in found] == [
        ("a@rooms.example", "A", True)]
    found = await friend.items(friend.boundjid.bare, BOOKMARKS)
    assert found["b@rooms.example"].get("name") == "B"


async def begin(romeos, juliets, hosts):
    return (await Gajim(romeos, "romeo", hosts[0]).begin(),
            await Slixmpp(juliets, "juliet", host=hosts[1]).begin(),
            await Slixmpp(romeos, "romeo", "desk", hosts[0]).begin())


async def befriend(romeos, juliets, hosts):
    for server, a, b in ((romeos, 0, 1), (juliets, 1, 0)):
        user = ("romeo", "juliet")
        await server.ctl_ok("register", user[a], hosts[a], "secret")
        await server.ctl_ok("add_rosteritem", user[a], hosts[a], user[b],
                            hosts[b], user[b], "", "both")


async def exchange(romeos, juliets, hosts, restart):
    await befriend(romeos, juliets, hosts)
    clients = await begin(romeos, juliets, hosts)
    gajim, friend, desk = clients
    await gajim_publishes(gajim, friend, desk)
    await slixmpp_publishes(friend, gajim)
    await all_is_there(*clients)
    for client in clients:
        await client.end()

    await restart()
    clients = await begin(romeos, juliets, hosts)
    gajim, friend, _ = clients
    # They need not even ask.
    await friend.hears(gajim.jid, DEVICES, "current")
    await gajim.tells(event="pubsub", jid=friend.boundjid.bare, node=DEVICES)
    await all_is_there(*clients)
    for client in clients:
        await client.end()


async def test_avatars_keys_bookmarks(server):
    await exchange(server, server, ("localhost", "localhost"), server.restart)


async def test_across_two_servers(federation):
    hosts = ("b.test", "a.test")
    juliets, romeos = await federation.start()

    async def kill():
        for one in (romeos, juliets):
            await one.kill()
            await one.start()

    await exchange(romeos, juliets, hosts, kill)
