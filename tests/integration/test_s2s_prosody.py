# SPDX-License-Identifier: MIT
"""Streams both ways with Prosody, by certificate and by dialback."""

import asyncio
import json
import os
import shutil
import subprocess

import pytest

from harness import ports
from harness.client import Client
from harness.dns import NameServer
from harness.federation import say
from harness.server import Authority
from harness.wire import PATIENCE

pytestmark = [
    pytest.mark.workers(2),
    pytest.mark.skipif(shutil.which("prosody") is None,
                       reason="there is no prosody"),
]

# Its resolver would neither ask on loopback nor believe in ".test".
CONFIG = """
run_as_root = true
data_path = "{folder}/data"
pidfile = "{folder}/pid"
log = {{ {{ levels = {{ min = "info" }}, to = "file",
           filename = "{folder}/log" }} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {clients} }}
c2s_require_encryption = false
s2s_ports = {{ {port} }}
modules_enabled = {{ "c2s", "saslauth", "tls", "dialback", "disco", "ping"{more} }}
modules_disabled = {{ "posix" }}
unbound = {{ resolvconf = false, hoststxt = false,
            forward = {{ "{resolver}" }},
            options = {{ ["do-not-query-localhost:"] = "no" }} }}
s2s_secure_auth = {secure}
ssl = {{ cafile = "{ca}", capath = "/nonexistent" }}
VirtualHost "pros.xmpp"
ssl = {{ certificate = "{pem}", key = "{pem}", cafile = "{ca}" }}
"""


class Prosody:
    def __init__(self, folder):
        self.folder = str(folder)
        self.port = ports.take()
        self.clients = ports.take()
        self.process = None

    async def start(self, more="", **settings):
        os.mkdir(os.path.join(self.folder, "data"))
        path = os.path.join(self.folder, "prosody.cfg.lua")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.format(folder=self.folder, port=self.port,
                                     clients=self.clients,
                                     more=more, **settings))
        subprocess.run(
            ["prosodyctl", "--root", "--config", path, "register", "romeo",
             "pros.xmpp", "secret"], check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen(
            ["prosody", "-F", "--config", path], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(PATIENCE * 20):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1",
                                                          self.port)
                writer.close()
                return
            except OSError:
                assert self.process.poll() is None
                await asyncio.sleep(0.05)
        raise AssertionError("prosody does not listen")

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        ports.release(self.port)
        ports.release(self.clients)


@pytest.fixture
def prosody(tmp_path):
    made = Prosody(tmp_path)
    yield made
    made.end()


class Pair:
    """A rookeryd of rook.xmpp and a prosody of pros.xmpp."""

    def __init__(self, make_server, authority, prosody, folder):
        self.make_server = make_server
        self.authority = authority
        self.prosody = prosody
        self.folder = folder
        self.names = self.server = None

    async def start(self, how="EXTERNAL", more="", names=None):
        ours = self.authority
        if how == "dialback":
            (self.folder / "other").mkdir()
            ours = Authority(str(self.folder / "other"))
        self.names = await NameServer().start()
        pem = self.authority.issue(str(self.folder / "p.pem"),
                                   *(names or ["pros.xmpp"]))
        await self.prosody.start(
            resolver=self.names.address.replace(":", "@"), pem=pem,
            ca=self.authority.pem, more=more,
            secure="true" if how == "EXTERNAL" else "false")
        self.server = self.make_server({
            "hosts": ["rook.xmpp"],
            "admins": [],
            "dns": {"servers": [self.names.address]},
            "s2s": {"ca_file": ours.pem,
                    "require": "dialback" if how == "dialback"
                    else "certificate"},
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"},
            ],
        }, hosts=("rook.xmpp",), authority=ours)
        await self.server.start()
        for domain, port in (("rook.xmpp", self.server.port["s2s"]),
                             ("pros.xmpp", self.prosody.port)):
            self.names.add_srv(f"_xmpp-server._tcp.{domain}", port,
                               f"s.{domain}")
            self.names.add_a(f"s.{domain}", "127.0.0.1")
        return self.server

    def end(self):
        if self.names:
            self.names.close()


@pytest.fixture
def pair(make_server, authority, prosody, tmp_path):
    made = Pair(make_server, authority, prosody, tmp_path)
    yield made
    made.end()


async def disco(client, to):
    return await client.ask(
        "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=to)


@pytest.mark.parametrize("how", ["EXTERNAL", "dialback"])
async def test_both_ways(pair, how):
    server = await pair.start(how)
    juliet = await server.client("juliet", host="rook.xmpp")
    await juliet.ping("pros.xmpp")
    await server.log_line(rf"outgoing stream is up \({how}")
    await server.log_line(rf"incoming stream for pros.xmpp is up \({how}")
    await disco(juliet, "pros.xmpp")


async def outgoing(server):
    return json.loads(await server.ctl_ok("--format", "json",
                                          "list_outgoing_s2s"))


@pytest.mark.parametrize("how", ["EXTERNAL", "dialback"])
async def test_smacks_and_bidi(pair, how):
    """Under its mod_smacks, and with its answers on our stream."""
    server = await pair.start(how, more=', "smacks", "s2s_bidi"')
    juliet = await server.client("juliet", host="rook.xmpp")
    await juliet.ping("pros.xmpp")
    for _ in range(50):
        await juliet.ping("pros.xmpp")
    rows = await outgoing(server)
    assert [r["remote"] for r in rows] == ["pros.xmpp"]
    # For dialback it calls us, too; and offers no SM, having no features then.
    if how == "dialback":
        return
    assert (await server.ctl_ok("incoming_s2s_number")).strip() == "0"
    # All of it is acknowledged, in the end.
    for _ in range(PATIENCE * 10):
        if (await outgoing(server))[0]["unacked"] == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not acknowledged")


async def test_prosody_opens(pair):
    """The stream that it opened carries what we have for it."""
    server = await pair.start(more=', "smacks", "s2s_bidi"')
    juliet = await server.client("juliet", host="rook.xmpp")
    romeo = await Client("romeo", host="pros.xmpp").login(
        pair.prosody.clients)
    await say(romeo, juliet, "she speaks")
    for i in range(20):
        await say(juliet, romeo, f"ay me {i}")
        await say(romeo, juliet, f"speak again {i}")
    assert (await server.ctl_ok("outgoing_s2s_number")).strip() == "0"
    assert (await server.ctl_ok("incoming_s2s_number")).strip() == "1"
    # And after an end in order another one is opened, by whoever needs it.
    await server.ctl_ok("stop_s2s_connections")
    await server.log_line("incoming stream ended")
    await say(juliet, romeo, "good night")
    await say(romeo, juliet, "good night")


async def test_check(pair):
    server = await pair.start()
    text = await server.ctl_ok("check_s2s", "pros.xmpp")
    for part in ("SRV s.pros.xmpp port", "TCP to 127.0.0.1", "connected",
                 "TLS: TLSv1", "certificate: for pros.xmpp", "days left",
                 "vouches for the domain", "EXTERNAL is offered",
                 "logged in by EXTERNAL"):
        assert part in text, (part, text)
    assert text.strip().splitlines()[-1].startswith("OK: ")
    assert (await server.ctl_ok("outgoing_s2s_number")).strip() == "0"


async def test_check_wrong(pair):
    """A certificate of another name; nobody there; no such domain."""
    server = await pair.start(names=["other.xmpp"])
    pair.names.add_srv("_xmpp-server._tcp.dead.xmpp", 1, "s.pros.xmpp")
    pair.names.add_srv("_xmpp-server._tcp.none.xmpp", 0, ".")
    for domain, parts in (
            ("pros.xmpp", ("certificate: for other.xmpp", "other names")),
            ("dead.xmpp", ("TCP to 127.0.0.1 port 1: ", "cannot connect")),
            ("none.xmpp", ("has no server", "knows no server")),
            ("nowhere.xmpp", ("no SRV record", "knows no server"))):
        text = await server.ctl_ok("check_s2s", domain)
        for part in parts:
            assert part in text, (part, text)
        assert text.strip().splitlines()[-1].startswith("FAILED: "), text
    code, out, err = server.ctl("check_s2s", "rook.xmpp")
    assert code != 0, (out, err)
