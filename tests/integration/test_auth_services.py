# SPDX-License-Identifier: MIT
"""Accounts of a web service, of PAM and of a directory."""

import asyncio
import http.server
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import ports
from harness.client import Client, Failure
from harness.wire import PATIENCE, client_context


async def is_let_in(server, user, password="secret"):
    """None, or the condition of the failure."""
    client = Client(user, password)
    await client.connect(server.port["tls"],
                         tls=client_context(alpn=["xmpp-client"]))
    await client.open()
    try:
        await client.auth("PLAIN")
        await client.bind()
        return None
    except Failure as failure:
        return failure.elem.elems()[0].name
    finally:
        client.close()


# ---- a web service ----------------------------------------------------------

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, fields):
        service = self.server
        what = urllib.parse.urlsplit(self.path).path
        service.asked.append((self.command, what, fields.get("user")))
        user, password = fields.get("user"), fields.get("pass")
        if user == "broken":
            return 500, "no"
        if user == "long":
            return 200, "true" * 1000
        if user == "elsewhere":
            return 302, "true"
        if what == "/auth/check_password":
            yes = service.users.get(user) == password
        elif what == "/auth/user_exists":
            yes = user in service.users
        elif what == "/auth/set_password" and user in service.users:
            service.users[user], yes = password, True
        else:
            return 404, ""
        return 200, "true" if yes else "false"

    def reply(self, text):
        fields = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
        if fields.get("user") == "hang":
            self.server.released.wait(60)
        status, text = self.answer(fields)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/auth/check_password")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.reply(urllib.parse.urlsplit(self.path).query)

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        self.reply(self.rfile.read(size).decode())

    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path, authority):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        authority.issue(str(tmp_path / "web.pem"), "localhost"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    server.users = {"romeo": "a&b=c%41 é", "juliet": "secret"}
    server.asked = []
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def web_config(web, authority, **more):
    url = f"https://localhost:{web.server_port}/auth"
    return {"auth": {"backends": ["http"]},
            "modules": {"auth_http": {"url": url, "timeout": "2s",
                                      "ca_file": authority.pem, **more}}}


@pytest.mark.parametrize("method", ["post", "get"])
async def test_web(make_server, authority, web, method):
    server = make_server(web_config(web, authority, method=method,
                                    changes=True))
    await server.start()
    assert await is_let_in(server, "romeo", "a&b=c%41 é") is None
    assert await is_let_in(server, "romeo", "a") == "not-authorized"
    assert await is_let_in(server, "nobody") == "not-authorized"
    assert (method.upper(), "/auth/check_password", "romeo") in web.asked
    await server.ctl_ok("change_password", "juliet", "localhost", "n&w")
    assert web.users["juliet"] == "n&w"
    assert await is_let_in(server, "juliet", "n&w") is None


@pytest.mark.parametrize("user", ["broken", "long", "elsewhere", "hang"])
async def test_web_down(make_server, authority, web, user):
    server = make_server(web_config(web, authority))
    server.announce("can't tell: the web service: ")
    await server.start()
    assert await is_let_in(server, user) == "temporary-auth-failure"
    assert await is_let_in(server, "juliet") is None
    assert "secret" not in "\n".join(server.lines())


async def test_web_untrusted(make_server, authority, web):
    """Its certificate counts, and so does that there is one."""
    config = web_config(web, authority)
    del config["modules"]["auth_http"]["ca_file"]
    server = make_server(config)
    server.announce("can't tell: the web service: .*certificate")
    await server.start()
    assert await is_let_in(server, "juliet") == "temporary-auth-failure"
    config["modules"]["auth_http"]["url"] = "http://192.0.2.1/"
    server = make_server(config)
    server.announce("not https beyond this machine")
    await server.start()
    assert await is_let_in(server, "juliet") == "temporary-auth-failure"
    assert not web.asked


# ---- PAM --------------------------------------------------------------------

CHECK = """#!/bin/sh
read -r password
[ "$PAM_USER:$password" = "romeo:secret" ]
"""


async def test_pam(make_server, build, tmp_path):
    program = os.path.join(build, "modules", "auth_pam", "rookery-pam")
    if not os.path.exists(program):
        pytest.skip("built without PAM")
    check = tmp_path / "check"
    check.write_text(CHECK)
    check.chmod(stat.S_IRWXU)
    (tmp_path / "chat").write_text(
        f"auth required pam_exec.so expose_authtok quiet {check}\n"
        "account required pam_permit.so\n")
    server = make_server({
        "auth": {"backends": ["pam"]},
        "modules": {"auth_pam": {
            "program": os.path.abspath(program), "service": "chat",
            "service_folder": str(tmp_path), "users": False}}})
    await server.start()
    assert await is_let_in(server, "romeo") is None
    assert await is_let_in(server, "romeo", "wrong") == "not-authorized"
    assert await is_let_in(server, "juliet") == "not-authorized"


# ---- a directory ------------------------------------------------------------

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/lib/openldap:/sbin")
ENTRIES = """
dn: dc=example
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example
objectClass: organizationalUnit
ou: people

"""
PERSON = """dn: uid={dn},ou=people,dc=example
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {sn}
userPassword: {password}

"""
CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {ca}
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/cert.pem
database mdb
suffix dc=example
rootdn cn=admin,dc=example
rootpw rootsecret
directory {folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""


def is_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Directory:
    def __init__(self, folder, authority):
        self.folder = folder
        self.port, self.tls_port = ports.take(), ports.take()
        os.mkdir(os.path.join(folder, "db"))
        authority.issue(os.path.join(folder, "cert.pem"), "localhost",
                        socket.gethostname())
        conf = os.path.join(folder, "slapd.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(CONF.format(folder=folder, ca=authority.pem))
        people = ENTRIES
        for uid, dn, sn in (("romeo", "romeo", "x"), ("juliet", "juliet", "x"),
                            ("a*b", "a*b", "x"), ("twin", "twin", "x"),
                            ("twin", "twin2", "x"),
                            ("x+y,z", "x\\+y\\,z", "x")):
            people += PERSON.format(uid=uid, dn=dn, sn=sn,
                                    password=uid + "-secret")
        subprocess.run(
            [os.path.join(os.path.dirname(SLAPD), "slapadd"), "-f", conf],
            input=people.encode(), check=True, capture_output=True)
        self.process = subprocess.Popen(
            [SLAPD, "-d", "0", "-f", conf, "-h",
             f"ldap://localhost:{self.port} ldaps://localhost:"
             f"{self.tls_port}"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        for _ in range(PATIENCE * 20):
            if is_open(self.tls_port):
                return
            time.sleep(0.05)
        raise RuntimeError("slapd does not listen")

    def config(self, authority, **more):
        return {"auth": {"backends": ["ldap"], "cache_lifetime": 0},
                "modules": {"auth_ldap": {
                    "url": f"ldap://localhost:{self.port}",
                    "ca_file": authority.pem, "timeout": "2s", **more}}}

    def search(self, authority, **more):
        return self.config(authority, base="ou=people,dc=example",
                           bind_dn="cn=admin,dc=example",
                           bind_password="rootsecret", **more)

    def ldap(self, program, text):
        subprocess.run(
            [program, "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D",
             "cn=admin,dc=example", "-w", "rootsecret"],
            input=text.encode(), check=True, capture_output=True)

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def directory(tmp_path_factory, authority):
    if SLAPD is None:
        pytest.skip("there is no slapd")
    made = Directory(str(tmp_path_factory.mktemp("slapd")), authority)
    yield made
    made.close()


async def test_ldap_bind(make_server, authority, directory):
    """By the name of the entry; commas and plus signs stay in the value."""
    server = make_server(directory.config(
        authority, user_dn="uid=%u,ou=people,dc=example"))
    await server.start()
    assert await is_let_in(server, "romeo", "romeo-secret") is None
    assert await is_let_in(server, "x+y,z", "x+y,z-secret") is None
    for user, password in (("romeo", "juliet-secret"), ("nobody", "x"),
                           ("juliet,ou=people,dc=example#", "juliet-secret"),
                           ("x", "x+y,z-secret")):
        assert await is_let_in(server, user, password) == "not-authorized"


@pytest.mark.parametrize("how", ["starttls", "ldaps", "none"])
async def test_ldap_search(make_server, authority, directory, how):
    """By a search; what a name has of a filter's own signs is escaped."""
    more = {"tls": "none"} if how == "none" else {}
    if how == "ldaps":
        more["url"] = f"ldaps://localhost:{directory.tls_port}"
    server = make_server(directory.search(authority, **more))
    await server.start()
    assert await is_let_in(server, "romeo", "romeo-secret") is None
    assert await is_let_in(server, "a*b", "a*b-secret") is None
    for user, password in (("romeo", "wrong"), ("nobody", "romeo-secret"),
                           ("*", "romeo-secret"), ("rom*", "romeo-secret"),
                           ("romeo)(uid=*", "romeo-secret"),
                           ("twin", "twin-secret")):
        assert await is_let_in(server, user, password) == "not-authorized"


async def test_ldap_password(make_server, authority, directory):
    """Changed there, by who may."""
    server = make_server(directory.search(authority, changes=True))
    await server.start()
    await server.ctl_ok("change_password", "juliet", "localhost", "new")
    assert await is_let_in(server, "juliet", "new") is None
    assert await is_let_in(server, "juliet",
                           "juliet-secret") == "not-authorized"
    await server.ctl_ok("change_password", "juliet", "localhost",
                        "juliet-secret")


async def test_ldap_known(make_server, authority, directory):
    """Who has never logged in is there for others."""
    config = directory.search(authority)
    config["modules"]["offline"] = {}
    server = make_server(config)
    await server.start()
    romeo = Client("romeo", "romeo-secret")
    await romeo.connect(server.port["tls"],
                        tls=client_context(alpn=["xmpp-client"]))
    await romeo.open()
    await romeo.auth("PLAIN")
    await romeo.bind()
    for name in ("juliet", "nobody"):
        romeo.send(f"<message to='{name}@localhost' id='{name}' type='chat'>"
                   "<body>x</body></message>")
    answer = await romeo.take(lambda e: e.name == "message")
    assert answer.get("id") == "nobody"
    romeo.close()


GROUPS = """
dn: ou=groups,dc=example
objectClass: organizationalUnit
ou: groups

dn: cn=Lovers,ou=groups,dc=example
objectClass: groupOfNames
cn: Lovers
description: Star-crossed
member: UID=romeo, ou=people,dc=example
member: uid=juliet,ou=people,dc=example
member: uid=gone,ou=people,dc=example

dn: cn=Twins,ou=groups,dc=example
objectClass: groupOfUniqueNames
cn: Twins
uniqueMember: uid=romeo,ou=people,dc=example#'0101'B
uniqueMember: uid=x\\+y\\,z,ou=people,dc=example

dn: cn=Posix,ou=groups,dc=example
objectClass: posixGroup
cn: Posix
gidNumber: 1000
memberUid: juliet
memberUid: nobody
"""
ADD_TWIN = """
dn: cn=Lovers,ou=groups,dc=example
changetype: modify
add: member
member: uid=twin,ou=people,dc=example
-
delete: member
member: uid=juliet,ou=people,dc=example

dn: uid=twin,ou=people,dc=example
changetype: modify
replace: displayName
displayName: Antipholus
"""


async def push_of(client, jid, *groups):
    """The item of a push about that contact in these groups."""
    def fits(elem):
        query = elem.find("query")
        return (elem.get("type") == "set" and query is not None
                and query.find("item").get("jid") == jid
                and labels(query.find("item")) == list(groups))
    return (await client.take(fits)).find("query").find("item")


def labels(item):
    return [child.text for child in item.elems() if child.name == "group"]


async def test_ldap_groups(make_server, authority, tmp_path):
    """Its groups are in rosters; what changes there is pushed; while it is
    down all stays; and without the module nothing does."""
    if SLAPD is None:
        pytest.skip("there is no slapd")
    directory = Directory(str(tmp_path), authority)
    try:
        await groups(make_server, authority, directory)
    finally:
        directory.close()


async def groups(make_server, authority, directory):
    directory.ldap("ldapadd", GROUPS)
    config = directory.search(authority,
                              groups_base="ou=groups,dc=example")
    config["auth"]["backends"] = ["internal"]
    config["modules"]["shared_roster"] = {"source": "ldap", "refresh": "1s"}
    server = make_server(config)
    server.announce("the groups stay as they are")
    await server.start()
    romeo = await server.client("romeo")

    async def roster():
        answer = await romeo.ask("<query xmlns='jabber:iq:roster'/>")
        return {item.get("jid"): item
                for item in answer.find("query").elems()}

    async def has(count):
        for _ in range(PATIENCE * 10):
            items = await roster()
            if len(items) == count:
                return items
            await asyncio.sleep(0.1)
        raise AssertionError(f"not {count} items: {list(items)}")

    items = await has(2)
    assert labels(items["juliet@localhost"]) == ["Lovers"]
    assert items["juliet@localhost"].get("name") == "juliet"
    assert items["juliet@localhost"].get("subscription") == "both"
    assert labels(items["x+y,z@localhost"]) == ["Twins"]
    assert (await server.ctl_ok("srg_list", "localhost")).split() == [
        "Lovers", "Posix", "Twins"]
    assert (await server.ctl_ok("srg_get_members", "Posix",
                                "localhost")).split() == ["juliet@localhost"]
    text = await server.ctl_ok("srg_get_info", "Lovers", "localhost")
    assert "Star-crossed" in text and "ldap" in text
    # They are the directory's to change, but for what they display.
    for command in (["srg_user_add", "romeo", "localhost", "Posix",
                     "localhost"], ["srg_delete", "Posix", "localhost"]):
        with pytest.raises(Exception, match="source"):
            await server.ctl_ok(*command)
    await server.ctl_ok("srg_add_displayed", "Twins", "localhost", "Posix")
    await push_of(romeo, "juliet@localhost", "Lovers", "Posix")

    directory.ldap("ldapmodify", ADD_TWIN)
    pushed = await push_of(romeo, "twin@localhost", "Lovers")
    assert pushed.get("subscription") == "both"
    assert pushed.get("name") in ("Antipholus", "twin")
    items = await has(3)
    assert labels(items["juliet@localhost"]) == ["Posix"]

    directory.close()
    await server.log_line("the groups stay as they are")
    assert len(await roster()) == 3
    await server.restart()
    romeo = await server.client("romeo", register=False)
    assert len(await roster()) == 3

    await server.stop()
    server.overrides["modules"]["shared_roster"] = {"enabled": False}
    await server.start()
    romeo = await server.client("romeo", register=False)
    assert not await roster()


async def test_ldap_down(make_server, authority, directory):
    """Nobody there, somebody who says nothing, a certificate of another."""
    silent = await asyncio.start_server(lambda r, w: asyncio.sleep(60),
                                        "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    urls = [f"ldap://localhost:{ports.take()}", f"ldap://127.0.0.1:{port}",
            f"ldaps://127.0.0.1:{port}", f"ldap://127.0.0.1:{directory.port}"]
    for url in urls:
        server = make_server(directory.search(authority, url=url))
        server.announce("can't tell: the directory: ")
        await server.start()
        assert await is_let_in(
            server, "romeo", "romeo-secret") == "temporary-auth-failure", url
        await server.stop()
    silent.close()
