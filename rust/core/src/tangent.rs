//! Tangent dynamics along orbits: the frame is pushed, orthonormalised, and its growth summed.

use std::ops::Range;

use lstm_edge_kernels::Error;
use lstm_edge_kernels::engine::Tangents;
use lstm_edge_kernels::lanes::{Isa, Real};
use lstm_edge_kernels::orthonormal::{NEVER, orthonormal};
use lstm_edge_kernels::system::System;
use lstm_edge_kernels::tile::Tile;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::drive::{Drive, TileInput};
use crate::ensemble::{Execution, gaussian_frame};
use crate::orbit::Starts;

/// Batches that the time axis is cut into for the standard error.
pub const BATCHES: usize = 32;

/// The batch of an interval.
pub(crate) fn batch_of(index: usize, intervals: usize) -> usize {
    index * BATCHES.min(intervals) / intervals
}

/// Σ ln R_ii of one start: (batches, k); in how many intervals R_ii could not be told from zero
/// (k); the largest ln R_11 − ln R_kk of an interval; and the least that one
/// [kept](Tangents::least_kept), transient and all.
pub(crate) struct Growth<T> {
    pub sums: Vec<f64>,
    pub flat: Vec<usize>,
    pub spread: f64,
    pub kept: f64,
    /// The state at the end of each batch.
    pub states: Vec<Vec<T>>,
}

/// The tangent dynamics along the orbits of one block of starts.
pub(crate) struct Follow<'a, T> {
    pub map: &'a dyn System<T>,
    pub drive: &'a Drive<T>,
    pub starts: &'a Starts<'a, T>,
    /// Of the starts, for their first frames.
    pub numbers: &'a [usize],
    pub range: Range<usize>,
    /// Whether the lanes are tangent vectors; then the block is one start.
    pub over_tangents: bool,
    pub k: usize,
    pub transient: usize,
    pub steps: usize,
    pub seed: u64,
    pub interval: usize,
    /// A start that [kept](Growth::kept) less ends the run.
    pub keep: f64,
    pub isa: Isa,
    pub execution: Execution<'a>,
}

impl<T: Real> Follow<'_, T> {
    /// The growth of every start of the block.
    pub fn run(self) -> Result<Vec<Growth<T>>, Error> {
        let engine = self.map.on(self.isa);
        let k = self.k;
        let (transient, steps) = (self.transient, self.steps);
        let count = self.range.len();
        let start = |lane: usize| self.range.start + lane.min(count - 1);
        let mut x = self.starts.tile(self.range.clone(), engine.lanes());
        let mut y = x.clone();
        let mut input = TileInput::new(self.map, engine.lanes());
        let mut at = Tile::zeros(self.map.linearisation_len(), engine.lanes());
        let mut frame = engine.tangents(k, self.over_tangents, self.execution.cancel);
        let trajectories = if self.over_tangents {
            1
        } else {
            engine.lanes()
        };
        let frames = (0..trajectories).map(|lane| self.numbers[start(lane)]);
        first_frame(&mut *frame, self.map.dim(), k, self.seed, frames);

        let intervals = steps.div_ceil(self.interval);
        let mut growths: Vec<Growth<T>> = (0..count)
            .map(|_| Growth {
                sums: vec![0.0; BATCHES.min(intervals) * k],
                flat: vec![0; k],
                spread: 0.0,
                kept: 1.0,
                states: Vec::new(),
            })
            .collect();
        for t in 0..transient + steps {
            self.execution.check()?;
            let sequence = |i| Some(self.starts.sequences[start(i)]);
            let u = input.at(&*engine, self.drive, t, sequence);
            engine.linearise(u, &x, &mut y, &mut at);
            std::mem::swap(&mut x, &mut y);
            frame.push(&at);
            // the transient ends, and the measured steps begin, with a fresh frame
            let (done, whole) = if t < transient {
                (t + 1, transient)
            } else {
                (t + 1 - transient, steps)
            };
            if done % self.interval != 0 && done != whole {
                continue;
            }
            frame.orthonormalise();
            for (lane, growth) in growths.iter_mut().enumerate() {
                growth.kept = growth.kept.min(frame.least_kept(lane).into());
                if t >= transient {
                    let index = (done - 1) / self.interval;
                    let batch = batch_of(index, intervals);
                    growth.add(&*frame, k, lane, batch);
                    if done == steps || batch_of(index + 1, intervals) > batch {
                        growth.states.push(x.lane(lane).collect());
                    }
                }
            }
            if growths.iter().any(|growth| growth.kept < self.keep) {
                break;
            }
        }
        Ok(growths)
    }
}

impl<T: Real> Growth<T> {
    fn add(&mut self, frame: &dyn Tangents<T>, k: usize, lane: usize, batch: usize) {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        let sums = self.sums[batch * k..].iter_mut();
        for (i, (sum, flat)) in sums.zip(&mut self.flat).enumerate() {
            let r: f64 = frame.diagonal(lane, i).into();
            let growth = r.abs().ln();
            *sum += growth;
            *flat += usize::from(r < 0.0);
            least = least.min(growth);
            most = most.max(growth);
        }
        self.spread = self.spread.max(most - least);
    }
}

/// Makes Q of a Gaussian n × k matrix the first frame of each trajectory, a start for each.
pub(crate) fn first_frame<T: Real>(
    frame: &mut dyn Tangents<T>,
    n: usize,
    k: usize,
    seed: u64,
    starts: impl Iterator<Item = usize>,
) {
    for (trajectory, start) in starts.enumerate() {
        let matrix = gaussian_frame(n, k, seed, start);
        for ((row, i), &entry) in matrix.indexed_iter() {
            frame.set(trajectory, row, i, T::of(entry));
        }
    }
    frame.orthonormalise();
}

/// The first frame of a start: Q of its Gaussian matrix, (n, k).
///
/// # Panics
/// When k > n.
#[must_use]
pub fn first_frame_of(n: usize, k: usize, seed: u64, start: usize) -> Array2<f64> {
    assert!(k <= n, "expected k <= n, found k = {k}, n = {n}");
    orthonormal(&gaussian_frame(n, k, seed, start))
}

/// F(x) and DF(x) V of the autonomous map, for one state (n,) and vectors V (n, k).
///
/// # Errors
/// Shapes that do not fit, or numbers that are not finite.
pub fn push<T: Real>(
    map: &dyn System<T>,
    state: &ArrayView1<'_, T>,
    vectors: &ArrayView2<'_, T>,
) -> Result<(Array1<T>, Array2<T>), Error> {
    let (n, k) = (map.dim(), vectors.ncols());
    Error::unless_shape("state", &[n], state.shape())?;
    Error::unless_shape("vectors", &[n, k], vectors.shape())?;
    Error::unless_finite("state", state)?;
    Error::unless_finite("vectors", vectors)?;
    let engine = map.on(Isa::best());
    let mut frame = engine.tangents(k, true, &NEVER);
    for ((row, i), &v) in vectors.indexed_iter() {
        frame.set(0, row, i, v);
    }
    let x = Tile::splat(state.iter().copied(), engine.lanes());
    let mut y = x.clone();
    let mut at = Tile::zeros(map.linearisation_len(), engine.lanes());
    engine.linearise(None, &x, &mut y, &mut at);
    frame.push(&at);
    let pushed = Array2::from_shape_fn((n, k), |(row, i)| frame.get(0, row, i));
    Ok((y.lane(0).collect(), pushed))
}
