"""Einstein summation, as products of matrices.

Two operands at a time: axes that both have and the result keeps become a batch, axes that both have and it
drops are contracted by one batched matmul, the others are rows and columns. Operands are taken from left to
right. How they are laid out depends on the equation and the shapes alone and is remembered.
"""

from __future__ import annotations

import functools
import math
import string
from typing import Any, NamedTuple

from dlcore.functional.matmul import matmul
from dlcore.functional.shape import diagonal, expand, permute, reshape
from dlcore.tensor import Tensor

__all__ = ["einsum"]

Labels = list[str]


def _labels(term: str, ndim: int, equation: str) -> Labels:
    """One label an axis; the axes of '...' are numbered from the right: "-1", "-2"."""
    head, dots, tail = term.partition("...")
    named = head + tail
    if not all(c.isascii() and c.isalpha() for c in named):
        raise ValueError(f"einsum: labels must be letters, got {equation!r}")
    extra = ndim - len(named)
    if extra < 0 or (extra > 0 and not dots):
        raise ValueError(
            f"einsum: {term!r} must name each of the {ndim} axes of its operand, got {equation!r}"
        )
    return [*head, *[str(-k) for k in range(extra, 0, -1)], *tail]


def _parse(equation: str, ranks: list[int]) -> tuple[list[Labels], Labels]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: {equation!r} has {len(terms)} operands, got {len(ranks)}")
    inputs = [_labels(t, n, equation) for t, n in zip(terms, ranks)]
    seen = [c for labels in inputs for c in labels]
    dots = sorted({c for c in seen if c[0] == "-"}, key=int)
    if not arrow:
        return inputs, [*dots, *sorted(c for c in set(seen) if c[0] != "-" and seen.count(c) == 1)]
    head, mid, tail = right.partition("...")
    output = [*head, *(dots if mid else []), *tail]
    if not all(c in seen for c in output) or len(set(output)) != len(output):
        raise ValueError(
            f"einsum: the result's labels must be distinct labels of the operands, got {equation!r}"
        )
    return inputs, output


class _Operand(NamedTuple):
    """How an operand is laid out: summed, permuted, broadcast, reshaped; None where it is so already."""

    gone: list[int] | None
    order: list[int] | None
    wide: list[int] | None
    shape: list[int] | None


class _Product(NamedTuple):
    """Two operands as (batch..., M, K) and (batch..., K, N), K contracted (or 1), and the result's shape."""

    a: _Operand
    b: _Operand
    contracts: bool
    shape: list[int]


class _Plan(NamedTuple):
    diagonals: list[list[tuple[int, int]]]
    products: list[_Product]
    last: _Operand


def _diagonals(labels: Labels, shape: tuple[int, ...]) -> tuple[list[tuple[int, int]], Labels, list[int]]:
    """The pairs of axes whose diagonal is taken, one for each repetition of a label; it comes last."""
    pairs, sizes = [], list(shape)
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if sizes[i] != sizes[j]:
                raise ValueError(f"einsum: the axes of a repeated label must agree, got {shape} for {c!r}")
            pairs.append((i, j))
            labels = [*[k for n, k in enumerate(labels) if n not in (i, j)], c]
            sizes = [*[k for n, k in enumerate(sizes) if n not in (i, j)], sizes[i]]
    return pairs, labels, sizes


def _lay_out(
    labels: Labels, shape: list[int], groups: list[Labels], sizes: dict[str, int]
) -> tuple[_Operand, list[int]]:
    """An operand's axes in the groups' order, each group one axis, labels in no group summed away."""
    wanted = [c for g in groups for c in g]
    gone = [i for i, c in enumerate(labels) if c not in wanted]
    left = [c for c in labels if c in wanted]
    order = [left.index(c) for c in wanted]
    have = [shape[labels.index(c)] for c in wanted]
    wide = [sizes[c] for c in wanted]
    merged = [math.prod(sizes[c] for c in g) for g in groups]
    how = _Operand(
        gone or None,
        None if order == list(range(len(order))) else order,
        None if wide == have else wide,
        None if merged == wide else merged,
    )
    return how, merged


_MOST_BATCH_AXES = 5  # beside rows, columns and the contracted axis, of the eight that a tensor has


@functools.lru_cache(maxsize=512)
def _plan(equation: str, shapes: tuple[tuple[int, ...], ...]) -> _Plan:
    terms, output = _parse(equation, [len(s) for s in shapes])
    found = [_diagonals(t, s) for t, s in zip(terms, shapes)]
    sizes: dict[str, int] = {}
    for _, labels, shape in found:
        for c, n in zip(labels, shape):
            if sizes.setdefault(c, n) != n and 1 not in (sizes[c], n):
                raise ValueError(
                    f"einsum: label {c!r} must have one size, got {sizes[c]} and {n} in {equation!r}"
                )
            sizes[c] = n if sizes[c] == 1 else sizes[c]
    _, la, sa = found[0]
    products = []
    for i, (_, lb, sb) in enumerate(found[1:], 1):
        keep = {c for _, other, _ in found[i + 1 :] for c in other} | set(output)
        both = [c for c in la if c in lb]
        batch, inner = [c for c in both if c in keep], [c for c in both if c not in keep]
        rows = [c for c in la if c not in lb and c in keep]
        cols = [c for c in lb if c not in la and c in keep]
        lead = [[c] for c in batch] if len(batch) <= _MOST_BATCH_AXES else [batch]
        a, _ = _lay_out(la, sa, [*lead, rows, inner], sizes)
        b, _ = _lay_out(lb, sb, [*lead, inner, cols], sizes)
        la = [*batch, *rows, *cols]
        sa = [sizes[c] for c in la]
        products.append(_Product(a, b, bool(inner), sa))
    last, _ = _lay_out(la, sa, [[c] for c in output], {**sizes, **dict(zip(la, sa))})
    return _Plan([d for d, _, _ in found], products, last)


def _laid_out(x: Tensor, how: _Operand) -> Tensor:
    if how.gone is not None:
        x = x.sum(how.gone)
    if how.order is not None:
        x = permute(x, how.order)
    if how.wide is not None:
        x = expand(x, how.wide)
    return x if how.shape is None else reshape(x, how.shape)


def _from_sublists(args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """einsum(x, [0, 1], y, [1, 2], [0, 2]) as "AB,BC->AC": the axes of each operand as integers or `...`."""
    n, letters = len(args) // 2, string.ascii_uppercase + string.ascii_lowercase

    def term(axes: Any) -> str:
        if not isinstance(axes, (list, tuple)) or not all(
            c is Ellipsis or (isinstance(c, int) and 0 <= c < 52) for c in axes
        ):
            raise ValueError(f"einsum: axes must be lists of integers in [0, 52) and ..., got {axes!r}")
        return "".join("..." if c is Ellipsis else letters[c] for c in axes)

    equation = ",".join(term(a) for a in args[1 : 2 * n : 2])
    if len(args) % 2:
        equation += "->" + term(args[-1])
    return equation, args[0 : 2 * n : 2]


def einsum(equation: Any, *operands: Any) -> Tensor:
    """y[output] = sum over the labels that the output lacks of the product of the operands.

    "ij,jk->ik" is a product of matrices; without "->" the labels that occur once, in alphabetical order, are
    the output; "..." stands for the axes that are not named; a repeated label takes a diagonal; axes of size
    1 broadcast. Instead of letters, a list of integers may follow each operand and, for the output, the last.

    Raises ValueError for labels that do not fit the operands.

    >>> import dlcore
    >>> a, b = dlcore.tensor([[1.0, 2.0]]), dlcore.tensor([[3.0], [4.0]])
    >>> dlcore.einsum("ij,jk->ik", a, b).tolist()
    [[11.0]]
    """
    if isinstance(equation, Tensor):
        equation, operands = _from_sublists((equation, *operands))
    if not isinstance(equation, str):
        raise TypeError(f"einsum: the equation must be a string, got {type(equation).__name__}")
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    if not operands or not all(isinstance(x, Tensor) for x in operands):
        raise TypeError("einsum: the operands must be tensors")
    plan = _plan(equation, tuple([x.shape for x in operands]))
    xs = []
    for x, pairs in zip(operands, plan.diagonals):
        for i, j in pairs:
            x = diagonal(x, 0, i, j)
        xs.append(x)
    y = xs[0]
    for x, step in zip(xs[1:], plan.products):
        a, b = _laid_out(y, step.a), _laid_out(x, step.b)
        if not step.contracts:
            z = a * b  # (..., M, 1) by (..., 1, N)
        elif a.dtype == b.dtype and a.is_floating_point():
            z = matmul(a, b)
        else:
            z = (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)
        y = z if list(z.shape) == step.shape else reshape(z, step.shape)
    return _laid_out(y, plan.last)
