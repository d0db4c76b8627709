//! One suite for every cell and every vector unit.

use crate::common::{CELLS, Net, execution, log_determinant, settings, spectrum, spectrum_on};
use lstm_edge_core::drive::Drive;
use lstm_edge_core::measures::distance::{self, asymptotic_distance};
use lstm_edge_core::measures::lyapunov::lyapunov;
use lstm_edge_core::orbit::{Starts, endpoints, orbits};
use lstm_edge_core::tangent::push;
use lstm_edge_kernels::lanes::{Isa, Real};
use lstm_edge_kernels::orthonormal::NEVER;
use lstm_edge_kernels::system::{NetInput, Precision, System};
use lstm_edge_kernels::tile::Tile;
use ndarray::{Array1, Array2, Array3, s};

/// Largest |DF v − (F(x + εv) − F(x − εv)) / 2ε| over the components.
fn tangent_error(
    map: &dyn System<f64>,
    isa: Isa,
    input: &[f64],
    state: &[f64],
    tangent: &[f64],
) -> f64 {
    let epsilon = 1e-6;
    let engine = map.on(isa);
    let tile = |numbers: &[f64]| Tile::splat(numbers.iter().copied(), engine.lanes());
    let mut u = Tile::zeros(map.projected_dim(), engine.lanes());
    if map.input_dim() > 0 {
        engine.project(&tile(input), &mut u);
    }
    let u = (map.input_dim() > 0).then_some(&u);
    let step = |e: f64| -> Vec<f64> {
        let shifted: Vec<_> = state.iter().zip(tangent).map(|(x, v)| x + e * v).collect();
        let mut y = tile(state);
        engine.step(u, &tile(&shifted), &mut y);
        y.lane(0).collect()
    };
    let mut y = tile(state);
    let mut at = Tile::zeros(map.linearisation_len(), engine.lanes());
    engine.linearise(u, &tile(state), &mut y, &mut at);
    let same = y.lane(0).map(f64::to_bits);
    assert!(
        same.eq(step(0.0).into_iter().map(f64::to_bits)),
        "step and linearise disagree"
    );
    let mut frame = engine.tangents(1, true, &NEVER);
    for (row, &v) in tangent.iter().enumerate() {
        frame.set(0, row, 0, v);
    }
    frame.push(&at);
    let (above, below) = (step(epsilon), step(-epsilon));
    (0..map.dim())
        .map(|i| (frame.get(0, i, 0) - (above[i] - below[i]) / (2.0 * epsilon)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn tangent_step_is_the_derivative_of_the_step() {
    for (cell, hidden) in nets([&[1][..], &[7], &[3, 5], &[4, 2, 6]]) {
        let net = Net::<f64>::of(cell, 3, hidden, 1.0, 7);
        tangent_is_right(&*net.map(), &format!("{cell:?} {hidden:?}"));
        tangent_is_right(&*net.closed(), &format!("{cell:?} {hidden:?}, closed"));
    }
}

/// Every cell with every list of hidden sizes.
fn nets<const N: usize>(
    sizes: [&[usize]; N],
) -> impl Iterator<Item = ((&'static str, usize, bool), &[usize])> {
    CELLS
        .into_iter()
        .flat_map(move |cell| sizes.into_iter().map(move |hidden| (cell, hidden)))
}

fn tangent_is_right(map: &dyn System<f64>, name: &str) {
    for gain in [0.1, 1.0, 3.0] {
        let wave = |i: usize, shift: f64| (1.3 * i as f64 + shift).sin();
        let input: Vec<f64> = (0..map.input_dim()).map(|i| wave(i, 0.1)).collect();
        let state: Vec<f64> = (0..map.dim()).map(|i| gain * wave(i, 0.4)).collect();
        let tangent: Vec<f64> = (0..map.dim()).map(|i| wave(i, 2.0)).collect();
        for isa in Isa::available() {
            let error = tangent_error(map, isa, &input, &state, &tangent);
            // central differences: ε² of the third derivative, and rounding over ε
            assert!(error < 1e-8, "{name} {isa:?}: {error}");
        }
    }
}

/// Bits, NaN of every kind being one: IEEE 754 leaves its sign and payload open.
fn bits<T: Real>(values: impl IntoIterator<Item = T>) -> Vec<u64> {
    let one_nan = |x: f64| if x.is_nan() { f64::NAN } else { x };
    values
        .into_iter()
        .map(|x| one_nan(x.into()).to_bits())
        .collect()
}

/// Ends of orbits on every vector unit and with 1 and 3 threads: the same bits.
fn ends_agree<T: Precision>(cell: (&'static str, usize, bool), gain: f64, steps: usize) {
    let net = Net::<T>::of(cell, 2, &[9, 5], gain, 3);
    let map = net.map();
    let wave = |(b, t, i)| T::of((1.0 + 0.3 * f64::from(b * 31 + t * 7 + i)).sin());
    let inputs = Array3::from_shape_fn((11, 6, 2), |(b, t, i)| {
        let [b, t, i] = [b, t, i].map(|x| u32::try_from(x).unwrap());
        wave((b, t, i))
    });
    let drive = Drive::sequences(&inputs.view(), 2).unwrap();
    let (states, sequences) = lstm_edge_core::ensemble::starts(&*map, 11, 37, 5);
    let starts = Starts {
        states: &states,
        sequences: &sequences,
    };
    let mut seen: Option<Vec<u64>> = None;
    for isa in Isa::available() {
        for threads in [1, 3] {
            let run = execution(threads, isa);
            let ends = endpoints(&*map, &drive, &starts, steps, run).unwrap();
            let found = bits(ends);
            assert_eq!(
                *seen.get_or_insert(found.clone()),
                found,
                "{cell:?} {gain} {isa:?} {threads}"
            );
        }
    }
    // the early exit leaves the same bits as the full orbit
    let run = execution(2, Isa::best());
    let full = orbits(&*map, &drive, &starts, steps - 1, 1, run).unwrap();
    assert_eq!(
        seen.unwrap(),
        bits(full.slice(s![.., 0, ..]).iter().copied())
    );
}

#[test]
fn orbits_have_the_same_bits_on_every_vector_unit_thread_and_with_early_exit() {
    for cell in CELLS {
        for gain in [0.3, 2.0, 6.0] {
            ends_agree::<f32>(cell, gain, 700);
            ends_agree::<f64>(cell, gain, 300);
        }
    }
}

/// The same tokens, embedded before and projected once.
fn tokens_agree<T: Precision>() {
    for (cell, hidden) in nets([&[9][..], &[5, 7]]) {
        let map = Net::<T>::of(cell, 3, hidden, 2.0, 5).map();
        let wave = |(v, i): (usize, usize)| T::of((1.0 + 3.1 * v as f64 + 0.7 * i as f64).sin());
        let embedding = Array2::from_shape_fn((23, 3), wave);
        let token = |(b, t): (usize, usize)| i64::try_from((b * 31 + t * t * 7) % 23).unwrap();
        let tokens = Array2::from_shape_fn((4, 17), token);
        let embedded = Array3::from_shape_fn((4, 17, 3), |(b, t, i)| {
            embedding[[usize::try_from(tokens[[b, t]]).unwrap(), i]]
        });
        let drives = [
            Drive::tokens(&tokens.view(), &embedding.view(), &*map).unwrap(),
            Drive::sequences(&embedded.view(), 3).unwrap(),
        ];
        let (states, sequences) = lstm_edge_core::ensemble::starts(&*map, 0, 11, 5);
        let starts = Starts {
            states: &states,
            sequences: &sequences,
        };
        for isa in Isa::available() {
            let run = execution(2, isa);
            let [found, expected] = [0, 1].map(|i| {
                let drive = &drives[i];
                let ends = endpoints(&*map, drive, &starts, 25, run).unwrap();
                let driven = settings(3, 5, 12);
                let exponents = lyapunov(&*map, drive, &starts, &driven, run).unwrap();
                let mut found = bits(ends);
                found.extend(bits(exponents.per_start));
                found.extend(bits(orbits(&*map, drive, &starts, 3, 20, run).unwrap()));
                found
            });
            assert_eq!(found, expected, "{cell:?} {hidden:?} {isa:?}");
        }
    }
}

#[test]
fn tokens_projected_once_give_the_bits_of_embedded_sequences() {
    tokens_agree::<f32>();
    tokens_agree::<f64>();
}

#[test]
fn tokens_beyond_the_embedding_are_refused() {
    let map = Net::<f64>::random(3, &[4], 1.0, 5).map();
    let embedding = Array2::from_elem((7, 3), 0.5);
    for wrong in [-1, 7, i64::MIN, i64::MAX] {
        let tokens = Array2::from_elem((1, 2), wrong);
        let error = Drive::tokens(&tokens.view(), &embedding.view(), &*map).unwrap_err();
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    }
    let narrow = Array2::from_elem((7, 2), 0.5);
    let tokens = Array2::from_elem((1, 2), 0);
    assert!(Drive::tokens(&tokens.view(), &narrow.view(), &*map).is_err());
}

#[test]
fn exponents_have_the_same_bits_on_every_vector_unit_and_thread() {
    for (cell, gain) in CELLS
        .into_iter()
        .flat_map(|cell| [(cell, 0.5), (cell, 3.0)])
    {
        let map = Net::<f64>::of(cell, 1, &[6, 4], gain, 11).map();
        for (k, starts) in [(2, 9), (map.dim(), 3), (7, 1)] {
            let mut seen: Option<Vec<u64>> = None;
            for isa in Isa::available() {
                for threads in [1, 2] {
                    let run = execution(threads, isa);
                    let found = spectrum_on(&*map, starts, &settings(k, 20, 30), run);
                    let found = bits(found.per_start);
                    let first = seen.get_or_insert(found.clone());
                    assert_eq!(*first, found, "{cell:?} {gain} {isa:?} {k}");
                }
            }
        }
    }
}

/// Mean ln |det J| of the steps after the transient, from the unit vectors pushed along the orbit.
fn mean_log_determinant(
    map: &dyn System<f64>,
    mut state: Array1<f64>,
    transient: usize,
    steps: usize,
) -> f64 {
    let mut sum = 0.0;
    for t in 0..transient + steps {
        let (next, jacobian) = push(map, &state.view(), &Array2::eye(map.dim()).view()).unwrap();
        if t >= transient {
            sum += log_determinant(jacobian);
        }
        state = next;
    }
    sum / steps as f64
}

#[test]
fn sum_of_all_exponents_is_the_mean_logarithm_of_the_determinant() {
    // what is shut or saturated for ever is flat, so that both sides are -∞; without a bound the
    // orbit of the other regime leaves the finite numbers
    for (cell, hidden) in nets([&[6][..], &[4, 3]]) {
        for gain in [0.5, 3.0] {
            if gain > 1.0 && (cell.0.contains("relu") || cell.0.contains("linear")) {
                continue;
            }
            let map = Net::<f64>::of(cell, 1, hidden, gain, 2).map();
            let n = map.dim();
            let found = spectrum(&*map, 1, &settings(n, 50, 40));
            let (starts, _) = lstm_edge_core::ensemble::starts(&*map, 0, 1, 1);
            let expected = mean_log_determinant(&*map, starts.row(0).to_owned(), 50, 40);
            let sum = found.per_start.sum();
            // R_ii is known to ε times the growth apart of the columns in one step, e^15 here
            assert!(
                sum.to_bits() == expected.to_bits() || (sum - expected).abs() < 1e-8 * n as f64,
                "{cell:?} {hidden:?} {gain}: {sum} {expected}"
            );
        }
    }
}

#[test]
fn distance_is_the_floor_in_order_and_large_in_chaos() {
    let mut settings = distance::Settings {
        steps: 1599,
        noise: 1e-3,
        samples: 20,
        precision: None,
        floor: (-15.0_f64).exp(),
        seed: 0,
    };
    let run = execution(2, Isa::best());
    for cell in CELLS {
        // in f32 a GRU has neighbours that both stay, some 1e-8 apart beside e⁻¹⁵ = 3e-7
        let ordered = Net::<f64>::of(cell, 1, &[10], 0.1, 1).map();
        let found = asymptotic_distance(&*ordered, &Drive::Zero, &settings, run).unwrap();
        let floor = |d: &f64| (d + 15.0).abs() < 1e-3;
        assert!(found.log_distance.iter().all(floor), "{cell:?}");
        if cell.0.contains(':') || cell.0 == "rnn_linear" {
            continue; // with other functions few are chaotic
        }
        let chaotic = Net::<f32>::of(cell, 1, &[60], 6.0, 1).map();
        let found = asymptotic_distance(&*chaotic, &Drive::Zero, &settings, run).unwrap();
        // without bounds, relu leaves the finite numbers: NaN, which is no distance
        let far = |d: &f64| {
            if cell.0 == "rnn_relu" {
                d.is_nan()
            } else {
                *d > -5.0
            }
        };
        assert!(found.log_distance.iter().all(far), "{cell:?} {found:?}");
    }
    settings.samples = 0;
    let map = Net::<f32>::random(1, &[10], 0.1, 1).map();
    assert!(asymptotic_distance(&*map, &Drive::Zero, &settings, run).is_err());
}

#[test]
fn weights_that_do_not_fit_the_cell_are_refused() {
    let refused = |net: &Net<f64>| {
        f64::net(net.cell, &net.weights(), NetInput::External)
            .err()
            .unwrap()
    };
    let mut net = Net::<f64>::random(1, &[4], 1.0, 0);
    net.cell = "peephole";
    let said = refused(&net).to_string();
    assert!(
        said.contains("peephole") && said.contains("gru_reset_before"),
        "{said}"
    );
    net.cell = "gru";
    assert_eq!(
        refused(&net).to_string(),
        "weight_hh_l0: expected shape [12, 4], found [16, 4]"
    );
    let mut projected = Net::<f64>::of(CELLS[1], 1, &[4], 1.0, 0);
    projected.cell = "rnn_tanh";
    assert!(refused(&projected).to_string().contains("weight_hr"));
}

#[test]
fn an_orbit_without_bound_is_an_outcome() {
    let mut net = Net::<f64>::of(("rnn_relu", 1, false), 1, &[3], 0.0, 0);
    net.layers[0].1 = 2.0 * Array2::<f64>::eye(3);
    net.layers[0].2 = Array1::from_elem(3, 1.0);
    let map = net.map();
    // h doubles: finite for some thousand steps, with the exponents of a linear map
    let found = spectrum(&*map, 2, &settings(3, 10, 900));
    for exponent in &found.per_start {
        assert!((exponent - 2.0_f64.ln()).abs() < 1e-13);
    }
    let found = spectrum(&*map, 2, &settings(3, 10, 2000));
    assert!(found.per_start.iter().all(|x| x.is_nan()));
}
