# SPDX-License-Identifier: MIT
"""Shared groups when the store can't tell all at first."""

import asyncio
import contextlib
import os
import sqlite3

import pytest

from harness.wire import PATIENCE


def run(server, text):
    with contextlib.closing(sqlite3.connect(os.path.join(
            server.folder, "data", "rookery.db"))) as base:
        done = base.execute(text)
        base.commit()
        return done.rowcount


@pytest.mark.sqlite("it is broken from outside")
async def test_unread(make_server):
    """Commands are told so, until the groups have been read after all."""
    server = make_server({"modules": {"shared_roster": {}}})

    await server.start()
    await server.ctl_ok("srg_add", "friends", "localhost")
    await server.stop()
    run(server, "ALTER TABLE kv RENAME TO hidden")
    server.announce("no such table|can't be read")
    await server.start()
    await server.log_line("shared_roster.*its groups can't be read")
    status, _, _ = await asyncio.to_thread(server.ctl, "srg_list", "localhost")
    assert status != 0
    run(server, "ALTER TABLE hidden RENAME TO kv")
    async with asyncio.timeout(PATIENCE):
        while status != 0:
            await asyncio.sleep(0.1)
            status, out, _ = await asyncio.to_thread(
                server.ctl, "srg_list", "localhost")
    assert out.split() == ["friends"]


@pytest.mark.sqlite("what is kept is changed from outside")
async def test_uncounted(make_server):
    """Nobody loses what groups of all gave while these are counted."""
    server = make_server({"modules": {"shared_roster": {}}})

    async def roster():
        answer = await romeo.ask("<query xmlns='jabber:iq:roster'/>")
        return [item.get("jid") for item in answer.find("query").elems()]

    await server.start()
    romeo = await server.client("romeo")
    await server.register("juliet")
    await server.ctl_ok("srg_create", "all", "localhost", "All", "", "all")
    await server.ctl_ok("srg_user_add", "@all@", "localhost", "all",
                        "localhost")
    async with asyncio.timeout(PATIENCE):
        while await roster() != ["juliet@localhost"]:
            await asyncio.sleep(0.1)
    await server.stop()
    assert run(server, "DELETE FROM kv WHERE store = 'shared_roster' AND"
               " CAST(key AS TEXT) = '@all'") == 1
    await server.start()
    romeo = await server.client("romeo", register=False)
    for _ in range(10):
        assert await roster() == ["juliet@localhost"]
        await asyncio.sleep(0.1)
