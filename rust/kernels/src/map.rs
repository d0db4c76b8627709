//! The idea that everything else is written against: a state map s' = F(s, u).
//!
//! A map advances a tile of trajectories at once. A tile of states is a slice of `[L; C]`, one
//! entry a component of the state; lane i of column c is one trajectory. All scratch belongs to
//! the caller: no allocation inside the time loop.

use ndarray::ArrayView1;

use crate::lanes::{Lanes, Real};

/// A discrete dynamical system s' = F(s, u) with its tangent map.
///
/// Implementations must be `#[inline(always)]` and treat every lane alike (see [`crate::lanes`]).
pub trait StateMap<T: Real>: Send + Sync {
    /// Dimension n of the state.
    fn dim(&self) -> usize;

    /// Dimension of an input; 0 for a map that takes none.
    fn input_dim(&self) -> usize {
        0
    }

    /// Length of u, of what [`StateMap::project`] makes of an input.
    fn projected_dim(&self) -> usize {
        self.input_dim()
    }

    /// u: the part of F that depends on the input alone. It is computed once where inputs repeat.
    #[inline(always)]
    fn project<L: Lanes<Scalar = T>, const C: usize>(&self, input: &[[L; C]], u: &mut [[L; C]]) {
        u.copy_from_slice(input);
    }

    /// How many numbers [`StateMap::linearise`] keeps.
    fn linearisation_len(&self) -> usize;

    /// The box that random starts are drawn from, for a component of the state.
    fn start_range(&self, _component: usize) -> (f64, f64) {
        (-1.0, 1.0)
    }

    /// A component of the state at rest, in which a net begins to read; zero for a net.
    fn rest(&self, _component: usize) -> f64 {
        0.0
    }

    /// Whether a component is part of the output h: perturbed and compared in Wei et al. 2025.
    fn is_output(&self, _component: usize) -> bool {
        true
    }

    /// The number that an orbit diagram shows of a state.
    fn observable(&self, state: ArrayView1<'_, T>) -> f64 {
        state.iter().map(|&x| -> f64 { x.into() }).sum()
    }

    /// y = F(x, u). An empty `u` is the zero input.
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        u: &[[L; C]],
        x: &[[L; C]],
        y: &mut [[L; C]],
    );

    /// y = F(x, u), keeping in `at` what the derivative at (x, u) needs.
    fn linearise<L: Lanes<Scalar = T>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        y: &mut [[L; 1]],
        at: &mut [L],
    );

    /// w = DF v, for the derivative kept in `at` and a tile of tangent vectors v.
    fn push<L: Lanes<Scalar = T>, const C: usize>(&self, at: &[L], v: &[[L; C]], w: &mut [[L; C]]);
}
