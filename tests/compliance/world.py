# SPDX-License-Identifier: MIT
"""What the rows run in: a server as one gets it, a name server that says what
docs/dns.md asks for, and users who log in anew for each row."""

import http.client
import itertools
import socket
import ssl
import sys
import os

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "integration")]

# pylint: disable=wrong-import-position
from harness.client import Client, Failure  # noqa: E402
from harness.dns import NameServer  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.wire import PATIENCE, client_context  # noqa: E402

HOST = "localhost"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
PUBSUB = "http://jabber.org/protocol/pubsub"
TURN_SECRET = "not so secret"

ROWS = []


class Bad(Exception):
    """What was to be there is not."""


def row(suite, name, needs=None):
    """A row of the table. `needs`: what no default can have, because it names
    something outside; such a row has a server with that set, and no more."""
    def take(function):
        ROWS.append((suite, name, needs, function))
        return function
    return take


def check(holds, what):
    if not holds:
        raise Bad(what)


def form_values(elem, var):
    """Values of a field in the forms below an element."""
    return [value.text for form in elem.elems() if form.ns == "jabber:x:data"
            for field in form.elems() if field.get("var") == var
            for value in field.elems() if value.name == "value"]


def disco_features(query):
    return {e.get("var") for e in query.elems() if e.name == "feature"}


def disco_identities(query):
    return {(e.get("category"), e.get("type")) for e in query.elems()
            if e.name == "identity"}


class World:
    """A server with hosts, an administrator and a certificate. That is all
    there is in its configuration, but for the folders, ports and the name
    server of the test."""

    def __init__(self, build, more=None):
        self.server = Server(build, {
            "admins": [f"admin@{HOST}"],
            "auth": None,
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s"},
                {"type": "c2s", "ip": "127.0.0.1", "port": "tls",
                 "tls": True},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"},
                {"type": "http", "ip": "127.0.0.1", "port": "https",
                 "tls": True},
                {"type": "http", "ip": "127.0.0.1", "port": "http"},
                *(more or {}).pop("listen", []),
            ], **(more or {})}, hosts=(HOST,))
        self.count = itertools.count(1)
        self.names = None
        self.clients = []

    async def start(self):
        self.names = await NameServer().start()
        self.server.overrides["dns"] = {"servers": [self.names.address]}
        await self.server.start()
        for service, port in (("xmpp-client", "c2s"), ("xmpps-client", "tls"),
                              ("xmpp-server", "s2s")):
            self.names.add_srv(f"_{service}._tcp.{HOST}",
                               self.server.port[port], HOST)
        return self

    async def stop(self):
        if self.names:
            self.names.close()
        if self.server.is_alive:
            await self.server.stop()
        self.server.destroy()

    # Users

    def context(self, **how):
        return client_context(self.server.authority.pem, **how)

    async def user(self, name=None):
        """A new account, logged in as clients do: STARTTLS, verified."""
        name = name or f"user{next(self.count)}"
        await self.server.register(name, HOST)
        return await self.again(name)

    async def again(self, name, resource=None):
        client = Client(name, "secret", HOST)
        self.clients.append(client)
        return await client.login(
            self.server.port["c2s"], starttls=True, resource=resource,
            context=self.context(), mechanism="SCRAM-SHA-256-PLUS")

    async def friends(self):
        """Two users who see each other's presence."""
        one, other = await self.user(), await self.user()
        for client in (one, other):
            client.send("<presence/>")
        for kind, sender, to in (
                ("subscribe", one, other), ("subscribed", other, one),
                ("subscribe", other, one), ("subscribed", one, other)):
            sender.send(f"<presence type='{kind}' to='{to.bare}'/>")
            await to.take(lambda e, k=kind: e.get("type") == k)
        for client, contact in ((one, other), (other, one)):
            await client.take(lambda e, c=contact: e.name == "presence"
                              and e.get("from") == c.jid)
        return one, other

    def leave(self):
        """All users of a row go."""
        for client in self.clients:
            client.close()
        self.clients = []

    # Discovery

    @staticmethod
    async def info(client, to, node=None):
        node = f" node='{node}'" if node else ""
        answer = await client.ask(f"<query xmlns='{INFO}'{node}/>", to=to)
        return answer.find("query")

    async def service(self, client, feature):
        """The first service (or the domain itself) that has it."""
        items = await client.ask(f"<query xmlns='{ITEMS}'/>", to=HOST)
        for jid in [e.get("jid") for e in items.find("query").elems()] + [
                HOST]:
            if feature in disco_features(await self.info(client, jid)):
                return jid
        raise Bad(f"no service has {feature}")

    async def has(self, client, to, feature):
        check(feature in disco_features(await self.info(client, to)),
              f"{to} does not tell of {feature}")

    # HTTP

    def http(self, method, path, body=None, headers=None):
        """Over TLS, with a certificate that must be for the host."""
        link = http.client.HTTPSConnection(
            HOST, self.server.port["https"], timeout=PATIENCE,
            context=ssl.create_default_context(
                cafile=self.server.authority.pem))
        plain = socket.create_connection(
            ("127.0.0.1", self.server.port["https"]), PATIENCE)
        # pylint: disable=protected-access
        link.sock = link._context.wrap_socket(plain, server_hostname=HOST)
        try:
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    # Rooms

    async def room(self, client, service=None):
        """Makes an instant room; its address."""
        service = service or await self.service(
            client, "http://jabber.org/protocol/muc")
        room = f"room{next(self.count)}@{service}"
        await self.join(client, room)
        await client.ask(
            "<query xmlns='http://jabber.org/protocol/muc#owner'>"
            "<x xmlns='jabber:x:data' type='submit'/></query>", "set", room)
        return room

    @staticmethod
    async def join(client, room, nick="test"):
        client.send(f"<presence to='{room}/{nick}'>"
                    "<x xmlns='http://jabber.org/protocol/muc'/></presence>")
        answer = await client.take(
            lambda e: e.name == "presence"
            and (e.get("type") == "error" or "code='110'" in str(e)))
        if answer.get("type") == "error":
            raise Failure(answer.find("error"))
        return answer


def publish(node, item, payload, options=None):
    fields = "".join(f"<field var='{k}'><value>{v}</value></field>"
                     for k, v in (options or {}).items())
    tail = options and (
        "<publish-options><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE' type='hidden'><value>"
        f"{PUBSUB}#publish-options</value></field>{fields}</x>"
        "</publish-options>")
    return (f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'>"
            f"<item id='{item}'>{payload}</item></publish>{tail or ''}"
            "</pubsub>")
