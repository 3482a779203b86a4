# SPDX-License-Identifier: MIT
"""Real servers for tests: `server` is one that runs, `make_server` makes any
number of them. ROOKERY_BUILD says where they were built. Tests may be
coroutines; each gets a loop of its own."""

import asyncio
import copy
import inspect
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from harness import postgres  # noqa: E402
from harness.federation import Federation  # noqa: E402
from harness.server import Authority, Server, merge  # noqa: E402

# What a test may take, whatever happens; `slow(seconds)` marks exceptions.
LIMIT = 120

# Tests that have no reason to wait are not slowed down, and can do all at once.
CONFIG = {"limits": {"c2s_rate": 0, "sessions_per_account": 1000}}


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "slow(seconds): the test may take that long")
    config.addinivalue_line(
        "markers", "workers(N...): numbers of workers to be tried with")
    config.addinivalue_line(
        "markers", "sqlite(why): the test is about SQLite itself")
    config.addinivalue_line(
        "markers", "storeless(why): it says nothing of the store beneath")


def pytest_collection_modifyitems(items):
    """With PostgreSQL, what would tell nothing of it is left out."""
    if not postgres.is_wanted():
        return
    for item in items:
        marker = item.get_closest_marker("sqlite") or \
            item.get_closest_marker("storeless")
        if marker is not None:
            item.add_marker(pytest.mark.skip(reason=marker.args[0]))


def pytest_generate_tests(metafunc):
    if "workers" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("workers")
        counts = marker.args if marker else (2,)
        metafunc.parametrize("workers", counts,
                             ids=[f"workers{n}" for n in counts])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    marker = pyfuncitem.get_closest_marker("slow")
    limit = marker.args[0] if marker else LIMIT
    names = pyfuncitem._fixtureinfo.argnames
    args = {name: pyfuncitem.funcargs[name] for name in names}
    loop = pyfuncitem.funcargs["event_loop"]
    loop.run_until_complete(asyncio.wait_for(function(**args), limit))
    return True


@pytest.fixture(autouse=True)
def event_loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def build():
    path = os.environ.get("ROOKERY_BUILD")
    if not path:
        pytest.exit("ROOKERY_BUILD must name the build folder", 2)
    return path


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("ca")))


@pytest.fixture
def make_server(build, authority, workers, event_loop):
    """Makes servers, not yet started; ends them, and looks at their logs."""
    made = []

    def make(config=None, **how):
        how.setdefault("workers", workers)
        how.setdefault("authority", authority)
        settings = merge(copy.deepcopy(CONFIG), config or {})
        server = Server(build, settings, **how)
        made.append(server)
        return server

    yield make
    faults = []
    for server in made:
        faults += event_loop.run_until_complete(end(server))
    assert not faults, "\n".join(faults)


async def end(server):
    """Stops it; what is wrong with how it ended, and with its log."""
    faults = []
    try:
        if server.process is not None:
            if not server.expects_exit and not server.is_alive:
                faults.append(f"it died, status {server.process.returncode}\n"
                              f"{server.tail()}")
            elif server.is_alive:
                status = await server.stop()
                if status != 0:
                    faults.append(f"it stopped with status {status}\n"
                                  f"{server.tail()}")
            faults += server.unannounced()
    finally:
        server.destroy()
    return faults


@pytest.fixture
def server(make_server, event_loop):
    made = make_server()
    event_loop.run_until_complete(made.start())
    return made


@pytest.fixture
def federation(make_server, authority):
    """Servers that find each other, not yet started."""
    made = Federation(make_server, authority)
    yield made
    if made.names:
        made.names.close()
