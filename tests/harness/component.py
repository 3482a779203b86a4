# SPDX-License-Identifier: MIT
"""A component (XEP-0114) whose every byte is the test's own."""

import hashlib

from harness.client import Client, Failure
from harness.xml import NS_STREAM

NS_ACCEPT = "jabber:component:accept"


class Component(Client):
    def __init__(self, domain, secret="secret"):
        super().__init__(None, secret, domain)
        self.ident = None

    @property
    def bare(self):
        return self.host

    def send_header(self, to=None, extra=""):
        self.is_open = True
        self.wire.send(f"<?xml version='1.0'?><stream:stream to='"
                       f"{to or self.host}' xmlns='{NS_ACCEPT}' "
                       f"xmlns:stream='{NS_STREAM}'{extra}>")

    async def open(self, to=None, extra=""):
        self.wire.restart()
        self.send_header(to, extra)
        self.header = await self.expect("open")
        self.ident = self.header.get("id")
        return self.header

    def handshake(self, secret=None):
        text = self.ident + (secret or self.password)
        return hashlib.sha1(text.encode()).hexdigest()

    def send_handshake(self, text=None):
        self.wire.send(f"<handshake>{text or self.handshake()}</handshake>")

    async def login(self, port, **how):
        await self.connect(port, **how)
        await self.open()
        self.send_handshake()
        answer = await self.elem()
        if answer.name != "handshake":
            raise Failure(answer)
        self.jid = self.host
        return self

    async def ends(self, condition):
        """The stream error that comes next, and the end."""
        error = await self.elem()
        assert error.name == "error" and \
            error.elems()[0].name == condition, str(error)
        await self.wire.gone()

    async def ask(self, payload, kind="get", to=None, sender=None, **how):
        del how
        ident = f"c{id(payload)}-{self.sent}"
        self.send(f"<iq type='{kind}' id='{ident}' to='{to}' from='"
                  f"{sender or self.host}'>{payload}</iq>")
        answer = await self.take(lambda e: e.name == "iq"
                                 and e.get("id") == ident)
        if answer.get("type") != "result":
            raise Failure(answer.find("error"))
        return answer
