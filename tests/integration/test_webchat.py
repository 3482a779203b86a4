# SPDX-License-Identifier: MIT
"""The web client at /chat/: its files, and what the server tells it. The
client itself is played by a few files; tests/web has the real one."""

import gzip
import http.client
import json
import os
import socket

import pytest

PATIENCE = 30
LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
    {"type": "http", "ip": "127.0.0.1", "port": "https", "tls": True},
]
FILES = {
    "converse.min.js": b"/* a client */" * 100,
    "converse.min.css": b"body {}",
    "images/logo/a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "images/favicon.ico": b"icon",
    "locales/dayjs/de-at-js.js": b"de",
    "webfonts/muli.ttf": b"font",
    "sounds/msg.ogg": b"ogg",
    "emoji.json": b"{}",
    "version": b"12\n",
    "LICENSE": b"free",
    ".hidden.js": b"secret",
    "images/.hidden.png": b"secret",
}
TYPES = {
    "converse.min.js": "text/javascript; charset=utf-8",
    "converse.min.css": "text/css; charset=utf-8",
    "images/logo/a.svg": "image/svg+xml",
    "images/favicon.ico": "image/x-icon",
    "locales/dayjs/de-at-js.js": "text/javascript; charset=utf-8",
    "webfonts/muli.ttf": "font/ttf",
    "sounds/msg.ogg": "audio/ogg",
    "emoji.json": "application/json",
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "outer" / "webchat"
    for name, text in FILES.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    with gzip.open(made / "converse.min.js.gz", "wb") as out:
        out.write(FILES["converse.min.js"])
    (tmp_path / "outer" / "outside.js").write_text("secret")
    os.symlink("../outside.js", made / "link.js")
    os.mkfifo(made / "pipe.js")
    (made / "folder.js").mkdir()
    return made


@pytest.fixture
def launch(make_server, event_loop, folder):
    def start(webchat=None, **modules):
        made = make_server({"listen": LISTEN, "modules": {
            "websocket": {}, "bosh": {},
            "webchat": {"dir": str(folder), **(webchat or {})}, **modules}})
        event_loop.run_until_complete(made.start())
        return made
    return start


def get(server, path, method="GET", **headers):
    """(status, headers, body); names of headers with _ for -."""
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=PATIENCE)
    link.request(method, path, headers={
        key.replace("_", "-"): value for key, value in headers.items()})
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, answer.headers, body


def settings(server, **headers):
    status, got, body = get(server, "/chat/start.js", **headers)
    assert status == 200
    assert got["content-type"] == "text/javascript; charset=utf-8"
    assert got["cache-control"] == "no-store"
    text = body.decode()
    assert text.endswith(");\n")
    return json.loads(text.split("converse.initialize(")[1][:-len(");\n")])


def test_files(launch):
    server = launch()
    for name, kind in TYPES.items():
        status, headers, body = get(server, "/chat/" + name)
        assert (status, body) == (200, FILES[name]), name
        assert headers["content-type"] == kind
        assert headers["x-content-type-options"] == "nosniff"
        assert "max-age=" in headers["cache-control"]
        assert "sandbox" in headers["content-security-policy"]
        etag = headers["etag"]
        status, headers, body = get(server, "/chat/" + name,
                                    If_None_Match=etag)
        assert (status, body) == (304, b"")
        assert headers["etag"] == etag
        status, headers, body = get(server, "/chat/" + name, "HEAD")
        assert (status, body) == (200, b"")
        assert headers["content-length"] == str(len(FILES[name]))
    # As Converse.js asks for some.
    assert get(server, "/chat//emoji.json")[0] == 200
    assert get(server, "/chat/emoji.json", "POST")[0] == 405
    status, headers, _ = get(server, "/chat")
    assert (status, headers["location"]) == (308, "/chat/")


def test_smaller_files(launch):
    server = launch()
    path = "/chat/converse.min.js"
    status, headers, body = get(server, path, Accept_Encoding="br, gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert headers["content-type"] == TYPES["converse.min.js"]
    assert headers["vary"] == "accept-encoding"
    assert gzip.decompress(body) == FILES["converse.min.js"]
    plain = get(server, path)[1]
    assert "content-encoding" not in plain
    assert plain["vary"] == "accept-encoding"
    assert plain["etag"] != headers["etag"]
    # Of this one there is no smaller one.
    headers = get(server, "/chat/emoji.json", Accept_Encoding="gzip")[1]
    assert "content-encoding" not in headers


def test_a_changed_file_has_another_tag(launch, folder):
    server = launch()
    before = get(server, "/chat/emoji.json")[1]["etag"]
    (folder / "new").write_bytes(b"[]")
    os.utime(folder / "new", (0, 0))
    os.rename(folder / "new", folder / "emoji.json")
    status, headers, body = get(server, "/chat/emoji.json",
                                If_None_Match=before)
    assert (status, body) == (200, b"[]")
    assert headers["etag"] != before


@pytest.mark.parametrize("path", [
    "../outside.js", "images/../../outside.js", "%2e%2e/outside.js",
    "..%2foutside.js", "%2e%2e%2foutside.js", "images/..%2f../outside.js",
    "..%5coutside.js", "./emoji.json", "images//favicon.ico",
    "///emoji.json", "%2f%2femoji.json", "emoji.json%00.js", "link.js",
    "pipe.js", "folder.js", ".hidden.js", "images/.hidden.png", "version",
    "LICENSE", "images", "images/", "converse.min.js.gz", "nothing.js",
    "a" * 300 + ".js", "emoji.json/", "emoji.json/x.js", "Emoji.json",
    "%ff.js", "a b.js", "*.js",
])
def test_path_tricks(launch, path):
    server = launch()
    link = socket.create_connection(("127.0.0.1", server.port["http"]),
                                    PATIENCE)
    link.sendall(f"GET /chat/{path.replace(' ', '%20')} HTTP/1.1\r\n"
                 "host: localhost\r\nconnection: close\r\n\r\n".encode())
    answer = b""
    while data := link.recv(65536):
        answer += data
    link.close()
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer
    assert b"secret" not in answer


def test_page(launch):
    server = launch()
    status, headers, body = get(server, "/chat/", Host="localhost:5280")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in
                  headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["base-uri"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert "ws://localhost:5280" in policy["connect-src"].split()
    text = body.decode()
    assert 'src="converse.min.js"' in text and 'src="start.js"' in text
    # No script in the page itself: the policy would not let it run.
    assert text.count("<script") == text.count('<script src="')


def test_settings(launch):
    server = launch()
    told = settings(server, Host="localhost:5280")
    assert told["websocket_url"] == "ws://localhost:5280/ws"
    assert told["bosh_service_url"] == "http://localhost:5280/http-bind"
    assert told["default_domain"] == "localhost"
    assert told["assets_path"] == "/chat/"
    assert told["allow_registration"] is False
    # Behind a proxy on this machine that speaks TLS.
    told = settings(server, Host="chat.example", X_Forwarded_Proto="https")
    assert told["websocket_url"] == "wss://chat.example/ws"
    assert told["bosh_service_url"] == "https://chat.example/http-bind"


@pytest.mark.parametrize("name", [
    "x'y", 'x"y', "x</script>", "x;y", "x/y", "x y", "x\\y", "x@y"])
def test_bad_names_are_not_repeated(launch, name):
    server = launch()
    told = settings(server, Host=name)
    assert "websocket_url" not in told and "bosh_service_url" not in told
    policy = get(server, "/chat/", Host=name)[1]["content-security-policy"]
    assert name not in policy


def test_settings_of_the_configuration(launch):
    server = launch(
        {"websocket_url": "wss://a.example:1/x", "bosh_url":
         "https://b.example/y?z=\"'"}, register={"enabled": True})
    told = settings(server)
    assert told["websocket_url"] == "wss://a.example:1/x"
    assert told["bosh_service_url"] == "https://b.example/y?z=\"'"
    assert told["allow_registration"] is True
    policy = get(server, "/chat/")[1]["content-security-policy"]
    assert " wss://a.example:1 https://b.example;" in policy


def test_without_what_it_needs(launch, folder):
    """It tells of what is on, and how to install what is missing."""
    server = launch(websocket={"enabled": False}, register={"enabled": False})
    told = settings(server, Host="localhost:5280")
    assert "websocket_url" not in told
    assert told["bosh_service_url"] == "http://localhost:5280/http-bind"
    assert told["allow_registration"] is False
    os.rename(folder / "converse.min.js", folder / "away")
    status, headers, body = get(server, "/chat/")
    assert status == 503
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert b"make -C build webchat" in body
    os.rename(folder / "away", folder / "converse.min.js")
    assert get(server, "/chat/")[0] == 200
