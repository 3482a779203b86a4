# SPDX-License-Identifier: MIT
"""HTTP File Upload (XEP-0363): slots, files in and out, and what is refused."""

import hashlib
import http.client
import os
import re
import socket
import urllib.parse
from xml.sax.saxutils import quoteattr, unescape

import pytest

from test_websocket import LISTEN, PATIENCE, Socket

MIB = 1 << 20


@pytest.fixture
def web(make_server, event_loop):
    return launch(make_server, event_loop)


def launch(make_server, event_loop, **options):
    made = make_server({
        "listen": LISTEN, "limits": {"negotiation": "2s"},
        "modules": {"disco": {}, "websocket": {}, "http_upload": {
            "url": "http://files.example:1", "max_size": "20MiB",
            "quota": "50MiB", **options}}})
    event_loop.run_until_complete(made.start())
    for name in ("romeo", "juliet"):
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


class Client(Socket):
    count = 0

    def ask(self, payload, to="upload.localhost", kind="get"):
        self.count += 1
        mark = f"q{self.count}"
        self.send(f"<iq xmlns='jabber:client' type='{kind}' id='{mark}' "
                  f"to='{to}'>{payload}</iq>")
        return self.until(f"id='{mark}'")

    def slot(self, name="a.txt", size=5, kind="text/plain"):
        """The answer to a request for a slot."""
        kind = f" content-type={quoteattr(kind)}" if kind else ""
        return self.ask(
            "<request xmlns='urn:xmpp:http:upload:0' "
            f"filename={quoteattr(name)} size='{size}'{kind}/>")

    def urls(self, *args, **how):
        got = self.slot(*args, **how)
        assert "type='result'" in got, got
        found = [unescape(u, {"&apos;": "'"}) for u in re.findall(
            "<(?:put|get) url='([^']*)'", got)]
        assert len(found) == 2, got
        assert all(u.startswith("http://files.example:1/") for u in found)
        return [u[len("http://files.example:1"):] for u in found]


@pytest.fixture
def romeo(web):
    return Client(web).login("romeo")


def ask(server, method, path, body=None, headers=None):
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=PATIENCE)
    try:
        link.request(method, path, body, headers or {})
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read()
    except (BrokenPipeError, ConnectionResetError):
        # It was refused before all had been sent.
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        link.close()


def files(server):
    return [os.path.join(at, name) for at, _, names in os.walk(
        os.path.join(server.folder, "data", "uploads")) for name in names]


def test_discovery(romeo):
    assert "upload.localhost" in romeo.ask(
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        to="localhost")
    got = romeo.ask("<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert "category='store'" in got and "type='file'" in got
    assert "<feature var='urn:xmpp:http:upload:0'/>" in got
    assert re.search("max-file-size'><value>20971520</value>", got), got
    assert "service-unavailable" in romeo.ask("<ping xmlns='urn:xmpp:ping'/>")


def test_there_and_back(web, romeo):
    name = "très «jolie» & 100%.png"
    put, get = romeo.urls(name, 5, "image/png")
    assert ask(web, "GET", get)[0] == 404
    status, headers, _ = ask(web, "PUT", put, b"hello",
                             {"Content-Type": "image/png"})
    assert status == 201
    assert headers["access-control-allow-origin"] == "*"
    status, headers, body = ask(web, "GET", get)
    assert (status, body) == (200, b"hello")
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == \
        "inline; filename*=UTF-8''" + urllib.parse.quote(name, safe="-._~")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert "immutable" in headers["cache-control"]
    etag = headers["etag"]
    status, headers, body = ask(web, "HEAD", get)
    assert (status, headers["content-length"], body) == (200, "5", b"")
    assert ask(web, "GET", get, headers={"If-None-Match": etag})[0] == 304
    # Once is enough, and the file is as it was.
    assert ask(web, "PUT", put, b"other")[0] == 409
    assert ask(web, "GET", get)[2] == b"hello"
    assert len(files(web)) == 1


RANGES = [
    ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
    ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=10-", 416, None, "bytes */10"),
    ("bytes=-0", 416, None, "bytes */10"),
    ("bytes=4-2", 200, b"0123456789", None),
    ("bytes=0-1,4-5", 200, b"0123456789", None),
    ("lines=1-2", 200, b"0123456789", None),
    ("bytes=x-y", 200, b"0123456789", None),
    ("bytes", 200, b"0123456789", None),
]


def test_ranges(web, romeo):
    put, get = romeo.urls("x.bin", 10, None)
    assert ask(web, "PUT", put, b"0123456789")[0] == 201
    for value, status, body, content in RANGES:
        got = ask(web, "GET", get, headers={"Range": value})
        assert got[0] == status, value
        assert got[1]["content-range"] == content, value
        if body is not None:
            assert got[2] == body, value
        assert ask(web, "GET", get, headers={
            "Range": value, "If-Range": '"another"'})[0] == 200


def test_nothing_runs(web, romeo):
    for kind in ("text/html", "image/svg+xml", "application/xhtml+xml",
                 "text/javascript"):
        put, get = romeo.urls("page.html", 5, kind)
        assert ask(web, "PUT", put, b"<b>x ",
                   {"Content-Type": kind})[0] == 201
        headers = ask(web, "GET", get)[1]
        assert headers["content-disposition"].startswith("attachment;")
        assert "sandbox" in headers["content-security-policy"]


def test_large(web, romeo):
    """Many pieces, in and out, by several at once; memory stays small."""
    data = os.urandom(MIB) * 16
    digest = hashlib.sha256(data).digest()
    before = memory(web)
    put, get = romeo.urls("large.bin", len(data), None)
    assert ask(web, "PUT", put, data)[0] == 201
    for _ in range(2):
        status, _, body = ask(web, "GET", get)
        assert (status, hashlib.sha256(body).digest()) == (200, digest)
    assert is_sanitized(web) or memory(web) - before < 8 * MIB


def is_sanitized(server):
    """Sanitizers keep what was freed for a while."""
    with open(f"/proc/{server.process.pid}/maps", encoding="ascii") as file:
        return re.search("lib(clang_rt.)?[at]san", file.read()) is not None


def memory(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s*(\d+)", file.read())[1]) * 1024


FORGERIES = [
    lambda u: u.replace("size=5", "size=6"),
    lambda u: u.replace("until=1", "until=2"),
    lambda u: u.replace("type=text", "type=image"),
    lambda u: u.replace("owner=romeo", "owner=juliet"),
    lambda u: u.replace("/a.txt", "/b.txt"),
    lambda u: u.replace("/a.txt", "/A.txt"),
    lambda u: re.sub("mac=.*", "mac=" + "0" * 64, u),
    lambda u: u.split("?")[0],
    lambda u: u.split("&mac")[0],
    lambda u: u.replace("a.txt", "x/a.txt"),
    lambda u: u.replace("/upload/", "/upload/x"),
]


def test_forged(web, romeo):
    put, _ = romeo.urls()
    for number, change in enumerate(FORGERIES):
        forged = change(put)
        assert forged != put
        assert ask(web, "PUT", forged, b"hello")[0] == 403, number
    assert not files(web)
    assert ask(web, "PUT", put, b"hello")[0] == 201


def test_other_than_asked(web, romeo):
    put, get = romeo.urls()
    for body, headers, status in (
            (b"hell", {}, 400), (b"hello!", {}, 413), (b"", {}, 400),
            (b"hello", {"Content-Type": "image/png"}, 415)):
        assert ask(web, "PUT", put, body, headers)[0] == status
        assert ask(web, "GET", get)[0] == 404
    assert not files(web)
    assert ask(web, "PUT", put, b"hello")[0] == 201


WRONG_PATHS = [
    "/upload/", "/upload/x", "/upload/%2e%2e/%2e%2e/rookery.db",
    "/upload/../../rookery.db", "/upload/" + "A" * 32, "/upload//a.txt",
    "/upload/" + "A" * 32 + "/a.txt", "/upload/" + "." * 32 + "/a.txt",
    "/upload/" + "A" * 31 + "%2f/a.txt"]


def test_wrong_paths(web):
    for path in WRONG_PATHS:
        assert ask(web, "GET", path)[0] in (400, 404), path
        assert ask(web, "PUT", path, b"hello")[0] in (400, 403), path


def test_other_name(web, romeo):
    put, get = romeo.urls()
    assert ask(web, "PUT", put, b"hello")[0] == 201
    assert ask(web, "GET", get.replace("a.txt", "a.html"))[0] == 404
    assert ask(web, "DELETE", get)[0] == 405
    status, headers, _ = ask(web, "OPTIONS", get)
    assert status == 204
    assert "PUT" in headers["access-control-allow-methods"]


def raw_put(server, put, data):
    link = socket.create_connection(("127.0.0.1", server.port["http"]),
                                    timeout=PATIENCE)
    link.sendall(f"PUT {put} HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Length: 200000\r\n\r\n".encode() + data)
    return link


def test_broken_off(web, romeo, event_loop):
    """What does not come to its end leaves nothing behind."""
    for data in (b"x" * 10, b"x" * 150000):
        put, get = romeo.urls("a.bin", 200000, None)
        raw_put(web, put, data).close()
        with raw_put(web, put, data) as slow:
            assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
        event_loop.run_until_complete(
            web.wait_for(lambda: not files(web), "the temporary file to go"))
        assert ask(web, "GET", get)[0] == 404
        assert ask(web, "PUT", put, b"x" * 200000)[0] == 201
        os.unlink(files(web)[0])


def test_bad_requests(web, romeo):
    for how in ({"name": ""}, {"name": "../x"}, {"name": "a/b"},
                {"name": ".."}, {"name": "a\\b"}, {"name": "x" * 256},
                {"size": 0}, {"size": -1}, {"size": "many"},
                {"kind": "text"}, {"kind": "text/<b>"},
                {"kind": "text/" + "x" * 200}):
        assert "bad-request" in romeo.slot(**how), how
    got = romeo.slot(size=20 * MIB + 1)
    assert "not-acceptable" in got
    assert re.search("<file-too-large [^>]*><max-file-size>20971520<", got)
    assert "/upload/" not in got


def test_quota(web, romeo):
    """Slots count, too; others have quotas of their own."""
    big = 20 * MIB
    romeo.urls(size=big)
    romeo.urls(size=big)
    got = romeo.slot(size=big)
    assert "resource-constraint" in got and "quota" in got
    put, _ = romeo.urls(size=5)
    assert ask(web, "PUT", put, b"hello")[0] == 201
    assert "resource-constraint" in romeo.slot(size=10 * MIB)
    Client(web).login("juliet").urls(size=big)


def test_expiry(make_server, event_loop):
    server = launch(make_server, event_loop, keep="2s")
    romeo = Client(server).login("romeo")
    put, get = romeo.urls()
    assert ask(server, "PUT", put, b"hello")[0] == 201
    event_loop.run_until_complete(server.wait_for(
        lambda: ask(server, "GET", get)[0] == 404 and not files(server),
        "the file to expire"))


def test_kept(web, romeo, event_loop):
    """What was answered by 201 is there after a crash."""
    put, get = romeo.urls()
    assert ask(web, "PUT", put, b"hello")[0] == 201
    event_loop.run_until_complete(web.kill())
    event_loop.run_until_complete(web.start())
    assert ask(web, "GET", get)[2] == b"hello"
    assert ask(web, "PUT", put, b"hello")[0] == 409
