# SPDX-License-Identifier: MIT
"""Those who send and receive while things break, and what they count."""

import asyncio
import time

from harness.client import Client, Failure, Silence, Unexpected

NS_MAM = "urn:xmpp:mam:2"
NS_FORWARD = "urn:xmpp:forward:0"
NS_RSM = "http://jabber.org/protocol/rsm"
WINDOW = 200  # in flight from one sender
BATCH = 10
PAGE = 250
# What a fault may delay an acknowledgement, once it is over.
RECOVERY = 90


def note_body(elem):
    """The number that a message carries, or None."""
    body = elem.find("body")
    if elem.name != "message" or body is None or elem.get("type") == "error":
        return None
    return int(body.text)


async def read_archive(client, page=PAGE):
    """All bodies of one's own archive, oldest first, page by page."""
    numbers = []
    after = ""
    while True:
        answer = await client.ask(
            f"<query xmlns='{NS_MAM}'><set xmlns='{NS_RSM}'><max>{page}</max>"
            f"{after}</set></query>", "set", timeout=60)
        kept = []
        for event in client.wire.events:
            result = event[0] == "elem" and event[1].find("result", NS_MAM)
            if not result:
                kept.append(event)
                continue
            message = result.find("forwarded", NS_FORWARD).find("message")
            number = note_body(message)
            if number is not None:
                numbers.append(number)
        client.wire.events.clear()
        client.wire.events.extend(kept)
        fin = answer.find("fin", NS_MAM)
        last = fin.find("set", NS_RSM).find("last")
        if fin.get("complete") == "true" or last is None:
            return numbers
        after = f"<after>{last.text}</after>"


class Pair:
    """One who sends numbered messages, and one who is there at times."""

    def __init__(self, number):
        # Half of the receivers always acknowledge: theirs may not be lost.
        self.strict = number % 2 == 0
        self.sender = f"s{number}"
        self.receiver = f"r{number}"
        self.client = self.other = None
        self.next = 0
        self.kept = set()     # acknowledged
        self.refused = set()  # an error came back
        self.seen = []
        self.resumed = 0

    # A round

    async def begin(self, server, rng):
        self.client = Client(self.sender)
        await self.client.login(server.port["c2s"], resource="x")
        await self.client.enable_sm()
        self.client.on_ack = lambda h: None
        self.first = self.next
        self.other = None
        if rng.random() < 0.6:
            self.other = Client(self.receiver)
            await self.other.login(server.port["c2s"], resource="y")
            # A client that does not acknowledge takes what it gets.
            if self.strict or rng.random() < 0.6:
                await self.other.enable_sm()
            self.other.sm_auto = rng.random() < 0.7
            self.other.send("<presence/>")
            if rng.random() < 0.3:
                self.other.cut()

    def send(self):
        client = self.client
        if client.wire.is_lost or client.sent - client.acked > WINDOW:
            return
        to = f"{self.receiver}@localhost"
        for n in range(self.next, self.next + BATCH):
            client.send(f"<message to='{to}' type='chat' id='{n}'><body>{n}"
                        f"</body></message>")
        self.next += BATCH
        client.request_ack()

    async def resume(self, server):
        """The sender's link breaks, and it comes back with all it has not
        had acknowledged, as clients do."""
        self.client.cut()
        while True:
            client = Client(self.sender)
            client.on_ack = lambda h: None
            try:
                await client.connect(server.port["c2s"])
                await client.open()
                await client.auth()
            except (Failure, Silence):
                # A server without its database says `later'.
                client.cut()
                await asyncio.sleep(0.2)
                continue
            self.note_refused()
            try:
                await client.resume(self.client)
            except Silence:
                client.cut()
                continue
            break
        self.client = client
        self.resumed += 1

    def note_refused(self):
        for event in self.client.wire.events:
            if event[0] == "elem" and event[1].name == "message" and \
                    event[1].get("type") == "error":
                self.refused.add(int(event[1].get("id")))
        self.client.wire.events.clear()

    def note_seen(self, client):
        for event in client.wire.events:
            if event[0] == "elem" and note_body(event[1]) is not None:
                self.seen.append((note_body(event[1]), client))
        client.wire.events.clear()

    async def settle(self):
        """The fault is over, and the server has lived: it acknowledges all
        that it does not refuse. False if it does not."""
        end = time.monotonic() + RECOVERY
        while self.client.acked < self.client.sent:
            if self.client.wire.is_lost or time.monotonic() > end:
                return False
            self.client.request_ack()
            await asyncio.sleep(0.1)
            self.note_refused()
            if self.refused and max(self.refused) >= self.first:
                return True
        return True

    def end(self):
        """Counts, when the round is over."""
        self.note_refused()
        done = min(self.client.acked, self.next - self.first)
        self.kept.update(range(self.first, self.first + done))
        if self.other is not None:
            self.note_seen(self.other)
            self.other.cut()
        self.client.cut()

    # All rounds

    async def finish(self, server):
        """All that is there after the last one."""
        client = Client(self.receiver)
        await client.login(server.port["c2s"], resource="z")
        client.send("<presence/>")
        quiet = 0
        count = -1
        while quiet < 5:
            await client.ping(f"{self.receiver}@localhost")
            self.note_seen(client)
            quiet = quiet + 1 if len(self.seen) == count else 0
            count = len(self.seen)
            await asyncio.sleep(0.1)
        self.archives = [await read_archive(client)]
        client.close()
        client = await Client(self.sender).login(server.port["c2s"])
        self.archives.append(await read_archive(client))
        client.close()

    def count(self):
        kept = self.kept - self.refused
        lost = len(kept - {n for n, _ in self.seen})
        out = {"sent": self.next, "acknowledged": len(kept),
               "refused": len(self.refused), "resumed": self.resumed,
               "received": len({n for n, _ in self.seen}),
               "archived": sum(len(a) for a in self.archives),
               "lost": lost * self.strict, "unread": lost * (not self.strict),
               "twice": 0, "disorder": 0}
        by_client = {}
        for number, client in self.seen:
            mine = by_client.setdefault(client, [])
            out["twice"] += number in mine[-500:]
            # What is refused may arrive all the same, and late.
            if number in self.refused:
                continue
            out["disorder"] += bool(mine) and number < mine[-1]
            mine.append(number)
        out["unarchived"] = sum(len(kept - set(a)) for a in self.archives)
        out["doubled"] = sum(len(a) - len(set(a)) for a in self.archives)
        out["misplaced"] = sum(b < a for archive in self.archives
                               for a, b in zip(archive, archive[1:]))
        return out


# What must be 0.
FAULTS = ("lost", "twice", "disorder", "unarchived", "doubled", "misplaced",
          "stalled", "cut off")

__all__ = ["FAULTS", "Failure", "Pair", "Silence", "Unexpected",
           "read_archive"]
