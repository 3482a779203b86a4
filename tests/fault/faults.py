# SPDX-License-Identifier: MIT
"""What can happen to a server and its database, and rounds of it."""

import asyncio
import os
import random
import signal
import subprocess
import time

from fault.pairs import Pair
from harness.postgres import Postgres
from harness.server import Server

CONFIG = {"limits": {"c2s_rate": 0, "offline_messages": 1000000,
                     "sessions_per_account": 1000}}
PAIRS = 4
DISK = 192 << 20


def children(pid):
    """Of a process, by /proc."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found.append(int(name))
    return found


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Disk:
    """A small file system that can be filled. It takes root to make one."""

    def __init__(self, path):
        self.path = path
        self.ballast = os.path.join(path, "ballast")
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"size={DISK},mode=0755", "tmpfs", path], check=True,
                       capture_output=True)

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
            except OSError:
                pass

    def empty(self):
        os.unlink(self.ballast)

    def destroy(self):
        subprocess.run(["umount", "-l", self.path], check=False)


def can_mount(folder):
    """Are we allowed to make one?"""
    try:
        Disk(os.path.join(folder, "try")).destroy()
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    return True


class Bench:
    """A server, its database, and those who talk through it."""

    def __init__(self, build, store, *, workers=2, seed=1, seconds=None,
                 small_disk=False):
        self.rng = random.Random(seed)
        self.seconds = seconds or {}
        self.pg = self.disk = None
        self.stalled = self.cut_off = 0
        self.lives = False
        config = dict(CONFIG)
        if store == "pg":
            self.pg = Postgres()
            config["database"] = {
                "driver": "postgresql", "path": None,
                "dsn": self.pg.dsn(self.pg.schema())}
        else:
            config["database"] = {"driver": "sqlite", "dsn": None}
        self.server = Server(build, config, workers=workers)
        self.pairs = [Pair(n) for n in range(PAIRS)]
        if small_disk:
            self.make_small()

    def make_small(self):
        """The data moves to a small disk."""
        if self.pg is None:
            self.disk = Disk(os.path.join(self.server.folder, "data"))
            return
        self.pg.stop()
        self.disk = Disk(os.path.join(self.pg.folder, "small"))
        new = os.path.join(self.disk.path, "data")
        subprocess.run(["cp", "-a", self.pg.data, new], check=True)
        subprocess.run(["rm", "-rf", self.pg.data], check=True)
        os.symlink(new, self.pg.data)
        # Its own log must not fill the disk.
        with open(os.path.join(new, "postgresql.auto.conf"), "a",
                  encoding="utf-8") as file:
            file.write("max_wal_size = '48MB'\nmin_wal_size = '32MB'\n")
        self.pg.start()

    async def begin(self):
        await self.server.start()
        for pair in self.pairs:
            await self.server.register(pair.sender)
            await self.server.register(pair.receiver)

    def destroy(self):
        self.server.destroy()
        if self.disk is not None and self.pg is None:
            self.disk.destroy()
        if self.pg is not None:
            self.pg.stop(signal.SIGQUIT)
            if self.disk is not None:
                self.disk.destroy()
            self.pg.destroy()

    # Load

    async def load(self, seconds, resumes=True):
        """Everybody sends; at times a link breaks, and is resumed."""
        end = time.monotonic() + seconds
        tasks = {}
        while time.monotonic() < end:
            for pair in self.pairs:
                task = tasks.get(pair)
                if task is not None and not task.done():
                    continue
                pair.send()
                if resumes and self.rng.random() < 0.002:
                    tasks[pair] = asyncio.create_task(
                        pair.resume(self.server))
            await asyncio.sleep(self.rng.random() * 0.008)
        if tasks:
            await asyncio.wait(tasks.values())
            for task in tasks.values():
                task.result()

    async def lost_links(self):
        for pair in self.pairs:
            for client in (pair.client, pair.other):
                while client is not None and not client.wire.is_lost:
                    await asyncio.sleep(0.005)

    # Faults

    async def kill(self):
        """kill -9 of the server."""
        await self.load(self.rng.uniform(0.05, 0.8), resumes=False)
        await self.server.kill()
        await self.lost_links()
        await self.server.start()

    async def under(self, begin, end, seconds):
        """A fault that the server has to live through."""
        self.lives = True
        await self.load(self.rng.uniform(0.05, 0.6))
        await asyncio.to_thread(begin)
        load = asyncio.create_task(self.load(seconds))
        await asyncio.sleep(seconds)
        await asyncio.to_thread(end)
        await load
        await self.load(self.rng.uniform(0.05, 0.3))

    async def pg_kill(self):
        """kill -9 of all of PostgreSQL."""
        def kill():
            pids = children(self.pg.process.pid)
            signal_all([self.pg.process.pid] + pids, signal.SIGKILL)
            self.pg.process.wait()
        await self.under(kill, self.pg.start, self.rng.uniform(0, 0.5))

    async def pg_stop(self):
        """PostgreSQL is stopped, and started again later."""
        await self.under(self.pg.stop, self.pg.start,
                         self.seconds.get("pg-stop", 30))

    async def slow(self):
        """A database that answers, but late."""
        stopped = []

        def stop():
            stopped.extend(children(self.pg.process.pid))
            signal_all(stopped, signal.SIGSTOP)
        await self.under(stop, lambda: signal_all(stopped, signal.SIGCONT),
                         self.seconds.get("slow", 5))

    async def full(self):
        """No room left, for a while."""
        def end():
            self.disk.empty()
            if self.pg is not None and self.pg.process.poll() is not None:
                self.pg.start()
        await self.under(self.disk.fill, end, self.seconds.get("full", 3))

    KINDS = {"kill": kill, "pg-kill": pg_kill, "pg-stop": pg_stop,
             "slow": slow, "full": full}

    async def round(self, kind):
        for pair in self.pairs:
            await pair.begin(self.server, self.rng)
        self.lives = False
        await self.KINDS[kind](self)
        for pair in self.pairs:
            if self.lives and pair.client.wire.is_lost:
                self.cut_off += 1
            elif self.lives and not await pair.settle():
                self.stalled += 1
            pair.end()

    async def result(self):
        # Sessions that wait for their clients give up what they hold.
        await self.server.restart()
        for pair in self.pairs:
            await pair.finish(self.server)
        out = {"stalled": self.stalled, "cut off": self.cut_off}
        for pair in self.pairs:
            for key, value in pair.count().items():
                out[key] = out.get(key, 0) + value
        return out


__all__ = ["Bench", "can_mount"]
