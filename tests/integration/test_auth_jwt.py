# SPDX-License-Identifier: MIT
"""Tokens as passwords: which are taken, and the forgeries that are not."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

import pytest

from harness.client import Client, Failure
from harness.wire import client_context

SECRET = b"0123456789abcdef0123456789abcdef"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], check=True, input=data,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def raw_signature(der, size):
    """r and s of an ECDSA signature, side by side."""
    at = 3 if der[1] & 0x80 else 2
    parts = []
    for _ in range(2):
        length = der[at + 1]
        part = int.from_bytes(der[at + 2:at + 2 + length], "big")
        parts.append(part.to_bytes(size, "big"))
        at += 2 + length
    return b"".join(parts)


class Signer:
    """Keys of each kind in a folder, and tokens by them."""

    KINDS = {
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "p256": ["-algorithm", "EC", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1"],
        "p384": ["-algorithm", "EC", "-pkeyopt",
                 "ec_paramgen_curve:secp384r1"],
        "ed": ["-algorithm", "ED25519"],
        "stranger": ["-algorithm", "RSA", "-pkeyopt",
                     "rsa_keygen_bits:2048"],
    }

    def __init__(self, folder):
        self.folder = str(folder)
        for name, args in self.KINDS.items():
            openssl("genpkey", *args, "-out", self.path(name))
            openssl("pkey", "-in", self.path(name), "-pubout", "-out",
                    self.path(name + ".pub"))
        with open(self.path("secret"), "w", encoding="utf-8") as file:
            json.dump({"kty": "oct", "k": b64(SECRET), "kid": "s1"}, file)

    def path(self, name):
        return os.path.join(self.folder, name)

    def jwks(self):
        """The public keys of rsa, p256 and ed as a set of JWKs."""
        text = openssl("rsa", "-in", self.path("rsa"), "-noout",
                       "-modulus").decode()
        modulus = bytes.fromhex(text.strip().split("=")[1])
        ec = openssl("pkey", "-in", self.path("p256"), "-pubout", "-outform",
                     "DER")[-64:]
        ed = openssl("pkey", "-in", self.path("ed"), "-pubout", "-outform",
                     "DER")[-32:]
        keys = [
            {"kty": "RSA", "kid": "r", "n": b64(modulus), "e": "AQAB"},
            {"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(ec[:32]),
             "y": b64(ec[32:])},
            {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": b64(ed)},
            {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
        ]
        path = self.path("jwks")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"keys": keys}, file)
        return path

    def sign(self, alg, key, text):
        if alg.startswith("HS"):
            with_key = key if isinstance(key, bytes) else SECRET
            return hmac.new(with_key, text,
                            getattr(hashlib, "sha" + alg[2:])).digest()
        path = self.path(key)
        if alg == "EdDSA":
            name = self.path("text")
            with open(name, "wb") as file:
                file.write(text)
            return openssl("pkeyutl", "-sign", "-inkey", path, "-rawin",
                           "-in", name)
        args = ["dgst", "-sha" + alg[2:], "-sign", path]
        if alg.startswith("PS"):
            args += ["-sigopt", "rsa_padding_mode:pss", "-sigopt",
                     "rsa_pss_saltlen:digest"]
        signature = openssl(*args, data=text)
        if alg.startswith("ES"):
            signature = raw_signature(signature, int(alg[2:]) // 8)
        return signature

    def token(self, alg="RS256", key="rsa", head=None, **claims):
        now = time.time()
        body = {"sub": "romeo", "exp": now + 600, "iss": "us",
                "aud": ["web", "chat"], **claims}
        body = {k: v for k, v in body.items() if v is not None}
        head = {"alg": alg, "typ": "JWT", **(head or {})}
        text = b64(json.dumps(head).encode()) + "." + b64(
            json.dumps(body).encode())
        return text + "." + b64(self.sign(alg, key, text.encode()))

    def config(self, *files, **more):
        return {"auth": {"backends": ["jwt"]},
                "modules": {"auth_jwt": {
                    "key_files": [self.path(f) for f in files], **more}}}


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return Signer(tmp_path_factory.mktemp("jwt"))


async def is_let_in(server, password, user="romeo"):
    client = Client(user, password)
    await client.connect(server.port["tls"],
                         tls=client_context(alpn=["xmpp-client"]))
    await client.open()
    try:
        await client.auth("PLAIN")
        await client.bind()
        return True
    except Failure as failure:
        assert failure.elem.elems()[0].name == "not-authorized"
        return False
    finally:
        client.close()


async def many(make_server, config):
    config["limits"] = {"auth_failures": 100}
    server = make_server(config)
    await server.start()
    return server


async def test_algorithms(make_server, signer):
    server = await many(make_server, signer.config(
        "rsa.pub", "p256.pub", "p384.pub", "ed.pub", "secret"))
    for alg, key in (("RS256", "rsa"), ("RS384", "rsa"), ("RS512", "rsa"),
                     ("PS256", "rsa"), ("ES256", "p256"), ("ES384", "p384"),
                     ("EdDSA", "ed"), ("HS256", SECRET), ("HS384", SECRET),
                     ("HS512", SECRET)):
        assert await is_let_in(server, signer.token(alg, key)), alg


async def test_jwks(make_server, signer):
    signer.jwks()
    server = await many(make_server, signer.config("jwks"))
    for alg, key in (("RS256", "rsa"), ("ES256", "p256"), ("EdDSA", "ed")):
        assert await is_let_in(server, signer.token(alg, key)), alg
    assert await is_let_in(server, signer.token(head={"kid": "r"}))
    assert not await is_let_in(server, signer.token(head={"kid": "other"}))


async def test_forged(make_server, signer):
    """No signature, another's, one by the public key as a secret..."""
    server = await many(make_server, signer.config(
        "rsa.pub", "p256.pub", "ed.pub", algorithms=["RS256", "ES256",
                                                     "HS256", "EdDSA"]))
    good = signer.token()
    head, body, signature = good.split(".")
    none = b64(b'{"alg":"none"}')
    with open(signer.path("rsa.pub"), "rb") as file:
        public = file.read()
    der = openssl("pkey", "-in", signer.path("rsa"), "-pubout", "-outform",
                  "DER")
    other = b64(json.dumps({"sub": "romeo", "exp": time.time() + 60}).encode())
    forged = [
        f"{none}.{body}.", f"{none}.{body}.{signature}",
        b64(b'{"alg":"None"}') + f".{body}.", f"{head}.{body}.",
        f"{head}.{body}", f"{head}.{body}.{signature}.x",
        f"{head}.{other}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}.{signature}==",
        signer.token("HS256", public), signer.token("HS256", der),
        signer.token("HS256", b""), signer.token("HS256", SECRET),
        signer.token("RS256", "stranger"), signer.token("RS512", "rsa"),
        signer.token(head={"crit": ["exp"]}), signer.token(head={"alg": 1}),
        b64(b"{}") + "." + body + "." + signature, "..", "a.b.c", "secret",
        b64(b"[" * 2000) + "." + body + "." + signature,
    ]
    # At once, as each failure's answer is delayed.
    taken = await asyncio.gather(*(is_let_in(server, t) for t in forged))
    assert not any(taken), taken
    assert await is_let_in(server, good)
    log = "\n".join(server.lines())
    assert "not signed by a key that is known here" in log
    assert body not in log and signature not in log


async def test_claims(make_server, signer):
    server = await many(make_server, signer.config(
        "rsa.pub", issuer="us", audience="chat", leeway="5s"))
    now = time.time()
    for claims in ({}, {"aud": "chat"}, {"sub": "romeo@localhost"},
                   {"sub": "Romeo"}, {"nbf": now - 1}, {"exp": now + 2.5}):
        assert await is_let_in(server, signer.token(**claims)), claims
    bad = ({"exp": now - 60}, {"exp": None}, {"exp": "9999999999"},
           {"nbf": now + 600}, {"nbf": "x"}, {"iss": "others"},
           {"iss": None}, {"aud": "mail"}, {"aud": None},
           {"aud": {"chat": 1}}, {"sub": "juliet"}, {"sub": None},
           {"sub": "romeo@capulet.example"}, {"sub": ["romeo"]},
           {"sub": "romeo@localhost/x"}, {"sub": ""})
    taken = await asyncio.gather(*(is_let_in(server, signer.token(**claims))
                                   for claims in bad))
    assert not any(taken), taken
    assert not await is_let_in(server, signer.token(), user="juliet")


async def test_token_after(make_server, signer):
    """Who exists can't be told here: then the token of XEP-0484 is enough."""
    server = make_server(signer.config("rsa.pub"))
    await server.start()
    agent = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
    request = ("<request-token xmlns='urn:xmpp:fast:0' "
               "mechanism='HT-SHA-256-NONE'/>")
    fast = "<fast xmlns='urn:xmpp:fast:0'/>"
    client = Client("romeo", signer.token())
    for mechanism, inner in (("PLAIN", request), ("HT-SHA-256-NONE", fast)):
        await client.connect(server.port["tls"],
                             tls=client_context(alpn=["xmpp-client"]))
        await client.open()
        answer = await client.authenticate(mechanism, agent + inner)
        assert answer.name == "success", str(answer)
        if inner == request:
            client.password = answer.find("token").get("token")
        client.close()


async def test_no_key(make_server, signer):
    """A key file that isn't there is a warning, and a temporary failure."""
    server = make_server(signer.config("absent"))
    server.announce("can't tell: .*absent can't be read")
    await server.start()
    client = Client("romeo", signer.token())
    await client.connect(server.port["tls"],
                         tls=client_context(alpn=["xmpp-client"]))
    await client.open()
    with pytest.raises(Failure) as failure:
        await client.auth("PLAIN")
    assert failure.value.elem.elems()[0].name == "temporary-auth-failure"
    client.close()
