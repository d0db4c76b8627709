//! Arrays in PyTorch's layout: checked, and inputs that never change folded in.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::error::Error;
use crate::lanes::Real;

/// The parameters of one layer of a cell with G gates, in PyTorch's layout and gate order.
#[derive(Clone, Copy, Debug)]
pub struct LayerWeights<'a, T> {
    /// (G H, I)
    pub weight_ih: ArrayView2<'a, T>,
    /// (G H, H), or (G H, P) with a projection
    pub weight_hh: ArrayView2<'a, T>,
    /// (G H,)
    pub bias_ih: ArrayView1<'a, T>,
    /// (G H,)
    pub bias_hh: ArrayView1<'a, T>,
    /// The projection of h to P numbers, of shape (P, H): of an LSTM alone.
    pub weight_hr: Option<ArrayView2<'a, T>>,
}

/// A linear readout y = R h + r of the top layer, fed back as the next input.
#[derive(Clone, Copy, Debug)]
pub struct Readout<'a, T> {
    /// R, of shape (I, H)
    pub weight: ArrayView2<'a, T>,
    /// r, of shape (I,)
    pub bias: ArrayView1<'a, T>,
}

/// What the first layer reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a, T> {
    External,
    Constant(ArrayView1<'a, T>),
    FedBack(Readout<'a, T>),
}

/// What a cell asks of its weights.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// G
    pub gates: usize,
    /// Whether W_ih x and W_hh h are added before anything else happens to them.
    pub adds: bool,
    /// Whether a projection is allowed.
    pub projects: bool,
}

/// The weights of one layer, with what never changes folded in.
#[derive(Clone)]
pub struct Folded<T> {
    /// H
    pub units: usize,
    /// (G H, I); no columns where nothing is read.
    pub weight_ih: Array2<T>,
    /// (G H, length of h)
    pub weight_hh: Array2<T>,
    /// (G H,)
    pub bias_ih: Array1<T>,
    /// (G H,)
    pub bias_hh: Array1<T>,
    /// W_ih x of the part of the input that never changes, (G H,).
    pub shift: Array1<T>,
    /// (P, H)
    pub weight_hr: Option<Array2<T>>,
}

impl<T: Real> Folded<T> {
    /// The same layer, if it did not read its own h.
    pub fn without_recurrence(&self) -> Self {
        Self {
            weight_hh: Array2::from_elem((self.weight_hh.nrows(), 0), T::of(0.0)),
            ..self.clone()
        }
    }
}

/// The layers, and whether the first one reads the top one's h of the step before.
pub(super) fn fold<T: Real>(
    layers: &[LayerWeights<'_, T>],
    input: Input<'_, T>,
    form: Form,
) -> Result<(Vec<Folded<T>>, bool), Error> {
    check(layers, form)?;
    let mut folded: Vec<_> = layers.iter().map(|layer| own(layer, form)).collect();
    let (alone, top) = (
        layers.len() == 1,
        layers[layers.len() - 1].weight_hh.ncols(),
    );
    let first = &mut folded[0];
    let (rows, inputs) = first.weight_ih.dim();
    let nothing = Array2::from_elem((rows, 0), T::of(0.0));
    match input {
        Input::External => {}
        Input::Constant(x) => {
            Error::unless_shape("inputs", &[inputs], x.shape())?;
            Error::unless_finite("inputs", x)?;
            first.shift = multiply(&first.weight_ih, &x.insert_axis(Axis(1))).remove_axis(Axis(1));
            first.weight_ih = nothing;
        }
        Input::FedBack(Readout { weight, bias }) => {
            Error::unless_shape("readout_weight", &[inputs, top], weight.shape())?;
            Error::unless_shape("readout_bias", &[inputs], bias.shape())?;
            Error::unless_finite("readout_weight", weight)?;
            Error::unless_finite("readout_bias", bias)?;
            let column = bias.insert_axis(Axis(1));
            first.shift = multiply(&first.weight_ih, &column).remove_axis(Axis(1));
            first.weight_ih = multiply(&first.weight_ih, &weight);
            if alone && form.adds {
                // h of the step before is this layer's own h
                first.weight_hh = &first.weight_hh + &first.weight_ih;
                first.weight_ih = nothing;
            }
        }
    }
    let fed_back = matches!(input, Input::FedBack(_)) && folded[0].weight_ih.ncols() > 0;
    Ok((folded, fed_back))
}

fn own<T: Real>(layer: &LayerWeights<'_, T>, form: Form) -> Folded<T> {
    let rows = layer.weight_hh.nrows();
    Folded {
        units: rows / form.gates,
        weight_ih: layer.weight_ih.to_owned(),
        weight_hh: layer.weight_hh.to_owned(),
        bias_ih: layer.bias_ih.to_owned(),
        bias_hh: layer.bias_hh.to_owned(),
        shift: Array1::from_elem(rows, T::of(0.0)),
        weight_hr: layer.weight_hr.map(|projection| projection.to_owned()),
    }
}

/// a b, summed in order (the general product of ndarray wants more of a scalar than [`Real`]).
fn multiply<T: Real>(a: &Array2<T>, b: &ArrayView2<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        (0..a.ncols()).fold(T::of(0.0), |sum, m| sum + a[[i, m]] * b[[m, j]])
    })
}

fn check<T: Real>(layers: &[LayerWeights<'_, T>], form: Form) -> Result<(), Error> {
    if layers.is_empty() {
        return Err(Error::settings(
            "layers",
            "expected at least one, found none",
        ));
    }
    let mut inputs = layers[0].weight_ih.ncols();
    for (l, w) in layers.iter().enumerate() {
        let name = |part: &str| format!("{part}_l{l}");
        let outputs = w.weight_hh.ncols();
        let mut hidden = outputs;
        if let Some(projection) = w.weight_hr {
            if !form.projects {
                let reason = "weight_hr: expected none, only an LSTM has a projection";
                return Err(Error::settings("layers", reason));
            }
            hidden = projection.ncols();
            Error::unless_shape(name("weight_hr"), &[outputs, hidden], projection.shape())?;
            Error::unless_finite(name("weight_hr"), projection)?;
        }
        let rows = form.gates * hidden.max(1);
        let columns = outputs.max(1);
        Error::unless_shape(name("weight_hh"), &[rows, columns], w.weight_hh.shape())?;
        Error::unless_shape(name("weight_ih"), &[rows, inputs], w.weight_ih.shape())?;
        Error::unless_shape(name("bias_ih"), &[rows], w.bias_ih.shape())?;
        Error::unless_shape(name("bias_hh"), &[rows], w.bias_hh.shape())?;
        Error::unless_finite(name("weight_hh"), w.weight_hh)?;
        Error::unless_finite(name("weight_ih"), w.weight_ih)?;
        Error::unless_finite(name("bias_ih"), w.bias_ih)?;
        Error::unless_finite(name("bias_hh"), w.bias_hh)?;
        inputs = outputs;
    }
    Ok(())
}
