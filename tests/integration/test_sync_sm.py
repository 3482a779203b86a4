# SPDX-License-Identifier: MIT
"""The limits of stream management: who never acknowledges, and who does not
come back."""

from harness.wire import Silence

LIMITS = {"limits": {"session_queue": 262144, "stanza_size": 65536,
                     "c2s_rate": 0, "resume": "10m"}}


def message(number):
    return (f"<message to='juliet@localhost' type='chat' id='{number}'>"
            f"<body>{number} {'x' * 1000}</body></message>")


async def numbers(client):
    """All that come, until nothing does."""
    found = []
    while True:
        try:
            elem = await client.elem(2)
        except Silence:
            return found
        if elem.name == "message" and elem.find("body") is not None:
            found.append(int(elem.find("body").text.split()[0]))


async def test_never_acknowledges(make_server):
    """What is kept for one who reads all and acknowledges nothing has a
    bound. Beyond it his link is taken for dead, then his session ends; what
    was sent to him waits, and is his when he comes back."""
    server = make_server(LIMITS)
    server.announce("too much|does not take")
    await server.start()
    romeo = await server.client("romeo")
    await romeo.enable_sm()
    juliet = await server.client("juliet", resource="j")
    await juliet.enable_sm()
    juliet.sm_auto = False
    juliet.send("<presence/>")
    await juliet.elem()
    sent = 0
    while not juliet.wire.is_lost and sent < 2000:
        for number in range(sent, sent + 20):
            romeo.send(message(number))
        sent += 20
        await romeo.wait_ack()
    assert juliet.wire.is_lost, "nothing bounds it"
    assert sent < 1000
    for number in range(sent, sent + 400):
        romeo.send(message(number))
    sent += 400
    await romeo.wait_ack()

    async def is_gone():
        return await server.api("num_resources", user="juliet",
                                host="localhost") == (200, 0)

    await server.wait_until(is_gone, "the end of her session")
    again = await server.client("juliet", register=False)
    again.send("<presence/>")
    assert await numbers(again) == list(range(sent))
