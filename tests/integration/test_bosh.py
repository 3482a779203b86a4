# SPDX-License-Identifier: MIT
"""XMPP over BOSH (XEP-0124, XEP-0206)."""

import base64
import http.client
import json
import re
import ssl
import threading

import pytest

from harness.sasl import Scram

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
    {"type": "http", "ip": "127.0.0.1", "port": "https", "tls": True},
]
PATIENCE = 30
USERS = [f"u{n}" for n in range(6)]
BIND = ("<iq xmlns='jabber:client' type='set' id='b'><bind "
        "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
PRESENCE = "<presence xmlns='jabber:client'/>"
SPEC = {"listen": LISTEN, "modules": {
    "host_meta": {}, "offline": {},
    "bosh": {"inactivity": "3s", "sessions": 20}}}


@pytest.fixture
def web(make_server, event_loop):
    made = make_server(SPEC)
    event_loop.run_until_complete(made.start())
    for name in USERS:
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


def connection(server, is_tls=False):
    if not is_tls:
        return http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                          timeout=PATIENCE)
    return http.client.HTTPSConnection(
        "localhost", server.port["https"], timeout=PATIENCE,
        context=ssl.create_default_context(cafile=server.authority.pem))


def ask(server, body, method="POST", is_tls=False, sent=None):
    """One request on a connection of its own: (status, headers, text)."""
    link = connection(server, is_tls)
    link.request(method, "/http-bind", body, {"Host": "localhost"})
    if sent:
        sent.set()
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, answer.headers, text


class Later(threading.Thread):
    """A request that is held."""

    def __init__(self, session, rid, **how):
        super().__init__(daemon=True)
        self.how = session, rid, how
        self.sent = threading.Event()
        self.start()

    def run(self):
        session, rid, how = self.how
        self.text = session.post(rid=rid, sent=self.sent, **how)

    def get(self):
        self.join(PATIENCE)
        return self.text


class Session:
    """A client's end."""

    def __init__(self, server, to="localhost", rid=1000, hold=1, wait=5,
                 more="", is_tls=False):
        self.server = server
        self.is_tls = is_tls
        self.rid = rid
        self.sid = None
        self.first = self.post(attrs=(
            f"to='{to}' hold='{hold}' wait='{wait}' ver='1.11' "
            "xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh' " + more))
        sid = re.search(" sid='([^']*)'", self.first)
        self.sid = sid and sid[1]

    def post(self, inside="", attrs="", rid=None, sent=None):
        if rid is None:
            rid = self.rid
            self.rid += 1
        sid = f"sid='{self.sid}'" if self.sid else ""
        status, headers, text = ask(
            self.server, "<body xmlns='http://jabber.org/protocol/httpbind' "
            f"rid='{rid}' {sid} {attrs}>{inside}</body>",
            is_tls=self.is_tls, sent=sent)
        assert status == 200, text
        assert headers["access-control-allow-origin"] == "*"
        assert headers["content-type"] == "text/xml; charset=utf-8"
        assert text.startswith("<body ")
        return text

    def until(self, pattern, text=""):
        for _ in range(20):
            if re.search(pattern, text):
                return text
            assert "terminate" not in text, text
            text = self.post()
        raise AssertionError(f"no {pattern}")

    def sasl(self, name, text, attrs=""):
        text = base64.b64encode(text).decode()
        return self.until("<(success|challenge|failure) ", self.post(
            f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl' {attrs}>"
            f"{text}</{name}>"))

    def restart(self):
        self.until("xmpp-bind", self.post(attrs=(
            "to='localhost' xmpp:restart='true' "
            "xmlns:xmpp='urn:xmpp:xbosh'")))

    def authenticate(self, user):
        assert "PLAIN" in self.until("features", self.first)
        assert "<success " in self.sasl(
            "auth", f"\0{user}\0secret".encode(), "mechanism='PLAIN'")
        self.restart()
        return self

    def login(self, user):
        self.authenticate(user)
        self.jid = re.search("<jid>(.*)</jid>",
                             self.until("<jid>", self.post(BIND)))[1]
        self.until("<presence ", self.post(PRESENCE))
        return self


def message(to, body):
    return (f"<message xmlns='jabber:client' to='{to}' type='chat'>"
            f"<body>{body}</body></message>")


def test_chat(web):
    """Users of all homes write to each other."""
    ends = [Session(web, rid=1 + n).login(user)
            for n, user in enumerate(USERS)]
    for name in ("wait", "requests='2'", "hold='1'", "inactivity='3'",
                 "polling=", "maxpause=", "ver='1.11'", "authid=",
                 "from='localhost'", "xmpp:version='1.0'",
                 "xmpp:restartlogic='true'"):
        assert name in ends[0].first
    assert len({end.sid for end in ends}) == len(ends)
    for sender in ends[:2]:
        for receiver in ends:
            text = f"from {sender.jid} {receiver.jid}"
            got = sender.post(message(receiver.jid, text)) \
                if sender is receiver else sender.post(
                    message(receiver.jid, text), attrs="pause='60'")
            assert text in receiver.until(
                "<message ", got if sender is receiver else "")
    out = ends[0].post(attrs="type='terminate'",
                       inside="<presence xmlns='jabber:client' "
                              "type='unavailable'/>")
    assert "type='terminate'" in out and "condition" not in out
    assert "item-not-found" in ends[0].post()


def test_held_request_is_answered_by_what_comes(web):
    one, two = Session(web).login("u0"), Session(web).login("u1")
    held = Later(two, two.rid)
    one.post(message(two.jid, "hello"), attrs="pause='60'")
    assert "hello" in held.get()


def test_order_and_repetition(web):
    end = Session(web).login("u0")
    rid = end.rid
    # The second comes first, and waits for the first.
    second = Later(end, rid + 1, inside=message(end.jid, "two"))
    text = end.post(message(end.jid, "one"), rid=rid)
    text += second.get()
    end.rid = rid + 2
    for _ in range(5):
        if "two" in text:
            break
        text += end.post()
    assert text.index(">one<") < text.index(">two<")
    # Again, as if the answer had been lost: the same, and not done again.
    first = end.post(message(end.jid, "three"), attrs="pause='60'")
    again = end.post(message(end.jid, "three"), rid=end.rid - 1)
    assert again == first
    text = end.post(attrs="pause='60'") + first
    assert text.count("three") == 1


def test_same_request_twice_while_held(web):
    end = Session(web).login("u0")
    held = Later(end, end.rid)
    for _ in range(100):
        again = Later(end, end.rid)
        if "type='error'" in held.get():
            break
    end.rid += 1
    end.post(message(end.jid, "x"))
    assert "terminate" not in again.get()


@pytest.mark.parametrize("step", [-10, 2, 1000])
def test_outside_the_window(web, step):
    end = Session(web).login("u0")
    text = end.post(rid=end.rid + step)
    assert "condition='item-not-found'" in text
    assert "item-not-found" in end.post()


def test_inactivity(web):
    """A session ends without requests, but may ask for a longer silence."""
    one, two = Session(web).login("u0"), Session(web).login("u1")
    assert "terminate" not in one.post(attrs="pause='60'")
    for _ in range(60):
        if two.jid not in web.ctl("connected_users")[1]:
            break
        threading.Event().wait(0.5)
    assert "item-not-found" in two.post()
    assert one.jid in web.ctl("connected_users")[1]
    assert "terminate" not in one.post()


def test_polling_too_often(web):
    end = Session(web, hold=0)
    assert "requests='1'" in end.first and "hold='0'" in end.first
    texts = [end.post() for _ in range(3)]
    assert any("policy-violation" in text for text in texts)


def test_refusals(web):
    assert "host-unknown" in Session(web, to="elsewhere.example").first
    refused = Session(web, more="newkey='abc'").first
    assert "condition='policy-violation'" in refused
    end = Session(web)
    for sid in ("", "0.guess", "99999.guess", "x", end.sid + "x"):
        end.sid = sid or "0"
        assert "item-not-found" in end.post()
    # Each worker has a bound of its own.
    assert any("policy-violation" in Session(web).first for _ in range(300))


@pytest.mark.parametrize("body", [
    "", "x", "<body/>", "<body xmlns='http://jabber.org/protocol/httpbind'/>",
    "<body xmlns='http://jabber.org/protocol/httpbind' rid='x'/>",
    "<body xmlns='http://jabber.org/protocol/httpbind' rid='0'/>",
    "<body xmlns='http://jabber.org/protocol/httpbind' "
    "rid='9007199254740993'/>",
    "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>",
    "<!DOCTYPE body><body xmlns='http://jabber.org/protocol/httpbind' "
    "rid='1'/>",
    "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' sid='0.a'>"
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/></body>",
    "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>" +
    "<a>" * 200 + "</a>" * 200 + "</body>",
], ids=range(11))
def test_bad_bodies(web, body):
    assert ask(web, body)[0] == 400


def test_http(web):
    status, headers, _ = ask(web, None, "OPTIONS")
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"
    assert "POST" in headers["access-control-allow-methods"]
    assert ask(web, None, "GET")[0] == 405
    assert ask(web, "x" * (1024 * 1024 + 1))[0] == 413
    link = http.client.HTTPConnection("127.0.0.1", web.port["http"],
                                      timeout=PATIENCE)
    link.request("GET", "/.well-known/host-meta.json")
    links = json.loads(link.getresponse().read())["links"]
    link.close()
    assert any(x["rel"] == "urn:xmpp:alt-connections:xbosh" and
               x["href"].endswith("/http-bind") for x in links)


def sasl_text(text):
    """What a challenge or a success has."""
    return base64.b64decode(re.search(">([A-Za-z0-9+/=]+)</(challenge|success)>",
                                      text)[1])


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_scram(web, is_tls):
    end = Session(web, is_tls=is_tls)
    features = end.until("features", end.first)
    # Requests have no channel in common that could be bound to.
    assert "SCRAM-SHA-256<" in features and "-PLUS" not in features
    assert "starttls" not in features
    scram = Scram("SCRAM-SHA-256", "u0", "secret")
    got = end.sasl("auth", scram.first(), "mechanism='SCRAM-SHA-256'")
    got = end.sasl("response", scram.final(sasl_text(got)))
    scram.check(sasl_text(got))
    end.restart()
    assert "<jid>u0@localhost/" in end.until("<jid>", end.post(BIND))
    kind = web.ctl("connected_users_info")[1].split("\t")[1]
    assert kind == "http_bind"


def test_wrong_password(web):
    end = Session(web)
    end.until("features", end.first)
    assert "<not-authorized/>" in end.sasl(
        "auth", b"\0u0\0wrong", "mechanism='PLAIN'")


def test_stream_management(web):
    """A client whose BOSH session has ended resumes by another one, and finds
    what it had not acknowledged."""
    one, two = Session(web).login("u0"), Session(web).login("u1")
    got = two.until("<enabled ", two.post(
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"))
    key = re.search("<enabled [^>]*id='([^']*)'", got)[1]
    # It is counted when it comes, and answered when it is asked.
    got = two.post(message(one.jid, "counted") +
                   "<r xmlns='urn:xmpp:sm:3'/>")
    assert "h='1'" in two.until("<a ", got)
    assert "counted" in one.until("<message ")
    one.post(message(two.jid, "not acknowledged"), attrs="pause='60'")
    assert "not acknowledged" in two.until("<message ")
    assert "item-not-found" in two.post(rid=two.rid + 1000)
    one.post(message(two.jid, "while away"), attrs="pause='60'")
    again = Session(web).authenticate("u1")
    got = again.until("while away", again.post(
        f"<resume xmlns='urn:xmpp:sm:3' h='0' previd='{key}'/>"))
    assert "<resumed " in got
    assert got.count("not acknowledged") == 1
    assert got.index("not acknowledged") < got.index("while away")


def gone(web, end):
    for _ in range(60):
        if end.jid not in web.ctl("connected_users")[1]:
            return
        threading.Event().wait(0.5)
    raise AssertionError(f"{end.jid} is still there")


def read_on(one, two, text):
    """What comes until a message by which we know that it was all."""
    one.post(message("u1@localhost", "the end"), attrs="pause='60'")
    return two.until("the end", text)


def test_lost_answer(web):
    """What went into an answer that never arrived waits for the next login;
    so does what nobody fetched."""
    one, two = Session(web).login("u0"), Session(web).login("u1")
    link = connection(web)
    link.request("POST", "/http-bind", (
        "<body xmlns='http://jabber.org/protocol/httpbind' "
        f"rid='{two.rid}' sid='{two.sid}'/>"), {"Host": "localhost"})
    one.post(message(two.jid, "lost"), attrs="pause='60'")
    # It is on its way, but nobody takes it.
    assert link.sock.recv(1)
    link.close()
    one.post(message(two.jid, "left"), attrs="pause='60'")
    gone(web, two)
    again = Session(web).authenticate("u1")
    again.until("<jid>", again.post(BIND))
    text = read_on(one, again, again.post(PRESENCE))
    assert text.count("<body>lost<") == 1 and text.count("<body>left<") == 1
    assert text.index("<body>lost<") < text.index("<body>left<")
    assert text.count("urn:xmpp:delay") == 2


@pytest.mark.parametrize("how", ["empty", "ack", "terminate", "window"])
def test_answer_that_arrived(web, how):
    """What the client has shown to have does not come again."""
    one = Session(web).login("u0")
    two = Session(web, more="ack='1'" if how == "ack" else "").login("u1")
    one.post(message(two.jid, "once"), attrs="pause='60'")
    two.until("<body>once<")
    if how == "terminate":
        two.post(attrs="type='terminate'")
    elif how == "empty":
        Later(two, two.rid).sent.wait(PATIENCE)
    elif how == "ack":
        two.post(PRESENCE, attrs=f"ack='{two.rid - 1}'")
    else:
        for _ in range(3):
            two.post(PRESENCE)
    gone(web, two)
    again = Session(web).authenticate("u1")
    again.until("<jid>", again.post(BIND))
    text = read_on(one, again, again.post(PRESENCE))
    assert "<body>once<" not in text


def test_shutdown(web, event_loop):
    """Who waits is told; so is who has not logged in."""
    ends = [Session(web, wait=60).login("u0"), Session(web, wait=60)]
    ends[1].until("features", ends[1].first)
    held = [Later(end, end.rid) for end in ends]
    # They have come in when others have, which were sent later.
    assert all(end.sent.wait(PATIENCE) for end in held)
    for _ in range(3):
        ends.append(Session(web).login("u1"))
    assert event_loop.run_until_complete(web.stop()) == 0
    for end in held:
        text = end.get()
        assert "type='terminate'" in text
        assert "condition='system-shutdown'" in text
