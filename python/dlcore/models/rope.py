"""Rotary position embedding: J. Su et al., RoFormer: Enhanced transformer with rotary position embedding
(2021), and the ways to stretch it past the length that a model was trained at.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlcore import _C
from dlcore.autograd import record
from dlcore.tensor import Tensor

__all__ = ["RotaryTable", "rope_parameters", "rotate"]

_Floats = np.ndarray[Any, Any]  # float32
_NEEDS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
}


def rope_parameters(given: dict[str, Any] | None, theta: float, max_positions: int) -> dict[str, Any]:
    """The parameters in today's form, from `rope_parameters` or the older `rope_scaling` and `rope_theta`.

    Raises ValueError for a type that is not known and for one whose parameters are missing.
    """
    values = dict(given or {})
    kind = values.pop("type", "default")
    kind = values.setdefault("rope_type", kind)
    values.setdefault("rope_theta", theta)
    if kind not in _NEEDS:
        raise ValueError(f"rope_parameters: rope_type must be one of {', '.join(_NEEDS)}, got {kind!r}")
    missing = [name for name in _NEEDS[kind] if values.get(name) is None]
    if missing:
        raise ValueError(f"rope_parameters: {kind!r} needs {', '.join(missing)}, got {values}")
    if kind in ("llama3", "yarn"):
        values.setdefault("original_max_position_embeddings", max_positions)
    return values


class RotaryTable:
    """Cosines and sines for heads of size D, by the parameters of `rope_parameters`.

    Angles are computed in float32, as in every implementation that models were trained with.
    """

    def __init__(self, dim: int, parameters: dict[str, Any], max_positions: int) -> None:
        if dim < 2 or dim % 2:
            raise ValueError(f"rotary embedding: the head size must be even and positive, got {dim}")
        self.dim, self.parameters, self.max_positions = dim, parameters, max_positions
        self.scale = 1.0  # of cosine and sine
        self.frequencies: _Floats = self._frequencies()

    def _powers(self, theta: float) -> _Floats:
        exponents = np.arange(0, self.dim, 2, dtype=np.float32) / np.float32(self.dim)
        powers: _Floats = np.power(np.float32(theta), exponents)
        return powers

    def _frequencies(self, length: int = 0) -> _Floats:
        p = self.parameters
        kind, theta = p["rope_type"], float(p["rope_theta"])
        if kind == "dynamic":  # the base grows with the text
            ratio = max(length, self.max_positions) / self.max_positions
            theta *= (p["factor"] * ratio - (p["factor"] - 1)) ** (self.dim / max(self.dim - 2, 1))
        plain = np.float32(1) / self._powers(theta)
        if kind == "linear":
            return plain / np.float32(p["factor"])
        if kind == "llama3":
            return self._llama3(plain, p)
        if kind == "yarn":
            return self._yarn(theta, p)
        return plain

    def _llama3(self, plain: _Floats, p: dict[str, Any]) -> _Floats:
        """Long waves are slowed by `factor`, short ones kept, those between mixed."""
        low, high, factor = p["low_freq_factor"], p["high_freq_factor"], p["factor"]
        turns = p["original_max_position_embeddings"] * plain / (2 * math.pi)
        keep = np.clip((turns - low) / (high - low), 0, 1)
        mixed: _Floats = (plain * (keep + (1 - keep) / factor)).astype(np.float32)
        return mixed

    def _yarn(self, theta: float, p: dict[str, Any]) -> _Floats:
        """B. Peng et al.: YaRN: Efficient context window extension of large language models (2023)."""
        factor, length = p["factor"], p["original_max_position_embeddings"]
        attention, mscale, all_dim = (p.get(k) for k in ("attention_factor", "mscale", "mscale_all_dim"))
        if attention is None:
            attention = _mscale(factor, mscale or 1)
            if mscale and all_dim:
                attention /= _mscale(factor, all_dim)
            elif mscale:
                attention = _mscale(factor, 1)
        self.scale = float(attention)
        bounds = [
            self.dim * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))
            for turns in (p.get("beta_fast") or 32, p.get("beta_slow") or 1)
        ]
        if p.get("truncate", True):
            bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
        low, high = max(bounds[0], 0), min(bounds[1], self.dim - 1)
        high += 0.001 if low == high else 0
        ramp = np.clip((np.arange(self.dim // 2, dtype=np.float32) - low) / (high - low), 0, 1)
        powers = self._powers(theta)
        mixed: _Floats = (ramp / (factor * powers) + (1 - ramp) / powers).astype(np.float32)
        return mixed

    def __call__(self, positions: np.ndarray[Any, Any], dtype: Any) -> tuple[_C.Array, _C.Array]:
        """positions (B or 1, L) -> (cos, cos) and (-sin, sin), each (B or 1, L, 1, D)."""
        frequencies = self.frequencies
        if self.parameters["rope_type"] == "dynamic" and positions.size:
            longest = int(positions.max()) + 1
            if longest > self.max_positions:
                frequencies = self._frequencies(longest)
        angles = positions[..., None, None].astype(np.float32) * frequencies  # (B, L, 1, D / 2)
        scale = np.float32(self.scale)
        cos, sin = np.cos(angles) * scale, np.sin(angles) * scale
        return tuple(  # type: ignore[return-value]
            _C.clone(_C.from_numpy(np.concatenate(halves, -1).astype(dtype, copy=False)))
            for halves in ((cos, cos), (-sin, sin))
        )


def _mscale(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def rotate(x: Tensor, cos: _C.Array, sin: _C.Array) -> Tensor:
    """x (B, L, H, D) turned by its positions' angles: x · cos + (second half, first half) · sin."""
    half = x.shape[-1] // 2

    def swapped(a: _C.Array) -> _C.Array:
        whole = Tensor(a)
        return _C.concatenate([whole[..., half:].array, whole[..., :half].array], -1)

    y = _C.add(_C.mul(x.array, cos), _C.mul(swapped(x.array), sin))

    def rotate_backward(g: _C.Array, needs: tuple[bool, ...]) -> tuple[_C.Array]:
        return (_C.sub(_C.mul(g, cos), _C.mul(swapped(g), sin)),)

    return record(y, (x,), rotate_backward)
