#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads an archive by Gajim's library, in a process of its own, as that lives
in GLib's loop.

usage: nbxmpp_reader.py PORT USER PAGE [AFTER]

Prints what the pages had and what came live, as JSON."""

import json
import sys

import gi

gi.require_version("Soup", "3.0")
# pylint: disable=wrong-import-position
from gi.repository import Gio, GLib  # noqa: E402
from nbxmpp.client import Client  # noqa: E402
from nbxmpp.const import ConnectionProtocol, ConnectionType, Mode  # noqa: E402
from nbxmpp.protocol import JID, Presence  # noqa: E402
from nbxmpp.structs import StanzaHandler  # noqa: E402

LIMIT = 25


class Reader:
    def __init__(self, port, user, page, after):
        self.page = page
        self.out = {"archive": [], "live": [], "pages": 0, "last": after,
                    "why": None}
        self.loop = GLib.MainLoop()
        self.jid = JID.from_string(f"{user}@localhost")
        self.client = Client(log_context="reader")
        self.client.set_domain("localhost")
        self.client.set_username(user)
        self.client.set_password("secret")
        self.client.set_resource("gajim")
        self.client.set_mode(Mode.CLIENT)
        self.client.set_custom_host(f"127.0.0.1:{port}",
                                    ConnectionProtocol.TCP,
                                    ConnectionType.START_TLS)
        self.client.set_ignored_tls_errors(
            {Gio.TlsCertificateFlags.UNKNOWN_CA})
        self.client.subscribe("connected", self.on_login)
        for name in ("connection-failed", "disconnected"):
            self.client.subscribe(name, self.on_end)
        self.client.register_handler(StanzaHandler(
            name="message", callback=self.on_message, priority=60))

    def run(self):
        GLib.timeout_add_seconds(LIMIT, self.on_end)
        self.client.connect()
        self.loop.run()
        print(json.dumps(self.out))

    def on_end(self, *_args):
        self.loop.quit()

    def on_login(self, *_args):
        self.client.send_stanza(Presence())
        self.ask()

    def ask(self):
        self.client.get_module("MAM").make_query(
            self.jid, queryid="q", after=self.out["last"], max_=self.page,
            callback=self.on_page)

    def on_message(self, _client, _stanza, properties):
        if properties.body is None:
            return
        kind = "archive" if properties.is_mam_message else "live"
        self.out[kind].append(properties.body)

    def on_page(self, task):
        try:
            data = task.finish()
        except Exception as error:  # pylint: disable=broad-except
            self.out["why"] = str(error)
            self.client.disconnect()
            return
        self.out["pages"] += 1
        self.out["last"] = data.rsm.last or self.out["last"]
        if data.complete:
            self.client.disconnect()
        else:
            self.ask()


Reader(sys.argv[1], sys.argv[2], int(sys.argv[3]),
       sys.argv[4] if len(sys.argv) > 4 else None).run()
