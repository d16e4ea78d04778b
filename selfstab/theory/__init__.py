"""Closed forms: what the theory predicts, without simulation."""
