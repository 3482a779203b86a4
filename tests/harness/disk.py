# SPDX-License-Identifier: MIT
"""A disk that stalls, fails, or is the last thing a server sees, and memory
that is refused: what tests/fault/disk.c and memory.c do to a server is said
here."""

import contextlib
import errno
import mmap
import os
import struct
import subprocess

# The words of the files that are shared: see struct control there.
STALL, ERROR, EXIT_AT, CALLS, HELD = range(5)
REFUSE_AT, ASKED = range(2)
EXIT_STATUS = 86
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO")}


class NoDisk(Exception):
    """The library is not there, or this build can't have it preloaded."""


class Preloaded:
    """Into a server that is not yet started, with words that it shares."""

    name = control = None

    def __init__(self, server):
        library = os.path.join(server.build, "tests", "fault", ".libs",
                               self.name + ".so")
        path = os.path.join(server.folder, self.name)
        with open(path, "wb") as file:
            file.write(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as file:
            self.words = mmap.mmap(file.fileno(), 0)
        self.server = server
        self.env = {"LD_PRELOAD": library, self.control: path}
        self.try_out()

    def try_out(self):
        """A sanitizer insists on being the first library."""
        path = self.env["LD_PRELOAD"]
        if not os.path.exists(path):
            raise NoDisk(f"there is no {path}")
        done = subprocess.run(
            [self.server.daemon, "--version"], capture_output=True, text=True,
            check=False, env={**self.server.environment(), **self.env})
        if done.returncode != 0 or done.stderr:
            raise NoDisk(f"this build takes no library before its own: "
                         f"{done.stderr.strip()}")
        self.server.extra_env.update(self.env)

    def get(self, word):
        return struct.unpack_from("Q", self.words, word * 8)[0]

    def set(self, word, value):
        struct.pack_into("Q", self.words, word * 8, value)


class Disk(Preloaded):
    """Of the folder data."""

    name, control = "disk", "FAULT_CONTROL"

    def __init__(self, server):
        super().__init__(server)
        server.extra_env["FAULT_FOLDER"] = os.path.join(server.folder, "data")

    @contextlib.contextmanager
    def stalled(self):
        """Nothing is written, and nobody is told."""
        self.set(STALL, 1)
        try:
            yield
        finally:
            self.set(STALL, 0)

    @contextlib.contextmanager
    def failing(self, name):
        """Whoever writes is told that."""
        self.set(ERROR, ERRORS[name])
        try:
            yield
        finally:
            self.set(ERROR, 0)

    def end_at(self, call):
        """The server ends at that write, the first being 1; 0: never."""
        self.set(CALLS, 0)
        self.set(EXIT_AT, call)

    @property
    def calls(self):
        return self.get(CALLS)

    @property
    def is_waited_for(self):
        return self.get(HELD) > 0


class Memory(Preloaded):
    """What is asked of the heap, by whatever is in the server."""

    name, control = "memory", "FAULT_MEMORY"

    def refuse_at(self, call):
        """No memory for that one, counted from here; 0: never."""
        self.set(REFUSE_AT, 0)
        self.set(ASKED, 0)
        self.set(REFUSE_AT, call)

    @property
    def was_refused(self):
        return 0 < self.get(REFUSE_AT) <= self.get(ASKED)
