"""Optimizers and learning-rate schedules under torch's names; a step is one kernel call over all
parameters."""

from dlcore.optim import lr_scheduler
from dlcore.optim.adafactor import Adafactor, SparseAdam
from dlcore.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from dlcore.optim.adaptive import Adadelta, Adagrad, RMSprop
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.lion import Lion
from dlcore.optim.muon import Muon
from dlcore.optim.optimizer import Optimizer
from dlcore.optim.rprop import ASGD, Rprop
from dlcore.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
]
