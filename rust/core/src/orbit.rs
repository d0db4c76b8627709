//! Orbits: a map iterated from many starts, in tiles of lanes.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Array3, Axis};

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::{Isa, Real};
use lstm_edge_kernels::system::System;
use lstm_edge_kernels::tile::Tile;

use crate::drive::{Drive, TileInput};
use crate::ensemble::Execution;

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
    pub(crate) fn check(&self, map: &dyn System<T>, drive: &Drive<T>) -> Result<(), Error> {
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

    /// The sequences that some of the starts read.
    pub(crate) fn sequences_of(&self, some: &[usize]) -> Vec<usize> {
        let read = |&start: &usize| self.sequences.get(start).copied();
        some.iter().filter_map(read).collect()
    }

    /// The states of some starts, a lane a start; the last one fills what is left.
    pub(crate) fn tile(&self, range: std::ops::Range<usize>, width: usize) -> Tile<T> {
        let mut tile = Tile::zeros(self.states.ncols(), width);
        for lane in 0..width {
            let state = self.states.row(range.start + lane.min(range.len() - 1));
            tile.lane_mut(lane).zip(state).for_each(|(x, &s)| *x = s);
        }
        tile
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
pub fn endpoints<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    steps: usize,
    execution: Execution<'_>,
) -> Result<Array2<T>, Error> {
    starts.check(map, drive)?;
    let count = starts.states.nrows();
    let queue = AtomicUsize::new(0);
    let parts = execution.map(execution.width().min(count), |_| {
        Seating {
            map,
            drive,
            starts,
            steps,
            queue: &queue,
            execution,
        }
        .run()
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
struct Seating<'a, T> {
    map: &'a dyn System<T>,
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

impl<T: Real> Seating<'_, T> {
    /// The start and the last state of everyone who sat here.
    fn run(self) -> Result<Vec<(usize, Vec<T>)>, Error> {
        let engine = self.map.on(self.execution.isa);
        let (n, width) = (self.map.dim(), engine.width());
        let driven = self.drive.len();
        let mut x = Tile::zeros(n, width);
        let mut y = x.clone();
        let mut memory = x.clone();
        let mut input = TileInput::new(self.map, width);
        let mut changed = vec![T::of(0.0); width];
        let mut arrived = Vec::new();
        let mut seats: Vec<Option<Seat>> = (0..width)
            .map(|lane| self.take(lane, &mut x, &mut arrived))
            .collect();
        for round in 1usize.. {
            if seats.iter().all(Option::is_none) {
                break;
            }
            if round % PATIENCE == 0 {
                self.execution.check()?;
            }
            let reads = seats.iter().flatten().any(|seat| seat.t < driven);
            let u = if reads {
                let lane =
                    |i: usize| seats[i].map(|seat| (self.starts.sequences[seat.start], seat.t));
                input.read(&*engine, self.drive, lane)
            } else {
                None
            };
            engine.step(u, &x, &mut y);
            std::mem::swap(&mut x, &mut y);
            engine.differ(&x, &memory, &mut changed);
            for (lane, place) in seats.iter_mut().enumerate() {
                let Some(seat) = place else { continue };
                seat.t += 1;
                if seat.t >= driven && !seat.periodic {
                    if seat.t > seat.remembered && changed[lane].is_zero_bits() {
                        let period = seat.t - seat.remembered;
                        seat.end = seat.t + (self.steps - seat.t) % period;
                        seat.periodic = true;
                    } else if seat.t == seat.renew {
                        memory
                            .lane_mut(lane)
                            .zip(x.lane(lane))
                            .for_each(|(m, x)| *m = x);
                        seat.remembered = seat.t;
                        seat.renew = seat.t + (seat.t - driven).max(1);
                    }
                }
                if seat.t == seat.end {
                    arrived.push((seat.start, x.lane(lane).collect()));
                    *place = self.take(lane, &mut x, &mut arrived);
                }
            }
        }
        Ok(arrived)
    }

    /// Seats the next start in a lane, if there is one.
    fn take(
        &self,
        lane: usize,
        x: &mut Tile<T>,
        arrived: &mut Vec<(usize, Vec<T>)>,
    ) -> Option<Seat> {
        let start = self.queue.fetch_add(1, Ordering::Relaxed);
        if start >= self.starts.states.nrows() {
            return None;
        }
        let state = self.starts.states.row(start);
        if self.steps == 0 {
            arrived.push((start, state.to_vec()));
            return None;
        }
        x.lane_mut(lane).zip(state).for_each(|(x, &s)| *x = s);
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

/// The states (count, steps, n) of the `steps` steps that follow `transient` steps.
///
/// # Errors
/// Starts that do not fit the map, or a cancelled call.
pub fn orbits<T: Real>(
    map: &dyn System<T>,
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
        record(map, drive, starts, range, transient, steps, isa, execution)
    })?;
    let mut all = Array3::from_elem((count, steps, n), T::of(0.0));
    for (mut chunk, part) in all.axis_chunks_iter_mut(ndarray::Axis(0), tile).zip(parts) {
        chunk.assign(&part);
    }
    Ok(all)
}

/// The orbits of a few starts, a lane a start.
#[allow(clippy::too_many_arguments)]
fn record<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    range: std::ops::Range<usize>,
    transient: usize,
    steps: usize,
    isa: Isa,
    execution: Execution<'_>,
) -> Result<Array3<T>, Error> {
    let engine = map.on(isa);
    let (n, count) = (map.dim(), range.len());
    let mut states = Array3::from_elem((count, steps, n), T::of(0.0));
    let mut x = starts.tile(range.clone(), engine.lanes());
    let mut y = x.clone();
    let mut input = TileInput::new(map, engine.lanes());
    for t in 0..transient + steps {
        if t % PATIENCE == 0 {
            execution.check()?;
        }
        let sequence = |i: usize| (i < count).then(|| starts.sequences[range.start + i]);
        let u = input.at(&*engine, drive, t, sequence);
        engine.step(u, &x, &mut y);
        std::mem::swap(&mut x, &mut y);
        if t >= transient {
            let mut kept = states.index_axis_mut(Axis(1), t - transient);
            for row in 0..n {
                let column = kept.column_mut(row).into_iter();
                column.zip(x.row(row)).for_each(|(s, &x)| *s = x);
            }
        }
    }
    Ok(states)
}
