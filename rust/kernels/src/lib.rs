//! Recurrent cells and orthonormal frames on vector units.
//!
//! What leaves this crate is object-safe: a [`system::System`] is a state map s' = F(s, u), and
//! [`system::System::on`] gives the [`engine::Engine`] that advances whole tiles of it on one
//! vector unit. Each pass is compiled once for each precision and unit, here and nowhere else;
//! what is built on it is plain scalar mathematics. All units give the same bits.

pub mod activation;
pub mod cells;
pub mod engine;
pub mod error;
pub mod frame;
pub mod lanes;
pub mod map;
pub mod orthonormal;
pub mod system;
pub mod tanh_map;
pub mod tile;

pub use error::Error;
