"""How rare a measure is on its series: a tail of its own for each, up and down.

The 95 % quantile is followed (stochastic approximation, Robbins and Monro 1951). A run above it is one event, and its
peak one value: peaks over threshold with runs declustering (Davison and Smith 1990), as autocorrelated samples need.
The excess of peaks has a generalised Pareto distribution (Pickands 1975) by the method of moments (Hosking and Wallis
1987), its shape drawn towards that of a Gaussian (of sums, an exponential) as long as peaks are few (SPOT, Siffer et
al. 2017, has the likelihood instead). From it follows how long it takes until such an excess comes again: the return
period.

Peaks that were strange when they came hardly teach the tail, unless they come back often: what happened once must not
hide the next, and what comes every night is not strange.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.evaluate.detectors.season import DAY_S
from tocsin.engine.frame import Floats, Ints

_ABOVE: Final = np.float32(0.05)
_QUANTILE_S: Final = 7 * DAY_S
_EVENTS: Final = np.float32(300)  # the memory of a tail
_SHAPE_EVENTS: Final = np.float32(100)  # what the shape that is foretold counts for
_LEAST, _MOST = np.float32(-0.12), np.float32(0.5)
STRANGE_DAYS: Final = np.float32(30)  # what is rarer is hardly learnt
_OFTEN: Final = 4.0  # strange events within `_OFTEN_S` from which they are learnt as any other
_OFTEN_S: Final = 3 * DAY_S
_HARDLY: Final = 0.02
_GREATEST: Final = np.float32(30)  # logarithm of the longest return period, in runs
_FIGURES: Final = 6


@dataclass(frozen=True, slots=True)
class Prior:
    """What is held of a tail before it has peaks: its shape, and their mean excess over the quantile."""

    shape: float
    excess: float

    @property
    def column(self) -> str:
        """Where figures of such tails lie. They are stored less what is held before: what was stored less anything else
        has another name, and begins anew."""
        return "event" if self.excess == _USUAL else f"event less {self.excess:.9g}"


_USUAL: Final = 0.4
GAUSSIAN: Final = Prior(-0.05, _USUAL)

# Of the open run: samples in it, and the longest return period, in days. Of earlier ones: mean excess of their peaks,
# mean of its square, mean length, and how many there were.
_RUN, _RAREST, _EXCESS, _SQUARE, _LENGTH, _COUNT = range(_FIGURES)


def spec(measures: int, prior: Prior = GAUSSIAN) -> Spec:
    """The columns for so many measures."""
    both = 2 * measures
    return {
        "quantile": ("f4", both, 0.0),
        "peak": ("f4", both, 0.0),  # highest excess of the open run, 0 if none
        prior.column: ("f4", _FIGURES * both, 0.0),  # six figures of each tail, less those they begin with
        "often": ("f4", 0, 0.0),
        "often_s": ("f8", 0, 0.0),
    }


class Tails:
    """One look: `days` (first all up, then all down: 2 measures x slots) is the return period of each measure, 0 where
    it is ordinary; then `learn`."""

    def __init__(self, columns: Columns, moment: Moment, measures: Array, anew: Array, prior: Prior = GAUSSIAN) -> None:
        self._columns, self._moment, self._prior = columns, moment, prior
        self._events = columns[prior.column]
        self._begin = np.array([0, 0, prior.excess, 2 * prior.excess * prior.excess, 1, 0], np.float32)
        slots = moment.slots
        self._measures = len(measures)
        if anew.any():
            for name, (_, _, begin) in spec(self._measures, prior).items():
                columns[name][slots[anew]] = begin
        self._quantile = taken(columns, "quantile", slots, (2 * self._measures,))
        self._peak = taken(columns, "peak", slots, (2 * self._measures,))
        y = np.concatenate((measures, -measures))
        self._above = y > self._quantile
        self.days = np.zeros(y.shape, np.float32)
        at = np.flatnonzero(self._above | (self._peak > 0))  # about one in ten: not worth whole arrays
        over = self._above.reshape(-1)[at]
        self._end(at[~over])
        self._go_on(at[over], y)
        put(columns, "peak", slots, self._peak)

    def newer(self, at: Ints, most_s: Floats) -> Array:
        """`days` of the series at these indexes, 0 where a run is older than so many seconds."""
        slots = self._moment.slots[at]
        length = self._events[slots, _RUN::_FIGURES].T
        return np.asarray(self.days[:, at] * (length * self._moment.cadence_s[at] <= most_s))

    def learn(self, share: Array, ages: Array) -> None:
        """Follow the quantiles, by a share from 0 to 1. `ages` are the samples that they know."""
        slots = self._moment.slots
        slope = np.ascontiguousarray(self._events[:, _EXCESS::_FIGURES][slots].T)
        slope += np.float32(self._prior.excess + 0.02)
        stride = np.maximum(self._moment.step_s / (_QUANTILE_S * _ABOVE), 2 / ages)
        slope *= np.minimum(stride, 0.1).astype(np.float32) * share
        self._quantile += slope * (self._above - _ABOVE)
        np.maximum(self._quantile, 0, out=self._quantile)
        put(self._columns, "quantile", slots, self._quantile)

    def _figures(self, at: Ints) -> tuple[Ints, Ints, Array]:
        """Rows of tails and indexes of series of places in measures x series, and the figures of these tails."""
        place, series = np.divmod(at, len(self._moment.slots))
        rows = self._moment.slots[series] * (2 * self._measures) + place
        figures = self._events.reshape(-1, _FIGURES).take(rows, axis=0)
        return rows, series, np.ascontiguousarray((figures + self._begin).T)

    def _keep(self, rows: Ints, figures: Array) -> None:
        self._events.reshape(-1, _FIGURES)[rows] = figures.T - self._begin

    def _go_on(self, at: Ints, y: Array) -> None:
        """Runs that begin or go on."""
        rows, series, figures = self._figures(at)
        highest = self._peak.reshape(-1)[at]
        excess = y.reshape(-1)[at] - self._quantile.reshape(-1)[at]
        cadence_days = (self._moment.cadence_s[series] / DAY_S).astype(np.float32)
        days = _runs_until(figures, excess, np.float32(self._prior.shape)) * (figures[_LENGTH] / _ABOVE) * cadence_days
        goes_on = highest > 0
        figures[_RUN] = figures[_RUN] * goes_on + 1
        figures[_RAREST] = np.maximum(figures[_RAREST] * goes_on, days)
        self._keep(rows, figures)
        self._peak.reshape(-1)[at] = np.maximum(highest, np.maximum(excess, np.float32(1e-6)))
        self.days.reshape(-1)[at] = days

    def _end(self, at: Ints) -> None:
        """Runs that are over: their peaks are learnt."""
        rows, series, figures = self._figures(at)
        peak = self._peak.reshape(-1)[at]
        weight = np.ones(len(at), np.float32)
        strange = np.flatnonzero(figures[_RAREST] > STRANGE_DAYS)
        if len(strange):
            weight[strange] = self._weigh(self._moment.slots[series[strange]], self._moment.at_s[series[strange]])
        gain = np.minimum(weight * np.maximum(1 / (figures[_COUNT] + 1), 1 / _EVENTS), np.float32(0.2))
        for row, got in ((_EXCESS, peak), (_SQUARE, peak * peak), (_LENGTH, figures[_RUN])):
            figures[row] += gain * (got - figures[row])
        figures[_COUNT] = np.minimum(figures[_COUNT] + weight, _EVENTS)
        self._keep(rows, figures)
        self._peak.reshape(-1)[at] = 0

    def _weigh(self, slots: Ints, at_s: Array) -> Array:
        """How far strange events are learnt: hardly, unless they come often. Those of one moment count as one."""
        columns = self._columns
        often = columns["often"][slots] * np.exp2((columns["often_s"][slots] - at_s) / _OFTEN_S)
        columns["often"][slots] = often + 1 / self._measures
        columns["often_s"][slots] = at_s
        return np.maximum(_HARDLY, np.minimum((often / _OFTEN) ** 2, 1))


def _runs_until(figures: Array, excess: Array, expected: np.float32) -> Array:
    """How many runs come, on the mean, until one exceeds the quantile by so much."""
    mean, square, events = figures[_EXCESS], figures[_SQUARE], figures[_COUNT]
    ratio = mean * mean / np.maximum(square - mean * mean, np.float32(1e-6) * square + np.float32(1e-30))
    shape = events * np.clip((1 - ratio) / 2, -_MOST, _MOST) + _SHAPE_EVENTS * expected
    shape = np.clip(shape / (events + _SHAPE_EVENTS), _LEAST, _MOST)
    shape += 1 / (events + 2)  # what is foretold from few peaks has a longer tail: of an exponential, one of Pareto's
    shape = np.where(np.abs(shape) < 1e-3, np.float32(1e-3), shape)
    scale = mean * (1 - shape) + np.float32(1e-6)
    base = np.maximum(1 + shape * excess / scale, np.float32(1e-3))
    return np.asarray(np.exp(np.minimum(np.log(base) / shape, _GREATEST)))
