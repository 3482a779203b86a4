# SPDX-License-Identifier: MIT
"""A PostgreSQL server of the tests' own, in a folder, behind a Unix socket.
Each rookeryd gets a schema of its own in it. With ROOKERY_STORE=pg in the
environment, all servers of the harness keep their data there."""

import atexit
import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
          "/usr/local/pgsql/bin", "/usr/libexec/postgresql*",
          "/usr/local/bin", "/usr/bin")
PATIENCE = 60
PR_SET_PDEATHSIG = 1


def programs():
    """The folder that has initdb, or None."""
    for place in PLACES:
        for path in sorted(glob.glob(place + "/initdb"), reverse=True):
            return os.path.dirname(path)
    return None


def is_wanted():
    return os.environ.get("ROOKERY_STORE") == "pg"


class Postgres:
    """It dies with the tests, whatever becomes of them."""

    shared_one = None

    def __init__(self, fsync=False):
        self.bin = programs()
        if self.bin is None:
            raise RuntimeError("there is no PostgreSQL here")
        scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="rookery-pg-", dir=scratch)
        self.user = None
        if os.geteuid() == 0:
            self.user = pwd.getpwnam("postgres")
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        # A rookeryd that has become somebody else must reach the socket.
        os.chmod(self.folder, 0o755)
        self.process = None
        self.made = 0
        self.run("initdb", "-D", self.data, "-U", "rookery", "-A", "trust",
                 "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.start(fsync)

    @classmethod
    def shared(cls, **how):
        """One for all servers of this process."""
        if cls.shared_one is None:
            cls.shared_one = cls(**how)
            atexit.register(cls.shared_one.destroy)
        return cls.shared_one

    @property
    def data(self):
        return os.path.join(self.folder, "data")

    def become(self):
        if self.user is not None:
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    def run(self, program, *args, check=True):
        done = subprocess.run(
            [os.path.join(self.bin, program), *args], cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=PATIENCE, preexec_fn=self.become,
            env={**os.environ, "LC_ALL": "C"})
        if check and done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout

    def sql(self, text, schema=None):
        """Runs it; what psql prints, bare."""
        args = ["-h", self.folder, "-U", "rookery", "-d", "postgres", "-qAtX",
                "-v", "ON_ERROR_STOP=1"]
        if schema:
            text = f'SET search_path = "{schema}"; {text}'
        return self.run("psql", *args, "-c", text).strip()

    def schema(self):
        """A fresh one."""
        self.made += 1
        name = f"s{os.getpid()}_{self.made}"
        self.sql(f'CREATE SCHEMA "{name}"')
        return name

    def dsn(self, schema):
        return (f"host={self.folder} user=rookery dbname=postgres "
                f"options='-c search_path={schema}'")

    # Life

    def start(self, fsync=False):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.bin, "postgres"), "-D", self.data,
                 "-k", self.folder, "-c", "listen_addresses=",
                 "-c", f"fsync={'on' if fsync else 'off'}",
                 "-c", "max_connections=200", "-c", "shared_buffers=32MB"],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=self.become, env={**os.environ, "LC_ALL": "C"})
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            done = subprocess.run(
                [os.path.join(self.bin, "pg_isready"), "-q", "-h",
                 self.folder], check=False)
            if done.returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL does not start")

    def stop(self, how=signal.SIGINT):
        """SIGINT: at once; SIGQUIT: without tidying up. Waits."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def destroy(self):
        if self.process is not None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
