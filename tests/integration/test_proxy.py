# SPDX-License-Identifier: MIT
"""The PROXY protocol: believed from whom the admin trusts, bounded, and off
everywhere else."""

import asyncio
import socket
import struct
import time

import pytest

from harness.client import Client
from harness.wire import Wire, client_context

pytestmark = pytest.mark.storeless("addresses come before any store")

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def listen(trusted):
    return {"listen": [
        {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
         "starttls": "optional"},
        {"type": "c2s", "ip": "127.0.0.1", "port": "proxy",
         "starttls": "optional", "proxy_protocol": trusted}],
        "limits": {"negotiation": "2s", "c2s_rate": 0}}


def v2(family, addresses, command=1, extra=b""):
    body = addresses + extra
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(
        "!H", len(body)) + body


V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + \
    struct.pack("!HH", 4711, 5222)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + \
    socket.inet_pton(socket.AF_INET6, "2001:db8::1") + \
    struct.pack("!HH", 4711, 5222)


@pytest.fixture
def trusting(make_server, event_loop):
    server = make_server(listen(["127.0.0.0/8"]))
    event_loop.run_until_complete(server.start())
    return server


async def log_in(server, header, user="romeo"):
    await server.register(user)
    client = Client(user)
    await client.connect(server.port["proxy"])
    client.wire.send(header)
    await client.open()
    await client.auth()
    await client.bind("x")
    return client


@pytest.mark.parametrize("header, ip", [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 5222\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 5222\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"PROXY UNKNOWN whatever follows\r\n", "127.0.0.1"),
    (v2(0x11, V4), "192.0.2.7"),
    (v2(0x21, V6), "2001:db8::7"),
    (v2(0x11, V4, extra=b"\x04\0\x03abc"), "192.0.2.7"),
    (v2(0x00, b"", command=0), "127.0.0.1"),
    (v2(0x11, V4, command=0), "127.0.0.1"),
])
async def test_believed(trusting, header, ip):
    """Both versions: the address is the one that the proxy tells."""
    await log_in(trusting, header)
    status, sessions = await trusting.api("connected_users_info")
    assert status == 200
    assert [s["ip"].removeprefix("::ffff:") for s in sessions] == [ip]


async def test_in_pieces(trusting):
    """The header may come byte by byte, and with the stream behind it."""
    await trusting.register("romeo")
    wire = await Wire().connect(trusting.port["proxy"])
    for byte in b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 5222\r\n<stream:stre":
        wire.send(bytes([byte]))
        # Each in a segment of its own.
        await trusting.pause()
    wire.send("am to='localhost' version='1.0' xmlns='jabber:client' "
              "xmlns:stream='http://etherx.jabber.org/streams'>")
    assert (await wire.next())[0] == "open"


@pytest.mark.parametrize("header", [
    b"<?xml version='1.0'?>",
    b"PROXY TCP4 192.0.2.7\r\n",
    b"PROXY TCP4 999.0.2.7 192.0.2.1 4711 5222\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 99999\r\n",
    b"PROXY TCP9 192.0.2.7 192.0.2.1 4711 5222\r\n",
    b"PROXY " + b"x" * 200,
    SIGNATURE + b"\x31\x11\0\x0c" + V4,
    SIGNATURE + b"\x21\x11\0\x04abcd",
    SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 70000,
    b"\r\n\r\n\0\r\nQUIX\n" + b"\0" * 16,
])
async def test_refused(trusting, header):
    """What is no header ends the connection, and nothing is answered."""
    wire = await Wire().connect(trusting.port["proxy"])
    wire.keep_raw = True
    wire.send(header)
    await wire.gone()
    assert not wire.raw
    await log_in(trusting, v2(0x11, V4))


async def test_silent(trusting):
    """Nor does it wait for one for ever."""
    wire = await Wire().connect(trusting.port["proxy"])
    wire.keep_raw = True
    wire.send(b"PROXY TCP4 192")
    await wire.gone()
    assert not wire.raw


async def test_untrusted(make_server):
    """Who is not a proxy is not believed, and comes as what he is."""
    server = make_server(listen(["192.0.2.0/24"]))
    await server.start()
    for header in (b"PROXY TCP4 10.0.0.1 192.0.2.1 4711 5222\r\n",
                   v2(0x11, V4)):
        wire = await Wire().connect(server.port["proxy"])
        wire.send(header)
        names = [e[1].elems()[0].name for e in await wire.gone()
                 if e[0] == "elem"]
        assert names in (["not-well-formed"], ["unsupported-encoding"])
    await log_in(server, b"")
    assert [s["ip"] for s in (await server.api("connected_users_info"))[1]
            ] == ["127.0.0.1"]


async def test_where_it_is_off(trusting):
    """A header where none is expected is no XML."""
    wire = await Wire().connect(trusting.port["c2s"])
    wire.send(b"PROXY TCP4 10.0.0.1 192.0.2.1 4711 5222\r\n")
    names = [e[1].elems()[0].name for e in await wire.gone()
             if e[0] == "elem"]
    assert names == ["not-well-formed"]


# How fast one address may begin with TLS ---------------------------------------

STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
HEADER = ("<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")


async def shake_hands(server, port, ip):
    """A connection of this address with TLS up, after how many seconds."""
    wire = await Wire().connect(server.port[port])
    wire.send(f"PROXY TCP4 {ip} 192.0.2.1 4711 5222\r\n")
    if port == "proxy":
        wire.send(HEADER + STARTTLS)
        while (await wire.next())[1].name != "proceed":
            pass
    start = time.monotonic()
    await wire.start_tls(client_context())
    wire.send(HEADER)
    assert (await wire.next())[0] == "open"
    spent = time.monotonic() - start
    wire.abort()
    return spent


@pytest.mark.parametrize("port", ["direct", "proxy"])
async def test_handshakes(make_server, port):
    """They wait when there are too many of one address, and are not refused;
    others don't wait, and nobody does who is here."""
    config = listen(["127.0.0.0/8"])
    config["listen"].append(
        {"type": "c2s", "ip": "127.0.0.1", "port": "direct", "tls": True,
         "proxy_protocol": ["127.0.0.0/8"]})
    config["limits"] = {"handshakes": "5/3s", "c2s_rate": 0}
    server = make_server({**config, "workers": 1})
    await server.start()
    many = [asyncio.create_task(shake_hands(server, port, "192.0.2.7"))
            for _ in range(12)]
    await asyncio.sleep(0)
    await shake_hands(server, port, "192.0.2.8")
    for _ in range(12):
        await shake_hands(server, port, "127.0.0.9")
    assert not all(task.done() for task in many)
    times = sorted(await asyncio.gather(*many))
    # Five at once, five when the time is over, and two one time later.
    assert times[4] < times[5] - 0.5 and times[9] < times[10] - 0.5
    assert times[5] > 2 and times[10] > 4
    await server.log_line("handshakes of 192.0.2.7 wait")
