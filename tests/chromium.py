"""A real browser for tests of pages: headless Chromium, spoken to through a pair of pipes (its DevTools protocol)."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60.0


class Browser:
    """One window.

    Attributes:
        requests: Addresses of everything that was asked for since the browser began.
        complaints: What scripts have thrown, and what was written to the console.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._ids, self._unread = itertools.count(1), b""
        self._session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self._send(f"{domain}.enable")

    def open(self, path: Path, width: int = 1000, height: int = 760) -> None:
        """Show a file, and wait until it is there."""
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self._send("Page.navigate", url=path.as_uri())
        end = time.monotonic() + _SECONDS
        while self.evaluate("document.readyState") != "complete" or self.evaluate("location.href") != path.as_uri():
            assert time.monotonic() < end, f"{path} did not load"

    def evaluate(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = self._send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def point_at(self, selector: str, index: int = 0) -> None:
        """Move the mouse to the middle of an element."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{index}];"
            "e.scrollIntoView({block: 'center'}); const r = e.getClientRects()[0];"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])

    def click(self, selector: str) -> None:
        """Press and release the mouse on an element."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def visible(self, selector: str) -> list[str]:
        """The texts of the elements that can be seen."""
        found: list[str] = self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            ".filter(e => e.checkVisibility()).map(e => e.innerText)"
        )
        return found

    def screenshot(self) -> bytes:
        """The window, as a PNG."""
        return base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"])

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            match answer.get("method"):
                case "Network.requestWillBeSent":
                    self.requests.append(answer["params"]["request"]["url"])
                case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                    self.complaints.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            assert select.select([self._from], [], [], _SECONDS)[0], "the browser does not answer"
            read = os.read(self._from, 1 << 16)
            assert read, "the browser is gone"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty ``profile`` folder; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    theirs_in, to_browser = os.pipe()
    from_browser, theirs_out = os.pipe()
    # Chromium reads from its file descriptor 3 and writes to 4, which the shell makes of the ends of our pipes.
    shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
    plain = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    flags = ("--headless", *plain, "--remote-debugging-pipe", f"--user-data-dir={profile}")
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *flags],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        os.close(to_browser)
        os.close(from_browser)
        process.kill()
        process.wait()
