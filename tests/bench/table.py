# SPDX-License-Identifier: MIT
"""Figures of a run as a table: one column for each server, and how rookeryd
compares with the best of the others."""

import json
import statistics
import sys

# What is shown: name, work, member, factor, digits, the goal if there is one.
FIGURES = [
    ("listening after, s", "start", "seconds", 1, 2, 0.3),
    ("RSS then, MiB", "start", "rss_kb", 1 / 1024, 1, 15),
    ("logins/s, plain", "login", "per_s", 1, 0, None),
    ("server CPU per login, plain, ms", "login", "server_us", 1e-3, 3, 0.11),
    ("memory per idle session, plain, KB", "login", "session_pss", 1e-3, 1,
     5),
    ("logins/s, TLS 1.3", "login-tls", "per_s", 1, 0, None),
    ("server CPU per login, TLS 1.3, ms", "login-tls", "server_us", 1e-3, 3,
     0.46),
    ("memory per idle session, TLS 1.3, KB", "login-tls", "session_pss", 1e-3,
     1, 18),
    ("messages/s, plain", "chat", "per_s", 1, 0, None),
    ("server CPU per message, plain, us", "chat", "server_us", 1, 1, 12),
    ("the same, one at a time, us", "chat-single", "server_us", 1, 1, None),
    ("messages/s, TLS 1.3", "chat-tls", "per_s", 1, 0, None),
    ("server CPU per message, TLS 1.3, us", "chat-tls", "server_us", 1, 1,
     15),
    ("latency at 2,000/s, p50, ms", "latency", "p50_ms", 1, 2, 0.15),
    ("latency at 2,000/s, p99, ms", "latency", "p99_ms", 1, 2, 0.6),
    ("one at a time, 50 pairs of 100 sessions, us", "scale-100",
     "server_us", 1, 1, None),
    ("one at a time, 50 pairs among 18,000 sessions, us", "scale-idle",
     "server_us", 1, 1, None),
    ("one at a time, 9,000 pairs of 18,000 sessions, us", "scale-all",
     "server_us", 1, 1, None),
    ("CPU per directed presence, us", "presence", "server_us", 1, 1, None),
    ("copies/s, 20 rooms of 50", "muc", "per_s", 1, 0, 150000),
    ("CPU per copy, 20 rooms of 50, us", "muc", "server_us", 1, 1, 5),
    ("the same, TLS 1.3, us", "muc-tls", "server_us", 1, 1, 9),
    ("copies/s, a room of 1,000", "muc-large", "per_s", 1, 0, 150000),
    ("CPU per copy, a room of 1,000, us", "muc-large", "server_us", 1, 1, 5),
    ("the same, TLS 1.3, us", "muc-large-tls", "server_us", 1, 1, 9),
    ("CPU per copy, a room of 10,000, us", "muc-full", "server_us", 1, 1,
     None),
    ("memory for each of its occupants, B", "muc-full", "occupant_pss", 1, 0,
     None),
    ("messages/s, archive on", "chat-mam", "per_s", 1, 0, 15000),
    ("CPU per message, archive on, us", "chat-mam", "server_us", 1, 1, 30),
    ("pages of 50 a second", "mam", "per_s", 1, 0, 4000),
    ("CPU per message on one server, us", "s2s-local", "server_us", 1, 1,
     None),
    ("CPU per message across two, of each, us", "s2s", "server_us", 1, 1,
     None),
    ("the same, times that on one", "s2s", "ratio", 1, 2, 2),
    ("of both together, times that on one", "s2s", "both_ratio", 1, 2, None),
    ("CPU per page of 50, us", "mam", "server_us", 1, 1, 250),
    ("CPU put off until later, s", "mam-rest", "seconds", 1, 1, None),
    ("CPU per newest page of a million, us", "mam-newest", "server_us", 1, 1,
     None),
    ("CPU per oldest page of a million, us", "mam-oldest", "server_us", 1, 1,
     None),
]
# One figure by another: name, the works whose CPU it is, the goal.
SHARES = [
    ("50 pairs among 18,000 sessions, times 50 of 100", "scale-idle",
     "scale-100", 1.3),
    ("9,000 pairs of 18,000 sessions, times 50 of 100", "scale-all",
     "scale-100", None),
]
# What a message costs at least: the relay that reads and writes each by
# itself, and parsing. Within twice that is the goal.
LEAST = ["relay, 500 pairs, window 1, a message",
         "expat, a message of 280 bytes"]
CROWDED = ["relay, 9000 pairs, window 1, a message",
           "relay, 50 pairs, window 1, a message"]
MORE_IS_BETTER = {"per_s"}
NEVER_ZERO = {"per_s", "server_us", "p50_ms", "p99_ms", "ratio", "both_ratio"}
OURS = "rookeryd"


def median(rows, server, work, member, factor):
    values = [row[member] for row in rows if row["server"] == server and
              row.get("work") == work and member in row]
    return statistics.median(values) * factor if values else None


def ratio(ours, others, member):
    """How many times better than the best of the others."""
    others = [value for value in others if value is not None]
    if ours is None or not others:
        return ""
    if member in MORE_IS_BETTER:
        return f"{ours / max(others):.1f}" if max(others) else ""
    return f"{min(others) / ours:.1f}" if ours else ""


def text(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def row_of(rows, names, figure):
    name, work, member, factor, digits, goal = figure
    values = {s: median(rows, s, work, member, factor) for s in names}
    if all(value is None for value in values.values()):
        return None
    others = [value for s, value in values.items()
              if not s.startswith(OURS)]
    cells = [name] + [text(values[s], digits) for s in names] + [
        ratio(values.get(OURS), others, member),
        "" if goal is None else f"{goal:g}"]
    return "| " + " | ".join(cells) + " |"


def share_of(rows, names, share):
    name, work, base, goal = share
    cells = [name]
    for server in names:
        one, other = (median(rows, server, w, "server_us", 1)
                      for w in (work, base))
        cells.append(text(one / other if one and other else None, 2))
    if not any(cells[1:]):
        return None
    return "| " + " | ".join([*cells, "", f"{goal:g}" if goal else ""]) + " |"


def limit(rows, what):
    values = [row["value"] for row in rows if row.get("what") == what]
    return statistics.median(values) if values else None


def comparisons(rows):
    """Ours beside what it costs at least."""
    message = median(rows, OURS, "chat", "server_us", 1)
    least = [limit(rows, what) for what in LEAST]
    if message and all(least):
        yield (f"| rookeryd's message, plain, times relay (window 1) and "
               f"parsing; goal 2 | {message / sum(least):.2f} |")
    crowded, few = (limit(rows, what) for what in CROWDED)
    if crowded and few:
        yield (f"| a relay's message, 9,000 pairs, times 50 pairs | "
               f"{crowded / few:.2f} |")


def faults(rows):
    """What may not happen: messages that were lost, doubled or refused."""
    for row in rows:
        for member in ("lost", "errors", "reordered", "dropped"):
            if row.get(member):
                yield (f"{row['server']}, {row.get('work')}: "
                       f"{row[member]:.0f} {member}")


def missing(rows):
    """Figures of ours that all works together should have given."""
    for name, work, member, *_ in FIGURES:
        value = median(rows, OURS, work, member, 1)
        if value is None or value <= 0 and member in NEVER_ZERO:
            yield f"{OURS}, {work}: {member} is {value} ({name})"
    for what in LEAST:
        if not limit(rows, what):
            yield f"limits: there is no {what}"


def strangers(rows):
    """What others used of the machine, which spoils figures of time."""
    values = [row["other_cores"] for row in rows if "other_cores" in row]
    return max(values, default=0)


def limits(rows):
    seen = {}
    for row in rows:
        if row.get("mode") == "limit":
            seen.setdefault((row["what"], row["unit"]), []).append(
                row["value"])
    for (what, unit), values in seen.items():
        yield f"| {what} | {statistics.median(values):,.4g} {unit} |"


def markdown(rows):
    versions = {row["server"]: row["version"] for row in rows
                if "version" in row}
    names = sorted(versions, key=lambda name: (name != OURS, name))
    lines = []
    if names:
        titles = [f"{name} {versions[name]}" for name in names]
        lines += ["| | " + " | ".join(titles) + " | times better | goal |",
                  "|---" * (len(names) + 3) + "|"]
        lines += [line for line in (row_of(rows, names, figure)
                                    for figure in FIGURES) if line]
        lines += [line for line in (share_of(rows, names, share)
                                    for share in SHARES) if line]
    parts = list(limits(rows))
    if parts:
        lines += ["", "| what its parts cost at least | |", "|---|---|"]
        lines += parts + list(comparisons(rows))
    lines += ["", f"Others used up to {strangers(rows):.2f} cores meanwhile."]
    lines += list(faults(rows)) or ["Nothing was lost, reordered or refused."]
    return "\n".join(lines)


def main():
    rows = []
    for path in sys.argv[1:]:
        with open(path, encoding="ascii") as f:
            rows += [json.loads(line) for line in f if line.strip()]
    print(markdown(rows))


if __name__ == "__main__":
    main()
