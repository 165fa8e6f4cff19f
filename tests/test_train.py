"""The training loop under plain modules, its callbacks, and the progress bar."""

import csv
import io
import re

import numpy as np
import pytest

import dlcore
from dlcore import keras as K
from dlcore import nn, optim, train
from tests import keras_cases as cases


class Terminal(io.StringIO):
    def isatty(self):
        return True


def plain(text):
    return re.sub(r"\x1b\[\d*m", "", text)


def test_bar_prints_one_line_where_there_is_no_terminal():
    out = io.StringIO()
    bar = train.ProgressBar(938, stream=out)
    bar.update(100, {"accuracy": 0.5})
    assert out.getvalue() == ""
    bar.update(938, {"accuracy": 0.95341, "loss": 0.15432, "tiny": 0.0000123})
    want = r"938/938 ━{20} 0s \d+us/step - accuracy: 0\.9534 - loss: 0\.1543 - tiny: 1\.2300e-05\n"
    assert re.fullmatch(want, out.getvalue())


def test_bar_is_redrawn_in_place_on_a_terminal():
    out = Terminal()
    bar = train.ProgressBar(10, interval=0, stream=out)
    for i in range(1, 11):
        bar.update(i, {"loss": 1.0})
    text = out.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    frames = text.strip("\n").split("\r")[1:]
    assert len(frames) == 10
    assert plain(frames[4]).startswith(" 5/10 ━━━━━━━━━━━━━━━━━━━━ 0s ")
    assert frames[4].count("\x1b[32m" + "━" * 10 + "\x1b[0m") == 1


def test_bar_without_a_target_and_verbose_2():
    out = Terminal()
    bar = train.ProgressBar(None, interval=0, stream=out)
    bar.update(3, {})
    assert "      3/Unknown" in plain(out.getvalue())
    out = io.StringIO()
    train.ProgressBar(3, verbose=2, stream=out).update(3, {"loss": 2.0})
    assert re.fullmatch(r"3/3 - 0s - \d+us/step - loss: 2\.0000\n", out.getvalue())


def test_fit_prints_what_keras_prints(capsys):
    x, y = cases.data()
    model = cases.listing(K)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=16, validation_split=0.25)
    line = r"2/2 ━{20} \d+s \d+[mu]?s/step - accuracy: N - loss: N - val_accuracy: N - val_loss: N"
    out = re.sub(r"\d\.\d{4}(e[+-]\d\d)?", "N", capsys.readouterr().out).splitlines()
    assert [out[0], out[2]] == ["Epoch 1/2", "Epoch 2/2"]
    assert re.fullmatch(line, out[1]) and re.fullmatch(line, out[3]) and len(out) == 4
    model.evaluate(x, y)
    assert re.match(r"2/2 ━{20} \d+s \d+[mu]?s/step - accuracy", capsys.readouterr().out)
    model.fit(x, y, verbose=2)
    assert re.match(r"2/2 - \d+s - \d+[mu]?s/step - accuracy", capsys.readouterr().out)
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert capsys.readouterr().out == ""


def module(seed=0):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4))
    net.load_state_dict(
        {k: rng.standard_normal(np.shape(v)).astype("f") * 0.5 for k, v in net.state_dict().items()}
    )
    return net


def learnable(n=64):
    x = np.random.default_rng(1).standard_normal((n, 5)).astype(np.float32)
    return x, x[:, :4].argmax(1)


def test_fit_trains_a_module():
    x, y = learnable()
    net = module()
    h = train.fit(
        net,
        (x, y),
        nn.CrossEntropyLoss(),
        optim.Adam(net.parameters(), lr=0.05),
        epochs=15,
        batch_size=10,
        metrics=["accuracy"],
        validation_data=(x, y),
        progress=False,
        rng=0,
    )
    assert list(h.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert h.history["val_accuracy"][-1] > 0.9
    # The last, smaller batch weighs by its samples.
    want = nn.CrossEntropyLoss()(net(dlcore.tensor(x)), dlcore.tensor(y)).item()
    assert h.history["val_loss"][-1] == pytest.approx(want, rel=1e-5)


def test_fit_takes_batches_and_functions():
    x, y = learnable(16)
    net = module()
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]
    seen = []
    h = train.fit(
        net,
        batches,
        nn.CrossEntropyLoss(),
        optim.SGD(net.parameters(), lr=0.1),
        epochs=2,
        metrics={"rows": lambda out, t: out.shape[0]},
        callbacks=train.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])),
        progress=False,
    )
    assert h.history["rows"] == [8.0, 8.0] and len(seen) == 4
    with pytest.raises(ValueError, match="unknown metric 'acuracy'"):
        train.fit(net, batches, nn.CrossEntropyLoss(), None, metrics=["acuracy"])
    with pytest.raises(ValueError, match="same number of samples"):
        train.fit(net, (x, y[:3]), nn.CrossEntropyLoss(), None)


def fitted(callbacks, epochs=6, **kwargs):
    x, y = cases.data()
    model = cases.listing(K)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, model.fit(x, y, epochs=epochs, verbose=0, callbacks=callbacks, **kwargs)


class Scripted(K.callbacks.Callback):
    """Puts given values into the logs, before the callbacks after it."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.values[epoch]


def test_early_stopping_restores_the_best_weights(capsys):
    stop = K.callbacks.EarlyStopping("score", patience=2, restore_best_weights=True, verbose=1)
    kept = []
    save = K.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(save.model.get_weights()))
    model, h = fitted([Scripted([3, 2, 1, 2, 2, 0]), save, stop])
    assert h.epoch == [0, 1, 2, 3, 4] and stop.stopped_epoch == 4 and stop.best_epoch == 2
    for a, b in zip(model.get_weights(), kept[2]):
        np.testing.assert_array_equal(a, b)
    assert "Epoch 5: early stopping" in capsys.readouterr().out


def test_reduce_lr_on_plateau_and_scheduler():
    reduce = K.callbacks.ReduceLROnPlateau("score", factor=0.5, patience=2, min_lr=0.004)
    _, h = fitted([Scripted([1, 1, 1, 1, 1, 1]), reduce])
    np.testing.assert_allclose(h.history["learning_rate"], [0.01, 0.01, 0.01, 0.005, 0.005, 0.004])
    _, h = fitted(K.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.5), epochs=3)
    model, _ = fitted([], epochs=1)
    model.optimizer.learning_rate.assign(0.25)
    assert model.optimizer.learning_rate == 0.25


def test_terminate_on_nan(capsys):
    x, y = cases.data()
    x[5] = np.nan
    model = cases.listing(K)
    model.compile("sgd", "sparse_categorical_crossentropy")
    h = model.fit(
        x, y, epochs=3, batch_size=8, shuffle=False, verbose=0, callbacks=[K.callbacks.TerminateOnNaN()]
    )
    assert len(h.history["loss"]) == 1 and np.isnan(h.history["loss"][0])
    assert "Batch 0: Invalid loss, terminating training" in capsys.readouterr().out


def test_csv_logger_and_checkpoint(tmp_path):
    pytest.importorskip("h5py")
    log = K.callbacks.CSVLogger(tmp_path / "log.csv")
    every = K.callbacks.ModelCheckpoint(tmp_path / "at-{epoch:02d}.keras")
    best = K.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", "score", save_best_only=True, save_weights_only=True
    )
    model, h = fitted([Scripted([2, 1, 3]), log, every, best], epochs=3)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(r["loss"]) for r in rows] == pytest.approx(h.history["loss"])
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["at-01.keras", "at-02.keras", "at-03.keras", "best.weights.h5", "log.csv"]
    second = K.models.load_model(tmp_path / "at-02.keras")
    model.load_weights(tmp_path / "best.weights.h5")
    for a, b in zip(model.get_weights(), second.get_weights()):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"must end in \.keras"):
        K.callbacks.ModelCheckpoint("model.bin")


def test_a_missing_monitor_warns_with_the_names():
    with pytest.warns(UserWarning, match="'val_loss' is not among the metrics; there are accuracy, loss"):
        fitted(K.callbacks.EarlyStopping(), epochs=1)


def test_the_loop_never_copies_the_data():
    x, y = cases.data()
    seen = []
    batches = train.batches.ArrayBatches(x, y, batch_size=16)
    for bx, _, _ in batches:
        seen.append(np.shares_memory(bx, x))
    assert seen == [True, True, True] and len(batches) == 3
    rows = [b[1] for b in train.batches.ArrayBatches(x, y, None, 16, np.random.default_rng(0).permutation)]
    assert [len(r) for r in rows] == [16, 16, 8]
    assert sorted(np.concatenate(rows)) == sorted(y)
