# SPDX-License-Identifier: MIT
"""Gajim's library and profanity catch up by the archive."""

import asyncio
import importlib.util
import json
import os
import shutil
import sys

import pytest

from harness.server import ServerError

from test_clients import Terminal, strict  # noqa: F401

READER = os.path.join(os.path.dirname(__file__), "nbxmpp_reader.py")


async def say(romeo, first, count):
    for number in range(first, first + count):
        romeo.send(f"<message to='juliet@localhost' type='chat' id='{number}'>"
                   f"<body>line {number}</body></message>")
    await romeo.wait_ack()


def lines(first, count):
    return [f"line {n}" for n in range(first, first + count)]


async def read_as_gajim(server, page, after=None):
    args = [READER, str(server.port["c2s"]), "juliet", str(page)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *args, *([after] if after else []),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    seen = json.loads(out.decode().splitlines()[-1])
    assert seen["why"] is None, seen
    return seen


@pytest.mark.skipif(not importlib.util.find_spec("nbxmpp"),
                    reason="nbxmpp is not here")
async def test_nbxmpp(strict):  # noqa: F811
    """Page by page, first all, then what is new: each message once."""
    await strict.register("juliet")
    romeo = await strict.client("romeo", starttls=True)
    await romeo.enable_sm()
    await say(romeo, 0, 120)
    seen = await read_as_gajim(strict, 50)
    assert seen["archive"] == lines(0, 120)
    assert seen["pages"] == 3
    await say(romeo, 120, 70)
    seen = await read_as_gajim(strict, 50, seen["last"])
    assert seen["archive"] == lines(120, 70)
    assert seen["pages"] == 2
    seen = await read_as_gajim(strict, 50, seen["last"])
    assert seen["archive"] == [] and seen["live"] == []


@pytest.mark.skipif(not (shutil.which("profanity") and shutil.which("tmux")),
                    reason="profanity and tmux are not here")
async def open_history(server, terminal):
    """It asks when the window opens, but not before it knows that there is an
    archive, which it tells nobody: so the window is opened again."""
    for _ in range(10):
        terminal.type("/msg romeo@localhost")
        try:
            await server.wait_for(
                lambda: all(line in terminal.screen() for line in lines(0, 7)),
                "the history", 4)
            return
        except ServerError:
            terminal.type("/close")
    raise ServerError(f"there is no history\n{terminal.screen()}")


async def test_profanity_archive(strict, tmp_path):  # noqa: F811
    """What was said while it was away, and was read by another device."""
    desk = await strict.client("juliet", resource="desk", starttls=True)
    desk.send("<presence/>")
    await desk.elem()
    romeo = await strict.client("romeo", starttls=True)
    await romeo.enable_sm()
    await say(romeo, 0, 7)
    for line in lines(0, 7):
        message = await desk.take(lambda e: e.name == "message")
        assert message.find("body").text == line
    await desk.leave()
    terminal = Terminal(str(tmp_path), strict)
    try:
        await strict.wait_for(lambda: "rofanity" in terminal.screen(),
                              "profanity")
        terminal.type("/mam on")
        terminal.type(f"/connect juliet@localhost server 127.0.0.1 port "
                      f"{strict.port['c2s']} tls force")
        await strict.wait_for(lambda: "password" in terminal.screen().lower(),
                              "its question")
        terminal.type("secret")
        await strict.wait_for(
            lambda: "logged in successfully" in terminal.screen(),
            "its login", 30)
        await open_history(strict, terminal)
        screen = terminal.screen()
        # profanity 0.13 asks for it once more, with <after/> out of place.
        assert len({screen.count(line) for line in lines(0, 7)}) == 1, screen
        places = [screen.index(line) for line in lines(0, 7)]
        assert places == sorted(places), screen
        terminal.type("/quit")
    finally:
        terminal.end()
