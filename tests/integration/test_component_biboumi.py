# SPDX-License-Identifier: MIT
"""Debian's biboumi, an IRC gateway, as a component."""

import asyncio
import os
import shutil
import subprocess

import pytest

from harness.client import Failure
from harness.wire import PATIENCE

IRC = "irc.localhost"

pytestmark = [
    pytest.mark.workers(2),
    pytest.mark.skipif(shutil.which("biboumi") is None,
                       reason="there is no biboumi"),
]

CONFIG = """
hostname={irc}
password=geheim
xmpp_server_ip=127.0.0.1
port={port}
admin=admin@localhost
db_name={folder}/biboumi.sqlite
log_level=1
log_file={folder}/biboumi.log
"""


class IrcServer:
    """Just enough of one to let somebody in and to talk."""

    def __init__(self):
        self.server = None
        self.writers = []
        self.said = asyncio.Queue()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        self.writers.append(writer)
        nick = "?"
        while line := (await reader.readline()).decode().strip():
            word, _, rest = line.partition(" ")
            if word == "NICK":
                nick = rest.lstrip(":")
            elif word == "USER":
                writer.write(f":irc 001 {nick} :Welcome\r\n"
                             f":irc 376 {nick} :End\r\n".encode())
            elif word == "PING":
                writer.write(f":irc PONG irc {rest}\r\n".encode())
            elif word == "JOIN":
                room = rest.split()[0].lstrip(":")
                writer.write(
                    f":{nick}!u@h JOIN {room}\r\n"
                    f":irc 353 {nick} = {room} :{nick} tybalt\r\n"
                    f":irc 366 {nick} {room} :End\r\n".encode())
            elif word == "PRIVMSG":
                room = rest.split()[0]
                await self.said.put(rest)
                writer.write(f":tybalt!u@h PRIVMSG {room} :peace?\r\n".encode())

    def close(self):
        for writer in self.writers:
            writer.close()
        self.server.close()


@pytest.fixture
def gateway(make_server, event_loop):
    server = make_server({
        "components": [{"host": IRC, "secret": "geheim"}],
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
             "starttls": "optional"},
            {"type": "component", "ip": "127.0.0.1", "port": "component"},
        ]})
    event_loop.run_until_complete(server.start())
    path = os.path.join(server.folder, "biboumi.cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(CONFIG.format(irc=IRC, folder=server.folder,
                                 port=server.port["component"]))
    process = subprocess.Popen(
        ["biboumi", path], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield server
    process.terminate()
    process.wait(PATIENCE)


async def test_biboumi(gateway):
    server = gateway

    async def is_there():
        return IRC in await server.ctl_ok("connected_components")
    await server.wait_until(is_there)
    juliet = await server.client("juliet")
    answer = await juliet.ask(
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        to="localhost")
    assert IRC in [i.get("jid") for i in answer.find("query").elems()]
    answer = await juliet.ask(
        "<query xmlns='http://jabber.org/protocol/disco#info'/>", to=IRC)
    assert answer.find("query").find("identity").get("type") == "irc"
    with pytest.raises(Failure):
        await juliet.ask("<query xmlns='urn:x:nothing'/>", to=IRC)


async def configure(juliet, host, port):
    """By its ad-hoc command."""
    commands = "http://jabber.org/protocol/commands"
    to = f"{host}@{IRC}"
    answer = await juliet.ask(f"<command xmlns='{commands}' node='configure' "
                              "action='execute'/>", "set", to)
    session = answer.find("command").get("sessionid")
    await juliet.ask(
        f"<command xmlns='{commands}' node='configure' action='complete' "
        f"sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>"
        f"<field var='ports'><value>{port}</value></field>"
        "<field var='tls_ports'/></x></command>", "set", to)


async def test_a_channel(gateway):
    server = gateway
    irc = IrcServer()
    port = await irc.start()
    try:
        async def is_there():
            return IRC in await server.ctl_ok("connected_components")
        await server.wait_until(is_there)
        juliet = await server.client("juliet")
        await configure(juliet, "127.0.0.1", port)
        room = f"#verona%127.0.0.1@{IRC}"
        juliet.send(f"<presence to='{room}/juliet'><x "
                    "xmlns='http://jabber.org/protocol/muc'/></presence>")
        await juliet.take(lambda e: e.name == "presence"
                          and e.get("from") == f"{room}/tybalt")
        await juliet.take(lambda e: e.name == "presence"
                          and e.get("from") == f"{room}/juliet")
        juliet.send(f"<message to='{room}' type='groupchat' id='1'><body>hail"
                    "</body></message>")
        assert "hail" in await asyncio.wait_for(irc.said.get(), PATIENCE)
        got = await juliet.take(lambda e: e.find("body") is not None
                                and e.find("body").text == "peace?")
        assert got.get("from") == f"{room}/tybalt"
    finally:
        irc.close()
