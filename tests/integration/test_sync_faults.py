# SPDX-License-Identifier: MIT
"""A few rounds of each fault of tests/fault, under load: what was sent,
acknowledged, received and archived is counted, and all archives read back.
The long runs are in docs/reliability.md."""

import asyncio

import pytest

from fault.faults import Bench, can_mount
from fault.pairs import FAULTS
from harness import postgres

needs_pg = pytest.mark.skipif(postgres.programs() is None,
                              reason="there is no PostgreSQL here")
SHORT = {"pg-stop": 2, "slow": 1, "full": 1}


async def play(build, store, steps):
    bench = await asyncio.to_thread(
        Bench, build, store, seconds=SHORT,
        small_disk=any(kind == "full" for kind, _ in steps))
    try:
        await bench.begin()
        for kind, rounds in steps:
            for _ in range(rounds):
                await bench.round(kind)
        result = await bench.result()
    finally:
        await asyncio.to_thread(bench.destroy)
    assert result["acknowledged"] > 0, result
    assert not any(result[key] for key in FAULTS), result


async def test_kill(build):
    await play(build, "sqlite", [("kill", 3)])


@needs_pg
async def test_pg(build):
    """kill -9 of both, no database, and one that takes its time."""
    await play(build, "pg", [("kill", 1), ("pg-kill", 1), ("pg-stop", 1),
                             ("slow", 1)])


@pytest.mark.parametrize("store", ["sqlite",
                                   pytest.param("pg", marks=needs_pg)])
async def test_full(build, store, tmp_path):
    if not can_mount(str(tmp_path)):
        pytest.skip("it takes root to make a small disk")
    await play(build, store, [("full", 1)])
