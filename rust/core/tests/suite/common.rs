//! Maps whose exponents are known, and seeded nets.

use std::sync::atomic::AtomicBool;

use lstm_edge_core::drive::Drive;
use lstm_edge_core::ensemble::Execution;
use lstm_edge_core::measures::lyapunov::{Exponents, Settings, lyapunov};
use lstm_edge_core::orbit::Starts;
use lstm_edge_kernels::cells::{LayerWeights, Readout};
use lstm_edge_kernels::lanes::{Isa, Lanes, Real};
use lstm_edge_kernels::map::StateMap;
use lstm_edge_kernels::system::{NetInput, Precision, System};
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

static NEVER: AtomicBool = AtomicBool::new(false);

/// Nobody cancels.
pub fn execution(threads: usize, isa: Isa) -> Execution<'static> {
    Execution {
        threads: Some(threads),
        isa,
        cancel: &NEVER,
    }
}

/// s' = A s
pub struct Linear(pub Array2<f64>);

/// x' = r x (1 − x); ln 2 for r = 4.
pub struct Logistic(pub f64);

/// x' = 1 − a x² + y, y' = b x; for a = 1.4 and b = 0.3: 0.41922 and −1.62319.
pub struct Henon {
    pub a: f64,
    pub b: f64,
}

/// (x, y)' = (x + y, x + 2y) mod 1; ±ln((3 + √5) / 2).
pub struct Cat;

fn constant<T: Real, L: Lanes<Scalar = T>>(x: f64) -> L {
    L::splat(T::of(x))
}

impl StateMap<f64> for Linear {
    fn dim(&self) -> usize {
        self.0.nrows()
    }
    fn linearisation_len(&self) -> usize {
        0
    }
    #[inline(always)]
    fn step<L: Lanes<Scalar = f64>, const C: usize>(
        &self,
        _: &[[L; C]],
        x: &[[L; C]],
        y: &mut [[L; C]],
    ) {
        self.push::<L, C>(&[], x, y);
    }
    #[inline(always)]
    fn linearise<L: Lanes<Scalar = f64>>(
        &self,
        u: &[[L; 1]],
        x: &[[L; 1]],
        y: &mut [[L; 1]],
        _: &mut [L],
    ) {
        self.step(u, x, y);
    }
    #[inline(always)]
    fn push<L: Lanes<Scalar = f64>, const C: usize>(
        &self,
        _: &[L],
        v: &[[L; C]],
        w: &mut [[L; C]],
    ) {
        for (row, w) in self.0.outer_iter().zip(w) {
            *w = [L::zero(); C];
            for (&a, v) in row.iter().zip(v) {
                for c in 0..C {
                    w[c] = constant::<f64, L>(a).mul_add(v[c], w[c]);
                }
            }
        }
    }
}

/// A map given by its step and its 1 × 1 or 2 × 2 Jacobian, both in lanes.
macro_rules! small_map {
    ($name:ty, $dim:literal, |$me:ident, $x:ident| $step:expr, $jacobian:expr) => {
        impl StateMap<f64> for $name {
            fn dim(&self) -> usize {
                $dim
            }
            fn linearisation_len(&self) -> usize {
                $dim * $dim
            }
            fn start_range(&self, _: usize) -> (f64, f64) {
                (0.05, 0.2)
            }
            #[inline(always)]
            fn step<L: Lanes<Scalar = f64>, const C: usize>(
                &self,
                _: &[[L; C]],
                x: &[[L; C]],
                y: &mut [[L; C]],
            ) {
                let $me = self;
                for c in 0..C {
                    let $x: [L; $dim] = std::array::from_fn(|i| x[i][c]);
                    let new: [L; $dim] = $step;
                    for i in 0..$dim {
                        y[i][c] = new[i];
                    }
                }
            }
            #[inline(always)]
            fn linearise<L: Lanes<Scalar = f64>>(
                &self,
                u: &[[L; 1]],
                x: &[[L; 1]],
                y: &mut [[L; 1]],
                at: &mut [L],
            ) {
                self.step(u, x, y);
                let $me = self;
                #[allow(unused_variables)] // the Jacobian of a linear map is constant
                let $x: [L; $dim] = std::array::from_fn(|i| x[i][0]);
                let jacobian: [[L; $dim]; $dim] = $jacobian;
                for (i, row) in jacobian.iter().enumerate() {
                    at[i * $dim..(i + 1) * $dim].copy_from_slice(row);
                }
            }
            #[inline(always)]
            fn push<L: Lanes<Scalar = f64>, const C: usize>(
                &self,
                at: &[L],
                v: &[[L; C]],
                w: &mut [[L; C]],
            ) {
                for i in 0..$dim {
                    for c in 0..C {
                        w[i][c] = L::zero();
                        for j in 0..$dim {
                            w[i][c] = at[i * $dim + j].mul_add(v[j][c], w[i][c]);
                        }
                    }
                }
            }
        }
    };
}

small_map!(
    Logistic,
    1,
    |me, x| [constant::<f64, L>(me.0) * x[0] * (constant::<f64, L>(1.0) - x[0])],
    [[constant::<f64, L>(me.0) * (constant::<f64, L>(1.0) - x[0] - x[0])]]
);

small_map!(
    Henon,
    2,
    |me, x| [
        constant::<f64, L>(1.0) - constant::<f64, L>(me.a) * x[0] * x[0] + x[1],
        constant::<f64, L>(me.b) * x[0],
    ],
    [
        [constant::<f64, L>(-2.0 * me.a) * x[0], constant(1.0)],
        [constant(me.b), L::zero()],
    ]
);

/// x' = r x (1 − y), y' = x: a circle is born at r = 2 (Aronson et al. 1982).
pub struct DelayedLogistic(pub f64);

small_map!(
    DelayedLogistic,
    2,
    |me, x| [
        constant::<f64, L>(me.0) * x[0] * (constant::<f64, L>(1.0) - x[1]),
        x[0],
    ],
    [
        [
            constant::<f64, L>(me.0) * (constant::<f64, L>(1.0) - x[1]),
            -(constant::<f64, L>(me.0) * x[0]),
        ],
        [constant(1.0), L::zero()],
    ]
);

/// z' = e^{iω} z (1 + μ − |z|²): the normal form of a Neimark-Sacker bifurcation. The origin
/// attracts with ln(1 + μ) for μ < 0; for μ > 0 the circle |z|² = μ does, and turns by ω.
pub struct NeimarkSacker {
    pub mu: f64,
    pub omega: f64,
}

#[inline(always)]
fn turned<L: Lanes<Scalar = f64>>(me: &NeimarkSacker, x: [L; 2], by: L) -> [L; 2] {
    let (sin, cos) = (
        constant::<f64, L>(me.omega.sin()),
        constant::<f64, L>(me.omega.cos()),
    );
    [
        (cos * x[0] - sin * x[1]) * by,
        (sin * x[0] + cos * x[1]) * by,
    ]
}

small_map!(
    NeimarkSacker,
    2,
    |me, x| turned(
        me,
        x,
        constant::<f64, L>(1.0 + me.mu) - x[0] * x[0] - x[1] * x[1]
    ),
    {
        // d(z g)/dx = e^{iω} (g + x ∂g/∂x)
        let g = constant::<f64, L>(1.0 + me.mu) - x[0] * x[0] - x[1] * x[1];
        let two = constant::<f64, L>(2.0);
        let one = constant::<f64, L>(1.0);
        let a = turned(me, [g - two * x[0] * x[0], -(two * x[0] * x[1])], one);
        let b = turned(me, [-(two * x[0] * x[1]), g - two * x[1] * x[1]], one);
        [[a[0], b[0]], [a[1], b[1]]]
    }
);

/// x − floor x for 0 ≤ x < 3
#[inline(always)]
fn wrap<L: Lanes<Scalar = f64>>(x: L) -> L {
    let one = constant(1.0);
    let x = x.less(one, x, x - one);
    x.less(one, x, x - one)
}

small_map!(
    Cat,
    2,
    |_me, x| [wrap(x[0] + x[1]), wrap(x[0] + x[1] + x[1])],
    [
        [constant(1.0), constant(1.0)],
        [constant(1.0), constant(2.0)],
    ]
);

/// The exponents of a map from random starts, on the best vector unit.
pub fn spectrum(map: &dyn System<f64>, starts: usize, settings: &Settings) -> Exponents {
    spectrum_on(map, starts, settings, execution(2, Isa::best()))
}

pub fn spectrum_on(
    map: &dyn System<f64>,
    starts: usize,
    settings: &Settings,
    execution: Execution<'_>,
) -> Exponents {
    let (states, sequences) = lstm_edge_core::ensemble::starts(map, 0, starts, settings.seed);
    let starts = Starts {
        states: &states,
        sequences: &sequences,
    };
    lyapunov(map, &Drive::Zero, &starts, settings, execution).unwrap()
}

/// Steps after a transient, interval 1, seed 1.
pub fn settings(k: usize, transient: usize, steps: usize) -> Settings {
    Settings {
        k,
        steps,
        transient,
        interval: Some(1),
        asymptotic: true,
        seed: 1,
    }
}

/// Every cell, with the rows of its weights a unit, and whether it is projected; and each of the
/// functions in one of them.
pub const CELLS: [(&str, usize, bool); 11] = [
    ("lstm", 4, false),
    ("lstm", 4, true),
    ("gru", 3, false),
    ("gru_reset_before", 3, false),
    ("rnn_tanh", 1, false),
    ("rnn_relu", 1, false),
    ("lstm:relu:hard_sigmoid", 4, false),
    ("lstm:linear", 4, true),
    ("gru:sigmoid:hard_sigmoid_6", 3, false),
    ("gru_reset_before:hard_sigmoid:tanh", 3, false),
    ("rnn_linear", 1, false),
];

/// weight_ih, weight_hh, bias_ih, bias_hh, weight_hr
type LayerArrays<T> = (
    Array2<T>,
    Array2<T>,
    Array1<T>,
    Array1<T>,
    Option<Array2<T>>,
);

/// Arrays of a net with random weights.
pub struct Net<T> {
    pub cell: &'static str,
    pub layers: Vec<LayerArrays<T>>,
}

impl<T: Precision> Net<T> {
    /// An LSTM.
    pub fn random(inputs: usize, hidden: &[usize], gain: f64, seed: u64) -> Self {
        Self::of(CELLS[0], inputs, hidden, gain, seed)
    }

    /// Uniform weights of variance gain² / H; a projection leaves half of the numbers of h.
    pub fn of(
        (cell, gates, projected): (&'static str, usize, bool),
        inputs: usize,
        hidden: &[usize],
        gain: f64,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = inputs;
        let layers = hidden
            .iter()
            .map(|&h| {
                let width = gain * (3.0 / h as f64).sqrt();
                let mut uniform = |_: (usize, usize)| T::of(width * rng.random_range(-1.0..1.0));
                let outputs = if projected { h.div_ceil(2) } else { h };
                let ih = Array2::from_shape_fn((gates * h, below), &mut uniform);
                let hh = Array2::from_shape_fn((gates * h, outputs), &mut uniform);
                let biases = Array2::from_shape_fn((2, gates * h), &mut uniform);
                let hr = projected.then(|| Array2::from_shape_fn((outputs, h), &mut uniform));
                below = outputs;
                let [bias_ih, bias_hh] = [0, 1].map(|i| biases.row(i).to_owned());
                (ih, hh, bias_ih, bias_hh, hr)
            })
            .collect();
        Self { cell, layers }
    }

    pub fn weights(&self) -> Vec<LayerWeights<'_, T>> {
        let layers = self.layers.iter();
        layers
            .map(|(ih, hh, bias_ih, bias_hh, hr)| LayerWeights {
                weight_ih: ih.view(),
                weight_hh: hh.view(),
                bias_ih: bias_ih.view(),
                bias_hh: bias_hh.view(),
                weight_hr: hr.as_ref().map(|hr| hr.view()),
            })
            .collect()
    }

    pub fn map(&self) -> Box<dyn System<T>> {
        T::net(self.cell, &self.weights(), NetInput::External).unwrap()
    }

    /// The readout of its first outputs, fed back.
    pub fn closed(&self) -> Box<dyn System<T>> {
        let (inputs, outputs) = (
            self.layers[0].0.ncols(),
            self.layers.last().unwrap().1.ncols(),
        );
        let weight = Array2::from_shape_fn((inputs, outputs), |(i, j)| {
            T::of(if i == j { 0.9 } else { 0.1 })
        });
        let bias = Array1::from_elem(inputs, T::of(0.3));
        let readout = Readout {
            weight: weight.view(),
            bias: bias.view(),
        };
        T::net(self.cell, &self.weights(), NetInput::FedBack(readout)).unwrap()
    }
}

/// ln |det A| by Gaussian elimination with pivoting; −∞ for a matrix without an inverse.
pub fn log_determinant(mut a: Array2<f64>) -> f64 {
    let n = a.nrows();
    let mut sum = 0.0;
    for i in 0..n {
        let pivot = (i..n)
            .max_by(|&p, &q| a[[p, i]].abs().total_cmp(&a[[q, i]].abs()))
            .unwrap();
        for j in 0..n {
            a.swap([i, j], [pivot, j]);
        }
        if a[[i, i]] == 0.0 {
            return f64::NEG_INFINITY;
        }
        sum += a[[i, i]].abs().ln();
        for r in i + 1..n {
            let factor = a[[r, i]] / a[[i, i]];
            for j in i..n {
                a[[r, j]] -= factor * a[[i, j]];
            }
        }
    }
    sum
}
