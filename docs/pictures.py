"""Make the manual's pictures: each figure that has one in docs/images, or those named; a check that fails stops."""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from selfstab import report

IMAGES = Path(__file__).parent / "images"
COLOURS = 256
"""A palette's size: it keeps a picture small."""


def main(names: list[str]) -> None:
    """Make the figures named, or all; print what their checks verified."""
    for name in names or sorted(path.stem for path in IMAGES.glob("*.png")):
        with tempfile.TemporaryDirectory() as folder:
            for line in report.make_figure(name, folder):
                print(line)
            with Image.open(Path(folder) / f"{name}.png") as picture:
                picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
                    IMAGES / f"{name}.png", optimize=True
                )


if __name__ == "__main__":
    main(sys.argv[1:])
