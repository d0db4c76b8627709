//! The drive: where the input of a map comes from, as a function of the step.
//!
//! A constant input and a closed loop are part of the map itself: both fold into its weights.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use crate::error::Error;
use crate::lanes::{Isa, Kernel, Lanes, Real, dispatch};
use crate::map::StateMap;

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
        /// What each distinct input is projected to; the last row is that of the zero input.
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
    pub fn tokens<M: StateMap<T>>(
        tokens: &ArrayView2<'_, i64>,
        embedding: &ArrayView2<'_, T>,
        map: &M,
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
        let mut inputs = Array2::from_elem((rows.len() + 1, map.input_dim()), T::of(0.0));
        for (mut input, row) in inputs.outer_iter_mut().zip(rows) {
            input.assign(&row);
        }
        let projected = dispatch(Isa::best(), Project { map, inputs });
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
pub(crate) struct TileInput<L, const C: usize> {
    input: Vec<[L; C]>,
    u: Vec<[L; C]>,
}

impl<L: Lanes, const C: usize> TileInput<L, C> {
    pub fn new<M: StateMap<L::Scalar>>(map: &M) -> Self {
        Self {
            input: vec![[L::zero(); C]; map.input_dim()],
            u: vec![[L::zero(); C]; map.projected_dim()],
        }
    }

    /// The projected inputs of step t, the same for all lanes; none, once the drive has ended.
    /// `sequence(i)` tells the sequence of lane i, if it is used.
    #[inline(always)]
    pub fn at<M: StateMap<L::Scalar>>(
        &mut self,
        map: &M,
        drive: &Drive<L::Scalar>,
        t: usize,
        sequence: impl Fn(usize) -> Option<usize>,
    ) -> &[[L; C]] {
        if t >= drive.len() {
            return &[];
        }
        self.read(map, drive, |i| sequence(i).map(|s| (s, t)))
    }

    /// The projected inputs. `lane(i)` tells the sequence and the step of lane i, if it is used.
    #[inline(always)]
    pub fn read<M: StateMap<L::Scalar>>(
        &mut self,
        map: &M,
        drive: &Drive<L::Scalar>,
        lane: impl Fn(usize) -> Option<(usize, usize)>,
    ) -> &[[L; C]] {
        match drive {
            Drive::Zero => return &[],
            Drive::Sequences(inputs) => {
                let zero = L::Scalar::of(0.0);
                let (_, steps, width) = inputs.dim();
                gather(&mut self.input, width, lane, |(sequence, t), i| {
                    if t < steps {
                        inputs[[sequence, t, i]]
                    } else {
                        zero
                    }
                });
                map.project(&self.input, &mut self.u);
            }
            Drive::Tokens { ids, projected } => {
                let (last, width) = (projected.nrows() - 1, projected.ncols());
                gather(&mut self.u, width, lane, |(sequence, t), i| {
                    let row = ids.get([sequence, t]).map_or(last, |&id| id);
                    projected[[row, i]]
                });
            }
        }
        &self.u
    }
}

/// `tile[component]` of lane i is `value(lane(i), component)`, a few components at a time.
#[inline(always)]
fn gather<L: Lanes, const C: usize>(
    tile: &mut [[L; C]],
    width: usize,
    lane: impl Fn(usize) -> Option<(usize, usize)>,
    value: impl Fn((usize, usize), usize) -> L::Scalar,
) {
    for first in (0..width).step_by(GATHER) {
        for i in 0..L::N * C {
            let Some(place) = lane(i) else { continue };
            for component in first..width.min(first + GATHER) {
                tile[component][i / L::N].as_mut_slice()[i % L::N] = value(place, component);
            }
        }
    }
}

/// Projects the rows of a table, a lane a row.
struct Project<'a, T, M> {
    map: &'a M,
    inputs: Array2<T>,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Project<'_, T, M> {
    type Output = Array2<T>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Array2<T> {
        let (rows, width) = self.inputs.dim();
        let mut projected = Array2::from_elem((rows, self.map.projected_dim()), T::of(0.0));
        let mut input = vec![[L::zero(); C]; width];
        let mut u = vec![[L::zero(); C]; self.map.projected_dim()];
        for first in (0..rows).step_by(L::N * C) {
            let row = |i: usize| (first + i < rows).then_some((first + i, 0));
            let value = |(row, _): (usize, usize), i| self.inputs[[row, i]];
            gather(&mut input, width, row, value);
            self.map.project(&input, &mut u);
            for i in 0..(L::N * C).min(rows - first) {
                for (component, u) in u.iter().enumerate() {
                    projected[[first + i, component]] = u[i / L::N].as_slice()[i % L::N];
                }
            }
        }
        projected
    }
}
