# SPDX-License-Identifier: MIT
"""certbot gets and renews a certificate from an authority (pebble), which the
server answers for it; the server shows it, and nobody is disconnected."""

import asyncio
import grp
import http.client
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess

import pytest

from harness import ports
from harness.client import Client
from harness.wire import PATIENCE, client_context

HOST = "chat.example.net"
TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
HOOK = os.path.join(TOP, "contrib", "certbot", "rookery-certificate")

for PROGRAM in ("pebble", "pebble-challtestsrv", "certbot"):
    if shutil.which(PROGRAM) is None:
        pytest.exit(f"{PROGRAM} is missing", 2)


class Acme:
    """The authority, the names it believes in, and certbot."""

    def __init__(self, folder, authority):
        self.folder, self.authority = str(folder), authority
        self.api, self.dns = ports.take(), ports.take()
        self.processes = []
        self.web = os.path.join(self.folder, "web")
        self.certs = os.path.join(self.folder, "certs")
        os.mkdir(self.web)
        os.mkdir(self.certs)
        self.log = open(os.path.join(self.folder, "log"), "wb")

    def begin(self, *argv, **env):
        self.processes.append(subprocess.Popen(
            argv, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            env={**os.environ, **env}))

    def start(self, http_port):
        cert = os.path.join(self.folder, "pebble.pem")
        self.authority.issue(cert, "localhost")
        config = os.path.join(self.folder, "pebble.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"pebble": {
                "listenAddress": f"127.0.0.1:{self.api}",
                "managementListenAddress": f"127.0.0.1:{ports.take()}",
                "certificate": cert, "privateKey": cert,
                "httpPort": http_port, "tlsPort": ports.take()}}, file)
        self.begin("pebble-challtestsrv", "-defaultIPv4", "127.0.0.1",
                   "-defaultIPv6", "", "-http01", "", "-https01", "",
                   "-tlsalpn01", "",
                   "-dns01", f"127.0.0.1:{self.dns}",
                   "-management", f"127.0.0.1:{ports.take()}")
        self.begin("pebble", "-strict", "-config", config,
                   "-dnsserver", f"127.0.0.1:{self.dns}",
                   PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="0")

    async def wait(self):
        for _ in range(PATIENCE * 10):
            with socket.socket() as link:
                if link.connect_ex(("127.0.0.1", self.api)) == 0:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError("pebble does not listen")

    async def certbot(self, server, *args):
        folders = [part for name in ("config", "work", "logs") for part in
                   (f"--{name}-dir", os.path.join(self.folder, name))]
        ctl = os.path.join(server.build, "src", "rookeryctl")
        done = await asyncio.to_thread(
            subprocess.run, ["certbot", *args, "--non-interactive", *folders],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=200, check=False, env={
                **os.environ, **server.environment(),
                "REQUESTS_CA_BUNDLE": self.authority.pem,
                "ROOKERY_CERTIFICATES": self.certs,
                "ROOKERY_GROUP": grp.getgrgid(os.getgid()).gr_name,
                "ROOKERYCTL": f"{ctl} -c {server.config_path}"})
        assert done.returncode == 0, done.stdout + done.stderr
        assert "reported error" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.log.close()


@pytest.fixture
def acme(tmp_path, authority):
    made = Acme(tmp_path, authority)
    yield made
    made.close()


def get(server, path):
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=30)
    link.request("GET", path, headers={"Host": HOST})
    answer = link.getresponse()
    return answer.status, answer.read()


def shown(server):
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["xmpp-client"])
    with context.wrap_socket(
            socket.create_connection(
                ("127.0.0.1", server.port["tls"]), timeout=30),
            server_hostname=HOST) as link:
        pem = ssl.DER_cert_to_PEM_cert(link.getpeercert(True))
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial", "-issuer"], input=pem,
        capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.slow(400)
async def test_certbot(make_server, authority, acme):
    pem = os.path.join(acme.certs, f"{HOST}.pem")
    authority.issue(pem, HOST)
    server = make_server({
        "hosts": [HOST], "admins": [f"admin@{HOST}"],
        "certificates": [os.path.join(acme.certs, "*.pem")],
        "listen": [
            {"type": "c2s", "ip": "127.0.0.1", "port": "tls", "tls": True},
            {"type": "http", "ip": "127.0.0.1", "port": "http"}],
        "modules": {"acme": {"folder": acme.web}}}, hosts=[HOST])
    await server.start()
    acme.start(server.port["http"])
    await acme.wait()
    await server.register("romeo", host=HOST)
    romeo = Client("romeo", "secret", HOST)
    await romeo.connect(server.port["tls"], name=HOST,
                        tls=client_context(alpn=["xmpp-client"]))
    await romeo.open()
    await romeo.auth("PLAIN")
    await romeo.bind()
    first = await asyncio.to_thread(shown, server)

    await acme.certbot(
        server, "certonly", "--agree-tos", "-m", f"admin@{HOST}",
        "--server", f"https://localhost:{acme.api}/dir", "--webroot", "-w",
        acme.web, "-d", HOST, "--deploy-hook", HOOK)
    second = await asyncio.to_thread(shown, server)
    assert second != first and "Pebble" in second
    mode = os.stat(pem)
    assert stat.S_IMODE(mode.st_mode) == 0o640
    assert mode.st_gid == os.getgid()
    assert os.listdir(acme.certs) == [f"{HOST}.pem"]

    await acme.certbot(server, "renew", "--force-renewal",
                       "--no-random-sleep-on-renew")
    third = await asyncio.to_thread(shown, server)
    assert third not in (first, second) and "Pebble" in third
    await romeo.ask("<query xmlns='jabber:iq:roster'/>")
    romeo.close()


async def test_folder(make_server, acme):
    """Tokens are files of that folder, small ones, and nothing else is."""
    server = make_server({
        "hosts": [HOST],
        "listen": [{"type": "http", "ip": "127.0.0.1", "port": "http"}],
        "modules": {"acme": {"folder": acme.web}}}, hosts=[HOST])
    await server.start()
    folder = os.path.join(acme.web, ".well-known", "acme-challenge")
    os.makedirs(os.path.join(folder, "folder"))
    for name, text in (("to-ken_1", b"to-ken_1.key"), ("large", b"x" * 4097),
                       ("full", b"x" * 4096), ("dot.ted", b"x")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(text)
    with open(os.path.join(acme.web, "secret"), "wb") as file:
        file.write(b"secret")
    os.symlink(os.path.join(acme.web, "secret"), os.path.join(folder, "link"))
    path = "/.well-known/acme-challenge/"
    assert await asyncio.to_thread(get, server, path + "to-ken_1") == (
        200, b"to-ken_1.key")
    assert (await asyncio.to_thread(get, server, path + "full"))[0] == 200
    for name in ("", "none", "large", "dot.ted", "link", "folder", "../secret",
                 "..%2f..%2fsecret", "a/b", "x" * 201, "to-ken_1/"):
        status, _ = await asyncio.to_thread(get, server, path + name)
        assert status in (400, 404), name


def run_hook(acme, **env):
    return subprocess.run(
        [HOOK], capture_output=True, text=True, check=False, env={
            "PATH": os.environ["PATH"], "ROOKERYCTL": "false",
            "ROOKERY_CERTIFICATES": acme.certs, **env})


async def test_hook_fails(acme):
    """It says what is missing, and leaves what is there alone."""
    old = os.path.join(acme.certs, "x.pem")
    lineage = os.path.join(acme.folder, "live", "x")
    os.makedirs(lineage)
    with open(old, "w", encoding="utf-8") as file:
        file.write("old")
    assert "RENEWED_LINEAGE" in run_hook(acme).stderr
    done = run_hook(acme, RENEWED_LINEAGE=lineage)
    assert done.returncode == 1 and "fullchain.pem" in done.stderr
    for name in ("fullchain.pem", "privkey.pem"):
        with open(os.path.join(lineage, name), "w", encoding="utf-8") as file:
            file.write(f"{name}\n")
    done = run_hook(acme, RENEWED_LINEAGE=lineage,
                    ROOKERY_GROUP="no-such-group")
    assert done.returncode == 1 and "no-such-group" in done.stderr
    assert os.listdir(acme.certs) == ["x.pem"]
    with open(old, encoding="utf-8") as file:
        assert file.read() == "old"
    done = run_hook(acme, RENEWED_LINEAGE=lineage,
                    ROOKERY_GROUP=grp.getgrgid(os.getgid()).gr_name)
    assert done.returncode == 1 and "not told" in done.stderr
    with open(old, encoding="utf-8") as file:
        assert file.read() == "fullchain.pem\nprivkey.pem\n"
