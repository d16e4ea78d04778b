"""The explorer's pictures: Bokeh's plots of runs and diagrams."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    DataRange1d,
    Div,
    FixedTicker,
    LinearColorMapper,
    LogColorMapper,
    Range1d,
    Span,
)
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

from selfstab import phases
from selfstab.explorer import views
from selfstab.explorer.scales import Axis
from selfstab.explorer.state import MEASURES, PageState, drawn_axis
from selfstab.explorer.template import DIV_STYLE
from selfstab.plotting.methods import METHOD_COLOURS
from selfstab.plotting.style import THEORY_COLOUR

if TYPE_CHECKING:
    import xarray

_CODES: Final = list(phases.LABELS)
_NONE: Final = np.full((2, 2), np.nan, dtype=np.float32)
"""An image of nothing."""

_LEAST: Final = 1e-20
"""Losses below this share of the largest are not drawn."""

_GHOST: Final = METHOD_COLOURS["GD"]
"""Colour of gradient descent's run beside another one."""

STALE: Final = {"opacity": "0.3"}
"""The look of what shows what was asked for before."""

FRESH: Final = {"opacity": "1"}
"""The look of what shows what is asked for; without a value Bokeh would leave the page as it was."""

_CHOOSE: Final = '<span class="note">click or drag in the diagram to choose the run</span>'

_ALL_DIVERGED: Final = (
    '<div class="bad">Every run here diverges: lower the excess, or the ends of the axes.</div>'
)

_LOOK: Final[dict[str, Any]] = {"sizing_mode": "stretch_both", "min_height": 80, "min_width": 120, "tools": "",
                                "toolbar_location": None, "output_backend": "canvas"}  # fmt: skip


class Pictures:
    """The plots, and how data come into them."""

    def __init__(self) -> None:
        self.last: tuple[PageState, xarray.Dataset] | None = None
        self.run_source = ColumnDataSource(
            {"step": [], "x": [], "sharpness": [], "loss": [], "threshold": []}, name="run"
        )
        # The page's player moves it, in the browser alone.
        self.now_source = ColumnDataSource(
            {"step": [], "x": [], "sharpness": [], "loss": [], "colour": []}, name="now"
        )
        self.ghost_source = ColumnDataSource({"step": [], "x": [], "sharpness": [], "loss": []}, name="ghost")
        # Unseen points, which keep the lines of theory within the axes.
        self.law_source = ColumnDataSource({"step": [], "x": [], "sharpness": []})
        self.end_source = ColumnDataSource({"step": [], "x": [], "sharpness": [], "loss": []})
        self._plane()
        self._series()
        self._diagram()
        self._orbits()

    def roots(self) -> list[Any]:
        """Return the plots by the names that the template places."""
        return [self.plane, self.sharpness, self.loss, self.legend, self.diagram, self.orbit]

    def _plane(self) -> None:
        self.plane = plot = figure(
            name="plane",
            x_axis_label="displacement x along the top eigenvector",
            y_axis_label="sharpness S (1/lr)",
            **_LOOK,
        )
        plot.x_range, plot.y_range = DataRange1d(only_visible=True), DataRange1d(only_visible=True)
        self.colours = LinearColorMapper(palette=Viridis256, low=0, high=1)
        plot.scatter(
            "x",
            "sharpness",
            source=self.ghost_source,
            size=2.5,
            line_color=None,
            fill_color=_GHOST,
            fill_alpha=0.6,
        )
        plot.line("x", "sharpness", source=self.run_source, color="#cccccc", line_width=0.7)
        plot.scatter("x", "sharpness", source=self.run_source, size=4, line_color=None,
                     fill_color={"field": "step", "transform": self.colours})  # fmt: skip
        self._ends(plot, "x", "sharpness")
        plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)  # their labels have room in a small window, too
        plot.add_layout(ColorBar(color_mapper=self.colours, width=8, title="step", title_text_font_size="11px",
                                 major_label_text_font_size="10px", padding=2), "right")  # fmt: skip
        self.plane_lines = {
            "threshold": _line(plot, "width", "dashed"), "final": _line(plot, "width", "dashdot"),
            "right": _line(plot, "height", "dotted"), "left": _line(plot, "height", "dotted"),
        }  # fmt: skip
        _small(plot)

    def _ends(self, plot: Any, x: str, y: str) -> None:
        if y != "loss":
            plot.scatter(x, y, source=self.law_source, size=1, fill_alpha=0.0, line_color=None)
        plot.scatter(x, y, source=self.now_source, size=10, fill_color="colour", line_color="#ffffff")
        plot.scatter(x, y, source=self.end_source, marker="x", size=9, line_width=2,
                     color=phases.COLOURS[phases.DIVERGED])  # fmt: skip

    def _series(self) -> None:
        self.sharpness = figure(name="sharpness", y_axis_label="sharpness S", **_LOOK)
        self.loss = figure(
            name="loss", x_axis_label="step", y_axis_label="loss", y_axis_type="log",
            x_range=self.sharpness.x_range, **_LOOK,
        )  # fmt: skip
        self.run_lines = []
        for plot, name in ((self.sharpness, "sharpness"), (self.loss, "loss")):
            plot.line("step", name, source=self.ghost_source, line_width=1.2, line_color=_GHOST)
            line = plot.line("step", name, source=self.run_source, line_width=1.2)
            self.run_lines.append(line)
            self._ends(plot, "step", name)
            _small(plot)
            plot.min_border_left = 62  # one below the other
        self.loss.yaxis.ticker = self.powers = FixedTicker(ticks=[])
        self.sharpness.line(
            "step", "threshold", source=self.run_source, color=THEORY_COLOUR, line_dash="dashed"
        )
        self.series_lines = {"final": _line(self.sharpness, "width", "dashdot")}

    def _diagram(self) -> None:
        self.words = "".join(
            f'<span class="key"><span class="badge" style="background:{phases.COLOURS[code]}">&nbsp;</span>'
            f"{word}</span>"
            for code, word in phases.LABELS.items()
        )
        self.legend = Div(
            name="legend", text=self.words + _CHOOSE, stylesheets=[DIV_STYLE], sizing_mode="stretch_width"
        )
        self.diagram = plot = figure(name="diagram", x_range=Range1d(0, 1), y_range=Range1d(0, 1), **_LOOK)
        plot.grid.visible = False
        box = {"x": [0.0], "y": [0.0], "dw": [1.0], "dh": [1.0]}
        blank = np.ones((2, 2), dtype=np.uint8)
        self.image = ColumnDataSource(box | {"phase": [blank], "overshoot": [_NONE]})
        where: dict[str, Any] = {"x": "x", "y": "y", "dw": "dw", "dh": "dh", "source": self.image}
        palette = [phases.COLOURS[code] for code in _CODES]
        plot.image(
            "phase",
            color_mapper=LinearColorMapper(palette=palette, low=-0.5, high=len(palette) - 0.5),
            **where,
        )
        self.overshoots = LogColorMapper(palette=Viridis256, low=0.5, high=10.0, nan_color="rgba(0, 0, 0, 0)")
        self.overlay = plot.image("overshoot", color_mapper=self.overshoots, visible=False, **where)
        self.bar = ColorBar(color_mapper=self.overshoots, width=8, title="overshoot", title_text_font_size="11px",
                            major_label_text_font_size="10px", padding=2, visible=False)  # fmt: skip
        plot.add_layout(self.bar, "right")
        self.point = ColumnDataSource({"x": [], "y": []})
        for size, colour, width in ((15, "#000000", 5), (15, "#ffffff", 2)):
            plot.scatter("x", "y", source=self.point, marker="circle_cross", size=size, fill_color=None,
                         line_color=colour, line_width=width)  # fmt: skip
        _small(plot)

    def _orbits(self) -> None:
        self.orbit = plot = figure(name="orbits", x_range=Range1d(0, 1), y_range=Range1d(0, 1), **_LOOK)
        self.dots = ColumnDataSource({"x": [], "y": []})
        plot.scatter("x", "y", source=self.dots, size=1.6, color="#0077bb", line_color=None)
        self.orbit_here = _line(plot, "height", "solid")
        self.orbit_here.line_color, self.orbit_here.line_width = "#cc3311", 1.2
        _small(plot)

    def choose(self, measure: str) -> None:
        """Show a measure in the diagram."""
        if self.overlay.visible == (measure == "overshoot"):
            return
        self.overlay.visible = self.bar.visible = measure == "overshoot"
        if self.last is not None:
            self.draw_diagram(*self.last)()

    def dim(self, names: Sequence[str], *, stale: bool) -> None:
        """Pale the plots of these names, which show what was asked for before, or bring them back."""
        for plot in self.roots():
            if plot.name in names:
                plot.styles = STALE if stale else FRESH

    # -- what a state moves at once -----------------------------------------------------------------------------------

    def mark(self, state: PageState) -> None:
        """Mark the state's own point in the diagrams, and dress their axes."""
        axes = [drawn_axis(state, axis) for axis in (state.across, state.up)]
        names = state.axis_names
        places = [float(axis.place(state.value_of(axis.name))) for axis in axes]
        inside = all(-0.02 <= place <= 1.02 for place in places)
        self.point.data = {"x": [places[0]] if inside else [], "y": [places[1]] if inside else []}
        for axis, which in zip(axes, (self.diagram.xaxis[0], self.diagram.yaxis[0]), strict=True):
            _dress(which, axis, names[axis.name])
        ((_, axis),) = views.orbit_grid(state).axes
        _dress(self.orbit.xaxis[0], axis, names[axis.name])
        place = float(axis.place(state.value_of(axis.name)))
        self.orbit_here.location, self.orbit_here.visible = place, 0.0 <= place <= 1.0

    # -- each returns what is to be done in the page's thread ---------------------------------------------------------

    def draw_run(
        self, state: PageState, data: xarray.Dataset, law: views.Law, ghost: xarray.Dataset | None = None
    ) -> Callable[[], None]:
        """Prepare the run's pictures, with what theory says of it and gradient descent's run beside it."""
        data, law = _shown_steps(data), law.drawn(data)
        columns = _columns(data) | {
            "threshold": np.where(
                np.isfinite(data["max_stable_sharpness"]), data["max_stable_sharpness"], np.nan
            ),
        }
        top = float(np.nanmax(columns["sharpness"], initial=0.0))
        threshold = float(columns["threshold"][-1])
        # Early in a warmup the threshold is far above all that happens.
        columns["threshold"] = np.where(
            columns["threshold"] <= 1.5 * max(top, threshold), columns["threshold"], np.nan
        )
        diverged = int(data["diverged_at"]) >= 0
        last = {k: v[-1:] if diverged else v[:0] for k, v in columns.items() if k != "threshold"}
        end = _rest(columns)
        colour = run_colour(state)

        beside = (
            {name: [] for name in self.ghost_source.data} if ghost is None else _columns(_shown_steps(ghost))
        )

        powers = _powers(np.concatenate([columns["loss"], np.asarray(beside["loss"])]))

        def draw() -> None:
            self.ghost_source.data, self.powers.ticks = beside, powers
            self.colours.high = max(end, 1)
            self.run_source.data, self.end_source.data = columns, last
            for line in self.run_lines:
                line.glyph.line_color = colour
            _move(self.plane_lines["threshold"], threshold)
            for lines in (self.plane_lines, self.series_lines):
                _move(lines["final"], law.final_sharpness)
            _move(self.plane_lines["right"], law.displacement)
            _move(self.plane_lines["left"], -law.displacement)
            self.law_source.data = {
                "step": [0, 0],
                "x": [-law.displacement, law.displacement],
                "sharpness": [law.final_sharpness, law.final_sharpness],
            }

        return draw

    def _image(self, state: PageState, data: xarray.Dataset) -> dict[str, Any]:
        """Return what the diagram's image holds."""
        up, across = (name for name, _ in views.diagram_grid(state).axes)
        flat = data.isel(excess=0) if "excess" in data.dims and "excess" not in (up, across) else data
        phase, overshoot = (flat[name].transpose(up, across).values for name in MEASURES)
        size = np.array(phase.shape[::-1])
        half, whole = 0.5 / (size - 1.0), size / (size - 1.0)
        return {
            "x": [-half[0]], "y": [-half[1]], "dw": [whole[0]], "dh": [whole[1]],
            "phase": [np.searchsorted(_CODES, phase).astype(np.uint8)],
            # It is four times as large: it travels where it is shown only.
            "overshoot": [np.ascontiguousarray(overshoot if self.overlay.visible else _NONE, dtype=np.float32)],
        }  # fmt: skip

    def draw_diagram(self, state: PageState, data: xarray.Dataset) -> Callable[[], None]:
        """Prepare the phase diagram."""
        self.last = (state, data)
        columns = self._image(state, data)
        finite = columns["overshoot"][0][np.isfinite(columns["overshoot"][0])]
        diverged = bool((data["phase"].values == phases.DIVERGED).all())

        def draw() -> None:
            self.legend.text = self.words + (_ALL_DIVERGED if diverged else _CHOOSE)
            if finite.size:
                low = max(float(finite.min()), 0.3)
                self.overshoots.low, self.overshoots.high = low, max(float(finite.max()), 1.01 * low)
            self.image.data = columns

        return draw

    def draw_orbits(self, state: PageState, data: xarray.Dataset) -> Callable[[], None]:
        """Prepare the orbit diagram."""
        ((name, axis),) = views.orbit_grid(state).axes
        states = data["weights"].sel(weight=state.shown_weight)
        flat = states.squeeze([dim for dim in states.dims if dim not in (name, "step")])
        values = flat.transpose(name, "step").values
        x = np.repeat(axis.place(data[name].values), values.shape[1]).astype(np.float32)
        y = values.ravel().astype(np.float32)
        finite = np.isfinite(y)

        def draw() -> None:
            self.dots.data = {"x": x[finite], "y": y[finite]}
            low, high = (float(y[finite].min()), float(y[finite].max())) if finite.any() else (0.0, 1.0)
            room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
            self.orbit.y_range.start, self.orbit.y_range.end = low - room, high + room
            what = f"last {views.LAST} states of {state.shown_weight}"
            self.orbit.yaxis[0].axis_label = what if finite.any() else f"{what}: all diverged"

        return draw


def run_colour(state: PageState) -> str:
    """Return the colour of a state's run: gradient descent's, or momentum's."""
    return METHOD_COLOURS["GD" if state.optimizer_numbers.get("momentum") == 0.0 else "PHB"]


def _columns(data: xarray.Dataset) -> dict[str, Any]:
    """Return what plots of a run take."""
    return {
        "step": data["step"].values.astype(np.int32),
        "x": data["displacement"].values,
        "sharpness": data["sharpness"].values,
        "loss": _shown_losses(data["loss"].values),
    }


def _shown_steps(data: xarray.Dataset) -> xarray.Dataset:
    """Return a run without the last steps of a divergence, whose numbers would leave the rest no room."""
    if int(data["diverged_at"]) < 0:
        return data
    sharpness = data["sharpness"].values
    beyond = np.flatnonzero(~(sharpness <= 3.0 * max(sharpness[0], float(data["max_stable_sharpness"][-1]))))
    return data.isel(step=slice(0, max(int(beyond[0]), 2))) if beyond.size else data


def _rest(columns: dict[str, Any]) -> int:
    """Return the last step that is seen to move: after it, sharpness and displacement stay near their last values."""
    moves = np.zeros(len(columns["step"]), dtype=bool)
    for name in ("x", "sharpness"):
        values = columns[name]
        moves |= np.abs(values - values[-1]) >= 0.02 * np.ptp(values)
    moving = columns["step"][moves]
    return int(moving[-1]) if moving.size else int(columns["step"][-1])


def _shown_losses(losses: Any) -> Any:
    """Return losses for a logarithmic axis: what is far below the largest would leave the rest no room."""
    return np.where(losses > max(_LEAST * np.abs(losses).max(), 0.0), losses, np.nan)


def _powers(losses: Any) -> list[float]:
    """Return at most five powers of ten among losses, whose labels have room in a small window.

    >>> _powers(np.array([2e-9, 3e-3])), _powers(np.array([np.nan]))
    ([1e-08, 1e-06, 0.0001], [])
    """
    positive = losses[losses > 0.0]
    if not positive.size:
        return []
    low, high = (float(np.log10(end)) for end in (positive.min(), positive.max()))
    stride = max(1, math.ceil((high - low) / 4.0))
    return [10.0**k for k in range(math.ceil(low), math.floor(high) + 1, stride)]


def _line(plot: Any, dimension: str, dash: str) -> Span:
    span = Span(location=0.0, dimension=dimension, line_color=THEORY_COLOUR, line_dash=dash, visible=False)
    plot.add_layout(span)
    return span


def _move(span: Span, at: float) -> None:
    span.visible = bool(np.isfinite(at))
    if span.visible:
        span.location = float(at)


def _dress(axis: Any, spec: Axis, label: str) -> None:
    ticks = spec.ticks()
    axis.axis_label = label
    if axis.major_label_overrides == ticks:
        return  # a new ticker would have the plot laid out anew
    axis.ticker = FixedTicker(ticks=list(ticks))
    axis.major_label_overrides = ticks


def _small(plot: Any) -> None:
    for axis in plot.axis:
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_standoff = 3
    plot.min_border = 4
    plot.min_border_right = 14  # half of the last number
    plot.axis.minor_tick_line_color = None
    plot.outline_line_color = "#cccccc"
    plot.grid.grid_line_color = "#eeeeee"
