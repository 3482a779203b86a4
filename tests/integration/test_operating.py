# SPDX-License-Identifier: MIT
"""What operators are given beside the server: the dashboard and the alerts
know its metrics, and the unit shuts it in."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.request

import pytest
import yaml

from harness import postgres

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
METRIC = re.compile(r"\brookery_[a-z0-9_]+")
# The worst that systemd-analyze may say of the unit, times ten.
EXPOSURE = 20


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


@pytest.fixture(name="metrics")
def fixture_metrics(make_server, event_loop):
    """The names that /metrics has."""
    server = make_server({"listen": [{"type": "http", "ip": "127.0.0.1",
                                      "port": "http"}]})
    event_loop.run_until_complete(server.start())
    url = f"http://127.0.0.1:{server.port['http']}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return set(re.findall(r"^(rookery_\w+)[ {]", text, re.M))


def test_dashboard(metrics):
    """Every expression of the dashboard is about metrics that there are."""
    board = json.loads(read("contrib", "grafana", "rookery.json"))
    shown = set()
    for panel in board["panels"]:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            found = METRIC.findall(target["expr"])
            assert found, target
            shown.update(found)
    for variable in board["templating"]["list"]:
        assert set(METRIC.findall(variable["query"])) <= metrics
    assert shown <= metrics, shown - metrics


def test_alerts(metrics):
    """So are the alerts, and each says what to do."""
    rules = yaml.safe_load(read("contrib", "prometheus", "rookery.rules.yml"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            found = set(METRIC.findall(rule["expr"]))
            assert found <= metrics, rule["alert"]
            assert found or "up{" in rule["expr"]
            assert rule["annotations"]["description"]
    known = os.path.join(TOP, "contrib", "prometheus", "rookery.rules.yml")
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", known], check=True,
                       timeout=60)


@pytest.mark.skipif(not shutil.which("systemd-analyze"),
                    reason="systemd-analyze is not there")
def test_unit(make_server, tmp_path):
    """The unit as it is installed keeps the server from all that is not its
    business."""
    build = make_server().build
    subprocess.run(["make", "-s", "-C", build, "etc/rookery.service"],
                   check=True, timeout=60, stdout=subprocess.DEVNULL)
    unit = shutil.copy(os.path.join(build, "etc", "rookery.service"), tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         f"--threshold={EXPOSURE}", unit], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    worst = [line for line in done.stdout.splitlines() if "✗" in line]
    assert done.returncode == 0, "\n".join(worst)
    assert "Overall exposure level" in done.stdout, done.stdout


@pytest.fixture(name="told")
def fixture_told(tmp_path):
    """What systemd hears; its next word, but for those to be passed over."""
    path = str(tmp_path / "notify")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.settimeout(60)

    def take(*but):
        while True:
            word = sock.recv(4096).decode()
            if word not in but:
                return word

    take.path = path
    yield take
    sock.close()


async def test_watchdog(make_server, told):
    """While its loops turn, systemd is told so, all the time."""
    server = make_server()
    server.extra_env["NOTIFY_SOCKET"] = told.path
    server.extra_env["WATCHDOG_USEC"] = "150000"
    await server.start()
    assert told() == "READY=1"
    for _ in range(5):
        assert told() == "WATCHDOG=1"
    await server.stop()
    assert told("WATCHDOG=1") == "STOPPING=1"


async def test_no_watchdog(make_server, told):
    """A watchdog of another process is none of ours."""
    server = make_server()
    server.extra_env["NOTIFY_SOCKET"] = told.path
    server.extra_env["WATCHDOG_USEC"] = "3000"
    server.extra_env["WATCHDOG_PID"] = "1"
    await server.start()
    assert told() == "READY=1"
    await server.client("romeo")
    await server.stop()
    assert told() == "STOPPING=1"


async def test_restart_is_no_stop(make_server, told):
    """Who says that it stops would be killed after a while."""
    server = make_server()
    server.extra_env["NOTIFY_SOCKET"] = told.path
    await server.start()
    assert told() == "READY=1"
    server.ctl("restart")
    assert told() == "RELOADING=1"
    assert told() == "READY=1"
    await server.client("romeo")


def dump(server):
    """Of PostgreSQL, as docs/postgresql.md has it; how to restore it."""
    shared = postgres.Postgres.shared()
    path = os.path.join(shared.folder, "rookery.dump")
    where = ["-d", shared.dsn(server.schema).split(" options=")[0]]
    shared.run("pg_dump", "-Fc", "-n", server.schema, "-f", path, *where)
    return lambda: shared.run("pg_restore", "--clean", "--if-exists", *where,
                              path)


async def backup(server):
    """Of SQLite, as docs/operating.md has it; how to restore it."""
    copy = os.path.join(server.folder, "data", "backup.db")
    await server.ctl_ok("backup", copy)
    database = os.path.join(server.folder, "data", "rookery.db")

    def restore():
        for tail in ("-wal", "-shm"):
            if os.path.exists(database + tail):
                os.unlink(database + tail)
        os.replace(copy, database)

    return restore


async def test_restore(make_server):
    """What was there when the backup was made is there again, and nothing
    that came later."""
    server = make_server()
    await server.start()
    romeo = await server.client("romeo")
    await server.register("juliet")
    romeo.send("<message to='juliet@localhost' type='chat' id='m1'>"
               "<body>before</body></message>")
    await romeo.ping()
    restore = dump(server) if postgres.is_wanted() else await backup(server)
    romeo.send("<message to='juliet@localhost' type='chat' id='m2'>"
               "<body>after</body></message>")
    await romeo.ping()
    await server.register("mercutio")
    await server.stop()
    restore()
    await server.start()
    assert (await server.ctl_ok("registered_users", "localhost")).split() == [
        "juliet", "romeo"]
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    message = await juliet.take(lambda e: e.name == "message")
    assert message.find("body").text == "before"
    await juliet.ping()


async def test_old_offline_messages(make_server):
    """What waits for those who are offline, and is old, goes: at once, or in
    the background; an account in memory knows that it has less."""
    server = make_server({"auth": {"allow_plain_without_tls": True}})
    await server.start()
    romeo = await server.client("romeo")
    for user in ("juliet", "nurse"):
        await server.register(user)

    async def waiting(user):
        _, value = await server.api("get_offline_count", user=user,
                                    host="localhost")
        return value

    async def write(count):
        for i in range(count):
            for user in ("juliet", "nurse"):
                romeo.send(f"<message to='{user}@localhost' id='{i}'>"
                           "<body>hark</body></message>")
        await romeo.ping("localhost")

        async def all_wait():
            return (await waiting("juliet"), await waiting("nurse")) == (
                count, count)
        await server.wait_until(all_wait, "messages in the spool")

    async def status():
        _, value = await server.api("delete_old_messages_status",
                                    host="localhost")
        return value

    assert await status() == "Operation not started, deleted 0 messages"
    await write(100)
    assert await server.api("delete_old_messages", days=1) == (200, 0)
    assert await waiting("nurse") == 100
    await asyncio.sleep(0.01)
    assert await server.api("delete_old_messages", days=0) == (200, 0)
    assert (await waiting("juliet"), await waiting("nurse")) == (0, 0)

    await write(100)
    await asyncio.sleep(0.01)
    code, _ = await server.api("delete_old_messages_batch", host="localhost",
                               days=0, batch_size=10, rate=1000)
    assert code == 200

    async def is_done():
        return await status() == "Operation finished, deleted 200 messages"
    await server.wait_until(is_done, "the end of the deletion")
    juliet = await server.client("juliet", register=False)
    juliet.send("<presence/>")
    assert (await juliet.elem()).name == "presence"
    await juliet.ping("localhost")
