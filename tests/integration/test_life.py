# SPDX-License-Identifier: MIT
"""Starting, stopping, and what a process may and may not do."""

import json
import os
import pwd
import re
import resource
import socket
import stat
import time

import pytest

from harness import ports, postgres
from harness.client import Client

pytestmark = pytest.mark.workers(1, 2)


async def test_stop(server):
    """RFC 6120, 4.9.3.20: all are told, and the server ends in order."""
    romeo = await server.client("romeo")
    juliet = await server.client("juliet", starttls=True)
    half = Client("x")
    await half.connect(server.port["c2s"])
    await half.open()
    assert await server.stop() == 0
    for client in (romeo, juliet, half):
        events = await client.wire.gone()
        assert events[0][1].find("system-shutdown") is not None
        assert events[1] == ("close",)


async def test_stop_command(server):
    romeo = await server.client("romeo")
    server.expects_exit = True
    status, out, _ = server.ctl("stop")
    assert status == 0, out
    assert await server.wait_exit() == 0
    await romeo.wire.gone()
    assert server.ctl("status")[0] == 3


async def test_restart_command(server):
    """The same process, anew: all listeners are back."""
    romeo = await server.client("romeo")
    server.expects_exit = True
    mark = os.path.getsize(server.log_path)
    assert server.ctl("restart")[0] == 0
    await romeo.wire.gone()
    await server.log_line(r"\bready\b", mark)
    again = await server.client("romeo", register=False)
    await again.ping("localhost")
    server.expects_exit = False


@pytest.mark.parametrize("wrong, word", [
    ({"log": {"target": "/no/such/folder/x.log"}}, "target"),
    ({"workers": 0}, "workers"),
    ({"s2s": {"ca_file": "/nowhere.pem"}}, "ca_file"),
    ({"data_dir": "/nowhere/data"}, "data_dir"),
    ({"plugin_dir": "/nowhere"}, "plugin_dir")])
async def test_no_restart_into_a_wall(server, wrong, word):
    """What would not start again goes on, and says why: also to who asked, and
    before anybody is sent away."""
    romeo = await server.client("romeo")
    server.announce(f"{word}|no restart")
    path = os.path.join(server.folder, "data", "rookery.sock")
    server.overrides.update(wrong)
    server.write_config()
    for command in (["restart"], ["restart_kindly", "0", "Later"]):
        mark = os.path.getsize(server.log_path)
        status, out, _ = server.ctl("--socket", path, *command)
        assert status == 1
        assert re.search(rf"rookery.yml:\d+: .*{word}", out), out
        await server.log_line("no restart", mark)
    juliet = await server.client("juliet")
    for client in (romeo, juliet):
        await client.ping("localhost")


async def test_wall_while_waiting(server):
    """A restart that comes to nothing at last opens the doors again."""
    server.announce("hots|no restart")
    assert server.ctl("restart_kindly", "1", "Soon")[0] == 0
    with open(server.config_path, "a", encoding="utf-8") as file:
        file.write("hots: []\n")
    await server.log_line("no restart")
    romeo = await server.client("romeo")
    await romeo.ping("localhost")


async def test_no_restart_without_the_port(server):
    """Nor does it restart for a port that somebody else has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        server.announce(f"{port}|no restart")
        server.overrides["listen"] = server.defaults()["listen"] + [
            {"type": "c2s", "ip": "127.0.0.1", "port": port}]
        server.write_config()
        status, out, _ = server.ctl("restart")
    assert status == 1
    assert re.search(rf"rookery.yml:\d+: cannot listen on .*:{port} ", out), out
    await (await server.client("romeo")).ping("localhost")


def privileged_port():
    """A free one that nobody but root can listen on, or None."""
    if os.getuid() != 0:
        return None
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start",
              encoding="utf-8") as file:
        end = int(file.read())
    return next((p for p in range(end - 1, 600, -1) if ports.is_free(p)), None)


@pytest.mark.skipif(privileged_port() is None, reason="no such port, or no "
                    "root to open it")
async def test_no_restart_without_root(make_server):
    """Root, who opened the port, was given up: there is no way back."""
    port = privileged_port()
    server = make_server({"user": "nobody"})
    server.overrides["listen"] = [
        {"type": "c2s", "ip": "127.0.0.1", "port": port,
         "starttls": "optional"}]
    os.chmod(server.folder, 0o755)
    await server.start()
    server.announce(f"{port}|no restart")
    status, out, _ = server.ctl("restart")
    assert status == 1
    assert f":{port} " in out and "root" in out, out
    assert server.ctl("status")[0] == 0


async def test_small(make_server):
    """With all that an ordinary server has on, and what that takes along."""
    server = make_server({"modules": {"defaults": "true"}})
    await server.start()
    with open(f"/proc/{server.process.pid}/maps", encoding="utf-8") as file:
        maps = file.read()
    # Debian's libpq needs OpenLDAP.
    others = ["libsqlite3"] if postgres.is_wanted() else ["libpq", "libldap"]
    for name in ["libcurl", *others]:
        assert name not in maps, name
    if postgres.is_wanted() or re.search("lib(clang_rt.)?[at]san", maps):
        return
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
        own = int(re.search(r"RssAnon:\s+(\d+)", file.read())[1])
    # With the files that are mapped, 10 MiB in all, it is to stay below 15.
    assert own < 5.5 * 1024


async def test_status(server):
    status, out, _ = server.ctl("status")
    assert status == 0
    assert "is started. Status: started" in out


async def test_quick_start(make_server):
    """It listens within 0.3 s on an idle machine; here, within some."""
    server = make_server()
    server.write_config()
    start = time.monotonic()
    await server.start()
    assert time.monotonic() - start < 5


async def test_notify(make_server, tmp_path):
    """systemd is told when it is ready, and when it stops."""
    path = str(tmp_path / "notify")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.settimeout(15)
    server = make_server()
    server.extra_env["NOTIFY_SOCKET"] = path
    await server.start()
    assert b"READY=1" in sock.recv(4096)
    await server.stop()
    assert b"STOPPING=1" in sock.recv(4096)
    sock.close()


async def test_files(server):
    """Nobody else reads what it keeps."""
    await server.register("romeo")
    data = os.path.join(server.folder, "data")
    assert stat.S_IMODE(os.stat(data).st_mode) == 0o700
    for name in os.listdir(data):
        mode = stat.S_IMODE(os.stat(os.path.join(data, name)).st_mode)
        assert mode & 0o077 == 0, name


@pytest.mark.skipif(os.getuid() != 0, reason="only root has it to give up")
async def test_privileges(make_server):
    """Started by root, it gives that up for good."""
    server = make_server({"user": "nobody"})
    os.chmod(server.folder, 0o755)
    await server.start()
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file)
    nobody = pwd.getpwnam("nobody")
    assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert fields["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert fields["Groups"].split() in ([], [str(nobody.pw_gid)])
    assert int(fields["CapEff"], 16) == 0
    assert int(fields["NoNewPrivs"]) == 1
    romeo = await server.client("romeo", starttls=True)
    await romeo.ping("localhost")


async def test_file_limit(make_server):
    """When no descriptor is left, who is there stays, and others come in again
    when there is room."""
    server = make_server()
    server.announce("files|descriptor|accept")

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    await server.start(preexec_fn=few)
    romeo = await server.client("romeo")
    await server.register("juliet")
    crowd = []
    for _ in range(120):
        try:
            crowd.append(await server.wire())
        except OSError:
            break
    await romeo.ping("localhost")
    for wire in crowd:
        wire.abort()
    juliet = await server.client("juliet", register=False)
    await juliet.ping("localhost")


async def test_json_log(make_server):
    """With format: json every line is an object."""
    server = make_server({"log": {"format": "json"}})
    server.ready_pattern = r"\bready\b"
    await server.start()
    await server.client("romeo")
    await server.stop()
    for line in server.lines():
        event = json.loads(line)
        assert {"time", "level", "source", "message"} <= set(event)
    server.log_seen = os.path.getsize(server.log_path)


async def test_log_file(make_server):
    """The log in a file that is moved away: SIGHUP opens a new one."""
    server = make_server()
    path = os.path.join(server.folder, "rookery.log")
    server.overrides["log"] = {"target": path}
    server.ready_path = path
    await server.start()
    os.rename(path, path + ".1")
    server.process.send_signal(1)
    await server.wait_for(lambda: os.path.exists(path), "a new log")
    await server.client("romeo")

    def has_login():
        with open(path, encoding="utf-8") as file:
            return "logged in" in file.read()

    await server.wait_for(has_login, "a line in the new log")


async def test_ipv6(make_server):
    """Listeners on IPv6, and on both at once."""
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this system has no IPv6")
    server = make_server()
    server.overrides["listen"] = [
        {"type": "c2s", "ip": "::", "port": "c2s", "starttls": "optional"},
        {"type": "c2s", "ip": "::1", "port": "six", "starttls": "optional"}]
    await server.start()
    for ip, name in (("127.0.0.1", "c2s"), ("::1", "c2s"), ("::1", "six")):
        client = Client("romeo")
        await client.connect(server.port[name], ip=ip)
        await client.open()
        client.close()


async def test_no_file(build, make_server, tmp_path):
    """Without a configuration: localhost on loopback, at the usual port."""
    if not ports.is_free(5222) or os.path.exists("/etc/rookery/rookery.yml"):
        pytest.skip("the port is taken, or there is a configuration")
    server = make_server({"certificates": None})
    await server.start(no_config=True, cwd=str(tmp_path))
    server.port = {}
    assert os.path.isdir(tmp_path / "rookery-data")
    client = Client("romeo")
    await client.connect(5222)
    await client.open()
    assert client.mechanisms() == []
    await client.starttls()
    assert "SCRAM-SHA-256-PLUS" in client.mechanisms()
