//! NEON, by intrinsics; every 64-bit ARM CPU has it.
#![allow(clippy::wildcard_imports)]

use std::arch::aarch64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Lanes, Part};

macro_rules! neon {
    (
        $name:ident, $t:ty, $register:ty, $n:literal,
        $dup:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident,
        $sqrt:ident, $abs:ident, $less:ident, $greater:ident, $select:ident,
        $to_bits:ident, $of_bits:ident, $or:ident, $xor:ident,
        $shift_left:ident, $mantissa:literal, $add_bits:ident
    ) => {
        #[derive(Clone, Copy)]
        pub struct $name($register);

        // SAFETY: this architecture has the unit.
        operator!($name, Add, add, |a, b| Self(unsafe { $add(a.0, b.0) }));
        // SAFETY: this architecture has the unit.
        operator!($name, Sub, sub, |a, b| Self(unsafe { $sub(a.0, b.0) }));
        // SAFETY: this architecture has the unit.
        operator!($name, Mul, mul, |a, b| Self(unsafe { $mul(a.0, b.0) }));
        // SAFETY: this architecture has the unit.
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
                // SAFETY: this architecture has the unit.
                Self(unsafe { $dup(x) })
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $fma(b.0, self.0, a.0) })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: as above. (The unit's own minimum gives NaN for either NaN.)
                Self(unsafe { $select($less(self.0, other.0), self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $select($greater(self.0, other.0), self.0, other.0) })
            }
            #[inline(always)]
            fn abs(self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $abs(self.0) })
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $select($to_bits($dup(-0.0)), sign.0, self.0) })
            }
            #[inline(always)]
            fn less(self, other: Self, yes: Self, no: Self) -> Self {
                // SAFETY: as above.
                Self(unsafe { $select($less(self.0, other.0), yes.0, no.0) })
            }
            #[inline(always)]
            fn exp2_shifted(self) -> Self {
                // SAFETY: as above.
                unsafe {
                    let exponent = $shift_left::<$mantissa>($to_bits(self.0));
                    Self($of_bits($add_bits(exponent, $to_bits($dup(1.0)))))
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
            #[inline(never)]
            fn call<P: Part>(part: P) {
                part.run();
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

neon!(
    F32x4,
    f32,
    float32x4_t,
    4,
    vdupq_n_f32,
    vaddq_f32,
    vsubq_f32,
    vmulq_f32,
    vdivq_f32,
    vfmaq_f32,
    vsqrtq_f32,
    vabsq_f32,
    vcltq_f32,
    vcgtq_f32,
    vbslq_f32,
    vreinterpretq_u32_f32,
    vreinterpretq_f32_u32,
    vorrq_u32,
    veorq_u32,
    vshlq_n_u32,
    23,
    vaddq_u32
);
neon!(
    F64x2,
    f64,
    float64x2_t,
    2,
    vdupq_n_f64,
    vaddq_f64,
    vsubq_f64,
    vmulq_f64,
    vdivq_f64,
    vfmaq_f64,
    vsqrtq_f64,
    vabsq_f64,
    vcltq_f64,
    vcgtq_f64,
    vbslq_f64,
    vreinterpretq_u64_f64,
    vreinterpretq_f64_u64,
    vorrq_u64,
    veorq_u64,
    vshlq_n_u64,
    52,
    vaddq_u64
);
