# SPDX-License-Identifier: MIT
"""A client with nbxmpp (Gajim's engine), driven over its standard input and
output by lines of JSON: it has GLib's loop, and so a process of its own.

usage: nbxmpp_client.py USER RESOURCE PORT [DOMAIN]
"""

import json
import sys

import gi

gi.require_version("GLib", "2.0")
# pylint: disable=wrong-import-position
from gi.repository import GLib  # noqa: E402
from nbxmpp.client import Client  # noqa: E402
from nbxmpp.const import ConnectionProtocol, ConnectionType, Mode  # noqa: E402
from nbxmpp.modules.user_avatar import Avatar  # noqa: E402
from nbxmpp.namespaces import Namespace  # noqa: E402
from nbxmpp.protocol import JID, Presence  # noqa: E402
from nbxmpp.structs import (BookmarkData, DiscoIdentity,  # noqa: E402
                            StanzaHandler)

FEATURES = [Namespace.DISCO_INFO, Namespace.AVATAR_METADATA + "+notify",
            Namespace.OMEMO_TEMP_DL + "+notify",
            Namespace.BOOKMARKS_1 + "+notify"]


def tell(**what):
    print(json.dumps(what), flush=True)


class Gajim:
    def __init__(self, user, resource, port, domain="localhost"):
        self.loop = GLib.MainLoop()
        client = self.client = Client()
        client.set_domain(domain)
        client.set_username(user)
        client.set_password("secret")
        client.set_resource(resource)
        client.set_mode(Mode.CLIENT)
        client.set_ignore_tls_errors(True)
        client.set_custom_host(f"127.0.0.1:{port}", ConnectionProtocol.TCP,
                               ConnectionType.START_TLS)
        client.get_module("EntityCaps").set_caps(
            [DiscoIdentity(category="client", type="pc", name="Gajim")],
            FEATURES, "https://gajim.org")
        client.subscribe("connected", self.on_login)
        client.subscribe("disconnected", self.on_end)
        client.subscribe("connection-failed", self.on_end)
        client.register_handler(
            StanzaHandler(name="message", callback=self.on_message,
                          priority=60))
        client.connect()
        GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT,
                          GLib.IOCondition.IN | GLib.IOCondition.HUP,
                          self.on_input)

    def on_login(self, *_):
        caps = self.client.get_module("EntityCaps").caps
        presence = Presence()
        presence.setTag("c", namespace=Namespace.CAPS, attrs=caps._asdict())
        self.client.send_stanza(presence)
        tell(event="login")

    def on_end(self, *_):
        tell(event="end")
        self.loop.quit()

    def on_message(self, _client, _stanza, properties):
        """What Gajim makes of a notification."""
        if not properties.is_pubsub_event:
            return
        event = properties.pubsub_event
        tell(event="pubsub", jid=str(properties.jid), node=event.node,
             id=event.id, data=plain(event.data))

    def on_input(self, *_):
        line = sys.stdin.readline()
        if not line:
            self.client.disconnect()
            return False
        what = json.loads(line)
        getattr(self, "do_" + what.pop("do"))(**what)
        return True

    def answer(self, task):
        try:
            tell(event="answer", data=plain(task.finish()))
        except Exception as error:  # pylint: disable=broad-except
            tell(event="answer", error=str(error))

    def ask(self, module, method, *args, **named):
        module = self.client.get_module(module)
        getattr(module, method)(*args, callback=self.answer, **named)

    # What is done, as Gajim does it.

    def do_set_avatar(self, image):
        avatar = Avatar()
        avatar.add_image_source(bytes.fromhex(image), "image/png", 8, 8)
        self.ask("UserAvatar", "set_avatar", avatar, public=True)

    def do_get_avatar(self, jid, id):  # pylint: disable=redefined-builtin
        self.ask("UserAvatar", "request_avatar_data", id,
                 jid=JID.from_string(jid))

    def do_set_devices(self, devices):
        self.ask("OMEMO", "set_devicelist", devices)

    def do_get_devices(self, jid):
        self.ask("OMEMO", "request_devicelist", jid=JID.from_string(jid))

    def do_set_bookmark(self, jid, name):
        self.ask("NativeBookmarks", "store_bookmarks",
                 [BookmarkData(jid=JID.from_string(jid), name=name,
                               autojoin=True, nick="R")])

    def do_get_bookmarks(self):
        self.ask("NativeBookmarks", "request_bookmarks")


def plain(data):
    """Structures of nbxmpp as what JSON has."""
    if isinstance(data, (str, int, float, bool)) or data is None:
        return data
    if isinstance(data, bytes):
        return data.hex()
    if isinstance(data, JID):
        return str(data)
    if hasattr(data, "_asdict"):
        return {k: plain(v) for k, v in data._asdict().items()}
    if hasattr(data, "__dict__"):
        return {k: plain(v) for k, v in vars(data).items()}
    if isinstance(data, dict):
        return {str(k): plain(v) for k, v in data.items()}
    if isinstance(data, (list, tuple, set)):
        return [plain(v) for v in data]
    return str(data)


if __name__ == "__main__":
    Gajim(*sys.argv[1:]).loop.run()
