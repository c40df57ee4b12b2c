"""A real OpenID provider (npm's oidc-provider) as a process, and a person in front of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

VERSION = "9.13.3"  # deploy/setup.sh installs the same
FOLDER = Path(sys.prefix) / f"oidc-provider-{VERSION}"
SCRIPT = Path(__file__).with_name("provider.mjs")


@dataclass(frozen=True)
class RunningProvider:
    """A provider and where it is."""

    issuer: str

    def approved(self, url: str, name: str, back: str) -> str:
        """Log in as somebody and consent; return where the provider sends the browser back to."""
        with httpx.Client(trust_env=False, timeout=30) as browser:
            answer = browser.get(url)
            for _ in range(12):
                if answer.is_redirect:
                    where = urljoin(str(answer.url), answer.headers["location"])
                    if where.startswith(back):
                        return where
                    answer = browser.get(where)
                    continue
                assert answer.status_code == 200, answer.text
                action = re.search(r'action="([^"]+)"', answer.text)
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert action, answer.text
                assert prompt, answer.text
                form = {"prompt": prompt[1], "login": name, "password": "any"}
                answer = browser.post(urljoin(str(answer.url), action[1]), data=form)
        raise AssertionError("the provider never sent the browser back")


@contextmanager
def a_provider(
    clients: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[str]], **asked: Any
) -> Iterator[RunningProvider]:
    """A provider that runs until the block ends."""
    node = shutil.which("node")
    if node is None or not (FOLDER / ".ready").is_file():
        missing = f"oidc-provider {VERSION} is not in {FOLDER}: run make test"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    given = json.dumps({"clients": clients, "groups": groups, **asked})
    process = subprocess.Popen(
        [str(node), str(SCRIPT), str(FOLDER), given],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            pytest.fail("the OpenID provider did not start")
        yield RunningProvider(f"http://127.0.0.1:{line.strip()}")
    finally:
        process.terminate()
        process.wait(10)
