# SPDX-License-Identifier: MIT
"""The servers that are measured: rookeryd, and Debian's prosody and ejabberd.

Each is started with a configuration of its own in a folder of its own, never
as a service of the system, with the accounts u0, u1... of one password, and
without limits on rates. `scratch` keeps certificates, accounts and salted
passwords from run to run."""

import glob
import hashlib
import hmac
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir))

ACCOUNTS = 18000
MILLION = 1000000
REST_S = 3  # between two looks whether a server rests
PASSWORD = b"pass"
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256",
          "SCRAM-SHA-512": "sha512"}


class Trouble(Exception):
    """A server is not there, or does not start."""


def port_take():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def scram_keys(name, salt, rounds):
    """The stored key and the server key of PASSWORD."""
    kind = HASHES[name]
    salted = hashlib.pbkdf2_hmac(kind, PASSWORD, salt, rounds)
    client = hmac.digest(salted, b"Client Key", kind)
    return (hashlib.new(kind, client).digest(),
            hmac.digest(salted, b"Server Key", kind))


def debian_version(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                          capture_output=True, text=True, check=False)
    return done.stdout.split("-")[0] or "?"


def certificate(scratch):
    """One of P-256, for everybody; as certificate, key, and both in one."""
    cert, key, both = (os.path.join(scratch, name)
                       for name in ("cert.pem", "key.pem", "both.pem"))
    if not os.path.exists(both):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
             "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
            check=True, capture_output=True)
        with open(both, "w", encoding="ascii") as out:
            for path in (cert, key):
                with open(path, encoding="ascii") as part:
                    out.write(part.read())
    return cert, key, both


class Server:
    """`start` and `stop` may be called again and again."""

    def __init__(self, build, scratch):
        self.build = build
        self.scratch = scratch
        self.cert, self.key, self.both = certificate(scratch)
        self.folder = None
        self.process = None
        self.port = 0
        self.seconds = 0.0
        self.has_archive = False

    # What each server has of its own.

    name = "?"
    version = "?"

    def is_there(self):
        raise NotImplementedError

    def command(self):
        """Writes the configuration; what to run, with what environment."""
        raise NotImplementedError

    def accounts(self):
        """The path of accounts made before; makes them if need be."""
        raise NotImplementedError

    def accounts_place(self):
        """Where in its folder the accounts are."""
        raise NotImplementedError

    def fill_archive(self, place):
        """A million messages in the archive of u0."""
        raise Trouble(f"{self.name} has no archive of a million messages")

    # The same for all.

    def start(self, with_accounts=True, with_archive=False, preexec=None):
        self.has_archive = with_archive
        self.folder = tempfile.mkdtemp(prefix=self.name + "-",
                                       dir=self.scratch)
        if with_accounts:
            shutil.copytree(self.accounts(), self.accounts_place())
        if with_archive == "deep":
            self.fill_archive(self.accounts_place())
        self.port = port_take()
        argv, env = self.command()
        with open(os.path.join(self.folder, "out"), "wb") as out:
            began = time.monotonic()
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.folder, env={**os.environ, **env},
                preexec_fn=preexec)
        while not is_listening(self.port):
            if self.process.poll() is not None or \
                    time.monotonic() > began + 60:
                self.stop()
                raise Trouble(f"{self.name} does not start: see "
                              f"{self.folder}/out")
            time.sleep(0.002)
        self.seconds = time.monotonic() - began

    def rss_kb(self):
        """Of the process that was started; none of these has others."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def cpu_ticks(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def rest(self):
        """Waits until it has done what it had put off; the CPU that took."""
        first = before = self.cpu_ticks()
        for _ in range(60):
            time.sleep(REST_S)
            now = self.cpu_ticks()
            if now - before < 9:
                break
            before = now
        return (before - first) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        return path


ROOKERY = """\
hosts: [localhost]
data_dir: {data}
log: {{level: warning}}
certificates: [{both}]
listen:
  - {{type: c2s, ip: "127.0.0.1", port: {port}, starttls: optional}}
auth: {{allow_plain_without_tls: true}}
limits: {{c2s_rate: 0}}
{extra}"""

# Every module is on, as it is without the key; the archive if it is asked for.
ROOKERY_MODULES = """\
modules:
{rows}"""


class Rookery(Server):
    name = "rookeryd"

    def __init__(self, build, scratch):
        super().__init__(build, scratch)
        self.daemon = os.path.join(build, "src", "rookeryd")
        self.version = self.ask("--version").split()[-1] \
            if self.is_there() else "?"
        self.modules = set()

    def ask(self, *args):
        done = subprocess.run([self.daemon, *args], capture_output=True,
                              text=True, check=False)
        return done.stdout or "?"

    def is_there(self):
        return os.access(self.daemon, os.X_OK)

    def command(self):
        rows = "".join(f"  {name}: {{}}\n" for name in self.module_names())
        path = self.write("rookery.yml", ROOKERY.format(
            data=self.accounts_place(), both=self.both, port=self.port,
            extra=ROOKERY_MODULES.format(rows=rows)))
        return [self.daemon, "-c", path], {}

    def module_names(self):
        """All that the build has, but for storage, which needs no naming."""
        found = glob.glob(os.path.join(self.build, "modules", "*.la"))
        names = {os.path.basename(path)[:-3] for path in found}
        if not self.has_archive:
            names.discard("mam")
        return sorted(name for name in names if not name.startswith(
            ("store_", "cluster_", "auth_", "blob_")))

    def accounts_place(self):
        return os.path.join(self.folder, "data")

    def accounts(self):
        """A database that the daemon made, and rows that it would make."""
        place = os.path.join(self.scratch, "rookeryd.accounts")
        if os.path.exists(place):
            return place
        os.makedirs(place + ".new", exist_ok=True)
        self.start_to_make(place + ".new")
        self.seed(os.path.join(place + ".new", "rookery.db"))
        os.rename(place + ".new", place)
        return place

    def start_to_make(self, place):
        helper = Rookery(self.build, self.scratch)
        helper.start(with_accounts=False)
        helper.process.terminate()
        helper.process.wait()
        shutil.copytree(helper.accounts_place(), place, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("*.sock"))
        helper.process = None
        shutil.rmtree(helper.folder, ignore_errors=True)

    def fill_archive(self, place):
        db = sqlite3.connect(os.path.join(place, "rookery.db"))
        db.execute("INSERT INTO archive_owner VALUES(1, 'u0@localhost',"
                   " 'localhost')")
        db.executemany(
            "INSERT INTO archive(seq, owner, id, ts, with_bare,"
            " is_outgoing, xml) VALUES(?, 1, ?, ?, ?, 0, ?)",
            (self.deep_row(i) for i in range(MILLION)))
        for table, column in (("id", ""), ("with", "with_bare, ")):
            db.execute(f"INSERT INTO archive_by_{table} SELECT owner,"
                       f" {column}id, seq FROM archive ORDER BY seq")
        db.execute(f"UPDATE archive_index SET high = {MILLION},"
                   f" entered = {MILLION}")
        db.commit()
        db.close()

    @staticmethod
    def deep_row(i):
        when = 1500000000000 + i * 60000
        friend = f"u{i % 100 + 1}@localhost"
        return (i + 1, when.to_bytes(6, "big") + b"\x70\0\x80" + bytes(7),
                when, friend,
                f"<message type='chat' from='{friend}/r' to='u0@localhost'"
                f" id='{i}'><body>{'x' * 100}</body></message>")

    @staticmethod
    def seed(path):
        salt = b"sixteen bytes..."
        keys = [(name, salt, 10000, *scram_keys(name, salt, 10000))
                for name in HASHES]
        db = sqlite3.connect(path)
        db.executemany(
            "INSERT INTO account(jid, host, local, created, last_seen)"
            " VALUES(?, 'localhost', ?, 0, 0)",
            ((f"u{i}@localhost", f"u{i}") for i in range(ACCOUNTS)))
        db.executemany(
            "INSERT INTO account_key VALUES(?, ?, ?, ?, ?, ?)",
            ((f"u{i}@localhost", *key) for i in range(ACCOUNTS)
             for key in keys))
        db.commit()
        db.close()


class RookeryPostgres(Rookery):
    """The same with PostgreSQL beneath, whose own CPU is not counted."""

    name = "rookeryd-pg"
    postgres = None
    schema = None

    @classmethod
    def database(cls):
        from harness import postgres
        cls.postgres = cls.postgres or postgres.Postgres.shared(fsync=True)
        return cls.postgres

    def command(self):
        argv, env = super().command()
        base = self.database()
        self.schema = base.schema()
        there = self.write("pg.yml", open(argv[-1], encoding="ascii").read() +
                           "database: {driver: postgresql, dsn: \"" +
                           base.dsn(self.schema) + "\"}\n")
        subprocess.run([*argv, "--copy-store-to", there], check=True,
                       capture_output=True)
        return [self.daemon, "-c", there], env

    def stop(self):
        super().stop()
        if self.schema is not None:
            self.postgres.sql(f'DROP SCHEMA "{self.schema}" CASCADE')
            self.schema = None


PROSODY = """\
run_as_root = true
daemonize = false
pidfile = "{folder}/pid"
data_path = "{folder}/data"
log = {{ warn = "{folder}/log" }}
modules_enabled = {{ "disco"; "roster"; "saslauth"; "tls"; "ping"; "carbons";
    "smacks"; "blocklist"; "bookmarks"; "pep"; "private"; "vcard4";
    "vcard_legacy"; "csi_simple"; "time"; "uptime"; "version"; "posix";
    {archive} }}
modules_disabled = {{ "s2s" }}
c2s_ports = {{ {port} }}
c2s_interfaces = {{ "127.0.0.1" }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
c2s_require_encryption = false
authentication = "internal_hashed"
storage = "internal"
gc = {{ mode = "generational" }} -- the other is three times slower
ssl = {{ key = "{key}"; certificate = "{cert}" }}
VirtualHost "localhost"
Component "conference.localhost" "muc"
"""

PROSODY_ACCOUNT = """\
return {{
\t["iteration_count"] = 10000;
\t["salt"] = "{salt}";
\t["server_key"] = "{server}";
\t["stored_key"] = "{stored}";
}};
"""


class Prosody(Server):
    name = "prosody"

    def __init__(self, build, scratch):
        super().__init__(build, scratch)
        self.version = debian_version("prosody")

    def is_there(self):
        return shutil.which("prosody") is not None

    def command(self):
        path = self.write("prosody.cfg.lua", PROSODY.format(
            folder=self.folder, port=self.port, key=self.key, cert=self.cert,
            archive='"mam";' if self.has_archive else ""))
        return ["prosody", "--config", path, "-F"], {}

    def accounts_place(self):
        return os.path.join(self.folder, "data")

    def accounts(self):
        place = os.path.join(self.scratch, "prosody.accounts")
        if os.path.exists(place):
            return place
        files = os.path.join(place + ".new", "localhost", "accounts")
        os.makedirs(files, exist_ok=True)
        salt = "6f2b7a0e-5bd7-4c0e-9f10-0a5b1c3d7e11"
        stored, server = scram_keys("SCRAM-SHA-1", salt.encode(), 10000)
        text = PROSODY_ACCOUNT.format(salt=salt, server=server.hex(),
                                      stored=stored.hex())
        for i in range(ACCOUNTS):
            path = os.path.join(files, f"u{i}.dat")
            with open(path, "w", encoding="ascii") as out:
                out.write(text)
        os.rename(place + ".new", place)
        return place


EJABBERD = """\
loglevel: warning
hosts: [localhost]
certfiles: ["{both}"]
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    max_fsm_queue: 1000000
    starttls: true
    backlog: 1024
    shaper: none
    access: all
disable_sasl_mechanisms: [digest-md5, X-OAUTH2]
auth_password_format: scram
registration_timeout: infinity
access_rules: {{muc_create: {{allow: all}}}}
shaper_rules: {{max_user_sessions: 10}}
modules:
  mod_adhoc: {{}}
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_muc:
    max_users: 20000
    max_user_conferences: 1000
    min_message_interval: 0
    min_presence_interval: 0
    default_room_options: {{max_users: 20000}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_register:
    ip_access: all
    access: all
    welcome_message: {{subject: "", body: ""}}
  mod_roster: {{versioning: true}}
  mod_shared_roster: {{}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_vcard: {{search: false}}
  mod_vcard_xupdate: {{}}
  mod_version: {{}}
{archive}"""


class Ejabberd(Server):
    name = "ejabberd"

    def __init__(self, build, scratch):
        super().__init__(build, scratch)
        self.version = debian_version("ejabberd")

    def is_there(self):
        return shutil.which("erl") is not None and self.library()

    @staticmethod
    def library():
        found = glob.glob("/usr/lib/*/ejabberd-*")
        return os.path.dirname(found[0]) if found else None

    def command(self):
        config = self.write("ejabberd.yml", EJABBERD.format(
            both=self.both, port=self.port,
            archive="  mod_mam: {default: always}\n" if self.has_archive
            else ""))
        return ["erl", "+K", "true", "+P", "250000", "+Q", "65536", "-noinput",
                "-mnesia", "dir", f'"{self.accounts_place()}"', "-ejabberd",
                "log_rate_limit", "100", "-s", "ejabberd"], {
            "ERL_LIBS": self.library(),
            "EJABBERD_CONFIG_PATH": config,
            "EJABBERD_LOG_PATH": os.path.join(self.folder, "log"),
            "EJABBERD_SO_PATH": "",
            "ERL_MAX_PORTS": "32000",
            "ERL_CRASH_DUMP_BYTES": "0",
            "HOME": self.folder,
        }

    def accounts_place(self):
        return os.path.join(self.folder, "db")

    def accounts(self):
        """Registered one by one: its database is nobody else's to write."""
        place = os.path.join(self.scratch, "ejabberd.accounts")
        if os.path.exists(place):
            return place
        helper = Ejabberd(self.build, self.scratch)
        helper.start(with_accounts=False)
        try:
            time.sleep(2)
            subprocess.run(
                [os.path.join(self.build, "tests", "bench", "load"),
                 "register", "--port", str(helper.port), "-n", str(ACCOUNTS),
                 "-c", "32"], check=True, stdout=subprocess.DEVNULL)
            # It says when a table is on disk to nobody.
            time.sleep(5)
            helper.process.terminate()
            helper.process.wait()
            shutil.copytree(helper.accounts_place(), place)
        finally:
            helper.stop()
        return place


ALL = {server.name: server
       for server in (Rookery, Prosody, Ejabberd, RookeryPostgres)}
# rookeryd-pg is for archives, when named.
USUAL = [Rookery.name, Prosody.name, Ejabberd.name]
