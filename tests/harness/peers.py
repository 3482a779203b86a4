# SPDX-License-Identifier: MIT
"""Other servers for tests of federation, in folders of their own: Debian's
prosody and ejabberd, with accounts made in-band."""

import asyncio
import glob
import os
import shutil
import socket
import subprocess
import threading
import time

from harness import ports
from harness.client import Client
from harness.dns import NameServer

START = 60  # seconds that a peer may take


class NameThread:
    """A name server that outlives the loops of single tests."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever,
                                       daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(
            NameServer().start(), self.loop).result(10)
        # For addresses, ejabberd asks the system whatever it is told.
        self.server.add_a("localhost", "127.0.0.1")

    @property
    def address(self):
        return self.server.address

    def add(self, port, *domains):
        for domain in domains:
            self.server.add_srv(f"_xmpp-server._tcp.{domain}", port,
                                "localhost")

    def close(self):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Peer:
    name = domain = multicast = None

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.port = {k: ports.take() for k in ("c2s", "s2s", "http")}
        self.process = None
        self.settings = None

    @property
    def rooms(self):
        return "rooms." + self.domain

    @property
    def upload(self):
        return "upload." + self.domain

    @property
    def domains(self):
        more = (self.multicast,) if self.multicast else ()
        return self.domain, self.rooms, self.upload, *more

    def command(self, names, pem, authority, dialback):
        """Writes the configuration; what to run, with what environment."""
        raise NotImplementedError

    def start(self, *settings):
        """names, its certificate, the authority, dialback or not."""
        self.settings = settings or self.settings
        argv, env = self.command(*self.settings)
        with open(os.path.join(self.folder, "out"), "ab") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.folder, env={**os.environ, **env})
        began = time.monotonic()
        while not all(self.is_listening(p) for p in self.port.values()):
            assert self.process.poll() is None, self.tail()
            assert time.monotonic() < began + START, self.tail()
            time.sleep(0.05)

    @staticmethod
    def is_listening(port):
        try:
            with socket.create_connection(("127.0.0.1", port), 5):
                return True
        except OSError:
            return False

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def tail(self):
        lines = []
        for name in ("out", "log"):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines += file.readlines()[-40:]
        return "".join(lines)

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def destroy(self):
        self.stop()
        for port in self.port.values():
            ports.release(port)

    async def client(self, user, **how):
        """A user, made by himself, who has logged in and bound."""
        client = Client(user, "secret", self.domain)
        await client.connect(self.port["c2s"])
        await client.open()
        client.send("<iq type='set' id='reg'><query xmlns='jabber:iq:register'>"
                    f"<username>{user}</username><password>secret</password>"
                    "</query></iq>")
        answer = await client.take(lambda e: e.get("id") == "reg")
        assert answer.get("type") == "result", answer
        await client.auth("SCRAM-SHA-1")
        await client.bind(how.get("resource", "far"))
        return client


PROSODY = """
run_as_root = true
data_path = "{folder}/data"
pidfile = "{folder}/pid"
log = {{ {{ levels = {{ min = "info" }}, to = "file",
           filename = "{folder}/log" }} }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
s2s_ports = {{ {s2s} }}
c2s_direct_tls_ports = {{ }}
http_ports = {{ {http} }}
http_interfaces = {{ "127.0.0.1" }}
http_default_host = "upload.{domain}"
http_external_url = "http://127.0.0.1:{http}/"
https_ports = {{ }}
modules_enabled = {{ "saslauth", "tls", "disco", "ping", "roster", "pep",
    "blocklist", "carbons", "vcard_legacy", "vcard4", "register_ibr",
    "smacks", "mam", "version"{dialback} }}
modules_disabled = {{ "posix"{no_dialback} }}
allow_registration = true
c2s_require_encryption = false
-- Its resolver would neither ask on loopback nor believe in ".test".
unbound = {{ resolvconf = false, hoststxt = false,
            forward = {{ "{resolver}" }},
            options = {{ ["do-not-query-localhost:"] = "no" }} }}
s2s_require_encryption = true
s2s_secure_auth = {secure}
ssl = {{ certificate = "{pem}", key = "{pem}", cafile = "{ca}",
        capath = "/nonexistent" }}
VirtualHost "{domain}"
Component "upload.{domain}" "http_file_share"
Component "rooms.{domain}" "muc"
modules_enabled = {{ "muc_mam" }}
restrict_room_creation = false
"""


class Prosody(Peer):
    name, domain = "prosody", "pros.xmpp"

    @staticmethod
    def is_there():
        return shutil.which("prosody") is not None

    def command(self, names, pem, authority, dialback):
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        path = self.write("prosody.cfg.lua", PROSODY.format(
            folder=self.folder, **self.port, domain=self.domain, pem=pem,
            ca=authority.pem, resolver=names.address.replace(":", "@"),
            secure="false" if dialback else "true",
            dialback=', "dialback"' if dialback else "",
            no_dialback="" if dialback else ', "dialback"'))
        return ["prosody", "-F", "--config", path], {}


EJABBERD = """\
loglevel: info
hosts: [{domain}]
certfiles: ["{pem}"]
ca_file: "{ca}"
listen:
  - {{port: {c2s}, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true,
     shaper: none, access: all}}
  - {{port: {s2s}, ip: "127.0.0.1", module: ejabberd_s2s_in}}
  - {{port: {http}, ip: "127.0.0.1", module: ejabberd_http,
     request_handlers: {{/upload: mod_http_upload}}}}
s2s_use_starttls: required
s2s_timeout: 60s
s2s_max_retry_delay: 1
disable_sasl_mechanisms: [digest-md5, X-OAUTH2]
auth_password_format: scram
registration_timeout: infinity
acl: {{local: {{user_regexp: ""}}}}
access_rules: {{muc_create: {{allow: all}}, local: {{allow: local}}}}
modules:
  mod_adhoc: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_http_upload:
    host: "upload.{domain}"
    docroot: "{folder}/files"
    put_url: "http://127.0.0.1:{http}/upload"
  mod_mam: {{default: always}}
  mod_multicast: {{host: "multicast.{domain}"}}
  mod_muc: {{host: "rooms.{domain}"}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_register: {{ip_access: all, access: all}}
  mod_roster: {{versioning: true}}
{dialback}  mod_stream_mgmt: {{}}
  mod_vcard: {{search: false}}
  mod_version: {{}}
"""


class Ejabberd(Peer):
    name, domain = "ejabberd", "ejab.xmpp"
    multicast = "multicast." + domain

    @staticmethod
    def library():
        found = glob.glob("/usr/lib/*/ejabberd-*")
        return os.path.dirname(found[0]) if found else None

    @staticmethod
    def is_there():
        return shutil.which("erl") is not None and \
            Ejabberd.library() is not None

    def command(self, names, pem, authority, dialback):
        ip, port = names.address.split(":")
        inetrc = self.write(
            "inetrc", '{lookup, [dns]}.\n{resolv_conf, ""}.\nclear_ns.\n'
            "{nameserver, {%s}, %s}.\n" % (ip.replace(".", ","), port))
        config = self.write("ejabberd.yml", EJABBERD.format(
            **self.port, domain=self.domain, pem=pem, ca=authority.pem,
            folder=self.folder, dialback="  mod_s2s_dialback: {}\n" if dialback else ""))
        return ["erl", "+K", "true", "+S", "2:2", "+sbwt", "none", "-noinput",
                "-kernel", "inetrc", f'"{inetrc}"', "-mnesia", "dir",
                f'"{self.folder}/db"', "-s", "ejabberd"], {
            "ERL_LIBS": self.library(),
            "EJABBERD_CONFIG_PATH": config,
            "EJABBERD_LOG_PATH": os.path.join(self.folder, "log"),
            "EJABBERD_SO_PATH": "",
            "ERL_MAX_PORTS": "4096",
            "ERL_CRASH_DUMP_BYTES": "0",
            "HOME": self.folder,
        }


ALL = {kind.name: kind for kind in (Prosody, Ejabberd)}
