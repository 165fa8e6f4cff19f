"""Whole models of dlcore.keras beside Keras' own: files in both directions, functional graphs, training
steps, losses, metrics, optimizers."""

import json
import warnings

import numpy as np
import pytest

import dlcore
from dlcore import functional as F
from dlcore import keras as K
from dlcore import nn
from tests import keras_oracle as o
from tests.keras_cases import listing

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' Variable


def masked(k):
    x = k.Input((5,), dtype="int32", name="ids")
    e = k.layers.Embedding(7, 4, mask_zero=True, name="table")(x)
    a = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True), name="both")(e)
    b = k.layers.MultiHeadAttention(2, 3, dropout=0.1, name="heads")(a, a)
    c = k.layers.LayerNormalization(name="norm")(k.layers.Add(name="sum")([a, b]))
    d = k.layers.GRU(4, name="last")(c)
    return k.Model(x, k.layers.Dense(2, activation="softmax", name="out")(d))


def convolutional(k):
    return k.Sequential(
        [
            k.Input((8, 8, 2)),
            k.layers.Rescaling(0.5),
            k.layers.Conv2D(4, 3, padding="same", use_bias=False),
            k.layers.BatchNormalization(),
            k.layers.Activation("relu"),
            k.layers.Dropout(0.3),
            k.layers.SeparableConv2D(6, 3),
            k.layers.MaxPooling2D(),
            k.layers.Conv2DTranspose(3, 2, strides=2),
            k.layers.GroupNormalization(3),
            k.layers.PReLU(shared_axes=[1, 2]),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(3),
        ]
    )


def branching(k):
    a, b = k.Input((4,), name="a"), k.Input((6, 3), name="b")
    shared = k.layers.Dense(3, activation="tanh", name="shared")
    inner = k.Sequential([k.Input((3,)), k.layers.Dense(3, name="inner_dense")], name="inner")
    h = k.layers.SimpleRNN(3, name="rnn")(b)
    x = inner(shared(a)) + shared(k.layers.Dense(4, name="lift")(h)) * 0.5
    y = k.ops.mean(k.layers.TimeDistributed(k.layers.Dense(3), name="steps")(b), axis=1)
    z = k.layers.Concatenate(name="cat")([x, y, x[:, :1]])
    return k.Model(
        {"a": a, "b": b}, {"p": k.layers.Dense(2, name="p")(z), "q": k.layers.Dense(1, name="q")(x - y)}
    )


def recurrent(k):
    return k.Sequential(
        [
            k.Input((5, 3)),
            k.layers.Masking(),
            k.layers.RNN([k.layers.GRUCell(3), k.layers.LSTMCell(4)], return_sequences=True),
            k.layers.LSTM(3, return_sequences=True, dropout=0.2, recurrent_dropout=0.1),
            k.layers.Conv1D(4, 2, padding="causal"),
            k.layers.SpatialDropout1D(0.2),
            k.layers.Flatten(),
            k.layers.Dense(2, kernel_regularizer="l2"),
        ]
    )


def inputs(name, rng):
    return {
        "masked": np.asarray([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 1, 2, 3]], "int32"),
        "convolutional": rng.standard_normal((3, 8, 8, 2)).astype("float32"),
        "branching": {
            "a": rng.standard_normal((3, 4)).astype("float32"),
            "b": rng.standard_normal((3, 6, 3)).astype("float32"),
        },
        "recurrent": rng.standard_normal((3, 5, 3)).astype("float32"),
    }[name]


MODELS = {f.__name__: f for f in (masked, convolutional, branching, recurrent)}


def quiet(f, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **kwargs)


def predictions(model, x):
    y = quiet(model.predict, x, verbose=0)
    return [np.asarray(y[k]) for k in sorted(y)] if isinstance(y, dict) else [np.asarray(y)]


def keys(path):
    h5py = pytest.importorskip("h5py")
    found = []
    with h5py.File(path) as f:
        f.visititems(lambda n, v: found.append((n, v.shape)) if hasattr(v, "shape") else None)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_files_go_both_ways(name, tmp_path, rng):
    K3 = o.keras()
    x = inputs(name, rng)
    theirs, ours = quiet(MODELS[name], K3), quiet(MODELS[name], K)
    values = o.weights_like(theirs, rng)
    quiet(theirs.set_weights, values)
    want = predictions(theirs, x)
    for model in (theirs, ours):
        quiet(model.compile, "adam", "mse")
    theirs.save(tmp_path / "theirs.keras")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    # Ours reads theirs.
    read = quiet(K.models.load_model, tmp_path / "theirs.keras")
    for a, b in zip(predictions(read, x), want, strict=True):
        o.close(a, b, 2e-5, "load_model")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    for a, b in zip(predictions(ours, x), want, strict=True):
        o.close(a, b, 2e-5, "load_weights")
    # Theirs reads ours.
    quiet(ours.save, tmp_path / "ours.keras")
    ours.save_weights(tmp_path / "ours.weights.h5")
    back = quiet(K3.models.load_model, tmp_path / "ours.keras")
    for a, b in zip(predictions(back, x), want, strict=True):
        o.close(a, b, 2e-5, "Keras' load_model")
    fresh = quiet(MODELS[name], K3)
    quiet(fresh.load_weights, tmp_path / "ours.weights.h5")
    for a, b in zip(predictions(fresh, x), want, strict=True):
        o.close(a, b, 2e-5, "Keras' load_weights")
    a, b = dict(keys(tmp_path / "ours.weights.h5")), dict(keys(tmp_path / "theirs.weights.h5"))
    assert {k: v for k, v in b.items() if not k.startswith(("optimizer", "_"))}.items() <= a.items()
    for again in (K.models.clone_model(ours), K.models.model_from_json(ours.to_json())):
        assert [w.shape for w in again.weights] == [w.shape for w in ours.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    assert ours.count_params() == theirs.count_params()


class TestSteps:
    """Five steps of training from the same weights give the same weights and logs."""

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    @pytest.mark.parametrize("name", ["masked", "convolutional", "branching"])
    def test_training(self, name, optimizer, rng):
        K3 = o.keras()
        x = inputs(name, rng)
        sides = []
        for k in (K3, K):
            model = quiet(MODELS[name], k)
            for layer in model._flatten_layers() if k is K3 else model._walk():
                if hasattr(layer, "rate") or type(layer).__name__ == "MultiHeadAttention":
                    for attribute in ("rate", "dropout", "_dropout"):
                        if isinstance(layer.__dict__.get(attribute), float):
                            setattr(layer, attribute, 0.0)
            sides.append(model)
        theirs, ours = sides
        values = o.weights_like(theirs, rng)
        for model in sides:
            model.set_weights(values)
        loss = {"p": "mse", "q": "mae"} if name == "branching" else "mse"
        weights = {"p": 0.5, "q": 2.0} if name == "branching" else None
        for model in sides:
            model.compile(optimizer, loss, loss_weights=weights, run_eagerly=True, jit_compile=False)
        widths = {"masked": (3, 2), "convolutional": (3, 3)}
        if name == "branching":
            y = {
                "p": rng.standard_normal((3, 2)).astype("float32"),
                "q": rng.standard_normal((3, 1)).astype("float32"),
            }
        else:
            y = rng.standard_normal(widths[name]).astype("float32")
        for _ in range(5):
            a = ours.train_on_batch(x, y, return_dict=True)
            b = theirs.train_on_batch(x, y, return_dict=True)
            assert list(a) == list(b)
            for k in a:
                o.close(a[k], np.asarray(b[k], "float32"), 1e-4, k)
        for v, a, b in zip(ours.weights, ours.get_weights(), theirs.get_weights(), strict=True):
            o.close(a, b, 2e-3 if optimizer == "adam" else 2e-4, v.path)


OPTIMIZERS = {
    "sgd": lambda k: k.SGD(0.1),
    "momentum": lambda k: k.SGD(0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda k: k.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=0.5),
    "rmsprop": lambda k: k.RMSprop(0.01),
    "rmsprop_centered": lambda k: k.RMSprop(0.01, centered=True, momentum=0.5),
    "adam": lambda k: k.Adam(0.01, global_clipnorm=0.7),
    "amsgrad": lambda k: k.Adam(0.01, amsgrad=True, clipvalue=0.1),
    "adamw": lambda k: k.AdamW(0.01),
    "adamax": lambda k: k.Adamax(0.01),
    "nadam": lambda k: k.Nadam(0.01),
    "adagrad": lambda k: k.Adagrad(0.1),
    "adadelta": lambda k: k.Adadelta(1.0),
    "ftrl": lambda k: k.Ftrl(0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.1, beta=0.2),
    "lion": lambda k: k.Lion(0.01),
    "lamb": lambda k: k.Lamb(0.01),
    "adafactor": lambda k: k.Adafactor(0.1),
    "muon": lambda k: k.Muon(0.01),
    "schedule_free": lambda k: k.ScheduleFreeAdamW(0.01, warmup_steps=3),
    "schedule": lambda k: k.SGD(k.schedules.CosineDecayRestarts(0.1, 2)),
    "ema": lambda k: k.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    "accumulated": lambda k: k.Adam(0.1, gradient_accumulation_steps=2),
    "accumulated_clipped": lambda k: k.SGD(0.1, 0.9, gradient_accumulation_steps=3, global_clipnorm=0.5),
    "scaled_clipped": lambda k: k.Lamb(0.1, loss_scale_factor=4.0, clipnorm=0.2, weight_decay=0.1),
    "adafactor_clipped": lambda k: k.Adafactor(0.1, global_clipnorm=0.5, weight_decay=0.1),
    "muon_clipped": lambda k: k.Muon(0.01, loss_scale_factor=3.0, global_clipnorm=0.5),
    "rmsprop_momentum": lambda k: k.RMSprop(0.01, momentum=0.5, clipvalue=0.3, weight_decay=0.1),
    "ftrl_power": lambda k: k.Ftrl(0.1, learning_rate_power=-0.7, l2_shrinkage_regularization_strength=0.1),
    "ftrl_flat": lambda k: k.Ftrl(0.1, learning_rate_power=0.0, l1_regularization_strength=0.3),
    "adamax_decayed": lambda k: k.Adamax(0.01, epsilon=0.1, weight_decay=0.2, clipnorm=0.5),
    "lion_decayed": lambda k: k.Lion(0.01, weight_decay=0.2, use_ema=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, rng):
    K3 = o.keras()
    start = [rng.standard_normal(s).astype("float32") for s in ((3, 4), (4,), (2, 3, 2))]
    ours, theirs = OPTIMIZERS[name](K.optimizers), OPTIMIZERS[name](K3.optimizers)
    mine = [K.Variable(v, name=f"v{i}") for i, v in enumerate(start)]
    other = [K3.Variable(v, name=f"v{i}") for i, v in enumerate(start)]
    for _ in range(6):
        grads = [rng.standard_normal(v.shape).astype("float32") for v in start]
        ours.apply(grads, mine)
        theirs.apply([K3.ops.convert_to_tensor(g) for g in grads], other)
    for a, b in zip(mine, other):
        o.close(a, b, 2e-5, name)
    assert int(ours.iterations) == int(theirs.iterations)
    state = [np.asarray(v) for v in theirs.variables]
    assert [np.shape(v) for v in ours.variables] == [v.shape for v in state]
    for i, (a, b) in enumerate(zip(ours.variables, state)):
        o.close(np.asarray(a, b.dtype), b, 5e-5, f"state {i}")
    a, b = o.plain(ours.get_config()), o.plain(theirs.get_config())
    assert set(b) <= set(a)
    if not isinstance(ours, K.optimizers.Lamb):  # which Keras itself does not find by its name
        K3.optimizers.get(json.loads(json.dumps(K.optimizers.serialize(ours))))
    again = K.optimizers.get(json.loads(json.dumps(K3.optimizers.serialize(theirs), default=float)))
    assert set(again.get_config()) == set(a)


LOSSES = [
    ("MeanSquaredError", {}, "regression"),
    ("MeanAbsoluteError", {"reduction": "sum"}, "regression"),
    ("MeanAbsolutePercentageError", {}, "regression"),
    ("MeanSquaredLogarithmicError", {}, "probability"),
    ("Huber", {"delta": 0.5}, "regression"),
    ("LogCosh", {}, "regression"),
    ("CosineSimilarity", {"axis": 1}, "regression"),
    ("KLDivergence", {}, "probability"),
    ("Poisson", {}, "probability"),
    ("Hinge", {}, "binary"),
    ("SquaredHinge", {"reduction": "none"}, "binary"),
    ("CategoricalHinge", {}, "onehot"),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True}, "binary"),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 1.5}, "binary"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "onehot"),
    ("CategoricalCrossentropy", {"from_logits": True}, "onehot"),
    ("CategoricalFocalCrossentropy", {}, "onehot"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1, "from_logits": True}, "sparse"),
    ("Dice", {}, "binary"),
    ("Dice", {"axis": 1}, "binary"),
    ("Tversky", {"alpha": 0.3, "beta": 0.6}, "binary"),
    ("Circle", {}, "embedding"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.3}, "sparse"),
    ("CTC", {}, "ctc"),
]


def targets(kind, rng):
    p = rng.random((6, 4)).astype("float32") + 0.05
    if kind == "regression":
        return rng.standard_normal((6, 4)).astype("float32"), rng.standard_normal((6, 4)).astype("float32")
    if kind == "binary":
        return (rng.random((6, 4)) < 0.5).astype("float32"), np.minimum(p, 0.95)
    if kind == "probability":
        return p[::-1].copy(), p
    if kind == "onehot":
        return np.eye(4, dtype="float32")[rng.integers(0, 4, 6)], p / p.sum(1, keepdims=True)
    if kind == "embedding":
        e = rng.standard_normal((6, 4)).astype("float32")
        return np.asarray([0, 1, 0, 1, 2, 2], "int32"), e / np.linalg.norm(e, axis=1, keepdims=True)
    if kind == "ctc":
        return np.asarray([[1, 2, 0], [2, 2, 1]], "int32"), rng.standard_normal((2, 7, 4)).astype("float32")
    return rng.integers(0, 4, 6).astype("int32"), p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("name, kwargs, kind", LOSSES)
def test_losses(name, kwargs, kind, rng):
    K3 = o.keras()
    import jax

    if name == "CTC" and not hasattr(F, "ctc_loss"):
        pytest.skip("dlcore.functional has no ctc_loss yet")

    t, p = targets(kind, rng)
    ours, theirs = getattr(K.losses, name)(**kwargs), getattr(K3.losses, name)(**kwargs)
    weights = (
        [None]
        if kind in ("ctc",) or ("axis" in kwargs and name == "Dice")
        else [None, rng.random(len(t)).astype("float32")]
    )
    for w in weights:
        if w is not None and name in ("Dice", "Tversky"):
            continue
        x = K.ops.convert_to_tensor(p.copy()).requires_grad_()
        y = ours(t, x, w)
        o.close(y, theirs(t, p, w), 5e-5, name)
        g = jax.grad(lambda q, w=w: theirs(t, q, w).sum())(p)
        y.sum().backward()
        o.close(x.grad, g, 2e-4, f"gradient of {name}")
    assert set(ours.get_config()) >= set(theirs.get_config())
    if name != "CategoricalGeneralizedCrossEntropy":  # which Keras itself does not find by its name
        K3.losses.get(json.loads(json.dumps(K.losses.serialize(ours))))
    again = K.losses.get(json.loads(json.dumps(K3.losses.serialize(theirs))))
    assert set(again.get_config()) == set(ours.get_config())
    assert K.losses.get(json.loads(json.dumps(K.losses.serialize(ours)))).get_config() == ours.get_config()


METRICS = [
    ("Accuracy", {}, "labels"),
    ("BinaryAccuracy", {"threshold": 0.4}, "binary"),
    ("CategoricalAccuracy", {}, "onehot"),
    ("SparseCategoricalAccuracy", {}, "sparse"),
    ("TopKCategoricalAccuracy", {"k": 2}, "onehot"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse"),
    ("MeanSquaredError", {}, "regression"),
    ("RootMeanSquaredError", {}, "regression"),
    ("MeanAbsoluteError", {}, "regression"),
    ("MeanAbsolutePercentageError", {}, "regression"),
    ("MeanSquaredLogarithmicError", {}, "probability"),
    ("CosineSimilarity", {"axis": 1}, "regression"),
    ("LogCoshError", {}, "regression"),
    ("KLDivergence", {}, "probability"),
    ("Poisson", {}, "probability"),
    ("Hinge", {}, "binary"),
    ("SquaredHinge", {}, "binary"),
    ("CategoricalHinge", {}, "onehot"),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "binary"),
    ("CategoricalCrossentropy", {}, "onehot"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("PearsonCorrelation", {"axis": 0}, "regression"),
    ("ConcordanceCorrelation", {}, "regression"),
    ("TruePositives", {"thresholds": [0.3, 0.6]}, "binary"),
    ("FalsePositives", {}, "binary"),
    ("TrueNegatives", {}, "binary"),
    ("FalseNegatives", {"thresholds": 0.3}, "binary"),
    ("Precision", {}, "binary"),
    ("Precision", {"top_k": 2}, "binary"),
    ("Precision", {"class_id": 1, "thresholds": [0.3, 0.5, 0.9]}, "binary"),
    ("Recall", {"class_id": 1, "top_k": 2}, "binary"),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5}, "binary"),
    ("PrecisionAtRecall", {"recall": 0.6, "class_id": 2}, "binary"),
    ("RecallAtPrecision", {"precision": 0.6, "num_thresholds": 7}, "binary"),
    ("AUC", {}, "binary"),
    ("AUC", {"curve": "PR", "num_thresholds": 20}, "binary"),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, "binary"),
    ("AUC", {"curve": "PRGAIN", "summation_method": "minoring"}, "binary"),
    ("AUC", {"thresholds": [0.2, 0.7]}, "binary"),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.0, 3.0]}, "binary"),
    ("F1Score", {"average": "macro", "threshold": 0.5}, "binary"),
    ("FBetaScore", {"beta": 2.0}, "onehot"),
    ("FBetaScore", {"beta": 0.5, "average": "weighted"}, "onehot"),
    ("F1Score", {"average": "micro"}, "onehot"),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2]}, "labels"),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 1}, "labels"),
    ("BinaryIoU", {"threshold": 0.4}, "binary"),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1, 3]}, "onehot"),
    ("OneHotMeanIoU", {"num_classes": 4}, "onehot"),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "regression"),
    ("R2Score", {"num_regressors": 2}, "regression"),
    ("Mean", {}, "values"),
    ("Sum", {}, "values"),
]


@pytest.mark.parametrize("name, kwargs, kind", METRICS)
def test_metrics(name, kwargs, kind, rng):
    K3 = o.keras()
    ours, theirs = getattr(K.metrics, name)(**kwargs), getattr(K3.metrics, name)(**kwargs)
    for weighted in (False, True)[: 1 if kwargs.get("axis") == 0 else 2]:
        for m in (ours, theirs):
            m.reset_state()
        for _ in range(2):
            if kind == "labels":
                args = [rng.integers(0, 4, 8).astype("float32"), rng.integers(0, 4, 8).astype("float32")]
            elif kind == "values":
                args = [rng.standard_normal(6).astype("float32")]
            else:
                args = list(targets(kind, rng))
            kw = {"sample_weight": rng.integers(0, 3, len(args[0])).astype("float32")} if weighted else {}
            if weighted and "IoU" in name:
                kw = {"sample_weight": kw["sample_weight"].astype("int32")}
                if name in ("BinaryIoU",):
                    kw = {}
            quiet(ours.update_state, *args, **kw)
            quiet(theirs.update_state, *args, **kw)
        a, b = ours.result(), np.asarray(theirs.result())
        np.testing.assert_allclose(np.asarray(a, "float64"), b, rtol=2e-5, atol=1e-6, err_msg=f"{weighted=}")
    a, b = o.plain(ours.get_config()), o.plain(theirs.get_config())
    assert set(b) - {"fn"} <= set(a), (a, b)
    K3.metrics.get(json.loads(json.dumps(K.metrics.serialize(ours))))
    K.metrics.get(json.loads(json.dumps(K3.metrics.serialize(theirs), default=str)))


def test_a_keras_listings_weights_in_a_torch_style_network(tmp_path, rng):
    """Kernels (H, W, I, O) become (O, I, H, W); the first dense layer's rows, flattened from (H, W, C), are
    put in the order (C, H, W)."""
    K3 = o.keras()
    theirs = quiet(listing, K3, (28, 28, 1), 10)
    quiet(theirs.set_weights, o.weights_like(theirs, rng))
    theirs.save(tmp_path / "mnist.keras")
    read = quiet(K.models.load_model, tmp_path / "mnist.keras")
    weights = [np.asarray(w) for w in read.get_weights()]
    convolutions = [w for w in weights if w.ndim == 4]
    net = nn.Sequential()
    channels, side, state, flat = 1, 28, {}, False
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        if kernel.ndim == 4:
            h, w, i, out = kernel.shape
            kernel = kernel.transpose(3, 2, 0, 1)
            net.append(nn.Conv2d(i, out, (h, w)))
        else:
            if not flat:
                net.append(nn.Flatten())
                kernel = kernel.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                flat = True
            kernel = kernel.T
            net.append(nn.Linear(kernel.shape[1], kernel.shape[0]))
        state[f"{len(net) - 1}.weight"], state[f"{len(net) - 1}.bias"] = kernel, bias
        if kernel.ndim == 4:
            net.extend([nn.ReLU(), nn.MaxPool2d(2)])
            channels, side = out, (side - h + 1) // 2
        elif len(state) < len(weights):
            net.append(nn.ReLU())
    net.append(nn.Softmax(-1))
    assert len(convolutions) == 2
    net.load_state_dict(state)
    x = rng.random((3, 28, 28, 1), np.float32)
    want = predictions(theirs, x)[0]
    with dlcore.no_grad():
        got = net.eval()(dlcore.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2))))
    o.close(got.numpy(), want, 2e-5, "a torch-style network")
