"""Keras' names, channels last, on dlcore's kernels.

>>> from dlcore import keras
>>> model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
>>> model.count_params()
3
"""

from dlcore.keras import (
    activations,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    saving,
    utils,
)
from dlcore.keras.layers.base import Input, InputLayer, KerasTensor, Layer
from dlcore.keras.losses import Loss
from dlcore.keras.metrics import Metric
from dlcore.keras.models import Model, Sequential
from dlcore.keras.optimizers import Optimizer
from dlcore.keras.variable import Variable

__all__ = [
    "Input",
    "InputLayer",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Sequential",
    "Variable",
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "saving",
    "utils",
]
