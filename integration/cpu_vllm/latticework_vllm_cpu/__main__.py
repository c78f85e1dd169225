"""``python -m latticework_vllm_cpu install | remove``; ``latticework doctor`` says what is in place."""

from __future__ import annotations

import argparse
import sys

from latticework_vllm_cpu import cuda_packages, shim


def main(arguments: list[str] | None = None) -> int:
    """Run one action; exit status 1 if it could not be done."""
    parser = argparse.ArgumentParser(prog="python -m latticework_vllm_cpu", description=__doc__)
    parser.add_argument("action", choices=["install", "remove"])
    action = parser.parse_args(arguments).action
    try:
        if action == "install":
            print(f"vllm command: stand-in metadata at {shim.install()}")
            removed = cuda_packages.remove()
            print(f"CUDA-only packages: {'removed ' + ', '.join(removed) if removed else 'none installed'}")
        else:
            print("vllm command: stand-in removed" if shim.remove() else "vllm command: no stand-in of ours")
    except shim.ShimError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
