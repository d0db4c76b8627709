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

use crate::drive::Drive;
use crate::ensemble::Execution;
use crate::error::Error;
use crate::lanes::{Isa, Kernel, Lanes, Real, dispatch};
use crate::map::StateMap;
use crate::orbit::Starts;
use crate::tangent::{BATCHES, Follow, batch_of};

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
            k,
            transient: settings.transient,
            steps: settings.steps,
            seed: settings.seed,
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
