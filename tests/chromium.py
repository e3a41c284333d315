"""A headless Chromium, spoken to over a pipe: what a page asks for, says, and looks like."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60  # seconds


@dataclass
class Seen:
    """What a page was like at one width."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)  # console errors and warnings, failed loads
    scroll_width: int = 0
    overflowing: list[str] = field(default_factory=list)  # elements that reach past the right edge
    screenshot: bytes = b""


# Chromium reads its pipe from descriptor 3 and writes to 4: this program puts the two there, then becomes Chromium.
ON_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

OVERFLOWING = """[...document.querySelectorAll('main *')]
    .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"""


class Browser:
    """One browser with one page, for a `with` block. It never reaches the network."""

    def __init__(self, profile: Path) -> None:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        command = [
            PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
            "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_3_AND_4, str(to_child), str(from_child), *command],
            pass_fds=(to_child, from_child), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        self._received, self._number, self._events = b"", 0, []
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._in)

    def look(self, page: Path, width: int, dark: bool = False) -> Seen:
        """Load a page at a width in pixels and return what was seen."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.call("Page.navigate", url=page.as_uri())
        self._wait_for("Page.loadEventFired")
        seen = Seen(scroll_width=self.evaluate("document.documentElement.scrollWidth"))
        seen.overflowing = self.evaluate(OVERFLOWING)
        broken = self.evaluate(
            "Promise.allSettled([...document.images].map(image => image.decode()))"
            ".then(all => all.filter(one => one.status == 'rejected').length)"
        )
        seen.complaints += ["a picture cannot be shown"] * broken
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        seen.screenshot = base64.b64decode(shot["data"])
        for method, values in self._events:
            if method == "Network.requestWillBeSent":
                seen.requests.append(values["request"]["url"])
            elif method == "Network.loadingFailed":
                seen.complaints.append(values["errorText"])
            elif method == "Log.entryAdded":
                seen.complaints.append(values["entry"]["text"])
            elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                seen.complaints.append(json.dumps(values))
        return seen

    def evaluate(self, expression: str):
        """Return the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def call(self, method: str, **params: object) -> dict:
        """Send a command and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _wait_for(self, method: str) -> None:
        while not any(seen == method for seen, _ in self._events):
            self._read()

    def _read(self) -> dict:
        """Return the next message, and keep it where it is an event."""
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._in, 1 << 16) if ready else b""
            assert chunk, "Chromium went silent"
            self._received += chunk
        text, _, self._received = self._received.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self._events.append((message["method"], message.get("params", {})))
        return message
