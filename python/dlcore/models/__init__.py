"""Whole networks, one file a family."""

from __future__ import annotations

from dlcore.models.lenet import LeNet5

__all__ = ["LeNet5"]
