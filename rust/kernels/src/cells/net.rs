//! Layers of one cell, stacked: one state map.

use ndarray::ArrayView1;

use super::units::Layer;
use super::weights::Input;
use super::{AnyLayer, Cell, LayerWeights, Readout};
use crate::activation::Exponential;
use crate::error::Error;
use crate::lanes::Lanes;
use crate::map::StateMap;

/// A recurrent net of any number of layers.
///
/// The state is that of layer 1, then of layer 2, …; each layer reads h' of the layer below, of
/// the same step. In a closed loop the first layer reads x = R h_L + r of the step before, which
/// folds into W_ih R and b + W_ih r.
#[derive(Clone, Debug)]
pub struct Net<T> {
    layers: Vec<Stacked<T>>,
    /// Numbers of an input from outside.
    inputs: usize,
    /// Whether the first layer reads the top layer's h of the step before.
    fed_back: bool,
    dim: usize,
    kept: usize,
}

/// A layer in its place.
#[derive(Clone, Debug)]
struct Stacked<T> {
    layer: AnyLayer<T>,
    /// Where its state and its derivative begin.
    offset: usize,
    kept: usize,
    /// Numbers of its state, and of h, with which that begins.
    state: usize,
    outputs: usize,
}

impl<T: Exponential> Net<T> {
    /// The map of a net of the cell called `cell` under a zero, constant or time-dependent input.
    ///
    /// `constant` is an input (I,) that never changes; it folds into the bias of the first layer,
    /// and the map then takes no other input.
    ///
    /// # Errors
    /// An unknown cell, no layers, shapes that do not fit, or weights that are not finite.
    pub fn new(
        cell: &str,
        layers: &[LayerWeights<'_, T>],
        constant: Option<ArrayView1<'_, T>>,
    ) -> Result<Self, Error> {
        Self::stack(
            cell,
            layers,
            constant.map_or(Input::External, Input::Constant),
        )
    }

    /// The closed loop: the readout of the last state is the next input.
    ///
    /// # Errors
    /// As for [`Net::new`], or a readout that does not fit.
    pub fn closed_loop(
        cell: &str,
        layers: &[LayerWeights<'_, T>],
        readout: Readout<'_, T>,
    ) -> Result<Self, Error> {
        Self::stack(cell, layers, Input::FedBack(readout))
    }

    fn stack(
        cell: &str,
        weights: &[LayerWeights<'_, T>],
        input: Input<'_, T>,
    ) -> Result<Self, Error> {
        let (layers, fed_back) = AnyLayer::stack(cell, weights, input)?;
        let (mut dim, mut kept) = (0, 0);
        let mut stacked = Vec::with_capacity(layers.len());
        for (layer, w) in layers.into_iter().zip(weights) {
            let (state, keeps) = with_layer!(&layer, |layer| (layer.state(), layer.kept()));
            stacked.push(Stacked {
                layer,
                offset: dim,
                kept,
                state,
                outputs: w.weight_hh.ncols(),
            });
            dim += state;
            kept += keeps;
        }
        let external = matches!(input, Input::External);
        Ok(Self {
            layers: stacked,
            inputs: if external {
                weights[0].weight_ih.ncols()
            } else {
                0
            },
            fed_back,
            dim,
            kept,
        })
    }

    fn top(&self) -> &Stacked<T> {
        &self.layers[self.layers.len() - 1]
    }

    /// What layer `l` reads besides its own state, where `x` is the old state and `below` the part
    /// of the new one that is already known. The first layer of a net that is driven finds its
    /// inputs in its sums already.
    #[inline(always)]
    fn inputs<'a, L, const C: usize>(
        &self,
        l: usize,
        x: &'a [[L; C]],
        below: &'a [[L; C]],
    ) -> &'a [[L; C]] {
        if l > 0 {
            let layer = &self.layers[l - 1];
            &below[layer.offset..][..layer.outputs]
        } else if self.fed_back {
            &x[self.top().offset..][..self.top().outputs]
        } else {
            &[]
        }
    }
}

impl<T: Exponential> StateMap<T> for Net<T> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn input_dim(&self) -> usize {
        self.inputs
    }

    fn projected_dim(&self) -> usize {
        if self.inputs == 0 {
            0
        } else {
            with_layer!(&self.layers[0].layer, |layer| layer.projected())
        }
    }

    #[inline(always)]
    fn project<L: Lanes<Scalar = T>, const C: usize>(&self, input: &[[L; C]], u: &mut [[L; C]]) {
        with_layer!(&self.layers[0].layer, |layer| layer.project(input, u));
    }

    /// h of every layer, not c.
    fn is_output(&self, component: usize) -> bool {
        self.layers
            .iter()
            .any(|layer| (layer.offset..layer.offset + layer.outputs).contains(&component))
    }

    /// h · 1 of the top layer (Wei et al. 2025).
    fn observable(&self, state: ArrayView1<'_, T>) -> f64 {
        let h = state
            .iter()
            .skip(self.top().offset)
            .take(self.top().outputs);
        h.map(|&x| -> f64 { x.into() }).sum()
    }

    fn linearisation_len(&self) -> usize {
        self.kept
    }

    #[inline(always)]
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        u: &[[L; C]],
        x: &[[L; C]],
        y: &mut [[L; C]],
    ) {
        for (l, stacked) in self.layers.iter().enumerate() {
            let (below, new) = y.split_at_mut(stacked.offset);
            let inputs = self.inputs(l, x, below);
            let u = if l == 0 { u } else { &[] };
            let old = &x[stacked.offset..][..stacked.state];
            with_layer!(&stacked.layer, |layer| layer.step(u, inputs, old, new));
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
        for (l, stacked) in self.layers.iter().enumerate() {
            let (below, new) = y.split_at_mut(stacked.offset);
            let inputs = self.inputs(l, x, below);
            let u = if l == 0 { u } else { &[] };
            let old = &x[stacked.offset..][..stacked.state];
            let at = &mut at[stacked.kept..];
            with_layer!(&stacked.layer, |layer| layer
                .linearise(u, inputs, old, new, at));
        }
    }

    #[inline(always)]
    fn push<L: Lanes<Scalar = T>, const C: usize>(&self, at: &[L], v: &[[L; C]], w: &mut [[L; C]]) {
        for (l, stacked) in self.layers.iter().enumerate() {
            let (below, new) = w.split_at_mut(stacked.offset);
            let inputs = self.inputs(l, v, below);
            let old = &v[stacked.offset..][..stacked.state];
            let at = &at[stacked.kept..];
            with_layer!(&stacked.layer, |layer| layer.push(at, inputs, old, new));
        }
    }
}
