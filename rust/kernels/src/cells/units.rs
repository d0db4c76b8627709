//! A layer as passes over its units: products with what they read, then each unit alone.

use super::matrix::{Gates, Matrix, SUMS, Sums};
use crate::activation::Exponential;
use crate::lanes::Lanes;

/// What becomes of the sums of a unit in one pass. States are those of the layer, h first.
pub trait Units: Sync {
    /// f32 or f64.
    type Scalar: Exponential;
    /// The gates that the pass needs: `[Scalar; G]`.
    type Gates: Gates<Self::Scalar>;
    /// Whether the last gate has two sums, W_ih x + b_ih and W_hh h + b_hh.
    const APART: bool = false;
    /// Numbers that a unit keeps for its derivative.
    const KEPT: usize;

    /// The products.
    fn matrix(&self) -> &Matrix<Self::Scalar, Self::Gates>;

    /// The new state of a unit.
    fn step_unit<L: Lanes<Scalar = Self::Scalar>, const C: usize>(
        &self,
        unit: usize,
        z: Sums<L, C>,
        old: &[[L; C]],
        new: &mut [[L; C]],
    );

    /// The new state of a unit, and what its derivative needs.
    fn linearise_unit<L: Lanes<Scalar = Self::Scalar>>(
        &self,
        unit: usize,
        z: [L; SUMS],
        old: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    );

    /// The new tangents of a unit, from its sums over tangents and from its derivative.
    fn push_unit<L: Lanes<Scalar = Self::Scalar>, const C: usize>(
        &self,
        unit: usize,
        sums: Sums<L, C>,
        at: &[L],
        old: &[[L; C]],
        new: &mut [[L; C]],
    );
}

/// The dynamics of a layer, in one pass over its units or in several.
pub trait Layer<T: Exponential>: Sync {
    /// How many numbers [`Layer::linearise`] keeps.
    fn kept(&self) -> usize;

    /// How many numbers [`Layer::project`] gives.
    fn projected(&self) -> usize;

    /// W_ih x and the biases: the part of the sums that depends on the input alone.
    fn project<L: Lanes<Scalar = T>, const C: usize>(&self, x: &[[L; C]], u: &mut [[L; C]]);

    /// The new state. `u` is a projected input, or empty; `x` is what else the layer reads.
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        u: &[[L; C]],
        x: &[[L; C]],
        old: &[[L; C]],
        new: &mut [[L; C]],
    );

    /// The new state, and in `at` what the derivative needs.
    fn linearise<L: Lanes<Scalar = T>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        old: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    );

    /// The new tangents, from those of the old state and of `x`.
    fn push<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        at: &[L],
        x: &[[L; C]],
        old: &[[L; C]],
        new: &mut [[L; C]],
    );
}

impl<T: Exponential, P: Units<Scalar = T>> Layer<T> for P {
    fn kept(&self) -> usize {
        P::KEPT * self.matrix().units
    }

    fn projected(&self) -> usize {
        sums_of::<P>() * self.matrix().units
    }

    #[inline(always)]
    fn project<L: Lanes<Scalar = T>, const C: usize>(&self, x: &[[L; C]], u: &mut [[L; C]]) {
        let count = sums_of::<P>();
        each_unit(self, Some(&[]), x, &[], &mut Project(count, u));
    }

    #[inline(always)]
    fn step<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        u: &[[L; C]],
        x: &[[L; C]],
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let h = &old[..self.matrix().recurrent];
        each_unit(self, Some(u), x, h, &mut Step(self, old, new));
    }

    #[inline(always)]
    fn linearise<L: Lanes<Scalar = T>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        old: &[[L; 1]],
        new: &mut [[L; 1]],
        at: &mut [L],
    ) {
        let h = &old[..self.matrix().recurrent];
        each_unit(self, Some(u), x, h, &mut Linearise(self, old, new, at));
    }

    #[inline(always)]
    fn push<L: Lanes<Scalar = T>, const C: usize>(
        &self,
        at: &[L],
        x: &[[L; C]],
        old: &[[L; C]],
        new: &mut [[L; C]],
    ) {
        let h = &old[..self.matrix().recurrent];
        each_unit(self, None, x, h, &mut Push(self, at, old, new));
    }
}

/// How many sums a unit has.
const fn sums_of<P: Units>() -> usize {
    P::Gates::COUNT + P::APART as usize
}

/// What a pass does with the sums of a unit: a trait, as a closure might stay apart.
trait Then<L, const C: usize> {
    fn then(&mut self, unit: usize, sums: Sums<L, C>);
}

struct Project<'a, L, const C: usize>(usize, &'a mut [[L; C]]);
struct Step<'a, L, const C: usize, P>(&'a P, &'a [[L; C]], &'a mut [[L; C]]);
struct Linearise<'a, L, P>(&'a P, &'a [[L; 1]], &'a mut [[L; 1]], &'a mut [L]);
struct Push<'a, L, const C: usize, P>(&'a P, &'a [L], &'a [[L; C]], &'a mut [[L; C]]);

impl<L: Lanes, const C: usize> Then<L, C> for Project<'_, L, C> {
    #[inline(always)]
    fn then(&mut self, unit: usize, sums: Sums<L, C>) {
        self.1[unit * self.0..][..self.0].copy_from_slice(&sums[..self.0]);
    }
}

impl<L: Lanes, const C: usize, P: Units<Scalar = L::Scalar>> Then<L, C> for Step<'_, L, C, P> {
    #[inline(always)]
    fn then(&mut self, unit: usize, sums: Sums<L, C>) {
        self.0.step_unit(unit, sums, self.1, self.2);
    }
}

impl<L: Lanes, P: Units<Scalar = L::Scalar>> Then<L, 1> for Linearise<'_, L, P> {
    #[inline(always)]
    fn then(&mut self, unit: usize, sums: Sums<L, 1>) {
        let at = &mut self.3[P::KEPT * unit..][..P::KEPT];
        let z = [sums[0][0], sums[1][0], sums[2][0], sums[3][0]];
        self.0.linearise_unit(unit, z, self.1, self.2, at);
    }
}

impl<L: Lanes, const C: usize, P: Units<Scalar = L::Scalar>> Then<L, C> for Push<'_, L, C, P> {
    #[inline(always)]
    fn then(&mut self, unit: usize, sums: Sums<L, C>) {
        let at = &self.1[P::KEPT * unit..][..P::KEPT];
        self.0.push_unit(unit, sums, at, self.2, self.3);
    }
}

/// The sums of every unit: from its biases or what the input made of them (`u`), or from zero.
/// As many units at a time as make eight sums: fewer would wait for each other.
#[inline(always)]
fn each_unit<L: Lanes, const C: usize, P: Units<Scalar = L::Scalar>>(
    units: &P,
    u: Option<&[[L; C]]>,
    x: &[[L; C]],
    h: &[[L; C]],
    then: &mut impl Then<L, C>,
) {
    match const { 8 / (sums_of::<P>() * C) } {
        8 => blocks::<L, C, P, 8>(units, u, x, h, then),
        4.. => blocks::<L, C, P, 4>(units, u, x, h, then),
        2.. => blocks::<L, C, P, 2>(units, u, x, h, then),
        _ => blocks::<L, C, P, 1>(units, u, x, h, then),
    }
}

#[inline(always)]
fn blocks<L: Lanes, const C: usize, P: Units<Scalar = L::Scalar>, const U: usize>(
    units: &P,
    u: Option<&[[L; C]]>,
    x: &[[L; C]],
    h: &[[L; C]],
    then: &mut impl Then<L, C>,
) {
    let mut unit = 0;
    while U > 1 && unit + U <= units.matrix().units {
        block::<L, C, P, U>(units, unit, u, x, h, then);
        unit += U;
    }
    for unit in unit..units.matrix().units {
        block::<L, C, P, 1>(units, unit, u, x, h, then);
    }
}

#[inline(always)]
fn block<L: Lanes, const C: usize, P: Units<Scalar = L::Scalar>, const U: usize>(
    units: &P,
    unit: usize,
    u: Option<&[[L; C]]>,
    x: &[[L; C]],
    h: &[[L; C]],
    then: &mut impl Then<L, C>,
) {
    let matrix = units.matrix();
    let mut sums = [[[L::zero(); C]; SUMS]; U];
    if let Some(u) = u {
        for i in 0..U {
            sums[i] = matrix.bias(unit + i, u, sums_of::<P>());
        }
    }
    sums = matrix.add(unit, sums, x, 0, 0);
    sums = matrix.add(unit, sums, h, matrix.inputs, usize::from(P::APART));
    for i in 0..U {
        then.then(unit + i, sums[i]);
    }
}
