# SPDX-License-Identifier: MIT
"""TLS: versions, names, direct and by STARTTLS, channel binding, and new
certificates while running."""

import asyncio
import hashlib
import os
import ssl

import pytest

from harness import sasl
from harness.client import Client, Failure
from harness.wire import PATIENCE, Wire, client_context

pytestmark = pytest.mark.storeless("TLS comes before any store")

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


async def secured(server, user="romeo", register=True, direct=False,
                  host="localhost", **tls):
    """A client with TLS and an open stream, not logged in."""
    if register:
        await server.register(user, host)
    context = client_context(server.authority.pem, **tls)
    client = Client(user, host=host)
    if direct:
        await client.connect(server.port["tls"], tls=context)
        await client.open()
    else:
        await client.connect(server.port["c2s"])
        await client.open()
        await client.starttls(context)
    return client


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("direct", [False, True], ids=["starttls", "direct"])
async def test_versions(server, version, direct):
    """Both versions, with a certificate that is checked, and a chat."""
    romeo = await secured(server, direct=direct, newest=version,
                          oldest=version)
    assert romeo.wire.ssl_object.version() == version.name.replace("_", ".")
    await romeo.auth("SCRAM-SHA-256")
    await romeo.bind("x")
    romeo.send("<message to='romeo@localhost/x' id='1'/>")
    assert (await romeo.elem()).get("id") == "1"


async def test_old_versions(server):
    """TLS 1.1 is not spoken, and the server goes on."""
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        await Wire().connect(server.port["tls"], tls=context)
    await (await secured(server)).auth()


async def test_alpn(server):
    """XEP-0368: ALPN names the protocol; another one is refused."""
    romeo = await secured(server, direct=True, alpn=["xmpp-client"])
    assert romeo.wire.ssl_object.selected_alpn_protocol() == "xmpp-client"
    context = client_context(alpn=["h2", "http/1.1"])
    with pytest.raises((ssl.SSLError, OSError)):
        wire = await Wire().connect(server.port["tls"], tls=context)
        # Some libraries finish before they hear of the alert.
        await wire.gone()
        raise OSError
    await romeo.auth()


async def test_sni(make_server, authority):
    """The certificate is chosen by the name that is asked for."""
    server = make_server(hosts=["localhost", "capulet.example"])
    server.write_config()
    for name in server.hosts:
        authority.issue(os.path.join(server.folder, f"{name}.pem"), name)
    server.overrides["certificates"] = [
        os.path.join(server.folder, "localhost.pem"),
        os.path.join(server.folder, "capulet.example.pem")]
    await server.start()
    for name in server.hosts:
        for direct in (False, True):
            client = await secured(server, user=f"u{int(direct)}", host=name,
                                   direct=direct)
            names = [v for _, v in client.wire.ssl_object.getpeercert()
                     ["subjectAltName"]]
            assert names == [name]
            await client.auth("SCRAM-SHA-1")
    status, listed = await server.api("list_certificates")
    assert status == 200 and listed == [
        {"domain": name, "used": "true",
         "file": os.path.join(server.folder, f"{name}.pem")}
        for name in sorted(server.hosts)]


async def test_wildcard_files(make_server, authority):
    """Certificates are found by patterns, keys in files of their own."""
    server = make_server()
    server.write_config()
    certs = os.path.join(server.folder, "certs")
    os.mkdir(certs)
    both = authority.issue(os.path.join(server.folder, "x"), *server.hosts)
    with open(both, encoding="utf-8") as file:
        cert, key = file.read().split("-----BEGIN PRIVATE KEY-----")
    with open(os.path.join(certs, "a.pem"), "w", encoding="utf-8") as file:
        file.write(cert)
    with open(os.path.join(certs, "a.key"), "w", encoding="utf-8") as file:
        file.write("-----BEGIN PRIVATE KEY-----" + key)
    server.overrides["certificates"] = [os.path.join(certs, "*.pem")]
    await server.start()
    await (await secured(server)).auth()


async def test_self_signed(make_server):
    """Without a certificate there is one for loopback, made on the spot."""
    server = make_server({"certificates": None})
    await server.start()
    client = await server.client("romeo", starttls=True,
                                 context=client_context())
    await client.ping("localhost")


@pytest.mark.parametrize("version, binding", [
    (V13, "tls-exporter"), (V13, "tls-server-end-point"),
    (V12, "tls-server-end-point"), (V12, "tls-unique"),
    (V12, "tls-exporter")])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1-PLUS",
                                       "SCRAM-SHA-256-PLUS",
                                       "SCRAM-SHA-512-PLUS"])
async def test_channel_binding(server, version, binding, mechanism):
    """RFC 5929, RFC 9266: what is offered works, and what does not belong to
    this version of TLS is not offered."""
    romeo = await secured(server, newest=version, oldest=version)
    offered = [e.get("type") for e in romeo.features.find(
        "sasl-channel-binding").elems()]
    assert mechanism in romeo.mechanisms()
    if version == V12 and binding == "tls-exporter":
        # Only with the extended master secret, which every library has now.
        if binding not in offered:
            return
    assert binding in offered
    await romeo.auth(mechanism, binding_name=binding,
                     binding=romeo.binding(binding))


async def test_binding_unique_on_13(server):
    """RFC 9266: tls-unique is not defined for TLS 1.3, so it is never offered
    there. But slixmpp knows no other, and insists once it has seen -PLUS: what
    OpenSSL has for it is compared all the same, and the wrong one refused."""
    romeo = await secured(server, newest=V13, oldest=V13)
    offered = [e.get("type") for e in romeo.features.find(
        "sasl-channel-binding").elems()]
    assert "tls-exporter" in offered and "tls-unique" not in offered
    with pytest.raises(Failure) as failure:
        await romeo.auth("SCRAM-SHA-256-PLUS", binding_name="tls-unique",
                         binding=b"x" * 12)
    assert failure.value.condition == "not-authorized"
    await romeo.auth("SCRAM-SHA-256-PLUS", binding_name="tls-unique",
                     binding=romeo.binding("tls-unique"))


@pytest.mark.parametrize("binding_name, binding", [
    ("tls-exporter", b"\0" * 32), ("tls-exporter", b""),
    ("tls-server-end-point", hashlib.sha256(b"mitm").digest()),
    ("no-such-binding", b"\0" * 32)])
async def test_wrong_binding(server, binding_name, binding):
    """Somebody in the middle has another channel."""
    romeo = await secured(server)
    with pytest.raises(Failure):
        await romeo.auth("SCRAM-SHA-256-PLUS", binding_name=binding_name,
                         binding=binding)
    await romeo.auth("SCRAM-SHA-256-PLUS")


async def test_downgrade(server):
    """RFC 5802, 6: "the server can't bind" is a lie told by somebody in the
    middle who has taken -PLUS out of the offer."""
    romeo = await secured(server)
    with pytest.raises(Failure):
        await romeo.auth("SCRAM-SHA-256", flag="y")
    await romeo.auth("SCRAM-SHA-256", flag="n")


async def test_plus_without_flag(server):
    """-PLUS with a message that says it binds to nothing."""
    romeo = await secured(server)
    scram = sasl.Scram("SCRAM-SHA-256", "romeo", "secret", flag="n")
    romeo.begin_auth("SCRAM-SHA-256-PLUS", scram.first())
    with pytest.raises(Failure):
        romeo.respond(scram.final(await romeo.sasl_answer("challenge")))
        await romeo.sasl_answer("success")


async def test_downgrade_hash(server):
    """XEP-0474: the server tells, signed, what it had on offer."""
    romeo = await secured(server)
    scram = sasl.Scram("SCRAM-SHA-256", "romeo", "secret")
    romeo.begin_auth("SCRAM-SHA-256", scram.first())
    romeo.respond(scram.final(await romeo.sasl_answer("challenge")))
    scram.check(await romeo.sasl_answer("success"))
    bindings = sorted(e.get("type") for e in romeo.features.find(
        "sasl-channel-binding").elems())
    offer = ("\x1e".join(sorted(romeo.mechanisms())) + "\x1f" +
             "\x1e".join(bindings))
    digest = hashlib.sha256(offer.encode()).digest()
    assert scram.fields["h"] == sasl.b64(digest)


async def test_starttls_injection(server):
    """CVE-2014-8760 and its kin: what is slipped in behind <starttls/> is
    never taken for something that came over TLS."""
    await server.register("romeo")
    client = Client("romeo")
    await client.connect(server.port["c2s"])
    await client.open()
    client.wire.keep_raw = True
    client.wire.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                     "<stream:stream to='localhost' version='1.0' "
                     "xmlns='jabber:client' "
                     "xmlns:stream='http://etherx.jabber.org/streams'>"
                     "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                     "mechanism='PLAIN'>AHJvbWVvAHNlY3JldA==</auth>")
    await client.wire.gone()
    assert b"success" not in client.wire.raw
    assert b"mechanisms" not in client.wire.raw.split(b"proceed")[-1]


async def test_garbage_handshake(server):
    """What is no handshake ends the connection, and nothing else."""
    wire = await server.wire("tls")
    wire.send(b"GET / HTTP/1.1\r\n\r\n")
    await wire.gone()
    client = Client("romeo")
    await client.connect(server.port["c2s"])
    await client.open()
    client.wire.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    assert (await client.elem()).name == "proceed"
    client.wire.send(b"\x16\x03\x01\xff\xff" + b"x" * 100)
    await client.wire.gone()
    await (await secured(server)).auth()


@pytest.mark.parametrize("how", ["reload_config", "SIGHUP"])
async def test_new_certificate(server, authority, how):
    """A new certificate is used from now on, and nobody is disconnected."""
    before = await secured(server)
    await before.auth()
    await before.bind("old")
    old = before.wire.ssl_object.getpeercert(binary_form=True)
    authority.issue(os.path.join(server.folder, "cert.pem"), *server.hosts)
    if how == "SIGHUP":
        mark = len(server.lines())
        server.process.send_signal(1)
        await server.wait_for(lambda: len(server.lines()) > mark)
    else:
        await server.ctl_ok("reload_config")

    async def is_new():
        after = await secured(server, register=False)
        cert = after.wire.ssl_object.getpeercert(binary_form=True)
        after.close()
        return cert != old

    await server.wait_until(is_new)
    await before.ping("localhost")


async def test_bad_certificate(server):
    """A certificate that can't be read is not taken up; the old one serves."""
    server.announce("cert.pem|certificate")
    path = os.path.join(server.folder, "cert.pem")
    with open(path, "w", encoding="utf-8") as file:
        file.write("no certificate")
    assert "cert.pem" in await server.ctl_ok("reload_config")
    await server.log_line("cert.pem is bad.* stays")
    await (await secured(server)).auth()


@pytest.mark.parametrize("starttls", [False, True],
                         ids=["direct", "starttls"])
async def test_renegotiation(server, starttls):
    """CVE-2021-32920: a client of TLS 1.2 doesn't get to shake hands again and
    again. openssl's begins to at an R, and gives up when it is refused."""
    how = ["-starttls", "xmpp", "-xmpphost", "localhost"] if starttls else []
    client = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-tls1_2", *how, "-connect",
        f"127.0.0.1:{server.port['c2s' if starttls else 'tls']}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT)
    out = b""
    try:
        while b"no renegotiation" not in out:
            more = await asyncio.wait_for(client.stdout.read(4096), PATIENCE)
            assert more, out.decode()
            out += more
            if b"Verify return code" in out and b"RENEG" not in out:
                client.stdin.write(b"R\n")
    finally:
        if client.returncode is None:
            client.kill()
        await client.wait()
    assert b"RENEGOTIATING" in out and b"Compression: NONE" in out
    await (await secured(server)).auth()
