//! Starts that have settled soon: on a fixed point or a cycle that attracts, a few hundred steps
//! after their inputs ended. Its multipliers tell all that following them further could.

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use ndarray::{Array2, Axis};

use crate::cycle::{Cycle, LARGEST};
use crate::drive::Drive;
use crate::ensemble::Execution;
use crate::measures::watch::watch;
use crate::orbit::{Starts, advanced};

/// Steps of the look: few beside those of a run, and with the 500 inputs of Wei et al. 2025 they
/// still fit in before a transient of 1,000 ends.
const STEPS: usize = 400;

/// How near a return must come, relative to 1 + |x|.
const TOLERANCE: f64 = 1e-6;

/// What an early look found.
pub(crate) struct Settled<T> {
    /// Steps taken, those of the drive among them.
    pub steps: usize,
    /// Where the starts are then: (count, n).
    pub ends: Array2<T>,
    /// The place among `cycles` of what each has settled on.
    pub on: Vec<Option<usize>>,
    /// All that were found.
    pub cycles: Vec<Cycle>,
}

/// Looks which starts have settled; `None` where the look would take more than `limit` steps, or
/// the dimension is too large for multipliers.
///
/// # Errors
/// A cancelled call.
pub(crate) fn settled<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    limit: usize,
    seed: u64,
    execution: Execution<'_>,
) -> Result<Option<Settled<T>>, Error> {
    let driven = drive.len();
    if driven.saturating_add(STEPS) > limit || map.dim() > LARGEST {
        return Ok(None);
    }
    let after_drive = advanced(map, drive, starts, driven, execution)?;
    let watched = watch(map, &after_drive, STEPS, TOLERANCE, seed, execution)?;
    let lengths = watched.batch_lengths();
    let mut cycles = Vec::new();
    let on = (0..after_drive.nrows()).map(|start| {
        let period = watched.returns[start]?.period;
        let states = watched.states.index_axis(Axis(0), start);
        let states: Vec<_> = states.outer_iter().collect();
        let cycle = Cycle::of_orbit(map, &states, &lengths, Some(period), &mut cycles)?;
        cycles[cycle].is_stable().then_some(cycle)
    });
    Ok(Some(Settled {
        steps: driven + STEPS,
        on: on.collect(),
        ends: watched.ends,
        cycles,
    }))
}
