# SPDX-License-Identifier: MIT
"""Stream management between servers: links that break lose nothing that was
acknowledged, and double nothing."""

import asyncio

import pytest

from harness.client import Unexpected
from harness.federation import (Peer, Proxy, Stranger, is_error, is_message,
                                say)
from harness.wire import PATIENCE, Silence
from harness.xml import NS_SM

pytestmark = pytest.mark.workers(2)

SM = f"<sm xmlns='{NS_SM}'/>"


async def body_of(client, timeout=PATIENCE):
    got = await client.take(lambda e: e.name == "message", timeout=timeout)
    return got


async def between(federation, b):
    """What a.test has for b.test goes through it."""
    proxy = await Proxy(b.port["s2s"]).start()
    service = "_xmpp-server._tcp.b.test"
    federation.names.records = {
        k: v for k, v in federation.names.records.items() if k[0] != service}
    federation.names.add_srv(service, proxy.port, "xmpp.b.test")
    return proxy


async def test_link_cut_under_load(federation):
    """The network cuts the link again and again while messages flow."""
    a, b = await federation.start()
    proxy = await between(federation, b)
    juliet, romeo = await federation.users()
    await say(juliet, romeo, "ay me")
    count, cuts = 600, 5
    for i in range(count):
        juliet.send(f"<message to='{romeo.jid}' type='chat'><body>{i}</body>"
                    f"</message>")
        if i % (count // cuts) == 50:
            await asyncio.sleep(0.05)
            proxy.cut()
    for i in range(count):
        got = await body_of(romeo)
        assert got.find("body").text == str(i)
    await a.log_line("resumed: ")
    await juliet.ping("b.test")
    assert not juliet.wire.events  # nothing came back
    assert proxy.links > 1
    proxy.close()


async def test_network_away_under_load(federation):
    """Nothing goes through, and nobody says so: it is noticed in time, and
    nothing is lost or doubled when it is back."""
    a, b = await federation.start(
        s2s={"dead": "1s", "timeout": "3s", "retry": "1s"})
    proxy = await between(federation, b)
    juliet, romeo = await federation.users()
    await say(juliet, romeo, "ay me")
    start = a.start_mark
    count = 400
    for i in range(count):
        juliet.send(f"<message to='{romeo.jid}' type='chat'><body>{i}</body>"
                    f"</message>")
        if i == count // 2:
            await asyncio.sleep(0.05)
            proxy.freeze()
    await a.log_line("no acknowledgement: the link is dead", start)
    # Another one is tried meanwhile, which comes to nothing.
    await a.log_line("no stream could be had in time", start)
    proxy.thaw()
    for i in range(count):
        got = await body_of(romeo)
        assert got.find("body").text == str(i)
    await juliet.ping("b.test")
    assert not juliet.wire.events and not romeo.wire.events
    proxy.close()


async def test_network_stays_away(federation):
    """What waits is given back when its time is over, each once."""
    a, b = await federation.start(
        s2s={"dead": "1s", "timeout": "2s", "retry": "1s", "resume": "3s"})
    proxy = await between(federation, b)
    juliet, romeo = await federation.users()
    await say(juliet, romeo, "ay me")
    await juliet.ping("b.test")
    proxy.freeze()
    count = 50
    for i in range(count):
        juliet.send(f"<message to='{romeo.jid}' type='chat' id='m{i}'><body>"
                    f"{i}</body></message>")
    for i in range(count):
        # What came before may not be acknowledged, and come back, too.
        got = await juliet.take(lambda e: (e.get("id") or "").startswith("m")
                                and is_error("remote-server-timeout")(e))
        assert got.get("id") == f"m{i}"
    # What is sent now comes back at once; until the link is tried again.
    proxy.cut()
    proxy.thaw()
    for i in range(PATIENCE * 10):
        juliet.send(f"<message to='{romeo.jid}' type='chat' id='n{i}'><body>"
                    "back</body></message>")
        try:
            await romeo.take(is_message("back"), timeout=1)
            break
        except Silence:
            pass
    else:
        raise AssertionError("the link did not come back")
    proxy.close()


async def test_peer_takes_nothing(federation, authority, tmp_path):
    """Without stream management it is the kernel who notices."""
    a, = await federation.start(domains=("a.test",), s2s={"dead": "1s"})
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    juliet.send("<message to='x@b.test'><body>?</body></message>")
    visit = await peer.visit()
    await visit.let_in()
    assert (await visit.elem()).name == "message"
    visit.transport.pause_reading()
    # More than the buffers of both kernels hold.
    for _ in range(200):
        juliet.send("<message to='x@b.test'><body>" + "x" * 60000 +
                    "</body></message>")
        if peer.visits.qsize():
            break
        await asyncio.sleep(0.02)
    await a.log_line("outgoing stream ended")
    # And there is another one.
    for _ in range(PATIENCE * 10):
        if peer.visits.qsize():
            break
        juliet.send("<message to='x@b.test'><body>again</body></message>")
        await asyncio.sleep(0.1)
    visit = await peer.visit()
    await visit.secure()
    peer.close()


async def test_peer_killed_under_load(federation):
    """Each message arrives once, or comes back once, or both if the peer
    died between having it and saying so; none is lost."""
    a, b = await federation.start(s2s={"resume": "10s"})
    juliet, romeo = await federation.users()
    await say(juliet, romeo, "ay me")
    arrived, back = [], []

    async def drain(client, to, timeout):
        try:
            while True:
                got = await body_of(client, timeout)
                # "ay me" has none: it may come back, too.
                if got.get("id") is not None:
                    to.append(got.get("id"))
        except (Silence, Unexpected):
            pass

    count = 300
    for i in range(count):
        juliet.send(f"<message to='{romeo.bare}' type='chat' id='m{i}'><body>"
                    f"{i}</body></message>")
        if i == count // 2:
            await asyncio.sleep(0.03)
            await b.kill()
    await drain(romeo, arrived, 0.2)
    await b.start()
    romeo = await b.client("romeo", host="b.test", register=False)
    romeo.send("<presence/>")
    for _ in range(PATIENCE * 4):
        await drain(romeo, arrived, 0.3)
        await drain(juliet, back, 0.2)
        if len(set(arrived) | set(back)) == count:
            break
    assert set(arrived) | set(back) == {f"m{i}" for i in range(count)}
    assert len(arrived) == len(set(arrived))
    assert len(back) == len(set(back))


class Link(Stranger):
    """An incoming stream that is through."""

    async def login(self, pem):
        await self.connect(pem)
        assert await self.external(self.domain) == "success"
        return await self.open()

    async def answer(self, text):
        self.wire.send(text)
        return await self.elem()


async def test_counts_and_resumption(federation, authority, tmp_path):
    a, = await federation.start(domains=("a.test",))
    juliet = await a.client("juliet", host="a.test")
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    evil_pem = authority.issue(str(tmp_path / "e.pem"), "evil.test")
    one = Link(a, "b.test")
    features = await one.login(pem)
    assert features.find("sm", NS_SM) is not None
    enabled = await one.answer(f"<enable xmlns='{NS_SM}' resume='true'/>")
    assert enabled.name == "enabled" and enabled.get("resume") == "true"
    token = enabled.get("id")
    # Once is enough.
    failed = await one.answer(f"<enable xmlns='{NS_SM}'/>")
    assert failed.name == "failed"
    for i in range(2):
        one.wire.send(f"<message from='romeo@b.test' to='{juliet.jid}'><body>"
                      f"{i}</body></message>")
        await juliet.take(is_message(str(i)))
    got = await one.answer(f"<r xmlns='{NS_SM}'/>")
    assert got.name == "a" and got.get("h") == "2"
    one.wire.cut()
    resume = f"<resume xmlns='{NS_SM}' previd='{token}' h='%s'/>"
    # It is nobody else's.
    evil = Link(a, "evil.test")
    await evil.login(evil_pem)
    assert (await evil.answer(resume % 0)).name == "failed"
    two = Link(a, "b.test")
    await two.login(pem)
    failed = await two.answer(resume.replace(token, "x" * 22) % 0)
    assert failed.name == "failed"
    got = await two.answer(resume % 0)
    assert got.name == "resumed" and got.get("h") == "2"
    two.wire.send(f"<message from='romeo@b.test' to='{juliet.jid}'><body>3"
                  "</body></message>")
    await juliet.take(is_message("3"))
    got = await two.answer(f"<r xmlns='{NS_SM}'/>")
    assert got.get("h") == "3"
    # A stream that is still there is taken over, too.
    three = Link(a, "b.test")
    await three.login(pem)
    assert (await three.answer(resume % 0)).name == "resumed"
    await two.ends("conflict")
    # We have not sent as much as that.
    three.wire.send(f"<a xmlns='{NS_SM}' h='7'/>")
    await three.ends("undefined-condition")
    # And after an end in order there is nothing to resume.
    four = Link(a, "b.test")
    await four.login(pem)
    assert (await four.answer(resume % 0)).name == "failed"


async def test_unknown_to_a_new_peer(federation, authority, tmp_path):
    """A peer that lost our session: with its count the rest is sent again;
    without one it comes back, once."""
    a, = await federation.start(domains=("a.test",), s2s={"resume": "20s"})
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")

    def say_it(i):
        juliet.send(f"<message to='x@b.test' id='m{i}'><body>{i}</body>"
                    "</message>")

    async def enable(visit, token):
        while (got := await visit.elem()).name != "enable":
            assert got.name == "resume"
            return got
        visit.send(f"<enabled xmlns='{NS_SM}' id='{token}' resume='true'/>")
        return got

    async def bodies(visit, *wanted):
        for i in wanted:
            while (got := await visit.elem()).name != "message":
                assert got.name == "r"
            assert got.get("id") == f"m{i}"

    say_it(1)
    visit = await peer.visit()
    await visit.let_in(SM)
    await enable(visit, "t1")
    await bodies(visit, 1)
    say_it(2)
    await bodies(visit, 2)
    visit.cut()
    # One was acknowledged to nobody; the peer says that it has it.
    visit = await peer.visit()
    await visit.let_in(SM)
    got = await visit.elem()
    assert got.name == "resume" and got.get("previd") == "t1"
    say_it(3)
    visit.send(f"<failed xmlns='{NS_SM}' h='1'/>")
    assert (await enable(visit, "t2")).name == "enable"
    await bodies(visit, 2, 3)
    visit.cut()
    visit = await peer.visit()
    await visit.let_in(SM)
    assert (await visit.elem()).get("previd") == "t2"
    visit.send(f"<failed xmlns='{NS_SM}'/>")
    assert (await enable(visit, "t3")).name == "enable"
    for i in (2, 3):
        got = await juliet.take(is_error("remote-server-timeout"))
        assert got.get("id") == f"m{i}"
    say_it(4)
    await bodies(visit, 4)
    visit.send(f"<a xmlns='{NS_SM}' h='1'/>")
    await juliet.ping()
    assert not juliet.wire.events
    peer.close()


async def test_stalled_peer_is_bounded(federation, authority, tmp_path):
    """Nothing is acknowledged: what waits is bounded, and comes back."""
    a, = await federation.start(domains=("a.test",), s2s={"resume": "1s"})
    pem = authority.issue(str(tmp_path / "b.pem"), "b.test")
    peer = await Peer("b.test", pem).start(federation.names)
    juliet = await a.client("juliet", host="a.test")
    juliet.send("<message to='x@b.test' id='first'><body>?</body></message>")
    visit = await peer.visit()
    await visit.let_in(SM)
    assert (await visit.elem()).name == "enable"
    visit.send(f"<enabled xmlns='{NS_SM}' id='t' resume='true'/>")
    assert (await visit.elem()).name == "message"
    peer.server.close()
    visit.cut()
    got = await juliet.take(is_error("remote-server-timeout"))
    assert got.get("id") == "first"
    assert got.find("error").find("text") is not None
    peer.close()
