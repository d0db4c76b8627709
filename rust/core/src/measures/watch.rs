//! One pass along orbits of the autonomous map, for all that tells what they end on: whether they
//! return, how fast a tangent vector grows, time averages, and a signal for the 0-1 test.

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::{Isa, Real};
use lstm_edge_kernels::system::System;
use lstm_edge_kernels::tile::Tile;
use ndarray::{Array2, Array3, s};

use crate::ensemble::{Execution, gaussian_frame};
use crate::orbit::Starts;

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
    /// The state at the end of each batch of the steps: (count, batches, n).
    pub states: Array3<T>,
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
pub fn watch<T: Real>(
    map: &dyn System<T>,
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
            isa,
            execution,
        };
        watch.run()
    })?;
    let mut all = Watched {
        ends: Array2::from_elem((count, n), T::of(0.0)),
        returns: Vec::with_capacity(count),
        states: Array3::from_elem((count, BATCHES.min(steps), n), T::of(0.0)),
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
        all.states.slice_mut(rows).assign(&found.states);
        all.returns.extend(found.returns);
    }
    Ok(all)
}

/// [`watch`] for one vector of starts.
struct Watch<'a, T> {
    map: &'a dyn System<T>,
    states: &'a Array2<T>,
    first: usize,
    steps: usize,
    tolerance: f64,
    seed: u64,
    isa: Isa,
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

impl<T: Real> Watch<'_, T> {
    fn run(self) -> Result<Watched<T>, Error> {
        let engine = self.map.on(self.isa);
        let ((total, n), lanes) = (self.states.dim(), engine.lanes());
        let (steps, count) = (self.steps, lanes.min(total - self.first));
        let starts = Starts {
            states: self.states,
            sequences: &[],
        };
        let mut x = starts.tile(self.first..self.first + count, lanes);
        let mut y = x.clone();
        let mut memory = x.clone();
        let mut at = Tile::zeros(self.map.linearisation_len(), lanes);
        let first = gaussian_frame(n, 1, self.seed, 0);
        let mut v = Tile::splat(first.iter().map(|&v| T::of(v)), lanes);
        let mut w = v.clone();
        let mut growth = vec![T::of(0.0); lanes];
        engine.normalise(&mut v, &mut growth);
        let mut sums = Tile::zeros(2 * n, lanes);
        let weights = Tile::splat((0..n).map(|row| T::of(projection(row))), lanes);
        let mut seen = Tile::zeros(3, lanes);
        let mut lookouts = vec![Lookout::default(); count];
        let batches = BATCHES.min(steps);
        let mut watched = Watched {
            ends: Array2::from_elem((count, n), T::of(0.0)),
            returns: Vec::new(),
            states: Array3::from_elem((count, batches, n), T::of(0.0)),
            averages: Array3::zeros((count, batches, 2 * n)),
            signal: Array2::zeros((count, steps)),
            growth: Array2::zeros((count, steps)),
        };
        let mut batch_begin = 0;
        for t in 1..=steps {
            self.execution.check()?;
            engine.linearise(None, &x, &mut y, &mut at);
            std::mem::swap(&mut x, &mut y);
            engine.grow(&at, &v, &mut w, &mut growth);
            std::mem::swap(&mut v, &mut w);
            engine.observe(&x, &memory, &weights, &mut sums, &mut seen);
            let (apart, size, signal) = (seen.row(0), seen.row(1), seen.row(2));
            for lane in 0..count {
                let (apart, size): (f64, f64) = (apart[lane].into(), size[lane].into());
                watched.signal[[lane, t - 1]] = signal[lane].into();
                watched.growth[[lane, t - 1]] = Into::<f64>::into(growth[lane]).ln();
                let near = apart <= self.tolerance * self.tolerance * size;
                if lookouts[lane].see(t, steps, near, apart == 0.0) {
                    memory
                        .lane_mut(lane)
                        .zip(x.lane(lane))
                        .for_each(|(m, x)| *m = x);
                }
            }
            let batch = (t - 1) * batches / steps;
            if t == steps || t * batches / steps > batch {
                let length = (t - batch_begin) as f64;
                for lane in 0..count {
                    let states = watched.states.slice_mut(s![lane, batch, ..]);
                    states
                        .into_iter()
                        .zip(x.lane(lane))
                        .for_each(|(s, x)| *s = x);
                    let averages = watched.averages.slice_mut(s![lane, batch, ..]);
                    for (average, sum) in averages.into_iter().zip(sums.lane(lane)) {
                        *average = Into::<f64>::into(sum) / length;
                    }
                }
                sums.as_mut_slice().fill(T::of(0.0));
                batch_begin = t;
            }
        }
        for (lane, lookout) in lookouts.iter().enumerate() {
            let end = watched.ends.row_mut(lane);
            end.into_iter().zip(x.lane(lane)).for_each(|(e, x)| *e = x);
            watched
                .returns
                .push(lookout.found.filter(|r| r.exact || lookout.lasting));
        }
        Ok(watched)
    }
}

impl Lookout {
    /// Takes in the state at step t of `steps`; whether to remember it.
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

/// Weights of the signal: irregular, so that no symmetry of the map hides in it.
fn projection(row: usize) -> f64 {
    ((row + 1) as f64 * 0.618_033_988_749_894_9).fract() + 0.5
}
