//! Fixed points and cycles: found by Newton's method, with their multipliers.
//!
//! At a state s of a cycle of period p the Lyapunov exponents are ln |μ| / p, for the eigenvalues μ
//! of DF^p(s): exact, where a time average still sees how the orbit arrives.

use lstm_edge_kernels::engine::Engine;
use lstm_edge_kernels::lanes::{Isa, Real};
use lstm_edge_kernels::orthonormal::NEVER;
use lstm_edge_kernels::system::System;
use lstm_edge_kernels::tile::Tile;
use nalgebra::{Complex, DMatrix, DVector, Schur};
use ndarray::ArrayView1;

/// Newton steps before a search is given up, and how often one is halved.
const ITERATIONS: usize = 30;
const HALVINGS: i32 = 6;

/// The longest period that is looked for, and the largest dimension.
const LONGEST: usize = 64;
pub(crate) const LARGEST: usize = 512;

/// An exponent of a cycle that is nearer to zero counts as zero, nats per step.
pub const ZERO: f64 = 1e-9;

/// How near, relative to 1 + |s|, an orbit is on a cycle; and one that returned with its period.
const ON: f64 = 1e-8;
const RETURNED: f64 = 1e-3;

/// Intervals over which an orbit is predicted.
const PREDICTED: usize = 4;

/// A fixed point or a cycle.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// Its states in order, each (n,).
    points: Vec<DVector<f64>>,
    /// DF^p at the first of them.
    derivative: DMatrix<f64>,
    /// μ, by descending modulus.
    pub multipliers: Vec<Complex<f64>>,
    /// ln |μ| / p, nats per step.
    pub exponents: Vec<f64>,
    /// Below this an exponent is lost to rounding: ln (n ε |DF^p|) / p.
    pub deepest: f64,
}

impl Cycle {
    /// The cycle of period p near a state, by its place among `known`, to which a new one is added;
    /// `None` where Newton's method finds none, or the period is a shorter one.
    fn near<T: Real>(
        map: &dyn System<T>,
        state: &ArrayView1<'_, T>,
        period: usize,
        known: &mut Vec<Self>,
    ) -> Option<usize> {
        let engine = map.on(Isa::best());
        let mut s = vector(state);
        let one = DMatrix::<f64>::identity(s.len(), s.len());
        let (mut end, mut slope) = derivative(map, &*engine, &s, period);
        let mut miss = &end - &s;
        for _ in 0..ITERATIONS {
            let step = (&one - &slope).lu().solve(&miss)?;
            // a step that does not bring the orbit nearer to its end is halved
            let tried = (0..HALVINGS).find_map(|halving| {
                let s = &s + &step * 0.5_f64.powi(halving);
                let end = orbit(&*engine, &s).nth(period - 1)?;
                let nearer = (&end - &s).norm() < miss.norm();
                nearer.then_some(s)
            });
            let Some(found) = tried else { break };
            s = found;
            (end, slope) = derivative(map, &*engine, &s, period);
            miss = &end - &s;
        }
        let rounding = 64.0 * T::EPSILON * (s.len() as f64).sqrt() * (1.0 + s.norm());
        if miss.norm() > rounding {
            return None;
        }
        let is_at = |cycle: &Self| {
            cycle.period() == period
                && (cycle.points.iter()).any(|point| (point - &s).norm() <= ON * (1.0 + s.norm()))
        };
        if let Some(found) = known.iter().position(is_at) {
            return Some(found);
        }
        known.push(Self::at(&*engine, &s, period, slope)?);
        Some(known.len() - 1)
    }

    fn at<T: Real>(
        engine: &dyn Engine<T>,
        s: &DVector<f64>,
        period: usize,
        derivative: DMatrix<f64>,
    ) -> Option<Self> {
        let later = orbit(engine, s).take(period - 1);
        let points: Vec<_> = std::iter::once(s.clone()).chain(later).collect();
        let returns = |d: usize| (&points[d] - &points[0]).norm() <= ON * (1.0 + s.norm());
        let shorter = (1..period).any(|d| period.is_multiple_of(d) && returns(d));
        if shorter {
            return None;
        }
        let (n, p) = (s.len() as f64, period as f64);
        let deepest = (n * f64::EPSILON * derivative.norm()).ln() / p;
        let schur = Schur::try_new(derivative.clone(), f64::EPSILON, 100 * s.len())?;
        let mut multipliers: Vec<_> = schur.complex_eigenvalues().iter().copied().collect();
        multipliers.sort_by(|a, b| b.norm().total_cmp(&a.norm()));
        Some(Self {
            points,
            derivative,
            exponents: multipliers.iter().map(|mu| mu.norm().ln() / p).collect(),
            multipliers,
            deepest,
        })
    }

    /// The stable or unstable cycle that an orbit is on, or is drawn to.
    ///
    /// `steps` lie between each of `states` and the one before it; `returned` is the period with
    /// which the orbit returned, if it did. What is among `known` is not sought again.
    pub fn of_orbit<T: Real>(
        map: &dyn System<T>,
        states: &[ArrayView1<'_, T>],
        steps: &[f64],
        returned: Option<usize>,
        known: &mut Vec<Self>,
    ) -> Option<usize> {
        let end = states.last()?;
        if end.len() > LARGEST || returned.is_some_and(|period| period > LONGEST) {
            return None;
        }
        let is_it = |cycle: &Self| {
            let distances: Vec<f64> = states.iter().map(|s| cycle.distance(s)).collect();
            let near = if returned == Some(cycle.period()) {
                RETURNED
            } else {
                ON
            };
            distances.last().is_some_and(|&d| d <= near)
                || cycle.is_stable()
                    && (cycle.draws(&distances, steps) || cycle.predicts(states, steps))
        };
        if let Some(found) = known.iter().position(is_it) {
            return Some(found);
        }
        let mut seek = |period| Self::near(map, end, period, known).filter(|&i| is_it(&known[i]));
        match returned {
            Some(period) => seek(period),
            None => seek(1).or_else(|| seek(approached(map, states)?)),
        }
    }

    /// Steps after which it returns.
    #[must_use]
    pub fn period(&self) -> usize {
        self.points.len()
    }

    /// The largest exponent.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.exponents[0]
    }

    /// Whether it attracts: all exponents are negative, beyond rounding.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.rate() < -ZERO
    }

    /// The distance of a state from it, relative to 1 + |s|.
    fn distance<T: Real>(&self, state: &ArrayView1<'_, T>) -> f64 {
        let relative = |point: &DVector<f64>| apart(state, point) / (1.0 + point.norm());
        self.points
            .iter()
            .map(relative)
            .fold(f64::INFINITY, f64::min)
    }

    /// The state of it that is nearest to another one.
    pub fn nearest<T: Real>(&self, state: &ArrayView1<'_, T>) -> impl Iterator<Item = T> {
        let order = |a: &&DVector<f64>, b: &&DVector<f64>| {
            let distance = |point| apart(state, point);
            distance(a).total_cmp(&distance(b))
        };
        let nearest = self.points.iter().min_by(order);
        nearest.into_iter().flatten().map(|&x| T::of(x))
    }

    /// Whether an orbit is on it, or is drawn to it.
    ///
    /// `distances` are those of states, and `steps` lie between each of them and the one before.
    /// Over the later half ln d must fall from each to the next: by no less than half of what the
    /// leading exponent λ makes of the time between, and ever more slowly, as faster directions
    /// die out, or a cubic term. On a torus or in chaos it does not.
    fn draws(&self, distances: &[f64], steps: &[f64]) -> bool {
        let middle = distances.len() / 2;
        let pairs = distances[middle..].windows(2).zip(&steps[middle + 1..]);
        // a step, in units of the slowest
        let falls: Vec<f64> = pairs
            .map(|(d, steps)| (d[0] / d[1]).ln() / (-self.rate() * steps))
            .collect();
        let (early, late) = falls.split_at(falls.len() / 2);
        let mean = |falls: &[f64]| falls.iter().sum::<f64>() / falls.len() as f64;
        falls.iter().all(|&fall| fall >= 0.5) && mean(late) <= mean(early) + 0.1
    }

    /// Whether an orbit comes nearer to a fixed point s* as its linear part says: over the last
    /// intervals of m steps each, δ = s − s* becomes DF^m δ up to half of what e^{mλ} takes from it.
    /// That holds for spirals, and for many directions at once.
    fn predicts<T: Real>(&self, states: &[ArrayView1<'_, T>], steps: &[f64]) -> bool {
        if self.period() > 1 || states.len() <= PREDICTED {
            return false;
        }
        let off = |state: &ArrayView1<'_, T>| vector(state) - &self.points[0];
        let last = states.len() - PREDICTED;
        (last..states.len()).all(|j| {
            let mut expected = off(&states[j - 1]);
            let mut next = expected.clone();
            let mut left = steps[j];
            while left > 0.5 {
                self.derivative.mul_to(&expected, &mut next);
                std::mem::swap(&mut expected, &mut next);
                left -= 1.0;
            }
            let found = off(&states[j]);
            let lost = -(self.rate() * steps[j]).exp_m1();
            (&found - &expected).norm() <= 0.5 * lost * found.norm()
        })
    }
}

/// A state in f64.
fn vector<T: Real>(state: &ArrayView1<'_, T>) -> DVector<f64> {
    DVector::from_iterator(state.len(), state.iter().map(|&x| x.into()))
}

/// |s − point|₂
fn apart<T: Real>(state: &ArrayView1<'_, T>, point: &DVector<f64>) -> f64 {
    let pairs = state.iter().zip(point.iter());
    let squares = pairs.map(|(&x, p)| (Into::<f64>::into(x) - p).powi(2));
    squares.sum::<f64>().sqrt()
}

/// F^p(s) and DF^p(s).
fn derivative<T: Real>(
    map: &dyn System<T>,
    engine: &dyn Engine<T>,
    s: &DVector<f64>,
    period: usize,
) -> (DVector<f64>, DMatrix<f64>) {
    let n = s.len();
    let mut frame = engine.tangents(n, true, &NEVER);
    for i in 0..n {
        frame.set(0, i, i, T::of(1.0));
    }
    let mut x = Tile::splat(s.iter().map(|&x| T::of(x)), engine.lanes());
    let mut y = x.clone();
    let mut at = Tile::zeros(map.linearisation_len(), engine.lanes());
    for _ in 0..period {
        engine.linearise(None, &x, &mut y, &mut at);
        std::mem::swap(&mut x, &mut y);
        frame.push(&at);
    }
    let end = DVector::from_iterator(n, x.lane(0).map(Into::into));
    let matrix = DMatrix::from_fn(n, n, |row, i| frame.get(0, row, i).into());
    (end, matrix)
}

/// F(s), F²(s), ...
fn orbit<T: Real>(engine: &dyn Engine<T>, s: &DVector<f64>) -> impl Iterator<Item = DVector<f64>> {
    let n = s.len();
    let mut x = Tile::splat(s.iter().map(|&x| T::of(x)), engine.lanes());
    let mut y = x.clone();
    std::iter::repeat_with(move || {
        engine.step(None, &x, &mut y);
        std::mem::swap(&mut x, &mut y);
        DVector::from_iterator(n, x.lane(0).map(Into::into))
    })
}

/// The period above 1 of a cycle that an orbit may be on, or be drawn to: what a period changes
/// in its states falls over the later half of them, or is next to nothing in the last.
fn approached<T: Real>(map: &dyn System<T>, states: &[ArrayView1<'_, T>]) -> Option<usize> {
    let engine = map.on(Isa::best());
    let (last, earlier) = states.split_last()?;
    let last = vector(last);
    let period = period_of(&last, orbit(&*engine, &last));
    if period == 1 {
        return None;
    }
    let change = |s: &DVector<f64>| {
        let end = orbit(&*engine, s).nth(period - 1);
        end.map_or(f64::NAN, |end| (end - s).norm())
    };
    let (now, size) = (change(&last), 1.0 + last.norm());
    let mut before = earlier[states.len() / 2..]
        .iter()
        .map(|s| change(&vector(s)));
    let falls = before
        .next()
        .is_some_and(|first| now < first && before.all(|between| now < between && between < first));
    (now <= RETURNED * size || falls).then_some(period)
}

/// The period of the cycle that a state may be near: after so many steps it comes back nearest,
/// much nearer than it goes away; 1 where it hardly moves.
fn period_of(s: &DVector<f64>, orbit: impl Iterator<Item = DVector<f64>>) -> usize {
    let returns: Vec<f64> = (orbit.take(LONGEST))
        .map(|later| (later - s).norm_squared())
        .collect();
    let farthest = returns.iter().copied().fold(0.0, f64::max);
    // 0.1 of the way, squared
    let near = returns.iter().position(|&d| d <= 0.01 * farthest);
    near.map_or(1, |first| {
        let window = &returns[first..returns.len().min(2 * first + 2)];
        let best = (0..window.len()).min_by(|&a, &b| window[a].total_cmp(&window[b]));
        first + best.unwrap_or(0) + 1
    })
}
