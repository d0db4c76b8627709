//! The gated recurrent unit with the reset before the product (Cho et al. 2014; in Keras
//! reset_after=False).
//!
//! ```text
//! r, z = σ(W_ih x + b_ih + W_hh h + b_hh)            gate order r, z, n
//! p = W_in x + b_in + W_hn (r h) + b_hn;  n = φ(p)
//! h' = (1 − z) n + z h
//! ```
//!
//! where φ is tanh; other libraries allow other functions for σ and φ. With G = W_ih δx + W_hh δh
//! for r and z, and δ(r h) = r δh + h σ'_r G_r,
//!
//! ```text
//! δp = W_in δx + W_hn δ(r h);  δh' = z δh + (h−n) σ'_z G_z + (1−z) φ' δp
//! ```
//!
//! p stands where h' will, in three passes: it begins with what comes of the input, each r h is
//! spread over it, and then h' replaces it.

use ndarray::s;

use super::Cell;
use super::matrix::{Columns, Matrix, SUMS, Sums};
use super::units::{Layer, Units};
use super::weights::{Folded, Form};
use crate::activation::{Exponential, Functions};
use crate::lanes::Lanes;

/// A layer; its state is h.
#[derive(Clone, Debug)]
pub struct GruResetBefore<T> {
    candidate: Candidate<T>,
    reset: Reset<T>,
    update: Update<T>,
}

/// p = W_in x + b_in + b_hn
#[derive(Clone, Debug)]
struct Candidate<T>(Matrix<T, [T; 1]>);

/// p + W_hn (r h)
#[derive(Clone, Debug)]
struct Reset<T> {
    functions: Functions,
    matrix: Matrix<T, [T; 1]>,
    weight_hn: Columns<T>,
}

/// h' = (1 − z) φ(p) + z h
#[derive(Clone, Debug)]
struct Update<T> {
    functions: Functions,
    matrix: Matrix<T, [T; 1]>,
}

impl<T: Exponential> Cell<T> for GruResetBefore<T> {
    const NAME: &'static str = "gru_reset_before";
    const FORM: Form = Form {
        gates: 3,
        adds: false,
        projects: false,
    };

    fn new(functions: Functions, layer: &Folded<T>) -> Self {
        let units = layer.units;
        Self {
            candidate: Candidate(Matrix::new(&layer.without_recurrence(), 2, false)),
            reset: Reset {
                functions,
                matrix: Matrix::new(layer, 0, false),
                weight_hn: Columns::new(&layer.weight_hh.slice(s![2 * units.., ..])),
            },
            update: Update {
                functions,
                matrix: Matrix::new(layer, 1, false),
            },
        }
    }

    fn state(&self) -> usize {
        self.update.matrix.units
    }
}

impl<T: Exponential> GruResetBefore<T> {
    /// The parts of what the three passes keep, or of their sums: `lengths` each a unit.
    #[inline(always)]
    fn cut<'a, A>(&self, all: &'a [A], lengths: [usize; 2]) -> [&'a [A]; 3] {
        if all.is_empty() {
            return [&[]; 3];
        }
        let units = self.update.matrix.units;
        let (first, rest) = all.split_at(lengths[0] * units);
        let (second, third) = rest.split_at(lengths[1] * units);
        [first, second, third]
    }
}

impl<T: Exponential> Layer<T> for GruResetBefore<T> {
    fn kept(&self) -> usize {
        self.reset.kept() + self.update.kept()
    }

    fn projected(&self) -> usize {
        3 * self.update.matrix.units
    }

    #[inline(always)]
    fn project<L: Lanes<Scalar = T>, const C: usize>(&self, x: &[[L; C]], u: &mut [[L; C]]) {
        let (candidate, rest) = u.split_at_mut(self.update.matrix.units);
        let (reset, update) = rest.split_at_mut(self.update.matrix.units);
        self.candidate.project(x, candidate);
        self.reset.project(x, reset);
        self.update.project(x, update);
    }

    #[inline(always)]
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        u: &[[L; C]],
        x: &[[L; C]],
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let [candidate, reset, update] = self.cut(u, [1, 1]);
        self.candidate.step(candidate, x, old, new);
        self.reset.step(reset, x, old, new);
        self.update.step(update, x, old, new);
    }

    #[inline(always)]
    fn linearise<L: Lanes<Scalar = T>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        old: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    ) {
        let [candidate, reset, update] = self.cut(u, [1, 1]);
        let (at_reset, at_update) = at.split_at_mut(self.reset.kept());
        self.candidate.step(candidate, x, old, new);
        self.reset.linearise(reset, x, old, new, at_reset);
        self.update.linearise(update, x, old, new, at_update);
    }

    #[inline(always)]
    fn push<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        at: &[L],
        x: &[[L; C]],
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let (at_reset, at_update) = at.split_at(self.reset.kept());
        self.candidate.push(&[], x, old, new);
        self.reset.push(at_reset, x, old, new);
        self.update.push(at_update, x, old, new);
    }
}

impl<T: Exponential> Units for Candidate<T> {
    type Scalar = T;
    type Gates = [T; 1];
    const KEPT: usize = 0;

    fn matrix(&self) -> &Matrix<T, [T; 1]> {
        &self.0
    }

    #[inline(always)]
    fn step_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        _: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        new[unit] = sums[0];
    }

    #[inline(always)]
    fn linearise_unit<L: Lanes<Scalar = T>>(
        &self,
        unit: usize,
        sums: [L; SUMS],
        _: &[[L; 1]],
        new: &mut [[L; 1]],
        _: &mut [L],
    ) {
        new[unit] = [sums[0]];
    }

    #[inline(always)]
    fn push_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        _: &[L],
        _: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        new[unit] = sums[0];
    }
}

impl<T: Exponential> Units for Reset<T> {
    type Scalar = T;
    type Gates = [T; 1];
    /// r, and the factor of G_r.
    const KEPT: usize = 2;

    fn matrix(&self) -> &Matrix<T, [T; 1]> {
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
        let mut h = self.functions.gate(sums[0]);
        for c in 0..C {
            h[c] = h[c] * old[unit][c];
        }
        self.weight_hn.add(unit, h, new);
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
        let ([r], [dr]) = self.functions.gate_slope([sums[0]]);
        let [h] = old[unit];
        self.weight_hn.add(unit, [r * h], new);
        at.copy_from_slice(&[r, h * dr]);
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
        let mut h = old[unit];
        for c in 0..C {
            h[c] = at[0].mul_add(h[c], at[1] * sums[0][c]);
        }
        self.weight_hn.add(unit, h, new);
    }
}

impl<T: Exponential> Units for Update<T> {
    type Scalar = T;
    type Gates = [T; 1];
    /// The factors of δh, G_z and δp.
    const KEPT: usize = 3;

    fn matrix(&self) -> &Matrix<T, [T; 1]> {
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
        let z = self.functions.gate(sums[0]);
        let n = self.functions.state(new[unit]);
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
        let ([z], [dz]) = self.functions.gate_slope([sums[0]]);
        let ([n], [dn]) = self.functions.state_slope(new[unit]);
        let kept = old[unit][0] - n;
        new[unit] = [z.mul_add(kept, n)];
        at.copy_from_slice(&[z, kept * dz, (L::splat(T::of(1.0)) - z) * dn]);
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
            let kept = at[0].mul_add(old[unit][c], at[1] * sums[0][c]);
            new[unit][c] = at[2].mul_add(new[unit][c], kept);
        }
    }
}
