"""The small network of the recorder's tests, as a module of PyTorch."""

from __future__ import annotations

from tests.records.small_network import INPUTS, START, TARGETS


def network():
    """Return the network at its start, and its inputs and targets as tensors, all in float64."""
    import numpy as np
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(8, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)).double()
    w1, b1, w2, b2 = np.split(START, [56, 63, 70])
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), (w1.reshape(8, 7).T, b1, w2[None], b2), strict=True):
            parameter.copy_(torch.tensor(values.copy()))
    return model, torch.tensor(INPUTS), torch.tensor(TARGETS)
