//! The measures: each validates, leaves the interpreter once, and converts what comes back.

use lstm_edge_core::measures::{attractor, distance, frames as along, lyapunov as exponents};
use lstm_edge_core::orbit::{self as orbits, Starts};
use lstm_edge_core::tangent;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use ndarray::{Array1, Array2};
use numpy::{
    Complex64, Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray1,
    PyReadonlyArray2,
};
use pyo3::prelude::*;

use crate::runner::{Cancel, Runner, raise};
use crate::state_map::{StartOptions, StateMap, drive, with_map};

type Exponents<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray3<f64>>,
    usize,
    Bound<'py, PyArray2<f64>>,
);

/// (per_start (S, k), batches (S, b, k), interval, of_cycle (S, k)), in nats per step.
#[pyfunction]
#[pyo3(signature = (map, inputs, *, k, steps, transient, starts, initial_state, at_rest, interval,
                    asymptotic, seed, threads=None, vector_unit=None, cancel=None))]
pub fn lyapunov<'py>(
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
    asymptotic: bool,
    seed: u64,
    threads: Option<usize>,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Exponents<'py>> {
    let runner = Runner::new(threads, vector_unit, cancel)?;
    let options = StartOptions {
        count: starts,
        initial_state,
        at_rest,
        seed,
    };
    let settings = exponents::Settings {
        k,
        steps,
        transient,
        interval,
        asymptotic,
        seed,
    };
    let found = with_map!(map, |map| {
        let drive = drive(map, inputs.as_ref())?;
        let (states, sequences) = options.draw(map, &drive)?;
        runner.run(py, |execution| {
            let starts = Starts {
                states: &states,
                sequences: &sequences,
            };
            exponents::lyapunov(map, &drive, &starts, &settings, execution)
        })
    })?;
    Ok((
        found.per_start.into_pyarray(py),
        found.batches.into_pyarray(py),
        found.interval,
        found.of_cycle.into_pyarray(py),
    ))
}

type Distances<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// (ln D_s (samples,), observable (samples,)).
#[pyfunction]
#[pyo3(signature = (map, inputs, *, steps, noise, samples, floor, seed, precision=None,
                    threads=None, vector_unit=None, cancel=None))]
pub fn asymptotic_distance<'py>(
    py: Python<'py>,
    map: &StateMap,
    inputs: Option<Bound<'py, PyAny>>,
    steps: usize,
    noise: f64,
    samples: usize,
    floor: f64,
    seed: u64,
    precision: Option<f64>,
    threads: Option<usize>,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Distances<'py>> {
    let runner = Runner::new(threads, vector_unit, cancel)?;
    let settings = distance::Settings {
        steps,
        noise,
        samples,
        precision,
        floor,
        seed,
    };
    let found = with_map!(map, |map| {
        let drive = drive(map, inputs.as_ref())?;
        runner.run(py, |execution| {
            distance::asymptotic_distance(map, &drive, &settings, execution)
        })
    })?;
    Ok((
        PyArray1::from_vec(py, found.log_distance),
        PyArray1::from_vec(py, found.observable),
    ))
}

type Attractors<'py> = (
    Vec<&'static str>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyAny>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<Complex64>>,
);

/// Of each start: its kind; (period, steps, the first start on the same attractor); (exponent,
/// stderr, margin, K of the 0-1 test); a state; the averages of x and x²; and the multipliers.
#[pyfunction]
#[pyo3(signature = (map, inputs, *, steps, transient, limit, tolerance, starts, initial_state,
                    at_rest, seed, threads=None, vector_unit=None, cancel=None))]
pub fn attractors<'py>(
    py: Python<'py>,
    map: &StateMap,
    inputs: Option<Bound<'py, PyAny>>,
    steps: usize,
    transient: usize,
    limit: usize,
    tolerance: f64,
    starts: usize,
    initial_state: Option<Bound<'py, PyAny>>,
    at_rest: bool,
    seed: u64,
    threads: Option<usize>,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Attractors<'py>> {
    let runner = Runner::new(threads, vector_unit, cancel)?;
    let options = StartOptions {
        count: starts,
        initial_state,
        at_rest,
        seed,
    };
    let settings = attractor::Settings {
        transient,
        steps,
        limit,
        tolerance,
        seed,
    };
    with_map!(map, |map| {
        let drive = drive(map, inputs.as_ref())?;
        let (states, sequences) = options.draw(map, &drive)?;
        let all = runner.run(py, |execution| {
            let starts = Starts {
                states: &states,
                sequences: &sequences,
            };
            attractor::attractors(map, &drive, &starts, &settings, execution)
        })?;
        let found = &all.found;
        let counts = Array2::from_shape_fn((found.len(), 3), |(start, i)| {
            let f = &found[start];
            i64::try_from([f.period, f.steps, f.same_as][i]).unwrap_or(i64::MAX)
        });
        let numbers = Array2::from_shape_fn((found.len(), 4), |(start, i)| {
            let f = &found[start];
            [f.exponent, f.stderr, f.margin, f.zero_one][i]
        });
        Ok((
            found.iter().map(|f| f.kind.name()).collect(),
            counts.into_pyarray(py),
            numbers.into_pyarray(py),
            all.states.into_pyarray(py).into_any(),
            all.averages.into_pyarray(py),
            all.multipliers.into_pyarray(py),
        ))
    })
}

/// States (S, steps, n), in the map's dtype.
#[pyfunction]
#[pyo3(signature = (map, inputs, *, steps, transient, starts, initial_state, at_rest, seed,
                    threads=None, vector_unit=None, cancel=None))]
pub fn orbit<'py>(
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
        initial_state,
        at_rest,
        seed,
    };
    with_map!(map, |map| {
        let drive = drive(map, inputs.as_ref())?;
        let (states, sequences) = options.draw(map, &drive)?;
        let found = runner.run(py, |execution| {
            let starts = Starts {
                states: &states,
                sequences: &sequences,
            };
            orbits::orbits(map, &drive, &starts, transient, steps, execution)
        })?;
        Ok(found.into_pyarray(py).into_any())
    })
}

type Frames<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray3<f64>>,
);

/// States (count + 1, n), Q (count + 1, n, k) and R (count, k, k) along one orbit.
#[pyfunction]
#[pyo3(signature = (map, inputs, *, k, transient, count, interval, initial_state, at_rest, seed,
                    vector_unit=None, cancel=None))]
pub fn frames<'py>(
    py: Python<'py>,
    map: &StateMap,
    inputs: Option<Bound<'py, PyAny>>,
    k: usize,
    transient: usize,
    count: usize,
    interval: usize,
    initial_state: Option<Bound<'py, PyAny>>,
    at_rest: bool,
    seed: u64,
    vector_unit: Option<&str>,
    cancel: Option<&Cancel>,
) -> PyResult<Frames<'py>> {
    let runner = Runner::new(Some(1), vector_unit, cancel)?;
    let options = StartOptions {
        count: 1,
        initial_state,
        at_rest,
        seed,
    };
    let settings = along::Settings {
        k,
        transient,
        count,
        interval,
        seed,
    };
    let found = with_map!(map, |map| {
        let drive = drive(map, inputs.as_ref())?;
        let (states, sequences) = options.draw(map, &drive)?;
        runner.run(py, |execution| {
            let starts = Starts {
                states: &states,
                sequences: &sequences,
            };
            along::frames(map, &drive, &starts, &settings, execution)
        })
    })?;
    Ok((
        found.states.into_pyarray(py),
        found.q.into_pyarray(py),
        found.r.into_pyarray(py),
    ))
}

type Pushed<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// (F(x) (n,), DF(x) V (n, k)) of the autonomous map, in its dtype.
#[pyfunction]
pub fn push<'py>(
    py: Python<'py>,
    map: &StateMap,
    state: Bound<'py, PyAny>,
    vectors: Bound<'py, PyAny>,
) -> PyResult<Pushed<'py>> {
    with_map!(map, |map| {
        let (next, pushed) = push_one(py, map, &state, &vectors)?;
        Ok((
            next.into_pyarray(py).into_any(),
            pushed.into_pyarray(py).into_any(),
        ))
    })
}

fn push_one<T: Real + Element>(
    py: Python<'_>,
    map: &dyn System<T>,
    state: &Bound<'_, PyAny>,
    vectors: &Bound<'_, PyAny>,
) -> PyResult<(Array1<T>, Array2<T>)> {
    let state: PyReadonlyArray1<'_, T> = state.extract()?;
    let vectors: PyReadonlyArray2<'_, T> = vectors.extract()?;
    let (state, vectors) = (state.as_array(), vectors.as_array());
    py.detach(|| tangent::push(map, &state, &vectors))
        .map_err(raise)
}
