# SPDX-License-Identifier: MIT
"""Libraries for browsers and bots, in Node: they log in, bind, and exchange a
message with a TCP client. ROOKERY_NODE is where npm has put them."""

import asyncio
import os

import pytest

from integration.test_clients import User, leave

HERE = os.path.dirname(os.path.abspath(__file__))
LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "required"},
    {"type": "c2s", "ip": "127.0.0.1", "port": "tls", "tls": True},
    {"type": "http", "ip": "127.0.0.1", "port": "https", "tls": True},
]
WAYS = {
    "xmpp-tcp": ("xmpp", "xmpp://localhost:{c2s}"),
    "xmpp-tls": ("xmpp", "xmpps://localhost:{tls}"),
    "xmpp-websocket": ("xmpp", "wss://localhost:{https}/ws"),
    "strophe-websocket": ("strophe", "wss://localhost:{https}/ws"),
    "strophe-bosh": ("strophe", "https://localhost:{https}/http-bind"),
}


async def start(server, script, service):
    node = os.environ.get("ROOKERY_NODE")
    if not node:
        pytest.fail("ROOKERY_NODE does not say where the libraries are")
    return await asyncio.create_subprocess_exec(
        "node", os.path.join(HERE, script + ".mjs"),
        service.format(**server.port), "localhost", "juliet", "secret",
        "romeo@localhost", stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": server.authority.pem})


@pytest.mark.parametrize("way", WAYS)
async def test_library(make_server, way):
    server = make_server({"listen": LISTEN, "modules": None})
    await server.start()
    for name in ("romeo", "juliet"):
        await server.register(name)
    romeo = await User(server, "romeo").begin()
    process = await start(server, *WAYS[way])
    try:
        assert await romeo.body() == "from a library"
        romeo.send_message("juliet@localhost", "from a person", mtype="chat")
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    except BaseException:
        process.kill()
        print((await process.communicate())[0].decode())
        raise
    said = said.decode()
    # What was asked for is a part of the resource where Bind 2 makes it.
    assert said.startswith("bound juliet@localhost/js")
    assert said.splitlines()[1:] == ["got from a person"], said
    assert process.returncode == 0
    await leave(romeo)
