"""An index over hidden states: what followed where the model was in a similar state of mind.

Every position of a corpus gives a key, the target's hidden state there, and a value, the tokens that follow. Keys are
standardised, reduced by principal components and scaled to length one, so that the inner product is the cosine. The
token after the queried position is always known, and neighbours that go on with another one would be dropped; so keys
are grouped by that token and only its group is searched, exactly, where the published method searches all of them
approximately.

Source: speculative spec, section 14 (DReSD), steps 1 to 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latticework.structured.errors import LatticeworkError

Floats = npt.NDArray[np.float32]
_LEAST_STD = 1e-6


@dataclass(frozen=True, eq=False)
class DenseIndex:
    """Keys by the token that follows them.

    Attributes:
        mean, std: ``float32[H]``, of the hidden states.
        components: ``float32[H, K]``, the principal components of the standardised ones.
        keys: ``float16[n, K]``, of length one, grouped by the token that follows.
        positions: ``int64[n]``, where in the datastore's tokens each key's next token stands.
        first_tokens: ``int32[g]``, the groups' tokens, ascending.
        starts: ``int64[g + 1]``, where each group begins, and the end.
    """

    mean: Floats
    std: Floats
    components: Floats
    keys: npt.NDArray[np.float16]
    positions: npt.NDArray[np.int64]
    first_tokens: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    @classmethod
    def fit(
        cls,
        hidden: npt.NDArray[np.floating],
        positions: npt.NDArray[np.int64],
        following: npt.NDArray[np.int32],
        width: int = 64,
        sample: int = 1_000_000,
        seed: int = 0,
    ) -> DenseIndex:
        """Build an index.

        Args:
            hidden: ``float[n, H]``, hidden states.
            positions: ``int64[n]``, where the token after each stands in the datastore.
            following: ``int32[n]``, that token.
            width: Principal components kept, at most ``H``.
            sample: At most so many states decide mean, deviation and components.
            seed: Of the choice of those.
        """
        n, size = hidden.shape
        if n == 0 or positions.shape != (n,) or following.shape != (n,):
            raise LatticeworkError("hidden", f"need one position and one token a state, got {n} states")
        chosen = np.random.default_rng(seed).permutation(n)[:sample]
        seen = hidden[np.sort(chosen)].astype(np.float64)
        mean, std = seen.mean(axis=0), np.maximum(seen.std(axis=0), _LEAST_STD)
        standard = (seen - mean) / std
        _, vectors = np.linalg.eigh(standard.T @ standard)
        components = np.ascontiguousarray(vectors[:, ::-1][:, : min(width, size)])
        order = np.lexsort((positions, following))
        first_tokens, starts = np.unique(following[order], return_index=True)
        index = cls(
            mean.astype(np.float32),
            std.astype(np.float32),
            components.astype(np.float32),
            np.empty((0, components.shape[1]), np.float16),
            positions[order].astype(np.int64),
            first_tokens.astype(np.int32),
            np.append(starts, n).astype(np.int64),
        )
        keys = np.concatenate([index.project(hidden[order[at : at + 4096]]) for at in range(0, n, 4096)])
        return cls(**{**index.__dict__, "keys": keys.astype(np.float16)})

    def project(self, hidden: npt.NDArray[np.floating]) -> Floats:
        """Keys of hidden states: ``float[..., H]`` to ``float32[..., K]`` of length one."""
        key = ((hidden.astype(np.float32) - self.mean) / self.std) @ self.components
        key /= np.maximum(np.linalg.norm(key, axis=-1, keepdims=True), _LEAST_STD)
        return key.astype(np.float32)

    def nearest(self, key: Floats, first: int, count: int) -> npt.NDArray[np.int64]:
        """Positions of the ``count`` keys nearest to ``key`` (``float32[K]``) that are followed by ``first``."""
        group = int(np.searchsorted(self.first_tokens, first))
        if group == len(self.first_tokens) or self.first_tokens[group] != first:
            return np.empty(0, np.int64)
        members = slice(int(self.starts[group]), int(self.starts[group + 1]))
        closeness = self.keys[members].astype(np.float32) @ key
        best = np.argsort(-closeness, kind="stable")[:count]
        nearest: npt.NDArray[np.int64] = self.positions[members][best]
        return nearest

    def save(self, folder: Path) -> None:
        """Write the arrays into ``folder``, one file each."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in self.__dict__.items():
            np.save(folder / f"{name}.npy", values)

    @classmethod
    def load(cls, folder: Path) -> DenseIndex:
        """Map the arrays of ``folder`` into memory. Raises :class:`LatticeworkError` if one is missing."""
        try:
            return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.__dataclass_fields__})
        except (OSError, ValueError) as error:
            raise LatticeworkError("datastore", f"{folder}: not an index over hidden states ({error})") from error
