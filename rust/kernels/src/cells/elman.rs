//! The simple recurrent net (Elman 1990), with any function.
//!
//! ```text
//! h' = φ(W_ih x + b_ih + W_hh h + b_hh);  δh' = φ' (W_ih δx + W_hh δh)
//! ```
//!
//! With relu, or a linear function, an orbit may grow without bound.

use super::Cell;
use super::matrix::{Matrix, SUMS, Sums};
use super::units::Units;
use super::weights::{Folded, Form};
use crate::activation::{Exponential, Functions};
use crate::lanes::Lanes;

/// A layer; its state is h.
#[derive(Clone, Debug)]
pub struct Elman<T> {
    functions: Functions,
    matrix: Matrix<T, [T; 1]>,
}

impl<T: Exponential> Cell<T> for Elman<T> {
    const NAME: &'static str = "rnn";
    const FORM: Form = Form {
        gates: 1,
        adds: true,
        projects: false,
    };

    fn new(functions: Functions, layer: &Folded<T>) -> Self {
        Self {
            functions,
            matrix: Matrix::new(layer, 0, false),
        }
    }

    fn state(&self) -> usize {
        self.matrix.units
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
        new[unit] = self.functions.state(z[0]);
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
        (new[unit], [at[0]]) = self.functions.state_slope([z[0]]);
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
