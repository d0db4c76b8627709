//! Orbits: a map iterated from many starts, in tiles of lanes.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Array3, Axis, aview1};

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
    pub(crate) fn tile(&self, range: Range<usize>, width: usize) -> Tile<T> {
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
    let driven = drive.len().min(steps);
    let begin = advanced(map, drive, starts, driven, execution)?;
    if driven == steps {
        return Ok(begin);
    }
    let queue = AtomicUsize::new(0);
    let parts = execution.map(execution.width().min(begin.nrows()), |_| {
        Seating {
            map,
            begin: &begin,
            steps: steps - driven,
            queue: &queue,
            execution,
        }
        .run()
    })?;
    let mut states = begin;
    for (start, state) in parts.into_iter().flatten() {
        states.row_mut(start).assign(&aview1(&state));
    }
    Ok(states)
}

/// One thread's share of [`endpoints`]: a lane is a seat, taken by the next start in the queue
/// as soon as the one before it has arrived.
struct Seating<'a, T> {
    map: &'a dyn System<T>,
    /// Where the autonomous phase begins, (count, n).
    begin: &'a Array2<T>,
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
        let mut x = Tile::zeros(n, width);
        let mut y = x.clone();
        let mut memory = x.clone();
        let mut changed = vec![T::of(0.0); width];
        let mut arrived = Vec::new();
        let mut seats: Vec<Option<Seat>> = (0..width).map(|lane| self.take(lane, &mut x)).collect();
        for round in 1usize.. {
            if seats.iter().all(Option::is_none) {
                break;
            }
            if round % PATIENCE == 0 {
                self.execution.check()?;
            }
            engine.step(None, &x, &mut y);
            std::mem::swap(&mut x, &mut y);
            engine.differ(&x, &memory, &mut changed);
            for (lane, place) in seats.iter_mut().enumerate() {
                let Some(seat) = place else { continue };
                seat.t += 1;
                if !seat.periodic {
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
                        seat.renew = 2 * seat.t;
                    }
                }
                if seat.t == seat.end {
                    arrived.push((seat.start, x.lane(lane).collect()));
                    *place = self.take(lane, &mut x);
                }
            }
        }
        Ok(arrived)
    }

    /// Seats the next start in a lane, if there is one.
    fn take(&self, lane: usize, x: &mut Tile<T>) -> Option<Seat> {
        let start = self.queue.fetch_add(1, Ordering::Relaxed);
        if start >= self.begin.nrows() {
            return None;
        }
        let state = self.begin.row(start);
        x.lane_mut(lane).zip(state).for_each(|(x, &s)| *x = s);
        Some(Seat {
            start,
            t: 0,
            end: self.steps,
            periodic: false,
            remembered: usize::MAX,
            renew: 1,
        })
    }
}

/// The states (count, n) after `steps` steps, each of them taken.
///
/// # Errors
/// Starts that do not fit the map, or a cancelled call.
pub(crate) fn advanced<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    steps: usize,
    execution: Execution<'_>,
) -> Result<Array2<T>, Error> {
    starts.check(map, drive)?;
    let mut states = starts.states.clone();
    if steps == 0 {
        return Ok(states);
    }
    let tiles = Tiles::new(map, drive, starts, execution);
    let parts = tiles.each(|range| tiles.run(range, steps, |_, _| ()))?;
    for (start, mut state) in states.outer_iter_mut().enumerate() {
        let lane = parts[start / tiles.width].lane(start % tiles.width);
        state.iter_mut().zip(lane).for_each(|(s, x)| *s = x);
    }
    Ok(states)
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
    let tiles = Tiles::new(map, drive, starts, execution);
    let parts = tiles.each(|range| {
        let mut states = Array3::from_elem((range.len(), steps, n), T::of(0.0));
        tiles.run(range, transient + steps, |t, x| {
            let Some(t) = t.checked_sub(transient) else {
                return;
            };
            let mut kept = states.index_axis_mut(Axis(1), t);
            for row in 0..n {
                let column = kept.column_mut(row).into_iter();
                column.zip(x.row(row)).for_each(|(s, &x)| *s = x);
            }
        })?;
        Ok(states)
    })?;
    let mut all = Array3::from_elem((count, steps, n), T::of(0.0));
    let chunks = all.axis_chunks_iter_mut(Axis(0), tiles.width);
    for (mut chunk, part) in chunks.zip(parts) {
        chunk.assign(&part);
    }
    Ok(all)
}

/// All starts, a tile of them at a time, a lane a start.
struct Tiles<'a, T> {
    map: &'a dyn System<T>,
    drive: &'a Drive<T>,
    starts: &'a Starts<'a, T>,
    isa: Isa,
    width: usize,
    execution: Execution<'a>,
}

impl<'a, T: Real> Tiles<'a, T> {
    /// As wide as leaves no thread without a tile.
    fn new(
        map: &'a dyn System<T>,
        drive: &'a Drive<T>,
        starts: &'a Starts<'a, T>,
        execution: Execution<'a>,
    ) -> Self {
        let count = starts.states.nrows();
        let (isa, lanes) = execution.unit_for::<T>(count);
        let widest = map.on(isa).width();
        let filled = count >= widest * execution.width();
        Self {
            map,
            drive,
            starts,
            isa,
            width: if filled { widest } else { lanes },
            execution,
        }
    }

    /// `job` for the starts of every tile.
    fn each<R: Send>(
        &self,
        job: impl Fn(Range<usize>) -> Result<R, Error> + Send + Sync,
    ) -> Result<Vec<R>, Error> {
        let count = self.starts.states.nrows();
        self.execution.map(count.div_ceil(self.width), |part| {
            job(part * self.width..count.min((part + 1) * self.width))
        })
    }

    /// Takes some starts through all steps; `then` sees step t and the states after it.
    fn run(
        &self,
        range: Range<usize>,
        steps: usize,
        mut then: impl FnMut(usize, &Tile<T>),
    ) -> Result<Tile<T>, Error> {
        let engine = self.map.on(self.isa);
        let sequence = |i: usize| (i < range.len()).then(|| self.starts.sequences[range.start + i]);
        let mut x = self.starts.tile(range.clone(), self.width);
        let mut y = x.clone();
        let mut input = TileInput::new(self.map, self.width);
        for t in 0..steps {
            if t % PATIENCE == 0 {
                self.execution.check()?;
            }
            let u = input.at(&*engine, self.drive, t, sequence);
            engine.step(u, &x, &mut y);
            std::mem::swap(&mut x, &mut y);
            then(t, &x);
        }
        Ok(x)
    }
}
