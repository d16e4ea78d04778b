"""Names of columns: none stands for two roles, and each is found as it is compared."""

from __future__ import annotations

from collections import Counter

import pytest

from selfstab.records.columns.assignment import names_of_roles
from selfstab.records.columns.roles import ALIASES, counts_of_steps, key, rank
from selfstab.records.formats import Table


def test_a_name_has_one_role():
    """Protects against a column that would be read twice."""
    counts = Counter(name for aliases in ALIASES.values() for name in aliases)
    assert max(counts.values()) == 1


def test_every_name_is_one_that_can_be_met():
    """Protects against a name that no column equals, since names are compared by their key."""
    assert [name for aliases in ALIASES.values() for name in aliases if key(name) != name] == []
    assert all(aliases[0] == role for role, aliases in ALIASES.items())


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (
            "step",
            "Step STEP _step trainer/global_step train/global_step globalStep #step iteration num_updates Iter",
        ),
        ("step", "step_number train/epoch"),
        (
            "sharpness",
            "Sharpness train/sharpness hessian/lambda_max Hessian/LambdaMax λ_max train/hessian/λ₁ lmax",
        ),
        ("sharpness", "sharpness_step epoch_sharpness top-eigenvalue full_batch_sharpness my_code/sharpness"),
        (
            "lr",
            "lr-SGD lr-SGD/pg1 train/learning_rate learningRate LearningRate optimizer/lr param_groups/0/lr η",
        ),
        ("momentum", "lr-SGD-momentum lr-SGD/pg1-momentum optimizer.momentum β"),
        (
            "loss",
            "train_loss Loss/train train/loss_step train_loss_epoch trainLoss full_loss training/loss epoch_loss",
        ),
    ],
)
def test_spellings_of_the_field_are_known(role, names):
    """Protects logs of the usual libraries: nobody has to rename columns."""
    assert [name for name in names.split() if rank(role, name) is None] == []


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("step", "step_time steps_per_second step_size time epoch_time"),
        (
            "sharpness",
            "val/sharpness test_sharpness batch_sharpness step_sharpness layer1/sharpness sharpness/max loss",
        ),
        ("sharpness", "effective_sharpness preconditioned_sharpness adaptive_batch_sharpness lambda"),
        ("lr", "lr-SGD-momentum lr-Adam min_lr max_lr warmup_lr lr_decay val/lr"),
        ("momentum", "bn_momentum momentum_buffer_norm beta2 ema/momentum"),
        (
            "loss",
            "val_loss val/loss Loss/test eval/loss test_loss loss_scale batch/loss loss/std hessian/loss_max",
        ),
    ],
)
def test_names_of_other_quantities_are_not(role, names):
    """Protects the analysis from a quantity that is only called like another."""
    assert [name for name in names.split() if rank(role, name) is not None] == []


def test_of_several_counts_of_steps_the_updates_go_first():
    """Protects rates from W&B's count of its own calls, and from epochs."""
    names = ["epoch", "_step", "train/epoch", "train/global_step"]
    assert counts_of_steps(names)[:2] == ["train/global_step", "_step"]
    assert counts_of_steps(["step", "_step", "trainer/global_step"])[0] == "step"


@pytest.mark.parametrize("name", ["lr-Adam", "lr-AdamW/pg1", "AdamW/lr", "lr_rmsprop"])
def test_a_learning_rate_of_adam_is_refused(name):
    """Protects the threshold from Lightning's monitor of another optimizer."""
    with pytest.raises(ValueError, match="the threshold of Adam and its like is another"):
        names_of_roles(Table({"sharpness": [1.0], name: [0.1]}), {})
