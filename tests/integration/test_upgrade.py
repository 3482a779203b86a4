# SPDX-License-Identifier: MIT
"""SASL upgrade tasks (XEP-0480): an account that came with keys for
SCRAM-SHA-1 only gets the others."""

import hashlib
import os
import sqlite3

import pytest

from harness import postgres, sasl
from harness.client import Client, Failure
from harness.wire import client_context
from harness.xml import NS_SASL2

NS_UPGRADE = "urn:xmpp:sasl:upgrade:0"
NS_SCRAM = "urn:xmpp:scram-upgrade:0"
ALL = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def ask_for(*names):
    return "".join(f"<upgrade xmlns='{NS_UPGRADE}'>UPGR-{name}</upgrade>"
                   for name in names)


class Old:
    """A server where romeo has keys for SCRAM-SHA-1 only."""

    def __init__(self, server):
        self.server = server

    def run(self, text):
        if postgres.is_wanted():
            postgres.Postgres.shared().sql(text, self.server.schema)
            return
        with sqlite3.connect(os.path.join(self.server.folder, "data",
                                          "rookery.db")) as base:
            base.execute(text)

    async def start(self):
        await self.server.start()
        for user in ("romeo", "juliet"):
            await self.server.register(user)
        await self.server.stop()
        self.run("DELETE FROM account_key WHERE mechanism <> 'SCRAM-SHA-1' AND "
                 "jid = 'romeo@localhost'")
        await self.server.start()
        return self

    async def arrive(self, user="romeo", tell=True, direct=True):
        client = Client(user)
        tls = client_context(alpn=["xmpp-client"]) if direct else None
        await client.connect(self.server.port["tls" if direct else "c2s"],
                             tls=tls)
        await client.open(extra=f" from='{user}@localhost'" if tell else "")
        return client


@pytest.fixture
def old(make_server):
    return Old(make_server({"auth": {"upgrade": True}}))


def offered(client):
    """SCRAM mechanisms by both profiles, and upgrades."""
    new = client.features.find("authentication", NS_SASL2)
    names = [m.text for m in new.elems() if m.name == "mechanism"]
    assert names == client.mechanisms()
    names = sorted({n.replace("-PLUS", "") for n in names if "SCRAM" in n})
    return names, [u.text for u in new.elems() if u.name == "upgrade"]


def send(client, text):
    client.wire.send(text)
    return client.elem()


def begin(client, name):
    return send(client, f"<next xmlns='{NS_SASL2}' task='UPGR-{name}'/>")


def answer(client, salted):
    return send(client, f"<task-data xmlns='{NS_SASL2}'><hash xmlns="
                f"'{NS_SCRAM}'>{sasl.b64(salted)}</hash></task-data>")


async def do(client, name, password="secret"):
    """One task; what follows it."""
    data = await begin(client, name)
    assert data.name == "task-data", str(data)
    salt = data.find("salt", NS_SCRAM)
    digest = name.replace("SCRAM-SHA-", "sha")
    rounds = int(salt.get("iterations"))
    assert rounds >= 4096
    return await answer(client, hashlib.pbkdf2_hmac(
        digest, password.encode(), sasl.unb64(salt.text), rounds))


async def lets_in(old, mechanism, user="romeo"):
    client = await old.arrive(user)
    got = await client.authenticate(mechanism)
    client.close()
    return got.name == "success"


async def test_upgrades(old):
    """Only what is there is offered; both others are made, one after the
    other, and then all are."""
    await old.start()
    client = await old.arrive()
    assert offered(client) == (["SCRAM-SHA-1"],
                               ["UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-512"])
    got = await client.authenticate(
        "SCRAM-SHA-1-PLUS", ask_for(*ALL[1:]) +
        "<bind xmlns='urn:xmpp:bind:0'/>")
    for name in ALL[1:]:
        # What SASL says last comes with the first task, and only there.
        assert (got.find("additional-data") is not None) == (name == ALL[1])
        assert got.name == "continue", str(got)
        assert [t.text for t in got.find("tasks").elems()] == ["UPGR-" + name]
        got = await do(client, name)
    assert got.name == "success" and got.find("additional-data") is None
    client.on_success(got)
    await client.ping()
    client.close()
    assert offered(await old.arrive()) == (ALL, [])
    for name in ALL:
        assert await lets_in(old, name)
    # It lasts, and nothing is left to do.
    await old.server.restart()
    client = await old.arrive()
    got = await client.authenticate("SCRAM-SHA-512", ask_for(*ALL))
    assert got.name == "success"


async def test_who_is_not_asked(old):
    """All look alike but the one who needs it: those who have all keys, who
    are nobody, or who don't say who they are."""
    await old.start()
    for user, tell in (("juliet", True), ("nobody", True), ("romeo", False)):
        assert offered(await old.arrive(user, tell)) == (ALL, [])
    # The keys that he has still let him in if he knows which.
    client = await old.arrive(tell=False)
    got = await client.authenticate("SCRAM-SHA-1")
    assert got.name == "success"
    # By the old profile, too, there is only what will do.
    client = await old.arrive(direct=False)
    assert client.mechanisms() == ["SCRAM-SHA-1", "PLAIN"]
    await client.auth("SCRAM-SHA-1")


async def test_bad_steps(old):
    """What is no step of the task ends the stream, and changes nothing."""
    await old.start()
    for steps, condition in (
            ([("begin", "SCRAM-SHA-512")], "malformed-request"),
            ([("answer", b"x" * 32)], "malformed-request"),
            ([("begin", "SCRAM-SHA-256"), ("answer", b"x" * 31)],
             "malformed-request"),
            ([("begin", "SCRAM-SHA-256"), ("answer", b"")],
             "malformed-request"),
            ([("begin", "SCRAM-SHA-256"), ("begin", "SCRAM-SHA-256")],
             "malformed-request"),
            ([("begin", "SCRAM-SHA-256"), ("abort", None)], "aborted")):
        client = await old.arrive()
        got = await client.authenticate("SCRAM-SHA-1",
                                        ask_for("SCRAM-SHA-256"))
        assert got.name == "continue"
        for what, with_ in steps:
            if what == "begin":
                got = await begin(client, with_)
            elif what == "answer":
                got = await answer(client, with_)
            else:
                got = await send(client, f"<abort xmlns='{NS_SASL2}'/>")
        assert got.name == "failure", str(got)
        assert got.elems()[0].name == condition
        await client.expect("close")
        client.close()
    assert not await lets_in(old, "SCRAM-SHA-256")
    # Who does not know the password gets no task.
    client = await old.arrive()
    got = await client.authenticate("SCRAM-SHA-1", ask_for("SCRAM-SHA-256"),
                                    password="wrong")
    assert got.name == "failure"


async def test_password_set_meanwhile(old):
    """A password that is set while the old one's keys are being made is the
    only one that holds."""
    await old.start()
    client = await old.arrive()
    got = await client.authenticate("SCRAM-SHA-1", ask_for("SCRAM-SHA-256"))
    assert got.name == "continue"
    await old.server.ctl_ok("change_password", "romeo", "localhost", "new")
    got = await do(client, "SCRAM-SHA-256")
    assert got.name == "success"
    client.close()
    for name in ALL:
        assert not await lets_in(old, name)


async def test_off(make_server):
    """Without the option nobody is looked up."""
    old = await Old(make_server()).start()
    assert offered(await old.arrive()) == (ALL, [])
    with pytest.raises(Failure):
        await (await old.arrive()).auth("SCRAM-SHA-256")
