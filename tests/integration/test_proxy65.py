# SPDX-License-Identifier: MIT
"""XEP-0065: the relay for files between clients."""

import asyncio
import hashlib

import pytest

from harness.client import Failure

NS = "http://jabber.org/protocol/bytestreams"
PROXY = "proxy.localhost"


@pytest.fixture
def make_relay(make_server):
    async def make(**options):
        server = make_server({
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "c2s", "ip": "127.0.0.1", "port": "tls",
                 "tls": True},
                {"type": "proxy65", "ip": "127.0.0.1", "port": "relay"}],
            "modules": {"disco": {}, "proxy65": options}})
        await server.start()
        return server
    return make


def address(sid, requester, target):
    return hashlib.sha1(f"{sid}{requester}{target}".encode()).hexdigest()


class Socket:
    """A client of the relay."""

    @classmethod
    async def open(cls, server):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", server.port["relay"])
        return self

    async def ask(self, data, size):
        self.writer.write(data)
        return await self.read(size)

    async def read(self, size):
        return await asyncio.wait_for(self.reader.readexactly(size), 20)

    async def over(self):
        assert await asyncio.wait_for(self.reader.read(1), 20) == b""

    async def greet(self):
        assert await self.ask(b"\5\1\0", 2) == b"\5\0"

    async def connect(self, name):
        """The reply's code."""
        await self.greet()
        answer = await self.ask(
            b"\5\1\0\3" + bytes([len(name)]) + name.encode() + b"\0\0",
            5 + 40 + 2)
        assert answer[:1] == b"\5" and answer[2:5] == b"\0\3\x28"
        if answer[1] == 0:
            assert answer[5:] == name.encode() + b"\0\0"
        return answer[1]

    async def close(self):
        self.writer.close()


async def activate(client, sid, target):
    return await client.ask(
        f"<query xmlns='{NS}' sid='{sid}'><activate>{target}</activate>"
        f"</query>", "set", to=PROXY)


async def refused(future):
    with pytest.raises(Failure) as caught:
        await future
    return str(caught.value)


async def connected(server, sid, requester, target):
    ends = []
    for _ in range(2):
        end = await Socket.open(server)
        assert await end.connect(address(sid, requester, target)) == 0
        ends.append(end)
    return ends


@pytest.mark.workers(1, 2)
async def test_relay(make_relay):
    """Found, connected, activated; then both ways, more than buffers hold."""
    server = await make_relay(address="relay.example.org", rate=0)
    romeo = await server.client("romeo")
    juliet = await server.client("juliet")
    info = (await romeo.ask(
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        to=PROXY)).find("query")
    assert info.find("identity").get("category") == "proxy"
    assert NS in [f.get("var") for f in info.elems()]
    found = (await romeo.ask(f"<query xmlns='{NS}'/>", to=PROXY)).find(
        "query").find("streamhost")
    assert found.attrs == {"jid": PROXY, "host": "relay.example.org",
                           "port": str(server.port["relay"])}

    for sid in ("one", "two", "three"):
        a, b = await connected(server, sid, romeo.jid, juliet.jid)
        await activate(romeo, sid, juliet.jid)
        data = bytes(range(256)) * 16384
        for one, other in ((a, b), (b, a)):
            one.writer.write(data)
            assert await other.read(len(data)) == data
        a.writer.write(b"the end")
        await a.close()
        assert await b.read(7) == b"the end"
        await b.over()
    await server.log_line(r"relayed 8388615 bytes")


async def test_not_active(make_relay):
    """Nothing passes before; who asks must be he whom the address names."""
    server = await make_relay()
    romeo = await server.client("romeo")
    juliet = await server.client("juliet")
    assert "item-not-found" in await refused(
        activate(romeo, "x", juliet.jid))
    a = await Socket.open(server)
    assert await a.connect(address("x", romeo.jid, juliet.jid)) == 0
    assert "not-allowed" in await refused(activate(romeo, "x", juliet.jid))
    b = await Socket.open(server)
    assert await b.connect(address("x", romeo.jid, juliet.jid)) == 0
    third = await Socket.open(server)
    assert await third.connect(address("x", romeo.jid, juliet.jid)) == 2
    await third.over()
    for wrong in (activate(juliet, "x", romeo.jid),
                  activate(juliet, "x", juliet.jid),
                  activate(romeo, "y", juliet.jid),
                  activate(romeo, "x", "juliet@localhost")):
        assert "item-not-found" in await refused(wrong)
    for wrong in ("", "a" * 201):
        assert "bad-request" in await refused(
            activate(romeo, wrong, juliet.jid))
    assert "bad-request" in await refused(activate(romeo, "x", "@"))
    b.writer.write(b"early")
    await activate(romeo, "x", juliet.jid)
    assert await a.read(5) == b"early"
    assert "not-allowed" in await refused(activate(romeo, "x", juliet.jid))
    await a.close()
    await b.over()


async def test_strangers(make_relay):
    """Other hosts' users may neither ask where it is nor activate."""
    server = await make_relay()
    other = await server.client("romeo", host="capulet.example")
    assert "forbidden" in await refused(
        other.ask(f"<query xmlns='{NS}'/>", to=PROXY))
    assert "forbidden" in await refused(activate(other, "x", "a@localhost/b"))


@pytest.mark.parametrize("data, answer", [
    (b"\5\1\2", b"\5\xff"),                      # only with a password
    (b"\4\1\0\1\2\3\4\0", b""),                  # SOCKS4
    (b"GET / HTTP/1.1\r\n\r\n", b""),
    (b"\5\1\0" + b"\5\2\0\3\x28" + b"a" * 42, b"\5\0\5\7"),   # BIND
    (b"\5\1\0" + b"\5\1\0\1\1\2\3\4\0\0", b"\5\0\5\x08"),     # IPv4
    (b"\5\1\0" + b"\5\1\0\3\x05hello\0\0", b"\5\0\5\x08"),
    (b"\5\1\0" + b"\5\1\0\3\x28" + b"X" * 40 + b"\0\0", b"\5\0\5\x08"),
    (b"\5\1\0" + b"\5\1\0\3\x28" + b"a" * 40 + b"\0\1", b"\5\0\5\x08"),
    (b"\5\1\0" + b"\5\1\0\3\x28" + b"a" * 40 + b"\0\0" + b"x" * 5000, None),
], ids=lambda v: repr(v)[:24] if isinstance(v, bytes) else "")
async def test_bad(make_relay, data, answer):
    """What is not SOCKS5 as section 6 has it ends the connection."""
    server = await make_relay()
    end = await Socket.open(server)
    end.writer.write(data)
    got = b""
    while True:
        try:
            more = await asyncio.wait_for(end.reader.read(1000), 20)
        except ConnectionError:
            break
        if not more:
            break
        got += more
    if answer is not None:
        assert got[:len(answer)] == answer
        assert answer or not got


async def test_too_many(make_relay):
    """One address can't take all the places."""
    server = await make_relay()
    ends = []
    for i in range(51):
        end = await Socket.open(server)
        # Of the same home, whatever the number of workers.
        ends.append(await end.connect("00000000" + f"{i:032x}"))
    assert ends == [0] * 50 + [2]


async def test_limit(make_relay):
    """More than may be relayed ends it."""
    server = await make_relay(max_size=100000)
    romeo = await server.client("romeo")
    a, b = await connected(server, "x", romeo.jid, "juliet@localhost/x")
    await activate(romeo, "x", "juliet@localhost/x")
    a.writer.write(b"x" * 100000)
    await b.read(100000)
    b.writer.write(b"x")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await a.read(1)
    await server.log_line("more than 100000 bytes")
