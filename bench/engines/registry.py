"""The engines by name, and how to get those that are not dependencies of this project."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from latticework.bench.engines.base import Engine, Factory
from latticework.structured.disk_cache import user_directory
from latticework.structured.errors import LatticeworkError
from latticework.structured.vocabulary import Vocabulary

#: Engines of latticework: what serves requests.
OWN = ("lattice", "llguidance", "xgrammar")


@dataclass(frozen=True, slots=True)
class Peer:
    """A library called directly. ``requirement`` is the version that was last measured."""

    module: str
    attribute: str
    package: str
    requirement: str


PEERS = {
    "llguidance-native": Peer("native_llguidance", "NativeLLGuidance", "llguidance", "llguidance==1.9.1"),
    "xgrammar-native": Peer("native_xgrammar", "NativeXGrammar", "xgrammar", "xgrammar==0.2.8"),
    "glrmask": Peer("native_glrmask", "NativeGLRMask", "glrmask", "glrmask==0.5.0"),
    "maskforge": Peer("native_maskforge", "NativeMaskForge", "maskforge", "maskforge==0.1.1"),
}
NAMES = (*OWN, *PEERS)


def peers_directory() -> Path:
    """Where peers are installed, apart from every environment: the workers of peers, and no others, look there."""
    return Path(os.environ.get("LATTICEWORK_PEERS") or user_directory() / "peers")


def check_names(names: list[str]) -> None:
    """Raise ``LatticeworkError`` for a name that is no engine."""
    for name in names:
        if name not in NAMES:
            raise LatticeworkError("engines", f"unknown engine {name!r}; known: {', '.join(NAMES)}")


def missing(name: str) -> str | None:
    """Why an engine cannot be measured here, with the command that changes it; ``None`` if it can."""
    peer = PEERS.get(name)
    if peer is None or (peers_directory() / peer.package).is_dir() or util.find_spec(peer.package) is not None:
        return None
    command = f"pip install --no-deps --target {peers_directory()} {peer.requirement}"
    return f"{name} is not installed; it is no dependency of latticework. To measure it: {command}"


def search_path(name: str) -> str | None:
    """A folder to put before the import path of this engine's worker, if it needs one."""
    peer = PEERS.get(name)
    return str(peers_directory()) if peer is not None and (peers_directory() / peer.package).is_dir() else None


def build(name: str, vocabulary: Vocabulary, assert_formats: bool) -> Engine:
    """The engine, bound to a vocabulary. Called in a worker."""
    if name in OWN:
        from latticework.bench.engines.own import OwnEngine

        return OwnEngine(name, vocabulary, assert_formats)
    peer = PEERS[name]
    factory: Factory = getattr(importlib.import_module(f"latticework.bench.engines.{peer.module}"), peer.attribute)
    return factory(vocabulary, assert_formats)
