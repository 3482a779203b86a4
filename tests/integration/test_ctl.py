# SPDX-License-Identifier: MIT
"""Admin commands: rookeryctl, and the HTTP API on the admin socket."""

import asyncio
import json
import os
import pty
import select
import socket
import stat
import subprocess
import time

import pytest

from harness import postgres
from harness.client import Client, Failure

pytestmark = pytest.mark.workers(1, 2)

AVAILABLE = "<presence/>"


async def run(server, *args, **how):
    """rookeryctl, without holding up the loop: (status, output)."""
    status, out, err = await asyncio.to_thread(server.ctl, *args, **how)
    assert err == "" or status == 3, err
    return status, out.rstrip("\n")


async def done(server, *args):
    status, out = await run(server, *args)
    assert status == 0, out
    return out


async def refused(server, *args, status=1):
    got, out = await run(server, *args)
    assert got == status, out
    return out


async def online(client):
    """Has the client available, and waits until that is so."""
    client.send(AVAILABLE)
    await client.ping("localhost")
    return client


def text_of(elem, name):
    child = elem.find(name)
    return child.text if child else None


# The command line


async def test_status(server):
    out = await done(server, "status")
    node = f"rookery@{socket.gethostname()}"
    first, second = out.split("\n")
    assert first == f"The node '{node}' is started. Status: started"
    assert second.startswith("rookery ")
    assert second.endswith(" is running in that node")
    assert await done(server, "ping") == "pong"
    assert await done(server, "started") == ""


async def test_no_server(server, build):
    await server.stop()
    for args in (["status"], ["ping"], ["register", "a", "localhost", "b"]):
        status, _, err = server.ctl(*args)
        assert status == 3
        assert "no server answers on" in err and "is rookeryd running?" in err
    assert server.ctl("stopped")[0] == 0
    assert server.ctl("help")[0] == 3
    for name in ("help", "ping", "copy_store"):
        status, out, _ = server.ctl("help", name)
        assert status == 0
        assert f"  rookeryctl {name} " in out


@pytest.mark.storeless("there is no server")
@pytest.mark.parametrize("cut", [1, 40, 10**6])
async def test_cut_answer(build, tmp_path, cut):
    """An answer whose end is missing is no answer, whatever it begins with."""
    whole = (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nstatus-code: 0\r\n\r\n"
             b"one\ntwo\n\n")
    path = str(tmp_path / "sock")

    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(whole[:-cut] or whole[:10])
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        process = await asyncio.create_subprocess_exec(
            os.path.join(build, "src", "rookeryctl"), "--socket", path,
            "registered_users", "localhost", stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out) == (3, b""), err
    assert path.encode() in err


async def test_full_output(server, build):
    """What could not be written down is not done."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [os.path.join(build, "src", "rookeryctl"), "-c",
             server.config_path, "help"], stdout=full, timeout=60,
            stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left" in done.stderr


async def test_usage(server, build):
    ctl = os.path.join(build, "src", "rookeryctl")

    def plain(*args):
        return subprocess.run([ctl, *args], capture_output=True, text=True,
                              timeout=60, check=False, cwd=server.folder)

    assert plain().returncode == 2
    assert plain("--bogus", "status").returncode == 2
    assert plain("--format", "xml", "status").returncode == 2
    assert plain("-c", "nothing.yml", "status").returncode == 1
    assert plain("--help").returncode == 0
    path = os.path.join(server.folder, "data", "rookery.sock")
    assert plain("--socket", path, "status").returncode == 0
    assert plain("--socket=" + path, "--", "status").returncode == 0
    assert plain("-c", "rookery.yml", "--no-timeout",
                 "status").returncode == 0


async def test_unknown_command(server):
    out = await refused(server, "regster", "a", "localhost", "b")
    assert out == "Error: unknown command 'regster'. Did you mean 'register'?"


async def test_wrong_count(server):
    out = await refused(server, "status", "now", status=2)
    assert out.startswith("Error: the command 'status' requires 1 less "
                          "argument.\n")
    out = await refused(server, "check_account", status=2)
    assert "requires 2 more arguments." in out
    assert "user::string" in out
    out = await refused(server, "delete_old_users", "x")
    assert out == "Error: Arg days is not in format integer"


async def test_help(server):
    out = await done(server, "help")
    assert "\n  register user host password\n" in out
    out = await done(server, "help", "register")
    assert "Command Name: register" in out
    assert "Arguments: user::string" in out
    assert "Result: res::restuple" in out
    out = await done(server, "help", "tags/accounts")
    assert "  unregister user host" in out and "status" not in out
    out = await done(server, "help", "tags")
    assert "Tag: session\n" in out and "Tag: accounts\n" in out
    assert "  get_roster user host" in await done(server, "help", "get_*")
    out = await refused(server, "help", "regster")
    assert "Did you mean 'register'?" in out


async def test_names_with_dashes(server):
    assert await done(server, "registered-vhosts") == (
        "localhost\ncapulet.example")


async def test_password_is_asked(server):
    """A password that is missing comes from standard input."""
    status, out = await run(server, "register", "juliet", "localhost",
                            text_input="quite secret\n")
    assert status == 0, out
    await done(server, "check_password", "juliet", "localhost",
               "quite secret")
    status, out = await run(server, "change_password", "juliet", "localhost",
                            text_input="other\r\n")
    assert status == 0, out
    await done(server, "check_password", "juliet", "localhost", "other")
    status, out = await run(server, "register", "romeo", "localhost",
                            text_input="")
    assert status == 2, out
    await refused(server, "check_account", "romeo", "localhost")


async def test_password_is_not_shown(server, build):
    """On a terminal, what is typed is not echoed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [os.path.join(build, "src", "rookeryctl"), "-c", server.config_path,
         "register", "juliet", "localhost"], stdin=theirs, stdout=theirs,
        stderr=theirs, close_fds=True)
    os.close(theirs)
    seen = await asyncio.to_thread(read_until, ours, b"password: ")
    os.write(ours, b"quite secret\n")
    seen += await asyncio.to_thread(read_until, ours, b"registered")
    assert await asyncio.to_thread(process.wait, 30) == 0
    os.close(ours)
    assert b"secret" not in seen
    await done(server, "check_password", "juliet", "localhost",
               "quite secret")


def read_until(fd, end):
    seen = b""
    while end not in seen:
        assert select.select([fd], [], [], 30)[0], seen
        seen += os.read(fd, 1000)
    return seen


async def test_secrets_are_not_logged(server):
    await done(server, "register", "juliet", "localhost", "hunter2")
    await done(server, "change_password", "juliet", "localhost", "hunter3")
    await server.log_line(r" notice .*register user=juliet host=localhost "
                          r"password=\*\*\* by ctl")
    room = ("crowd", "conference.localhost")
    await done(server, "create_room_with_opts", *room, "localhost",
               "persistent:true,password:hunter4")
    await done(server, "change_room_option", *room, "password", "hunter5")
    await server.log_line(r" notice .*option=password value=\*\*\* by ctl")
    assert not any("hunter" in line for line in server.lines())


async def test_socket_is_private(server):
    path = os.path.join(server.folder, "data", "rookery.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    await server.stop()
    assert not os.path.exists(path)


async def test_stale_socket(server):
    """What a killed server left behind is no obstacle."""
    await server.kill()
    path = os.path.join(server.folder, "data", "rookery.sock")
    assert os.path.exists(path)
    await server.start()
    await done(server, "status")


async def test_long_path(make_server):
    """A socket whose path is longer than an address may be."""
    server = make_server()
    deep = os.path.join(server.folder, "d" * 100, "e" * 100)
    os.makedirs(deep)
    server.overrides["data_dir"] = deep
    await server.start()
    await done(server, "status")


# The HTTP API


async def http(server, head, body=b""):
    """Raw HTTP: (status, headers, body)."""
    path = os.path.join(server.folder, "data", "rookery.sock")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(head.replace("\n", "\r\n").encode() + body)
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    top, _, rest = answer.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, rest.decode()


def post(path, body, extra=""):
    return (f"POST {path} HTTP/1.0\nHost: x\n{extra}"
            f"Content-Length: {len(body)}\n\n")


async def test_api(server):
    api = server.api
    assert await api("register", user="juliet", host="localhost",
                     password="x") == (
        200, "User juliet@localhost successfully registered")
    assert await api("register", user="juliet", host="localhost",
                     password="x") == (
        409, {"status": "error", "code": 10090,
              "message": "User juliet@localhost already registered"})
    assert await api("register", user="juliet", host="nowhere",
                     password="x") == (
        500, {"status": "error", "code": 10001,
              "message": "Unknown virtual host"})
    assert await api("check_account", user="juliet",
                     host="localhost") == (200, 0)
    assert await api("check_account", user="romeo",
                     host="localhost") == (200, 1)
    assert await api("registered_users", host="localhost") == (
        200, ["juliet"])
    assert await api("registered_users", host="nowhere") == (
        400, "Unknown virtual host")
    assert await api("change_password", user="romeo", host="localhost",
                     newpass="x") == (404, "unregistered_user")
    assert await api("unregister", user="juliet", host="localhost") == (
        200, "")
    assert await api("nothing") == (
        404, {"status": "error", "code": 44,
              "message": "Command not found."})


async def test_api_arguments(server):
    api = server.api
    assert await api("check_account", user="a") == (
        400, "Request have missing argument: host")
    assert await api("check_account", user="a", host="localhost",
                     hosts="x") == (
        400, "Request have unknown arguments: [hosts]")
    assert await api("check_account", user=1, host="localhost") == (
        400, "Arg user is not in format string")
    assert await api("resource_num", user="a", host="localhost",
                     num="1") == (400, "Wrong resource number: 1")
    assert await api("get_presence", user="a", server="localhost") == (
        200, {"jid": "a@localhost", "show": "unavailable", "status": ""})
    assert (await api("stats", name="nonsense"))[0] == 400


async def test_api_http(server):
    status, headers, body = await http(
        server, post("/api/stats", b"{}"), b"{}")
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert headers["access-control-allow-origin"] == "*"
    assert json.loads(body) == "Request have missing argument: name"

    for sent, said in ((b"", "Missing POST data"), (b"[]", "Invalid JSON "
                       "input"), (b"{", "Invalid JSON input"),
                       (b'{"name":"a","name":"b"}',
                        "Request have duplicate argument")):
        status, _, body = await http(server, post("/api/stats", sent), sent)
        assert (status, json.loads(body)) == (400, said)

    status, _, body = await http(server, post("/api/registered_vhosts",
                                              b"\n"), b"\n")
    assert (status, json.loads(body)) == (
        200, ["capulet.example", "localhost"])
    status, _, body = await http(
        server, "GET /api/stats?name=registeredusers HTTP/1.0\n\n")
    assert (status, body) == (200, "0")
    status, _, body = await http(
        server, "GET /api/stats/v0?name=registeredusers HTTP/1.0\n\n")
    assert (status, json.loads(body)) == (200, {"stat": 0})
    status, headers, _ = await http(server,
                                    "OPTIONS /api/stats HTTP/1.0\n\n")
    assert status == 200
    assert headers["access-control-max-age"] == "86400"
    status, _, body = await http(server, "GET /api/ HTTP/1.0\n\n")
    assert (status, json.loads(body)["code"]) == (404, 40)


async def test_http_limits(server):
    """Bad requests are answered, and the next ones are served."""
    for head, want in (("GET /nothing HTTP/1.0\n\n", 404),
                       ("GET /ctl/status HTTP/1.0\n\n", 405),
                       ("PUT /api/stats HTTP/1.0\nContent-Length: 0\n\n", 405),
                       ("POST /api/stats HTTP/1.1\nHost: x\n\n", 411),
                       ("POST /api/stats HTTP/1.1\nHost: x\n"
                        "Content-Length: 99999999\n\n", 413)):
        status, _, _ = await http(server, head)
        assert status == want, head
    big = b" " * (1024 * 1024 - 1) + b"\n"
    status, _, _ = await http(server, post("/api/status", big), big)
    assert status == 200
    path = os.path.join(server.folder, "data", "rookery.sock")
    for junk in (b"\0\xff\r\n\r\n", b"GET", b"POST /api/x HTTP/1.1\r\n"):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(junk)
        writer.close()
    await done(server, "status")


async def test_ctl_over_http(server):
    words = b'["registered_users","localhost"]'
    await server.register("juliet")
    status, headers, body = await http(
        server, post("/ctl/registered_users", words), words)
    assert (status, headers["status-code"], body) == (200, "0", "juliet")
    words = b'["localhost"]'
    status, headers, body = await http(
        server, post("/ctl/registered_users", words,
                     "Accept: application/json\n"), words)
    assert (status, headers["status-code"], json.loads(body)) == (
        200, "0", ["juliet"])
    words = b'["nowhere"]'
    status, headers, body = await http(
        server, post("/ctl/registered_users", words), words)
    assert (headers["status-code"], body) == (
        "1", "Error: Unknown virtual host")


async def test_stop_with_connections(server):
    """Idle connections and unfinished requests do not hold up a stop."""
    path = os.path.join(server.folder, "data", "rookery.sock")
    writers = []
    for text in (b"", b"GET /api/st", b"POST /api/stats HTTP/1.1\r\n"
                 b"Host: x\r\nContent-Length: 10\r\n\r\n{",
                 b"GET /api/registered_vhosts HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(text)
        writers.append((reader, writer))
    await asyncio.wait_for(writers[-1][0].readuntil(b"]"), 30)
    assert await server.stop() == 0
    for reader, writer in writers:
        await asyncio.wait_for(reader.read(), 30)
        writer.close()


async def test_many_idle_connections(server):
    """As many as there may be do not keep the next one out for long."""
    path = os.path.join(server.folder, "data", "rookery.sock")
    held = [await asyncio.open_unix_connection(path) for _ in range(300)]
    for _, writer in held:
        writer.close()
    await server.wait_until(lambda: answers(server))


async def answers(server):
    return (await run(server, "status"))[0] == 0


# Accounts


async def test_accounts(server):
    out = await done(server, "register", "Juliet", "localhost", "r0m30")
    assert out == "User Juliet@localhost successfully registered"
    out = await refused(server, "register", "juliet", "localhost", "x")
    assert out == ("Error: conflict: User juliet@localhost already "
                   "registered")
    out = await refused(server, "register", "a@b", "localhost", "x")
    assert "The username is not valid" in out
    await done(server, "register", "romeo", "localhost", "x")
    await done(server, "register", "tybalt", "capulet.example", "x")
    assert await done(server, "registered_users", "localhost") == (
        "juliet\nromeo")
    assert json.loads(await done(server, "--format", "json",
                                 "registered_users", "localhost")) == [
        "juliet", "romeo"]
    await done(server, "check_account", "juliet", "localhost")
    await done(server, "check_password", "juliet", "localhost", "r0m30")
    out = await refused(server, "check_password", "juliet", "localhost", "x")
    assert out == "Error: false"
    await done(server, "change_password", "juliet", "localhost", "new")
    await done(server, "check_password", "juliet", "localhost", "new")
    await refused(server, "check_password", "juliet", "localhost", "r0m30")
    out = await refused(server, "change_password", "paris", "localhost", "x")
    assert out == "Error: unregistered_user"
    assert await done(server, "unregister", "romeo", "localhost") == ""
    assert await done(server, "unregister", "romeo", "localhost") == ""
    out = await refused(server, "unregister", "romeo", "nowhere")
    assert out == "Error: cannot_register: Unknown virtual host"
    assert await done(server, "registered_users", "localhost") == "juliet"


async def test_many_accounts(server):
    """Lists are put together from pages, and long answers come whole."""
    names = [f"u{i:03}" + "x" * 100 for i in range(450)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(server.register(name)
                               for name in names[start:start + 50]))
    out = await done(server, "registered_users", "localhost")
    assert out.split("\n") == names
    assert await done(server, "stats", "registeredusers") == "450"
    out = await done(server, "delete_old_users", "0")
    assert out.startswith("Deleted 450 users: [")
    assert await done(server, "registered_users", "localhost") == ""


async def test_unregister_closes_sessions(server):
    juliet = await server.client("juliet")
    await done(server, "unregister", "juliet", "localhost")
    await juliet.wire.gone()
    with pytest.raises(Failure):
        await server.client("juliet", register=False)


async def test_delete_old_users(server):
    await server.client("juliet")
    await server.register("romeo")
    await server.register("tybalt", host="capulet.example")
    assert await done(server, "delete_old_users_vhost", "localhost",
                      "1") == "Deleted 0 users: []"
    assert await done(server, "delete_old_users_vhost", "localhost",
                      "0") == "Deleted 1 users: [romeo@localhost]"
    assert await done(server, "delete_old_users", "0") == (
        "Deleted 1 users: [tybalt@capulet.example]")
    assert await done(server, "registered_users", "localhost") == "juliet"
    await refused(server, "delete_old_users", "-1")


async def test_ban(server):
    juliet = await online(await server.client("juliet"))
    await done(server, "ban_account", "juliet", "localhost", "too loud")
    await juliet.wire.gone()
    with pytest.raises(Failure):
        await server.client("juliet", register=False)
    _, details = await server.api("get_ban_details", user="juliet",
                                  host="localhost")
    assert sorted(details) == ["bandate", "lastdate", "lastreason", "reason"]
    assert details["reason"] == "too loud"
    assert details["lastreason"] == "ONLINE"
    assert details["bandate"].endswith("Z")
    assert await done(server, "list_banned", "localhost") == (
        "juliet@localhost")
    assert await done(server, "count_banned", "localhost") == "1"
    assert await done(server, "count_banned", "capulet.example") == "0"

    await done(server, "unban_account", "juliet", "localhost")
    await server.client("juliet", register=False)
    assert await server.api("get_ban_details", user="juliet",
                            host="localhost") == (200, {})
    assert await done(server, "list_banned", "localhost") == ""
    out = await refused(server, "ban_account", "paris", "localhost", "x")
    assert out == "Error: account_does_not_exist"


async def test_ban_v0(server):
    """As it was: the password is lost."""
    juliet = await server.client("juliet")
    await done(server, "--version", "0", "ban_account", "juliet",
               "localhost", "x")
    await juliet.wire.gone()
    with pytest.raises(Failure):
        await server.client("juliet", register=False)
    assert await done(server, "count_banned", "localhost") == "0"
    await done(server, "change_password", "juliet", "localhost", "secret")
    await server.client("juliet", register=False)


# Sessions


async def test_sessions(server):
    juliet = await server.client("juliet", resource="balcony")
    await server.client("juliet", register=False, resource="chamber",
                        starttls=True)
    await server.client("tybalt", host="capulet.example", resource="street")
    juliet.send("<presence><show>away</show><status>sleeping</status>"
                "<priority>5</priority></presence>")
    await juliet.ping("localhost")

    assert sorted((await done(server, "connected_users")).split("\n")) == [
        "juliet@localhost/balcony", "juliet@localhost/chamber",
        "tybalt@capulet.example/street"]
    assert await done(server, "connected_users_number") == "3"
    assert await done(server, "connected_users_vhost",
                      "capulet.example") == "tybalt@capulet.example/street"
    assert await done(server, "num_resources", "juliet", "localhost") == "2"
    assert await done(server, "num_resources", "nurse", "localhost") == "0"
    assert await done(server, "user_resources", "juliet", "localhost") == (
        "balcony\nchamber")
    assert await done(server, "resource_num", "juliet", "localhost",
                      "2") == "chamber"
    await refused(server, "resource_num", "juliet", "localhost", "3")
    assert await done(server, "stats", "onlineusers") == "3"
    assert await done(server, "stats_host", "onlineusers",
                      "localhost") == "2"
    assert await done(server, "stats_host", "registeredusers",
                      "capulet.example") == "1"


async def test_session_info(server):
    juliet = await server.client("juliet", resource="balcony")
    tls = await server.client("juliet", register=False, resource="chamber",
                              starttls=True)
    juliet.send("<presence><show>away</show><status>sleeping</status>"
                "<priority>5</priority></presence>")
    await juliet.ping("localhost")
    _, infos = await server.api("user_sessions_info", user="juliet",
                                host="localhost")
    balcony, chamber = sorted(infos, key=lambda i: i["resource"])
    uptime = balcony.pop("uptime")
    assert 0 <= uptime < 120
    port = juliet.wire.transport.get_extra_info("sockname")[1]
    assert balcony == {
        "connection": "c2s", "ip": "127.0.0.1", "port": port, "priority": 5,
        "node": f"rookery@{socket.gethostname()}", "status": "away",
        "resource": "balcony", "statustext": "sleeping"}
    assert chamber["connection"] == "c2s_tls"
    assert chamber["priority"] == -1
    assert chamber["status"] == "unavailable"
    _, infos = await server.api("connected_users_info")
    assert [i["jid"] for i in infos] == [juliet.jid, tls.jid]
    out = await done(server, "connected_users_info")
    assert len(out.split("\n")) == 2
    assert len(out.split("\n")[0].split("\t")) == 10


async def test_kick(server):
    juliet = await server.client("juliet", resource="balcony")
    other = await server.client("juliet", register=False, resource="chamber")
    await done(server, "kick_session", "juliet", "localhost", "balcony",
               "go away")
    events = await juliet.wire.gone()
    error = events[0][1]
    assert error.find("conflict") is not None
    assert error.find("text").text == "go away"
    await other.ping("localhost")

    assert await done(server, "kick_user", "juliet", "localhost") == (
        "Kicked sessions: 1")
    events = await other.wire.gone()
    assert events[0][1].find("policy-violation") is not None
    assert await done(server, "kick_user", "juliet", "localhost") == (
        "Kicked sessions: 0")
    assert await server.api("kick_user/v0", user="juliet",
                            host="localhost") == (200, {"num_resources": 0})


async def test_kick_users(server):
    here = [await server.client(f"u{i}") for i in range(6)]
    there = await server.client("tybalt", host="capulet.example")
    assert await done(server, "kick_users", "localhost") == "6"
    for client in here:
        await client.wire.gone()
    await there.ping("localhost")
    assert await done(server, "connected_users_number") == "1"


# Presence


async def test_presence(server):
    assert await done(server, "get_presence", "juliet", "localhost") == (
        "juliet@localhost\tunavailable\t")
    low = await server.client("juliet", resource="low")
    high = await server.client("juliet", register=False, resource="high")
    low.send("<presence><priority>1</priority></presence>")
    high.send("<presence><show>dnd</show><status>busy</status>"
              "<priority>2</priority></presence>")
    await low.ping("localhost")
    await high.ping("localhost")
    assert await done(server, "get_presence", "juliet", "localhost") == (
        "juliet@localhost/high\tdnd\tbusy")

    await done(server, "set_presence", "juliet", "localhost", "low",
               "available", "xa", "on holiday", "7")
    await server.wait_until(holds_presence(
        server, {"jid": "juliet@localhost/low", "show": "xa",
                 "status": "on holiday"}))
    await high.take(lambda e: e.name == "presence" and
                    text_of(e, "show") == "xa")
    await done(server, "set_presence", "juliet", "localhost", "low",
               "unavailable", "", "", "0")
    await server.wait_until(holds_presence(
        server, {"jid": "juliet@localhost/high", "show": "dnd",
                 "status": "busy"}))

    out = await refused(server, "set_presence", "juliet", "localhost", "nil",
                        "available", "", "", "0")
    assert out == "Error: User is offline"
    await refused(server, "set_presence", "juliet", "localhost", "low",
                  "subscribe", "", "", "0")
    await refused(server, "set_presence", "juliet", "localhost", "low",
                  "available", "angry", "", "0")
    await refused(server, "set_presence", "juliet", "localhost", "low",
                  "available", "", "", "300")


def holds_presence(server, want):
    async def holds():
        got = await server.api("get_presence", user="juliet",
                               host="localhost")
        return got == (200, want)
    return holds


async def test_status_list(server):
    juliet = await online(await server.client("juliet", resource="a"))
    tybalt = await server.client("tybalt", host="capulet.example",
                                 resource="b")
    tybalt.send("<presence><show>dnd</show><status>fighting</status>"
                "</presence>")
    await tybalt.ping("capulet.example")
    await server.client("nurse")  # without presence
    assert await done(server, "status_list", "dnd") == (
        "tybalt@capulet.example/b\t0\tfighting")
    assert await done(server, "status_list", "available") == (
        f"{juliet.jid}\t0\t")
    assert await done(server, "status_list_host", "capulet.example",
                      "available") == ""
    assert await done(server, "status_num", "dnd") == "1"
    assert await done(server, "status_num", "all") == "2"
    assert await done(server, "status_num_host", "localhost", "dnd") == "0"
    assert await server.api("status_list/v0", status="dnd") == (
        200, [{"user": "tybalt", "host": "capulet.example", "resource": "b",
               "priority": 0, "status": "fighting"}])


# Rosters


async def test_roster(server):
    juliet = await server.client("juliet")
    await juliet.ask("<query xmlns='jabber:iq:roster'/>")
    await done(server, "add_rosteritem", "juliet", "localhost", "romeo",
               "montague.example", "Romeo", "Friends,Lovers", "both")
    push = await juliet.take(lambda e: e.name == "iq" and
                             e.get("type") == "set")
    item = push.find("query").find("item")
    assert item.get("jid") == "romeo@montague.example"
    assert item.get("subscription") == "both"
    assert sorted(g.text for g in item.elems()) == ["Friends", "Lovers"]

    assert await server.api("get_roster", user="juliet",
                            host="localhost") == (
        200, [{"jid": "romeo@montague.example", "nick": "Romeo",
               "subscription": "both", "pending": "none",
               "groups": ["Friends", "Lovers"]}])
    out = await done(server, "get_roster", "juliet", "localhost")
    assert out == "romeo@montague.example\tRomeo\tboth\tnone\tFriends,Lovers"
    assert await done(server, "get_roster_count", "juliet",
                      "localhost") == "1"

    await done(server, "--version", "0", "add_rosteritem", "juliet",
               "localhost", "nurse", "localhost", "Nurse", "House;Old",
               "none")
    _, roster = await server.api("get_roster", user="juliet",
                                 server="localhost")
    assert roster[0]["groups"] == ["House", "Old"]
    await done(server, "delete_rosteritem", "juliet", "localhost", "romeo",
               "montague.example")
    assert await done(server, "get_roster_count", "juliet",
                      "localhost") == "1"
    await refused(server, "add_rosteritem", "juliet", "localhost", "nurse",
                  "localhost", "Nurse", "", "most")
    await refused(server, "add_rosteritem", "paris", "localhost", "nurse",
                  "localhost", "Nurse", "", "none")

    # It is still so after a restart.
    await server.restart()
    assert await done(server, "get_roster_count", "juliet",
                      "localhost") == "1"


async def test_process_rosteritems(server):
    for user in ("juliet", "nurse", "romeo"):
        await server.register(user)
        for contact, sub in (("paris", "both"), ("tybalt", "to")):
            await done(server, "add_rosteritem", user, "localhost", contact,
                       "capulet.example", "", "", sub)

    async def process(*args):
        out = await done(server, "process_rosteritems", *args)
        return sorted(out.split("\n")) if out else []

    assert len(await process("list", "any", "any", "*", "*")) == 6
    assert await process("list", "to:from", "none", "ju*", "*") == [
        "juliet@localhost\ttybalt@capulet.example"]
    assert await process("list", "none", "any", "*", "*") == []
    assert len(await process("list", "any", "any", "any", "any")) == 6
    assert await process("list", "any", "any", "nurse@*:romeo@localhost",
                         "nobody@*:tybalt@*") == [
        "nurse@localhost\ttybalt@capulet.example",
        "romeo@localhost\ttybalt@capulet.example"]
    assert await process("delete", "both", "any", "*@localhost",
                         "par%") == [
        "juliet@localhost\tparis@capulet.example",
        "nurse@localhost\tparis@capulet.example",
        "romeo@localhost\tparis@capulet.example"]
    assert len(await process("list", "any", "any", "*", "*")) == 3
    await refused(server, "process_rosteritems", "burn", "any", "any", "*",
                  "*")


async def test_push_roster(server, tmp_path):
    """A list of contacts from a file, as ejabberd takes it, is pushed at
    once; one that is wrong anywhere changes nothing."""
    path = tmp_path / "roster"
    path.write_text("""%% All of Verona
[{"juliet", "localhost", "Capulets", "Juliet"},
 {<<"nurse">>, <<"localhost">>, <<"Capulets"/utf8>>, <<"A \\"Nurse\\"">>},
 {"Romeo", "LOCALHOST", "", "Romé"} % of the others
].
""", encoding="utf-8")
    for user in ("nurse", "romeo"):
        await server.register(user)
    juliet = await online(await server.client("juliet"))
    await juliet.ask("<query xmlns='jabber:iq:roster'/>")
    await done(server, "push_roster", str(path), "juliet", "localhost")
    push = await juliet.take(lambda e: e.find("query"))
    assert push.get("type") == "set"
    roster = await done(server, "get_roster", "juliet", "localhost")
    assert sorted(roster.split("\n")) == [
        "nurse@localhost\tA \"Nurse\"\tboth\tnone\tCapulets",
        "romeo@localhost\tRomé\tboth\tnone\t"]
    assert await done(server, "get_roster", "romeo", "localhost") == ""
    await done(server, "push_roster_all", str(path))
    assert await done(server, "get_roster_count", "romeo", "localhost") == "2"
    assert await done(server, "get_roster_count", "nurse", "localhost") == "2"

    out = await refused(server, "push_roster", str(path), "x", "localhost")
    assert "x@localhost" in out
    await refused(server, "push_roster", "/nowhere", "romeo", "localhost")
    path.write_text('[{"a", "localhost", "", ""},\n {"b", "localhost", ""}].')
    out = await refused(server, "push_roster", str(path), "romeo", "localhost")
    assert "line 2" in out
    path.write_text('[{"a", "elsewhere.example", "", ""}].')
    await refused(server, "push_roster_all", str(path))
    assert await done(server, "get_roster_count", "romeo", "localhost") == "2"


# Stanzas


async def test_send_message(server):
    juliet = await online(await server.client("juliet"))
    await done(server, "send_message", "chat", "admin@localhost",
               "juliet@localhost", "Subject", "Hello & <goodbye>")
    message = await juliet.take(lambda e: e.name == "message")
    assert message.get("from") == "admin@localhost"
    assert message.get("type") == "chat"
    assert text_of(message, "subject") == "Subject"
    assert text_of(message, "body") == "Hello & <goodbye>"
    await refused(server, "send_message", "shout", "admin@localhost",
                  "juliet@localhost", "", "x")
    out = await refused(server, "send_message", "chat", "admin@localhost",
                        "@", "", "x")
    assert out == "Error: Invalid JID in 'to'"


async def test_send_message_is_kept(server):
    """What was acknowledged survives the server's sudden death."""
    await server.register("juliet")
    await done(server, "send_message", "chat", "admin@localhost",
               "juliet@localhost", "", "keep me")
    await server.kill()
    await server.start()
    juliet = await server.client("juliet", register=False)
    juliet.send(AVAILABLE)
    message = await juliet.take(lambda e: e.name == "message")
    assert text_of(message, "body") == "keep me"
    assert message.find("delay") is not None


async def test_send_stanza(server):
    juliet = await online(await server.client("juliet"))
    await done(server, "send_stanza", "admin@localhost", "juliet@localhost",
               "<message type='headline'><body>x</body>"
               "<y xmlns='urn:example'/></message>")
    message = await juliet.take(lambda e: e.name == "message")
    assert message.get("to") == "juliet@localhost"
    assert message.find("y", "urn:example") is not None
    for bad in ("<message", "<iq type='get'/>", "<other/>",
                "<presence type='odd'/>"):
        out = await refused(server, "send_stanza", "admin@localhost",
                            "juliet@localhost", bad)
        assert out.startswith("Error: ")


async def test_send_stanza_c2s(server):
    juliet = await online(await server.client("juliet"))
    romeo = await server.client("romeo", resource="r")
    await done(server, "send_stanza_c2s", "romeo", "localhost", "r",
               "<message to='juliet@localhost' from='x@y'><body>z</body>"
               "</message>")
    message = await juliet.take(lambda e: e.name == "message")
    assert message.get("from") == romeo.jid
    out = await refused(server, "send_stanza_c2s", "romeo", "localhost",
                        "gone", "<message to='juliet@localhost'/>")
    assert out == "Error: User is offline"


# The server


async def test_stats(server):
    assert await done(server, "stats", "registeredusers") == "0"
    assert await done(server, "stats", "onlineusersnode") == "0"
    assert 0 <= int(await done(server, "stats", "uptimeseconds")) < 120
    assert int(await done(server, "stats", "processes")) > 1
    await refused(server, "stats", "nonsense")
    await refused(server, "stats_host", "registeredusers", "nowhere")
    assert await done(server, "list_cluster") == (
        f"rookery@{socket.gethostname()}")
    _, nodes = await server.api("list_cluster_detailed")
    assert nodes[0]["name"] == f"rookery@{socket.gethostname()}"
    assert nodes[0]["online_users"] == 0
    assert await done(server, "gc") == ""


async def test_clear_cache(server):
    """Only those in use stay, and what was forgotten is found again."""
    juliet = await online(await server.client("juliet"))
    for i in range(8):
        await server.register(f"u{i}")
        await done(server, "num_resources", f"u{i}", "localhost")
    assert await done(server, "clear_cache") == ""
    await juliet.ping("localhost")
    assert await done(server, "num_resources", "juliet", "localhost") == "1"
    assert await done(server, "num_resources", "u3", "localhost") == "0"


async def test_loglevel(server):
    assert await done(server, "get_loglevel") == "info"
    await done(server, "set_loglevel", "debug")
    assert await server.api("get_loglevel") == (200, "debug")
    await done(server, "set_loglevel", "info")
    out = await refused(server, "set_loglevel", "loud")
    assert out == "Error: Invalid log level"


async def test_log_files(make_server):
    server = make_server()
    path = os.path.join(server.folder, "server.log")
    server.overrides["log"] = {"target": path}
    server.ready_path = path
    await server.start()
    os.rename(path, path + ".old")
    await done(server, "reopen_log")
    await done(server, "status")
    assert "status by ctl" in read(path)
    await done(server, "rotate_log")
    assert "status by ctl" in read(path + ".0")
    assert "status by ctl" not in read(path)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


async def test_configuration(server):
    path = os.path.join(server.folder, "dump.yml")
    await done(server, "dump_config", path)
    assert "localhost" in read(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    out = await refused(server, "dump_config", "/nowhere/at/all")
    assert "/nowhere/at/all" in out
    await done(server, "reload_config")
    server.announce("the configuration is wrong|hots")
    with open(server.config_path, "a", encoding="utf-8") as file:
        file.write("hots: [x]\n")
    out = await refused(server, "reload_config")
    assert "hots" in out
    status, value = await server.api("reload_config")
    assert status == 400 and "hots" in value


@pytest.mark.sqlite("PostgreSQL has pg_dump: see test_operating.py")
async def test_backup(server):
    await server.register("juliet")
    path = os.path.join(server.folder, "backup.db")
    assert await done(server, "backup", path) == ""
    assert os.path.getsize(path) > 0
    server.announce("backup|nowhere")
    out = await refused(server, "backup", "/nowhere/at/all")
    assert "Can't store backup in \"/nowhere/at/all\"" in out


async def test_modules(server):
    _, loaded = await server.api("modules_installed")
    store = "store_pg" if postgres.is_wanted() else "store_sqlite"
    assert "ping" in loaded and store in loaded
    assert await done(server, "module_unload", "version") == (
        "Module version unloaded")
    _, loaded = await server.api("modules_installed")
    assert "version" not in loaded
    _, available = await server.api("modules_available")
    assert "version" in available
    assert await done(server, "module_load", "version") == (
        "Module version loaded")
    assert await done(server, "module_reload", "version") == (
        "Module version reloaded")
    assert await done(server, "restart_module", "localhost",
                      "version") == "0"
    assert "version\tloaded\t" in await done(server, "modules")
    server.announce("'nope'")
    assert await done(server, "restart_module", "localhost", "nope") == "1"
    await refused(server, "module_load", "nope")


async def test_module_commands_go_with_it(server):
    await server.register("juliet")
    await done(server, "get_last", "juliet", "localhost")
    await done(server, "module_unload", "last")
    out = await refused(server, "get_last", "juliet", "localhost")
    assert out.startswith("Error: unknown command 'get_last'.")
    await done(server, "module_load", "last")
    await done(server, "get_last", "juliet", "localhost")


async def test_stop_kindly(server):
    juliet = await online(await server.client("juliet"))
    await refused(server, "stop_kindly", "-1", "x")
    server.expects_exit = True
    begun = time.monotonic()
    await done(server, "stop_kindly", "1", "The play is over")
    message = await juliet.take(lambda e: e.name == "message")
    assert message.get("from") == "localhost"
    assert text_of(message, "body") == "The play is over"
    assert await server.wait_exit() == 0
    assert time.monotonic() - begun >= 0.9
    assert await done(server, "stopped") == ""


async def test_evacuate_kindly(server):
    """Nobody comes in until the configuration is read again."""
    clients = [await online(await server.client(f"u{i}")) for i in range(4)]
    await done(server, "evacuate_kindly", "1", "Fire")
    with pytest.raises(OSError):
        await server.client("u1", register=False)
    for client in clients:
        message = await client.take(lambda e: e.name == "message")
        assert text_of(message, "body") == "Fire"
        await client.wire.gone()
    assert await done(server, "connected_users_number") == "0"
    await run(server, "reload_config")
    await server.client("u1", register=False)


async def test_stop_before_it_is_time(server):
    """A stop does not wait for one that was put off, nor trip over it."""
    await done(server, "stop_kindly", "3000", "Later")
    assert await server.stop() == 0


async def test_restart_kindly(server):
    juliet = await online(await server.client("juliet"))
    server.expects_exit = True
    mark = os.path.getsize(server.log_path)
    await done(server, "restart_kindly", "0", "A moment")
    await juliet.wire.gone()
    await server.log_line(r"\bready\b", mark)
    await done(server, "started")
    again = Client("juliet")
    await again.login(server.port["c2s"])
    server.expects_exit = False


async def test_many_at_once(server):
    """Commands do not wait for each other, nor are mixed up."""
    await asyncio.gather(*(server.register(f"u{i}") for i in range(40)))
    answers = await asyncio.gather(*(
        server.api("check_account", user=f"u{i}", host="localhost")
        for i in range(80)))
    assert answers == [(200, 0 if i < 40 else 1) for i in range(80)]
