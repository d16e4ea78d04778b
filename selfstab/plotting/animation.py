"""Moving pictures of catapults: the plane of displacement and sharpness."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from selfstab import validation
from selfstab.plotting.contract import require_run
from selfstab.plotting.labels import label_of
from selfstab.plotting.legends import shared_legend
from selfstab.plotting.look import SINGLE_COLUMN, THEORY_COLOUR, styled
from selfstab.plotting.methods import is_heavy_ball, method, method_colour, momentum
from selfstab.plotting.style import new_figure
from selfstab.plotting.thresholds import draw_laws_end
from selfstab.sweeps.runners import pool
from selfstab.validation import Array

if TYPE_CHECKING:
    import xarray
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

FORMATS: Final = (".gif", ".mp4")
"""Suffixes of the files that can be written."""

_DPI: Final = 150


@styled
def animate_catapult(
    runs: xarray.Dataset | Mapping[str, xarray.Dataset],
    path: Path | str,
    *,
    frames: int = 120,
    trail: int = 40,
    frames_per_second: int = 20,
    progress: bool = True,
) -> Film:
    """Write a film of catapults in the plane (x, S): how the swing grows, lowers the sharpness, and dies.

    Each run has a panel with its threshold S* and, where it carries it, the final sharpness predicted, as
    :func:`selfstab.plotting.draw_sharpness` draws it. All panels have
    one scale, so that their swings can be compared. All have the same duration, however many steps they have. Frame k
    of n shows the step nearest to k/(n − 1) of each run's last.

    Parameters
    ----------
    runs
        One run with ``displacement``, ``sharpness`` and ``max_stable_sharpness``, as
        :func:`selfstab.observables.swing` returns it (see ``selfstab.plotting.contract``), or several by name.
    path
        The film, a .gif or an .mp4; its folder must exist. An .mp4 needs ffmpeg, from the system or the extra `film`.
    frames
        Number of frames, 2 to 10,000.
    trail
        Steps of the run, up to the current one, that are drawn strongly; earlier ones are faint.
    frames_per_second
        Speed, an integer from 1 to 100.
    progress
        Whether to show a bar on standard error while frames are drawn, once this has taken half a second.

    Returns
    -------
    Film
        The file's path, which a notebook shows as the film where it is the last line of a cell.

    Raises
    ------
    TypeError, ValueError
        If a run lacks one of these, or an argument is of the wrong kind or out of its range.
    OSError
        If the folder does not exist, or ffmpeg is not found.

    Examples
    --------
    >>> import selfstab as ss, tempfile
    >>> loss, keep = ss.Product(), ("loss", "sharpness", "weights")
    >>> minimum = loss.minimum(sharpness=4.0)
    >>> start, previous = ss.flip_start(loss, minimum, size=1e-2)
    >>> run = ss.simulate(loss, ss.HeavyBall(0.97, 0.9), start, 300, previous=previous, keep=keep)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     film = animate_catapult(ss.observables.swing(run, loss, minimum), f"{folder}/film.gif", frames=3)
    ...     film.stat().st_size > 1000
    True
    """
    import xarray

    # A dataset is a mapping, too.
    by_name = dict(runs) if isinstance(runs, Mapping) and not isinstance(runs, xarray.Dataset) else {"": runs}
    if not by_name:
        raise ValueError("runs must hold a run or more, got none")
    for name, run in by_name.items():
        require_run(
            run, "step", "displacement", "sharpness", "max_stable_sharpness",
            name=f"runs[{name!r}]" if name else "run",
        )  # fmt: skip
    film = Film(path)
    validation.one_of("path's suffix", film.suffix.lower(), FORMATS)
    if not film.parent.is_dir():
        raise FileNotFoundError(f"path must lie in a folder that exists, got {film}")
    frames = validation.integer("frames", frames, at_least=2, at_most=10_000)
    trail = validation.integer("trail", trail, at_least=1)
    speed = validation.integer("frames_per_second", frames_per_second, at_least=1, at_most=100)
    writer = _writer(film, speed)

    width = SINGLE_COLUMN * (1.0 if len(by_name) == 1 else 2.05)
    figure = new_figure(width, 2.6)
    panels = [
        _Panel(ax, name, run, trail)
        for ax, (name, run) in zip(
            figure.subplots(1, len(by_name), squeeze=False)[0], by_name.items(), strict=True
        )
    ]
    _share_scale(panels)
    shared_legend(figure, [panel.ax for panel in panels], columns=2)
    with pool.progress_bar(frames, "frame", progress) as bar:
        _write(figure, panels, film, writer, np.linspace(0.0, 1.0, frames), bar)
    return film


def _write(
    figure: Figure, panels: list[_Panel], film: Path, writer: AbstractMovieWriter, shares: Array, bar: Any
) -> None:
    """Write a frame for each share of the runs; only what moves is drawn again, on a copy of what stands still."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas: Any = FigureCanvasAgg(figure)
    figure.set_dpi(_DPI)
    canvas.draw()  # laid out once: the axes must not move between frames
    still = canvas.copy_from_bbox(figure.bbox)
    # The writer saves a figure, frame by frame: one whose picture is there already.
    width, height = figure.get_size_inches()

    class Screen(Figure):
        def savefig(self, fname: Any, **_: Any) -> None:
            fname.write(canvas.buffer_rgba())

    with writer.saving(Screen(figsize=(float(width), float(height)), dpi=_DPI), str(film), dpi=_DPI):
        for share in shares:
            canvas.restore_region(still)
            for panel in panels:
                panel.show(float(share))
                for artist in panel.moving:
                    figure.draw_artist(artist)
            writer.grab_frame()
            bar.update()


class Film(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """The path of a film, which a notebook shows as the film."""

    def _repr_html_(self) -> str | None:
        """Return the film as HTML that needs no other file; None where the file is gone."""
        try:
            content = base64.b64encode(self.read_bytes()).decode("ascii")
        except OSError:
            return None
        if self.suffix.lower() == ".gif":
            return f'<img alt="Film of a catapult" src="data:image/gif;base64,{content}">'
        return f'<video controls loop src="data:video/mp4;base64,{content}"></video>'


def _share_scale(panels: list[_Panel]) -> None:
    """Give all panels the widest limits of any."""
    for name in ("xlim", "ylim"):
        lows, highs = zip(*(getattr(panel.ax, f"get_{name}")() for panel in panels), strict=True)
        for panel in panels:
            panel.ax.set(**{name: (min(lows), max(highs))})


class _Panel:
    """One run's axes and the artists that move."""

    def __init__(self, ax: Axes, name: str, run: xarray.Dataset, trail: int) -> None:
        self._step = run["step"].values
        self._x, self._sharpness = run["displacement"].values, run["sharpness"].values
        self._trail = trail
        colour = method_colour(method(run))
        thresholds = run["max_stable_sharpness"].values
        finite = thresholds[np.isfinite(thresholds)]
        self._thresholds = thresholds
        threshold = float(thresholds[0]) if np.isfinite(thresholds[0]) else np.nan
        self._threshold = ax.axhline(
            threshold, color=THEORY_COLOUR, linestyle="--", linewidth=0.8, label="threshold $S^*$"
        )
        heights = [*self._sharpness[np.isfinite(self._sharpness)], *finite[:1], *finite[-1:]]
        if (end := draw_laws_end(ax, run)) is not None:
            heights.append(end)
        look: dict[str, Any] = {"color": colour, "linestyle": "none"}
        (self._past,) = ax.plot([], [], marker=".", markersize=1.2, alpha=0.3, **look)
        (self._recent,) = ax.plot([], [], marker=".", markersize=2.2, **look)
        (self._now,) = ax.plot([], [], marker="o", markersize=4.5, markeredgecolor="white", **look)
        reach = 1.1 * float(np.nanmax(np.abs(self._x))) or 1.0
        low, high = min(heights), max(heights)
        margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        ax.set(xlim=(-reach, reach), ylim=(low - margin, high + margin))
        ax.set(xlabel=label_of("displacement"), ylabel=label_of("sharpness"))
        self._word = name or method(run) + (rf", $\beta={momentum(run):g}$" if is_heavy_ball(run) else "")
        self.ax = ax
        self._title = ax.set_title(
            f"{self._word}, step {self._step[-1]}", loc="left"
        )  # the longest, for the layout
        self.moving = (self._threshold, self._past, self._recent, self._now, self._title)
        """What changes from frame to frame, in the order in which it is drawn."""
        for artist in self.moving:
            artist.set_animated(True)

    def show(self, share: float) -> None:
        """Show the run up to this share of its steps."""
        k = int(np.argmin(np.abs(self._step - share * self._step[-1])))
        first = max(0, k + 1 - self._trail)
        self._past.set_data(self._x[:first], self._sharpness[:first])
        self._recent.set_data(self._x[first : k + 1], self._sharpness[first : k + 1])
        self._now.set_data(self._x[k : k + 1], self._sharpness[k : k + 1])
        if np.isfinite(self._thresholds[k]):
            self._threshold.set_ydata([self._thresholds[k]] * 2)
        self._title.set_text(f"{self._word}, step {self._step[k]}")


_COMMON, _BLENDS = 64, 128
"""Colours of a GIF that are its frames' own, the commonest, and those that are near the others."""


def _palette(frames: Sequence[Image]) -> Image:
    """Return an image of the palette of some frames."""
    from PIL import Image

    colours, counts = np.unique(
        np.concatenate([np.asarray(frame.convert("RGB")).reshape(-1, 3) for frame in frames]),
        axis=0,
        return_counts=True,
    )
    # Each colour once: else the background has most of the palette.
    near = Image.fromarray(colours[None]).quantize(_BLENDS, dither=Image.Dither.NONE).getpalette() or []
    # Words are of many greys, which would leave a small mark's colour no place.
    commonest = colours[np.argsort(-counts)]
    grey = np.ptp(commonest, axis=1) == 0
    own = np.concatenate([commonest[kind][: _COMMON // 2] for kind in (grey, ~grey)]).ravel().tolist()
    out = Image.new("P", (1, 1))
    out.putpalette([*own, *near])
    return out


def _gif_writer(speed: int) -> AbstractMovieWriter:
    """Return a writer of GIFs whose frames share one palette: to find one for each takes longer than to draw it."""
    from matplotlib import animation
    from PIL import Image

    class Writer(animation.PillowWriter):
        def finish(self) -> None:
            frames = self._frames  # type: ignore[attr-defined]  # Matplotlib has no other way to them
            palette = _palette([frames[k] for k in (0, len(frames) // 3, 2 * len(frames) // 3, -1)])
            pages = [
                frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames
            ]
            pages[0].save(
                self.outfile, save_all=True, append_images=pages[1:], duration=int(1000 / self.fps), loop=0
            )

    return Writer(fps=speed)


def _writer(film: Path, speed: int) -> AbstractMovieWriter:
    from matplotlib import animation, rcParams

    if film.suffix.lower() == ".gif":
        return _gif_writer(speed)
    if not animation.FFMpegWriter.isAvailable():
        try:
            import imageio_ffmpeg
        except ImportError:
            raise FileNotFoundError(
                "ffmpeg must be installed for an .mp4: from the system, or with pip install 'selfstab[film]'"
            ) from None
        rcParams["animation.ffmpeg_path"] = imageio_ffmpeg.get_ffmpeg_exe()
    # Widths and heights that are even, and colours that every player shows.
    return animation.FFMpegWriter(
        fps=speed, codec="h264", extra_args=["-pix_fmt", "yuv420p", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    )
