"""Each check of a loss can fail, and says what is broken."""

import pytest

import selfstab as ss
from selfstab.losses.base.check import LossError
from selfstab.losses.base.checks import CHECKS
from tests.losses.base.broken import (
    POINT,
    Cached,
    Counting,
    Deaf,
    Doubling,
    Forgetful,
    Greedy,
    InfiniteStart,
    Leaking,
    ListStart,
    Locked,
    Lopsided,
    LopsidedThird,
    LostHessians,
    Nameless,
    NoDimension,
    NotANumber,
    OneElement,
    OtherKernel,
    Overflowing,
    Overwriting,
    Refusing,
    RepeatedNames,
    Returning,
    SameObject,
    Single,
    Smallest,
    StaleGradients,
    StaleTogether,
    TextParameter,
    TwoHessians,
    TwoLines,
    Unchecked,
    Unnormalized,
    Unrefused,
    Unseeded,
    View,
    WrongFourth,
    WrongGradient,
    WrongProduct,
    WrongThird,
)

BROKEN = [
    (NoDimension, "dimension", "return the number of weights"),
    (RepeatedNames, "names", "none twice"),
    (TwoLines, "names", "return one line of text"),
    (TextParameter, "names", "map names to numbers"),
    (InfiniteStart, "initial weights", "return finite numbers"),
    (ListStart, "initial weights", r"list .*: return float64 of shape \(2,\)"),
    (Unseeded, "initial weights", "default_rng"),
    (OneElement, "shapes and dtypes", r"array of float64, shape \(1,\): return a float"),
    (Single, "shapes and dtypes", "float32"),
    (NotANumber, "finite", "hessian_vector_at is NaN or infinite"),
    (Overflowing, "overflow", "raises OverflowError at weights of 1e200"),
    (Overwriting, "purity", "gradient_at changes its arguments"),
    (Returning, "purity", "third_at changes its arguments"),
    (View, "purity", "gradient_at returns one of its arguments"),
    (Cached, "purity", "hessian_at gives other bits"),
    (Counting, "purity", "value_at gives other bits"),
    (WrongGradient, "gradient is the derivative of value", r"order -?0\.\d+"),
    (WrongProduct, "hessian_vector is the derivative of gradient", r"order -?0\.\d+"),
    (WrongThird, "third is the derivative of hessian_vector", r"order -?0\.\d+"),
    (WrongFourth, "fourth is the derivative of third", "correct fourth_at"),
    (Lopsided, "hessian is symmetric", "differs from its transpose"),
    (LopsidedThird, "third is symmetric", "change places"),
    (TwoHessians, "hessian products agree", "one matrix"),
    (StaleTogether, "derivatives together", "gradient_at differ by"),
    (StaleGradients, "derivatives together", "gradients at many points and gradient_at"),
    (LostHessians, "derivatives together", "hessians at many points and hessian_at"),
    (Smallest, "sharpness", "by numpy.linalg.eigvalsh"),
    (Unnormalized, "sharpness", "norm 2.0"),
    (OtherKernel, "kernel", "the kernel's value and value_at differ"),
    (SameObject, "replace", "return a new loss"),
    (Leaking, "replace", "replace changes the loss that it is called on"),
    (Doubling, "replace", r"replace\(k=1.0\) is another loss"),
    (Refusing, "replace", r"refuses 1.0625 and others"),
    (Nameless, "replace", "no such number: name the parameter"),
    (Deaf, "replace", r"replace\(k=1.0625\) has k=1.0"),
    (Greedy, "replace", r"no_such_parameter=1.0\) is accepted"),
    (Locked, "pickling", "cloudpickle raises TypeError"),
    (Forgetful, "pickling", "other bits"),
    (Unchecked, "messages", "value accepts .*: define value_at"),
    (Unrefused, "messages", "third is not refused"),
]


@pytest.mark.parametrize(("kind", "name", "detail"), BROKEN, ids=lambda item: getattr(item, "__name__", ""))
def test_a_broken_loss_fails_the_check_of_what_is_broken(kind, name, detail):
    """Protects each check: there is a loss that fails it, by name, with what to do."""
    with pytest.raises(LossError, match=f"  {name}: .*{detail}") as caught:
        ss.check_loss(kind(), POINT)
    assert name in [result.name for result in caught.value.report.failures]


def test_every_check_can_fail():
    """Protects the battery: a check that nothing fails is none."""
    assert {name for _, name, _ in BROKEN} == {check.name for check in CHECKS}


def test_a_check_needs_what_comes_before_it():
    """Protects the order: what a check needs has been tried, and no two checks have one name."""
    names = [check.name for check in CHECKS]
    assert len({*names}) == len(names)
    assert [need for k, check in enumerate(CHECKS) for need in check.needs if need not in names[:k]] == []
