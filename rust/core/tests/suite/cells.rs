//! One suite for every cell and every vector unit.

use crate::common::{Net, execution, settings, spectrum_on};
use lstm_edge_core::activation::Exponential;
use lstm_edge_core::drive::Drive;
use lstm_edge_core::lanes::{Isa, Kernel, Lanes, Real, dispatch};
use lstm_edge_core::map::StateMap;
use lstm_edge_core::measures::distance::{self, asymptotic_distance};
use lstm_edge_core::measures::lyapunov::lyapunov;
use lstm_edge_core::orbit::{Starts, endpoints, orbits};
use ndarray::{Array2, Array3, s};

/// Largest |DF v − (F(x + εv) − F(x − εv)) / 2ε| over the components.
struct TangentError<'a, M>(&'a M, &'a [f64], &'a [f64], &'a [f64]);

impl<M: StateMap<f64>> Kernel<f64> for TangentError<'_, M> {
    type Output = f64;
    #[inline(always)]
    fn run<L: Lanes<Scalar = f64>, const C: usize>(self) -> f64 {
        let Self(map, input, state, tangent) = self;
        let n = map.dim();
        let epsilon = 1e-6;
        let input: Vec<[L; 1]> = input.iter().map(|&u| [L::splat(u)]).collect();
        let mut u = vec![[L::zero()]; map.projected_dim()];
        map.project(&input, &mut u);
        let shifted = |e: f64| -> Vec<[L; 1]> {
            let pairs = state.iter().zip(tangent);
            pairs.map(|(x, v)| [L::splat(x + e * v)]).collect()
        };
        let mut at = vec![L::zero(); map.linearisation_len()];
        let mut y = shifted(0.0);
        map.linearise(&u, &shifted(0.0), &mut y, &mut at);
        let v: Vec<[L; 1]> = tangent.iter().map(|&v| [L::splat(v)]).collect();
        let mut w = v.clone();
        map.push(&at, &v, &mut w);
        let (mut above, mut below) = (v.clone(), v);
        map.step(&u, &shifted(epsilon), &mut above);
        map.step(&u, &shifted(-epsilon), &mut below);
        let mut same = y.clone();
        map.step(&u, &shifted(0.0), &mut same);
        (0..n)
            .map(|i| {
                assert_eq!(
                    same[i][0].as_slice()[0].to_bits(),
                    y[i][0].as_slice()[0].to_bits(),
                    "step and linearise disagree"
                );
                let slope =
                    (above[i][0].as_slice()[0] - below[i][0].as_slice()[0]) / (2.0 * epsilon);
                (w[i][0].as_slice()[0] - slope).abs()
            })
            .fold(0.0, f64::max)
    }
}

#[test]
fn tangent_step_is_the_derivative_of_the_step() {
    for hidden in [&[1][..], &[7], &[3, 5], &[4, 2, 6]] {
        let net = Net::<f64>::random(3, hidden, 1.0, 7);
        let map = net.map();
        let wave = |i: usize, shift: f64| (1.3 * i as f64 + shift).sin();
        let input: Vec<f64> = (0..3).map(|i| wave(i, 0.1)).collect();
        let state: Vec<f64> = (0..map.dim()).map(|i| wave(i, 0.4)).collect();
        let tangent: Vec<f64> = (0..map.dim()).map(|i| wave(i, 2.0)).collect();
        for isa in Isa::available() {
            let error = dispatch(isa, TangentError(&map, &input, &state, &tangent));
            // central differences: ε² of the third derivative, and rounding over ε
            assert!(error < 1e-8, "{hidden:?} {isa:?}: {error}");
        }
    }
}

fn bits<T: Real>(values: impl IntoIterator<Item = T>) -> Vec<u64> {
    values
        .into_iter()
        .map(|x| Into::<f64>::into(x).to_bits())
        .collect()
}

/// Ends of orbits on every vector unit and with 1 and 3 threads: the same bits.
fn ends_agree<T: Exponential>(gain: f64, steps: usize) {
    let net = Net::<T>::random(2, &[9, 5], gain, 3);
    let map = net.map();
    let wave = |(b, t, i)| T::of((1.0 + 0.3 * f64::from(b * 31 + t * 7 + i)).sin());
    let inputs = Array3::from_shape_fn((11, 6, 2), |(b, t, i)| {
        let [b, t, i] = [b, t, i].map(|x| u32::try_from(x).unwrap());
        wave((b, t, i))
    });
    let drive = Drive::sequences(&inputs.view(), 2).unwrap();
    let (states, sequences) = lstm_edge_core::ensemble::starts(&map, 11, 37, 5);
    let starts = Starts {
        states: &states,
        sequences: &sequences,
    };
    let mut seen: Option<Vec<u64>> = None;
    for isa in Isa::available() {
        for threads in [1, 3] {
            let run = execution(threads, isa);
            let ends = endpoints(&map, &drive, &starts, steps, run).unwrap();
            let found = bits(ends);
            assert_eq!(
                *seen.get_or_insert(found.clone()),
                found,
                "{isa:?} {threads}"
            );
        }
    }
    // the early exit leaves the same bits as the full orbit
    let run = execution(2, Isa::best());
    let full = orbits(&map, &drive, &starts, steps - 1, 1, run).unwrap();
    assert_eq!(
        seen.unwrap(),
        bits(full.slice(s![.., 0, ..]).iter().copied())
    );
}

#[test]
fn orbits_have_the_same_bits_on_every_vector_unit_thread_and_with_early_exit() {
    for gain in [0.3, 2.0, 6.0] {
        ends_agree::<f32>(gain, 700);
        ends_agree::<f64>(gain, 300);
    }
}

/// The same tokens, embedded before and projected once.
fn tokens_agree<T: Exponential>() {
    for hidden in [&[9][..], &[5, 7]] {
        let map = Net::<T>::random(3, hidden, 2.0, 5).map();
        let wave = |(v, i): (usize, usize)| T::of((1.0 + 3.1 * v as f64 + 0.7 * i as f64).sin());
        let embedding = Array2::from_shape_fn((23, 3), wave);
        let token = |(b, t): (usize, usize)| i64::try_from((b * 31 + t * t * 7) % 23).unwrap();
        let tokens = Array2::from_shape_fn((4, 17), token);
        let embedded = Array3::from_shape_fn((4, 17, 3), |(b, t, i)| {
            embedding[[usize::try_from(tokens[[b, t]]).unwrap(), i]]
        });
        let drives = [
            Drive::tokens(&tokens.view(), &embedding.view(), &map).unwrap(),
            Drive::sequences(&embedded.view(), 3).unwrap(),
        ];
        let (states, sequences) = lstm_edge_core::ensemble::starts(&map, 0, 11, 5);
        let starts = Starts {
            states: &states,
            sequences: &sequences,
        };
        for isa in Isa::available() {
            let run = execution(2, isa);
            let [found, expected] = [0, 1].map(|i| {
                let drive = &drives[i];
                let ends = endpoints(&map, drive, &starts, 25, run).unwrap();
                let driven = settings(3, 5, 12);
                let exponents = lyapunov(&map, drive, &starts, &driven, run).unwrap();
                let mut found = bits(ends);
                found.extend(bits(exponents.per_start));
                found.extend(bits(orbits(&map, drive, &starts, 3, 20, run).unwrap()));
                found
            });
            assert_eq!(found, expected, "{hidden:?} {isa:?}");
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
        let error = Drive::tokens(&tokens.view(), &embedding.view(), &map).unwrap_err();
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    }
    let narrow = Array2::from_elem((7, 2), 0.5);
    let tokens = Array2::from_elem((1, 2), 0);
    assert!(Drive::tokens(&tokens.view(), &narrow.view(), &map).is_err());
}

#[test]
fn exponents_have_the_same_bits_on_every_vector_unit_and_thread() {
    let map = Net::<f64>::random(1, &[6, 4], 3.0, 11).map();
    for (k, starts) in [(2, 9), (20, 3), (7, 1)] {
        let mut seen: Option<Vec<u64>> = None;
        for isa in Isa::available() {
            for threads in [1, 2] {
                let run = execution(threads, isa);
                let found = spectrum_on(&map, starts, &settings(k, 20, 30), run);
                let found = bits(found.per_start);
                assert_eq!(*seen.get_or_insert(found.clone()), found, "{isa:?} {k}");
            }
        }
    }
}

#[test]
fn distance_is_the_floor_in_order_and_large_in_chaos() {
    let mut settings = distance::Settings {
        steps: 1599,
        noise: 1e-3,
        samples: 20,
        floor: (-15.0_f64).exp(),
        seed: 0,
    };
    let run = execution(2, Isa::best());
    let ordered = Net::<f32>::random(1, &[10], 0.1, 1).map();
    let found = asymptotic_distance(&ordered, &Drive::Zero, &settings, run).unwrap();
    assert!(found.log_distance.iter().all(|d| (d + 15.0).abs() < 1e-3));
    let chaotic = Net::<f32>::random(1, &[60], 6.0, 1).map();
    let found = asymptotic_distance(&chaotic, &Drive::Zero, &settings, run).unwrap();
    assert!(found.log_distance.iter().all(|d| *d > -5.0));
    settings.samples = 0;
    assert!(asymptotic_distance(&ordered, &Drive::Zero, &settings, run).is_err());
}
