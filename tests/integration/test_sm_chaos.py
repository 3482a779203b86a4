# SPDX-License-Identifier: MIT
"""Stream management under a user's hard life: his devices lose their links,
resume, come back as if nothing had been, or while the old link still seems to
live. Whatever the order: nothing that was acknowledged is lost, and nothing
that a device has acknowledged reaches it again."""

import asyncio
import random

import pytest

from harness.client import Client, Failure
from harness.wire import PATIENCE

pytestmark = pytest.mark.workers(1, 2)

STEPS = 20
# What is tried is the spool, so clients do not read an archive.
MODULES = {name: {} for name in
           ("disco", "offline", "ping", "register")}


class Device:
    """One of Juliet's, with what it has got."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.client = None
        self.got = []
        self.unsure = set()  # the server may not know that we have them
        self.twice = []

    async def connect(self):
        client = Client("juliet")
        await client.connect(self.server.port["c2s"])
        await client.open()
        await client.auth()
        return client

    async def appear(self, client):
        await client.bind(self.name)
        await client.enable_sm()
        client.send("<presence/>")
        self.client = client

    async def come(self):
        await self.appear(await self.connect())

    async def resume(self):
        """Resumes, or logs in afresh when that is not possible any more."""
        old, client = self.client, await self.connect()
        self.read()
        try:
            await client.resume(old)
        except Failure:
            client.forget_sm()
            await self.appear(client)
            return
        self.client = client

    def read(self):
        while self.client.wire.events:
            event = self.client.wire.events.popleft()
            if event[0] == "elem":
                self.note(event[1])

    def note(self, elem):
        if elem.name != "message":
            return
        number = int(elem.get("id"))
        if number in self.got and number not in self.unsure:
            self.twice.append(number)
        self.got.append(number)
        if not self.client.sm_auto:
            self.unsure.add(number)

    async def fall_silent(self):
        """What was acknowledged so far has arrived; what comes now is not."""
        self.read()
        await self.client.ping()
        self.client.sm_auto = False
        self.read()

    async def cut(self):
        await self.fall_silent()
        self.client.cut()
        self.client.wire.events.clear()

    async def leave(self):
        if self.client.wire.is_lost:
            return
        self.client.wire.send("</stream:stream>")
        for event in await self.client.wire.gone():
            if event[0] == "elem":
                self.note(event[1])


class Story:
    def __init__(self, server, seed, count):
        self.rnd = random.Random(seed)
        self.romeo = Client("romeo")
        self.server = server
        self.devices = [Device(server, f"device{i}") for i in range(count)]
        self.sent = 0

    async def begin(self):
        await self.romeo.login(self.server.port["c2s"])
        await self.romeo.enable_sm()
        for device in self.devices:
            await device.come()

    async def send(self, targets):
        for _ in range(self.rnd.randrange(8)):
            self.sent += 1
            self.romeo.send(f"<message to='{self.rnd.choice(targets)}' "
                            f"type='chat' id='{self.sent}'>"
                            f"<body>{self.sent}</body></message>")
        await self.romeo.ping()

    async def happen(self, device, pause):
        chance = self.rnd.random()
        if chance < 0.3:
            await device.cut()
            await asyncio.sleep(self.rnd.random() * pause)
            if self.rnd.random() < 0.6:
                await device.resume()
            else:
                await device.come()
        elif chance < 0.4:
            await device.resume()
        elif chance < 0.5:
            await device.fall_silent()
            await asyncio.sleep(0.1)
            device.read()
            await device.come()
        else:
            device.read()

    async def end(self):
        """All is acknowledged, and has arrived where it can."""
        await self.romeo.wait_ack(timeout=PATIENCE)
        for device in self.devices:
            await device.client.ping()
            device.read()


async def make(make_server, seed, count, resume):
    server = make_server({
        "modules": MODULES,
        "limits": {"c2s_rate": 0, "resume": resume,
                   "sessions_per_account": 1000}})
    await server.start()
    for name in ("romeo", "juliet"):
        await server.ctl_ok("register", name, "localhost", "secret")
    story = Story(server, seed, count)
    await story.begin()
    return story


@pytest.mark.parametrize("seed,count", [(1, 1), (2, 2), (3, 3)])
async def test_devices(make_server, seed, count):
    """Each device gets all that is sent to its user, once."""
    story = await make(make_server, seed, count, "10m")
    for _ in range(STEPS):
        await story.send(["juliet@localhost"])
        await story.happen(story.rnd.choice(story.devices), 0.1)
    await story.end()
    for device in story.devices:
        missing = set(range(1, story.sent + 1)) - set(device.got)
        assert not missing, (device.name, missing)
        assert not device.twice, (device.name, device.twice)
        await device.leave()


@pytest.mark.parametrize("seed,count", [(5, 1), (6, 3)])
async def test_expiry(make_server, seed, count):
    """Sessions expire in between: what was for them finds another way, and
    nothing is left behind."""
    story = await make(make_server, seed, count, "1s")
    targets = ["juliet@localhost"] * 2
    targets += [f"juliet@localhost/{d.name}" for d in story.devices]
    for _ in range(STEPS):
        await story.send(targets)
        await story.happen(story.rnd.choice(story.devices), 2.5)
    await story.end()
    got = set()
    for device in story.devices:
        assert not device.twice, (device.name, device.twice)
        await device.leave()
        got |= set(device.got)
    missing = set(range(1, story.sent + 1)) - got
    assert not missing, missing
    last = Device(story.server, "last")
    await last.come()
    await last.client.ping()
    last.read()
    assert not set(last.got) - got
