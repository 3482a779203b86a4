# SPDX-License-Identifier: MIT
"""HTTP File Upload (XEP-0363): slots, files in and out, and what is refused."""

import contextlib
import datetime
import hashlib
import http.client
import os
import re
import socket
import sqlite3
import threading
import time
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
        "modules": {"disco": {}, "mam": {}, "websocket": {}, "http_upload": {
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

    def slot(self, name="a.txt", size=5, kind="text/plain", purpose=""):
        """The answer to a request for a slot."""
        kind = f" content-type={quoteattr(kind)}" if kind else ""
        if purpose:
            purpose = purpose.replace(
                " ", " xmlns='urn:xmpp:http:upload:purpose:0' ", 1)
            purpose = f"<{purpose}/>"
        return self.ask(
            "<request xmlns='urn:xmpp:http:upload:0' "
            f"filename={quoteattr(name)} size='{size}'{kind}>{purpose}"
            "</request>")

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
        assert answer.reason != "Status", answer.status
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


def peak(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s*(\d+)", file.read())[1]) * 1024


def fetch(server, path, sums):
    """Takes a file piece by piece."""
    digest = hashlib.sha256()
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=PATIENCE)
    link.request("GET", path)
    answer = link.getresponse()
    while piece := answer.read(MIB):
        digest.update(piece)
    link.close()
    sums.append(digest.digest())


def test_huge(make_server, event_loop, tmp_path):
    """More than 100 MB, up and down, in less than 1 MiB each."""
    server = launch(make_server, event_loop, max_size="200MiB",
                    quota="300MiB")
    romeo = Client(server).login("romeo")
    size = 120 * 1000 * 1000
    with open(tmp_path / "huge", "w+b") as file:
        file.truncate(size)
        file.seek(size - 10)
        file.write(b"0123456789")
    # What the first transfers need is there for those that follow.
    put, get = romeo.urls("warm.bin", MIB, None)
    assert ask(server, "PUT", put, bytes(MIB))[0] == 201
    assert len(ask(server, "GET", get)[2]) == MIB
    before = peak(server)
    put, get = romeo.urls("huge.bin", size, None)
    with open(tmp_path / "huge", "rb") as file:
        assert ask(server, "PUT", put, file,
                   {"Content-Length": str(size)})[0] == 201
    assert is_sanitized(server) or peak(server) - before < MIB
    before = peak(server)
    sums = []
    threads = [threading.Thread(target=fetch, args=(server, get, sums))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(tmp_path / "huge", "rb") as file:
        want = hashlib.file_digest(file, "sha256").digest()
    assert sums == [want, want]
    assert is_sanitized(server) or peak(server) - before < 2 * MIB
    status, headers, body = ask(server, "GET", get, headers={
        "Range": f"bytes={size - 12}-{size - 3}"})
    assert (status, body) == (206, b"\0\x0001234567")
    assert headers["content-range"] == \
        f"bytes {size - 12}-{size - 3}/{size}"


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
    lambda u: u.replace("for=0", "for=3"),
    lambda u: u.replace("for=0", "for=9"),
    lambda u: u.replace("before=0", "before=1"),
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


# By their first bytes, whatever they are called.
PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802"
                    "0000009077" "53de")
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'></svg>"


def test_true_types(make_server, event_loop):
    """What is in a file decides, not what it is called."""
    server = launch(make_server, event_loop,
                    types=["image/png", "video/*", "application/octet-stream"])
    romeo = Client(server).login("romeo")
    for body, kind, status in (
            (PNG, "image/png", 201), (PNG, "video/mp4", 201),
            (bytes(range(255, 0, -1)), "image/png", 201),
            (HTML, "image/png", 415), (SVG, "image/png", 415),
            (HTML + b" " * 300000, "image/png", 415),
            (b"hello", "image/png", 415), (b"GIF89a" + PNG, "image/png", 415),
            (b"%PDF-1.7\n%abc\n", "application/octet-stream", 415)):
        put, get = romeo.urls("a.png", len(body), kind)
        assert ask(server, "PUT", put, body)[0] == status, body[:20]
        assert ask(server, "GET", get)[0] == (
            200 if status == 201 else 404), body[:20]
    event_loop.run_until_complete(server.wait_for(
        lambda: len(files(server)) == 3, "the refused files to go"))
    got = romeo.slot("a.html", 5, "text/html")
    assert "not-acceptable" in got and "type" in got


def test_old_slot(make_server, event_loop):
    server = launch(make_server, event_loop, slot="1s")
    romeo = Client(server).login("romeo")
    put, get = romeo.urls()
    event_loop.run_until_complete(server.wait_for(
        lambda: ask(server, "PUT", put, b"hello!")[0] == 403,
        "the slot to be too old"))
    assert ask(server, "PUT", put, b"hello")[0] == 403
    assert ask(server, "GET", get)[0] == 404


def test_purposes(make_server, event_loop):
    server = launch(make_server, event_loop, profile_quota="1KiB",
                    keep="1h", profile_keep="2h")
    romeo = Client(server).login("romeo")
    got = romeo.ask("<query xmlns='http://jabber.org/protocol/disco#info'/>")
    for name in ("message", "profile", "ephemeral"):
        assert f"urn:xmpp:http:upload:purpose:0#{name}'" in got
    assert "#permanent" not in got
    assert "feature-not-implemented" in romeo.slot(purpose="permanent ")
    for wrong in ("ephemeral ", "ephemeral expire-before='tomorrow'",
                  "ephemeral expire-before='2020-01-01T00:00:00Z'"):
        assert "bad-request" in romeo.slot(purpose=wrong), wrong
    assert "file-too-large" in romeo.slot(size=1025, purpose="profile ")
    romeo.urls(size=20 * MIB, purpose="message ")
    romeo.urls(size=20 * MIB, purpose="unknown ")
    # A purse of its own.
    put, get = romeo.urls(size=1024, purpose="profile ")
    assert "resource-constraint" in romeo.slot(purpose="profile ")
    assert ask(server, "PUT", put, b"x" * 1024)[0] == 201
    assert "resource-constraint" in romeo.slot(purpose="profile ")
    assert ask(server, "GET", get)[0] == 200
    assert abs(os.stat(files(server)[0]).st_mtime - time.time() - 7200) < 60


def test_ephemeral(web, romeo, event_loop):
    """It is not to be had a moment longer."""
    end = time.time() + 3
    stamp = datetime.datetime.fromtimestamp(
        end, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    put, get = romeo.urls(purpose=f"ephemeral expire-before='{stamp}'")
    assert ask(web, "PUT", put, b"hello")[0] == 201
    status, headers, _ = ask(web, "GET", get)
    if status == 200:
        age = int(re.search(r"max-age=(\d+)", headers["cache-control"])[1])
        assert age <= 3
    event_loop.run_until_complete(web.wait_for(
        lambda: ask(web, "GET", get)[0] == 404, "the file to end"))
    assert time.time() >= end - 0.1


def test_host_quota(make_server, event_loop):
    """All of the host's together; it is counted again after a restart."""
    server = launch(make_server, event_loop, host_quota="10KiB")
    romeo = Client(server).login("romeo")
    slots = [romeo.urls(size=4000) for _ in range(3)]
    body = b"x" * 4000
    assert [ask(server, "PUT", put, body)[0] for put, _ in slots] == \
        [201, 201, 413]
    assert "resource-constraint" in Client(server).login("juliet").slot(
        size=4000)
    # What is refused or broken off does not count.
    for _ in range(5):
        assert ask(server, "PUT", slots[0][0], body)[0] in (409, 413)
        raw_put(server, slots[2][0], b"x").close()
    romeo.urls(size=2000)
    event_loop.run_until_complete(server.stop())
    event_loop.run_until_complete(server.start())
    juliet = Client(server).login("juliet")
    event_loop.run_until_complete(server.wait_for(
        lambda: "resource-constraint" in juliet.slot(size=4000),
        "the files to be counted"))
    juliet.urls(size=2000)


def test_deleted_account(make_server, event_loop):
    """Its files go with it, and the host has the room again."""
    server = launch(make_server, event_loop, host_quota="10KiB")
    romeo = Client(server).login("romeo")
    body = b"x" * 2000
    links = [romeo.urls(size=2000) for _ in range(4)]
    late, _ = romeo.urls(size=2000)
    for put, _ in links:
        assert ask(server, "PUT", put, body)[0] == 201
    juliet = Client(server).login("juliet")
    put, get = juliet.urls(size=2000)
    assert ask(server, "PUT", put, body)[0] == 201
    assert "resource-constraint" in juliet.slot(size=2000)
    status, _, errors = server.ctl("unregister", "romeo", "localhost")
    assert status == 0, errors
    event_loop.run_until_complete(server.wait_for(
        lambda: len(files(server)) == 1, "romeo's files to go"))
    assert all(ask(server, "GET", link)[0] == 404 for _, link in links)
    assert ask(server, "GET", get)[0] == 200
    event_loop.run_until_complete(server.wait_for(
        lambda: "type='result'" in juliet.slot(size=2000), "room"))
    # A slot is worth nothing without its account.
    assert ask(server, "PUT", late, body)[0] == 403
    assert len(files(server)) == 1


def test_retraction(web, romeo, event_loop):
    """The file goes with its message, if it is the sender's own."""
    base = "http://files.example:1"
    juliet = Client(web).login("juliet")
    links = []
    for owner in (romeo, romeo, juliet):
        put, get = owner.urls()
        assert ask(web, "PUT", put, b"hello")[0] == 201
        links.append(get)

    def say(mark, content):
        romeo.send("<message xmlns='jabber:client' to='juliet@localhost' "
                   f"type='chat' id='{mark}'>{content}</message>")

    say("m1", f"<body>{base}{links[0]} {base}{links[2]} {base}/upload/x"
        "</body><origin-id xmlns='urn:xmpp:sid:0' id='m1'/>")
    say("m2", f"<body>{base}{links[1]}</body>"
        "<origin-id xmlns='urn:xmpp:sid:0' id='m2'/>")
    for number, mark in enumerate(("m1", "m3")):
        say(f"r{number}", f"<retract xmlns='urn:xmpp:message-retract:1' "
            f"id='{mark}'/><store xmlns='urn:xmpp:hints'/>")
    event_loop.run_until_complete(web.wait_for(
        lambda: ask(web, "GET", links[0])[0] == 404, "the file to go"))
    assert ask(web, "GET", links[1])[0] == 200
    assert ask(web, "GET", links[2])[0] == 200
    # Who retracts what he was sent takes nothing.
    juliet.send("<message xmlns='jabber:client' to='romeo@localhost' "
                "type='chat' id='r9'><retract id='m2' "
                "xmlns='urn:xmpp:message-retract:1'/></message>")
    assert "type='result'" in juliet.slot()
    assert ask(web, "GET", links[1])[0] == 200
    assert len(files(web)) == 2


def test_retracted_slot(make_server, event_loop):
    """A slot that nobody used gives nothing back; what was used, once, and
    then it is no slot any more."""
    base = "http://files.example:1"
    server = launch(make_server, event_loop, host_quota="10KiB")
    romeo = Client(server).login("romeo")
    juliet = Client(server).login("juliet")
    body = b"x" * 4000
    used, kept, unused = [romeo.urls(size=4000) for _ in range(3)]
    for put, _ in (used, kept):
        assert ask(server, "PUT", put, body)[0] == 201

    def say(mark, content):
        romeo.send("<message xmlns='jabber:client' to='juliet@localhost' "
                   f"type='chat' id='{mark}'>{content}</message>")

    for number, (_, get) in enumerate([unused] * 3 + [used] * 3):
        say(f"m{number}", f"<body>{base}{get}</body>"
            f"<origin-id xmlns='urn:xmpp:sid:0' id='m{number}'/>")
    for number in range(6):
        say(f"r{number}", "<retract xmlns='urn:xmpp:message-retract:1' "
            f"id='m{number}'/><store xmlns='urn:xmpp:hints'/>")
    event_loop.run_until_complete(server.wait_for(
        lambda: "type='result'" in juliet.slot(size=6000), "room"))
    assert "resource-constraint" in juliet.slot(size=6500)
    assert ask(server, "PUT", used[0], body)[0] == 403
    assert [ask(server, "GET", get)[0] for _, get in (used, kept)] == \
        [404, 200]
    assert ask(server, "PUT", unused[0], body)[0] == 201
    assert len(files(server)) == 2


def forget_notes(server):
    """How many there were in the host's index."""
    with contextlib.closing(sqlite3.connect(os.path.join(
            server.folder, "data", "rookery.db"))) as db:
        gone = db.execute("DELETE FROM kv WHERE store = 'upload_index'")
        db.commit()
        return gone.rowcount


@pytest.mark.sqlite("takes from its database what a crash would not note")
def test_not_noted(web, romeo, event_loop):
    """The file is there, but a crash came before its note: it is made up."""
    put, get = romeo.urls()
    assert ask(web, "PUT", put, b"hello")[0] == 201
    event_loop.run_until_complete(web.stop())
    assert forget_notes(web) == 1
    event_loop.run_until_complete(web.start())
    assert ask(web, "PUT", put, b"hello")[0] == 201
    assert ask(web, "PUT", put, b"hello")[0] == 409
    assert ask(web, "GET", get)[2] == b"hello"
    event_loop.run_until_complete(web.stop())
    assert forget_notes(web) == 1
    event_loop.run_until_complete(web.start())


def test_bad_heads(web, romeo):
    """Requests that another server might read otherwise, and huge ones."""
    put, get = romeo.urls()
    for heads, status in (
            ("Transfer-Encoding: chunked", 411),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
            ("Content-Length: 5\r\nContent-Length: 6", 400),
            ("Content-Length: +5", 400), ("Content-Length: 5, 5", 400),
            ("Content-Length: 0x5", 400), ("x: " + "y" * 9000, 431),
            ("X-A: b\r\n" * 70 + "X-B: c", 431)):
        with socket.create_connection(("127.0.0.1", web.port["http"]),
                                      timeout=PATIENCE) as link:
            link.sendall(f"PUT {put} HTTP/1.1\r\nHost: localhost\r\n{heads}"
                         "\r\n\r\nhello".encode())
            assert link.recv(4096).startswith(b"HTTP/1.1 %d " % status), heads
    assert ask(web, "GET", get)[0] == 404 and not files(web)
    assert ask(web, "PUT", put, b"hello")[0] == 201
