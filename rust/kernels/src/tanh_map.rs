//! The map that Wei et al. 2025 compare training with: an LSTM's cell, reduced to one number.
//!
//! ```text
//! k' = r k (1 − tanh k)
//! ```
//!
//! As r grows, a fixed point gives way to a cascade of period doublings, chaos, and windows of
//! order in it. Here r plays the part of training time.

use crate::activation::{Exponential, sigmoid};
use crate::lanes::Lanes;
use crate::map::StateMap;
use crate::system::System;

/// k' = r k (1 − tanh k), for r > 0 and k > 0.
pub struct TanhMap<T> {
    /// The parameter r.
    pub r: T,
}

/// The map as an object, in double precision.
#[must_use]
pub fn system(r: f64) -> Box<dyn System<f64>> {
    Box::new(TanhMap { r })
}

impl<T: Exponential> StateMap<T> for TanhMap<T> {
    fn dim(&self) -> usize {
        1
    }

    fn linearisation_len(&self) -> usize {
        1
    }

    fn start_range(&self, _: usize) -> (f64, f64) {
        (0.0, 1.0)
    }

    /// k = 0 is a fixed point, whatever r is: the middle of the range instead.
    fn rest(&self, _: usize) -> f64 {
        0.5
    }

    #[inline(always)]
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        _: &[[L; C]],
        x: &[[L; C]],
        y: &mut [[L; C]],
    ) {
        for c in 0..C {
            y[0][c] = L::splat(self.r) * x[0][c] * fall(x[0][c]);
        }
    }

    /// dk' / dk = r (1 − tanh k) (1 − k (1 + tanh k))
    #[inline(always)]
    fn linearise<L: Lanes<Scalar = T>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        y: &mut [[L; 1]],
        at: &mut [L],
    ) {
        self.step(u, x, y);
        let (one, fall) = (L::splat(T::of(1.0)), fall(x[0][0]));
        let rise = L::splat(T::of(2.0)) - fall;
        at[0] = L::splat(self.r) * fall * (one - x[0][0] * rise);
    }

    #[inline(always)]
    fn push<L: Lanes<Scalar = T>, const C: usize>(&self, at: &[L], v: &[[L; C]], w: &mut [[L; C]]) {
        for c in 0..C {
            w[0][c] = at[0] * v[0][c];
        }
    }
}

/// 1 − tanh k = 2 σ(−2k), without cancellation.
#[inline(always)]
fn fall<L: Lanes<Scalar: Exponential>>(k: L) -> L {
    let [s] = sigmoid([-(k + k)]);
    s + s
}
