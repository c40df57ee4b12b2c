"""Debian's Chromium, driven over a pair of pipes by the Chrome DevTools Protocol.

`--remote-debugging-pipe` reads commands on file descriptor 3 and writes answers to 4, JSON
messages that end in a NUL: no port, no driver program and no package are needed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers import require

_WIDTH, _HEIGHT = 1500, 900
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # it needs name spaces that containers seldom give
    "--disable-dev-shm-usage",  # nor do they give much shared memory
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    f"--window-size={_WIDTH},{_HEIGHT}",
    "--remote-debugging-pipe",
)
# Python gives pipes any number; Chromium wants 3 and 4.
_LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
_LOWEST = 10  # beyond the descriptors that are overwritten
_CHUNK = 1 << 20

# The innermost elements whose own text begins with a label.
_FIND = """
(label => {
  const all = [...document.querySelectorAll('*')].filter(
    e => e.children.length == 0 && e.textContent.trim().startsWith(label) && e.offsetParent);
  if (!all.length) return null;
  all[0].scrollIntoView({block: 'center'});
  const box = all[0].getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})
"""


class Browser:
    """One page of a running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")
        self._call("Runtime.enable")

    def open(self, url: str) -> None:
        """Go to an address; the page may still be loading."""
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Evaluate JavaScript; return its value.

        Raises:
            AssertionError: If the script throws.
        """
        said = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def text(self) -> str:
        """What a person can read on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, what: str, seen: Callable[[], bool], timeout_s: float = 40) -> None:
        """Wait until something is seen.

        Raises:
            AssertionError: If it is not in time; it shows the page's text.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if seen():
                return
            time.sleep(0.25)
        raise AssertionError(f"the viewer does not show {what}:\n{self.text()[:3000]}")

    def wait_for_text(self, *expected: str, timeout_s: float = 40) -> str:
        """Wait until every text is on the page; return the page's text."""
        for one in expected:
            self.wait_for(repr(one), lambda one=one: one in self.text(), timeout_s)  # type: ignore[misc]
        return self.text()

    def click(self, label: str, times: int = 1) -> None:
        """Click on the first visible text that begins with a label."""
        self.wait_for(repr(label), lambda: self.run(f"{_FIND}({json.dumps(label)})") is not None)
        x, y = self.run(f"{_FIND}({json.dumps(label)})")
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self._call(
                    "Input.dispatchMouseEvent",
                    type=kind, x=x, y=y, button="left", clickCount=count,
                )  # fmt: skip

    def screenshot(self, path: Path) -> bytes:
        """Write what is seen as PNG and return it."""
        picture = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        return picture

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _next(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
            assert ready, f"the browser does not answer {method}"
            data = os.read(self._answers, _CHUNK)
            assert data, f"the browser ended at {method}"
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(head))


@contextmanager
def a_browser(folder: Path) -> Iterator[Browser]:
    """A headless Chromium with a fresh profile, ended by its own process id."""
    program = require("chromium")
    folder.mkdir(parents=True, exist_ok=True)
    command_out, command_in = os.pipe()
    answer_out, answer_in = os.pipe()
    inner = [fcntl.fcntl(end, fcntl.F_DUPFD, _LOWEST) for end in (command_out, answer_in)]
    os.close(command_out)
    os.close(answer_in)
    with (folder / "chromium.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _LAUNCH, *map(str, inner)),
                *(str(program), *_SWITCHES, f"--user-data-dir={folder / 'profile'}"),
            ],
            pass_fds=inner,
            stdout=log,
            stderr=log,
        )
    for end in inner:
        os.close(end)
    try:
        yield Browser(command_in, answer_out)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(command_in)
        os.close(answer_out)
