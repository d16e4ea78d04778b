"""A recorded training run beside the theory: threshold, catapults, and what the overshoot law says of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from selfstab import former_names, validation
from selfstab.observables.detection import dataset_of
from selfstab.observables.kinds import swings_of
from selfstab.optimizers.base import Optimizer
from selfstab.provenance import versions
from selfstab.records.comparison.cautions import CAUTIONS, cautions_of
from selfstab.records.comparison.edge_cycles import with_edge_cycles
from selfstab.records.comparison.laws import laws_of, optimizer_of
from selfstab.records.comparison.measurements import ALONG_CATAPULT, Measurements, neighbours
from selfstab.records.comparison.plateau import plateau_of
from selfstab.records.comparison.rises import stride_notes, with_rises
from selfstab.records.read import matching_sharpness, recorded_run

if TYPE_CHECKING:
    import xarray

__all__ = ["CAUTIONS", "analyze", "cautions_of", "largest_of"]


# Numbers at the ends of float64 give infinite results, which are results.
@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def analyze(
    run: Any,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    lookahead: float | None = None,
    columns: Mapping[str, str] | None = None,
    keep: str | None = None,
    updates_per_epoch: float | None = None,
    optimizer: Optimizer | None = None,
    member: str = "",
) -> xarray.Dataset:
    r"""Compare a recorded run of gradient descent with momentum with the theory of catapults.

    .. math:: S^* = \frac{2(1 + β)}{η(1 + 2γ)}, \quad κ = ε\frac{(1 + β)^2}{(1 − β)^2}, \quad
        \text{drop} = 2 y_0 G(κ)

    Parameters
    ----------
    run
        One of these:

        - a path to a table or a log of another library (:doc:`/tutorials/your_logs` lists them);
        - a pandas.DataFrame, an xarray.Dataset (such as :func:`simulate` returns), a :class:`Recorder`, or a mapping
          of one-dimensional arrays;
        - anything that a format of ``selfstab.records.formats`` reads;
        - one of several runs, as :func:`selfstab.records.formats.read` returns it.

        A file is refused whose columns would take more than $SELFSTAB_MOST_BYTES to analyze (by default 3 GiB).
        Columns are known by the names of ``selfstab.records.columns.roles.ALIASES``, whatever their case and prefix.
        Sharpness is needed. So are lr and momentum, unless given below. Step, loss and second_sharpness help. What has
        no role is listed in the notes. A step is one update. The other numbers of its row belong to the weights
        before that update.
    lr, momentum
        η > 0 and β in [0, 1), where they were constant and not recorded. The update is w − η∇L + β(w − w₋), as of
        PyTorch's SGD; where the gradient is averaged, β v + (1 − β)g, η is the learning rate times 1 − β.
    lookahead
        γ >= 0, by default what the run carries, else 0; equal to the momentum for Nesterov's.
    columns
        The names of columns that are called otherwise, {"sharpness": NAME, ...}.
    keep
        Which numbers are used where steps go back and give other ones, as after a restart: "last" or "first". By
        default such a run is refused.
    updates_per_epoch
        How many updates an epoch is, where the record counts epochs.
    optimizer
        The :class:`selfstab.Optimizer` that the run is of, where it does not say. Of a heavy ball it takes the place of
        lr, momentum and lookahead. Of Adam and RMSProp the run needs the column preconditioned_sharpness, the
        largest eigenvalue of P^{-1/2}HP^{-1/2}, to which threshold and catapults then belong.
    member
        Which run, where `run` holds several; :func:`selfstab.records.formats.members` lists them.

    Returns
    -------
    xarray.Dataset
        Along step: sharpness, loss (if recorded), lr, momentum, max_stable_sharpness S*_t, and excess_sharpness S − S*
        of the smoothed sharpness. All are NaN where not recorded. The excess also has its former name excess. Along
        catapult, what :func:`catapults` gives and

        - steps_above; lr, momentum; inertia_number κ (κ_e with lookahead), predicted_overshoot G(κ), predicted_drop;
        - sharpening_rate: slope of S per step in the later half of the records between the last swing's end and
          the onset (NaN where fewer than 4); progressive_sharpening: α = (1 − β)/η times it;
        - growth, predicted_growth: of |x| per step, from half the slope of ln(L − least L) while that is between
          1/1000 and 3/100 of the spike, and the spectral radius at the sharpness recorded there (NaN where fewer
          than 4 losses are);
        - stabilization: b², from the area under the spike: a swing pushes by ηb²x²/2 a step, x² = 2(L − L₀)/S, L₀ the
          line from the loss before it to that after, and pushes 1/(1 − β) times that in all. The record holds no
          weights, so that b² and x are known in these units only;
        - predicted_loss_spike: S*y₀²/b² at this b², times the factor by which the law's orbit swings wider at κ. It
          tests the spike's height against its area and the drop, not on its own;
        - cautions: bits, of CAUTIONS in order, that say why the law should not be trusted here; caution_numbers, along
          caution, the number that each goes by.

        Along edge_cycle, of self-stabilization cycles, which are no catapults: edge_cycle_onset, edge_cycle_period,
        edge_cycle_growth, and the predicted ones. Scalars:

        - steps_above_threshold: of the whole record; diverged_at;
        - open_since: the onset of a swing without an end, −1 if there is none;
        - drifts: how often S rises through S* and falls again while the loss rises by no more than its noise;
        - unclear: how often that rise is within the noise, but more than a tenth of the loss before it;
        - drift_rise, unclear_least_rise, unclear_largest_rise: how far it rises; loss_noise: deviation of the noise;
        - plateau_ratio: S/S* where it cannot be so, NaN else.

        Attributes notes (JSON), on how the record was read, and lookahead. It shows itself as a summary with a table.

    Raises
    ------
    TypeError, ValueError
        If a column is missing or ambiguous, or a value cannot be read. The message names the column, the row (counted
        from 1) and what is allowed.

    Notes
    -----
    Rows are sorted by step; rows of one step are joined unless they contradict each other. NaN means not recorded. The
    sharpness may have strides and gaps. A loss between two others is taken from their line. lr and momentum hold until
    the next value. The run ends where loss or sharpness is infinite, and must not come back.

    The law is for a sharpness near S*, a constant lr, one unstable direction and no progressive sharpening during the
    swing. It says nothing of steps dominated by the noise of minibatches. Of Adam and RMSProp it is the law at a
    constant preconditioner. One that changes takes its part of the drop
    (:func:`selfstab.theory.adaptive_inertia_number`). Linear optimizers of other kinds have
    :func:`selfstab.theory.slow_overshoot`. Source: new here; proofs in ``derivations/a5_overshoot.py`` and
    ``derivations/a5b_lookahead.py``.

    Examples
    --------
    >>> import selfstab as ss
    >>> loss = ss.CubicTaylor(curvature=1.0)
    >>> start, previous = ss.flip_start(loss, loss.minimum(), size=1e-6)
    >>> run = ss.simulate(loss, ss.HeavyBall(lr=3.606, momentum=0.8), start, 6000, previous=previous)
    >>> seen = ss.analyze(run)
    >>> [round(float(seen[name][0]), 3) for name in ("inertia_number", "overshoot", "predicted_overshoot")]
    [0.135, 1.17, 1.17]
    """
    from selfstab.records.comparison.analysis import Analysis

    data = recorded_run(
        run, lr=lr, momentum=momentum, lookahead=lookahead, columns=columns, keep=keep,
        updates_per_epoch=updates_per_epoch, optimizer=optimizer, member=member,
    )  # fmt: skip
    ahead = float(data.attrs["lookahead"])
    notes = json.loads(data.attrs["notes"])
    optimizer = optimizer_of(json.loads(data.attrs["optimizer"])) if "optimizer" in data.attrs else None
    laws, matching = laws_of(optimizer, ahead), matching_sharpness(data)
    if "max_stable_sharpness" not in data:
        limits = laws.thresholds(data["lr"].values, data["momentum"].values)
        data["max_stable_sharpness"] = ("step", limits)
    described = {"long_name": "2 (1 + momentum) / (lr (1 + 2 lookahead))", "units": "1/lr"}
    if optimizer is not None or matching != "sharpness":
        described |= {"long_name": "largest stable sharpness", "sharpness": matching}
    data["max_stable_sharpness"].attrs.update(described)
    if (np.diff(np.nan_to_num(data["momentum"].values)) != 0).any():
        notes.append("Momentum changes: the threshold follows it, the law takes the value at the step of y0.")
    record = Measurements(data, laws, notes)
    records = record.for_swings(int(data["diverged_at"]) >= 0)
    swings = swings_of(records)
    catapults = dataset_of(swings)
    crossed = any(
        swing.kind in ("catapult", "edge cycle") and swing.onset > record.steps[1] for swing in swings
    )
    plateau = plateau_of(
        record.steps,
        record.smooth,
        record.limits,
        record.loss,
        record.momentum,
        record.lookahead,
        crossed=crossed,
    )
    record.plateau_ratio = np.nan if plateau is None else plateau.ratio
    columns_of_catapults = {str(name): catapults[name].values for name in catapults.data_vars}
    rows = record.rows(columns_of_catapults | neighbours(swings, record.steps))
    excess = np.full(data.sizes["step"], np.nan)
    excess[record.known] = record.smooth - record.limits
    described = {"long_name": "S - S*, smoothed over the flip", "units": "1/lr"}
    data["excess_sharpness"] = ("step", excess, described)
    out = former_names.with_old_names(data.merge(catapults), former_names.ANALYSIS)
    for name, (long_name, units) in ALONG_CATAPULT.items():
        dtype = np.int64 if units == "step" else np.float64
        label = f"catapult_{name}" if name in ("lr", "momentum") else name
        out[label] = ("catapult", np.array([row[name] for row in rows], dtype=dtype))
        out[label].attrs.update(long_name=long_name, units=units)
    out = with_edge_cycles(out, swings, records, record.smooth, record.rate)
    out["cautions"] = ("catapult", np.array([row["cautions"] for row in rows], dtype=np.int64))
    numbers = np.array([[row[f"caution {name}"] for name in CAUTIONS] for row in rows]).reshape(
        -1, len(CAUTIONS)
    )
    out["caution_numbers"] = (("catapult", "caution"), numbers)
    out["caution_numbers"].attrs.update(
        long_name="the number that each caution goes by", cautions=" ".join(CAUTIONS)
    )
    out["cautions"].attrs.update(
        long_name="why the law should not be trusted",
        flag_masks=[2**k for k in range(len(CAUTIONS))],
        flag_meanings=" ".join(CAUTIONS),
    )
    above = record.smooth > record.limits
    out["steps_above_threshold"] = ((), int(np.diff(record.steps)[above[:-1]].sum()))
    out["steps_above_threshold"].attrs.update(long_name="steps with S > S*", units="step")
    out = with_rises(out, swings, records)
    notes += stride_notes(swings, records)
    out["open_since"] = ((), catapults.attrs["open_since"])
    out["open_since"].attrs.update(
        long_name="onset of a swing whose end is not in the record, -1 without one", units="step"
    )
    out["plateau_ratio"] = ((), record.plateau_ratio)
    out["plateau_ratio"].attrs.update(
        long_name="S/S* where the sharpness levels off away from the threshold, NaN if it does not", units="1"
    )
    notes += record.stable_rise() if plateau is None else plateau.sentences
    out.attrs.update(notes=json.dumps(notes, ensure_ascii=False), versions=versions())
    return Analysis(out.data_vars, out.coords, out.attrs)


def largest_of(data: xarray.Dataset, most: int) -> list[int]:
    """Return the numbers of the catapults of the largest drop, in order; all of them if they are no more than `most`.

    Parameters
    ----------
    data
        What :func:`analyze` returns.
    most
        How many, at least 1.

    Returns
    -------
    list of int
        Numbers from 0.

    Examples
    --------
    >>> import xarray
    >>> largest_of(xarray.Dataset({"drop": ("catapult", [3.0, 1.0, 2.0])}), 2)
    [0, 2]
    """
    most = validation.integer("most", most, at_least=1)
    largest: list[int] = np.sort(np.argsort(-data["drop"].values, kind="stable")[:most]).tolist()
    return largest
