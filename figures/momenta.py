"""The colour and the marker of each momentum, alike in all figures that compare several."""

from typing import Final

COLOURS: Final = {
    0.0: "#0077bb",
    0.5: "#009988",
    0.8: "#33bbee",
    0.9: "#ee7733",
    0.95: "#cc3311",
    0.99: "#ee3377",
}
"""Paul Tol's colour-blind-safe 'vibrant' scheme; gradient descent and heavy ball at 0.9 as everywhere."""

MARKERS: Final = {0.0: "o", 0.5: "s", 0.8: "^", 0.9: "D", 0.95: "v", 0.99: "P"}
