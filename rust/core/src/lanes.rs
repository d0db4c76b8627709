//! Vectors of scalars, one trajectory (or tangent vector) a lane, on the widest unit of this CPU.
//!
//! Every operation acts on each lane alone and rounds as IEEE 754 says (fused multiply-add
//! included), so a lane's bits depend neither on the width of the vector, nor on its neighbours.
//! AVX-512 and AVX2 + FMA are written with intrinsics; the portable [`Pack`] is plain Rust, which
//! on ARM compiles to NEON.
//!
//! This is the only file with `unsafe`. The vector types are private: generic code meets them
//! through [`dispatch`] alone, which has asked the CPU first. Whatever runs inside a [`Kernel`]
//! must be `#[inline(always)]`: a function kept apart loses the vector unit.
#![allow(unsafe_code)]

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A vector unit, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512F: 16 lanes of `f32`, 8 of `f64`.
    Avx512,
    /// AVX2 with FMA: 8 lanes of `f32`, 4 of `f64`.
    Avx2,
    /// Plain Rust in 128 bits: NEON on ARM, anything elsewhere.
    Portable,
}

impl Isa {
    /// The units that this CPU has, best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Portable);
        found
    }

    /// The best unit that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::available()[0]
    }
}

/// A floating-point number that lanes are made of: `f32` or `f64`.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Into<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
{
    /// Distance from 1 to the next larger number.
    const EPSILON: f64;
    /// Adding it rounds to an integer, whose value then stands in the lowest bits.
    const SHIFT: Self;
    /// A number far above underflow whose inverse is far below overflow.
    const TINY: Self;
    /// Constants of the exponential function.
    const EXP: crate::activation::ExpConstants<Self>;
    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
    /// Whether all bits are zero.
    fn is_zero_bits(self) -> bool;
    /// Runs a kernel with the lanes of a vector unit, which this CPU must have.
    fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
}

/// A vector of scalars; `min`, `max` and comparisons as on x86 (NaN gives the second operand).
pub trait Lanes:
    Copy
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// What a lane holds.
    type Scalar: Real;
    /// How many lanes.
    const N: usize;
    /// The same scalar in every lane.
    fn splat(x: Self::Scalar) -> Self;
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// `self < other ? self : other`.
    fn min(self, other: Self) -> Self;
    /// `self > other ? self : other`.
    fn max(self, other: Self) -> Self;
    /// Magnitude.
    fn abs(self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// `self < other ? yes : no`.
    fn less(self, other: Self, yes: Self, no: Self) -> Self;
    /// 2ⁿ, where `self` is n + [`Real::SHIFT`] and 2ⁿ is a normal number.
    fn exp2_shifted(self) -> Self;
    /// Bits that differ.
    fn bit_xor(self, other: Self) -> Self;
    /// Bits that are set in either.
    fn bit_or(self, other: Self) -> Self;
    /// The lanes.
    fn as_slice(&self) -> &[Self::Scalar];
    /// The lanes, writable.
    fn as_mut_slice(&mut self) -> &mut [Self::Scalar];

    /// A lane at a time.
    #[inline(always)]
    fn from_fn(f: impl Fn(usize) -> Self::Scalar) -> Self {
        let mut v = Self::splat(Self::Scalar::of(0.0));
        for (i, lane) in v.as_mut_slice().iter_mut().enumerate() {
            *lane = f(i);
        }
        v
    }

    /// Zero in every lane.
    #[inline(always)]
    #[must_use]
    fn zero() -> Self {
        Self::splat(Self::Scalar::of(0.0))
    }
}

/// Work that is written once for all vector units.
pub trait Kernel<T: Real> {
    /// What it returns.
    type Output;
    /// Runs with lanes `L`, and `C` of them as the widest column tile that fits the registers.
    /// Must be `#[inline(always)]`, with all that it calls.
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output;
}

/// Runs `kernel` on the unit `isa`.
///
/// # Panics
/// When this CPU lacks `isa`.
pub fn dispatch<T: Real, K: Kernel<T>>(isa: Isa, kernel: K) -> K::Output {
    assert!(
        Isa::available().contains(&isa),
        "{isa:?} is not on this CPU"
    );
    T::dispatch(isa, kernel)
}

/// Plain Rust lanes.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub struct Pack<T, const N: usize>([T; N]);

macro_rules! operator {
    ($name:ty, $op:ident, $method:ident, |$a:ident, $b:ident| $result:expr) => {
        impl $op for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                $result
            }
        }
    };
}

macro_rules! portable {
    ($t:ty, $bits:ty, $n:literal, $mantissa:literal) => {
        impl Pack<$t, $n> {
            #[inline(always)]
            fn zip(self, other: Self, f: impl Fn($t, $t) -> $t) -> Self {
                Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
            }
        }
        operator!(Pack<$t, $n>, Add, add, |a, b| a.zip(b, |a, b| a + b));
        operator!(Pack<$t, $n>, Sub, sub, |a, b| a.zip(b, |a, b| a - b));
        operator!(Pack<$t, $n>, Mul, mul, |a, b| a.zip(b, |a, b| a * b));
        operator!(Pack<$t, $n>, Div, div, |a, b| a.zip(b, |a, b| a / b));
        impl Neg for Pack<$t, $n> {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                self.zip(self, |a, _| -a)
            }
        }
        impl Lanes for Pack<$t, $n> {
            type Scalar = $t;
            const N: usize = $n;
            #[inline(always)]
            fn splat(x: $t) -> Self {
                Self([x; $n])
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i].mul_add(a.0[i], b.0[i])))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.zip(self, |a, _| a.sqrt())
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                self.zip(other, |a, b| if a < b { a } else { b })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                self.zip(other, |a, b| if a > b { a } else { b })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.zip(self, |a, _| a.abs())
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                self.zip(sign, <$t>::copysign)
            }
            #[inline(always)]
            fn less(self, other: Self, yes: Self, no: Self) -> Self {
                Self(std::array::from_fn(|i| {
                    if self.0[i] < other.0[i] {
                        yes.0[i]
                    } else {
                        no.0[i]
                    }
                }))
            }
            #[inline(always)]
            fn exp2_shifted(self) -> Self {
                let one = (1.0 as $t).to_bits();
                self.zip(self, |a, _| {
                    <$t>::from_bits((a.to_bits() << $mantissa).wrapping_add(one))
                })
            }
            #[inline(always)]
            fn bit_xor(self, other: Self) -> Self {
                self.zip(other, |a, b| <$t>::from_bits(a.to_bits() ^ b.to_bits()))
            }
            #[inline(always)]
            fn bit_or(self, other: Self) -> Self {
                self.zip(other, |a, b| <$t>::from_bits(a.to_bits() | b.to_bits()))
            }
            #[inline(always)]
            fn as_slice(&self) -> &[$t] {
                &self.0
            }
            #[inline(always)]
            fn as_mut_slice(&mut self) -> &mut [$t] {
                &mut self.0
            }
        }
    };
}
portable!(f32, u32, 4, 23);
portable!(f64, u64, 2, 52);

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(clippy::wildcard_imports)]
    use super::*;
    use std::arch::x86_64::*;

    macro_rules! x86 {
        (
            $name:ident, $t:ty, $register:ty, $n:literal,
            $set1:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident,
            $sqrt:ident, $min:ident, $max:ident,
            $to_bits:ident, $of_bits:ident, $and:ident, $andnot:ident, $or:ident, $xor:ident,
            $shift_left:ident, $mantissa:literal, $add_bits:ident,
            |$a:ident, $b:ident, $yes:ident, $no:ident| $less:expr
        ) => {
            #[derive(Clone, Copy)]
            pub struct $name($register);

            // SAFETY: `dispatch` has asked the CPU for this unit.
            operator!($name, Add, add, |a, b| Self(unsafe { $add(a.0, b.0) }));
            // SAFETY: `dispatch` has asked the CPU for this unit.
            operator!($name, Sub, sub, |a, b| Self(unsafe { $sub(a.0, b.0) }));
            // SAFETY: `dispatch` has asked the CPU for this unit.
            operator!($name, Mul, mul, |a, b| Self(unsafe { $mul(a.0, b.0) }));
            // SAFETY: `dispatch` has asked the CPU for this unit.
            operator!($name, Div, div, |a, b| Self(unsafe { $div(a.0, b.0) }));
            impl Neg for $name {
                type Output = Self;
                #[inline(always)]
                fn neg(self) -> Self {
                    self.bit_xor(Self::splat(-0.0))
                }
            }
            impl Lanes for $name {
                type Scalar = $t;
                const N: usize = $n;
                #[inline(always)]
                fn splat(x: $t) -> Self {
                    // SAFETY: `dispatch` has asked the CPU for this unit.
                    Self(unsafe { $set1(x) })
                }
                #[inline(always)]
                fn mul_add(self, a: Self, b: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $fma(self.0, a.0, b.0) })
                }
                #[inline(always)]
                fn sqrt(self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $sqrt(self.0) })
                }
                #[inline(always)]
                fn min(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $min(self.0, other.0) })
                }
                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $max(self.0, other.0) })
                }
                #[inline(always)]
                fn abs(self) -> Self {
                    // SAFETY: as above.
                    unsafe {
                        let sign = $to_bits($set1(-0.0));
                        Self($of_bits($andnot(sign, $to_bits(self.0))))
                    }
                }
                #[inline(always)]
                fn copysign(self, sign: Self) -> Self {
                    // SAFETY: as above.
                    unsafe {
                        let mask = $to_bits($set1(-0.0));
                        let sign = $and(mask, $to_bits(sign.0));
                        let magnitude = $andnot(mask, $to_bits(self.0));
                        Self($of_bits($or(sign, magnitude)))
                    }
                }
                #[inline(always)]
                fn less(self, other: Self, yes: Self, no: Self) -> Self {
                    let ($a, $b, $yes, $no) = (self.0, other.0, yes.0, no.0);
                    // SAFETY: as above.
                    Self(unsafe { $less })
                }
                #[inline(always)]
                fn exp2_shifted(self) -> Self {
                    // SAFETY: as above.
                    unsafe {
                        let exponent = $shift_left::<$mantissa>($to_bits(self.0));
                        Self($of_bits($add_bits(exponent, $to_bits($set1(1.0)))))
                    }
                }
                #[inline(always)]
                fn bit_xor(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $of_bits($xor($to_bits(self.0), $to_bits(other.0))) })
                }
                #[inline(always)]
                fn bit_or(self, other: Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $of_bits($or($to_bits(self.0), $to_bits(other.0))) })
                }
                #[inline(always)]
                fn as_slice(&self) -> &[$t] {
                    // SAFETY: a vector register in memory is an array of its lanes.
                    unsafe { &*std::ptr::from_ref(&self.0).cast::<[$t; $n]>() }
                }
                #[inline(always)]
                fn as_mut_slice(&mut self) -> &mut [$t] {
                    // SAFETY: as for `as_slice`, and borrowed mutably.
                    unsafe { &mut *std::ptr::from_mut(&mut self.0).cast::<[$t; $n]>() }
                }
            }
        };
    }

    x86!(
        F32x16,
        f32,
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_fmadd_ps,
        _mm512_sqrt_ps,
        _mm512_min_ps,
        _mm512_max_ps,
        _mm512_castps_si512,
        _mm512_castsi512_ps,
        _mm512_and_si512,
        _mm512_andnot_si512,
        _mm512_or_si512,
        _mm512_xor_si512,
        _mm512_slli_epi32,
        23,
        _mm512_add_epi32,
        |a, b, yes, no| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes)
    );
    x86!(
        F64x8,
        f64,
        __m512d,
        8,
        _mm512_set1_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_div_pd,
        _mm512_fmadd_pd,
        _mm512_sqrt_pd,
        _mm512_min_pd,
        _mm512_max_pd,
        _mm512_castpd_si512,
        _mm512_castsi512_pd,
        _mm512_and_si512,
        _mm512_andnot_si512,
        _mm512_or_si512,
        _mm512_xor_si512,
        _mm512_slli_epi64,
        52,
        _mm512_add_epi64,
        |a, b, yes, no| _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b), no, yes)
    );
    x86!(
        F32x8,
        f32,
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_fmadd_ps,
        _mm256_sqrt_ps,
        _mm256_min_ps,
        _mm256_max_ps,
        _mm256_castps_si256,
        _mm256_castsi256_ps,
        _mm256_and_si256,
        _mm256_andnot_si256,
        _mm256_or_si256,
        _mm256_xor_si256,
        _mm256_slli_epi32,
        23,
        _mm256_add_epi32,
        |a, b, yes, no| _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    );
    x86!(
        F64x4,
        f64,
        __m256d,
        4,
        _mm256_set1_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        _mm256_div_pd,
        _mm256_fmadd_pd,
        _mm256_sqrt_pd,
        _mm256_min_pd,
        _mm256_max_pd,
        _mm256_castpd_si256,
        _mm256_castsi256_pd,
        _mm256_and_si256,
        _mm256_andnot_si256,
        _mm256_or_si256,
        _mm256_xor_si256,
        _mm256_slli_epi64,
        52,
        _mm256_add_epi64,
        |a, b, yes, no| _mm256_blendv_pd(no, yes, _mm256_cmp_pd::<_CMP_LT_OQ>(a, b))
    );

    #[target_feature(enable = "avx512f,avx2,fma")]
    pub fn avx512<L: Lanes, K: Kernel<L::Scalar>>(kernel: K) -> K::Output {
        kernel.run::<L, 4>()
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2<L: Lanes, K: Kernel<L::Scalar>>(kernel: K) -> K::Output {
        kernel.run::<L, 2>()
    }
}

macro_rules! real {
    ($t:ty, $portable:literal, $avx512:ident, $avx2:ident, $shift:expr, $tiny:expr, $exp:expr) => {
        impl Real for $t {
            const EPSILON: f64 = <$t>::EPSILON as f64;
            const SHIFT: Self = $shift;
            const TINY: Self = $tiny;
            const EXP: crate::activation::ExpConstants<Self> = $exp;
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation)]
            fn of(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn is_zero_bits(self) -> bool {
                self.to_bits() == 0
            }
            fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: `dispatch` has found the unit on this CPU.
                    Isa::Avx512 => unsafe { x86::avx512::<x86::$avx512, K>(kernel) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Isa::Avx2 => unsafe { x86::avx2::<x86::$avx2, K>(kernel) },
                    _ => kernel.run::<Pack<$t, $portable>, 4>(),
                }
            }
        }
    };
}
real!(
    f32,
    4,
    F32x16,
    F32x8,
    12_582_912.0,
    1e-30,
    crate::activation::EXP_F32
);
real!(
    f64,
    2,
    F64x8,
    F64x4,
    6_755_399_441_055_744.0,
    1e-290,
    crate::activation::EXP_F64
);
