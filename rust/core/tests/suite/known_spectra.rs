//! Exponents that are known from theory or from papers.

use crate::common::{Cat, Henon, Linear, Logistic, Net, settings, spectrum};
use lstm_edge_core::tangent::push;
use ndarray::{Array1, Array2, array};

fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "found {found}, expected {expected} within {tolerance}"
    );
}

#[test]
fn diagonal_map_has_the_logarithms_of_its_entries() {
    let map = Linear(Array2::from_diag(&array![2.0, 0.5, 0.1]));
    let found = spectrum(&map, 1, &settings(3, 200, 500));
    // the frame has turned to the axes within the transient: only rounding is left
    for (i, a) in [2.0_f64, 0.5, 0.1].into_iter().enumerate() {
        assert_close(found.per_start[[0, i]], a.ln(), 1e-12);
    }
}

#[test]
fn scaled_rotation_has_equal_exponents() {
    let (s, c) = 0.7_f64.sin_cos();
    let map = Linear(array![[0.9 * c, -0.9 * s], [0.9 * s, 0.9 * c]]);
    let found = spectrum(&map, 3, &settings(2, 0, 300));
    for exponent in &found.per_start {
        assert_close(*exponent, 0.9_f64.ln(), 1e-13);
    }
}

#[test]
fn projection_flattens_one_direction_to_minus_infinity() {
    let map = Linear(array![[0.5, 0.5], [0.5, 0.5]]);
    let found = spectrum(&map, 1, &settings(2, 1, 10));
    assert_close(found.per_start[[0, 0]], 0.0, 1e-13);
    assert_eq!(
        found.per_start[[0, 1]].to_bits(),
        f64::NEG_INFINITY.to_bits()
    );
}

#[test]
fn zero_map_flattens_everything() {
    let found = spectrum(&Linear(Array2::zeros((3, 3))), 1, &settings(3, 0, 4));
    assert!(found.per_start.iter().all(|x| x.is_infinite() && *x < 0.0));
}

#[test]
fn logistic_map_at_four_has_ln_2() {
    let found = spectrum(&Logistic(4.0), 16, &settings(1, 100, 20_000));
    // the spread over 16 starts of 20,000 steps is below 1e-3
    assert_close(found.per_start.mean().unwrap(), 2.0_f64.ln(), 1e-3);
}

#[test]
fn logistic_map_in_its_stable_regimes_is_negative() {
    // a fixed point at 1 − 1/r with multiplier 2 − r, and the period-2 orbit at r = 3.2 with
    // multiplier 4 + 2r − r²
    let fixed = spectrum(&Logistic(2.8), 2, &settings(1, 500, 100));
    assert_close(fixed.per_start[[0, 0]], 0.8_f64.ln(), 1e-12);
    let cycle = spectrum(&Logistic(3.2), 2, &settings(1, 500, 100));
    assert_close(cycle.per_start[[0, 0]], 0.16_f64.ln() / 2.0, 1e-12);
}

#[test]
fn henon_map_has_its_published_exponents() {
    let map = Henon { a: 1.4, b: 0.3 };
    let found = spectrum(&map, 16, &settings(2, 1000, 20_000));
    let mean = found.per_start.mean_axis(ndarray::Axis(0)).unwrap();
    assert_close(mean[0], 0.41922, 2e-3);
    assert_close(mean[1], -1.62319, 2e-3);
    for start in found.per_start.outer_iter() {
        assert_close(start.sum(), 0.3_f64.ln(), 1e-12);
    }
}

#[test]
fn cat_map_has_its_exact_exponents() {
    let expected = f64::midpoint(3.0, 5.0_f64.sqrt()).ln();
    let found = spectrum(&Cat, 4, &settings(2, 50, 1000));
    for start in found.per_start.outer_iter() {
        assert_close(start[0], expected, 1e-12);
        assert_close(start[1], -expected, 1e-12);
    }
}

/// A net of one layer whose h does not act on it; one bias of each gate, which all units share.
fn deaf(cell: (&'static str, usize, bool), hidden: usize, biases: &[f64]) -> Net<f64> {
    let mut net = Net::<f64>::of(cell, 2, &[hidden], 0.0, 0);
    net.layers[0].2 = Array1::from_shape_fn(biases.len() * hidden, |row| biases[row / hidden]);
    net
}

#[test]
fn gru_that_does_not_hear_itself_has_ln_z() {
    for cell in [("gru", 3, false), ("gru_reset_before", 3, false)] {
        let map = deaf(cell, 4, &[0.3, 0.7, -0.5]).map();
        let found = spectrum(&*map, 2, &settings(4, 100, 50));
        for exponent in &found.per_start {
            assert_close(*exponent, -(-0.7_f64).exp().ln_1p(), 1e-13);
        }
    }
}

#[test]
fn rnn_that_does_not_hear_itself_flattens_everything() {
    for cell in ["rnn_tanh", "rnn_relu"] {
        let found = spectrum(
            &*deaf((cell, 1, false), 4, &[0.5]).map(),
            2,
            &settings(4, 5, 50),
        );
        assert!(found.per_start.iter().all(|x| x.is_infinite() && *x < 0.0));
    }
}

#[test]
fn rnn_with_scaled_orthogonal_weights_has_equal_exponents() {
    // tanh at its fixed point 0; relu with all units open, by a permutation and a positive bias
    let (s, c) = 0.7_f64.sin_cos();
    let cases = [
        ("rnn_tanh", 0.0, array![[c, -s], [s, c]]),
        ("rnn_relu", 1.0, array![[0.0, 1.0], [1.0, 0.0]]),
    ];
    for (cell, bias, orthogonal) in cases {
        let mut net = deaf((cell, 1, false), 2, &[bias]);
        net.layers[0].1 = 0.9 * orthogonal;
        let found = spectrum(&*net.map(), 3, &settings(2, 500, 100));
        for exponent in &found.per_start {
            assert_close(*exponent, 0.9_f64.ln(), 1e-12);
        }
    }
}

#[test]
fn saturated_rnn_keeps_its_exponents() {
    // at h = 1 to 17 digits the slope is sech² z = 4 e^{-2 z}, z = 30: no −∞
    let mut net = deaf(("rnn_tanh", 1, false), 1, &[0.0]);
    net.layers[0].1 = array![[30.0]];
    let found = spectrum(&*net.map(), 1, &settings(1, 10, 10));
    assert_close(found.per_start[[0, 0]], 120.0_f64.ln() - 60.0, 1e-12);
}

#[test]
fn relu_has_slope_zero_at_zero() {
    let mut net = deaf(("rnn_relu", 1, false), 1, &[0.0]);
    net.layers[0].1 = array![[1.0]];
    let one = array![[1.0]];
    for (state, slope) in [(0.0, 0.0), (1e-300, 1.0), (-1e-300, 0.0)] {
        let (_, pushed) = push(&*net.map(), &array![state].view(), &one.view()).unwrap();
        assert_close(pushed[[0, 0]], slope, 0.0);
    }
}

#[test]
fn lstm_that_does_not_hear_itself_has_ln_f_and_minus_infinity() {
    let hidden = 5;
    for (cell, outputs) in [(("lstm", 4, false), 5), (("lstm", 4, true), 3)] {
        let mut net = deaf(cell, hidden, &[0.0, 0.7, 0.0, 0.0]);
        if let Some(projection) = &mut net.layers[0].4 {
            projection.fill(0.5);
        }
        let found = spectrum(&*net.map(), 2, &settings(hidden + outputs, 100, 50));
        for start in found.per_start.outer_iter() {
            for i in 0..hidden {
                assert_close(start[i], -(-0.7_f64).exp().ln_1p(), 1e-13);
            }
            let rest = start.iter().skip(hidden);
            assert!(rest.into_iter().all(|x| x.is_infinite() && *x < 0.0));
        }
    }
}
