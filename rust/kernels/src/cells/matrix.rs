//! The weights of a layer, packed for products of one unit's gates at a time.

use ndarray::{ArrayView2, s};

use super::weights::Folded;
use crate::lanes::{Lanes, Real};

/// Sums that a unit has at most.
pub const SUMS: usize = 4;

/// The sums of a unit, in lanes.
pub type Sums<L, const C: usize> = [[L; C]; SUMS];

/// The weights of a unit's gates for one number that it reads: `[T; G]`.
pub trait Gates<T>: Copy + Send + Sync {
    /// G
    const COUNT: usize;
    /// Gate by gate.
    fn from_fn(weight: impl FnMut(usize) -> T) -> Self;
    /// Of one gate.
    fn of(&self, gate: usize) -> T;
}

impl<T: Real, const G: usize> Gates<T> for [T; G] {
    const COUNT: usize = G;
    fn from_fn(weight: impl FnMut(usize) -> T) -> Self {
        std::array::from_fn(weight)
    }
    #[inline(always)]
    fn of(&self, gate: usize) -> T {
        self[gate]
    }
}

/// W_ih, W_hh and the biases of some gates of a layer.
#[derive(Clone, Debug)]
pub struct Matrix<T, G> {
    /// How many units.
    pub units: usize,
    /// What they read of the layer below, and of the layer's own h.
    pub inputs: usize,
    /// Numbers of h that they read.
    pub recurrent: usize,
    /// A row a unit: first its weights of the inputs, then those of h.
    weights: Vec<G>,
    bias: Vec<[T; SUMS]>,
}

impl<T: Real, G: Gates<T>> Matrix<T, G> {
    /// The gates of a layer from `first` on. `apart` tells whether the last of them keeps
    /// W_hh h + b_hh apart from W_ih x + b_ih, as a sum of its own.
    pub fn new(layer: &Folded<T>, first: usize, apart: bool) -> Self {
        let units = layer.units;
        let rows = s![first * units..(first + G::COUNT) * units, ..];
        let (ih, hh) = (layer.weight_ih.slice(rows), layer.weight_hh.slice(rows));
        let mut weights = Vec::with_capacity(units * (ih.ncols() + hh.ncols()));
        for unit in 0..units {
            for matrix in [&ih, &hh] {
                let gates =
                    |column: usize| G::from_fn(|gate| matrix[[gate * units + unit, column]]);
                weights.extend((0..matrix.ncols()).map(gates));
            }
        }
        let bias = |unit: usize| {
            let mut sums = [T::of(0.0); SUMS];
            for gate in 0..G::COUNT {
                let row = (first + gate) * units + unit;
                let (ih, hh) = (layer.bias_ih[row], layer.bias_hh[row]);
                // adding a zero turns -0 into +0: a zero input and none give the same bits
                if apart && gate + 1 == G::COUNT {
                    sums[gate] = ih + layer.shift[row];
                    sums[gate + 1] = hh + T::of(0.0);
                } else {
                    sums[gate] = ih + hh + layer.shift[row];
                }
            }
            sums
        };
        Self {
            units,
            inputs: ih.ncols(),
            recurrent: hh.ncols(),
            weights,
            bias: (0..units).map(bias).collect(),
        }
    }

    /// What the `count` sums of a unit begin with: biases, or what the input made of them.
    #[inline(always)]
    pub fn bias<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        projected: &[[L; C]],
        count: usize,
    ) -> Sums<L, C> {
        let mut sums = [[L::zero(); C]; SUMS];
        if let Some(u) = projected.get(unit * count..(unit + 1) * count) {
            sums[..count].copy_from_slice(u);
            return sums;
        }
        for sum in 0..count {
            sums[sum] = [L::splat(self.bias[unit][sum]); C];
        }
        sums
    }

    /// `sums` + W x for `unit` and the U − 1 units after it. The weights of x begin at column
    /// `first`; its product with the last gate goes to the sum `apart` places on.
    #[inline(always)]
    pub fn add<L: Lanes<Scalar = T>, const C: usize, const U: usize>(
        &self,
        unit: usize,
        mut sums: [Sums<L, C>; U],
        x: &[[L; C]],
        first: usize,
        apart: usize,
    ) -> [Sums<L, C>; U] {
        let width = self.inputs + self.recurrent;
        let weights = &self.weights[unit * width..(unit + U) * width];
        for (j, x) in x.iter().enumerate() {
            for u in 0..U {
                let w = weights[u * width + first + j];
                for gate in 0..G::COUNT {
                    let last = usize::from(gate + 1 == G::COUNT);
                    let sum = &mut sums[u][gate + last * apart];
                    for c in 0..C {
                        sum[c] = L::splat(w.of(gate)).mul_add(x[c], sum[c]);
                    }
                }
            }
        }
        sums
    }
}

/// A matrix with a column for each unit: what a unit gives is spread at once, and so needs no
/// room to wait in.
#[derive(Clone, Debug)]
pub struct Columns<T> {
    rows: usize,
    weights: Vec<T>,
}

impl<T: Real> Columns<T> {
    /// From W, of shape (rows, units).
    pub fn new(matrix: &ArrayView2<'_, T>) -> Self {
        Self {
            rows: matrix.nrows(),
            weights: matrix.t().iter().copied().collect(),
        }
    }

    /// y + W v, where v has one number only: that of `unit`.
    #[inline(always)]
    pub fn add<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        v: [L; C],
        y: &mut [[L; C]],
    ) {
        let column = &self.weights[unit * self.rows..][..self.rows];
        for (&w, y) in column.iter().zip(y) {
            for c in 0..C {
                y[c] = L::splat(w).mul_add(v[c], y[c]);
            }
        }
    }
}
