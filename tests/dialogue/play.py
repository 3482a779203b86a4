# SPDX-License-Identifier: MIT
"""Plays a dialogue: everybody in it gets an account of his own, so that
scripts do not meet on the server they share."""

import asyncio
import re
import shlex

from harness import sasl
from harness.client import Client, Failure, Unexpected
from harness.match import Mismatch, match, match_text
from harness.wire import PATIENCE, Silence, client_context
from harness.xml import BadXml, escape, parse_all, parse_one
from script import OPTION

RESOURCE = "balcony"
ROUNDS = 3
HOLE = re.compile(r"\{([^{}]*)\}")
ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|[nrt0\\])")
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


class Wrong(Exception):
    """The server did not do what the script says."""


class Actor:
    def __init__(self, name, user):
        self.name = name
        self.user = user
        self.host = "localhost"
        self.has_account = True
        self.friends = set()  # those whose presence he gets

    @property
    def bare(self):
        return f"{self.user}@{self.host}"


class Play:
    """One performance of a script on a server. `stage` has the server's
    ports, makes accounts, and does what scripts ask of the server."""

    def __init__(self, script, stage, number):
        self.script = script
        self.stage = stage
        self.number = number
        self.bound = {}
        self.clients = {}    # (name, resource) to Client, the latest
        self.everybody = []  # all that were ever made
        self.announced = []
        self.actors = {n: Actor(n, f"{n}{number}") for n in self.cast()}
        self.step = None
        self.settled = 0

    def cast(self):
        names = self.script.names()
        for step in self.script.steps:
            text = step.block + " " + step.text
            names.update(re.findall(r"\{([a-z][a-z0-9]*)(?=[/.}])", text))
        return names - {"any", "host"}

    async def perform(self):
        """Raises Wrong, with the line and the reason."""
        try:
            await self.prepare()
            for self.step in self.script.steps:
                await self.act(self.step)
            self.step = None
            await self.do_settle()
            self.check_leftovers()
        except (Mismatch, Unexpected, Silence, BadXml, Wrong,
                sasl.ScramError, OSError) as error:
            raise Wrong(self.explain(error)) from error
        finally:
            for client in self.everybody:
                client.close()

    def explain(self, error):
        where = "at its end"
        if self.step is not None:
            where = f"line {self.step.line}: {self.step.text}"
        kind = "" if isinstance(error, (Wrong, Mismatch)) else (
            type(error).__name__ + ": ")
        return f"{where}\n{kind}{error}"

    async def prepare(self):
        for step in self.script.steps:
            if step.method == "no_account":
                self.actors[step.who].has_account = False
            elif step.method == "lives_at":
                self.actors[step.who].host = step.args["host"]
        await asyncio.gather(*(self.stage.register(a.user, a.host)
                               for a in self.actors.values()
                               if a.has_account))

    async def act(self, step):
        play = getattr(self, "do_" + step.method)
        if step.method in ("dial", "connect"):
            await play(self.actors[step.who], step.resource, **step.args)
        elif step.method in NEEDS_CLIENT:
            client = self.client(step.who, step.resource)
            await play(client, step.block, **step.args)
        elif step.who is not None:
            await play(self.actors[step.who], step.block, **step.args)
        else:
            await play(step.block, **step.args)

    def client(self, name, resource):
        """Of that resource, or the only one he has."""
        if resource is not None:
            try:
                return self.clients[name, resource]
            except KeyError:
                raise Wrong(f"{name}/{resource} never came") from None
        mine = [c for (n, _), c in self.clients.items() if n == name]
        if len(mine) > 1:
            live = [c for c in mine if not c.wire.is_lost]
            mine = live if len(live) == 1 else mine
        if len(mine) != 1:
            raise Wrong(f"{name} has {len(mine)} connections: which?")
        return mine[0]

    # Text ------------------------------------------------------------------

    def fill(self, text, is_xml=True):
        """Puts in what stands for addresses, counts and taken values."""
        while True:
            filled = HOLE.sub(lambda m: self.value(m, is_xml), text)
            if filled == text:
                return text
            text = filled

    def value(self, hole, is_xml):
        inner = hole.group(1)
        if inner.startswith("$") and inner[1:] in self.bound:
            value = self.bound[inner[1:]]
            return escape(value).replace("'", "&apos;") if is_xml else value
        if inner.startswith("base64:"):
            return sasl.b64(unescape(inner[len("base64:"):]))
        times = re.fullmatch(r"(\d+)\*(.*)", inner, re.DOTALL)
        if times:
            return int(times.group(1)) * times.group(2)
        if inner == "host":
            return "localhost"
        name, what, rest = re.fullmatch(
            r"(\w*)([/.]?)(.*)", inner, re.DOTALL).groups()
        if name not in self.actors:
            return hole.group(0)
        return self.of_actor(self.actors[name], what, rest)

    def of_actor(self, actor, what, rest):
        if what == "":
            return actor.bare
        if what == "/":
            resource, dot, part = rest.rpartition(".")
            if dot and part in ("sent", "received", "sm", "jid"):
                return self.of_client(self.client(actor.name, resource), part)
            return f"{actor.bare}/{rest}"
        if rest in ("user", "host"):
            return getattr(actor, rest)
        if rest == "upper":
            return actor.bare.upper()
        return self.of_client(self.client(actor.name, None), rest)

    @staticmethod
    def of_client(client, rest):
        return str({"sent": client.sent, "received": client.received,
                    "sm": client.sm_id, "jid": client.jid}[rest])

    # Before it begins ------------------------------------------------------

    async def do_no_account(self, actor, _block):
        pass

    async def do_lives_at(self, actor, _block, host):
        pass

    async def do_befriend(self, actor, _block, other):
        await self.subscribe(actor, self.actors[other])
        await self.subscribe(self.actors[other], actor)

    async def do_follow(self, actor, _block, other):
        await self.subscribe(actor, self.actors[other])

    async def subscribe(self, actor, other):
        """As clients do it, with sessions that nobody else sees."""
        pair = [await self.log_in(who) for who in (actor, other)]
        mine, theirs = pair
        mine.send(f"<presence type='subscribe' to='{other.bare}'/>")
        await self.settle(pair)
        theirs.send(f"<presence type='subscribed' to='{actor.bare}'/>")
        await self.settle(pair)
        await mine.leave()
        await theirs.leave()
        actor.friends.add(other.name)

    async def log_in(self, actor, **how):
        client = self.new_client(actor)
        return await client.login(self.stage.port["c2s"], **how)

    def new_client(self, actor):
        """Scripts come from addresses of their own: a server may slow down
        an address from which logins fail."""
        client = Client(actor.user, host=actor.host)
        client.source = f"127.1.{self.number >> 8 & 255}.{self.number & 255}"
        client.presence = None
        self.everybody.append(client)
        return client

    # Connections -----------------------------------------------------------

    async def do_connect(self, actor, called, res, how):
        """Called as its resource is, unless the script has a name for it."""
        res = res or RESOURCE
        options = re.findall(OPTION, how)
        client = await self.arrive(actor, options)
        self.clients[actor.name, called or res] = client
        if "without binding" in options:
            return
        await client.bind(None if "without resource" in options else res)
        if "with sm" in options:
            await client.enable_sm()
        if "with roster" in options:
            await client.ask("<query xmlns='jabber:iq:roster'/>")
        if "without presence" not in options:
            await self.appear(actor, client, options)

    async def arrive(self, actor, options):
        client = self.new_client(actor)
        if "over direct tls" in options:
            context = client_context(alpn=["xmpp-client"])
            await client.connect(self.stage.port["tls"], tls=context)
            await client.open()
        else:
            await client.connect(self.stage.port["c2s"])
            await client.open()
            if "over tls" in options:
                await client.starttls()
        await client.auth()
        return client

    async def appear(self, actor, client, options):
        """Initial presence, and what it brings to those who know him."""
        inner = ""
        for option in options:
            if option.startswith("with priority "):
                inner = f"<priority>{option.split()[-1]}</priority>"
        seen = self.available()
        client.send(f"<presence>{inner}</presence>")
        client.presence = actor
        await self.take_presence(client, client)
        for other, whose in seen:
            if whose is actor or whose.name in actor.friends:
                await self.take_presence(client, other)
            if whose is actor or actor.name in whose.friends:
                await self.take_presence(other, client)

    def available(self):
        return [(c, c.presence) for c in self.clients.values()
                if c.presence is not None and not c.wire.is_lost]

    @staticmethod
    async def take_presence(client, of):
        await client.take(lambda e: e.name == "presence"
                          and e.get("type") is None
                          and e.get("from") == of.jid)

    async def do_dial(self, actor, resource, tls):
        client = self.new_client(actor)
        self.clients[actor.name, resource or RESOURCE] = client
        if tls:
            await client.connect(self.stage.port["tls"],
                                 tls=client_context(alpn=["xmpp-client"]))
        else:
            await client.connect(self.stage.port["c2s"])

    async def do_open_stream(self, client, _block, to):
        await client.open(to and self.fill(to))

    async def do_restart_stream(self, client, _block):
        client.wire.restart()

    async def do_start_tls(self, client, _block):
        await client.starttls()

    async def do_log_in(self, client, _block, mechanism, password, authzid):
        client.password = password or "secret"
        await client.auth(mechanism or "SCRAM-SHA-1",
                          authzid=self.fill(authzid or ""))

    async def do_refused(self, client, block, mechanism, password, authzid,
                         condition):
        try:
            await self.do_log_in(client, block, mechanism, password, authzid)
        except Failure as failure:
            if failure.condition != condition:
                raise
            return
        raise Wrong("was let in")

    async def do_authenticate(self, client, block, mechanism, password):
        """The answer is for the script to receive."""
        password = self.fill(password or "secret", is_xml=False)
        answer = await client.authenticate(
            mechanism or "SCRAM-SHA-256", self.fill(block), password=password)
        client.wire.events.appendleft(("elem", answer))

    async def do_bind(self, client, _block, res):
        await client.bind(res)

    async def do_resume(self, old, _block):
        key = next(k for k, c in self.clients.items() if c is old)
        client = await self.arrive(self.actors[key[0]], [])
        client.presence = old.presence
        await client.resume(old)
        self.clients[key] = client

    async def do_fall_silent(self, client, _block):
        client.sm_auto = False

    async def do_disconnect(self, client, _block):
        client.wire.send("</stream:stream>")
        await self.expect_end(client)

    async def do_cut(self, client, _block, count):
        client.cut()
        client.wire.events.clear()
        client.received -= int(count or 0)

    # Talk ------------------------------------------------------------------

    async def do_send(self, client, block):
        client.send(self.fill(block))

    async def do_send_bytes(self, client, block):
        client.wire.send(unescape(self.fill(block, is_xml=False)))

    async def do_receive(self, client, block):
        for want in parse_all(self.fill(block)):
            await self.receive(client, want)

    async def receive(self, client, want):
        try:
            event = await client.event()
        except Silence as silence:
            raise Wrong(f"{silence}; expected was\n  {want}") from None
        if event[0] != "elem":
            raise Wrong(f"came {event}; expected was\n  {want}")
        self.compare(want, event[1])

    def compare(self, want, have):
        try:
            match(want, have, self.bound)
        except Mismatch as mismatch:
            raise Wrong(f"{mismatch}\nexpected: {want}\ncame:     {have}"
                        ) from None

    async def do_receive_any_order(self, client, block):
        wanted = parse_all(self.fill(block))
        while wanted:
            event = await client.event()
            if event[0] != "elem":
                raise Wrong(f"came {event}; still expected: {wanted}")
            for want in wanted:
                try:
                    match(want, event[1], self.bound)
                except Mismatch:
                    continue
                wanted.remove(want)
                break
            else:
                if len(wanted) == 1:
                    self.compare(wanted[0], event[1])
                raise Wrong(f"came {event[1]}; expected is one of\n" +
                            "\n".join(map(str, wanted)))

    async def do_receive_nothing(self, client, _block):
        await self.do_settle()
        if client.wire.events:
            raise Wrong(f"came {describe(client.wire.events)}")

    async def do_receive_stream(self, client, block):
        header = await client.expect("open")
        want = parse_one(re.sub(r"(?<!/)>\s*$", "/>", self.fill(block)))
        self.compare(want, header)

    async def do_stream_error(self, client, _block, condition):
        event = await client.event()
        if event[0] == "open":
            event = await client.event()
        if event[0] != "elem":
            raise Wrong(f"came {event}")
        self.compare(parse_one(
            f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-"
            "streams'>{...}</" + condition + ">{...}</stream:error>"),
            event[1])
        await self.expect_end(client)

    async def do_is_disconnected(self, client, _block, late):
        if late:
            await client.wire.gone()
        else:
            await self.expect_end(client)

    async def do_asked(self, client, _block):
        await client.was_asked()

    @staticmethod
    async def expect_end(client):
        events = await client.wire.gone()
        rest = [e for e in events if e[0] not in ("close", "eof")]
        if rest:
            raise Wrong(f"before the end came {describe(rest)}")
        if events[0][0] != "close":
            raise Wrong("the connection ended, but not the stream")

    # Quiet -----------------------------------------------------------------

    async def do_settle(self, _block=""):
        await self.settle([c for c in self.clients.values()
                           if c.jid is not None and not c.wire.is_lost])

    async def settle(self, clients):
        """Returns when all that was caused so far has arrived: everybody
        writes something to the server's disk, which goes the way that any
        change goes, and waits until that is done, and each worker answers for
        its sessions; as often as one thing can cause the next."""
        for _ in range(ROUNDS):
            await asyncio.gather(*(self.settle_one(c) for c in clients))
            await self.stage.api("connected_users_number")

    async def settle_one(self, client):
        self.settled += 1
        ident = f"settle{self.settled}"
        client.send(f"<iq type='set' id='{ident}'>"
                    f"<query xmlns='jabber:iq:private'>"
                    f"<settle xmlns='urn:example:settle'>{self.settled}"
                    f"</settle></query></iq>")
        try:
            await client.take(lambda e: e.name == "iq"
                              and e.get("id") == ident)
        except Unexpected:
            # It has been closed; the script will say whether that is right.
            pass

    def check_leftovers(self):
        for (name, resource), client in self.clients.items():
            rest = [e for e in client.wire.events if e[0] != "eof"]
            if rest:
                raise Wrong(f"{name}/{resource} was sent what the script does"
                            f" not tell: {describe(rest)}")

    # The server ------------------------------------------------------------

    async def do_command(self, block, command, fails, status):
        args = shlex.split(self.fill(command, is_xml=False))
        code, out, err = await asyncio.to_thread(self.stage.ctl, *args)
        text = (out + err).strip()
        want = int(status or 1) if fails else 0
        if code != want:
            raise Wrong(f"exit status {code}: {text}")
        if block:
            match_text(self.fill(block, is_xml=False), text, self.bound,
                       "output")

    async def do_log_expects(self, _block, text):
        pattern = re.escape(self.fill(text, is_xml=False))
        start = max(self.stage.script_mark, self.stage.start_mark)
        await self.stage.log_line(pattern, start)
        self.announced.append(re.compile(pattern))

    async def do_server(self, _block, what):
        if what == "restarts":
            await self.stage.restart()
        elif what == "is killed":
            await self.stage.kill()
            await self.stage.start()
        else:
            await self.stage.ctl_ok("reload_config")


NEEDS_CLIENT = {"open_stream", "restart_stream", "start_tls", "log_in",
                "refused", "authenticate", "bind", "resume", "fall_silent", "disconnect",
                "cut", "send", "send_bytes", "receive", "receive_any_order",
                "receive_nothing", "receive_stream", "stream_error",
                "is_disconnected", "asked"}


def unescape(text):
    def replace(found):
        what = found.group(1)
        if what in ESCAPES:
            return ESCAPES[what]
        return bytes([int(what[1:], 16)])

    return ESCAPE.sub(replace, text.encode())


def describe(events):
    return "\n".join(str(e[1] if len(e) > 1 else e[0]) for e in events)


__all__ = ["PATIENCE", "Play", "Wrong"]
