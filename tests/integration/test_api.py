# SPDX-License-Identifier: MIT
"""The application API, whole, with slixmpp clients on the other side; its
OpenAPI document is checked, and every answer against it."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import sqlite3
import uuid

import jsonschema
import pytest

from harness import postgres
from test_clients import User, leave

LISTEN = [
    {"type": "c2s", "ip": "127.0.0.1", "port": "c2s", "starttls": "optional"},
    {"type": "http", "ip": "127.0.0.1", "port": "http"},
]
PATIENCE = 20
SCOPES = ("users:read,users:write,messages:read,messages:write,media:read,"
          "media:write,rooms:read,rooms:write")
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + b"\0" * 100


class Api:
    """One application with its token."""

    def __init__(self, server, token, document=None):
        self.server = server
        self.token = token
        self.document = document

    def ask(self, method, path, body=None, headers=None):
        link = http.client.HTTPConnection(
            "127.0.0.1", self.server.port["http"], timeout=PATIENCE)
        headers = dict(headers or {})
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, (bytes, str)):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            assert answer.reason != "Status", answer.status
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    async def call(self, method, path, body=None, expect=200, **headers):
        """The value of an answer, which is as the document says."""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        status, head, text = await asyncio.to_thread(
            self.ask, method, "/api/v1" + path, body, headers)
        assert status == expect, (status, text)
        if status == 204:
            assert text == b""
            return None
        value = json.loads(text)
        if status >= 400:
            assert head["content-type"] == "application/problem+json"
            assert value["status"] == status
            self.check(value, "Problem")
        elif self.document:
            self.check_answer(method, path, status, value)
        return value

    async def problem(self, status, slug, method, path, body=None, **headers):
        value = await self.call(method, path, body, status, **headers)
        assert value["type"] == f"urn:rookery:problem:{slug}", value
        return value

    def check(self, value, schema):
        if self.document:
            jsonschema.Draft202012Validator({
                "$ref": f"#/components/schemas/{schema}",
                "components": self.document["components"]}).validate(value)

    def check_answer(self, method, path, status, value):
        path = path.partition("?")[0]
        for pattern, item in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) and \
                    method.lower() in item:
                answer = item[method.lower()]["responses"][str(status)]
                schema = answer["content"]["application/json"]["schema"]
                self.check(value, schema["$ref"].rpartition("/")[2])
                return
        raise AssertionError(f"{method} {path} is not in the document")


def launch(make_server, event_loop, workers=2, **options):
    made = make_server({
        "listen": LISTEN,
        "modules": {name: {} for name in (
            "disco", "ping", "mam", "carbons", "offline", "blocking", "muc",
            "private", "vcard")} | {
                "http_upload": {"max_size": "1MiB", "quota": "3MiB"},
                "api": options}}, workers=workers)
    event_loop.run_until_complete(made.start())
    for name in ("romeo", "juliet", "nurse"):
        status, _, errors = made.ctl("register", name, "localhost", "secret")
        assert status == 0, errors
    return made


def make_token(server, scopes=SCOPES, *more):
    status, out, errors = server.ctl(
        "create_api_token", "localhost", "shop", scopes, *more)
    assert status == 0, errors
    return out.strip()


def connect(server):
    app = Api(server, make_token(server))
    status, head, text = app.ask("GET", "/api/v1/openapi.json",
                                 headers={"Authorization": ""})
    assert status == 200 and head["content-type"] == "application/json"
    app.document = json.loads(text)
    return app


@pytest.fixture
def app(make_server, event_loop, workers):
    return connect(launch(make_server, event_loop, workers))


async def test_document(app):
    """It holds together as OpenAPI 3.1 asks, and is where it is said to be."""
    doc = app.document
    assert doc["openapi"] == "3.1.0" and doc["info"]["title"]
    assert json.loads(app.ask("GET", "/api/openapi.json")[2]) == doc
    ids = set()
    for path, item in doc["paths"].items():
        assert path.startswith("/")
        for method, op in item.items():
            assert method in ("get", "post", "put", "patch", "delete")
            assert op["operationId"] not in ids and op["summary"]
            ids.add(op["operationId"])
            assert any(s.startswith("2") for s in op["responses"])
            assert "default" in op["responses"]
            params = [resolve(doc, p) for p in op["parameters"]]
            assert len({(p["name"], p["in"]) for p in params}) == len(params)
            assert {p["name"] for p in params if p["in"] == "path"} == set(
                re.findall(r"\{(\w+)\}", path))
            for p in params:
                assert p["in"] in ("path", "query", "header")
                assert p["in"] != "path" or p["required"] is True
                jsonschema.Draft202012Validator.check_schema(p["schema"])
            if "requestBody" in op:
                content = op["requestBody"]["content"]["application/json"]
                jsonschema.Draft202012Validator.check_schema(
                    content["schema"])
                assert set(content["schema"]["required"]) <= set(
                    content["schema"]["properties"])
    for schema in doc["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "([^"]*)"', json.dumps(doc)):
        assert resolve(doc, {"$ref": reference})
    assert {"sendMessage", "listMessages", "getUser", "sendMedia",
            "createRoom", "sendToRoom"} <= ids


def resolve(doc, value):
    for part in value.get("$ref", "#").split("/")[1:]:
        value = (value if part != "components" else doc)[part]
    return value


@pytest.mark.workers(1, 3)
async def test_messages(app):
    """What is written comes to a client; what a client sends is read."""
    server = app.server
    juliet = await User(server, "juliet").begin()
    romeo = await User(server, "romeo", plugins=["xep_0280"]).begin()
    await romeo["xep_0280"].enable()
    copies = asyncio.Queue()
    romeo.add_event_handler("carbon_sent", copies.put_nowait)
    sent = await app.call("POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": "juliet@localhost",
        "text": "hi <&> \u2665"}, 201)
    got = await asyncio.wait_for(juliet.messages.get(), PATIENCE)
    assert got["body"] == "hi <&> \u2665" and got["type"] == "chat"
    assert got["from"].bare == "romeo@localhost"
    assert got["id"] == sent["message_id"]
    copy = await asyncio.wait_for(copies.get(), PATIENCE)
    assert copy["carbon_sent"]["body"] == "hi <&> \u2665"
    juliet.send_message(mto="romeo@localhost", mbody="ho", mtype="chat")
    assert await romeo.body() == "ho"

    path = "/messages?from_user_id=romeo&to_user_id=juliet"
    page = await app.call("GET", path)
    assert [m["text"] for m in page["messages"]] == ["hi <&> \u2665"]
    first = page["messages"][0]
    assert first["message_id"] == sent["message_id"]
    assert first["from_user_id"] == "romeo@localhost"
    assert first["to_user_id"] == "juliet@localhost"
    assert page["next"] is None

    async def both():
        page = await app.call("GET", path + "&conversation=true")
        return [m["text"] for m in page["messages"]] == [
            "hi <&> \u2665", "ho"]
    await server.wait_until(both, "the whole conversation")
    hers = await app.call(
        "GET", "/messages?from_user_id=nobody@far.example&to_user_id=juliet")
    assert hers["messages"] == []
    hers = await app.call("GET", "/messages?to_user_id=juliet")
    assert [m["message_id"] for m in hers["messages"]] == [
        sent["message_id"]]
    await leave(romeo, juliet)

    # Offline, with a time of its own, by the next login.
    await app.call("POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": "juliet", "text": "late",
        "timestamp": "2020-01-01T10:00:00Z"}, 201)
    page = await app.call("GET", path + "&order=desc&limit=1")
    assert page["messages"][0]["timestamp"] == "2020-01-01T10:00:00.000Z"
    juliet = await User(server, "juliet").begin()
    assert await juliet.body() == "late"
    await leave(juliet)


async def test_many(app):
    """To several at once; nothing is sent when one of them is not there."""
    people = [await User(app.server, n).begin() for n in ("juliet", "nurse")]
    value = await app.call("POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": ["juliet", "nurse"],
        "text": "all"}, 201)
    assert value["message_id"] is None
    assert [r["status"] for r in value["recipients"]] == ["sent", "sent"]
    assert [await p.body() for p in people] == ["all", "all"]
    await app.problem(404, "no-such-recipient", "POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": ["juliet", "tybalt"],
        "text": "no"})
    await app.call("POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": "juliet", "text": "end"}, 201)
    assert await people[0].body() == "end"
    many = [f"user{i}" for i in range(101)]
    await app.problem(400, "bad-argument", "POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": many, "text": "no"})
    await app.problem(400, "bad-argument", "POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": ["juliet", "juliet"],
        "text": "no"})
    await leave(*people)


async def test_blocked(app):
    """Who does not want it does not get it, and the application is told."""
    juliet = await User(app.server, "juliet", plugins=["xep_0191"]).begin()
    await juliet["xep_0191"].block("romeo@localhost")
    body = {"from_user_id": "romeo", "to_user_id": "juliet", "text": "hi"}
    await app.problem(422, "not-taken", "POST", "/messages", body)
    await juliet["xep_0191"].unblock("romeo@localhost")
    await app.call("POST", "/messages", body, 201)
    assert await juliet.body() == "hi"
    await leave(juliet)


async def test_pages(app):
    """Pages forwards and backwards, and by time."""
    for i in range(7):
        await app.call("POST", "/messages", {
            "from_user_id": "romeo" if i % 2 == 0 else "juliet",
            "to_user_id": "juliet" if i % 2 == 0 else "romeo",
            "text": str(i)}, 201)
    base = "/messages?from_user_id=romeo&to_user_id=juliet&limit=2"

    async def walk(more):
        said, after, pages = [], "", 0
        while after is not None:
            page = await app.call("GET", base + more + (
                f"&after={after}" if after else ""))
            assert len(page["messages"]) <= 2
            said += page["messages"]
            after = page["next"]
            pages += 1
            assert pages < 10
        return said
    assert "".join(m["text"] for m in await walk("")) == "0246"
    said = await walk("&conversation=true")
    assert "".join(m["text"] for m in said) == "0123456"
    said = await walk("&conversation=true&order=desc")
    assert "".join(m["text"] for m in said) == "6543210"
    hers = await app.call(
        "GET", "/messages?from_user_id=juliet&to_user_id=romeo&"
        "conversation=true")
    assert {m["message_id"] for m in hers["messages"]} == {
        m["message_id"] for m in said}
    whole = list(reversed(said))
    third = whole[3]["timestamp"]  # which others may share
    said = await walk(f"&conversation=true&since={third}")
    assert said == [m for m in whole if m["timestamp"] >= third]
    said = await walk(f"&conversation=true&until={third}")
    assert said == [m for m in whole if m["timestamp"] <= third]
    await app.problem(400, "bad-argument", "GET", base + "&after=nothing")


async def test_once(app):
    """The same key: the first answer, and nothing is done twice."""
    juliet = await User(app.server, "juliet").begin()
    key = str(uuid.uuid4())
    body = {"from_user_id": "romeo", "to_user_id": "juliet", "text": "once"}
    first = await app.call("POST", "/messages", body, 201,
                           Idempotency_Key=key)
    again = await asyncio.to_thread(
        app.ask, "POST", "/api/v1/messages", body, {"Idempotency-Key": key})
    assert again[0] == 201 and json.loads(again[2]) == first
    assert again[1]["idempotency-replayed"] == "true"
    await app.problem(422, "key-reused", "POST", "/messages",
                      dict(body, text="twice"), Idempotency_Key=key)
    other = Api(app.server, make_token(app.server))
    second = await other.call("POST", "/messages", dict(body, text="end"),
                              201, Idempotency_Key=key)
    assert second != first
    assert [await juliet.body() for _ in range(2)] == ["once", "end"]
    for bad in ("a b", "x" * 256, "\u00e9"):
        await app.problem(400, "bad-key", "POST", "/messages", body,
                          Idempotency_Key=bad)
    # What came to nothing may be tried again.
    fail = dict(body, to_user_id="tybalt")
    await app.problem(404, "no-such-recipient", "POST", "/messages", fail,
                      Idempotency_Key="t")
    await app.server.register("tybalt")
    await app.call("POST", "/messages", fail, 201, Idempotency_Key="t")
    await leave(juliet)


async def test_once_at_the_same_time(app):
    """Many at once with one key: one message."""
    juliet = await User(app.server, "juliet").begin()
    body = {"from_user_id": "romeo", "to_user_id": "juliet", "text": "one"}
    answers = await asyncio.gather(*[asyncio.to_thread(
        app.ask, "POST", "/api/v1/messages", body, {"Idempotency-Key": "k"})
        for _ in range(8)])
    assert {a[0] for a in answers} <= {201, 409}
    assert len({a[2] for a in answers if a[0] == 201}) == 1
    await app.call("POST", "/messages", dict(body, text="end"), 201)
    assert [await juliet.body() for _ in range(2)] == ["one", "end"]
    await leave(juliet)


async def test_killed(app):
    """What was answered with 201 is there after kill -9; keys hold, too."""
    server = app.server
    body = {"from_user_id": "romeo", "to_user_id": "juliet", "text": "kept"}
    first = await app.call("POST", "/messages", body, 201,
                           Idempotency_Key="k")
    await server.kill()
    await server.start()
    assert await app.call("POST", "/messages", body, 201,
                          Idempotency_Key="k") == first
    page = await app.call("GET", "/messages?from_user_id=romeo")
    assert [m["message_id"] for m in page["messages"]] == [
        first["message_id"]]
    juliet = await User(server, "juliet").begin()
    assert await juliet.body() == "kept"
    await leave(juliet)


def kept_answers(server):
    """What the store has of requests with a key, from outside."""
    if postgres.is_wanted():
        out = postgres.Postgres.shared().sql(
            "SELECT encode(key, 'hex'), encode(value, 'hex') FROM kv"
            " WHERE store = 'api-once'", server.schema)
        rows = [line.split("|") for line in out.splitlines()]
        return {bytes.fromhex(key).decode(): bytes.fromhex(value)
                for key, value in rows}
    with contextlib.closing(sqlite3.connect(database(server))) as db:
        return dict(db.execute(
            "SELECT key, value FROM kv WHERE store = 'api-once'"))


def keep_answer(server, key, value):
    if postgres.is_wanted():
        postgres.Postgres.shared().sql(
            f"UPDATE kv SET value = decode('{value.hex()}', 'hex') WHERE"
            f" store = 'api-once' AND key = decode('{key.encode().hex()}',"
            " 'hex')", server.schema)
        return
    with contextlib.closing(sqlite3.connect(database(server))) as db:
        db.execute("UPDATE kv SET value = ? WHERE key = ?"
                   " AND store = 'api-once'", (value, key))
        db.commit()


def database(server):
    return os.path.join(server.folder, "data", "rookery.db")


async def test_died_halfway(app):
    """Begun with a key but not answered: what was done is not done again."""
    server = app.server
    body = {"from_user_id": "romeo", "to_user_id": ["juliet", "nurse"],
            "text": "kept"}
    first = await app.call("POST", "/messages", body, 201,
                           Idempotency_Key="k")
    room = {"room_id": "garden", "owner_user_id": "romeo"}
    made = await app.call("POST", "/rooms", room, 201, Idempotency_Key="r")
    await server.kill()
    rows = kept_answers(server)
    assert len(rows) == 2
    for key, value in rows.items():
        note = json.loads(value)
        del note["status"], note["text"]
        keep_answer(server, key, json.dumps(note).encode())
    await server.start()
    assert await app.call("POST", "/messages", body, 201,
                          Idempotency_Key="k") == first
    assert await app.call("POST", "/rooms", room, 201,
                          Idempotency_Key="r") == made
    page = await app.call("GET", "/messages?from_user_id=romeo")
    assert len(page["messages"]) == 2


async def test_users(app):
    user = await app.call("GET", "/users/romeo")
    assert user["user_id"] == "romeo@localhost" and user["online"] is False
    assert user["first_name"] is None
    romeo = await User(app.server, "romeo").begin()
    user = await app.call("GET", "/users/romeo%40localhost")
    assert user["online"] is True
    user = await app.call("PATCH", "/users/romeo", {
        "first_name": "Romeo", "last_name": "Montague",
        "email_addr": "romeo@verona.example"})
    assert (user["first_name"], user["last_name"], user["email_addr"]) == (
        "Romeo", "Montague", "romeo@verona.example")
    user = await app.call("PATCH", "/users/romeo", {"last_name": ""})
    assert (user["first_name"], user["last_name"]) == ("Romeo", None)
    await leave(romeo)
    await app.problem(404, "not-found", "GET", "/users/tybalt")
    await app.problem(404, "not-found", "PATCH", "/users/tybalt",
                      {"first_name": "T"})
    await app.problem(404, "no-such-user", "GET", "/users/a@far.example")
    await app.problem(404, "bad-argument", "GET", "/users/a%20b")


async def test_media(app):
    """A photo: announced, put, and only then sent."""
    juliet = await User(app.server, "juliet").begin()
    body = {"from_user_id": "romeo", "to_user_id": "juliet",
            "filename": "a b.png", "size": len(PNG),
            "content_type": "image/png"}
    place = await app.call("POST", "/media", body, 201)
    await app.call("POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": "juliet", "text": "look"}, 201)
    assert await juliet.body() == "look"
    path = place["upload_url"][place["upload_url"].index("/upload/"):]
    status, _, text = await asyncio.to_thread(
        app.ask, "PUT", path, PNG, {"Content-Type": "image/png"})
    assert status == 201, text
    got = await asyncio.wait_for(juliet.messages.get(), PATIENCE)
    assert got["body"] == place["url"] and got["id"] == place["message_id"]
    assert "jabber:x:oob" in str(got) and "urn:xmpp:sfs:0" in str(got)
    # To put it again is no new message.
    status = (await asyncio.to_thread(
        app.ask, "PUT", path, PNG, {"Content-Type": "image/png"}))[0]
    assert status == 409
    await app.call("POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": "juliet", "text": "end"}, 201)
    assert await juliet.body() == "end"

    page = await app.call(
        "GET", "/media?from_user_id=romeo&to_user_id=juliet")
    assert page["next"] is None and len(page["media"]) == 1
    item = page["media"][0]
    assert item["message_id"] == place["message_id"]
    assert (item["filename"], item["size"], item["content_type"]) == (
        "a b.png", len(PNG), "image/png")
    at = item["url"][item["url"].index("/upload/"):]
    status, _, content = await asyncio.to_thread(app.ask, "GET", at)
    assert status == 200 and content == PNG
    page = await app.call(
        "GET", "/messages?from_user_id=romeo&to_user_id=juliet")
    photos = [m for m in page["messages"] if m["photo_url"]]
    assert [m["photo_url"] for m in photos] == [item["url"]]
    assert photos[0]["text"] is None and photos[0]["video_url"] is None

    await app.problem(413, "too-large", "POST", "/media",
                      dict(body, size=2 << 20))
    for wrong in ({"filename": "../a"}, {"content_type": "nothing"}):
        await app.problem(400, "bad-argument", "POST", "/media",
                          dict(body, **wrong))
    await app.problem(404, "no-such-recipient", "POST", "/media",
                      dict(body, to_user_id="tybalt"))
    for _ in range(2):
        await app.call("POST", "/media", dict(body, size=1 << 20), 201)
    await app.problem(422, "over-quota", "POST", "/media",
                      dict(body, size=1 << 20))
    await leave(juliet)


async def test_rooms(app):
    """Rooms made, joined by a client, spoken in both ways, and ended."""
    room = await app.call("POST", "/rooms", {
        "room_id": "garden", "owner_user_id": "romeo", "title": "The garden",
        "members": ["juliet"], "members_only": True}, 201,
        Idempotency_Key="make")
    assert room == {
        "room_id": "garden@conference.localhost", "title": "The garden",
        "description": "", "is_public": room["is_public"],
        "members_only": True}
    await app.problem(409, "not-done", "POST", "/rooms", {
        "room_id": "garden", "owner_user_id": "juliet"})
    assert await app.call("GET", "/rooms/garden") == room
    rooms = await app.call("GET", "/rooms")
    assert rooms == {"rooms": [{"room_id": room["room_id"]}], "next": None}
    members = await app.call("GET", "/rooms/garden/members")
    assert {m["user_id"]: m["affiliation"] for m in members["members"]} == {
        "romeo@localhost": "owner", "juliet@localhost": "member"}

    juliet = await User(app.server, "juliet", plugins=["xep_0045"]).begin()
    await juliet["xep_0045"].join_muc_wait(
        room["room_id"], "juliet", timeout=PATIENCE)
    while not juliet.messages.empty():
        juliet.messages.get_nowait()
    sent = await app.call("POST", "/rooms/garden/messages", {
        "from_user_id": "romeo", "text": "welcome"}, 201)
    got = await heard(juliet, "welcome")
    assert got["from"] == room["room_id"] + "/romeo"
    assert got["type"] == "groupchat" and got["id"] == sent["message_id"]
    juliet.send_message(mto=room["room_id"], mbody="thanks",
                        mtype="groupchat")
    await heard(juliet, "thanks")
    await app.call("POST", "/messages", {
        "from_user_id": "juliet", "room": "garden", "text": "also me"}, 201)
    got = await heard(juliet, "also me")
    assert got["from"].resource == "juliet"

    page = await app.call("GET", "/rooms/garden/messages?limit=2")
    assert [(m["nick"], m["text"]) for m in page["messages"]] == [
        ("romeo", "welcome"), ("juliet", "thanks")]
    assert page["messages"][0]["message_id"] == sent["message_id"]
    page = await app.call(
        "GET", f"/rooms/garden/messages?after={page['next']}")
    assert [m["text"] for m in page["messages"]] == ["also me"]

    await app.problem(403, "may-not-send", "POST", "/rooms/garden/messages",
                      {"from_user_id": "nurse", "text": "psst"})
    await app.call("PUT", "/rooms/garden/members/nurse", {}, 204)
    await app.call("POST", "/rooms/garden/messages",
                   {"from_user_id": "nurse", "text": "psst"}, 201)
    await heard(juliet, "psst")
    await app.call("PUT", "/rooms/garden/members/nurse",
                   {"affiliation": "outcast"}, 204)
    await app.problem(403, "may-not-send", "POST", "/rooms/garden/messages",
                      {"from_user_id": "nurse", "text": "psst"})
    await app.call("DELETE", "/rooms/garden/members/nurse", expect=204)
    members = await app.call("GET", "/rooms/garden/members")
    assert len(members["members"]) == 2
    await app.call("DELETE", "/rooms/garden", expect=204)
    for method, path, body in (
            ("GET", "/rooms/garden", None),
            ("DELETE", "/rooms/garden", None),
            ("GET", "/rooms/garden/members", None)):
        await app.problem(404, "no-such-room", method, path, body)
    await app.problem(
        404, "no-such-recipient", "POST", "/rooms/garden/messages",
        {"from_user_id": "romeo", "text": "?"})
    await leave(juliet)


async def heard(user, text):
    while True:
        got = await asyncio.wait_for(user.messages.get(), PATIENCE)
        if got["body"] == text:
            return got


async def test_nick_of_another(app):
    """Nobody speaks in a room by a name that is another's there."""
    await app.call("POST", "/rooms", {
        "room_id": "hall", "owner_user_id": "nurse"}, 201)
    juliet = await User(app.server, "juliet", plugins=["xep_0045"]).begin()
    await juliet["xep_0045"].join_muc_wait(
        "hall@conference.localhost", "romeo", timeout=PATIENCE)
    await app.problem(422, "not-taken", "POST", "/rooms/hall/messages",
                      {"from_user_id": "romeo", "text": "I"})
    await leave(juliet)


async def test_tokens(app):
    """Scopes, wrong tokens, revoked and late ones."""
    server = app.server
    reader = Api(server, make_token(server, "messages:read"))
    await reader.call("GET", "/messages?from_user_id=romeo")
    value = await reader.problem(403, "missing-scope", "POST", "/messages",
                                 {"from_user_id": "romeo"})
    assert "messages:write" in value["detail"]
    await reader.problem(403, "missing-scope", "GET", "/users/romeo")
    server.announce("login failed")
    for bad in (app.token[:-1] + ("0" if app.token[-1] != "0" else "1"),
                "rk_0000000000000000_" + "0" * 64, "x", "rk__"):
        await Api(server, bad).problem(401, "bad-token", "GET",
                                       "/users/romeo")
    value = await Api(server, None).problem(
        401, "no-token", "GET", "/users/romeo")
    status, out, _ = server.ctl("--format", "json", "api_tokens", "localhost")
    rows = json.loads(out)
    assert status == 0 and len(rows) == 2
    assert app.token not in out and app.token.split("_")[2] not in out
    mine = [r for r in rows if r["scopes"] == "messages:read"][0]
    assert mine["name"] == "shop" and mine["expires"] == "never"
    assert server.ctl("revoke_api_token", "localhost", mine["id"])[0] == 0
    await reader.problem(401, "bad-token", "GET",
                         "/messages?from_user_id=romeo")
    assert server.ctl("revoke_api_token", "localhost", mine["id"])[0] != 0
    assert server.ctl("create_api_token", "localhost", "x", "all")[0] != 0
    assert server.ctl("create_api_token", "localhost", "x", "")[0] != 0
    late = make_token(server, "users:read", "1")
    await Api(server, late).call("GET", "/users/romeo")
    log = "\n".join(server.lines())
    assert app.token.split("_")[2] not in log


async def test_commands_by_token(app):
    """A token with the scope `commands' does what an administrator may."""
    server = app.server
    token = make_token(server, "commands")
    status, _, text = app.ask(
        "POST", "/api/registered_users", {"host": "localhost"},
        {"Authorization": f"Bearer {token}"})
    assert (status, json.loads(text)) == (200, ["juliet", "nurse", "romeo"])
    status, _, text = app.ask("POST", "/api/registered_users",
                              {"host": "localhost"})
    assert status == 403


async def test_bad_input(app):
    """Each is refused in words, and changes nothing."""
    good = {"from_user_id": "romeo", "to_user_id": "juliet", "text": "hi"}
    refuse = app.problem
    for body, slug in (
            (dict(good, color="red"), "unknown-argument"),
            ({"from_user_id": "romeo", "text": "hi"}, "bad-argument"),
            (dict(good, room="garden"), "bad-argument"),
            ({"to_user_id": "juliet", "text": "hi"}, "missing-argument"),
            (dict(good, text=5), "bad-argument"),
            (dict(good, text=None), "bad-argument"),
            (dict(good, text=""), "bad-argument"),
            (dict(good, text="x" * 65537), "bad-argument"),
            (dict(good, text="\u0001"), "bad-argument"),
            (dict(good, text="\uffff"), "bad-argument"),
            (dict(good, from_user_id=["romeo"]), "bad-argument"),
            (dict(good, to_user_id=[]), "bad-argument"),
            (dict(good, to_user_id=[["juliet"]]), "bad-argument"),
            (dict(good, to_user_id="a@b/c"), "bad-argument"),
            (dict(good, to_user_id="@"), "bad-argument"),
            (dict(good, to_user_id="x" * 4000), "bad-argument"),
            (dict(good, timestamp="now"), "bad-argument"),
            (dict(good, timestamp="2999-01-01T00:00:00Z"), "bad-argument")):
        await refuse(400, slug, "POST", "/messages", body)
    await refuse(404, "no-such-user", "POST", "/messages",
                 dict(good, from_user_id="tybalt"))
    await refuse(404, "no-such-user", "POST", "/messages",
                 dict(good, from_user_id="a@far.example"))
    for body in (b"", b"{", b"[]", b'"x"', b'{"text": 1, "text": 2}',
                 b"\xff", b"{" * 5000, b'{"a":' * 3000):
        await refuse(400, "bad-json", "POST", "/messages", body,
                     Content_Type="application/json")
    await refuse(415, "not-json", "POST", "/messages", json.dumps(good),
                 Content_Type="text/plain")
    await refuse(415, "not-json", "POST", "/messages", json.dumps(good))
    for query in ("limit=0", "limit=201", "limit=x", "limit=1e2",
                  "order=up", "conversation=1", "since=yesterday",
                  "from_user_id=%ff"):
        await refuse(400, "bad-argument", "GET",
                     "/messages?to_user_id=juliet&" + query)
    for query in ("color=red", "to_user_id=romeo", "text=hi"):
        await refuse(400, "unknown-argument", "GET",
                     "/messages?to_user_id=juliet&" + query)
    await refuse(400, "bad-argument", "GET", "/messages")
    await refuse(400, "unexpected-body", "GET", "/users/romeo", b"{}",
                 Content_Type="application/json")
    for path in ("/", "/nothing", "/users", "/users/", "/users/a/b",
                 "/messages/", "/rooms//members", "/Messages"):
        await refuse(404, "no-such-path", "GET", path)
    status, head, _ = app.ask("DELETE", "/api/v1/messages")
    assert status == 405 and head["allow"] == "POST, GET"
    status, _, _ = app.ask("POST", "/api/v1/messages", b"x" * (2 << 20),
                           {"Content-Type": "application/json"})
    assert status == 413
    page = await app.call("GET", "/messages?to_user_id=juliet")
    assert page["messages"] == []


async def test_banned(app):
    assert app.server.ctl("ban_account", "romeo", "localhost", "bad")[0] == 0
    await app.problem(403, "banned", "POST", "/messages", {
        "from_user_id": "romeo", "to_user_id": "juliet", "text": "hi"})


def test_rate(make_server, event_loop):
    """A token's rate holds, over all workers, for it alone."""
    server = launch(make_server, event_loop, 3, rate="5/1h")
    app = Api(server, make_token(server))
    found = [app.ask("GET", "/api/v1/users/romeo")[0] for _ in range(8)]
    assert found[:5] == [200] * 5 and 429 in found
    status, head, text = app.ask("GET", "/api/v1/users/romeo")
    assert status == 429 and head["retry-after"] == "10"
    assert json.loads(text)["type"].endswith("too-many-requests")
    other = Api(server, make_token(server))
    assert other.ask("GET", "/api/v1/users/romeo")[0] == 200
