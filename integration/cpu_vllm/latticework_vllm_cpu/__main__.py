"""``python -m latticework_vllm_cpu install | remove | status``."""

from __future__ import annotations

import argparse
import sys

from latticework_vllm_cpu import cuda_packages, shim
from latticework_vllm_cpu.status import status


def main(arguments: list[str] | None = None) -> int:
    """Run one action; exit status 1 if it could not be done, or if ``status`` found something missing."""
    parser = argparse.ArgumentParser(prog="python -m latticework_vllm_cpu", description=__doc__)
    parser.add_argument("action", choices=["install", "remove", "status"])
    action = parser.parse_args(arguments).action
    try:
        if action == "install":
            print(f"vllm command: stand-in metadata at {shim.install()}")
            removed = cuda_packages.remove()
            print(f"CUDA-only packages: {'removed ' + ', '.join(removed) if removed else 'none installed'}")
        elif action == "remove":
            print("vllm command: stand-in removed" if shim.remove() else "vllm command: no stand-in of ours")
        else:
            findings = status()
            for finding in findings:
                print(f"{'ok     ' if finding.ok else 'MISSING'} {finding.name}: {finding.detail}")
            return 0 if all(finding.ok for finding in findings) else 1
    except shim.ShimError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
