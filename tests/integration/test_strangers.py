# SPDX-License-Identifier: MIT
"""Strangers on another server: bounded without a word in the
configuration."""

from harness.federation import is_error, is_message


def say_many(client, to, numbers):
    for i in numbers:
        client.send(f"<message to='{to}' id='m{i}' type='chat'>"
                    f"<body>m{i}</body></message>")


async def test_too_many(federation):
    await federation.start(strangers={"sender_messages": "5/1h"})
    juliet, romeo = await federation.users()
    to = juliet.jid
    say_many(romeo, to, range(7))
    for i in range(5):
        await juliet.take(is_message(f"m{i}"))
    for i in range(5, 7):
        error = await romeo.take(is_error("resource-constraint"))
        assert error.attrs["id"] == f"m{i}"
    # Whom she answers is no stranger any more.
    juliet.send(f"<message to='{romeo.jid}' type='chat'><body>yes</body>"
                "</message>")
    await romeo.take(is_message("yes"))
    say_many(romeo, to, range(7, 14))
    for i in range(7, 14):
        await juliet.take(is_message(f"m{i}"))
