//! State maps, their tangent dynamics, and what both tell of order and chaos.
//!
//! An LSTM is one [`map::StateMap`] among others, a measure is a function of a map and a
//! [`drive::Drive`], and an [`ensemble::Execution`] says on which threads and vector unit it runs
//! without changing a bit of the result. Logarithms are natural, time is counted in steps of the
//! map, exponents are in nats per step.
//!
//! - G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980) 9 and 21
//! - L. Wei, N. Chong, C. Lai, L. Feng, arXiv 2505.20030 (2025)

pub mod activation;
pub mod cells;
pub mod drive;
pub mod ensemble;
pub mod error;
pub mod frame;
pub mod lanes;
pub mod map;
pub mod measures;
pub mod orbit;
pub mod orthonormal;
pub mod tangent;
pub mod tanh_map;

pub use error::Error;
