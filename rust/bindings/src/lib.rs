//! The Python face of the core: arrays in, one detached call, arrays out, errors turned.
//!
//! No mathematics here. Every function validates, leaves the interpreter once, calls one function
//! of the core and converts what comes back.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::too_many_arguments
)]

use pyo3::prelude::*;

mod draws;
mod measures;
mod runner;
mod state_map;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<runner::Cancel>()?;
    module.add_class::<state_map::StateMap>()?;
    module.add_function(wrap_pyfunction!(measures::lyapunov, module)?)?;
    module.add_function(wrap_pyfunction!(measures::asymptotic_distance, module)?)?;
    module.add_function(wrap_pyfunction!(measures::attractors, module)?)?;
    module.add_function(wrap_pyfunction!(measures::orbit, module)?)?;
    module.add_function(wrap_pyfunction!(measures::frames, module)?)?;
    module.add_function(wrap_pyfunction!(measures::push, module)?)?;
    module.add_function(wrap_pyfunction!(draws::tangent_frame, module)?)?;
    module.add_function(wrap_pyfunction!(draws::perturbation, module)?)?;
    module.add_function(wrap_pyfunction!(runner::vector_units, module)?)
}
