//! Tangent dynamics along orbits: the frame is pushed, orthonormalised, and its growth summed.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::drive::{Drive, TileInput};
use crate::ensemble::{Execution, gaussian_frame};
use crate::error::Error;
use crate::frame::{Frame, OverTangents, OverTrajectories, Spread, by_width};
use crate::lanes::{Isa, Kernel, Lanes, Real, dispatch};
use crate::map::StateMap;
use crate::orbit::Starts;
use crate::orthonormal::{Reflections, orthonormalise};

/// Batches that the time axis is cut into for the standard error.
pub const BATCHES: usize = 32;

/// The batch of an interval.
pub(crate) fn batch_of(index: usize, intervals: usize) -> usize {
    index * BATCHES.min(intervals) / intervals
}

/// Σ ln R_ii of one start: (batches, k); in how many intervals R_ii could not be told from zero
/// (k); the largest ln R_11 − ln R_kk of an interval; and the least that one
/// [kept](Reflections::least_kept), transient and all.
pub(crate) struct Growth {
    pub sums: Vec<f64>,
    pub flat: Vec<usize>,
    pub spread: f64,
    pub kept: f64,
}

/// The tangent dynamics along the orbits of one block of starts.
pub(crate) struct Follow<'a, T, M> {
    pub map: &'a M,
    pub drive: &'a Drive<T>,
    pub starts: &'a Starts<'a, T>,
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
    pub execution: Execution<'a>,
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
        let (n, k) = (self.map.dim(), self.k);
        let (transient, steps) = (self.transient, self.steps);
        let count = self.range.len();
        let start = |lane: usize| self.range.start + lane.min(count - 1);
        let state = |row| L::from_fn(|lane| self.starts.states[[start(lane), row]]);
        let mut x: Vec<[L; 1]> = (0..n).map(|row| [state(row)]).collect();
        let mut y = x.clone();
        let mut input = TileInput::<L, 1>::new(self.map);
        let mut at = vec![L::zero(); self.map.linearisation_len()];
        let mut frame = Frame::zeros::<S>(n, k, widest);
        let mut next = Frame::zeros::<S>(n, k, widest);
        let mut reflections = Reflections::<L, S>::new(n, k);
        first_frame::<L, S>(&mut frame, self.seed, self.range.clone());
        orthonormalise(&mut frame, &mut reflections);

        let intervals = steps.div_ceil(self.interval);
        let mut growths: Vec<Growth> = (0..count)
            .map(|_| Growth {
                sums: vec![0.0; BATCHES.min(intervals) * k],
                flat: vec![0; k],
                spread: 0.0,
                kept: 1.0,
            })
            .collect();
        for t in 0..transient + steps {
            self.execution.check()?;
            let sequence = |i| Some(self.starts.sequences[start(i)]);
            let u = input.at(self.map, self.drive, t, sequence);
            self.map.linearise(u, &x, &mut y, &mut at);
            std::mem::swap(&mut x, &mut y);
            push_frame(self.map, &at, &mut frame, &mut next);
            // the transient ends, and the measured steps begin, with a fresh frame
            let (done, whole) = if t < transient {
                (t + 1, transient)
            } else {
                (t + 1 - transient, steps)
            };
            if done % self.interval != 0 && done != whole {
                continue;
            }
            orthonormalise(&mut frame, &mut reflections);
            let kept = reflections.least_kept();
            for (lane, growth) in growths.iter_mut().enumerate() {
                growth.kept = growth.kept.min(kept.as_slice()[lane].into());
                if t >= transient {
                    let index = (done - 1) / self.interval;
                    growth.add(&reflections.diagonal, lane, batch_of(index, intervals));
                }
            }
            if growths.iter().any(|growth| growth.kept < self.keep) {
                break;
            }
        }
        Ok(growths)
    }
}

/// Frame ← DF frame, for the derivative kept in `at`; `next` is scratch.
#[inline(always)]
pub(crate) fn push_frame<L: Lanes, M: StateMap<L::Scalar>>(
    map: &M,
    at: &[L],
    frame: &mut Frame<L>,
    next: &mut Frame<L>,
) {
    for (v, w) in frame.panels.iter().zip(&mut next.panels) {
        by_width!(v.width, W => {
            let (v, w) = (v.rows.as_chunks::<W>().0, w.rows.as_chunks_mut::<W>().0);
            map.push::<L, W>(at, v, w);
        });
    }
    std::mem::swap(frame, next);
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

/// Fills the frame with a Gaussian n × k matrix for every start; its Q is the first frame.
#[inline(always)]
pub(crate) fn first_frame<L: Lanes, S: Spread<L>>(
    frame: &mut Frame<L>,
    seed: u64,
    starts: Range<usize>,
) {
    let (n, k) = (frame.n, frame.k);
    let matrices: Vec<Array2<f64>> = starts
        .map(|start| gaussian_frame(n, k, seed, start))
        .collect();
    for i in 0..k {
        for row in 0..n {
            let entry =
                L::from_fn(|lane| L::Scalar::of(matrices[lane.min(matrices.len() - 1)][[row, i]]));
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
            first_frame::<L, OverTangents>(&mut frame, seed, start..start + 1);
            let mut reflections = Reflections::<L, OverTangents>::new(n, k);
            orthonormalise(&mut frame, &mut reflections);
            Array2::from_shape_fn((n, k), |(row, i)| {
                frame.get::<OverTangents>(row, i).as_slice()[0]
            })
        }
    }
    assert!(k <= n, "expected k <= n, found k = {k}, n = {n}");
    dispatch(Isa::best(), FirstFrame(n, k, seed, start))
}

/// F(x) and DF(x) V of the autonomous map, for one state (n,) and vectors V (n, k).
///
/// # Errors
/// Shapes that do not fit, or numbers that are not finite.
pub fn push<T: Real, M: StateMap<T>>(
    map: &M,
    state: &ArrayView1<'_, T>,
    vectors: &ArrayView2<'_, T>,
) -> Result<(Array1<T>, Array2<T>), Error> {
    let n = map.dim();
    Error::unless_shape("state", &[n], state.shape())?;
    Error::unless_shape("vectors", &[n, vectors.ncols()], vectors.shape())?;
    Error::unless_finite("state", state)?;
    Error::unless_finite("vectors", vectors)?;
    let push = Push {
        map,
        state,
        vectors,
    };
    Ok(dispatch(Isa::best(), push))
}

struct Push<'a, T, M> {
    map: &'a M,
    state: &'a ArrayView1<'a, T>,
    vectors: &'a ArrayView2<'a, T>,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Push<'_, T, M> {
    type Output = (Array1<T>, Array2<T>);

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        let (n, k) = self.vectors.dim();
        let mut frame = Frame::<L>::zeros::<OverTangents>(n, k, C);
        let mut next = Frame::<L>::zeros::<OverTangents>(n, k, C);
        for ((row, i), &v) in self.vectors.indexed_iter() {
            frame.set::<OverTangents>(row, i, L::splat(v));
        }
        let x: Vec<[L; 1]> = self.state.iter().map(|&x| [L::splat(x)]).collect();
        let mut y = x.clone();
        let mut at = vec![L::zero(); self.map.linearisation_len()];
        self.map.linearise(&[], &x, &mut y, &mut at);
        push_frame(self.map, &at, &mut frame, &mut next);
        let pushed = Array2::from_shape_fn((n, k), |(row, i)| {
            frame.get::<OverTangents>(row, i).as_slice()[0]
        });
        (y.iter().map(|[y]| y.as_slice()[0]).collect(), pushed)
    }
}
