# SPDX-License-Identifier: MIT
"""SCRAM (RFC 5802) and PLAIN by hand, so that a test can do them wrong."""

import base64
import ctypes
import functools
import hashlib
import hmac
import secrets

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256",
          "SCRAM-SHA-512": "sha512"}


def b64(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text or "", validate=True)


@functools.lru_cache(maxsize=4096)
def salted(hash_name, password, salt, rounds):
    return hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, rounds)


def plain(user, password, authzid=""):
    return f"{authzid}\0{user}\0{password}".encode()


def hashed_token(user, token, binding=b""):
    """The message of the HT mechanisms (draft-schmaus-kitten-sasl-ht)."""
    mac = hmac.new(token.encode(), b"Initiator" + binding, "sha256")
    return user.encode() + b"\0" + mac.digest()


class ScramError(Exception):
    """The server has not proved that it knows the password."""


class Scram:
    """One exchange. Every part of it can be replaced by attributes set in
    between."""

    def __init__(self, mechanism, user, password, *, authzid="",
                 binding_name=None, binding=b"", flag=None):
        base = mechanism.removesuffix("-PLUS")
        self.hash = HASHES[base]
        self.password = password
        self.nonce = secrets.token_hex(12)
        name = user.replace("=", "=3D").replace(",", "=2C")
        if flag is None:
            flag = f"p={binding_name}" if binding_name else "n"
        self.gs2 = flag + "," + (f"a={authzid}" if authzid else "") + ","
        self.binding = binding
        self.bare = f"n={name},r={self.nonce}"
        self.server_first = None
        self.fields = {}

    def first(self):
        return (self.gs2 + self.bare).encode()

    def hmac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def final(self, server_first, proof=None):
        """The answer to the challenge."""
        self.server_first = server_first.decode()
        self.fields = dict(part.split("=", 1)
                           for part in self.server_first.split(","))
        key = salted(self.hash, self.password, unb64(self.fields["s"]),
                     int(self.fields["i"]))
        cbind = b64(self.gs2.encode() + self.binding)
        without = f"c={cbind},r={self.fields['r']}"
        message = ",".join((self.bare, self.server_first, without)).encode()
        client = self.hmac(key, b"Client Key")
        stored = hashlib.new(self.hash, client).digest()
        signature = self.hmac(stored, message)
        self.verifier = self.hmac(self.hmac(key, b"Server Key"), message)
        if proof is None:
            proof = bytes(a ^ b for a, b in zip(client, signature))
        return f"{without},p={b64(proof)}".encode()

    def check(self, server_final):
        if server_final.decode() != "v=" + b64(self.verifier):
            raise ScramError(server_final.decode())


# Channel binding ---------------------------------------------------------

def tls_exporter(ssl_object, length=32,
                 label=b"EXPORTER-Channel-Binding"):
    """RFC 9266's binding. Python has no call for it: reach for the SSL * that
    follows the object's header and its socket."""
    inner = ssl_object._sslobj
    header = object.__basicsize__
    pointer = ctypes.c_void_p.from_address(
        id(inner) + header + ctypes.sizeof(ctypes.c_void_p))
    out = ctypes.create_string_buffer(length)
    export = libssl().SSL_export_keying_material
    export.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t,
                       ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                       ctypes.c_size_t, ctypes.c_int]
    if export(pointer, out, length, label, len(label), b"", 0, 1) != 1:
        raise OSError("SSL_export_keying_material failed")
    return out.raw


def tls_server_end_point(ssl_object):
    """RFC 5929's binding, for certificates signed with SHA-256."""
    return hashlib.sha256(ssl_object.getpeercert(binary_form=True)).digest()


@functools.lru_cache(maxsize=1)
def libssl():
    """The library that Python's ssl module has loaded, not another one."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            if "/libssl" in line:
                return ctypes.CDLL(line.split()[-1])
    raise OSError("Python's ssl module has no libssl of its own")
