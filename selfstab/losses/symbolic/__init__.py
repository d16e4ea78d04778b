"""Losses written as formulas."""

from selfstab.losses.symbolic.loss import SymbolicLoss

__all__ = ["SymbolicLoss"]
