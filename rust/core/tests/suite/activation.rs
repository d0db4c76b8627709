//! Errors of sigmoid and tanh in units in the last place, and their special values.

use lstm_edge_kernels::activation::{Exponential, sigmoid, sigmoid_slope, tanh, tanh_slope};
use lstm_edge_kernels::lanes::{Isa, Kernel, Lanes, Real, dispatch};

#[derive(Clone, Copy)]
enum Function {
    Sigmoid,
    Tanh,
    SigmoidSlope,
    TanhSlope,
}

/// A function of every number of a slice.
struct Map<'a, T>(Function, &'a [T]);

impl<T: Exponential> Kernel<T> for Map<'_, T> {
    type Output = Vec<T>;
    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Vec<T> {
        let mut out = Vec::with_capacity(self.1.len());
        for chunk in self.1.chunks(L::N) {
            let x = L::from_fn(|i| chunk[i.min(chunk.len() - 1)]);
            let [y] = match self.0 {
                Function::Sigmoid => sigmoid([x]),
                Function::Tanh => tanh([x]),
                Function::SigmoidSlope => sigmoid_slope([x]).1,
                Function::TanhSlope => tanh_slope([x]).1,
            };
            out.extend_from_slice(&y.as_slice()[..chunk.len()]);
        }
        out
    }
}

/// ln 2 in two pieces of double precision.
const LN_2: (f64, f64) = (std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

/// Double-double arithmetic: about 31 digits, slow and plain.
#[derive(Clone, Copy)]
struct Double(f64, f64);

impl Double {
    fn of(x: f64) -> Self {
        Self(x, 0.0)
    }
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let t = s - a;
        Self(s, (a - (s - t)) + (b - t))
    }
    fn add(self, o: Self) -> Self {
        let s = Self::sum(self.0, o.0);
        let t = Self::sum(self.1, o.1);
        let s = Self::sum(s.0, s.1 + t.0);
        Self::sum(s.0, s.1 + t.1)
    }
    fn mul(self, o: Self) -> Self {
        let p = self.0 * o.0;
        let e = self.0.mul_add(o.0, -p);
        Self::sum(p, e + (self.0 * o.1 + self.1 * o.0))
    }
    fn div(self, o: Self) -> Self {
        let q = self.0 / o.0;
        let r = self.add(o.mul(Self::of(-q)));
        let q2 = r.0 / o.0;
        let r = r.add(o.mul(Self::of(-q2)));
        Self::sum(q, q2).add(Self::of(r.0 / o.0))
    }
    /// eʸ − 1 by its series after halving y, undone by (e + 1)² − 1 = e (e + 2).
    fn exp_m1(self) -> Self {
        let n = (self.0 / LN_2.0).round();
        let r = self.add(Self(LN_2.0, LN_2.1).mul(Self::of(-n)));
        let mut r = r;
        for _ in 0..6 {
            r = r.mul(Self::of(0.5));
        }
        let (mut term, mut sum) = (r, r);
        for i in 2..20 {
            term = term.mul(r).div(Self::of(f64::from(i)));
            sum = sum.add(term);
        }
        for _ in 0..6 {
            sum = sum.mul(sum.add(Self::of(2.0)));
        }
        if n == 0.0 {
            return sum;
        }
        let (half, other) = ((n / 2.0).trunc(), n - (n / 2.0).trunc());
        sum.add(Self::of(1.0))
            .mul(Self::of(half.exp2()))
            .mul(Self::of(other.exp2()))
            .add(Self::of(-1.0))
    }
    fn tanh(x: f64) -> Self {
        let e = Self::of(2.0 * x.abs().min(30.0)).exp_m1();
        let t = e.div(e.add(Self::of(2.0)));
        Self(t.0.copysign(x), t.1 * x.signum())
    }
    /// For x ≥ −700: 1 / (1 + e⁻ˣ).
    fn sigmoid(x: f64) -> Self {
        let e = Self::of(-x).exp_m1();
        Self::of(1.0).div(e.add(Self::of(2.0)))
    }
}

/// Bits that spread over all magnitudes, without a generator.
fn spread(count: u64) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| {
        let u = (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1u64 << 53) as f64;
        u.mul_add(60.0, -50.0).exp2()
    })
}

fn ulp_f64(x: f64) -> f64 {
    let x = x.abs().max(f64::MIN_POSITIVE);
    x.next_up() - x
}

fn errors_f64(function: Function, exact: fn(f64) -> Double) -> f64 {
    let xs: Vec<f64> = spread(400_000)
        .flat_map(|x| [x, -x])
        .filter(|x| x.abs() < 700.0)
        .collect();
    let found = dispatch(Isa::best(), Map(function, &xs));
    xs.iter()
        .zip(found)
        .map(|(&x, y)| {
            let exact = exact(x);
            ((y - exact.0) - exact.1).abs() / ulp_f64(exact.0)
        })
        .fold(0.0, f64::max)
}

#[test]
fn f64_is_within_two_ulp_everywhere() {
    let tanh = errors_f64(Function::Tanh, Double::tanh);
    let sigmoid = errors_f64(Function::Sigmoid, Double::sigmoid);
    assert!(tanh <= 2.0 && sigmoid <= 2.0, "{tanh} {sigmoid}");
}

#[test]
fn slopes_are_exact_in_their_tails() {
    let xs: Vec<f64> = (-699..700).map(|i| 0.5 * f64::from(i)).collect();
    // 2 ulp of the function, and those of cosh
    let close = |function, exact: fn(f64) -> f64| {
        let found = dispatch(Isa::best(), Map(function, &xs));
        for (&x, y) in xs.iter().zip(found) {
            let (error, ulp) = ((y - exact(x)).abs(), ulp_f64(exact(x)));
            assert!(error <= 8.0 * ulp, "{x}: {y} {}", exact(x));
        }
    };
    close(Function::TanhSlope, |x| x.cosh().powi(-2));
    close(Function::SigmoidSlope, |x| (0.5 * x).cosh().powi(-2) / 4.0);
}

fn errors_f32(function: Function, exact: fn(f64) -> f64) -> f64 {
    // every 97th bit pattern of either sign: all exponents, subnormals included
    let xs: Vec<f32> = (0..0x7F80_0000u32)
        .step_by(97)
        .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
        .collect();
    let found = dispatch(Isa::best(), Map(function, &xs));
    xs.iter()
        .zip(found)
        .map(|(&x, y)| {
            let exact = exact(f64::from(x));
            #[allow(clippy::cast_possible_truncation)]
            let near = (exact.abs() as f32).min(f32::MAX);
            let ulp = f64::from(near.next_up()) - f64::from(near);
            (f64::from(y) - exact).abs() / ulp
        })
        .fold(0.0, f64::max)
}

#[test]
fn f32_is_within_three_ulp_everywhere() {
    let tanh = errors_f32(Function::Tanh, f64::tanh);
    let sigmoid = errors_f32(Function::Sigmoid, |x| {
        let e = (-x.abs()).exp();
        if x < 0.0 {
            e / (1.0 + e)
        } else {
            1.0 / (1.0 + e)
        }
    });
    assert!(tanh <= 3.0 && sigmoid <= 3.0, "{tanh} {sigmoid}");
}

fn special<T: Exponential>() {
    let xs = [
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1e4,
        -1e4,
    ];
    let xs = xs.map(T::of);
    for isa in Isa::available() {
        let tanh: Vec<f64> = to_f64(dispatch(isa, Map(Function::Tanh, &xs)));
        let bits: Vec<u64> = tanh.iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits[0], 0.0_f64.to_bits());
        assert_eq!(bits[1], (-0.0_f64).to_bits());
        assert_eq!(bits[2], 1.0_f64.to_bits());
        assert_eq!(bits[3], (-1.0_f64).to_bits());
        assert!(tanh[4].is_nan());
        assert_eq!(bits[5], 1.0_f64.to_bits());
        assert_eq!(bits[6], (-1.0_f64).to_bits());
        let sigmoid: Vec<f64> = to_f64(dispatch(isa, Map(Function::Sigmoid, &xs)));
        let bits: Vec<u64> = sigmoid.iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits[0], 0.5_f64.to_bits());
        assert_eq!(bits[1], 0.5_f64.to_bits());
        assert_eq!(bits[2], 1.0_f64.to_bits());
        assert_eq!(bits[3], 0.0_f64.to_bits());
        assert!(sigmoid[4].is_nan());
        assert_eq!(bits[5], 1.0_f64.to_bits());
        assert_eq!(bits[6], 0.0_f64.to_bits());
    }
}

fn to_f64<T: Real>(xs: Vec<T>) -> Vec<f64> {
    xs.into_iter().map(Into::into).collect()
}

#[test]
fn special_values_come_out_right() {
    special::<f32>();
    special::<f64>();
}
