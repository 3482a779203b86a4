# SPDX-License-Identifier: MIT
"""A connection to the server that shows what comes over it, and can be cut
like a real one."""

import asyncio
import collections
import socket
import ssl
import struct

from harness.xml import BadXml, NS_SM, StreamParser

# How long a test waits for what must come: long, for busy machines.
PATIENCE = 15


class Silence(Exception):
    """What was waited for has not come in time."""


def client_context(ca=None, alpn=None, newest=None, oldest=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    if newest:
        context.maximum_version = newest
    if oldest:
        context.minimum_version = oldest
    return context


class Wire(asyncio.Protocol):
    """Events are ("open", Elem), ("elem", Elem), ("close",) for the end of
    the stream, ("eof",) for that of the connection, ("bad", text) for what is
    not XML."""

    def __init__(self):
        self.transport = None
        self.parser = None
        self.events = collections.deque()
        self.arrived = asyncio.Event()
        self.is_lost = False
        self.raw = bytearray()
        self.keep_raw = False
        self.on_elem = None
        self.restart()

    # asyncio's side

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.keep_raw:
            self.raw += data
        try:
            self.parser.feed(data)
        except BadXml as error:
            self.add(("bad", str(error)))

    def eof_received(self):
        return False

    def connection_lost(self, exc):
        self.is_lost = True
        self.add(("eof",))

    def add(self, event):
        if event[0] == "elem" and self.on_elem and self.on_elem(event[1]):
            return
        self.events.append(event)
        self.arrived.set()

    # ours

    async def connect(self, port, host="127.0.0.1", tls=None, name=None,
                      **options):
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.create_connection(
            lambda: self, host, port, ssl=tls,
            server_hostname=(name or "localhost") if tls else None,
            **options), PATIENCE)
        return self

    async def start_tls(self, context, name="localhost"):
        loop = asyncio.get_running_loop()
        self.restart()
        self.transport = await asyncio.wait_for(loop.start_tls(
            self.transport, self, context, server_hostname=name), PATIENCE)

    def restart(self):
        """A new stream begins."""
        self.parser = StreamParser(self.add)

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        if not self.is_lost:
            self.transport.write(data)

    async def next(self, timeout=PATIENCE):
        """The next event; Silence if none comes."""
        if not self.events:
            self.arrived.clear()
            try:
                await asyncio.wait_for(self.arrived.wait(), timeout)
            except asyncio.TimeoutError:
                raise Silence(f"nothing came within {timeout} s") from None
        return self.events.popleft()

    async def gone(self, timeout=PATIENCE):
        """Waits until the server has closed; what it still said."""
        events = []
        while not self.is_lost or self.events:
            events.append(await self.next(timeout))
        return events

    @property
    def ssl_object(self):
        return self.transport.get_extra_info("ssl_object")

    def cut(self):
        """The link is lost: a reset, without a word."""
        if self.transport is None or self.is_lost:
            return
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        self.transport.abort()
        self.is_lost = True

    def close(self):
        if self.transport is not None and not self.is_lost:
            self.transport.close()

    def abort(self):
        if self.transport is not None:
            self.transport.abort()


def is_nonza(elem, name):
    return elem.ns == NS_SM and elem.name == name
