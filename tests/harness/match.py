# SPDX-License-Identifier: MIT
"""Does an element look as it should? Attribute order and prefixes are of no
account. In what is expected, `{any}` stands for any text that is not empty,
`{...}` among the children for any others, and `{$name}` takes what is there
(or must be equal to what it took before)."""

import re

from harness.xml import Elem

HOLE = re.compile(r"\{(any|\.\.\.|\$\w+)\}")
REST = "{...}"

# Where the order of the children says nothing.
UNORDERED = {"features", "query", "mechanisms", "item", "error",
             "sasl-channel-binding", "vCard", "x", "limits"}


class Mismatch(Exception):
    """Says where it differs, and how."""


def match(want, have, bound):
    """Raises Mismatch, or adds to `bound` what was taken."""
    taken = dict(bound)
    match_elem(want, have, taken, want.name)
    bound.update(taken)


def match_elem(want, have, bound, path):
    if (want.name, want.ns) != (have.name, have.ns):
        raise Mismatch(f"{path}: <{want.name} xmlns='{want.ns}'> was expected,"
                       f" came <{have.name} xmlns='{have.ns}'>")
    for name, value in want.attrs.items():
        if name not in have.attrs:
            raise Mismatch(f"{path}: has no attribute {name}, expected "
                           f"'{value}'")
        match_text(value, have.attrs[name], bound, f"{path} {name}")
    for name, value in have.attrs.items():
        # A server may say in which language a stanza's sender speaks.
        if name not in want.attrs and not (
                name == "xml:lang" and have.is_stanza):
            raise Mismatch(f"{path}: unexpected attribute {name}='{value}'")
    match_content(want, have, bound, path)


def match_content(want, have, bound, path):
    wanted = want.elems()
    text = want.text
    is_open = REST in text
    if is_open:
        text = text.replace(REST, "")
    if wanted or is_open or have.elems():
        # Space between elements is for the reader of the script.
        if text.strip():
            match_text(text.strip(), have.text.strip(), bound, path)
        elif have.text.strip() and not is_open:
            raise Mismatch(f"{path}: unexpected text '{have.text.strip()}'")
    elif "\n" in text:
        match_text(" ".join(text.split()), " ".join(have.text.split()),
                   bound, path)
    else:
        match_text(text, have.text, bound, path)
    rest = match_children(wanted, have.elems(), bound, path,
                          is_open or want.name in UNORDERED)
    if rest and not is_open:
        raise Mismatch(f"{path}: unexpected child {rest[0]}")


def match_children(wanted, had, bound, path, any_order):
    """Pairs them; returns those that nobody expected."""
    rest = list(had)
    for want in wanted:
        where = f"{path}/{want.name}"
        if not rest:
            raise Mismatch(f"{where}: is not there: {want}")
        candidates = rest if any_order else rest[:1]
        error = None
        for have in candidates:
            trial = dict(bound)
            try:
                match_elem(want, have, trial, where)
            except Mismatch as mismatch:
                # What is most like it explains most.
                if error is None or (have.name, have.ns) == (want.name,
                                                             want.ns):
                    error = mismatch
                continue
            bound.update(trial)
            rest.remove(have)
            error = None
            break
        if error is not None:
            raise error
    return rest


def match_text(want, have, bound, path):
    pattern, names, pos = "", [], 0
    for hole in HOLE.finditer(want):
        pattern += re.escape(want[pos:hole.start()])
        pos = hole.end()
        what = hole.group(1)
        name = what[1:]
        if what == "any":
            pattern += ".+"
        elif what == "...":
            pattern += ".*"
        elif name in bound:
            pattern += re.escape(bound[name])
        elif name in names:
            pattern += f"(?P={name})"
        else:
            names.append(name)
            pattern += f"(?P<{name}>.+)"
    pattern += re.escape(want[pos:])
    found = re.fullmatch(pattern, have, re.DOTALL)
    if found is None:
        raise Mismatch(f"{path}: '{want}' was expected, came '{have}'")
    bound.update({name: found.group(name) for name in names})


__all__ = ["Elem", "Mismatch", "match"]
