//! The recurrent cells, and nets of them as one [`crate::map::StateMap`].
//!
//! A cell is a file here and a line in the table below. Every net is one type, [`Net`], which
//! finds its cell anew in every layer and step: measures are compiled once, not once a cell.

use crate::activation::{Exponential, Function, Functions};
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

/// A recurrent cell: its name, and a layer of it from its weights.
trait Cell<T: Exponential>: Layer<T> + Sized {
    const NAME: &'static str;
    const FORM: Form;

    /// A layer with these functions.
    fn new(functions: Functions, layer: &Folded<T>) -> Self;

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
                let (cell, functions) = parse(name)?;
                $(if $module::$cell::<T>::NAME == cell {
                    let (layers, fed_back) = fold(weights, input, $module::$cell::<T>::FORM)?;
                    let layer = |folded| Self::$cell(Cell::new(functions, folded));
                    return Ok((layers.iter().map(layer).collect(), fed_back));
                })*
                let known = [$($module::$cell::<T>::NAME),*].join(", ");
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

/// A cell and its functions, from a name such as "lstm", "rnn_relu" or "gru:relu:hard_sigmoid",
/// which has the function of the state first and that of the gates behind it.
fn parse(name: &str) -> Result<(&str, Functions), Error> {
    let mut words = name.split(':');
    let (cell, mut state) = (words.next().unwrap_or(name), words.next());
    let cell = cell.strip_prefix("rnn_").map_or(cell, |word| {
        state = Some(word);
        "rnn"
    });
    let function = |word: &str| {
        let found = Function::NAMES.iter().find(|(known, _)| *known == word);
        let known = Function::NAMES.map(|(known, _)| known).join(", ");
        let reason = format!("expected one of the functions {known}, found {word}");
        found
            .map(|&(_, f)| f)
            .ok_or(Error::settings("cell", reason))
    };
    let functions = Functions {
        state: function(state.unwrap_or("tanh"))?,
        gate: function(words.next().unwrap_or("sigmoid"))?,
    };
    Ok((cell, functions))
}

mod net; // after the table, whose `with_layer!` it uses
pub use net::Net;
