# SPDX-License-Identifier: MIT
"""Signing up where work is asked for (XEP-0158): a client that does it gets
in, one that does other work, or does it for another form, or is too late does
not."""

import asyncio
import hashlib
import itertools

import pytest

from harness.client import Client

FORM = "jabber:iq:register"


def config(**options):
    return {"host_config": {"localhost": {"modules": {"register": {
        "enabled": True, "work_bits": 10, **options}}}}}


def work(start, label):
    """What begins so, and has a hash that ends in the bits of the label."""
    want = int(label, 16)
    mask = (1 << want.bit_length()) - 1
    for i in itertools.count():
        text = f"{start}{i:x}"
        got = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        if got & mask == want:
            return text


async def opened(server):
    client = Client("new")
    await client.connect(server.port["c2s"])
    await client.open()
    return client


async def ask(client, iq):
    client.send(iq)
    return await client.take(lambda e: e.name == "iq")


async def form_of(client):
    answer = await ask(
        client, f"<iq type='get' id='g'><query xmlns='{FORM}'/></iq>")
    form = answer.find("query").find("x")
    return {f.attrs["var"]: f for f in form.elems() if f.name == "field"}


async def submit(client, values):
    fields = "".join(
        f"<field var='{name}'><value>{value}</value></field>"
        for name, value in {"FORM_TYPE": FORM, **values}.items())
    answer = await ask(
        client, f"<iq type='set' id='s'><query xmlns='{FORM}'>"
        f"<x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>")
    error = answer.find("error")
    return error.elems()[0].name if error else None


def challenge(form):
    return form["challenge"].find("value").text


def label(form):
    return form["SHA-256"].attrs["label"]


def filled(name, form, text):
    return {"challenge": challenge(form), "username": name,
            "password": "secret", "SHA-256": text}


async def test_work(make_server):
    server = make_server(config())
    await server.start()
    client = await opened(server)
    form = await form_of(client)
    assert 512 <= int(label(form), 16) < 1024
    text = work("localhost", label(form))
    assert await submit(client, filled("one", form, text)) is None
    # The same work is not good for another account, nor for another form.
    assert await submit(client, filled("two", form, text)) == \
        "service-unavailable"
    form = await form_of(client)
    while label(form) == hex(int.from_bytes(
            hashlib.sha256(text.encode()).digest(), "big") & 1023)[2:]:
        form = await form_of(client)
    assert await submit(client, filled("two", form, text)) == "not-acceptable"
    # Nor work that was done for another host.
    form = await form_of(client)
    text = work("elsewhere", label(form))
    assert await submit(client, filled("two", form, text)) == "not-acceptable"
    form = await form_of(client)
    text = work("localhost" + "x" * 1100, label(form))
    assert await submit(client, filled("two", form, text)) == "not-acceptable"
    client.close()


async def test_both(make_server):
    server = make_server(config(questions=["Who? = you"], captcha_answers=2))
    await server.start()
    client = await opened(server)
    form = await form_of(client)
    assert form["answers"].find("value").text == "2"
    text = work("localhost", label(form))
    assert await submit(client, filled("one", form, text)) == "not-acceptable"
    form = await form_of(client)
    text = work("localhost", label(form))
    assert await submit(client, {**filled("one", form, text),
                                 "qa": "You"}) is None
    client.close()


async def test_too_late(make_server):
    server = make_server(config(captcha_keep="1s"))
    await server.start()
    client = await opened(server)
    form = await form_of(client)
    text = work("localhost", label(form))
    await asyncio.sleep(1.5)
    assert await submit(client, filled("one", form, text)) == \
        "service-unavailable"
    client.close()


async def test_bad_question(make_server):
    """One without an answer is told, and lets nobody in."""
    server = make_server(config(questions=["Who"], work_bits=0))
    server.announce("of the questions have no answer")
    await server.start()
    client = await opened(server)
    assert "qa" not in await form_of(client)
    answer = await ask(
        client, f"<iq type='set' id='s'><query xmlns='{FORM}'>"
        "<username>one</username><password>secret</password></query></iq>")
    assert answer.find("error").elems()[0].name == "not-acceptable"
    form = await form_of(client)
    assert await submit(client, filled("one", form, "")) == "not-acceptable"
    await server.log_line("1 of the questions have no answer")
    client.close()
