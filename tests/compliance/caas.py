# SPDX-License-Identifier: MIT
"""The tests of the Conversations compliance tester: what it asks, and what it
takes for a yes. Its client sends no presence."""

import asyncio
import json
import socket
import ssl
import urllib.parse
from xml.etree import ElementTree

from world import (Bad, Client, HOST, PUBSUB, check, disco_features,
                   disco_identities, form_values, publish, row)

CAAS = "Conversations"
MAM = {f"urn:xmpp:mam:{n}" for n in (0, 1, 2)}


def stream_feature(name, xmlns, title):
    @row(CAAS, title)
    async def has(w):
        client = await w.user()
        check(client.features.find(name, xmlns) is not None,
              f"<{name} xmlns='{xmlns}'/> is not offered")


def domain_feature(feature, title):
    @row(CAAS, title)
    async def has(w):
        await w.has(await w.user(), HOST, feature)


def account_feature(feature, title):
    @row(CAAS, title)
    async def has(w):
        client = await w.user()
        await w.has(client, client.bare, feature)


def service_feature(feature, title):
    @row(CAAS, title)
    async def has(w):
        await w.service(await w.user(), feature)


service_feature("http://jabber.org/protocol/muc", "xep0045")
service_feature("http://jabber.org/protocol/bytestreams", "xep0065")
stream_feature("c", "http://jabber.org/protocol/caps", "xep0115")
domain_feature("msgoffline", "xep0160")
domain_feature("urn:xmpp:blocking", "xep0191")
stream_feature("sm", "urn:xmpp:sm:3", "xep0198")
domain_feature("urn:xmpp:carbons:2", "xep0280")
stream_feature("csi", "urn:xmpp:csi:0", "xep0352")
account_feature("urn:xmpp:push:0", "xep0357")
service_feature("urn:xmpp:http:upload:0", "xep0363")
account_feature("urn:xmpp:pep-vcard-conversion:0", "xep0398")
account_feature("urn:xmpp:bookmarks-conversion:0", "xep0411")
stream_feature("ver", "urn:xmpp:features:rosterver", "roster_versioning")


@row(CAAS, "xep0163")
async def pep(w):
    client = await w.user()
    check(("pubsub", "pep") in disco_identities(
        await w.info(client, client.bare)), "no identity pubsub/pep")


@row(CAAS, "xep0313")
async def mam(w):
    client = await w.user()
    check(MAM & disco_features(await w.info(client, client.bare)),
          "no archive at the account")


@row(CAAS, "xep0313muc")
async def mam_muc(w):
    client = await w.user()
    room = await w.room(client)
    if MAM & disco_features(await w.info(client, room)):
        return
    form = await client.ask(
        "<query xmlns='http://jabber.org/protocol/muc#owner'/>", to=room)
    check(any(name in str(form) for name in (
        "'mam'", "muc#roomconfig_mam", "muc#roomconfig_enablearchiving")),
        "no archive in rooms")


@row(CAAS, "vcard_muc")
async def vcard_muc(w):
    client = await w.user()
    await w.has(client, await w.room(client), "vcard-temp")


def direct_tls(w, port):
    context = ssl.create_default_context(cafile=w.server.authority.pem)
    context.set_alpn_protocols(["xmpp-client"])
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with context.wrap_socket(plain, server_hostname=HOST) as link:
            link.sendall(
                f"<?xml version='1.0'?><stream:stream to='{HOST}' "
                "version='1.0' xmlns='jabber:client' xmlns:stream="
                "'http://etherx.jabber.org/streams'>".encode())
            got = b""
            while len(got) < 21 and (more := link.recv(4096)):
                got += more
            return link.selected_alpn_protocol(), got


@row(CAAS, "xep0368")
async def direct(w):
    rows = w.names.records[f"_xmpps-client._tcp.{HOST}", 33]
    port = int.from_bytes(rows[0][4:6], "big")
    alpn, got = await asyncio.to_thread(direct_tls, w, port)
    check(alpn == "xmpp-client", f"ALPN answered {alpn}")
    check(got.startswith(b"<?xml"), f"began with {got[:21]}")


async def node_access(client, node):
    answer = await client.ask(
        f"<pubsub xmlns='{PUBSUB}#owner'><configure node='{node}'/></pubsub>",
        to=client.bare)
    return form_values(answer.find("pubsub").find("configure"),
                       "pubsub#access_model")


@row(CAAS, "xep0384")
async def omemo(w):
    client = await w.user()
    info = await w.info(client, client.bare)
    check(("pubsub", "pep") in disco_identities(info), "no PEP")
    check(f"{PUBSUB}#publish-options" in disco_features(info),
          "no publish-options")
    node = "eu.siacs.conversations.axolotl.bundles:42"
    await client.ask(publish(
        node, "current", "<bundle xmlns='eu.siacs.conversations.axolotl'/>",
        {"pubsub#access_model": "open"}), "set")
    check(await node_access(client, node) == ["open"], "the node is not open")
    stranger = await w.user()
    got = await stranger.ask(f"<pubsub xmlns='{PUBSUB}'><items node='{node}'/>"
                             "</pubsub>", to=client.bare)
    check("<bundle" in str(got), "a stranger does not get the bundle")
    await client.ask(f"<pubsub xmlns='{PUBSUB}#owner'><delete node='{node}'/>"
                     "</pubsub>", "set")


async def services(w, kinds):
    client = await w.user()
    answer = await client.ask("<services xmlns='urn:xmpp:extdisco:2'/>",
                              to=HOST)
    found = [e for e in answer.find("services").elems()
             if e.get("type") in kinds and e.get("host")
             and 0 < int(e.get("port")) < 65536
             and e.get("transport") in ("tcp", "udp")]
    check(found, f"no service {kinds}")
    return found


@row(CAAS, "stun", needs="turn")
async def stun(w):
    await services(w, ("stun", "stuns"))


@row(CAAS, "turn", needs="turn")
async def turn(w):
    check(any(e.get("username") and e.get("password")
              for e in await services(w, ("turn", "turns"))),
          "no credentials")


# Those that it only tells of -------------------------------------------------

@row(CAAS, "abuse-contact")
async def abuse(w):
    client = await w.user()
    check(form_values(await w.info(client, HOST), "abuse-addresses"),
          "nobody to be told of abuse")


@row(CAAS, "xep0077", needs="registration")
async def registration(w):
    client = Client("new", "secret", HOST)
    w.clients.append(client)
    await client.connect(w.server.port["c2s"])
    await client.open()
    features = await client.starttls(w.context())
    check(features.find("register",
                        "http://jabber.org/features/iq-register") is not None,
          "not offered")
    await client.ask("<query xmlns='jabber:iq:register'><username>new"
                     "</username><password>secret</password></query>", "set")
    await client.auth("SCRAM-SHA-256")
    await client.bind()


def links(w):
    """From both of the two files, which must agree."""
    status, headers, body = w.http("GET", "/.well-known/host-meta")
    check(status == 200, f"host-meta: {status}")
    check(headers["access-control-allow-origin"] == "*", "no CORS")
    found = sorted((e.get("rel"), e.get("href"))
                   for e in ElementTree.fromstring(body)
                   if e.tag.endswith("}Link"))
    status, headers, body = w.http("GET", "/.well-known/host-meta.json")
    check(status == 200, f"host-meta.json: {status}")
    check(headers["access-control-allow-origin"] == "*", "no CORS")
    check(found == sorted((e["rel"], e["href"]) for e in
                          json.loads(body)["links"]), "they differ")
    return found


def follow(w, rel, href):
    url = urllib.parse.urlsplit(href)
    check((url.hostname, url.port) == (HOST, w.server.port["https"]), href)
    if rel == "urn:xmpp:alt-connections:websocket":
        check(url.scheme == "wss", href)
        status, _, _ = w.http("GET", url.path, headers={
            "Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "xmpp"})
        check(status == 101, f"{href}: {status}")
    elif rel == "urn:xmpp:alt-connections:xbosh":
        check(url.scheme == "https", href)
        status, headers, _ = w.http("OPTIONS", url.path,
                                    headers={"Origin": "null"})
        check(status < 300, f"{href}: {status}")
        check(headers["access-control-allow-origin"] == "*", "no CORS")


@row(CAAS, "xep0156")
async def host_meta(w):
    found = await asyncio.to_thread(links, w)
    for kind in ("websocket", "xbosh"):
        check(any(rel == f"urn:xmpp:alt-connections:{kind}"
                  for rel, _ in found), f"no link {kind}")
    for rel, href in found:
        await asyncio.to_thread(follow, w, rel, href)


async def slot(w, client, size=1234):
    service = await w.service(client, "urn:xmpp:http:upload:0")
    answer = await client.ask(
        "<request xmlns='urn:xmpp:http:upload:0' filename='hello.png' "
        f"size='{size}' content-type='image/png'/>", to=service)
    found = answer.find("slot")
    urls = [urllib.parse.urlsplit(found.find(k).get("url"))
            for k in ("put", "get")]
    for url in urls:
        if (url.scheme, url.hostname, url.port) != (
                "https", HOST, w.server.port["https"]):
            raise Bad(url.geturl())
    return [f"{url.path}?{url.query}" for url in urls]


@row(CAAS, "xep0363_cors")
async def upload_cors(w):
    path, _ = await slot(w, await w.user())
    status, headers, _ = await asyncio.to_thread(w.http, "OPTIONS", path, None, {
        "Origin": "https://example.org", "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type"})
    check(status < 300, f"{status}")
    for name in ("origin", "methods", "headers"):
        check(headers[f"access-control-allow-{name}"], f"no allow-{name}")
