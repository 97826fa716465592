"""A headless Chromium, driven through its DevTools protocol over two pipes: needs no package."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
# Chromium reads commands from descriptor 3 and writes answers to 4.
_LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_FLAGS = ["--headless", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars"]
_FLAGS += ["--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"]
_FLAGS += ["--no-sandbox"]  # which root cannot have; the pages are our own
_PATIENCE = 120  # seconds for an answer, on a busy machine


class Page:
    """A page that was opened; `events` are what Chromium has told about it."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._rest = commands, answers, b""
        self._session: str | None = None
        self._last = 0
        self.events: list[dict] = []

    def ask(self, method: str, **params) -> dict:
        """Send a command and return the answer to it."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._last:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self) -> dict:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no answer of Chromium in {_PATIENCE} s")
            if not (read := os.read(self._answers, 1 << 20)):
                raise RuntimeError("Chromium ended")
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, url: str, width: int, height: int, dark: bool = False, media: str = "") -> None:
        """Open an address in a window of a size, and wait until it has been loaded."""
        if not self._session:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            found = self.ask("Target.attachToTarget", targetId=target, flatten=True)
            self._session = found["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not self.told("Page.loadEventFired"):
            self.events.append(self._next())

    def told(self, *methods: str) -> list[dict]:
        """Return what the events of some kinds tell."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def value(self, script: str):
        """Return the value of an expression of JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def picture(self, whole: bool = False) -> bytes:
        """Return what the window shows as a PNG, or the whole page."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def printed(self) -> bytes:
        """Return the page as it is printed, a PDF."""
        answer = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(answer["data"])


@contextmanager
def chromium(folder):
    """Start Chromium with its files in a folder; yield a page; end it."""
    ends = [os.pipe(), os.pipe()]
    # Numbers above those that they become in Chromium.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ends[0][0], ends[1][1])]
    os.close(ends[0][0])
    os.close(ends[1][1])
    words = [sys.executable, "-c", _LAUNCH, *map(str, theirs), PROGRAM, *_FLAGS]
    process = subprocess.Popen(
        [*words, f"--user-data-dir={folder}", "about:blank"],
        pass_fds=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in theirs:
        os.close(end)
    page = Page(ends[0][1], ends[1][0])
    try:
        yield page
        page.ask("Browser.close")
    finally:
        for end in (ends[0][1], ends[1][0]):
            os.close(end)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
