# SPDX-License-Identifier: MIT
"""XMPP over WebSocket (RFC 7395), and where to find it (XEP-0156)."""

import base64
import hashlib
import json
import os
import re
import socket
import ssl
import struct

import pytest

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
    {"type": "http", "ip": "127.0.0.1", "port": "https", "tls": True},
]
PATIENCE = 20
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OPEN = ("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' "
        "version='1.0'/>")
CLOSE = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
USERS = [f"u{n}" for n in range(6)]


@pytest.fixture
def web(make_server, event_loop):
    made = make_server({
        "listen": LISTEN,
        "modules": {"host_meta": {},
                    "websocket": {"origins": ["https://chat.example"]}}})
    event_loop.run_until_complete(made.start())
    for name in USERS:
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


def shake(server, port="http", path="/ws", authority=None, **change):
    """Sends the handshake: (socket, head of the answer, the key)."""
    link = socket.create_connection(("127.0.0.1", server.port[port]),
                                    timeout=PATIENCE)
    if authority:
        context = ssl.create_default_context(cafile=authority.pem)
        link = context.wrap_socket(link, server_hostname="localhost")
    key = base64.b64encode(os.urandom(16)).decode()
    fields = {"Host": "localhost", "Connection": "keep-alive, Upgrade",
              "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": key, "Sec-WebSocket-Protocol": "xmpp"}
    for name, value in change.items():
        fields[name.replace("_", "-")] = value
    link.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in fields.items() if v is not None) +
        "\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = link.recv(1)
        assert byte, head
        head += byte
    return link, head.decode(), key


class Socket:
    """A client's end."""

    def __init__(self, server, **how):
        self.link, head, key = shake(server, **how)
        assert head.startswith("HTTP/1.1 101 "), head
        accept = base64.b64encode(hashlib.sha1(
            (key + GUID).encode()).digest()).decode()
        assert f"sec-websocket-accept: {accept}\r\n" in head
        assert "sec-websocket-protocol: xmpp\r\n" in head

    def frame(self, opcode, data, final=True, mask=True, rsv=0):
        head = bytes([(0x80 if final else 0) | rsv | opcode])
        bit = 0x80 if mask else 0
        if len(data) < 126:
            head += bytes([bit | len(data)])
        elif len(data) < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", len(data))
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", len(data))
        if mask:
            key = os.urandom(4)
            head += key
            data = bytes(b ^ key[i & 3] for i, b in enumerate(data))
        return head + data

    def send(self, text):
        self.link.sendall(self.frame(1, text.encode()))

    def take(self, n):
        data = b""
        while len(data) < n:
            chunk = self.link.recv(n - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def receive(self):
        """The next frame: (opcode, payload)."""
        first, n = self.take(2)
        assert first & 0xf0 == 0x80 and n < 128
        if n == 126:
            n = struct.unpack(">H", self.take(2))[0]
            assert n > 125
        elif n == 127:
            n = struct.unpack(">Q", self.take(8))[0]
            assert n > 65535
        return first & 0xf, self.take(n)

    def text(self):
        opcode, data = self.receive()
        assert opcode == 1, (opcode, data)
        return data.decode()

    def until(self, pattern):
        for _ in range(50):
            text = self.text()
            if re.search(pattern, text):
                return text
        raise AssertionError(f"no {pattern}")

    def login(self, user, bind=True):
        self.send(OPEN)
        assert self.text().startswith("<open ")
        features = self.text()
        assert "PLAIN" in features and "starttls" not in features
        auth = base64.b64encode(f"\0{user}\0secret".encode()).decode()
        self.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                  f"mechanism='PLAIN'>{auth}</auth>")
        assert self.text().startswith("<success ")
        self.send(OPEN)
        assert self.text().startswith("<open ")
        features = self.text()
        assert "urn:ietf:params:xml:ns:xmpp-bind" in features
        assert re.match("<([a-z]+:)?features [^>]*xmlns", features)
        if bind:
            self.send("<iq xmlns='jabber:client' type='set' id='b'><bind "
                      "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            self.jid = re.search("<jid>(.*)</jid>", self.text())[1]
        return self

    def closed(self):
        """The code of the close frame, after which the server closes."""
        for _ in range(50):
            opcode, data = self.receive()
            if opcode == 8:
                assert self.link.recv(1) == b""
                return struct.unpack(">H", data[:2])[0]
        raise AssertionError("not closed")


def message(to, body):
    return (f"<message xmlns='jabber:client' to='{to}' type='chat'>"
            f"<body>{body}</body></message>")


def test_chat(web, authority):
    """Users of all homes write to each other, with TLS and without."""
    ends = [Socket(web) if n % 2 else
            Socket(web, port="https", authority=authority)
            for n in range(len(USERS))]
    for end, user in zip(ends, USERS):
        end.login(user)
        end.send("<presence xmlns='jabber:client'/>")
        end.until("<presence ")
    for sender in ends:
        for receiver in ends:
            text = f"from {sender.jid} " + "x" * 200
            sender.send(message(receiver.jid, text))
            got = receiver.until("<message ")
            assert text in got and "xmlns='jabber:client'" in got
    out = web.ctl("connected_users_info")[1]
    assert out.count("websocket") == len(USERS)
    for end in ends:
        end.send(CLOSE)
        end.until("^<close ")
        assert end.closed() == 1000


def test_frames(web):
    """Fragments, with a ping between them; lengths of each kind."""
    end = Socket(web).login("u0")
    end.send("<presence xmlns='jabber:client'/>")
    end.until("<presence ")
    for length in (1, 60, 200, 70000):
        data = message(end.jid, "y" * length).encode()
        third = len(data) // 3
        frames = end.frame(1, data[:third], final=False) + \
            end.frame(9, b"hello") + \
            end.frame(0, data[third:-third], final=False) + \
            end.frame(0, b"", final=False) + end.frame(0, data[-third:])
        for n in range(0, len(frames), 5000):
            end.link.sendall(frames[n:n + 5000])
        assert end.receive() == (10, b"hello")
        assert "y" * length in end.until("<message ")
    # Byte by byte, and several at once.
    for byte in end.frame(1, message(end.jid, "slow").encode()):
        end.link.sendall(bytes([byte]))
    end.until("slow")
    end.link.sendall(b"".join(
        end.frame(1, message(end.jid, f"n{n}.").encode()) for n in range(50)))
    for n in range(50):
        assert f"n{n}." in end.until("<message ")


@pytest.mark.parametrize("make, code", [
    (lambda e: e.frame(1, b"<a/>", mask=False), 1002),
    (lambda e: e.frame(2, b"<a/>"), 1003),
    (lambda e: e.frame(3, b""), 1002),
    (lambda e: e.frame(11, b""), 1002),
    (lambda e: e.frame(0, b"<a/>"), 1002),
    (lambda e: e.frame(1, b"<a", final=False) + e.frame(1, b"/>"), 1002),
    (lambda e: e.frame(1, b"<a/>", rsv=0x40), 1002),
    (lambda e: e.frame(9, b"", final=False), 1002),
    (lambda e: e.frame(9, b"x" * 126), 1002),
    (lambda e: b"\x81\xff\x7f" + b"\xff" * 7 + b"mask", 1009),
    (lambda e: e.frame(1, b"x" * 9000, final=False) +
     e.frame(0, b"x" * 9000), 1009),
    (lambda e: e.frame(8, b"x"), 1002),
    (lambda e: e.frame(8, struct.pack(">H", 1005)), 1002),
    (lambda e: e.frame(8, struct.pack(">H", 4001) + b"bye"), 4001),
    (lambda e: e.frame(8, b""), 1000),
], ids=range(15))
def test_bad_frames(web, make, code):
    end = Socket(web)
    end.link.sendall(make(end))
    assert end.closed() == code


@pytest.mark.parametrize("text, condition", [
    ("<stream:stream xmlns='jabber:client' to='localhost' version='1.0' "
     "xmlns:stream='http://etherx.jabber.org/streams'>", "not-well-formed"),
    ("<presence xmlns='jabber:client'/>", "invalid-xml"),
    (OPEN.replace("localhost", "elsewhere.example"), "host-unknown"),
    ("<a>\x00</a>", "not-well-formed"),
], ids=["stream", "no-open", "other-host", "nul"])
def test_bad_streams(web, text, condition):
    end = Socket(web)
    end.send(text)
    got = end.until("error")
    assert condition in got
    assert "xmlns:stream='http://etherx.jabber.org/streams'" in got
    end.until("^<close ")
    assert end.closed() == 1000


@pytest.mark.parametrize("change, status", [
    ({"Sec-WebSocket-Protocol": None}, 400),
    ({"Sec-WebSocket-Protocol": "chat, xmppx"}, 400),
    ({"Sec-WebSocket-Version": "8"}, 426),
    ({"Sec-WebSocket-Key": None}, 400),
    ({"Sec-WebSocket-Key": "short"}, 400),
    ({"Upgrade": None}, 426),
    ({"Connection": None}, 426),
    ({"Origin": "https://evil.example"}, 403),
    ({"Content-Length": "x"}, 400),
], ids=range(9))
def test_refused(web, change, status):
    link, head, _ = shake(
        web, **{k.replace("-", "_"): v for k, v in change.items()})
    with link:
        assert head.startswith(f"HTTP/1.1 {status} ")


def test_origin(web):
    link, head, _ = shake(web, Origin="https://chat.example",
                          path="/xmpp-websocket")
    with link:
        assert head.startswith("HTTP/1.1 101 ")


def test_resume(web):
    """A stream whose socket is lost goes on in another."""
    first = Socket(web).login("u1")
    first.send("<presence xmlns='jabber:client'/>")
    first.until("<presence ")
    first.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    token = re.search(" id='([^']*)'", first.until("<enabled "))[1]
    other = Socket(web).login("u2")
    first.link.close()
    other.send(message(first.jid, "while away"))
    second = Socket(web).login("u1", bind=False)
    second.send(f"<resume xmlns='urn:xmpp:sm:3' h='0' previd='{token}'/>")
    second.until("<resumed ")
    assert "while away" in second.until("<message ")


def test_unload(web):
    """What has begun goes on without the module; nothing new begins."""
    end = Socket(web).login("u3")
    end.send("<presence xmlns='jabber:client'/>")
    end.until("<presence ")
    assert web.ctl("module_unload", "websocket")[0] == 0
    end.send(message(end.jid, "still here"))
    end.until("still here")
    link, head, _ = shake(web)
    with link:
        assert head.startswith("HTTP/1.1 404 ")


def get(server, path, port="http", **fields):
    with socket.create_connection(("127.0.0.1", server.port[port]),
                                  timeout=PATIENCE) as link:
        link.sendall((f"GET {path} HTTP/1.1\r\nConnection: close\r\n" +
                      "".join(f"{k}: {v}\r\n" for k, v in fields.items()) +
                      "\r\n").encode())
        data = b""
        while chunk := link.recv(65536):
            data += chunk
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body


def test_host_meta(web):
    head, body = get(web, "/.well-known/host-meta.json",
                     Host="localhost:5280")
    assert head.startswith("HTTP/1.1 200 ")
    assert "access-control-allow-origin: *" in head
    assert json.loads(body) == {"links": [{
        "rel": "urn:xmpp:alt-connections:websocket",
        "href": "ws://localhost:5280/ws"}]}
    head, body = get(web, "/.well-known/host-meta",
                     Host="localhost", **{"X-Forwarded-Proto": "https"})
    assert "content-type: application/xrd+xml" in head
    assert ("<Link rel='urn:xmpp:alt-connections:websocket' "
            "href='wss://localhost/ws'/>") in body
    _, body = get(web, "/.well-known/host-meta.json", Host="a'><b")
    assert json.loads(body) == {"links": []}
