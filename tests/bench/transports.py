#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: transports.py BUILD [COUNT]

What a message costs the server by each transport, all over TLS: a client
writes COUNT messages to itself, one at a time, and the CPU time of all the
server's threads is read before and after. Three rounds, the best of each."""

import asyncio
import base64
import glob
import os
import re
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from harness.server import Server  # noqa: E402

ROUNDS = 3
WARM = 300
PATIENCE = 60
AUTH = ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" +
        base64.b64encode(b"\0romeo\0secret").decode() + "</auth>")
BIND = ("<iq xmlns='jabber:client' type='set' id='b'><bind "
        "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
TO = "to='localhost' version='1.0'"
TCP_OPEN = ("<stream:stream xmlns='jabber:client' xmlns:stream="
            f"'http://etherx.jabber.org/streams' {TO}>")
WS_OPEN = f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' {TO}/>"


class Link:
    """Text both ways; `wrap` is what the transport puts around it."""

    def __init__(self, server, port):
        context = ssl.create_default_context(cafile=server.authority.pem)
        self.link = context.wrap_socket(
            socket.create_connection(("127.0.0.1", server.port[port]),
                                     PATIENCE), server_hostname="localhost")
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, text):
        self.link.sendall(self.wrap(text))

    def until(self, *words):
        """Reads until all words have come."""
        text = b""
        while not all(word in text for word in words):
            data = self.link.recv(65536)
            assert data, text
            text += data
        return text

    def login(self):
        self.send(self.open)
        self.until(b"PLAIN", b"features>")
        self.send(AUTH)
        self.until(b"<success")
        self.send(self.open)
        self.until(b"xmpp-bind", b"features>")
        self.send(BIND)
        return re.search(b"<jid>(.*)</jid>", self.until(b"</jid>"))[1].decode()

    def echo(self, text, mark):
        self.send(text)
        self.until(mark)


class Tcp(Link):
    open = TCP_OPEN

    def __init__(self, server):
        super().__init__(server, "tls")

    @staticmethod
    def wrap(text):
        return text.encode()


class Websocket(Link):
    open = WS_OPEN

    def __init__(self, server):
        super().__init__(server, "https")
        self.link.sendall(
            b"GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
            b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-protocol: xmpp\r\nsec-websocket-key: " +
            base64.b64encode(os.urandom(16)) + b"\r\n\r\n")
        self.until(b" 101 ", b"\r\n\r\n")

    @staticmethod
    def wrap(text):
        data, key = text.encode(), os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else \
            bytes([0x80 | 126]) + struct.pack(">H", len(data))
        return b"\x81" + size + key + bytes(
            b ^ key[i & 3] for i, b in enumerate(data))


class Bosh(Link):
    rid, sid = 1000, ""
    space = "xmlns:xmpp='urn:xmpp:xbosh'"

    def __init__(self, server):
        super().__init__(server, "https")

    def wrap(self, text, more=""):
        self.rid += 1
        body = ("<body xmlns='http://jabber.org/protocol/httpbind' "
                f"rid='{self.rid}' {self.sid} {more}>{text}</body>").encode()
        return (b"POST /http-bind HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: text/xml\r\ncontent-length: %d\r\n\r\n" %
                len(body)) + body

    def ask(self, text, word, more=""):
        self.link.sendall(self.wrap(text, more))
        answer = self.until(b"</body>")
        while word not in answer:
            self.send("")
            answer = self.until(b"</body>")
        return answer

    def login(self):
        answer = self.ask("", b"PLAIN", f"to='localhost' hold='1' wait='30' "
                          f"xmpp:version='1.0' {self.space}")
        self.sid = re.search(b"sid='[^']*'", answer)[0].decode()
        self.ask(AUTH, b"<success")
        self.ask("", b"xmpp-bind", "xmpp:restart='true' to='localhost' " +
                 self.space)
        return re.search(b"<jid>(.*)</jid>",
                         self.ask(BIND, b"</jid>"))[1].decode()

    def echo(self, text, mark):
        self.ask(text, mark)


def spent(server):
    """CPU time of all its threads, ns."""
    total = 0
    for path in glob.glob(f"/proc/{server.process.pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def measure(server, kind, count):
    """Microseconds of the server's CPU for each message."""
    link = kind(server)
    jid = link.login()
    before = 0
    for n in range(WARM + count):
        if n == WARM:
            before = spent(server)
        link.echo(f"<message xmlns='jabber:client' type='chat' to='{jid}' "
                  f"id='m{n}'><body>hello, how are you? {n}</body></message>",
                  f"? {n}</body>".encode())
    return (spent(server) - before) / count / 1000


async def main(build, count=10000):
    server = Server(build, {
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "tls", "tls": True},
            {"type": "http", "ip": "127.0.0.1", "port": "https",
             "tls": True}],
        "limits": {"c2s_rate": 0},
        "modules": {"websocket": {}, "bosh": {}, "offline": {}}})
    best = {}
    try:
        await server.start()
        await server.register("romeo")
        for _ in range(ROUNDS):
            for kind in (Tcp, Websocket, Bosh):
                cost = measure(server, kind, int(count))
                best[kind] = min(cost, best.get(kind, cost))
        await server.stop()
    finally:
        server.destroy()
    for kind, cost in best.items():
        print(f"{kind.__name__}: {cost:.1f} us, {cost / best[Tcp]:.2f} times")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
