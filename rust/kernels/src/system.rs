//! A state map as an object: what measures know of a net.

use ndarray::ArrayView1;

use crate::cells::{LayerWeights, Net, Readout};
use crate::engine::{Bind, Engine};
use crate::error::Error;
use crate::lanes::{Isa, Real, dispatch};
use crate::map::StateMap;

/// A discrete dynamical system s' = F(s, u): any [`StateMap`], as an object.
pub trait System<T: Real>: Send + Sync {
    /// As of [`StateMap::dim`].
    fn dim(&self) -> usize;
    /// As of [`StateMap::input_dim`].
    fn input_dim(&self) -> usize;
    /// As of [`StateMap::projected_dim`].
    fn projected_dim(&self) -> usize;
    /// As of [`StateMap::linearisation_len`].
    fn linearisation_len(&self) -> usize;
    /// As of [`StateMap::start_range`].
    fn start_range(&self, component: usize) -> (f64, f64);
    /// As of [`StateMap::rest`].
    fn rest(&self, component: usize) -> f64;
    /// As of [`StateMap::is_output`].
    fn is_output(&self, component: usize) -> bool;
    /// As of [`StateMap::observable`].
    fn observable(&self, state: ArrayView1<'_, T>) -> f64;
    /// What advances it on a vector unit.
    ///
    /// # Panics
    /// When this CPU lacks the unit.
    fn on(&self, isa: Isa) -> Box<dyn Engine<T> + '_>;
}

impl<T: Real, M: StateMap<T>> System<T> for M {
    fn dim(&self) -> usize {
        StateMap::dim(self)
    }
    fn input_dim(&self) -> usize {
        StateMap::input_dim(self)
    }
    fn projected_dim(&self) -> usize {
        StateMap::projected_dim(self)
    }
    fn linearisation_len(&self) -> usize {
        StateMap::linearisation_len(self)
    }
    fn start_range(&self, component: usize) -> (f64, f64) {
        StateMap::start_range(self, component)
    }
    fn rest(&self, component: usize) -> f64 {
        StateMap::rest(self, component)
    }
    fn is_output(&self, component: usize) -> bool {
        StateMap::is_output(self, component)
    }
    fn observable(&self, state: ArrayView1<'_, T>) -> f64 {
        StateMap::observable(self, state)
    }
    fn on(&self, isa: Isa) -> Box<dyn Engine<T> + '_> {
        dispatch(isa, Bind(self))
    }
}

/// What the first layer of a net reads.
#[derive(Clone, Copy)]
pub enum NetInput<'a, T> {
    /// A zero input, or one that depends on time.
    External,
    /// An input (I,) that never changes.
    Constant(ArrayView1<'a, T>),
    /// The readout of the last state.
    FedBack(Readout<'a, T>),
}

/// A precision in which nets are compiled.
pub trait Precision: Real {
    /// The net of a cell as an object.
    ///
    /// # Errors
    /// As for [`Net::new`] and [`Net::closed_loop`].
    fn net(
        cell: &str,
        layers: &[LayerWeights<'_, Self>],
        input: NetInput<'_, Self>,
    ) -> Result<Box<dyn System<Self>>, Error>;
}

macro_rules! precision {
    ($t:ty) => {
        impl Precision for $t {
            fn net(
                cell: &str,
                layers: &[LayerWeights<'_, Self>],
                input: NetInput<'_, Self>,
            ) -> Result<Box<dyn System<Self>>, Error> {
                Ok(Box::new(match input {
                    NetInput::External => Net::new(cell, layers, None)?,
                    NetInput::Constant(x) => Net::new(cell, layers, Some(x))?,
                    NetInput::FedBack(readout) => Net::closed_loop(cell, layers, readout)?,
                }))
            }
        }
    };
}
precision!(f32);
precision!(f64);
