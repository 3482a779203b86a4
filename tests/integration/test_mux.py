# SPDX-License-Identifier: MIT
"""One port for clients and for HTTP, in TLS or not."""

import http.client
import socket
import ssl
import struct
import subprocess
import time

import pytest

from harness.client import Client
from harness.wire import client_context
from test_websocket import shake

pytestmark = pytest.mark.storeless("ports come before any store")

PATIENCE = 20
V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + \
    struct.pack("!HH", 4711, 443)
HEADERS = [b"", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n",
           b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) +
           struct.pack("!H", len(V4)) + V4]


def row(port, **more):
    return {"type": "mux", "ip": "127.0.0.1", "port": port, **more}


@pytest.fixture
def server(make_server, event_loop):
    made = make_server({
        "listen": [row("mux"), row("open", starttls="optional"),
                   row("tls", tls=True),
                   row("proxy", starttls="optional",
                       proxy_protocol=["127.0.0.0/8"])],
        "limits": {"negotiation": "2s"},
        "modules": {"ping": {}, "websocket": {}}})
    event_loop.run_until_complete(made.start())
    event_loop.run_until_complete(made.register("romeo"))
    return made


def dial(server, port, header=b""):
    link = socket.create_connection(("127.0.0.1", server.port[port]),
                                    timeout=PATIENCE)
    link.sendall(header)
    return link


def secure(link, authority, alpn=None):
    context = ssl.create_default_context(cafile=authority.pem)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context.wrap_socket(link, server_hostname="localhost")


def until(link, end):
    got = b""
    while not got.endswith(end):
        more = link.recv(4096)
        if not more:
            break
        got += more
    return got


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = (b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' "
          b"xmlns='jabber:client' "
          b"xmlns:stream='http://etherx.jabber.org/streams'>")


@pytest.mark.parametrize("alpn", [None, ["http/1.1"], ["h2", "http/1.1"]])
@pytest.mark.parametrize("port", ["mux", "open", "tls"])
def test_https(server, authority, port, alpn):
    with secure(dial(server, port), authority, alpn) as link:
        assert link.selected_alpn_protocol() == (alpn and "http/1.1")
        for _ in range(2):
            link.sendall(GET)
            assert until(link, b"\r\n\r\nok\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("alpn", [None, ["xmpp-client"]])
@pytest.mark.parametrize("port", ["mux", "open", "tls"])
def test_direct_tls(server, authority, event_loop, port, alpn):
    async def play():
        client = Client("romeo")
        context = client_context(authority.pem)
        if alpn:
            context.set_alpn_protocols(alpn)
        await client.login(server.port[port], tls=context)
        await client.ping()
        client.wire.close()
    event_loop.run_until_complete(play())


def test_alpn_decides(server, authority):
    """Whatever is said then; and what is not served here is refused."""
    with secure(dial(server, "mux"), authority, ["xmpp-client"]) as link:
        link.sendall(GET)
        assert b"<stream:error>" in until(link, b"</stream:stream>")
    with secure(dial(server, "mux"), authority, ["http/1.1"]) as link:
        link.sendall(STREAM + b"\r\n\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.1 400 ")
    for name in ("xmpp-server", "h2"):
        with pytest.raises(ssl.SSLError), dial(server, "mux") as link:
            secure(link, authority, [name])


@pytest.mark.parametrize("header", HEADERS, ids=["none", "v1", "v2"])
def test_starttls(server, authority, event_loop, header):
    async def play():
        client = Client("romeo")
        await client.connect(server.port["proxy" if header else "mux"])
        if header:
            client.wire.send(header)
        await client.open()
        await client.starttls(client_context(authority.pem))
        await client.auth()
        await client.bind("x")
        await client.ping()
        client.wire.close()
    event_loop.run_until_complete(play())


@pytest.mark.parametrize("header", HEADERS[1:], ids=["v1", "v2"])
def test_proxied(server, authority, header):
    """All of them come behind a PROXY header, at once or byte by byte."""
    with dial(server, "proxy", header + GET) as link:
        assert until(link, b"\r\n\r\nok\n").startswith(b"HTTP/1.1 200 ")
    with dial(server, "proxy") as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header + GET:
            link.sendall(bytes([byte]))
        assert until(link, b"\r\n\r\nok\n").startswith(b"HTTP/1.1 200 ")
    with secure(dial(server, "proxy", header), authority) as link:
        link.sendall(GET)
        assert until(link, b"\r\n\r\nok\n").startswith(b"HTTP/1.1 200 ")
    with secure(dial(server, "proxy", header), authority,
                ["xmpp-client"]) as link:
        link.sendall(STREAM)
        assert b"<mechanism>" in until(link, b"</stream:features>")


def test_plain_http(server):
    """Only where clients may do without TLS."""
    for port, status in (("open", 200), ("mux", 403)):
        link = http.client.HTTPConnection("127.0.0.1", server.port[port],
                                          timeout=PATIENCE)
        link.request("GET", "/healthz")
        answer = link.getresponse()
        assert (answer.status, len(answer.read()) > 0) == (status, True)
        link.close()
    with dial(server, "tls", GET) as link:
        try:
            assert b"HTTP" not in until(link, b"\n\n\n")
        except ConnectionResetError:
            pass


def test_websocket(server, authority):
    for port, trust in (("open", None), ("mux", authority)):
        link, head, _ = shake(server, port, authority=trust)
        assert head.startswith("HTTP/1.1 101 "), head
        link.close()


@pytest.mark.parametrize("data", [
    b"\0\0\0\0", b"\x80\x2e\x01\x03\x01", b"\xff" * 3000, b"1 2 3\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello", b"\x16" + b"\xff" * 100,
    b"GARBAGE\r\n\r\n"], ids=range(7))
def test_garbage(server, data):
    with dial(server, "open", data) as link:
        try:
            got = until(link, b"\0never")
        except ConnectionResetError:
            got = b""
        assert b"HTTP/1.1 200 " not in got and b"features" not in got
    with dial(server, "open", GET) as link:
        assert until(link, b"\r\n\r\nok\n").startswith(b"HTTP/1.1 200 ")


def test_silence(server, authority):
    """Who says nothing, or only half of a handshake, is not waited for."""
    begun = time.monotonic()
    links = [dial(server, "mux"), dial(server, "tls"),
             dial(server, "mux", b"\x16\x03"),
             dial(server, "proxy", HEADERS[1]),
             secure(dial(server, "mux"), authority),
             secure(dial(server, "mux"), authority, ["xmpp-client"])]
    for link in links:
        try:
            assert until(link, b"\0never") == b""
        except ConnectionResetError:
            pass
        link.close()
    assert time.monotonic() - begun < PATIENCE


def test_configuration(make_server):
    """It needs a certificate, as it takes TLS in any case."""
    made = make_server({"certificates": [], "listen": [
        {"type": "mux", "ip": "0.0.0.0", "port": "mux", "starttls": "none"}]})
    made.write_config()
    done = subprocess.run([made.daemon, "-c", made.config_path,
                           "--check-config"], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1
    assert "needs 'certificates'" in done.stderr
