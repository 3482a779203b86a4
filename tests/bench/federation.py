# SPDX-License-Identifier: MIT
"""Pairs of users who talk, first on one rookeryd, then across two with a TLS
link that is up: what a message costs the servers.

Each message that arrives is answered by one, as in `load`'s chat; the clients
here are of the tests' harness, with a protocol that only counts once they are
logged in, and without TLS, so that the link is what differs."""

import asyncio
import glob
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(
    __file__))))

from harness.dns import NameServer  # noqa: E402
from harness.server import Authority, Server  # noqa: E402

PAIRS = 50
WINDOW = 4
WARM_S = 1
BODY = "x" * 100
# Its pairs have no rosters: what is measured is not what it bounds.
OPTIONS = {"strangers": {"sender_messages": "unlimited",
                         "account_messages": "unlimited"}}


def cpu_clock(pid):
    """clock_getcpuclockid(), which Python has for threads alone."""
    return time.clock_gettime(((~pid) << 3) | 2)


class Talker:
    """Answers each message by one."""

    def __init__(self, client):
        self.wire = client.wire
        self.text = b""
        self.tail = b""
        self.count = 0

    def talk_to(self, jid):
        self.text = (f"<message to='{jid}' type='chat' id='m'><body>{BODY}"
                     "</body></message>").encode()
        self.wire.data_received = self.data_received
        self.tail = b""

    def send(self, n):
        self.wire.transport.write(self.text * n)

    def data_received(self, data):
        data = self.tail + data
        n = data.count(b"</message>")
        self.tail = data[-9:] if not data.endswith(b"</message>") else b""
        self.count += n
        if n and self.text:
            self.send(n)


class Measure:
    def __init__(self, build, seconds, modules):
        self.build = build
        self.seconds = seconds
        self.modules = modules
        self.folder = tempfile.mkdtemp(prefix="bench-")
        self.authority = Authority(self.folder)
        self.servers = []

    async def server(self, domain, names):
        made = Server(self.build, {
            "hosts": [domain], "admins": [],
            "log": {"level": "info"},
            "dns": {"servers": [names.address]},
            "s2s": {"ca_file": self.authority.pem},
            "limits": {"c2s_rate": 0, "s2s_rate": 0},
            "modules": {name: OPTIONS.get(name, {})
                        for name in self.modules},
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"}],
        }, hosts=(domain,), authority=self.authority)
        self.servers.append(made)
        await made.start()
        names.add_srv(f"_xmpp-server._tcp.{domain}", made.port["s2s"],
                      f"s.{domain}")
        names.add_a(f"s.{domain}", "127.0.0.1")
        return made

    async def talkers(self, server, domain, prefix):
        made = []
        for i in range(PAIRS):
            client = await server.client(f"{prefix}{i}", host=domain)
            made.append(client)
        return made

    async def run(self, ones, others, servers):
        """Seconds of CPU a message, of each of the servers; messages/s."""
        talkers = []
        for one, other in zip(ones, others):
            pair = Talker(one), Talker(other)
            pair[0].talk_to(other.jid)
            pair[1].talk_to(one.jid)
            talkers += pair
        for i, talker in enumerate(talkers):
            talker.send(WINDOW // 2)
        await asyncio.sleep(WARM_S)
        before = [cpu_clock(s.process.pid) for s in servers]
        first, began = sum(t.count for t in talkers), time.monotonic()
        await asyncio.sleep(self.seconds)
        count = sum(t.count for t in talkers) - first
        spent = [cpu_clock(s.process.pid) - b
                 for s, b in zip(servers, before)]
        took = time.monotonic() - began
        for talker in talkers:
            talker.text = b""
        await asyncio.sleep(0.5)
        if not count:
            raise RuntimeError("no message arrived")
        return [s / count for s in spent], count / took

    async def all(self):
        names = await NameServer().start()
        try:
            a = await self.server("a.test", names)
            b = await self.server("b.test", names)
            ones = await self.talkers(a, "a.test", "one")
            local = await self.talkers(a, "a.test", "two")
            remote = await self.talkers(b, "b.test", "two")
            cost, rate = await self.run(ones, local, [a])
            yield {"work": "s2s-local", "server_us": cost[0] * 1e6,
                   "per_s": rate}
            near, rate_far = await self.run(ones, remote, [a, b])
            yield {"work": "s2s", "per_s": rate_far,
                   "server_us": sum(near) / 2 * 1e6,
                   "both_us": sum(near) * 1e6,
                   "ratio": sum(near) / 2 / cost[0],
                   "both_ratio": sum(near) / cost[0]}
        finally:
            names.close()
            for server in self.servers:
                await server.stop()
                server.destroy()


def modules_of(build):
    """All but the archive, storage and what has a socket of its own."""
    found = glob.glob(os.path.join(build, "modules", "*.la"))
    return sorted(
        name for name in (os.path.basename(p)[:-3] for p in found)
        if name != "mam" and not name.startswith(
            ("store_", "cluster_", "auth_", "blob_")))


def measure(build, seconds=5):
    async def collect():
        return [row async for row in Measure(
            build, seconds, modules_of(build)).all()]
    return asyncio.run(collect())
