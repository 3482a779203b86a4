# SPDX-License-Identifier: MIT
"""Clients that people use: slixmpp and profanity log in, chat, subscribe."""

import asyncio
import os
import shutil
import subprocess

import pytest

slixmpp = pytest.importorskip("slixmpp")


class User(slixmpp.ClientXMPP):
    """A slixmpp user who notes what happens to him."""

    def __init__(self, server, name, **plugins):
        super().__init__(f"{name}@localhost/slix", "secret")
        self.daemon = server
        self.ca_certs = server.authority.pem
        self.messages = asyncio.Queue()
        self.seen = {}
        for plugin in plugins.get("plugins", ()):
            self.register_plugin(plugin)
        self.is_there = asyncio.Event()
        self.failed = []
        self.add_event_handler("session_start", self.on_start)
        self.add_event_handler("message", self.messages.put_nowait)
        self.add_event_handler("failed_auth", self.failed.append)
        self.add_event_handler(
            "changed_status", lambda p: self.seen.__setitem__(
                p["from"].bare, p["type"]))

    async def on_start(self, _):
        await self.get_roster()
        self.send_presence()
        self.is_there.set()

    async def begin(self, direct=False):
        name = "tls" if direct else "c2s"
        self.connect(("127.0.0.1", self.daemon.port[name]), use_ssl=direct)
        await asyncio.wait_for(self.is_there.wait(), 20)
        return self

    async def body(self):
        return (await asyncio.wait_for(self.messages.get(), 20))["body"]


async def leave(*users):
    for user in users:
        await asyncio.wait_for(user.disconnect(), 10)


@pytest.fixture
def strict(make_server, event_loop):
    """As an ordinary server is: TLS required."""
    server = make_server()
    server.overrides["listen"] = [
        {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
         "starttls": "required"},
        {"type": "c2s", "ip": "127.0.0.1", "port": "tls", "tls": True}]
    server.overrides["auth"] = {"allow_plain_without_tls": False}
    event_loop.run_until_complete(server.start())
    return server


@pytest.mark.workers(1, 2)
@pytest.mark.parametrize("direct", [False, True], ids=["starttls", "direct"])
async def test_slixmpp(strict, direct):
    """Log in, chat both ways, subscribe to each other, see each other go."""
    await strict.register("romeo")
    await strict.register("juliet")
    romeo = await User(strict, "romeo").begin(direct)
    juliet = await User(strict, "juliet").begin(direct)
    romeo.send_message(mto="juliet@localhost", mbody="hi", mtype="chat")
    assert await juliet.body() == "hi"
    juliet.send_message(mto="romeo@localhost", mbody="ho", mtype="chat")
    assert await romeo.body() == "ho"
    # slixmpp approves and subscribes in return, by itself.
    romeo.send_presence_subscription("juliet@localhost")
    await strict.wait_for(
        lambda: romeo.seen.get("juliet@localhost") == "available" and
        juliet.seen.get("romeo@localhost") == "available", "presence")
    await juliet.get_roster()
    item = juliet.client_roster["romeo@localhost"]
    assert item["subscription"] == "both"
    await leave(juliet)
    await strict.wait_for(
        lambda: romeo.seen.get("juliet@localhost") == "unavailable",
        "her leaving")
    romeo.send_message(mto="juliet@localhost", mbody="late", mtype="chat")
    await strict.wait_until(lambda: is_waiting(strict), "the message")
    juliet = await User(strict, "juliet").begin(direct)
    assert await juliet.body() == "late"
    await leave(romeo, juliet)


async def is_waiting(server):
    return await server.api("get_offline_count", user="juliet",
                            host="localhost") == (200, 1)


async def test_slixmpp_features(strict):
    """The plugins for what the server offers."""
    await strict.register("romeo")
    romeo = await User(strict, "romeo", plugins=[
        "xep_0030", "xep_0199", "xep_0092", "xep_0202", "xep_0012",
        "xep_0049", "xep_0054", "xep_0191", "xep_0077"]).begin()
    info = await romeo["xep_0030"].get_info(jid="localhost")
    assert ("server", "im", None, "Rookery") in info["disco_info"][
        "identities"]
    assert await romeo["xep_0199"].ping("localhost", timeout=10) < 10
    version = await romeo["xep_0092"].get_version("localhost")
    assert version["software_version"]["name"] == "Rookery"
    card = romeo["xep_0054"].make_vcard()
    card["FN"] = "Romeo"
    await romeo["xep_0054"].publish_vcard(vcard=card)
    mine = await romeo["xep_0054"].get_vcard("romeo@localhost")
    assert mine["vcard_temp"]["FN"] == "Romeo"
    await romeo["xep_0191"].block("tybalt@localhost")
    blocked = await romeo["xep_0191"].get_blocked()
    assert "tybalt@localhost" in blocked["blocklist"]["items"]
    await romeo["xep_0077"].change_password("other", jid="localhost")
    await leave(romeo)
    assert (await strict.api("check_password", user="romeo",
                             host="localhost", password="other")) == (200, 0)


async def test_slixmpp_resumes(strict):
    """XEP-0198 as slixmpp does it: the link is lost, and nothing else."""
    await strict.register("romeo")
    await strict.register("juliet")
    juliet = await User(strict, "juliet", plugins=["xep_0198"]).begin()
    resumed = asyncio.Event()
    juliet.add_event_handler("session_resumed", lambda _: resumed.set())
    romeo = await User(strict, "romeo").begin()
    await strict.wait_for(lambda: juliet["xep_0198"].enabled_in, "SM")
    juliet.transport.abort()
    for number in range(10):
        romeo.send_message(mto="juliet@localhost/slix", mbody=str(number),
                           mtype="chat")
    juliet.connect(("127.0.0.1", strict.port["c2s"]))
    await asyncio.wait_for(resumed.wait(), 20)
    assert [await juliet.body() for _ in range(10)] == [
        str(n) for n in range(10)]
    await leave(romeo, juliet)


async def test_slixmpp_wrong_password(strict):
    await strict.register("romeo", password="other")
    user = User(strict, "romeo")
    user.connect(("127.0.0.1", strict.port["c2s"]))
    await strict.wait_for(lambda: user.failed, "the failure")
    user.abort()


# profanity --------------------------------------------------------------------

class Terminal:
    """profanity in a tmux of its own."""

    def __init__(self, folder, server):
        self.socket = os.path.join(folder, "tmux")
        self.home = os.path.join(folder, "home")
        os.makedirs(os.path.join(self.home, ".config", "profanity"))
        os.makedirs(os.path.join(self.home, ".local", "share"))
        certs = os.path.join(self.home, "certs")
        os.makedirs(certs)
        shutil.copy(server.authority.pem, os.path.join(certs, "ca.pem"))
        subprocess.run(["openssl", "rehash", certs], check=True)
        with open(os.path.join(self.home, ".config", "profanity", "profrc"),
                  "w", encoding="utf-8") as file:
            file.write(f"[connection]\ntls.certpath={certs}\n"
                       "[notifications]\nmessage=false\n"
                       "[ui]\nsplash=false\n[plugins]\nload=\n")
        env = {**os.environ, "HOME": self.home, "TERM": "screen",
               "XDG_CONFIG_HOME": os.path.join(self.home, ".config"),
               "XDG_DATA_HOME": os.path.join(self.home, ".local", "share"),
               "LANG": "C.UTF-8"}
        subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null",
                        "new-session", "-d", "-x", "120", "-y", "40",
                        "profanity"], check=True, env=env)

    def run(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, *args],
                              capture_output=True, text=True, check=False)

    def type(self, text):
        self.run("send-keys", "-l", text)
        self.run("send-keys", "Enter")

    def screen(self):
        return self.run("capture-pane", "-p").stdout

    def end(self):
        self.run("kill-server")


@pytest.mark.skipif(not (shutil.which("profanity") and shutil.which("tmux")),
                    reason="profanity and tmux are not here")
async def test_profanity(strict, tmp_path):
    """profanity over STARTTLS, with a certificate that it checks."""
    await strict.register("romeo")
    juliet = await strict.client("juliet", resource="j", starttls=True)
    juliet.send("<presence/>")
    await juliet.elem()
    terminal = Terminal(str(tmp_path), strict)
    try:
        await strict.wait_for(lambda: "rofanity" in terminal.screen(),
                              "profanity")
        terminal.type(f"/connect romeo@localhost server 127.0.0.1 port "
                      f"{strict.port['c2s']} tls force")
        await strict.wait_for(lambda: "password" in terminal.screen().lower(),
                              "its question")
        terminal.type("secret")
        await strict.wait_for(
            lambda: "logged in successfully" in terminal.screen(),
            f"its login: {terminal.screen()}", 30)
        terminal.type("/msg juliet@localhost Hello from a terminal")
        message = await juliet.take(lambda e: e.name == "message"
                                    and e.find("body") is not None)
        assert message.find("body").text == "Hello from a terminal"
        juliet.send(f"<message to='{message.get('from')}' type='chat' "
                    f"id='a'><body>Hello to a terminal</body></message>")
        await strict.wait_for(
            lambda: "Hello to a terminal" in terminal.screen(), "the answer")
        terminal.type("/quit")
    finally:
        terminal.end()
