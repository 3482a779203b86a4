# SPDX-License-Identifier: MIT
"""Modules as files: good ones that are replaced while the server runs, and
those that it must not take. They are compiled here, from the public header."""

import glob
import os
import shutil
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

SOURCE = """
#include "core/module.h"

struct probe_options {
	struct str word;
	uint64_t count;
};

static const struct option options[] = {
	OPT_TEXT("word", struct probe_options, word, "WORD", 20, "said"),
	OPT_UINT("count", struct probe_options, count, "1", 1, 9, "times"),
	OPTIONS_END,
};

static void
say(struct cmd *c)
{
	struct mod *m = cmd_mod(c, cmd_str(c, "host"));
	const struct probe_options *o;

	if (m == NULL) {
		cmd_fail(c, CMD_NOT_FOUND, 1, "not on there");
		return;
	}
	o = (const struct probe_options *)mod_options(m);
	cmd_ok(c, str_dup_c(cmd_arena(c), o->word));
}

static const struct command commands[] = {
	{
	    .name = "probe_say",
	    .tag = "test",
	    .help = "Say the word",
	    .args = { { .name = "host", .type = "string" } },
	    .result_name = "res",
	    .result = "restuple",
	    .run = say,
	},
	COMMANDS_END,
};

MODULE(probe) = {
	.summary = "say a word",
	.options_size = sizeof(struct probe_options),
	.options = options,
	.commands = commands,
};
"""


@pytest.fixture
def plugins(build, tmp_path):
    """A folder with all that was built, for more."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for path in glob.glob(os.path.join(build, "modules", ".libs", "*.so")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def compile_module(build, tmp_path, plugins):
    def compile_it(source, name="probe"):
        path = tmp_path / "module.c"
        path.write_text(source)
        subprocess.run(
            ["cc", "-D_GNU_SOURCE", "-shared", "-fPIC",
             "-fvisibility=hidden", f"-I{TOP}/src", f"-I{TOP}", f"-I{build}",
             str(path), "-o", str(tmp_path / "made.so")], check=True)
        os.replace(tmp_path / "made.so", plugins / f"{name}.so")
    return compile_it


def word(text):
    return SOURCE.replace("WORD", text)


async def say(server, host="localhost"):
    status, value = await server.api("probe_say", host=host)
    return value if status == 200 else status


@pytest.mark.workers(1, 2)
async def test_replaced(make_server, plugins, compile_module):
    """A reload takes the new file up, if there is one, and else stays."""
    compile_module(word("one"))
    server = make_server({"plugin_dir": str(plugins)})
    await server.start()
    assert await say(server) == "one"
    await server.ctl_ok("module_reload", "probe")
    assert await say(server) == "one"
    compile_module(word("two"))
    assert await say(server) == "one"
    await server.ctl_ok("module_reload", "probe")
    assert await say(server) == "two"


async def test_options(make_server, plugins, compile_module):
    """A reload of the configuration brings options, hosts and modules."""
    compile_module(word("one"))
    server = make_server({"plugin_dir": str(plugins),
                          "modules": {"probe": {"word": "of @HOST@"}}})
    await server.start()
    assert await say(server) == "of localhost"
    assert await say(server, "capulet.example") == "of capulet.example"

    server.overrides["modules"] = {"probe": {}}
    server.overrides["host_config"] = {"capulet.example": {
        "modules": {"probe": {"enabled": False}}}}
    server.write_config()
    await server.ctl_ok("reload_config")
    assert await say(server) == "one"
    assert await say(server, "capulet.example") == 404

    server.overrides["modules"] = {"ping": {}}
    del server.overrides["host_config"]
    server.write_config()
    await server.ctl_ok("reload_config")
    assert await say(server) == 404

    # A module that the file does not name has the options of the file, too.
    server.overrides["modules"] = {"probe": {"enabled": False,
                                             "word": "hidden"}}
    server.write_config()
    await server.ctl_ok("reload_config")
    await server.ctl_ok("module_load", "probe")
    assert await say(server) == "hidden"


def start_fails(build, server):
    server.write_config()
    done = subprocess.run(
        [os.path.join(build, "src", "rookeryd"), "-c", server.config_path],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr


ABI = SOURCE.replace('"core/module.h"\n', '"core/module.h"\n'
                     "#undef MODULE_ABI\n#define MODULE_ABI 4711\n")
UNDEFINED = SOURCE.replace(
    "static void\nsay", "void no_such_thing(void);\nstatic void\nsay"
).replace("\tif (m == NULL) {", "\tno_such_thing();\n\tif (m == NULL) {")

FAULTS = {
    "abi": (ABI, "probe", "was built for module ABI 4711"),
    "name": (SOURCE, "other", "is the module 'probe' by another name"),
    "symbol": (UNDEFINED, "probe", "undefined symbol: no_such_thing"),
    "no table": ("int x;", "probe", "is not a module"),
    "default": (SOURCE.replace('"1", 1, 9', '"0", 1, 9'), "probe",
                "'count' of module 'probe': its default, '0', is out of"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults(build, make_server, plugins, compile_module, fault):
    """What is wrong with a module's file is told, at start and later."""
    source, name, told = FAULTS[fault]
    compile_module(source, name)
    server = make_server({"plugin_dir": str(plugins)})
    assert told in start_fails(build, server)

    server.overrides["modules"] = {"ping": {}}
    await server.start()
    server.announce(told)
    status, out, err = server.ctl("module_load", name)
    assert status == 1
    assert told in out + err
    await server.api("status")


async def test_no_elf(build, make_server, plugins):
    (plugins / "probe.so").write_text("This is not a module.\n")
    server = make_server({"plugin_dir": str(plugins)})
    assert "module 'probe': cannot load" in start_fails(build, server)


async def test_no_folder(build, make_server):
    server = make_server({"plugin_dir": "/nowhere/at/all"})
    assert "/nowhere/at/all, cannot be read" in start_fails(build, server)
