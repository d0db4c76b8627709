//! Tiles: some trajectories side by side, a row a component.

use crate::lanes::{Aligned, Lanes, Real};

/// `rows` × `width` numbers: row r of lane i is component r of trajectory i.
#[derive(Clone, Debug)]
pub struct Tile<T> {
    width: usize,
    numbers: Aligned<T>,
}

impl<T: Real> Tile<T> {
    /// Zeros.
    #[must_use]
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self {
            width,
            numbers: Aligned::zeros(rows * width),
        }
    }

    /// A tile of one row for each of `rows`, the same in every lane.
    pub fn splat(rows: impl ExactSizeIterator<Item = T>, width: usize) -> Self {
        let mut tile = Self::zeros(rows.len(), width);
        for (row, x) in rows.enumerate() {
            tile.row_mut(row).fill(x);
        }
        tile
    }

    /// Trajectories.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Component `row` of every trajectory.
    #[must_use]
    pub fn row(&self, row: usize) -> &[T] {
        &self.numbers.as_slice()[row * self.width..][..self.width]
    }

    /// The same, writable.
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        &mut self.numbers.as_mut_slice()[row * self.width..][..self.width]
    }

    /// Every component of one trajectory.
    #[must_use]
    pub fn lane(&self, lane: usize) -> impl ExactSizeIterator<Item = T> {
        let numbers = self.numbers.as_slice();
        numbers[lane..].iter().step_by(self.width).copied()
    }

    /// Every component of one trajectory, writable.
    pub fn lane_mut(&mut self, lane: usize) -> impl Iterator<Item = &mut T> {
        let width = self.width;
        self.numbers.as_mut_slice()[lane..]
            .iter_mut()
            .step_by(width)
    }

    /// All numbers, row by row.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.numbers.as_mut_slice()
    }

    #[inline(always)]
    pub(crate) fn columns<L: Lanes<Scalar = T>, const C: usize>(&self) -> &[[L; C]] {
        debug_assert_eq!(self.width, L::N * C);
        self.numbers.columns()
    }

    #[inline(always)]
    pub(crate) fn columns_mut<L: Lanes<Scalar = T>, const C: usize>(&mut self) -> &mut [[L; C]] {
        debug_assert_eq!(self.width, L::N * C);
        self.numbers.columns_mut()
    }
}
