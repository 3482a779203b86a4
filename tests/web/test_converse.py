# SPDX-License-Identifier: MIT
"""The web client in a real browser: a newcomer's way from the page to a chat,
a room and a picture. Screenshots are kept in ROOKERY_SHOTS, if that is set."""

import asyncio
import os
import shutil
import struct
import urllib.request
import ssl
import zlib

import pytest
from slixmpp.exceptions import PresenceError

from browser import PROGRAM, Browser
from integration.test_clients import User, leave

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "required"},
    {"type": "http", "ip": "127.0.0.1", "port": "https", "tls": True},
]
ROOM = "garden@conference.localhost"
COMPOSER = "textarea.chat-textarea"


@pytest.fixture
def page(event_loop):
    if PROGRAM is None:
        pytest.fail("there is no chromium")
    made = Browser()
    yield made
    event_loop.run_until_complete(made.stop())


@pytest.fixture(params=["websocket", "bosh"])
def over(request):
    return request.param


def launch(make_server, build, over):
    folder = os.path.join(build, "webchat")
    if not os.path.exists(folder):
        pytest.fail("run make webchat first")
    config = {"listen": LISTEN, "modules": None}
    if over == "bosh":
        config["host_config"] = {"localhost": {"modules": {
            "websocket": {"enabled": False}}}}
    return make_server(config)


def picture(path):
    """A PNG of 200 x 100 pixels, orange."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + \
            struct.pack(">I", zlib.crc32(body))

    rows = (b"\0" + b"\xe0\x80\x20" * 200) * 100
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" +
                  chunk(b"IHDR", struct.pack(">IIBBBBB", 200, 100, 8, 2, 0,
                                             0, 0)) +
                  chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def download(server, url):
    context = ssl.create_default_context(cafile=server.authority.pem)
    with urllib.request.urlopen(url, timeout=20, context=context) as answer:
        return answer.headers["content-type"], answer.read()


async def log_in(page, server, user):
    await page.start(server.port["https"])
    await page.open(f"https://localhost:{server.port['https']}/chat/")
    await page.fill("#converse-login-jid, input[name=jid]", user)
    await page.fill("input[name=password]", "secret")
    await page.press_enter()
    await page.there("converse-user-profile")


async def say(page, text):
    await page.fill(COMPOSER, text)
    await page.press_enter()


def shows(text):
    """Is it among the messages that the page shows?"""
    return ("[...document.querySelectorAll('converse-chat-message-body')]"
            f".some(e => e.innerText.includes('{text}'))")


async def keep_shot(page, tmp_path, name):
    shot = str(tmp_path / f"{name}.png")
    await page.screenshot(shot)
    assert os.path.getsize(shot) > 10000
    kept = os.environ.get("ROOKERY_SHOTS")
    if kept:
        os.makedirs(kept, exist_ok=True)
        shutil.copy(shot, kept)


def way_of(server, user):
    """How is the user connected?"""
    rows = server.ctl("connected_users_info")[1].splitlines()
    return [row.split("\t")[1] for row in rows if row.startswith(user + "@")]


async def in_chat(page, romeo):
    await page.run("location.hash = '#converse/chat?jid=romeo@localhost'")
    await say(page, "Wherefore art thou?")
    assert await romeo.body() == "Wherefore art thou?"
    romeo.send_message("juliet@localhost", "Call me but love", mtype="chat")
    await page.until(shows("Call me but love"))


async def enter(romeo):
    """Until she has set her room up, it is closed."""
    for _ in range(100):
        try:
            await romeo.plugin["xep_0045"].join_muc_wait(ROOM, "romeo")
            return
        except PresenceError as error:
            assert error.condition == "item-not-found"
        await asyncio.sleep(0.1)
    raise AssertionError("the room stays closed")


async def in_room(page, romeo):
    await page.run(f"location.hash = '#converse/room?jid={ROOM}'")
    await page.fill("converse-muc-nickname-form input[name=nick]", "juliet")
    await page.press_enter()
    await page.there(f"converse-muc[jid='{ROOM}'] {COMPOSER}")
    said = asyncio.Queue()
    romeo.add_event_handler("groupchat_message", said.put_nowait)
    await enter(romeo)
    await page.until("document.body.innerText.includes('romeo has entered')")
    romeo.send_message(ROOM, "He jests at scars", mtype="groupchat")
    await page.until(shows("He jests at scars"))
    await page.fill(f"converse-muc[jid='{ROOM}'] {COMPOSER}", "It is the east")
    await page.press_enter()
    while (await asyncio.wait_for(said.get(), 20))["mucnick"] != "juliet":
        pass
    await page.until(shows("It is the east"))


async def send_picture(page, romeo, server, path):
    await page.give_file("input.fileupload", path)
    while True:
        body = await romeo.body()
        if "/upload/" in body:
            break
    assert body.startswith(f"https://localhost:{server.port['https']}/")
    kind, data = download(server, body)
    with open(path, "rb") as file:
        assert (kind, data) == ("image/png", file.read())
    # She sees it, too: as a picture, whole.
    await page.until(
        "[...document.querySelectorAll('converse-chat-message img')].some("
        f"e => e.src === {body!r} && e.complete && e.naturalWidth === 200)")


@pytest.mark.slow(180)
async def test_newcomer(make_server, build, over, page, tmp_path):
    server = launch(make_server, build, over)
    await server.start()
    for name in ("romeo", "juliet"):
        await server.register(name)
    romeo = await User(server, "romeo", plugins=["xep_0045"]).begin()
    await log_in(page, server, "juliet")
    assert way_of(server, "juliet") == [
        {"websocket": "websocket", "bosh": "http_bind"}[over]]
    await in_chat(page, romeo)
    path = str(tmp_path / "picture.png")
    picture(path)
    await send_picture(page, romeo, server, path)
    await keep_shot(page, tmp_path, f"chat-{over}")
    await in_room(page, romeo)
    await keep_shot(page, tmp_path, f"room-{over}")
    # Nothing was missing, nothing went against the page's policy, and nobody
    # else was asked.
    assert not [line for line in page.console
                if line.startswith(("error", "exception"))]
    await leave(romeo)
