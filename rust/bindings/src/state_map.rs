//! A net as a state map, in one of two precisions; its drive and its starts.

use lstm_edge_core::drive::Drive;
use lstm_edge_core::ensemble;
use lstm_edge_kernels::cells::{LayerWeights, Readout};
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::{NetInput, Precision, System};
use lstm_edge_kernels::tanh_map;
use ndarray::Array2;
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;

use crate::runner::raise;

pub enum Map {
    Single(Box<dyn System<f32>>),
    Double(Box<dyn System<f64>>),
}

/// A recurrent net as a state map, packed once; all arrays are of one dtype.
#[pyclass(frozen, module = "lstm_edge._core")]
pub struct StateMap(pub Map);

/// Evaluates `$body`, where `$inner` is the map in its own precision.
macro_rules! with_map {
    ($map:expr, |$inner:ident| $body:expr) => {
        match &$map.0 {
            $crate::state_map::Map::Single(map) => {
                let $inner = &**map;
                $body
            }
            $crate::state_map::Map::Double(map) => {
                let $inner = &**map;
                $body
            }
        }
    };
}
pub(crate) use with_map;

type Layer<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
);

#[pymethods]
impl StateMap {
    /// A net of the cell called `cell`, from (weight_ih, weight_hh, bias_ih, bias_hh, weight_hr) of
    /// each layer, under external inputs, a constant input (I,), or in a closed loop through a
    /// readout (weight, bias).
    #[staticmethod]
    #[pyo3(signature = (cell, layers, constant=None, readout=None, *, double))]
    fn net(
        cell: &str,
        layers: Vec<Layer<'_>>,
        constant: Option<Bound<'_, PyAny>>,
        readout: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        double: bool,
    ) -> PyResult<Self> {
        let (constant, readout) = (constant.as_ref(), readout.as_ref());
        Ok(Self(if double {
            Map::Double(net(cell, &layers, constant, readout)?)
        } else {
            Map::Single(net(cell, &layers, constant, readout)?)
        }))
    }

    /// k' = r k (1 − tanh k), in double precision.
    #[staticmethod]
    fn tanh(r: f64) -> Self {
        Self(Map::Double(tanh_map::system(r)))
    }

    /// Dimension n of the state.
    #[getter]
    fn dim(&self) -> usize {
        with_map!(self, |map| map.dim())
    }
}

fn net<T: Precision + Element>(
    cell: &str,
    layers: &[Layer<'_>],
    constant: Option<&Bound<'_, PyAny>>,
    readout: Option<&(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
) -> PyResult<Box<dyn System<T>>> {
    let arrays = layers
        .iter()
        .map(|(ih, hh, bias_ih, bias_hh, hr)| {
            Ok((
                ih.extract::<PyReadonlyArray2<'_, T>>()?,
                hh.extract::<PyReadonlyArray2<'_, T>>()?,
                bias_ih.extract::<PyReadonlyArray1<'_, T>>()?,
                bias_hh.extract::<PyReadonlyArray1<'_, T>>()?,
                hr.as_ref()
                    .map(PyAnyMethods::extract::<PyReadonlyArray2<'_, T>>)
                    .transpose()?,
            ))
        })
        .collect::<PyResult<Vec<_>>>()?;
    let weights: Vec<_> = arrays
        .iter()
        .map(|(ih, hh, bias_ih, bias_hh, hr)| LayerWeights {
            weight_ih: ih.as_array(),
            weight_hh: hh.as_array(),
            bias_ih: bias_ih.as_array(),
            bias_hh: bias_hh.as_array(),
            weight_hr: hr.as_ref().map(|hr| hr.as_array()),
        })
        .collect();
    if let Some((weight, bias)) = readout {
        let weight: PyReadonlyArray2<'_, T> = weight.extract()?;
        let bias: PyReadonlyArray1<'_, T> = bias.extract()?;
        let readout = Readout {
            weight: weight.as_array(),
            bias: bias.as_array(),
        };
        return T::net(cell, &weights, NetInput::FedBack(readout)).map_err(raise);
    }
    let constant: Option<PyReadonlyArray1<'_, T>> =
        constant.map(PyAnyMethods::extract).transpose()?;
    let input = constant
        .as_ref()
        .map_or(NetInput::External, |x| NetInput::Constant(x.as_array()));
    T::net(cell, &weights, input).map_err(raise)
}

type Tokens<'py, T> = (PyReadonlyArray2<'py, i64>, PyReadonlyArray2<'py, T>);

/// Sequences (B, T, I), or tokens (B, T) with their embedding (V, I), or none.
pub fn drive<T: Real + Element>(
    map: &dyn System<T>,
    inputs: Option<&Bound<'_, PyAny>>,
) -> PyResult<Drive<T>> {
    let Some(inputs) = inputs else {
        return Ok(Drive::Zero);
    };
    if let Ok(tokens) = inputs.extract::<Tokens<'_, T>>() {
        let (tokens, embedding) = &tokens;
        return Drive::tokens(&tokens.as_array(), &embedding.as_array(), map).map_err(raise);
    }
    let inputs: PyReadonlyArray3<'_, T> = inputs.extract()?;
    Drive::sequences(&inputs.as_array(), map.input_dim()).map_err(raise)
}

/// The starts of an ensemble, as a user asks for them.
pub struct StartOptions<'py> {
    pub count: usize,
    pub initial_state: Option<Bound<'py, PyAny>>,
    pub at_rest: bool,
    pub seed: u64,
}

impl StartOptions<'_> {
    /// States (S, n) given by the user, or drawn; and the sequence of each.
    pub fn draw<T: Real + Element>(
        &self,
        map: &dyn System<T>,
        drive: &Drive<T>,
    ) -> PyResult<(Array2<T>, Vec<usize>)> {
        let batch = if self.at_rest { drive.count() } else { 0 };
        let (drawn, sequences) = ensemble::starts(map, batch, self.count, self.seed);
        let Some(states) = &self.initial_state else {
            return Ok((drawn, sequences));
        };
        let states: PyReadonlyArray2<'_, T> = states.extract()?;
        Ok((states.as_array().to_owned(), sequences))
    }
}
