"""Training: one loop for Keras models and plain modules, its callbacks and its progress bar."""

from dlcore.train.accumulation import GradientAccumulator, cross_entropy_count
from dlcore.train.backup import BackupAndRestore, SwapEMAWeights
from dlcore.train.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgbarLogger,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from dlcore.train.checkpoint import load_checkpoint, save_checkpoint
from dlcore.train.meters import Mean
from dlcore.train.progress import ProgressBar
from dlcore.train.tensorboard import TensorBoard
from dlcore.train.trainer import Trainer, fit

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientAccumulator",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Mean",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ProgressBar",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "Trainer",
    "cross_entropy_count",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
]
