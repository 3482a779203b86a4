# SPDX-License-Identifier: MIT
"""A server of the default configuration, found by its names at its usual
ports, and people at their desktops: Romeo with Gajim, Juliet with Dino. The
tests of a file share them, and say things that no other says."""

import asyncio
import os
import sys
import threading

import pytest
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [TESTS, HERE]

# pylint: disable=wrong-import-position
import desk  # noqa: E402
from harness.client import Client  # noqa: E402
from harness.dns import NameServer  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.wire import client_context  # noqa: E402
from integration.conftest import (  # noqa: E402,F401
    authority, build, event_loop, pytest_configure, pytest_generate_tests,
    pytest_pyfunc_call)

HOST = "chat.example"
SHOTS = os.environ.get("ROOKERY_SHOTS", "shots")
NAMES = ("", "conference.", "upload.", "pubsub.", "proxy.")


def usual_listeners():
    """Those of an installation: debian/default.yml's."""
    path = os.path.join(os.path.dirname(TESTS), "debian", "default.yml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return yaml.safe_load(text.replace("@HOST@", HOST).replace(
        "@CERT@", "none"))["listen"]


class Names(threading.Thread):
    """A name server where the machine's own would be."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = NameServer()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.server.start(53))
        for name in NAMES:
            self.server.add_a(name + HOST, "127.0.0.1")
        for service, port in (("xmpp-client", 5222), ("xmpps-client", 5223),
                              ("xmpp-server", 5269)):
            self.server.add_srv(f"_{service}._tcp.{HOST}", port, HOST)

    def run(self):
        self.loop.run_forever()

    def end(self):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.call_later, 0.1,
                                       self.loop.stop)
        self.join()
        self.loop.close()


class Stage:
    def __init__(self, build_folder, ca):
        self.ca = ca
        self.names = Names()
        # Hosts, an administrator, a certificate; no more is set.
        self.server = Server(build_folder, {
            "admins": [f"admin@{HOST}"], "auth": None, "workers": None,
            "listen": usual_listeners()}, hosts=(HOST,), authority=ca)
        self.desks = []

    def enter(self, kind, name):
        one = kind(name, self.ca.pem)
        self.desks.append(one)
        return one

    async def begin(self):
        self.names.start()
        await self.server.start()
        return self

    async def command(self, *words):
        return (await self.server.ctl_ok(*words)).rstrip("\n")

    async def befriend(self, one, other):
        for a, b in ((one, other), (other, one)):
            await self.command("add_rosteritem", a, HOST, b, HOST, b, "",
                               "both")

    async def observer(self, user):
        """A client of ours that looks at what the server keeps for a user."""
        client = Client(user, "secret", HOST)
        return await client.login(
            5222, starttls=True, mechanism="SCRAM-SHA-256-PLUS",
            context=client_context(self.ca.pem))

    async def end(self):
        for one in self.desks:
            await one.close()
        faults = []
        if self.server.is_alive:
            if await self.server.stop() != 0:
                faults.append("the server stopped badly")
        elif self.server.process is not None:
            faults.append("the server has died")
        faults += self.server.unannounced()
        self.server.destroy()
        self.names.end()
        return faults


def run(coroutine):
    """For what is shared by tests, which have a loop each."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


@pytest.fixture(scope="module")
def stage(build, authority):  # noqa: F811
    made = Stage(build, authority)
    try:
        run(made.begin())
        yield made
    finally:
        faults = run(made.end())
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="module")
def couple(stage):
    """Romeo with Gajim and Juliet with Dino, friends, both logged in."""
    async def begin():
        for name in ("romeo", "juliet"):
            await stage.command("register", name, HOST, "secret")
        await stage.befriend("romeo", "juliet")
        romeo = stage.enter(desk.Gajim, "romeo")
        juliet = stage.enter(desk.Dino, "juliet")

        async def come(one):
            await one.begin()
            await one.log_in(f"{one.name}@{HOST}", "secret")

        try:
            await asyncio.gather(come(romeo), come(juliet))
        except BaseException:
            await keep(stage, "login")
            raise
        return romeo, juliet
    return run(begin())


async def keep(stage, name):
    for one in stage.desks:
        await one.keep(os.path.join(SHOTS, "desktop", name))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    shared = getattr(item, "funcargs", {}).get("stage")
    if call.when == "call" and report.failed and shared:
        run(keep(shared, item.name))
        print("\n".join(shared.server.lines()[-40:]))
