# SPDX-License-Identifier: MIT
"""Input that is meant to hurt: each gets the answer of the standard, and
nobody else notices."""

import asyncio
import base64
import os
import random
import resource
import socket
import sqlite3
import ssl
import statistics
import time

import pytest

from harness import sasl
from harness.client import Client, Failure
from harness.wire import Silence, Wire, client_context
from harness.xml import NS_SASL2

HEADER = ("<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")
AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'"
IS_SANITIZED = "asan" in os.environ.get("ROOKERY_BUILD", "")


def entity_bomb():
    lines = ["<!ENTITY a0 'ha'>"]
    lines += [f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)]
    return "<?xml version='1.0'?><!DOCTYPE x [" + "".join(lines) + "]>"


# What is sent, after login or before, and the stream errors that are right.
ATTACKS = {
    "entity bomb": (False, entity_bomb(), ["restricted-xml"]),
    "external entity": (
        False, "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" + HEADER,
        ["restricted-xml"]),
    "entity bomb later": (True, "<!DOCTYPE x [<!ENTITY a 'b'>]>",
                          ["restricted-xml", "not-well-formed"]),
    "comment": (False, HEADER + "<!-- x -->", ["restricted-xml"]),
    "instruction": (False, HEADER + "<?x y?>", ["restricted-xml"]),
    "undeclared entity": (True, "<message><body>&foo;</body></message>",
                          ["restricted-xml", "not-well-formed"]),
    "bad utf-8": (True, b"<message><body>\xed\xa0\x80</body></message>",
                  ["not-well-formed", "bad-format"]),
    "utf-8 beyond": (True, b"<message><body>\xf4\x90\x80\x80</body></message>",
                     ["not-well-formed", "bad-format"]),
    "overlong quote": (True, b"<message to='a\xc0\xa7/>",
                       ["not-well-formed", "bad-format"]),
    "not a character": (True, "<message><body>\ufffe</body></message>",
                        ["not-well-formed", "bad-format"]),
    "control": (True, "<message><body>\x08</body></message>",
                ["not-well-formed", "bad-format"]),
    "separator in namespace": (True, b"<message xmlns:a='x\x0cy'><a:b/>",
                               ["not-well-formed"]),
    "end of CDATA in text": (True, "<message><body>]]></body></message>",
                             ["not-well-formed"]),
    "big attribute": (False, HEADER + AUTH + " x='" + "A" * 1000000,
                      ["policy-violation"]),
    "deep": (False, HEADER + "<a>" * 200000, ["policy-violation"]),
    "attributes": (False, HEADER + "<a " + " ".join(
        f"a{n}=''" for n in range(20000)), ["policy-violation"]),
    "namespaces": (False, HEADER + "<a " + " ".join(
        f"xmlns:n{n}='u{n}'" for n in range(10000)), ["policy-violation"]),
    "big attribute later": (True, "<message x='" + "A" * 1000000,
                            ["policy-violation"]),
    "big text later": (True, "<message><body>" + "A" * 400000,
                       ["policy-violation"]),
    "many small entities": (True, "<message><body>" + "&lt;" * 100000,
                            ["policy-violation"]),
    "deep later": (True, "<message>" + "<a>" * 5000, ["policy-violation"]),
    "wide later": (True, "<message>" + "<a/>" * 30000, ["policy-violation"]),
    "attributes later": (True, "<message " + " ".join(
        f"a{n}=''" for n in range(20000)) + "/>", ["policy-violation"]),
    "namespaces later": (True, "<message " + " ".join(
        f"xmlns:n{n}='u{n}'" for n in range(10000)) + "/>",
        ["policy-violation"]),
    "long name": (False, HEADER + "<" + "a" * 20000, ["policy-violation"]),
    "spoofed": (True, "<message from='juliet@localhost' to='juliet@localhost'>"
                "<body>x</body></message>", ["invalid-from"]),
    "spoofed host": (True, "<iq from='localhost' to='juliet@localhost/x' "
                     "id='1' type='set'><query xmlns='jabber:iq:roster'/></iq>",
                     ["invalid-from"]),
    "message before login": (False, HEADER + "<message to='juliet@localhost'>"
                             "<body>x</body></message>", ["not-authorized"]),
    "nested stream": (True, HEADER + "</stream:stream>",
                      ["bad-format", "unsupported-stanza-type"]),
    "second document": (True, "</stream:stream>" + HEADER, [None]),
    "http": (False, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ["not-well-formed"]),
    "tls": (False, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 99,
            ["not-well-formed", "unsupported-encoding"]),
    "binary": (False, bytes(random.Random(1).randbytes(5000)),
               ["not-well-formed", "unsupported-encoding",
                "policy-violation"]),
}


async def answer_to(server, later, data):
    """The stream error that this brings, after the connection has ended."""
    if later:
        client = await server.client("tybalt", resource="x")
    else:
        client = Client("tybalt")
        await client.connect(server.port["c2s"])
    if isinstance(data, str):
        data = data.encode()
    client.wire.send(data)
    for event in await client.wire.gone():
        if event[0] == "elem" and event[1].name == "error":
            return event[1].elems()[0].name
    return None


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack(server, name):
    """The stream error that fits, the end, and others untouched."""
    later, data, right = ATTACKS[name]
    juliet = await server.client("juliet", resource="x")
    before = server.memory()
    assert await answer_to(server, later, data) in right
    await juliet.ping("localhost")
    assert not juliet.wire.events
    if not IS_SANITIZED:
        assert server.memory() - before < 4096


@pytest.mark.parametrize("kind", ["direct", "STARTTLS"])
async def test_entity_bomb_over_tls(server, kind):
    """Row 1: TLS has no parser of its own; nothing is expanded."""
    async def throw():
        client = Client("tybalt")
        if kind == "direct":
            await client.connect(server.port["tls"], tls=client_context())
        else:
            await client.connect(server.port["c2s"])
            await client.open()
            client.wire.send(STARTTLS)
            assert (await client.elem()).name == "proceed"
            await client.wire.start_tls(client_context())
        client.wire.send(entity_bomb())
        said = [e[1] for e in await client.wire.gone() if e[0] == "elem"]
        assert [e.elems()[0].name for e in said] == ["restricted-xml"]

    juliet = await server.client("juliet", resource="x")
    # The first ones warm up what is allocated once.
    for _ in range(20):
        await throw()
    before = server.memory()
    for _ in range(20):
        await throw()
    await juliet.ping("localhost")
    if not IS_SANITIZED:
        assert server.memory() - before < 20 * 64


async def test_dripped_attribute(server):
    """Byte by byte the parser must not begin anew each time: the cost is
    linear."""
    romeo = await server.client("romeo", resource="x")
    # Read one by one, this is still within what may be looked at again.
    size = 30000
    before = cpu_time(server)
    romeo.wire.send("<message to='romeo@localhost/x' id='1' a='")
    for _ in range(size // 20):
        # Small segments, as many as the kernel makes of them.
        romeo.wire.send("A" * 20)
        await asyncio.sleep(0)
    romeo.wire.send("'/>")
    assert len((await romeo.elem()).get("a")) == size // 20 * 20
    spent = cpu_time(server) - before
    assert spent < (20 if IS_SANITIZED else 4)


def drip(port, start, answer, size, piece):
    """Sends an attribute in small writes behind what has that answer, until it
    is whole or the server has had enough: what that said, how much was
    sent."""
    sent, said = 0, b""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(30)
        try:
            sock.sendall(start)
            while answer not in said:
                said += sock.recv(65536)
            while sent < size:
                sock.sendall(b"A" * piece)
                sent += piece
        except ConnectionError:
            pass
        try:
            while more := sock.recv(65536):
                said += more
        except ConnectionError:
            pass
    return said, sent


@pytest.mark.parametrize("piece", [1, 7, 100])
async def test_dripped_megabyte(server, piece):
    """An attribute of a megabyte that comes in tiny writes ends where the limit
    is, before login and after it, and never costs much."""
    plain = sasl.b64(sasl.plain("romeo", "secret"))
    await server.register("romeo")
    later = (HEADER + f"{AUTH}>{plain}</auth>" + HEADER +
             "<iq type='set' id='b'><bind xmlns="
             "'urn:ietf:params:xml:ns:xmpp-bind'/></iq><message x='")
    for start, answer in ((HEADER + AUTH + " x='", b"</stream:features>"),
                          (later, b"romeo@localhost/")):
        before = cpu_time(server)
        said, sent = await asyncio.to_thread(
            drip, server.port["c2s"], start.encode(), answer, 1 << 20, piece)
        assert cpu_time(server) - before < (20 if IS_SANITIZED else 4)
        # A reset may have overtaken what was said.
        assert sent < 1 << 20 or b"policy-violation" in said
    await server.log_line("policy-violation")
    await (await server.client("romeo", register=False)).ping("localhost")


CDATA = "<![CDATA[<b/>]]]]><![CDATA[>&amp;]]>"


async def test_cdata_in_pieces(server):
    """Where CDATA ends does not hang on how its bytes come, and what is sent on
    is text that no parser takes for markup."""
    juliet = await server.client("juliet", resource="x")
    romeo = await server.client("romeo", resource="x")
    juliet.wire.keep_raw = True
    stanza = f"<message to='juliet@localhost/x'><body>{CDATA}</body></message>"
    for cut in range(stanza.index("<body>"), stanza.index("</body>") + 1):
        romeo.wire.send(stanza[:cut])
        await juliet.ping("localhost")
        romeo.wire.send(stanza[cut:])
        message = await juliet.elem()
        assert message.find("body").text == "<b/>]]>&amp;"
        assert not message.find("body").elems()
    assert b"]]>" not in juliet.wire.raw and b"<b/>" not in juliet.wire.raw


@pytest.mark.parametrize("pieces", [
    ["a]]", ">]]>"], ["a]", "]>]]>"], ["a", "]]>]]>"], ["a]]>", "]]>"],
    ["a]]]", ">]]>"], ["a]]>]", "]>"], ["a]]>]]", ">"]])
async def test_cdata_that_ends_twice(server, pieces):
    """After its first end, the second one is not well-formed."""
    juliet = await server.client("juliet", resource="x")
    romeo = await server.client("romeo", resource="x")
    start = "<message to='juliet@localhost/x'><body><![CDATA["
    for piece in [start, *pieces]:
        romeo.wire.send(piece)
        await juliet.ping("localhost")
    romeo.wire.send("</body></message>")
    said = [e[1] for e in await romeo.wire.gone() if e[0] == "elem"]
    assert [e.elems()[0].name for e in said] == ["not-well-formed"]
    await juliet.ping("localhost")
    assert not juliet.wire.events


def cpu_time(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


BAD_JIDS = ["@localhost", "romeo@", "romeo@localhost/", "a@b@localhost", "/x",
            "ro meo@localhost", "romeo@local host", "romeo\u200b\u0000"[:6] +
            "\u2028@localhost", "\u202eoemor@localhost", "a&quot;b@localhost",
            "a&apos;b@localhost", "a" * 1024 + "@localhost",
            "a@" + "b" * 1024, "a@localhost/" + "c" * 1024,
            "a@-localhost", "a@xn--\u00e9", "\ufdd0@localhost"]
ODD_JIDS = ["a/b@localhost/", "a/@/", "a//"]


async def complaint_about(romeo, text):
    """The type and the condition of the error that comes back for this."""
    romeo.send(text)
    answer = await romeo.elem()
    assert answer.get("type") == "error", text
    error = answer.find("error")
    return error.get("type"), error.elems()[0].name


async def test_bad_jids(server):
    """RFC 7622 on the way in: what is no address is said to be none."""
    romeo = await server.client("romeo", resource="x")
    for number, jid in enumerate(BAD_JIDS):
        for text in (f"<message to='{jid}' id='m{number}'/>",
                     f"<presence to='{jid}' id='p{number}'/>",
                     f"<presence to='{jid}' id='s{number}' type='subscribe'/>",
                     f"<iq to='{jid}' id='i{number}' type='get'>"
                     f"<ping xmlns='urn:xmpp:ping'/></iq>"):
            assert await complaint_about(romeo, text) == (
                "modify", "jid-malformed"), jid
    await romeo.ping("localhost")
    assert not romeo.wire.events


async def test_odd_jids(server):
    """The first slash ends the host: these are somewhere else, not wrong."""
    romeo = await server.client("romeo", resource="x")
    for number, jid in enumerate(ODD_JIDS):
        for text in (f"<message to='{jid}' id='m{number}'/>",
                     f"<presence to='{jid}' id='p{number}'/>",
                     f"<iq to='{jid}' id='i{number}' type='get'>"
                     f"<ping xmlns='urn:xmpp:ping'/></iq>"):
            assert await complaint_about(romeo, text) == (
                "cancel", "remote-server-not-found"), jid


async def test_log_injection(server):
    """One event, one line, whatever strangers call themselves."""
    evil = "x&#10;2026-01-01T00:00:00.000Z error core forged&#13;&#27;[31m"
    client = Client("x")
    await client.connect(server.port["c2s"])
    client.wire.send(HEADER.replace("'localhost'", f"'{evil}'", 1)
                     .replace("&#27;", "&#9;"))
    await client.wire.gone()
    for name in ("a\nb\r\u001b[31m\u202e", "y" * 5000):
        client = Client(name)
        await client.connect(server.port["c2s"])
        await client.open()
        with pytest.raises(Failure):
            await client.auth("PLAIN")
        client.close()
    await server.stop()
    for line in server.lines():
        assert line.startswith("20") and "\x1b" not in line
        assert len(line) < 5000
        assert "error core forged" not in line.split(" ")[1:3]
    assert not [x for x in server.lines() if x.startswith("2026-01-01T00:00")]


# Before login -----------------------------------------------------------------

def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(hard, 12000):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 12000), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


HELLO = bytes.fromhex("1603010200010001fc0303") + b"x" * 100
# All but the last byte of the longest that is taken.
LONG_HELLO = bytes.fromhex("16030117fb010017f70303") + b"x" * 6132
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
NAMED = base64.b64encode(b"n,,n=" + b"a" * 1023 + b",r=x").decode()
SCRAM = AUTH.replace("PLAIN", "SCRAM-SHA-256") + f">{NAMED}</auth>"


def whole_hello():
    """What a client begins with."""
    out = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), out)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


# Where they stop, and how many KiB each may cost there.
HALVES = {
    "nothing": ("c2s", b"", 4),
    "header": ("c2s", HEADER.encode(), 4),
    "drip": ("c2s", HEADER.encode(), 4),
    "half a tag": ("c2s", (HEADER + AUTH).encode(), 4),
    "TLS nothing": ("tls", b"", 4),
    "hello": ("tls", HELLO, 4),
    "long hello": ("tls", LONG_HELLO, 12),
    "STARTTLS hello": ("c2s", HELLO, 4),
    "declaration": ("c2s", b"<?xml version='1.0'?>", 4),
    "half an element": ("c2s", (HEADER + AUTH + ">AAAA").encode(), 4),
    "elements": ("c2s", (HEADER + "<a>" * 7 + "<b/>" * 22).encode(), 4),
    # What was said, which is at most 10 KB.
    "text": ("c2s", (HEADER + "<a>" + "A" * 9900).encode(), 16),
    "SCRAM": ("c2s", (HEADER + SCRAM).encode(), 16),
    # From here on it is what OpenSSL needs: while it shakes hands, and when it
    # has.
    "whole hello": ("tls", whole_hello(), 64),
    "TLS silent": ("tls", b"", 24),
    "TLS header": ("tls", HEADER.encode(), 24),
}


async def half_open(server, kind):
    port, data, _ = HALVES[kind]
    has_tls = kind in ("TLS silent", "TLS header")
    wire = await server.wire(port, tls=client_context() if has_tls else None)
    if kind == "STARTTLS hello":
        wire.send(HEADER + STARTTLS)
        while (await wire.next())[1].name != "proceed":
            pass
    wire.send(data)
    return wire


@pytest.mark.parametrize("kind", HALVES)
async def test_half_open(make_server, kind):
    """Thousands who never log in: they cost little, time out however they
    trickle, and nobody else has to wait."""
    data, most = HALVES[kind][1:]
    count, patience = 2000 if most <= 4 else 700, "4s"
    if kind == "header" and not IS_SANITIZED:
        count, patience = 10000, "20s"
    count = min(count, many_files() - 500)
    server = make_server({"limits": {"negotiation": patience, "c2s_rate": 0}})
    await server.start()
    await server.register("romeo")
    # The first ones warm up what is allocated once.
    crowd = [await half_open(server, kind) for _ in range(200)]
    before = server.memory()
    start = time.monotonic()
    for _ in range(count - 200):
        crowd.append(await half_open(server, kind))
    romeo = await server.client("romeo", register=False)
    await romeo.ping("localhost")
    each = (server.memory() - before) / (count - 200)
    if not IS_SANITIZED:
        assert each <= most, f"{each} KiB each"
    assert not crowd[-1].is_lost
    while not all(w.is_lost for w in crowd):
        assert time.monotonic() - start < 90
        if kind == "drip":
            for wire in crowd:
                wire.send(b" ")
        await asyncio.sleep(0.5)
    if data == HEADER.encode():
        said = crowd[-1].events
        assert any(e[0] == "elem" and e[1].find("connection-timeout")
                   is not None for e in said)
    await romeo.ping("localhost")


@pytest.mark.parametrize("how", ["white space", "pings", "failures"])
async def test_stay_after_failures(make_server, how):
    """Who has failed to log in does not get to stay by saying something: the
    deadline is that of the connection, what is sent but white space ends it at
    once, and so does the third failure."""
    server = make_server({"limits": {"negotiation": "6s"}})
    await server.start()
    await server.register("romeo")
    start = time.monotonic()
    client = Client("romeo", "wrong")
    client.source = "127.9.9.8"
    await client.connect(server.port["c2s"])
    await client.open()
    for _ in range(2):
        with pytest.raises(Failure):
            await client.auth("SCRAM-SHA-1")
    if how == "failures":
        with pytest.raises(Failure):
            await client.auth("PLAIN")
    elif how == "pings":
        client.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    while how == "white space" and not client.wire.is_lost:
        assert time.monotonic() - start < 60
        client.wire.send(" ")
        await asyncio.sleep(0.2)
    said = [e[1] for e in await client.wire.gone() if e[0] == "elem"]
    assert [e.elems()[0].name for e in said] == [
        {"white space": "connection-timeout", "pings": "not-authorized",
         "failures": "policy-violation"}[how]]
    assert how != "white space" or time.monotonic() - start > 5.5


async def test_crowd_leaves_nothing(make_server):
    """What a crowd took is not kept when it has gone."""
    server = make_server({"limits": {"negotiation": "6s", "c2s_rate": 0}})
    await server.start()
    await server.client("romeo")
    before = server.memory()
    half = HEADER + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' " \
        "mechanism='PLAIN'>" + "A" * 9500
    crowd = []
    for _ in range(min(1500, many_files() // 3)):
        crowd.append(await server.wire())
        crowd[-1].send(half)
    most = 0
    while not all(w.is_lost for w in crowd):
        most = max(most, server.memory())
        await asyncio.sleep(0.5)

    async def is_small():
        return server.memory() - before < (most - before) / 4

    await server.wait_until(is_small, "the end of what the crowd took")


async def test_dripped_hello(server):
    """A hello in records of one byte each, which come one by one: what came
    before is looked at again each time, but there is little of it."""
    hello = bytes.fromhex("010001fc0303") + b"x" * 505
    before = cpu_time(server)
    for _ in range(20):
        wire = await server.wire("tls")
        for byte in hello:
            wire.send(bytes.fromhex("1603010001") + bytes([byte]))
            await asyncio.sleep(0)
        assert not wire.is_lost
        wire.abort()
    assert cpu_time(server) - before < (20 if IS_SANITIZED else 4)


@pytest.mark.parametrize("piece", [">", "<b/>"])
async def test_dripped_tags(server, piece):
    """A stanza whose tags come one by one is read again each time, but no
    longer than one may be."""
    before = cpu_time(server)
    wire = await server.wire()
    wire.send(HEADER)
    wire.send("<a x='" + "y" * 8000 + "'>")
    for _ in range(3000):
        wire.send(piece)
        await asyncio.sleep(0)
    assert [e[1].elems()[0].name for e in await wire.gone()
            if e[0] == "elem" and e[1].name == "error"] == ["policy-violation"]
    spent = cpu_time(server) - before
    assert spent < (20 if IS_SANITIZED else 4), spent


async def test_connect_leaks_nothing(server):
    """Row 14: who comes and goes leaves nothing behind."""
    async def visit(number):
        wire = await server.wire()
        if number % 3:
            wire.send(HEADER)
            await wire.next()
        if number % 3 == 2:
            wire.cut()
        else:
            wire.abort()

    for number in range(600):
        await visit(number)
    before = server.memory()
    for number in range(3000):
        await visit(number)
    romeo = await server.client("romeo")
    await romeo.ping("localhost")
    if not IS_SANITIZED:
        assert server.memory() - before < 1024


async def test_crowd_logs_in(server):
    """Row 12: many at the same moment, all get in."""
    count = 100
    await asyncio.gather(*(server.register(f"u{n}") for n in range(count)))
    clients = await asyncio.gather(*(server.client(
        f"u{n}", register=False, starttls=True) for n in range(count)))
    await asyncio.gather(*(c.ping("localhost") for c in clients))


# Floods ---------------------------------------------------------------------

async def test_rate_limit(make_server):
    """Who sends too fast is read slowly; he is not kicked, nothing is lost,
    and others are not held up."""
    rate = 50000
    server = make_server({"limits": {"c2s_rate": rate}})
    await server.start()
    romeo = await server.client("romeo", resource="x")
    juliet = await server.client("juliet", resource="x")
    body = "A" * 1000
    count = 250
    start = time.monotonic()
    for number in range(count):
        romeo.send(f"<message to='juliet@localhost/x' id='{number}'>"
                   f"<body>{body}</body></message>")
    slowest = 0
    for number in range(count):
        assert (await juliet.elem()).get("id") == str(number)
        if number % 50 == 0:
            asked = time.monotonic()
            await juliet.ping("localhost")
            slowest = max(slowest, time.monotonic() - asked)
    took = time.monotonic() - start
    # A burst of a second or two is free.
    assert took > count * 1000 / rate - 3
    assert slowest < 3
    await romeo.ping("localhost")


@pytest.mark.parametrize("sm", [True, False], ids=["sm", "plain"])
async def test_slow_consumer(make_server, sm):
    """Who does not read fills a queue that has a bound; beyond it he is
    detached, others are not held up, and what he was sent is not lost."""
    server = make_server({"limits": {"session_queue": 65536,
                                     "stanza_size": 65536, "c2s_rate": 0,
                                     "offline_messages": 100000}})
    await server.start()
    juliet = await server.client("juliet", resource="x")
    if sm:
        await juliet.enable_sm()
    juliet.send("<presence/>")
    await juliet.elem()
    juliet.wire.transport.pause_reading()
    romeo = await server.client("romeo", resource="x")
    count = 3000
    for number in range(count):
        romeo.send(f"<message to='juliet@localhost' id='{number}' "
                   f"type='chat'><body>{'A' * 4000}</body></message>")
        if number % 100 == 99:
            await romeo.ping("localhost")
    await romeo.ping("juliet@localhost")
    errors = sum(e[0] == "elem" and e[1].get("type") == "error"
                 for e in romeo.wire.events)
    juliet.wire.transport.resume_reading()
    seen = set()
    why = None
    try:
        while True:
            event = await juliet.event(timeout=10)
            if event[0] == "elem" and event[1].name == "message":
                seen.add(int(event[1].get("id")))
            if event[0] == "elem" and event[1].name == "error":
                why = event[1].elems()[0].name
            if event[0] == "eof":
                break
    except Silence:
        pass
    again = await server.client("juliet", register=False, resource="y")
    again.send("<presence/>")
    while len(seen) < count - errors:
        elem = await again.elem()
        if elem.name == "message":
            seen.add(int(elem.get("id")))
    assert errors == 0
    # One that may resume is cut off without a word, as if the link had died.
    assert why == (None if sm else "resource-constraint")


# SASL -----------------------------------------------------------------------

async def first_step(server, user, mechanism="SCRAM-SHA-256", new=False):
    """What the server's first message says, and how long it took; by the new
    profile (SASL2), or the old one."""
    client = Client(user)
    await client.connect(server.port["tls" if new else "c2s"],
                         tls=client_context() if new else None)
    await client.open()
    scram = sasl.Scram(mechanism, user, "x")
    start = time.perf_counter()
    if new:
        client.wire.send(
            f"<authenticate xmlns='{NS_SASL2}' mechanism='{mechanism}'>"
            f"<initial-response>{sasl.b64(scram.first())}</initial-response>"
            "</authenticate>")
    else:
        client.begin_auth(mechanism, scram.first())
    challenge = (await client.sasl_answer("challenge")).decode()
    took = time.perf_counter() - start
    client.wire.abort()
    return dict(p.split("=", 1) for p in challenge.split(",")), took


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256",
                                       "SCRAM-SHA-512"])
async def test_no_enumeration(server, mechanism):
    """An unknown user has a salt like anybody, always the same one, also
    after a restart and by both profiles; it differs from that of others."""
    await server.register("romeo")
    known, _ = await first_step(server, "romeo", mechanism)
    one, _ = await first_step(server, "mercutio", mechanism)
    two, _ = await first_step(server, "mercutio", mechanism, new=True)
    other, _ = await first_step(server, "benvolio", mechanism)
    assert (one["s"], one["i"]) == (two["s"], two["i"])
    assert one["s"] != other["s"]
    assert one["i"] == known["i"]
    assert len(one["s"]) == len(known["s"])
    assert one["r"] != two["r"]
    await server.restart()
    assert (await first_step(server, "mercutio", mechanism))[0]["s"] == \
        one["s"]


async def shown(server, names, mechanism="SCRAM-SHA-1", new=False):
    """Salts and iterations by name."""
    steps = {name: (await first_step(server, name, mechanism, new))[0]
             for name in names}
    return {name: (step["s"], int(step["i"])) for name, step in steps.items()}


async def set_iterations(server, count):
    server.overrides["auth"]["scram_iterations"] = count
    server.write_config()
    await server.restart()


async def test_no_enumeration_by_iterations(make_server):
    """After auth.scram_iterations was changed, accounts of both times are
    there; so are unknown users: in proportion, each the same with every
    mechanism and profile, and after a restart."""
    nobody = [f"nobody{n}" for n in range(60)]
    server = make_server({"auth": {"scram_iterations": 4096}})
    await server.start()
    assert {i for _, i in (await shown(server, nobody)).values()} == {4096}
    for n in range(4):
        await server.register(f"old{n}")
    at_first = await shown(server, nobody)

    # The option alone changes nothing, for neither of them.
    await set_iterations(server, 5000)
    assert await shown(server, nobody) == at_first
    assert (await shown(server, ["old0"]))["old0"][1] == 4096

    for n in range(4):
        await server.register(f"new{n}")
    assert (await shown(server, ["new0"]))["new0"][1] == 5000
    later = await shown(server, nobody)
    counts = [i for _, i in later.values()]
    assert set(counts) == {4096, 5000}
    assert 8 < counts.count(5000) < 52
    # Who has other iterations has another salt, too, like anybody whose
    # password was changed; all others are as they were.
    for name, (salt, iterations) in later.items():
        assert (at_first[name][0] == salt) == (iterations == 4096)

    for mechanism, new in (("SCRAM-SHA-256", False), ("SCRAM-SHA-512", True)):
        got = await shown(server, nobody[:12], mechanism, new)
        assert [i for _, i in got.values()] == counts[:12]
    await server.restart()
    assert await shown(server, nobody) == later

    # More of the new: names go over to them, and none comes back.
    for n in range(4, 12):
        await server.register(f"new{n}")
    last = await shown(server, nobody)
    assert all(last[name] == later[name] for name in nobody
               if later[name][1] == 5000)
    assert [i for _, i in last.values()].count(5000) > counts.count(5000)


@pytest.mark.sqlite("writes to its file")
async def test_no_enumeration_of_brought(make_server):
    """An account that was brought from elsewhere, with keys of one mechanism:
    with the others it is shown what it has there, and unknown users are like
    it as soon as it has been seen."""
    server = make_server()
    await server.start()
    await server.register("romeo")
    await server.register("juliet")
    await server.stop()
    with sqlite3.connect(os.path.join(server.folder, "data",
                                      "rookery.db")) as base:
        base.execute("UPDATE account_key SET iterations = 5000 "
                     "WHERE jid = 'romeo@localhost'")
        base.execute("DELETE FROM account_key WHERE mechanism <> "
                     "'SCRAM-SHA-1' AND jid = 'romeo@localhost'")
    await server.start()
    pairs = set()
    for name in ["romeo"] + [f"nobody{n}" for n in range(40)]:
        pairs.add(tuple([(await shown(server, [name], m))[name][1]
                         for m in ("SCRAM-SHA-1", "SCRAM-SHA-256")]))
    assert pairs == {(4096, 4096), (5000, 5000)}
    salts = [(await shown(server, ["romeo"], "SCRAM-SHA-256"))["romeo"]
             for _ in range(2)]
    assert salts[0] == salts[1]


async def test_no_enumeration_by_time(server):
    """Nor does it answer faster or slower."""
    await server.register("romeo")
    times = {"romeo": [], "mercutio": []}
    for _ in range(150):
        for user, taken in times.items():
            taken.append((await first_step(server, user))[1])
    known, unknown = (statistics.median(t) for t in times.values())
    assert 0.4 < known / unknown < 2.5


async def test_no_enumeration_by_time_of_plain(make_server):
    """The same for PLAIN, whose password is hashed for everybody."""
    server = make_server({"auth": {"scram_iterations": 50000}})
    await server.start()
    await server.register("romeo")
    addresses = (f"127.9.{n // 250}.{n % 250 + 1}" for n in range(1000))
    times = {"romeo": [], "mercutio": []}
    for _ in range(40):
        for user, taken in times.items():
            client = Client(user, "wrong")
            # The second failure from an address would be answered late.
            client.source = next(addresses)
            await client.connect(server.port["c2s"])
            await client.open()
            began = time.perf_counter()
            with pytest.raises(Failure) as failure:
                await client.auth("PLAIN")
            taken.append(time.perf_counter() - began)
            assert failure.value.condition == "not-authorized"
            client.wire.abort()
    known, unknown = (statistics.median(t) for t in times.values())
    assert 0.6 < known / unknown < 1.6


@pytest.mark.parametrize("spoil", ["nonce", "binding", "proof", "no proof",
                                   "short proof", "no nonce", "reserved",
                                   "garbage", "empty"])
async def test_scram_final(server, spoil):
    """Final messages that are not what they should be."""
    await server.register("romeo")
    client = Client("romeo")
    await client.connect(server.port["c2s"])
    await client.open()
    scram = sasl.Scram("SCRAM-SHA-256", "romeo", "secret")
    client.begin_auth("SCRAM-SHA-256", scram.first())
    good = scram.final(await client.sasl_answer("challenge")).decode()
    fields = dict(p.split("=", 1) for p in good.split(","))
    bad = {
        "nonce": good.replace(fields["r"], scram.nonce),
        "binding": good.replace("c=biws", "c=eSws"),
        "proof": good[:-8] + "AAAAAAA=",
        "no proof": good.rsplit(",", 1)[0],
        "short proof": good.rsplit(",", 1)[0] + ",p=AAAA",
        "no nonce": f"c=biws,p={fields['p']}",
        "reserved": "m=x," + good,
        "garbage": "hello",
        "empty": "",
    }[spoil]
    client.respond(bad.encode() or b"=")
    with pytest.raises(Failure) as failure:
        await client.sasl_answer("success")
    assert failure.value.condition in ("not-authorized", "malformed-request")
    await client.auth("SCRAM-SHA-256")


async def test_scram_replay(server):
    """What was recorded does not work a second time."""
    await server.register("romeo")
    client = Client("romeo")
    await client.connect(server.port["c2s"])
    await client.open()
    scram = sasl.Scram("SCRAM-SHA-256", "romeo", "secret")
    client.begin_auth("SCRAM-SHA-256", scram.first())
    final = scram.final(await client.sasl_answer("challenge"))
    client.respond(final)
    await client.sasl_answer("success")
    thief = Client("romeo")
    await thief.connect(server.port["c2s"])
    await thief.open()
    thief.begin_auth("SCRAM-SHA-256", scram.first())
    await thief.sasl_answer("challenge")
    thief.respond(final)
    with pytest.raises(Failure):
        await thief.sasl_answer("success")


async def test_guessing_is_slow(server):
    """Failures from one address are answered the later the more there are;
    somebody else is not held up by them."""
    await server.register("romeo")
    start = time.monotonic()
    for _ in range(4):
        guesser = Client("romeo", "wrong")
        guesser.source = "127.9.9.9"
        await guesser.connect(server.port["c2s"])
        await guesser.open()
        with pytest.raises(Failure):
            await guesser.auth("SCRAM-SHA-1")
        guesser.close()
    assert time.monotonic() - start > 0.2
    await Wire().connect(server.port["c2s"])
    await (await server.client("romeo", register=False)).ping("localhost")
