//! The functions of recurrent cells and their derivatives, in lanes.
//!
//! Of N vectors at a time, step by step: their chains of operations wait for each other less, and
//! share the constants.
//!
//! σ and tanh come from eʸ − 1 with y = n ln 2 + r and |r| ≤ ln 2 / 2, where
//! eʳ − 1 = r + r² q(r) and q interpolates at Chebyshev nodes. The only operations are correctly
//! rounded ones, so every vector unit gives the same bits. Errors, over the whole range: at most
//! 2 ulp in `f64` and 3 ulp in `f32`; relative accuracy is kept near zero and in the tails, and
//! signed zeros, infinities and NaN come out right (the tests measure it).

#![allow(clippy::excessive_precision)] // constants as computed

use crate::lanes::{Lanes, Part, Real};

/// A precision that the exponential function is known in.
pub trait Exponential: Real {
    /// Its constants.
    const EXP: ExpConstants<Self>;
}

impl Exponential for f32 {
    const EXP: ExpConstants<Self> = EXP_F32;
}

impl Exponential for f64 {
    const EXP: ExpConstants<Self> = EXP_F64;
}

/// What eʳ − 1 needs in one precision.
pub struct ExpConstants<T: 'static> {
    /// 1 / ln 2.
    pub log2_e: T,
    /// ln 2 rounded, and what rounding left of it.
    pub ln_2: (T, T),
    /// Coefficients of q, lowest power first.
    pub q: &'static [T],
    /// |x| up to which e^{2|x|} is finite; tanh x rounds to 1 long before.
    pub tanh_limit: T,
    /// −x from which e⁻ˣ rounds to 0.
    pub exp_limit: T,
    /// Whether sums and quotients are corrected for their rounding, to stay within the bound.
    pub correct: bool,
    /// An exponent that lifts subnormal results into the normal range: (n, 2⁻ⁿ).
    pub lift: (T, T),
}

/// Single precision.
const EXP_F32: ExpConstants<f32> = ExpConstants {
    log2_e: std::f32::consts::LOG2_E,
    ln_2: (std::f32::consts::LN_2, -1.904_654_3e-9),
    q: &[
        0.500_000_001_347,
        0.166_666_666_816,
        0.041_666_464_925_3,
        0.008_333_310_925_48,
        0.001_393_364_999_63,
        0.000_198_909_908_247,
    ],
    tanh_limit: 43.0,
    correct: false,
    exp_limit: -104.0,
    lift: (64.0, 5.421_010_862_427_522e-20),
};

/// Double precision.
const EXP_F64: ExpConstants<f64> = ExpConstants {
    log2_e: std::f64::consts::LOG2_E,
    ln_2: (std::f64::consts::LN_2, 2.319_046_813_846_3e-17),
    q: &[
        0.5,
        0.166_666_666_666_666_709_9,
        0.041_666_666_666_666_669_75,
        0.008_333_333_333_326_135_126,
        0.001_388_888_888_888_374_830,
        0.000_198_412_698_748_206_252_7,
        0.000_024_801_587_325_547_741_22,
        0.000_002_755_725_540_020_642_443,
        2.755_727_364_311_029_533e-7,
        2.510_521_700_472_074_516e-8,
        2.091_468_696_808_687_723e-9,
    ],
    tanh_limit: 350.0,
    correct: true,
    exp_limit: -746.0,
    lift: (128.0, 2.938_735_877_055_718_8e-39),
};

/// y = n ln 2 + r, as (n + shift, r).
#[inline(always)]
fn reduce<L: Lanes<Scalar: Exponential>, const N: usize>(y: [L; N]) -> ([L; N], [L; N]) {
    let exp = &L::Scalar::EXP;
    let shift = L::splat(L::Scalar::SHIFT);
    let (mut shifted, mut r) = (y, y);
    for i in 0..N {
        shifted[i] = y[i].mul_add(L::splat(exp.log2_e), shift);
    }
    for i in 0..N {
        let n = -(shifted[i] - shift);
        r[i] = n.mul_add(L::splat(exp.ln_2.0), y[i]);
        r[i] = n.mul_add(L::splat(exp.ln_2.1), r[i]);
    }
    (shifted, r)
}

/// scale (eʳ − 1) + offset, where |offset| exceeds |scale r|, or is zero.
#[inline(always)]
fn scaled_exp_m1<L: Lanes<Scalar: Exponential>, const N: usize>(
    r: [L; N],
    scale: [L; N],
    offset: [L; N],
) -> [L; N] {
    let exp = &L::Scalar::EXP;
    let last = exp.q.len() - 1;
    let mut q = [L::splat(exp.q[last]); N];
    for &coefficient in exp.q[..last].iter().rev() {
        let coefficient = L::splat(coefficient);
        for i in 0..N {
            q[i] = q[i].mul_add(r[i], coefficient);
        }
    }
    for i in 0..N {
        q[i] = if exp.correct {
            // the sum of the two large terms in two pieces, so that only the last sum rounds
            let linear = scale[i] * r[i];
            let sum = offset[i] + linear;
            let lost = linear - (sum - offset[i]);
            sum + (scale[i] * (r[i] * r[i])).mul_add(q[i], lost)
        } else {
            let e = (r[i] * r[i]).mul_add(q[i], r[i]);
            scale[i].mul_add(e, offset[i])
        };
    }
    q
}

/// σ(x) = 1 / (1 + e⁻ˣ), through e = e^{−|x|}: 1 / (1 + e) or e / (1 + e).
#[inline(always)]
pub fn sigmoid<L: Lanes<Scalar: Exponential>, const N: usize>(x: [L; N]) -> [L; N] {
    sigmoid_and_exp(x).0
}

/// σ(x), and σ'(x) = σ(x) σ(−x): exact in both tails.
#[inline(always)]
pub fn sigmoid_slope<L: Lanes<Scalar: Exponential>, const N: usize>(x: [L; N]) -> ([L; N], [L; N]) {
    let (s, mut slope) = sigmoid_and_exp(x);
    for i in 0..N {
        let other = L::splat(L::Scalar::of(1.0)) - s[i];
        slope[i] = s[i] * x[i].less(L::zero(), other, slope[i] * s[i]);
    }
    (s, slope)
}

/// σ(x) and e^{−|x|}.
#[inline(always)]
fn sigmoid_and_exp<L: Lanes<Scalar: Exponential>, const N: usize>(x: [L; N]) -> ([L; N], [L; N]) {
    let exp = &L::Scalar::EXP;
    let one = L::splat(L::Scalar::of(1.0));
    let mut y = x;
    for i in 0..N {
        // max and min keep NaN, which stands second
        y[i] = L::splat(exp.exp_limit).max(-x[i].abs());
    }
    let (shifted, r) = reduce(y);
    let mut e = scaled_exp_m1(r, [one; N], [one; N]);
    let mut s = e;
    for i in 0..N {
        let scale = (shifted[i] + L::splat(exp.lift.0)).exp2_shifted();
        e[i] = e[i] * scale * L::splat(exp.lift.1);
        let numerator = x[i].less(L::zero(), e[i], one);
        let denominator = one + e[i];
        s[i] = numerator / denominator;
        if exp.correct {
            // what rounding took from 1 + e, and from the quotient; 1 / (1 + e) is s or 1 − s
            let lost = e[i] - (denominator - one);
            let remainder = (-s[i]).mul_add(lost, (-s[i]).mul_add(denominator, numerator));
            s[i] = remainder.mul_add(x[i].less(L::zero(), one - s[i], s[i]), s[i]);
        }
    }
    (s, e)
}

/// tanh x = E / (E + 2), with E = e^{2|x|} − 1 and the sign of x.
#[inline(always)]
pub fn tanh<L: Lanes<Scalar: Exponential>, const N: usize>(x: [L; N]) -> [L; N] {
    tanh_and_sum(x).0
}

/// tanh x, and 1 − tanh² x = w (2 − w) with w = 1 − |tanh x| = 2 / (E + 2): exact in the tails,
/// where tanh x rounds to 1.
#[inline(always)]
pub fn tanh_slope<L: Lanes<Scalar: Exponential>, const N: usize>(x: [L; N]) -> ([L; N], [L; N]) {
    let two = L::splat(L::Scalar::of(2.0));
    let (t, mut slope) = tanh_and_sum(x);
    for i in 0..N {
        // beyond the limit it is less than any product with a weight can tell from 0
        let limit = L::splat(L::Scalar::EXP.tanh_limit);
        let w = limit.less(x[i].abs(), L::zero(), two / slope[i]);
        slope[i] = w * (two - w);
    }
    (t, slope)
}

/// tanh x and E + 2.
#[inline(always)]
fn tanh_and_sum<L: Lanes<Scalar: Exponential>, const N: usize>(x: [L; N]) -> ([L; N], [L; N]) {
    let exp = &L::Scalar::EXP;
    let mut y = x;
    for i in 0..N {
        let a = L::splat(exp.tanh_limit).min(x[i].abs());
        y[i] = a + a;
    }
    let (shifted, r) = reduce(y);
    let (mut scale, mut offset) = (shifted, shifted);
    for i in 0..N {
        scale[i] = shifted[i].exp2_shifted();
        offset[i] = scale[i] - L::splat(L::Scalar::of(1.0));
    }
    let e = scaled_exp_m1(r, scale, offset);
    let two = L::splat(L::Scalar::of(2.0));
    let (mut t, mut sum) = (e, e);
    for i in 0..N {
        sum[i] = e[i] + two;
        t[i] = e[i] / sum[i];
        if exp.correct {
            // for small E: what rounding took from E + 2, and from the quotient;
            // 1 / (E + 2) = (1 − t) / 2
            let lost = e[i] - (sum[i] - two);
            let remainder = (-t[i]).mul_add(lost, (-t[i]).mul_add(sum[i], e[i]));
            let half = L::splat(L::Scalar::of(0.5));
            let inverse = e[i].less(two, half - half * t[i], L::zero());
            t[i] = remainder.mul_add(inverse, t[i]);
        }
        t[i] = t[i].copysign(x[i]);
    }
    (t, sum)
}

/// A function of a cell: of its gates, or of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// tanh x
    Tanh,
    /// σ(x)
    Sigmoid,
    /// x / 5 + 1/2, from 0 to 1: that of Keras 1 and 2, Theano and ONNX.
    HardSigmoid,
    /// x / 6 + 1/2, from 0 to 1: that of Keras 3 and PyTorch.
    HardSigmoid6,
    /// max(0, x)
    Relu,
    /// x
    Linear,
}

impl Function {
    /// All, by name.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("tanh", Self::Tanh),
        ("sigmoid", Self::Sigmoid),
        ("hard_sigmoid", Self::HardSigmoid),
        ("hard_sigmoid_6", Self::HardSigmoid6),
        ("relu", Self::Relu),
        ("linear", Self::Linear),
    ];
}

/// The two functions of a cell.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// Mostly tanh.
    pub state: Function,
    /// Mostly σ.
    pub gate: Function,
}

impl Functions {
    /// φ(x) of the state.
    #[inline(always)]
    pub fn state<L: Lanes<Scalar: Exponential>, const N: usize>(self, x: [L; N]) -> [L; N] {
        if self.state == Function::Tanh {
            tanh(x)
        } else {
            unusual(self.state, x).0
        }
    }

    /// φ(x) of gates.
    #[inline(always)]
    pub fn gate<L: Lanes<Scalar: Exponential>, const N: usize>(self, x: [L; N]) -> [L; N] {
        if self.gate == Function::Sigmoid {
            sigmoid(x)
        } else {
            unusual(self.gate, x).0
        }
    }

    /// φ(x) and φ'(x) of the state.
    #[inline(always)]
    pub fn state_slope<L: Lanes<Scalar: Exponential>, const N: usize>(
        self,
        x: [L; N],
    ) -> ([L; N], [L; N]) {
        if self.state == Function::Tanh {
            tanh_slope(x)
        } else {
            unusual(self.state, x)
        }
    }

    /// φ(x) and φ'(x) of gates.
    #[inline(always)]
    pub fn gate_slope<L: Lanes<Scalar: Exponential>, const N: usize>(
        self,
        x: [L; N],
    ) -> ([L; N], [L; N]) {
        if self.gate == Function::Sigmoid {
            sigmoid_slope(x)
        } else {
            unusual(self.gate, x)
        }
    }
}

/// φ(x) and φ'(x), in a function of its own: most nets never call it.
#[inline(always)]
fn unusual<L: Lanes<Scalar: Exponential>, const N: usize>(
    function: Function,
    x: [L; N],
) -> ([L; N], [L; N]) {
    let (mut y, mut slope) = (x, x);
    for i in 0..N {
        L::call(Unusual(function, &mut y[i], &mut slope[i]));
    }
    (y, slope)
}

/// x, which becomes φ(x), and where φ'(x) goes.
struct Unusual<'a, L>(Function, &'a mut L, &'a mut L);

impl<L: Lanes<Scalar: Exponential>> Part for Unusual<'_, L> {
    /// The derivative is 0 at the kinks, as in PyTorch; 0 x keeps what is not finite.
    #[inline(always)]
    fn run(self) {
        let Self(function, value, slope) = self;
        let x = *value;
        let (zero, one) = (L::zero(), L::splat(L::Scalar::of(1.0)));
        let hard = |slope: f64| {
            let slope = L::splat(L::Scalar::of(slope));
            let y = x.mul_add(slope, L::splat(L::Scalar::of(0.5)));
            let rising = zero.less(y, y.less(one, slope, zero), zero);
            ([one.min(zero.max(y))], [rising + zero * x])
        };
        ([*value], [*slope]) = match function {
            Function::Tanh => tanh_slope([x]),
            Function::Sigmoid => sigmoid_slope([x]),
            Function::HardSigmoid => hard(0.2),
            Function::HardSigmoid6 => hard(1.0 / 6.0),
            Function::Relu => ([zero.max(x)], [zero.less(x, one, zero) + zero * x]),
            Function::Linear => ([x], [one + zero * x]),
        };
    }
}
