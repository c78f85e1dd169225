"""The table of seams against the installed SGLang, and what registering costs. No SGLang is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latticework.adapters.sglang import seams

pytestmark = pytest.mark.engine  # SGLang is in an environment where only these tests run

HEAVY = ("numba", "numpy", "torch", "pydantic", "prometheus_client", "sglang")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_installed_sglang_fits():
    findings = seams.check()
    assert len(findings) == 1 + len(seams.SEAMS)
    assert [finding for finding in findings if not finding.ok] == []


def test_registering_imports_nothing_heavy():
    """Metrics made before the server sets ``PROMETHEUS_MULTIPROC_DIR`` would never reach ``/metrics``."""
    done = python(
        "import sys; from latticework.adapters.sglang.plugin import register; register(); register();"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("version", ["0.5.22", "0.5.24", "0.6.0", "nightly"])
def test_unknown_version_is_one_finding(tmp_path, version):
    package = tmp_path / "sglang"
    package.mkdir()
    (package / "_version.py").write_text(f"__version__ = version = {version!r}\n")
    (finding,) = seams.check(package)
    assert not finding.ok
    assert version in finding.detail


def test_every_seam_says_why():
    assert all(seam.why and seam.capability for seam in seams.SEAMS)
