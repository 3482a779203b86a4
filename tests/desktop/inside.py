#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The person at a desktop: sees windows by their accessible tree, and presses,
types and looks.

usage: inside.py SOCKET NUMBER

Runs in the client's sandbox. Takes calls of the functions of Person, one on
each connection, as JSON: {"call": name, "args": [...]}, and answers {"value":
...} or {"error": text}. Starts an X server of that number; what it
starts ends with it."""

import json
import os
import socket
import subprocess
import sys
import time
import traceback

import gi
gi.require_version("Atspi", "2.0")
# pylint: disable=wrong-import-position
from gi.repository import Atspi, GLib  # noqa: E402

PATIENCE = 60


class Missing(Exception):
    """What was looked for is not there."""


def walk(elem):
    """All below, in the order in which one sees them."""
    yield elem
    try:
        count = elem.get_child_count()
        children = [elem.get_child_at_index(i) for i in range(count)]
    except GLib.Error:
        return
    for child in children:
        if child is not None:
            yield from walk(child)


def text_of(elem):
    if "Text" in elem.get_interfaces():
        return Atspi.Text.get_text(elem, 0, -1)
    return ""


def says(elem, text):
    return text in (elem.get_name(), text_of(elem))


def is_button(elem):
    return elem.get_role() in (
        Atspi.Role.PUSH_BUTTON, Atspi.Role.TOGGLE_BUTTON,
        Atspi.Role.MENU_ITEM, Atspi.Role.LIST_ITEM, Atspi.Role.CHECK_BOX,
        Atspi.Role.RADIO_BUTTON)


def has(elem, state):
    return elem.get_state_set().contains(state)


def is_seen(elem):
    """Only GTK 3 says: there, all that can be seen is enabled and showing."""
    return (not has(elem, Atspi.StateType.ENABLED)
            or has(elem, Atspi.StateType.SHOWING))


def is_field(elem):
    return ("EditableText" in elem.get_interfaces()
            and has(elem, Atspi.StateType.EDITABLE) and is_seen(elem))


class Person:
    def __init__(self):
        self.started = {}

    # Programs

    def start(self, name, *argv):
        """Its output is NAME.log in the home."""
        with open(os.path.expanduser(f"~/{name}.log"), "ab") as log:
            self.started[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def status(self, name):
        return self.started[name].poll()

    def end(self, name):
        process = self.started.pop(name)
        process.terminate()
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    # Eyes

    def tops(self):
        desktop = Atspi.get_desktop(0)
        for i in range(desktop.get_child_count()):
            app = desktop.get_child_at_index(i)
            for j in range(app.get_child_count() if app else 0):
                top = app.get_child_at_index(j)
                if top is not None:
                    yield top

    def windows(self):
        return [top.get_name() for top in self.tops()]

    def window(self, name):
        for top in self.tops():
            if top.get_name() == name:
                return top
        raise Missing(f"no window {name!r}; there are {self.windows()}")

    def window_is_there(self, name):
        return name in self.windows()

    def tree(self, name=None):
        tops = [self.window(name)] if name else list(self.tops())
        lines = []

        def draw(elem, depth):
            states = " ".join(s.value_nick
                              for s in elem.get_state_set().get_states())
            lines.append(f"{' ' * depth}{elem.get_role_name()} "
                         f"{elem.get_name()!r} {text_of(elem)!r} ({states})")
            for i in range(elem.get_child_count()):
                child = elem.get_child_at_index(i)
                if child is not None:
                    draw(child, depth + 1)

        for top in tops:
            draw(top, 0)
        return "\n".join(lines)

    def shot(self, path):
        subprocess.run(["import", "-window", "root", path], check=True,
                       timeout=PATIENCE)

    def shows(self, name, text):
        """Whether that text stands in that window."""
        return any(text in elem.get_name() or text in text_of(elem)
                   for elem in walk(self.window(name)))

    # Hands

    def press(self, name, text, nth=0):
        """The button, or what stands for one, that has this text."""
        found = []
        for elem in walk(self.window(name)):
            if not says(elem, text):
                continue
            while elem is not None and not is_button(elem):
                elem = elem.get_parent()
            if elem is not None and elem not in found and is_seen(elem):
                found.append(elem)
        if len(found) <= nth:
            raise Missing(f"no button {text!r} in {name!r}")
        if not has(found[nth], Atspi.StateType.SENSITIVE):
            raise Missing(f"{text!r} in {name!r} cannot be pressed")
        Atspi.Action.do_action(found[nth], 0)

    def press_by(self, name, offset, nth=0):
        """A button without a text: how many buttons it is behind the nth
        field, or before it."""
        found = list(walk(self.window(name)))
        field = [e for e in found if is_field(e)][nth]
        at = found.index(field)
        buttons = [[e for e in part if is_button(e)]
                   for part in (found[:at], found[at:])]
        button = buttons[1][offset - 1] if offset > 0 else buttons[0][offset]
        Atspi.Action.do_action(button, 0)

    def fields(self, name):
        return [text_of(e) for e in walk(self.window(name)) if is_field(e)]

    def is_at(self, name, nth=0):
        """Whether what is typed goes into the nth field."""
        found = [e for e in walk(self.window(name)) if is_field(e)]
        return len(found) > nth and has(found[nth], Atspi.StateType.FOCUSED)

    def write(self, name, text, nth=0):
        """Into the nth field of the window."""
        found = [e for e in walk(self.window(name)) if is_field(e)]
        if len(found) <= nth:
            raise Missing(f"{name!r} has {len(found)} fields")
        Atspi.EditableText.set_text_contents(found[nth], text)

    def keys(self, *names):
        subprocess.run(["xdotool", "key", "--clearmodifiers", *names],
                       check=True, timeout=PATIENCE)

    def has_keyboard(self, title):
        """Whether keys go to the window of that title."""
        done = subprocess.run(
            ["xdotool", "getwindowfocus", "getwindowname"], check=False,
            capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout.strip() == title

    def spell(self, text):
        """Key by key, to what has the focus."""
        subprocess.run(["xdotool", "type", "--delay", "20", text],
                       check=True, timeout=PATIENCE)


def serve(path):
    person = Person()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    while True:
        link, _ = listener.accept()
        with link, link.makefile("rw") as file:
            try:
                asked = json.loads(file.readline())
                value = getattr(person, asked["call"])(*asked["args"])
                answer = {"value": value}
            except (Missing, GLib.Error) as error:
                answer = {"error": str(error)}
            except Exception:  # pylint: disable=broad-except
                answer = {"error": traceback.format_exc()}
            file.write(json.dumps(answer) + "\n")


def main():
    path, number = sys.argv[1:]
    if "DISPLAY" not in os.environ:
        read, write = os.pipe()
        with open(os.path.expanduser("~/xvfb.log"), "wb") as log:
            subprocess.Popen(
                ["Xvfb", ":" + number, "-displayfd", str(write), "-screen",
                 "0", "1280x900x24", "-nolisten", "tcp"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(write,))
        os.close(write)
        # To the end of the line, which comes by itself.
        with os.fdopen(read) as file:
            if not file.readline():
                sys.exit("the X server does not start")
        os.environ["DISPLAY"] = ":" + number
        # The bus must know the display before it starts anything.
        os.execvp("dbus-run-session", ["dbus-run-session", "--",
                                       sys.executable, __file__, path, number])
    subprocess.Popen(["openbox"], stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    Atspi.init()
    serve(path)


main()
