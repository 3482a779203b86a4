# SPDX-License-Identifier: MIT
"""A plugin for Gajim through which a test uses it: takes Python on a socket in
the home folder, one piece on each connection, runs it on Gajim's own loop, and
answers with what it left in `result`, as JSON. Also keeps what goes over the
stream, in ~/stanzas."""

import json
import os
import traceback

from gi.repository import Gio, GLib

from gajim.common import app, ged
from gajim.plugins import GajimPlugin


class Hand(GajimPlugin):
    def init(self):
        self.description = "Lets a test use Gajim from within."
        self.config_dialog = None
        self.events_handlers = {
            "stanza-sent": (ged.PRECORE, self.on_sent),
            "stanza-received": (ged.PRECORE, self.on_received),
        }
        self.names = {"app": app}
        self.record = open(  # pylint: disable=consider-using-with
            os.path.expanduser("~/stanzas"), "a", encoding="utf-8")
        self.service = None

    def activate(self):
        self.service = Gio.SocketService()
        self.service.add_address(
            Gio.UnixSocketAddress.new(os.path.expanduser("~/hand")),
            Gio.SocketType.STREAM, Gio.SocketProtocol.DEFAULT, None)
        self.service.connect("incoming", self.on_incoming)
        self.service.start()

    def on_sent(self, event):
        self.note("OUT", event)

    def on_received(self, event):
        self.note("IN", event)

    def note(self, way, event):
        self.record.write(f"{way} {event.account}\n{event.stanza}\n")
        self.record.flush()

    def on_incoming(self, _service, link, _source):
        reader = Gio.DataInputStream.new(link.get_input_stream())
        reader.read_line_async(GLib.PRIORITY_DEFAULT, None, self.on_line,
                               link)
        return True

    def on_line(self, reader, result, link):
        line, _ = reader.read_line_finish_utf8(result)
        if line is None:
            return
        try:
            self.names["result"] = None
            exec(json.loads(line), self.names)  # pylint: disable=exec-used
            answer = {"value": self.names["result"]}
            text = json.dumps(answer, default=str)
        except Exception:  # pylint: disable=broad-except
            text = json.dumps({"error": traceback.format_exc()})
        link.get_output_stream().write_all((text + "\n").encode(), None)
        link.close(None)
