# SPDX-License-Identifier: MIT
"""Invitations: accounts, contacts and new passwords by tokens, in band and in
a browser; tokens that are forged, used, too old or another's."""

import asyncio
import http.client
import re
import urllib.parse

import pytest

from harness.client import Client, Failure
from test_websocket import LISTEN

pytestmark = pytest.mark.workers(1, 2)

PATIENCE = 20
COMMANDS = "http://jabber.org/protocol/commands"


def settings(**options):
    return {"listen": LISTEN,
            "modules": {"disco": {}, "admin": {}, "offline": {},
                        "register": {"enabled": False},
                        "invites": {"ip_rate": "unlimited", **options}},
            "admins": ["boss@localhost"]}


@pytest.fixture
def launch(make_server):
    async def start(**options):
        made = make_server(settings(**options))
        await made.start()
        for name in ("romeo", "boss"):
            command(made, "register", name, "localhost", "secret")
        return made
    return start


@pytest.fixture
def server(launch, event_loop):
    return event_loop.run_until_complete(launch())


def command(server, *words):
    status, output, errors = server.ctl(*words)
    assert status == 0, errors
    return output.rstrip("\n")


def token_of(text):
    return re.search("(?:preauth=|/invite/)([0-9a-f]{32})", text).group(1)


async def stream(server, user):
    client = Client(user)
    await client.connect(server.port["c2s"])
    await client.open()
    return client


async def preauth(client, token):
    return await client.ask(
        f"<preauth xmlns='urn:xmpp:pars:0' token='{token}'/>", "set",
        to="localhost")


async def sign_up(client, name, password="secret word"):
    return await client.ask(
        "<query xmlns='jabber:iq:register'>"
        f"<username>{name}</username><password>{password}</password></query>",
        "set", to="localhost")


async def refused(condition, future):
    with pytest.raises(Failure) as failure:
        await future
    assert condition in str(failure.value), failure.value


def accounts(server):
    return set(command(server, "registered_users", "localhost").split())


async def test_account_by_token(server):
    printed = command(server, "invite", "localhost")
    uri, page = printed.split("\t")
    token = token_of(uri)
    assert uri == f"xmpp:localhost?register;preauth={token}"
    assert page.endswith(f"/invite/{token}")
    client = await stream(server, "juliet")
    assert client.features.find("register", "urn:xmpp:ibr-token:0") is not None
    # Not without it, and not by another.
    await refused("not-allowed", sign_up(client, "juliet"))
    await refused("item-not-found", preauth(client, "0" * 32))
    await refused("item-not-found", preauth(client, token[:-1]))
    await refused("item-not-found", preauth(client, ""))
    await preauth(client, token)
    # What fails does not use it up.
    await refused("conflict", sign_up(client, "romeo"))
    await sign_up(client, "juliet")
    assert accounts(server) == {"romeo", "boss", "juliet"}
    # Once; on this stream, on another, and after a restart.
    await refused("not-allowed", sign_up(client, "tybalt"))
    other = await stream(server, "tybalt")
    await refused("item-not-found", preauth(other, token))
    await server.restart()
    other = await stream(server, "tybalt")
    await refused("item-not-found", preauth(other, token))
    assert accounts(server) == {"romeo", "boss", "juliet"}
    row = command(server, "list_invites", "localhost").split("\t")
    assert row[1] == "false" and row[6] == "juliet@localhost"
    # No token is kept, nor logged.
    assert token not in command(server, "list_invites", "localhost")
    assert token not in "\n".join(server.lines())


async def by_form(client, name, code, password="secret word"):
    """As clients that know XEP-0077 and forms, and nothing of tokens."""
    fields = {"FORM_TYPE": "jabber:iq:register", "username": name,
              "password": password, "{urn:xmpp:pars:0}token": code}
    form = "".join(f"<field var='{k}'><value>{v}</value></field>"
                   for k, v in fields.items())
    return await client.ask(
        "<query xmlns='jabber:iq:register'>"
        f"<x xmlns='jabber:x:data' type='submit'>{form}</x></query>", "set",
        to="localhost")


async def test_account_by_code_in_form(server):
    uri, page = command(server, "invite", "localhost", "3").split("\t")
    codes = [token_of(uri), f" {uri}\n", page]
    for name, code in zip(("juliet", "nurse", "paris"), codes):
        client = await stream(server, name)
        # What fails does not use it up.
        await refused("conflict", by_form(client, "romeo", code))
        await by_form(client, name, code)
    assert accounts(server) == {"romeo", "boss", "juliet", "nurse", "paris"}
    client = await stream(server, "tybalt")
    for code in (*codes, "0" * 32, "", "=", "/", "x" * 5000):
        await refused("not-allowed", by_form(client, "tybalt", code))
    await Client("nurse", "secret word").login(server.port["c2s"])
    assert codes[0] not in "\n".join(server.lines())


async def test_what_follows_waits(server):
    """What comes behind a sign-up or a token waits for its answer."""
    token = token_of(command(server, "invite", "localhost"))
    client = await stream(server, "juliet")
    form = "".join(f"<field var='{k}'><value>{v}</value></field>"
                   for k, v in {"FORM_TYPE": "jabber:iq:register",
                                "username": "juliet",
                                "password": "secret word",
                                "{urn:xmpp:pars:0}token": token}.items())
    for payload in (
            f"<preauth xmlns='urn:xmpp:pars:0' token='{'0' * 32}'/>",
            "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' "
            f"type='submit'>{form}</x></query>"):
        client.wire.send(
            f"<iq type='set' id='a' to='localhost'>{payload}</iq>"
            "<iq type='get' id='b' to='localhost'>"
            "<query xmlns='jabber:iq:register'/></iq>")
        assert [(await client.elem()).get("id") for _ in "ab"] == ["a", "b"]
    assert accounts(server) == {"romeo", "boss", "juliet"}


async def test_codes_in_forms_are_not_guessed(launch):
    server = await launch(ip_rate="2/1h")
    token = token_of(command(server, "invite", "localhost"))
    client = await stream(server, "tybalt")
    server.announce("too many wrong invitations")
    for condition in ("not-allowed", "not-allowed", "resource-constraint"):
        await refused(condition, by_form(client, "tybalt", "0" * 32))
    # Nor by who changes the way.
    await refused("resource-constraint", preauth(client, token))
    assert accounts(server) == {"romeo", "boss"}


async def test_two_at_once_make_one_account(server):
    token = token_of(command(server, "invite", "localhost"))
    clients = [await stream(server, f"guest{i}") for i in range(6)]
    for client in clients:
        await preauth(client, token)
    got = await asyncio.gather(
        *(sign_up(client, client.user) for client in clients),
        return_exceptions=True)
    assert sum(not isinstance(g, Exception) for g in got) == 1, got
    assert len(accounts(server)) == 3


async def test_family_of_three(server):
    token = token_of(command(server, "invite", "localhost", "3"))
    for i in range(3):
        client = await stream(server, f"child{i}")
        await preauth(client, token)
        await sign_up(client, f"child{i}")
    client = await stream(server, "child3")
    await refused("item-not-found", preauth(client, token))
    assert len(accounts(server)) == 5


async def test_expired(launch):
    server = await launch(keep="1s")
    token = token_of(command(server, "invite", "localhost"))
    early = await stream(server, "early")
    await preauth(early, token)
    await asyncio.sleep(1.2)
    late = await stream(server, "late")
    await refused("item-not-found", preauth(late, token))
    # XEP-0445: who has shown it in time is not too late.
    await sign_up(early, "early")
    assert "early" in accounts(server)


async def test_name_is_kept(server):
    token = token_of(command(
        server, "generate_invite_with_username", "juliet", "localhost"))
    other = token_of(command(server, "generate_invite", "localhost"))
    client = await stream(server, "juliet")
    await preauth(client, other)
    await refused("conflict", sign_up(client, "juliet"))
    holder = await stream(server, "juliet")
    await preauth(holder, token)
    await refused("not-acceptable", sign_up(holder, "nurse"))
    await sign_up(holder, "juliet")
    assert accounts(server) == {"romeo", "boss", "juliet"}
    status, _, errors = server.ctl(
        "generate_invite_with_username", "juliet", "localhost")
    assert status != 0, errors


async def test_revoked(server):
    token = token_of(command(server, "invite", "localhost"))
    number = command(server, "list_invites", "localhost").split("\t")[0]
    command(server, "delete_invite", "localhost", number)
    client = await stream(server, "juliet")
    await refused("item-not-found", preauth(client, token))
    assert server.ctl("delete_invite", "localhost", number)[0] != 0


async def test_revoked_by_token(server):
    """Expired ones are good for nothing, and listed until they are cleaned
    up; deleted ones are gone."""
    tokens = [token_of(command(server, "invite", "localhost"))
              for _ in range(3)]
    shown = await stream(server, "tybalt")
    await preauth(shown, tokens[0])
    command(server, "expire_invite_by_token", "localhost", tokens[0])
    await refused("not-allowed", sign_up(shown, "tybalt"))
    command(server, "delete_invite_by_token", "localhost", tokens[1])
    rows = command(server, "list_invites", "localhost").splitlines()
    assert sorted(row.split("\t")[1] for row in rows) == ["false", "true"]
    client = await stream(server, "juliet")
    for token in tokens[:2]:
        await refused("item-not-found", preauth(client, token))
        for what in ("expire", "delete"):
            if (what, token) != ("delete", tokens[0]):
                assert server.ctl(f"{what}_invite_by_token", "localhost",
                                  token)[0] != 0
    assert command(server, "cleanup_expired_invite_tokens").strip() == "1"
    assert command(server, "cleanup_expired_invite_tokens").strip() == "0"
    rows = command(server, "list_invites", "localhost").splitlines()
    assert [row.split("\t")[1] for row in rows] == ["true"]
    await preauth(client, tokens[2])


async def test_expired_by_inviter(server):
    romeo = await login(server, "romeo")
    token = token_of(field(
        await execute(romeo, "urn:xmpp:invite#invite"), "uri"))
    await execute(romeo, "urn:xmpp:invite#invite")
    other = token_of(command(server, "invite", "localhost"))
    shown = await stream(server, "tybalt")
    await preauth(shown, token)
    for count in ("2", "0"):
        assert command(server, "expire_invite_tokens", "romeo",
                       "localhost").strip() == count
    await refused("not-allowed", sign_up(shown, "tybalt"))
    client = await stream(server, "juliet")
    await refused("item-not-found", preauth(client, token))
    await preauth(client, other)


async def execute(client, node, inner="", session=None):
    session = f" sessionid='{session}'" if session else ""
    answer = await client.ask(
        f"<command xmlns='{COMMANDS}' node='{node}'{session}>{inner}"
        "</command>", "set", to="localhost")
    return answer.find("command")


def field(command_, var):
    for e in command_.find("x", "jabber:x:data").elems():
        if e.get("var") == var:
            return e.find("value").text
    return None


async def login(server, user, password="secret"):
    client = Client(user, password)
    await client.login(server.port["c2s"])
    client.send("<presence/>")
    await client.ask("<query xmlns='jabber:iq:roster'/>")
    return client


async def commands_of(client):
    answer = await client.ask(
        "<query xmlns='http://jabber.org/protocol/disco#items' "
        f"node='{COMMANDS}'/>", to="localhost")
    return [e.get("node") for e in answer.find("query").elems()]


async def test_user_invites_contact_with_account(server):
    romeo = await login(server, "romeo")
    boss = await login(server, "boss")
    assert await commands_of(romeo) == ["urn:xmpp:invite#invite"]
    nodes = await commands_of(boss)
    assert nodes.count("urn:xmpp:invite#invite") == 1
    assert nodes.count("urn:xmpp:invite#create-account") == 1
    assert len(nodes) > 10
    await refused("forbidden", execute(
        romeo, "urn:xmpp:invite#create-account"))
    made = await execute(romeo, "urn:xmpp:invite#invite")
    assert made.get("status") == "completed"
    token = token_of(field(made, "uri"))
    assert field(made, "uri") == \
        f"xmpp:romeo@localhost?roster;preauth={token};ibr=y"
    assert field(made, "landing-url").endswith(f"/invite/{token}")
    assert field(made, "expire")
    client = await stream(server, "juliet")
    await preauth(client, token)
    await sign_up(client, "juliet")

    def is_push(e):
        return e.name == "iq" and e.find("query") is not None and any(
            i.get("jid") == "juliet@localhost" and
            i.get("subscription") == "both" for i in e.find("query").elems())
    await romeo.take(is_push)
    juliet = Client("juliet", "secret word")
    await juliet.login(server.port["c2s"])
    roster = await juliet.ask("<query xmlns='jabber:iq:roster'/>")
    items = {i.get("jid"): i.get("subscription")
             for i in roster.find("query").elems()}
    assert items == {"romeo@localhost": "both"}


async def test_contact_by_token(server):
    command(server, "register", "juliet", "localhost", "secret")
    romeo = await login(server, "romeo")
    juliet = await login(server, "juliet")
    made = await execute(romeo, "urn:xmpp:invite#invite")
    token = token_of(field(made, "uri"))
    juliet.send("<presence to='romeo@localhost' type='subscribed'/>")
    juliet.send("<presence to='romeo@localhost' type='subscribe'>"
                f"<preauth xmlns='urn:xmpp:pars:0' token='{token}'/>"
                "</presence>")

    def is_both(e):
        return e.name == "iq" and e.find("query") is not None and any(
            i.get("subscription") == "both" for i in e.find("query").elems())
    await asyncio.gather(romeo.take(is_both), juliet.take(is_both))

    # Used: the next one is asked about, as without a token.
    command(server, "register", "paris", "localhost", "secret")
    paris = await login(server, "paris")
    paris.send("<presence to='romeo@localhost' type='subscribe'>"
               f"<preauth xmlns='urn:xmpp:pars:0' token='{token}'/>"
               "</presence>")
    await romeo.take(lambda e: e.name == "presence" and
                     e.get("type") == "subscribe" and
                     e.get("from").startswith("paris@"))


async def test_banned_inviter(server):
    romeo = await login(server, "romeo")
    token = token_of(field(
        await execute(romeo, "urn:xmpp:invite#invite"), "uri"))
    command(server, "ban_account", "romeo", "localhost", "spam")
    client = await stream(server, "juliet")
    await refused("item-not-found", preauth(client, token))


async def test_bound_of_each(launch):
    server = await launch(each=2)
    romeo = await login(server, "romeo")
    for _ in range(2):
        await execute(romeo, "urn:xmpp:invite#invite")
    await refused("resource-constraint",
                  execute(romeo, "urn:xmpp:invite#invite"))


# ---- in a browser ----------------------------------------------------------


def web(server, method, path, fields=None, **headers):
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=PATIENCE)
    body = None
    if fields is not None:
        body = urllib.parse.urlencode(fields)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    link.request(method, path, body, headers)
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, text, answer.headers


def words(name, password="secret word", again=None):
    return {"username": name, "password": password,
            "again": again or password}


def test_page_and_form(server):
    token = token_of(command(server, "invite", "localhost"))
    path = f"/invite/{token}"
    status, text, headers = web(server, "GET", path,
                                **{"User-Agent": "X (Linux; Android 14)"})
    assert status == 200
    assert f"href='xmpp:localhost?register;preauth={token}'" in text
    assert "<svg" in text and "conversations.im" in text
    assert "gajim.org" not in text and "<script" not in text
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]

    def post(fields, at=path, **more):
        return web(server, "POST", at, fields, **more)[0]

    assert post(words("juliet"), Origin="https://evil.example") == 403
    assert post(words("juliet"), Origin="null") == 403
    assert post(words("juliet"), **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post(words("juliet"), at="/invite/" + "f" * 32) == 404
    assert post(words("juliet", "short")) == 400
    assert post(words("juliet", again="other words")) == 400
    assert post(words("a@b c")) == 400
    assert post(words("<romeo>")) == 400
    assert post(words("romeo")) == 409
    assert post({"username": "x" * 20000}) == 413
    assert accounts(server) == {"romeo", "boss"}
    status, text, _ = web(server, "POST", path, words("Juliet"),
                          Origin=f"http://127.0.0.1:{server.port['http']}")
    assert status == 200 and "<b>juliet@localhost</b>" in text
    command(server, "check_password", "juliet", "localhost", "secret word")
    assert post(words("tybalt")) == 404
    assert web(server, "GET", path)[0] == 404
    assert accounts(server) == {"romeo", "boss", "juliet"}


def test_new_password(server):
    page = command(server, "password_reset_link", "romeo",
                   "localhost").split("\t")[1]
    path = "/invite/" + token_of(page)
    status, text, _ = web(server, "GET", path)
    assert status == 200 and "romeo@localhost" in text
    assert "xmpp:" not in text
    fields = {"password": "a new one", "again": "a new one",
              "username": "boss"}
    assert web(server, "POST", path, fields)[0] == 200
    command(server, "check_password", "romeo", "localhost", "a new one")
    command(server, "check_password", "boss", "localhost", "secret")
    assert web(server, "POST", path, fields)[0] == 404
    assert server.ctl("password_reset_link", "nobody", "localhost")[0] != 0


async def test_reset_makes_no_account(server):
    page = command(server, "generate_reset_token", "romeo", "localhost")
    client = await stream(server, "juliet")
    await refused("item-not-found", preauth(client, token_of(page)))


async def test_guessing_is_bounded(launch):
    server = await launch(ip_rate="3/1h")
    got = {web(server, "GET", "/invite/" + f"{i:032x}")[0] for i in range(40)}
    assert 429 in got


async def test_guessing_on_streams_is_bounded(launch):
    server = await launch(ip_rate="3/1h")
    seen = set()
    client = await stream(server, "juliet")
    for i in range(4):
        with pytest.raises(Failure) as failure:
            await preauth(client, f"{i:032x}")
        seen.add("resource-constraint" in str(failure.value))
    assert seen == {True, False}
