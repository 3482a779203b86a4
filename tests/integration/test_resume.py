# SPDX-License-Identifier: MIT
"""Stream management under links that break: nothing is lost, nothing comes
twice, and all in order."""

import asyncio
import random

import pytest

from harness.client import Client, Failure, Silence

pytestmark = pytest.mark.workers(1, 2)


def message(to, number, kind="chat"):
    return (f"<message to='{to}' id='m{number}' type='{kind}'>"
            f"<body>{number}</body></message>")


async def resumed(server, old):
    """The same session over a new connection."""
    client = Client(old.user, old.password)
    await client.connect(server.port["c2s"])
    await client.open()
    await client.auth()
    await client.resume(old)
    return client


async def numbers(client, count, timeout=15):
    """The next messages, by number."""
    found = []
    while len(found) < count:
        elem = await client.elem(timeout)
        if elem.name == "message" and elem.get("type") != "error":
            found.append(int(elem.find("body").text))
    return found


async def test_cut_and_resume(server):
    """Row 3: a reset, fifty messages in between, resumption; many times."""
    romeo = await server.client("romeo", resource="r")
    juliet = await server.client("juliet", resource="j")
    await juliet.enable_sm()
    sent = 0
    for _ in range(20):
        juliet.cut()
        for _ in range(50):
            romeo.send(message("juliet@localhost/j", sent))
            sent += 1
        juliet = await resumed(server, juliet)
        assert await numbers(juliet, 50) == list(range(sent - 50, sent))
        await juliet.ping("localhost")
        assert not juliet.wire.events


async def test_cut_at_random(server):
    """Both sides' links break in the middle of it all."""
    random.seed(1)
    users = []
    for name in ("romeo", "juliet"):
        client = await server.client(name, resource="x")
        await client.enable_sm()
        client.send("<presence/>")
        users.append(client)
    got = {"romeo": [], "juliet": []}
    sent = {"romeo": 0, "juliet": 0}

    def drain(client):
        for event in client.wire.events:
            if event[0] == "elem" and event[1].name == "message":
                got[client.user].append(int(event[1].find("body").text))
        client.wire.events.clear()

    for _ in range(60):
        for index, client in enumerate(users):
            other = users[1 - index].user
            for _ in range(random.randrange(8)):
                client.send(message(f"{other}@localhost/x",
                                    sent[client.user]))
                sent[client.user] += 1
        await asyncio.sleep(random.random() * 0.01)
        index = random.randrange(2)
        drain(users[index])
        users[index].cut()
        users[index].wire.events.clear()
        users[index] = await resumed(server, users[index])
    for _ in range(3):
        for client in users:
            await client.ping("romeo@localhost")
            await client.ping("juliet@localhost")
    for client in users:
        drain(client)
    assert got["juliet"] == list(range(sent["romeo"]))
    assert got["romeo"] == list(range(sent["juliet"]))


@pytest.mark.parametrize("resource", ["x", "other"])
async def test_cut_and_fresh_login(server, resource):
    """Row 4: a client that logs in afresh has what waited at once: each
    message once, in order, stamped."""
    romeo = await server.client("romeo", resource="r")
    juliet = await server.client("juliet", resource="x")
    await juliet.enable_sm()
    juliet.send("<presence/>")
    await juliet.elem()
    juliet.sm_auto = False
    for number in range(25):
        romeo.send(message("juliet@localhost", number))
    await numbers(juliet, 25)
    juliet.cut()
    for number in range(25, 50):
        romeo.send(message("juliet@localhost", number))
    await romeo.ping("juliet@localhost")
    fresh = await server.client("juliet", register=False, resource=resource)
    fresh.send("<presence/>")
    found = []
    while len(found) < 50:
        elem = await fresh.elem()
        if elem.name == "message":
            found.append(int(elem.find("body").text))
            delay = elem.find("delay", "urn:xmpp:delay")
            assert delay is not None and delay.get("stamp")
    assert found == list(range(50))
    for _ in range(3):
        await fresh.ping("juliet@localhost")
    assert not [e for e in fresh.wire.events if e[1].name == "message"]
    # And not a second time when the old session comes to its end.
    assert await server.api("kick_user", user="juliet", host="localhost")
    again = await server.client("juliet", register=False, resource="z")
    again.send("<presence/>")
    await again.elem()
    for _ in range(3):
        await again.ping("juliet@localhost")
    assert not [e for e in again.wire.events if e[1].name == "message"]


async def test_many_detached(server):
    """Many sessions lose their links at once; all are resumed."""
    count = 60
    await asyncio.gather(*(server.register(f"u{n}") for n in range(count)))
    clients = await asyncio.gather(*(server.client(
        f"u{n}", register=False, resource="x") for n in range(count)))
    for client in clients:
        await client.enable_sm()
    romeo = await server.client("romeo", resource="r")
    for client in clients:
        client.cut()
    for number in range(count):
        romeo.send(message(f"u{number}@localhost/x", number))
    clients = await asyncio.gather(*(resumed(server, c) for c in clients))
    for number, client in enumerate(clients):
        assert await numbers(client, 1) == [number]


async def test_resume_over_tls(server):
    """Over another kind of connection, too."""
    juliet = await server.client("juliet", resource="x", starttls=True)
    await juliet.enable_sm()
    juliet.cut()
    romeo = await server.client("romeo", resource="r")
    romeo.send(message("juliet@localhost/x", 1))
    again = Client("juliet")
    await again.connect(server.port["c2s"])
    await again.open()
    await again.starttls()
    await again.auth()
    await again.resume(juliet)
    assert await numbers(again, 1) == [1]


async def test_expiry(make_server):
    """Resumption is over at some time; then what waited is offline."""
    server = make_server({"limits": {"resume": "1s", "c2s_rate": 0}})
    await server.start()
    romeo = await server.client("romeo", resource="r")
    juliet = await server.client("juliet", resource="x")
    await juliet.enable_sm()
    juliet.cut()
    romeo.send(message("juliet@localhost/x", 1))

    async def is_gone():
        return await server.api("num_resources", user="juliet",
                                host="localhost") == (200, 0)

    await server.wait_until(is_gone, "the session's end")
    with pytest.raises(Failure):
        await resumed(server, juliet)
    fresh = await server.client("juliet", register=False)
    fresh.send("<presence/>")
    assert await numbers(fresh, 1) == [1]


async def test_silent_link(server):
    """A link that dies without a word: what went into it is sent again when
    the client comes back, while the server still believes in the old one."""
    romeo = await server.client("romeo", resource="r")
    juliet = await server.client("juliet", resource="x")
    await juliet.enable_sm()
    juliet.wire.transport.pause_reading()
    for number in range(30):
        romeo.send(message("juliet@localhost/x", number))
    await romeo.ping("juliet@localhost")
    again = await resumed(server, juliet)
    assert await numbers(again, 30) == list(range(30))
    juliet.wire.abort()
    await again.ping("localhost")


async def test_unacknowledged_sender(server):
    """A sender that resends what was not acknowledged doubles nothing."""
    juliet = await server.client("juliet", resource="j")
    romeo = await server.client("romeo", resource="r")
    await romeo.enable_sm()
    for number in range(100):
        romeo.send(message("juliet@localhost/j", number))
        if number % 10 == 9:
            romeo.cut()
            romeo = await resumed(server, romeo)
    assert await numbers(juliet, 100) == list(range(100))
    await romeo.wait_ack()
    with pytest.raises(Silence):
        await juliet.elem(timeout=0.5)
