"""Make the manual's pictures: each figure that has one in docs/images, or those named; a check that fails stops."""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from selfstab.reports import figures as report_figures

IMAGES = Path(__file__).parent / "images"
COLOURS = (256, 128, 64, 48)
"""Sizes of a palette, the first that keeps a picture small enough."""

LARGEST = 150_000
"""Bytes of a picture."""


def main(names: list[str]) -> None:
    """Make the figures named, or all; print what their checks verified."""
    for name in names or sorted(path.stem for path in IMAGES.glob("*.png")):
        with tempfile.TemporaryDirectory() as folder:
            for line in report_figures.make_figure(name, folder):
                print(line)
            keep(Path(folder) / f"{name}.png")


def keep(made: Path) -> None:
    """Write a picture of no more than the largest size to the images."""
    kept = IMAGES / made.name
    with Image.open(made) as picture:
        for colours in COLOURS:
            picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(kept, optimize=True)
            if kept.stat().st_size <= LARGEST:
                return
    raise ValueError(f"{kept.name} must be at most {LARGEST} bytes, got {kept.stat().st_size}")


if __name__ == "__main__":
    main(sys.argv[1:])
