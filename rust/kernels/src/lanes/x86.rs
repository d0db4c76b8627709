//! AVX-512 and AVX2 with FMA, by intrinsics.
#![allow(clippy::wildcard_imports)]

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Kernel, Lanes, Part};

macro_rules! x86 {
    (
        $name:ident, $t:ty, $register:ty, $n:literal, $features:literal,
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
            fn call<P: Part>(part: P) {
                #[inline(never)]
                #[target_feature(enable = $features)]
                fn apart<P: Part>(part: P) {
                    part.run();
                }
                // SAFETY: `dispatch` has asked the CPU for this unit.
                unsafe { apart(part) }
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
    "avx512f,avx2,fma",
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
    "avx512f,avx2,fma",
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
    "avx2,fma",
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
    "avx2,fma",
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
