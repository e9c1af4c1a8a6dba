"""A headless Chromium to drive a page with, over the DevTools protocol's pipe: needs no package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --remote-debugging-pipe "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --force-device-scale-factor=1"
).split()
EXEC = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from file descriptor 3 and answers on 4."""
TIMEOUT = 60.0


def find() -> str:
    """Path of a Chromium or Chrome; without one, or on Windows, the test is skipped."""
    if os.name != "posix":
        pytest.skip("needs a POSIX system, whose processes inherit pipes by number")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    return program


FAULTS = """
window.faults = [];
addEventListener("error", (event) => faults.push(event.message ?? event.target.outerHTML), true);
addEventListener("unhandledrejection", (event) => faults.push(`${event.reason}`));
console.error = console.warn = (...words) => faults.push(words.join(" "));
"""
"""Gathers what goes wrong in a page."""

FAINT = """(() => {
  const still = new CSSStyleSheet();
  still.replaceSync("* { transition: none !important }");
  document.adoptedStyleSheets = [still];
  const colour = (css) => {
    const [r, g, b, a = 1] = css.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const linear = (v) => (v <= 10.3 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
  const line = (node) => (node ? [...line(node.parentElement), getComputedStyle(node)] : []);
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.getBoundingClientRect().width) continue;
    if (!node.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const styles = line(node);
    const own = styles.at(-1);
    const below = styles.reduce((sum, s) => over(colour(s.backgroundColor), sum), [255, 255, 255]);
    const ink = colour(node.closest("svg") ? own.fill : own.color);
    ink[3] *= styles.reduce((product, s) => product * s.opacity, 1);
    const [low, high] = [light(over(ink, below)), light(below)].sort((a, b) => a - b);
    const size = parseFloat(own.fontSize);
    const large = size >= 24 || (size >= 18.6 && own.fontWeight >= 700);
    if (high / low < (large ? 3 : 4.5)) faint.add(node.outerHTML.slice(0, 80));
  }
  return [...faint];
})()"""
"""Elements whose texts have less contrast than level AA of WCAG 2, without transitions."""


class Page:
    """One tab."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._count, self._buffer, self._session = 0, b"", {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._count += 1
        command = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            pass  # an event
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], TIMEOUT)[0]:
                raise TimeoutError(f"Chromium did not answer within {TIMEOUT} s.")
            if not (data := os.read(self._answers, 2**20)):
                raise RuntimeError("Chromium has ended.")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression holds in the page."""
        self.evaluate(f"""new Promise((resolve) => {{
          const look = () => ({condition}) ? resolve() : setTimeout(look, 20);
          look();
        }})""")

    def next_frame(self) -> None:
        """Until the events so far are handled, which browsers hand out frame by frame."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def mouse(self, kind: str, x: float, y: float, **params: Any) -> None:
        """A mouse event: "Pressed", "Moved" or "Released"."""
        options = {"button": "left", "clickCount": 1, "buttons": int(kind != "Released"), **params}
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **options)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """A touch event: "Start", "Move" or "End"."""
        at = [{"x": x, "y": y} for x, y in points]
        self.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=at)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key, down and up; modifiers 8: with Shift."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=modifiers)

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """The size of the window in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Pages opened within it gather in `faults` what goes wrong in them."""
        self.call("Page.enable")
        script = self.call("Page.addScriptToEvaluateOnNewDocument", source=FAULTS)["identifier"]
        yield
        self.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
        self.call("Page.disable")
        self.call("Emulation.clearDeviceMetricsOverride")

    def faint(self) -> list[str]:
        """The beginnings of the elements whose texts are hard to read."""
        found: list[str] = self.evaluate(FAINT)
        return found

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def page(chromium: str, profile: Path) -> Iterator[Page]:
    """A tab of a Chromium of its own, which ends with it.

    Args:
        chromium: path of the program.
        profile: a new folder for its files.
    """
    (theirs_in, ours_out), (ours_in, theirs_out) = _pipe(), _pipe()
    ends = [str(theirs_in), str(theirs_out)]
    process = subprocess.Popen(
        [sys.executable, "-c", EXEC, *ends, chromium, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_out, ours_in)
    finally:
        os.close(ours_out)  # asks it to end
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours_in)


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server for a folder: its address, and the lines of all requests so far."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            requests.append(self.requestline)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pipe() -> tuple[int, int]:
    """A pipe whose ends stay clear of the descriptors 3 and 4."""
    import fcntl  # which Windows does not have

    low = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return read, write
