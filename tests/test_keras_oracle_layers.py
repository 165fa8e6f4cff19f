"""Every layer of dlcore.keras beside Keras' own: weights, outputs, gradients, shapes, configurations."""

import warnings

import numpy as np
import pytest

from dlcore import keras as K
from tests import keras_oracle as o
from tests import oracle


def data(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


REG = {"kernel_regularizer": "l2", "bias_constraint": "non_neg"}


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "keras dense",
        4,
        units=[4],
        activation=[None, "relu", "softmax", "gelu", "sigmoid", "hard_silu"],
        use_bias=[True, False],
        kernel_initializer=["glorot_uniform", "he_normal", "orthogonal"],
        kernel_regularizer=[None, "l2"],
        bias_constraint=[None, "non_neg"],
    ),
)
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
def test_dense(a, shape, rng):
    o.both(lambda k: k.layers.Dense(**a), data(rng, *shape))


@pytest.mark.parametrize(
    "equation, output_shape, bias, shape",
    [
        ("ab,bc->ac", 4, "c", (3, 5)),
        ("abc,cd->abd", (None, 4), "d", (2, 3, 5)),
        ("abc,cde->abde", (None, 2, 4), "de", (2, 3, 5)),
        ("...x,xy->...y", 4, "y", (2, 3, 5)),
        ("abcd,cde->abe", (None, 4), None, (2, 3, 5, 2)),
        ("ab...,bc->ac...", 4, "c", (3, 5, 2)),
    ],
)
def test_einsum_dense(equation, output_shape, bias, shape, rng):
    o.both(lambda k: k.layers.EinsumDense(equation, output_shape, bias_axes=bias), data(rng, *shape))


CONV = {
    "strides": [1, 2],
    "padding": ["valid", "same"],
    "dilation_rate": [1, 2],
    "activation": [None, "relu"],
    "use_bias": [True, False],
}
SHAPES = {1: (2, 9, 4), 2: (2, 9, 8, 4), 3: (1, 6, 5, 7, 4)}


def legal(a):
    return not (a["strides"] == 2 and a["dilation_rate"] == 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("a", oracle.space("keras conv", 5, groups=[1, 2], kernel_size=[3, 2], **CONV))
def test_conv(rank, a, rng):
    if not legal(a):
        with pytest.raises(ValueError):
            getattr(K.layers, f"Conv{rank}D")(4, **a)
        return
    o.both(lambda k: getattr(k.layers, f"Conv{rank}D")(4, **a), data(rng, *SHAPES[rank]))


def test_causal_conv(rng):
    o.both(lambda k: k.layers.Conv1D(4, 3, padding="causal", dilation_rate=2), data(rng, 2, 9, 4))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("a", oracle.space("keras depthwise", 4, depth_multiplier=[1, 2], **CONV))
def test_depthwise_and_separable(rank, a, rng):
    if not legal(a):
        return
    o.both(lambda k: getattr(k.layers, f"DepthwiseConv{rank}D")(3, **a), data(rng, *SHAPES[rank]))
    o.both(lambda k: getattr(k.layers, f"SeparableConv{rank}D")(5, 3, **a), data(rng, *SHAPES[rank]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "keras conv transpose",
        6,
        kernel_size=[3, 2, 1],
        output_padding=[None, 0, 1],
        **{**CONV, "strides": [2, 1, 3]},
    ),
)
def test_conv_transpose(rank, a, rng):
    shape = {1: (2, 5, 3), 2: (2, 4, 5, 3), 3: (1, 3, 2, 4, 3)}[rank]
    bad = (a["strides"] > 1 and a["dilation_rate"] > 1) or (
        a["output_padding"] is not None and a["output_padding"] >= a["strides"]
    )
    if bad:
        with pytest.raises(ValueError):
            getattr(K.layers, f"Conv{rank}DTranspose")(2, **a)
        return
    o.both(lambda k: getattr(k.layers, f"Conv{rank}DTranspose")(2, **a), data(rng, *shape))


@pytest.mark.parametrize("kind", ["MaxPooling", "AveragePooling"])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "a", oracle.space("keras pool", 4, pool_size=[2, 3], strides=[None, 1, 2], padding=["valid", "same"])
)
def test_pool(kind, rank, a, rng):
    o.both(lambda k: getattr(k.layers, f"{kind}{rank}D")(**a), data(rng, *SHAPES[rank]))


@pytest.mark.parametrize("kind", ["GlobalMaxPooling", "GlobalAveragePooling"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_and_adaptive_pool(kind, rank, rng):
    for keepdims in (False, True):
        o.both(
            lambda k, keepdims=keepdims: getattr(k.layers, f"{kind}{rank}D")(keepdims=keepdims),
            data(rng, *SHAPES[rank]),
        )
    adaptive = kind.replace("Global", "Adaptive")
    o.both(lambda k: getattr(k.layers, f"{adaptive}{rank}D")(3), data(rng, *SHAPES[rank]))


def test_masked_average_pool(rng):
    mask = np.asarray([[1, 1, 0, 0], [1, 1, 1, 0]], bool)
    o.both(lambda k: k.layers.GlobalAveragePooling1D(), data(rng, 2, 4, 3), mask=mask)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "keras bn", 4, axis=[-1, 1, 2], momentum=[0.99, 0.5], center=[True, False], scale=[True, False]
    ),
)
def test_batch_normalization(a, training, rng):
    o.both(lambda k: k.layers.BatchNormalization(**a), data(rng, 4, 3, 5, 2), training=training, rtol=5e-5)


def test_batch_normalization_with_mask_and_renorm(rng):
    mask = np.asarray([[1, 1, 0], [1, 0, 0]], bool)
    o.both(lambda k: k.layers.BatchNormalization(), data(rng, 2, 3, 4), training=True, mask=mask)
    clip = {"rmax": 1.5, "rmin": 0.5, "dmax": 0.7}
    o.both(
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_clipping=clip),
        data(rng, 6, 4),
        training=True,
    )
    o.both(lambda k: k.layers.BatchNormalization(), data(rng, 1, 4), training=True, grad=False)


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], (-2, -1)])
def test_layer_normalization(axis, rng):
    o.both(lambda k: k.layers.LayerNormalization(axis=axis), data(rng, 2, 3, 4), rtol=5e-5)
    o.both(
        lambda k: k.layers.LayerNormalization(axis=axis, center=False, epsilon=1e-5),
        data(rng, 2, 3, 4),
        rtol=5e-5,
    )
    if axis != 1:  # Keras' own fails
        o.both(lambda k: k.layers.RMSNormalization(axis=axis), data(rng, 2, 3, 4), config=axis == -1)
    o.both(lambda k: k.layers.UnitNormalization(axis=axis), data(rng, 2, 3, 4))


@pytest.mark.parametrize("groups, axis", [(2, -1), (4, -1), (-1, -1), (3, 1), (1, -1)])
def test_group_normalization(groups, axis, rng):
    o.both(lambda k: k.layers.GroupNormalization(groups, axis=axis), data(rng, 2, 3, 5, 4), rtol=5e-5)


def test_spectral_normalization(rng):
    o.both(
        lambda k: k.layers.SpectralNormalization(k.layers.Dense(4, name="inner"), power_iterations=2),
        data(rng, 3, 5),
        training=True,
        grad=False,
        config=False,
    )


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda k: k.layers.Flatten(), (2, 3, 4)),
        (lambda k: k.layers.Reshape((4, -1)), (2, 3, 4)),
        (lambda k: k.layers.Permute((2, 1)), (2, 3, 4)),
        (lambda k: k.layers.RepeatVector(3), (2, 4)),
        (lambda k: k.layers.ZeroPadding1D(2), (2, 3, 4)),
        (lambda k: k.layers.ZeroPadding1D((1, 2)), (2, 3, 4)),
        (lambda k: k.layers.ZeroPadding2D(((1, 2), (0, 3))), (2, 3, 4, 2)),
        (lambda k: k.layers.ZeroPadding2D((1, 2)), (2, 3, 4, 2)),
        (lambda k: k.layers.ZeroPadding3D(1), (1, 3, 4, 2, 2)),
        (lambda k: k.layers.Cropping1D((1, 2)), (2, 6, 4)),
        (lambda k: k.layers.Cropping2D(((1, 0), (2, 1))), (2, 5, 6, 2)),
        (lambda k: k.layers.Cropping3D(1), (1, 3, 4, 5, 2)),
        (lambda k: k.layers.UpSampling1D(3), (2, 3, 4)),
        (lambda k: k.layers.UpSampling2D((2, 3)), (2, 3, 4, 2)),
        (lambda k: k.layers.UpSampling2D(2, interpolation="bilinear"), (2, 3, 4, 2)),
        (lambda k: k.layers.UpSampling2D(2, interpolation="bicubic"), (2, 3, 4, 2)),
        (lambda k: k.layers.UpSampling3D(2), (1, 3, 4, 2, 2)),
        (lambda k: k.layers.Resizing(5, 7), (2, 4, 6, 3)),
        (lambda k: k.layers.Resizing(3, 2, interpolation="nearest"), (2, 7, 6, 3)),
        (lambda k: k.layers.Resizing(3, 2, interpolation="bicubic", antialias=True), (2, 7, 6, 3)),
        (lambda k: k.layers.Resizing(6, 5, interpolation="lanczos3"), (2, 7, 6, 3)),
        (lambda k: k.layers.Resizing(4, 4, crop_to_aspect_ratio=True), (2, 7, 6, 3)),
        (lambda k: k.layers.Resizing(4, 4, pad_to_aspect_ratio=True, fill_value=0.5), (2, 7, 6, 3)),
        (lambda k: k.layers.CenterCrop(3, 2), (2, 6, 5, 3)),
        (lambda k: k.layers.CenterCrop(8, 4), (2, 6, 5, 3)),
        (lambda k: k.layers.Rescaling(0.5, offset=1.0), (2, 3)),
        (lambda k: k.layers.Rescaling([0.5, 2.0, 1.0], offset=[1.0, 0.0, 2.0]), (2, 3)),
        (lambda k: k.layers.Identity(), (2, 3)),
        (lambda k: k.layers.Activation("tanh"), (2, 3)),
        (lambda k: k.layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2), (4, 5)),
        (lambda k: k.layers.LeakyReLU(0.2), (4, 5)),
        (lambda k: k.layers.ELU(0.7), (4, 5)),
        (lambda k: k.layers.PReLU(shared_axes=[1]), (2, 3, 4)),
        (lambda k: k.layers.Softmax(axis=1), (2, 3, 4)),
        (lambda k: k.layers.Softmax(axis=(1, 2)), (2, 3, 4)),
        (lambda k: k.layers.ActivityRegularization(0.1, 0.2), (2, 3)),
        (lambda k: k.layers.Dropout(0.5), (2, 3)),
        (lambda k: k.layers.SpatialDropout1D(0.5), (2, 3, 4)),
        (lambda k: k.layers.SpatialDropout2D(0.5), (2, 3, 4, 2)),
        (lambda k: k.layers.SpatialDropout3D(0.5), (2, 3, 4, 2, 1)),
        (lambda k: k.layers.GaussianNoise(0.5), (2, 3)),
        (lambda k: k.layers.GaussianDropout(0.5), (2, 3)),
        (lambda k: k.layers.AlphaDropout(0.5), (2, 3)),
        (lambda k: k.layers.Normalization(mean=0.5, variance=4.0), (2, 3)),
        (
            lambda k: k.layers.Normalization(mean=[1.0, 2.0, 0.0], variance=[1.0, 4.0, 0.5], invert=True),
            (2, 3),
        ),
    ],
)
def test_layers_without_kernels(make, shape, rng):
    x = data(rng, *shape)
    o.both(make, x, training=False, config="Normalization" not in type(make(K)).__name__)


def test_softmax_mask(rng):
    mask = np.asarray([[1, 1, 0, 0], [1, 0, 1, 1]], bool)
    o.both(lambda k: k.layers.Softmax(), data(rng, 2, 4), mask=mask)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_merges(name, rng):
    a, b = data(rng, 2, 3, 4), data(rng, 2, 3, 4)
    o.both(lambda k: getattr(k.layers, name)(), [a, b])
    o.both(lambda k: getattr(k.layers, name)(), [a, data(rng, 2, 1, 4)])
    o.both(lambda k: getattr(k.layers, name)(), [a, data(rng, 2, 4)])
    if name != "Subtract":
        o.both(lambda k: getattr(k.layers, name)(), [a, b, data(rng, 2, 3, 4)])


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_concatenate(axis, rng):
    o.both(lambda k: k.layers.Concatenate(axis), [data(rng, 2, 3, 4), data(rng, 2, 3, 4)])


@pytest.mark.parametrize(
    "axes, normalize, a, b",
    [
        (1, False, (2, 4), (2, 4)),
        (-1, True, (2, 4), (2, 4)),
        ((2, 1), False, (2, 3, 4), (2, 4, 5)),
        ((1, 2), True, (2, 4, 3), (2, 5, 4)),
        (-1, False, (2, 3, 4), (2, 5, 4)),
        ((2, 1), False, (2, 3, 4), (2, 4)),
    ],
)
def test_dot(axes, normalize, a, b, rng):
    o.both(lambda k: k.layers.Dot(axes, normalize), [data(rng, *a), data(rng, *b)])


@pytest.mark.parametrize("mask_zero", [False, True])
def test_embedding(mask_zero, rng):
    x = np.asarray([[1, 2, 0], [4, 0, 0]], "int32")
    ours, theirs = o.both(lambda k: k.layers.Embedding(5, 3, mask_zero=mask_zero), x)
    for layer in (ours, theirs):
        mask = layer.compute_mask(x)
        assert (mask is None) == (not mask_zero)
        if mask_zero:
            np.testing.assert_array_equal(o.array(mask), x != 0)


def test_category_encoding():
    x = np.asarray([[1, 2, 2], [0, 3, 1]], "int32")
    for mode in ("multi_hot", "one_hot", "count"):
        o.both(lambda k, mode=mode: k.layers.CategoryEncoding(4, mode), x, grad=False)
    o.both(lambda k: k.layers.CategoryEncoding(4, "one_hot"), x[:, :1], grad=False)
    o.both(
        lambda k: k.layers.Discretization([0.0, 0.5, 1.0]),
        np.asarray([[-1.0, 0.0, 0.7], [0.5, 2.0, 1.0]], "float32"),
        grad=False,
    )


@pytest.mark.parametrize("use_scale", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(use_scale, causal, rng):
    q, v, k = data(rng, 2, 3, 4), data(rng, 2, 5, 4), data(rng, 2, 5, 4)
    mask = [np.asarray([[1, 1, 0], [1, 1, 1]], bool), np.asarray([[1, 1, 1, 0, 0], [1, 1, 0, 1, 1]], bool)]
    for make in (
        lambda m: m.layers.Attention(use_scale=use_scale),
        lambda m: m.layers.Attention(use_scale=use_scale, score_mode="concat"),
        lambda m: m.layers.AdditiveAttention(use_scale=use_scale),
    ):
        o.both(make, [q, v], use_causal_mask=causal)
        o.both(make, [q, v, k], use_causal_mask=causal, return_attention_scores=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            o.both(make, [q, v, k], use_causal_mask=causal, mask=mask)


@pytest.mark.parametrize(
    "a",
    oracle.space(
        "keras mha",
        5,
        num_heads=[2],
        key_dim=[3],
        use_bias=[True, False],
        output_shape=[None, 5, (2, 3)],
        sliding_window=[None, 2],
        use_gate=[False, True],
    ),
)
@pytest.mark.parametrize("how", ["plain", "mask", "causal", "scores"])
def test_multi_head_attention(a, how, rng):
    q, v, k = data(rng, 2, 3, 4), data(rng, 2, 5, 4), data(rng, 2, 5, 6)
    kw = {
        "plain": {},
        "mask": {"attention_mask": rng.random((2, 3, 5)) < 0.7},
        "causal": {"use_causal_mask": True},
        "scores": {"return_attention_scores": True},
    }[how]
    o.both(lambda m: m.layers.MultiHeadAttention(**a), q, v, k, **kw)


def test_attention_over_axes(rng):
    x = data(rng, 2, 3, 4, 5)
    o.both(
        lambda m: m.layers.MultiHeadAttention(2, 3, value_dim=2, attention_axes=(1, 2)), x, x, config=False
    )
    o.both(lambda m: m.layers.MultiHeadAttention(2, 3, attention_axes=(1, 2)), x, x, config=False)
    o.both(lambda m: m.layers.MultiHeadAttention(2, 3, attention_axes=2), x, x, config=False)


@pytest.mark.parametrize("how", ["plain", "causal", "scores", "mask"])
def test_grouped_query_attention(how, rng):
    q, v = data(rng, 2, 3, 4), data(rng, 2, 5, 4)
    kw = {
        "plain": {},
        "mask": {"attention_mask": rng.random((2, 3, 5)) < 0.7},
        "causal": {"use_causal_mask": True},
        "scores": {"return_attention_scores": True},
    }[how]
    o.both(lambda m: m.layers.GroupQueryAttention(3, 4, 2), q, v, **kw)


RNN = {
    "return_sequences": [False, True],
    "return_state": [False, True],
    "go_backwards": [False, True],
    "use_bias": [True, False],
    "activation": ["tanh", "relu"],
    "mask": [None, "right", "holes", "left"],
}
MASKS = {
    "right": [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 1], [0, 1, 1, 0, 1], [1, 1, 1, 1, 1]],
    "left": [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
}


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("a", oracle.space("keras rnn", 9, **RNN))
def test_recurrent(name, a, rng):
    a = dict(a)
    mask = a.pop("mask")
    kw = {} if mask is None else {"mask": np.asarray(MASKS[mask], bool)}
    o.both(lambda k: getattr(k.layers, name)(4, **a), data(rng, 3, 5, 2), **kw)


def test_recurrent_variants(rng):
    x = data(rng, 3, 5, 2)
    o.both(lambda k: k.layers.GRU(4, reset_after=False, return_sequences=True), x)
    o.both(lambda k: k.layers.LSTM(4, recurrent_activation="hard_sigmoid", unit_forget_bias=False), x)
    o.both(lambda k: k.layers.LSTM(4, unroll=True), x)
    o.both(lambda k: k.layers.LSTM(4, dropout=0.3, recurrent_dropout=0.2), x)
    h, c = data(rng, 3, 4), data(rng, 3, 4)
    o.both(lambda k: k.layers.GRU(4), x, h)
    ours, theirs = K.layers.LSTM(4, return_state=True), o.keras().layers.LSTM(4, return_state=True)
    theirs(x)
    ours(x)
    w = o.weights_like(theirs, rng)
    ours.set_weights(w)
    theirs.set_weights(w)
    for a, b in zip(ours(x, initial_state=[h, c]), theirs(x, initial_state=[h, c])):
        o.close(a, b, 2e-5, "state")


def test_cells_and_stacks(rng):
    x = data(rng, 3, 5, 2)
    o.both(
        lambda k: k.layers.RNN(
            [k.layers.LSTMCell(3), k.layers.GRUCell(4)], return_sequences=True, return_state=True
        ),
        x,
        config=False,
    )
    o.both(
        lambda k: k.layers.RNN(k.layers.SimpleRNNCell(3), zero_output_for_mask=True, return_sequences=True),
        x,
        mask=np.asarray(MASKS["right"], bool),
        config=False,
    )
    o.both(lambda k: k.layers.RNN(k.layers.GRUCell(3)), x)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_bidirectional(merge_mode, return_sequences, rng):
    x = data(rng, 3, 5, 2)

    def make(k):
        return k.layers.Bidirectional(
            k.layers.LSTM(3, return_sequences=return_sequences), merge_mode=merge_mode
        )

    o.both(make, x, config=False)
    o.both(make, x, mask=np.asarray(MASKS["right"], bool), config=False)


def test_bidirectional_states(rng):
    x = data(rng, 3, 5, 2)
    o.both(
        lambda k: k.layers.Bidirectional(
            k.layers.GRU(3, return_state=True),
            backward_layer=k.layers.GRU(3, go_backwards=True, return_state=True),
        ),
        x,
        config=False,
    )


def test_time_distributed(rng):
    x = data(rng, 3, 5, 2)
    o.both(lambda k: k.layers.TimeDistributed(k.layers.Dense(4, activation="relu")), x, config=False)
    o.both(lambda k: k.layers.TimeDistributed(k.layers.Conv1D(3, 2)), data(rng, 2, 3, 5, 2), config=False)
    o.both(
        lambda k: k.layers.TimeDistributed(k.layers.BatchNormalization()),
        x,
        training=True,
        config=False,
        rtol=1e-4,
    )


ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, rng):
    x = data(rng, 3, 6) * 2
    theirs = getattr(o.keras().activations, name, None) or o.keras().activations.get(name)
    o.close(getattr(K.activations, name)(K.ops.convert_to_tensor(x)), theirs(x), 2e-5, name)
    assert K.activations.serialize(K.activations.get(name)) == o.keras().activations.serialize(
        o.keras().activations.get(name)
    )
