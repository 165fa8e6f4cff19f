"""Cases of the pooling family."""

from functools import partial

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import pool as ref

K = dlcore.kernels


def nhwc(x):
    """The same values with the channels fastest."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -3, -1)), -1, -3)


def nlc(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -2, -1)), -1, -2)


def distinct(rng, *shape):
    """No ties and no near ties, so that central differences see one maximum."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 8.0


# (shape, kernel, stride, padding, dilation): 1, primes, vectors ± 1, windows that overlap, touch and leave
# gaps.
GEOMETRY_2D = [
    ((1, 1, 1, 1), 1, None, 0, 1),
    ((2, 3, 4, 6), 2, None, 0, 1),
    ((2, 3, 5, 7), 2, None, 0, 1),
    ((1, 2, 5, 5), 2, 2, 1, 1),
    ((3, 6, 7), 3, 2, 1, 1),
    ((1, 2, 7, 6), (3, 2), (1, 2), (1, 0), (2, 1)),
    ((1, 2, 6, 9), (2, 3), 1, (1, 1), (1, 3)),
    ((2, 1, 8, 5), (1, 2), (3, 2), 0, 1),
    ((1, 2, 3, 11), (2, 1), (2, 3), (1, 0), 1),
    ((0, 2, 4, 4), 2, None, 0, 1),
]
LARGE_2D = [
    ((2, 5, 34, 33), 2, 2, 0, 1),
    ((3, 33, 13, 18), 2, 2, 0, 1),
    ((2, 7, 19, 67), 3, 2, 1, 1),
    ((1, 17, 21, 40), 3, 1, 1, 1),
    ((1, 65, 9, 12), (3, 2), (3, 1), (1, 0), 2),
    ((2, 3, 40, 130), (2, 5), (2, 4), 0, 1),
    ((1, 2, 60, 61), (17, 16), (3, 5), 8, 1),
]
GEOMETRY_1D = [
    ((1, 1, 1), 1, None, 0, 1),
    ((2, 3, 8), 2, None, 0, 1),
    ((3, 9), 3, 2, 1, 1),
    ((1, 2, 13), 4, 3, 2, 2),
    ((0, 2, 4), 2, None, 0, 1),
]
LARGE_1D = [((2, 19, 301), 2, 2, 0, 1), ((3, 4, 77), 5, 3, 2, 3), ((2, 3, 4099), 4, 1, 2, 1)]
GEOMETRY_3D = [
    ((1, 1, 1, 1, 1), 1, None, 0, 1),
    ((1, 2, 2, 4, 6), 2, None, 0, 1),
    ((2, 3, 3, 4, 4), (2, 3, 2), (1, 2, 2), (0, 1, 1), (2, 1, 1)),
    ((2, 3, 2, 5), (3, 1, 2), (2, 1, 3), (1, 0, 0), 1),
    ((0, 2, 3, 3, 3), 2, None, 0, 1),
]
LARGE_3D = [
    ((2, 3, 6, 12, 34), 2, 2, 0, 1),
    ((1, 19, 5, 7, 18), 3, 2, 1, 1),
    ((1, 4, 7, 9, 40), (2, 3, 3), (3, 1, 1), (1, 1, 0), (1, 2, 1)),
    ((1, 2, 9, 10, 35), (7, 7, 6), (2, 3, 4), 3, 1),
]


def ndhwc(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -4, -1)), -1, -4)


LAST = {1: nlc, 2: nhwc, 3: ndhwc}


def max_samples(rng, geometry, n, grad=True):
    samples = []
    for i, (shape, k, s, p, d) in enumerate(geometry):
        for last in (False, True):
            x = distinct(rng, *shape)
            x = LAST[n](x) if last else x
            kwargs = {"ceil_mode": i % 2 == 1, "return_indices": i % 3 == 1}
            name = f"{shape} k={k} s={s} p={p} d={d}{' channels-last' * last}"
            samples.append(Sample((x, k, s, p, d), kwargs, name, grad))
    if n == 2:
        x = rng.integers(-2, 3, (2, 3, 9, 10)).astype(float)
        ties = {"return_indices": True}
        samples += [
            Sample((x, 3, 2, 1), ties, "ties", False),
            Sample((nhwc(x), 3, 2, 1), ties, "ties channels-last", False),
            Sample((np.full((1, 2, 4, 5), -np.inf), 2, 1, 1), ties, "-inf", False),
            Sample((nhwc(np.where(x > 1, np.nan, x)), 2, 1, 1), ties, "NaN channels-last", False),
            Sample((np.where(x > 1, np.nan, x), 3, 1, 1, 2), ties, "NaN", False),
            Sample((x[:, ::-1, ::-2, ::-3], 2, 1), ties, "negative strides", False),
            Sample((np.broadcast_to(x[:1, :1], (3, 2, 9, 10)), 2), ties, "broadcast view", False),
            Sample((x.transpose(0, 1, 3, 2), 2), {}, "transposed plane", False),
        ]
    return samples


def avg_samples(rng, geometry, n, grad=True):
    samples = []
    for i, (shape, k, s, p, _) in enumerate(geometry):
        for last in (False, True):
            x = rng.standard_normal(shape)
            x = LAST[n](x) if last else x
            kwargs = {"ceil_mode": i % 2 == 0, "count_include_pad": i % 3 != 1}
            if n == 2 and i % 4 == 3:
                kwargs["divisor_override"] = -3
            samples.append(
                Sample((x, k, s, p), kwargs, f"{shape} k={k} s={s} p={p}{' channels-last' * last}", grad)
            )
    return samples


ADAPTIVE = {
    1: [((2, 3, 7), 3), ((4, 10), 1), ((1, 2, 3), 5), ((2, 3, 4), (4,)), ((0, 2, 5), 2), ((1, 2, 5), 0)],
    2: [
        ((2, 3, 7, 5), 3),
        ((2, 3, 7, 7), 1),
        ((3, 4, 6), (None, 2)),
        ((1, 2, 3, 2), (5, 4)),
        ((0, 2, 5, 5), 2),
    ],
    3: [((1, 2, 3, 4, 5), 2), ((2, 3, 3, 2), (None, 2, 3)), ((1, 2, 2, 3, 3), 1), ((0, 2, 2, 2, 2), 1)],
}
LARGE_ADAPTIVE = {
    1: [((2, 33, 500), 7), ((3, 5, 1031), 1)],
    2: [((2, 37, 13, 17), (6, 5)), ((3, 65, 7, 7), 1), ((2, 5, 56, 57), 1), ((1, 3, 80, 33), (1, 9))],
    3: [((1, 33, 5, 13, 17), (2, 6, 5)), ((2, 3, 9, 7, 30), 1)],
}


def adaptive_samples(rng, n, geometry, make, grad=True):
    samples = []
    for shape, size in geometry[n]:
        for last in (False, True):
            x = make(rng, *shape)
            samples.append(
                Sample(
                    (LAST[n](x) if last else x, size), {}, f"{shape} to {size}{' channels-last' * last}", grad
                )
            )
    return samples


def drawn_pool(name, x, kernel, size, samples):
    return getattr(F, name)(x, kernel, size, return_indices=True, _random_samples=samples)


def normal(rng, *shape):
    return rng.standard_normal(shape)


def max_backward_samples(rng, n, geometry):
    samples = []
    for shape, k, s, p, d in geometry:
        x = rng.integers(-3, 3, shape).astype(float)
        for last in (False, True):
            y, index = ref.max_pool(x, n, k, s, p, d, return_indices=True)
            dy = rng.standard_normal(y.shape)
            dy, index = (LAST[n](dy), LAST[n](index)) if last else (dy, index)
            samples.append(Sample((dy, index, shape), {}, f"{shape} k={k} s={s}{' channels-last' * last}"))
    return samples


def avg_backward_samples(rng, n, geometry):
    samples = []
    for i, (shape, k, s, p, _) in enumerate(geometry):
        kwargs = {"ceil_mode": i % 2 == 0, "count_include_pad": i % 3 != 1}
        dy = rng.standard_normal(ref.avg_pool(np.empty(shape), n, k, s, p, **kwargs).shape)
        samples += [
            Sample((dy, shape, k, s, p), kwargs, f"{shape} k={k} s={s} p={p}"),
            Sample((LAST[n](dy), shape, k, s, p), kwargs, f"{shape} k={k} s={s} p={p} channels-last"),
        ]
    return samples


def adaptive_backward_samples(rng, n, geometry):
    samples = []
    for shape, size in geometry[n]:
        dy = rng.standard_normal(
            ref._avg(np.zeros(shape), n, ref._adaptive(np.empty(shape), n, size), False, None).shape
        )
        samples += [
            Sample((dy, shape), id=f"{shape}"),
            Sample((LAST[n](dy), shape), id=f"{shape} channels-last"),
        ]
    return samples


def twin(f, n):
    return lambda dy, *args, **kwargs: f(
        dy,
        *args[: 2 if f is ref.max_pool_backward else 1],
        n,
        *args[2 if f is ref.max_pool_backward else 1 :],
        **kwargs,
    )


x4 = np.ones((1, 2, 5, 5), np.float32)
x3 = np.ones((1, 2, 5), np.float32)
i4 = np.zeros((1, 2, 2, 2), np.int64)
x5 = np.ones((1, 2, 5, 5, 5), np.float32)
GEOMETRY = {1: GEOMETRY_1D, 2: GEOMETRY_2D, 3: GEOMETRY_3D}
LARGE = {1: LARGE_1D, 2: LARGE_2D, 3: LARGE_3D}


def errors(name, x, n):
    fits = "the kernel must fit into the padded input"
    return [
        Error((x.astype(np.int64), 2), TypeError, f"{name}: x must be float32 or float64"),
        Error(
            (x[0, 0], 2), ValueError, f"{name}: x must have {n + 1} .unbatched. or {n + 2} dimensions, got x="
        ),
        Error((x, 6), ValueError, f"{name}: {fits}, got"),
        Error((x, 0), ValueError, "kernel_size must be positive"),
        Error((x, 2, 0), ValueError, "stride must be positive"),
        Error((x, 2, -1), ValueError, "stride must be positive"),
        Error((x, 2, 1, 2), ValueError, "padding must be at least 0 and at most half of the kernel"),
        Error((x, 2, 1, -1), ValueError, "padding must be at least 0 and at most half of the kernel"),
        Error((x, 2.0), TypeError, f"{name}: kernel_size must be an integer"),
        Error((x, (2,) * 4), ValueError, f"{name}: kernel_size must be one integer or {n} of them"),
        Error((x, 1 << 40), ValueError, "kernel_size must be positive|must fit"),
        Error((x[..., :0], 1), ValueError, "sizes of the pooled axes must be positive"),
        Error((x[:, :0], 2), ValueError, "there must be channels"),
        Error((x.astype(object), 2), TypeError, "object arrays are not supported"),
    ]


CASES = []
for n, x in ((1, x3), (2, x4), (3, x5)):
    name = f"max_pool{n}d"
    CASES += [
        OpCase(
            name,
            ["max_pool_forward", "max_pool_backward"],
            getattr(K, name),
            getattr(ref, name),
            partial(max_samples, geometry=GEOMETRY[n], n=n),
            functional=getattr(F, name),
            large=partial(max_samples, geometry=LARGE[n], n=n, grad=False),
            errors=[*errors(name, x, n), Error((x, 2, 2, 0, 0), ValueError, "dilation must be positive")],
            exact=True,
        ),
        OpCase(
            f"avg_pool{n}d",
            ["avg_pool_forward", "avg_pool_backward"],
            getattr(K, f"avg_pool{n}d"),
            getattr(ref, f"avg_pool{n}d"),
            partial(avg_samples, geometry=GEOMETRY[n], n=n),
            functional=getattr(F, f"avg_pool{n}d"),
            large=partial(avg_samples, geometry=LARGE[n], n=n, grad=False),
            errors=errors(f"avg_pool{n}d", x, n)
            + [Error((x, 2, 2, 0, False, True, 0), ValueError, "divisor_override must not be zero")]
            * (n > 1),
        ),
        OpCase(
            f"adaptive_max_pool{n}d",
            ["max_pool_forward", "max_pool_backward"],
            getattr(K, f"adaptive_max_pool{n}d"),
            getattr(ref, f"adaptive_max_pool{n}d"),
            partial(adaptive_samples, n=n, geometry=ADAPTIVE, make=distinct),
            functional=getattr(F, f"adaptive_max_pool{n}d"),
            large=partial(adaptive_samples, n=n, geometry=LARGE_ADAPTIVE, make=distinct, grad=False),
            errors=[
                Error((x, -1), ValueError, "output sizes must not be negative"),
                Error((x, (1,) * 4), ValueError, f"output_size must be one integer or {n} of them"),
                Error((x[0, 0], 1), ValueError, "must have"),
            ],
            exact=True,
        ),
        OpCase(
            f"adaptive_avg_pool{n}d",
            ["avg_pool_forward", "avg_pool_backward"],
            getattr(K, f"adaptive_avg_pool{n}d"),
            getattr(ref, f"adaptive_avg_pool{n}d"),
            partial(adaptive_samples, n=n, geometry=ADAPTIVE, make=normal),
            functional=getattr(F, f"adaptive_avg_pool{n}d"),
            large=partial(adaptive_samples, n=n, geometry=LARGE_ADAPTIVE, make=normal, grad=False),
            errors=[
                Error((x, -1), ValueError, "output sizes must not be negative"),
                Error((x, 1.5), TypeError, "output_size must be an integer"),
                Error((x.astype(np.int32), 1), TypeError, "must be float32 or float64"),
            ],
        ),
        OpCase(
            f"max_pool{n}d_backward",
            ["max_pool_backward"],
            getattr(K, f"max_pool{n}d_backward"),
            twin(ref.max_pool_backward, n),
            partial(max_backward_samples, n=n, geometry=GEOMETRY[n]),
            large=partial(max_backward_samples, n=n, geometry=LARGE[n]),
            errors=[
                Error((x, np.zeros(x.shape, np.int32), x.shape), TypeError, "indices must be int64"),
                Error((x, np.full(x.shape, 999), x.shape), ValueError, "indices must lie in the planes of"),
                Error((x, i4[..., :1], x.shape), ValueError, "saved must have"),
            ],
        ),
        OpCase(
            f"avg_pool{n}d_backward",
            ["avg_pool_backward"],
            getattr(K, f"avg_pool{n}d_backward"),
            twin(ref.avg_pool_backward, n),
            partial(avg_backward_samples, n=n, geometry=GEOMETRY[n]),
            large=partial(avg_backward_samples, n=n, geometry=LARGE[n]),
            errors=[Error((x, x.shape, 2), ValueError, f"avg_pool{n}d_backward: dy must have")],
        ),
        OpCase(
            f"adaptive_avg_pool{n}d_backward",
            ["avg_pool_backward"],
            getattr(K, f"adaptive_avg_pool{n}d_backward"),
            twin(ref.adaptive_avg_pool_backward, n),
            partial(adaptive_backward_samples, n=n, geometry=ADAPTIVE),
            large=partial(adaptive_backward_samples, n=n, geometry=LARGE_ADAPTIVE),
            errors=[Error((x, (*x.shape[:-1], 0)), ValueError, "must be positive")],
        ),
    ]


FRACTIONAL = {
    2: [((2, 3, 7, 9), 2, 3), ((1, 2, 5, 5), (2, 1), (4, 5)), ((3, 6, 8), 3, (1, 4)), ((0, 2, 5, 5), 2, 2)],
    3: [((1, 2, 4, 5, 6), 2, (2, 3, 2)), ((2, 4, 4, 4), (1, 2, 3), (3, 2, 1))],
}
LARGE_FRACTIONAL = {2: [((3, 40, 31, 33), 2, (17, 19))], 3: [((1, 40, 9, 10, 33), 2, (4, 7, 20))]}


def fractional_samples(rng, n, geometry):
    samples = []
    for shape, kernel, size in geometry[n]:
        lead = shape[:2] if len(shape) == n + 2 else (1, shape[0])
        u = rng.random((*lead, n)).astype(np.float32).astype(float)  # the same draws in both dtypes
        samples.append(Sample((distinct(rng, *shape), kernel, size, u), {}, f"{shape} k={kernel} to {size}"))
    return samples


for n, x in ((2, x4), (3, x5)):
    name = f"fractional_max_pool{n}d"
    u = np.zeros((1, 2, n), np.float32)
    CASES.append(
        OpCase(
            name,
            ["fractional_max_pool_forward", "max_pool_backward"],
            getattr(K, name),
            getattr(ref, name),
            partial(fractional_samples, n=n, geometry=FRACTIONAL),
            functional=partial(drawn_pool, name),
            large=partial(fractional_samples, n=n, geometry=LARGE_FRACTIONAL),
            errors=[
                Error((x, 2, 9, u), ValueError, f"{name}: output_size . kernel_size - 1 must be"),
                Error((x, 6, 1, u), ValueError, "output_size . kernel_size - 1 must be"),
                Error((x, 0, 1, u), ValueError, "all positive"),
                Error((x, 2, -1, u), ValueError, "all positive"),
                Error((x, 2, 2, u[:, :1]), ValueError, "_random_samples must have shape"),
                Error((x, 2, 2, u.astype(np.float64)), TypeError, "must have the dtype of x"),
                Error((x[0, 0], 2, 2, u), ValueError, "dimensions, got"),
                Error((x.astype(np.int64), 2, 2, u), TypeError, "must be float32 or float64"),
            ],
            exact=True,
        )
    )
