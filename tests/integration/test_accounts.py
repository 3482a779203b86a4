# SPDX-License-Identifier: MIT
"""The end of an account: all that it owns is listed, and goes with it."""

import os
import stat
import xml.etree.ElementTree as ET

import pytest

from test_upload import Client, ask, files
from test_websocket import LISTEN

pytestmark = pytest.mark.workers(1, 2)

ME = "romeo@localhost"
MODULES = {"disco": {}, "websocket": {}, "pep": {}, "private": {}, "vcard": {},
           "offline": {}, "mam": {}, "register": {}, "blocking": {},
           "muc": {"persistent": True, "subscription": True},
           "http_upload": {"url": "http://files.example:1"}}


@pytest.fixture
def server(make_server, event_loop, workers):
    made = make_server({"listen": LISTEN, "workers": workers,
                        "modules": MODULES})
    event_loop.run_until_complete(made.start())
    for name in ("romeo", "juliet"):
        command(made, "register", name, "localhost", "secret")
    return made


def command(server, *words):
    status, output, errors = server.ctl(*words)
    assert status == 0, errors
    return output


def contents(server, user="romeo"):
    """{(kind, name): amount}"""
    rows = [line.split("\t") for line in command(
        server, "account_contents", user, "localhost").splitlines()]
    return {(kind, name): int(amount) for kind, name, amount in rows}


def affiliation(server, room, user):
    return command(server, "get_room_affiliation", room,
                   "conference.localhost", f"{user}@localhost").strip()


def set_affiliation(server, room, user, what):
    command(server, "set_room_affiliation", room, "conference.localhost",
            user, "localhost", what)


def room_names(server):
    return set(command(server, "muc_online_rooms", "global").split())


def furnish(server):
    """Gives Romeo something of everything; the path of his file."""
    romeo = Client(server).login("romeo")
    put, get = romeo.urls("a.txt", 5)
    assert ask(server, "PUT", put, b"hello")[0] == 201
    for room in ("alone", "shared", "barred", "followed"):
        command(server, "create_room_with_opts", room, "conference.localhost",
                "localhost", "persistent:true,allow_subscription:true")
    set_affiliation(server, "alone", "romeo", "owner")
    for who in ("romeo", "juliet"):
        set_affiliation(server, "shared", who, "owner")
    set_affiliation(server, "barred", "romeo", "outcast")
    command(server, "subscribe_room", "romeo", "localhost", "Romy", "followed",
            "conference.localhost", "urn:xmpp:mucsub:nodes:messages")
    command(server, "muc_register_nick", "Montague", "romeo",
            "localhost", "conference.localhost")
    romeo.ask("<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>", ME, "set")
    romeo.ask("<query xmlns='jabber:iq:private'><notes xmlns='my:notes'>&lt;"
              "&amp;</notes></query>", ME, "set")
    romeo.ask("<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
              "<publish node='http://jabber.org/protocol/tune'>"
              "<item id='current'><tune xmlns='http://jabber.org/protocol/tune'"
              "><title>Nightingale</title></tune></item></publish></pubsub>",
              ME, "set")
    romeo.ask("<query xmlns='jabber:iq:roster'><item jid='juliet@localhost' "
              "name='J &amp; J'><group>Capulets</group></item></query>",
              ME, "set")
    romeo.ask("<block xmlns='urn:xmpp:blocking'><item jid='tybalt@x'/></block>",
              ME, "set")
    return get, romeo


def test_listed_first_then_gone(server):
    get, romeo = furnish(server)
    command(server, "send_message", "chat", "juliet@localhost",
            "romeo@localhost", "", "art thou not Romeo?")
    found = contents(server)
    assert found["room", "alone@conference.localhost"] == 1
    assert found["room-affiliation", "shared@conference.localhost"] == 1
    assert found["room-subscription", "followed@conference.localhost"] == 1
    assert found["room-nick", "Montague"] == 1
    assert not any("barred" in name for _, name in found)
    assert [n for (kind, _), n in found.items() if kind == "upload"] == [5]
    assert found["values", "vcard"] == found["values", "private"] == 1
    assert found["archive", "messages"] == 1
    assert ask(server, "GET", get)[0] == 200
    assert len(files(server)) == 1

    # To list is not to touch.
    assert contents(server) == found

    command(server, "unregister", "romeo", "localhost")
    assert files(server) == [] and ask(server, "GET", get)[0] == 404
    assert room_names(server) == {
        f"{r}@conference.localhost" for r in ("shared", "barred", "followed")}
    assert affiliation(server, "shared", "romeo") == "none"
    assert affiliation(server, "shared", "juliet") == "owner"
    # Who comes back under the same name is banned still.
    assert affiliation(server, "barred", "romeo") == "outcast"
    assert command(server, "get_subscribers", "followed",
                   "conference.localhost").strip() == ""
    assert "No nickname" in server.ctl(
        "muc_get_registered_nick", "romeo", "localhost",
        "conference.localhost")[1]
    assert server.ctl("account_contents", "romeo", "localhost")[0] != 0
    command(server, "register", "romeo", "localhost", "secret")
    assert contents(server) == {}
    del romeo


def test_removed_by_its_user(server):
    get, romeo = furnish(server)
    got = romeo.ask("<query xmlns='jabber:iq:register'><remove/></query>",
                    ME, "set")
    assert "type='result'" in got, got
    assert files(server) == [] and ask(server, "GET", get)[0] == 404
    assert affiliation(server, "shared", "romeo") == "none"
    command(server, "register", "romeo", "localhost", "secret")
    assert contents(server) == {}


PIE = "{urn:xmpp:pie:0}"
PUBSUB = "{http://jabber.org/protocol/pubsub}"


def export(server, name="romeo.xml"):
    path = os.path.join(server.folder, name)
    command(server, "export_account", "romeo", "localhost", path)
    return path


def test_export_is_read_again(server):
    furnish(server)
    want = [f"a <b> & 'c' {i}" for i in range(130)]
    for body in want:
        command(server, "send_message", "chat", "juliet@localhost",
                "romeo@localhost", "", body)
    path = export(server)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    user = ET.parse(path).getroot().find(f"{PIE}host/{PIE}user")
    assert user.get("name") == "romeo"
    keys = user.findall("{urn:xmpp:pie:0#scram}scram-credentials")
    assert "SCRAM-SHA-256" in {k.get("mechanism") for k in keys}
    item = user.find("{jabber:iq:roster}query/{jabber:iq:roster}item")
    assert (item.get("jid"), item.get("name")) == ("juliet@localhost", "J & J")
    assert item.find("{jabber:iq:roster}group").text == "Capulets"
    assert user.find("{vcard-temp}vCard/{vcard-temp}FN").text == "Romeo"
    assert user.find("{jabber:iq:private}query/{my:notes}notes").text == "<&"
    node = "http://jabber.org/protocol/tune"
    owner = "{http://jabber.org/protocol/pubsub#owner}"
    config = user.find(f"{owner}pubsub/{owner}configure")
    assert config.get("node") == node
    items = user.find(f"{PUBSUB}pubsub/{PUBSUB}items")
    assert items.get("node") == node
    assert items.find(f"{PUBSUB}item").get("id") == "current"
    assert items.find(f"{PUBSUB}item/{{{node}}}tune/{{{node}}}title").text \
        == "Nightingale"
    offline = user.findall(f"{PIE}offline-messages/{{jabber:client}}message")
    archived = user.findall(
        "{urn:xmpp:pie:0#mam}archive/{urn:xmpp:mam:2}result/"
        "{urn:xmpp:forward:0}forwarded/{jabber:client}message")
    for found in (offline, archived):
        assert [m.find("{jabber:client}body").text for m in found] == want


def test_export_takes_nothing_over(server):
    path = export(server)
    before = open(path, encoding="utf-8").read()
    status, said, _ = server.ctl("export_account", "romeo", "localhost", path)
    assert status != 0 and "File exists" in said, said
    assert open(path, encoding="utf-8").read() == before
    for user, where in (("nobody", path + "2"), ("romeo", "relative.xml"),
                        ("romeo", "/no/such/folder/x")):
        assert server.ctl("export_account", user, "localhost", where)[0] != 0
    assert not os.path.exists(path + "2")
