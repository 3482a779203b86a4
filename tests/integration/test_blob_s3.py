# SPDX-License-Identifier: MIT
"""Uploads in a bucket of an S3 server, through us and directly, and what holds
of the promises that files of our own keep."""

import asyncio
import http.client
import os
import re
import socket
import time
import urllib.parse

import pytest

from harness import s3
from test_api import connect
from test_upload import (Client, HTML, MIB, PATIENCE, PNG, SVG, ask, files,
                         is_sanitized, peak, raw_put)
from test_websocket import LISTEN

BASE = "http://files.example:1"
strict = pytest.mark.skipif(
    "ROOKERY_S3RVER" in os.environ, reason="wants the bucket of our own")


@pytest.fixture
def bucket():
    made = s3.start()
    yield made
    made.close()


def launch(make_server, event_loop, bucket, upload=None, **options):
    made = make_server({
        "listen": LISTEN, "limits": {"negotiation": "2s"},
        "log": {"level": "debug"},
        "modules": {
            "disco": {}, "mam": {}, "websocket": {}, "api": {},
            "http_upload": {"url": BASE, "max_size": "50MiB", "storage": "s3",
                            "quota": "90MiB", **(upload or {})},
            "blob_s3": {"endpoint": f"http://localhost:{bucket.port}",
                        "bucket": s3.NAME, "region": s3.REGION,
                        "access_key": s3.ACCESS, "secret_key": s3.SECRET,
                        **options}}})
    event_loop.run_until_complete(made.start())
    for name in ("romeo", "juliet"):
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


@pytest.fixture
def checked(make_server, event_loop, bucket):
    """Types are looked at, so files come through us."""
    return launch(make_server, event_loop, bucket, {"types": ["*/*"]})


@pytest.fixture
def direct(make_server, event_loop, bucket):
    return launch(make_server, event_loop, bucket)


def slot(client, *args, **how):
    """The addresses to put and get, ours without the base."""
    got = client.slot(*args, **how)
    assert "type='result'" in got, got
    found = re.findall("<(?:put|get) url='([^']*)'", got)
    return [u.replace("&amp;", "&").removeprefix(BASE) for u in found]


def visit(url, method="GET", body=None, headers=None):
    """Asks the bucket, whatever its name."""
    parts = urllib.parse.urlsplit(url)
    link = http.client.HTTPConnection("127.0.0.1", parts.port,
                                      timeout=PATIENCE)
    try:
        link.request(method, f"{parts.path}?{parts.query}", body,
                     {"Host": parts.netloc, **(headers or {})})
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        link.close()


def fetch(server, path, method="GET", **headers):
    """As a client does, which follows."""
    status, head, body = ask(server, method, path)
    if status != 307:
        return status, head, body
    assert head["access-control-allow-origin"] == "*"
    assert head["cache-control"] == "no-store"
    return visit(head["location"], method, headers=headers)


def test_through(checked, bucket, event_loop):
    """It is put here, and fetched there; the rest is as with files."""
    romeo = Client(checked).login("romeo")
    name = "très «jolie» & 100%.png"
    put, get = slot(romeo, name, len(PNG), "image/png")
    assert put.startswith("/upload/") and get.startswith("/upload/")
    assert ask(checked, "GET", get)[0] == 404
    assert ask(checked, "PUT", put, PNG)[0] == 201
    assert bucket.count() == 1 and not files(checked)
    status, headers, body = fetch(checked, get)
    assert (status, body) == (200, PNG)
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == \
        "inline; filename*=UTF-8''" + urllib.parse.quote(name, safe="-._~")
    assert re.fullmatch(r"public, max-age=\d+, immutable",
                        headers["cache-control"])
    assert fetch(checked, get, Range="bytes=1-3")[::2] == (206, b"PNG")
    status, headers, body = fetch(checked, get, "HEAD")
    assert (status, headers["content-length"], body) == (
        200, str(len(PNG)), b"")
    # Once is enough, and the file is as it was.
    assert ask(checked, "PUT", put, PNG[::-1])[0] == 409
    assert fetch(checked, get)[2] == PNG
    # Its address is the same for a while, so that caches know it.
    first, second = (ask(checked, "GET", get)[1]["location"]
                     for _ in range(2))
    assert first == second
    assert ask(checked, "GET", get[:41] + "/x.png")[0] == 404
    event_loop.run_until_complete(checked.kill())
    event_loop.run_until_complete(checked.start())
    assert fetch(checked, get)[2] == PNG


def test_nothing_runs(checked):
    romeo = Client(checked).login("romeo")
    for kind, body in (("text/html", HTML), ("image/svg+xml", SVG)):
        put, get = slot(romeo, "page.html", len(body), kind)
        assert ask(checked, "PUT", put, body)[0] == 201
        headers = fetch(checked, get)[1]
        assert headers["content-disposition"].startswith("attachment;")


def test_true_types(make_server, event_loop, bucket):
    """What is refused never gets into the bucket."""
    server = launch(make_server, event_loop, bucket, {"types": ["image/png"]})
    romeo = Client(server).login("romeo")
    put, get = slot(romeo, "a.png", len(HTML), "image/png")
    assert ask(server, "PUT", put, HTML)[0] == 415
    assert ask(server, "GET", get)[0] == 404
    assert bucket.count() == 0
    put, _ = slot(romeo, "a.png", len(PNG), "image/png")
    assert ask(server, "PUT", put, PNG)[0] == 201
    assert bucket.count() == 1


def test_large(checked, bucket):
    """Many pieces; memory stays small, and broken off leaves nothing."""
    data = os.urandom(MIB) * 30
    romeo = Client(checked).login("romeo")
    for _ in range(6):  # on each worker
        put, _ = slot(romeo, "warm.bin", 3 * MIB, None)
        assert ask(checked, "PUT", put, bytes(3 * MIB))[0] == 201
    put, get = slot(romeo, "large.bin", len(data), None)
    before = peak(checked)
    assert ask(checked, "PUT", put, data)[0] == 201
    assert is_sanitized(checked) or peak(checked) - before < MIB
    status, _, body = fetch(checked, get)
    assert status == 200 and body == data
    count = bucket.count()
    put, get = slot(romeo, "broken.bin", 200000, None)
    with raw_put(checked, put, b"x" * 150000) as slow:
        assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert bucket.count() == count
    assert ask(checked, "GET", get)[0] == 404
    assert ask(checked, "PUT", put, b"x" * 200000)[0] == 201
    assert len(fetch(checked, get)[2]) == 200000


def test_two_pieces(checked, bucket):
    """The last piece alone makes enough to be written."""
    romeo = Client(checked).login("romeo")
    for size in (70000, 100000):
        data = os.urandom(size)
        put, get = slot(romeo, "a.bin", size, None)
        with socket.create_connection(
                ("127.0.0.1", checked.port["http"]), PATIENCE) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.sendall(f"PUT {put} HTTP/1.1\r\nHost: localhost\r\n"
                         f"Content-Length: {size}\r\n\r\n".encode() +
                         data[:50000])
            # It has read that when it answers another.
            assert ask(checked, "GET", get)[0] == 404
            link.sendall(data[50000:])
            assert link.recv(4096).startswith(b"HTTP/1.1 201 ")
        assert fetch(checked, get)[2] == data


@strict
def test_twice_at_once(checked, bucket, event_loop):
    """While it comes it is not there; then it is."""
    romeo = Client(checked).login("romeo")
    put, get = slot(romeo, "a.bin", 200000, None)
    with raw_put(checked, put, b"x" * 150000) as first:
        event_loop.run_until_complete(checked.wait_for(
            lambda: any(method == "PUT" for method, _, _ in bucket.asked),
            "the first to begin"))
        assert ask(checked, "PUT", put, b"y" * 200000)[0] == 503
        first.sendall(b"x" * 50000)
        assert first.recv(4096).startswith(b"HTTP/1.1 201 ")
    assert ask(checked, "PUT", put, b"y" * 200000)[0] == 409
    assert fetch(checked, get)[2] == b"x" * 200000


@strict
def test_bucket_down(checked, bucket, event_loop):
    """The client is told to try again, and may."""
    checked.announce("to the bucket: ")
    romeo = Client(checked).login("romeo")
    put, get = slot(romeo, "a.bin", 150000, None)
    bucket.trouble = 503
    for _ in range(2):
        assert ask(checked, "PUT", put, b"x" * 150000)[0] == 503
    event_loop.run_until_complete(
        checked.log_line(r"DELETE to the bucket: status 503 \(SlowDown\)"))
    bucket.trouble = 0
    assert ask(checked, "PUT", put, b"x" * 150000)[0] == 201
    assert len(fetch(checked, get)[2]) == 150000
    bucket.close()
    put, _ = slot(romeo, "b.bin", 5, None)
    assert ask(checked, "PUT", put, b"hello")[0] == 503


def test_direct(direct, bucket):
    """Its bytes never pass through us."""
    romeo = Client(direct).login("romeo")
    put, get = slot(romeo, "a b.txt", 5, "text/plain")
    assert urllib.parse.urlsplit(put).port == bucket.port
    assert fetch(direct, get)[0] == 404
    assert visit(put, "PUT", b"hello",
                 {"Content-Type": "text/plain"})[0] == 200
    status, headers, body = fetch(direct, get)
    assert (status, body) == (200, b"hello")
    assert headers["content-type"] == "text/plain"
    assert headers["content-disposition"] == \
        "inline; filename*=UTF-8''a%20b.txt"
    # Whatever it was put as, it comes as what the slot said.
    put, get = slot(romeo, "a.html", 5, "text/html")
    assert visit(put, "PUT", b"hello",
                 {"Content-Type": "text/html"})[0] == 200
    assert fetch(direct, get)[1]["content-disposition"].startswith(
        "attachment;")
    put, get = slot(romeo, "plain", 5, None)
    assert visit(put, "PUT", b"hello", {"Content-Type": "x/y"})[0] == 200
    assert fetch(direct, get)[1]["content-type"] == "application/octet-stream"


@strict
def test_direct_forged(direct, bucket):
    """What was asked for is signed, and nothing else goes."""
    romeo = Client(direct).login("romeo")
    put, _ = slot(romeo, "a.txt", 5, "text/plain")
    kind = {"Content-Type": "text/plain"}
    for url, method, body, headers in (
            (put, "PUT", b"hell", kind), (put, "PUT", b"hello!", kind),
            (put, "PUT", b"hello", {"Content-Type": "text/html"}),
            (put, "PUT", b"hello", {}), (put, "GET", None, {}),
            (put, "DELETE", None, {}),
            (put.replace("/localhost/", "/localhost/x"), "PUT", b"hello", kind),
            (re.sub("Expires=[0-9]+", "Expires=604800", put), "PUT", b"hello",
             kind)):
        assert visit(url, method, body, headers)[0] == 403, (method, body)
    assert bucket.count() == 0
    assert visit(put, "PUT", b"hello", kind)[0] == 200
    assert int(re.search(r"X-Amz-Expires=(\d+)", put)[1]) <= 900


def test_direct_quota(make_server, event_loop, bucket):
    """A slot counts as a file, until it is seen that it was not used."""
    server = launch(make_server, event_loop, bucket, {
        "slot": "2s", "quota": "10KiB", "host_quota": "15KiB"}, transfer="1s")
    romeo = Client(server).login("romeo")
    put, get = slot(romeo, size=4000)
    assert visit(put, "PUT", b"x" * 4000,
                 {"Content-Type": "text/plain"})[0] == 200
    slot(romeo, size=4000)
    got = romeo.slot(size=4000)
    assert "resource-constraint" in got and "quota" in got
    juliet = Client(server).login("juliet")
    slot(juliet, size=7000)
    assert "no room" in juliet.slot(size=2000)
    event_loop.run_until_complete(server.wait_for(
        lambda: "type='result'" in romeo.slot(size=4000),
        "the unused slot to be given back"))
    # The one that was used still counts, and is there.
    assert "resource-constraint" in romeo.slot(size=4000)
    assert len(fetch(server, get)[2]) == 4000
    assert bucket.count() == 1


def test_many_unused(make_server, event_loop, bucket):
    """They are looked for some at a time, and all given back."""
    server = launch(make_server, event_loop, bucket, {
        "slot": "1s", "host_quota": "41000"}, transfer="1s")
    romeo = Client(server).login("romeo")
    event_loop.run_until_complete(server.wait_for(
        lambda: "no room" in romeo.slot(size=1000), "the room to be used"))
    event_loop.run_until_complete(server.wait_for(
        lambda: "type='result'" in romeo.slot(size=40000),
        "the unused slots to be given back"))


def test_end(make_server, event_loop, bucket):
    server = launch(make_server, event_loop, bucket, {
        "keep": "3s", "slot": "1s"})
    romeo = Client(server).login("romeo")
    put, get = slot(romeo)
    assert visit(put, "PUT", b"hello",
                 {"Content-Type": "text/plain"})[0] == 200
    location = ask(server, "GET", get)[1]["location"]
    event_loop.run_until_complete(server.wait_for(
        lambda: ask(server, "GET", get)[0] == 404 and bucket.count() == 0,
        "the file to go"))
    assert visit(location)[0] in (403, 404)


def send_and_retract(client, link):
    for mark, content in (
            ("m1", f"<body>{BASE}{link}</body>"
             "<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>"),
            ("r1", "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/>"
             "<store xmlns='urn:xmpp:hints'/>")):
        client.send("<message xmlns='jabber:client' to='juliet@localhost' "
                    f"type='chat' id='{mark}'>{content}</message>")


def test_put_when_gone(make_server, event_loop, bucket):
    """An address to put can't be taken back: what comes by it goes again."""
    server = launch(make_server, event_loop, bucket, {
        "slot": "5s", "quota": "8000"}, transfer="1s")
    romeo = Client(server).login("romeo")
    juliet = Client(server).login("juliet")
    kind = {"Content-Type": "text/plain"}
    put, get = slot(romeo, size=5000)
    other_put, other_get = slot(juliet, size=5000)
    send_and_retract(romeo, get)
    event_loop.run_until_complete(server.wait_for(
        lambda: ask(server, "GET", get)[0] == 404, "the slot's file to go"))
    assert visit(put, "PUT", b"x" * 5000, kind)[0] == 200
    status, _, errors = server.ctl("unregister", "juliet", "localhost")
    assert status == 0, errors
    # What was noted of her goes after her, with what has come till then.
    event_loop.run_until_complete(server.wait_for(
        lambda: visit(other_put, "PUT", b"x" * 5000, kind)[0] == 200 and
        bucket.count() == 2, "both to be put"))
    assert ask(server, "GET", get)[0] == 404
    assert ask(server, "GET", other_get)[0] == 404
    # It may be put again and again, so it counts.
    assert "resource-constraint" in romeo.slot(size=5000)
    event_loop.run_until_complete(server.wait_for(
        lambda: bucket.count() == 0, "what came to go"))
    event_loop.run_until_complete(server.wait_for(
        lambda: "type='result'" in romeo.slot(size=5000),
        "the slot to be given back"))


@strict
def test_slow_put(make_server, event_loop, bucket):
    """What began in time and ends later is there, and counts."""
    server = launch(make_server, event_loop, bucket, {
        "slot": "1s", "quota": "8000"})
    romeo = Client(server).login("romeo")
    put, get = slot(romeo, size=5000)
    parts = urllib.parse.urlsplit(put)
    with socket.create_connection(("127.0.0.1", bucket.port),
                                  PATIENCE) as link:
        link.sendall(f"PUT {parts.path}?{parts.query} HTTP/1.1\r\n"
                     f"Host: {parts.netloc}\r\nContent-Type: text/plain\r\n"
                     "Content-Length: 5000\r\n\r\n".encode() + b"x" * 2000)
        # The slot ends, and the next walks pass.
        begin = time.monotonic()
        while time.monotonic() < begin + 4:
            assert fetch(server, get)[0] == 404
            event_loop.run_until_complete(asyncio.sleep(0.2))
        link.sendall(b"x" * 3000)
        assert link.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert fetch(server, get)[::2] == (200, b"x" * 5000)
    assert "resource-constraint" in romeo.slot(size=5000)


@strict
def test_wrong_length(make_server, event_loop, bucket):
    """Another length than was asked for is not kept; none says nothing."""
    server = launch(make_server, event_loop, bucket, {"slot": "2s"},
                    transfer="1s")
    server.announce("the bucket names no length")
    bucket.is_vague = True
    romeo = Client(server).login("romeo")
    put, get = slot(romeo)
    assert visit(put, "PUT", b"hello",
                 {"Content-Type": "text/plain"})[0] == 200
    event_loop.run_until_complete(server.log_line("names no length"))
    assert ask(server, "GET", get)[0] == 503
    assert bucket.count() == 1
    for key in list(bucket.objects):
        bucket.objects[key] = (b"hello!", "text/plain")
    bucket.is_vague = False
    event_loop.run_until_complete(server.wait_for(
        lambda: bucket.count() == 0, "the object to go"))
    event_loop.run_until_complete(server.wait_for(
        lambda: ask(server, "GET", get)[0] == 404, "that to be noted"))


def test_gone(direct, bucket, event_loop):
    """With its message, or with its account."""
    romeo = Client(direct).login("romeo")
    links = []
    for _ in range(2):
        put, get = slot(romeo)
        assert visit(put, "PUT", b"hello",
                     {"Content-Type": "text/plain"})[0] == 200
        links.append(get)
    send_and_retract(romeo, links[0])
    event_loop.run_until_complete(direct.wait_for(
        lambda: bucket.count() == 1, "the file to go"))
    assert ask(direct, "GET", links[0])[0] == 404
    assert fetch(direct, links[1])[0] == 200
    status, _, errors = direct.ctl("unregister", "romeo", "localhost")
    assert status == 0, errors
    event_loop.run_until_complete(direct.wait_for(
        lambda: bucket.count() == 0, "romeo's files to go"))
    assert ask(direct, "GET", links[1])[0] == 404


@strict
def test_turned_off(direct, bucket, event_loop):
    """While the bucket is to remove a file: that goes on to its end."""
    romeo = Client(direct).login("romeo")
    put, get = slot(romeo)
    assert visit(put, "PUT", b"hello",
                 {"Content-Type": "text/plain"})[0] == 200
    bucket.gate.clear()
    send_and_retract(romeo, get)
    event_loop.run_until_complete(direct.wait_for(
        lambda: bucket.asked[-1][0] == "DELETE", "the bucket to be asked"))
    settings = direct.overrides["modules"]["http_upload"]
    for is_on in (False, True):
        settings["enabled"] = is_on
        direct.write_config()
        event_loop.run_until_complete(direct.ctl_ok("reload_config"))
        assert (ask(direct, "OPTIONS", get)[0] == 204) == is_on
        if not is_on:
            # Longer than an instance stays that nobody holds.
            event_loop.run_until_complete(asyncio.sleep(0.5))
            bucket.gate.set()
            event_loop.run_until_complete(direct.wait_for(
                lambda: bucket.count() == 0, "the file to go"))
    assert ask(direct, "GET", get)[0] == 404
    slot(romeo)


async def test_api(direct, bucket):
    """An application's photo comes through us: its message waits for it."""
    app = connect(direct)
    place = await app.call("POST", "/media", {
        "from_user_id": "romeo", "to_user_id": "juliet", "filename": "a.png",
        "size": len(PNG), "content_type": "image/png"}, 201)
    path = place["upload_url"].removeprefix(BASE)
    assert path.startswith("/upload/")
    assert ask(direct, "PUT", path, PNG)[0] == 201
    assert bucket.count() == 1
    page = await app.call(
        "GET", "/media?from_user_id=romeo&to_user_id=juliet")
    at = page["media"][0]["url"].removeprefix(BASE)
    assert fetch(direct, at)[2] == PNG


@strict
def test_virtual(make_server, event_loop, bucket, tmp_path):
    """The bucket's name in the host's, a prefix, and keys of a file."""
    path = tmp_path / "credentials"
    path.write_text("[other]\naws_access_key_id = x\n[default]\n"
                    f"aws_access_key_id = {s3.ACCESS}\n"
                    f"aws_secret_access_key={s3.SECRET}\n")
    server = launch(make_server, event_loop, bucket, {"types": ["*/*"]},
                    addressing="virtual", credentials_file=str(path),
                    prefix="a b/", access_key="", secret_key="")
    romeo = Client(server).login("romeo")
    put, get = slot(romeo)
    event_loop.run_until_complete(server.wait_for(
        lambda: ask(server, "PUT", put, b"hello")[0] in (201, 409),
        "the keys to be read"))
    assert [key[:14] for key in bucket.objects] == ["a b/localhost/"]
    assert fetch(server, get)[2] == b"hello"
    assert ask(server, "GET", get)[1]["location"].startswith(
        f"http://files.localhost:{bucket.port}/a%20b/localhost/")


def test_secrets(make_server, event_loop, bucket):
    """Neither keys nor signatures are logged or shown."""
    server = launch(make_server, event_loop, bucket, {"types": ["*/*"]})
    romeo = Client(server).login("romeo")
    put, get = slot(romeo)
    assert ask(server, "PUT", put, b"hello")[0] == 201
    signature = re.search("Signature=([0-9a-f]+)",
                          ask(server, "GET", get)[1]["location"])[1]
    path = os.path.join(server.folder, "shown")
    status, _, errors = server.ctl("dump_config", path)
    assert status == 0, errors
    with open(path, encoding="utf-8") as file:
        shown = file.read()
    text = "\n".join(server.lines())
    assert signature not in text and "Signature" not in text
    assert "secret_key" in shown
    assert not re.search(f"secret_key.*{s3.SECRET}", shown), shown


def test_not_on(make_server, event_loop):
    """Without its module there is nowhere to keep files."""
    server = make_server({"listen": LISTEN, "modules": {
        "disco": {}, "websocket": {},
        "http_upload": {"url": BASE, "storage": "s3"}}})
    event_loop.run_until_complete(server.start())
    assert server.ctl("register", "romeo", "localhost", "secret")[0] == 0
    romeo = Client(server).login("romeo")
    assert "service-unavailable" in romeo.slot()
    assert ask(server, "GET", "/upload/" + "A" * 32 + "/a")[0] == 503
