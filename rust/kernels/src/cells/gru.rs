//! The gated recurrent unit (Cho et al. 2014) as in PyTorch, and in Keras with reset_after=True.
//!
//! ```text
//! r, z = σ(W_ih x + b_ih + W_hh h + b_hh)            gate order r, z, n
//! q = W_hn h + b_hn;  n = φ(W_in x + b_in + r q)
//! h' = (1 − z) n + z h
//! ```
//!
//! where φ is tanh; other libraries allow other functions for σ and φ. With G = W_ih δx + W_hh δh,
//! its n-part in two sums G_x = W_in δx and G_h = W_hn δh,
//!
//! ```text
//! δh' = z δh + (h−n) σ'_z G_z + (1−z) φ' (G_x + r G_h + q σ'_r G_r)
//! ```

use super::Cell;
use super::matrix::{Matrix, SUMS, Sums};
use super::units::Units;
use super::weights::{Folded, Form};
use crate::activation::{Exponential, Functions};
use crate::lanes::Lanes;

/// A layer; its state is h.
#[derive(Clone, Debug)]
pub struct Gru<T> {
    functions: Functions,
    matrix: Matrix<T, [T; 3]>,
}

impl<T: Exponential> Cell<T> for Gru<T> {
    const NAME: &'static str = "gru";
    const FORM: Form = Form {
        gates: 3,
        adds: false,
        projects: false,
    };

    fn new(functions: Functions, layer: &Folded<T>) -> Self {
        Self {
            functions,
            matrix: Matrix::new(layer, 0, Self::APART),
        }
    }

    fn state(&self) -> usize {
        self.matrix.units
    }
}

impl<T: Exponential> Units for Gru<T> {
    type Scalar = T;
    type Gates = [T; 3];
    const APART: bool = true;
    /// The factors of G_r, G_z, G_x, G_h and δh.
    const KEPT: usize = 5;

    fn matrix(&self) -> &Matrix<T, [T; 3]> {
        &self.matrix
    }

    #[inline(always)]
    fn step_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let (mut p, z) = (self.functions.gate(sums[0]), self.functions.gate(sums[1]));
        for c in 0..C {
            p[c] = p[c].mul_add(sums[3][c], sums[2][c]);
        }
        let n = self.functions.state(p);
        for c in 0..C {
            new[unit][c] = z[c].mul_add(old[unit][c] - n[c], n[c]);
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
        let q = sums[3];
        let ([r, z], [dr, dz]) = self.functions.gate_slope([sums[0], sums[1]]);
        let ([n], [dn]) = self.functions.state_slope([r.mul_add(q, sums[2])]);
        let kept = old[unit][0] - n;
        new[unit] = [z.mul_add(kept, n)];
        let slope = (L::splat(T::of(1.0)) - z) * dn;
        at.copy_from_slice(&[slope * (q * dr), kept * dz, slope, slope * r, z]);
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
