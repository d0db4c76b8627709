//! The gated recurrent unit (Cho et al. 2014) as in PyTorch, and in Keras with reset_after=True.
//!
//! ```text
//! r, z = σ(W_ih x + b_ih + W_hh h + b_hh)            gate order r, z, n
//! q = W_hn h + b_hn;  n = tanh(W_in x + b_in + r q)
//! h' = (1 − z) n + z h
//! ```
//!
//! With G = W_ih δx + W_hh δh, its n-part in two sums G_x = W_in δx and G_h = W_hn δh,
//!
//! ```text
//! δh' = z δh + (h−n) z(1−z) G_z + (1−z)(1−n²) (G_x + r G_h + q r(1−r) G_r)
//! ```

use super::Cell;
use super::matrix::{Matrix, SUMS, Sums};
use super::units::Units;
use super::weights::{Folded, Form};
use crate::activation::{Exponential, sech2, sigmoid, tanh};
use crate::lanes::Lanes;

/// A layer; its state is h.
#[derive(Clone, Debug)]
pub struct Gru<T>(Matrix<T, [T; 3]>);

impl<T: Exponential> Cell<T> for Gru<T> {
    const NAMES: &'static [&'static str] = &["gru"];
    const FORM: Form = Form {
        gates: 3,
        adds: false,
        projects: false,
    };

    fn new(_: &str, layer: &Folded<T>) -> Self {
        Self(Matrix::new(layer, 0, Self::APART))
    }

    fn state(&self) -> usize {
        self.0.units
    }
}

impl<T: Exponential> Units for Gru<T> {
    type Scalar = T;
    type Gates = [T; 3];
    const APART: bool = true;
    /// The factors of G_r, G_z, G_x, G_h and δh.
    const KEPT: usize = 5;

    fn matrix(&self) -> &Matrix<T, [T; 3]> {
        &self.0
    }

    #[inline(always)]
    fn step_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        for c in 0..C {
            let (r, z) = (sigmoid(sums[0][c]), sigmoid(sums[1][c]));
            let n = tanh(r.mul_add(sums[3][c], sums[2][c]));
            new[unit][c] = z.mul_add(old[unit][c] - n, n);
        }
    }

    #[inline(always)]
    fn linearise_unit<L: Lanes<Scalar = T>>(
        &self,
        unit: usize,
        sums: [L; SUMS],
        old: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    ) {
        let one = L::splat(T::of(1.0));
        let (r, z, q) = (sigmoid(sums[0]), sigmoid(sums[1]), sums[3]);
        let candidate = r.mul_add(q, sums[2]);
        let n = tanh(candidate);
        let kept = old[unit][0] - n;
        new[unit] = [z.mul_add(kept, n)];
        let slope = (one - z) * sech2(candidate);
        at.copy_from_slice(&[
            slope * (q * (r * (one - r))),
            kept * (z * (one - z)),
            slope,
            slope * r,
            z,
        ]);
    }

    #[inline(always)]
    fn push_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        at: &[L],
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        for c in 0..C {
            let mut h = at[4] * old[unit][c];
            for sum in 0..SUMS {
                h = at[sum].mul_add(sums[sum][c], h);
            }
            new[unit][c] = h;
        }
    }
}
