# SPDX-License-Identifier: MIT
"""The host's capabilities (XEP-0115) are those that it has."""

import base64
import hashlib

import pytest

pytestmark = pytest.mark.workers(1, 2)

INFO = "http://jabber.org/protocol/disco#info"


def ver_of(query):
    """XEP-0115, 5.1."""
    text = "".join(sorted(
        f"{e.get('category')}/{e.get('type')}//{e.get('name') or ''}<"
        for e in query.elems() if e.name == "identity"))
    text += "".join(sorted(f"{e.get('var')}<" for e in query.elems()
                           if e.name == "feature"))
    forms = {}
    for form in query.elems():
        if form.name != "x":
            continue
        fields = {f.get("var"): sorted(v.text for v in f.elems())
                  for f in form.elems() if f.name == "field"}
        forms[fields.pop("FORM_TYPE")[0]] = fields
    for kind in sorted(forms):
        text += kind + "<"
        for var in sorted(forms[kind]):
            text += var + "<" + "".join(v + "<" for v in forms[kind][var])
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


async def check(server, user):
    client = await server.client(user)
    ver = client.features.find("c").get("ver")
    answer = await client.ask(f"<query xmlns='{INFO}'/>", to="localhost")
    assert ver == ver_of(answer.elems()[0]), str(answer)
    return ver


async def test_host(server):
    before = await check(server, "romeo")
    # What a reload changes, the next stream is told of.
    server.overrides["admins"] = ["friar@localhost"]
    server.write_config()
    assert server.ctl("reload_config")[0] == 0
    with_admins = await check(server, "juliet")
    assert with_admins != before
    server.overrides["modules"] = {"disco": {
        "support": ["xmpp:help@localhost", "mailto:a@localhost"],
        "external_status": ["https://status.example/x"]}}
    server.write_config()
    assert server.ctl("reload_config")[0] == 0
    assert await check(server, "paris") != with_admins
