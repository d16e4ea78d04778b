"""Losses given by a function: its value and gradient in NumPy, or one of JAX's or PyTorch's.

``function`` makes the missing derivatives by ``differences``, ``autodiff`` takes them from the other library. Another
library is another function in ``autodiff``.
"""
