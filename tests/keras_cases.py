"""What Keras and dlcore.keras are both asked to do. `K` is either package; runs as a script under the real
one.

python tests/keras_cases.py OUT: writes OUT/reference.npz, OUT/texts.json, OUT/model.keras and others.
"""

import json
import os
import sys

import numpy as np

# name, layer, input shape (without the batch), training mode
LAYERS = [
    ("dense", lambda K: K.layers.Dense(4, activation="relu"), (3,), False),
    ("dense_3d", lambda K: K.layers.Dense(5, activation="tanh", bias_initializer="ones"), (2, 3), False),
    ("dense_nobias", lambda K: K.layers.Dense(4, use_bias=False, activation="sigmoid"), (3,), False),
    ("dense_softmax", lambda K: K.layers.Dense(4, activation="softmax"), (3,), False),
    ("dense_gelu", lambda K: K.layers.Dense(4, activation="gelu"), (3,), False),
    ("dense_silu", lambda K: K.layers.Dense(4, activation="silu"), (3,), False),
    ("dense_elu", lambda K: K.layers.Dense(4, activation="elu"), (3,), False),
    ("dense_selu", lambda K: K.layers.Dense(4, activation="selu"), (3,), False),
    ("dense_softplus", lambda K: K.layers.Dense(4, activation="softplus"), (3,), False),
    ("dense_softsign", lambda K: K.layers.Dense(4, activation="softsign"), (3,), False),
    ("dense_exponential", lambda K: K.layers.Dense(4, activation="exponential"), (3,), False),
    ("dense_hard_sigmoid", lambda K: K.layers.Dense(4, activation="hard_sigmoid"), (3,), False),
    ("dense_leaky_relu", lambda K: K.layers.Dense(4, activation="leaky_relu"), (3,), False),
    ("dense_relu6", lambda K: K.layers.Dense(4, activation="relu6"), (3,), False),
    ("dense_mish", lambda K: K.layers.Dense(4, activation="mish"), (3,), False),
    ("dense_log_softmax", lambda K: K.layers.Dense(4, activation="log_softmax"), (3,), False),
    ("conv2d", lambda K: K.layers.Conv2D(4, 3, activation="relu", bias_initializer="ones"), (7, 6, 3), False),
    ("conv2d_same", lambda K: K.layers.Conv2D(4, (3, 2), padding="same"), (7, 6, 3), False),
    ("conv2d_stride", lambda K: K.layers.Conv2D(4, 3, strides=2, padding="same"), (8, 7, 3), False),
    ("conv2d_stride3", lambda K: K.layers.Conv2D(4, 5, strides=(3, 2), padding="same"), (9, 8, 2), False),
    ("conv2d_dilated", lambda K: K.layers.Conv2D(2, 3, dilation_rate=2, padding="same"), (8, 8, 2), False),
    ("conv2d_groups", lambda K: K.layers.Conv2D(4, 3, groups=2, activation="tanh"), (6, 6, 4), False),
    ("conv1d", lambda K: K.layers.Conv1D(4, 3, activation="relu"), (9, 3), False),
    ("conv1d_causal", lambda K: K.layers.Conv1D(4, 3, padding="causal", dilation_rate=2), (9, 3), False),
    ("conv1d_same", lambda K: K.layers.Conv1D(4, 4, strides=2, padding="same"), (9, 3), False),
    ("depthwise", lambda K: K.layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 3), False),
    ("depthwise_same", lambda K: K.layers.DepthwiseConv2D(3, strides=2, padding="same"), (7, 8, 3), False),
    (
        "separable",
        lambda K: K.layers.SeparableConv2D(5, 3, depth_multiplier=2, activation="relu"),
        (6, 6, 3),
        False,
    ),
    ("max2d", lambda K: K.layers.MaxPooling2D(), (7, 6, 3), False),
    ("max2d_same", lambda K: K.layers.MaxPooling2D(3, strides=2, padding="same"), (8, 7, 3), False),
    ("max2d_same1", lambda K: K.layers.MaxPooling2D(2, strides=1, padding="same"), (5, 5, 2), False),
    ("max1d", lambda K: K.layers.MaxPooling1D(3, 2), (9, 3), False),
    ("avg2d", lambda K: K.layers.AveragePooling2D((2, 3)), (7, 6, 3), False),
    ("avg2d_same", lambda K: K.layers.AveragePooling2D(3, strides=2, padding="same"), (8, 7, 3), False),
    ("avg2d_same1", lambda K: K.layers.AveragePooling2D(2, strides=1, padding="same"), (5, 5, 2), False),
    ("avg1d", lambda K: K.layers.AveragePooling1D(2), (9, 3), False),
    ("gmax2d", lambda K: K.layers.GlobalMaxPooling2D(), (5, 4, 3), False),
    ("gavg2d", lambda K: K.layers.GlobalAveragePooling2D(keepdims=True), (5, 4, 3), False),
    ("gmax1d", lambda K: K.layers.GlobalMaxPooling1D(), (5, 3), False),
    ("gavg1d", lambda K: K.layers.GlobalAveragePooling1D(), (5, 3), False),
    ("flatten", lambda K: K.layers.Flatten(), (3, 4, 2), False),
    ("reshape", lambda K: K.layers.Reshape((4, -1)), (3, 4, 2), False),
    ("permute", lambda K: K.layers.Permute((3, 1, 2)), (3, 4, 2), False),
    ("repeat", lambda K: K.layers.RepeatVector(3), (4,), False),
    ("activation", lambda K: K.layers.Activation("tanh"), (4,), False),
    ("relu", lambda K: K.layers.ReLU(max_value=1.0, negative_slope=0.1), (4,), False),
    ("relu_threshold", lambda K: K.layers.ReLU(negative_slope=0.1, threshold=0.5), (4,), False),
    ("leaky_relu", lambda K: K.layers.LeakyReLU(), (4,), False),
    ("elu", lambda K: K.layers.ELU(0.7), (4,), False),
    ("prelu", lambda K: K.layers.PReLU(alpha_initializer="ones", shared_axes=[1]), (3, 4), False),
    ("softmax", lambda K: K.layers.Softmax(axis=1), (3, 4), False),
    ("dropout", lambda K: K.layers.Dropout(0.5), (4,), False),
    ("rescaling", lambda K: K.layers.Rescaling(1 / 127.5, offset=-1.0), (4,), False),
    ("zero_padding", lambda K: K.layers.ZeroPadding2D(((1, 2), (0, 3))), (3, 4, 2), False),
    ("cropping", lambda K: K.layers.Cropping2D(((1, 0), (1, 2))), (4, 5, 2), False),
    ("upsampling", lambda K: K.layers.UpSampling2D((2, 3)), (3, 2, 2), False),
    ("batchnorm", lambda K: K.layers.BatchNormalization(), (5, 3), False),
    ("batchnorm_train", lambda K: K.layers.BatchNormalization(momentum=0.8), (4, 4, 3), True),
    ("layernorm", lambda K: K.layers.LayerNormalization(), (5, 3), False),
    ("layernorm_axes", lambda K: K.layers.LayerNormalization(axis=[1, 2]), (5, 3), False),
]

OPTIMIZERS = [
    ("sgd", lambda K: "sgd"),
    ("sgd_momentum", lambda K: K.optimizers.SGD(0.1, momentum=0.9)),
    ("sgd_nesterov", lambda K: K.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
    ("adam", lambda K: "adam"),
    ("adam_big", lambda K: K.optimizers.Adam(0.05, epsilon=1e-3, beta_2=0.9)),
    ("adam_amsgrad", lambda K: K.optimizers.Adam(0.05, amsgrad=True)),
    ("adam_clip", lambda K: K.optimizers.Adam(0.05, clipnorm=0.01)),
    ("adam_global", lambda K: K.optimizers.Adam(0.05, global_clipnorm=0.01)),
    ("adam_value", lambda K: K.optimizers.Adam(0.05, clipvalue=0.001)),
    ("adamw", lambda K: K.optimizers.AdamW(0.05)),
    ("adamax", lambda K: K.optimizers.Adamax(0.05)),
    ("nadam", lambda K: K.optimizers.Nadam(0.05)),
    ("rmsprop", lambda K: "rmsprop"),
    ("rmsprop_all", lambda K: K.optimizers.RMSprop(0.01, momentum=0.5, centered=True)),
    ("adagrad", lambda K: K.optimizers.Adagrad(0.1)),
    ("adadelta", lambda K: K.optimizers.Adadelta(1.0)),
    ("lion", lambda K: K.optimizers.Lion(0.01)),
    ("exponential", lambda K: K.optimizers.SGD(K.optimizers.schedules.ExponentialDecay(0.5, 2, 0.5))),
    (
        "cosine",
        lambda K: K.optimizers.Adam(
            K.optimizers.schedules.CosineDecay(0.01, 4, warmup_target=0.1, warmup_steps=2, alpha=0.1)
        ),
    ),
    (
        "piecewise",
        lambda K: K.optimizers.SGD(K.optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.5, 0.1, 0.01])),
    ),
]

# name, loss, metrics, how y is made from the labels, output activation
LOSSES = [
    ("sparse", lambda K: "sparse_categorical_crossentropy", ["accuracy"], "labels", "softmax"),
    ("sparse_column", lambda K: "sparse_categorical_crossentropy", ["accuracy"], "column", "softmax"),
    (
        "sparse_logits",
        lambda K: K.losses.SparseCategoricalCrossentropy(from_logits=True),
        ["sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"],
        "labels",
        None,
    ),
    ("onehot", lambda K: "categorical_crossentropy", ["accuracy", "mse"], "onehot", "softmax"),
    (
        "onehot_smooth",
        lambda K: K.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        ["categorical_accuracy"],
        "onehot",
        None,
    ),
    (
        "onehot_sigmoid",
        lambda K: "categorical_crossentropy",
        ["top_k_categorical_accuracy"],
        "onehot",
        "sigmoid",
    ),
    ("binary", lambda K: "binary_crossentropy", ["binary_accuracy", "mae"], "onehot", "sigmoid"),
    (
        "binary_logits",
        lambda K: K.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
        ["mae"],
        "onehot",
        None,
    ),
    ("mse", lambda K: "mse", ["mae"], "onehot", None),
    ("mae", lambda K: "mae", ["mse"], "onehot", None),
    ("huber", lambda K: K.losses.Huber(0.3), ["mse"], "onehot", None),
    ("kl", lambda K: "kl_divergence", ["mse"], "onehot", "softmax"),
    ("poisson", lambda K: "poisson", ["mse"], "onehot", "softplus"),
    ("log_cosh", lambda K: K.losses.LogCosh(), ["mse"], "onehot", None),
    ("hinge", lambda K: "hinge", ["mse"], "onehot", None),
    ("cosine", lambda K: K.losses.CosineSimilarity(), ["mse"], "onehot", None),
    ("msle", lambda K: "msle", ["mse"], "onehot", "softplus"),
    ("metrics", lambda K: "binary_crossentropy", "objects", "onehot", "sigmoid"),
]


def metric_objects(K):
    return [K.metrics.Precision(), K.metrics.Recall(thresholds=0.4), K.metrics.AUC(num_thresholds=20)]


def data(n=40, shape=(8, 8, 1), classes=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, *shape), dtype=np.float32)
    return x, rng.integers(0, classes, n)


def target(y, kind, classes=4):
    if kind == "labels":
        return y
    return y[:, None] if kind == "column" else np.eye(classes, dtype=np.float32)[y]


def listing(K, shape=(8, 8, 1), classes=4):
    """The CNN of the README, smaller."""
    layers = K.layers
    return K.Sequential(
        [
            K.Input(shape),
            layers.Conv2D(4, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(6, kernel_size=(2, 2), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def dense(K, activation="softmax", classes=4):
    return K.Sequential(
        [
            K.Input((8,)),
            K.layers.Dense(6, activation="tanh", kernel_regularizer=K.regularizers.L2(0.01)),
            K.layers.Dense(classes, activation=activation, bias_regularizer=K.regularizers.L1(0.02)),
        ]
    )


def branching(K):
    a = K.Input((6,), name="left")
    b = K.Input((6,), name="right")
    shared = K.layers.Dense(5, activation="relu", name="shared")
    c = K.layers.Concatenate(name="both")([shared(a), shared(b)])
    d = K.layers.Add(name="sum")([shared(a), K.layers.Dense(5, name="own")(b)])
    return K.Model(
        [a, b], [K.layers.Dense(3, activation="softmax", name="p")(c), K.layers.Dense(1, name="q")(d)]
    )


# name, keyword arguments of fit
FITS = [
    ("plain", {"epochs": 2, "batch_size": 16}),
    ("split", {"epochs": 2, "batch_size": 16, "validation_split": 0.25}),
    ("class_weight", {"epochs": 2, "batch_size": 16, "class_weight": {0: 2.0, 2: 0.5}}),
    (
        "sample_weight",
        {"epochs": 2, "batch_size": 16, "sample_weight": np.linspace(0, 2, 40).astype("float32")},
    ),
    ("steps", {"epochs": 3, "batch_size": 16, "steps_per_epoch": 1}),
    ("initial_epoch", {"epochs": 3, "batch_size": 16, "initial_epoch": 1}),
    ("validation_freq", {"epochs": 3, "batch_size": 16, "validation_split": 0.25, "validation_freq": 2}),
]


def layer_input(name, shape):
    rng = np.random.default_rng(len(name) + sum(shape))
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    return x, rng


def main(out):
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras as K

    arrays, texts = {}, {}
    for name, make, shape, training in LAYERS:
        x, rng = layer_input(name, shape)
        layer = make(K)
        layer.build((None, *shape))
        weights = [rng.standard_normal(w.shape).astype(np.float32) * 0.5 for w in layer.get_weights()]
        if name.startswith("batchnorm"):
            weights[3] = np.abs(weights[3]) + 0.5
        layer.set_weights(weights)
        r = None
        tv = [v.value for v in layer.trainable_variables]
        ntv = [v.value for v in layer.non_trainable_variables]

        def f(tv, x, layer=layer, ntv=ntv, training=training, r=None):
            takes = layer._call_has_training_arg
            y, new = layer.stateless_call(tv, ntv, x, **({"training": training} if takes else {}))
            return (y if r is None else (y * r).sum()), new

        y, new = f(tv, x)
        r = rng.standard_normal(y.shape).astype(np.float32)
        grads = jax.grad(lambda tv, x, r=r: f(tv, x, r=r)[0], argnums=(0, 1))(tv, x)
        arrays[f"layer/{name}/y"] = y
        arrays[f"layer/{name}/r"] = r
        arrays[f"layer/{name}/dx"] = grads[1]
        for i, w in enumerate(weights):
            arrays[f"layer/{name}/w{i}"] = w
        for i, g in enumerate(grads[0]):
            arrays[f"layer/{name}/g{i}"] = g
        for i, v in enumerate(new):
            arrays[f"layer/{name}/n{i}"] = v
        texts[f"layer/{name}"] = [list(w.shape) for w in layer.get_weights()]

    def keep(prefix, weights):
        for i, w in enumerate(weights):
            arrays[f"{prefix}{i}"] = w

    x, y = data()
    flat = x.reshape(len(x), -1)[:, :8] * 4 - 2
    model = dense(K)
    start = model.get_weights()
    start[3] = np.asarray([0.3, -0.2, 0.1, -0.4], np.float32)  # |w| has no one gradient at 0
    keep("dense/w", start)
    for name, make in OPTIMIZERS:
        model = dense(K)
        model.set_weights(start)
        model.compile(make(K), "sparse_categorical_crossentropy")
        model.fit(flat, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
        keep(f"optimizer/{name}/w", model.get_weights())
    for name, loss, metrics, kind, activation in LOSSES:
        model = dense(K, activation)
        model.set_weights(start)
        model.compile("sgd", loss(K), metrics=metric_objects(K) if metrics == "objects" else metrics)
        h = model.fit(flat, target(y, kind), batch_size=16, epochs=2, shuffle=False, verbose=0)
        texts[f"loss/{name}"] = h.history
        texts[f"evaluate/{name}"] = model.evaluate(flat, target(y, kind), verbose=0)
    for optimizer in ("adam", "sgd"):
        model = listing(K)
        if optimizer == "adam":
            cnn = model.get_weights()
            keep("cnn/w", cnn)
        model.set_weights(cnn)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        curve = []
        for i in range(5):
            model.reset_metrics()
            curve.append(float(model.train_on_batch(x[i * 8 : i * 8 + 8], y[i * 8 : i * 8 + 8])[0]))
        arrays[f"cnn/{optimizer}"] = np.asarray(curve)
        keep(f"cnn/{optimizer}/w", model.get_weights())
        if optimizer == "adam":
            model.save(os.path.join(out, "model.keras"))
            model.save_weights(os.path.join(out, "model.weights.h5"))
            arrays["cnn/predict"] = model.predict(x, verbose=0)
            texts["summary_trained"] = summary(model)
            texts["to_json"] = model.to_json()
    for name, kwargs in FITS:
        model = listing(K)
        model.set_weights(cnn)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        h = model.fit(x, y, shuffle=False, verbose=0, **kwargs)
        texts[f"fit/{name}"] = {"epoch": h.epoch, "history": h.history}
    K.utils.clear_session()
    texts["summary"] = summary(listing(K))
    texts["summary_unbuilt"] = summary(K.Sequential([K.layers.Dense(3)], name="open"))
    texts["summary_branching"] = summary(branching(K))
    model = branching(K)
    keep("branching/w", model.get_weights())
    a, b = flat[:, :6], flat[:, 2:8]
    p, q = model.predict([a, b], verbose=0)
    arrays["branching/p"], arrays["branching/q"] = p, q
    model.compile("sgd", {"p": "sparse_categorical_crossentropy", "q": "mse"}, metrics={"p": ["accuracy"]})
    h = model.fit(
        [a, b], {"p": y % 3, "q": y.astype("float32")}, epochs=2, batch_size=16, shuffle=False, verbose=0
    )
    texts["branching"] = h.history
    model.save(os.path.join(out, "branching.keras"))
    keep("branching/after", model.get_weights())
    np.savez(os.path.join(out, "reference.npz"), **arrays)
    with open(os.path.join(out, "texts.json"), "w") as f:
        json.dump(texts, f, default=float)


def summary(model):
    lines = []
    model.summary(print_fn=lambda s, **_: lines.append(s))
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1])
