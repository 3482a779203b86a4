# SPDX-License-Identifier: MIT
"""nbxmpp_client.py in a private group: joins it, reads and writes what is
encrypted by OMEMO, and catches up by the room's archive.

usage: nbxmpp_group.py USER RESOURCE PORT DEVICE
"""

import sys

from nbxmpp.modules.omemo import create_omemo_message
from nbxmpp.namespaces import Namespace
from nbxmpp.protocol import JID, Message, Presence
from nbxmpp.structs import OMEMOMessage, StanzaHandler

from nbxmpp_client import Gajim, tell

PAGE = 3


class Member(Gajim):
    def __init__(self, user, resource, port, device):
        super().__init__(user, resource, port)
        self.device = device
        self.client.register_handler(
            StanzaHandler(name="presence", callback=self.on_presence,
                          priority=60))

    def on_presence(self, _client, _stanza, properties):
        if not properties.from_muc:
            return
        codes = sorted(int(c.value) for c in properties.muc_status_codes or ())
        tell(event="presence", kind=properties.type.value, codes=codes,
             nick=properties.muc_nickname)

    def on_message(self, client, stanza, properties):
        super().on_message(client, stanza, properties)
        if properties.muc_invite is not None:
            tell(event="invite", room=str(properties.muc_invite.muc))
        if properties.omemo is None:
            return
        if properties.mam is not None:
            ident, is_old = properties.mam.id, True
        else:
            ident, is_old = properties.stanza_ids[0].id, False
        text = None
        if self.device in properties.omemo.keys:
            text = properties.omemo.payload.decode()
        tell(event="said", id=ident, text=text, is_old=is_old,
             nick=properties.jid.resource)

    def do_join(self, room, nick):
        presence = Presence(to=f"{room}/{nick}")
        x = presence.setTag(Namespace.MUC + " x")
        x.setTag("history", attrs={"maxstanzas": "0"})
        self.client.send_stanza(presence)
        tell(event="answer", data=None)

    def do_info(self, room):
        self.client.get_module("Discovery").disco_info(
            JID.from_string(room), callback=self.on_info)

    def on_info(self, task):
        tell(event="answer", data=task.finish().features)

    def do_get_affiliation(self, room, affiliation):
        self.ask("MUC", "get_affiliation", JID.from_string(room), affiliation)

    def do_say(self, room, text, keys):
        message = Message(to=room, typ="groupchat",
                          body="This message is encrypted.")
        message.setID(text)
        message.setOriginID(text)
        create_omemo_message(message, OMEMOMessage(
            sid=self.device, iv=b"0" * 12, payload=text.encode(),
            keys={key: (b"key", False) for key in keys}))
        self.client.send_stanza(message)
        tell(event="answer", data=None)

    def do_catch_up(self, room, after):
        self.ask("MAM", "make_query", JID.from_string(room), queryid="q",
                 after=after, max_=PAGE)


if __name__ == "__main__":
    Member(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])).loop.run()
