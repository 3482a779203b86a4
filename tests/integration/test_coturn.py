# SPDX-License-Identifier: MIT
"""The worked example of docs/operating.md: coturn takes what the server hands out,
and nothing that is wrong or over."""

import asyncio
import base64
import calendar
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time

import pytest

from harness import ports
from harness.wire import PATIENCE

NS = "urn:xmpp:extdisco:2"
TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SECRET = "THE-SECRET"


def example():
    """What the page tells to write into turnserver.conf."""
    with open(os.path.join(TOP, "docs", "operating.md"),
              encoding="utf-8") as file:
        text = file.read().split("# /etc/turnserver.conf\n")[1]
    return [line.strip() for line in text.split("\n\n")[0].splitlines()]


class Coturn:
    def __init__(self, folder):
        self.folder = folder
        self.port = ports.take()

    async def start(self):
        # As documented, but for this machine alone and another port.
        lines = [line for line in example()
                 if not line.startswith(("external-ip", "listening-port",
                                         "denied-peer-ip", "cert", "pkey",
                                         "tls-listening-port", "syslog"))]
        assert f"static-auth-secret={SECRET}" in lines
        assert "use-auth-secret" in lines
        lines += [f"listening-port={self.port}", "listening-ip=127.0.0.1",
                  "relay-ip=127.0.0.1", "allow-loopback-peers", "no-tls",
                  "no-dtls", "no-cli", f"pidfile={self.folder}/pid",
                  f"userdb={self.folder}/db", "log-file=stdout",
                  "relay-threads=1"]
        path = os.path.join(self.folder, "turnserver.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            ["turnserver", "-c", path], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, cwd=self.folder)
        for _ in range(PATIENCE * 10):
            if await asyncio.to_thread(self.answers):
                return self
        raise AssertionError("turnserver does not answer")

    def answers(self):
        """A binding request (RFC 8489)."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(0.1)
            try:
                link.connect(("127.0.0.1", self.port))
                link.send(b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12))
                return link.recv(1000).startswith(b"\1\1")
            except OSError:
                time.sleep(0.1)
                return False

    async def run(self, *argv):
        return await asyncio.to_thread(
            subprocess.run, argv, capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL, check=False)

    async def relays(self, name, password):
        """Two clients allocate, and talk through it."""
        done = await self.run(
            "turnutils_uclient", "-y", "-c", "-m", "1", "-n", "2", "-p",
            str(self.port), "-u", name, "-w", password, "127.0.0.1")
        said = done.stdout + done.stderr
        if "Total lost packets 0 " in said:
            return True
        assert "Cannot complete Allocation" in said, said
        return False

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def sign(name, secret=SECRET):
    mac = hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()
    return base64.b64encode(mac).decode()


async def test_coturn(make_server, tmp_path):
    if shutil.which("turnserver") is None:
        pytest.skip("there is no coturn")
    turn = Coturn(str(tmp_path))
    try:
        await turn.start()
        await hand_out(make_server, turn)
    finally:
        turn.close()


async def hand_out(make_server, turn):
    server = make_server({"modules": {"disco": {}, "extdisco": {
        "services": [f"stun:127.0.0.1:{turn.port}",
                     f"turn:127.0.0.1:{turn.port}?transport=udp"],
        "secret": SECRET, "lifetime": "1h"}}})
    await server.start()
    client = await server.client("romeo")
    answer = await client.ask(f"<services xmlns='{NS}'/>", to="localhost")
    stun, relay = answer.find("services").elems()
    assert stun.get("type") == "stun" and relay.get("type") == "turn"
    name, password = relay.get("username"), relay.get("password")
    assert relay.get("port") == str(turn.port)
    # It may be used as long as it says, and that is what the name says.
    until = time.strptime(relay.get("expires")[:19], "%Y-%m-%dT%H:%M:%S")
    assert abs(calendar.timegm(until)
               - int(name.split(":")[0])) <= 1

    assert await turn.relays(name, password)
    rest = name.partition(":")[2]
    over = f"{int(time.time()) - 10}:{rest}"
    later = f"{int(name.split(':')[0]) + 3600}:{rest}"
    for bad in ((name, sign(name, "another")), (name, ""),
                (later, password), (over, sign(over)), (rest, sign(rest))):
        assert not await turn.relays(*bad), bad
