# SPDX-License-Identifier: MIT
"""A rookeryd of a test's own, in a folder of its own."""

import asyncio
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

import yaml

from harness import ports, postgres
from harness.client import Client
from harness.wire import PATIENCE, Wire

TROUBLE = re.compile(r"^\S+Z (warning|error|critical|alert|emergency) ")
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z [a-z]+ ")
READY = re.compile(r"^\S+Z \S+ .*\bready\b")


class ServerError(Exception):
    """The server did not start, or did not live."""


def scratch():
    """Where files are quick to write."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def merge(base, over):
    """Settings of `over` into `base`; lists and None replace."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


def openssl(*args):
    subprocess.run(["openssl", *args], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    """A certificate authority, and certificates by it."""

    def __init__(self, folder):
        self.folder = folder
        self.usual = {}  # certificates of today, by their names
        self.key = os.path.join(folder, "ca.key")
        self.pem = os.path.join(folder, "ca.pem")
        if not os.path.exists(self.pem):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    self.key, "-out", self.pem, "-days", "2", "-subj",
                    "/CN=Test authority")

    def give(self, path, *names):
        """The same to all who have these names: to make one takes longer than
        to start a server."""
        if names not in self.usual:
            self.issue(path, *names)
            with open(path, encoding="utf-8") as file:
                self.usual[names] = file.read()
            return
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.usual[names])

    def issue(self, path, *names, days=2):
        """Writes certificate and key of these DNS names to one file; with
        days below 0 they are over."""
        key, request = path + ".key.tmp", path + ".csr"
        ext, cert = path + ".ext", path + ".crt"
        with open(ext, "w", encoding="utf-8") as file:
            file.write("subjectAltName=" +
                       ",".join("DNS:" + n for n in names) + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                "-out", request, "-subj", f"/CN={names[0]}")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey",
                self.key, "-CAcreateserial", "-days", str(days), "-sha256",
                "-extfile", ext, "-out", cert)
        with open(path + ".new", "w", encoding="utf-8") as out:
            for part in (cert, key):
                with open(part, encoding="utf-8") as file:
                    out.write(file.read())
        os.replace(path + ".new", path)
        for part in (key, request, ext, cert):
            os.unlink(part)
        return path


class Server:
    """`config` is merged into the defaults below; a list or null replaces. In
    its `listen` entries, ports that are names ("c2s", "tls"...) are chosen."""

    def __init__(self, build, config=None, *, workers=2, authority=None,
                 hosts=("localhost", "capulet.example")):
        self.build = os.path.abspath(build)
        self.folder = tempfile.mkdtemp(prefix="rookery-test-", dir=scratch())
        self.workers = workers
        self.hosts = list(hosts)
        self.authority = authority or Authority(self.folder)
        self.overrides = config or {}
        self.port = {}
        self.process = None
        self.log_path = os.path.join(self.folder, "log")
        self.log_seen = 0
        self.announced = []
        self.expects_exit = False
        self.extra_env = {}
        self.schema = None  # in PostgreSQL, if that keeps the data
        # Where and how it says that it is ready, if not as usual.
        self.ready_path = self.log_path
        self.ready_pattern = READY

    # Configuration

    def defaults(self):
        return {**self.database(), **self.usual()}

    def database(self):
        """SQLite, unless the environment says otherwise."""
        if not postgres.is_wanted():
            return {}
        shared = postgres.Postgres.shared()
        if self.schema is None:
            self.schema = shared.schema()
        return {"database": {"driver": "postgresql",
                             "dsn": shared.dsn(self.schema)}}

    def usual(self):
        return {
            "hosts": self.hosts,
            "admins": ["admin@localhost"],
            "data_dir": os.path.join(self.folder, "data"),
            "workers": self.workers,
            "log": {"level": "info", "target": "stderr", "format": "text"},
            "certificates": [os.path.join(self.folder, "cert.pem")],
            "listen": [
                {"type": "c2s", "ip": "127.0.0.1", "port": "c2s",
                 "starttls": "optional"},
                {"type": "c2s", "ip": "127.0.0.1", "port": "tls",
                 "tls": True},
            ],
            "auth": {"allow_plain_without_tls": True,
                     "scram_iterations": 4096},
        }

    def config(self):
        config = merge(self.defaults(), copy.deepcopy(self.overrides))
        for listener in config["listen"] or []:
            name = listener.get("port")
            if isinstance(name, str):
                listener["port"] = self.port[name]
        # Null takes a setting away.
        return {k: v for k, v in config.items() if v is not None}

    def choose_ports(self):
        listen = merge(self.defaults(), self.overrides)["listen"] or []
        for listener in listen:
            name = listener.get("port")
            if isinstance(name, str) and name not in self.port:
                self.port[name] = ports.take()

    def write_config(self):
        cert = os.path.join(self.folder, "cert.pem")
        if not os.path.exists(cert):
            self.authority.give(cert, *self.hosts)
        self.choose_ports()
        with open(self.config_path, "w", encoding="utf-8") as file:
            yaml.safe_dump(self.config(), file, sort_keys=False)

    @property
    def config_path(self):
        return os.path.join(self.folder, "rookery.yml")

    @property
    def daemon(self):
        return os.path.join(self.build, "src", "rookeryd")

    # Life

    async def start(self, no_config=False, **popen):
        """Starts it and waits until it listens."""
        self.write_config()
        popen.setdefault("cwd", self.folder)
        args = [] if no_config else ["-c", self.config_path]
        log = open(self.log_path, "ab")
        self.start_mark = log.tell()
        with log:
            self.process = subprocess.Popen(
                [self.daemon, *args], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=self.environment(), **popen)
        self.expects_exit = False
        for _ in range(PATIENCE * 100):
            if self.is_ready():
                return self
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.01)
        raise ServerError(f"did not start\n{self.tail()}")

    def is_ready(self):
        start = self.start_mark if self.ready_path == self.log_path else 0
        try:
            return any(re.search(self.ready_pattern, line)
                       for line in self.lines(start, self.ready_path))
        except FileNotFoundError:
            return False

    def environment(self):
        env = dict(os.environ)
        env.pop("NOTIFY_SOCKET", None)
        env.update(self.extra_env)
        env.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        return env

    async def wait_exit(self, timeout=PATIENCE):
        for _ in range(timeout * 100):
            if self.process.poll() is not None:
                return self.process.returncode
            await asyncio.sleep(0.01)
        raise ServerError(f"did not exit\n{self.tail()}")

    async def stop(self):
        """An orderly stop; its exit status."""
        self.expects_exit = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.wait_exit()

    async def kill(self):
        self.expects_exit = True
        self.process.kill()
        await self.wait_exit()

    async def restart(self):
        await self.stop()
        await self.start()

    @property
    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def destroy(self):
        """Ends it if it lives, and takes its folder away."""
        if self.is_alive:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
        for port in self.port.values():
            ports.release(port)
        self.port = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    # Patience

    @staticmethod
    async def pause(seconds=0.002):
        """Lets others run; nothing may depend on how long."""
        await asyncio.sleep(seconds)

    @staticmethod
    async def wait_for(holds, what="a condition", timeout=PATIENCE):
        """Until holds() is true."""
        for _ in range(timeout * 50):
            if holds():
                return
            await asyncio.sleep(0.02)
        raise ServerError(f"waited in vain for {what}")

    @staticmethod
    async def wait_until(holds, what="a condition", timeout=PATIENCE):
        """The same for a coroutine."""
        for _ in range(timeout * 20):
            if await holds():
                return
            await asyncio.sleep(0.05)
        raise ServerError(f"waited in vain for {what}")

    # The log

    def lines(self, start=0, path=None):
        """Whole lines of the log from that byte on."""
        with open(path or self.log_path, "rb") as file:
            file.seek(start)
            data = file.read()
        end = data.rfind(b"\n") + 1
        return data[:end].decode("utf-8", "replace").splitlines()

    def new_trouble(self):
        """Since the last call: warnings, errors, and what is no log line at
        all (a sanitizer's report)."""
        with open(self.log_path, "rb") as file:
            file.seek(self.log_seen)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self.log_seen += end
        return [line for line in
                data[:end].decode("utf-8", "replace").splitlines()
                if TROUBLE.match(line) or not LINE.match(line)]

    async def log_line(self, pattern, start=None, timeout=PATIENCE):
        """Waits for a line that fits the pattern."""
        start = self.start_mark if start is None else start
        for _ in range(timeout * 50):
            for line in self.lines(start):
                if re.search(pattern, line):
                    return line
            await asyncio.sleep(0.02)
        raise ServerError(f"no line {pattern!r} in the log\n{self.tail()}")

    def announce(self, pattern):
        """Trouble of this kind is expected in the log."""
        self.announced.append(re.compile(pattern))

    def unannounced(self):
        return [line for line in self.new_trouble()
                if not any(p.search(line) for p in self.announced)]

    def tail(self, count=40):
        return "\n".join(self.lines()[-count:])

    # The admin's side

    def ctl(self, *args, text_input=None):
        """Runs rookeryctl: (status, what it printed, its errors)."""
        done = subprocess.run(
            [os.path.join(self.build, "src", "rookeryctl"), "-c",
             self.config_path, *args], capture_output=True, text=True,
            timeout=60, check=False, input=text_input, env=self.environment())
        return done.returncode, done.stdout, done.stderr

    async def ctl_ok(self, *args):
        """Runs rookeryctl without holding up the loop; what it printed."""
        status, out, err = await asyncio.to_thread(self.ctl, *args)
        if status != 0:
            raise ServerError(f"rookeryctl {' '.join(args)}: {status} {out}"
                              f"{err}\n{self.tail()}")
        return out

    async def api(self, command, **args):
        """A command through the control socket: (HTTP status, value)."""
        body = json.dumps(args).encode()
        path = os.path.join(self.folder, "data", "rookery.sock")
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"POST /api/%s HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Type: application/json\r\n"
                         b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
                         % (command.encode(), len(body), body))
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode()

    async def register(self, user, host="localhost", password="secret"):
        status, value = await self.api("register", user=user, host=host,
                                       password=password)
        if status != 200:
            raise ServerError(f"register {user}: {status} {value}")

    # Users

    async def client(self, user, *, register=True, host="localhost",
                     password="secret", **how):
        """A user who has logged in and bound."""
        if register:
            await self.register(user, host, password)
        tls = how.get("tls")
        port = self.port["tls" if tls else "c2s"]
        client = Client(user, password, host)
        return await client.login(port, **how)

    async def wire(self, port="c2s", **how):
        return await Wire().connect(self.port[port], **how)

    def memory(self):
        """Its resident memory in KiB."""
        with open(f"/proc/{self.process.pid}/status",
                  encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise ServerError("no VmRSS")
