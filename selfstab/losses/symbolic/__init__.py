"""Losses written as formulas."""
