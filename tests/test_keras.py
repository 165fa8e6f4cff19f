"""dlcore.keras beside what Keras 3 computed (tests/data/keras, written by tests/keras_cases.py),
and its own behaviour.
"""

import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import dlcore
from dlcore import keras as K
from tests import keras_cases as cases

DATA = pathlib.Path(__file__).parent / "data" / "keras"


@pytest.fixture(scope="module")
def ref():
    with np.load(DATA / "reference.npz") as f:
        return dict(f)


@pytest.fixture(scope="module")
def texts():
    return json.loads((DATA / "texts.json").read_text())


def kept(ref, prefix):
    out = []
    while f"{prefix}{len(out)}" in ref:
        out.append(ref[f"{prefix}{len(out)}"])
    return out


def close(got, want, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(
        np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=rtol, atol=atol
    )


# ---- beside Keras ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, make, shape, training", cases.LAYERS, ids=[c[0] for c in cases.LAYERS])
def test_layer_agrees_with_keras(ref, texts, name, make, shape, training):
    x, _ = cases.layer_input(name, shape)
    layer = make(K)
    out_shape = layer(K.Input(shape)).shape
    assert [list(w.shape) for w in layer.get_weights()] == texts[f"layer/{name}"]
    layer.set_weights([ref[f"layer/{name}/w{i}"] for i in range(len(layer.weights))])
    t = dlcore.tensor(x, requires_grad=True)
    y = layer(t, training=training)
    assert (None, *y.shape[1:]) == out_shape
    close(y.detach().numpy(), ref[f"layer/{name}/y"], 1e-4, 1e-5)
    (y * dlcore.tensor(ref[f"layer/{name}/r"])).sum().backward()
    close(t.grad.numpy(), ref[f"layer/{name}/dx"], 1e-4, 3e-5)
    for v, g in zip(layer.trainable_weights, kept(ref, f"layer/{name}/g"), strict=True):
        close(v.grad.numpy(), g, 1e-4, 5e-5)
    for v, n in zip(layer.non_trainable_weights, kept(ref, f"layer/{name}/n")):
        close(v.numpy(), n)


@pytest.mark.parametrize("name", [c[0] for c in cases.LAYERS])
def test_layer_configuration_round_trips(name):
    _, make, _shape, _ = next(c for c in cases.LAYERS if c[0] == name)
    layer = make(K)
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert json.loads(json.dumps(again.get_config())) == json.loads(json.dumps(layer.get_config()))


@pytest.mark.parametrize("name, make", cases.OPTIMIZERS, ids=[c[0] for c in cases.OPTIMIZERS])
def test_optimizer_agrees_with_keras(ref, name, make):
    x, y = cases.data()
    flat = x.reshape(len(x), -1)[:, :8] * 4 - 2
    model = cases.dense(K)
    model.set_weights(kept(ref, "dense/w"))
    model.compile(make(K), "sparse_categorical_crossentropy")
    model.fit(flat, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 5
    for a, b in zip(model.get_weights(), kept(ref, f"optimizer/{name}/w"), strict=True):
        close(a, b, 1e-5, 1e-5)
    again = K.optimizers.get(json.loads(json.dumps(K.optimizers.serialize(model.optimizer))))
    assert again.get_config() == model.optimizer.get_config()


@pytest.mark.parametrize(
    "name, loss, metrics, kind, activation", cases.LOSSES, ids=[c[0] for c in cases.LOSSES]
)
def test_loss_and_metrics_agree_with_keras(ref, texts, name, loss, metrics, kind, activation):
    x, y = cases.data()
    flat = x.reshape(len(x), -1)[:, :8] * 4 - 2
    model = cases.dense(K, activation)
    model.set_weights(kept(ref, "dense/w"))
    model.compile("sgd", loss(K), metrics=cases.metric_objects(K) if metrics == "objects" else metrics)
    h = model.fit(flat, cases.target(y, kind), batch_size=16, epochs=2, shuffle=False, verbose=0)
    want = texts[f"loss/{name}"]
    names = {k.rstrip("_0123456789"): k for k in want}  # objects are numbered a process: auc_1
    assert sorted(k.rstrip("_0123456789") for k in h.history) == sorted(names)
    for k, v in h.history.items():
        close(v, want[names[k.rstrip("_0123456789")]], 2e-5, 1e-6)
    close(model.evaluate(flat, cases.target(y, kind), verbose=0), texts[f"evaluate/{name}"], 2e-5, 1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_listing_makes_the_steps_of_keras(ref, optimizer):
    x, y = cases.data()
    model = cases.listing(K)
    model.set_weights(kept(ref, "cnn/w"))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    curve = []
    for i in range(5):
        model.reset_metrics()
        curve.append(model.train_on_batch(x[i * 8 : i * 8 + 8], y[i * 8 : i * 8 + 8])[0])
    close(curve, ref[f"cnn/{optimizer}"], 1e-5)
    for a, b in zip(model.get_weights(), kept(ref, f"cnn/{optimizer}/w"), strict=True):
        close(a, b, 1e-4, 2e-5)


@pytest.mark.parametrize("name, kwargs", cases.FITS, ids=[c[0] for c in cases.FITS])
def test_fit_agrees_with_keras(ref, texts, name, kwargs):
    x, y = cases.data()
    model = cases.listing(K)
    model.set_weights(kept(ref, "cnn/w"))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    h = model.fit(x, y, shuffle=False, verbose=0, **kwargs)
    want = texts[f"fit/{name}"]
    assert h.epoch == want["epoch"]
    assert list(h.history) == list(want["history"])
    for k, v in h.history.items():
        close(v, want["history"][k], 2e-5)


def test_summary_is_that_of_keras(texts, monkeypatch):
    from dlcore.keras import symbolic

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(symbolic, "_names", {})
    assert cases.summary(cases.listing(K)).split("\n") == texts["summary"].rstrip("\n").split("\n")
    symbolic.clear_names()
    open_model = K.Sequential([K.layers.Dense(3)], name="open")
    want = texts["summary_unbuilt"].replace("dense_2", "dense").rstrip("\n").split("\n")
    assert [s.replace(" ", "") for s in cases.summary(open_model).split("\n")] == [
        s.replace(" ", "") for s in want
    ]
    branching = cases.summary(cases.branching(K)).split("\n")
    theirs = texts["summary_branching"].rstrip("\n").split("\n")
    assert sorted(branching[2:]) == sorted(theirs[2:])  # layers of one depth may come in another order


def test_summary_after_training_counts_the_optimizer(capsys):
    model = cases.listing(K)
    x, y = cases.data()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    model.summary()
    n = model.count_params()
    out = capsys.readouterr().out
    assert f" Total params: {3 * n + 2:,} (" in out and f" Optimizer params: {2 * n + 2:,} (" in out


def test_branching_model_agrees_with_keras(ref, texts):
    x, y = cases.data()
    flat = x.reshape(len(x), -1)[:, :8] * 4 - 2
    a, b = flat[:, :6], flat[:, 2:8]
    model = K.models.load_model(DATA / "branching.keras")
    for mine, theirs in zip(model.get_weights(), kept(ref, "branching/after"), strict=True):
        close(mine, theirs)
    model = cases.branching(K)
    assert sorted(w.shape for w in model.get_weights()) == sorted(w.shape for w in kept(ref, "branching/w"))
    names = [v.path for v in model.weights]
    assert sorted(names) == sorted(
        f"{n}/{k}" for n in ("shared", "own", "p", "q") for k in ("kernel", "bias")
    )
    model.compile("sgd", {"p": "sparse_categorical_crossentropy", "q": "mse"}, metrics={"p": ["accuracy"]})
    h = model.fit([a, b], {"p": y % 3, "q": y.astype("float32")}, epochs=2, batch_size=16, verbose=0)
    assert list(h.history) == list(texts["branching"])
    p, q = model.predict([a, b], verbose=0)
    assert p.shape == (40, 3) and q.shape == (40, 1)


# ---- files -----------------------------------------------------------------------------------------------


def test_files_of_keras_load(ref):
    pytest.importorskip("h5py")
    x, _ = cases.data()
    model = K.models.load_model(DATA / "model.keras")
    close(model.predict(x, verbose=0), ref["cnn/predict"], 1e-4, 1e-5)
    assert model.optimizer.iterations == 5
    other = cases.listing(K)
    other.load_weights(DATA / "model.weights.h5")
    close(other.predict(x, verbose=0), ref["cnn/predict"], 1e-4, 1e-5)


def test_keras_reads_our_files(tmp_path):
    for name in ("keras", "jax", "h5py"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    x, y = cases.data()
    model = cases.listing(K)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", model.predict(x, verbose=0))
    code = (
        "import numpy as np, keras; m = keras.models.load_model('m.keras');"
        "np.testing.assert_allclose(m.predict(np.load('x.npy'), verbose=0), np.load('y.npy'), "
        "rtol=1e-4, atol=1e-5);"
        "assert int(m.optimizer.iterations) == 2"
    )
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.safetensors"])
def test_save_and_load_round_trip(tmp_path, name):
    if not name.endswith("safetensors"):
        pytest.importorskip("h5py")
    x, y = cases.data()
    model = cases.listing(K)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    path = tmp_path / name
    if name.endswith(".keras"):
        model.save(path)
        again = K.models.load_model(path)
        assert again.optimizer.iterations == 2
        for net in (model, again):  # training goes on as if nothing had been saved
            net.fit(x, y, shuffle=False, verbose=0)
    else:
        model.save_weights(path)
        again = cases.listing(K)
        again.load_weights(path)
    assert os.listdir(tmp_path) == [name]
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    model = cases.listing(K)
    path = tmp_path / "m.keras"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m.keras"]


def test_unknown_classes_and_damaged_files_are_refused(tmp_path):
    pytest.importorskip("h5py")
    model = cases.listing(K)
    path = tmp_path / "m.keras"
    model.save(path)
    with zipfile.ZipFile(path) as z:
        parts = {n: z.read(n) for n in z.namelist()}

    def rewritten(**changes):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            for n, b in {**parts, **{k.replace("__", "."): v for k, v in changes.items()}}.items():
                z.writestr(n, b)
        path.write_bytes(out.getvalue())
        return path

    evil = parts["config.json"].replace(b'"Flatten"', b'"Evil"')
    with pytest.raises(ValueError, match="unknown layer 'Evil'"):
        K.models.load_model(rewritten(config__json=evil))
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        K.models.load_model(rewritten(config__json=b"{"))
    with pytest.raises(ValueError, match="not a valid HDF5 file"):
        K.models.load_model(rewritten(model__weights__h5=b"garbage"))
    path.write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"not a valid \.keras archive"):
        K.models.load_model(path)
    weights = tmp_path / "w.safetensors"
    model.save_weights(weights)
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ValueError, match="load_file: "):
        model.load_weights(weights)
    with pytest.raises(FileNotFoundError):
        K.models.load_model(tmp_path / "absent.keras")


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"dlcore\[keras\]"):
        cases.listing(K).save(tmp_path / "m.keras")
    cases.listing(K).save_weights(tmp_path / "m.safetensors")


def test_to_json_round_trips(texts):
    model = K.models.model_from_json(cases.listing(K).to_json())
    assert model.output_shape == (None, 4)
    theirs = K.models.model_from_json(texts["to_json"])
    assert [type(x).__name__ for x in theirs.layers] == [type(x).__name__ for x in model.layers]
    both = K.models.clone_model(cases.branching(K))
    assert [t.shape for t in both.outputs] == [(None, 3), (None, 1)]


# ---- behaviour -------------------------------------------------------------------------------------------


def test_the_listing_learns_digits(data_dir):
    from dlcore.keras.layers import Conv2D, Dense, Flatten, MaxPooling2D
    from dlcore.keras.models import Sequential

    (x_train, y_train), (x_test, y_test) = K.datasets.mnist.load_data(os.path.join(data_dir, "mnist"))
    x_train, y_train, x_test, y_test = x_train[:2000], y_train[:2000], x_test[:500], y_test[:500]
    x_train = x_train.reshape(-1, 28, 28, 1) / 255.0
    x_test = x_test.reshape(-1, 28, 28, 1) / 255.0
    K.utils.set_random_seed(1)
    model = Sequential()
    model.add(Conv2D(32, kernel_size=(3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Conv2D(64, kernel_size=(3, 3), activation="relu"))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(128, activation="relu"))
    model.add(Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    h = model.fit(x_train, y_train, epochs=3, batch_size=64, verbose=0)
    assert h.history["accuracy"][-1] > 0.9
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    assert accuracy > 0.88 and loss < 0.5


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int64", "float16"])
def test_inputs_of_other_dtypes(dtype):
    x, y = cases.data()
    x = (x * 10).astype(dtype)
    model = cases.listing(K)
    want = model.predict(x.astype(np.float32), verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), want)
    assert want.dtype == np.float32
    model.compile("sgd", "sparse_categorical_crossentropy")
    for labels in (y.astype(np.uint8), y.astype(np.int32)[:, None], y.tolist()):
        assert np.isfinite(model.fit(x, labels, verbose=0).history["loss"][0])


def test_softmax_and_crossentropy_are_finite_for_a_wrong_prediction_of_1e30():
    model = K.Sequential([K.Input((2,)), K.layers.Dense(2, activation="softmax")])
    model.set_weights([np.eye(2, dtype=np.float32) * 1e30, np.zeros(2, np.float32)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.asarray([[1.0, 0.0]], np.float32)
    assert np.isfinite(model.evaluate(x, np.asarray([1]), verbose=0))
    assert np.isfinite(model.train_on_batch(x, np.asarray([1])))
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.compile("sgd", "categorical_crossentropy")
    assert np.isfinite(model.train_on_batch(x, np.asarray([[0.0, 1.0]])))


def test_errors_name_the_layer_and_the_shapes():
    x, y = cases.data()
    model = cases.listing(K)
    with pytest.raises(ValueError, match="must be compiled first"):
        model.fit(x, y)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(ValueError, match="same number of samples"):
        model.fit(x, y[:-1], verbose=0)
    with pytest.raises(ValueError, match=r"inputs of shape \(None, 8, 8, 1\)"):
        model.fit(x[:, :7], y, verbose=0)
    with pytest.raises(ValueError, match=r"labels must be from 0 to 3.*got 4"):
        model.fit(x, y + 1, verbose=0)
    with pytest.raises(ValueError, match="for one-hot labels use categorical_crossentropy"):
        model.fit(x, np.eye(4)[y], verbose=0)
    with pytest.raises(ValueError, match="no batch"):
        model.fit(x[:0], y[:0], verbose=0)
    for kwargs, match in (
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'; the names are .*adam"),
        ({"loss": "mss"}, "unknown loss 'mss'; the names are .*mse"),
        ({"metrics": ["acuracy"]}, "unknown metric 'acuracy'"),
    ):
        with pytest.raises(ValueError, match=match):
            model.compile(**kwargs)
    with pytest.raises(ValueError, match="unknown activation 'rellu'"):
        K.layers.Dense(3, activation="rellu")
    with pytest.raises(ValueError, match="does not fit an axis of size 2"):
        K.Sequential([K.Input((2, 2, 1)), K.layers.Conv2D(3, 3, name="c")])
    with pytest.raises(ValueError, match="c: Conv2D needs inputs with 4 axes"):
        K.Sequential([K.Input((2, 2)), K.layers.Conv2D(3, 3, name="c")])
    with pytest.raises(ValueError, match="channels_last"):
        K.layers.Conv2D(3, 3, data_format="channels_first")
    with pytest.raises(ValueError, match="units must be a positive integer"):
        K.layers.Dense(0)
    with pytest.raises(ValueError, match="verbose must be"):
        model.fit(x, y, verbose=3)


def test_sequential_without_input_shape_builds_at_the_first_call():
    model = K.Sequential([K.layers.Dense(3), K.layers.Dense(2)])
    assert model.weights == [] and not model.built
    assert model.predict(np.ones((4, 5)), verbose=0).shape == (4, 2)
    assert model.output_shape == (None, 2) and model.count_params() == 5 * 3 + 3 + 3 * 2 + 2
    model.pop()
    assert model.output_shape == (None, 3)


def test_subclassed_model_and_layer():
    class Scale(K.layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight((input_shape[-1],), "ones", name="factor")

        def call(self, x):
            return x * self.factor

    class Net(K.Model):
        def __init__(self):
            super().__init__()
            self.stack = [K.layers.Dense(6, activation="relu"), Scale()]
            self.drop = K.layers.Dropout(0.5)
            self.out = K.layers.Dense(4, activation="softmax")

        def call(self, x, training=False):
            for layer in self.stack:
                x = layer(x)
            return self.out(self.drop(x, training=training))

    x, _ = cases.data(shape=(5,))
    y = x[:, :4].argmax(1)
    model = Net()
    model.compile(K.optimizers.Adam(0.02), "crossentropy", metrics=["acc"])
    h = model.fit(x, y, epochs=20, batch_size=8, verbose=0)
    assert list(h.history) == ["acc", "loss"] and h.history["loss"][-1] < h.history["loss"][0]
    assert len(model.trainable_weights) == 5
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))


def test_frozen_layers_stay():
    x, y = cases.data()
    model = cases.listing(K)
    model.layers[0].trainable = False
    before = model.get_weights()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[2] - after[2]).max() > 0
    assert len(model.non_trainable_weights) == 2


def test_same_seed_same_training():
    x, y = cases.data()

    def run():
        K.utils.set_random_seed(7)
        model = K.Sequential(
            [K.Input((8, 8, 1)), K.layers.Flatten(), K.layers.Dropout(0.3), K.layers.Dense(4)]
        )
        model.compile("sgd", K.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model.fit(x, y, epochs=2, batch_size=8, verbose=0).history["loss"]

    assert run() == run()


def test_constraints_hold_after_each_step():
    x, y = cases.data(shape=(5,))
    model = K.Sequential([K.Input((5,)), K.layers.Dense(4, kernel_constraint=K.constraints.MaxNorm(0.1))])
    model.compile(K.optimizers.SGD(1.0), K.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)
    assert np.linalg.norm(model.get_weights()[0], axis=0).max() <= 0.1 + 1e-6


def test_generators_and_loaders():
    x, y = cases.data()
    model = cases.listing(K)
    model.compile("sgd", "sparse_categorical_crossentropy")

    def endless():
        while True:
            yield x[:8], y[:8]

    h = model.fit(endless(), steps_per_epoch=3, epochs=2, verbose=0)
    assert len(h.history["loss"]) == 2
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 40, 16)]

    class Loader:
        def __len__(self):
            return len(batches)

        def __getitem__(self, i):
            return batches[i]

    close(model.evaluate(Loader(), verbose=0), model.evaluate(x, y, verbose=0))
    assert model.predict((b[0] for b in batches), verbose=0).shape == (40, 4)


def test_initializers_have_their_variance():
    for name, var in (("glorot_uniform", 2 / 300), ("he_normal", 2 / 100), ("lecun_uniform", 1 / 100)):
        w = K.initializers.get(name)((100, 200))
        assert abs(w.var() / var - 1) < 0.05 and abs(w.mean()) < 0.01
    q = K.initializers.Orthogonal()((4, 6))
    close(q @ q.T, np.eye(4), atol=1e-5)
    a, b = K.initializers.GlorotUniform(seed=3), K.initializers.GlorotUniform(seed=3)
    np.testing.assert_array_equal(a((2, 3)), b((2, 3)))


def test_to_categorical():
    np.testing.assert_array_equal(K.utils.to_categorical([[1], [0]], 3), [[0, 1, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match="labels must be from 0 to 1, got 2"):
        K.utils.to_categorical([0, 2], 2)
