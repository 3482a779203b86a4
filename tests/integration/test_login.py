# SPDX-License-Identifier: MIT
"""Logins of today (XEP-0388, 0386, 0484) where a dialogue can't look: what is
in the database, what time does, and what a login costs the server."""

import asyncio
import datetime
import os
import ssl
import time

from harness import postgres, sasl
from harness.client import Client
from harness.wire import client_context
from harness.xml import NS_SASL2

AGENT = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
FAST = "<fast xmlns='urn:xmpp:fast:0'/>"
REQUEST = ("<request-token xmlns='urn:xmpp:fast:0' "
           "mechanism='HT-SHA-256-NONE'/>")
SM = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
CARBONS = "<enable xmlns='urn:xmpp:carbons:2'/>"
COUNT = 50
ROUNDS = 3


async def test_language(server):
    """RFC 6120, 8.1.5: what has no language of its own has its stream's."""
    juliet = await server.client("juliet")
    await server.register("romeo")
    romeo = Client("romeo")
    romeo.lang = "de"
    await romeo.login(server.port["c2s"])
    for own, told in (("", "de"), (" xml:lang='cs'", "cs")):
        romeo.send(f"<message to='{juliet.jid}' type='chat'{own}>"
                   f"<body>Hallo</body></message>")
        message = await juliet.elem()
        assert message.attrs["xml:lang"] == told
    juliet.send(f"<message to='{romeo.jid}' type='chat'><body>Hi</body>"
                f"</message>")
    assert "xml:lang" not in (await romeo.elem()).attrs


async def arrive(server, user):
    client = Client(user)
    await client.connect(server.port["tls"],
                         tls=client_context(alpn=["xmpp-client"]))
    await client.open()
    return client


async def token_of(client):
    """A login by password that brings one; the token, and when it ends."""
    answer = await client.authenticate("SCRAM-SHA-1", AGENT + REQUEST)
    token = answer.find("token")
    assert token is not None, str(answer)
    return token.get("token"), datetime.datetime.fromisoformat(
        token.get("expiry").replace("Z", "+00:00")).timestamp()


async def test_expired(make_server):
    """An expired token is refused as that, and the password still works."""
    server = make_server({"auth": {"token_lifetime": "2s"}})
    await server.start()
    await server.register("romeo")
    client = await arrive(server, "romeo")
    token, expiry = await token_of(client)
    client.close()
    await asyncio.sleep(max(0.0, expiry - time.time()) + 1.1)
    client = await arrive(server, "romeo")
    answer = await client.authenticate("HT-SHA-256-NONE", AGENT + FAST,
                                       password=token)
    assert answer.name == "failure"
    assert answer.find("credentials-expired") is not None
    answer = await client.authenticate("SCRAM-SHA-1", AGENT)
    assert answer.name == "success"
    await server.log_line("romeo@localhost shows an expired token")
    client.close()


async def test_rotated(make_server):
    """Past half of its life a token is replaced unasked."""
    server = make_server({"auth": {"token_lifetime": "20s"}})
    await server.start()
    await server.register("romeo")
    client = await arrive(server, "romeo")
    token, expiry = await token_of(client)
    client.close()
    await asyncio.sleep(max(0.0, expiry - 9 - time.time()))
    client = await arrive(server, "romeo")
    answer = await client.authenticate("HT-SHA-256-NONE", AGENT + FAST,
                                       password=token)
    fresh = answer.find("token")
    assert fresh is not None and fresh.get("token") != token
    client.close()


def stored(server):
    """All that it has written."""
    folder = os.path.join(server.folder, "data")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            yield file.read()
    if postgres.is_wanted():
        shared = postgres.Postgres.shared()
        yield shared.run("pg_dump", "-n", server.schema, "-h", shared.folder,
                         "-U", "rookery", "postgres").encode()


def has(content, text):
    """As it is, or in the digits that a dump shows bytes by."""
    forms = text.encode(), text.encode().hex().encode()
    return any(form in part for part in content for form in forms)


async def test_not_in_database(make_server):
    """Neither the token nor the id of the client is stored, and without the
    host's secret what is stored is worth nothing."""
    server = make_server()
    await server.start()
    await server.register("romeo")
    client = await arrive(server, "romeo")
    token, _ = await token_of(client)
    client.close()
    await server.stop()
    content = list(stored(server))
    assert not has(content, token)
    assert not has(content, "d4565fa7-4d72")
    assert has(content, "HT-SHA-256-NONE"), "the client's record is somewhere"
    os.remove(os.path.join(server.folder, "data", "secret"))
    await server.start()
    client = await arrive(server, "romeo")
    answer = await client.authenticate("HT-SHA-256-NONE", AGENT + FAST,
                                       password=token)
    assert answer.find("not-authorized") is not None
    await server.log_line("shows an unknown token")
    client.close()


# What a login costs ---------------------------------------------------------

def server_cpu(server):
    """Nanoseconds of all its threads so far."""
    return time.clock_gettime_ns((~server.process.pid << 3) | 2)


async def by_password(client):
    await client.open()
    await client.auth("SCRAM-SHA-1")
    await client.bind("phone")
    await client.enable_sm()
    await client.ask("<enable xmlns='urn:xmpp:carbons:2'/>", "set")


async def by_token(client, token, beside):
    """In one round trip, by who knows already what is offered; the answer."""
    client.send_header()
    message = client.token_message("HT-SHA-256-NONE", token)
    client.wire.send(
        f"<authenticate xmlns='{NS_SASL2}' mechanism='HT-SHA-256-NONE'>"
        f"<initial-response>{sasl.b64(message)}</initial-response>{AGENT}"
        f"{FAST}{beside}</authenticate>")
    await client.expect("open")
    assert (await client.elem()).name == "features"
    return await client.elem()


async def cost(server, users, login):
    """Server's CPU for each login, in microseconds, once TLS is up: from the
    stream header on. By TLS 1.2, where the handshake ends with its ticket: in
    TLS 1.3 that would come with the features, and costs as much as the rest.
    """
    clients = []
    for user in users:
        client = Client(user)
        await client.connect(server.port["tls"], tls=client_context(
            alpn=["xmpp-client"], newest=ssl.TLSVersion.TLSv1_2))
        clients.append(client)
    # Handshakes end at the server after they have ended here.
    await login(clients[0])
    before = server_cpu(server)
    for client in clients[1:]:
        await login(client)
    return (server_cpu(server) - before) / 1000 / (len(clients) - 1), clients


async def test_cost(make_server):
    """Token and resumption cost a good deal less than a login by SCRAM that
    brings as much; docs/performance.md has figures."""
    server = make_server(workers=1)
    await server.start()
    users = [f"u{n}" for n in range(COUNT)]
    for user in users:
        await server.register(user)
    scram = []
    for _ in range(ROUNDS):
        spent, clients = await cost(server, users, by_password)
        scram.append(spent)
        for client in clients:
            await client.leave()
    known = {}
    for user in users:
        client = await arrive(server, user)
        answer = await client.authenticate(
            "SCRAM-SHA-1", AGENT + REQUEST +
            f"<bind xmlns='urn:xmpp:bind:0'>{SM}{CARBONS}</bind>")
        enabled = answer.find("bound").find("enabled")
        known[user] = (answer.find("token").get("token"), enabled.get("id"))
        client.cut()

    async def login(client):
        token, ident = known[client.user]
        answer = await by_token(
            client, token, f"<resume xmlns='urn:xmpp:sm:3' h='0' "
            f"previd='{ident}'/>")
        assert answer.find("resumed") is not None, str(answer)

    # The first notes that the client has not used the password any more.
    fast = []
    for _ in range(ROUNDS + 1):
        spent, clients = await cost(server, users, login)
        fast.append(spent)
        for client in clients:
            client.cut()
    print(f"SCRAM {scram} us, token and resumption {fast} us")
    assert min(fast) < min(scram) / 2


async def test_one_round_trip(make_server):
    """Header and login go in one piece, and the answer is the session."""
    server = make_server()
    await server.start()
    await server.register("romeo")
    client = await arrive(server, "romeo")
    token, _ = await token_of(client)
    client.close()
    client = Client("romeo")
    await client.connect(server.port["tls"],
                         tls=client_context(alpn=["xmpp-client"]))
    success = await by_token(client, token, "<bind xmlns='urn:xmpp:bind:0'/>")
    assert success.find("bound") is not None, str(success)
    assert (await client.elem()).name == "features"
    client.close()
