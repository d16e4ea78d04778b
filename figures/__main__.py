"""python -m figures NAME [FOLDER] [--quick]: make one figure and its data."""

import sys

from selfstab.reports import reproduce


def main(arguments: list[str]) -> None:
    quick = "--quick" in arguments
    names = [a for a in arguments if a != "--quick"]
    if not 1 <= len(names) <= 2:
        print("\n".join(f"{name:18s} {title}" for name, title in reproduce.titles().items()))
        return
    for line in reproduce.make_figure(
        names[0], names[1] if len(names) == 2 else "figures/output", quick=quick
    ):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
