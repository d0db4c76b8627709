//! What the starts of an ensemble end on: fixed point, cycle, torus or chaos.
//!
//! Starts that have [settled](super::settled) soon are not followed further. Of the others:
//! recurrence first, then the largest exponent λ with its error, then the 0-1 test as a second
//! opinion. With m the margin within which a finite run cannot tell λ from zero:
//!
//! | | returns | λ | besides |
//! |---|---|---|---|
//! | fixed point, cycle | yes | < −m; ≤ m if it returns bit for bit | |
//! | torus | no | within m of 0 | K < 1/2, and neither shrinks nor grows |
//! | chaos | no | > m | K > 1/2, or λ > 3 m |
//!
//! Where Newton's method finds the cycle that a start is on, or comes nearer to with time as the
//! multipliers say, these decide: inside the unit circle it is a fixed point or a cycle, however
//! slowly it is approached, on it neutral, and a start that sits on a repelling one is nudged off.
//! Chaos must outlast two looks; a torus, which a slow spiral resembles, needs a look of half the
//! limit, or weighted averages that tell the two apart sooner. A state that grows at a steady pace
//! is unbounded. A start of which none of this is true is
//! followed for twice as long, up to a limit; then it is undecided.

use std::ops::Range;

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use nalgebra::Complex;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, Axis, Slice, s};

use crate::cycle::{self, Cycle};
use crate::drive::Drive;
use crate::ensemble::{Execution, perturbation};
use crate::measures::lyapunov::zero_margin;
use crate::measures::merging::{Averages, merge, over_whole_periods, standard_error};
use crate::measures::settled::settled;
use crate::measures::watch::{Return, Watched, watch};
use crate::measures::zero_one::zero_one;
use crate::orbit::{Starts, advanced, orbits};
use crate::tangent::BATCHES;

/// How much ln variance may change between the halves of a look at a torus: 3e-6 a step where
/// the look has 16,000 steps.
const STEADY: f64 = 0.05;

/// How much place (in parts of the size) and ln size of a motion on a torus may seem to change a
/// step, and how fast a tangent vector on it may seem to grow.
const RATE: f64 = 1e-7;
const TANGENT_RATE: f64 = 3e-6;

/// Steps below which neither exponent nor 0-1 test say anything.
const SHORTEST: usize = 200;

/// What a start ends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A state that maps to itself.
    FixedPoint,
    /// A state that returns after more than one step.
    Cycle,
    /// Quasi-periodic motion.
    Torus,
    /// Sensitive to its start.
    Chaos,
    /// A state that grows for ever, as that of a cell that adds up.
    Unbounded,
    /// The limit came first, or the orbit left the finite numbers (then the exponent is NaN).
    Undecided,
}

impl Kind {
    /// Its name in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FixedPoint => "fixed_point",
            Self::Cycle => "cycle",
            Self::Torus => "torus",
            Self::Chaos => "chaos",
            Self::Unbounded => "unbounded",
            Self::Undecided => "undecided",
        }
    }
}

/// How to find out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Steps before the first look; the drive must have ended by then.
    pub transient: usize,
    /// Steps of the first look; each further one is twice as long.
    pub steps: usize,
    /// Steps of the longest look.
    pub limit: usize,
    /// How near a return must come, relative to 1 + |x|.
    pub tolerance: f64,
    /// Of tangent vectors, nudges, and the 0-1 test.
    pub seed: u64,
}

/// What was found of one start.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// What it ends on.
    pub kind: Kind,
    /// Of a fixed point (1) or a cycle; else 0.
    pub period: usize,
    /// The largest exponent over the last look, nats per step.
    pub exponent: f64,
    /// Its standard error.
    pub stderr: f64,
    /// How far it must lie from zero to have a sign.
    pub margin: f64,
    /// K of the 0-1 test; NaN where the start returns.
    pub zero_one: f64,
    /// Steps taken, the transient included.
    pub steps: usize,
    /// The first start that ended on the same attractor, or is undecided too.
    pub same_as: usize,
}

/// What was found of an ensemble.
pub struct Attractors<T> {
    /// Of each start.
    pub found: Vec<Found>,
    /// A state on the attractor of each start: (count, n).
    pub states: Array2<T>,
    /// ⟨x⟩ and ⟨x²⟩ over that attractor: (count, 2n).
    pub averages: Array2<f64>,
    /// Of the fixed point or cycle that Newton's method found for a start, by descending modulus:
    /// (count, n); NaN without one.
    pub multipliers: Array2<Complex<f64>>,
}

/// Classifies what every start ends on.
///
/// # Errors
/// Settings out of range, a drive that outlasts the transient, or a cancelled call.
pub fn attractors<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Attractors<T>, Error> {
    starts.check(map, drive)?;
    check(drive, settings)?;
    let (count, n) = starts.states.dim();
    let mut found = vec![Found::nothing(settings.transient); count];
    let mut averages = Averages::zeros(count, 2 * n);
    let unknown = Complex::new(f64::NAN, f64::NAN);
    let mut multipliers = Array2::from_elem((count, n), unknown);
    let mut open: Vec<usize> = (0..count).collect();
    let mut cycles = Vec::new();
    let mut states = starts.states.clone();
    let mut taken = 0;
    if let Some(look) = settled(
        map,
        drive,
        starts,
        settings.transient,
        settings.seed,
        execution,
    )? {
        (states, taken, cycles) = (look.ends, look.steps, look.cycles);
        for (start, cycle) in look.on.into_iter().enumerate() {
            let Some(cycle) = cycle.map(|cycle| &cycles[cycle]) else {
                continue;
            };
            found[start] = Found::on(cycle, taken);
            arrive(
                cycle,
                &mut states.row_mut(start),
                &mut multipliers.row_mut(start),
            );
        }
        open.retain(|&start| found[start].kind == Kind::Undecided);
    }
    advance(
        map,
        drive,
        starts,
        &open,
        taken..settings.transient,
        &mut states,
        execution,
    )?;
    let mut steps = settings.steps;
    while !open.is_empty() {
        let from = states.select(Axis(0), &open);
        let look = Look::take(map, &from, steps, settings, execution)?;
        let mut left = Vec::new();
        for (row, &start) in open.iter().enumerate() {
            states.row_mut(start).assign(&look.watched.ends.row(row));
            averages.set(start, &look.watched, row);
            let (judged, cycle) = look.judge(map, row, found[start].steps, settings, &mut cycles);
            found[start] = judged;
            if let Some(cycle) = cycle.filter(|_| judged.period > 0) {
                let known = &mut multipliers.row_mut(start);
                arrive(&cycles[cycle], &mut states.row_mut(start), known);
            }
            let undecided = found[start].kind == Kind::Undecided;
            if undecided && !found[start].exponent.is_nan() && steps < settings.limit {
                left.push(start);
                if look.sits_on_a_repeller(row) {
                    nudge(&mut states.row_mut(start), settings, start);
                }
            }
        }
        open = left;
        steps = steps.saturating_mul(2).min(settings.limit);
    }
    smallest_periods(map, &states, &mut found, execution)?;
    over_whole_periods(map, &states, &found, &mut averages, execution)?;
    merge(&mut found, &averages, settings.tolerance);
    Ok(Attractors {
        found,
        states,
        averages: averages.mean,
        multipliers,
    })
}

fn check<T: Real>(drive: &Drive<T>, settings: &Settings) -> Result<(), Error> {
    let &Settings {
        transient,
        steps,
        limit,
        tolerance,
        ..
    } = settings;
    if drive.len() > transient {
        let reason = format!(
            "expected at least {}, the steps of the inputs: attractors are those of the map after \
             its inputs have ended; found {transient}",
            drive.len()
        );
        return Err(Error::settings("transient", reason));
    }
    if steps < SHORTEST {
        let reason = format!("expected at least {SHORTEST}, found {steps}");
        return Err(Error::settings("steps", reason));
    }
    if limit < steps {
        let reason = format!("expected at least steps = {steps}, found {limit}");
        return Err(Error::settings("limit", reason));
    }
    if !(tolerance > 0.0 && tolerance < 1.0) {
        let reason = format!("expected a number between 0 and 1, found {tolerance}");
        return Err(Error::settings("tolerance", reason));
    }
    Ok(())
}

/// Takes some starts from one step to another.
fn advance<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    open: &[usize],
    steps: Range<usize>,
    states: &mut Array2<T>,
    execution: Execution<'_>,
) -> Result<(), Error> {
    if steps.is_empty() || open.is_empty() {
        return Ok(());
    }
    let from = states.select(Axis(0), open);
    let starts = Starts {
        states: &from,
        sequences: &starts.sequences_of(open),
    };
    let drive = if steps.start == 0 {
        drive
    } else {
        &Drive::Zero
    };
    let ends = advanced(map, drive, &starts, steps.len(), execution)?;
    for (&start, end) in open.iter().zip(ends.outer_iter()) {
        states.row_mut(start).assign(&end);
    }
    Ok(())
}

/// Puts a state on the cycle that it leads to, however far it is still away.
fn arrive<T: Real>(
    cycle: &Cycle,
    state: &mut ArrayViewMut1<'_, T>,
    multipliers: &mut ArrayViewMut1<'_, Complex<f64>>,
) {
    let known = multipliers.iter_mut().zip(&cycle.multipliers);
    known.for_each(|(m, &mu)| *m = mu);
    let nearest: Vec<T> = cycle.nearest(&state.view()).collect();
    state.iter_mut().zip(nearest).for_each(|(s, x)| *s = x);
}

/// What all open starts did for a number of steps.
struct Look<T> {
    watched: Watched<T>,
    steps: usize,
    zero_one: Vec<f64>,
}

impl<T: Real> Look<T> {
    fn take(
        map: &dyn System<T>,
        states: &Array2<T>,
        steps: usize,
        settings: &Settings,
        execution: Execution<'_>,
    ) -> Result<Self, Error> {
        let watched = watch(
            map,
            states,
            steps,
            settings.tolerance,
            settings.seed,
            execution,
        )?;
        let zero_one = execution.map(states.nrows(), |row| {
            Ok(match watched.returns[row] {
                Some(_) => f64::NAN,
                None => zero_one(&watched.signal.row(row).to_vec(), settings.seed),
            })
        })?;
        Ok(Self {
            watched,
            steps,
            zero_one,
        })
    }

    /// The table on top of this file.
    fn judge(
        &self,
        map: &dyn System<T>,
        row: usize,
        taken: usize,
        settings: &Settings,
        cycles: &mut Vec<Cycle>,
    ) -> (Found, Option<usize>) {
        // the tangent vector turns along the first quarter
        let transient = self.steps / 4;
        let growth = self.watched.growth.slice(s![row, transient..]);
        let exponent = growth.mean().unwrap_or(f64::NAN);
        let stderr = if exponent.is_finite() {
            let length = growth.len().div_ceil(BATCHES);
            let batches = growth.axis_chunks_iter(Axis(0), length);
            let means: Array1<f64> = batches.filter_map(|batch| batch.mean()).collect();
            standard_error(&means.view())
        } else {
            0.0
        };
        let margin = zero_margin(stderr, self.steps - transient, transient);
        let zero_one = self.zero_one[row];
        let mut found = Found {
            exponent,
            stderr,
            margin,
            zero_one,
            ..Found::nothing(taken + self.steps)
        };
        let returned = self.watched.returns[row];
        let regular = returned.is_none() && exponent.abs() <= margin && zero_one < 0.5;
        if regular && self.is_quasiperiodic(row) {
            found.kind = Kind::Torus;
            return (found, None);
        }
        if exponent <= 3.0 * margin
            && let Some(index) = self.cycle(map, row, returned, cycles)
        {
            let cycle = &cycles[index];
            let stays = returned.is_some_and(|r| r.exact) && cycle.rate() <= cycle::ZERO;
            let on = Found {
                zero_one,
                ..Found::on(cycle, found.steps)
            };
            let (kind, period) = if cycle.is_stable() || stays {
                (on.kind, on.period)
            } else {
                (found.kind, found.period)
            };
            return (Found { kind, period, ..on }, Some(index));
        }
        if let Some(Return { period, exact }) = returned {
            if exponent < -margin || exact && exponent <= margin {
                found.period = period;
                found.kind = cycle_of(period);
            }
        } else if exponent > margin && (zero_one > 0.5 || exponent > 3.0 * margin) {
            // chaos may be a transient: it is looked at twice
            if self.steps > settings.steps || settings.steps == settings.limit {
                found.kind = Kind::Chaos;
            }
        } else if regular {
            // what creeps towards a cycle looks like a torus at first
            let long = 2 * self.steps >= settings.limit;
            let averages = self.watched.averages.index_axis(Axis(0), row);
            if long && grows(&averages) {
                found.kind = Kind::Unbounded;
            } else if long && trend(&averages).abs() < STEADY {
                found.kind = Kind::Torus;
            }
        }
        (found, None)
    }

    /// Whether the weighted Birkhoff averages of two windows, which on a torus converge faster
    /// than any power of their length, say so: neither the place nor the size of the motion nor a
    /// tangent vector has a rate.
    fn is_quasiperiodic(&self, row: usize) -> bool {
        let signal = self.watched.signal.row(row);
        let growth = self.watched.growth.row(row);
        let length = 3 * self.steps / 8;
        let windows = [self.steps - 2 * length, self.steps - length];
        let [(at, size), (later, last)] = windows.map(|begin| {
            let signal = signal.slice(s![begin..begin + length]);
            let mean = birkhoff(signal.iter().copied());
            (mean, birkhoff(signal.iter().map(|x| (x - mean).powi(2))))
        });
        let rates = windows.map(|begin| {
            let growth = growth.slice(s![begin..begin + length]);
            birkhoff(growth.iter().copied())
        });
        let shrinks = (last / size).ln() / (2.0 * length as f64);
        let drifts = (later - at) / (size.sqrt() * length as f64);
        let still = |rate: f64| rate.abs() < RATE;
        still(shrinks) && still(drifts) && rates.iter().all(|rate| rate.abs() < TANGENT_RATE)
    }

    /// Which cycle a start is on, or is drawn to.
    fn cycle(
        &self,
        map: &dyn System<T>,
        row: usize,
        returned: Option<Return>,
        cycles: &mut Vec<Cycle>,
    ) -> Option<usize> {
        let states = self.watched.states.index_axis(Axis(0), row);
        let states: Vec<_> = states.outer_iter().collect();
        let steps = self.watched.batch_lengths();
        let period = returned.map(|found| found.period);
        Cycle::of_orbit(map, &states, &steps, period, cycles)
    }

    /// Whether the start returns for no other reason than that it never left.
    fn sits_on_a_repeller(&self, row: usize) -> bool {
        self.watched.returns[row].is_some_and(|r| r.exact)
    }
}

/// Moves a state by what is small beside any attractor, in a direction of its own.
fn nudge<T: Real>(state: &mut ArrayViewMut1<'_, T>, settings: &Settings, start: usize) {
    let delta = perturbation(state.len(), settings.tolerance, settings.seed, start);
    for (x, delta) in state.iter_mut().zip(delta) {
        *x = *x + T::of(delta);
    }
}

/// ln(variance in the second half / variance in the first), all components together.
fn trend(averages: &ArrayView2<'_, f64>) -> f64 {
    let (batches, n) = (averages.nrows(), averages.ncols() / 2);
    let variance = |range: Slice| -> f64 {
        let half = averages.slice_axis(Axis(0), range);
        let sum = half.sum_axis(Axis(0)) / half.nrows() as f64;
        (0..n).map(|i| sum[n + i] - sum[i] * sum[i]).sum()
    };
    let (first, second) = (
        variance(Slice::from(..batches / 2)),
        variance(Slice::from(batches / 2..)),
    );
    (second / first).ln()
}

/// The weighted Birkhoff average, with weights e^{−1/(t (1−t))} along 0 < t < 1 (Das et al. 2017,
/// Nonlinearity 30, 4111).
fn birkhoff(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    let weighted = values.enumerate().map(|(i, value)| {
        let t = (i as f64 + 0.5) / count;
        let weight = (-1.0 / (t * (1.0 - t))).exp();
        (weight * value, weight)
    });
    let (sum, weights) = weighted.fold((0.0, 0.0), |(a, b), (x, w)| (a + x, b + w));
    sum / weights
}

/// Whether the size of the state grows as fast in the second half of a look as in the first, to
/// more than one and a half times what it was.
fn grows(averages: &ArrayView2<'_, f64>) -> bool {
    let n = averages.ncols() / 2;
    let size = |batch: usize| averages.slice(s![batch, n..]).sum().sqrt();
    let (last, middle) = (averages.nrows() - 1, averages.nrows() / 2);
    let pace = |from: usize, to: usize| (size(to) - size(from)) / (to - from) as f64;
    pace(middle, last) >= 0.9 * pace(0, middle) && size(last) > 1.5 * size(0)
}

impl Found {
    fn nothing(steps: usize) -> Self {
        Self {
            kind: Kind::Undecided,
            period: 0,
            exponent: f64::NAN,
            stderr: f64::NAN,
            margin: f64::NAN,
            zero_one: f64::NAN,
            steps,
            same_as: 0,
        }
    }

    /// On a fixed point or a cycle, after so many steps.
    fn on(cycle: &Cycle, steps: usize) -> Self {
        Self {
            kind: cycle_of(cycle.period()),
            period: cycle.period(),
            exponent: cycle.rate(),
            stderr: 0.0,
            margin: cycle::ZERO,
            ..Self::nothing(steps)
        }
    }
}

/// Takes the period of a start that spirals into a shorter cycle to be that of the cycle.
///
/// A spiral of amplitude a around a cycle of period d comes back after p steps, d a divisor of p,
/// to a (1 − e^{pλ}) at least; and after d steps to 2 a at most (4 a, as spirals may be skew).
fn smallest_periods<T: Real>(
    map: &dyn System<T>,
    states: &Array2<T>,
    found: &mut [Found],
    execution: Execution<'_>,
) -> Result<(), Error> {
    for (start, found) in found.iter_mut().enumerate() {
        // where nothing shrinks there are no spirals
        if found.kind != Kind::Cycle || found.exponent >= -found.margin {
            continue;
        }
        let state = states.select(Axis(0), &[start]);
        let starts = Starts {
            states: &state,
            sequences: &[],
        };
        let period = found.period;
        let cycle = orbits(map, &Drive::Zero, &starts, 0, period, execution)?;
        let apart = |steps: usize| -> f64 {
            let later = cycle.slice(s![0, steps - 1, ..]);
            let difference = |(a, b): (&T, &T)| -> f64 { (*a - *b).into() };
            let squares = state.iter().zip(later).map(|pair| difference(pair).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let size: f64 = state.iter().map(|&x| Into::<f64>::into(x).powi(2)).sum();
        let rounding = 16.0 * T::EPSILON * (1.0 + size).sqrt();
        let returned = apart(period).max(rounding);
        let amplitude = returned / -(period as f64 * found.exponent).exp_m1();
        let shorter = (1..period).filter(|d| period % d == 0);
        if let Some(d) = shorter.into_iter().find(|&d| apart(d) <= 4.0 * amplitude) {
            found.period = d;
            found.kind = cycle_of(d);
        }
    }
    Ok(())
}

fn cycle_of(period: usize) -> Kind {
    if period == 1 {
        Kind::FixedPoint
    } else {
        Kind::Cycle
    }
}
