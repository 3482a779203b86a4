# SPDX-License-Identifier: MIT
"""Reads dialogues: lines that say who does what, and indented blocks below
them."""

import re
import textwrap

NAME = r"[a-z][a-z0-9]*"


class BadScript(Exception):
    """The script is not in the language that the README describes."""


class Step:
    """One line and its block; `who` and `resource` are None for lines about
    the server."""

    def __init__(self, line, text, block):
        self.line = line
        self.text = text
        self.block = block
        self.method = None
        self.who = self.resource = None
        self.args = ()


class Script:
    def __init__(self, path):
        self.path = path
        self.config = ""
        self.steps = []
        with open(path, encoding="utf-8") as file:
            self.read(file.read())

    def read(self, text):
        lines = text.split("\n")
        number = 0
        while number < len(lines):
            line = lines[number]
            number += 1
            if not line.strip() or line.startswith("#"):
                continue
            if line[0].isspace():
                raise BadScript(f"line {number}: a block without its line")
            first, block = number, []
            while number < len(lines) and (
                    not lines[number].strip() or lines[number][0].isspace()):
                block.append(lines[number])
                number += 1
            self.add(first, line.strip(), textwrap.dedent(
                "\n".join(block)).strip("\n"))

    def add(self, number, text, block):
        if text == "config:":
            self.config = block
            return
        step = Step(number, text, block)
        for pattern, method, wants_block in GRAMMAR:
            found = re.fullmatch(pattern, text)
            if found:
                break
        else:
            raise BadScript(f"line {number}: what is '{text}'?")
        if wants_block is not None and wants_block != bool(block.strip()):
            raise BadScript(f"line {number}: "
                            f"{'no' if wants_block else 'a'} block below it")
        step.method = method
        step.args = found.groupdict()
        step.who = step.args.pop("who", None)
        step.resource = step.args.pop("resource", None)
        self.steps.append(step)

    def names(self):
        """Everybody who acts or is spoken of."""
        found = {s.who for s in self.steps if s.who}
        for step in self.steps:
            found.update(v for k, v in step.args.items()
                         if k in ("other",) and v)
        return found


WHO = rf"(?P<who>{NAME})(?:/(?P<resource>\S+))?"

# How somebody connects.
OPTION = (r"with sm|with roster|with priority -?\d+|without presence"
          r"|without binding|without resource|over tls|over direct tls")

# What can be said, who plays it, and whether a block stands below it.
GRAMMAR = [
    # Before it begins
    (rf"(?P<who>{NAME}) has no account", "no_account", False),
    (rf"(?P<who>{NAME}) lives at (?P<host>\S+)", "lives_at", False),
    (rf"(?P<who>{NAME}) and (?P<other>{NAME}) are friends", "befriend",
     False),
    (rf"(?P<who>{NAME}) follows (?P<other>{NAME})", "follow", False),
    # Connections
    (rf"{WHO} connects(?: as (?P<res>\S+))?"
     rf"(?P<how>(?:,? (?:{OPTION}))*)", "connect", False),
    (rf"{WHO} opens a connection(?P<tls> over direct tls)?", "dial", False),
    (rf"{WHO} opens a stream(?: to (?P<to>\S+))?", "open_stream", False),
    (rf"{WHO} restarts the stream", "restart_stream", False),
    (rf"{WHO} starts tls", "start_tls", False),
    (rf"{WHO} logs in(?: with (?P<mechanism>\S+))?"
     r"(?: and password (?P<password>\S+))?(?: as (?P<authzid>\S+))?",
     "log_in", False),
    (rf"{WHO} is refused(?: with (?P<mechanism>[A-Z0-9-]+))?"
     r"(?: and password (?P<password>\S+))?(?: as (?P<authzid>\S+))?"
     r": (?P<condition>\S+)", "refused", False),
    (rf"{WHO} authenticates(?: with (?P<mechanism>[A-Z0-9-]+))?"
     r"(?: and password (?P<password>\S+))?", "authenticate", None),
    (rf"{WHO} binds(?: as (?P<res>\S+))?", "bind", False),
    (rf"{WHO} resumes", "resume", False),
    (rf"{WHO} falls silent", "fall_silent", False),
    (rf"{WHO} disconnects", "disconnect", False),
    (rf"{WHO} is cut(?:, and forgets (?P<count>\d+))?", "cut", False),
    # Talk
    (rf"{WHO} sends", "send", True),
    (rf"{WHO} sends bytes", "send_bytes", True),
    (rf"{WHO} receives", "receive", True),
    (rf"{WHO} receives in any order", "receive_any_order", True),
    (rf"{WHO} receives nothing", "receive_nothing", False),
    (rf"{WHO} receives a stream", "receive_stream", True),
    (rf"{WHO} receives stream error (?P<condition>[a-z-]+)", "stream_error",
     False),
    (rf"{WHO} is disconnected(?P<late>, whatever comes before)?",
     "is_disconnected", False),
    (rf"{WHO} is asked for an acknowledgement", "asked", False),
    (r"all settle", "settle", False),
    # The server
    (r"command (?P<command>.+?)(?P<fails> fails(?: with (?P<status>\d))?)?",
     "command", None),
    (r"the log expects \"(?P<text>.*)\"", "log_expects", False),
    (r"the server (?P<what>restarts|is killed|reloads)", "server", False),
]
