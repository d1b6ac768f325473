"""A real browser for the pages we make: headless Chromium, spoken to by the DevTools protocol.

Chromium comes from the PATH, else from Debian's package of that name, which is installed on first use.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

# Without these it talks to its maker, and as root it does not start at all.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
)
STARTUP_SECONDS = 30.0


def chromium() -> str:
    """Path of the browser; installs it when there is none.

    Raises:
        RuntimeError: It is neither there nor to be had; says what to install.
    """
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found:
        return found
    root = [] if os.geteuid() == 0 else ["sudo"]
    for words in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        done = subprocess.run([*root, *words], check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"no browser: install the package chromium ({done.stderr.strip()[-300:]})")
    return chromium()


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._loaded = False
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command; exceptions and failed requests of the page met on the way are kept as complaints."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=30)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])
            self._listen(message)

    async def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load an address at a size of window, as somebody with a light or a dark desktop sees it."""
        for domain in ("Page", "Runtime", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        self._loaded = False
        await self.call("Page.navigate", url=url)
        while not self._loaded:
            self._listen(await self._socket.receive_json(timeout=30))

    async def evaluate(self, script: str) -> Any:
        """Value of an expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    def _listen(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))
            case "Network.requestWillBeSent" if not parameters["request"]["url"].startswith(("file:", "data:")):
                self.complaints.append(f"asked for {parameters['request']['url']}")


@asynccontextmanager
async def browser_page() -> AsyncIterator[Page]:
    """A tab of a browser of its own, gone with its profile afterwards."""
    with tempfile.TemporaryDirectory(prefix="kcloud-browser-", ignore_cleanup_errors=True) as profile:
        command = [chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
        try:
            port = await asyncio.to_thread(_port, Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    targets = await answer.json()
                address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.kill()
            await process.wait()


def _port(file: Path) -> int:
    """Where it listens, once it has written that down."""
    until = time.monotonic() + STARTUP_SECONDS
    while not file.is_file() or not file.read_text().strip():
        if time.monotonic() > until:
            raise RuntimeError(f"the browser did not start within {STARTUP_SECONDS:g} s")
        time.sleep(0.05)
    return int(file.read_text().split()[0])
