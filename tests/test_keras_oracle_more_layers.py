"""Convolutional LSTMs, random affine images, lookups and texts in dlcore.keras: beside Keras' own where it
needs no TensorFlow, else by hand."""

import pickle

import numpy as np
import pytest

import dlcore
from dlcore import keras as K
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
    with pytest.raises(ValueError, match="factor"):
        k.layers.RandomTranslation(0.1, "wide")
