//! The simple recurrent net (Elman 1990), with tanh or relu.
//!
//! ```text
//! h' = φ(W_ih x + b_ih + W_hh h + b_hh);  δh' = φ' (W_ih δx + W_hh δh)
//! ```
//!
//! The derivative of relu at 0 is 0, as in PyTorch. With relu an orbit may grow without bound.

use super::Cell;
use super::matrix::{Matrix, SUMS, Sums};
use super::units::Units;
use super::weights::{Folded, Form};
use crate::activation::{Exponential, sech2, tanh};
use crate::lanes::Lanes;

/// A layer; its state is h.
#[derive(Clone, Debug)]
pub struct Elman<T> {
    matrix: Matrix<T, [T; 1]>,
    relu: bool,
}

impl<T: Exponential> Cell<T> for Elman<T> {
    const NAMES: &'static [&'static str] = &["rnn_tanh", "rnn_relu"];
    const FORM: Form = Form {
        gates: 1,
        adds: true,
        projects: false,
    };

    fn new(name: &str, layer: &Folded<T>) -> Self {
        Self {
            matrix: Matrix::new(layer, 0, false),
            relu: name == "rnn_relu",
        }
    }

    fn state(&self) -> usize {
        self.matrix.units
    }
}

impl<T: Exponential> Elman<T> {
    /// φ(z); NaN stays NaN.
    #[inline(always)]
    fn activate<L: Lanes<Scalar = T>>(&self, z: L) -> L {
        if self.relu { L::zero().max(z) } else { tanh(z) }
    }
}

impl<T: Exponential> Units for Elman<T> {
    type Scalar = T;
    type Gates = [T; 1];
    /// φ'
    const KEPT: usize = 1;

    fn matrix(&self) -> &Matrix<T, [T; 1]> {
        &self.matrix
    }

    #[inline(always)]
    fn step_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        z: Sums<L, C>,
        _: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        for c in 0..C {
            new[unit][c] = self.activate(z[0][c]);
        }
    }

    #[inline(always)]
    fn linearise_unit<L: Lanes<Scalar = T>>(
        &self,
        unit: usize,
        z: [L; SUMS],
        _: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    ) {
        new[unit] = [self.activate(z[0])];
        at[0] = if self.relu {
            // 0 z is NaN where z has left the finite numbers: then so is the derivative
            L::zero().less(z[0], L::splat(T::of(1.0)), L::zero()) + L::zero() * z[0]
        } else {
            sech2(z[0])
        };
    }

    #[inline(always)]
    fn push_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        at: &[L],
        _: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        for c in 0..C {
            new[unit][c] = at[0] * sums[0][c];
        }
    }
}
