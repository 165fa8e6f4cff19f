"""Einstein summation, as products of matrices.

Two operands at a time: axes that both have and the result keeps become a batch, axes that both have and it
drops are contracted by one batched matmul, the others are rows and columns. Operands are taken from left to
right.
"""

from __future__ import annotations

import string
from typing import Any

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


def _parse(equation: str, operands: list[Tensor]) -> tuple[list[Labels], Labels]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"einsum: {equation!r} has {len(terms)} operands, got {len(operands)}")
    inputs = [_labels(t, x.ndim, equation) for t, x in zip(terms, operands)]
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


def _without_repeats(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """The diagonal over each label that an operand has twice."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: the axes of a repeated label must agree, got {x.shape} for {c!r}")
            x = diagonal(x, 0, i, j)  # the diagonal comes last
            labels = [*[k for n, k in enumerate(labels) if n not in (i, j)], c]
    return x, labels


def _arranged(x: Tensor, labels: Labels, groups: list[Labels], sizes: dict[str, int]) -> Tensor:
    """x with its axes in the groups' order, each group merged into one axis."""
    x = permute(x, [labels.index(c) for g in groups for c in g])
    x = expand(x, [sizes[c] for g in groups for c in g])
    shape = []
    for g in groups:
        n = 1
        for c in g:
            n *= sizes[c]
        shape.append(n)
    return reshape(x, shape)


def _drop(x: Tensor, labels: Labels, keep: set[str]) -> tuple[Tensor, Labels]:
    gone = [i for i, c in enumerate(labels) if c not in keep]
    return (x.sum(gone), [c for c in labels if c in keep]) if gone else (x, labels)


def _pair(
    a: Tensor, la: Labels, b: Tensor, lb: Labels, keep: set[str], sizes: dict[str, int]
) -> tuple[Tensor, Labels]:
    a, la = _drop(a, la, keep | set(lb))
    b, lb = _drop(b, lb, keep | set(la))
    both = [c for c in la if c in lb]
    batch, inner = [c for c in both if c in keep], [c for c in both if c not in keep]
    rows, cols = [c for c in la if c not in lb], [c for c in lb if c not in la]
    x, y = _arranged(a, la, [batch, rows, inner], sizes), _arranged(b, lb, [batch, inner, cols], sizes)
    if inner and x.dtype == y.dtype and x.is_floating_point():
        z = matmul(x, y)
    elif inner:
        z = (x.unsqueeze(-1) * y.unsqueeze(1)).sum(2)
    else:
        z = x * y  # (B, M, 1) by (B, 1, N)
    labels = [*batch, *rows, *cols]
    return reshape(z, [sizes[c] for c in labels]), labels


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
    terms, output = _parse(equation, list(operands))
    pairs = [_without_repeats(x, labels) for x, labels in zip(operands, terms)]
    sizes: dict[str, int] = {}
    for x, labels in pairs:
        for c, n in zip(labels, x.shape):
            if sizes.setdefault(c, n) != n and 1 not in (sizes[c], n):
                raise ValueError(
                    f"einsum: label {c!r} must have one size, got {sizes[c]} and {n} in {equation!r}"
                )
            sizes[c] = n if sizes[c] == 1 else sizes[c]
    y, labels = pairs[0]
    for i, (x, lx) in enumerate(pairs[1:], 1):
        later = {c for _, other in pairs[i + 1 :] for c in other}
        y, labels = _pair(y, labels, x, lx, later | set(output), sizes)
    y, labels = _drop(y, labels, set(output))
    return permute(y, [labels.index(c) for c in output])
