//! Plain Rust, in 128 bits: for every other CPU, and what the others are compared with.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Lanes, Part};

/// Plain Rust lanes.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub struct Pack<T, const N: usize>([T; N]);

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
            #[inline(never)]
            fn call<P: Part>(part: P) {
                part.run();
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
