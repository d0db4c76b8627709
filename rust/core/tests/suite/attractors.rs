//! Maps whose attractors are known, and a table of labelled cases.

use lstm_edge_core::drive::Drive;
use lstm_edge_core::ensemble::starts;
use lstm_edge_core::measures::attractor::{Attractors, Kind, Settings, attractors};
use lstm_edge_core::orbit::Starts;
use lstm_edge_kernels::lanes::Isa;
use lstm_edge_kernels::map::StateMap;
use ndarray::Array2;

use crate::common::{DelayedLogistic, Henon, Linear, Logistic, NeimarkSacker, execution};

const DEFAULTS: Settings = Settings {
    transient: 1000,
    steps: 2000,
    limit: 16_000,
    tolerance: 1e-6,
    seed: 0,
};

fn found<M: StateMap<f64>>(map: &M, count: usize) -> Attractors<f64> {
    let (states, sequences) = starts(map, 0, count, 3);
    let starts = Starts {
        states: &states,
        sequences: &sequences,
    };
    attractors(
        map,
        &Drive::Zero,
        &starts,
        &DEFAULTS,
        execution(2, Isa::best()),
    )
    .unwrap()
}

/// Steps of a plain orbit, and as many before them.
const STEPS: usize = 1_000_000;

/// What a plain, very long orbit says: a period of at most 64, or else the exponent's sign.
fn plain<const N: usize>(
    mut x: [f64; N],
    step: impl Fn([f64; N]) -> [f64; N],
    jacobian: impl Fn([f64; N]) -> [[f64; N]; N],
) -> (Kind, usize, f64) {
    for _ in 0..STEPS {
        x = step(x);
    }
    let begin = x;
    for period in 1..=64 {
        x = step(x);
        if (0..N).all(|i| (x[i] - begin[i]).abs() < 1e-11) {
            let kind = if period == 1 {
                Kind::FixedPoint
            } else {
                Kind::Cycle
            };
            return (kind, period, f64::NAN);
        }
    }
    let (mut v, mut sum) = ([0.6; N], 0.0);
    for _ in 0..STEPS {
        let j = jacobian(x);
        let w: [f64; N] = std::array::from_fn(|i| (0..N).map(|k| j[i][k] * v[k]).sum());
        let norm = w.iter().map(|x| x * x).sum::<f64>().sqrt();
        v = w.map(|x| x / norm);
        sum += norm.ln();
        x = step(x);
    }
    let exponent = sum / STEPS as f64;
    let kind = match exponent {
        e if e > 1e-4 => Kind::Chaos,
        e if e < -1e-4 => Kind::Cycle,
        _ => Kind::Torus,
    };
    (kind, 0, exponent)
}

#[test]
fn a_table_of_labelled_cases_is_right() {
    let mut cases = Vec::new();
    let (mut wrong, mut undecided) = (Vec::new(), Vec::new());
    let mut check = |name: String, label: (Kind, usize, f64), all: Attractors<f64>| {
        let found = all.found[0];
        let right = found.kind == label.0 && (label.1 == 0 || found.period == label.1);
        if found.kind == Kind::Undecided {
            undecided.push(format!("{name}: {label:?}: {found:?}"));
        } else if !right {
            wrong.push(format!("{name}: {label:?}: {found:?}"));
        }
        cases.push(name);
    };

    // labels by the plain orbit: order, the period-doubling cascade, windows, chaos
    for i in 0..=110 {
        let r = 2.9 + 0.01 * f64::from(i);
        let map = Logistic(r);
        let x = starts::<f64>(&map, 0, 1, 3).0[[0, 0]];
        let label = plain(
            [x],
            |[x]| [r * x * (1.0 - x)],
            |[x]| [[r * (1.0 - 2.0 * x)]],
        );
        check(format!("logistic r = {r}"), label, found(&map, 1));
    }
    // up to a = 1.4 with its known chaos
    for i in 0..=65 {
        let a = 0.1 + 0.02 * f64::from(i);
        let map = Henon { a, b: 0.3 };
        let x = starts::<f64>(&map, 0, 1, 3).0;
        let label = plain(
            [x[[0, 0]], x[[0, 1]]],
            |[x, y]| [1.0 - a * x * x + y, 0.3 * x],
            |[x, _]| [[-2.0 * a * x, 1.0], [0.3, 0.0]],
        );
        check(format!("henon a = {a}"), label, found(&map, 1));
    }
    // a fixed point up to r = 2, then a circle, locked in places
    for i in 0..=27 {
        let r = 1.9 + 0.013 * f64::from(i);
        let map = DelayedLogistic(r);
        let x = starts::<f64>(&map, 0, 1, 3).0;
        let label = plain(
            [x[[0, 0]], x[[0, 1]]],
            |[x, y]| [r * x * (1.0 - y), x],
            |[x, y]| [[r * (1.0 - y), -r * x], [1.0, 0.0]],
        );
        check(format!("delayed logistic r = {r}"), label, found(&map, 1));
    }
    // labels by theory
    for i in 0..40 {
        let mu = -0.2 + 0.0125 * f64::from(i) + 0.001;
        let omega = 0.3 + 0.06 * f64::from(i) * std::f64::consts::SQRT_2;
        let label = if mu < 0.0 {
            (Kind::FixedPoint, 1, 0.0)
        } else {
            (Kind::Torus, 0, 0.0)
        };
        check(
            format!("circle mu = {mu}, omega = {omega}"),
            label,
            found(&NeimarkSacker { mu, omega }, 1),
        );
    }
    assert!(cases.len() >= 200, "{}", cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(20 * undecided.len() <= cases.len());
}

#[test]
fn known_cycles_have_their_period() {
    let period_3 = found(&Logistic(3.83), 4);
    for found in &period_3.found {
        assert_eq!(
            (found.kind, found.period, found.same_as),
            (Kind::Cycle, 3, 0)
        );
    }
    // the cycle of period 2 at r = 3.2 has the multiplier r² (1 − 2a)(1 − 2b) = 4 + 2r − r²
    let period_2 = found(&Logistic(3.2), 1).found[0];
    assert_eq!((period_2.kind, period_2.period), (Kind::Cycle, 2));
    let exponent = (4.0_f64 + 2.0 * 3.2 - 3.2 * 3.2).abs().ln() / 2.0;
    assert!((period_2.exponent - exponent).abs() < 1e-9);
}

#[test]
fn a_start_that_sits_on_a_repeller_is_nudged_off() {
    // x = 0 repels for r = 3.9, and is returned to bit for bit
    let map = Logistic(3.9);
    let states = Array2::from_elem((1, 1), 0.0);
    let starts = Starts {
        states: &states,
        sequences: &[],
    };
    let execution = execution(1, Isa::best());
    let all = attractors(&map, &Drive::Zero, &starts, &DEFAULTS, execution).unwrap();
    assert!(all.found[0].kind == Kind::Chaos || all.found[0].exponent.is_nan());
}

#[test]
fn attractors_side_by_side_are_told_apart() {
    // s' = A s with A = 1: every state is a fixed point of its own
    let neutral = found(&Linear(Array2::eye(3)), 5);
    for (start, found) in neutral.found.iter().enumerate() {
        assert_eq!((found.kind, found.same_as), (Kind::FixedPoint, start));
    }
    // exchanging two numbers returns bit for bit after two steps, and nothing shrinks
    let exchange = found(&Linear(ndarray::array![[0.0, 1.0], [1.0, 0.0]]), 3);
    for (start, found) in exchange.found.iter().enumerate() {
        let expected = (Kind::Cycle, 2, start);
        assert_eq!((found.kind, found.period, found.same_as), expected);
    }
    let turned = NeimarkSacker {
        mu: 0.1,
        omega: 1.0,
    };
    let circle = found(&turned, 5);
    for found in &circle.found {
        assert_eq!((found.kind, found.same_as), (Kind::Torus, 0));
    }
    let radius: f64 = circle.averages.row(0).iter().skip(2).sum();
    assert!((radius - 0.1).abs() < 1e-9);
}

#[test]
fn two_frequencies_make_a_torus() {
    let (a, b) = (1.0_f64, 2.0_f64.sqrt());
    let turns = ndarray::array![
        [a.cos(), -a.sin(), 0.0, 0.0],
        [a.sin(), a.cos(), 0.0, 0.0],
        [0.0, 0.0, b.cos(), -b.sin()],
        [0.0, 0.0, b.sin(), b.cos()],
    ];
    for found in &found(&Linear(turns), 4).found {
        assert_eq!(found.kind, Kind::Torus);
        assert!(found.zero_one < 0.1);
    }
}

#[test]
fn a_torus_is_told_early_and_a_slow_spiral_is_none() {
    for omega in [0.618_034, 1.0, 2.4] {
        for mu in [0.3, 0.05, 0.02] {
            let on = found(&NeimarkSacker { mu, omega }, 4);
            assert!(
                on.found.iter().all(|f| f.kind == Kind::Torus),
                "{mu} {omega}"
            );
            let early = |steps: usize| steps < DEFAULTS.transient + DEFAULTS.limit;
            assert!(on.found.iter().all(|f| early(f.steps)), "{mu} {omega}");
        }
        for mu in [-1e-3, -1e-4, -1e-5, -1e-6] {
            let spiral = found(&NeimarkSacker { mu, omega }, 4);
            let torus = spiral.found.iter().any(|f| f.kind == Kind::Torus);
            assert!(!torus, "{mu} {omega}");
        }
    }
}
