//! The recurrent cells, and nets of them as one [`crate::map::StateMap`].
//!
//! A cell is a file here and a line in the table below. Every net is one type, [`Net`], which
//! finds its cell anew in every layer and step: measures are compiled once, not once a cell.

use crate::activation::Exponential;
use crate::error::Error;

mod elman;
mod gru;
mod gru_reset_before;
mod lstm;
mod matrix;
mod units;
mod weights;

use units::Layer;
use weights::{Folded, Form, Input, fold};
pub use weights::{LayerWeights, Readout};

/// A recurrent cell: the names it goes by, and a layer of it from its weights.
trait Cell<T: Exponential>: Layer<T> + Sized {
    const NAMES: &'static [&'static str];
    const FORM: Form;

    /// A layer of the cell called `name`.
    fn new(name: &str, layer: &Folded<T>) -> Self;

    /// Numbers of its state, h first.
    fn state(&self) -> usize;
}

/// The table of cells.
macro_rules! cells {
    ($($cell:ident in $module:ident),* $(,)?) => {
        /// A layer of any cell.
        #[derive(Clone, Debug)]
        enum AnyLayer<T> {
            $($cell($module::$cell<T>),)*
        }

        /// Evaluates `$body`, where `$layer` is the layer of its own cell.
        macro_rules! with_layer {
            ($any:expr, |$layer:ident| $body:expr) => {
                match $any {
                    $(AnyLayer::$cell($layer) => $body,)*
                }
            };
        }

        impl<T: Exponential> AnyLayer<T> {
            /// The layers of the cell called `name`, and whether the first one is fed back.
            fn stack(
                name: &str,
                weights: &[LayerWeights<'_, T>],
                input: Input<'_, T>,
            ) -> Result<(Vec<Self>, bool), Error> {
                $(if $module::$cell::<T>::NAMES.contains(&name) {
                    let (layers, fed_back) = fold(weights, input, $module::$cell::<T>::FORM)?;
                    let layer = |folded| Self::$cell(Cell::new(name, folded));
                    return Ok((layers.iter().map(layer).collect(), fed_back));
                })*
                let known = [$($module::$cell::<T>::NAMES),*].concat().join(", ");
                let reason = format!("expected one of {known}, found {name}");
                Err(Error::settings("cell", reason))
            }
        }
    };
}

cells! {
    Lstm in lstm,
    Gru in gru,
    GruResetBefore in gru_reset_before,
    Elman in elman,
}

mod net; // after the table, whose `with_layer!` it uses
pub use net::Net;
