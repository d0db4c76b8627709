//! The asymptotic distance of two trajectories that start close together (Wei et al. 2025).
//!
//! Two copies of the net start from h = 0 and h = δ (Gaussian), with c = 0, and read the same
//! input; after T steps
//!
//! ```text
//! D_s = |h'_T − h_T|₂ + ε;    D̃ = mean over samples s of ln D_s
//! ```
//!
//! D̃ near ln ε means order. A large D̃ does not prove chaos: cycles reached with a lag, tori and
//! second attractors leave a finite distance too.

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use ndarray::Array2;

use crate::drive::Drive;
use crate::ensemble::{Execution, perturbation};
use crate::orbit::{Starts, endpoints};

/// How to measure it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// T, all steps: the drive's, then zeros.
    pub steps: usize,
    /// Standard deviation of δ, a component.
    pub noise: f64,
    /// Pairs of trajectories; sample s reads sequence s of the drive.
    pub samples: usize,
    /// ε
    pub floor: f64,
    /// Of δ.
    pub seed: u64,
}

/// What came out, a number a sample; NaN where an orbit left the finite numbers.
#[derive(Clone, Debug)]
pub struct Distances {
    /// ln D_s
    pub log_distance: Vec<f64>,
    /// The observable of the orbit diagram at T, of the unperturbed copy.
    pub observable: Vec<f64>,
}

/// ln D_s of every sample.
///
/// # Errors
/// Settings out of range, or a cancelled call.
pub fn asymptotic_distance<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Distances, Error> {
    let &Settings {
        steps,
        noise,
        samples,
        floor,
        seed,
    } = settings;
    Error::unless_any("steps", steps)?;
    Error::unless_any("samples", samples)?;
    Error::unless_positive("noise", noise)?;
    Error::unless_positive("floor", floor)?;
    let outputs: Vec<usize> = (0..map.dim()).filter(|&i| map.is_output(i)).collect();
    // rows 2s and 2s + 1: the two copies of sample s
    let shape = (2 * samples, map.dim());
    let mut states = Array2::from_shape_fn(shape, |(_, component)| T::of(map.rest(component)));
    for sample in 0..samples {
        let delta = perturbation(outputs.len(), noise, seed, sample);
        for (&component, delta) in outputs.iter().zip(delta) {
            states[[2 * sample + 1, component]] = T::of(map.rest(component) + delta);
        }
    }
    let count = drive.count().max(1);
    let sequences: Vec<usize> = (0..2 * samples).map(|row| (row / 2) % count).collect();
    let starts = Starts {
        states: &states,
        sequences: &sequences,
    };
    let ends = endpoints(map, drive, &starts, steps, execution)?;
    let mut log_distance = Vec::with_capacity(samples);
    let mut observable = Vec::with_capacity(samples);
    for sample in 0..samples {
        let (a, b) = (ends.row(2 * sample), ends.row(2 * sample + 1));
        let square: f64 = outputs
            .iter()
            .map(|&i| {
                let difference: f64 = b[i].into() - a[i].into();
                difference * difference
            })
            .sum();
        log_distance.push((square.sqrt() + floor).ln());
        observable.push(map.observable(a));
    }
    Ok(Distances {
        log_distance,
        observable,
    })
}
