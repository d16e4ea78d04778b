"""Losses made of any function, PyTorch's and JAX's among them."""
