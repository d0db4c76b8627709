//! The long short-term memory cell (Hochreiter & Schmidhuber 1997; gates as in PyTorch).
//!
//! The state of L layers is s = (h₁, c₁, …, h_L, c_L), of dimension n = 2 Σ H. One layer:
//!
//! ```text
//! z = W_ih x + b_ih + W_hh h + b_hh                  gate order i, f, g, o
//! i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)
//! c' = f c + i g;  h' = o tanh(c')
//! ```
//!
//! The layer above reads h' of the same step. In a closed loop the first layer reads
//! x = R h_L + r of the step before, which folds into W_ih R and b + W_ih r.
//!
//! The tangent map never forms the Jacobian. With G = W_hh δh + W_ih δx,
//!
//! ```text
//! δc' = f δc + c f(1−f) G_f + g i(1−i) G_i + i(1−g²) G_g
//! δh' = o (1−tanh² c') δc' + tanh(c') o(1−o) G_o
//! ```

use ndarray::ArrayView1;

use crate::activation::{Exponential, sigmoid, tanh};
use crate::error::Error;
use crate::lanes::{Lanes, Real};
use crate::map::StateMap;

mod weights;

use weights::{Input, Layer, pack};
pub use weights::{LayerWeights, Readout};

/// Numbers a unit keeps for its derivative: f, o(1−tanh²c') and the factors of G_i, G_f, G_g, G_o.
const LINEARISATION: usize = 6;

impl<T: Real> Layer<T> {
    /// What the sums of a unit begin with: the bias, or what the input made of it.
    #[inline(always)]
    fn bias<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        projected: &[[L; C]],
    ) -> [[L; C]; 4] {
        if let Some(u) = projected.as_chunks::<4>().0.get(unit) {
            return *u;
        }
        let mut sums = [[L::zero(); C]; 4];
        for gate in 0..4 {
            sums[gate] = [L::splat(self.bias[unit][gate]); C];
        }
        sums
    }

    /// W_ih x + W_hh h + `sums`, for the gates of `unit` and the U − 1 units after it.
    #[inline(always)]
    fn products<L: Lanes<Scalar = T>, const C: usize, const U: usize>(
        &self,
        unit: usize,
        mut sums: [[[L; C]; 4]; U],
        x: &[[L; C]],
        h: &[[L; C]],
    ) -> [[[L; C]; 4]; U] {
        let width = self.inputs + self.hidden;
        let weights = &self.weights[unit * width..(unit + U) * width];
        for (vectors, first) in [(x, 0), (h, self.inputs)] {
            for (j, v) in vectors.iter().enumerate() {
                for u in 0..U {
                    let w = weights[u * width + first + j];
                    for gate in 0..4 {
                        for c in 0..C {
                            sums[u][gate][c] = L::splat(w[gate]).mul_add(v[c], sums[u][gate][c]);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// An LSTM of any number of layers: one state map.
#[derive(Clone, Debug)]
pub struct Lstm<T> {
    layers: Vec<Layer<T>>,
    /// Whether the first layer reads the top layer's h of the step before.
    fed_back: bool,
}

impl<T: Real> Lstm<T> {
    /// The map of a net under a zero, constant or time-dependent input.
    ///
    /// `constant` is an input (I,) that never changes; it folds into the bias of the first layer,
    /// and the map then takes no other input.
    ///
    /// # Errors
    /// No layers, shapes that do not fit, or weights that are not finite.
    pub fn new(
        layers: &[LayerWeights<'_, T>],
        constant: Option<ArrayView1<'_, T>>,
    ) -> Result<Self, Error> {
        let mut input = Input::External;
        if let Some(x) = constant {
            input = Input::Constant(x);
        }
        Self::packed(layers, input)
    }

    /// The closed loop: the readout of the last state is the next input.
    ///
    /// # Errors
    /// As for [`Lstm::new`], or a readout that does not fit.
    pub fn closed_loop(
        layers: &[LayerWeights<'_, T>],
        readout: Readout<'_, T>,
    ) -> Result<Self, Error> {
        Self::packed(layers, Input::FedBack(readout))
    }

    /// H of every layer.
    #[must_use]
    pub fn hidden_sizes(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.hidden).collect()
    }

    fn packed(weights: &[LayerWeights<'_, T>], input: Input<'_, T>) -> Result<Self, Error> {
        let (layers, fed_back) = pack(weights, input)?;
        Ok(Self { layers, fed_back })
    }

    /// What layer `l` reads besides its own h, where `x` is the old state and `below` the part of
    /// the new one that is already known. The first layer of a net that is driven finds its
    /// inputs in its sums already.
    #[inline(always)]
    fn inputs<'a, L: Lanes<Scalar = T>, const C: usize>(
        &self,
        l: usize,
        x: &'a [[L; C]],
        below: &'a [[L; C]],
    ) -> &'a [[L; C]] {
        if l > 0 {
            let below_layer = &self.layers[l - 1];
            return &below[below_layer.offset..][..below_layer.hidden];
        }
        if self.fed_back {
            let top = &self.layers[self.layers.len() - 1];
            return &x[top.offset..][..top.hidden];
        }
        &[]
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

impl<T: Exponential> Layer<T> {
    /// The new h and c of a unit.
    #[inline(always)]
    fn step_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        z: [[L; C]; 4],
        cells: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        for c in 0..C {
            let a = activate([z[0][c], z[1][c], z[2][c], z[3][c]], cells[unit][c]);
            new[unit][c] = a.o * a.tanh_cell;
            new[self.hidden + unit][c] = a.cell;
        }
    }

    /// The new h and c of a unit, and what its derivative needs.
    #[inline(always)]
    fn linearise_unit<L: Lanes<Scalar = T>>(
        &self,
        unit: usize,
        z: [[L; 1]; 4],
        cells: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    ) {
        let one = L::splat(T::of(1.0));
        let cell = cells[unit][0];
        let a = activate([z[0][0], z[1][0], z[2][0], z[3][0]], cell);
        new[unit] = [a.o * a.tanh_cell];
        new[self.hidden + unit] = [a.cell];
        at[LINEARISATION * unit..][..LINEARISATION].copy_from_slice(&[
            a.g * (a.i * (one - a.i)),
            cell * (a.f * (one - a.f)),
            a.i * (one - a.g * a.g),
            a.tanh_cell * (a.o * (one - a.o)),
            a.f,
            a.o * (one - a.tanh_cell * a.tanh_cell),
        ]);
    }
}

impl<T: Real> Layer<T> {
    /// dh and dc of a unit, from G and the derivative that [`Layer::linearise_unit`] kept.
    #[inline(always)]
    fn push_unit<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        unit: usize,
        sums: [[L; C]; 4],
        at: &[L],
        dc: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let at = &at[LINEARISATION * unit..][..LINEARISATION];
        for c in 0..C {
            let mut cell = at[4] * dc[unit][c];
            for gate in 0..3 {
                cell = at[gate].mul_add(sums[gate][c], cell);
            }
            new[unit][c] = at[5].mul_add(cell, at[3] * sums[3][c]);
            new[self.hidden + unit][c] = cell;
        }
    }
}

impl<T: Exponential> StateMap<T> for Lstm<T> {
    fn dim(&self) -> usize {
        2 * self.layers.iter().map(|layer| layer.hidden).sum::<usize>()
    }

    fn input_dim(&self) -> usize {
        if self.fed_back {
            0
        } else {
            self.layers[0].inputs
        }
    }

    fn projected_dim(&self) -> usize {
        if self.input_dim() == 0 {
            0
        } else {
            4 * self.layers[0].hidden
        }
    }

    /// W_ih x + b of the first layer, four gates a unit.
    #[inline(always)]
    fn project<L: Lanes<Scalar = T>, const C: usize>(&self, input: &[[L; C]], u: &mut [[L; C]]) {
        let layer = &self.layers[0];
        for (unit, z) in u.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let [sums] = layer.products(unit, [layer.bias(unit, &[])], input, &[]);
            *z = sums;
        }
    }

    /// h of every layer, not c.
    fn is_output(&self, component: usize) -> bool {
        self.layers
            .iter()
            .any(|layer| (layer.offset..layer.offset + layer.hidden).contains(&component))
    }

    /// h · 1 of the top layer (Wei et al. 2025).
    fn observable(&self, state: ArrayView1<'_, T>) -> f64 {
        let top = &self.layers[self.layers.len() - 1];
        let h = state.iter().skip(top.offset).take(top.hidden);
        h.map(|&x| -> f64 { x.into() }).sum()
    }

    fn linearisation_len(&self) -> usize {
        LINEARISATION * self.dim() / 2
    }

    #[inline(always)]
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        u: &[[L; C]],
        x: &[[L; C]],
        y: &mut [[L; C]],
    ) {
        for (l, layer) in self.layers.iter().enumerate() {
            let (below, new) = y.split_at_mut(layer.offset);
            let inputs = self.inputs(l, x, below);
            let u = if l == 0 { u } else { &[] };
            let (h, cells) = x[layer.offset..][..2 * layer.hidden].split_at(layer.hidden);
            let mut unit = 0;
            // two units at a time: four sums alone would wait for each other
            while C == 1 && unit + 2 <= layer.hidden {
                let bias = [layer.bias(unit, u), layer.bias(unit + 1, u)];
                let z = layer.products(unit, bias, inputs, h);
                layer.step_unit(unit, z[0], cells, new);
                layer.step_unit(unit + 1, z[1], cells, new);
                unit += 2;
            }
            for unit in unit..layer.hidden {
                let [z] = layer.products(unit, [layer.bias(unit, u)], inputs, h);
                layer.step_unit(unit, z, cells, new);
            }
        }
    }

    #[inline(always)]
    fn linearise<L: Lanes<Scalar = T>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        y: &mut [[L; 1]],
        at: &mut [L],
    ) {
        for (l, layer) in self.layers.iter().enumerate() {
            let (below, new) = y.split_at_mut(layer.offset);
            let inputs = self.inputs(l, x, below);
            let u = if l == 0 { u } else { &[] };
            let (h, cells) = x[layer.offset..][..2 * layer.hidden].split_at(layer.hidden);
            let at = &mut at[LINEARISATION * layer.offset / 2..];
            let mut unit = 0;
            while unit + 2 <= layer.hidden {
                let bias = [layer.bias(unit, u), layer.bias(unit + 1, u)];
                let z = layer.products(unit, bias, inputs, h);
                layer.linearise_unit(unit, z[0], cells, new, at);
                layer.linearise_unit(unit + 1, z[1], cells, new, at);
                unit += 2;
            }
            if unit < layer.hidden {
                let [z] = layer.products(unit, [layer.bias(unit, u)], inputs, h);
                layer.linearise_unit(unit, z, cells, new, at);
            }
        }
    }

    #[inline(always)]
    fn push<L: Lanes<Scalar = T>, const C: usize>(&self, at: &[L], v: &[[L; C]], w: &mut [[L; C]]) {
        for (l, layer) in self.layers.iter().enumerate() {
            let (below, new) = w.split_at_mut(layer.offset);
            let inputs = self.inputs(l, v, below);
            let (dh, dc) = v[layer.offset..][..2 * layer.hidden].split_at(layer.hidden);
            let at = &at[LINEARISATION * layer.offset / 2..];
            let zero = [[L::zero(); C]; 4];
            let mut unit = 0;
            while C == 1 && unit + 2 <= layer.hidden {
                let sums = layer.products(unit, [zero; 2], inputs, dh);
                layer.push_unit(unit, sums[0], at, dc, new);
                layer.push_unit(unit + 1, sums[1], at, dc, new);
                unit += 2;
            }
            for unit in unit..layer.hidden {
                let [sums] = layer.products(unit, [zero], inputs, dh);
                layer.push_unit(unit, sums, at, dc, new);
            }
        }
    }
}
