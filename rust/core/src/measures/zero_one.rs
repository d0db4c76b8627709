//! The 0-1 test for chaos (Gottwald & Melbourne 2009): K near 0 for regular motion, near 1 for
//! chaos, from a series φ(j) alone.
//!
//! ```text
//! p(n) + i q(n) = Σ_{j≤n} φ(j) e^{ijc}
//! M(n) = ⟨|p(j+n) + i q(j+n) − p(j) − i q(j)|²⟩_j                          (3.1)
//! D(n) = M(n) − ⟨φ⟩² (1 − cos nc) / (1 − cos c)                            (3.3)
//! K_c = corr((1, …, N/10), (D(1), …, D(N/10)));  K = median over random c in (π/5, 4π/5)
//! ```

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Frequencies c, the most points of the series that are used, and how many of D(1), …, D(N/10).
const FREQUENCIES: usize = 40;
const POINTS: usize = 1000;
const LAGS: usize = 25;

/// K of a series; 0 for one that does not vary.
///
/// The series is thinned first to the lag at which its autocorrelation has fallen to 0.3: the
/// test sees no chaos in a series that was sampled too densely (Gottwald & Melbourne 2009,
/// section 6).
#[must_use]
pub fn zero_one(series: &[f64], seed: u64) -> f64 {
    let mean = series.iter().sum::<f64>() / series.len().max(1) as f64;
    let centred: Vec<f64> = series.iter().map(|x| x - mean).collect();
    let lag = decorrelation(&centred);
    let thin: Vec<f64> = centred.iter().copied().step_by(lag).take(POINTS).collect();
    let largest = thin.iter().fold(0.0, |a, x| f64::max(a, x.abs()));
    if thin.len() < 20 || largest <= 1e-12 * (1.0 + mean.abs()) {
        return 0.0;
    }
    let phi: Vec<f64> = thin.iter().map(|x| x / largest).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..FREQUENCIES)
        .map(|_| correlation(&phi, std::f64::consts::PI * rng.random_range(0.2..0.8)))
        .collect();
    found.sort_by(f64::total_cmp);
    0.5 * (found[(FREQUENCIES - 1) / 2] + found[FREQUENCIES / 2])
}

/// The first lag at which the autocorrelation is below 0.3, and that leaves 500 points.
fn decorrelation(centred: &[f64]) -> usize {
    let most = (centred.len() / 500).max(1);
    let variance: f64 = centred.iter().map(|x| x * x).sum();
    let product = |lag: usize| -> f64 {
        let later = centred.iter().skip(lag);
        centred.iter().zip(later).map(|(a, b)| a * b).sum()
    };
    (1..most)
        .find(|&lag| product(lag) < 0.3 * variance)
        .unwrap_or(most)
}

/// K_c
fn correlation(phi: &[f64], c: f64) -> f64 {
    let (mut p, mut q) = (Vec::new(), Vec::new());
    let (mut re, mut im) = (0.0, 0.0);
    for (j, x) in phi.iter().enumerate() {
        let (sin, cos) = (c * (j + 1) as f64).sin_cos();
        re += x * cos;
        im += x * sin;
        p.push(re);
        q.push(im);
    }
    let cut = phi.len() / 10;
    let count = phi.len() - cut;
    let mean = phi.iter().sum::<f64>() / phi.len() as f64;
    let times = (1..=cut).step_by(cut.div_ceil(LAGS));
    let displacement: Vec<f64> = times
        .clone()
        .map(|n| {
            let square = |x: &[f64]| -> f64 {
                let pairs = x[..count].iter().zip(&x[n..]);
                pairs.map(|(a, b)| (b - a) * (b - a)).sum()
            };
            let oscillation = (1.0 - (c * n as f64).cos()) / (1.0 - c.cos());
            (square(&p) + square(&q)) / count as f64 - mean * mean * oscillation
        })
        .collect();
    let times: Vec<f64> = times.map(|n| n as f64).collect();
    pearson(&times, &displacement)
}

fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (a, b) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        xy += (x - a) * (y - b);
        xx += (x - a) * (x - a);
        yy += (y - b) * (y - b);
    }
    if yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}
