//! The long short-term memory cell (Hochreiter & Schmidhuber 1997; gates as in PyTorch), also
//! with a projection of h (Sak et al. 2014).
//!
//! ```text
//! z = W_ih x + b_ih + W_hh h + b_hh                  gate order i, f, g, o
//! i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)
//! c' = f c + i g;  h' = o tanh(c'), or W_hr (o tanh(c'))
//! ```
//!
//! With G = W_hh δh + W_ih δx, its tangent map is
//!
//! ```text
//! δc' = f δc + c f(1−f) G_f + g i(1−i) G_i + i(1−g²) G_g
//! δh' = o (1−tanh² c') δc' + tanh(c') o(1−o) G_o,  or W_hr times that
//! ```

use super::Cell;
use super::matrix::{Columns, Matrix, SUMS, Sums};
use super::units::Units;
use super::weights::{Folded, Form};
use crate::activation::{Exponential, sigmoid, tanh};
use crate::lanes::Lanes;

/// A layer; its state is h, then c.
#[derive(Clone, Debug)]
pub struct Lstm<T> {
    matrix: Matrix<T, [T; 4]>,
    projection: Option<Columns<T>>,
}

impl<T: Exponential> Cell<T> for Lstm<T> {
    const NAMES: &'static [&'static str] = &["lstm"];
    const FORM: Form = Form {
        gates: 4,
        adds: true,
        projects: true,
    };

    fn new(_: &str, layer: &Folded<T>) -> Self {
        Self {
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

/// Gates, new cell state and tanh of it, of one unit.
struct Activated<L> {
    i: L,
    f: L,
    g: L,
    o: L,
    cell: L,
    tanh_cell: L,
}

/// c' = f c + i g and tanh c', from the pre-activations z.
#[inline(always)]
fn activate<L: Lanes<Scalar: Exponential>>(z: [L; 4], cell: L) -> Activated<L> {
    let (i, f, g, o) = (sigmoid(z[0]), sigmoid(z[1]), tanh(z[2]), sigmoid(z[3]));
    let cell = f.mul_add(cell, i * g);
    Activated {
        i,
        f,
        g,
        o,
        cell,
        tanh_cell: tanh(cell),
    }
}

impl<T: Exponential> Units for Lstm<T> {
    type Scalar = T;
    type Gates = [T; 4];
    /// f, o(1−tanh²c') and the factors of G_i, G_f, G_g, G_o.
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
        let (mut m, mut cell) = ([L::zero(); C], old[self.matrix.recurrent + unit]);
        for c in 0..C {
            let a = activate([z[0][c], z[1][c], z[2][c], z[3][c]], cell[c]);
            (m[c], cell[c]) = (a.o * a.tanh_cell, a.cell);
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
        let one = L::splat(T::of(1.0));
        let [cell] = old[self.matrix.recurrent + unit];
        let a = activate(z, cell);
        self.put(unit, [a.o * a.tanh_cell], [a.cell], new);
        at.copy_from_slice(&[
            a.g * (a.i * (one - a.i)),
            cell * (a.f * (one - a.f)),
            a.i * (one - a.g * a.g),
            a.tanh_cell * (a.o * (one - a.o)),
            a.f,
            a.o * (one - a.tanh_cell * a.tanh_cell),
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
