# SPDX-License-Identifier: MIT
"""SASL EXTERNAL for clients (XEP-0178, RFC 6120 section 13.7.2): who is let in
by a certificate, as whom, and who is not."""

import os
import ssl

import pytest

from harness import sasl
from harness.client import Client, Failure
from harness.server import Authority, openssl
from harness.wire import client_context
from harness.xml import NS_SASL, NS_SASL2

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
FAST = ("<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>")


class Issuer(Authority):
    """One that vouches for clients. Its database is what `openssl ca` takes,
    which can date a certificate back and revoke it."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        super().__init__(folder)
        self.path = lambda name: os.path.join(folder, name)
        self.count = 0
        self.chain = []  # certificates to show after the leaf
        with open(self.path("index"), "w", encoding="utf-8"):
            pass
        with open(self.path("ca.cnf"), "w", encoding="utf-8") as file:
            file.write("[ca]\ndefault_ca=own\n[own]\ndatabase="
                       f"{self.path('index')}\nserial={self.path('serial')}\n"
                       f"crlnumber={self.path('crlnumber')}\n"
                       f"new_certs_dir={folder}\ndefault_md=sha256\n"
                       "policy=any\nunique_subject=no\n[any]\n"
                       "commonName=supplied\n[req]\n"
                       "distinguished_name=name\n[name]\n")
        for name in ("serial", "crlnumber"):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write("1000\n")

    def make(self, addresses, usage="clientAuth", end="20990101000000Z",
             extra="basicConstraints=CA:FALSE"):
        """A file of key and certificate, and the certificate's own."""
        self.count += 1
        base = self.path(f"client{self.count}")
        names = [f"otherName.{i}=1.3.6.1.5.5.7.8.5;UTF8:{a}"
                 for i, a in enumerate(addresses)]
        with open(base + ".ext", "w", encoding="utf-8") as file:
            file.write(f"{extra}\n")
            if usage:
                file.write(f"extendedKeyUsage={usage}\n")
            if names:
                file.write("subjectAltName=@names\n[names]\n"
                           + "\n".join(names) + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                base + ".key", "-out", base + ".csr", "-subj",
                f"/CN=Client {self.count}")
        openssl("ca", "-batch", "-notext", "-config", self.path("ca.cnf"),
                "-cert", self.pem, "-keyfile", self.key, "-in",
                base + ".csr", "-out", base + ".crt", "-startdate",
                "20200101000000Z", "-enddate", end, "-extfile",
                base + ".ext")
        with open(base + ".pem", "w", encoding="utf-8") as out:
            for part in (base + ".key", base + ".crt", *self.chain):
                with open(part, encoding="utf-8") as file:
                    out.write(file.read())
        return base + ".pem"

    def below(self, folder):
        """Another that this one vouches for."""
        pem = self.make([], usage=None,
                        extra="basicConstraints=critical,CA:TRUE")
        lower = Issuer(folder)
        lower.key, lower.pem = pem[:-4] + ".key", pem[:-4] + ".crt"
        lower.chain = [lower.pem]
        return lower

    def revoke(self, pem):
        """Notes it; the list of all that are."""
        own = ("-config", self.path("ca.cnf"), "-cert", self.pem, "-keyfile",
               self.key)
        openssl("ca", *own, "-revoke", pem[:-4] + ".crt")
        openssl("ca", *own, "-gencrl", "-crldays", "30", "-out",
                self.path("crl.pem"))
        return self.path("crl.pem")


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    return Issuer(str(tmp_path_factory.mktemp("clients")))


@pytest.fixture
def trusting(make_server, issuer):
    """A server that takes certificates of the issuer."""
    def make(**config):
        auth = {"client_ca_file": issuer.pem, **config.pop("auth", {})}
        return make_server({"auth": auth, **config})
    return make


async def arrive(server, pem=None, direct=True, host="localhost", **tls):
    client = Client("romeo", host=host)
    context = client_context(alpn=["xmpp-client"], **tls)
    if pem:
        context.load_cert_chain(pem)
    if direct:
        await client.connect(server.port["tls"], tls=context)
        await client.open()
    else:
        await client.connect(server.port["c2s"])
        await client.open()
        assert "EXTERNAL" not in client.mechanisms()
        await client.starttls(context)
    return client


def is_offered(client):
    new = client.features.find("authentication", NS_SASL2)
    names = [m.text for m in new.elems() if m.name == "mechanism"]
    assert ("EXTERNAL" in names) == ("EXTERNAL" in client.mechanisms())
    return "EXTERNAL" in names


async def answer(client, authzid=None):
    """None, or why not."""
    client.begin_auth("EXTERNAL",
                      None if authzid is None else authzid.encode())
    got = await client.elem()
    return None if got.name == "success" else got.elems()[0].name


async def external2(client, authzid="", inner=""):
    client.wire.send(f"<authenticate xmlns='{NS_SASL2}' mechanism='EXTERNAL'>"
                     f"<initial-response>{sasl.b64(authzid.encode())}"
                     f"</initial-response>{inner}</authenticate>")
    return await client.elem()


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("direct", [False, True], ids=["starttls", "direct"])
async def test_one_address(trusting, issuer, version, direct):
    """One address needs no authzid, and takes its own; the login works by
    both profiles, and again on the next connection."""
    server = trusting()
    await server.start()
    await server.register("romeo")
    pem = issuer.make(["romeo@localhost"])
    for authzid in ("", "romeo@localhost", "ROMEO@Localhost"):
        client = await arrive(server, pem, direct, newest=version,
                              oldest=version)
        assert is_offered(client)
        # A session that is resumed would show no chain.
        session = client.wire.ssl_object.session
        assert session is None or not session.has_ticket
        assert await answer(client, authzid) is None
        await client.open()
        assert (await client.bind("x")) == "romeo@localhost/x"
        client.close()
    client = await arrive(server, pem, direct, newest=version,
                          oldest=version)
    got = await external2(client, inner="<bind xmlns='urn:xmpp:bind:0'/>"
                          + FAST)
    assert got.name == "success", str(got)
    assert got.find("authorization-identifier").text.startswith(
        "romeo@localhost/")
    # The certificate is as quick, and a token would outlive it.
    assert got.find("token") is None
    client.wire.send("<iq type='get' id='cam'><list xmlns='urn:xmpp:cam:0'/>"
                     "</iq>")
    listed = await client.take(lambda e: e.get("id") == "cam")
    assert "<last-seen>" in str(listed), str(listed)
    assert "<password" not in str(listed), str(listed)
    client.close()
    # Without a word first: an empty challenge asks for the authzid.
    client = await arrive(server, pem, direct)
    client.begin_auth("EXTERNAL")
    assert await client.sasl_answer("challenge") == b""
    client.respond(b"")
    assert (await client.elem()).name == "success"
    client.close()
    await server.log_line("logged in with EXTERNAL over " + version.name
                          .replace("_", "."))


async def test_authzid(trusting, issuer):
    """Somebody else, or another form, is no authzid of a certificate; nor is
    the account that there isn't an account."""
    server = trusting()
    await server.start()
    await server.register("romeo")
    await server.register("juliet")
    pem = issuer.make(["romeo@localhost"])
    for authzid in ("juliet@localhost", "romeo@localhost/x", "localhost",
                    "romeo", "romeo@capulet.example", "@", "romeo@localhost\0",
                    "x" * 4000):
        client = await arrive(server, pem)
        assert await answer(client, authzid) == "invalid-authzid", authzid
        # The password is still good on the same connection.
        await client.auth("SCRAM-SHA-1")
        client.close()
    client = await arrive(server, pem)
    got = await external2(client, "juliet@localhost")
    assert got.name == "failure" and got.find("invalid-authzid") is not None
    client.close()
    client = await arrive(server, issuer.make(["nobody@localhost"]))
    assert is_offered(client)
    assert await answer(client, "") == "not-authorized"
    client.close()


async def test_several_addresses(trusting, issuer):
    """Of several the client says which; those of other hosts don't count."""
    server = trusting()
    await server.start()
    for user, host in (("romeo", "localhost"), ("juliet", "localhost"),
                       ("romeo", "capulet.example")):
        await server.register(user, host)
    pem = issuer.make(["romeo@localhost", "juliet@localhost",
                       "romeo@capulet.example", "tybalt@elsewhere.example"])
    client = await arrive(server, pem)
    assert await answer(client, "") == "invalid-authzid"
    assert await answer(client, "juliet@localhost") is None
    await client.open()
    assert (await client.bind("x")) == "juliet@localhost/x"
    client.close()
    # One of this host: it goes without saying.
    client = await arrive(server, pem, host="capulet.example")
    assert await answer(client, "romeo@localhost") == "invalid-authzid"
    assert await answer(client, "") is None
    client.close()
    # The same address twice is one.
    client = await arrive(server, issuer.make(
        ["romeo@localhost", "Romeo@LOCALHOST"]))
    assert await answer(client, "") is None
    client.close()
    # More than are looked at: what is behind is not there.
    many = [f"u{i}@localhost" for i in range(64)] + ["romeo@localhost"]
    client = await arrive(server, issuer.make(many))
    assert await answer(client, "romeo@localhost") == "invalid-authzid"
    client.close()


async def test_untrusted(trusting, issuer, tmp_path):
    """Expired, of strangers, for servers, without an address, or none: it is
    not offered, and who tries all the same is told why."""
    server = trusting()
    await server.start()
    await server.register("romeo")
    own = ["romeo@localhost"]
    cases = [
        (issuer.make(own, end="20200201000000Z"), "expired"),
        (Issuer(str(tmp_path / "foreign")).make(own), "issuer"),
        (issuer.make(own, usage="serverAuth"), "purpose"),
        (issuer.make([]), "names no user"),
        (issuer.make(["romeo@elsewhere.example"]), "names no user"),
        (issuer.make(["localhost"]), "names no user"),
        (issuer.make(["romeo@localhost/x"]), "names no user"),
    ]
    for pem, why in cases:
        client = await arrive(server, pem)
        assert not is_offered(client), why
        client.begin_auth("EXTERNAL", b"romeo@localhost")
        got = await client.elem()
        assert got.find("not-authorized") is not None, str(got)
        assert why in got.find("text").text
        await client.auth("SCRAM-SHA-256-PLUS")
        client.close()
    client = await arrive(server)
    assert not is_offered(client)
    assert await answer(client, "romeo@localhost") == "invalid-mechanism"
    client.close()


async def test_chain(trusting, issuer, tmp_path):
    """By one that the authority vouches for, each time anew."""
    server = trusting()
    await server.start()
    await server.register("romeo")
    lower = issuer.below(str(tmp_path / "lower"))
    for version in (V12, V13, V12, V13):
        client = await arrive(server, lower.make(["romeo@localhost"]),
                              newest=version, oldest=version)
        assert is_offered(client)
        assert await answer(client, "") is None
        client.close()


async def test_revoked(make_server, tmp_path):
    """Lists of revoked certificates are in the same file; a reload reads it,
    and takes the whole thing away."""
    issuer = Issuer(str(tmp_path / "ca"))
    good = issuer.make(["romeo@localhost"])
    bad = issuer.make(["romeo@localhost"])
    trust = str(tmp_path / "trust.pem")

    def write(*files):
        with open(trust, "w", encoding="utf-8") as out:
            for name in files:
                with open(name, encoding="utf-8") as file:
                    out.write(file.read())

    write(issuer.pem)
    server = make_server({"auth": {"client_ca_file": trust}})
    await server.start()
    await server.register("romeo")
    assert is_offered(await arrive(server, bad))
    write(issuer.pem, issuer.revoke(bad))
    await server.ctl_ok("reload_config")
    client = await arrive(server, bad)
    assert not is_offered(client)
    client.begin_auth("EXTERNAL", b"")
    assert "revoked" in (await client.elem()).find("text").text
    client = await arrive(server, good)
    assert is_offered(client)
    assert await answer(client, "") is None
    # A file that is no such thing changes nothing.
    write(os.devnull)
    server.announce("cannot load 'auth.client_ca_file'")
    status, out, err = server.ctl("reload_config")
    assert "client_ca_file" in out + err, (status, out, err)
    assert is_offered(await arrive(server, good))
    server.overrides["auth"]["client_ca_file"] = ""
    server.write_config()
    await server.ctl_ok("reload_config")
    assert not is_offered(await arrive(server, good))


async def test_banned(trusting, issuer):
    """A disabled account lets nobody in."""
    server = trusting()
    await server.start()
    await server.register("romeo")
    await server.ctl_ok("ban_account", "romeo", "localhost", "spam")
    client = await arrive(server, issuer.make(["romeo@localhost"]))
    assert await answer(client, "") == "account-disabled"


async def test_not_named(trusting, issuer):
    """Who leaves it out of 'mechanisms' does not offer it."""
    server = trusting(auth={"mechanisms": ["SCRAM-SHA-1", "PLAIN"]})
    await server.start()
    await server.register("romeo")
    client = await arrive(server, issuer.make(["romeo@localhost"]))
    assert not is_offered(client)
    assert await answer(client, "") == "invalid-mechanism"


async def test_mux(trusting, issuer):
    """On a port for all, clients are asked and browsers are not."""
    server = trusting(listen=[
        {"type": "mux", "ip": "127.0.0.1", "port": "tls"}])
    await server.start()
    await server.register("romeo")
    pem = issuer.make(["romeo@localhost"])
    client = await arrive(server, pem)
    assert is_offered(client)
    assert await answer(client, "") is None
    client.close()
    for name, asked in (("xmpp-client", True), ("http/1.1", False)):
        out = openssl_client(server.port["tls"], name)
        assert ("Acceptable client certificate CA names" in out) == asked
        assert ("Test authority" in out) == asked or not asked


def openssl_client(port, alpn):
    import subprocess
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-alpn",
         alpn], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False)
    return done.stdout
