//! Frames of tangent vectors, in columns of lanes.
//!
//! A [`Frame`] holds k tangent vectors of length n. Its lanes are either trajectories, each with
//! a frame of its own ([`OverTrajectories`], good for small k), or the tangent vectors of one
//! trajectory ([`OverTangents`], good for large k). Both do the same operations in the same order
//! on every number: they give the same bits.

use crate::lanes::{Lanes, Real};

/// What the lanes of a frame are.
pub trait Spread<L: Lanes> {
    /// An entry of a reflection vector: one for each trajectory.
    type Entry: Copy;
    /// Columns of lanes that k tangent vectors take.
    fn columns(k: usize) -> usize;
    /// The column that holds tangent vector i.
    fn column(i: usize) -> usize;
    /// The entry of tangent vector i in the lanes `x` of its column.
    fn entry(x: L, i: usize) -> Self::Entry;
    /// An entry in all lanes that need it.
    fn lanes(entry: Self::Entry) -> L;
    /// Writes an entry of tangent vector i into its column.
    fn set(x: &mut L, i: usize, entry: L);
    /// The lane of tangent vector i of a trajectory.
    fn lane(trajectory: usize, i: usize) -> usize;
    /// 1 in the lanes of `column` whose tangent vector i has from ≤ i < to, else 0.
    fn mask(column: usize, from: usize, to: usize) -> L;
}

/// A lane is a trajectory; a column is a tangent vector.
pub struct OverTrajectories;

/// A lane is a tangent vector of the one trajectory.
pub struct OverTangents;

fn one_if<T: Real>(condition: bool) -> T {
    T::of(if condition { 1.0 } else { 0.0 })
}

impl<L: Lanes> Spread<L> for OverTrajectories {
    type Entry = L;
    fn columns(k: usize) -> usize {
        k
    }
    #[inline(always)]
    fn column(i: usize) -> usize {
        i
    }
    #[inline(always)]
    fn entry(x: L, _: usize) -> L {
        x
    }
    #[inline(always)]
    fn lanes(entry: L) -> L {
        entry
    }
    #[inline(always)]
    fn set(x: &mut L, _: usize, entry: L) {
        *x = entry;
    }
    fn lane(trajectory: usize, _: usize) -> usize {
        trajectory
    }
    #[inline(always)]
    fn mask(column: usize, from: usize, to: usize) -> L {
        L::splat(one_if(from <= column && column < to))
    }
}

impl<L: Lanes> Spread<L> for OverTangents {
    type Entry = L::Scalar;
    fn columns(k: usize) -> usize {
        k.div_ceil(L::N)
    }
    #[inline(always)]
    fn column(i: usize) -> usize {
        i / L::N
    }
    #[inline(always)]
    fn entry(x: L, i: usize) -> L::Scalar {
        x.as_slice()[i % L::N]
    }
    #[inline(always)]
    fn lanes(entry: L::Scalar) -> L {
        L::splat(entry)
    }
    #[inline(always)]
    fn set(x: &mut L, i: usize, entry: L) {
        x.as_mut_slice()[i % L::N] = entry.as_slice()[0];
    }
    fn lane(_: usize, i: usize) -> usize {
        i % L::N
    }
    #[inline(always)]
    fn mask(column: usize, from: usize, to: usize) -> L {
        L::from_fn(|lane| {
            let i = column * L::N + lane;
            one_if(from <= i && i < to)
        })
    }
}

/// Up to `C` neighbouring columns of lanes, row by row.
pub struct Panel<L> {
    /// The first column.
    pub first: usize,
    /// How many columns.
    pub width: usize,
    /// n rows of `width`.
    pub rows: Vec<L>,
}

/// Calls `$body` with the rows of a panel as `[L; W]`.
macro_rules! by_width {
    ($width:expr, $w:ident => $body:expr) => {
        match $width {
            1 => {
                const $w: usize = 1;
                $body
            }
            2 => {
                const $w: usize = 2;
                $body
            }
            3 => {
                const $w: usize = 3;
                $body
            }
            _ => {
                const $w: usize = 4;
                $body
            }
        }
    };
}
pub(crate) use by_width;

/// k tangent vectors of length n, for every trajectory of a block.
pub struct Frame<L> {
    /// Length of the vectors.
    pub n: usize,
    /// How many vectors.
    pub k: usize,
    /// The columns, in panels that a register tile takes at once.
    pub panels: Vec<Panel<L>>,
    /// (panel, column within it) of every column.
    pub(crate) place: Vec<(usize, usize)>,
}

impl<L: Lanes> Frame<L> {
    /// Zeros, in panels of at most `widest` columns (at most 4).
    #[must_use]
    pub fn zeros<S: Spread<L>>(n: usize, k: usize, widest: usize) -> Self {
        let columns = S::columns(k);
        let count = columns.div_ceil(widest);
        let mut panels = Vec::with_capacity(count);
        let mut place = Vec::with_capacity(columns);
        for p in 0..count {
            let first = place.len();
            let width = (columns - first).div_ceil(count - p);
            place.extend((0..width).map(|c| (p, c)));
            panels.push(Panel {
                first,
                width,
                rows: vec![L::zero(); n * width],
            });
        }
        Self {
            n,
            k,
            panels,
            place,
        }
    }

    /// Writes one number of tangent vector i.
    #[inline(always)]
    pub fn set<S: Spread<L>>(&mut self, row: usize, i: usize, entry: L) {
        let (p, c) = self.place[S::column(i)];
        let panel = &mut self.panels[p];
        S::set(&mut panel.rows[row * panel.width + c], i, entry);
    }

    /// Writes one number of tangent vector i of a trajectory.
    pub fn put<S: Spread<L>>(&mut self, trajectory: usize, row: usize, i: usize, value: L::Scalar) {
        let (p, c) = self.place[S::column(i)];
        let panel = &mut self.panels[p];
        panel.rows[row * panel.width + c].as_mut_slice()[S::lane(trajectory, i)] = value;
    }

    /// One number of tangent vector i, in all lanes that need it.
    #[inline(always)]
    #[must_use]
    pub fn get<S: Spread<L>>(&self, row: usize, i: usize) -> L {
        let (p, c) = self.place[S::column(i)];
        let panel = &self.panels[p];
        S::lanes(S::entry(panel.rows[row * panel.width + c], i))
    }
}
