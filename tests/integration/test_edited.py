# SPDX-License-Identifier: MIT
"""Lists that administrators edit while the server runs: with whom it talks
elsewhere, and who else administers it; by command, and kept."""

import asyncio
import os
import sqlite3

import pytest

from harness.federation import Stranger, is_error, is_message, say
from harness.wire import PATIENCE


async def three(federation):
    a, b = await federation.start()
    juliet, romeo = await federation.users()
    paris = await b.client("paris", host="b.test")
    await read(a)
    await say(juliet, romeo, "one")
    await say(paris, juliet, "two")
    return a, juliet, romeo, paris


async def refused(one, other):
    one.send(f"<message to='{other.jid}' type='chat'><body>no</body>"
             "</message>")
    await one.take(is_error("not-allowed"))


async def test_blocked_address(federation):
    a, juliet, romeo, paris = await three(federation)
    await a.ctl_ok("set_blocked_peers", "paris@b.test elsewhere.test")
    await refused(paris, juliet)
    await refused(juliet, paris)
    await say(juliet, romeo, "three")
    await say(romeo, juliet, "four")
    # One of his resources only.
    await a.ctl_ok("set_blocked_peers", paris.jid)
    await refused(paris, juliet)
    await refused(juliet, paris)
    await a.ctl_ok("set_blocked_peers")
    await say(paris, juliet, "five")
    assert not any(is_message("no")(e[1]) for e in juliet.wire.events
                   if e[0] == "elem")


async def test_blocked_domain(federation):
    a, juliet, romeo, _ = await three(federation)
    await a.ctl_ok("set_blocked_peers", "b.test")
    await refused(juliet, romeo)
    # He hears nothing: we do not talk to his server.
    romeo.send(f"<message to='{juliet.jid}'><body>no</body></message>")
    await romeo.ping("b.test")
    await a.ctl_ok("set_blocked_peers", "c.test")
    await say(romeo, juliet, "three")
    assert not any(is_message("no")(e[1]) for e in juliet.wire.events
                   if e[0] == "elem")


async def test_allowed(federation):
    a, juliet, romeo, paris = await three(federation)
    await a.ctl_ok("set_allowed_peers", "romeo@b.test,c.test")
    await say(juliet, romeo, "three")
    await say(romeo, juliet, "four")
    await refused(juliet, paris)
    await refused(paris, juliet)
    await a.ctl_ok("set_allowed_peers", "b.test")
    await say(paris, juliet, "five")
    await a.ctl_ok("set_allowed_peers", "c.test")
    await refused(juliet, romeo)


@pytest.mark.sqlite("breaks its table")
async def test_unread(federation):
    """Until the lists could be read we talk to nobody, but only for now."""
    a, _ = await federation.start()
    juliet, romeo = await federation.users()
    await say(juliet, romeo, "one")
    await read(a)
    await a.ctl_ok("set_blocked_peers", "elsewhere.test")
    await a.stop()
    base = sqlite3.connect(os.path.join(a.folder, "data", "rookery.db"))
    base.executescript(
        "ALTER TABLE kv RENAME TO kept; CREATE VIEW kv AS SELECT owner, store, "
        "key, CASE WHEN store = 'blocked_peers' THEN json(key) ELSE value END "
        "AS value FROM kept;")
    a.announce(".")
    await a.start()
    await a.log_line("'blocked_peers' can't be read yet")
    stranger = Stranger(a, "b.test")
    assert (await stranger.connect()).find("resource-constraint") is not None
    await stranger.wire.gone()
    juliet = await a.client("juliet", host="a.test", register=False)
    juliet.send(f"<message to='{romeo.jid}' type='chat'><body>no</body>"
                "</message>")
    await juliet.take(is_error("remote-server-timeout"))
    base.executescript("DROP VIEW kv; ALTER TABLE kept RENAME TO kv;")
    base.close()
    await read(a)
    await say(juliet, romeo, "two")
    await say(romeo, juliet, "three")


async def read(server):
    """It has just started."""
    for _ in range(PATIENCE * 20):
        status, out, error = await asyncio.to_thread(
            server.ctl, "list_admins")
        if status == 0:
            return
        assert "has not read its lists yet" in out + error
        await asyncio.sleep(0.05)


async def test_kept(server):
    """And bounded; what is no address, or ours, is none to block."""
    await read(server)
    many = " ".join(f"{i}.test" for i in range(1000))
    await server.ctl_ok("set_blocked_peers", many)
    for name, text in (("set_blocked_peers", many + " more.test"),
                       ("set_blocked_peers", "@"),
                       ("set_blocked_peers", "romeo@localhost"),
                       ("set_allowed_peers", "localhost"),
                       ("set_admins", "localhost"),
                       ("set_admins", "romeo@localhost/a")):
        code, _, _ = await asyncio.to_thread(server.ctl, name, text)
        assert code != 0
    await server.ctl_ok("set_allowed_peers", "B.test, a@B.test\nb.test/x")
    await server.ctl_ok("set_admins", "romeo@localhost")
    await server.stop()
    await server.start()
    await read(server)
    listed = (await server.ctl_ok("list_blocked_peers")).split()
    assert sorted(listed) == sorted(many.split())
    assert (await server.ctl_ok("list_allowed_peers")).split() == [
        "a@b.test", "b.test", "b.test/x"]
    assert (await server.ctl_ok("list_admins")).split() == ["romeo@localhost"]
