//! The core's kernels alone: `cargo bench -p lstm-edge-core`.
//!
//! Beside PyTorch, NumPy and JAX: `lstm-edge bench`.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lstm_edge_core::drive::Drive;
use lstm_edge_core::ensemble::{self, Execution};
use lstm_edge_core::measures::distance::{self, asymptotic_distance};
use lstm_edge_core::measures::lyapunov::{self, lyapunov};
use lstm_edge_core::orbit::Starts;
use lstm_edge_kernels::activation::Exponential;
use lstm_edge_kernels::cells::{LayerWeights, Net};
use lstm_edge_kernels::lanes::Isa;
use ndarray::{Array1, Array2};

static NEVER: AtomicBool = AtomicBool::new(false);

fn on(isa: Isa) -> Execution<'static> {
    Execution {
        threads: Some(1),
        isa,
        cancel: &NEVER,
    }
}

/// Weights deep in chaos, so that nothing can be left out.
fn net<T: Exponential>(hidden: usize) -> Net<T> {
    let wave = |i: usize| (1e4 * (i as f64).sin()).fract();
    let width = 4.0 * (3.0 / hidden as f64).sqrt();
    let weight = |i: usize| T::of(width * wave(i + 1));
    let ih = Array2::from_shape_fn((4 * hidden, 1), |(row, _)| weight(row));
    let hh = Array2::from_shape_fn((4 * hidden, hidden), |(row, j)| {
        weight(4 * hidden * (j + 1) + row)
    });
    let bias = Array1::from_elem(4 * hidden, T::of(0.0));
    let layer = LayerWeights {
        weight_ih: ih.view(),
        weight_hh: hh.view(),
        bias_ih: bias.view(),
        bias_hh: bias.view(),
        weight_hr: None,
    };
    Net::new("lstm", &[layer], None).expect("the shapes fit")
}

fn ensembles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("distance, 64 samples x 100 steps");
    for hidden in [60, 256] {
        let map = net::<f32>(hidden);
        let settings = distance::Settings {
            steps: 100,
            noise: 1e-3,
            samples: 64,
            precision: None,
            floor: 3e-7,
            seed: 0,
        };
        for isa in Isa::available() {
            if isa == Isa::Portable && isa != Isa::best() {
                continue; // without hardware FMA it only shows that it is slow
            }
            let id = BenchmarkId::new(format!("{isa:?}"), hidden);
            group.bench_function(id, |b| {
                b.iter(|| asymptotic_distance(&map, &Drive::Zero, black_box(&settings), on(isa)));
            });
        }
    }
    group.finish();
}

fn spectra(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spectrum, 1 start x 20 steps");
    group.sample_size(20);
    for hidden in [32, 60, 128] {
        let map = net::<f64>(hidden);
        let (states, sequences) = ensemble::starts(&map, 0, 1, 0);
        for k in [1, 8, 2 * hidden] {
            for interval in [1, 10] {
                let settings = lyapunov::Settings {
                    k,
                    steps: 20,
                    transient: 0,
                    interval: Some(interval),
                    asymptotic: false,
                    seed: 0,
                };
                let id = BenchmarkId::new(format!("H={hidden} k={k}"), interval);
                group.bench_function(id, |b| {
                    let starts = Starts {
                        states: &states,
                        sequences: &sequences,
                    };
                    b.iter(|| {
                        let settings = black_box(&settings);
                        lyapunov(&map, &Drive::Zero, &starts, settings, on(Isa::best()))
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, ensembles, spectra);
criterion_main!(benches);
