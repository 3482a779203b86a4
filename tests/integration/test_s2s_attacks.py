# SPDX-License-Identifier: MIT
"""Somebody between two servers, or in the place of one: certificates that are
no good, and what would talk us into less than we ask for."""

import ssl

import pytest

from harness.federation import NS_SASL, NS_TLS, Peer, Stranger, is_error
from harness.server import Authority
from harness.wire import Wire, client_context
from harness.xml import NS_SM

pytestmark = pytest.mark.workers(2)

MESSAGE = "<message to='x@b.test' id='m'><body>a secret</body></message>"
DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'/>"


class Attack:
    """a.test is attacked by a peer that its name server tells it of."""

    def __init__(self, federation, folder):
        self.federation = federation
        self.folder = folder
        self.server = self.juliet = self.peer = None

    async def start(self, pem=None, **how):
        self.server, = await self.federation.start(domains=("a.test",), **how)
        self.juliet = await self.server.client("juliet", host="a.test")
        pem = pem or self.federation.authority.issue(
            str(self.folder / "b.pem"), "b.test")
        self.peer = await Peer("b.test", pem).start(self.federation.names)
        return self

    async def refused(self, text=None):
        """What was to be sent comes back, and has not been told to anyone."""
        got = await self.juliet.take(is_error("remote-server-timeout"))
        if text:
            assert text in got.find("error").find("text").text, got
        for visit in self.peer.seen:
            assert b"secret" not in visit.raw

    async def visit(self):
        self.juliet.send(MESSAGE)
        visit = await self.peer.visit()
        visit.keep_raw = True
        return visit


@pytest.fixture
def attack(federation, tmp_path):
    made = Attack(federation, tmp_path)
    yield made
    if made.peer:
        made.peer.close()


async def quiet(visit):
    """It has closed, and said no more than that, unless it is of TLS."""
    for kind, *rest in await visit.gone():
        assert kind in ("close", "eof", "bad") or rest[0].name == "error", rest


async def test_expired_certificate(attack, authority, tmp_path):
    """Neither from whom we call nor from whom calls us."""
    old = authority.issue(str(tmp_path / "old.pem"), "b.test", days=-1)
    await attack.start(old)
    visit = await attack.visit()
    await visit.secure()
    await quiet(visit)
    await attack.refused("certificate has expired")
    one = Stranger(attack.server, "b.test")
    features = await one.connect(old)
    assert features.find("mechanisms", NS_SASL) is None
    assert await one.external("b.test") == "failure"
    await attack.server.log_line(
        "no certificate that vouches for b.test: certificate has expired")


def old_tls(context):
    """As of before TLS 1.2; Debian's OpenSSL must be talked into it."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_tls(attack):
    await attack.start()
    context = attack.peer.context
    old_tls(context)
    visit = await attack.visit()
    with pytest.raises((ssl.SSLError, OSError)):
        await visit.secure()
    await attack.refused()
    # Nor do we take it; and there is no way back to no TLS.
    one = Stranger(attack.server, "b.test")
    one.wire = await Wire().connect(attack.server.port["s2s"])
    await one.open()
    one.wire.send(f"<starttls xmlns='{NS_TLS}'/>")
    assert (await one.elem()).name == "proceed"
    with pytest.raises((ssl.SSLError, OSError)):
        await one.wire.start_tls(old_tls(client_context()))


@pytest.mark.parametrize("features", [
    "", DIALBACK,
    f"<mechanisms xmlns='{NS_SASL}'><mechanism>EXTERNAL</mechanism>"
    "</mechanisms>"], ids=["nothing", "dialback", "sasl"])
@pytest.mark.parametrize("require", ["certificate", "dialback"])
async def test_starttls_stripped(attack, features, require):
    """Whatever else is offered, and whatever is allowed over TLS."""
    await attack.start(require=require)
    visit = await attack.visit()
    await visit.header(features)
    await quiet(visit)
    await attack.refused("offers no TLS")


@pytest.mark.parametrize("answer", [
    "<db:result from='b.test' to='a.test' type='valid'/>",
    f"<success xmlns='{NS_SASL}'/>",
    f"<enabled xmlns='{NS_SM}' id='x' resume='true'/>",
    f"<resumed xmlns='{NS_SM}' h='0' previd='x'/>",
    f"<failed xmlns='{NS_SM}'/>",
    f"<failed xmlns='{NS_SM}' h='0'/>",
], ids=["dialback", "success", "enabled", "resumed", "failed", "counted"])
@pytest.mark.parametrize("when", ["clear", "tls"])
async def test_answers_to_nothing(attack, answer, when):
    """Before we asked for anything we are told that we got it."""
    await attack.start(require="dialback")
    visit = await attack.visit()
    if when == "tls":
        await visit.secure()
    # It came, and changed nothing: what is due comes as ever.
    if when == "clear":
        await visit.header(f"<starttls xmlns='{NS_TLS}'/>", before=answer)
        assert (await visit.elem()).name == "starttls"
    else:
        await visit.header(DIALBACK, before=answer)
        got = await visit.elem()
        assert got.name == "result" and got.get("type") is None
    assert b"secret" not in visit.raw
    attack.peer.server.close()
    visit.abort()
    await attack.refused()


ANYTHING = [
    "<db:result from='b.test' to='a.test' type='valid'/>",
    "<db:result from='b.test' to='a.test' type='invalid'/>",
    "<db:result from='b.test' to='a.test'>00</db:result>",
    "<db:verify from='b.test' to='a.test' id='x1' type='valid'/>",
    "<db:verify from='b.test' to='a.test' id='x1'>00</db:verify>",
    *(f"<{name} xmlns='{NS_SASL}'/>" for name in (
        "success", "failure", "challenge", "auth", "abort")),
    *(f"<{name} xmlns='{NS_TLS}'/>" for name in (
        "proceed", "failure", "starttls")),
    *(f"<{name} xmlns='{NS_SM}' h='0' id='x' previd='x' resume='true'/>"
      for name in ("enabled", "resumed", "failed", "enable", "resume", "r",
                   "a")),
    "<bidi xmlns='urn:xmpp:bidi'/>", "<stream:features/>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    "</stream:error>", "<message from='x@b.test' to='y@a.test'/>",
    "<iq from='b.test' to='a.test' type='result' id='1'/>", "<x xmlns='y'/>",
    "</stream:stream>", "<!-- -->", "<a",
]


async def to_step(visit, step, answer):
    """Says it, twice, where something else is due."""
    answer *= 2
    if step == "clear":
        await visit.header(f"<starttls xmlns='{NS_TLS}'/>", before=answer)
        return
    await visit.secure()
    if step == "tls":
        await visit.header(DIALBACK, before=answer)
        return
    await visit.header(f"<mechanisms xmlns='{NS_SASL}'><mechanism>EXTERNAL"
                       "</mechanism></mechanisms>")
    assert (await visit.elem()).name == "auth"
    if step == "login":
        visit.send(answer + "</stream:stream>")
        return
    visit.restart()
    visit.send(f"<success xmlns='{NS_SASL}'/>")
    await visit.header(f"<sm xmlns='{NS_SM}'/>",
                       before=answer if step == "features" else "")
    if step == "sm":
        # Of an earlier one, which comes again, it resumes.
        assert (await visit.elem()).name in ("enable", "resume")
        visit.send(answer)


@pytest.mark.parametrize("step", ["clear", "tls", "login", "features", "sm"])
async def test_anything_at_any_step(attack, authority, tmp_path, step):
    """What we dialled says what it likes: we say no more, and live."""
    pem = authority.issue(str(tmp_path / "all.pem"), "*.b.test")
    await attack.start(pem, limits={"s2s_keys": "1000/1s"})
    peer = attack.peer
    for i, answer in enumerate(ANYTHING):
        # Another domain each time: one that failed has to wait.
        domain = f"n{i}.b.test"
        attack.federation.names.add_srv(f"_xmpp-server._tcp.{domain}",
                                        peer.port, "xmpp.b.test")
        attack.juliet.send(MESSAGE.replace("b.test", domain))
        visit = await peer.visit()
        visit.keep_raw = True
        await to_step(visit, step, answer.replace("b.test", domain))
        if step in ("clear", "tls", "login"):
            # It is over, or what is due comes, which is not the message.
            event = await visit.next()
            assert event[0] in ("elem", "close", "eof", "bad"), answer
            assert b"secret" not in visit.raw, answer
        visit.abort()
    assert attack.server.is_alive
    await attack.juliet.ping()


@pytest.mark.parametrize("after", ["proceed", "failure"])
async def test_starttls_spoilt(attack, after):
    """Text that was slipped in behind <proceed/>; and a refusal of TLS."""
    await attack.start()
    visit = await attack.visit()
    await visit.header(f"<starttls xmlns='{NS_TLS}'/>")
    assert (await visit.elem()).name == "starttls"
    visit.send(f"<{after} xmlns='{NS_TLS}'/><stream:features>{DIALBACK}"
               "</stream:features>")
    await quiet(visit)
    await attack.refused()


async def test_starttls_spoilt_for_us(federation):
    a, = await federation.start(domains=("a.test",))
    one = Stranger(a, "b.test")
    one.wire = await Wire().connect(a.port["s2s"])
    await one.open()
    one.wire.send(f"<starttls xmlns='{NS_TLS}'/><db:result from='b.test' "
                  "to='a.test'>00</db:result>")
    seen = await one.wire.gone()
    assert [e[1].name for e in seen if e[0] == "elem"][1:] in (
        [], ["error"]), seen


async def test_mechanisms_stripped(attack, tmp_path):
    """By somebody with a certificate of his own: he gets no key either."""
    evil = Authority(str(tmp_path)).issue(str(tmp_path / "e.pem"), "b.test")
    await attack.start(evil)
    visit = await attack.visit()
    await visit.secure()
    await quiet(visit)
    await attack.refused("does not vouch for b.test")


async def test_sasl_without_tls(federation):
    a, = await federation.start(domains=("a.test",))
    one = Stranger(a, "b.test")
    one.wire = await Wire().connect(a.port["s2s"])
    features = await one.open()
    assert features.find("starttls").find("required") is not None
    assert features.find("mechanisms", NS_SASL) is None
    one.wire.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>=</auth>")
    await one.ends("not-authorized")
    # Other mechanisms are none, either.
    one = Stranger(a, "b.test")
    await one.connect()
    for mechanism in ("PLAIN", "ANONYMOUS"):
        one.wire.send(f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>"
                      "AGIAYg==</auth>")
        got = await one.elem()
        assert got.name == "failure"
        assert got.elems()[0].name == "invalid-mechanism"
        await one.wire.gone()
        await one.connect()


@pytest.mark.parametrize("change", [
    {"id": "other"}, {"from": "evil.test"}, {"type": "invalid"},
    {"type": "error"}, {"type": ""}, {"when": "clear"}])
async def test_forged_verification(attack, change):
    """The answer about a key is of another stream or domain, says no, or
    comes before TLS, from whoever is in between."""
    await attack.start(require="dialback")
    evil = Stranger(attack.server, "b.test")
    await evil.connect()
    evil.wire.send("<db:result from='b.test' to='a.test'>00</db:result>")
    visit = await attack.peer.visit()
    says = {"id": evil.id, "from": "b.test", "type": "valid", **change}
    answer = (f"<db:verify from='{says['from']}' to='a.test' id='{says['id']}' "
              f"type='{says['type']}'/>")
    if "when" in change:
        await visit.header(f"<starttls xmlns='{NS_TLS}'/>", before=answer)
        assert (await visit.elem()).name == "starttls"
        attack.peer.server.close()
        visit.abort()
    else:
        await visit.secure()
        await visit.header(DIALBACK)
        assert (await visit.elem()).name == "verify"
        visit.send(answer)
    got = await evil.elem()
    assert got.name == "result" and got.get("type") in ("invalid", "error")
    evil.wire.send(f"<message from='x@b.test' to='{attack.juliet.jid}'/>")
    await evil.ends("not-authorized")


async def test_own_verification(attack):
    """He vouches for himself, on the stream that is to be vouched for."""
    await attack.start(require="dialback")
    evil = Stranger(attack.server, "b.test")
    await evil.connect()
    evil.wire.send("<db:result from='b.test' to='a.test'>00</db:result>")
    evil.wire.send(f"<db:verify from='b.test' to='a.test' id='{evil.id}' "
                   "type='valid'/>")
    got = await evil.elem()
    assert got.name == "verify" and got.get("type") == "invalid"
    evil.wire.send("<db:result from='b.test' to='a.test' type='valid'/>")
    evil.wire.send(f"<message from='x@b.test' to='{attack.juliet.jid}'/>")
    await evil.ends("not-authorized")
    await attack.juliet.ping()
    assert not attack.juliet.wire.events


@pytest.mark.parametrize("step", ["clear", "tls", "up"])
async def test_anything_to_us(attack, authority, tmp_path, step):
    """Who dials us says what he likes, twice: his stream ends, and no more."""
    await attack.start(limits={"s2s_keys": "1000/1s",
                               "s2s_streams": "1000/1s"})
    pem = authority.issue(str(tmp_path / "evil.pem"), "evil.test")
    for answer in ANYTHING:
        evil = Stranger(attack.server, "evil.test")
        if step == "clear":
            evil.wire = await Wire().connect(attack.server.port["s2s"])
            await evil.open()
        else:
            await evil.connect(pem)
        if step == "up":
            assert await evil.external("evil.test") == "success"
            await evil.open()
        evil.wire.send(answer * 2 + "</stream:stream>")
        for event in await evil.wire.gone():
            # It takes nobody else's part: nothing is valid.
            assert event[0] != "elem" or event[1].get("type") != "valid"
    assert attack.server.is_alive
    await attack.juliet.ping()
    assert not attack.juliet.wire.events
