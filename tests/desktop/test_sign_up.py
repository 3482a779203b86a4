# SPDX-License-Identifier: MIT
"""Accounts by invitation, made in the clients: the versions of Debian 12 know
nothing of tokens (XEP-0445), but show what form the server sends (XEP-0077)."""

import pytest

import desk
from conftest import HOST

pytestmark = pytest.mark.slow(400)


@pytest.mark.parametrize("kind", (desk.Gajim, desk.Dino))
async def test_by_invitation(stage, kind):
    uri, page = (await stage.command("invite", HOST)).split("\t")
    code = page.rpartition("/")[2]
    # The code as it stands, and as a link.
    name, given = {desk.Gajim: ("paris", uri),
                   desk.Dino: ("nurse", code)}[kind]
    guest = stage.enter(kind, name)
    await guest.begin()
    await guest.opens_sign_up(HOST)
    await guest.signs_up(name, "a good password", given)
    await guest.finishes()

    async def is_in():
        return f"{name}@{HOST}/" in await stage.command("connected_users")

    await guest.until(is_in, "a session")
    rows = await stage.command("list_invites", HOST)
    assert any(row.split("\t")[1] == "false" and f"\t{name}@{HOST}" in row
               for row in rows.split("\n")), rows


async def test_wrong_code(stage):
    guest = stage.enter(desk.Dino, "tybalt")
    await guest.begin()
    await guest.opens_sign_up(HOST)
    await guest.signs_up("tybalt", "a good password", "0" * 32)
    await guest.sees("Add Account", "The invitation is not good")
    assert "tybalt" not in await stage.command("registered_users", HOST)
