//! Lyapunov exponents (Benettin et al. 1980; Geist et al. 1990).
//!
//! Tangent vectors V (n × k) follow V ← J(s_t) V and are orthonormalised every q steps, V = Q R
//! with a positive diagonal;
//!
//! ```text
//! λ_i = (1/T) Σ ln R_ii        nats per step
//! ```
//!
//! A transient is dropped first, and the frame turns along it.

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use ndarray::{Array2, Array3, ArrayView1, Axis, s};

use crate::cycle::Cycle;
use crate::drive::Drive;
use crate::ensemble::Execution;
use crate::measures::merging::standard_error;
use crate::measures::settled::{Settled, settled};
use crate::orbit::Starts;
use crate::tangent::{BATCHES, Follow, batch_of};

/// What an interval must [keep](lstm_edge_kernels::engine::Tangents::least_kept) of every R_ii, so
/// that rounding leaves it 1e-8 of its value (1e-4 in `f32`): 3e-7 in `f64`.
fn least_kept<T: Real>() -> f64 {
    T::EPSILON.powf(5.0 / 12.0)
}

/// Steps of the pilot run that chooses the interval, and the longest interval it may choose.
const PILOT: usize = 64;
const LONGEST: usize = 32;

/// How to measure them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Exponents, from the largest.
    pub k: usize,
    /// Steps that count.
    pub steps: usize,
    /// Steps before them.
    pub transient: usize,
    /// Steps between two orthonormalisations; `None` chooses the longest that leaves
    /// exponents within 1e-8 of interval 1 (1e-4 in `f32`).
    pub interval: Option<usize>,
    /// Whether the multipliers of the cycle that a start is on, or drawn to, tell its exponents;
    /// else all are averages over the steps.
    pub asymptotic: bool,
    /// Of the first frames.
    pub seed: u64,
}

/// How far an exponent must lie from zero to have a sign: two standard errors, and what `steps`
/// steps may give to an exponent of zero. Along a neutral direction a tangent vector grows at most
/// linearly with time, so by a factor 1 + steps / transient, and its length varies along a torus by
/// a factor that we take as e.
#[must_use]
pub fn zero_margin(stderr: f64, steps: usize, transient: usize) -> f64 {
    let growth = (steps as f64 / transient.max(1) as f64).ln_1p();
    2.0 * stderr + (1.0 + growth) / steps as f64
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Exponents {
    /// Mean growth in each batch of the time axis, nats per step: (starts, batches, k), columns
    /// as the frame has them. −∞ is an answer; NaN means the orbit left the finite numbers.
    pub batches: Array3<f64>,
    /// Mean growth over all steps: (starts, k).
    pub per_start: Array2<f64>,
    /// The interval used.
    pub interval: usize,
    /// ln |μ| / p of the fixed point or cycle that a start is on, or drawn to, descending: (starts,
    /// k). NaN without one, and where a multiplier does not stand out of rounding.
    pub of_cycle: Array2<f64>,
}

/// The leading k exponents of every start.
///
/// # Errors
/// Settings out of range, starts that do not fit, measured steps across the end of the drive, or
/// a cancelled call.
pub fn lyapunov<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Exponents, Error> {
    check(map, drive, starts, settings)?;
    let limit = if settings.asymptotic && settings.transient >= drive.len() {
        settings.transient + settings.steps
    } else {
        0
    };
    let early = settled(map, drive, starts, limit, settings.seed, execution)?;
    let told = |start: usize| {
        early
            .as_ref()
            .and_then(|early| early.told(start, settings.k))
    };
    let open: Vec<usize> = (0..starts.states.nrows())
        .filter(|&start| told(start).is_none())
        .collect();
    let states = starts.states.select(Axis(0), &open);
    let rest = Rest {
        map,
        drive,
        starts: &Starts {
            states: &states,
            sequences: &starts.sequences_of(&open),
        },
        numbers: &open,
        settings,
        execution,
    };
    let followed = if open.is_empty() {
        Exponents::of_none(settings)
    } else {
        rest.follow()?
    };
    Ok(followed.beside(&open, starts.states.nrows(), told))
}

fn check<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
) -> Result<(), Error> {
    starts.check(map, drive)?;
    let n = map.dim();
    let begin = settings.transient;
    let Some(end) = begin.checked_add(settings.steps) else {
        return Err(Error::settings("steps", "more than can be counted"));
    };
    if settings.k == 0 || settings.k > n {
        let reason = format!("expected 1 to {n} (the dimension), found {}", settings.k);
        return Err(Error::settings("k", reason));
    }
    Error::unless_any("steps", settings.steps)?;
    Error::unless_any("interval", settings.interval.unwrap_or(1))?;
    if begin < drive.len() && drive.len() < end {
        let reason = format!(
            "the inputs end at step {}, inside the measured steps {begin} to {end}: the driven \
             and the autonomous map would mix in one number. Use transient >= {} for the \
             autonomous map, or transient + steps <= {} for the driven one",
            drive.len(),
            drive.len(),
            drive.len(),
        );
        return Err(Error::settings("transient", reason));
    }
    Ok(())
}

/// The starts that are followed to the end.
#[derive(Clone, Copy)]
struct Rest<'a, T> {
    map: &'a dyn System<T>,
    drive: &'a Drive<T>,
    starts: &'a Starts<'a, T>,
    /// Theirs among all starts.
    numbers: &'a [usize],
    settings: &'a Settings,
    execution: Execution<'a>,
}

impl<T: Real> Rest<'_, T> {
    fn follow(&self) -> Result<Exponents, Error> {
        let settings = self.settings;
        let mut interval = match settings.interval {
            Some(interval) => interval,
            None => self.pilot()?,
        };
        loop {
            let keep = if settings.interval.is_some() || interval == 1 {
                0.0
            } else {
                least_kept::<T>()
            };
            let mut run = self.run(interval, keep)?;
            if run.kept >= keep {
                if settings.asymptotic && settings.transient >= self.drive.len() {
                    run.settle(self.map, settings);
                }
                return Ok(run.exponents);
            }
            interval = shorter(interval);
        }
    }

    /// The longest interval whose exponents agree with those of interval 1 along a piece of the
    /// first start. The first guess comes from single steps: one step keeps what it keeps, and in
    /// each further one the leading and the last vector grow apart.
    fn pilot(&self) -> Result<usize, Error> {
        let state = self.starts.states.select(Axis(0), &[0]);
        let first = Starts {
            states: &state,
            sequences: self.starts.sequences,
        };
        // the frame turns for half of the pilot, and is looked at in the other half
        let short = Settings {
            transient: PILOT,
            steps: PILOT,
            ..self.settings.clone()
        };
        let pilot = Rest {
            starts: &first,
            settings: &short,
            ..*self
        };
        let single = pilot.run(1, f64::INFINITY)?;
        let mut interval = 1;
        let kept = |interval: usize| single.kept * (-single.spread * (interval - 1) as f64).exp();
        while interval < LONGEST && kept(interval + 1) >= least_kept::<T>() {
            interval += 1;
        }
        while interval > 1 {
            let longer = pilot.run(interval, f64::INFINITY)?;
            if agree::<T>(&longer.exponents, &single.exponents) {
                break;
            }
            interval = shorter(interval);
        }
        Ok(interval)
    }

    /// Runs all starts; one that keeps less than `keep` ends the run.
    fn run(&self, interval: usize, keep: f64) -> Result<Run<T>, Error> {
        let &Self {
            map,
            drive,
            starts,
            numbers,
            settings,
            execution,
        } = self;
        let (count, k) = (starts.states.nrows(), settings.k);
        let (isa, lanes) = execution.unit_for::<T>(count);
        // starts fill the lanes as long as the tangent vectors would not: fewer columns to push;
        // beyond that a start of its own is a smaller frame, and more to share among threads
        let over_tangents =
            k >= 2 * lanes || count * (k.div_ceil(lanes) + 1) < count.div_ceil(lanes) * (k + 1);
        let block = if over_tangents { 1 } else { lanes };
        let parts = execution.map(count.div_ceil(block), |part| {
            let range = part * block..count.min((part + 1) * block);
            let follow = Follow {
                map,
                drive,
                starts,
                numbers,
                range,
                over_tangents,
                k,
                transient: settings.transient,
                steps: settings.steps,
                seed: settings.seed,
                interval,
                keep,
                isa,
                execution,
            };
            follow.run()
        })?;
        let intervals = settings.steps.div_ceil(interval);
        let mut batches = Array3::from_elem((count, BATCHES.min(intervals), k), 0.0);
        let mut per_start = Array2::from_elem((count, k), 0.0);
        let (mut spread, mut kept) = (0.0, 1.0);
        let growths = parts.into_iter().flatten();
        let mut states = Vec::with_capacity(count);
        for (start, growth) in growths.enumerate() {
            spread = f64::max(spread, growth.spread);
            kept = f64::min(kept, growth.kept);
            let lengths = batch_lengths(settings.steps, interval);
            for i in 0..k {
                let mut total = 0.0;
                for (b, &length) in lengths.iter().enumerate() {
                    let sum = growth.sums[b * k + i];
                    batches[[start, b, i]] = sum / length as f64;
                    total += sum;
                }
                // flat in most intervals: the map takes this direction to a point
                if 2 * growth.flat[i] > intervals {
                    batches.slice_mut(s![start, .., i]).fill(f64::NEG_INFINITY);
                    total = f64::NEG_INFINITY;
                }
                per_start[[start, i]] = total / settings.steps as f64;
            }
            states.push(growth.states);
        }
        let exponents = Exponents {
            batches,
            per_start,
            interval,
            of_cycle: Array2::from_elem((count, k), f64::NAN),
        };
        Ok(Run {
            exponents,
            states,
            spread,
            kept,
        })
    }
}

fn shorter(interval: usize) -> usize {
    interval.div_ceil(2).min(interval - 1)
}

/// Within a tenth of √ε (1.5e-9 in `f64`), relative to 1 + |λ|.
fn agree<T: Real>(a: &Exponents, b: &Exponents) -> bool {
    let near = |(&a, &b): (&f64, &f64)| {
        a.to_bits() == b.to_bits() || (a - b).abs() <= 0.1 * T::EPSILON.sqrt() * (1.0 + b.abs())
    };
    a.per_start.iter().zip(&b.per_start).all(near)
}

/// A run of all starts, with the largest of their spreads and the least that they kept.
struct Run<T> {
    exponents: Exponents,
    /// Of each start at the end of each batch.
    states: Vec<Vec<Vec<T>>>,
    spread: f64,
    kept: f64,
}

impl Exponents {
    fn of_none(settings: &Settings) -> Self {
        let interval = settings.interval.unwrap_or(1);
        let batches = BATCHES.min(settings.steps.div_ceil(interval));
        Self {
            batches: Array3::zeros((0, batches, settings.k)),
            per_start: Array2::zeros((0, settings.k)),
            interval,
            of_cycle: Array2::zeros((0, settings.k)),
        }
    }

    /// With the exponents of `count` starts that are told without having been followed.
    fn beside<'a>(
        self,
        followed: &[usize],
        count: usize,
        told: impl Fn(usize) -> Option<&'a [f64]>,
    ) -> Self {
        let (_, batches, k) = self.batches.dim();
        let mut all = Self {
            batches: Array3::zeros((count, batches, k)),
            per_start: Array2::zeros((count, k)),
            of_cycle: Array2::zeros((count, k)),
            ..self
        };
        for (row, &start) in followed.iter().enumerate() {
            let batches = self.batches.index_axis(Axis(0), row);
            all.batches.index_axis_mut(Axis(0), start).assign(&batches);
            all.per_start
                .row_mut(start)
                .assign(&self.per_start.row(row));
            all.of_cycle.row_mut(start).assign(&self.of_cycle.row(row));
        }
        for (start, known) in (0..count).filter_map(|start| Some((start, told(start)?))) {
            let known = ArrayView1::from(known);
            all.batches.index_axis_mut(Axis(0), start).assign(&known);
            all.per_start.row_mut(start).assign(&known);
            all.of_cycle.row_mut(start).assign(&known);
        }
        all
    }
}

impl<T> Settled<T> {
    /// The first k exponents of a start, where its cycle tells them all.
    fn told(&self, start: usize, k: usize) -> Option<&[f64]> {
        let cycle = &self.cycles[self.on[start]?];
        let known = cycle.exponents.get(..k)?;
        known.last().filter(|&&last| last > cycle.deepest)?;
        Some(known)
    }
}

impl<T: Real> Run<T> {
    /// Finds the cycles that starts are on, or drawn to: their multipliers tell the exponents, where
    /// a time average still has in it how the orbit and the frame arrive.
    fn settle(&mut self, map: &dyn System<T>, settings: &Settings) {
        let mut cycles = Vec::new();
        let found = &mut self.exponents;
        for (start, states) in self.states.iter().enumerate() {
            let leading = found.batches.slice(s![start, .., ..]);
            let largest = leading.mean_axis(Axis(0)).map(|means| {
                let of = |i: &usize| means[*i];
                (0..settings.k).max_by(|a, b| of(a).total_cmp(&of(b)))
            });
            let Some(column) = largest.flatten() else {
                continue;
            };
            let batches = found.batches.slice(s![start, .., column]);
            let (stderr, steps) = (standard_error(&batches), settings.steps);
            let margin = zero_margin(stderr, steps, settings.transient);
            let rate = found.per_start[[start, column]];
            if !rate.is_finite() || rate > 3.0 * margin || states.len() < 2 {
                continue;
            }
            let views: Vec<_> = states.iter().map(ArrayView1::from).collect();
            let lengths = batch_lengths(steps, found.interval);
            let lengths: Vec<f64> = lengths.iter().map(|&l| l as f64).collect();
            let Some(cycle) = Cycle::of_orbit(map, &views, &lengths, None, &mut cycles) else {
                continue;
            };
            let cycle = &cycles[cycle];
            let known = found.of_cycle.row_mut(start).into_iter();
            for (known, &exponent) in known.zip(&cycle.exponents) {
                if exponent > cycle.deepest {
                    *known = exponent;
                }
            }
        }
    }
}

/// Steps in every batch.
fn batch_lengths(steps: usize, interval: usize) -> Vec<usize> {
    let intervals = steps.div_ceil(interval);
    let mut lengths = vec![0; BATCHES.min(intervals)];
    for index in 0..intervals {
        lengths[batch_of(index, intervals)] += interval.min(steps - index * interval);
    }
    lengths
}
