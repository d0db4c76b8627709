//! The measures: each a function of a map and a drive, never of a cell.

pub mod attractor;
pub mod distance;
pub mod frames;
pub mod lyapunov;
mod merging;
mod settled;
pub mod watch;
pub mod zero_one;
