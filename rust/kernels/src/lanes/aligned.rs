//! Memory that any vector unit may read and write as lanes.

use std::marker::PhantomData;

use super::{Lanes, Real};

/// The widest vector of all units.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Numbers, aligned for the lanes of any unit.
#[derive(Clone, Debug)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<T>,
}

impl<T: Real> Aligned<T> {
    /// Zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        Self {
            lines: vec![Line([0; 64]); bytes.div_ceil(size_of::<Line>())],
            len,
            numbers: PhantomData,
        }
    }

    /// The numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the lines hold at least `len` numbers, of which all bits are valid.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The numbers, writable.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// The numbers as columns of lanes.
    #[inline(always)]
    pub(crate) fn columns<L: Lanes<Scalar = T>, const C: usize>(&self) -> &[[L; C]] {
        let count = self.count::<L, C>();
        // SAFETY: a vector register in memory is an array of its lanes; the lines are aligned for
        // the widest, and hold `count` of these arrays.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), count) }
    }

    /// The numbers as columns of lanes, writable.
    #[inline(always)]
    pub(crate) fn columns_mut<L: Lanes<Scalar = T>, const C: usize>(&mut self) -> &mut [[L; C]] {
        let count = self.count::<L, C>();
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), count) }
    }

    #[inline(always)]
    fn count<L: Lanes<Scalar = T>, const C: usize>(&self) -> usize {
        const {
            assert!(size_of::<L>() == L::N * size_of::<L::Scalar>());
            assert!(align_of::<L>() <= align_of::<Line>());
        }
        debug_assert_eq!(self.len % (L::N * C), 0);
        self.len / (L::N * C)
    }
}
