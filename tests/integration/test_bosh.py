# SPDX-License-Identifier: MIT
"""XMPP over BOSH (XEP-0124, XEP-0206)."""

import base64
import http.client
import json
import re
import threading

import pytest

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
]
PATIENCE = 30
USERS = [f"u{n}" for n in range(6)]
BIND = ("<iq xmlns='jabber:client' type='set' id='b'><bind "
        "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
PRESENCE = "<presence xmlns='jabber:client'/>"
SPEC = {"listen": LISTEN, "modules": {
    "host_meta": {}, "offline": {},
    "bosh": {"inactivity": "3s", "sessions": 50}}}


@pytest.fixture
def web(make_server, event_loop):
    made = make_server(SPEC)
    event_loop.run_until_complete(made.start())
    for name in USERS:
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


def ask(server, body, method="POST"):
    """One request on a connection of its own: (status, headers, text)."""
    link = http.client.HTTPConnection("127.0.0.1", server.port["http"],
                                      timeout=PATIENCE)
    link.request(method, "/http-bind", body, {"Host": "localhost"})
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, answer.headers, text


class Later(threading.Thread):
    """A request that is held."""

    def __init__(self, session, rid, **how):
        super().__init__(daemon=True)
        self.how = session, rid, how
        self.start()

    def run(self):
        session, rid, how = self.how
        self.text = session.post(rid=rid, **how)

    def get(self):
        self.join(PATIENCE)
        return self.text


class Session:
    """A client's end."""

    def __init__(self, server, to="localhost", rid=1000, hold=1, wait=5,
                 more=""):
        self.server = server
        self.rid = rid
        self.sid = None
        self.first = self.post(attrs=(
            f"to='{to}' hold='{hold}' wait='{wait}' ver='1.11' "
            "xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh' " + more))
        sid = re.search(" sid='([^']*)'", self.first)
        self.sid = sid and sid[1]

    def post(self, inside="", attrs="", rid=None):
        if rid is None:
            rid = self.rid
            self.rid += 1
        sid = f"sid='{self.sid}'" if self.sid else ""
        status, headers, text = ask(
            self.server, "<body xmlns='http://jabber.org/protocol/httpbind' "
            f"rid='{rid}' {sid} {attrs}>{inside}</body>")
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

    def login(self, user):
        assert "PLAIN" in self.until("features", self.first)
        auth = base64.b64encode(f"\0{user}\0secret".encode()).decode()
        self.until("<success ", self.post(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
            f"mechanism='PLAIN'>{auth}</auth>"))
        self.until("xmpp-bind", self.post(attrs=(
            "to='localhost' xmpp:restart='true' "
            "xmlns:xmpp='urn:xmpp:xbosh'")))
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
    many = [Session(web).first for _ in range(120)]
    assert "policy-violation" in many[-1]


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
