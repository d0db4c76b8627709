//! One pass along orbits of the autonomous map, for all that tells what they end on: whether they
//! return, how fast a tangent vector grows, time averages, and a signal for the 0-1 test.

use ndarray::{Array2, Array3, s};

use crate::ensemble::{Execution, gaussian_frame};
use crate::error::Error;
use crate::lanes::{Kernel, Lanes, Real, dispatch};
use crate::map::StateMap;

/// Batches of the time averages.
const BATCHES: usize = 16;

/// A return of an orbit to an earlier state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    /// Steps from one to the other.
    pub period: usize,
    /// To the same number in every component.
    pub exact: bool,
}

/// What some starts did during a number of steps of the autonomous map.
pub struct Watched<T> {
    /// Where they ended: (count, n).
    pub ends: Array2<T>,
    /// The returns that lasted until then.
    pub returns: Vec<Option<Return>>,
    /// ⟨x⟩ and ⟨x²⟩ over each batch of the steps: (count, batches, 2n).
    pub averages: Array3<f64>,
    /// One number a step, a fixed projection of the state: (count, steps).
    pub signal: Array2<f64>,
    /// ln of the growth of a tangent vector in every step: (count, steps).
    pub growth: Array2<f64>,
}

impl<T> Watched<T> {
    /// Steps in every batch of the averages.
    #[must_use]
    pub fn batch_lengths(&self) -> Vec<f64> {
        let (steps, batches) = (self.signal.ncols(), self.averages.dim().1);
        let end = |batch: usize| (batch * steps).div_ceil(batches);
        (0..batches)
            .map(|batch| (end(batch + 1) - end(batch)) as f64)
            .collect()
    }
}

/// Follows every start for `steps` steps, each with the same first tangent vector: what is found
/// of a start does not depend on the others.
///
/// An orbit returns when it comes within `tolerance` (relative to 1 + |x|₂) of the state
/// remembered at the last power of two (Brent 1980, BIT 20, 176), and is as near to itself a
/// period before the last step.
///
/// # Errors
/// A cancelled call.
pub fn watch<T: Real, M: StateMap<T>>(
    map: &M,
    states: &Array2<T>,
    steps: usize,
    tolerance: f64,
    seed: u64,
    execution: Execution<'_>,
) -> Result<Watched<T>, Error> {
    let (count, n) = states.dim();
    let (isa, lanes) = execution.unit_for::<T>(count);
    let parts = execution.map(count.div_ceil(lanes), |part| {
        let watch = Watch {
            map,
            states,
            first: part * lanes,
            steps,
            tolerance,
            seed,
            execution,
        };
        dispatch(isa, watch)
    })?;
    let mut all = Watched {
        ends: Array2::from_elem((count, n), T::of(0.0)),
        returns: Vec::with_capacity(count),
        averages: Array3::zeros((count, BATCHES.min(steps), 2 * n)),
        signal: Array2::zeros((count, steps)),
        growth: Array2::zeros((count, steps)),
    };
    for (part, found) in parts.into_iter().enumerate() {
        let rows = s![part * lanes..count.min((part + 1) * lanes), ..];
        all.ends.slice_mut(rows).assign(&found.ends);
        all.signal.slice_mut(rows).assign(&found.signal);
        all.growth.slice_mut(rows).assign(&found.growth);
        let rows = s![part * lanes..count.min((part + 1) * lanes), .., ..];
        all.averages.slice_mut(rows).assign(&found.averages);
        all.returns.extend(found.returns);
    }
    Ok(all)
}

/// [`watch`] for one vector of starts.
struct Watch<'a, T, M> {
    map: &'a M,
    states: &'a Array2<T>,
    first: usize,
    steps: usize,
    tolerance: f64,
    seed: u64,
    execution: Execution<'a>,
}

/// What is known of a lane's returns.
#[derive(Clone, Copy, Default)]
struct Lookout {
    found: Option<Return>,
    /// The step of the remembered state, and the step at which to remember a later one.
    remembered: usize,
    renew: usize,
    lasting: bool,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Watch<'_, T, M> {
    type Output = Result<Watched<T>, Error>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        let (total, n) = self.states.dim();
        let (steps, count) = (self.steps, L::N.min(total - self.first));
        let state = |row| L::from_fn(|lane| self.states[[self.first + lane.min(count - 1), row]]);
        let mut x: Vec<[L; 1]> = (0..n).map(|row| [state(row)]).collect();
        let mut y = x.clone();
        let mut memory = x.clone();
        let mut at = vec![L::zero(); self.map.linearisation_len()];
        let first = gaussian_frame(n, 1, self.seed, 0);
        let mut v: Vec<[L; 1]> = first.iter().map(|&v| [L::splat(T::of(v))]).collect();
        let mut w = v.clone();
        normalise(&mut v);
        let mut sums = vec![L::zero(); 2 * n];
        let weights: Vec<L> = (0..n).map(|row| L::splat(T::of(projection(row)))).collect();
        let mut lookouts = vec![Lookout::default(); count];
        let batches = BATCHES.min(steps);
        let mut watched = Watched {
            ends: Array2::from_elem((count, n), T::of(0.0)),
            returns: Vec::new(),
            averages: Array3::zeros((count, batches, 2 * n)),
            signal: Array2::zeros((count, steps)),
            growth: Array2::zeros((count, steps)),
        };
        let mut batch_begin = 0;
        for t in 1..=steps {
            self.execution.check()?;
            self.map.linearise(&[], &x, &mut y, &mut at);
            std::mem::swap(&mut x, &mut y);
            self.map.push(&at, &v, &mut w);
            std::mem::swap(&mut v, &mut w);
            let growth = normalise(&mut v);
            let (mut apart, mut size, mut signal) = (L::zero(), L::splat(T::of(1.0)), L::zero());
            for (row, ([x], [m])) in x.iter().zip(&memory).enumerate() {
                let difference = *x - *m;
                let square = *x * *x;
                apart = difference.mul_add(difference, apart);
                size = size + square;
                signal = weights[row].mul_add(*x, signal);
                sums[row] = sums[row] + *x;
                sums[n + row] = sums[n + row] + square;
            }
            for lane in 0..count {
                watched.signal[[lane, t - 1]] = signal.as_slice()[lane].into();
                let growth: f64 = growth.as_slice()[lane].into();
                watched.growth[[lane, t - 1]] = growth.ln();
                let (apart, size): (f64, f64) =
                    (apart.as_slice()[lane].into(), size.as_slice()[lane].into());
                let near = apart <= self.tolerance * self.tolerance * size;
                if lookouts[lane].see(t, steps, near, apart == 0.0) {
                    for ([kept], [now]) in memory.iter_mut().zip(&x) {
                        kept.as_mut_slice()[lane] = now.as_slice()[lane];
                    }
                }
            }
            let batch = (t - 1) * batches / steps;
            if t == steps || t * batches / steps > batch {
                let length = (t - batch_begin) as f64;
                for (i, sum) in sums.iter_mut().enumerate() {
                    for lane in 0..count {
                        let sum: f64 = sum.as_slice()[lane].into();
                        watched.averages[[lane, batch, i]] = sum / length;
                    }
                    *sum = L::zero();
                }
                batch_begin = t;
            }
        }
        for (lane, lookout) in lookouts.iter().enumerate() {
            for (row, [x]) in x.iter().enumerate() {
                watched.ends[[lane, row]] = x.as_slice()[lane];
            }
            watched
                .returns
                .push(lookout.found.filter(|r| r.exact || lookout.lasting));
        }
        Ok(watched)
    }
}

impl Lookout {
    /// Takes in the state at step t of `steps`; whether to remember it.
    #[inline(always)]
    fn see(&mut self, t: usize, steps: usize, near: bool, exact: bool) -> bool {
        if let Some(found) = &mut self.found {
            // once more, over the last period
            if t == steps && self.remembered + found.period == t {
                self.lasting = near;
                found.exact = exact;
            }
            if t + found.period == steps {
                self.remembered = t;
                return true;
            }
            return false;
        }
        if self.remembered > 0 && near {
            let period = t - self.remembered;
            self.found = Some(Return { period, exact });
            if t + period == steps {
                self.remembered = t;
                return true;
            }
            return false;
        }
        if t >= self.renew {
            self.remembered = t;
            self.renew = 2 * t;
            return true;
        }
        false
    }
}

/// Makes tangent vectors of length 1, and gives the lengths they had; one that vanished stays.
#[inline(always)]
fn normalise<L: Lanes>(v: &mut [[L; 1]]) -> L {
    let tiny = L::splat(L::Scalar::TINY);
    let largest = v.iter().fold(tiny, |most, [v]| most.max(v.abs()));
    let inverse = L::splat(L::Scalar::of(1.0)) / largest;
    let mut square = L::zero();
    for [v] in v.iter_mut() {
        *v = *v * inverse;
        square = v.mul_add(*v, square);
    }
    let length = square.sqrt();
    let inverse = L::splat(L::Scalar::of(1.0)) / length.max(tiny);
    for [v] in v.iter_mut() {
        *v = *v * inverse;
    }
    length * largest
}

/// Weights of the signal: irregular, so that no symmetry of the map hides in it.
fn projection(row: usize) -> f64 {
    ((row + 1) as f64 * 0.618_033_988_749_894_9).fract() + 0.5
}
