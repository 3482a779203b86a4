# SPDX-License-Identifier: MIT
"""Administration in the client: ad-hoc commands (XEP-0050, XEP-0133), and
announcements."""

import pytest

from harness.client import Failure

COMMANDS = "http://jabber.org/protocol/commands"
ADMIN = "http://jabber.org/protocol/admin"
SETTINGS = {"modules": {name: {} for name in (
    "admin", "announce", "disco", "last", "offline", "ping")}}


@pytest.fixture
def served(make_server, event_loop):
    server = make_server(SETTINGS)
    event_loop.run_until_complete(server.start())
    return server


async def execute(client, node, fields=None, session=None, action="execute"):
    """One stage; the <command/>."""
    form = ""
    if fields is not None:
        form = "<x xmlns='jabber:x:data' type='submit'>" + "".join(
            f"<field var='{var}'>" + "".join(
                f"<value>{v}</value>" for v in
                (value if isinstance(value, list) else [value])) + "</field>"
            for var, value in fields.items()) + "</x>"
    session = f" sessionid='{session}'" if session else ""
    answer = await client.ask(
        f"<command xmlns='{COMMANDS}' node='{node}' action='{action}'"
        f"{session}>{form}</command>", "set", to="localhost")
    return answer.find("command")


async def perform(client, node, fields=None):
    """Form and all; the completed <command/>."""
    command = await execute(client, node)
    if command.get("status") == "executing":
        command = await execute(client, node, fields or {},
                                command.get("sessionid"))
    assert command.get("status") == "completed"
    return command


async def admin(client, operation, **fields):
    return await perform(client, f"{ADMIN}#{operation}",
                         {k.replace("__", "-"): v for k, v in fields.items()})


def values(command, var):
    for field in command.find("x", "jabber:x:data").elems():
        if field.get("var") == var:
            return [v.text for v in field.elems() if v.name == "value"]
    return None


async def condition(future):
    try:
        await future
    except Failure as failure:
        return str(failure)
    return "nothing"


async def test_listed(served):
    """Only administrators see them, and may run them."""
    boss = await served.client("admin")
    romeo = await served.client("romeo")
    ask = f"<query xmlns='http://jabber.org/protocol/disco#%s' node='{COMMANDS}'/>"
    items = (await boss.ask(ask % "items", to="localhost")).find("query")
    nodes = [item.get("node") for item in items.elems()]
    assert f"{ADMIN}#add-user" in nodes and "api-commands/status" in nodes
    info = (await boss.ask(ask % "info", to="localhost")).find("query")
    assert info.find("identity").get("type") == "command-list"
    for kind in ("items", "info"):
        assert "forbidden" in await condition(
            romeo.ask(ask % kind, to="localhost"))
    for node in (f"{ADMIN}#add-user", "api-commands/status"):
        assert "forbidden" in await condition(execute(romeo, node))
    info = (await romeo.ask(
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        to="localhost")).find("query")
    assert COMMANDS in [f.get("var") for f in info.elems()]


async def test_users(served):
    """XEP-0133, 4.1 to 4.10: made, listed, disabled, kicked, deleted."""
    boss = await served.client("admin")
    form = await execute(boss, f"{ADMIN}#add-user")
    assert form.get("status") == "executing"
    assert [f.get("var") for f in form.find("x").elems() if f.get("var")] == [
        "FORM_TYPE", "accountjid", "password", "password-verify"]
    for name in ("ann", "bob"):
        await admin(boss, "add-user", accountjid=f"{name}@localhost",
                    password="secret", password__verify="secret")
    assert "conflict" in await condition(
        admin(boss, "add-user", accountjid="ann@localhost", password="x",
              password__verify="x"))
    for wrong in ({"accountjid": "eve@localhost", "password": "x",
                   "password-verify": "y"},
                  {"accountjid": "eve@elsewhere.example", "password": "x"},
                  {"accountjid": "localhost", "password": "x"},
                  {"accountjid": "eve@localhost", "password": ""}, {}):
        assert "bad-request" in await condition(
            perform(boss, f"{ADMIN}#add-user", wrong))

    ann = await served.client("ann", register=False)
    ann.send("<presence/>")
    await ann.ping("localhost")
    one = await admin(boss, "get-user-lastlogin", accountjid="ann@localhost")
    assert values(one, "status") == ["ONLINE"]
    stats = await admin(boss, "user-stats", accountjid="ann@localhost")
    assert values(stats, "onlineresources") == [ann.jid.split("/")[1]]
    assert values(stats, "ipaddresses") == ["127.0.0.1"]
    assert values(stats, "rostersize") == ["0"]
    await admin(boss, "end-user-session", accountjids=["ann@localhost"])
    await ann.wire.gone()

    await admin(boss, "disable-user",
                accountjids=["ann@localhost", "bob@localhost"])
    assert values(await admin(boss, "get-disabled-users-num"),
                  "disabledusersnum") == ["2"]
    assert sorted(values(await admin(boss, "get-disabled-users-list"),
                         "disableduserjids")) == ["ann@localhost",
                                                  "bob@localhost"]
    await admin(boss, "reenable-user", accountjids=["ann@localhost"])
    await admin(boss, "change-user-password", accountjid="ann@localhost",
                password="other")
    await served.client("ann", register=False, password="other")
    await admin(boss, "delete-user",
                accountjids=["ann@localhost", "bob@localhost"])
    assert values(await admin(boss, "get-registered-users-list"),
                  "registereduserjids") == ["admin@localhost"]
    assert values(await admin(boss, "get-registered-users-num"),
                  "registeredusersnum") == ["1"]


def filled(form):
    return [v.text for f in form.find("x").elems() if f.get("type") ==
            "jid-multi" for v in f.elems() if v.name == "value"]


async def test_lists(served):
    """XEP-0133, 4.11, 4.12 and 4.29: a form has what is on the list, and
    what is submitted takes its place; the configuration's stays."""
    boss = await served.client("admin")
    for node, var, one in (
            ("edit-blacklist", "blacklistjids", "marlowe.test"),
            ("edit-whitelist", "whitelistjids", "capulet.test"),
            ("edit-admin", "adminjids", "romeo@localhost")):
        assert filled(await execute(boss, f"{ADMIN}#{node}")) == []
        await admin(boss, node, **{var: [one, "iago@elsewhere.test"]})
        assert filled(await execute(boss, f"{ADMIN}#{node}")) == sorted(
            [one, "iago@elsewhere.test"])
        assert "not-acceptable" in await condition(
            admin(boss, node, **{var: ["@"]}))
        await admin(boss, node, **{var: [one]})
        assert filled(await execute(boss, f"{ADMIN}#{node}")) == [one]
    romeo = await served.client("romeo")
    assert filled(await execute(romeo, f"{ADMIN}#edit-admin")) == [
        "romeo@localhost"]
    await admin(romeo, "edit-admin", adminjids=[])
    assert "forbidden" in await condition(
        execute(romeo, f"{ADMIN}#edit-admin"))
    assert filled(await execute(boss, f"{ADMIN}#edit-admin")) == []


async def test_about(served):
    """Who is about is told apart from who is away."""
    boss = await served.client("admin")
    clients = []
    for name, show in (("ann", "away"), ("bob", ""), ("bob", "xa")):
        client = await served.client(name, register=name not in [
            c.user for c in clients])
        client.send(f"<presence><show>{show}</show></presence>" if show
                    else "<presence/>")
        await client.ping("localhost")
        clients.append(client)
    boss.send("<presence/>")
    await boss.ping("localhost")
    assert values(await admin(boss, "get-idle-users"), "idleuserjids") == [
        "ann@localhost"]
    assert sorted(values(await admin(boss, "get-active-users"),
                         "activeuserjids")) == ["admin@localhost",
                                                "bob@localhost"]
    assert values(await admin(boss, "get-active-users-num"),
                  "activeusersnum") == ["2"]
    assert values(await admin(boss, "get-online-users-num"),
                  "onlineusersnum") == ["4"]


async def test_all_commands(served):
    """What rookeryctl can do, by form."""
    boss = await served.client("admin")
    form = await execute(boss, "api-commands/register")
    fields = form.find("x").elems()
    kinds = {f.get("var"): f.get("type") for f in fields if f.get("var")}
    assert kinds == {"FORM_TYPE": "hidden", "user": "text-single",
                     "host": "text-single", "password": "text-private"}
    done = await execute(boss, "api-commands/register", {
        "user": "ann", "host": "localhost", "password": "secret"},
        form.get("sessionid"))
    assert "ann@localhost" in values(done, "result")[0]
    again = await perform(boss, "api-commands/register", {
        "user": "ann", "host": "localhost", "password": "secret"})
    assert again.find("note").get("type") == "error"
    assert "bad-request" in await condition(
        perform(boss, "api-commands/register", {"user": "ann"}))
    done = await perform(boss, "api-commands/registered_users",
                         {"host": "localhost"})
    assert values(done, "result") == ["admin", "ann"]
    assert "item-not-found" in await condition(
        execute(boss, "api-commands/no_such"))


async def told(client):
    message = await client.take(
        lambda e: e.name == "message" and e.find("body") is not None)
    return message.find("body").text


async def test_announce(served):
    """Who is online is told at once, everybody at last."""
    boss = await served.client("admin")
    romeo = await served.client("romeo")
    romeo.send("<presence/>")
    await romeo.ping("localhost")
    await served.register("juliet")
    await admin(boss, "announce", announcement=["Tea", "at five"])
    assert await told(romeo) == "Tea\nat five"
    await admin(boss, "announce-all", announcement="Cake")
    assert await told(romeo) == "Cake"
    juliet = await served.client("juliet", register=False)
    juliet.send("<presence/>")
    assert await told(juliet) == "Cake"
    assert "bad-request" in await condition(admin(boss, "announce"))


async def test_motd(served):
    """Each account gets a message of the day once, across a restart too."""
    boss = await served.client("admin")
    romeo = await served.client("romeo")
    romeo.send("<presence/>")
    await romeo.ping("localhost")
    await admin(boss, "set-motd", motd="Beware")
    assert await told(romeo) == "Beware"
    await served.register("juliet")
    await served.restart()
    juliet = await served.client("juliet", register=False)
    juliet.send("<presence/>")
    assert await told(juliet) == "Beware"
    for name in ("juliet", "romeo"):
        client = await served.client(name, register=False)
        client.send("<presence/>")
        client.send(f"<message to='{client.jid}'><body>end</body></message>")
        assert await told(client) == "end"
    boss = await served.client("admin", register=False)
    await admin(boss, "edit-motd", motd="Be glad")
    client = await served.client("romeo", register=False)
    client.send("<presence/>")
    assert await told(client) == "Be glad"
    await admin(boss, "delete-motd")
    await served.register("nurse")
    client = await served.client("nurse", register=False)
    client.send("<presence/>")
    client.send(f"<message to='{client.jid}'><body>end</body></message>")
    assert await told(client) == "end"


async def test_welcome(served):
    boss = await served.client("admin")
    await admin(boss, "set-welcome", welcome="Make yourself at home")
    romeo = await served.client("romeo")
    romeo.send("<presence/>")
    assert await told(romeo) == "Make yourself at home"
    await admin(boss, "delete-welcome")
    juliet = await served.client("juliet")
    juliet.send("<presence/>")
    juliet.send(f"<message to='{juliet.jid}'><body>end</body></message>")
    assert await told(juliet) == "end"


async def test_shutdown(served):
    """With a word to those who are there."""
    boss = await served.client("admin")
    boss.send("<presence/>")
    await boss.ping("localhost")
    served.expects_exit = True
    await admin(boss, "shutdown", delay="0", announcement="Good night")
    assert await told(boss) == "Good night"
    assert await served.wait_exit() == 0
