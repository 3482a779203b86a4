# SPDX-License-Identifier: MIT
"""Accounts that others know: who is let in, who is not, and what happens when
those who know don't answer."""

import asyncio
import os
import sys

import pytest

from harness.client import Client, Failure
from harness.wire import PATIENCE, client_context

PROGRAM = '''
import os, struct, sys, time
folder = sys.argv[1]
with open(folder + "/pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
users = {"romeo": "secret", "juliet": "a:b c"}
while True:
    head = sys.stdin.buffer.read(2)
    if len(head) < 2:
        break
    text = sys.stdin.buffer.read(struct.unpack(">H", head)[0]).decode()
    with open(folder + "/asked", "a") as file:
        file.write(text.split(":")[0] + " " + text.split(":")[1] + "\\n")
    what, user, host, *rest = text.split(":", 3)
    password = rest[0] if rest else None
    if user == "hang":
        time.sleep(1000)
    if user == "die":
        sys.exit(1)
    if user == "babble":
        sys.stdout.buffer.write(b"HTTP/1.1 200")
        sys.stdout.buffer.flush()
        continue
    while what == "isuser" and os.path.exists(folder + "/hold"):
        time.sleep(0.02)
    if os.path.exists(folder + "/gone"):
        users.pop(open(folder + "/gone").read(), None)
    yes = False
    if what == "auth":
        yes = host == "localhost" and users.get(user) == password
    elif what == "isuser":
        yes = user in users
    elif what == "setpass" and user in users:
        users[user], yes = password, True
    elif what == "tryregister" and user not in users:
        users[user], yes = password, True
    elif what == "removeuser":
        yes = users.pop(user, None) is not None
    sys.stdout.buffer.write(struct.pack(">HH", 2, yes))
    sys.stdout.buffer.flush()
'''


def tls():
    return client_context(alpn=["xmpp-client"])


async def arrive(server, user, password="secret"):
    client = Client(user, password)
    await client.connect(server.port["tls"], tls=tls())
    await client.open()
    return client


async def is_let_in(server, user, password="secret"):
    """None, or the condition of the failure."""
    client = await arrive(server, user, password)
    try:
        await client.auth("PLAIN")
        await client.bind()
        return None
    except Failure as failure:
        return failure.elem.elems()[0].name
    finally:
        client.close()


class External:
    def __init__(self, folder):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, "program.py")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(PROGRAM)

    def config(self, backends=("external",), **more):
        return {
            "auth": {"backends": list(backends)},
            "modules": {"offline": {}, "auth_external": {
                "program": [sys.executable, self.path, self.folder],
                "timeout": "2s", **more}},
        }

    def lines(self, name):
        try:
            with open(os.path.join(self.folder, name),
                      encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def pids(self):
        return [int(pid) for pid in self.lines("pids")]


@pytest.fixture
def external(tmp_path):
    return External(tmp_path)


async def test_program(make_server, external):
    """Let in by the program; its account is there, and only PLAIN offered."""
    server = make_server(external.config())
    await server.start()
    client = await arrive(server, "romeo")
    assert client.mechanisms() == ["PLAIN"]
    await client.auth("PLAIN")
    await client.bind()
    await client.ask("<query xmlns='jabber:iq:roster'/>")
    assert await is_let_in(server, "juliet", "a:b c") is None
    assert await is_let_in(server, "romeo", "wrong") == "not-authorized"
    assert await is_let_in(server, "nobody") == "not-authorized"
    client.close()


async def test_program_cached(make_server, external):
    """Yes is remembered, no is not, and the password counts."""
    server = make_server(external.config(), workers=1)
    await server.start()
    for _ in range(3):
        assert await is_let_in(server, "romeo") is None
    assert external.lines("asked").count("auth romeo") == 1
    for count in (2, 3):
        assert await is_let_in(server, "romeo", "no") == "not-authorized"
        assert external.lines("asked").count("auth romeo") == count


async def test_program_changes(make_server, external):
    """It is told of new accounts, passwords and removals."""
    server = make_server(external.config(), workers=1)
    await server.start()
    await server.register("paris", password="one")
    assert await is_let_in(server, "paris", "one") is None
    await server.ctl_ok("change_password", "paris", "localhost", "two")
    assert await is_let_in(server, "paris", "one") == "not-authorized"
    assert await is_let_in(server, "paris", "two") is None
    await server.ctl_ok("unregister", "paris", "localhost")
    assert await is_let_in(server, "paris", "two") == "not-authorized"


async def test_program_knows(make_server, external):
    """Who has never logged in is there for others all the same."""
    server = make_server(external.config())
    await server.start()
    romeo = await arrive(server, "romeo")
    await romeo.auth("PLAIN")
    await romeo.bind()
    romeo.send("<message to='juliet@localhost' type='chat'>"
               "<body>waits</body></message>")
    romeo.send("<message to='nobody@localhost' type='chat' id='x'>"
               "<body>lost</body></message>")
    answer = await romeo.take(lambda e: e.name == "message")
    assert answer.get("type") == "error" and answer.get("id") == "x"
    juliet = await arrive(server, "juliet", "a:b c")
    await juliet.auth("PLAIN")
    await juliet.bind()
    juliet.send("<presence/>")
    message = await juliet.take(lambda e: e.name == "message")
    assert message.find("body").text == "waits"
    romeo.close()
    juliet.close()


@pytest.mark.parametrize("user", ["hang", "die", "babble"])
async def test_program_fails(make_server, external, user):
    """A temporary failure; the program is killed, and is back in a while."""
    server = make_server(external.config(), workers=1)
    server.announce("can't tell: the program")
    await server.start()
    assert await is_let_in(server, user) == "temporary-auth-failure"
    # Not again at once, so that it can't be made to start over and over.
    assert await is_let_in(server, "romeo") == "temporary-auth-failure"
    assert len(external.pids()) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(external.pids()[0], 0)
    await asyncio.sleep(1.2)
    assert await is_let_in(server, "romeo") is None


async def test_program_hangs_many(make_server, external):
    """While some hang, those of the store log in."""
    config = external.config(["internal", "external"])
    server = make_server(config, workers=1)
    server.announce("can't tell: the program")
    await server.start()
    await server.register("benvolio", password="mine")
    hanging = [asyncio.ensure_future(is_let_in(server, "hang"))
               for _ in range(30)]
    for _ in range(1000):
        if external.lines("asked"):
            break
        await asyncio.sleep(0.01)
    # The pool has threads left for whoever is not waited for.
    await server.api("change_password", user="benvolio", host="localhost",
                     newpass="new")
    results = await asyncio.gather(*hanging)
    assert set(results) == {"temporary-auth-failure"}
    await server.stop()
    for pid in external.pids():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_in_order(make_server, external):
    """The store's accounts and the program's, side by side."""
    server = make_server(external.config(["internal", "external"],
                                         changes=False))
    await server.start()
    await server.register("benvolio", password="mine")
    assert await is_let_in(server, "benvolio", "mine") is None
    assert await is_let_in(server, "benvolio", "wrong") == "not-authorized"
    assert await is_let_in(server, "romeo") is None
    # Romeo's password is not ours to change.
    with pytest.raises(Exception):
        await server.ctl_ok("change_password", "romeo", "localhost", "taken")
    assert await is_let_in(server, "romeo", "taken") == "not-authorized"


AGENT = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
REQUEST = ("<request-token xmlns='urn:xmpp:fast:0' "
           "mechanism='HT-SHA-256-NONE'/>")
FAST = "<fast xmlns='urn:xmpp:fast:0'/>"


async def token_login(server, user, token, fast=FAST):
    """None, or the condition of the failure."""
    client = await arrive(server, user)
    answer = await client.authenticate("HT-SHA-256-NONE", AGENT + fast,
                                       password=token)
    client.close()
    return None if answer.name == "success" else answer.elems()[0].name


async def test_token_of_the_gone(make_server, external):
    """A token is worth nothing once no backend knows its user, or while the
    account is disabled; an account of our own needs no backend."""
    config = external.config(backends=("external", "internal"), changes=False)
    config["auth"]["cache_lifetime"] = "0s"
    server = make_server(config)
    await server.start()
    await server.register("benvolio", password="mine")
    tokens = {}
    for user, password in (("romeo", "secret"), ("juliet", "a:b c"),
                           ("benvolio", "mine")):
        client = await arrive(server, user, password)
        answer = await client.authenticate("PLAIN", AGENT + REQUEST)
        tokens[user] = answer.find("token").get("token")
        client.close()
    before = len(external.lines("asked"))
    for user, token in tokens.items():
        assert await token_login(server, user, token) is None
    asked = external.lines("asked")[before:]
    assert sorted(asked) == ["isuser juliet", "isuser romeo"]
    with open(os.path.join(external.folder, "gone"), "w",
              encoding="utf-8") as file:
        file.write("romeo")
    assert await token_login(server, "romeo", tokens["romeo"]) == \
        "not-authorized"
    await server.log_line("no backend knows that user any more")
    assert await token_login(server, "juliet", tokens["juliet"]) is None
    await server.ctl_ok("ban_account", "juliet", "localhost", "spam")
    assert await token_login(server, "juliet", tokens["juliet"]) == \
        "account-disabled"
    # Who can't be asked now says neither yes nor no.
    os.remove(os.path.join(external.folder, "gone"))
    os.remove(external.path)
    server.announce("can.t (tell|open file)")
    for pid in external.pids():
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    await server.ctl_ok("unban_account", "juliet", "localhost")
    assert await token_login(server, "juliet", tokens["juliet"]) == \
        "temporary-auth-failure"
    assert await token_login(server, "benvolio", tokens["benvolio"]) is None


async def test_meanwhile(make_server, external):
    """What happens while a backend is asked counts: a token that is revoked,
    an account that is disabled. A login that fails uses no token up."""
    config = external.config(timeout="30s")
    config["auth"]["cache_lifetime"] = "0s"
    server = make_server(config)
    await server.start()
    client = await arrive(server, "romeo")
    answer = await client.authenticate("PLAIN", AGENT + REQUEST)
    token = answer.find("token").get("token")
    client.close()
    hold = os.path.join(external.folder, "hold")
    last = "<fast xmlns='urn:xmpp:fast:0' count='1' invalidate='true'/>"

    async def attempt(*during):
        before = external.lines("asked").count("isuser romeo")
        with open(hold, "w", encoding="utf-8"):
            pass
        login = asyncio.ensure_future(
            token_login(server, "romeo", token, last))
        for _ in range(PATIENCE * 20):
            if external.lines("asked").count("isuser romeo") > before:
                break
            await asyncio.sleep(0.05)
        await server.ctl_ok(*during)
        os.remove(hold)
        return await login

    assert await attempt("ban_account", "romeo", "localhost", "spam") == \
        "account-disabled"
    await server.ctl_ok("unban_account", "romeo", "localhost")
    # Neither its count nor itself is gone.
    assert await attempt("status") is None
    client = await arrive(server, "romeo")
    answer = await client.authenticate("PLAIN", AGENT + REQUEST)
    token = answer.find("token").get("token")
    client.close()
    clients = await server.ctl_ok("user_clients_info", "romeo", "localhost")
    assert await attempt("revoke_client", "romeo", "localhost",
                         clients.split()[0]) == "not-authorized"
    await server.log_line("romeo@localhost shows an unknown token")


async def test_token_cached(make_server, external):
    """That the user is known is remembered for a while."""
    server = make_server(external.config())
    await server.start()
    client = await arrive(server, "romeo")
    answer = await client.authenticate("PLAIN", AGENT + REQUEST)
    token = answer.find("token").get("token")
    client.close()
    for _ in range(5):
        assert await token_login(server, "romeo", token) is None
    assert external.lines("asked").count("isuser romeo") == 1


async def test_missing(make_server):
    """A program that isn't there is a warning, not the end."""
    server = make_server({
        "auth": {"backends": ["external", "internal"]},
        "modules": {"auth_external": {"program": ["/nonexistent/program"]}}})
    server.announce("can't tell: the program could not be")
    await server.start()
    await server.register("benvolio", password="mine")
    assert await is_let_in(server, "benvolio", "mine") is None
    assert await is_let_in(server, "nobody") == "temporary-auth-failure"
