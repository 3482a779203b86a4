# SPDX-License-Identifier: MIT
"""A disabled account: its sessions end, and no login of any kind goes until it
is enabled again."""

from harness import sasl
from harness.xml import NS_SASL2
from test_login import AGENT, FAST, arrive, token_of

BIND = "<bind xmlns='urn:xmpp:bind:0'/>"


async def attempt(server, mechanism, inner, password):
    client = await arrive(server, "romeo")
    answer = await client.authenticate(mechanism, inner, password=password)
    client.close()
    return answer


async def test_ban_ends_all(make_server):
    server = make_server()
    await server.start()
    await server.register("romeo")
    first = await arrive(server, "romeo")
    token, _ = await token_of(first)
    session = await server.client("romeo", register=False)
    assert server.ctl("ban_account", "romeo", "localhost", "spam")[0] == 0
    error = await session.take(lambda e: e.name == "error")
    assert error.find("policy-violation") is not None
    ways = [("SCRAM-SHA-1", AGENT, "secret"), ("PLAIN", AGENT, "secret"),
            ("HT-SHA-256-NONE", AGENT + FAST, token)]
    for mechanism, inner, password in ways:
        answer = await attempt(server, mechanism, inner, password)
        assert answer.name == "failure", str(answer)
        assert answer.find("account-disabled") is not None
    assert server.ctl("unban_account", "romeo", "localhost")[0] == 0
    for mechanism, inner, password in ways:
        answer = await attempt(server, mechanism, inner, password)
        assert answer.name == "success", str(answer)


async def test_ban_amid_login(make_server):
    """The keys were looked up before it, and the proof is right."""
    server = make_server()
    await server.start()
    await server.register("romeo")
    client = await arrive(server, "romeo")
    scram = sasl.Scram("SCRAM-SHA-1", "romeo", "secret")
    client.wire.send(f"<authenticate xmlns='{NS_SASL2}' "
                     "mechanism='SCRAM-SHA-1'><initial-response>"
                     f"{sasl.b64(scram.first())}</initial-response>{BIND}"
                     "</authenticate>")
    challenge = await client.elem()
    await server.ctl_ok("ban_account", "romeo", "localhost", "spam")
    final = scram.final(sasl.unb64(challenge.text))
    client.wire.send(f"<response xmlns='{NS_SASL2}'>{sasl.b64(final)}"
                     "</response>")
    answer = await client.elem()
    assert answer.name == "failure", str(answer)
    assert answer.find("account-disabled") is not None
    client.close()
