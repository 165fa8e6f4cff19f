"""Convolutional LSTMs, random affine images, lookups and texts in dlcore.keras: beside Keras' own where it
needs no TensorFlow, else by hand."""

import pickle

import numpy as np
import pytest

import dlcore
from dlcore import keras as K
from dlcore.keras import _hash
from tests import keras_oracle as o
from tests import oracle

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' Variable


def data(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


# ---- convolutional LSTMs -----------------------------------------------------------------------------------

SHAPES = {1: (2, 3, 7, 3), 2: (2, 3, 6, 5, 3), 3: (1, 2, 4, 3, 5, 2)}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "a",
    oracle.space(
        "keras conv lstm",
        3,
        kernel_size=[3, 2],
        strides=[1, 2],
        dilation_rate=[1, 2],
        padding=["valid", "same"],
        activation=["tanh", "relu"],
        recurrent_activation=["sigmoid", "hard_sigmoid"],
        use_bias=[True, False],
        unit_forget_bias=[True, False],
        return_sequences=[True, False],
        return_state=[True, False],
        go_backwards=[True, False],
    ),
)
def test_conv_lstm(rank, a, rng):
    if a["strides"] == 2 and a["dilation_rate"] == 2:
        with pytest.raises(ValueError, match="dilation_rate"):
            getattr(K.layers, f"ConvLSTM{rank}D")(4, **a)
        return
    if rank == 3:
        a = {**a, "kernel_size": 2}
    o.both(lambda k: getattr(k.layers, f"ConvLSTM{rank}D")(4, **a), data(rng, *SHAPES[rank]))


def test_conv_lstm_masks_states_and_regularizers(rng):
    K3 = o.keras()
    x = data(rng, *SHAPES[2])
    ours, theirs = o.both(
        lambda k: k.layers.ConvLSTM2D(
            2,
            3,
            padding="same",
            return_sequences=True,
            kernel_regularizer="l2",
            recurrent_constraint="non_neg",
        ),
        x,
    )
    # Keras on JAX cannot mask here: a masked step is as if it were not there.
    layer, mask = K.layers.ConvLSTM2D(2, 3, padding="same"), np.asarray([[True, False, True]] * 2)
    np.testing.assert_allclose(
        layer(x, mask=mask).detach().numpy(), layer(x[:, [0, 2]]).detach().numpy(), rtol=1e-6
    )
    states = [data(rng, 2, 6, 5, 2) for _ in range(2)]
    o.close(ours(x, initial_state=states), theirs(x, initial_state=states), 2e-5, "initial states")
    o.close(ours.losses[0], theirs.losses[0], 2e-5, "regularizer")
    for k in (K, K3):
        layer = k.layers.ConvLSTM1D(2, 3, stateful=True, dropout=0.3, recurrent_dropout=0.3)
        z = data(rng, 2, 3, 6, 2)
        first, second = o.array(layer(z)), o.array(layer(z))
        assert not np.allclose(first, second)
        layer.reset_state()
        np.testing.assert_allclose(o.array(layer(z)), first, rtol=1e-6)
    start = K.layers.ConvLSTM2D(3, 2)
    start(x)
    np.testing.assert_array_equal(start.cell.bias.numpy(), [0] * 3 + [1] * 3 + [0] * 6)


def test_conv_lstm_drops_each_gate_alike_over_time(rng):
    """Dropout in training alone; a mask a gate, the same at every step; a seed repeats it."""
    x = data(rng, *SHAPES[2])
    for rate in ({"dropout": 0.5}, {"recurrent_dropout": 0.5}):
        K.utils.set_random_seed(0)
        layer = K.layers.ConvLSTM2D(3, 3, padding="same", seed=1, return_sequences=True, **rate)
        plain = layer(x).detach().numpy()
        dropped = layer(x, training=True).detach().numpy()
        assert not np.allclose(plain, dropped)
        K.utils.set_random_seed(0)
        again = K.layers.ConvLSTM2D(3, 3, padding="same", seed=1, return_sequences=True, **rate)
        again(x)
        np.testing.assert_array_equal(again(x, training=True).detach().numpy(), dropped)
        # A mask of each of four gates, of ones and zeros doubled.
        masks = layer.cell._draw(dlcore.tensor(x[:, 0]), 0.5)
        assert len(masks) == 4
        assert all(set(np.unique(m.numpy())) == {0.0, 2.0} for m in masks)
        assert not np.array_equal(masks[0].numpy(), masks[1].numpy())


def test_conv_lstm_in_a_model_and_its_file(rng, tmp_path):
    K3 = o.keras()

    def make(k):
        return k.Sequential(
            [
                k.Input((3, 6, 5, 2)),
                k.layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True),
                k.layers.ConvLSTM2D(2, (2, 3), strides=2),
                k.layers.Flatten(),
                k.layers.Dense(2),
            ]
        )

    x, y = data(rng, 4, 3, 6, 5, 2), data(rng, 4, 2)
    theirs, ours = make(K3), make(K)
    ours.set_weights(theirs.get_weights())
    for model in (theirs, ours):
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        o.close(a, b, 2e-4, "trained")
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    want = np.asarray(theirs(x))
    o.close(K.models.load_model(tmp_path / "theirs.keras")(x), want, 1e-4, "load_model")
    o.close(K3.models.load_model(tmp_path / "ours.keras")(x), want, 1e-4, "Keras' load_model")
    o.close(pickle.loads(pickle.dumps(ours))(x), want, 1e-4, "pickle")


def test_conv_lstm_errors():
    with pytest.raises(ValueError, match="static input shapes"):
        K.layers.ConvLSTM2D(2, 3)(K.Input((3, None, 4, 2)))
    with pytest.raises(ValueError, match="ndim"):
        K.layers.ConvLSTM2D(2, 3)(np.zeros((2, 3, 4, 5), "float32"))
    with pytest.raises(ValueError, match="does not fit"):
        K.layers.ConvLSTM1D(2, 9)(np.zeros((2, 3, 4, 2), "float32"))
    with pytest.raises(ValueError, match="channels_last"):
        K.layers.ConvLSTM1D(2, 3, data_format="channels_first")
    with pytest.raises(ValueError, match=r"filters|units"):
        K.layers.ConvLSTM1D(0, 3)


# ---- affine images -----------------------------------------------------------------------------------------

AFFINE = {
    "rotation": lambda k, **a: k.layers.RandomRotation((-0.3, 0.4), **a),
    "zoom": lambda k, **a: k.layers.RandomZoom((-0.4, 0.9), (-0.5, 0.2), **a),
    "zoom alike": lambda k, **a: k.layers.RandomZoom(0.6, **a),
    "translation": lambda k, **a: k.layers.RandomTranslation(0.8, (-0.1, 0.9), **a),
    "shear": lambda k, **a: k.layers.RandomShear((0.1, 0.7), (0.0, 0.3), **a),
}


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("fill_mode", ["reflect", "wrap", "constant", "nearest"])
@pytest.mark.parametrize("name", AFFINE)
def test_random_affine(name, fill_mode, interpolation, rng):
    """What Keras draws, applied by both: values and gradients."""
    K3 = o.keras()
    import jax

    a = {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 0.7, "seed": 3}
    ours, theirs = AFFINE[name](K, **a), AFFINE[name](K3, **a)
    o.same_config(ours, theirs)
    for shape in ((3, 7, 6, 2), (5, 8, 1)):
        x = data(rng, *shape)
        drawn = theirs.get_random_transformation(jax.numpy.asarray(x), training=True)
        leaf = dlcore.tensor(x, requires_grad=True)
        y = ours.transform_images(leaf, {k: np.asarray(v) for k, v in drawn.items()})
        o.close(y, theirs.transform_images(jax.numpy.asarray(x), drawn), 2e-5, name)
        seed = data(rng, *shape)
        (y * dlcore.tensor(seed)).sum().backward()
        want = jax.grad(lambda x: (theirs.transform_images(x, drawn) * seed).sum())(jax.numpy.asarray(x))  # noqa: B023
        o.close(leaf.grad, want, 1e-4, f"gradient of {name}")
        assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
        o.close(ours(x, training=False), x, 0, "evaluation")


@pytest.mark.parametrize("name", AFFINE)
def test_random_affine_draws(name, rng):
    """An image a draw, within the factors, repeated by the seed."""
    x = np.zeros((4000, 4, 8, 1), "float32")
    layer = AFFINE[name](K, seed=1)
    drawn = layer.get_random_transformation(x)
    if name == "rotation":
        spans = [(drawn["angle"], -108, 144)]
    elif name == "translation":
        spans = [(drawn["translations"][:, 0], -0.8, 7.2), (drawn["translations"][:, 1], -3.2, 3.2)]
    elif name == "shear":
        lean = drawn["shear_factor"]
        spans = [(np.abs(lean[:, 0]), 0.1, 0.7), (lean[:, 1], -0.3, 0.3)]
        again = K.layers.deserialize(K.layers.serialize(K.layers.RandomShear(0.2)))
        assert again.x_factor == (-0.2, 0.2)
        assert 0.45 < (lean[:, 0] > 0).mean() < 0.55
    elif name == "zoom":
        spans = [(drawn["height_zoom"], 0.6, 1.9), (drawn["width_zoom"], 0.5, 1.2)]
    else:
        spans = [(drawn["height_zoom"], 0.4, 1.6)]
        np.testing.assert_array_equal(drawn["height_zoom"], drawn["width_zoom"])
    for values, low, high in spans:
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
    x = data(rng, 3, 5, 5, 1)
    first = AFFINE[name](K, seed=1)(x, training=True)
    again = AFFINE[name](K, seed=1)(x, training=True)
    np.testing.assert_array_equal(first.numpy(), again.numpy())
    assert not np.allclose(first.numpy(), x)


def test_turns_zooms_and_shifts_by_hand():
    x = np.arange(9, dtype="float32").reshape(3, 3, 1)
    quarter = K.layers.RandomRotation((0.25, 0.25))(x, training=True)
    np.testing.assert_allclose(quarter.numpy()[..., 0], np.rot90(x[..., 0], 1), atol=1e-5)
    right = K.layers.RandomTranslation((0, 0), (1 / 3, 1 / 3), fill_mode="constant", fill_value=-1.0)
    want = [[-1, 0, 1], [-1, 3, 4], [-1, 6, 7]]
    np.testing.assert_allclose(right(x, training=True).numpy()[..., 0], want, atol=1e-5)
    near = K.layers.RandomZoom((-0.5, -0.5))(x, training=True).numpy()[..., 0]
    np.testing.assert_allclose(near, [[2, 2.5, 3], [3.5, 4, 4.5], [5, 5.5, 6]], atol=1e-5)


@pytest.mark.parametrize("side", ["keras", "ours"])
def test_random_affine_errors(side):
    k = K if side == "ours" else o.keras()
    for make in (k.layers.RandomRotation, k.layers.RandomZoom):
        with pytest.raises(ValueError, match="factor"):
            make(1.5)
        with pytest.raises(ValueError, match="factor"):
            make((0.1, 0.2, 0.3))
        with pytest.raises(NotImplementedError, match="fill_mode"):
            make(0.1, fill_mode="mirror")
        with pytest.raises(NotImplementedError, match="interpolation"):
            make(0.1, interpolation="bicubic")
    with pytest.raises(ValueError, match="factor"):
        k.layers.RandomZoom(-1.0)
    for bad in (-0.1, 1.1, (-0.1, 0.2), (0.1, 1.2)):
        with pytest.raises(ValueError, match="factor"):
            k.layers.RandomShear(bad)
    with pytest.raises(ValueError, match="factor"):
        k.layers.RandomTranslation(0.1, "wide")


# ---- hashes, lookups, texts: as Keras' documentation has them, and by hand ---------------------------------

TEXT = "abcdefghij" * 40
FINGERPRINTS = {
    0: 0x9AE16A3B2F90404F,
    3: 0x24A5B3A074E7F369,
    7: 0x3C40C92B1CCB7355,
    12: 0xB5FB3C7F305BFA8C,
    24: 0xAD66D926712CFEEA,
    48: 0x38D6590D39804815,
    64: 0x709EE62E81877C19,
    65: 0xA7CA9A64CEC63FB0,
    128: 0x9A6E471BFAD6AA07,
    129: 0xF4E138A79971E50E,
    300: 0x54FA42D6C039923A,
}


@pytest.mark.parametrize("n", FINGERPRINTS)
def test_fingerprints_of_farmhash(n):
    assert _hash.farmhash64(TEXT[:n].encode()) == FINGERPRINTS[n]


def test_siphash_of_its_paper():
    key = int.from_bytes(bytes(range(8)), "little"), int.from_bytes(bytes(range(8, 16)), "little")
    assert _hash.siphash24(bytes(range(15)), key) == 0xA129CA6149BE45E5


def test_hashing():
    letters = [["A"], ["B"], ["C"], ["D"], ["E"]]
    layer = K.layers.Hashing
    assert layer(3)(letters).tolist() == [[1], [0], [1], [1], [2]]
    masked = layer(3, mask_value="")([["A"], ["B"], [""], ["C"], ["D"]])
    assert masked.tolist() == [[1], [1], [0], [2], [2]]
    assert layer(3, salt=[133, 137])(letters).tolist() == [[1], [2], [1], [0], [2]]
    assert layer(3, salt=133)(letters).tolist() == [[0], [0], [2], [1], [0]]
    assert layer(3)(letters).dtype == np.int64
    one_hot = layer(3, output_mode="one_hot")(letters)
    assert one_hot.dtype == np.float32 and one_hot.numpy().argmax(1).tolist() == [1, 0, 1, 1, 2]
    assert layer(3, output_mode="count")(["A", "B", "C"]).tolist() == [1, 2, 0]
    numbers = np.asarray([[1, 20], [300, 20]])
    assert layer(7)(numbers).tolist() == layer(7)(numbers.astype(str)).tolist()
    again = K.layers.deserialize(K.layers.serialize(layer(5, salt=3, mask_value=4)))
    assert again.get_config()["salt"] == [3, 3] and again.mask_value == 4
    for bad in ({"num_bins": 0}, {"num_bins": 2, "salt": "x"}, {"num_bins": 2, "output_mode": "rows"}):
        with pytest.raises(ValueError, match=r"num_bins|salt|output_mode"):
            layer(**bad)


def test_string_lookup():
    vocab, x = ["a", "b", "c", "d"], [["a", "c", "d"], ["d", "z", "b"]]
    layer = K.layers.StringLookup
    assert layer(vocabulary=vocab)(x).tolist() == [[1, 3, 4], [4, 0, 2]]
    two = layer(vocabulary=vocab, num_oov_indices=2)
    assert two([["a", "c", "d"], ["m", "z", "b"]]).tolist() == [[2, 4, 5], [0, 1, 3]]
    learned = layer()
    learned.adapt(x)
    assert learned.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]
    assert learned(x).tolist() == [[5, 3, 1], [1, 2, 4]]
    short = layer(max_tokens=3)
    short.adapt(x)
    assert short.get_vocabulary() == ["[UNK]", "d", "z"] and short.vocabulary_size() == 3
    masked = layer(vocabulary=vocab, mask_token="")
    assert masked(np.asarray([b"", b"q", b"a"])).tolist() == [0, 1, 2]
    assert masked.get_vocabulary() == ["", "[UNK]", *vocab]
    assert layer(vocabulary=["", "[UNK]", *vocab], mask_token="").get_vocabulary() == ["", "[UNK]", *vocab]
    back = layer(vocabulary=vocab, invert=True)
    assert back([[1, 3, 4], [4, 0, 9]]).tolist() == [["a", "c", "d"], ["d", "[UNK]", "[UNK]"]]
    assert layer(vocabulary=vocab, mask_token="", invert=True)([0, 1, 2]).tolist() == ["", "[UNK]", "a"]
    assert layer(vocabulary=vocab)("b").tolist() == 2


def test_string_lookup_rows(tmp_path):
    vocab, x = ["a", "b", "c", "d"], [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
    layer = K.layers.StringLookup
    rows = {"multi_hot": [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]], "count": [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]}
    for mode, want in rows.items():
        found = layer(vocabulary=vocab, output_mode=mode)
        assert found(x).tolist() == want and found.compute_output_shape((2, 4)) == (2, 5)
    one_hot = layer(vocabulary=vocab, output_mode="one_hot")
    assert one_hot(["a", "z"]).tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert one_hot([["a"], ["z"]]).shape == (2, 5)
    padded = layer(vocabulary=vocab, output_mode="count", max_tokens=7, pad_to_max_tokens=True)
    assert padded(x).shape == (2, 7)
    weights = [0.25, 0.75, 0.6, 0.4]
    idf = layer(output_mode="tf_idf")
    idf.set_vocabulary(vocab, idf_weights=weights)
    np.testing.assert_allclose(idf(x).numpy(), [[0, 0.25, 0, 0.6, 0.8], [1, 0, 0.75, 0, 0.4]], rtol=1e-6)
    idf.set_vocabulary(["[UNK]", *vocab], idf_weights=[0.9, *weights])
    np.testing.assert_allclose(idf(x).numpy()[1], [1.8, 0, 0.75, 0, 0.4], rtol=1e-6)
    learned = layer(output_mode="tf_idf")
    learned.adapt(x)
    assert learned.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]
    of = np.log(1 + 2 / (1 + np.asarray([2, 1, 1, 1, 1])))
    np.testing.assert_allclose(learned.idf_weights, [of.mean(), *of], rtol=1e-6)
    masked = layer(vocabulary=vocab, mask_token="", output_mode="count")
    assert masked([["", "a", "", "q"]]).tolist() == [[1, 1, 0, 0, 0]]
    (tmp_path / "words").write_text("a\nb\n")
    assert layer(vocabulary=str(tmp_path / "words"))(["b"]).tolist() == [2]
    for made in (idf, learned, masked, padded):
        for again in (K.layers.deserialize(K.layers.serialize(made)), pickle.loads(pickle.dumps(made))):
            np.testing.assert_array_equal(again(x).numpy(), made(x).numpy())


def test_integer_lookup():
    vocab, layer = [12, 36, 1138, 42], K.layers.IntegerLookup
    x = np.asarray([[12, 1138, 42], [42, 1000, 36]])
    assert layer(vocabulary=vocab)(x).tolist() == [[1, 3, 4], [4, 0, 2]]
    assert layer(vocabulary=vocab, num_oov_indices=2)([7, 8, 12]).tolist() == [1, 0, 2]
    assert layer(vocabulary=vocab, invert=True)([[1, 3, 4], [4, 0, 2]]).tolist() == [
        [12, 1138, 42],
        [42, -1, 36],
    ]
    oov = [100, 300, 700, 1100, 1700, 2000]
    spread = layer(vocabulary=[10, 20, 30], num_oov_indices=4, oov_method="farmhash")
    assert spread(oov).tolist() == [3, 3, 2, 2, 0, 1]
    assert layer(vocabulary=[10, 20, 30], num_oov_indices=4)(oov).tolist() == [0] * 6
    learned = layer(mask_token=0)
    learned.adapt(np.asarray([[12, 1138, 42], [42, 0, 36]]))
    assert learned.get_vocabulary() == [0, -1, 42, 1138, 36, 12]
    graph = K.Input((3,), dtype="int64")
    model = K.Model(graph, K.layers.Embedding(6, 2)(learned(graph)))
    assert model(x).shape == (2, 3, 2)
    again = K.layers.deserialize(K.layers.serialize(learned))
    assert again(x).tolist() == learned(x).tolist()


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"max_tokens": 1}, "max_tokens"),
        ({"num_oov_indices": -1}, "num_oov_indices"),
        ({"pad_to_max_tokens": True}, "pad_to_max_tokens"),
        ({"output_mode": "rows"}, "output_mode"),
        ({"invert": True, "output_mode": "count"}, "invert"),
        ({"idf_weights": [1.0]}, "idf_weights"),
        ({"vocabulary": ["a"], "output_mode": "tf_idf"}, "idf_weights"),
        ({"vocabulary": ["a", "a"]}, "repeated"),
        ({"vocabulary": ["a", "m", "b"], "mask_token": "m"}, "reserved mask token"),
        ({"vocabulary": ["a", "b"], "max_tokens": 2}, "larger than the maximum"),
        ({"vocabulary": []}, "empty vocabulary"),
        ({"vocabulary": "/nowhere/words"}, "does not exist"),
        ({"sparse": True}, "TensorFlow backend"),
        ({"salt": "x"}, "salt"),
        ({"unknown": 1}, "Unrecognized"),
    ],
)
def test_lookup_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        K.layers.StringLookup(**kwargs)


def test_lookup_errors_at_the_call():
    with pytest.raises(ValueError, match="found OOV values"):
        K.layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["q"])
    with pytest.raises(RuntimeError, match="vocabulary before calling"):
        K.layers.StringLookup(output_mode="count")(["q"])
    with pytest.raises(ValueError, match="Cannot adapt"):
        K.layers.StringLookup(vocabulary=["a"]).adapt(["q"])
    with pytest.raises(TypeError, match="strings are expected"):
        K.layers.StringLookup(vocabulary=["a"])([1, 2])
    with pytest.raises(TypeError, match="integers are expected"):
        K.layers.IntegerLookup(vocabulary=[1])(["a"])
    with pytest.raises(ValueError, match="last shape dimension"):
        K.layers.TextVectorization(vocabulary=["a"])([["a", "b"]])


def test_text_vectorization():
    make = K.layers.TextVectorization
    layer = make(max_tokens=5000, output_sequence_length=4)
    layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    assert layer.get_vocabulary() == ["", "[UNK]", "baz", "bar", "foo", "boom", "bada"]
    assert layer([["foo qux bar"], ["qux baz"]]).tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]
    given = make(vocabulary=["earth", "wind", "and", "fire"])
    assert given.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]
    assert given(["Wind,  and\tFIRE!", "the 'earth'", ""]).tolist() == [[3, 4, 5], [1, 2, 0], [0, 0, 0]]
    assert given("and fire").tolist() == [4, 5]
    assert given.compute_output_shape((7,)) == (7, None)
    # ASCII alone is lowered and stripped.
    assert make(vocabulary=["\u00c9a"])(["\u00c9A", "\u00e9a"]).tolist() == [[2], [1]]
    pairs = make(ngrams=(2,), output_mode="count")
    pairs.adapt(["a b c", "b c"])
    assert pairs.get_vocabulary() == ["[UNK]", "b c", "a b"]
    assert pairs(["b c b c", "a b"]).tolist() == [[1, 2, 0], [0, 0, 1]]
    upto = make(ngrams=2, vocabulary=["a", "b", "a b"])
    assert upto(["a b"]).tolist() == [[2, 3, 4]]
    letters = make(split="character", standardize=None, vocabulary=["A", "b"])
    assert letters(["Ab", "a"]).tolist() == [[2, 3], [1, 0]]
    whole = make(split=None, standardize="lower", vocabulary=["a b", "c"])
    assert whole([["A B"], ["c"]]).tolist() == [[2], [3]]
    own = make(
        standardize=lambda t: np.char.replace(t, "x", " "),
        split=lambda t: [v.split() for v in t],
        vocabulary=["a"],
    )
    assert own(["axa", "bxa"]).tolist() == [[2, 2], [1, 2]]
    rows = make(output_mode="multi_hot", vocabulary=["a", "b"], pad_to_max_tokens=True, max_tokens=4)
    assert rows(["a a c", "b"]).tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
    idf = make(output_mode="tf_idf")
    idf.adapt(["a a b", "b"])
    of = np.log(1 + 2 / (1 + np.asarray([2, 1])))
    assert idf.get_vocabulary() == ["[UNK]", "b", "a"]
    np.testing.assert_allclose(idf(["a a q"]).numpy(), [[of.mean(), 0, 2 * of[1]]], rtol=1e-6)
    for made in (layer, given, upto, letters, whole, rows, idf):
        for again in (K.layers.deserialize(K.layers.serialize(made)), pickle.loads(pickle.dumps(made))):
            assert again(["a b", "c"]).tolist() == made(["a b", "c"]).tolist()
            assert again.get_config() == made.get_config()
    streamed = make()
    streamed.adapt(iter([["foo bar", "bar baz"], ["baz bada boom"]]))
    assert streamed.get_vocabulary() == layer.get_vocabulary()
    for bad in ({"ngrams": "2"}, {"split": "word"}, {"standardize": "upper"}, {"ragged": True}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            make(**bad)
    with pytest.raises(ValueError, match="output_sequence_length"):
        make(output_mode="count", output_sequence_length=3)
