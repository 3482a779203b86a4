# SPDX-License-Identifier: MIT
"""Rosters, subscriptions and presence when many people do anything at once:
whatever they say to each other, both sides agree in the end, what was pushed
is what is kept, and what is shown is what is seen."""

import asyncio
import random

import pytest

from harness.wire import PATIENCE
from harness.xml import quote

pytestmark = pytest.mark.workers(1, 2)

NS_ROSTER = "jabber:iq:roster"
SUBSCRIPTIONS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
PEOPLE = 8
ROUNDS = 25


def bare(jid):
    return jid.partition("/")[0]


def item_of(elem):
    """A roster item as something that can be compared."""
    groups = sorted(e.text for e in elem.elems() if e.name == "group")
    return (elem.get("name", ""), elem.get("subscription"),
            elem.get("ask", ""), elem.get("approved", ""), tuple(groups))


class Person:
    """A client that keeps what it is told."""

    def __init__(self, client):
        self.client = client
        self.jid = client.jid
        self.bare = client.bare
        self.answers = {}
        self.roster = {}
        self.version = None
        self.seen = {}  # full JIDs that are available, as far as it was told
        self.has_left = False  # is unavailable, having been available
        self.messages = {}  # by sender: numbers in the order they came
        self.count = 0
        self.reader = asyncio.ensure_future(self.read())

    async def read(self):
        """Until the stream ends."""
        while True:
            event = await self.client.event(timeout=3600)
            if event[0] != "elem" or event[1].name == "error":
                return event
            getattr(self, "on_" + event[1].name)(event[1])

    def on_iq(self, elem):
        query = elem.find("query", NS_ROSTER)
        if elem.get("type") == "set" and query is not None:
            assert elem.get("from") in (None, self.bare)
            self.take(query)
            self.client.send(f"<iq type='result' id='{elem.get('id')}'/>")
        elif elem.get("id") in self.answers:
            self.answers.pop(elem.get("id")).set_result(elem)

    def take(self, query):
        self.version = query.get("ver")
        for item in query.elems():
            if item.get("subscription") == "remove":
                self.roster.pop(item.get("jid"), None)
            else:
                self.roster[item.get("jid")] = item_of(item)

    def on_presence(self, elem):
        is_own = elem.get("from") == self.jid
        if elem.get("type") is None:
            self.has_left = self.has_left and not is_own
            # The answer to a probe may come when he is gone again, and that
            # the contact has gone is not told him any more.
            if not self.has_left:
                self.seen[elem.get("from")] = elem
        elif elem.get("type") == "unavailable":
            self.seen.pop(elem.get("from"), None)
            # Who is not available himself is told nothing more.
            if is_own:
                self.has_left = True
                self.seen.clear()

    def on_message(self, elem):
        if elem.get("type") != "error":
            self.messages.setdefault(elem.get("from"), []).append(
                int(elem.find("body").text))

    def ask(self, payload, kind="get", to=""):
        """Sends an iq; a future for its answer."""
        self.count += 1
        ident = f"q{self.count}"
        future = self.answers[ident] = asyncio.get_event_loop().create_future()
        self.client.send(f"<iq type='{kind}' id='{ident}'{to}>{payload}</iq>")
        return future

    async def fetch(self, version=""):
        """The roster as the server has it; None: `version` is up to date."""
        answer = await self.ask(
            f"<query xmlns='{NS_ROSTER}' ver={quote(version)}/>")
        query = answer.find("query")
        if query is None:
            return None
        return {e.get("jid"): item_of(e) for e in query.elems()}

    async def settle(self, others):
        """All that was sent before has been through everybody's server."""
        for other in others:
            await self.ask("<ping xmlns='urn:xmpp:ping'/>",
                           to=f" to='{other.bare}'")

    def leave(self):
        self.reader.cancel()
        self.client.close()


async def settle(people, times=4):
    # What one stanza causes causes others in turn, but not for ever.
    for _ in range(times):
        await asyncio.gather(*(p.settle(people) for p in people))


async def log_in(server, count=PEOPLE, register=True):
    people = [Person(await server.client(f"p{i}", register=register,
                                         resource="r"))
              for i in range(count)]
    for person in people:
        person.roster = await person.fetch()
    return people


def act_towards(dice, person, other):
    """Something that changes what there is between two."""
    deed = dice.random()
    if deed < 0.7:
        person.client.send(f"<presence to='{other.bare}' "
                           f"type='{dice.choice(SUBSCRIPTIONS)}'/>")
    elif deed < 0.9:
        name = dice.choice(["", "Nurse", "<&>'"])
        person.ask(f"<query xmlns='{NS_ROSTER}'><item jid='{other.bare}' "
                   f"name={quote(name)}><group>g</group></item></query>",
                   "set")
    else:
        person.ask(f"<query xmlns='{NS_ROSTER}'><item jid='{other.bare}' "
                   f"subscription='remove'/></query>", "set")


def act_alone(dice, person, people, numbers):
    deed = dice.random()
    if deed < 0.15:
        person.client.send("<presence type='unavailable'/>")
    elif deed < 0.4:
        person.client.send(f"<presence><priority>{dice.randint(-1, 5)}"
                           f"</priority></presence>")
    else:
        other = dice.choice([p for p in people if p is not person])
        key = (person.jid, other.jid)
        numbers[key] = numbers.get(key, 0) + 1
        person.client.send(f"<message to='{other.jid}' type='chat'><body>"
                           f"{numbers[key]}</body></message>")


async def act(dice, people, numbers):
    """
    One round. Between two, only one acts: the RFC's states part when a
    refusal crosses a request, and that is nobody's fault.
    """
    deeds = []
    for i, one in enumerate(people):
        for other in people[:i]:
            pair = [one, other]
            dice.shuffle(pair)
            deeds += [tuple(pair)] * dice.choice([0, 0, 1, 2])
        deeds += [(one,)] * dice.randint(0, 3)
    dice.shuffle(deeds)
    for deed in deeds:
        if len(deed) == 2:
            act_towards(dice, *deed)
        else:
            act_alone(dice, *deed, people, numbers)
    await settle(people, 2)


def check_agreement(people):
    for one in people:
        for other in people:
            sees = one.roster.get(other.bare, ("", "none"))[1]
            shows = other.roster.get(one.bare, ("", "none"))[1]
            assert (sees in ("to", "both")) == (shows in ("from", "both")), \
                f"{one.bare} has {sees}, {other.bare} has {shows}"


def check_seen(people):
    for one in people:
        seen = {bare(jid) for jid in one.seen} - {one.bare}
        shown = {p.bare for p in people
                 if one.roster.get(p.bare, ("", "none"))[1] in ("to", "both")}
        assert seen == shown, one.bare


@pytest.mark.slow(300)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_anything(server, seed):
    dice = random.Random(seed)
    people = await log_in(server)
    numbers = {}
    for person in people:
        person.client.send("<presence/>")
    for _ in range(ROUNDS):
        await act(dice, people, numbers)
    for person in people:
        person.client.send("<presence/>")
    await settle(people)

    check_agreement(people)
    check_seen(people)
    for person in people:
        assert person.roster == await person.fetch(), person.bare
        if person.version is not None:
            assert await person.fetch(person.version) is None
    for (sender, receiver), count in numbers.items():
        person = next(p for p in people if p.jid == receiver)
        assert person.messages[sender] == list(range(1, count + 1))

    # What was answered and pushed is what is kept.
    before = {p.bare: p.roster for p in people}
    await server.kill()
    for person in people:
        person.reader.cancel()
    await server.start()
    people = await log_in(server, register=False)
    assert {p.bare: p.roster for p in people} == before
    for person in people:
        person.client.send("<presence/>")
    await settle(people)
    check_seen(people)
    for person in people:
        person.leave()


async def test_catch_up(server):
    """RFC 6121, 2.6: who knows a version gets what has changed since; too
    long ago, or of another roster, and it is all."""
    one = Person(await server.client("p0"))
    two = Person(await server.client("p0", register=False))
    one.roster = await one.fetch()
    two.roster = await two.fetch()
    for i in range(3):
        await one.ask(f"<query xmlns='{NS_ROSTER}'><item jid='c{i}@x.example'/>"
                      f"</query>", "set")
    await two.settle([two])
    version = two.version
    assert await two.fetch(version) is None
    two.reader.cancel()
    two.client.cut()
    await one.ask(f"<query xmlns='{NS_ROSTER}'><item jid='c0@x.example' "
                  f"subscription='remove'/></query>", "set")
    for name in ("a", "b"):
        await one.ask(f"<query xmlns='{NS_ROSTER}'><item jid='c1@x.example' "
                      f"name='{name}'/></query>", "set")

    late = Person(await server.client("p0", register=False))
    late.roster = dict(two.roster)
    assert await late.fetch(version) is None
    await late.settle([late])
    assert late.roster == await late.fetch()
    assert late.version == one.version
    for wrong in ("", "x", version + "0", "0", version.upper() + "x"):
        assert await late.fetch(wrong) == late.roster

    # More changes than are remembered.
    for i in range(70):
        one.ask(f"<query xmlns='{NS_ROSTER}'><item jid='c1@x.example' "
                f"name='{i}'/></query>", "set")
    # The answer comes behind them and what they changed.
    assert await one.fetch(version) == one.roster
    assert one.roster["c1@x.example"][0] == "69"
    one.leave()
    late.leave()


async def test_removed_account(server):
    """His contacts are told; nothing is left of him when he comes again."""
    one, two = await log_in(server, 2)
    for person in (one, two):
        person.client.send("<presence/>")
    one.client.send(f"<presence type='subscribe' to='{two.bare}'/>")
    await settle([one, two])
    two.client.send(f"<presence type='subscribed' to='{one.bare}'/>"
                    f"<presence type='subscribe' to='{one.bare}'/>")
    await settle([one, two])
    one.client.send(f"<presence type='subscribed' to='{two.bare}'/>")
    await settle([one, two])
    assert two.roster[one.bare][1] == "both"
    assert one.jid in two.seen

    await server.ctl_ok("unregister", "p0", "localhost")
    one.reader.cancel()
    await server.wait_for(lambda: one.jid not in two.seen)
    await server.wait_for(lambda: two.roster[one.bare][1] == "none")
    again = Person(await server.client("p0"))
    assert await again.fetch() == {}
    again.leave()
    two.leave()


async def test_password_and_ban(server):
    """A ban ends his sessions, and he is let in again when it is lifted."""
    one, two = await log_in(server, 2)
    await server.ctl_ok("ban_account", "p0", "localhost", "spam")
    event = await asyncio.wait_for(one.reader, PATIENCE)
    assert event[1].find("policy-violation") is not None
    await server.ctl_ok("unban_account", "p0", "localhost")
    one = Person(await server.client("p0", register=False))
    await one.settle([two])
    one.leave()
    two.leave()


async def test_directed_bound(server):
    """Those who get presence directly are remembered, and so are bounded."""
    one, two = await log_in(server, 2)
    errors = []
    one.on_presence = errors.append
    one.client.send(f"<presence to='{two.jid}'/>")
    for i in range(2000):
        one.client.send(f"<presence to='x{i}@localhost/r' id='{i}'/>")
    await one.settle([two])
    assert [(e.get("type"), e.get("id")) for e in errors] == \
        [("error", "1999")]
    assert errors[0].find("error").find("resource-constraint") is not None
    # Again to one of them, and to one more after the end for another.
    one.client.send("<presence to='x0@localhost/r' id='again'/>"
                    "<presence type='unavailable' to='x1@localhost/r'/>"
                    "<presence to='y@localhost/r' id='last'/>")
    await one.settle([two])
    assert len(errors) == 1
    assert one.jid in two.seen
    one.client.send("<presence type='unavailable'/>")
    await one.settle([two])
    await two.settle([two])
    assert one.jid not in two.seen
    one.leave()
    two.leave()


async def test_order_offline(server):
    """What waits for somebody comes in order, and all of it."""
    one, two = await log_in(server, 2)
    two.leave()
    await server.wait_until(is_offline(server, "p1"))
    for i in range(300):
        one.client.send(f"<message to='{two.bare}' type='chat'><body>{i}"
                        f"</body></message>")
    await one.settle([two])
    two = Person(await server.client("p1", register=False))
    two.client.send("<presence/>")
    await server.wait_for(lambda: len(two.messages.get(one.jid, [])) == 300)
    assert two.messages[one.jid] == list(range(300))
    one.leave()
    two.leave()


def is_offline(server, user):
    async def holds():
        out = await server.ctl_ok("num_resources", user, "localhost")
        return out.strip() == "0"
    return holds


async def test_fewer_blocks_allowed(make_server):
    """Those who were blocked stay blocked, and can be unblocked."""
    server = make_server()
    await server.start()
    juliet = await server.client("juliet")
    items = "".join(f"<item jid='c{i}.example'/>" for i in range(5))
    await juliet.ask(f"<block xmlns='urn:xmpp:blocking'>{items}</block>", "set")
    server.overrides["modules"] = {"blocking": {"max_items": 2}}
    await server.restart()
    juliet = await server.client("juliet", register=False)
    for change, left in (("<item jid='c4.example'/>", 4), ("", 0)):
        await juliet.ask(f"<unblock xmlns='urn:xmpp:blocking'>{change}"
                         "</unblock>", "set")
        got = await juliet.ask("<blocklist xmlns='urn:xmpp:blocking'/>")
        assert len(got.elems()[0].elems()) == left
