# SPDX-License-Identifier: MIT
"""Acknowledged means kept: the server is killed, the disk is full, and what
was acknowledged is there."""

import asyncio
import os
import resource
import signal

import pytest

from harness.client import Client, Silence
from harness.wire import is_nonza

pytestmark = pytest.mark.workers(1, 2)

LIMITS = {"limits": {"c2s_rate": 0, "offline_messages": 1000000}}
# Without one, the spool alone answers for a message.
ARCHIVES = {"archive": {},
            "no archive": {"modules": {n: {} for n in ("disco", "offline")}}}


class Sender:
    """Sends numbered messages and notes how many are acknowledged."""

    def __init__(self, client, to):
        self.client = client
        self.to = to
        self.sent = 0
        self.before = 0
        client.on_ack = lambda h: None

    async def begin(self):
        await self.client.enable_sm()
        self.before = self.client.sent

    def send(self, count):
        text = "".join(
            f"<message to='{self.to}' type='chat' id='{n}'><body>{n} "
            f"{'x' * 50}</body></message>"
            for n in range(self.sent, self.sent + count))
        self.sent += count
        self.client.sent += count
        self.client.wire.send(text)
        self.client.request_ack()

    @property
    def acknowledged(self):
        return self.client.acked


async def collect(client, count):
    """Numbers of `count` messages and more, until nothing comes any more."""
    found = []
    while True:
        try:
            event = await client.event(15 if len(set(found)) < count else 1)
        except Silence:
            return found
        if event[0] == "eof":
            return found
        if event[0] == "elem" and event[1].name == "message":
            found.append(int(event[1].find("body").text.split()[0]))


async def flood(server, sender, total, kill_at):
    """Sends, and kills the server when that many are acknowledged."""
    while sender.acknowledged < kill_at:
        window = sender.sent - sender.acknowledged
        if sender.sent < total and window < 400:
            sender.send(50)
        await asyncio.sleep(0)
        if window >= 400 or sender.sent >= total:
            await asyncio.sleep(0.001)
        assert not sender.client.wire.is_lost, server.tail()
    await server.kill()
    while not sender.client.wire.is_lost:
        await asyncio.sleep(0.01)
    return sender.acknowledged


@pytest.mark.parametrize("recipient", ["offline", "online", "online-sm",
                                       "detached"])
@pytest.mark.slow(180)
async def test_kill(make_server, recipient):
    """Row 1: kill -9 in the midst of 10,000 messages; none that was
    acknowledged is missing."""
    server = make_server(LIMITS)
    await server.start()
    await server.register("juliet")
    seen = set()
    if recipient != "offline":
        juliet = await server.client("juliet", register=False, resource="j")
        if recipient != "online":
            await juliet.enable_sm()
        juliet.send("<presence/>")
        await juliet.elem()
        if recipient == "detached":
            juliet.cut()
    romeo = await server.client("romeo", resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    acknowledged = await flood(server, sender, 10000, 7000)
    if recipient.startswith("online"):
        # What has reached her has reached her.
        for event in juliet.wire.events:
            if event[0] == "elem" and event[1].name == "message":
                seen.add(int(event[1].find("body").text.split()[0]))
    await server.start()
    juliet = await server.client("juliet", register=False, resource="j")
    juliet.send("<presence/>")
    found = await collect(juliet, acknowledged - len(seen))
    assert len(found) == len(set(found)), "some came twice"
    assert found == sorted(found), "out of order"
    missing = set(range(acknowledged)) - set(found) - seen
    assert not missing, f"{len(missing)} of {acknowledged} are lost"
    if recipient == "offline":
        juliet.close()
        await server.restart()
        again = await server.client("juliet", register=False, resource="j")
        again.send("<presence/>")
        assert await collect(again, 0) == []


async def test_kill_again_and_again(make_server):
    """The same, shorter and many times, at any moment: tests/fault/run has
    the long one."""
    server = make_server(LIMITS)
    await server.start()
    await server.register("juliet")
    await server.register("romeo")
    next_number = 0
    kept = []
    for round_ in range(5):
        romeo = await server.client("romeo", register=False, resource="r")
        sender = Sender(romeo, "juliet@localhost")
        sender.sent = next_number
        await sender.begin()
        base = romeo.sent
        done = 0
        while done < 100 + 37 * round_:
            if sender.sent - next_number - done < 100:
                sender.send(10)
            await asyncio.sleep(0.0005)
            done = max(0, romeo.acked - base)
        await server.kill()
        done = max(0, romeo.acked - base)
        kept += range(next_number, next_number + done)
        next_number = sender.sent
        await server.start()
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    found = await collect(juliet, len(kept))
    assert len(found) == len(set(found))
    assert not set(kept) - set(found)


async def test_kill_and_roster(make_server):
    """An iq's result is an acknowledgement as well."""
    server = make_server()
    await server.start()
    romeo = await server.client("romeo")
    for number in range(50):
        await romeo.ask(f"<query xmlns='jabber:iq:roster'><item "
                        f"jid='c{number}@localhost'/></query>", "set")
    await server.register("paris")
    await server.kill()
    await server.start()
    romeo = await server.client("romeo", register=False)
    roster = await romeo.ask("<query xmlns='jabber:iq:roster'/>")
    assert len(roster.find("query").elems()) == 50
    await server.client("paris", register=False)


async def test_stop_keeps_all(make_server):
    """An orderly stop: what was in flight to a client is there again."""
    server = make_server(LIMITS)
    await server.start()
    juliet = await server.client("juliet", resource="j")
    await juliet.enable_sm()
    juliet.sm_auto = False
    juliet.send("<presence/>")
    await juliet.elem()
    romeo = await server.client("romeo", resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    romeo.on_ack = None
    sender.send(200)
    await romeo.wait_ack(sender.before + 200)
    await server.restart()
    juliet = await server.client("juliet", register=False, resource="j")
    juliet.send("<presence/>")
    assert await collect(juliet, 200) == list(range(200))


def small_files(size):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


def biggest_database(server):
    """The log must not hit the same limit."""
    data = os.path.join(server.folder, "data")
    return max(os.path.getsize(os.path.join(data, name))
               for name in os.listdir(data) if name.endswith(".db"))


@pytest.mark.sqlite("PostgreSQL's files are another process's: tests/fault "
                    "fills its disk")
@pytest.mark.parametrize("archive", ["archive", "no archive"])
async def test_disk_full(make_server, archive):
    """Row 10: no room for another byte. The sender gets an error, or no
    acknowledgement; nothing that was acknowledged is lost, and the server
    lives on, and works again when there is room."""
    server = make_server({**LIMITS, **ARCHIVES[archive]})
    server.announce("disk|full|store|database|write|too large|failures")
    await server.start()
    await server.register("juliet")
    await server.register("romeo")
    await server.stop()
    size = biggest_database(server)
    await server.start(preexec_fn=small_files(size + 300000))
    romeo = await server.client("romeo", register=False, resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    failed, refused = False, set()
    body = "y" * 2000
    number = 0
    while not failed and number < 2000:
        romeo.send(f"<message to='juliet@localhost' type='chat' "
                   f"id='{number}'><body>{number} {body}</body></message>")
        number += 1
        if number % 20 == 0:
            romeo.request_ack()
            await asyncio.sleep(0.05)
        for event in list(romeo.wire.events):
            if event[0] == "elem" and event[1].get("type") == "error":
                refused.add(int(event[1].get("id")))
                failed = True
        failed = failed or romeo.wire.is_lost
        if number > 400 and romeo.sent - romeo.acked > 300:
            failed = True
    assert failed, "the disk never was full"
    await asyncio.sleep(0.2)
    romeo.request_ack()
    for _ in range(20):
        await asyncio.sleep(0.05)
    for event in list(romeo.wire.events):
        if event[0] == "elem" and event[1].get("type") == "error":
            refused.add(int(event[1].get("id")))
    acknowledged = set(range(romeo.acked - sender.before)) - refused
    assert server.is_alive
    tybalt = Client("romeo")
    await tybalt.connect(server.port["c2s"])
    await tybalt.open()
    await tybalt.auth()
    await server.kill()
    await server.start()
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    found = set(await collect(juliet, len(acknowledged)))
    # One that an archive refused may be in the other, and be there.
    assert not acknowledged - found, len(acknowledged - found)


@pytest.mark.sqlite("PostgreSQL's files are another process's: tests/fault "
                    "fills its disk")
@pytest.mark.parametrize("archive", ["archive", "no archive"])
async def test_disk_full_while_held(make_server, archive):
    """What a client has not acknowledged can't be kept for it: each sender is
    told once, and his count goes on."""
    count = 400
    server = make_server({**LIMITS, **ARCHIVES[archive]})
    server.announce("disk|full|store|database|write|too large|failures")
    await server.start()
    await server.register("juliet")
    await server.register("romeo")
    await server.stop()
    size = biggest_database(server)
    await server.start(preexec_fn=small_files(size + 200000))
    juliet = await server.client("juliet", register=False, resource="j")
    await juliet.enable_sm()
    juliet.sm_auto = False
    juliet.send("<presence/>")
    await juliet.elem()
    romeo = await server.client("romeo", register=False, resource="r")
    await romeo.enable_sm()
    for number in range(count):
        romeo.send(f"<message to='juliet@localhost' type='chat' "
                   f"id='{number}'><body>{'y' * 2000}</body></message>")
    await romeo.wait_ack()
    refused = [event[1].get("id") for event in romeo.wire.events
               if event[0] == "elem" and event[1].get("type") == "error"]
    assert refused and len(refused) == len(set(refused))
    assert server.is_alive


@pytest.mark.sqlite("PostgreSQL's files are another process's")
async def test_retraction_on_a_full_disk(make_server):
    """Who could not take something back is told, and may try again."""
    server = make_server(LIMITS)
    server.announce("disk|full|store|database|write|too large|failures|lost")
    await server.start(preexec_fn=small_files(2 ** 30))
    pid = server.process.pid
    await server.register("juliet")
    romeo = await server.client("romeo", resource="r")
    await romeo.enable_sm()
    retraction = ("<message to='juliet@localhost' type='chat' id='sorry'>"
                  "<retract xmlns='urn:xmpp:message-retract:1' id='oops'/>"
                  "</message>")

    async def archived():
        romeo.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/>"
                   "</iq>")
        bodies = []
        while (elem := await romeo.elem()).name != "iq":
            bodies.append("body" if "<body>" in str(elem) else "none")
        return bodies

    romeo.send("<message to='juliet@localhost' type='chat' id='oops'>"
               "<body>oops</body></message>")
    await romeo.wait_ack()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, 2 ** 30))
    romeo.send(retraction)
    answer = await romeo.elem()
    assert (answer.get("id"), answer.get("type")) == ("sorry", "error")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2 ** 30, 2 ** 30))
    romeo.send(retraction)
    await server.wait_until(lambda: is_taken_back(archived), "the tombstone")


async def is_taken_back(archived):
    return "body" not in await archived()


async def test_acks_wait_for_the_disk(make_server):
    """The count that is acknowledged never runs ahead of what is durable, and
    an <r/> is answered all the same."""
    server = make_server(LIMITS)
    await server.start()
    await server.register("juliet")
    romeo = await server.client("romeo", resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    romeo.on_ack = None
    sender.send(500)
    answer = await romeo.take(lambda e: is_nonza(e, "a"))
    assert 0 <= int(answer.get("h")) <= romeo.sent
    await romeo.wait_ack()
