//! The long short-term memory cell (Hochreiter & Schmidhuber 1997; gates as in PyTorch), also
//! with a projection of h (Sak et al. 2014).
//!
//! ```text
//! z = W_ih x + b_ih + W_hh h + b_hh                  gate order i, f, g, o
//! i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = φ(z_g)
//! c' = f c + i g;  h' = o φ(c'), or W_hr (o φ(c'))
//! ```
//!
//! where φ is tanh; other libraries allow other functions for σ and φ. With G = W_hh δh + W_ih δx,
//! its tangent map is
//!
//! ```text
//! δc' = f δc + c σ'(z_f) G_f + g σ'(z_i) G_i + i φ'(z_g) G_g
//! δh' = o φ'(c') δc' + φ(c') σ'(z_o) G_o,  or W_hr times that
//! ```

use super::Cell;
use super::matrix::{Columns, Matrix, SUMS, Sums};
use super::units::Units;
use super::weights::{Folded, Form};
use crate::activation::{Exponential, Functions};
use crate::lanes::Lanes;

/// A layer; its state is h, then c.
#[derive(Clone, Debug)]
pub struct Lstm<T> {
    functions: Functions,
    matrix: Matrix<T, [T; 4]>,
    projection: Option<Columns<T>>,
}

impl<T: Exponential> Cell<T> for Lstm<T> {
    const NAME: &'static str = "lstm";
    const FORM: Form = Form {
        gates: 4,
        adds: true,
        projects: true,
    };

    fn new(functions: Functions, layer: &Folded<T>) -> Self {
        Self {
            functions,
            matrix: Matrix::new(layer, 0, false),
            projection: layer.weight_hr.as_ref().map(|w| Columns::new(&w.view())),
        }
    }

    fn state(&self) -> usize {
        self.matrix.recurrent + self.matrix.units
    }
}

impl<T: Exponential> Lstm<T> {
    /// Writes c, and h = m or W_hr m, of a unit: states and tangents alike.
    #[inline(always)]
    fn put<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        m: [L; C],
        cell: [L; C],
        new: &mut [[L; C]],
    ) {
        let (h, cells) = new.split_at_mut(self.matrix.recurrent);
        cells[unit] = cell;
        match &self.projection {
            None => h[unit] = m,
            Some(projection) => {
                if unit == 0 {
                    h.fill([L::zero(); C]);
                }
                projection.add(unit, m, h);
            }
        }
    }
}

impl<T: Exponential> Units for Lstm<T> {
    type Scalar = T;
    type Gates = [T; 4];
    /// The factors of G_i, G_f, G_g and G_o, of δc, and of δc' in δh'.
    const KEPT: usize = 6;

    fn matrix(&self) -> &Matrix<T, [T; 4]> {
        &self.matrix
    }

    #[inline(always)]
    fn step_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        z: Sums<L, C>,
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let (i, f) = (self.functions.gate(z[0]), self.functions.gate(z[1]));
        let (g, o) = (self.functions.state(z[2]), self.functions.gate(z[3]));
        let mut cell = old[self.matrix.recurrent + unit];
        for c in 0..C {
            cell[c] = f[c].mul_add(cell[c], i[c] * g[c]);
        }
        let mut m = self.functions.state(cell);
        for c in 0..C {
            m[c] = o[c] * m[c];
        }
        self.put(unit, m, cell, new);
    }

    #[inline(always)]
    fn linearise_unit<L: Lanes<Scalar = T>>(
        &self,
        unit: usize,
        z: [L; SUMS],
        old: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    ) {
        let [old] = old[self.matrix.recurrent + unit];
        let ([i, f, o], [di, df, dout]) = self.functions.gate_slope([z[0], z[1], z[3]]);
        let ([g], [dg]) = self.functions.state_slope([z[2]]);
        let cell = f.mul_add(old, i * g);
        let ([y], [dy]) = self.functions.state_slope([cell]);
        self.put(unit, [o * y], [cell], new);
        at.copy_from_slice(&[g * di, old * df, i * dg, y * dout, f, o * dy]);
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
        let (mut dm, mut dc) = ([L::zero(); C], old[self.matrix.recurrent + unit]);
        for c in 0..C {
            dc[c] = at[4] * dc[c];
            for gate in 0..3 {
                dc[c] = at[gate].mul_add(sums[gate][c], dc[c]);
            }
            dm[c] = at[5].mul_add(dc[c], at[3] * sums[3][c]);
        }
        self.put(unit, dm, dc, new);
    }
}
