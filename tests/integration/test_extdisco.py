# SPDX-License-Identifier: MIT
"""XEP-0215: what TURN servers check, and settings that make no sense."""

import base64
import hashlib
import hmac
import time

from harness.client import Failure

NS = "urn:xmpp:extdisco:2"
SECRET = b"north"


def settings(*services, **options):
    return {"modules": {"disco": {}, "extdisco": {
        "services": list(services), **options}}}


async def services_of(client):
    answer = await client.ask(f"<services xmlns='{NS}'/>", to="localhost")
    return answer.find("services").elems()


async def test_credentials(make_server):
    """The password is the name's HMAC, as coturn has it; the name is good for
    as long as it says, the same for an account and another for others."""
    server = make_server(settings("turn:turn.example.org",
                                  secret=SECRET.decode(), lifetime="1h"))
    await server.start()
    names = set()
    for user in ("romeo", "juliet", "romeo"):
        client = await server.client(user, register=not (
            user == "romeo" and names))
        turn, = await services_of(client)
        name = turn.get("username")
        mac = hmac.new(SECRET, name.encode(), hashlib.sha1).digest()
        assert turn.get("password") == base64.b64encode(mac).decode()
        until, _, who = name.partition(":")
        assert 3500 < int(until) - time.time() < 3700
        assert user not in who
        names.add(who)
    assert len(names) == 2


async def test_left_out(make_server):
    """What cannot be used is left out, and the log says why."""
    bad = ("turn:turn.example.org", "http://x", "stun:", "stun:h:70000",
           "stun:h:0", "stun:h?transport=sctp", "turn", "stun:[::1",
           "stun:h?x=y")
    server = make_server(settings("stun:stun.example.org", *bad))
    server.announce("is left out")
    await server.start()
    text = "\n".join(server.lines(0))
    for uri in bad:
        assert f"services: '{uri}' is left out" in text
    client = await server.client("romeo")
    stun, = await services_of(client)
    assert stun.get("host") == "stun.example.org"


async def test_not_for_strangers(make_server):
    """Other hosts' users, be they of this server, get nothing."""
    server = make_server({"hosts": ["localhost", "b.localhost"],
                          **settings("stun:stun.example.org")},
                         hosts=["localhost", "b.localhost"])
    await server.start()
    juliet = await server.client("juliet", host="b.localhost")
    try:
        await services_of(juliet)
        assert False, "it answered"
    except Failure as failure:
        assert "forbidden" in str(failure)
