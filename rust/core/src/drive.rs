//! The drive: where the input of a map comes from, as a function of the step.
//!
//! A constant input and a closed loop are part of the map itself: both fold into its weights.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use lstm_edge_kernels::Error;
use lstm_edge_kernels::engine::Engine;
use lstm_edge_kernels::lanes::{Isa, Real};
use lstm_edge_kernels::system::System;
use lstm_edge_kernels::tile::Tile;

/// Components that are gathered together: a cache line of a row.
const GATHER: usize = 16;

/// What drives a map; after its last step a sequence goes on with zeros.
#[derive(Clone, Debug)]
pub enum Drive<T> {
    /// The zero input: the autonomous map.
    Zero,
    /// Inputs (B, T, I).
    Sequences(Array3<T>),
    /// Inputs that repeat, projected once.
    Tokens {
        /// (B, T), rows of the table.
        ids: Array2<usize>,
        /// What each distinct input is projected to.
        projected: Array2<T>,
    },
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

    /// A drive of tokens (B, T): rows of an embedding (V, I). It gives the same bits as the
    /// sequences of embedded tokens do.
    ///
    /// # Errors
    /// No sequence, a token that is not in 0 .. V, an embedding that does not fit the map or is
    /// not finite.
    pub fn tokens(
        tokens: &ArrayView2<'_, i64>,
        embedding: &ArrayView2<'_, T>,
        map: &dyn System<T>,
    ) -> Result<Self, Error> {
        let (sequences, steps) = tokens.dim();
        let expected = [sequences.max(1), steps.max(1)];
        Error::unless_shape("inputs", &expected, tokens.shape())?;
        let vocabulary = embedding.nrows();
        let expected = [vocabulary, map.input_dim()];
        Error::unless_shape("embedding", &expected, embedding.shape())?;
        Error::unless_finite("embedding", embedding)?;
        // only the tokens that occur are projected, in order of first appearance
        let mut row_of = vec![usize::MAX; vocabulary];
        let mut rows = Vec::new();
        let mut ids = Array2::from_elem(tokens.dim(), 0);
        for (id, &token) in ids.iter_mut().zip(tokens) {
            let known = usize::try_from(token).ok();
            let Some(row) = known.and_then(|token| row_of.get_mut(token)) else {
                let reason = format!("expected tokens from 0 to {vocabulary} - 1, found {token}");
                return Err(Error::settings("inputs", reason));
            };
            if *row == usize::MAX {
                *row = rows.len();
                rows.push(embedding.row(known.unwrap_or_default()));
            }
            *id = *row;
        }
        let mut inputs = Array2::from_elem((rows.len(), map.input_dim()), T::of(0.0));
        for (mut input, row) in inputs.outer_iter_mut().zip(rows) {
            input.assign(&row);
        }
        let projected = project(map, &inputs);
        Ok(Self::Tokens { ids, projected })
    }

    /// How many sequences there are; 0 without any.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Zero => 0,
            Self::Sequences(inputs) => inputs.dim().0,
            Self::Tokens { ids, .. } => ids.nrows(),
        }
    }

    /// From this step on the map is autonomous.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Zero => 0,
            Self::Sequences(inputs) => inputs.dim().1,
            Self::Tokens { ids, .. } => ids.ncols(),
        }
    }

    /// Whether the map is autonomous from the start.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The inputs of a tile of trajectories, as the map wants them.
pub(crate) struct TileInput<T> {
    input: Tile<T>,
    u: Tile<T>,
}

impl<T: Real> TileInput<T> {
    pub fn new(map: &dyn System<T>, width: usize) -> Self {
        Self {
            input: Tile::zeros(map.input_dim(), width),
            u: Tile::zeros(map.projected_dim(), width),
        }
    }

    /// The projected inputs of step t; none, once the drive has ended. `sequence(i)` tells the
    /// sequence of lane i, if it is used.
    pub fn at(
        &mut self,
        engine: &dyn Engine<T>,
        drive: &Drive<T>,
        t: usize,
        sequence: impl Fn(usize) -> Option<usize>,
    ) -> Option<&Tile<T>> {
        if t >= drive.len() {
            return None;
        }
        match drive {
            Drive::Zero => return None,
            Drive::Sequences(inputs) => {
                let components = inputs.dim().2;
                gather(&mut self.input, components, sequence, |sequence, i| {
                    inputs[[sequence, t, i]]
                });
                engine.project(&self.input, &mut self.u);
            }
            Drive::Tokens { ids, projected } => {
                let components = projected.ncols();
                gather(&mut self.u, components, sequence, |sequence, i| {
                    projected[[ids[[sequence, t]], i]]
                });
            }
        }
        Some(&self.u)
    }
}

/// `tile[component]` of lane i is `value(sequence(i), component)`, a few components at a time.
fn gather<T: Real>(
    tile: &mut Tile<T>,
    components: usize,
    sequence: impl Fn(usize) -> Option<usize>,
    value: impl Fn(usize, usize) -> T,
) {
    let width = tile.width();
    let numbers = tile.as_mut_slice();
    for first in (0..components).step_by(GATHER) {
        for i in 0..width {
            let Some(sequence) = sequence(i) else {
                continue;
            };
            for component in first..components.min(first + GATHER) {
                numbers[component * width + i] = value(sequence, component);
            }
        }
    }
}

/// What each row of a table of inputs is projected to, a lane a row.
fn project<T: Real>(map: &dyn System<T>, inputs: &Array2<T>) -> Array2<T> {
    let engine = map.on(Isa::best());
    let ((rows, components), width) = (inputs.dim(), engine.width());
    let mut projected = Array2::from_elem((rows, map.projected_dim()), T::of(0.0));
    let mut input = Tile::zeros(components, width);
    let mut u = Tile::zeros(map.projected_dim(), width);
    for first in (0..rows).step_by(width) {
        let row = |i: usize| (first + i < rows).then_some(first + i);
        gather(&mut input, components, row, |row, i| inputs[[row, i]]);
        engine.project(&input, &mut u);
        for i in 0..width.min(rows - first) {
            projected
                .row_mut(first + i)
                .iter_mut()
                .zip(u.lane(i))
                .for_each(|(p, u)| *p = u);
        }
    }
    projected
}
