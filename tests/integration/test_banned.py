# SPDX-License-Identifier: MIT
"""A disabled account: its sessions end, and no login of any kind goes until it
is enabled again."""

from test_login import AGENT, FAST, arrive, token_of


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
