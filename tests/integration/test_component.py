# SPDX-License-Identifier: MIT
"""Components (XEP-0114): getting in, what they say and what they are told."""

import asyncio
import os
import subprocess

import pytest

from harness.client import Failure
from harness.component import Component
from harness.server import merge
from harness.wire import client_context

pytestmark = pytest.mark.workers(1, 3)

GATE = "gate.localhost"


def settings(**more):
    return merge({
        "components": [{"host": GATE, "secret": "open sesame"},
                       {"host": "other.example", "secret": "other"}],
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
             "starttls": "optional"},
            {"type": "component", "ip": "127.0.0.1", "port": "component"},
            {"type": "component", "ip": "127.0.0.1", "port": "tls",
             "tls": True},
        ],
    }, more)


@pytest.fixture
def server(make_server, event_loop):
    made = make_server(settings())
    event_loop.run_until_complete(made.start())
    return made


async def component(server, domain=GATE, secret="open sesame", port="component",
                    **how):
    return await Component(domain, secret).login(server.port[port], **how)


def is_error(condition, kind=None):
    def fits(elem):
        error = elem.find("error")
        return elem.get("type") == "error" and error is not None and \
            error.elems()[0].name == condition and \
            kind in (None, error.get("type"))
    return fits


def is_message(text):
    return lambda e: e.name == "message" and e.find("body") is not None \
        and e.find("body").text == text


async def items(client):
    answer = await client.ask(
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        to="localhost")
    return [i.get("jid") for i in answer.elems()[0].elems()]


async def until_down(server):
    async def is_down():
        return GATE not in await server.ctl_ok("connected_components")
    await server.wait_until(is_down)


async def test_handshake(server):
    gate = Component(GATE, "open sesame")
    await gate.connect(server.port["component"])
    header = await gate.open()
    assert header.get("from") == GATE and len(header.get("id")) >= 16
    gate.send_handshake()
    answer = await gate.elem()
    assert answer.name == "handshake" and not answer.text
    await gate.ping("localhost")
    listed = await server.ctl_ok("connected_components")
    assert listed.startswith(f"{GATE}\t127.0.0.1\ttcp\t")


async def test_handshake_over_tls(server):
    gate = await component(server, port="tls", tls=client_context())
    await gate.ping("localhost")
    assert "\ttls\t" in await server.ctl_ok("connected_components")


async def refused(server, condition, domain=GATE, text=None, extra=""):
    gate = Component(domain, "open sesame")
    await gate.connect(server.port["component"])
    await gate.open(extra=extra)
    if text is not None:
        gate.send(text.replace("{key}", gate.handshake()))
    await gate.ends(condition)


async def test_refusals(server):
    for domain in ("unknown.example", "localhost"):
        await refused(server, "host-unknown", domain)
    for text in (
            "<handshake>00</handshake>", "<handshake/>",
            f"<handshake>{'0' * 40}</handshake>",
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            f"<message from='x@{GATE}' to='romeo@localhost'/>",
            # It waits for no answer.
            f"<handshake>{{key}}</handshake><presence from='{GATE}' "
            "to='romeo@localhost'/>",
            "<handshake>{key}</handshake><handshake>{key}</handshake>"):
        await refused(server, "not-authorized", text=text)
    # The secret of another.
    thief = Component(GATE, "other")
    await thief.connect(server.port["component"])
    await thief.open()
    thief.send_handshake()
    await thief.ends("not-authorized")
    assert not (await server.ctl_ok("connected_components")).strip()


async def test_bad_headers(server):
    gate = Component(GATE)
    await gate.connect(server.port["component"])
    gate.wire.send("<stream:stream xmlns='jabber:client' to='gate.localhost' "
                   "xmlns:stream='http://etherx.jabber.org/streams'>")
    await gate.expect("open")
    await gate.ends("invalid-namespace")
    await gate.connect(server.port["component"])
    gate.wire.send("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>")
    await gate.wire.gone()


async def test_bound_before_login(make_server):
    server = make_server(settings(limits={"negotiation": "1s"}))
    await server.start()
    gate = Component(GATE)
    await gate.connect(server.port["component"])
    await gate.open()
    await gate.ends("connection-timeout")
    await gate.connect(server.port["component"])
    await gate.open()
    gate.wire.send(f"<handshake>{'0' * 20000}</handshake>")
    await gate.ends("policy-violation")


async def test_talk(server):
    gate = await component(server)
    juliet = await server.client("juliet")
    juliet.send(f"<message to='#room@{GATE}' type='chat' id='1'><body>hi</body>"
                "</message>")
    got = await gate.take(is_message("hi"))
    assert got.get("from") == juliet.jid and got.get("to") == f"#room@{GATE}"
    gate.send(f"<message from='#room@{GATE}/nick' to='{juliet.jid}'>"
              "<body>ho</body></message>")
    got = await juliet.take(is_message("ho"))
    assert got.get("from") == f"#room@{GATE}/nick"
    # Their iqs, by whomever of the domain.
    juliet.send(f"<iq type='get' id='v' to='{GATE}'><query "
                "xmlns='jabber:iq:version'/></iq>")
    got = await gate.take(lambda e: e.get("id") == "v")
    gate.send(f"<iq type='result' id='v' from='{GATE}' to='{juliet.jid}'/>")
    await juliet.take(lambda e: e.get("id") == "v"
                      and e.get("from") == GATE)
    # Presence and subscription, as with another server.
    juliet.send("<presence/>")
    juliet.send(f"<presence to='{GATE}' type='subscribe'/>")
    await gate.take(lambda e: e.get("type") == "subscribe")
    gate.send(f"<presence from='{GATE}' to='{juliet.bare}' type='subscribed'/>"
              f"<presence from='{GATE}' to='{juliet.bare}'/>")
    await juliet.take(lambda e: e.name == "presence"
                      and e.get("from") == GATE and not e.get("type"))
    gate.send(f"<presence from='{GATE}' to='{juliet.bare}' type='subscribe'/>")
    await juliet.take(lambda e: e.get("type") == "subscribe")
    juliet.send(f"<presence to='{GATE}' type='subscribed'/>")
    await gate.take(lambda e: e.name == "presence"
                    and e.get("from") == juliet.jid)


async def test_blocked_is_not_probed(server):
    gate = await component(server)
    juliet = await server.client("juliet")
    tybalt = await server.client("tybalt")
    juliet.send(f"<presence/><presence to='{GATE}' type='subscribe'/>")
    await gate.take(lambda e: e.get("type") == "subscribe")
    gate.send(f"<presence from='{GATE}' to='{juliet.bare}' type='subscribed'/>")
    await juliet.take(lambda e: e.get("type") == "subscribed")
    juliet.send("<presence type='unavailable'/><presence/>")
    await gate.take(lambda e: e.get("type") == "probe")
    juliet.send("<presence type='unavailable'/>")
    await juliet.ask(f"<block xmlns='urn:xmpp:blocking'><item jid='{GATE}'/>"
                     "</block>", "set")
    juliet.send("<presence/>")
    await juliet.ping()
    tybalt.send(f"<message to='{GATE}'><body>next</body></message>")
    assert is_message("next")(await gate.elem())


async def test_forged_delay(server):
    """It tells when it got what, and not when we did."""
    gate = await component(server)
    juliet = await server.client("juliet")
    gate.send(f"<message from='x@{GATE}' to='{juliet.jid}'>" + "".join(
        f"<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z' "
        f"from='{by}'/>" for by in (
            "localhost", juliet.bare, "other.example", GATE, f"y@{GATE}")) +
              "</message>")
    got = await juliet.take(lambda e: e.name == "message")
    assert [e.get("from") for e in got.elems()] == [GATE, f"y@{GATE}"]


async def test_order_of_many(server):
    gate = await component(server)
    juliet = await server.client("juliet")
    count = 500
    for i in range(count):
        juliet.send(f"<message to='a{i % 7}@{GATE}'><body>{i}</body>"
                    "</message>")
    for i in range(count):
        assert is_message(str(i))(await gate.elem())
    for i in range(count):
        gate.send(f"<message from='a{i % 7}@{GATE}' to='{juliet.jid}'><body>"
                  f"{i}</body></message>")
    for i in range(count):
        assert is_message(str(i))(await juliet.take(
            lambda e: e.name == "message"))


@pytest.mark.parametrize("sender", [
    "juliet@localhost", "localhost", "other.example", "x.gate.localhost",
    "gate.localhost.evil", "", "@@", None])
async def test_spoofed_from(server, sender):
    gate = await component(server)
    juliet = await server.client("juliet")
    mark = "" if sender is None else f" from='{sender}'"
    gate.send(f"<message{mark} to='{juliet.jid}'><body>?</body></message>")
    await gate.ends("invalid-from")
    await juliet.ping()
    assert not juliet.wire.events


async def test_bad_stanzas_cost_no_stream(server):
    gate = await component(server)
    gate.send(f"<message from='{GATE}' id='1'><body/></message>")
    await gate.take(is_error("bad-request"))
    gate.send(f"<message from='{GATE}' to='@' id='2'><body/></message>")
    await gate.take(is_error("jid-malformed"))
    gate.send(f"<iq from='{GATE}' to='localhost' type='get' id='3'/>")
    await gate.take(is_error("bad-request"))
    await gate.ping("localhost")
    gate.send("<stuff xmlns='urn:x'/>")
    await gate.ends("unsupported-stanza-type")


async def test_offline(server):
    juliet = await server.client("juliet")
    juliet.send(f"<message to='x@{GATE}' id='1'><body>?</body></message>")
    await juliet.take(is_error("remote-server-timeout", "wait"))
    gate = await component(server)
    juliet.send(f"<message to='x@{GATE}' id='2'><body>here</body></message>")
    await gate.take(is_message("here"))
    gate.cut()
    await until_down(server)
    juliet.send(f"<iq to='x@{GATE}' id='3' type='get'><q xmlns='urn:x'/></iq>")
    await juliet.take(is_error("remote-server-timeout"))
    await juliet.ping()
    assert not juliet.wire.events


async def test_takes_over(server):
    """One that lost its link comes back before the old one was missed."""
    first = await component(server)
    second = await component(server)
    await first.ends("conflict")
    juliet = await server.client("juliet")
    juliet.send(f"<message to='x@{GATE}'><body>who</body></message>")
    await second.take(is_message("who"))
    assert GATE in await items(juliet)
    await second.leave()
    await until_down(server)


async def test_disco(server):
    juliet = await server.client("juliet")
    assert GATE not in await items(juliet)
    gate = await component(server)
    other = await component(server, "other.example", "other")

    async def both():
        found = await items(juliet)
        return GATE in found and "other.example" in found
    await server.wait_until(both)
    await gate.leave()
    await until_down(server)

    async def one():
        return GATE not in await items(juliet)
    await server.wait_until(one)
    await other.ping(juliet.host)


async def test_between_components(server):
    gate = await component(server)
    other = await component(server, "other.example", "other")
    gate.send(f"<message from='a@{GATE}' to='b@other.example'><body>x</body>"
              f"</message><message from='a@{GATE}' to='c@{GATE}'><body>self"
              "</body></message>")
    await other.take(is_message("x"))
    await gate.take(is_message("self"))


async def test_slow_component_is_bounded(make_server):
    server = make_server(settings(limits={"session_queue": 300000}))
    await server.start()
    gate = await component(server)
    juliet = await server.client("juliet")
    gate.wire.transport.pause_reading()
    text = "x" * 50000
    for i in range(400):
        juliet.send(f"<message to='{GATE}' id='{i}'><body>{text}</body>"
                    "</message>")
        if i % 20 == 0:
            await juliet.ping()
    await juliet.take(is_error("resource-constraint"))
    gate.wire.transport.resume_reading()
    await gate.take(is_message(text))


async def test_stopped_and_reloaded(server):
    gate = await component(server)
    await server.ctl_ok("stop_component", GATE)
    await gate.ends("policy-violation")
    await until_down(server)
    status, out, _ = await asyncio.to_thread(server.ctl, "stop_component", GATE)
    assert status == 1 and "no component" in out
    gate = await component(server)
    other = await component(server, "other.example", "other")
    server.overrides["components"] = [
        {"host": GATE, "secret": "new"},
        {"host": "third.example", "secret": "third"}]
    server.write_config()
    await server.ctl_ok("reload_config")
    await gate.ends("not-authorized")
    await other.ends("host-gone")
    with pytest.raises(Failure):
        await component(server)
    await component(server, secret="new")
    third = await component(server, "third.example", "third")
    await third.ping("localhost")
    path = os.path.join(server.folder, "dump.yml")
    await server.ctl_ok("dump_config", path)
    with open(path, encoding="utf-8") as file:
        dump = file.read()
    assert "{host: third.example, secret: \"***\"}" in dump, dump
    assert "type: component" in dump
    await server.stop()
    await third.ends("system-shutdown")


async def test_configuration(make_server):
    for components, what in (
            ([{"host": "localhost", "secret": "x"}], "is one of 'hosts'"),
            ([{"host": GATE}], "needs 'host' and 'secret'"),
            ([{"host": GATE, "secret": "a"}, {"host": GATE, "secret": "b"}],
             "there twice"),
            ({"host": GATE}, "a list of up to")):
        server = make_server({"components": components})
        server.write_config()
        done = subprocess.run(
            [server.daemon, "-c", server.config_path, "--check-config"],
            capture_output=True, text=True, check=False)
        assert done.returncode == 1 and what in done.stderr, done.stderr
