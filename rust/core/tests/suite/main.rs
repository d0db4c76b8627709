//! The core's tests, in one binary: a map's kernels are compiled once.
#![allow(missing_docs)]

mod activation;
mod attractors;
mod cells;
mod common;
mod ensemble;
mod known_spectra;
mod properties;
