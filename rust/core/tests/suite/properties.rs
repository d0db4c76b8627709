//! Identities, over random nets and frames.

use crate::common::{
    CELLS, Linear, Net, execution, log_determinant, settings, spectrum, spectrum_on,
};
use lstm_edge_core::tangent::first_frame_of;
use lstm_edge_kernels::lanes::Isa;
use ndarray::Array2;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn matrix(n: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((n, n), |_| rng.random_range(-1.0..1.0))
}

proptest! {
    // the same nets every time: a run that fails is to fail again
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn frames_are_orthonormal(n in 1usize..40, missing in 0usize..40, seed: u64) {
        let k = n - missing % n;
        let q = first_frame_of(n, k, seed, 3);
        let gram = q.t().dot(&q);
        for ((i, j), x) in gram.indexed_iter() {
            let expected = if i == j { 1.0 } else { 0.0 };
            // Householder: a small multiple of the rounding
            prop_assert!((x - expected).abs() < 1e-14 * (n as f64 + 10.0));
        }
    }

    #[test]
    fn leading_vectors_do_not_depend_on_the_later_ones(n in 2usize..30, seed: u64) {
        let all = first_frame_of(n, n, seed, 0);
        let some = first_frame_of(n, n / 2, seed, 0);
        for ((row, i), x) in some.indexed_iter() {
            prop_assert!((x - all[[row, i]]).abs() < 1e-12);
        }
    }

    #[test]
    fn sum_of_all_exponents_is_the_logarithm_of_the_determinant(
        n in 1usize..24, interval in 1usize..4, seed: u64,
    ) {
        // singular values between 1 and 3: a badly conditioned matrix loses its last column
        let a = matrix(n, seed);
        let norm = a.iter().map(|x| x * x).sum::<f64>().sqrt();
        let a = a / norm + 2.0 * Array2::<f64>::eye(n);
        let expected = log_determinant(a.clone());
        let mut how = settings(n, 3, 12);
        how.interval = Some(interval);
        let found = spectrum(&Linear(a), 2, &how);
        for start in found.per_start.outer_iter() {
            prop_assert!((start.sum() - expected).abs() < 1e-12 * (1.0 + expected.abs()));
        }
    }

    #[test]
    fn exponents_do_not_depend_on_interval_or_k(hidden in 2usize..8, seed: u64) {
        // few steps: along many, rounding turns vectors of nearly equal exponents into each other
        let map = Net::<f64>::random(1, &[hidden], 2.0, seed).map();
        let k = 2 * hidden;
        let reference = spectrum(&*map, 2, &settings(k, 10, 40));
        let mut how = settings(k.div_ceil(2), 10, 40);
        how.interval = None;
        let found = spectrum(&*map, 2, &how);
        for start in 0..2 {
            for i in 0..k.div_ceil(2) {
                let (a, b) = (reference.per_start[[start, i]], found.per_start[[start, i]]);
                prop_assert!((a - b).abs() < 1e-8 * (1.0 + a.abs()), "{a} {b}");
            }
        }
    }

    #[test]
    fn both_spreads_of_the_lanes_give_the_same_bits(
        cell in 0..CELLS.len(), hidden in 1usize..7, gain in 0.2..2.0, seed: u64,
    ) {
        // one start puts the tangent vectors in the lanes, many starts put the starts there
        let map = Net::<f64>::of(CELLS[cell], 1, &[hidden], gain, seed).map();
        let how = settings(map.dim(), 5, 20);
        let run = execution(1, Isa::best());
        let many = spectrum_on(&*map, 40, &how, run);
        let one = spectrum_on(&*map, 1, &how, run);
        for i in 0..map.dim() {
            prop_assert_eq!(
                many.per_start[[0, i]].to_bits(),
                one.per_start[[0, i]].to_bits()
            );
        }
    }
}
