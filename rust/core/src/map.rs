//! The two ideas that everything else is written against: a state map s' = F(s, u) and the drive
//! that supplies its input u.
//!
//! A map advances a tile of trajectories at once. A tile of states is a slice of `[L; C]`, one
//! entry a component of the state; lane i of column c is one trajectory. All scratch belongs to
//! the caller: no allocation inside the time loop.

use ndarray::{Array3, ArrayView1, ArrayView3};

use crate::error::Error;
use crate::lanes::{Lanes, Real};

/// A discrete dynamical system s' = F(s, u) with its tangent map.
///
/// Implementations must be `#[inline(always)]` and treat every lane alike (see [`crate::lanes`]).
pub trait StateMap<T: Real>: Sync {
    /// Dimension n of the state.
    fn dim(&self) -> usize;

    /// Dimension of the input u; 0 for a map that takes none.
    fn input_dim(&self) -> usize {
        0
    }

    /// How many numbers [`StateMap::linearise`] keeps.
    fn linearisation_len(&self) -> usize;

    /// The box that random starts are drawn from, for a component of the state.
    fn start_range(&self, _component: usize) -> (f64, f64) {
        (-1.0, 1.0)
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

/// Where the input of a map comes from, as a function of the step.
///
/// A constant input and a closed loop are part of the map itself: both fold into its weights.
#[derive(Clone, Debug)]
pub enum Drive<T> {
    /// u = 0: the autonomous map.
    Zero,
    /// Sequences (B, T, I); after its last step a sequence goes on with zeros.
    Sequences(Array3<T>),
}

impl<T: Real> Drive<T> {
    /// A drive of sequences of shape (B, T, I) for a map of `input_dim` inputs.
    ///
    /// # Errors
    /// No sequence, a wrong last axis, or numbers that are not finite.
    pub fn sequences(inputs: &ArrayView3<'_, T>, input_dim: usize) -> Result<Self, Error> {
        let (sequences, steps, _) = inputs.dim();
        let expected = [sequences.max(1), steps.max(1), input_dim];
        Error::unless_shape("inputs", &expected, inputs.shape())?;
        Error::unless_finite("inputs", inputs)?;
        Ok(Self::Sequences(inputs.as_standard_layout().into_owned()))
    }

    /// How many sequences there are; 0 without any.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Zero => 0,
            Self::Sequences(inputs) => inputs.dim().0,
        }
    }

    /// From this step on the map is autonomous.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Zero => 0,
            Self::Sequences(inputs) => inputs.dim().1,
        }
    }

    /// Whether the map is autonomous from the start.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the input of one lane, sequence `sequence` at step `t`, by `put(component, value)`.
    #[inline]
    pub(crate) fn read(&self, sequence: usize, t: usize, mut put: impl FnMut(usize, T)) {
        let Self::Sequences(inputs) = self else {
            return;
        };
        let (_, steps, width) = inputs.dim();
        for i in 0..width {
            put(
                i,
                if t < steps {
                    inputs[[sequence, t, i]]
                } else {
                    T::of(0.0)
                },
            );
        }
    }
}
