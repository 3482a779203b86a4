#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: files.py BUILD [MB...]

How fast files go up and down over TLS, here and by nginx (Debian's package
nginx-light, with its DAV module), in turns, with curl as the client and all
files in memory (/dev/shm). Sizes are 5 and 200 MB unless named; ten rounds, a
connection of its own for each: the best and the median in MB/s, and what CPU
time the server took for 100 MB, which depends less on what else runs."""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "integration")]

# pylint: disable=wrong-import-position
from harness import ports  # noqa: E402
from harness.server import Server, scratch  # noqa: E402
from test_upload import Client  # noqa: E402

ROUNDS = 10
TICKS = os.sysconf("SC_CLK_TCK")
MB = 1000 * 1000
NGINX = """
user root;
worker_processes 2;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert};
        ssl_certificate_key {cert};
        root {folder}/files;
        dav_methods PUT;
    }}
}}
"""


class Nginx:
    """One of our own, in a folder of its own."""

    def __init__(self, server, folder):
        self.port = ports.take()
        os.makedirs(folder + "/files")
        os.chmod(folder, 0o755)
        cert = os.path.join(server.folder, "cert.pem")
        with open(folder + "/nginx.conf", "w", encoding="ascii") as file:
            file.write(NGINX.format(folder=folder, port=self.port, cert=cert))
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            ["/usr/sbin/nginx", "-p", folder, "-c", folder + "/nginx.conf"])

    def processes(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                  encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def transfer(server, url, size, *how):
    """MB/s, from the end of the handshake."""
    out = subprocess.run(
        ["curl", "-sS", "--http1.1", "--cacert", server.authority.pem,
         "-o", "/dev/null", "-H", "Expect:", "--retry-connrefused", "--retry",
         "5", "-w", "%{http_code} %{time_total} %{time_appconnect}", *how, url],
        check=True, capture_output=True, text=True).stdout.split()
    assert out[0] in ("200", "201", "204"), (url, out)
    return size / (float(out[1]) - float(out[2])) / MB


def cpu(processes):
    """Seconds, of all their threads."""
    ticks = 0
    for pid in processes:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    return ticks / TICKS


def measure(server, nginx, client, size, path):
    rates, used = {}, {}
    for number in range(ROUNDS):
        put, get = client.urls("a.bin", size, None)
        there = f"https://localhost:{server.port['https']}"
        other = f"https://localhost:{nginx.port}/{number}.bin"
        for name, url, how in (
                ("up, rookery", there + put, ("-T", path)),
                ("up, nginx", other, ("-T", path)),
                ("down, rookery", there + get, ()),
                ("down, nginx", other, ())):
            who = (nginx.processes() if "nginx" in name
                   else [server.process.pid])
            before = cpu(who)
            rates.setdefault(name, []).append(
                transfer(server, url, size, *how))
            used[name] = used.get(name, 0) + cpu(who) - before
    return rates, used


async def main():
    build = sys.argv[1]
    sizes = [int(n) for n in sys.argv[2:]] or [5, 200]
    server = Server(build, {
        "listen": [{"type": "http", "ip": "127.0.0.1", "port": "http"},
                   {"type": "http", "ip": "127.0.0.1", "port": "https",
                    "tls": True}],
        "modules": {"disco": {}, "websocket": {}, "http_upload": {
            "url": "http://files.example:1", "max_size": "1GiB",
            "quota": "100GiB"}}})
    await server.start()
    assert server.ctl("register", "romeo", "localhost", "secret")[0] == 0
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        nginx = Nginx(server, folder)
        try:
            client = Client(server).login("romeo")
            for size in sizes:
                path = os.path.join(folder, "source")
                with open(path, "wb") as file:
                    for _ in range(size):
                        file.write(os.urandom(MB))
                rates, used = measure(server, nginx, client, size * MB, path)
                for name, got in rates.items():
                    spent = used[name] * 1000 / (size * ROUNDS / 100)
                    print(f"{size} MB {name}: best {max(got):.0f}, "
                          f"median {statistics.median(got):.0f} MB/s, "
                          f"{spent:.0f} ms of CPU for 100 MB", flush=True)
        finally:
            nginx.stop()
            await server.stop()
            server.destroy()


asyncio.run(main())
