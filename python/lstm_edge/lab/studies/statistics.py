"""What several runs say together, with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_edge.lab.studies.rules import FIRST_TRANSITION, ORACLE, Choice
from lstm_edge.track.association import Coincidence, pooled
from lstm_edge.track.claims import FAILS, HOLDS, Claim

CONFIDENCE = 0.95
"""Of all intervals."""


@dataclass(frozen=True)
class ClaimCount:
    """How often a claim holds, among the runs that can tell.

    Attributes
    ----------
    number : int
    yardstick : {"", "chaos", "stability"}
    text : str
    holds, fails, untold : int
        Runs.
    low, high : float
        95 % interval of the share that holds (Wilson 1927); NaN where none tells.
    """

    number: int
    yardstick: str
    text: str
    holds: int
    fails: int
    untold: int
    low: float
    high: float


@dataclass(frozen=True)
class Regret:
    """What a rule loses against the oracle, and how it fares beside the first edge.

    Attributes
    ----------
    rule : str
    runs, decided : int
        All, and those in which the rule found something.
    test_loss, regret : float
        Medians over the runs. The regret of a run is the test loss of what the rule
        takes minus the best of the same run.
    low, high : float
        Interval of the median regret from its order statistics, which supposes nothing
        of the distribution: at least 95 %. Infinite where the runs are too few.
    mean : float
        Mean regret.
    trained : float
        Median of the epochs trained until the rule knew.
    better, worse : int
        Runs in which the first transition has a lower, or a higher, test loss than this
        rule; equal ones count as neither.
    p_value : float
        Sign test of these two, two-sided; NaN where there are none.
    """

    rule: str
    runs: int
    decided: int
    test_loss: float
    regret: float
    low: float
    high: float
    mean: float
    trained: float
    better: int
    worse: int
    p_value: float


def count_claims(runs: Sequence[Sequence[Claim]]) -> list[ClaimCount]:
    """Count in how many runs each claim holds.

    Parameters
    ----------
    runs : sequence of sequence of Claim
        The same claims of every run.
    """
    from scipy.stats import binomtest

    counts = []
    for claims in zip(*runs, strict=True):
        answers = [claim.answer for claim in claims]
        holds, fails = answers.count(HOLDS), answers.count(FAILS)
        low = high = float("nan")
        if holds + fails:
            low, high = binomtest(holds, holds + fails).proportion_ci(
                CONFIDENCE, method="wilson"
            )
        untold = len(answers) - holds - fails
        first = claims[0]
        counts.append(
            ClaimCount(
                number=first.number,
                yardstick=first.yardstick,
                text=first.text,
                holds=holds,
                fails=fails,
                untold=untold,
                low=float(low),
                high=float(high),
            )
        )
    return counts


@dataclass(frozen=True)
class FallCount:
    """How many falls of all runs come with a change, and how many by chance.

    Attributes
    ----------
    change : str
    falls, hits : int
        Of the runs with falls and changes.
    expected : float
        By the rotations of each run.
    p_value : float
        Probability of as many hits; see `lstm_edge.track.association.pooled`.
    """

    change: str
    falls: int
    hits: int
    expected: float
    p_value: float


def count_falls(runs: Sequence[Mapping[str, Coincidence]]) -> list[FallCount]:
    """Test over all runs whether falls come with changes.

    Parameters
    ----------
    runs : sequence of dict of str to Coincidence
        As `Track.coincidences` gives them.
    """
    counts = []
    for change in runs[0] if runs else ():
        found = [run[change] for run in runs]
        falls = sum(one.falls for one in found if one.null)
        counts.append(FallCount(change, falls, *pooled(found)))
    return counts


def compare_rules(runs: Sequence[Mapping[str, Choice]]) -> list[Regret]:
    """Compare the rules over the runs.

    Parameters
    ----------
    runs : sequence of dict of str to Choice
        As `choices` gives them; rules that some run lacks are left out.
    """
    from scipy.stats import binomtest, quantile_test

    rules = [rule for rule in runs[0] if all(rule in run for run in runs)]
    losses = {rule: np.array([run[rule].test_loss for run in runs]) for rule in rules}
    found = []
    for rule in rules:
        regrets = losses[rule] - losses[ORACLE]
        low, high = quantile_test(regrets).confidence_interval(CONFIDENCE)
        better = int(np.count_nonzero(losses[FIRST_TRANSITION] < losses[rule]))
        worse = int(np.count_nonzero(losses[FIRST_TRANSITION] > losses[rule]))
        sign = binomtest(better, better + worse).pvalue if better + worse else np.nan
        found.append(
            Regret(
                rule=rule,
                runs=len(runs),
                decided=sum(run[rule].decided for run in runs),
                test_loss=float(np.median(losses[rule])),
                regret=float(np.median(regrets)),
                low=float(low) if low == low else -np.inf,
                high=float(high) if high == high else np.inf,
                mean=float(regrets.mean()),
                trained=float(np.median([run[rule].trained for run in runs])),
                better=better,
                worse=worse,
                p_value=float(sign),
            )
        )
    return found
