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

use ndarray::{Array2, Array3, Axis, s};

use crate::ensemble::{Execution, gaussian_frame};
use crate::error::Error;
use crate::lanes::{Isa, Kernel, Lanes, Real, dispatch};
use crate::map::{Drive, StateMap};
use crate::orbit::{Starts, fill_inputs};
use crate::orthonormal::{
    Frame, OverTangents, OverTrajectories, Reflections, Spread, by_width, orthonormalise,
};

/// Batches that the time axis is cut into for the standard error.
pub const BATCHES: usize = 32;

/// ln R_11 − ln R_kk that one interval may gather. Rounding costs R_kk about ε e^spread of its
/// value: 5/12 of the digits (15 in `f64`) keep an exponent within 1e-8 of interval 1, and within
/// about 1e-4 in `f32`.
fn widest_spread<T: Real>() -> f64 {
    -T::EPSILON.ln() * 5.0 / 12.0
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
    /// Steps between two orthonormalisations; `None` chooses by the growth of the condition
    /// number, so that exponents stay within 1e-8 of interval 1.
    pub interval: Option<usize>,
    /// Of the first frames.
    pub seed: u64,
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
}

/// The leading k exponents of every start.
///
/// # Errors
/// Settings out of range, starts that do not fit, measured steps across the end of the drive, or
/// a cancelled call.
pub fn lyapunov<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Exponents, Error> {
    check(map, drive, starts, settings)?;
    let mut interval = match settings.interval {
        Some(interval) => interval,
        None => pilot(map, drive, starts, settings, execution)?,
    };
    loop {
        let (exponents, spread) = ensemble(map, drive, starts, settings, interval, execution)?;
        if settings.interval.is_some() || interval == 1 || spread <= widest_spread::<T>() {
            return Ok(exponents);
        }
        interval = interval.div_ceil(2).min(interval - 1);
    }
}

fn check<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
) -> Result<(), Error> {
    starts.check(map)?;
    let n = map.dim();
    let begin = settings.transient;
    let Some(end) = begin.checked_add(settings.steps) else {
        return Err(Error::settings("steps", "more than can be counted"));
    };
    if settings.k == 0 || settings.k > n {
        let reason = format!("expected 1 to {n} (the dimension), found {}", settings.k);
        return Err(Error::settings("k", reason));
    }
    if settings.steps == 0 {
        return Err(Error::settings("steps", "expected at least 1, found 0"));
    }
    if settings.interval == Some(0) {
        return Err(Error::settings("interval", "expected at least 1, found 0"));
    }
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

/// The interval that the spread of the growth in single steps allows, from the first start.
fn pilot<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<usize, Error> {
    let state = starts.states.select(Axis(0), &[0]);
    let first = Starts {
        states: &state,
        sequences: starts.sequences,
    };
    // the frame turns for half of the pilot, and is looked at in the other half
    let mut short = settings.clone();
    short.transient = PILOT;
    short.steps = PILOT;
    let (_, spread) = ensemble(map, drive, &first, &short, 1, execution)?;
    let mut interval = 1;
    while interval < LONGEST && spread * ((interval + 1) as f64) <= widest_spread::<T>() {
        interval += 1;
    }
    Ok(interval)
}

/// All starts, and the largest spread of growth that an interval gathered.
fn ensemble<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    interval: usize,
    execution: Execution<'_>,
) -> Result<(Exponents, f64), Error> {
    let (count, k) = (starts.states.nrows(), settings.k);
    let (isa, lanes) = vector_unit::<T>(count, execution);
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
            range,
            over_tangents,
            settings,
            interval,
            execution,
        };
        dispatch(isa, follow)
    })?;
    let intervals = settings.steps.div_ceil(interval);
    let mut batches = Array3::from_elem((count, BATCHES.min(intervals), k), 0.0);
    let mut per_start = Array2::from_elem((count, k), 0.0);
    let mut largest = 0.0;
    let growths = parts.into_iter().flatten();
    for (start, growth) in growths.enumerate() {
        largest = f64::max(largest, growth.spread);
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
    }
    let exponents = Exponents {
        batches,
        per_start,
        interval,
    };
    Ok((exponents, largest))
}

/// The batch of an interval.
fn batch_of(index: usize, intervals: usize) -> usize {
    index * BATCHES.min(intervals) / intervals
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

/// The widest vector unit that leaves no thread without starts, and how many lanes it has. All
/// units give the same bits.
fn vector_unit<T: Real>(count: usize, execution: Execution<'_>) -> (Isa, usize) {
    let width = |isa| dispatch(isa, WidthOf::<T>(std::marker::PhantomData));
    let widest = (execution.isa, width(execution.isa));
    let idle = count.div_ceil(widest.1) < execution.width();
    if widest.0 == Isa::Avx512 && idle && Isa::available().contains(&Isa::Avx2) {
        return (Isa::Avx2, width(Isa::Avx2));
    }
    widest
}

struct WidthOf<T>(std::marker::PhantomData<T>);

impl<T: Real> Kernel<T> for WidthOf<T> {
    type Output = usize;
    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> usize {
        L::N
    }
}

/// Σ ln R_ii of one start: (batches, k); in how many intervals R_ii could not be told from zero
/// (k); and the largest ln R_11 − ln R_kk of an interval.
struct Growth {
    sums: Vec<f64>,
    flat: Vec<usize>,
    spread: f64,
}

/// The tangent dynamics along the orbits of one block of starts.
struct Follow<'a, T, M> {
    map: &'a M,
    drive: &'a Drive<T>,
    starts: &'a Starts<'a, T>,
    range: std::ops::Range<usize>,
    over_tangents: bool,
    settings: &'a Settings,
    interval: usize,
    execution: Execution<'a>,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Follow<'_, T, M> {
    type Output = Result<Vec<Growth>, Error>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        if self.over_tangents {
            self.follow::<L, OverTangents>(C)
        } else {
            self.follow::<L, OverTrajectories>(C)
        }
    }
}

impl<T: Real, M: StateMap<T>> Follow<'_, T, M> {
    #[inline(always)]
    fn follow<L: Lanes<Scalar = T>, S: Spread<L>>(
        self,
        widest: usize,
    ) -> Result<Vec<Growth>, Error> {
        let (n, k) = (self.map.dim(), self.settings.k);
        let (transient, steps) = (self.settings.transient, self.settings.steps);
        let count = self.range.len();
        let start = |lane: usize| self.range.start + lane.min(count - 1);
        let state = |row| L::from_fn(|lane| self.starts.states[[start(lane), row]]);
        let mut x: Vec<[L; 1]> = (0..n).map(|row| [state(row)]).collect();
        let mut y = x.clone();
        let mut u = vec![[L::zero()]; self.map.input_dim()];
        let mut at = vec![L::zero(); self.map.linearisation_len()];
        let mut frame = Frame::zeros::<S>(n, k, widest);
        let mut next = Frame::zeros::<S>(n, k, widest);
        let mut reflections = Reflections::<L, S>::new(n, k);
        let mut diagonal = vec![L::zero(); k];
        first_frame::<L, S>(&mut frame, n, k, self.settings.seed, start);
        orthonormalise(&mut frame, &mut reflections, &mut diagonal);

        let intervals = steps.div_ceil(self.interval);
        let mut growths: Vec<Growth> = (0..count)
            .map(|_| Growth {
                sums: vec![0.0; BATCHES.min(intervals) * k],
                flat: vec![0; k],
                spread: 0.0,
            })
            .collect();
        for t in 0..transient + steps {
            if t < self.drive.len() {
                let lane = |i| Some((self.starts.sequences[start(i)], t));
                fill_inputs(self.drive, lane, &mut u);
                self.map.linearise(&u, &x, &mut y, &mut at);
            } else {
                self.map.linearise(&[], &x, &mut y, &mut at);
            }
            std::mem::swap(&mut x, &mut y);
            for (v, w) in frame.panels.iter().zip(&mut next.panels) {
                by_width!(v.width, W => {
                    let (v, w) = (v.rows.as_chunks::<W>().0, w.rows.as_chunks_mut::<W>().0);
                    self.map.push::<L, W>(&at, v, w);
                });
            }
            std::mem::swap(&mut frame, &mut next);
            // the transient ends, and the measured steps begin, with a fresh frame
            let (done, whole) = if t < transient {
                (t + 1, transient)
            } else {
                (t + 1 - transient, steps)
            };
            if done % self.interval != 0 && done != whole {
                continue;
            }
            self.execution.check()?;
            orthonormalise(&mut frame, &mut reflections, &mut diagonal);
            if t >= transient {
                let index = (done - 1) / self.interval;
                let batch = batch_of(index, intervals);
                for (lane, growth) in growths.iter_mut().enumerate() {
                    growth.add(&diagonal, lane, batch);
                }
            }
        }
        Ok(growths)
    }
}

impl Growth {
    fn add<L: Lanes>(&mut self, diagonal: &[L], lane: usize, batch: usize) {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        let sums = self.sums[batch * diagonal.len()..].iter_mut();
        for ((sum, flat), r) in sums.zip(&mut self.flat).zip(diagonal) {
            let r: f64 = r.as_slice()[lane].into();
            let growth = r.abs().ln();
            *sum += growth;
            *flat += usize::from(r < 0.0);
            least = least.min(growth);
            most = most.max(growth);
        }
        self.spread = self.spread.max(most - least);
    }
}

/// A Gaussian n × k matrix for every start; its Q is the first frame.
#[inline(always)]
fn first_frame<L: Lanes, S: Spread<L>>(
    frame: &mut Frame<L>,
    n: usize,
    k: usize,
    seed: u64,
    start: impl Fn(usize) -> usize,
) {
    let matrices: Vec<Array2<f64>> = (0..L::N)
        .map(|lane| gaussian_frame(n, k, seed, start(lane)))
        .collect();
    for i in 0..k {
        for row in 0..n {
            let entry = L::from_fn(|lane| L::Scalar::of(matrices[lane][[row, i]]));
            frame.set::<S>(row, i, entry);
        }
    }
}

/// The first frame of a start: Q of its Gaussian matrix, (n, k).
///
/// # Panics
/// When k > n.
#[must_use]
pub fn first_frame_of(n: usize, k: usize, seed: u64, start: usize) -> Array2<f64> {
    struct FirstFrame(usize, usize, u64, usize);
    impl Kernel<f64> for FirstFrame {
        type Output = Array2<f64>;
        #[inline(always)]
        fn run<L: Lanes<Scalar = f64>, const C: usize>(self) -> Array2<f64> {
            let Self(n, k, seed, start) = self;
            let mut frame = Frame::<L>::zeros::<OverTangents>(n, k, C);
            first_frame::<L, OverTangents>(&mut frame, n, k, seed, |_| start);
            let mut reflections = Reflections::<L, OverTangents>::new(n, k);
            let mut diagonal = vec![L::zero(); k];
            orthonormalise(&mut frame, &mut reflections, &mut diagonal);
            Array2::from_shape_fn((n, k), |(row, i)| {
                frame.get::<OverTangents>(row, i).as_slice()[0]
            })
        }
    }
    assert!(k <= n, "expected k <= n, found k = {k}, n = {n}");
    dispatch(crate::lanes::Isa::best(), FirstFrame(n, k, seed, start))
}
