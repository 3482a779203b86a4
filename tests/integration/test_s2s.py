# SPDX-License-Identifier: MIT
"""Two servers that talk to each other, and strangers that pretend to be one
of them. Names are told by a name server of the test's own."""

import base64
import hashlib
import hmac

import pytest

from harness.dns import NameServer
from harness.server import Authority
from harness.wire import PATIENCE, Silence, Wire, client_context

pytestmark = pytest.mark.workers(1, 2)

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
                    domains=("a.test", "b.test")):
        self.names = await NameServer().start()
        for domain in domains:
            await self.add(domain, require,
                           (authorities or {}).get(domain), tls)
        return [self.servers[d] for d in domains]

    async def add(self, domain, require, authority, tls):
        server = self.make_server({
            "hosts": [domain],
            "admins": [],
            "dns": {"servers": [self.names.address]},
            "s2s": {"ca_file": self.authority.pem, "require": require,
                    "timeout": "20s", "retry": "1s"},
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s",
                 **({"tls": True} if tls else {})},
            ],
        }, hosts=(domain,), **({"authority": authority} if authority else {}))
        await server.start()
        service = "xmpps-server" if tls else "xmpp-server"
        self.names.add_srv(f"_{service}._tcp.{domain}", server.port["s2s"],
                           f"xmpp.{domain}")
        self.names.add_a(f"xmpp.{domain}", "127.0.0.1")
        self.servers[domain] = server

    async def users(self):
        juliet = await self.servers["a.test"].client("juliet", host="a.test")
        romeo = await self.servers["b.test"].client("romeo", host="b.test")
        return juliet, romeo


@pytest.fixture
def federation(make_server, authority):
    made = Federation(make_server, authority)
    yield made
    if made.names:
        made.names.close()


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


@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "direct"])
async def test_chat_by_certificate(federation, tls):
    a, b = await federation.start(tls=tls)
    juliet, romeo = await federation.users()
    await both_ways(juliet, romeo)
    await a.log_line(r"outgoing stream is up \(EXTERNAL")
    assert (await a.ctl_ok("outgoing_s2s_number")).strip() == "1"
    assert (await b.ctl_ok("incoming_s2s_number")).strip() == "1"
    # And again, when an admin has cut them.
    await a.ctl_ok("stop_s2s_connections")
    await a.log_line("outgoing stream ended")
    await both_ways(juliet, romeo)


async def test_many_keep_their_order(federation):
    await federation.start()
    juliet, romeo = await federation.users()
    count = 300
    for i in range(count):
        juliet.send(f"<message to='{romeo.jid}' type='chat'><body>{i}</body>"
                    f"</message>")
    for i in range(count):
        got = await romeo.take(lambda e: e.name == "message")
        assert got.find("body").text == str(i)


async def test_subscription(federation):
    await federation.start()
    juliet, romeo = await federation.users()
    juliet.send("<presence/>")
    romeo.send("<presence/>")
    juliet.send(f"<presence to='{romeo.bare}' type='subscribe'/>")
    await romeo.take(is_presence("subscribe", juliet.bare))
    romeo.send(f"<presence to='{juliet.bare}' type='subscribed'/>")
    await juliet.take(is_presence("subscribed", romeo.bare))
    await juliet.take(is_presence(None, romeo.jid))
    # A probe when she comes again; and what he says when he goes.
    await juliet.leave()
    juliet = await federation.servers["a.test"].client(
        "juliet", host="a.test", register=False)
    juliet.send("<presence/>")
    await juliet.take(is_presence(None, romeo.jid))
    await romeo.leave()
    await juliet.take(is_presence("unavailable", romeo.jid))


async def test_errors_come_once(federation):
    await federation.start()
    federation.names.add_srv("_xmpp-server._tcp.refuses.test", 0, ".")
    juliet, _ = await federation.users()
    for domain in ("nowhere.test", "refuses.test"):
        juliet.send(f"<message to='x@{domain}' id='{domain}'><body>?</body>"
                    f"</message>")
        got = await juliet.take(lambda e, d=domain: e.get("id") == d)
        assert is_error("remote-server-not-found")(got)
    juliet.send("<message to='nobody@b.test' type='chat' id='n'><body>?"
                "</body></message>")
    await juliet.take(is_error("service-unavailable"))
    await juliet.ping()
    assert not juliet.wire.events


async def test_dialback(federation, tmp_path):
    """Certificates by nobody whom we know."""
    other = Authority(str(tmp_path))
    a, b = await federation.start(
        "dialback", {"a.test": other, "b.test": other})
    juliet, romeo = await federation.users()
    await both_ways(juliet, romeo)
    await a.log_line(r"outgoing stream is up \(dialback")
    await b.log_line(r"incoming stream for a.test is up \(dialback")


async def test_wrong_certificate(federation, tmp_path):
    """b.test's is by an authority that a.test does not trust."""
    a, b = await federation.start(
        authorities={"b.test": Authority(str(tmp_path))})
    juliet, romeo = await federation.users()
    juliet.send(f"<message to='{romeo.jid}' id='m'><body>?</body></message>")
    await juliet.take(is_error("remote-server-timeout"))
    await a.log_line("the other server's certificate")
    romeo.send(f"<message to='{juliet.jid}' id='m'><body>?</body></message>")
    await romeo.take(is_error("remote-server-timeout"))


async def test_peer_killed_and_back(federation):
    a, b = await federation.start()
    juliet, romeo = await federation.users()
    await both_ways(juliet, romeo)
    await b.kill()
    await a.log_line("outgoing stream ended")
    juliet.send(f"<iq type='get' id='i' to='{romeo.jid}'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>")
    await juliet.take(is_error("remote-server-timeout"))
    await b.start()
    romeo = await b.client("romeo", host="b.test", register=False)
    for i in range(PATIENCE * 10):
        juliet.send(f"<message to='{romeo.jid}' type='chat' id='m{i}'><body>"
                    f"back</body></message>")
        try:
            await romeo.take(is_message("back"), timeout=1)
            break
        except Silence:  # refused until the pause is over
            pass
    else:
        raise AssertionError("the link did not come back")
    await say(romeo, juliet, "good morrow")


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


async def test_spoofed_from(federation, authority, tmp_path):
    a, = await federation.start(domains=("a.test",))
    pem = authority.issue(str(tmp_path / "evil.pem"), "evil.test")
    juliet = await a.client("juliet", host="a.test")
    for sender, condition in (("romeo@b.test", "invalid-from"),
                              ("juliet@a.test", "invalid-from"),
                              (None, "improper-addressing")):
        evil = Stranger(a, "evil.test")
        features = await evil.connect(pem)
        assert features.find("mechanisms", NS_SASL) is not None
        assert await evil.external("evil.test") == "success"
        await evil.open()
        mark = f" from='{sender}'" if sender else ""
        evil.wire.send(f"<message{mark} to='{juliet.jid}'><body>spoof</body>"
                       "</message>")
        await evil.ends(condition)
    await juliet.ping()
    assert not juliet.wire.events


async def test_certificate_of_another(federation, authority, tmp_path):
    a, = await federation.start(domains=("a.test",))
    pem = authority.issue(str(tmp_path / "evil.pem"), "evil.test")
    other = Authority(str(tmp_path)).issue(str(tmp_path / "b.pem"), "b.test")
    for certificate in (pem, other, None):
        evil = Stranger(a, "b.test")
        features = await evil.connect(certificate)
        assert features.find("mechanisms", NS_SASL) is None
        assert await evil.external("b.test") == "failure"
        await evil.wire.gone()
    # The certificate is good for the header, but not for what is asked for.
    evil = Stranger(a, "evil.test")
    await evil.connect(pem)
    assert await evil.external("b.test") == "failure"
    await evil.wire.gone()


async def test_before_login(federation):
    a, = await federation.start(domains=("a.test",))
    for text, condition in (
            ("<message from='x@b.test' to='y@a.test'/>", "not-authorized"),
            ("<db:result from='b.test' to='a.test'>00</db:result>",
             "not-authorized")):
        for has_tls in (True, False):
            one = Stranger(a, "b.test")
            if has_tls:
                await one.connect()
            else:
                one.wire = await Wire().connect(a.port["s2s"])
                await one.open()
            one.wire.send(text)
            await one.ends(condition)
    unknown = Stranger(a, "b.test", to="c.test")
    error = await unknown.connect()
    assert error.elems()[0].name == "host-unknown"


def key_of(secret, receiving, originating, ident):
    key = hashlib.sha256(secret).hexdigest().encode()
    text = f"{receiving} {originating} {ident}".encode()
    return hmac.new(key, text, "sha256").hexdigest()


async def test_dialback_forgery(federation, tmp_path):
    """Somebody else's key, which b.test says is none of its own."""
    other = Authority(str(tmp_path))
    a, b = await federation.start(
        "dialback", {"a.test": other, "b.test": other})
    evil = Stranger(a, "b.test")
    await evil.connect()
    key = key_of(b"guess", "a.test", "b.test", evil.id)
    evil.wire.send("<db:result from='b.test' to='a.test'>%s</db:result>" % key)
    answer = await evil.elem()
    assert answer.name == "result" and answer.get("type") == "invalid"
    evil.wire.send("<message from='x@b.test' to='y@a.test'/>")
    await evil.ends("not-authorized")
    # Nor is there a key for a domain of the receiver's own.
    evil = Stranger(a, "a.test")
    await evil.connect()
    evil.wire.send("<db:result from='a.test' to='a.test'>%s</db:result>" % key)
    await evil.ends("invalid-from")
    assert b.is_alive
