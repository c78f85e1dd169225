"""``python -m latticework_sglang_cpu install | remove | status``."""

from __future__ import annotations

import argparse
import sys

from latticework_sglang_cpu import startup
from latticework_sglang_cpu.status import status


def main(arguments: list[str] | None = None) -> int:
    """Run one action; exit status 1 if ``status`` found something missing."""
    parser = argparse.ArgumentParser(prog="python -m latticework_sglang_cpu", description=__doc__)
    parser.add_argument("action", choices=["install", "remove", "status"])
    action = parser.parse_args(arguments).action
    if action == "install":
        print(f"torchvision: prepared at every start of Python by {startup.install()}")
    elif action == "remove":
        print("torchvision: file removed" if startup.remove() else "torchvision: no file of ours")
    else:
        findings = status()
        for finding in findings:
            print(f"{'ok     ' if finding.ok else 'MISSING'} {finding.name}: {finding.detail}")
        return 0 if all(finding.ok for finding in findings) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
