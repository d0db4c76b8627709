//! The one door to the core: leaves the interpreter, and comes back for signals and the result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use lstm_edge_core::Error;
use lstm_edge_core::ensemble::Execution;
use lstm_edge_kernels::lanes::{Isa, default_float_mode};
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;

/// How often a call looks for signals.
const SIGNALS: Duration = Duration::from_millis(100);

pub fn raise(error: Error) -> PyErr {
    match error {
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
        error => PyValueError::new_err(error.to_string()),
    }
}

/// The vector units of this CPU, best first.
#[pyfunction]
pub fn vector_units() -> Vec<String> {
    let units = Isa::available();
    units
        .iter()
        .map(|isa| format!("{isa:?}").to_lowercase())
        .collect()
}

/// Makes the calls that were given it end with KeyboardInterrupt, from any thread.
#[pyclass(frozen, module = "lstm_edge._core")]
#[derive(Default)]
pub struct Cancel(Arc<AtomicBool>);

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
pub struct Runner {
    threads: Option<usize>,
    isa: Isa,
    cancel: Arc<AtomicBool>,
}

impl Runner {
    pub fn new(
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

    /// Makes `call` on a thread of its own, with the interpreter detached.
    pub fn run<R: Send>(
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
                let begun = std::thread::Builder::new().spawn_scoped(scope, move || {
                    default_float_mode();
                    sender.send(call(execution))
                });
                if let Err(error) = begun {
                    let reason = format!("the system starts no more of them ({error})");
                    return Err(raise(Error::settings("threads", reason)));
                }
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
