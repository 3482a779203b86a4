# SPDX-License-Identifier: MIT
"""Acknowledged means kept: the server is killed, the disk is full, and what
was acknowledged is there."""

import asyncio
import contextlib
import os
import re
import resource
import signal
import sqlite3

import pytest

from harness import sasl
from harness.client import Client, Failure, Silence, Unexpected
from harness.disk import EXIT_STATUS, Disk, Memory, NoDisk
from harness.server import ServerError
from harness.wire import client_context, is_nonza
from harness.xml import NS_SASL2

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


async def collect(client, count, attribute=None):
    """Numbers of `count` messages and more, until nothing comes any more; or
    what they say in an attribute."""
    found = []
    while True:
        try:
            event = await client.event(15 if len(set(found)) < count else 1)
        except Silence:
            return found
        if event[0] == "eof":
            return found
        if event[0] == "elem" and event[1].name == "message":
            found.append(event[1].get(attribute) if attribute else
                         int(event[1].find("body").text.split()[0]))


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


# A disk with troubles ---------------------------------------------------------

only_sqlite = pytest.mark.sqlite("PostgreSQL's files are another process's")


def on_a_disk(server, kind=Disk):
    """Whose troubles the test decides about; to be called before it starts."""
    try:
        return kind(server)
    except NoDisk as why:
        pytest.skip(str(why))


async def h_of(client):
    """What the server counts as kept for good. An answer waits for what is
    under way, but not for long."""
    client.request_ack()
    answer = await client.take(lambda e: is_nonza(e, "a"))
    return int(answer.get("h"))


@only_sqlite
async def test_acks_wait_for_the_disk(make_server):
    """The count that is acknowledged never runs ahead of what is durable, and
    an <r/> is answered all the same: a server that dies while the disk holds
    all up has what it said, and nothing else."""
    server = make_server(LIMITS)
    disk = on_a_disk(server)
    await server.start()
    await server.register("juliet")
    romeo = await server.client("romeo", resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    romeo.on_ack = None
    sender.send(100)
    await romeo.wait_ack()
    with disk.stalled():
        sender.send(200)
        await server.wait_for(lambda: disk.is_waited_for, "a write")
        # An answer that is no write's does not let the count run ahead.
        await romeo.ping("localhost")
        assert await h_of(romeo) == 100
        await server.kill()
    await server.start()
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    assert await collect(juliet, 100) == list(range(100))


@only_sqlite
async def test_disk_stalls(make_server):
    """Row 9: for some seconds nothing gets to the disk. Who needs it waits
    (as who comes back would, behind the time of his last logout), all others
    do not, and nobody is told what is not so."""
    server = make_server(LIMITS)
    disk = on_a_disk(server)
    await server.start()
    guests = ["tybalt", "paris"]
    for user in ["juliet", *guests]:
        await server.register(user)
    mercutio = await server.client("mercutio", resource="m")
    romeo = await server.client("romeo", resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    romeo.on_ack = None
    sender.send(50)
    await romeo.wait_ack()
    clock = asyncio.get_running_loop()
    with disk.stalled():
        sender.send(200)
        await server.wait_for(lambda: disk.is_waited_for, "a write")
        for user in guests:
            for client in (romeo, mercutio):
                await client.ask("<ping xmlns='urn:xmpp:ping'/>",
                                 to="localhost", timeout=1)
            began = clock.time()
            guest = await server.client(user, register=False)
            guest.send("<presence/>")
            await guest.elem()
            assert clock.time() - began < 2
            guest.close()
            assert await h_of(romeo) == 50
        assert disk.is_waited_for
    await romeo.wait_ack()
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    assert await collect(juliet, 250) == list(range(250))


def wishes(number, friend):
    """One of everything that has to be kept, with its kind."""
    return {
        "message": f"<message to='juliet@localhost' type='chat' id='{number}'>"
                   f"<body>{number}</body></message>",
        "roster": f"<iq type='set' id='{number}'><query "
                  f"xmlns='jabber:iq:roster'><item jid='c@localhost' "
                  f"name='{number}'/></query></iq>",
        "private": f"<iq type='set' id='{number}'><query "
                   f"xmlns='jabber:iq:private'><x xmlns='urn:test'>{number}"
                   f"</x></query></iq>",
        "subscription": f"<presence to='{friend}@localhost' type='subscribe' "
                        f"id='{number}'/>",
    }


async def kept(romeo):
    """The name of his contact, what is stored, and whom he asks."""
    roster = await romeo.ask("<query xmlns='jabber:iq:roster'/>")
    items = roster.find("query").elems()
    private = await romeo.ask("<query xmlns='jabber:iq:private'>"
                              "<x xmlns='urn:test'/></query>")
    return ([item.get("name") for item in items
             if item.get("jid") == "c@localhost"],
            private.find("query").elems()[0].text,
            sorted(item.get("jid") for item in items
                   if item.get("ask") == "subscribe"))


@only_sqlite
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
async def test_disk_fails(make_server, error):
    """Row 10, to the letter: whatever can't be kept is refused by an error
    that says "wait", and is not half there; when the disk is well again so is
    the server, at once."""
    server = make_server({**LIMITS, "modules": {
        name: {} for name in ("offline", "ping", "private")}})
    server.announce("disk|full|database|write|failures|I/O")
    disk = on_a_disk(server)
    await server.start()
    for user in ("juliet", "nurse", "paris"):
        await server.register(user)
    romeo = await server.client("romeo", resource="r")
    await romeo.enable_sm()
    asked = []
    for number, friend in enumerate(("nurse", "paris")):
        was = await kept(romeo)
        with disk.failing(error):
            for kind, text in wishes(f"bad{number}", friend).items():
                romeo.send(text)
                answer = await romeo.elem()
                assert answer.get("type") == "error", kind
                complaint = answer.find("error")
                assert (complaint.get("type"), complaint.elems()[0].name) == (
                    "wait", "internal-server-error"), kind
            # An error is an answer: they are counted all the same.
            await romeo.wait_ack()
        assert await kept(romeo) == was
        for text in wishes(f"good{number}", friend).values():
            romeo.send(text)
        await romeo.wait_ack()
        asked.append(f"{friend}@localhost")
        is_kept = ([f"good{number}"], f"good{number}", asked)
        assert await kept(romeo) == is_kept
        romeo.wire.events.clear()
    await server.kill()
    await server.start()
    romeo = await server.client("romeo", register=False)
    assert await kept(romeo) == is_kept
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    assert await collect(juliet, 2, "id") == ["good0", "good1"]


@only_sqlite
@pytest.mark.workers(2)
async def test_stop_while_the_disk_stalls(make_server):
    """A disk that does not come back does not keep the server from ending, or
    from starting anew; what it had acknowledged is there."""
    await asyncio.gather(*(stop_while_stalled(make_server, how)
                           for how in ("stop", "restart")))


async def stop_while_stalled(make_server, how):
    server = make_server(LIMITS)
    server.announce("storage has not answered|cut off|was refused")
    disk = on_a_disk(server)
    await server.start()
    await server.register("juliet")
    romeo = await server.client("romeo", resource="r")
    sender = Sender(romeo, "juliet@localhost")
    await sender.begin()
    sender.send(100)
    await server.wait_for(lambda: romeo.acked == 100)
    with disk.stalled():
        sender.send(100)
        await server.wait_for(lambda: disk.is_waited_for, "a write")
        server.expects_exit = how == "stop"
        mark = os.path.getsize(server.log_path)
        await server.api(how)
        await server.log_line("storage has not answered", mark, 30)
        if how == "stop":
            assert await server.wait_exit() == 1
        else:
            await server.log_line("rookeryd .* configuration", mark)
            assert server.is_alive
    assert romeo.acked == 100
    if how == "stop":
        await server.start()
    else:
        await server.log_line("ready", mark)
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    assert await collect(juliet, 100) == list(range(100))


# How a client sees that its server has ended, or can't do what it should.
CUT_SHORT = (OSError, IndexError, Unexpected, Silence, ServerError)


class Scene:
    """A little of everything, and what of it was acknowledged."""

    def __init__(self, server):
        self.server = server
        self.users = []
        self.has_contact = False
        self.romeo = None

    async def begin(self):
        await self.server.start()
        for user in ("romeo", "juliet"):
            await self.server.register(user)
            self.users.append(user)

    async def talk(self):
        self.romeo = await self.server.client("romeo", register=False)
        await self.romeo.ask("<query xmlns='jabber:iq:roster'><item "
                             "jid='c@localhost'/></query>", "set")
        self.has_contact = True
        await self.romeo.enable_sm()
        for number in range(3):
            self.romeo.send(f"<message to='juliet@localhost' type='chat' "
                            f"id='{number}'><body>{number}</body></message>")
            await self.romeo.wait_ack()

    async def play(self, *parts):
        """True: to the end, False: to that of the server, or an error."""
        try:
            for part in parts:
                await part()
        except CUT_SHORT:
            return False
        return True

    def refused(self):
        """The messages of which the sender knows that they were not kept."""
        events = self.romeo.wire.events if self.romeo else ()
        return {int(event[1].get("id")) for event in events
                if event[0] == "elem" and event[1].name == "message"
                and event[1].get("type") == "error"}

    async def check_again(self, why):
        """The same of a server that has started anew after that."""
        await self.server.kill()
        await self.server.start()
        try:
            await self.check()
        except AssertionError as what:
            raise AssertionError(f"{why}: {what}") from what
        await self.server.kill()

    async def check(self):
        """What was acknowledged is there, and nothing twice."""
        count = self.romeo.acked if self.romeo else 0
        refused = self.refused()
        for user in ("romeo", "juliet"):
            if user not in self.users:
                status, _ = await self.server.api(
                    "register", user=user, host="localhost",
                    password="secret")
                assert status in (200, 409)
        romeo = await self.server.client("romeo", register=False)
        roster = await romeo.ask("<query xmlns='jabber:iq:roster'/>")
        assert len(roster.find("query").elems()) in (
            (1,) if self.has_contact else (0, 1))
        juliet = await self.server.client("juliet", register=False)
        juliet.send("<presence/>")
        awaited = len(set(range(count)) - refused)
        for found in (*await numbers_of(juliet, awaited),
                      (await numbers_of(romeo, 0))[1]):
            least = max([count, *(number + 1 for number in found)])
            assert found == sorted(set(found)), found
            assert set(range(least)) - refused <= set(found), found


async def numbers_of(client, count):
    """Of the messages that come, at least so many, and of those that its
    archive has. What waited may come behind whatever else was asked."""
    came, archived = [], []
    while len(came) < count:
        elem = await client.elem()
        if elem.name == "message":
            came.append(number_in(elem))
    client.send("<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'/></iq>")
    while (elem := await client.elem()).get("id") != "all":
        if elem.name == "message":
            (archived if elem.find("result") else came).append(number_in(elem))
    return came, archived


def number_in(elem):
    """Of a message, or of the one that an archive has."""
    return int(re.search("<body>(.)</body>", str(elem))[1])


# Of the writes of a new database and of the scene, the server ends at each of
# these; ROOKERY_FAULT_STEP=1 takes them all.
STEP = int(os.environ.get("ROOKERY_FAULT_STEP", "4"))


@only_sqlite
async def test_end_at_any_write(make_server, workers):
    """Row 2, write by write: the server ends at the n-th, half of which is on
    the disk, and the next one makes good what that one has said."""
    call = (workers * STEP + 1) // 2  # others, with others
    was_there = True
    while was_there:
        server = make_server(LIMITS)
        disk = on_a_disk(server)
        scene = Scene(server)
        disk.end_at(call)
        if not await scene.play(scene.begin, scene.talk):
            assert await server.wait_exit() == EXIT_STATUS
        was_there = disk.calls >= call
        disk.end_at(0)
        await scene.check_again(f"ended at write {call}")
        call += STEP
    assert call > 80, "the disk was never there"


@pytest.mark.sqlite("what libpq asks for is another matter")
@pytest.mark.slow(600)
async def test_memory_is_refused(make_server, workers):
    """Row 11, as the house has it: at any call for memory there is none. The
    server says so and ends, or a library does without and one request fails.
    Nothing acknowledged is lost, and whoever comes next is served."""
    step = STEP * 8 if STEP > 1 else 1
    call = (workers * step + 1) // 2
    was_there = True
    while was_there:
        server = make_server(LIMITS)
        server.announce("")  # whoever had none may say so
        memory = on_a_disk(server, Memory)
        scene = Scene(server)
        await scene.begin()
        memory.refuse_at(call)
        await scene.play(scene.talk)
        was_there = memory.was_refused
        memory.refuse_at(0)
        if " critical " in server.lines()[-1]:
            assert await server.wait_exit() == -signal.SIGABRT
        else:
            await (await server.client("juliet", register=False)).ping()
        await scene.check_again(f"refused at call {call}")
        call += step
    assert call > 200, "memory was never asked for"


async def test_acks_in_the_end(make_server):
    """An <r/> is answered while writes are under way, by what is kept: that is
    there though the server dies at once. If it lives, all are counted."""
    server = make_server(LIMITS)
    await server.start()
    await server.register("romeo")
    for user, count in (("juliet", 0), ("nurse", 500)):
        await server.register(user)
        romeo = await server.client("romeo", register=False, resource="r")
        sender = Sender(romeo, f"{user}@localhost")
        await sender.begin()
        romeo.on_ack = None
        sender.send(500)
        await romeo.take(lambda e: is_nonza(e, "a"))
        await romeo.wait_ack(count)
        await server.kill()
        await server.start()
        assert count <= romeo.acked <= 500
        recipient = await server.client(user, register=False)
        recipient.send("<presence/>")
        found = await collect(recipient, romeo.acked)
        assert found == list(range(max(romeo.acked, len(found))))


@only_sqlite
@pytest.mark.parametrize("new", [False, True], ids=["SASL", "SASL2"])
async def test_account_not_loaded(make_server, new):
    """RFC 6120, 4.9.3.10: the password is right, but what else belongs to the
    account can't be read: that is said, and nobody else suffers."""
    server = make_server(LIMITS)
    server.announce("kv|storage|database|store")
    await server.start()
    for user in ("romeo", "juliet"):
        await server.register(user)
    # Registering has loaded them; a start has not.
    await server.restart()
    juliet = await server.client("juliet", register=False, resource="x")
    path = os.path.join(server.folder, "data", "rookery.db")
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as base:
        base.execute("ALTER TABLE kv RENAME TO lost")
    romeo = Client("romeo")
    await romeo.connect(server.port["tls"], tls=client_context())
    await romeo.open()
    romeo.wire.keep_raw = True
    plain = sasl.plain("romeo", "secret")
    if new:
        romeo.wire.send(
            f"<authenticate xmlns='{NS_SASL2}' mechanism='PLAIN'>"
            f"<initial-response>{sasl.b64(plain)}</initial-response>"
            "<bind xmlns='urn:xmpp:bind:0'/></authenticate>")
    else:
        romeo.begin_auth("PLAIN", plain)
    # By SASL it may begin a stream of its own to say so, or answer ours.
    await romeo.wire.gone()
    said = romeo.wire.raw.decode()
    assert ("<success" in said) == (not new)
    assert "<stream:error><internal-server-error" in said
    await juliet.ping("localhost")
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as base:
        base.execute("ALTER TABLE lost RENAME TO kv")
    await (await server.client("romeo", register=False)).ping("localhost")
