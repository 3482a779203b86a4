# SPDX-License-Identifier: MIT
"""Two servers that talk to each other, and strangers that pretend to be one
of them. Names are told by a name server of the test's own."""

import hashlib
import hmac
import socket
import time

import pytest

from harness.federation import (NS_SASL, Peer, Stranger, both_ways, is_error,
                                is_message, is_presence, say)
from harness.server import Authority
from harness.wire import PATIENCE, Silence, Wire

NS_LIMITS = "urn:xmpp:stream-limits:0"

pytestmark = pytest.mark.workers(1, 2)


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
    got = await juliet.take(is_error("remote-server-timeout"))
    assert "certificate" in got.find("error").find("text").text
    await a.log_line("certificate of the other server does not vouch")
    romeo.send(f"<message to='{juliet.jid}' id='m'><body>?</body></message>")
    await romeo.take(is_error("remote-server-timeout"))


async def test_peer_killed_and_back(federation):
    a, b = await federation.start(s2s={"resume": "2s"})
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


async def test_forged_delay(federation, authority, tmp_path):
    """XEP-0203, 6: a peer says nothing in our name, nor in our users'."""
    a, = await federation.start(domains=("a.test",))
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    juliet = await a.client("juliet", host="a.test")
    one = Stranger(a, "b.test")
    await one.connect(pem)
    assert await one.external("b.test") == "success"
    await one.open()
    one.wire.send(f"<message from='x@b.test' to='{juliet.jid}'>" + "".join(
        f"<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z' {by}/>"
        for by in ("from='a.test'", f"from='{juliet.bare}'",
                   f"from='{juliet.jid}'", "from='b.test'", "")) +
                  "</message>")
    got = await juliet.take(lambda e: e.name == "message")
    assert [e.get("from") for e in got.elems()] == ["b.test", None]


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


async def test_bidirectional(federation):
    """b.test answers on the stream that a.test opened (XEP-0288)."""
    a, b = await federation.start()
    juliet, romeo = await federation.users()
    await both_ways(juliet, romeo)
    assert (await b.ctl_ok("outgoing_s2s_number")).strip() == "0"
    assert (await a.ctl_ok("incoming_s2s_number")).strip() == "0"


PING = ("<iq type='get' id='p' from='%s' to='%s'>"
        "<ping xmlns='urn:xmpp:ping'/></iq>")
BIDI = "<bidi xmlns='urn:xmpp:features:bidi'/>"


async def test_bidirectional_spoofed(federation, authority, tmp_path):
    """Who receives our stream may use it only as the domain that we called,
    and only if both agreed."""
    a, = await federation.start(domains=("a.test",))
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    for before, sender, condition in (
            (BIDI, "evil.test", "invalid-from"),
            (BIDI, "a.test", "invalid-from"),
            ("", "b.test", "not-authorized"),
            (BIDI, "b.test", None)):
        juliet.send("<message to='x@b.test'><body>?</body></message>")
        visit = await peer.visit()
        bidi = await visit.let_in(before=before)
        assert (bidi is not None) == bool(before)
        assert (await visit.elem()).name == "message"
        visit.send(PING % (sender, "a.test"))
        got = await visit.elem()
        if condition is None:
            assert got.name == "iq" and got.get("type") == "result"
            assert bidi.find("limits", NS_LIMITS) is not None
        else:
            assert got.name == "error" and got.elems()[0].name == condition
            visit.abort()
    peer.close()


async def test_bidirectional_only_after_login(federation, authority, tmp_path):
    """We send nothing back before we know to whom, nor what is for others."""
    a, = await federation.start(domains=("a.test",))
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    juliet = await a.client("juliet", host="a.test")
    message = "<message to='x@b.test' id='m'><body>?</body></message>"
    one = Stranger(a, "b.test")
    features = await one.connect(pem)
    assert features.find("bidi", "urn:xmpp:features:bidi") is not None
    one.wire.send("<bidi xmlns='urn:xmpp:bidi'/>")
    juliet.send(message)
    await juliet.take(is_error("remote-server-not-found"))
    assert not one.wire.events
    assert await one.external("b.test") == "success"
    await one.open()
    juliet.send("<message to='x@c.test' id='c'><body>?</body></message>")
    await juliet.take(is_error("remote-server-not-found"))
    juliet.send(message)
    got = await one.elem()
    assert got.name == "message" and got.get("to") == "x@b.test"
    # Too late: it is not offered any more, and refused.
    one.wire.send("<bidi xmlns='urn:xmpp:bidi'/>")
    await one.ends("policy-violation")


async def test_no_tls_no_stream(federation, authority, tmp_path):
    """STARTTLS is stripped from the features: nothing is sent."""
    a, = await federation.start(domains=("a.test",))
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    juliet.send("<message to='x@b.test' id='m'><body>?</body></message>")
    visit = await peer.visit()
    await visit.header("<dialback xmlns='urn:xmpp:features:dialback'/>")
    got = await visit.elem()
    assert got.name == "error" and got.elems()[0].name == "policy-violation"
    got = await juliet.take(is_error("remote-server-timeout"))
    assert "TLS" in got.find("error").find("text").text
    peer.close()


async def test_limits(federation, authority, tmp_path):
    """What the peer does not take is not sent (XEP-0478)."""
    a, = await federation.start(domains=("a.test",), s2s={"idle": "90s"})
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    juliet.send("<message to='x@b.test' id='m0'><body>?</body></message>")
    visit = await peer.visit()
    await visit.let_in(f"<limits xmlns='{NS_LIMITS}'><max-bytes>1000"
                       "</max-bytes><idle-seconds>2</idle-seconds></limits>")
    assert (await visit.elem()).get("id") == "m0"
    for i, size in ((1, 2000), (2, 100)):
        juliet.send(f"<message to='x@b.test' id='m{i}'><body>{'x' * size}"
                    "</body></message>")
    got = await juliet.take(is_error("policy-violation"))
    assert got.get("id") == "m1" and got.find("error").get("by") is None
    assert (await visit.elem()).get("id") == "m2"
    # And it is we who close before the peer would.
    await visit.gone()
    await a.log_line("idle: closed")
    # Ours are told, before and after the login.
    one = Stranger(a, "b.test")
    for features, size in (
            (await one.connect(pem), "10000"),
            (await one.external("b.test") and await one.open(), "262144")):
        limits = features.find("limits", NS_LIMITS)
        assert limits.find("max-bytes").text == size
        assert limits.find("idle-seconds").text == "90"
    peer.close()


async def test_allow_and_deny(federation, authority, tmp_path):
    a, = await federation.start(domains=("a.test",), s2s={
        "allow": ["*.good.test", "b.test"], "deny": ["bad.good.test"]})
    juliet = await a.client("juliet", host="a.test")
    for domain, condition in (("x.good.test", "remote-server-not-found"),
                              ("b.test", "remote-server-not-found"),
                              ("good.test", "not-allowed"),
                              ("bad.good.test", "not-allowed"),
                              ("c.test", "not-allowed")):
        juliet.send(f"<message to='x@{domain}' id='{domain}'><body>?</body>"
                    "</message>")
        got = await juliet.take(lambda e, d=domain: e.get("id") == d)
        assert is_error(condition)(got), domain
        pem = authority.issue(str(tmp_path / "p.pem"), domain)
        one = Stranger(a, domain)
        one.wire = await Wire().connect(a.port["s2s"])
        features = await one.open()
        if condition == "not-allowed":
            assert features.name == "error"
            assert features.elems()[0].name == "policy-violation"
        else:
            assert features.name == "features"
            await one.connect(pem)
            assert await one.external(domain) == "success"


async def test_terms_of_domains(federation, authority, tmp_path):
    """Which of them may use dialback, and which go without TLS."""
    a, = await federation.start(domains=("a.test",), s2s={
        "require": "dialback", "certificate_for": ["strict.test"],
        "plain_for": ["plain.test"]})
    for domain, takes in (("strict.test", False), ("lax.test", True)):
        one = Stranger(a, domain)
        features = await one.connect()
        offer = features.find("dialback", "urn:xmpp:features:dialback")
        assert (offer is not None) == takes
        one.wire.send(f"<db:result from='{domain}' to='a.test'>00</db:result>")
        if takes:
            got = await one.elem()
            assert got.name == "result" and got.get("type") == "invalid"
        else:
            await one.ends("not-authorized")
    plain = Stranger(a, "plain.test")
    plain.wire = await Wire().connect(a.port["s2s"])
    features = await plain.open()
    assert features.find("starttls").find("required") is None
    # But not for the domains of others.
    plain.wire.send("<db:result from='lax.test' to='a.test'>00</db:result>")
    await plain.ends("not-authorized")


async def test_rates(federation):
    """An address may open so many streams, and have so many keys looked at."""
    a, = await federation.start(domains=("a.test",), limits={
        "s2s_keys": "3/1h", "s2s_streams": "6/1h"})
    one = Stranger(a, "b.test")
    await one.connect()
    for _ in range(3):
        one.wire.send("<db:verify from='b.test' to='a.test' id='x'>00"
                      "</db:verify>")
        got = await one.elem()
        assert got.name == "verify" and got.get("type") == "invalid"
    one.wire.send("<db:verify from='b.test' to='a.test' id='x'>00</db:verify>")
    await one.ends("policy-violation")
    for _ in range(2 * 6):
        wire = await Wire().connect(a.port["s2s"])
        one.wire = wire
        one.header()
        if (await wire.next())[0] == "eof":
            break
    else:
        raise AssertionError("no stream was refused")
    await a.log_line("too many streams from this address")


async def test_waiting_is_bounded(federation, authority, tmp_path):
    """Of what waits for a stream: in number and bytes; the rest comes back."""
    a, = await federation.start(domains=("a.test",), s2s={"timeout": "60s"},
                                limits={"session_queue": "300KiB"})
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    for i in range(1001):
        juliet.send(f"<message to='x@b.test' id='m{i}' type='headline'/>")
    got = await juliet.take(is_error("resource-constraint"))
    # The first that did not fit, and not the one before it.
    first = int(got.get("id")[1:])
    assert 0 < first <= 1000
    visit = await peer.visit()
    await visit.let_in()
    for i in range(first):
        assert (await visit.elem()).get("id") == f"m{i}"
    for i in range(first + 1, 1001):
        got = await juliet.take(is_error("resource-constraint"))
        assert got.get("id") == f"m{i}"
    peer.close()


class BlackHole:
    """An address that answers nothing: its queue is full for ever."""

    def __init__(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(0)
        self.fill = []
        for _ in range(4):
            one = socket.socket(family)
            one.setblocking(False)
            one.connect_ex((host, port))
            self.fill.append(one)

    def close(self):
        for one in self.fill + [self.listener]:
            one.close()


@pytest.mark.parametrize("how", ["address", "target"])
async def test_happy_eyeballs(federation, how):
    """One address answers nothing: another one is tried beside it."""
    _, b = await federation.start()
    names = federation.names
    port = b.port["s2s"]
    hole = BlackHole("127.0.0.2", port)
    if how == "address":
        name = "xmpp.b.test"
        row = names.records[name, 1]
        row.insert(0, bytes([127, 0, 0, 2]))
    else:
        names.records["_xmpp-server._tcp.b.test", 33] = []
        for target, weight in (("dead.b.test", 65000), ("xmpp.b.test", 1)):
            names.add_srv("_xmpp-server._tcp.b.test", port, target, 5, weight)
        names.add_a("dead.b.test", "127.0.0.2")
    juliet, romeo = await federation.users()
    start = time.monotonic()
    await say(juliet, romeo, "ay me")
    # Less than the time-out of one address.
    assert time.monotonic() - start < 7
    hole.close()


async def test_next_priority_and_family(federation):
    """IPv6 refuses, and so does the whole first priority."""
    _, b = await federation.start()
    names = federation.names
    port = b.port["s2s"]
    names.records["_xmpp-server._tcp.b.test", 33] = []
    names.add_srv("_xmpp-server._tcp.b.test", port, "six.b.test", 1)
    names.add_srv("_xmpp-server._tcp.b.test", port, "gone.b.test", 2)
    names.add_srv("_xmpp-server._tcp.b.test", port, "both.b.test", 3)
    names.add_aaaa("six.b.test", "::1")
    names.add_aaaa("both.b.test", "::1")
    names.add_a("both.b.test", "127.0.0.1")
    juliet, romeo = await federation.users()
    await both_ways(juliet, romeo)


async def test_piggybacked_domains(federation, tmp_path):
    """One stream speaks for two domains, of which the first one's pair is
    used both ways, on whichever worker it is at home."""
    other = Authority(str(tmp_path))
    a, = await federation.start("dialback", {"a.test": other},
                                domains=("a.test",))
    juliet = await a.client("juliet", host="a.test")
    peers = {}
    for domain in ("b.test", "c.test"):
        pem = other.issue(str(tmp_path / f"{domain}.pem"), domain)
        peers[domain] = await Peer(domain, pem).start(federation.names)
    one = Stranger(a, "b.test")
    await one.connect()
    one.wire.send("<bidi xmlns='urn:xmpp:bidi'/>")

    async def prove(domain):
        one.wire.send(f"<db:result from='{domain}' to='a.test'>key</db:result>")
        visit = await peers[domain].visit()
        await visit.secure()
        await visit.header("<dialback xmlns='urn:xmpp:features:dialback'/>")
        asked = await visit.elem()
        assert asked.name == "verify" and asked.text == "key"
        assert asked.get("id") == one.id
        visit.send(f"<db:verify from='{domain}' to='a.test' id='{one.id}' "
                   "type='valid'/>")
        got = await one.elem()
        assert got.name == "result" and got.get("type") == "valid"
        assert got.get("to") == domain

    for i, domain in enumerate(peers):
        await prove(domain)
        for sender in list(peers)[:i + 1]:
            one.wire.send(f"<message from='x@{sender}' to='{juliet.jid}'>"
                          f"<body>{i} {sender}</body></message>")
            await juliet.take(is_message(f"{i} {sender}"))
        juliet.send("<message to='x@b.test'><body>back</body></message>")
        assert (await one.elem()).find("body").text == "back"
    one.wire.send(f"<message from='x@d.test' to='{juliet.jid}'/>")
    await one.ends("invalid-from")
    for peer in peers.values():
        peer.close()
