//! From arrays in PyTorch's layout to packed layers: checked, inputs that never change folded in.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::error::Error;
use crate::lanes::Real;

/// The parameters of one layer, in PyTorch's layout and gate order.
#[derive(Clone, Copy, Debug)]
pub struct LayerWeights<'a, T> {
    /// (4H, I)
    pub weight_ih: ArrayView2<'a, T>,
    /// (4H, H)
    pub weight_hh: ArrayView2<'a, T>,
    /// (4H,)
    pub bias_ih: ArrayView1<'a, T>,
    /// (4H,)
    pub bias_hh: ArrayView1<'a, T>,
}

/// A linear readout y = R h + r of the top layer, fed back as the next input.
#[derive(Clone, Copy, Debug)]
pub struct Readout<'a, T> {
    /// R, of shape (I, H)
    pub weight: ArrayView2<'a, T>,
    /// r, of shape (I,)
    pub bias: ArrayView1<'a, T>,
}

/// A layer, packed so that the four gates of a unit are read together.
#[derive(Clone, Debug)]
pub(super) struct Layer<T> {
    pub hidden: usize,
    pub inputs: usize,
    /// Where its state begins.
    pub offset: usize,
    /// A row a unit: first its weights of the inputs, then those of h; four gates each.
    pub weights: Vec<[T; 4]>,
    pub bias: Vec<[T; 4]>,
}

impl<T: Real> Layer<T> {
    fn new(weight_ih: &Array2<T>, weight_hh: &Array2<T>, bias: &Array1<T>, offset: usize) -> Self {
        let hidden = weight_hh.ncols();
        let gates = |column: &dyn Fn(usize) -> T, unit: usize| -> [T; 4] {
            std::array::from_fn(|gate| column(gate * hidden + unit))
        };
        let mut weights = Vec::with_capacity(hidden * (weight_ih.ncols() + hidden));
        for unit in 0..hidden {
            for j in 0..weight_ih.ncols() {
                weights.push(gates(&|row| weight_ih[[row, j]], unit));
            }
            for j in 0..hidden {
                weights.push(gates(&|row| weight_hh[[row, j]], unit));
            }
        }
        Self {
            hidden,
            inputs: weight_ih.ncols(),
            offset,
            weights,
            bias: (0..hidden)
                // adding zero turns -0 into +0: then a zero input and no input give the same bits
                .map(|unit| gates(&|row| bias[row] + T::of(0.0), unit))
                .collect(),
        }
    }
}

/// What the first layer reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a, T> {
    External,
    Constant(ArrayView1<'a, T>),
    FedBack(Readout<'a, T>),
}

/// The layers, packed, and whether the first one reads the top one's h of the step before.
pub(super) fn pack<T: Real>(
    weights: &[LayerWeights<'_, T>],
    input: Input<'_, T>,
) -> Result<(Vec<Layer<T>>, bool), Error> {
    check(weights)?;
    let top = weights[weights.len() - 1].weight_hh.ncols();
    let mut fed_back = false;
    let mut layers = Vec::with_capacity(weights.len());
    let mut offset = 0;
    for (l, w) in weights.iter().enumerate() {
        let mut weight_ih = w.weight_ih.to_owned();
        let mut weight_hh = w.weight_hh.to_owned();
        let mut bias = w.bias_ih.to_owned() + w.bias_hh;
        if l == 0 {
            let inputs = weight_ih.ncols();
            match input {
                Input::External => {}
                Input::Constant(x) => {
                    Error::unless_shape("inputs", &[inputs], x.shape())?;
                    Error::unless_finite("inputs", x)?;
                    bias = bias + multiply(&weight_ih, &x.insert_axis(Axis(1))).column(0);
                    weight_ih = Array2::from_elem((weight_ih.nrows(), 0), T::of(0.0));
                }
                Input::FedBack(Readout { weight, bias: r }) => {
                    Error::unless_shape("readout_weight", &[inputs, top], weight.shape())?;
                    Error::unless_shape("readout_bias", &[inputs], r.shape())?;
                    Error::unless_finite("readout_weight", weight)?;
                    Error::unless_finite("readout_bias", r)?;
                    bias = bias + multiply(&weight_ih, &r.insert_axis(Axis(1))).column(0);
                    weight_ih = multiply(&weight_ih, &weight);
                    if weights.len() == 1 {
                        // h of the step before is this layer's own h
                        weight_hh = weight_hh + &weight_ih;
                        weight_ih = Array2::from_elem((weight_ih.nrows(), 0), T::of(0.0));
                    } else {
                        fed_back = true;
                    }
                }
            }
        }
        layers.push(Layer::new(&weight_ih, &weight_hh, &bias, offset));
        offset += 2 * w.weight_hh.ncols();
    }
    Ok((layers, fed_back))
}

/// a b, summed in order (the general product of ndarray wants more of a scalar than [`Real`]).
fn multiply<T: Real>(a: &Array2<T>, b: &ArrayView2<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        (0..a.ncols()).fold(T::of(0.0), |sum, m| sum + a[[i, m]] * b[[m, j]])
    })
}

fn check<T: Real>(layers: &[LayerWeights<'_, T>]) -> Result<(), Error> {
    if layers.is_empty() {
        return Err(Error::settings(
            "layers",
            "expected at least one, found none",
        ));
    }
    let mut inputs = layers[0].weight_ih.ncols();
    for (l, w) in layers.iter().enumerate() {
        let hidden = w.weight_hh.ncols();
        let rows = 4 * hidden.max(1);
        let name = |part: &str| format!("{part}_l{l}");
        Error::unless_shape(name("weight_hh"), &[rows, hidden], w.weight_hh.shape())?;
        Error::unless_shape(name("weight_ih"), &[rows, inputs], w.weight_ih.shape())?;
        Error::unless_shape(name("bias_ih"), &[rows], w.bias_ih.shape())?;
        Error::unless_shape(name("bias_hh"), &[rows], w.bias_hh.shape())?;
        Error::unless_finite(name("weight_hh"), w.weight_hh)?;
        Error::unless_finite(name("weight_ih"), w.weight_ih)?;
        Error::unless_finite(name("bias_ih"), w.bias_ih)?;
        Error::unless_finite(name("bias_hh"), w.bias_hh)?;
        inputs = hidden;
    }
    Ok(())
}
