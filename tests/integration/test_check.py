# SPDX-License-Identifier: MIT
"""`rookeryctl check`: what it says of good and of bad set-ups."""

import asyncio
import re
import socket
import threading

import pytest

from harness.dns import NameServer
from harness.server import openssl

DOMAIN = "chat.test"
SERVICES = ("conference", "pubsub", "upload", "proxy")


class Site:
    """A server, and the names that lead to it."""

    def __init__(self, make_server, authority):
        self.make_server, self.authority = make_server, authority
        self.names = self.server = None

    async def start(self, names=None, **config):
        self.names = await NameServer().start()
        services = [f"{name}.{DOMAIN}" for name in SERVICES]
        self.server = self.make_server({
            "hosts": [DOMAIN], "admins": [f"admin@{DOMAIN}"],
            "dns": {"servers": [self.names.address]},
            "s2s": {"ca_file": self.authority.pem},
            "auth": None,
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s"},
                {"type": "c2s", "ip": "127.0.0.1", "port": "tls",
                 "tls": True},
                {"type": "s2s", "ip": "127.0.0.1", "port": "s2s"},
            ], **config}, hosts=names or (DOMAIN, *services))
        await self.server.start()
        return self

    def add_names(self, *skipped):
        for service, port in (("xmpp-client", "c2s"), ("xmpps-client", "tls")):
            if service not in skipped:
                self.names.add_srv(f"_{service}._tcp.{DOMAIN}",
                                   self.server.port[port], f"x.{DOMAIN}")
        for name in (DOMAIN, *(f"{s}.{DOMAIN}" for s in SERVICES)):
            self.names.add_srv(f"_xmpp-server._tcp.{name}",
                               self.server.port["s2s"], f"x.{DOMAIN}")
        self.names.add_a(f"x.{DOMAIN}", "127.0.0.1")
        self.names.add_caa(DOMAIN, "letsencrypt.org")

    async def check(self, *args):
        status, out, err = await asyncio.to_thread(
            self.server.ctl, "check", *args)
        return status, out + err


@pytest.fixture
def site(make_server, authority):
    return Site(make_server, authority)


def stun_server(answers=True):
    """Answers one binding request after the other; (socket, port)."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                data, peer = sock.recvfrom(1000)
            except OSError:
                return
            if len(data) == 20 and data[:2] == b"\0\1" and answers:
                # Before the right one, one that belongs to another.
                sock.sendto(b"\1\1\0\0" + data[4:8] + bytes(12), peer)
                sock.sendto(b"\1\1\0\0" + data[4:20], peer)
    threading.Thread(target=serve, daemon=True).start()
    return sock, sock.getsockname()[1]


def issue(site, path, days, key="ec", names=(DOMAIN,)):
    """A certificate of other kinds than Authority.issue() makes."""
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
            "weak": ["rsa:1024"]}[key]
    base = path + ".tmp"
    openssl("req", "-newkey", *kind, "-nodes", "-keyout", base + ".key",
            "-out", base + ".csr", "-subj", f"/CN={DOMAIN}", "-addext",
            "subjectAltName=" + ",".join(f"DNS:{n}" for n in names))
    openssl("x509", "-req", "-in", base + ".csr", "-CA", site.authority.pem,
            "-CAkey", site.authority.key, "-CAcreateserial", "-days", days,
            "-copy_extensions", "copy", "-out", base + ".crt")
    with open(path, "w", encoding="utf-8") as out:
        for part in (".crt", ".key"):
            with open(base + part, encoding="utf-8") as file:
                out.write(file.read())


def lines(text, state, what=""):
    return [line for line in text.splitlines()
            if re.match(f"{state} +{re.escape(what)}", line)]


def relays(*uris):
    return {"host_config": {DOMAIN: {"modules": {"extdisco": {
        "services": list(uris), "secret": "secret"}}}}}


async def test_all_well(site):
    sock, port = stun_server()
    await site.start(**relays(f"stun:127.0.0.1:{port}"))
    site.add_names()
    issue(site, f"{site.server.folder}/cert.pem", "30", names=(
        DOMAIN, *(f"{s}.{DOMAIN}" for s in SERVICES)))
    await site.server.ctl_ok("reload_config")
    status, out = await site.check(DOMAIN)
    sock.close()
    assert status == 0, out
    assert not lines(out, "FAIL")
    assert re.search(r"^\d+ ok, \d+ warnings, 0 failed$", out, re.M)
    good = "reached, and the certificate is good"
    for what in (f"DNS _xmpp-client._tcp.{DOMAIN}",
                 f"DNS _xmpps-client._tcp.{DOMAIN}",
                 f"DNS _xmpp-server._tcp.{DOMAIN}",
                 f"DNS _xmpp-server._tcp.conference.{DOMAIN}"):
        assert len(lines(out, "ok", what)) == 1, out
        assert good in lines(out, "ok", what)[0]
    assert lines(out, "ok", f"certificate of {DOMAIN}")
    assert "letsencrypt.org" in lines(out, "ok", "DNS CAA")[0]
    assert f"127.0.0.1 port {port} over UDP: it answers" in out
    for what in ("open files", "disk", "configuration", "registration"):
        assert lines(out, "(ok|warning)", what), out


async def test_hosts(site):
    await site.start()
    status, out = await site.check("elsewhere.test")
    assert status == 1 and "Unknown" in out


async def test_nothing_in_dns(site):
    await site.start()
    status, out = await site.check()
    assert status == 1, out
    assert len(lines(out, "FAIL")) == 2, out
    # The ports are chosen by the test: nobody comes to them without SRV.
    port = site.server.port["c2s"]
    assert lines(out, "FAIL", f"DNS _xmpp-client._tcp.{DOMAIN}")
    assert f"-> _xmpp-client._tcp.{DOMAIN}. 3600 IN SRV 5 1 {port} " in out
    assert lines(out, "warning", f"DNS _xmpps-client._tcp.{DOMAIN}")
    assert lines(out, "warning", "DNS CAA")
    assert lines(out, "warning", "calls")


async def test_dns_silent(site):
    await site.start()
    site.names.datagram_received = lambda data, addr: None
    status, out = await site.check()
    assert status == 1
    assert "DNS does not answer" in out


async def test_port_closed(site):
    await site.start()
    site.add_names("xmpps-client")
    # Something holds the port and never listens.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        site.names.add_srv(f"_xmpps-client._tcp.{DOMAIN}", port,
                           f"x.{DOMAIN}")
        status, out = await site.check()
    assert status == 1
    assert f"127.0.0.1 port {port} cannot be reached" in out
    assert lines(out, "FAIL") == lines(
        out, "FAIL", f"DNS _xmpps-client._tcp.{DOMAIN}")


async def test_target_without_address(site):
    await site.start()
    site.add_names("xmpps-client")
    site.names.add_srv(f"_xmpps-client._tcp.{DOMAIN}", 1, f"gone.{DOMAIN}")
    status, out = await site.check()
    assert status == 1
    assert f"gone.{DOMAIN} has no address" in out
    assert f"-> gone.{DOMAIN}. IN A" in out


async def test_another_answers(site):
    """What is behind the port is no XMPP server, and one that says nothing."""
    await site.start()
    site.add_names("xmpp-client", "xmpps-client")

    async def http(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def mute(reader, writer):
        await reader.read()
        writer.close()

    for service, talk in (("xmpp-client", http), ("xmpps-client", mute)):
        other = await asyncio.start_server(talk, "127.0.0.1", 0)
        site.names.add_srv(f"_{service}._tcp.{DOMAIN}",
                           other.sockets[0].getsockname()[1], f"x.{DOMAIN}")
    status, out = await site.check()
    assert status == 1
    assert "does not answer as an XMPP server" in lines(
        out, "FAIL", f"DNS _xmpp-client._tcp.{DOMAIN}")[0]
    assert "handshake fails" in lines(
        out, "FAIL", f"DNS _xmpps-client._tcp.{DOMAIN}")[0]


async def test_wrong_certificate(site):
    await site.start(names=("other.test",))
    site.add_names()
    status, out = await site.check()
    assert status == 1
    assert f"none names {DOMAIN}" in lines(out, "FAIL", "certificate")[0]
    assert "for other names" in lines(
        out, "FAIL", f"DNS _xmpps-client._tcp.{DOMAIN}")[0]
    assert f"none names conference.{DOMAIN}" in out


async def test_self_signed(site):
    await site.start(certificates=[])
    status, out = await site.check()
    assert status == 1
    assert "signed by itself" in lines(out, "FAIL", "certificate")[0]


@pytest.mark.parametrize("days,key,want", [
    ("30", "ec", "ok +certificate of .*, (29|30) days left"),
    ("3", "ec", "warning certificate of .*, [23] days left"),
    ("-1", "ec", "FAIL +certificate of .* has expired"),
    ("30", "weak", "FAIL +certificates: .*cert.pem.*too small"),
])
async def test_certificate_age(site, days, key, want):
    await site.start()
    issue(site, f"{site.server.folder}/cert.pem", days, key)
    site.server.announce("certificate|expire")
    await site.server.ctl_ok("reload_config")
    _, out = await site.check()
    assert re.search(f"^{want}", out, re.M), out


async def test_host_meta(site):
    """Browsers come to port 443 of the domain, so this needs an address that
    nobody else has, and the right to listen there."""
    ip = "127.83.45.67"
    try:
        with socket.socket() as sock:
            sock.bind((ip, 443))
    except OSError as error:
        pytest.skip(str(error))
    what = f"https://{DOMAIN}/.well-known/host-meta"
    await site.start(listen=[
        {"type": "c2s", "ip": "127.0.0.1", "port": "c2s"},
        {"type": "http", "ip": ip, "port": 443, "tls": True}])
    _, out = await site.check()
    assert lines(out, "warning", what), out
    assert lines(out, "warning", "other servers"), out
    site.names.add_a(DOMAIN, ip)
    _, out = await site.check()
    assert lines(out, "ok", what), out


async def test_choices(site):
    """Each is somebody's choice; it is told all the same."""
    await site.start(
        auth={"allow_plain_without_tls": True}, admins=[],
        host_config={DOMAIN: {"modules": {"register": {
            "enabled": True, "ip_rate": "unlimited"}}}})
    _, out = await site.check()
    said = "\n".join(lines(out, "(warning|FAIL)"))
    for what in ("without TLS", "reports of abuse", "anybody may sign up",
                 "one address may make any number"):
        assert what in said, out


async def test_relay_silent(site):
    mute, port = stun_server(answers=False)
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    refused = closed.getsockname()[1]
    await site.start(**relays(
        f"turn:127.0.0.1:{port}?transport=udp",
        f"turns:127.0.0.1:{refused}?transport=tcp", "turn:gone.test"))
    status, out = await site.check()
    mute.close()
    closed.close()
    assert status == 1
    assert len(lines(out, "FAIL", "calls: ")) == 3, out


async def test_one_at_a_time(site):
    """While nobody answers, the first to come has it, and the rest are told."""
    await site.start()
    site.names.datagram_received = lambda data, addr: None
    outs = await asyncio.gather(*(site.check() for _ in range(3)))
    assert all(status == 1 for status, _ in outs)
    refused = ["another check is under way" in out for _, out in outs]
    assert sorted(refused) == [False, True, True], outs
