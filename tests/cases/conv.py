"""Cases of the convolution family."""

import numpy as np

import dlcore
from dlcore import functional as F
from tests.cases import Error, OpCase, Sample
from tests.reference import conv as ref


def last(x, nd=2):
    """The same array with channels fastest in memory, as Keras lays it out."""
    return np.moveaxis(np.moveaxis(x, -1 - nd, -1).copy(), -1, -1 - nd)


def keras_weight(w):
    """(O, C, R, S) seen through a (R, S, C, O) array."""
    return np.moveaxis(np.moveaxis(w, (0, 1), (-1, -2)).copy(), (-1, -2), (0, 1))


# (x, weight, stride, padding, dilation, groups): small enough for central differences
SMALL = {
    "plain": ((2, 3, 5, 4), (4, 3, 3, 2), 1, 0, 1, 1),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0, 1, 1),
    "1x1": ((2, 5, 3, 4), (3, 5, 1, 1), 1, 0, 1, 1),
    "1x1 stride 2": ((2, 3, 5, 4), (3, 3, 1, 1), 2, 0, 1, 1),
    "1xN": ((2, 2, 3, 7), (3, 2, 1, 5), 1, (0, 2), 1, 1),
    "Nx1": ((2, 2, 11, 1), (3, 2, 5, 1), 1, (2, 0), 1, 1),
    "kernel is input": ((2, 2, 4, 3), (3, 2, 4, 3), 1, 0, 1, 1),
    "padding beyond kernel": ((1, 2, 2, 3), (2, 2, 2, 2), 1, 4, 1, 1),
    "strides": ((1, 2, 7, 8), (3, 2, 3, 2), (3, 2), (2, 1), 1, 1),
    "stride beyond kernel": ((1, 2, 9, 8), (2, 2, 2, 1), (4, 3), 0, 1, 1),
    "dilation": ((1, 2, 7, 9), (3, 2, 2, 3), 1, (1, 2), (3, 2), 1),
    "dilation and stride": ((1, 1, 9, 8), (2, 1, 3, 2), 2, 3, (2, 3), 1),
    "groups": ((2, 6, 4, 5), (4, 3, 2, 3), 1, 1, 1, 2),
    "groups of 2": ((2, 18, 4, 3), (18, 2, 3, 2), 1, 1, 1, 9),
    "depthwise": ((2, 5, 5, 4), (5, 1, 3, 3), 1, 1, 1, 5),
    "depthwise stride 2": ((1, 3, 6, 5), (3, 1, 3, 2), 2, 1, 1, 3),
    "depthwise multiplier": ((1, 3, 4, 5), (6, 1, 2, 3), 1, 0, 1, 3),
    "same": ((1, 2, 5, 4), (2, 2, 4, 3), 1, "same", 1, 1),
    "asymmetric": ((1, 2, 4, 5), (2, 2, 3, 2), 2, ((0, 1), (2, 0)), 1, 1),
    "empty batch": ((0, 2, 4, 5), (3, 2, 3, 2), 1, 1, 1, 1),
    "unbatched": ((3, 4, 5), (2, 3, 2, 3), 1, 1, 1, 1),
}

# Around the tiles (6 and 14 pixels; 8, 16 and 32 channels), the blocks, many chunks.
LARGE = {
    "first layer": ((9, 1, 28, 28), (32, 1, 3, 3), 1, 0, 1, 1),
    "second layer": ((5, 32, 13, 13), (64, 32, 3, 3), 1, 0, 1, 1),
    "rgb stem": ((2, 3, 61, 57), (33, 3, 7, 7), 2, 3, 1, 1),
    "3x3": ((2, 47, 29, 31), (65, 47, 3, 3), 1, 1, 1, 1),
    "3x3 stride 2": ((2, 33, 29, 30), (31, 33, 3, 3), 2, 1, 1, 1),
    "3x3 deep": ((1, 131, 7, 7), (129, 131, 3, 3), 1, "same", 1, 1),
    "1x1": ((3, 65, 17, 19), (70, 65, 1, 1), 1, 0, 1, 1),
    "1x1 to 3": ((2, 100, 20, 21), (3, 100, 1, 1), 1, 0, 1, 1),
    "groups": ((2, 36, 15, 17), (54, 12, 3, 3), 1, 1, 1, 3),
    "groups of 2": ((2, 70, 15, 17), (70, 2, 5, 5), 2, 2, 1, 35),
    "groups of 4": ((2, 132, 15, 17), (132, 4, 3, 3), 1, 1, 1, 33),
    "groups of 8": ((2, 88, 16, 15), (88, 8, 3, 3), 2, 2, 2, 11),
    "1x1 stride 2": ((2, 65, 17, 19), (70, 65, 1, 1), 2, 0, 1, 1),
    "1x1 strides, padded behind": ((2, 33, 16, 18), (17, 33, 1, 1), (3, 2), ((0, 2), (0, 1)), 1, 1),
    "depthwise": ((2, 67, 30, 29), (67, 1, 3, 3), 1, 1, 1, 67),
    "depthwise 5x5 stride 2": ((2, 48, 31, 29), (48, 1, 5, 5), 2, 2, 1, 48),
    "linear": ((17, 19, 4, 5), (33, 19, 4, 5), 1, 0, 1, 1),
    "depthwise 20 columns": ((2, 19, 15, 20), (19, 1, 3, 3), 1, 1, 1, 19),
    "depthwise 3x3 stride 2": ((2, 35, 45, 77), (35, 1, 3, 3), 2, 1, 1, 35),
    "depthwise 5x5 dilated": ((1, 17, 33, 50), (17, 1, 5, 5), 1, 4, 2, 17),
    "few pixels": ((1, 66, 7, 7), (40, 66, 3, 3), 1, 1, 1, 1),
    "few pixels in groups": ((2, 72, 6, 5), (80, 36, 3, 3), 2, 1, 1, 2),
    "wide": ((1, 5, 3, 900), (7, 5, 3, 9), 1, 1, 1, 1),
    "tall": ((1, 5, 900, 2), (7, 5, 9, 2), 1, (4, 1), 1, 1),
    "image, stride 4": ((2, 3, 65, 83), (13, 3, 11, 11), 4, 2, 1, 1),
    "image, stride 3, dilated": ((2, 2, 33, 71), (5, 2, 3, 3), 3, 2, 2, 1),
    "image, padding beyond the kernel": ((1, 4, 5, 30), (9, 4, 2, 2), 2, (4, 7), 1, 1),
    "1x1, many pixels": ((3, 21, 29, 31), (35, 21, 1, 1), 1, 0, 1, 1),
    "1x1, many channels": ((2, 1030, 8, 8), (9, 1030, 1, 1), 1, 0, 1, 1),
    "groups of 16": ((2, 48, 14, 14), (48, 16, 3, 3), 1, 1, 1, 3),
    "groups, three each": ((2, 5, 9, 40), (15, 1, 3, 3), 1, 1, 1, 5),
    "image out": ((2, 40, 31, 33), (3, 40, 3, 3), 1, 1, 1, 1),
    "image out, one plane": ((1, 70, 19, 40), (1, 70, 3, 5), 1, (1, 2), 1, 1),
    "image, a row": ((3, 1, 1, 500), (9, 1, 1, 5), 1, (0, 2), 1, 1),
}


def draw(rng, spec):
    x, w, *rest = spec
    x = rng.standard_normal(x)
    w = rng.standard_normal(w) / np.sqrt(max(1, np.prod(w[1:])))
    return x, w, rng.standard_normal(w.shape[0]), rest


def flat(name, spec):
    """The 1-d form of a spec: its last spatial axis."""
    x, w, stride, padding, dilation, groups = spec

    def one(v):
        return v if isinstance(v, (int, str)) else v[-1:]

    return (*x[:-2], x[-1]), (*w[:2], w[-1]), one(stride), one(padding), one(dilation), groups


def samples_2d(rng):
    out = []
    for name, spec in SMALL.items():
        x, w, b, rest = draw(rng, spec)
        out.append(Sample((x, w, b, *rest), id=name))
        out.append(
            Sample((last(x), keras_weight(w), b, *rest), id=f"{name}, channels-last", grad=x.size < 100)
        )
    x, w, b, rest = draw(rng, SMALL["plain"])
    out += [Sample((x, w, b, *rest, act), id=act) for act in ("relu", "sigmoid", "tanh")]
    out += [
        Sample((last(x), w, None, 1, 1, 1, 1, "relu"), id="channels-last, no bias, relu"),
        Sample((x[::-1, ::-1, ::-1, ::-1], w[::-1, ::-1, ::-1, ::-1], b), id="negative strides"),
        Sample((np.broadcast_to(x[:1, :1], (2, 3, 5, 4)), w, b), id="broadcast view"),
        Sample((rng.standard_normal((2, 6, 10, 12))[:, ::2, ::2, ::3], w, b), id="strided view"),
        Sample((x, w), id="no bias"),
    ]
    return out


def large_2d(rng):
    out = []
    for name, spec in LARGE.items():
        x, w, b, rest = draw(rng, spec)
        out.append(Sample((x, w, b, *rest, "relu"), id=name, grad=False))
        out.append(Sample((last(x), keras_weight(w), b, *rest), id=f"{name}, channels-last", grad=False))
    return out


# The same in three dimensions, and what only depth brings.
SMALL_3D = {
    "plain": ((2, 3, 3, 4, 3), (4, 3, 2, 3, 2), 1, 0, 1, 1),
    "one voxel": ((1, 1, 1, 1, 1), (1, 1, 1, 1, 1), 1, 0, 1, 1),
    "1x1x1": ((2, 5, 2, 3, 2), (3, 5, 1, 1, 1), 1, 0, 1, 1),
    "flat": ((2, 2, 1, 3, 4), (3, 2, 1, 2, 2), 1, 0, 1, 1),
    "depth only": ((2, 2, 5, 2, 2), (3, 2, 3, 1, 1), 1, (1, 0, 0), 1, 1),
    "padding beyond kernel": ((1, 2, 1, 2, 2), (2, 2, 2, 2, 1), 1, (3, 1, 2), 1, 1),
    "strides": ((1, 2, 5, 4, 6), (3, 2, 2, 3, 2), (2, 3, 1), (1, 1, 0), 1, 1),
    "dilation": ((1, 2, 5, 5, 4), (2, 2, 2, 2, 2), 1, (1, 0, 1), (3, 2, 1), 1),
    "groups": ((1, 4, 3, 3, 2), (6, 2, 2, 2, 2), 1, 1, 1, 2),
    "depthwise": ((1, 3, 3, 3, 4), (3, 1, 3, 3, 3), 1, 1, 1, 3),
    "same": ((1, 2, 3, 4, 3), (2, 2, 2, 3, 4), 1, "same", 1, 1),
    "asymmetric": ((1, 2, 3, 4, 3), (2, 2, 2, 3, 2), 2, ((0, 1), (2, 0), (1, 1)), 1, 1),
    "empty batch": ((0, 2, 3, 3, 3), (3, 2, 2, 2, 2), 1, 1, 1, 1),
    "unbatched": ((2, 3, 4, 3), (2, 2, 2, 2, 2), 1, 1, 1, 1),
}
LARGE_3D = {
    "first layer": ((1, 3, 7, 30, 29), (33, 3, 3, 3, 3), 1, 1, 1, 1),
    "small planes": ((3, 18, 9, 5, 4), (20, 18, 3, 3, 3), 1, 1, 1, 1),
    "deep": ((2, 67, 2, 7, 7), (65, 67, 3, 3, 3), 1, 1, 1, 1),
    "stride 2": ((2, 17, 9, 14, 15), (19, 17, 3, 3, 3), 2, 1, 1, 1),
    "1x1x1": ((2, 33, 3, 9, 10), (34, 33, 1, 1, 1), 1, 0, 1, 1),
    "depthwise": ((2, 34, 5, 12, 11), (34, 1, 3, 3, 3), 1, 1, 1, 34),
}

# (x, weight, stride, padding, output_padding, groups, dilation) of transposed convolutions
SMALL_TRANSPOSE = {
    "plain": ((2, 3, 3, 4), (3, 4, 3, 2), 1, 0, 0, 1, 1),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0, 0, 1, 1),
    "1x1": ((2, 5, 3, 4), (5, 3, 1, 1), 1, 0, 0, 1, 1),
    "4x4 stride 2": ((2, 3, 3, 2), (3, 2, 4, 4), 2, 1, 0, 1, 1),
    "output padding": ((1, 2, 3, 4), (2, 3, 3, 3), (2, 3), 1, (1, 2), 1, 1),
    "output padding up to dilation": ((1, 2, 3, 2), (2, 2, 2, 2), 1, 0, 2, 1, 3),
    "stride beyond kernel": ((1, 2, 3, 2), (2, 3, 2, 1), (4, 3), 0, (1, 0), 1, 1),
    "padding crops": ((1, 2, 4, 4), (2, 2, 3, 3), 1, 2, 0, 1, 1),
    "dilation and stride": ((1, 2, 3, 2), (2, 2, 2, 3), 2, (2, 1), 1, 1, (3, 2)),
    "groups": ((2, 6, 2, 3), (6, 2, 2, 3), 1, 1, 0, 3, 1),
    "depthwise": ((1, 5, 3, 3), (5, 1, 3, 3), 2, 1, 1, 5, 1),
    "asymmetric": ((1, 2, 3, 4), (2, 2, 3, 3), 2, ((0, 1), (1, 0)), 0, 1, 1),
    "empty batch": ((0, 2, 3, 3), (2, 3, 2, 2), 2, 0, 0, 1, 1),
    "unbatched": ((3, 2, 3), (3, 2, 2, 3), 2, 1, 1, 1, 1),
}
LARGE_TRANSPOSE = {
    "first of a generator": ((9, 50, 1, 1), (50, 67, 4, 4), 1, 0, 0, 1, 1),
    "4x4 stride 2": ((3, 35, 9, 8), (35, 33, 4, 4), 2, 1, 0, 1, 1),
    "to rgb": ((2, 33, 17, 18), (33, 3, 4, 4), 2, 1, 0, 1, 1),
    "2x2 stride 2": ((2, 34, 15, 14), (34, 17, 2, 2), 2, 0, 0, 1, 1),
    "groups": ((2, 36, 9, 7), (36, 9, 3, 3), 2, 1, 1, 4, 1),
    "groups of 4": ((2, 68, 9, 7), (68, 4, 3, 3), 2, 1, 1, 17, 1),
}
SMALL_TRANSPOSE_3D = {
    "plain": ((1, 2, 2, 3, 2), (2, 3, 3, 2, 2), 1, 0, 0, 1, 1),
    "4x4x4 stride 2": ((1, 2, 2, 2, 1), (2, 2, 4, 4, 4), 2, 1, 0, 1, 1),
    "everything": ((1, 4, 2, 2, 3), (4, 1, 2, 3, 2), (2, 1, 3), (1, 2, 0), (1, 0, 2), 2, (1, 2, 1)),
    "unbatched": ((2, 2, 2, 2), (2, 2, 2, 2, 2), 2, 0, 1, 1, 1),
}
LARGE_TRANSPOSE_3D = {"4x4x4 stride 2": ((2, 33, 3, 5, 4), (33, 17, 4, 4, 4), 2, 1, 0, 1, 1)}


def samples_3d(rng, specs=SMALL_3D, grad=True):
    out = []
    for name, spec in specs.items():
        x, w, b, rest = draw(rng, spec)
        out.append(Sample((x, w, b, *rest, "" if grad else "relu"), id=name, grad=grad))
        out.append(
            Sample(
                (last(x, 3), keras_weight(w), None, *rest),
                id=f"{name}, channels-last",
                grad=grad and x.size < 50,
            )
        )
    x, w, b, rest = draw(rng, SMALL_3D["plain"])
    if grad:
        out.append(Sample((x[:, :, ::-1], w[:, :, ::-1, :, ::-1], b, *rest, "tanh"), id="negative strides"))
    return out


def large_3d(rng):
    return samples_3d(rng, LARGE_3D, grad=False)


def transposed(nd, specs, grad=True):
    """A maker of samples of conv_transpose{nd}d; 1-d ones from the last axis of 2-d specs."""

    def flatten(v):
        return v if isinstance(v, int) else v[-1:]

    def make(rng):
        out = []
        for name, (xs, ws, *rest) in specs.items():
            if nd == 1:
                xs, ws, rest = (*xs[:-2], xs[-1]), (*ws[:2], ws[-1]), [flatten(v) for v in rest]
            x, w = rng.standard_normal(xs), rng.standard_normal(ws) / np.sqrt(np.prod(ws))
            b = rng.standard_normal(ws[1] * rest[3])
            out.append(Sample((x, w, b, *rest), id=name, grad=grad))
            out.append(
                Sample(
                    (last(x, nd), keras_weight(w), None, *rest),
                    id=f"{name}, channels-last",
                    grad=grad and x.size < 50,
                )
            )
        return out

    return make


def transposed_gradient(samples):
    def make(rng):
        out = []
        for s in samples(rng):
            x, w, _, *rest = s.args
            dy = rng.standard_normal(ref.conv_transpose(x, w, None, *rest).shape)
            if "channels-last" in s.id:
                dy = last(dy, w.ndim - 2)
            out.append(Sample((dy, x, w, *rest), id=s.id, grad=False))
        return out

    return make


def samples_1d(rng):
    out = []
    for name, spec in SMALL.items():
        x, w, b, rest = draw(rng, flat(name, spec))
        out.append(Sample((x, w, b, *rest), id=name))
        out.append(
            Sample(
                (np.swapaxes(np.swapaxes(x, -1, -2).copy(), -1, -2), w, None, *rest, "tanh"),
                id=f"{name}, channels-last",
                grad=x.size < 30,
            )
        )
    return out


def large_1d(rng):
    out = []
    for x, w, *rest in [((2, 33, 700), (40, 33, 5), 1, "same", 2, 1), ((1, 1, 5000), (17, 1, 9), 4, 3, 1, 1)]:
        out.append(
            Sample((rng.standard_normal(x), rng.standard_normal(w), None, *rest), id=f"{x}*{w}", grad=False)
        )
    return out


def with_gradient(samples):
    """Calls of conv*_backward from calls of conv*: y where there is an activation."""

    def make(rng):
        out = []
        for s in samples(rng):
            x, w, b, stride, padding, dilation, groups, act = (
                *s.args,
                *[None, 1, 0, 1, 1, ""][len(s.args) - 2 :],
            )
            y = ref.conv(x, w, b, stride, padding, dilation, groups, act)
            dy = rng.standard_normal(y.shape)
            if "channels-last" in s.id and w.ndim > 3:
                dy = last(dy, w.ndim - 2)
            y = y if act else None
            out.append(Sample((dy, x, w, stride, padding, dilation, groups, act, y), id=s.id, grad=False))
        return out

    return make


# Shapes where Winograd's algorithm is taken: parts of all kinds (images, rows, pieces of rows), tails of
# tiles and of channels, weights that are read for each part and once.
WINOGRAD = {
    "56x56": ((1, 24, 56, 56), (32, 24, 3, 3), 1, 1, 1, 1),
    "13x13": ((6, 32, 13, 13), (64, 32, 3, 3), 1, 0, 1, 1),
    "odd": ((2, 20, 29, 31), (33, 20, 3, 3), 1, 2, 1, 1),
    "many images": ((41, 19, 9, 7), (40, 19, 3, 3), 1, 1, 1, 1),
    "wide": ((1, 33, 9, 700), (40, 33, 3, 3), 1, 1, 1, 1),
    "tall": ((1, 33, 700, 6), (40, 33, 3, 3), 1, "same", 1, 1),
    "asymmetric": ((2, 31, 27, 22), (65, 31, 3, 3), 1, ((0, 1), (2, 0)), 1, 1),
    "groups": ((3, 48, 17, 18), (80, 24, 3, 3), 1, 1, 1, 2),
    "deep": ((3, 131, 15, 14), (129, 131, 3, 3), 1, 1, 1, 1),
    "5x5": ((2, 21, 27, 29), (40, 21, 5, 5), 1, 2, 1, 1),
    "5x5, small images": ((50, 34, 7, 6), (33, 34, 5, 5), 1, "same", 1, 1),
    "5x5, groups": ((1, 64, 15, 40), (66, 32, 5, 5), 1, ((4, 0), (1, 2)), 1, 2),
    "512 channels": ((1, 512, 20, 20), (64, 512, 3, 3), 1, 1, 1, 1),
}


def large_winograd(rng):
    out = []
    for i, (name, spec) in enumerate(WINOGRAD.items()):
        x, w, b, rest = draw(rng, spec)
        act = ("relu", "", "tanh")[i % 3]
        out.append(Sample((x, w, b, *rest, act), id=name, grad=False))
        if "512" not in name:
            out.append(
                Sample((last(x), keras_weight(w), None, *rest), id=f"{name}, channels-last", grad=False)
            )
    return out


# Winograd's rounding errors, relative to the largest output: seen up to 30 eps with 3x3 kernels and 512
# channels, 45 eps in the weight gradient of 5x5 kernels. What dlcore.config.set_winograd states.
WINOGRAD_ERROR = 8e-6

f4 = np.ones((2, 6, 5, 5), np.float32)
w4 = np.ones((4, 6, 3, 3), np.float32)
g4 = np.ones((2, 4, 3, 3), np.float32)
ERRORS = [
    Error((f4[0, 0], w4), ValueError, r"conv2d: x must have 3 .unbatched. or 4 .*got x=\(5, 5\) float32 cpu"),
    Error((f4, w4[0]), ValueError, "weight must have 4 dimensions"),
    Error((f4, np.ones((8, 4, 3, 3), np.float32), None, 1, 0, 1, 2), ValueError,
          r"conv2d: weight must have in_channels/groups=3 inputs, got weight=\(8, 4, 3, 3\) float32 cpu"),
    Error((f4, w4, None, 0), ValueError, r"stride must be positive, got stride=\(0, 0\)"),
    Error((f4, w4, None, (1, -1)), ValueError, "stride must be positive"),
    Error((f4, w4, None, 1, -1), ValueError, "padding must not be negative"),
    Error((f4, w4, None, 1, 0, 0), ValueError, "dilation must be positive"),
    Error((f4, w4, None, 1, 0, 3), ValueError, r"kernel \(7 with dilation\) .* larger than the padded input"),
    Error((f4, w4, None, 1, 0, 1, 4), ValueError, "groups must divide in_channels=6"),
    Error((f4, w4[:, :2], None, 1, 0, 1, 3), ValueError, "groups must divide out_channels=4"),
    Error((f4, w4, None, 1, 0, 1, 0), ValueError, "groups must be positive"),
    Error((f4, w4, np.ones(3, np.float32)), ValueError, r"bias must have shape \(4,\)"),
    Error((f4, w4, np.ones(4)), TypeError, "bias must have the dtype of x"),
    Error((f4, w4.astype(np.float64)), TypeError, "weight must have the dtype of x"),
    Error((f4.astype(np.int64), w4.astype(np.int64)), TypeError, "x must be float32 or float64"),
    Error((f4, w4[:, :, :0]), ValueError, "kernel must not be empty"),
    Error((f4[:, :, :0], w4, None, 1, 2), ValueError, "x must not be empty along a spatial axis"),
    Error((f4, w4[:0]), ValueError, "weight must have outputs"),
    Error((f4, w4, None, 2, "same"), ValueError, "padding='same' must go with stride 1"),
    Error((f4, w4, None, 1, "full"), ValueError, "padding must be 'same', 'valid' or numbers"),
    Error((f4, w4, None, (1, 1, 1)), TypeError, "stride must be an int or 2 of them"),
    Error((f4, w4, None, 1.5), TypeError, "stride must be an int or 2 of them"),
    Error((f4, w4, None, 1 << 40), ValueError, "must lie below"),
    Error((f4, w4, None, 1, 0, 1, 1, "gelu"), ValueError, "activation must be one of"),
]  # fmt: skip
t4 = np.ones((6, 4, 3, 3), np.float32)
f3 = np.ones((1, 2, 3, 4, 5), np.float32)
w3 = np.ones((3, 2, 2, 2, 2), np.float32)
ERRORS_3D = [
    Error((f4[0, 0], w3), ValueError, r"conv3d: x must have 4 .unbatched. or 5 dimensions, got x=\(5, 5\)"),
    Error((f3, w3, None, 1, 0, 3), ValueError, r"the kernel \(4 with dilation\) .* along axis 2"),
    Error((f3, w3, None, (1, 1)), TypeError, "stride must be an int or 3 of them"),
    Error((f3, np.ones((3, 1, 2, 2, 2), np.float32)), ValueError, "in_channels/groups=2 inputs"),
]
ERRORS_TRANSPOSE = [
    Error((f4[0, 0], t4), ValueError, r"conv_transpose2d: x must have 3 .unbatched. or 4 dimensions"),
    Error((f4, t4[0]), ValueError, "weight must have 4 dimensions"),
    Error((f4, t4[:3]), ValueError, r"weight must have in_channels=6 inputs, got weight=\(3, 4, 3, 3\)"),
    Error((f4, t4, None, 1, 0, 0, 4), ValueError, "groups must divide in_channels=6"),
    Error((f4, t4, None, 1, 0, 0, 0), ValueError, "groups must be positive"),
    Error((f4, t4, np.ones(3, np.float32)), ValueError, r"bias must have shape \(4,\)"),
    Error((f4, t4, np.ones(4)), TypeError, "bias must have the dtype of x"),
    Error((f4, t4.astype(np.float64)), TypeError, "weight must have the dtype of x"),
    Error((f4, t4, None, 0), ValueError, "stride must be positive"),
    Error((f4, t4, None, 1, -1), ValueError, "padding must not be negative"),
    Error((f4, t4, None, 1, 0, 0, 1, 0), ValueError, "dilation must be positive"),
    Error((f4, t4, None, 2, 0, 2), ValueError, "output_padding must be smaller than stride or dilation"),
    Error((f4, t4, None, 2, 0, -1), ValueError, "output_padding must not be negative"),
    Error((f4, t4, None, 1, 4), ValueError, "the result must not be empty along axis 2"),
    Error((f4, t4, None, 1, "same"), TypeError, "padding must be an int or 2 of them"),
    Error((f4, t4, None, 1, 0, (1, 1, 1)), TypeError, "output_padding must be an int or 2 of them"),
    Error((np.ones((6, 4, 0), np.float32), t4), ValueError, "x must not be empty along a spatial axis"),
    Error((f4, t4[:, :0]), ValueError, "weight must have outputs"),
    Error((f4, t4, None, 1 << 40), ValueError, "must lie below"),
    Error((f4, t4[:, :, :0]), ValueError, "kernel must not be empty"),
]
CASES = [
    OpCase("conv2d", ["conv_forward"], dlcore.kernels.conv2d, ref.conv, samples_2d,
           functional=F.conv2d, diff=(0, 1, 2), large=large_2d, errors=ERRORS),
    OpCase("conv1d", ["conv_forward"], dlcore.kernels.conv1d, ref.conv, samples_1d,
           functional=F.conv1d, diff=(0, 1, 2), large=large_1d,
           errors=[
               Error((f4, w4[0]), ValueError, r"conv1d: x must have 2 \(unbatched\) or 3 dimensions"),
               Error((f4[0], w4[0], None, 1, 9, 1, 5), ValueError, "conv1d: groups must divide"),
           ]),
    OpCase("conv2d, Winograd", ["conv_forward"], dlcore.kernels.conv2d, ref.conv,
           large_winograd, dtypes=(np.float32,), rtol=WINOGRAD_ERROR, winograd=True),
    OpCase("conv2d_backward, Winograd", ["conv_backward_input", "conv_backward_weight"],
           dlcore.kernels.conv2d_backward, ref.conv_backward, with_gradient(large_winograd),
           dtypes=(np.float32,), rtol=WINOGRAD_ERROR, winograd=True),
    OpCase("conv2d_backward", ["conv_backward_input", "conv_backward_weight"],
           dlcore.kernels.conv2d_backward, ref.conv_backward, with_gradient(samples_2d),
           large=with_gradient(large_2d),
           errors=[
               Error((f4, f4, w4), ValueError, r"conv2d_backward: dy must have shape \(2, 4, 3, 3\)"),
               Error((g4.astype(np.float64), f4, w4), TypeError, "dy must have the dtype of x"),
               Error((g4, f4, w4, 1, 0, 1, 1, "relu"), ValueError, "must be given with an activation"),
           ]),
    OpCase("conv1d_backward", ["conv_backward_input", "conv_backward_weight"], dlcore.kernels.conv1d_backward,
           ref.conv_backward, with_gradient(samples_1d), large=with_gradient(large_1d)),
    OpCase("conv3d", ["conv_forward"], dlcore.kernels.conv3d, ref.conv, samples_3d, functional=F.conv3d,
           diff=(0, 1, 2), large=large_3d, errors=ERRORS_3D),
    OpCase("conv3d_backward", ["conv_backward_input", "conv_backward_weight"], dlcore.kernels.conv3d_backward,
           ref.conv_backward, with_gradient(samples_3d), large=with_gradient(large_3d)),
]  # fmt: skip
for nd, small, large in [
    (1, SMALL_TRANSPOSE, LARGE_TRANSPOSE),
    (2, SMALL_TRANSPOSE, LARGE_TRANSPOSE),
    (3, SMALL_TRANSPOSE_3D, LARGE_TRANSPOSE_3D),
]:
    name = f"conv_transpose{nd}d"
    CASES.append(
        OpCase(
            name,
            ["conv_backward_input"],
            getattr(dlcore.kernels, name),
            ref.conv_transpose,
            transposed(nd, small),
            functional=getattr(F, name),
            diff=(0, 1, 2),
            large=transposed(nd, large, grad=False),
            errors=ERRORS_TRANSPOSE if nd == 2 else [],
        )
    )
    CASES.append(
        OpCase(
            f"{name}_backward",
            ["conv_forward", "conv_backward_weight", "reduce"],
            getattr(dlcore.kernels, f"{name}_backward"),
            ref.conv_transpose_backward,
            transposed_gradient(transposed(nd, small)),
            large=transposed_gradient(transposed(nd, large)),
        )
    )
