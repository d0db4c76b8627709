//! The measures: each a function of a map and a drive, never of a cell.

pub mod distance;
pub mod lyapunov;
