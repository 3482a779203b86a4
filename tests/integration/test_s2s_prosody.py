# SPDX-License-Identifier: MIT
"""Streams both ways with Prosody, by certificate and by dialback."""

import asyncio
import os
import shutil
import subprocess

import pytest

from harness import ports
from harness.dns import NameServer
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
c2s_ports = {{ }}
s2s_ports = {{ {port} }}
modules_enabled = {{ "saslauth", "tls", "dialback", "disco", "ping" }}
modules_disabled = {{ "c2s", "posix" }}
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
        self.process = None

    async def start(self, **settings):
        os.mkdir(os.path.join(self.folder, "data"))
        path = os.path.join(self.folder, "prosody.cfg.lua")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.format(folder=self.folder, port=self.port,
                                     **settings))
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


@pytest.fixture
def prosody(tmp_path):
    made = Prosody(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("how", ["EXTERNAL", "dialback"])
async def test_both_ways(make_server, authority, prosody, tmp_path, how):
    ours = authority
    if how == "dialback":
        (tmp_path / "other").mkdir()
        ours = Authority(str(tmp_path / "other"))
    names = await NameServer().start()
    pem = authority.issue(str(tmp_path / "p.pem"), "pros.xmpp")
    await prosody.start(
        resolver=names.address.replace(":", "@"), pem=pem, ca=authority.pem,
        secure="true" if how == "EXTERNAL" else "false")
    server = make_server({
        "hosts": ["rook.xmpp"],
        "admins": [],
        "dns": {"servers": [names.address]},
        "s2s": {"ca_file": ours.pem,
                "require": "dialback" if how == "dialback" else "certificate"},
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
             "starttls": "optional"},
            {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"},
        ],
    }, hosts=("rook.xmpp",), authority=ours)
    await server.start()
    for domain, port in (("rook.xmpp", server.port["s2s"]),
                         ("pros.xmpp", prosody.port)):
        names.add_srv(f"_xmpp-server._tcp.{domain}", port, f"s.{domain}")
        names.add_a(f"s.{domain}", "127.0.0.1")
    try:
        juliet = await server.client("juliet", host="rook.xmpp")
        await juliet.ping("pros.xmpp")
        await server.log_line(rf"outgoing stream is up \({how}")
        await server.log_line(rf"incoming stream for pros.xmpp is up \({how}")
        await juliet.ask(
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            to="pros.xmpp")
    finally:
        names.close()
