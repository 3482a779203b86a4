# SPDX-License-Identifier: MIT
"""HTTP over real sockets: status, metrics, the administrators' API, and what
is refused."""

import base64
import http.client
import json
import re
import socket
import ssl
import subprocess

import pytest

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
    {"type": "http", "ip": "127.0.0.1", "port": "https", "tls": True},
]
PATIENCE = 20


@pytest.fixture
def web(make_server, event_loop):
    made = make_server({"listen": LISTEN,
                        "limits": {"negotiation": "2s"}})
    event_loop.run_until_complete(made.start())
    for name in ("admin", "romeo"):
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


def ask(server, method, path, body=None, **headers):
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=PATIENCE)
    try:
        link.request(method, path, body,
                     {k.replace("_", "-"): v for k, v in headers.items()})
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        link.close()


def raw(server, data, more=b""):
    """Sends bytes; all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port["http"]),
                                  timeout=PATIENCE) as link:
        link.sendall(data)
        if more:
            link.sendall(more)
        got = b""
        try:
            while chunk := link.recv(65536):
                got += chunk
        except ConnectionResetError:
            pass
    return got


def basic(jid, password):
    return "Basic " + base64.b64encode(f"{jid}:{password}".encode()).decode()


ADMIN = basic("admin@localhost", "secret")


def test_status(web):
    assert ask(web, "GET", "/healthz")[::2] == (200, "ok\n")
    assert ask(web, "GET", "/readyz")[::2] == (200, "ready\n")
    status, headers, body = ask(web, "HEAD", "/healthz")
    assert (status, headers["content-length"], body) == (200, "3", "")
    assert ask(web, "POST", "/healthz", "x")[0] == 405
    assert ask(web, "GET", "/nothing")[0] == 404
    # That of the admin socket is not for the network.
    assert ask(web, "POST", "/ctl/status", "[]", Authorization=ADMIN)[0] == 404


def test_metrics(web):
    status, headers, body = ask(web, "GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    values, types, helps = {}, {}, set()
    for line in body.splitlines():
        if line.startswith("# HELP "):
            assert len(line.split()) > 3, line
            helps.add(line.split()[2])
        elif line.startswith("# TYPE "):
            types[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name.split("{")[0]] = float(value)
    assert values.keys() == types.keys() == helps
    assert types["rookery_messages_received_total"] == "counter"
    assert types["rookery_sessions"] == "gauge"
    assert values["rookery_workers"] == 2
    assert values["rookery_registrations_total"] == 2
    # Through a proxy it is for administrators.
    assert ask(web, "GET", "/metrics", x_forwarded_for="192.0.2.1")[0] == 401
    assert ask(web, "GET", "/metrics", x_forwarded_for="192.0.2.1",
               Authorization=ADMIN)[0] == 200


def test_tls(web, authority):
    context = ssl.create_default_context(cafile=authority.pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(("127.0.0.1", web.port["https"]),
                                  timeout=PATIENCE) as link, \
            context.wrap_socket(link, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
        for _ in range(2):
            tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            got = b""
            while not got.endswith(b"\r\n\r\nok\n"):
                got += tls.recv(4096)
            assert got.startswith(b"HTTP/1.1 200 ")


def test_api(web):
    status, headers, body = ask(
        web, "POST", "/api/registered_users",
        json.dumps({"host": "localhost"}), Authorization=ADMIN)
    assert (status, json.loads(body)) == (200, ["admin", "romeo"])
    assert headers["access-control-allow-origin"] == "*"
    status, _, body = ask(web, "GET", "/api/check_account?user=romeo&"
                          "host=local%68ost", Authorization=ADMIN)
    assert (status, json.loads(body)) == (200, 0)
    status, _, body = ask(web, "POST", "/api/no_such_thing", "{}",
                          Authorization=ADMIN)
    assert (status, json.loads(body)["code"]) == (404, 44)
    assert ask(web, "POST", "/api/status", "", Authorization=ADMIN)[::2] == \
        (400, '"Missing POST data"')
    assert ask(web, "POST", "/api/status", "{", Authorization=ADMIN)[0] == 400
    status, headers, _ = ask(web, "OPTIONS", "/api/status")
    assert status == 200
    assert headers["access-control-max-age"] == "86400"


def call(web, path, text, status=200):
    got, _, body = ask(web, "POST", "/api/" + path, text, Authorization=ADMIN)
    assert got == status, (path, text, got, body)
    return json.loads(body)


def test_wire_rules(web):
    """Those of ejabberd's API: arguments, results, versions, errors."""
    romeo = '"user": "romeo", "host": "localhost"'
    # A lone newline is no arguments; none at all is an error.
    assert isinstance(call(web, "status", "\n"), str)
    for text in (
            '{"host": "localhost", "color": "red"}', "{}",
            '{"host": "localhost", "host": "localhost"}', '{"host": 5}',
            '{"host": ["localhost"]}', "[]", "null", '"localhost"', "{]",
            '{"host": "\xff"}', "{" * 3000):
        call(web, "registered_users", text.encode("latin-1"), 400)
    # rescode: 0 or 1; restuple: its text; a list: sorted.
    assert call(web, "check_account", "{%s}" % romeo) == 0
    assert call(web, "check_account",
                '{"user": "tybalt", "host": "localhost"}') == 1
    assert "successfully registered" in call(
        web, "register", '{"user": "benvolio", "host": "localhost", '
        '"password": "x"}')
    error = call(web, "register", '{"user": "benvolio", "host": "localhost", '
                 '"password": "x"}', 409)
    assert (error["status"], error["code"]) == ("error", 10090)
    assert "already registered" in error["message"]
    assert call(web, "registered_users", '{"host": "localhost"}') == [
        "admin", "benvolio", "romeo"]
    # An integer may be a text; versions are the path's.
    for days in ("3000", '"3000"'):
        assert "Deleted 0 users" in call(
            web, "delete_old_users_vhost",
            '{"host": "localhost", "days": %s}' % days)
    for days in ('"x"', "1.5", '""', "null", "99999999999999999999"):
        call(web, "delete_old_users_vhost",
             '{"host": "localhost", "days": %s}' % days, 400)
    assert call(web, "kick_user/v0", "{%s}" % romeo) == {"num_resources": 0}
    assert call(web, "kick_user/v2", "{%s}" % romeo) == "Kicked sessions: 0"
    # Names and values become one object.
    assert call(web, "ban_account",
                '{%s, "reason": "x"}' % romeo) == 0
    assert call(web, "get_ban_details", "{%s}" % romeo)["reason"] == "x"


@pytest.mark.parametrize("value, status, code", [
    (None, 401, 10),
    (basic("admin@localhost", "wrong"), 401, 10),
    (basic("nobody@localhost", "secret"), 401, 10),
    (basic("admin@elsewhere.example", "secret"), 401, 10),
    (basic("romeo@localhost", "secret"), 403, 32),
    ("Basic !!!", 401, 10),
    ("Basic " + base64.b64encode(b"admin@localhost").decode(), 401, 10),
    ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), 401, 10),
    ("Bearer abcdef", 401, 10),
], ids=["none", "wrong", "unknown", "other-host", "no-admin", "no-base64",
        "no-password", "no-utf8", "bearer"])
def test_api_denied(web, value, status, code):
    headers = {"Authorization": value} if value else {}
    got, answer, body = ask(web, "POST", "/api/status", "{}", **headers)
    assert (got, json.loads(body)["code"]) == (status, code)
    assert ("www-authenticate" in answer) == (status == 401)


def test_banned_admin(web):
    status, _, errors = web.ctl("ban_account", "admin", "localhost", "gone")
    assert status == 0, errors
    assert ask(web, "POST", "/api/status", "{}", Authorization=ADMIN)[0] == 401


LINE = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
POST = b"POST /api/status HTTP/1.1\r\n" + HOST + \
    f"Authorization: {ADMIN}\r\n".encode()


@pytest.mark.parametrize("data, status", [
    (LINE + b"\r\n", 400),
    (LINE + HOST + HOST + b"\r\n", 400),
    (b"GET /healthz\r\n" + HOST + b"\r\n", 400),
    (b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    (b"GET /healthz HTTP/1.1\n" + HOST + b"\r\n", 400),
    (LINE + b"Host : localhost\r\n\r\n", 400),
    (LINE + HOST + b" folded: x\r\n\r\n", 400),
    (LINE + HOST + b"x: a\x00b\r\n\r\n", 400),
    (LINE + HOST + b"x: a\rb\r\n\r\n", 400),
    (b"GET /../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /a%2fb HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /a%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /a%5c HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (b"GET relative HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    (POST + b"Content-Length: x\r\n\r\n", 400),
    (POST + b"Content-Length: -1\r\n\r\n", 400),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    (POST + b"Content-Length: 1048577\r\n\r\n", 413),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
    (LINE + HOST + b"x: y\r\n" * 70 + b"\r\n", 431),
    (LINE + HOST + b"x: " + b"y" * 9000 + b"\r\n\r\n", 431),
    (LINE + b"a" * 20000, 431),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
], ids=range(29))
def test_bad_requests(web, data, status):
    got = raw(web, data)
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert any(re.search(f" http {status} .* from 127.0.0.1", line)
               for line in web.lines()), web.tail()
    assert b"\r\nconnection: close\r\n" in got
    assert got.count(b"HTTP/1.1 ") == 1
    assert ask(web, "GET", "/healthz")[0] == 200


def test_slow_peers(web):
    """A head, or a body, that does not come on is not waited for."""
    assert raw(web, LINE + HOST).startswith(b"HTTP/1.1 408 ")
    assert raw(web, POST + b"Content-Length: 9\r\n\r\n{").startswith(
        b"HTTP/1.1 408 ")
    assert raw(web, b"") == b""


def test_pipelining(web):
    """Many requests at once are answered in order, one after the other."""
    one = LINE + HOST + b"\r\n"
    two = b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n"
    last = LINE + HOST + b"Connection: close\r\n\r\n"
    got = raw(web, (one + two) * 300 + last)
    bodies = [part.partition(b"\r\n\r\n")[2]
              for part in got.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"ok\n", b"ready\n"] * 300 + [b"ok\n"]


def test_old_clients(web):
    got = raw(web, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"ok\n")
    got = raw(web, b"GET http://localhost/healthz HTTP/1.1\r\n" + HOST +
              b"Connection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")


def test_expect(web):
    with socket.create_connection(("127.0.0.1", web.port["http"]),
                                  timeout=PATIENCE) as link:
        link.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n"
                     b"Connection: close\r\n\r\n")
        assert link.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"{}")
        got = b""
        while chunk := link.recv(4096):
            got += chunk
    assert got.startswith(b"HTTP/1.1 200 ")


def test_configuration(make_server):
    server = make_server({"listen": [
        {"type": "http", "ip": "127.0.0.1", "port": "http",
         "starttls": "required"}]})
    server.write_config()
    done = subprocess.run([server.daemon, "-c", server.config_path,
                           "--check-config"], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1
    assert "'starttls' has no place beside 'type: http'" in done.stderr
