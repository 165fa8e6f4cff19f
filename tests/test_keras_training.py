"""Training in dlcore.keras beside Keras' own: loss scaling, steps of one's own, backups, pickles, event
files."""

import copy
import itertools
import pickle
import struct
import warnings

import numpy as np
import pytest

import dlcore
from dlcore import keras as K
from dlcore.train.tensorboard import EventFile
from tests import keras_oracle as o

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' Variable


def quiet(f, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **kwargs)


def small(k):
    return k.Sequential([k.Input((4,)), k.layers.Dense(5, activation="tanh"), k.layers.Dense(2)])


def data(rng, n=12):
    return rng.standard_normal((n, 4)).astype("float32"), rng.standard_normal((n, 2)).astype("float32")


# ---- LossScaleOptimizer ------------------------------------------------------------------------------------

INNER = {
    "sgd": lambda k: k.SGD(0.1, momentum=0.9),
    "adam": lambda k: k.Adam(0.01, clipnorm=0.5),
    "schedule": lambda k: k.Adam(k.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "ema": lambda k: k.SGD(0.1, use_ema=True, ema_momentum=0.5),
}


@pytest.mark.parametrize("name", INNER)
def test_loss_scale_optimizer(name, rng):
    """Finite gradients step and let the scale grow; one that is not halves it and makes no step."""
    K3 = o.keras()
    start = [rng.standard_normal(s).astype("float32") for s in ((3, 4), (4,))]
    sides = []
    for k in (K, K3):
        make = k.optimizers
        opt = make.LossScaleOptimizer(INNER[name](make), initial_scale=8.0, dynamic_growth_steps=3)
        sides.append((opt, [k.Variable(v, name=f"v{i}") for i, v in enumerate(start)]))
    (ours, mine), (theirs, other) = sides
    theirs.build(other)
    assert float(ours.scale_loss(dlcore.tensor(1.5))) == float(theirs.scale_loss(1.5)) == 12.0
    for step in range(9):
        grads = [8 * rng.standard_normal(v.shape).astype("float32") for v in start]
        if step in (4, 5):
            grads[1][2] = (np.inf, np.nan)[step % 2]
        ours.apply(grads, mine)
        # Keras' own `apply` is traced on JAX; this is its form without state.
        values, state = theirs.stateless_apply(
            [v.value for v in theirs.variables],
            [K3.ops.convert_to_tensor(g) for g in grads],
            [v.value for v in other],
        )
        for v, new in zip([*other, *theirs.variables], [*values, *state]):
            v.assign(new)
        assert float(ours.dynamic_scale) == float(theirs.dynamic_scale)
        assert int(ours.iterations) == int(theirs.iterations)
    for a, b in zip(mine, other):
        o.close(a, b, 2e-5, name)
    state = [np.asarray(v) for v in theirs.variables]
    assert [np.shape(v) for v in ours.variables] == [v.shape for v in state]
    for i, (a, b) in enumerate(zip(ours.variables, state)):
        o.close(np.asarray(a, b.dtype), b, 5e-5, f"state {i}")
    # The state goes into a fresh one, which then makes the same step.
    again = K.optimizers.deserialize(K.optimizers.serialize(ours))
    copies = [K.Variable(v.numpy(), name=v.name) for v in mine]
    again.build(copies)
    again.set_weights([np.asarray(v) for v in theirs.variables])
    assert again.dynamic_scale == ours.dynamic_scale and int(again.iterations) == int(ours.iterations)
    grads = [rng.standard_normal(v.shape).astype("float32") for v in start]
    for opt, variables in ((ours, mine), (again, copies)):
        opt.apply(grads, variables)
    for a, b in zip(mine, copies):
        o.close(a, b.numpy(), 1e-5, "after set_weights")
    assert set(o.plain(ours.get_config())) == set(o.plain(theirs.get_config()))


@pytest.mark.parametrize("name", INNER)
def test_loss_scale_optimizer_in_fit_and_files(name, rng, tmp_path):
    K3 = o.keras()
    x, y = data(rng)
    sides = [small(K3), small(K)]
    values = o.weights_like(sides[0], rng)
    for k, model in zip((K3, K), sides):
        model.set_weights(values)
        model.compile(k.optimizers.LossScaleOptimizer(INNER[name](k.optimizers)), "mse", jit_compile=False)
        quiet(model.fit, x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    theirs, ours = sides
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        o.close(a, b, 2e-4, name)
    # Files carry the state both ways.
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    read = quiet(K.models.load_model, tmp_path / "theirs.keras")
    back = quiet(K3.models.load_model, tmp_path / "ours.keras")
    for a, b in ((read.optimizer, theirs.optimizer), (back.optimizer, ours.optimizer)):
        assert int(a.iterations) == int(b.iterations) == 6
        assert len(list(a.variables)) == len(list(b.variables))
        for v, w in zip(a.variables, b.variables):
            o.close(np.asarray(v, "float64"), np.asarray(w, "float32"), 1e-6, "state")


@pytest.mark.parametrize("side", ["keras", "ours"])
def test_loss_scale_optimizer_refuses_what_the_inner_one_sets(side):
    k = K if side == "ours" else o.keras()
    inner = k.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="does not support `clipnorm`"):
        k.optimizers.LossScaleOptimizer(inner, clipnorm=1.0)
    with pytest.raises(ValueError, match="dynamic=False"):
        k.optimizers.LossScaleOptimizer(inner, dynamic=False)
    k.optimizers.LossScaleOptimizer(inner, dynamic=True, clipnorm=None, ema_momentum=0.99)


# ---- steps of one's own ------------------------------------------------------------------------------------


def own_steps(k, gradients):
    """A model whose train_step and test_step are its own; `gradients` is what differs between packages."""

    class Own(k.Model):
        def __init__(self):
            super().__init__()
            self.dense = k.layers.Dense(5, activation="tanh")
            self.out = k.layers.Dense(2)
            self.tracker = k.metrics.Mean(name="own_loss")
            self.mae = k.metrics.MeanAbsoluteError(name="mae")

        def call(self, x, training=False):
            return self.out(self.dense(x))

        @property
        def metrics(self):
            return [self.tracker, self.mae]

        def test_step(self, data):
            x, y = data
            p = self(x, training=False)
            self.tracker.update_state(k.ops.mean(k.ops.square(y - p)))
            self.mae.update_state(y, p)
            return {m.name: m.result() for m in self.metrics}

    Own.train_step = gradients
    return Own()


def our_train_step(self, data):
    x, y = data
    p = self(x, training=True)
    loss = K.ops.mean(K.ops.square(y - p))
    self.zero_grad()
    loss.backward()
    self.optimizer.apply([w.grad for w in self.trainable_weights], self.trainable_weights)
    self.tracker.update_state(loss)
    self.mae.update_state(y, p)
    return {m.name: m.result() for m in self.metrics}


def their_train_step(K3):
    """Keras on JAX asks for a step without state; this is one in its terms."""
    import jax

    def train_step(self, state, data):
        tv, ntv, ov, mv = state
        x, y = data

        def loss_of(tv):
            p, new = self.stateless_call(tv, ntv, x, training=True)
            return K3.ops.mean(K3.ops.square(y - p)), (p, new)

        (loss, (p, ntv)), grads = jax.value_and_grad(loss_of, has_aux=True)(tv)
        tv, ov = self.optimizer.stateless_apply(ov, grads, tv)
        n = len(self.tracker.variables)
        first = self.tracker.stateless_update_state(mv[:n], loss)
        second = self.mae.stateless_update_state(mv[n:], y, p)
        logs = {
            "own_loss": self.tracker.stateless_result(first),
            "mae": self.mae.stateless_result(second),
        }
        return logs, (tv, ntv, ov, [*first, *second])

    return train_step


def test_own_train_and_test_steps(rng):
    K3 = o.keras()
    x, y = data(rng)
    theirs = own_steps(K3, their_train_step(K3))
    # Keras' own form on JAX is another one: what it evaluates is compared through its plain model below.
    del type(theirs).test_step
    ours = own_steps(K, our_train_step)
    for model in (theirs, ours):
        model(x[:1])
    values = o.weights_like(theirs, rng)
    logs = []
    for k, model in ((K3, theirs), (K, ours)):
        model.set_weights(values)
        model.compile(k.optimizers.SGD(0.1, momentum=0.9))
        h = quiet(model.fit, x, y, batch_size=5, epochs=3, shuffle=False, verbose=0)
        logs.append(h.history)
    assert list(logs[0]) == list(logs[1])
    for name in logs[0]:
        np.testing.assert_allclose(logs[1][name], logs[0][name], rtol=1e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        o.close(a, b, 2e-4, "weights")
    p = np.asarray(theirs(x))
    got = ours.evaluate(x, y, batch_size=12, verbose=0, return_dict=True)
    want = {"mae": np.abs(y - p).mean(), "own_loss": np.square(y - p).mean()}
    assert set(got) == set(want)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-4)
    h = ours.fit(x, y, epochs=1, validation_data=(x, y), verbose=0)
    assert set(h.history) == {"own_loss", "mae", "val_own_loss", "val_mae"}


def test_own_step_whose_logs_are_no_metrics(rng):
    x, y = data(rng)

    class Own(K.Model):
        def __init__(self):
            super().__init__()
            self.out = K.layers.Dense(2)

        def call(self, x):
            return self.out(x)

        def train_step(self, data):
            return {"seen": float(len(data)), "rows": data[0].shape[0]}

    model = Own()
    model.compile("sgd", "mse")
    h = model.fit(x, y, batch_size=12, epochs=2, verbose=0)
    assert h.history == {"seen": [2.0, 2.0], "rows": [12.0, 12.0]}
    h = model.fit(x, y, sample_weight=np.ones(12, "float32"), batch_size=12, verbose=0)
    assert h.history["seen"] == [3.0]


def test_own_step_that_extends_the_usual_one(rng):
    x, y = data(rng)

    def make(extended):
        class Own(K.Sequential):
            def train_step(self, data):
                return {**super().train_step(data), "one": 1.0}

        K.utils.set_random_seed(0)
        layers = [K.Input((4,)), K.layers.Dense(5, activation="tanh"), K.layers.Dense(2)]
        model = (Own if extended else K.Sequential)(layers)
        model.compile("adam", "mse", metrics=["mae"])
        return model, model.fit(x, y, batch_size=4, epochs=2, verbose=0).history

    (plain, before), (own, after) = make(False), make(True)
    assert after.pop("one") == [1.0, 1.0]
    assert before == after
    for a, b in zip(plain.get_weights(), own.get_weights()):
        np.testing.assert_array_equal(a, b)


# ---- backups -----------------------------------------------------------------------------------------------


class Interrupt(K.callbacks.Callback):
    """Raises after a number of batches."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def noisy(optimizer):
    K.utils.set_random_seed(3)
    model = K.Sequential(
        [
            K.Input((4,)),
            K.layers.Dense(8, activation="tanh"),
            K.layers.Dropout(0.3),
            K.layers.BatchNormalization(),
            K.layers.Dropout(0.2, seed=5),
            K.layers.Dense(2),
        ]
    )
    model.compile(optimizer, "mse")
    return model


BACKED = {
    "adam": lambda: K.optimizers.Adam(0.05),
    "schedule": lambda: K.optimizers.SGD(K.optimizers.schedules.CosineDecay(0.1, 12), momentum=0.9),
    "accumulated": lambda: K.optimizers.Adam(0.05, gradient_accumulation_steps=2),
    "scaled": lambda: K.optimizers.LossScaleOptimizer(K.optimizers.Adam(0.05), dynamic_growth_steps=2),
    "scaled schedule": lambda: K.optimizers.LossScaleOptimizer(
        K.optimizers.SGD(K.optimizers.schedules.CosineDecay(0.1, 12))
    ),
}


@pytest.mark.parametrize("name", BACKED)
@pytest.mark.parametrize(
    "save_freq, after", [(1, 6), (2, 7), (3, 7), (4, 9), (1, 1), (1, 8), (1, 10), ("epoch", 6)]
)
def test_interrupted_training_ends_where_an_uninterrupted_one_does(name, save_freq, after, tmp_path, rng):
    """15 samples in batches of 4, three epochs of four steps; shuffled, with dropout."""
    x, y = data(rng, 15)
    fit = {"batch_size": 4, "epochs": 3, "verbose": 0}
    whole = noisy(BACKED[name]())
    full = whole.fit(x, y, **fit).history["loss"]
    cut = noisy(BACKED[name]())
    folder = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        backup = K.callbacks.BackupAndRestore(folder, save_freq=save_freq)
        cut.fit(x, y, callbacks=[backup, Interrupt(after)], **fit)
    resumed = noisy(BACKED[name]())
    K.utils.set_random_seed(99)
    steps = []
    count = K.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    backup = K.callbacks.BackupAndRestore(folder, save_freq=save_freq)
    rest = resumed.fit(x, y, callbacks=[backup, count], **fit).history["loss"]
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    done = after - after % (4 if save_freq == "epoch" else save_freq)
    assert steps == [i % 4 for i in range(done, 12)]
    if done <= 8:  # the last epoch's logs are of all its batches
        assert full[-1] == rest[-1]
    assert not folder.exists()


def test_backup_between_batches_of_a_loader(tmp_path, rng):
    """The batches of an iterable that were trained on are passed over."""
    x, y = data(rng, 12)
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 12, 4)]
    whole = noisy("adam")
    whole.fit(_Batches(batches), epochs=2, verbose=0)
    cut = noisy("adam")
    with pytest.raises(KeyboardInterrupt):
        cut.fit(
            _Batches(batches),
            epochs=2,
            verbose=0,
            callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1), Interrupt(4)],
        )
    resumed = noisy("adam")
    resumed.fit(
        _Batches(batches),
        epochs=2,
        verbose=0,
        callbacks=[K.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)],
    )
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class _Batches:
    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        if i >= len(self.batches):
            raise IndexError(i)
        return self.batches[i]


# ---- pickles -----------------------------------------------------------------------------------------------

LAYERS = {
    "dense": (lambda: K.layers.Dense(3, activation="relu", kernel_regularizer="l2"), (2, 4)),
    "conv": (lambda: K.layers.Conv2D(3, 2, padding="same"), (2, 5, 5, 2)),
    "lstm": (lambda: K.layers.LSTM(3, return_sequences=True), (2, 5, 4)),
    "both": (lambda: K.layers.Bidirectional(K.layers.GRU(3)), (2, 5, 4)),
    "heads": (lambda: K.layers.MultiHeadAttention(2, 3), (2, 5, 4)),
    "norm": (lambda: K.layers.BatchNormalization(), (3, 4)),
    "dropout": (lambda: K.layers.Dropout(0.5, seed=1), (3, 4)),
}


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_pickle(name, how, rng):
    make, shape = LAYERS[name]
    layer = make()
    x = dlcore.tensor(rng.standard_normal(shape).astype("float32"))
    args = (x, x) if name == "heads" else (x,)
    want = layer(*args)
    again = pickle.loads(pickle.dumps(layer)) if how == "pickle" else copy.deepcopy(layer)
    np.testing.assert_array_equal(again(*args).detach().numpy(), want.detach().numpy())
    assert again.get_config() == layer.get_config()
    assert [w.path for w in again.weights] == [w.path for w in layer.weights]
    for a, b in zip(again.weights, layer.weights):
        assert a is not b and a.trainable == b.trainable and a.requires_grad == b.requires_grad
        a.assign(a.numpy() + 1)
        assert not np.array_equal(a.numpy(), b.numpy())


PARTS = [
    make
    for module, base in (
        (K.metrics, K.metrics.Metric),
        (K.losses, K.losses.Loss),
        (K.initializers, K.initializers.Initializer),
        (K.regularizers, K.regularizers.Regularizer),
        (K.constraints, K.constraints.Constraint),
        (K.optimizers, K.optimizers.Optimizer),
    )
    for make in sorted({v for v in vars(module).values() if isinstance(v, type)}, key=lambda v: v.__name__)
    if issubclass(make, base) and make is not base and not make.__name__.startswith("_")
]
NEEDS = {
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2},
    "OneHotMeanIoU": {"num_classes": 2},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "MeanMetricWrapper": {"fn": K.losses.mean_squared_error},
    "LossFunctionWrapper": {"fn": K.losses.mean_squared_error},
    "LossScaleOptimizer": {"inner_optimizer": K.optimizers.SGD(0.1)},
}


@pytest.mark.parametrize("make", PARTS, ids=lambda make: f"{make._keras_module}.{make.__name__}")
def test_parts_of_models_pickle(make):
    part = make(**NEEDS.get(make.__name__, {}))
    again = pickle.loads(pickle.dumps(part))
    assert type(again) is make
    assert again.get_config() == part.get_config()


class Subclassed(K.Model):
    def __init__(self):
        super().__init__()
        self.first = K.layers.Dense(5, activation="tanh")
        self.drop = K.layers.Dropout(0.2, seed=4)
        self.out = K.layers.Dense(2)

    def call(self, x, training=False):
        return self.out(self.drop(self.first(x), training=training))


def functional():
    x = K.Input((4,))
    shared = K.layers.Dense(4, activation="tanh")
    return K.Model(x, K.layers.Dense(2)(shared(shared(x)) + x))


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
@pytest.mark.parametrize("make", [lambda: small(K), functional, Subclassed], ids=["list", "graph", "own"])
def test_models_pickle_and_train_on(make, how, rng):
    """A compiled model comes back with its optimizer's state and goes on alike."""
    x, y = data(rng)
    K.utils.set_random_seed(1)
    model = make()
    model.compile(K.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(x, y, batch_size=4, verbose=0)
    again = pickle.loads(pickle.dumps(model)) if how == "pickle" else copy.deepcopy(model)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) == 3
    logs = [m.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history for m in (model, again)]
    assert logs[0] == logs[1]
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- event files -------------------------------------------------------------------------------------------


def crc32c(data):
    """Castagnoli's checksum bit by bit, by its definition: the polynomial 0x1EDC6F41, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        for i in range(8):
            bit = (crc ^ byte >> i) & 1
            crc = crc >> 1 ^ (int(f"{0x1EDC6F41:032b}"[::-1], 2) if bit else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    raw, at, out = path.read_bytes(), 0, []
    while at < len(raw):
        (n,) = struct.unpack_from("<Q", raw, at)
        assert struct.unpack_from("<I", raw, at + 8)[0] == masked(crc32c(raw[at : at + 8]))
        body = raw[at + 12 : at + 12 + n]
        assert len(body) == n
        assert struct.unpack_from("<I", raw, at + 12 + n)[0] == masked(crc32c(body))
        out.append(body)
        at += 16 + n
    return out


def message(data):
    """The fields of a protocol buffer: (number, value), a varint, 8 or 4 bytes, or bytes."""
    fields, at = [], 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            b = data[at]
            at += 1
            n |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return n

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        elif kind == 1:
            (value,) = struct.unpack_from("<d", data, at)
            at += 8
        elif kind == 5:
            (value,) = struct.unpack_from("<f", data, at)
            at += 4
        else:
            assert kind == 2
            n = varint()
            value = data[at : at + n]
            at += n
        fields.append((key >> 3, value))
    return dict(fields)


def events(folder):
    """(tag, step, value) of the only file in a folder; a histogram is its message."""
    (path,) = folder.iterdir()
    assert path.name.startswith("events.out.tfevents.") and path.name.endswith(".v2")
    head, *rest = [message(r) for r in records(path)]
    assert head[3] == b"brain.Event:2" and head[1] > 1.6e9
    out = []
    for event in rest:
        value = message(message(event[5])[1])
        out.append((value[1].decode(), event.get(2, 0), value[2] if 2 in value else message(value[5])))
    return out


def test_checksums_of_known_texts():
    """CRC-32C's check value, and the vectors of RFC 3720, B.4."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes([255] * 32)) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_event_files_hold_what_was_logged(tmp_path, rng):
    x, y = data(rng)
    model = small(K)
    model.compile(K.optimizers.SGD(0.25), "mse", metrics=["mae"])
    board = K.callbacks.TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    fit = {"batch_size": 4, "epochs": 3, "verbose": 0, "validation_data": (x[:5], y[:5])}
    logs = model.fit(x, y, callbacks=[board], **fit).history
    found = events(tmp_path / "train")
    for name in ("loss", "mae"):
        got = [(step, v) for tag, step, v in found if tag == f"epoch_{name}"]
        assert got == [(i, float(np.float32(v))) for i, v in enumerate(logs[name])]
        assert [step for tag, step, _ in found if tag == f"batch_{name}"] == [2, 4, 6, 8]
    assert [v for tag, _, v in found if tag == "epoch_learning_rate"] == [0.25] * 3
    assert all(v > 0 for tag, _, v in found if tag == "epoch_steps_per_second")
    val = events(tmp_path / "validation")
    for name in ("loss", "mae"):
        want = [float(np.float32(v)) for v in logs[f"val_{name}"]]
        assert [(s, v) for tag, s, v in val if tag == f"epoch_{name}"] == list(enumerate(want))
        assert [(s, v) for tag, s, v in val if tag == f"evaluation_{name}_vs_iterations"] == list(
            zip((3, 6, 9), want)
        )
    drawn = [(tag, step, v) for tag, step, v in found if tag.endswith("/histogram")]
    names = [f"{w.path}/histogram" for w in model.weights]
    assert [(tag, step) for tag, step, _ in drawn] == list(
        itertools.chain(*[[(n, s) for n in names] for s in (0, 2)])
    )
    for weight, (_, _, h) in zip(model.weights, drawn[-len(names) :]):
        w = weight.numpy().astype("float64")
        assert (h[1], h[2], h[3]) == (w.min(), w.max(), w.size)
        np.testing.assert_allclose([h[4], h[5]], [w.sum(), np.square(w).sum()], rtol=1e-12, atol=1e-12)
        limits, counts = np.frombuffer(h[6], "<f8"), np.frombuffer(h[7], "<f8")
        assert len(limits) == len(counts) and counts.sum() == w.size and limits[-1] == w.max()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16384])
def test_event_lengths_of_any_size(size, tmp_path):
    """Tags whose length takes one, two and three bytes; steps beyond 32 bits."""
    file = EventFile(str(tmp_path / "e"))
    file.scalar("t" * size, -1.5, 2**40 + 1)
    file.histogram("h", [np.nan, np.inf], 0)
    file.close()
    (tag, step, value), (_, _, empty) = events(tmp_path / "e")
    assert (tag, step, value) == ("t" * size, 2**40 + 1, -1.5)
    assert empty[3] == 1.0


def test_event_files_close_after_an_interruption(tmp_path, rng):
    x, y = data(rng)
    model = small(K)
    model.compile("sgd", "mse")
    board = K.callbacks.TensorBoard(tmp_path, update_freq="batch")
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[board, Interrupt(5)])
    assert [step for tag, step, _ in events(tmp_path / "train") if tag == "batch_loss"] == [1, 2, 3, 4, 5]


def test_tensorboard_reads_our_files(tmp_path, rng):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    file = EventFile(str(tmp_path))
    for i in range(3):
        file.scalar("loss", i / 2, i)
    file.close()
    log = reader.EventAccumulator(str(tmp_path))
    log.Reload()
    assert [(e.step, e.value) for e in log.Scalars("loss")] == [(0, 0.0), (1, 0.5), (2, 1.0)]
