//! The Python face of the core: arrays in, one detached call, arrays out, errors turned.
//!
//! No mathematics here. Every function validates, leaves the interpreter once, calls one function
//! of the core and converts what comes back.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::too_many_arguments
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use lstm_edge_core::Error;
use lstm_edge_core::activation::Exponential;
use lstm_edge_core::cells::lstm::{LayerWeights, Lstm, Readout};
use lstm_edge_core::drive::Drive;
use lstm_edge_core::ensemble::{self, Execution};
use lstm_edge_core::lanes::Isa;
use lstm_edge_core::map::StateMap as _;
use lstm_edge_core::measures::{distance, lyapunov as exponents};
use lstm_edge_core::orbit::{self as orbits, Starts};
use lstm_edge_core::tangent;
use ndarray::Array2;
use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3,
};
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;

/// How often a call looks for signals.
const SIGNALS: Duration = Duration::from_millis(100);

fn raise(error: Error) -> PyErr {
    match error {
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
        error => PyValueError::new_err(error.to_string()),
    }
}

/// Makes the calls that were given it end with KeyboardInterrupt, from any thread.
#[pyclass(frozen, module = "lstm_edge._core")]
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Threads, vector unit and cancellation of one call.
struct Runner {
    threads: Option<usize>,
    isa: Isa,
    cancel: Arc<AtomicBool>,
}

impl Runner {
    fn new(
        threads: Option<usize>,
        vector_unit: Option<&str>,
        cancel: Option<&Cancel>,
    ) -> PyResult<Self> {
        if threads == Some(0) {
            return Err(PyValueError::new_err(
                "threads: expected at least 1, found 0",
            ));
        }
        let isa = match vector_unit {
            None => Isa::best(),
            Some(name) => Isa::available()
                .into_iter()
                .find(|isa| format!("{isa:?}").eq_ignore_ascii_case(name))
                .ok_or_else(|| {
                    PyValueError::new_err(format!(
                        "vector_unit: expected one of {:?}, found '{name}'",
                        vector_units()
                    ))
                })?,
        };
        Ok(Self {
            threads,
            isa,
            cancel: cancel.map_or_else(Arc::default, |cancel| cancel.0.clone()),
        })
    }

    /// The one door: leaves the interpreter, and comes back for signals and with the result.
    fn run<R: Send>(
        &self,
        py: Python<'_>,
        call: impl Fn(Execution<'_>) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        let execution = Execution {
            threads: self.threads,
            isa: self.isa,
            cancel: &self.cancel,
        };
        py.detach(|| {
            std::thread::scope(|scope| {
                let (sender, receiver) = channel();
                scope.spawn(move || sender.send(call(execution)));
                loop {
                    match receiver.recv_timeout(SIGNALS) {
                        Ok(result) => return result.map_err(raise),
                        Err(RecvTimeoutError::Timeout) => {
                            #[allow(clippy::redundant_closure_for_method_calls)] // lifetimes
                            let signal = Python::attach(|py| py.check_signals());
                            if let Err(error) = signal {
                                self.cancel.store(true, Ordering::Relaxed);
                                return Err(error);
                            }
                        }
                        Err(RecvTimeoutError::Disconnected) => {
                            return Err(PyValueError::new_err("the computation stopped"));
                        }
                    }
                }
            })
        })
    }
}

enum Cell {
    F32(Lstm<f32>),
    F64(Lstm<f64>),
}

/// A recurrent net as a state map, packed once; all arrays are of one dtype.
#[pyclass(frozen, module = "lstm_edge._core")]
struct StateMap(Cell);

type Layer<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
);

fn lstm<T: Exponential + Element>(
    layers: &[Layer<'_>],
    constant: Option<&Bound<'_, PyAny>>,
    readout: Option<&(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
) -> PyResult<Lstm<T>> {
    let arrays = layers
        .iter()
        .map(|(ih, hh, bias_ih, bias_hh)| {
            Ok((
                ih.extract::<PyReadonlyArray2<'_, T>>()?,
                hh.extract::<PyReadonlyArray2<'_, T>>()?,
                bias_ih.extract::<PyReadonlyArray1<'_, T>>()?,
                bias_hh.extract::<PyReadonlyArray1<'_, T>>()?,
            ))
        })
        .collect::<PyResult<Vec<_>>>()?;
    let weights: Vec<_> = arrays
        .iter()
        .map(|(ih, hh, bias_ih, bias_hh)| LayerWeights {
            weight_ih: ih.as_array(),
            weight_hh: hh.as_array(),
            bias_ih: bias_ih.as_array(),
            bias_hh: bias_hh.as_array(),
        })
        .collect();
    if let Some((weight, bias)) = readout {
        let weight: PyReadonlyArray2<'_, T> = weight.extract()?;
        let bias: PyReadonlyArray1<'_, T> = bias.extract()?;
        let readout = Readout {
            weight: weight.as_array(),
            bias: bias.as_array(),
        };
        return Lstm::closed_loop(&weights, readout).map_err(raise);
    }
    let constant: Option<PyReadonlyArray1<'_, T>> =
        constant.map(PyAnyMethods::extract).transpose()?;
    Lstm::new(&weights, constant.as_ref().map(|x| x.as_array())).map_err(raise)
}

#[pymethods]
impl StateMap {
    /// An LSTM from (weight_ih, weight_hh, bias_ih, bias_hh) of each layer, under external inputs,
    /// a constant input (I,), or in a closed loop through a readout (weight, bias).
    #[staticmethod]
    #[pyo3(signature = (layers, constant=None, readout=None, *, double))]
    fn lstm(
        layers: Vec<Layer<'_>>,
        constant: Option<Bound<'_, PyAny>>,
        readout: Option<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        double: bool,
    ) -> PyResult<Self> {
        let (constant, readout) = (constant.as_ref(), readout.as_ref());
        Ok(Self(if double {
            Cell::F64(lstm(&layers, constant, readout)?)
        } else {
            Cell::F32(lstm(&layers, constant, readout)?)
        }))
    }

    /// Dimension n of the state.
    #[getter]
    fn dim(&self) -> usize {
        match &self.0 {
            Cell::F32(map) => map.dim(),
            Cell::F64(map) => map.dim(),
        }
    }
}

/// Calls `$call(map)` with the map in its own precision.
macro_rules! with_map {
    ($map:expr, $call:ident ( $($argument:expr),* )) => {
        match &$map.0 {
            Cell::F32(map) => $call::<f32>(map, $($argument),*),
            Cell::F64(map) => $call::<f64>(map, $($argument),*),
        }
    };
}

/// Sequences (B, T, I), or tokens (B, T) with their embedding (V, I), or none.
fn drive<T: Exponential + Element>(
    map: &Lstm<T>,
    inputs: Option<&Bound<'_, PyAny>>,
) -> PyResult<Drive<T>> {
    let Some(inputs) = inputs else {
        return Ok(Drive::Zero);
    };
    if let Ok((tokens, embedding)) =
        inputs.extract::<(PyReadonlyArray2<'_, i64>, PyReadonlyArray2<'_, T>)>()
    {
        return Drive::tokens(&tokens.as_array(), &embedding.as_array(), map).map_err(raise);
    }
    let inputs: PyReadonlyArray3<'_, T> = inputs.extract()?;
    Drive::sequences(&inputs.as_array(), map.input_dim()).map_err(raise)
}

/// States (S, n) given by the user, or drawn; and the sequence of each.
fn starts<T: Exponential + Element>(
    map: &Lstm<T>,
    drive: &Drive<T>,
    options: &StartOptions<'_>,
) -> PyResult<(Array2<T>, Vec<usize>)> {
    let batch = if options.at_rest { drive.count() } else { 0 };
    let (drawn, sequences) = ensemble::starts(map, batch, options.count, options.seed);
    match options.initial_state {
        None => Ok((drawn, sequences)),
        Some(states) => {
            let states: PyReadonlyArray2<'_, T> = states.extract()?;
            Ok((states.as_array().to_owned(), sequences))
        }
    }
}

struct StartOptions<'a> {
    count: usize,
    initial_state: Option<&'a Bound<'a, PyAny>>,
    at_rest: bool,
    seed: u64,
}

type Exponents<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray3<f64>>, usize);

/// (per_start (S, k), batches (S, b, k), interval), in nats per step.
#[pyfunction]
#[pyo3(signature = (map, inputs, *, k, steps, transient, starts, initial_state, at_rest, interval,
                    seed, threads=None, vector_unit=None, cancel=None))]
fn lyapunov<'py>(
    py: Python<'py>,
    map: &StateMap,
    inputs: Option<Bound<'py, PyAny>>,
    k: usize,
    steps: usize,
    transient: usize,
    starts: usize,
    initial_state: Option<Bound<'py, PyAny>>,
    at_rest: bool,
    interval: Option<usize>,
    seed: u64,
    threads: Option<usize>,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Exponents<'py>> {
    let runner = Runner::new(threads, vector_unit, cancel)?;
    let options = StartOptions {
        count: starts,
        initial_state: initial_state.as_ref(),
        at_rest,
        seed,
    };
    let settings = exponents::Settings {
        k,
        steps,
        transient,
        interval,
        seed,
    };
    let found = with_map!(
        map,
        measure_exponents(py, inputs.as_ref(), &options, &settings, &runner)
    )?;
    Ok((
        found.per_start.into_pyarray(py),
        found.batches.into_pyarray(py),
        found.interval,
    ))
}

fn measure_exponents<T: Exponential + Element>(
    map: &Lstm<T>,
    py: Python<'_>,
    inputs: Option<&Bound<'_, PyAny>>,
    options: &StartOptions<'_>,
    settings: &exponents::Settings,
    runner: &Runner,
) -> PyResult<exponents::Exponents> {
    let drive = drive(map, inputs)?;
    let (states, sequences) = starts(map, &drive, options)?;
    runner.run(py, |execution| {
        let starts = Starts {
            states: &states,
            sequences: &sequences,
        };
        exponents::lyapunov(map, &drive, &starts, settings, execution)
    })
}

type Distances<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// (ln D_s (samples,), observable (samples,)).
#[pyfunction]
#[pyo3(signature = (map, inputs, *, steps, noise, samples, floor, seed, threads=None,
                    vector_unit=None, cancel=None))]
fn asymptotic_distance<'py>(
    py: Python<'py>,
    map: &StateMap,
    inputs: Option<Bound<'py, PyAny>>,
    steps: usize,
    noise: f64,
    samples: usize,
    floor: f64,
    seed: u64,
    threads: Option<usize>,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Distances<'py>> {
    let runner = Runner::new(threads, vector_unit, cancel)?;
    let settings = distance::Settings {
        steps,
        noise,
        samples,
        floor,
        seed,
    };
    let found = with_map!(
        map,
        measure_distance(py, inputs.as_ref(), &settings, &runner)
    )?;
    Ok((
        PyArray1::from_vec(py, found.log_distance),
        PyArray1::from_vec(py, found.observable),
    ))
}

fn measure_distance<T: Exponential + Element>(
    map: &Lstm<T>,
    py: Python<'_>,
    inputs: Option<&Bound<'_, PyAny>>,
    settings: &distance::Settings,
    runner: &Runner,
) -> PyResult<distance::Distances> {
    let drive = drive(map, inputs)?;
    runner.run(py, |execution| {
        distance::asymptotic_distance(map, &drive, settings, execution)
    })
}

/// States (S, steps, n), in the map's dtype.
#[pyfunction]
#[pyo3(signature = (map, inputs, *, steps, transient, starts, initial_state, at_rest, seed,
                    threads=None, vector_unit=None, cancel=None))]
fn orbit<'py>(
    py: Python<'py>,
    map: &StateMap,
    inputs: Option<Bound<'py, PyAny>>,
    steps: usize,
    transient: usize,
    starts: usize,
    initial_state: Option<Bound<'py, PyAny>>,
    at_rest: bool,
    seed: u64,
    threads: Option<usize>,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Bound<'py, PyAny>> {
    let runner = Runner::new(threads, vector_unit, cancel)?;
    let options = StartOptions {
        count: starts,
        initial_state: initial_state.as_ref(),
        at_rest,
        seed,
    };
    with_map!(
        map,
        record_orbit(py, inputs.as_ref(), &options, transient, steps, &runner)
    )
}

fn record_orbit<'py, T: Exponential + Element>(
    map: &Lstm<T>,
    py: Python<'py>,
    inputs: Option<&Bound<'py, PyAny>>,
    options: &StartOptions<'_>,
    transient: usize,
    steps: usize,
    runner: &Runner,
) -> PyResult<Bound<'py, PyAny>> {
    let drive = drive(map, inputs)?;
    let (states, sequences) = starts(map, &drive, options)?;
    let states = runner.run(py, |execution| {
        let starts = Starts {
            states: &states,
            sequences: &sequences,
        };
        orbits::orbits(map, &drive, &starts, transient, steps, execution)
    })?;
    Ok(states.into_pyarray(py).into_any())
}

/// The first tangent frame (n, k) of a start.
#[pyfunction]
fn tangent_frame(
    py: Python<'_>,
    n: usize,
    k: usize,
    seed: u64,
    start: usize,
) -> PyResult<Bound<'_, PyArray2<f64>>> {
    if k > n {
        let message = format!("k: expected at most n = {n}, found {k}");
        return Err(PyValueError::new_err(message));
    }
    Ok(tangent::first_frame_of(n, k, seed, start).into_pyarray(py))
}

/// The perturbation δ (count,) of a sample's h.
#[pyfunction]
fn perturbation(
    py: Python<'_>,
    count: usize,
    noise: f64,
    seed: u64,
    sample: usize,
) -> Bound<'_, PyArray1<f64>> {
    PyArray1::from_vec(py, ensemble::perturbation(count, noise, seed, sample))
}

/// The vector units of this CPU, best first.
#[pyfunction]
fn vector_units() -> Vec<String> {
    let units = Isa::available();
    units
        .iter()
        .map(|isa| format!("{isa:?}").to_lowercase())
        .collect()
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Cancel>()?;
    module.add_class::<StateMap>()?;
    module.add_function(wrap_pyfunction!(lyapunov, module)?)?;
    module.add_function(wrap_pyfunction!(asymptotic_distance, module)?)?;
    module.add_function(wrap_pyfunction!(orbit, module)?)?;
    module.add_function(wrap_pyfunction!(tangent_frame, module)?)?;
    module.add_function(wrap_pyfunction!(perturbation, module)?)?;
    module.add_function(wrap_pyfunction!(vector_units, module)?)
}
