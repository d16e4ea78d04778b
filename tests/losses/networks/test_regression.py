"""What losses on data share: the hash that identifies the data, and the state that a store keeps."""

import hashlib

import numpy as np
import pytest

import selfstab as ss

INPUTS, TARGETS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 1.5, 2.5])


def test_the_data_are_known_by_their_bytes():
    """Protects stores of version 0.1: the hash is of shapes and little-endian float64, written out here."""
    loss = ss.DiagonalNetwork(INPUTS, TARGETS)
    digest = hashlib.sha256(b"(3, 2)")
    digest.update(INPUTS.astype("<f8").tobytes())
    digest.update(b"(3,)")
    digest.update(TARGETS.astype("<f8").tobytes())
    assert loss.data == f"inputs 3x2, targets 3, sha256 {digest.hexdigest()[:12]}"
    reshaped = ss.DiagonalNetwork(INPUTS.reshape(2, 3), TARGETS[:2])
    assert reshaped.data != loss.data


@pytest.mark.parametrize(
    "loss",
    [
        ss.DiagonalNetwork(INPUTS, TARGETS, depth=3),
        ss.MLP((2, 3, 1), INPUTS, TARGETS, "gelu", weight_decay=0.1),
        ss.MLP((2, 3, 2), INPUTS, [0, 1, 1], criterion="cross-entropy"),
    ],
)
def test_the_state_makes_the_loss_again(loss):
    """Protects `resume`: what a store keeps of a network makes one with the same bits, and the same state."""
    loss.explicit_hessian = False
    again = type(loss).from_state(loss.state())
    w = np.linspace(-1.0, 1.0, loss.dimension)
    assert again.value(w) == loss.value(w)
    assert again.explicit_hessian is False
    assert again.description == loss.description
    with pytest.raises(ValueError, match="whether the Hessian is explicit, got 'no'"):
        type(loss).from_state(loss.state() | {"explicit_hessian": "no"})


def test_a_class_of_the_users_own_is_known_by_its_code():
    """Protects against a resume with other code: a class made from ours has a state of its own."""

    class Mine(ss.MLP):
        pass

    state = Mine((2, 3, 1), INPUTS, TARGETS).state()
    assert state["code"].startswith("sha256 ")
    assert "code" not in ss.MLP((2, 3, 1), INPUTS, TARGETS).state()
