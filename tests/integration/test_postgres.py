# SPDX-License-Identifier: MIT
"""PostgreSQL beneath a running server: it goes and comes back, and data moves
to it and away from it."""

import asyncio
import os
import signal
import sqlite3
import subprocess

import pytest
import yaml

from harness import postgres
from harness.client import Client

pytestmark = [
    pytest.mark.workers(2),
    pytest.mark.skipif(postgres.programs() is None,
                       reason="there is no PostgreSQL here"),
]


@pytest.fixture
def database():
    made = postgres.Postgres()
    yield made
    made.destroy()


def keep_in(database, schema):
    return {"database": {"driver": "postgresql", "path": None,
                         "dsn": database.dsn(schema) + " password=pa55word"}}


async def say(sender, to, first, count):
    await sender.enable_sm()
    for n in range(first, first + count):
        sender.send(f"<message to='{to}' type='chat'><body>{n}</body>"
                    f"</message>")
    sender.request_ack()
    return sender


def numbers(database, schema, owner):
    """Bodies of somebody's archive in order."""
    out = database.sql(
        "SELECT a.body FROM archive a JOIN archive_owner o ON o.key = a.owner"
        f" WHERE o.owner = '{owner}' ORDER BY a.id", schema)
    return [int(line) for line in out.splitlines()]


async def test_restart(database, make_server):
    """Sessions stay up, what is sent meanwhile waits, and is kept once."""
    schema = database.schema()
    server = make_server(keep_in(database, schema))
    server.announce("database lost, requests wait")
    await server.start()
    romeo = await server.client("romeo")
    await server.register("juliet")
    await romeo.enable_sm()

    sent = 0
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGINT):
        for _ in range(20):
            romeo.send("<message to='juliet@localhost' type='chat'>"
                       f"<body>{sent}</body></message>")
            sent += 1
        await asyncio.to_thread(database.stop, how)
        for _ in range(20):
            romeo.send("<message to='juliet@localhost' type='chat'>"
                       f"<body>{sent}</body></message>")
            sent += 1
        romeo.request_ack()
        await server.log_line("database lost")
        await asyncio.to_thread(database.start)
        await server.log_line("database back")
        romeo.request_ack()
    await romeo.wait_ack(sent)
    assert numbers(database, schema, "romeo@localhost") == list(range(sent))
    assert numbers(database, schema, "juliet@localhost") == list(range(sent))
    juliet = await server.client("juliet", register=False)
    juliet.close()
    assert "pa55word" not in "\n".join(server.lines())


async def test_refused(make_server):
    """It says why it does not start, and gives no password away."""
    config = {"database": {"driver": "postgresql", "path": None,
                           "dsn": "host=/nowhere password=pa55word"}}
    server = make_server(config)
    server.write_config()
    done = subprocess.run([server.daemon, "-c", server.config_path],
                          capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1
    assert "/nowhere" in done.stdout + done.stderr
    assert "pa55word" not in done.stdout + done.stderr


def copy(server, target):
    done = subprocess.run(
        [os.path.join(os.path.dirname(server.daemon), "rookeryctl"),
         "-c", server.config_path, "copy_store", target],
        capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout, done.stderr


def other_config(server, path, database):
    with open(server.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["database"] = database
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file)
    return str(path)


async def test_copy(database, make_server, tmp_path):
    """From SQLite to PostgreSQL and back, all of it."""
    schema = database.schema()
    server = make_server({"database": {"driver": "sqlite", "dsn": None,
                                       "path": "rookery.db"}})
    await server.start()
    romeo = await server.client("romeo")
    for n in range(30):
        await server.register(f"user{n}", "capulet.example")
    await romeo.ask("<query xmlns='jabber:iq:roster'><item "
                    "jid='juliet@localhost' name='Ä €'/></query>", "set")
    await server.register("juliet")
    await say(romeo, "juliet@localhost", 0, 600)
    await romeo.wait_ack(600)
    romeo.close()

    into_pg = other_config(
        server, tmp_path / "pg.yml",
        {"driver": "postgresql", "dsn": database.dsn(schema)})
    status, _, err = await asyncio.to_thread(copy, server, into_pg)
    assert status == 1 and "stop it first" in err, err
    assert await server.stop() == 0

    status, out, err = await asyncio.to_thread(copy, server, into_pg)
    assert (status, err) == (0, ""), out
    assert "accounts 32/32" in out and "messages 1200/1200 (100 %)" in out, out
    assert numbers(database, schema, "juliet@localhost") == list(range(600))
    status, _, err = await asyncio.to_thread(copy, server, into_pg)
    assert status == 1 and "not empty" in err, err
    status, _, err = await asyncio.to_thread(copy, server, server.config_path)
    assert status == 1 and "sqlite" in err, err

    server.overrides["database"] = {"driver": "postgresql", "path": None,
                                    "dsn": database.dsn(schema)}
    await server.start()
    juliet = Client("juliet")
    await juliet.login(server.port["c2s"])
    juliet.send("<presence/>")
    for n in range(600):
        event = await juliet.take(lambda e: e.name == "message")
        assert event.find("body").text == str(n)
    romeo = await server.client("romeo", register=False)
    roster = await romeo.ask("<query xmlns='jabber:iq:roster'/>")
    assert "Ä €" in str(roster)
    romeo.close()
    juliet.close()
    assert await server.stop() == 0

    back = str(tmp_path / "back.db")
    target = other_config(server, tmp_path / "back.yml",
                          {"driver": "sqlite", "path": back})
    status, out, err = await asyncio.to_thread(copy, server, target)
    assert (status, err) == (0, ""), out
    db = sqlite3.connect(back)
    for table in ("account", "account_key", "kv", "archive", "archive_owner",
                  "chat_user", "chat_message"):
        there = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        assert there == int(database.sql(f"SELECT count(*) FROM {table}",
                                         schema)), table
    same = db.execute("SELECT * FROM chat_message ORDER BY 1 LIMIT 3")
    rows = database.sql("SELECT * FROM chat_message ORDER BY 1 LIMIT 3",
                        schema).splitlines()
    assert ["|".join("" if v is None else str(v) for v in row)
            for row in same] == rows
    db.close()
