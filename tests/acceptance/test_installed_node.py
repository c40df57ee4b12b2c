"""The image without a container: the Dockerfile's own steps, and what they make, run here.

No container engine is needed. The steps of the build stage are executed as they stand, their
absolute folders moved below a scratch one; those that install Debian packages are left out. What
comes out is then run as the image runs it: as user 10001, with a root file system that is
read-only (a mount namespace), far from the checkout.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import free_ports, require

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
USER = "10001"
pytestmark = [pytest.mark.bench, pytest.mark.timeout(2400)]


@dataclass(frozen=True)
class Image:
    """What the Dockerfile makes, below a folder instead of `/`."""

    root: Path

    def here(self, text: str) -> str:
        """Move the folders of the image below ours."""
        return re.sub(r"(?<![\w/.])/(opt/crdl|src|var/lib/crdl|tmp/)", rf"{self.root}/\1", text)

    def command(self, *words: str) -> list[str]:
        """Run something as the container would: not root, nothing writable but what it is given."""
        data, scratch = self.root / "var/lib/crdl", self.root / "tmp"
        inside = (
            "mount --make-rprivate / && "
            f"mount --bind {data} {data} && mount --bind {scratch} {scratch} && "
            "mount -o remount,ro,bind / && "
            f"cd {data} && "
            f'exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs "$@"'
        )
        entrypoint = self.root / "usr/local/bin/crdl-entrypoint"
        return ["unshare", "--mount", "sh", "-c", inside, "sh", str(entrypoint), *words]

    def environment(self, **more: str) -> Mapping[str, str]:
        """The environment of the last stage, and nothing of ours."""
        text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
        (line,) = re.findall(r"^ENV (.+)$", text, flags=re.MULTILINE)
        pairs = dict(word.split("=", 1) for word in line.split())
        path = pairs.pop("PATH").replace("$PATH", "/usr/bin:/bin")
        return {
            "PATH": self.here(path),
            "HOME": "/nonexistent",
            "LD_LIBRARY_PATH": str(self.root / "usr/local/lib"),  # as ldconfig finds it there
            **{name: self.here(value) for name, value in pairs.items()},
            **more,
        }


@pytest.fixture(scope="module")
def an_image() -> Iterator[Image]:
    require("unshare")
    require("setpriv")
    if os.geteuid() != 0:
        pytest.skip("only root makes a mount namespace without a user namespace")
    folder = Path(tempfile.mkdtemp(prefix="crdl-image-"))
    folder.chmod(0o755)
    image = Image(folder)
    try:
        _build(image)
        yield image
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(image: Image) -> None:
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    build, last = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    for name in ("opt", "src", "var/lib/crdl", "tmp"):
        (image.root / name).mkdir(parents=True)
    _lay_python(image.root / "usr/local")
    arguments = dict(re.findall(r'^ARG (\w+)="(.*)"$', build, flags=re.MULTILINE))
    path = f"{image.root / 'usr/local/bin'}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(image.root / "tmp"), **arguments}
    environment["LD_LIBRARY_PATH"] = str(image.root / "usr/local/lib")
    environment |= {
        k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "REQUESTS_"))
    }
    ran = 0
    for line in build.splitlines():
        if line.startswith("COPY "):
            *sources, target = [word for word in line.split()[1:] if not word.startswith("--")]
            for source in sources:
                _copy(
                    ROOT / source, image.root / "src" / target / (source if target == "./" else "")
                )
        elif line.startswith("RUN ") and "apt-get" not in line:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-ec", image.here(line[4:])],
                cwd=image.root / "src",
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=1800,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            ran += 1
    assert ran == 4  # environment, torch, wheel with everything it needs, kernels
    shutil.rmtree(image.root / "src")  # the last stage takes /opt/crdl and nothing else
    assert "COPY --from=build /opt/crdl /opt/crdl" in last
    entrypoint = image.root / "usr/local/bin/crdl-entrypoint"
    entrypoint.write_text(image.here((DOCKER / "entrypoint.sh").read_text()))
    entrypoint.chmod(0o555)
    os.chown(image.root / "var/lib/crdl", int(USER), int(USER))
    (image.root / "tmp").chmod(0o1777)


def _lay_python(target: Path) -> None:
    """Lay this interpreter where the base image has its own: another user cannot read ours."""
    base = Path(sys.base_prefix)
    skipped = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a")
    for name in ("bin", "include", "lib"):
        shutil.copytree(base / name, target / name, symlinks=True, ignore=skipped)
    (target / "bin" / "python").unlink(missing_ok=True)
    (target / "bin" / "python").symlink_to(f"python3.{sys.version_info.minor}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
    else:
        shutil.copy2(source, target)


def test_the_doctor_runs_in_it(an_image: Image) -> None:
    done = subprocess.run(
        an_image.command("doctor", "--json"),
        env=an_image.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    checks = {one["name"]: one for one in json.loads(done.stdout)}
    assert "not root" in checks["permissions"]["text"]
    assert "SIMULATED" in checks["model"]["text"]
    assert "read-only" not in done.stderr


def test_the_node_serves_lives_and_drains_in_it(an_image: Image) -> None:
    dicom, web = free_ports(2)
    environment = an_image.environment(CRDL_NODE__PORT=str(dicom), CRDL_WEB__PORT=str(web))
    log = an_image.root / "node.log"
    with log.open("w") as output:
        node = subprocess.Popen(
            an_image.command("serve"),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    try:
        assert node.stdout is not None
        assert node.stdout.readline().startswith("ready "), log.read_text()[-4000:]
        alive = subprocess.run(
            an_image.command("alive"),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert alive.returncode == 0, alive.stderr
        assert "compile" not in log.read_text(), "the kernels of the image were not taken"
    finally:
        node.send_signal(signal.SIGTERM)
        assert node.wait(120) == 0, log.read_text()[-4000:]
    gone = subprocess.run(
        an_image.command("alive"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert gone.returncode == 1
    assert "nobody listens" in gone.stderr
