# SPDX-License-Identifier: MIT
"""A headless Chromium, driven by its DevTools protocol over a pipe."""

import asyncio
import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile

PATIENCE = 60
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
MESSAGE_MAX = 64 << 20


class BrowserError(Exception):
    """The browser said no."""


def outside_of_low(fd):
    """The same pipe by a number above those that the browser wants."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return high


class Browser:
    """One page. `console` has what it complained of."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="rookery-web-")
        self.count = 0
        self.waiting = {}
        self.session = None
        self.console = []
        self.process = self.reader = self.writer = self.task = None

    async def start(self, port):
        to_read, to_write = map(outside_of_low, os.pipe())
        from_read, from_write = map(outside_of_low, os.pipe())

        def arrange():
            os.dup2(to_read, 3)
            os.dup2(from_write, 4)

        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self.process = subprocess.Popen([
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--lang=en",
            "--ignore-certificate-errors", "--remote-debugging-pipe",
            "--disable-background-networking", "--disable-component-update",
            f"--explicitly-allowed-ports={port}", "--window-size=1280,800",
            f"--user-data-dir={self.folder}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=arrange, pass_fds=(3, 4),
            start_new_session=True)
        os.close(to_read)
        os.close(from_write)
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(limit=MESSAGE_MAX)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.reader),
            os.fdopen(from_read, "rb"))
        self.writer, _ = await loop.connect_write_pipe(
            asyncio.BaseProtocol, os.fdopen(to_write, "wb"))
        self.task = asyncio.ensure_future(self.listen())
        target = (await self.ask("Target.createTarget", url="about:blank"))
        self.session = (await self.ask(
            "Target.attachToTarget", targetId=target["targetId"],
            flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            await self.ask(domain + ".enable")
        return self

    async def listen(self):
        while True:
            text = await self.reader.readuntil(b"\0")
            message = json.loads(text[:-1])
            future = self.waiting.pop(message.get("id"), None)
            if future is not None and not future.done():
                future.set_result(message)
            elif message.get("method") == "Log.entryAdded":
                entry = message["params"]["entry"]
                self.console.append(
                    f"{entry['level']}: {entry['text']} {entry.get('url')}")
            elif message.get("method") == "Runtime.exceptionThrown":
                self.console.append("exception: " + json.dumps(
                    message["params"]["exceptionDetails"]))

    async def ask(self, method, **params):
        self.count += 1
        future = asyncio.get_running_loop().create_future()
        self.waiting[self.count] = future
        request = {"id": self.count, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        self.writer.write(json.dumps(request).encode() + b"\0")
        answer = await asyncio.wait_for(future, PATIENCE)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return answer["result"]

    async def run(self, script):
        """The value of an expression in the page."""
        answer = await self.ask("Runtime.evaluate", expression=script,
                                returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, script):
        """Waits for a true value of an expression, and returns it."""
        for _ in range(PATIENCE * 10):
            value = await self.run(script)
            if value:
                return value
            await asyncio.sleep(0.1)
        raise BrowserError(f"never: {script}; {self.console}; " +
                           await self.run("document.body.innerText"))

    async def there(self, selector):
        return await self.until(
            f"!!document.querySelector({json.dumps(selector)})")

    async def open(self, url):
        await self.ask("Page.navigate", url=url)

    async def fill(self, selector, text):
        await self.there(selector)
        await self.run(f"document.querySelector({json.dumps(selector)})"
                       ".focus()")
        await self.ask("Input.insertText", text=text)

    async def press_enter(self):
        for kind in ("keyDown", "keyUp"):
            await self.ask("Input.dispatchKeyEvent", type=kind, key="Enter",
                           code="Enter", windowsVirtualKeyCode=13,
                           **({"text": "\r"} if kind == "keyDown" else {}))

    async def click(self, selector):
        await self.there(selector)
        await self.run(f"document.querySelector({json.dumps(selector)})"
                       ".click()")

    async def give_file(self, selector, path):
        """To an <input type=file>, as a person would choose it."""
        await self.there(selector)
        root = (await self.ask("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.ask("DOM.querySelector", nodeId=root,
                               selector=selector))["nodeId"]
        await self.ask("DOM.setFileInputFiles", nodeId=node, files=[path])

    async def screenshot(self, path):
        shot = await self.ask("Page.captureScreenshot", format="png")
        with open(path, "wb") as out:
            out.write(base64.b64decode(shot["data"]))

    async def stop(self):
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        if self.writer is not None:
            self.writer.close()
        if self.process is not None:
            # All that it started, which is a session of its own.
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
