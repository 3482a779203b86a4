# SPDX-License-Identifier: MIT
"""Desktop clients, each on a desktop of its own: an X server, a session bus, a
home, all in a sandbox that ends with the test. Run under tests/desktop/alone,
for they find the server as at home: by SRV records, at its usual ports."""

import asyncio
import itertools
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Of a machine that does much else.
PATIENCE = 90
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"


# Servers of X that share a network may not share a number.
displays = itertools.count(70)


# Dino's.
RECEIVED, SENT = 0, 1


class DeskError(Exception):
    """A client did not do as it was told."""


async def ask(path, request):
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        answer = json.loads(
            await asyncio.wait_for(reader.readline(), PATIENCE))
    finally:
        writer.close()
    if "error" in answer:
        raise DeskError(answer["error"])
    return answer["value"]


class Desk:
    """Its home, as seen from outside, is `home`; from inside, /tmp/home."""

    def __init__(self, name, ca):
        self.name = name
        self.ca = ca
        self.folder = tempfile.mkdtemp(prefix="rookery-desk-")
        self.home = os.path.join(self.folder, "home")
        os.mkdir(self.home)
        os.mkdir(os.path.join(self.folder, "run"), 0o700)
        self.process = None

    def write_file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    async def open(self):
        passwd = self.write_file(
            "passwd", "someone:x:1000:1000::/tmp/home:/bin/sh\n")
        hosts = self.write_file("hosts", "127.0.0.1 localhost\n")
        resolv = self.write_file("resolv.conf", "nameserver 127.0.0.1\n")
        with open(self.folder + "/desk.log", "wb") as log:
            self.process = subprocess.Popen([
                "bwrap", "--unshare-user", "--uid", "1000", "--gid", "1000",
                "--unshare-pid", "--unshare-ipc", "--die-with-parent",
                "--dev-bind", "/", "/", "--proc", "/proc",
                "--tmpfs", "/tmp", "--perms", "1777", "--dir", "/tmp/.X11-unix",
                "--bind", self.home, "/tmp/home",
                "--ro-bind", HERE, "/tmp/desk",
                "--bind", os.path.join(self.folder, "run"), "/run/user",
                "--ro-bind", passwd, "/etc/passwd",
                "--ro-bind", hosts, "/etc/hosts",
                "--ro-bind", resolv, "/etc/resolv.conf",
                "--ro-bind", self.ca, TRUSTED,
                "--clearenv",
                "--setenv", "PATH", "/usr/bin:/bin",
                "--setenv", "HOME", "/tmp/home",
                "--setenv", "USER", "someone",
                "--setenv", "XDG_RUNTIME_DIR", "/run/user",
                "--setenv", "LC_ALL", "C.UTF-8",
                "--setenv", "GTK_A11Y", "atspi",
                "--setenv", "GSETTINGS_BACKEND", "memory",
                "--setenv", "LIBGL_ALWAYS_SOFTWARE", "1",
                "--setenv", "GSK_RENDERER", "cairo",
                "--chdir", "/tmp/home",
                "/usr/bin/python3", "/tmp/desk/inside.py", "/tmp/home/person",
                str(next(displays)),
            ], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        await self.until(lambda: os.path.exists(self.home + "/person"),
                         "a desktop")
        return self

    # Patience

    async def until(self, holds, what):
        """The first true value of holds(), which may be a coroutine's."""
        last = None
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while loop.time() < end:
            try:
                value = holds()
                if asyncio.iscoroutine(value):
                    value = await value
                if value:
                    return value
                last = None
            except (DeskError, OSError, sqlite3.OperationalError) as error:
                last = error
            await asyncio.sleep(0.25)
        raise DeskError(f"{self.name} waited in vain for {what}: {last}")

    # The person

    async def person(self, call, *args):
        return await ask(self.home + "/person", {"call": call, "args": args})

    async def does(self, call, *args):
        """As soon as it can be done."""
        await self.until(lambda: self.tried(call, *args),
                         f"{call} {args}")

    async def tried(self, call, *args):
        await self.person(call, *args)
        return True

    async def sees(self, window, text):
        await self.until(lambda: self.person("shows", window, text),
                         f"{text!r} in {window!r}")

    # What it keeps

    def rows(self, path, query, *args):
        """From a database below its home, which it may be writing."""
        base = sqlite3.connect(
            f"file:{os.path.join(self.home, path)}?mode=ro", uri=True)
        try:
            return base.execute(query, args).fetchall()
        finally:
            base.close()

    def write_bytes(self, name, data):
        with open(os.path.join(self.home, name), "wb") as out:
            out.write(data)

    def file_with(self, data):
        """The file below its home that is just that."""
        for folder, _, names in os.walk(self.home):
            for path in (os.path.join(folder, n) for n in names):
                if (os.path.isfile(path) and folder != self.home
                        and os.path.getsize(path) == len(data)):
                    with open(path, "rb") as file:
                        if file.read() == data:
                            return path
        return None

    async def keep(self, folder):
        """What may tell why a test failed."""
        os.makedirs(folder, exist_ok=True)
        try:
            await self.person("shot", "/tmp/home/screen.png")
            tree = await self.person("tree")
            self.write_file("home/tree.txt", tree)
        except (DeskError, OSError, asyncio.TimeoutError) as error:
            self.write_file("home/tree.txt", str(error))
        for name in ("screen.png", "tree.txt", "stanzas", "gajim.log",
                     "dino.log"):
            path = os.path.join(self.home, name)
            if os.path.exists(path):
                shutil.copy(path, os.path.join(folder,
                                               f"{self.name}-{name}"))

    async def close(self):
        if self.process is not None:
            # All in it go with the first process of its sandbox.
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Dino(Desk):
    """Used as a person does, by its windows; its database tells the rest."""

    MAIN = "DinoUiMainWindow"

    async def begin(self):
        await self.open()
        await self.person("start", "dino", "dino-im", "--print-xmpp=all")
        await self.until(lambda: self.person("window_is_there", self.MAIN),
                         "Dino's window")
        return self

    def refused(self):
        """The errors that came, with what was asked, as they were logged."""
        with open(self.home + "/dino.log", encoding="utf-8") as file:
            parts = re.split(r"^XMPP (IN|OUT) .*$", file.read(), flags=re.M)
        return [text for way, text in zip(parts[1::2], parts[2::2])
                if way == "IN" and ":type='error'" in text]

    async def log_in(self, jid, password):
        window = "Add Account"
        await self.does("press", self.MAIN, "Set up account")
        await self.does("write", window, jid)
        await self.does("press", window, "Next")
        await self.sees(window, "Password")
        await self.does("write", window, password)
        await self.does("press", window, "Connect")
        await self.finishes()

    async def finishes(self):
        await self.sees("Add Account", "All set up!")
        await self.does("press", "Add Account", "Finish")

    async def opens_sign_up(self, host):
        """The form in which the server asks for what it wants."""
        window = "Add Account"
        await self.does("press", self.MAIN, "Set up account")
        await self.does("press", window, "Create account")
        await self.sees(window, "Choose a public server")
        await self.does("write", window, host)
        await self.does("press", window, "Next")
        await self.sees(window, "Invitation code")

    async def signs_up(self, name, password, code):
        window = "Add Account"
        for nth, text in enumerate((name, password, code)):
            await self.does("write", window, text, nth)
        await self.does("press", window, "Register")

    def data(self, query, *args):
        return self.rows(".local/share/dino/dino.db", query, *args)

    def messages(self):
        """(text, by whom or to whom, whether by OMEMO)"""
        return [(body, direction, encryption == 2) for
                body, direction, encryption in self.data(
                    "select body, direction, encryption from message")]

    async def opens(self, uri, title):
        """As if a link had been clicked."""
        await self.person("start", "link", "dino-im", uri)
        await self.sees(self.MAIN, title)

    async def types(self, text):
        """In the conversation that was opened: its field has the keyboard
        then, and not before."""
        await self.until(lambda: self.person("is_at", self.MAIN), "a chat")
        await self.does("write", self.MAIN, text)
        await self.person("keys", "Return")
        await self.until(lambda: self.said(text), f"{text!r} to be sent")

    async def said(self, text):
        return (text not in await self.person("fields", self.MAIN) and
                any(m[:2] == (text, SENT) for m in self.messages()))

    async def encrypts(self):
        """The lock is the second button behind the text (each counts twice);
        its menu keeps the keyboard until a chat is opened."""
        await self.does("press_by", self.MAIN, 4)
        await self.does("press", self.MAIN, "OMEMO")
        await self.person("keys", "Escape")

    async def joins(self, room, title):
        """By a link, with her own nickname."""
        await self.person("start", "link", "dino-im", f"xmpp:{room}?join")
        await self.does("press", "Join Channel", "Join")
        await self.sees(self.MAIN, title)

    async def sends_file(self, name, data):
        """To the chat that is open, from the dialog that the paper clip
        before the text opens; its name begins with a slash."""
        self.write_bytes(name, data)
        await self.does("press_by", self.MAIN, -1)
        await self.until(lambda: self.person("has_keyboard", "Select file"),
                         "a dialog")
        # What completes the name is slow, but keys stay in their order.
        await self.person("keys", "slash")
        await self.person("spell", f"tmp/home/{name}")
        await self.person("keys", "Return")
        await self.does("press", self.MAIN, "Send")

    async def has(self, text, omemo=False):
        await self.until(
            lambda: (text, RECEIVED, omemo) in self.messages(),
            f"{text!r}")


class Gajim(Desk):
    """Used through a plugin, by what its windows are made of."""

    async def begin(self):
        config = os.path.join(self.home, ".config/gajim")
        plugins = os.path.join(self.home, ".local/share/gajim/plugins")
        os.makedirs(config)
        os.makedirs(plugins)
        shutil.copytree(os.path.join(HERE, "hand"),
                        os.path.join(plugins, "hand"))
        settings = {
            "app": {"use_keyring": False, "is_window_visible": True},
            "soundevents": {}, "status_presets": {}, "proxies": {},
            "plugins": {"hand": {"active": True}, "omemo": {"active": True}},
            "workspaces": {"one": {}},
        }
        base = sqlite3.connect(os.path.join(config, "settings.sqlite"))
        base.executescript(
            "create table settings (name text unique, settings text);"
            "create table account_settings (account text unique,"
            " settings text);"
            "pragma user_version=5;")
        base.executemany("insert into settings values (?, ?)",
                         [(k, json.dumps(v)) for k, v in settings.items()])
        base.commit()
        base.close()
        await self.open()
        await self.person("start", "gajim", "gajim", "-v", "-s")
        await self.until(lambda: os.path.exists(self.home + "/hand"),
                         "Gajim's plugin")
        return self

    def refused(self):
        """The errors that came, with what was asked."""
        with open(self.home + "/stanzas", encoding="utf-8") as file:
            lines = file.read().split("\n")
        return [text for way, text in zip(lines, lines[1:])
                if way.startswith("IN ") and 'type="error"' in text]

    async def run(self, code):
        return await ask(self.home + "/hand", code)

    async def log_in(self, jid, password):
        window = "Add Account"
        await self.does("write", window, jid)
        await self.does("write", window, password, 1)
        await self.does("press", window, "Log In")
        await self.finishes()

    async def finishes(self):
        await self.does("press", "Account Added", "Connect")

    async def opens_sign_up(self, host):
        window = "Create New Account"
        await self.does("press", "Add Account", "Sign Up")
        await self.does("write", window, host)
        await self.does("press", window, "Sign Up")
        await self.sees("Create Account", "Invitation code")

    async def signs_up(self, name, password, code):
        """What is seen first is told last."""
        window = "Create Account"
        for nth, text in enumerate((code, password, name)):
            await self.does("write", window, text, nth)
        await self.does("press", window, "Sign Up")

    async def opens(self, jid, kind="contact"):
        """The chat with somebody, or a "groupchat"."""
        await self.run(f"""
from gi.repository import GLib
from nbxmpp.protocol import JID
from gajim.common import app
account = app.settings.get_active_accounts()[0]
client = app.get_client(account)
app.window.add_chat(account, JID.from_string({jid!r}), {kind!r}, select=True)
stack = app.window._chat_page.get_chat_stack()
""")

    async def types(self, text):
        await self.run(f"""
stack._message_action_box.msg_textview.insert_text({text!r})
stack._on_send_message()
""")
        await self.until(lambda: any(m[0] == text for m in self.messages()),
                         f"{text!r} to be sent")

    async def encrypts(self, by="OMEMO"):
        await self.run(f"""
app.window.get_action("set-encryption").change_state(
    GLib.Variant("s", {by!r}))
""")

    def messages(self):
        """(text, whether by OMEMO)"""
        return [(text, '"OMEMO"' in (more or "")) for text, more in
                self.rows(".local/share/gajim/logs.db",
                          "select message, additional_data from logs")]

    async def has(self, text, omemo=False):
        await self.until(lambda: (text, omemo) in self.messages(),
                         f"{text!r}")

    async def makes_room(self, room, name):
        """As its dialog for a private group does."""
        await self.run(f"""
account = app.settings.get_active_accounts()[0]
app.get_client(account).get_module("MUC").create({room!r}, {{
    "muc#roomconfig_roomname": {name!r},
    "muc#roomconfig_roomdesc": "",
    "muc#roomconfig_publicroom": False,
    "muc#roomconfig_membersonly": True,
    "muc#roomconfig_whois": "anyone",
    "muc#roomconfig_changesubject": True,
    "public_list": False}})
""")
        await self.until(lambda: self.is_in(room), room)

    async def is_in(self, room):
        return await self.run(f"""
account = app.settings.get_active_accounts()[0]
result = app.get_client(account).get_module("Contacts").get_contact(
    {room!r}, groupchat=True).is_joined
""")

    async def invites(self, room, jid):
        await self.run(f"""
account = app.settings.get_active_accounts()[0]
app.get_client(account).get_module("MUC").invite({room!r}, {jid!r}, "Come!")
""")

    async def sets_avatar(self, data):
        """The hash that it publishes."""
        self.write_bytes("given", data)
        return await self.run("""
from nbxmpp.modules.user_avatar import Avatar
data = open("/tmp/home/given", "rb").read()
sha = app.app.avatar_storage.save_avatar(data)
avatar = Avatar()
avatar.add_image_source(data, "image/png", 64, 64)
account = app.settings.get_active_accounts()[0]
app.get_client(account).get_module("UserAvatar").set_avatar(
    avatar, public=True)
result = sha
""")

    async def sends_file(self, name, data):
        """To the chat that is open."""
        self.write_bytes(name, data)
        await self.run(f"""
from pathlib import Path
client.get_module("HTTPUpload").send_file(
    app.window.get_control().contact, Path("/tmp/home/{name}"))
""")
