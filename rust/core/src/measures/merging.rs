//! Which starts of an ensemble end on the same attractor: those whose time averages agree.

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use ndarray::{Array2, ArrayView1, Axis};

use crate::ensemble::Execution;
use crate::measures::attractor::{Found, Kind};
use crate::measures::watch::{Watched, watch};

/// How far apart the averages of two starts on one torus, or in one chaos, may lie: in standard
/// errors.
const APART: f64 = 6.0;

/// The same for fixed points and cycles, in units of the tolerance.
const ALIKE: f64 = 100.0;

/// ⟨x⟩ and ⟨x²⟩ of every start with their standard errors, each (count, 2n).
pub(super) struct Averages {
    pub mean: Array2<f64>,
    error: Array2<f64>,
}

impl Averages {
    pub(super) fn zeros(count: usize, width: usize) -> Self {
        Self {
            mean: Array2::zeros((count, width)),
            error: Array2::zeros((count, width)),
        }
    }

    pub(super) fn set<T>(&mut self, start: usize, watched: &Watched<T>, row: usize) {
        let batches = watched.averages.index_axis(Axis(0), row);
        let lengths = watched.batch_lengths();
        let steps: f64 = lengths.iter().sum();
        let columns = batches.columns().into_iter();
        for (i, column) in columns.enumerate() {
            let total: f64 = column.iter().zip(&lengths).map(|(x, l)| x * l).sum();
            self.mean[[start, i]] = total / steps;
            self.error[[start, i]] = standard_error(&column);
        }
    }

    /// Whether two starts may have ended on one attractor.
    fn agree(&self, a: usize, b: usize, found: &Found, tolerance: f64) -> bool {
        let norm = |x: ArrayView1<'_, f64>| x.iter().map(|x| x * x).sum::<f64>();
        let difference = &self.mean.row(a) - &self.mean.row(b);
        let square = if found.period > 0 {
            let relative = ALIKE * tolerance;
            relative * relative * (1.0 + norm(self.mean.row(a)))
        } else {
            let errors = norm(self.error.row(a)) + norm(self.error.row(b));
            APART * APART * errors.max(self.least(a, found))
        };
        norm(difference.view()) <= square
    }
}

impl Averages {
    /// What the averages over a torus are off by at least, squared: batches whose length is near a
    /// multiple of a quasi-period agree with each other and are off all the same.
    fn least(&self, start: usize, found: &Found) -> f64 {
        if found.kind != Kind::Torus {
            return 0.0;
        }
        let (means, squares) = self
            .mean
            .row(start)
            .split_at(Axis(0), self.mean.ncols() / 2);
        let size = means.iter().map(|x| x * x).sum::<f64>();
        let variance = squares.sum() - size;
        4.0 * variance * (1.0 + size) / found.steps as f64
    }
}

/// Replaces the averages of fixed points and cycles by those over exactly one period.
pub(super) fn over_whole_periods<T: Real>(
    map: &dyn System<T>,
    states: &Array2<T>,
    found: &[Found],
    averages: &mut Averages,
    execution: Execution<'_>,
) -> Result<(), Error> {
    let mut periods: Vec<usize> = found.iter().map(|f| f.period).filter(|&p| p > 0).collect();
    periods.sort_unstable();
    periods.dedup();
    for period in periods {
        let starts: Vec<usize> = (0..found.len())
            .filter(|&start| found[start].period == period)
            .collect();
        let cycles = watch(
            map,
            &states.select(Axis(0), &starts),
            period,
            1.0,
            0,
            execution,
        )?;
        for (row, &start) in starts.iter().enumerate() {
            averages.set(start, &cycles, row);
        }
    }
    Ok(())
}

/// Makes one attractor of those whose time averages agree, and one group of the undecided.
pub(super) fn merge(found: &mut [Found], averages: &Averages, tolerance: f64) {
    for start in 0..found.len() {
        let this = found[start];
        let same = |other: &usize| {
            let other = *other;
            found[other].same_as == other
                && (found[other].kind, found[other].period) == (this.kind, this.period)
                && (this.kind == Kind::Undecided || averages.agree(start, other, &this, tolerance))
        };
        let first = (0..start).find(same);
        found[start].same_as = first.unwrap_or(start);
    }
}

/// Of the mean of independent numbers, as batches are; 0 of fewer than two.
pub(crate) fn standard_error(values: &ArrayView1<'_, f64>) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    (values.var(1.0) / values.len() as f64).sqrt()
}
