"""``python -m latticework_sglang_cpu install | remove``; ``latticework doctor`` says what is in place."""

from __future__ import annotations

import argparse

from latticework_sglang_cpu import startup


def main(arguments: list[str] | None = None) -> None:
    """Run one action."""
    parser = argparse.ArgumentParser(prog="python -m latticework_sglang_cpu", description=__doc__)
    parser.add_argument("action", choices=["install", "remove"])
    if parser.parse_args(arguments).action == "install":
        print(f"torchvision: prepared at every start of Python by {startup.install()}")
    else:
        print("torchvision: file removed" if startup.remove() else "torchvision: no file of ours")


if __name__ == "__main__":
    main()
