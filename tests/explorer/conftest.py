"""States of every kind that the page allows."""

from dataclasses import replace

import pytest

from selfstab.explorer.scales import Axis
from selfstab.explorer.setups import FORMULA
from selfstab.explorer.state import PageState

STATES = {
    "default": PageState(steps=60),
    "gradient descent": PageState(steps=60, momentum=0.0),
    "product": replace(PageState().with_model("Product"), steps=50, momentum=0.5),
    "double well": replace(PageState().with_model("DoubleWell"), steps=40, orbit=Axis("lr", 0.5, 2.5)),
    "minimalist": replace(PageState().with_model("Minimalist"), steps=40, up=Axis("lr", 0.01, 0.3)),
    "chain": replace(PageState().with_model("Chain").with_setting("depth", 4), steps=40),
    "coupled": replace(
        PageState().with_model("Coupled"),
        steps=80,
        across=Axis("zeta", -0.5, 0.5),
        orbit=Axis("eps", 0.0, 1e-3),
    ),
    "without lr or excess": PageState(
        steps=40, up=Axis("stabilization", 0.5, 2.0), orbit=Axis("momentum", 0.1, 0.9)
    ),
    "warmup": PageState(steps=60, warmup=30.0),
    "warmup as an axis": PageState(
        steps=60, across=Axis("warmup", 1.0, 40.0), orbit=Axis("warmup", 1.0, 40.0), momentum=0.8
    ),
    "formula": PageState(model=FORMULA, steps=30),
    "formula from numbers": PageState(
        model=FORMULA, formula="(u*v - 1)**2/2", at="1.9, 0.53", variables="u, v", steps=30
    ),
}


@pytest.fixture(params=list(STATES))
def state(request):
    return STATES[request.param]
