//! Orbits: a map iterated from many starts, in tiles of lanes.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Array3};

use crate::drive::{Drive, TileInput};
use crate::ensemble::Execution;
use crate::error::Error;
use crate::lanes::{Kernel, Lanes, Real, dispatch};
use crate::map::StateMap;

/// Steps between two looks at whether the caller has cancelled.
const PATIENCE: usize = 64;

/// Starts of a map: states (count, n), and the sequence of the drive that each one reads.
pub struct Starts<'a, T> {
    /// (count, n)
    pub states: &'a Array2<T>,
    /// Of each start; ignored where the drive is zero.
    pub sequences: &'a [usize],
}

impl<T: Real> Starts<'_, T> {
    /// Refuses no states, states of another dimension or that are not finite, and starts without
    /// a sequence of the drive.
    pub(crate) fn check<M: StateMap<T>>(&self, map: &M, drive: &Drive<T>) -> Result<(), Error> {
        let count = self.states.nrows().max(1);
        Error::unless_shape("initial_state", &[count, map.dim()], self.states.shape())?;
        let sequences = drive.count();
        let known = self.sequences.iter().filter(|&&s| s < sequences).count();
        if sequences > 0 && (known < self.sequences.len() || known < count) {
            let reason = format!("expected one of {sequences} for each of {count} starts");
            return Err(Error::settings("sequences", reason));
        }
        Error::unless_finite("initial_state", self.states)
    }
}

/// The states (count, n) after `steps` steps.
///
/// Exact early exit: once a start has returned, bit for bit, to an earlier state of its
/// autonomous phase (found as in Brent 1980, BIT 20, 176), whole periods are left out. The
/// result has the same bits as that of the full run.
///
/// # Errors
/// Starts that do not fit the map, or a cancelled call.
pub fn endpoints<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    steps: usize,
    execution: Execution<'_>,
) -> Result<Array2<T>, Error> {
    starts.check(map, drive)?;
    let count = starts.states.nrows();
    let queue = AtomicUsize::new(0);
    let parts = execution.map(execution.width().min(count), |_| {
        dispatch(
            execution.isa,
            Seating {
                map,
                drive,
                starts,
                steps,
                queue: &queue,
                execution,
            },
        )
    })?;
    let mut states = Array2::from_elem((count, map.dim()), T::of(0.0));
    for (start, state) in parts.into_iter().flatten() {
        for (x, y) in states.row_mut(start).iter_mut().zip(state) {
            *x = y;
        }
    }
    Ok(states)
}

/// One thread's share of [`endpoints`]: a lane is a seat, taken by the next start in the queue
/// as soon as the one before it has arrived.
struct Seating<'a, T, M> {
    map: &'a M,
    drive: &'a Drive<T>,
    starts: &'a Starts<'a, T>,
    steps: usize,
    queue: &'a AtomicUsize,
    execution: Execution<'a>,
}

/// Who sits in a lane.
#[derive(Clone, Copy)]
struct Seat {
    start: usize,
    t: usize,
    /// The step to stop at: `steps`, or earlier by whole periods.
    end: usize,
    /// Whether the period is known.
    periodic: bool,
    /// The step of the remembered state, and the step at which to remember a later one.
    remembered: usize,
    renew: usize,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Seating<'_, T, M> {
    type Output = Result<Vec<(usize, Vec<T>)>, Error>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        let n = self.map.dim();
        let driven = self.drive.len();
        let mut x = vec![[L::zero(); C]; n];
        let mut y = x.clone();
        let mut memory = x.clone();
        let mut input = TileInput::<L, C>::new(self.map);
        let mut arrived = Vec::new();
        let mut seats: Vec<Option<Seat>> = (0..L::N * C)
            .map(|lane| self.take(lane, &mut x, &mut arrived))
            .collect();
        for round in 1usize.. {
            if seats.iter().all(Option::is_none) {
                break;
            }
            if round % PATIENCE == 0 {
                self.execution.check()?;
            }
            if seats.iter().flatten().any(|seat| seat.t < driven) {
                let lane =
                    |i: usize| seats[i].map(|seat| (self.starts.sequences[seat.start], seat.t));
                let u = input.read(self.map, self.drive, lane);
                self.map.step(u, &x, &mut y);
            } else {
                self.map.step(&[], &x, &mut y);
            }
            std::mem::swap(&mut x, &mut y);
            let changed = difference(&x, &memory);
            for (lane, place) in seats.iter_mut().enumerate() {
                let Some(seat) = place else { continue };
                seat.t += 1;
                if seat.t >= driven && !seat.periodic {
                    let (c, i) = (lane / L::N, lane % L::N);
                    if seat.t > seat.remembered && changed[c].as_slice()[i].is_zero_bits() {
                        let period = seat.t - seat.remembered;
                        seat.end = seat.t + (self.steps - seat.t) % period;
                        seat.periodic = true;
                    } else if seat.t == seat.renew {
                        for (kept, now) in memory.iter_mut().zip(&x) {
                            kept[c].as_mut_slice()[i] = now[c].as_slice()[i];
                        }
                        seat.remembered = seat.t;
                        seat.renew = seat.t + (seat.t - driven).max(1);
                    }
                }
                if seat.t == seat.end {
                    arrived.push((seat.start, column(&x, lane)));
                    *place = self.take(lane, &mut x, &mut arrived);
                }
            }
        }
        Ok(arrived)
    }
}

impl<T: Real, M: StateMap<T>> Seating<'_, T, M> {
    /// Seats the next start in a lane, if there is one.
    #[inline(always)]
    fn take<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        lane: usize,
        x: &mut [[L; C]],
        arrived: &mut Vec<(usize, Vec<T>)>,
    ) -> Option<Seat> {
        let start = self.queue.fetch_add(1, Ordering::Relaxed);
        if start >= self.starts.states.nrows() {
            return None;
        }
        for (row, &value) in x.iter_mut().zip(self.starts.states.row(start)) {
            row[lane / L::N].as_mut_slice()[lane % L::N] = value;
        }
        if self.steps == 0 {
            arrived.push((start, column(x, lane)));
            return None;
        }
        Some(Seat {
            start,
            t: 0,
            end: self.steps,
            periodic: false,
            remembered: usize::MAX,
            renew: self.drive.len().max(1),
        })
    }
}

/// The bits in which each lane differs from what is remembered, all components together.
#[inline(always)]
fn difference<L: Lanes, const C: usize>(x: &[[L; C]], memory: &[[L; C]]) -> [L; C] {
    let mut changed = [L::zero(); C];
    for (x, m) in x.iter().zip(memory) {
        for c in 0..C {
            changed[c] = changed[c].bit_or(x[c].bit_xor(m[c]));
        }
    }
    changed
}

/// The state in one lane of a tile.
#[inline(always)]
fn column<L: Lanes, const C: usize>(x: &[[L; C]], lane: usize) -> Vec<L::Scalar> {
    x.iter()
        .map(|row| row[lane / L::N].as_slice()[lane % L::N])
        .collect()
}

/// The states (count, steps, n) of the `steps` steps that follow `transient` steps.
///
/// # Errors
/// Starts that do not fit the map, or a cancelled call.
pub fn orbits<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    transient: usize,
    steps: usize,
    execution: Execution<'_>,
) -> Result<Array3<T>, Error> {
    starts.check(map, drive)?;
    let (count, n) = starts.states.dim();
    let (isa, tile) = execution.unit_for::<T>(count);
    let parts = execution.map(count.div_ceil(tile), |part| {
        let range = part * tile..count.min((part + 1) * tile);
        dispatch(
            isa,
            Recording {
                map,
                drive,
                starts,
                range,
                transient,
                steps,
                execution,
            },
        )
    })?;
    let mut all = Array3::from_elem((count, steps, n), T::of(0.0));
    for (mut chunk, part) in all.axis_chunks_iter_mut(ndarray::Axis(0), tile).zip(parts) {
        chunk.assign(&part);
    }
    Ok(all)
}

/// The orbits of a few starts.
struct Recording<'a, T, M> {
    map: &'a M,
    drive: &'a Drive<T>,
    starts: &'a Starts<'a, T>,
    range: std::ops::Range<usize>,
    transient: usize,
    steps: usize,
    execution: Execution<'a>,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Recording<'_, T, M> {
    type Output = Result<Array3<T>, Error>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        let n = self.map.dim();
        let count = self.range.len();
        let mut states = Array3::from_elem((count, self.steps, n), T::of(0.0));
        // a lane a start, over as many groups of lanes as it takes
        for group in (0..count).step_by(L::N) {
            let lanes = L::N.min(count - group);
            let start = |lane: usize| self.range.start + group + lane;
            let mut x: Vec<[L; 1]> = (0..n)
                .map(|row| {
                    [L::from_fn(|lane| {
                        self.starts.states[[start(lane.min(lanes - 1)), row]]
                    })]
                })
                .collect();
            let mut y = x.clone();
            let mut input = TileInput::<L, 1>::new(self.map);
            for t in 0..self.transient + self.steps {
                if t % PATIENCE == 0 {
                    self.execution.check()?;
                }
                let sequence = |i: usize| (i < lanes).then(|| self.starts.sequences[start(i)]);
                let u = input.at(self.map, self.drive, t, sequence);
                self.map.step(u, &x, &mut y);
                std::mem::swap(&mut x, &mut y);
                if t >= self.transient {
                    for lane in 0..lanes {
                        for (row, x) in x.iter().enumerate() {
                            states[[group + lane, t - self.transient, row]] = x[0].as_slice()[lane];
                        }
                    }
                }
            }
        }
        Ok(states)
    }
}
