# SPDX-License-Identifier: MIT
"""Free TCP ports. A server that listens with SO_REUSEPORT would share a port
with another test's server and not notice: so each port is held by a lock."""

import fcntl
import os
import random
import socket
import tempfile

# Below the range from which systems take ports for outgoing connections.
FIRST, LAST = 20000, 32000
held = {}


def folder():
    path = os.path.join(tempfile.gettempdir(), f"rookery-ports-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def is_free(port):
    for family, ip in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((ip, port))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in (97, 99):
                continue
            return False
    return True


def take():
    """A port that nobody uses; ours until release()."""
    for _ in range(2000):
        port = random.randint(FIRST, LAST)
        if port in held:
            continue
        lock = os.open(os.path.join(folder(), str(port)),
                       os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_free(port):
                held[port] = lock
                return port
        except OSError:
            pass
        os.close(lock)
    raise OSError("no free port")


def release(port):
    os.close(held.pop(port))
