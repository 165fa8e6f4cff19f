"""Optimizers and learning-rate schedules under torch's names; a step is one kernel call over all
parameters."""

from dlcore.optim import lr_scheduler
from dlcore.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from dlcore.optim.adaptive import Adadelta, Adagrad, RMSprop
from dlcore.optim.optimizer import Optimizer
from dlcore.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
]
