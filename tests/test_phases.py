"""Codes and labels of how a run ends: what files of old say, the CF conventions, colours that can be told apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from selfstab import phases


def test_attributes_say_what_a_code_means():
    """Protects the reading of files by other tools: CF asks for a word without blanks for each value, in order."""
    attributes = phases.flag_attributes()
    assert list(phases.LABELS) == attributes["flag_values"]
    assert attributes["flag_meanings"].split() == list(phases.LABELS.values())
    assert set(phases.COLOURS) == set(phases.LABELS)


def test_codes_are_those_of_stored_results():
    """Protects stores and files of 0.1: a code that is written means the same for ever, under its constant's name."""
    assert phases.LABELS == {
        -1: "diverged", 0: "undecided", 1: "monotone", 2: "oscillating", 3: "catapult", 4: "edge",
        6: "stationary", 7: "cycle", 8: "undefined",
    }  # fmt: skip
    assert {getattr(phases, word.upper()): word for word in phases.LABELS.values()} == phases.LABELS


# Machado, Oliveira and Fernandes (2009), full deficiency, of linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colour, deficiency):
    """Return a colour as CIE L*a*b* (D65), as eyes of a deficiency see it."""
    assert re.fullmatch("#[0-9a-f]{6}", colour)
    srgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0.0, 1.0)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ seen / to_xyz.sum(axis=1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colours_can_be_told_apart(deficiency):
    """Protects readers of phase diagrams, colour-blind ones, too: any two colours differ by 10 in CIE L*a*b*."""
    seen = {word: lab(phases.COLOURS[code], deficiency) for code, word in phases.LABELS.items()}
    distances = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(seen, 2)}
    assert min(distances.values()) > 10.0, min(distances, key=distances.get)
