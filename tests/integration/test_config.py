# SPDX-License-Identifier: MIT
"""The configuration: what is wrong is told with its line and the nearest right
word; what is right can be checked, and taken up while running."""

import os
import re
import signal
import subprocess

import pytest

from harness.client import Client
from harness.wire import Silence

GOOD = """\
hosts: [localhost]
data_dir: {data}
listen:
  - {{type: c2s, ip: 127.0.0.1, port: 0}}
"""

# What is added to the good one, the line (counted from the first added), and
# words that must be said about it.
FAULTS = [
    ("hots: [x.example]\n", 1, ["hots", "hosts"]),
    ("workerz: 2\n", 1, ["workerz", "workers"]),
    ("workers: many\n", 1, ["workers", "many"]),
    ("workers: 0\n", 1, ["workers", "128"]),
    ("log: {level: loud}\n", 1, ["level", "loud"]),
    ("log:\n  levl: info\n", 2, ["levl", "level"]),
    ("log: verbose\n", 1, ["log"]),
    ("log: {target: /no/such/folder/x.log}\n", 1, ["target", "No such file"]),
    ("log: {target: /proc}\n", 1, ["target", "directory"]),
    ("s2s: {ca_file: /nowhere.pem}\n", 1, ["ca_file", "No such file"]),
    ("auth: {client_ca_file: /dev/null}\n", 1,
     ["client_ca_file", "no certificate"]),
    *([("user: nobodyknows\n", 1, ["no user 'nobodyknows'"])]
      if os.geteuid() == 0 else []),
    ("limits: {stanza_size: 5}\n", 1, ["stanza_size", "10000"]),
    ("limits: {stanza_size: huge}\n", 1, ["stanza_size", "huge"]),
    ("limits:\n  stanza_sizes: 20000\n", 2, ["stanza_sizes", "stanza_size"]),
    ("limits: {session_queue: 64KiB}\n", 1, ["session_queue", "stanza_size"]),
    ("limits: {stanza_size: 5MiB}\n", 1, ["session_queue", "stanza_size"]),
    ("limits: {c2s_rate: -1}\n", 1, ["c2s_rate"]),
    ("limits: {negotiation: 30}\n", 1, ["negotiation"]),
    ("limits: {resume: 99d}\n", 1, ["resume"]),
    ("auth: {mechanisms: [SCRAM-SHA-257]}\n", 1,
     ["SCRAM-SHA-257", "SCRAM-SHA-256"]),
    ("auth: {backends: [intern]}\n", 1, ["intern", "internal"]),
    ("auth: {allow_plain_without_tls: maybe}\n", 1,
     ["allow_plain_without_tls", "maybe"]),
    ("database: {driver: sqlight}\n", 1, ["sqlight", "sqlite"]),
    ("modules: {pink: {}}\n", 1, ["pink", "ping"]),
    ("modules:\n  ping: {intervall: 5m}\n", 2, ["intervall", "interval"]),
    ("modules:\n  ping:\n    timeout: soon\n", 3, ["timeout", "soon"]),
    ("modules: [ping]\n", 1, ["modules"]),
    ("admins: [nobody]\n", 1, ["nobody"]),
    ("host_config: {other.example: {}}\n", 1, ["other.example"]),
    ("modules: {muc: {host: localhost}}\n", 1, ["'muc'", "'hosts'"]),
    ("modules:\n  muc: {host: rooms.test}\n  pubsub: {host: rooms.test}\n",
     3, ["'pubsub'", "'rooms.test'", "'muc'"]),
    ("components: [{host: conference.localhost, secret: x}]\n", 1,
     ["'muc'", "component"]),
    ("host_config:\n  localhost: {}\n  LOCALHOST: {}\n", 3,
     ["LOCALHOST", "line 6"]),
    ("include: more.yml\n", 1, ["include", "there are", "certificates"]),
    ("limits: {max_stanza_size: 20000}\n", 1,
     ["max_stanza_size", "there are: stanza_size"]),
    ("certificates: [/nowhere/*.pem]\n", 1, ["/nowhere/"]),
    ("workers: 1\nworkers: 2\n", 2, ["workers"]),
    ("a: [b\n", None, []),
    ("\tworkers: 1\n", 1, []),
]


def run(build, *args, cwd=None):
    return subprocess.run([os.path.join(build, "src", "rookeryd"), *args],
                          capture_output=True, text=True, timeout=60,
                          check=False, cwd=cwd)


def write(path, text):
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("text, line, words", FAULTS,
                         ids=[t.split("\n")[0] for t, _, _ in FAULTS])
@pytest.mark.parametrize("check", [True, False], ids=["check", "start"])
def test_faults(build, tmp_path, text, line, words, check):
    """Exit 1, one line with file, line and reason; nothing is started."""
    good = GOOD.format(data=tmp_path / "data")
    path = write(tmp_path / "rookery.yml", good + text)
    done = run(build, *(["--check-config"] if check else []), "-c", path)
    assert done.returncode == 1
    said = done.stderr + done.stdout
    if line is not None:
        where = f"{path}:{good.count(chr(10)) + line}:"
        lines = [x for x in said.splitlines() if where in x]
        assert lines, said
        assert all(w in lines[0] for w in words), said
    else:
        assert re.search(re.escape(path) + r":\d+:", said), said
    assert not (tmp_path / "data" / "rookery.db").exists()


@pytest.mark.parametrize("check", [True, False], ids=["check", "start"])
def test_files_at_fault(build, tmp_path, check):
    """What is no text, and a certificate that is none, have lines too."""
    good = GOOD.format(data=tmp_path / "data")
    line = good.count("\n") + 1
    path = tmp_path / "rookery.yml"
    cert = write(tmp_path / "c.pem", "none\n")
    for text, words in ((b"workers: \xff\n", "UTF-8"),
                        (f"certificates: [{cert}]\n".encode(), cert)):
        path.write_bytes(good.encode() + text)
        done = run(build, *(["--check-config"] if check else []), "-c",
                   str(path))
        assert done.returncode == 1
        assert re.search(rf"{path}:{line}: .*{words}", done.stderr), \
            done.stderr


def test_all_at_once(build, tmp_path):
    """Every fault is told, not just the first."""
    path = write(tmp_path / "rookery.yml",
                 "hosts: [localhost]\nworkerz: 2\nlog: {level: loud}\n"
                 "limits: {sise: 5}\n")
    said = run(build, "--check-config", "-c", path).stderr
    assert all(f"{path}:{n}:" in said for n in (2, 3, 4)), said


@pytest.mark.parametrize("text, words", [
    ("", ["hosts"]), ("hosts: []\n", ["hosts"]),
    ("hosts: ['a b']\n", ["a b"]),
    ("hosts: [localhost]\nlisten: [{type: c2s, ip: 127.0.0.1, port: 1}]\n"
     "data_dir: /nowhere/data\n", [":3:", "data_dir", "No such file"]),
    ("hosts: [a.example, A.EXAMPLE]\n", ["a.example"]),
    ("hosts: [localhost, a.example]\n"
     "listen: [{type: c2s, ip: 127.0.0.1, port: 1}]\n"
     "modules: {muc: {host: rooms.example}}\n",
     [":3:", "'a.example'", "'localhost'"]),
    ("hosts: [localhost]\nlisten: [{type: c2s}]\n", ["port"]),
    ("hosts: [localhost]\nlisten: [{type: c2x, ip: 127.0.0.1, port: 1}]\n",
     ["c2x", "c2s"]),
    ("hosts: [localhost]\nlisten: [{type: c2s, ip: here, port: 1}]\n",
     ["here"]),
    ("hosts: [localhost]\nlisten: [{type: c2s, ip: 127.0.0.1, port: 70000}]\n",
     ["port"]),
    ("hosts: [localhost]\nlisten: [{type: c2s, ip: 127.0.0.1, port: 1,"
     " proxy_protocol: [everybody]}]\n", ["everybody"]),
    ("hosts: [localhost]\nlisten: [{type: c2s, ip: 127.0.0.1, port: 1},"
     " {type: c2s, ip: 127.0.0.1, port: 1}]\n", ["port"]),
    ("hosts: [localhost]\nlisten: [{type: c2s, ip: 192.0.2.1, port: 1}]\n",
     ["certificates"]),
])
def test_faults_alone(build, tmp_path, text, words):
    """The same for what cannot be added to a good one."""
    path = write(tmp_path / "rookery.yml", text)
    done = run(build, "--check-config", "-c", path)
    assert done.returncode == 1
    assert all(w in done.stderr for w in words), done.stderr


def test_good(build, tmp_path):
    path = write(tmp_path / "rookery.yml",
                 GOOD.format(data=tmp_path / "data"))
    done = run(build, "--check-config", "-c", path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_missing_file(build, tmp_path):
    path = str(tmp_path / "nowhere.yml")
    for args in (["--check-config", "-c", path], ["-c", path]):
        done = run(build, *args)
        assert done.returncode == 1
        assert path in done.stderr


@pytest.mark.parametrize("args", [["--frob"], ["-c"], ["x"]])
def test_usage(build, args):
    done = run(build, *args)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_version(build):
    done = run(build, "--version")
    assert done.returncode == 0
    assert re.fullmatch(r"rookeryd \d+\.\d+\S*\n", done.stdout)


def test_example(build, authority, tmp_path):
    """The example that is installed is right, but for its certificate."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    with open(os.path.join(top, "etc", "rookery.yml.example"),
              encoding="utf-8") as file:
        text = file.read()
    text = text.replace("/etc/rookery/certs/*.pem", str(tmp_path / "c.pem"))
    authority.issue(str(tmp_path / "c.pem"), "chat.example.org")
    path = write(tmp_path / "rookery.yml", text)
    done = run(build, "--check-config", "-c", path)
    assert done.returncode == 0, done.stderr


async def test_reload(server):
    """What can be applied is; a connection does not notice."""
    romeo = await server.client("romeo")
    server.overrides["limits"]["sessions_per_account"] = 1
    server.overrides["log"] = {"level": "debug"}
    server.write_config()
    server.process.send_signal(signal.SIGHUP)
    await server.log_line(r" debug ")
    await romeo.ping("localhost")
    status, level = await server.api("get_loglevel")
    assert status == 200 and "debug" in str(level)


async def test_reload_ping(make_server):
    """Those who are there already are watched by the new interval."""
    server = make_server({"modules": {"ping": {"interval": 0}}})
    await server.start()
    romeo = await server.client("romeo")
    server.overrides["modules"]["ping"]["interval"] = "1s"
    server.write_config()
    assert server.ctl("reload_config")[0] == 0
    ping = await romeo.elem()
    assert ping.find("ping") is not None
    romeo.send(f"<iq type='result' id='{ping.attrs['id']}' to='localhost'/>")
    server.overrides["modules"]["ping"]["interval"] = 0
    server.write_config()
    assert server.ctl("reload_config")[0] == 0
    with pytest.raises(Silence):
        await romeo.elem(3)


async def test_reload_bad(server):
    """A fault in the file is told, and nothing changes."""
    romeo = await server.client("romeo")
    with open(server.config_path, "a", encoding="utf-8") as file:
        file.write("workerz: 5\n")
    server.announce("workerz")
    status, out, err = server.ctl("reload_config")
    assert status == 1
    assert "workerz" in out + err and "workers" in out + err
    server.process.send_signal(signal.SIGHUP)
    await server.log_line("workerz")
    await romeo.ping("localhost")


async def test_reload_tells_what_it_cannot(server):
    """What needs a restart is said."""
    server.announce("workers")
    server.workers = 1 if server.workers == 2 else 2
    server.write_config()
    status, out, err = server.ctl("reload_config")
    assert status == 0
    said = out + err + "\n".join(server.lines())
    assert re.search(r"workers.*restart|restart.*workers", said), said


async def test_reload_listener(server):
    """A listener may come and go."""
    port = server.port["c2s"]
    server.overrides["listen"] = server.defaults()["listen"] + [
        {"type": "c2s", "ip": "127.0.0.1", "port": "new",
         "starttls": "optional"}]
    server.write_config()
    status, out, err = server.ctl("reload_config")
    assert status == 0, err
    if re.search("restart", out + err):
        return
    client = Client("romeo")
    await client.connect(server.port["new"])
    await client.open()
    assert port == server.port["c2s"]


def sockets_of(port):
    """Those that listen on it, by number."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return {row[9] for row in rows
            if row[1].endswith(f":{port:04X}") and row[3] == "0A"}


async def test_reload_listener_that_stays(server):
    """What changes about a port changes without closing it: root, who may have
    opened it, is not there any more."""
    romeo = await server.client("romeo")
    listen = server.defaults()["listen"]
    port = server.port["c2s"]
    before = sockets_of(port)
    assert len(before) == server.workers
    listen[0]["proxy_protocol"] = ["127.0.0.0/8"]
    server.overrides["listen"] = listen
    server.write_config()
    out = await server.ctl_ok("reload_config")
    assert f":{port} (c2s, STARTTLS optional, PROXY protocol)" in out
    assert "no longer" not in out
    assert sockets_of(port) == before
    await server.register("juliet")
    juliet = Client("juliet")
    await juliet.connect(port)
    juliet.wire.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 5222\r\n")
    await juliet.open()
    del listen[0]["proxy_protocol"]
    listen[0]["starttls"] = "required"
    server.write_config()
    await server.ctl_ok("reload_config")
    assert sockets_of(port) == before
    again = Client("juliet")
    await again.connect(port)
    await again.open()
    assert again.mechanisms() == []
    await romeo.ping("localhost")


@pytest.mark.sqlite("it is its file that is spoilt")
@pytest.mark.parametrize("kind", ["folder", "garbage", "unreadable"])
async def test_database_cannot_be_opened(make_server, kind):
    """A clear message, and exit 1."""
    server = make_server()
    server.write_config()
    data = os.path.join(server.folder, "data")
    path = os.path.join(data, "rookery.db")
    os.makedirs(data, mode=0o700)
    if kind == "folder":
        os.mkdir(path)
    elif kind == "garbage":
        with open(path, "wb") as file:
            file.write(b"This is no database. " * 1000)
    else:
        os.symlink("/proc/self/nowhere/rookery.db", path)
    done = run(server.build, "-c", server.config_path)
    assert done.returncode == 1
    assert "rookery.db" in done.stderr


async def test_port_in_use(make_server):
    """A port that another program has: a clear message, and exit 1."""
    import socket
    server = make_server()
    server.write_config()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", server.port["c2s"]))
        sock.listen()
        done = run(server.build, "-c", server.config_path)
    assert done.returncode == 1
    assert str(server.port["c2s"]) in done.stderr


async def test_two_servers_one_folder(server):
    """Two servers on one data folder would hurt each other."""
    done = run(server.build, "-c", server.config_path)
    assert done.returncode == 1
    assert done.stderr.strip()
    await (await server.client("romeo")).ping("localhost")


@pytest.mark.parametrize("secret", ["sesame"])
async def test_secrets_are_masked(make_server, secret):
    """Passwords are in no log, at any level."""
    server = make_server({"log": {"level": "debug"}})
    await server.start()
    await server.client("romeo", password=secret, mechanism="PLAIN")
    await server.api("change_password", user="romeo", host="localhost",
                     newpass="open" + secret)
    assert not [x for x in server.lines() if secret in x]
