//! The random numbers of a seed, for tests and peers that must start where the core does.

use lstm_edge_core::{ensemble, tangent};
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The first tangent frame (n, k) of a start.
#[pyfunction]
pub fn tangent_frame(
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
pub fn perturbation(
    py: Python<'_>,
    count: usize,
    noise: f64,
    seed: u64,
    sample: usize,
) -> Bound<'_, PyArray1<f64>> {
    PyArray1::from_vec(py, ensemble::perturbation(count, noise, seed, sample))
}
