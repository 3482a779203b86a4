# SPDX-License-Identifier: MIT
"""What two people do with Gajim and Dino, from the first login to a picture:
seen in the other's client, and where the server keeps it."""

import hashlib
import itertools
import re
import struct
import zlib

import pytest

from conftest import HOST

pytestmark = pytest.mark.slow(400)

OMEMO = "eu.siacs.conversations.axolotl"
ROMEO, JULIET = f"romeo@{HOST}", f"juliet@{HOST}"
numbers = itertools.count(1)


def png(width, height):
    """A picture that no other is."""
    def chunk(kind, data):
        return (struct.pack("!I", len(data)) + kind + data +
                struct.pack("!I", zlib.crc32(kind + data)))

    lines = b"".join(b"\0" + bytes((3 * x, 4 * y, 90)[c] % 256
                                   for x in range(width) for c in range(3))
                     for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" +
            chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0,
                                       0)) +
            chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


PICTURE = png(64, 64)


def words(text):
    """That nobody has said before."""
    return f"{text} {next(numbers)}"


async def archive(stage, user):
    """The texts in it."""
    client = await stage.observer(user)
    client.send("<iq type='set' id='all'><query xmlns='urn:xmpp:mam:2'/></iq>")
    await client.take(lambda e: e.get("id") == "all")
    events = list(client.wire.events)
    await client.leave()
    return [str(event[1]) for event in events if event[0] == "elem"]


async def test_both_log_in(stage, couple):
    async def are_there():
        sessions = await stage.command("connected_users")
        return f"{ROMEO}/gajim" in sessions and f"{JULIET}/dino" in sessions

    await couple[0].until(are_there, "both sessions")


async def test_chat(stage, couple):
    romeo, juliet = couple
    one, other = words("But soft"), words("He speaks")
    await romeo.opens(JULIET)
    await romeo.types(one)
    await juliet.has(one)
    await juliet.opens(f"xmpp:{ROMEO}", "romeo")
    await juliet.types(other)
    await romeo.has(other)
    for user in ("romeo", "juliet"):
        kept = await archive(stage, user)
        for text in (one, other):
            assert any(f"<body>{text}</body>" in m for m in kept), kept


async def test_omemo(stage, couple):
    romeo, juliet = couple
    one, other = words("Under a mask"), words("Masked, too")
    observer = await stage.observer("romeo")
    for jid in (ROMEO, JULIET):
        items = await observer.ask(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
            f"<items node='{OMEMO}.devicelist'/></pubsub>", to=jid)
        assert "<device " in str(items), items
    await observer.leave()
    await juliet.opens(f"xmpp:{ROMEO}", "romeo")
    await juliet.encrypts()
    await juliet.opens(f"xmpp:{ROMEO}", "romeo")
    await juliet.types(one)
    await romeo.has(one, omemo=True)
    await romeo.opens(JULIET)
    await romeo.encrypts()
    await romeo.types(other)
    await juliet.has(other, omemo=True)
    kept = "".join(await archive(stage, "romeo"))
    assert one not in kept and other not in kept
    assert kept.count(f"<encrypted xmlns='{OMEMO}'") >= 2, kept


async def test_group(stage, couple):
    """Made by Romeo as Gajim makes a private one; Juliet is invited."""
    romeo, juliet = couple
    room = f"verona@conference.{HOST}"
    one, other = words("Here we are"), words("So we are")
    await romeo.makes_room(room, "Verona")
    await romeo.invites(room, JULIET)
    await juliet.joins(room, "Verona")

    async def are_in():
        occupants = await stage.command(
            "get_room_occupants", "verona", f"conference.{HOST}")
        return ROMEO in occupants and JULIET in occupants

    await romeo.until(are_in, "both in the room")
    await romeo.opens(room, "groupchat")
    await romeo.types(one)
    await juliet.has(one)
    await juliet.types(other)
    await romeo.has(other)


async def test_avatar(stage, couple):
    romeo, juliet = couple
    sha = await romeo.sets_avatar(PICTURE)
    assert sha == hashlib.sha1(PICTURE).hexdigest()
    await juliet.until(lambda: juliet.data(
        "select 1 from contact_avatar where hash = ?", sha), "the avatar")
    await juliet.until(lambda: juliet.file_with(PICTURE), "its picture")
    observer = await stage.observer("juliet")
    items = await observer.ask(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        "<items node='urn:xmpp:avatar:metadata'/></pubsub>", to=ROMEO)
    await observer.leave()
    assert sha in str(items), items


async def test_upload(stage, couple):
    romeo, juliet = couple
    picture = png(96, 64)
    await romeo.opens(JULIET)
    await romeo.encrypts("")
    await romeo.sends_file("balcony.png", picture)
    await juliet.until(lambda: juliet.data(
        "select 1 from file_transfer where file_name = 'balcony.png'"
        " and direction = 0 and state = 0"), "a picture")
    await juliet.until(lambda: juliet.file_with(picture), "its bytes")


async def test_upload_by_dino(stage, couple):
    romeo, juliet = couple
    picture = png(80, 50)
    await juliet.opens(f"xmpp:{ROMEO}", "romeo")
    await juliet.sends_file("orchard.png", picture)
    await romeo.until(lambda: romeo.file_with(picture), "its bytes")


async def test_nothing_else_is_refused(couple):
    """But for nodes that are looked for first, and calls, which want a TURN
    server."""
    for person in couple:
        for error in person.refused():
            assert (re.search("items [^>]*node=", error)
                    and "item-not-found" in error
                    or "urn:xmpp:extdisco:2" in error), error
