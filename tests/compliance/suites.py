# SPDX-License-Identifier: MIT
"""The rows of XEP-0479 (2023) for an advanced server: suites Core, Web, IM and
Mobile. Each is used, not only looked for."""

import asyncio
import base64
import hashlib
import re
import ssl

import test_websocket

from caas import slot
from harness.component import Component
from harness.xml import parse_one
from world import (Bad, Client, Failure, HOST, INFO, PUBSUB, check,
                   disco_features, publish, row)

PUSH_NODE = "device1"


def is_message(text):
    return lambda e: e.name == "message" and e.find("body") is not None \
        and e.find("body").text == text


def chat(to, text, more=""):
    return (f"<message type='chat' to='{to}'><body>{text}</body>{more}"
            "</message>")


async def fails(doing, condition):
    try:
        await doing
    except Failure as failure:
        check(failure.condition == condition, str(failure.elem))
        return
    raise Bad(f"no {condition}")


# Core ------------------------------------------------------------------------

@row("Core", "Core features (RFC 6120)")
async def core(w):
    one, other = await w.user(), await w.user()
    check(one.header.get("version") == "1.0" and one.header.get("id"),
          str(one.header))
    one.send(chat(other.jid, "hello"))
    got = await other.take(is_message("hello"))
    check(got.get("from") == one.jid, str(got))
    await fails(one.ask("<query xmlns='urn:unknown'/>", to=HOST),
                "service-unavailable")
    await one.leave()


@row("Core", "TLS (RFC 7590)")
async def tls(w):
    client = Client("nobody", "secret", HOST)
    w.clients.append(client)
    await client.connect(w.server.port["c2s"])
    features = await client.open()
    offer = features.find("starttls")
    check(offer is not None and offer.find("required") is not None,
          "STARTTLS is not required")
    check(not client.mechanisms(), "login without TLS is offered")
    await client.starttls(w.context())
    link = client.wire.ssl_object
    check(link.version() == "TLSv1.3", link.version())
    old = w.context(newest=ssl.TLSVersion.TLSv1_1,
                    oldest=ssl.TLSVersion.TLSv1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    late = Client("nobody", "secret", HOST)
    try:
        await late.connect(w.server.port["tls"], tls=old)
    except (ssl.SSLError, ConnectionError):
        return
    raise Bad("TLS 1.1 is taken")


@row("Core", "Direct TLS (XEP-0368)")
async def direct_tls(w):
    await w.server.register("direct", HOST)
    client = Client("direct", "secret", HOST)
    w.clients.append(client)
    await client.login(w.server.port["tls"],
                       tls=w.context(alpn=["xmpp-client"]),
                       mechanism="SCRAM-SHA-256-PLUS")
    check(client.wire.ssl_object.selected_alpn_protocol() == "xmpp-client",
          "no ALPN")


@row("Core", "Feature discovery (XEP-0030)")
async def discovery(w):
    client = await w.user()
    for jid in (HOST, client.bare):
        await w.has(client, jid, INFO)
    items = await client.ask(
        "<query xmlns='http://jabber.org/protocol/disco#items'/>", to=HOST)
    for item in items.find("query").elems():
        await w.has(client, item.get("jid"), INFO)


def caps_ver(query):
    """XEP-0115, 5.1."""
    text = "".join(sorted(
        "/".join(e.get(k, "") for k in ("category", "type",
                                        "http://www.w3.org/XML/1998/namespace "
                                        "lang", "name")) + "<"
        for e in query.elems() if e.name == "identity"))
    text += "".join(sorted(f + "<" for f in disco_features(query)))
    forms = []
    for form in query.elems():
        if form.ns != "jabber:x:data":
            continue
        fields = {f.get("var"): sorted(v.text for v in f.elems())
                  for f in form.elems()}
        forms.append("".join([fields.pop("FORM_TYPE")[0] + "<"] + [
            var + "<" + "".join(v + "<" for v in fields[var])
            for var in sorted(fields)]))
    text += "".join(sorted(forms))
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


@row("Core", "Feature broadcasts (XEP-0115)")
async def caps(w):
    client = await w.user()
    c = client.features.find("c", "http://jabber.org/protocol/caps")
    check(c is not None, "not among the features of the stream")
    query = await w.info(client, HOST, f"{c.get('node')}#{c.get('ver')}")
    check(caps_ver(query) == c.get("ver"), "the hash is of something else")


@row("Core", "Server extensibility (XEP-0114)", needs="component")
async def component(w):
    echo = Component("echo.localhost", "secret")
    w.clients.append(echo)
    await echo.login(w.server.port["component"])
    client = await w.user()
    client.send(chat("you@echo.localhost", "hello"))
    got = await echo.wire.next()
    check(got[0] == "elem" and "hello" in str(got[1]), str(got))
    echo.send(f"<message from='you@echo.localhost' to='{client.jid}'>"
              "<body>holla</body></message>")
    await client.take(is_message("holla"))


async def event(client, node):
    def fits(elem):
        found = elem.find("event", f"{PUBSUB}#event")
        items = found is not None and found.find("items")
        return bool(items) and items.get("node") == node
    return await client.take(fits)


def answers(client, query):
    """From now on it tells whoever asks what it can do."""
    def on_elem(elem):
        if elem.name == "iq" and elem.find("query", INFO) is not None:
            client.send(f"<iq type='result' id='{elem.get('id')}' "
                        f"to='{elem.get('from')}'>{query}</iq>")
            return True
        return client.on_elem(elem)
    client.wire.on_elem = on_elem


@row("Core", "Event publishing (XEP-0163)")
async def pep(w):
    one, other = await w.friends()
    node = "http://jabber.org/protocol/tune"
    query = (f"<query xmlns='{INFO}'><identity category='client' type='pc'/>"
             f"<feature var='{INFO}'/><feature var='{node}+notify'/></query>")
    ver = caps_ver(parse_one(query))
    answers(other, query)
    other.send("<presence><c xmlns='http://jabber.org/protocol/caps' "
               f"hash='sha-1' node='urn:test' ver='{ver}'/></presence>")
    await other.ping(one.bare)
    await one.ask(publish(node, "current", f"<tune xmlns='{node}'/>"), "set")
    await event(other, node)


# Web -------------------------------------------------------------------------

def websocket_talk(server, name):
    client = test_websocket.Socket(server, port="https",
                                   authority=server.authority).login(name)
    client.send(f"<iq xmlns='jabber:client' type='get' id='p' to='{HOST}'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>")
    client.until("type='result'")
    client.link.close()


@row("Web", "Connection mechanisms (RFC 7395)")
async def websocket(w):
    await w.server.register("webber", HOST)
    await asyncio.to_thread(websocket_talk, w.server, "webber")


class Bosh:
    """A session over HTTPS."""

    def __init__(self, w):
        self.w, self.rid, self.sid = w, 1000, ""

    def post(self, inside="", attrs=""):
        self.rid += 1
        status, _, body = self.w.http(
            "POST", "/http-bind",
            "<body xmlns='http://jabber.org/protocol/httpbind' "
            "xmlns:xmpp='urn:xmpp:xbosh' "
            f"rid='{self.rid}' {self.sid} {attrs}>{inside}</body>")
        check(status == 200, f"{status}")
        return body.decode()


def bosh_talk(w, name):
    session = Bosh(w)
    first = session.post(attrs=f"to='{HOST}' hold='1' wait='5' ver='1.11' "
                         "xmpp:version='1.0'")
    found = re.search(" sid='[^']*'", first)
    check(found, first)
    session.sid = found[0]
    auth = base64.b64encode(f"\0{name}\0secret".encode()).decode()
    answer = session.post("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                          f"mechanism='PLAIN'>{auth}</auth>")
    check("<success" in answer, answer)
    session.post(attrs=f"to='{HOST}' xmpp:restart='true'")
    answer = session.post(
        "<iq xmlns='jabber:client' type='set' id='b'><bind "
        "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    check("<jid>" in answer, answer)
    session.post(attrs="type='terminate'")


@row("Web", "Connection mechanisms (XEP-0124, XEP-0206)")
async def bosh(w):
    await w.server.register("bosher", HOST)
    await asyncio.to_thread(bosh_talk, w, "bosher")


# IM --------------------------------------------------------------------------

@row("IM", "Core features (RFC 6121)")
async def messaging(w):
    one, other = await w.friends()
    roster = await one.ask("<query xmlns='jabber:iq:roster'/>")
    check(f"jid='{other.bare}'" in str(roster)
          and "subscription='both'" in str(roster), str(roster))
    one.send(chat(other.bare, "hello"))
    await other.take(is_message("hello"))
    other.close()
    await one.take(lambda e: e.get("type") == "unavailable")
    one.send(chat(other.bare, "later"))
    await one.ping()
    back = await w.again(other.user)
    back.send("<presence/>")
    await back.take(is_message("later"))


@row("IM", "User avatar compatibility (XEP-0398, XEP-0153)")
async def avatars(w):
    one, other = await w.friends()
    data = b"not much of an image"
    ident = hashlib.sha1(data).hexdigest()
    await one.ask(publish(
        "urn:xmpp:avatar:data", ident, "<data xmlns='urn:xmpp:avatar:data'>"
        f"{base64.b64encode(data).decode()}</data>"), "set")
    await one.ask(publish(
        "urn:xmpp:avatar:metadata", ident,
        "<metadata xmlns='urn:xmpp:avatar:metadata'><info type='image/png' "
        f"bytes='{len(data)}' id='{ident}'/></metadata>"), "set")

    async def is_photo():
        try:
            card = await other.ask("<vCard xmlns='vcard-temp'/>", to=one.bare)
        except Failure:
            return False
        return base64.b64encode(data).decode() in str(card)
    await w.server.wait_until(is_photo, "the photo in the vCard")
    # What clients without PEP see of it.
    one.send("<presence><x xmlns='vcard-temp:x:update'/></presence>")
    await other.take(lambda e: e.name == "presence"
                     and f"<photo>{ident}</photo>" in str(e))


@row("IM", "vcard-temp (XEP-0054)")
async def vcard(w):
    one, other = await w.user(), await w.user()
    await one.ask("<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>", "set")
    card = await other.ask("<vCard xmlns='vcard-temp'/>", to=one.bare)
    check("<FN>Juliet</FN>" in str(card), str(card))


@row("IM", "Outbound message synchronization (XEP-0280)")
async def carbons(w):
    one, other = await w.friends()
    second = await w.again(one.user)
    second.send("<presence/>")
    await second.ask("<enable xmlns='urn:xmpp:carbons:2'/>", "set")
    one.send(chat(other.jid, "hello"))
    got = await second.take(lambda e: e.find("sent", "urn:xmpp:carbons:2"))
    check(got.get("from") == one.bare and "hello" in str(got), str(got))
    other.send(chat(one.jid, "holla"))
    await second.take(lambda e: e.find("received", "urn:xmpp:carbons:2"))


@row("IM", "User blocking (XEP-0191)")
async def blocking(w):
    one, other = await w.friends()
    await one.ask("<block xmlns='urn:xmpp:blocking'>"
                  f"<item jid='{other.bare}'/></block>", "set")
    await other.take(lambda e: e.get("type") == "unavailable")
    other.send(chat(one.bare, "hello"))
    await other.take(lambda e: e.name == "message"
                     and e.get("type") == "error")
    await one.ask("<unblock xmlns='urn:xmpp:blocking'/>", "set")
    other.send(chat(one.bare, "again"))
    await one.take(is_message("again"))


@row("IM", "Group chat (XEP-0045)")
async def groups(w):
    one, other = await w.user(), await w.user()
    room = await w.room(one)
    await w.join(other, room, "other")
    other.send(f"<message type='groupchat' to='{room}'><body>all</body>"
               "</message>")
    for client in (one, other):
        got = await client.take(is_message("all"))
        check(got.get("from") == f"{room}/other", str(got))


@row("IM", "Group chat (XEP-0249)")
async def invitations(w):
    one, other = await w.user(), await w.user()
    other.send("<presence/>")
    await other.ping()
    room = await w.room(one)
    one.send(f"<message to='{other.bare}'><x xmlns='jabber:x:conference' "
             f"jid='{room}'/></message>")
    await other.take(lambda e: e.find("x", "jabber:x:conference"))


@row("IM", "Advanced group chat (XEP-0048, XEP-0402)")
async def bookmarks(w):
    client = await w.user()
    await w.has(client, client.bare, "urn:xmpp:bookmarks:1#compat")
    await client.ask(publish(
        "urn:xmpp:bookmarks:1", "garden@rooms.example",
        "<conference xmlns='urn:xmpp:bookmarks:1' name='Garden' "
        "autojoin='true'/>", {
            "pubsub#persist_items": "true", "pubsub#max_items": "max",
            "pubsub#send_last_published_item": "never",
            "pubsub#access_model": "whitelist"}), "set")

    async def is_there():
        old = await client.ask("<query xmlns='jabber:iq:private'>"
                               "<storage xmlns='storage:bookmarks'/></query>")
        return "garden@rooms.example" in str(old)
    await w.server.wait_until(is_there, "the bookmark in private storage")


@row("IM", "Advanced group chat (XEP-0313)")
async def room_archive(w):
    client = await w.user()
    room = await w.room(client)
    client.send(f"<message type='groupchat' to='{room}'><body>kept</body>"
                "</message>")
    await client.take(is_message("kept"))
    await client.ask("<query xmlns='urn:xmpp:mam:2' queryid='q'/>", "set", room)
    await client.take(lambda e: e.find("result", "urn:xmpp:mam:2")
                      and "kept" in str(e))


@row("IM", "Advanced group chat (XEP-0410)")
async def self_ping(w):
    client, other = await w.user(), await w.user()
    room = await w.room(client)
    await client.ping(f"{room}/test")
    await fails(other.ping(f"{room}/test"), "not-acceptable")


@row("IM", "Persistent storage of private data (XEP-0223)")
async def private_pubsub(w):
    one, other = await w.friends()
    await one.ask(publish("urn:test:secret", "current",
                          "<x xmlns='urn:test:secret'/>", {
                              "pubsub#persist_items": "true",
                              "pubsub#access_model": "whitelist"}), "set")
    items = f"<pubsub xmlns='{PUBSUB}'><items node='urn:test:secret'/></pubsub>"
    check("urn:test:secret'/></item>" in str(await one.ask(items)),
          "it is not kept")
    await fails(other.ask(items, to=one.bare), "not-allowed")


@row("IM", "Private XML storage (XEP-0049)")
async def private_xml(w):
    client = await w.user()
    await client.ask("<query xmlns='jabber:iq:private'><x xmlns='urn:test'>"
                     "mine</x></query>", "set")
    await client.leave()
    client = await w.again(client.user)
    got = await client.ask("<query xmlns='jabber:iq:private'>"
                           "<x xmlns='urn:test'/></query>")
    check(">mine</x>" in str(got), str(got))


async def resume(w):
    one, other = await w.user(), await w.user()
    one.send("<presence/>")
    await one.enable_sm()
    check(one.sm_id, "it cannot be resumed")
    one.cut()
    other.send(chat(one.jid, "meanwhile"))
    await other.ping()
    back = Client(one.user, "secret", HOST)
    w.clients.append(back)
    await back.connect(w.server.port["c2s"])
    await back.open()
    await back.starttls(w.context())
    await back.auth("SCRAM-SHA-256-PLUS")
    await back.resume(one)
    await back.take(is_message("meanwhile"))
    back.send(chat(other.jid, "back"))
    await back.wait_ack()
    await other.take(is_message("back"))


row("IM", "Stream management (XEP-0198)")(resume)
row("Mobile", "Stream management (XEP-0198)")(resume)


@row("IM", "History storage and retrieval (XEP-0313)")
async def archive(w):
    one, other = await w.friends()
    one.send(chat(other.bare, "kept"))
    await other.take(is_message("kept"))
    for client in (one, other):
        await client.ask("<query xmlns='urn:xmpp:mam:2'/>", "set")
        await client.take(lambda e: e.find("result", "urn:xmpp:mam:2")
                          and "kept" in str(e))


@row("IM", "File upload (XEP-0363)")
async def upload(w):
    put, get = await slot(w, await w.user(), 5)
    status, _, _ = await asyncio.to_thread(
        w.http, "PUT", put, b"hello", {"Content-Type": "image/png"})
    check(status == 201, f"PUT: {status}")
    status, _, body = await asyncio.to_thread(w.http, "GET", get)
    check((status, body) == (200, b"hello"), f"GET: {status}")


# Mobile ----------------------------------------------------------------------

@row("Mobile", "Client state indication (XEP-0352)")
async def client_state(w):
    one, other = await w.friends()
    other.wire.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    await other.ping()
    # The second takes the place of the first, which waits.
    for status in ("busy", "idle"):
        one.send(f"<presence><status>{status}</status></presence>")
    await one.ping(other.bare)
    other.wire.send("<active xmlns='urn:xmpp:csi:0'/>")
    got = await other.take(lambda e: e.find("status") is not None)
    check(got.find("status").text == "idle",
          "presence went to a sleeping client")


@row("Mobile", "Third party push notifications (XEP-0357)")
async def push(w):
    one, other, service = await w.user(), await w.user(), await w.user()
    await one.ask("<enable xmlns='urn:xmpp:push:0' "
                  f"jid='{service.jid}' node='{PUSH_NODE}'/>", "set")
    await one.leave()
    other.send(chat(one.bare, "wake up"))
    got = await service.take(lambda e: e.name == "iq"
                             and "urn:xmpp:push:0" in str(e))
    check(f"node='{PUSH_NODE}'" in str(got), str(got))
    service.send(f"<iq type='result' id='{got.get('id')}' "
                 f"to='{got.get('from')}'/>")
