//! Vectors of scalars, one trajectory (or tangent vector) a lane, on the widest unit of this CPU.
//!
//! Every operation acts on each lane alone and rounds as IEEE 754 says (fused multiply-add
//! included), so a lane's bits depend neither on the width of the vector, nor on its neighbours.
//! AVX-512, AVX2 + FMA and NEON are written with intrinsics; the portable [`Pack`] is plain Rust.
//!
//! This is the only folder with `unsafe`. The vector types are private: generic code meets them
//! through [`dispatch`] alone, which has asked the CPU first. Whatever runs inside a [`Kernel`]
//! must be `#[inline(always)]`: a function kept apart loses the vector unit, unless it is a
//! [`Part`].
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
    /// NEON, on ARM: 4 lanes of `f32`, 2 of `f64`.
    Neon,
    /// Plain Rust in 128 bits.
    Portable,
}

impl Isa {
    /// The units that this CPU has, best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                found.push(Self::Avx512);
            }
            if avx2 {
                found.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        found.push(Self::Neon);
        found.push(Self::Portable);
        found
    }

    /// How many lanes of `T` a vector has.
    #[must_use]
    pub fn lanes<T: Real>(self) -> usize {
        let bytes = match self {
            Self::Avx512 => 64,
            Self::Avx2 => 32,
            Self::Neon | Self::Portable => 16,
        };
        bytes / size_of::<T>()
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
    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
    /// Whether all bits are zero.
    fn is_zero_bits(self) -> bool;
    /// Runs a kernel with the lanes of a vector unit; panics when this CPU lacks it.
    fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
}

/// A vector of scalars; `min`, `max` and comparisons as on x86 (NaN gives the second operand).
pub trait Lanes:
    Copy
    + Send
    + Sync
    + 'static
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
    /// Runs a part of a kernel in a function of its own.
    fn call<P: Part>(part: P);
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

/// A part that many kernels share: compiled once for each kind of lanes, and not within each of
/// them, which `#[inline(always)]` would do.
pub trait Part {
    /// Does the work. Must be `#[inline(always)]`, with all that it calls.
    fn run(self);
}

/// Runs `kernel` on the unit `isa`.
///
/// # Panics
/// When this CPU lacks `isa`.
pub fn dispatch<T: Real, K: Kernel<T>>(isa: Isa, kernel: K) -> K::Output {
    T::dispatch(isa, kernel)
}

/// Brings this thread into the mode of IEEE 754 that all kernels expect: rounding to nearest,
/// subnormal numbers kept. A new thread inherits the mode of the one that starts it, and that may
/// be another (`torch.set_flush_denormal`).
pub fn default_float_mode() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: sets the control register to the value that Rust itself expects.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &0x1f80_u32, options(nostack, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("msr fpcr, {}", in(reg) 0_u64, options(nostack, nomem));
    }
}

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

mod aligned;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use aligned::Aligned;
use portable::Pack;

macro_rules! real {
    ($t:ty, $portable:literal, $avx512:ident, $avx2:ident, $neon:ident, $shift:expr, $tiny:expr) => {
        impl Real for $t {
            const EPSILON: f64 = <$t>::EPSILON as f64;
            const SHIFT: Self = $shift;
            const TINY: Self = $tiny;
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
                let found = Isa::available().contains(&isa);
                assert!(found, "{isa:?} is not on this CPU");
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: the unit is on this CPU.
                    Isa::Avx512 => unsafe { x86::avx512::<x86::$avx512, K>(kernel) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Isa::Avx2 => unsafe { x86::avx2::<x86::$avx2, K>(kernel) },
                    #[cfg(target_arch = "aarch64")]
                    Isa::Neon => kernel.run::<neon::$neon, 4>(),
                    _ => kernel.run::<Pack<$t, $portable>, 4>(),
                }
            }
        }
    };
}
real!(f32, 4, F32x16, F32x8, F32x4, 12_582_912.0, 1e-30);
real!(f64, 2, F64x8, F64x4, F64x2, 6_755_399_441_055_744.0, 1e-290);
