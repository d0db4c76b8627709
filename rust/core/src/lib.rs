//! State maps, their tangent dynamics, and what both tell of order and chaos.
//!
//! An LSTM is one [`System`](lstm_edge_kernels::system::System) among others, a measure is a
//! function of a system and a [`drive::Drive`], and an [`ensemble::Execution`] says on which
//! threads and vector unit it runs without changing a bit of the result. All here is scalar
//! mathematics above the engine of the kernels. Logarithms are natural, time is counted in steps
//! of the map, exponents are in nats per step.
//!
//! - G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980) 9 and 21
//! - W. Wei, N. J. L. Chong, C. H. Lai, L. Feng, arXiv 2505.20030 (2025)

pub mod cycle;
pub mod drive;
pub mod ensemble;
pub mod measures;
pub mod orbit;
pub mod tangent;

pub use lstm_edge_kernels::Error;
