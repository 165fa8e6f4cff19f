"""Keras' names, channels last, on dlcore's kernels.

>>> from dlcore import keras
>>> model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
>>> model.count_params()
3
"""

from dlcore.keras import (
    activations,
    callbacks,
    config,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    random,
    regularizers,
    saving,
    utils,
)
from dlcore.keras._random import SeedGenerator
from dlcore.keras.initializers import Initializer
from dlcore.keras.layers.base import InputSpec, KerasTensor, Layer
from dlcore.keras.layers.input import Input, InputLayer
from dlcore.keras.losses import Loss
from dlcore.keras.metrics import Metric
from dlcore.keras.models import Functional, Model, Sequential
from dlcore.keras.optimizers import Optimizer
from dlcore.keras.regularizers import Regularizer
from dlcore.keras.symbolic import Operation
from dlcore.keras.variable import Variable

__all__ = [
    "Functional",
    "Initializer",
    "Input",
    "InputLayer",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Operation",
    "Optimizer",
    "Regularizer",
    "SeedGenerator",
    "Sequential",
    "Variable",
    "activations",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "utils",
]
