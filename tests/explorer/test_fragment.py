"""The state in the page's address: it comes back whole, and a hostile one is refused in one line."""

from __future__ import annotations

import random

import pytest

from selfstab.explorer.fragment import MOST_FIELDS, fragment_of, state_of
from selfstab.explorer.messages import LONGEST_TEXT
from selfstab.explorer.numbers import offered
from selfstab.explorer.presets import PRESETS
from selfstab.explorer.setups import MODELS
from selfstab.explorer.state import PageState
from tests.explorer.conftest import STATES

KNOWN = (
    STATES
    | PRESETS
    | {name: PageState().with_model(name) for name in MODELS}
    | {name: PageState().with_method(name) for name in offered()}
    | {
        "numbers in full": PageState(momentum=1 / 3, excess=1e-300, flip=0.1 + 0.2),
        "a picked cell": PageState().at_point(0.123456789, 0.987654321),
        "overshoots": PageState(measure="overshoot", weight="x"),
        "signs that an address escapes": PageState(model="Formula", formula="u*v + 1%2 & é", at="1,2"),
        "texts of an optimizer": PageState()
        .with_method("LinearOptimizer")
        .with_text("numerator", "1.4,-0.4"),
        "numbers of an optimizer": PageState()
        .with_method("AggregatedMomentum")
        .with_number("momenta.2", 0.95),
    }
)


@pytest.mark.parametrize("name", KNOWN)
def test_a_state_comes_back_whole(name):
    """Protects a link that was sent: the same state, to the last bit, by signs that an address may hold."""
    state = KNOWN[name]
    fragment = fragment_of(state)
    assert state_of(fragment) == state
    assert not set(fragment) & set(' "<>`#\\^{}|')
    assert fragment.isascii()


def test_the_first_page_has_no_fragment():
    """Protects the address of the first page, which is the shortest; a field at its default is none."""
    assert fragment_of(PageState()) == ""
    assert state_of("") == PageState()
    assert fragment_of(state_of("momentum=0.90&model=CubicTaylor")) == ""


HOSTILE = [
    ("momentum=1", r"momentum must be .* got 1"),
    ("momentum=nan", "momentum must be"),
    ("momentum=1e999", "momentum must be"),
    ("momentum=__import__('os')", "momentum must be a number"),
    ("momentum=0.1&momentum=0.2", "each field once"),
    ("excess=-1", "excess must be"),
    ("steps=1e9", "steps must be an integer >= 1 and <= 20000"),
    ("steps=1.5", "steps must be a whole number"),
    ("steps=" + "9" * 400, "steps must be"),
    ("flip=0", "flip must be"),
    ("warmup=-1", "warmup must be"),
    ("model=Quadratic", "model must be one of"),
    ("model=../../etc/passwd", "model must be one of"),
    ("optimizer=Adam", "optimizer must be one of"),
    ("stabilization=-1", "stabilization"),
    ("model=Chain&depth=1e6", "depth"),
    ("model=Chain&depth=2.5", "depth"),
    ("lookahead=-1", "lookahead"),
    ("across=momentum", "axis across must be a name and two ends"),
    ("across=momentum:0:2", "momentum"),
    ("across=momentum:0.9:0.1", "low end must be below"),
    ("across=spam:0:1", "axis across must be one of"),
    ("across=excess:0.1:0.2", "two"),
    ("across=lr:0.1:0.2", "both"),
    ("measure=loss", "measure must be one of"),
    ("optimizer=LinearOptimizer&numerator=" + "1," * 1500, "numerator must be a text of at most 2000"),
    ("icon=/etc/hostname", "field of the address must be one of"),
    ("file=x", "field of the address must be one of"),
    ("__class__=x", "field of the address must be one of"),
    ("numbers=1", "field of the address must be one of"),
    ("momentum", "fields name=value"),
    ("formula=%FF", "fields name=value"),
    ("&".join(f"a{k}=1" for k in range(MOST_FIELDS + 1)), "fields name=value"),
    ("<script>alert(1)</script>=1", "field of the address must be one of"),
    ("momentum=1\n2", "momentum must be a number"),
]


@pytest.mark.parametrize(("fragment", "words"), HOSTILE, ids=[text[:40] for text, _ in HOSTILE])
def test_a_hostile_address_is_refused_in_one_line(fragment, words):
    """Protects the server from an address that somebody else wrote: what a control cannot send is refused."""
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        state_of(fragment)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


SANE = [fragment_of(state) for state in KNOWN.values()]
PIECES = [
    *(fragment for fragment, _ in HOSTILE), *SANE, "&", "=", "%", ":", "%00", "%0A", "+", "1e308", "-0", "0x10", "inf",
    "é", "\ud800", "across=", "up=lr:1:2", "orbit=momentum:0:0.5", "optimizer=QuasiHyperbolic&nu=0.3", "z" * 300,
]  # fmt: skip


def fuzz(count, seed):
    """Return how many of `count` damaged addresses were taken, and the messages of those refused."""
    rng, taken, messages = random.Random(seed), 0, []
    for _ in range(count):
        text = "&".join(rng.choice(rng.choice([SANE, PIECES])) for _ in range(rng.choice([1, 1, 2])))
        for _ in range(rng.choice([0, 0, 1, 4])):
            at = rng.randrange(len(text) + 1)
            text = (
                text[:at] + rng.choice(PIECES)[: rng.choice([1, 5, 50])] + text[at + rng.choice([0, 1, 5]) :]
            )
        try:
            state = state_of(text[:LONGEST_TEXT])
        except (TypeError, ValueError) as error:
            messages.append(str(error))
            continue
        assert state_of(fragment_of(state)) == state, text
        taken += 1
    return taken, messages


def test_damaged_addresses_are_states_or_refused():
    """Protects by numbers: each of 500 is refused in one line, or is a state that its own address gives again."""
    taken, messages = fuzz(500, 0)
    assert min(taken, len(messages)) > 100
    assert not any("\n" in message for message in messages)
