#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Uses the package that is installed in a chroot.

usage: use.py ROOT first|again

Runs the server as its unit would: by that user, with that command. `first`
registers an account; both log in with it, over TLS, and say something. Wants
a network of its own, for the ports are those of the configuration."""

import asyncio
import os
import re
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from harness.client import Client  # noqa: E402

HOST = "chat.example.org"
PATIENCE = 60
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def unit(root):
    """The user and the command of the unit."""
    path = os.path.join(root, "lib/systemd/system/rookery.service")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    user = re.search(r"^User=(\S+)$", text, re.M)[1]
    return user, re.search(r"^ExecStart=(.+)$", text, re.M)[1].split()


def in_root(root, *argv, **more):
    return subprocess.run(["chroot", root, *argv], env=ENVIRONMENT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=PATIENCE, check=False, **more)


def ctl(root, *argv, **more):
    done = in_root(root, "rookeryctl", *argv, **more)
    if done.returncode != 0:
        sys.exit(f"rookeryctl {argv}: {done.stdout}")
    return done.stdout


async def start(root):
    user, command = unit(root)
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--reuid", user, "--regid", user, "--clear-groups",
        "--no-new-privs", "--bounding-set", "-all", "--",
        *command, env=ENVIRONMENT, stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: (os.chroot(root), os.chdir("/var/lib/rookery")))
    while True:
        line = await asyncio.wait_for(process.stderr.readline(), PATIENCE)
        if not line:
            sys.exit("the server ended")
        print("  " + line.decode().rstrip())
        if re.search(rb"\bready$", line.rstrip()):
            return process


async def talk():
    """Over TLS, with the certificate that the server has made."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for port, way in ((5222, {"starttls": True, "context": context}),
                      (5223, {"tls": context})):
        client = Client("romeo", "secret", HOST)
        await client.login(port, **way)
        await client.ping()
        await client.leave()


async def main():
    root, step = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    process = await start(root)
    if step == "first":
        ctl(root, "register", "romeo", HOST, "secret")
        # It found that module where the package's are.
        print(ctl(root, "module_reload", "example"), end="")
    print(ctl(root, "status"), end="")
    await asyncio.wait_for(talk(), PATIENCE)
    # Where the log is a file, logrotate moves it.
    done = in_root(root, "logrotate", "--force", "/etc/logrotate.d/rookery")
    if done.returncode != 0:
        sys.exit(done.stdout)
    process.terminate()
    if await asyncio.wait_for(process.wait(), PATIENCE) != 0:
        sys.exit(f"the server's status is {process.returncode}")


asyncio.run(main())
