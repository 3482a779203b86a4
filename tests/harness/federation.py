# SPDX-License-Identifier: MIT
"""Servers that talk to each other, and strangers that pretend to be one of
them. Names are told by a name server of the test's own."""

import asyncio
import base64
import socket
import ssl
import struct

from harness import ports
from harness.dns import NameServer
from harness.wire import PATIENCE, Wire, client_context

NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


class Federation:
    """Servers of one domain each, a.test and b.test."""

    def __init__(self, make_server, authority):
        self.make_server = make_server
        self.authority = authority
        self.names = None
        self.servers = {}

    async def start(self, require="certificate", authorities=None, tls=False,
                    domains=("a.test", "b.test"), s2s=None,
                    limits=None, modules=None, services=(), strangers=None):
        """Services are names below the domain that can be reached."""
        self.names = await NameServer().start()
        for domain in domains:
            await self.add(domain, require, (authorities or {}).get(domain),
                           tls, s2s, limits, modules, services, strangers)
        return [self.servers[d] for d in domains]

    async def add(self, domain, require, authority, tls, s2s=None,
                  limits=None, modules=None, services=(), strangers=None):
        names = (domain, *(f"{name}.{domain}" for name in services))
        server = self.make_server({
            "hosts": [domain],
            "admins": [],
            "dns": {"servers": [self.names.address]},
            "s2s": {"ca_file": self.authority.pem, "require": require,
                    "timeout": "20s", "retry": "1s", **(s2s or {})},
            "limits": limits or {},
            # Its users have no rosters.
            "host_config": {domain: {"modules": {"strangers": {
                "sender_messages": "unlimited",
                "account_messages": "unlimited",
                "offline_max": 1000000,
                **(strangers or {})}}}},
            **({"modules": modules} if modules else {}),
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s",
                 **({"tls": True} if tls else {})},
            ],
        }, hosts=names, **({"authority": authority} if authority else {}))
        await server.start()
        service = "xmpps-server" if tls else "xmpp-server"
        for name in names:
            self.names.add_srv(f"_{service}._tcp.{name}", server.port["s2s"],
                               f"xmpp.{domain}")
        self.names.add_a(f"xmpp.{domain}", "127.0.0.1")
        self.servers[domain] = server

    async def users(self):
        juliet = await self.servers["a.test"].client("juliet", host="a.test")
        romeo = await self.servers["b.test"].client("romeo", host="b.test")
        return juliet, romeo


def is_message(text):
    def fits(elem):
        body = elem.find("body")
        return elem.name == "message" and body is not None and \
            body.text == text
    return fits


def is_presence(kind, sender=None):
    return lambda e: e.name == "presence" and e.get("type") == kind and (
        sender is None or e.get("from").startswith(sender))


def is_error(condition):
    def fits(elem):
        error = elem.find("error")
        return error is not None and error.elems()[0].name == condition
    return fits


async def say(one, other, text):
    one.send(f"<message to='{other.jid}' type='chat'><body>{text}</body>"
             f"</message>")
    got = await other.take(is_message(text))
    assert got.get("from") == one.jid and got.get("to") == other.jid


async def both_ways(juliet, romeo):
    await say(juliet, romeo, "ay me")
    await say(romeo, juliet, "she speaks")
    await juliet.ping("b.test")
    await romeo.ping("a.test")


class Stranger:
    """The other side of an incoming stream, by hand."""

    def __init__(self, server, domain, to="a.test"):
        self.server, self.domain, self.to = server, domain, to
        self.wire = None
        self.id = None

    def header(self):
        self.wire.restart()
        self.wire.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
            "xmlns:stream='http://etherx.jabber.org/streams' "
            "xmlns:db='jabber:server:dialback' version='1.0' "
            f"from='{self.domain}' to='{self.to}'>")

    async def elem(self):
        kind, *rest = await self.wire.next()
        assert kind == "elem", (kind, rest)
        return rest[0]

    async def open(self):
        self.header()
        kind, root = await self.wire.next()
        assert kind == "open"
        self.id = root.get("id")
        return await self.elem()

    async def connect(self, certificate=None):
        self.wire = await Wire().connect(self.server.port["s2s"])
        features = await self.open()
        if features.name != "features":
            return features
        assert features.find("starttls", NS_TLS) is not None
        assert features.find("mechanisms", NS_SASL) is None
        self.wire.send(f"<starttls xmlns='{NS_TLS}'/>")
        assert (await self.elem()).name == "proceed"
        context = client_context()
        if certificate:
            context.load_cert_chain(certificate)
        await self.wire.start_tls(context, self.to)
        return await self.open()

    async def external(self, domain):
        text = base64.b64encode(domain.encode()).decode()
        self.wire.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>{text}"
                       "</auth>")
        return (await self.elem()).name

    async def ends(self, condition):
        error = await self.elem()
        assert error.name == "error" and error.elems()[0].name == condition
        await self.wire.gone()


class Proxy:
    """Between two servers: it can cut all that goes through it, let nothing
    in for a while, or hold everything without a word, as if the cable were
    out."""

    def __init__(self, target):
        self.target = target
        self.port = ports.take()
        self.server = None
        self.writers = set()
        self.links = 0
        self.is_closed = False
        self.passes = asyncio.Event()
        self.passes.set()

    async def start(self):
        self.server = await asyncio.start_server(
            self.serve, "127.0.0.1", self.port)
        return self

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.passes.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def serve(self, reader, writer):
        if self.is_closed:
            writer.transport.abort()
            return
        self.links += 1
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        pair = {writer, back}
        self.writers |= pair
        await asyncio.gather(self.pump(reader, back),
                             self.pump(there, writer))
        self.writers -= pair

    def cut(self):
        for writer in list(self.writers):
            sock = writer.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
            writer.transport.abort()

    def freeze(self):
        self.passes.clear()

    def thaw(self):
        self.passes.set()

    def close(self):
        self.thaw()
        self.cut()
        self.server.close()
        ports.release(self.port)


class Visit(Wire):
    """One connection that a server has opened to us: the receiving side of
    its outgoing stream, by hand."""

    def __init__(self, peer):
        super().__init__()
        self.peer = peer

    def connection_made(self, transport):
        super().connection_made(transport)
        if self not in self.peer.seen:
            self.peer.seen.append(self)
            self.peer.visits.put_nowait(self)

    async def elem(self):
        kind, *rest = await self.next()
        assert kind == "elem", (kind, rest)
        return rest[0]

    async def header(self, features, before=""):
        """Takes the peer's header, answers it, and sends features; behind
        something else, maybe."""
        kind, root = await self.next()
        assert kind == "open", kind
        self.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
                  "xmlns:stream='http://etherx.jabber.org/streams' "
                  "xmlns:db='jabber:server:dialback' version='1.0' id='x1' "
                  f"from='{self.peer.domain}' to='{root.get('from')}'>"
                  f"{before}<stream:features>{features}</stream:features>")
        return root

    async def secure(self):
        await self.header(f"<starttls xmlns='{NS_TLS}'/>")
        assert (await self.elem()).name == "starttls"
        self.send(f"<proceed xmlns='{NS_TLS}'/>")
        loop = asyncio.get_running_loop()
        self.restart()
        self.transport = await loop.start_tls(
            self.transport, self, self.peer.context, server_side=True)

    async def let_in(self, features="", before=""):
        """Up to the features after the login; what it said of <bidi/>."""
        await self.secure()
        await self.header(f"<mechanisms xmlns='{NS_SASL}'><mechanism>EXTERNAL"
                          f"</mechanism></mechanisms>{before}")
        elem, bidi = await self.elem(), None
        if elem.name == "bidi":
            bidi, elem = elem, await self.elem()
        assert elem.name == "auth"
        self.restart()
        self.send(f"<success xmlns='{NS_SASL}'/>")
        await self.header(features)
        return bidi


class Peer:
    """A server by hand, that others open streams to."""

    def __init__(self, domain, pem):
        self.domain = domain
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.port = ports.take()
        self.visits = asyncio.Queue()
        self.seen = []
        self.server = None

    async def start(self, names, host="127.0.0.1"):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Visit(self), host, self.port)
        names.add_srv(f"_xmpp-server._tcp.{self.domain}", self.port,
                      f"xmpp.{self.domain}")
        names.add_a(f"xmpp.{self.domain}", "127.0.0.1")
        return self

    async def visit(self):
        return await asyncio.wait_for(self.visits.get(), PATIENCE)

    def close(self):
        self.server.close()
        for visit in self.seen:
            visit.abort()
        ports.release(self.port)
