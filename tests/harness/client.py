# SPDX-License-Identifier: MIT
"""A client that does what it is told: stream, TLS, SASL, bind, stream
management; nothing by itself but answering <r/>."""

import asyncio
import itertools

from harness import sasl
from harness.wire import (PATIENCE, Silence, Wire, client_context, is_nonza)
from harness.xml import (Elem, NS_BIND, NS_CLIENT, NS_SASL, NS_SASL2, NS_SM, NS_STREAM,
                         NS_TLS, parse_all)

ids = itertools.count(1)


class Unexpected(Exception):
    """Something else came than what had to come."""


class Failure(Unexpected):
    """The server refused: `condition` says why."""

    def __init__(self, elem):
        super().__init__(str(elem))
        self.elem = elem
        inner = elem.elems()
        self.condition = inner[0].name if inner else None


class Client:
    def __init__(self, user, password="secret", host="localhost"):
        self.user = user
        self.password = password
        self.host = host
        self.source = None  # the address to come from, or None
        self.lang = None  # that the stream's header names, or None
        self.wire = None
        self.jid = None
        self.header = None
        self.features = None
        self.forget_sm()

    # The connection

    async def connect(self, port, *, tls=None, name=None, ip="127.0.0.1"):
        """Opens the connection; `tls` for direct TLS."""
        self.wire = Wire()
        self.wire.on_elem = self.on_elem
        self.is_open = False
        source = self.source and (self.source, 0)
        await self.wire.connect(port, host=ip, tls=tls,
                                name=name or self.host, local_addr=source)
        return self

    async def open(self, to=None, extra=""):
        """Opens a stream and takes its features."""
        self.wire.restart()
        self.send_header(to, extra)
        self.header = await self.expect("open")
        self.features = await self.expect("elem")
        if self.features.name != "features":
            raise Failure(self.features)
        return self.features

    def send_header(self, to=None, extra=""):
        if self.lang:
            extra += f" xml:lang='{self.lang}'"
        self.is_open = True
        self.wire.send(f"<?xml version='1.0'?><stream:stream to='"
                       f"{to or self.host}' version='1.0' xmlns='{NS_CLIENT}' "
                       f"xmlns:stream='{NS_STREAM}'{extra}>")

    async def starttls(self, context=None, name=None):
        self.wire.send(f"<starttls xmlns='{NS_TLS}'/>")
        answer = await self.elem()
        if answer.name != "proceed":
            raise Failure(answer)
        await self.wire.start_tls(context or client_context(),
                                  name or self.host)
        return await self.open()

    # SASL

    def mechanisms(self):
        found = self.features.find("mechanisms", NS_SASL)
        return [m.text for m in found.elems()] if found else []

    async def auth(self, mechanism="SCRAM-SHA-1", *, authzid="",
                   binding_name=None, binding=None, flag=None):
        """Logs in; Failure if the server says no."""
        if mechanism == "PLAIN":
            self.begin_auth(mechanism, sasl.plain(
                self.user, self.password, authzid))
            await self.sasl_answer("success")
            await self.open()
            return
        if mechanism.endswith("-PLUS") and binding is None:
            binding_name = binding_name or "tls-exporter"
            binding = self.binding(binding_name)
        scram = sasl.Scram(mechanism, self.user, self.password,
                           authzid=authzid, binding_name=binding_name,
                           binding=binding or b"", flag=flag)
        self.begin_auth(mechanism, scram.first())
        challenge = await self.sasl_answer("challenge")
        self.respond(scram.final(challenge))
        scram.check(await self.sasl_answer("success"))
        await self.open()

    def binding(self, name):
        if name == "tls-exporter":
            return sasl.tls_exporter(self.wire.ssl_object)
        if name == "tls-server-end-point":
            return sasl.tls_server_end_point(self.wire.ssl_object)
        return self.wire.ssl_object.get_channel_binding(name)

    def begin_auth(self, mechanism, message=None):
        text = "" if message is None else sasl.b64(message) or "="
        self.wire.send(f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>"
                       f"{text}</auth>")

    def respond(self, message):
        self.wire.send(f"<response xmlns='{NS_SASL}'>{sasl.b64(message)}"
                       f"</response>")

    async def sasl_answer(self, want):
        answer = await self.elem()
        if answer.name != want:
            raise Failure(answer)
        return sasl.unb64(answer.text)

    # SASL2 (XEP-0388)

    async def authenticate(self, mechanism="SCRAM-SHA-1", inner="", *,
                           password=None):
        """Logs in with what `inner` asks for beside; the answer, <success/>,
        <continue/> or <failure/>."""
        password = self.password if password is None else password
        scram = None
        if mechanism == "PLAIN":
            message = sasl.plain(self.user, password)
        elif mechanism.startswith("HT-"):
            message = self.token_message(mechanism, password)
        elif mechanism in ("EXTERNAL", "ANONYMOUS"):
            message = b""
        else:
            plus = mechanism.endswith("-PLUS")
            name = "tls-exporter" if plus else None
            scram = sasl.Scram(mechanism, self.user, password,
                               binding_name=name,
                               binding=self.binding(name) if plus else b"")
            message = scram.first()
        self.wire.send(f"<authenticate xmlns='{NS_SASL2}' mechanism="
                       f"'{mechanism}'><initial-response>{sasl.b64(message)}"
                       f"</initial-response>{inner}</authenticate>")
        answer = await self.elem()
        if scram is not None and answer.name == "challenge":
            response = sasl.b64(scram.final(sasl.unb64(answer.text)))
            self.wire.send(f"<response xmlns='{NS_SASL2}'>{response}"
                           "</response>")
            answer = await self.elem()
            data = answer.find("additional-data")
            if data is not None:
                scram.check(sasl.unb64(data.text))
        return answer

    def token_message(self, mechanism, token):
        binding = {"NONE": None, "ENDP": "tls-server-end-point",
                   "EXPR": "tls-exporter", "UNIQ": "tls-unique"}[
                       mechanism.rpartition("-")[2]]
        data = self.binding(binding) if binding else b""
        return sasl.hashed_token(self.user, token, data)

    def on_success(self, elem):
        """What a login by SASL2 has brought along."""
        jid = elem.find("authorization-identifier").text
        if "/" in jid:
            self.jid = jid
        bound = elem.find("bound")
        enabled = bound.find("enabled") if bound is not None else None
        if enabled is not None:
            self.sm_id = enabled.get("id")
            self.sent = self.received = 0

    # Binding

    async def bind(self, resource=None):
        inner = f"<resource>{resource}</resource>" if resource else ""
        answer = await self.ask(f"<bind xmlns='{NS_BIND}'>{inner}</bind>",
                                "set")
        self.jid = answer.find("bind").find("jid").text
        return self.jid

    async def login(self, port, *, resource=None, tls=None, starttls=False,
                    mechanism="SCRAM-SHA-1", context=None):
        await self.connect(port, tls=tls)
        await self.open()
        if starttls:
            await self.starttls(context)
        await self.auth(mechanism)
        await self.bind(resource)
        return self

    @property
    def bare(self):
        return f"{self.user}@{self.host}"

    # Stanzas

    def send(self, text):
        """Sends elements as they are written, counting what is a stanza."""
        stanzas = [e for e in parse_all(text) if e.is_stanza]
        self.sent += len(stanzas)
        if self.sm_id is not None:
            self.unacked.extend(str(e) for e in stanzas)
        self.wire.send(text)

    def on_elem(self, elem):
        """True: the script does not need to see this."""
        if elem.is_stanza:
            self.received += 1
        elif elem.name == "success" and elem.ns == NS_SASL2:
            self.on_success(elem)
        elif elem.ns == NS_SM:
            return self.on_sm(elem)
        return False

    async def event(self, timeout=PATIENCE):
        return await self.wire.next(timeout)

    async def expect(self, kind, timeout=PATIENCE):
        event = await self.event(timeout)
        if event[0] != kind:
            raise Unexpected(f"{kind} was expected, came {event}")
        return event[1] if len(event) > 1 else None

    async def elem(self, timeout=PATIENCE):
        return await self.expect("elem", timeout)

    async def ask(self, payload, kind="get", to=None, timeout=PATIENCE):
        """Sends an iq and returns the result, leaving all else that comes in
        its place; Failure for an error."""
        ident = f"ask{next(ids)}"
        address = f" to='{to}'" if to else ""
        self.send(f"<iq type='{kind}' id='{ident}'{address}>{payload}</iq>")
        answer = await self.take(lambda e: e.name == "iq"
                                 and e.get("id") == ident, timeout)
        if answer.get("type") != "result":
            raise Failure(answer.find("error"))
        return answer

    async def take(self, fits, timeout=PATIENCE):
        """The first element that fits, out of order."""
        kept = []
        try:
            while True:
                event = await self.event(timeout)
                if event[0] == "elem" and fits(event[1]):
                    return event[1]
                kept.append(event)
                if event[0] in ("eof", "bad"):
                    raise Unexpected(f"{event}; before it: {kept[:-1]}")
        except Silence:
            raise Silence(f"not within {timeout} s; but {kept}") from None
        finally:
            self.wire.events.extendleft(reversed(kept))

    async def ping(self, to=None):
        await self.ask("<ping xmlns='urn:xmpp:ping'/>", to=to)

    # Stream management

    def forget_sm(self):
        self.sm_id = None
        self.sm_auto = True
        self.sm_shows = False
        self.sent = self.received = 0
        self.acked = 0
        self.unacked = []
        self.on_ack = None
        self.asked = asyncio.Event()

    async def enable_sm(self, resume=True):
        wish = " resume='true'" if resume else ""
        self.wire.send(f"<enable xmlns='{NS_SM}'{wish}/>")
        self.sent = 0
        answer = await self.take(lambda e: e.ns == NS_SM
                                 and e.name in ("enabled", "failed"))
        if answer.name != "enabled":
            raise Failure(answer)
        self.sm_id = answer.get("id")
        return answer

    def on_sm(self, elem):
        if elem.name == "enabled":
            self.received = 0
        elif is_nonza(elem, "r"):
            self.asked.set()
            if self.sm_auto:
                self.wire.send(f"<a xmlns='{NS_SM}' h='{self.received}'/>")
            return not self.sm_shows
        elif is_nonza(elem, "a"):
            self.note_ack(int(elem.get("h")))
            if self.on_ack:
                self.on_ack(self.acked)
                return True
        return False

    async def was_asked(self, timeout=PATIENCE):
        """Waits for an <r/> since the last call."""
        try:
            await asyncio.wait_for(self.asked.wait(), timeout)
        except asyncio.TimeoutError:
            raise Silence("no <r/> came") from None
        self.asked.clear()

    def note_ack(self, h):
        del self.unacked[:h - self.acked]
        self.acked = h

    def request_ack(self):
        self.wire.send(f"<r xmlns='{NS_SM}'/>")

    async def wait_ack(self, count=None, timeout=PATIENCE):
        """Asks until `count` (all that was sent) is acknowledged."""
        count = self.sent if count is None else count
        while self.acked < count:
            self.request_ack()
            await self.take(lambda e: is_nonza(e, "a"), timeout)

    async def resume(self, old, h=None):
        """Takes over the session of another client object, on a fresh,
        authenticated stream, and sends again what the server has not got.
        Returns the server's h."""
        count = old.received if h is None else h
        self.wire.send(f"<resume xmlns='{NS_SM}' previd='{old.sm_id}' "
                       f"h='{count}'/>")
        # What follows in the same read counts already.
        self.received = old.received
        answer = await self.elem()
        if answer.name != "resumed":
            raise Failure(answer)
        self.jid, self.sm_id = old.jid, old.sm_id
        self.sent, self.acked = old.sent, old.acked
        self.unacked = list(old.unacked)
        self.note_ack(int(answer.get("h")))
        self.wire.send("".join(self.unacked))
        return self.acked

    # The end

    def cut(self):
        self.wire.cut()

    def close(self):
        """Ends the stream as a polite client does."""
        if self.wire is not None:
            if self.is_open:
                self.wire.send("</stream:stream>")
            self.wire.close()

    async def leave(self):
        """Ends it, and waits until the server has said good-bye."""
        self.wire.send("</stream:stream>")
        await self.wire.gone()


__all__ = ["Client", "Elem", "Failure", "Silence", "Unexpected"]
