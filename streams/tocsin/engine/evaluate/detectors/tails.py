"""How rare a measure is on its series: a tail of its own for each, above a quantile (peaks over threshold).

Of y = log(1 + o / f), o the measure and f a floor, the 95 % quantile is followed (stochastic approximation, Robbins and
Monro 1951) and the mean excess over it: in y an exponential tail, in o one of Pareto's (SPOT, Siffer et al. 2017, with
the moment estimator in place of the likelihood). The bar is what the tail exceeds once in the memory, or the largest
measure so far if that is higher, which fades towards it: within hours at first, half as fast each time it is reached
again after half a day. So what happened once is soon forgotten, and what comes back every night is not. Samples above
the bar hardly teach the tail: the first incident must not hide the next.
"""

from typing import Final

import numpy as np

from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.detector import Array, Moment, put, taken
from tocsin.engine.evaluate.detectors.season import DAY_S
from tocsin.engine.evaluate.detectors.tracks import MEASURES, TRACKS

_FLOORS: Final = np.array([3, 3, 3, 3, 2, 2, 5], np.float32)[:, None, None, None]
_ABOVE: Final = 0.05
_QUANTILE_S: Final = 2 * DAY_S
_EXCESS_S: Final = 7 * DAY_S
_MEMORY: Final = 16_000
_WARM: Final = 1_000  # samples: before, a bar is too young to say what is strange
_OVER: Final = np.float32(0.2)  # so much above the bar a strange sample is learnt at most,
_HARDLY: Final = np.float32(0.03)  # and so much less it counts
_RECORD_S: Final = 0.15 * DAY_S / np.log(2)
_AGAIN_H: Final = 12.0
_NEAR: Final = np.float32(0.1)
_HIGHER: Final = np.float32(0.5)  # from there on it is something that never happened, however often less did
_FADES: Final = (0.5 ** np.arange(8)).astype(np.float32)
_FIRST_EXCESS: Final = 0.1
_WIDTH: Final = 2 * len(MEASURES) * len(TRACKS)

SPEC: Final[Spec] = {
    "quantile": ("f4", _WIDTH, 0.0),
    "excess": ("f4", _WIDTH, _FIRST_EXCESS),
    "record": ("f4", _WIDTH, 0.0),
    "reached_h": ("f4", _WIDTH, -1.0),  # hour of the epoch in which the record was last reached
    "returns": ("u1", _WIDTH, 0),
    "peak": ("f4", _WIDTH, 0.0),  # the largest that passed its bar
}


def evidence(columns: Columns, moment: Moment, measures: Array, ages: Array, anew: Array) -> Array:
    """By how much each measure passes its bar, up and down: measures x tracks x 2 x slots, then learn it."""
    shape = (len(MEASURES), len(TRACKS), 2)
    quantile, excess, record = (taken(columns, name, moment.slots, shape) for name in ("quantile", "excess", "record"))
    if anew.any():
        quantile[:, -1, :, anew], excess[:, -1, :, anew], record[:, -1, :, anew] = 0.0, _FIRST_EXCESS, 0.0
    both = np.stack((measures, -measures), axis=2)
    np.maximum(both, 0, out=both)
    both /= _FLOORS
    both += 1
    y = np.log(both, out=both)
    depth = np.log(np.maximum(_ABOVE * np.minimum(ages, _MEMORY), 1)).astype(np.float32)[:, None, :]
    bar = quantile + excess * depth
    passed: Array = np.maximum(y - np.maximum(bar, record), 0)
    _remember(columns, moment, record, bar, y)
    _learn(moment, ages, quantile, excess, y, bar)
    for name, state in (("quantile", quantile), ("excess", excess), ("record", record)):
        put(columns, name, moment.slots, state)
    return passed


def _remember(columns: Columns, moment: Moment, record: Array, bar: Array, y: Array) -> None:
    """Let records fade towards the bar, and note new ones."""
    fade = _FADES[taken(columns, "returns", moment.slots, record.shape[:-1])]
    fade *= np.minimum(moment.step_s / _RECORD_S, 1.0).astype(np.float32)
    above = record - bar
    np.maximum(above, 0, out=above)
    above *= fade
    record -= above
    at = np.flatnonzero((y > record - _NEAR) & (y > bar))
    if len(at):
        place, series = np.divmod(at, len(moment.slots))
        slots, hour = moment.slots[series], (moment.at_s[series] / 3600).astype(np.float32)
        reached, returns = columns["reached_h"][slots, place], columns["returns"][slots, place]
        again = (reached > 0) & (hour - reached > _AGAIN_H)
        peak, height = columns["peak"][slots, place], y.reshape(-1)[at]
        higher = height > peak + _HIGHER  # than ever, not than what is left of the record
        columns["peak"][slots, place] = np.maximum(peak, height)
        columns["returns"][slots, place] = np.where(higher, 0, np.minimum(returns + again, len(_FADES) - 1))
        columns["reached_h"][slots, place] = hour
    np.maximum(record, y, out=record)


def _learn(moment: Moment, ages: Array, quantile: Array, excess: Array, y: Array, bar: Array) -> None:
    stride = np.maximum(moment.step_s / _QUANTILE_S, 2 / ages).astype(np.float32)[:, None, :]
    share = np.minimum(np.maximum(moment.step_s / (_EXCESS_S * _ABOVE), 1 / (1 + _ABOVE * ages)), 0.2)
    gain = np.broadcast_to(share.astype(np.float32)[:, None, :], y.shape)
    strides = stride * (excess + np.float32(0.02))
    at = np.unravel_index(np.flatnonzero(y > quantile), y.shape)  # one in twenty: not worth whole arrays
    got, limit, before = y[at], bar[at], excess[at]
    hardly = np.where((got > limit) & (ages[at[1], at[3]] > _WARM), _HARDLY, np.float32(1))
    excess[at] += gain[at] * hardly * (np.minimum(got, limit + _OVER) - quantile[at] - before)
    quantile -= strides * np.float32(_ABOVE)
    quantile[at] += strides[at]
    np.maximum(quantile, 0, out=quantile)
