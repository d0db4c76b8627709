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

use std::ops::Range;

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use ndarray::{Array2, aview1};

use crate::drive::Drive;
use crate::ensemble::{Execution, perturbation};
use crate::measures::merging::standard_error;
use crate::orbit::{Starts, endpoints};

/// Samples before the first look at the standard error. Of 32, a second attractor of few starts
/// was missed in 4 of 65 nets in training that 32 to 256 samples seemed enough for; of 128, never.
const FIRST: usize = 128;

/// How to measure it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// T, all steps: the drive's, then zeros.
    pub steps: usize,
    /// Standard deviation of δ, a component.
    pub noise: f64,
    /// Pairs of trajectories at most; sample s reads sequence s of the drive.
    pub samples: usize,
    /// The standard error of D̃ that is enough, looked at after 128, 256, … samples; `None`
    /// takes them all.
    pub precision: Option<f64>,
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

/// ln D_s of every sample that was taken. How many that are depends on their values alone.
///
/// # Errors
/// Settings out of range, or a cancelled call.
pub fn asymptotic_distance<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Distances, Error> {
    Error::unless_any("steps", settings.steps)?;
    Error::unless_any("samples", settings.samples)?;
    Error::unless_positive("noise", settings.noise)?;
    Error::unless_positive("floor", settings.floor)?;
    if let Some(precision) = settings.precision {
        Error::unless_positive("precision", precision)?;
    }
    let mut found = Distances {
        log_distance: Vec::new(),
        observable: Vec::new(),
    };
    loop {
        let done = found.log_distance.len();
        let next = match settings.precision {
            None => settings.samples,
            Some(_) => settings.samples.min(FIRST.max(2 * done)),
        };
        found.add(map, drive, settings, done..next, execution)?;
        let enough = |wanted| standard_error(&aview1(&found.log_distance)) <= wanted;
        if next == settings.samples || settings.precision.is_some_and(enough) {
            return Ok(found);
        }
    }
}

impl Distances {
    /// Appends some samples.
    fn add<T: Real>(
        &mut self,
        map: &dyn System<T>,
        drive: &Drive<T>,
        settings: &Settings,
        samples: Range<usize>,
        execution: Execution<'_>,
    ) -> Result<(), Error> {
        let outputs: Vec<usize> = (0..map.dim()).filter(|&i| map.is_output(i)).collect();
        // first the unperturbed copies, one for each sequence, then the perturbed ones
        let sequence = |sample: usize| sample % drive.count().max(1);
        let plain = samples.len().min(drive.count().max(1));
        let shape = (plain + samples.len(), map.dim());
        let mut states = Array2::from_shape_fn(shape, |(_, component)| T::of(map.rest(component)));
        for (row, sample) in (plain..).zip(samples.clone()) {
            let delta = perturbation(outputs.len(), settings.noise, settings.seed, sample);
            for (&component, delta) in outputs.iter().zip(delta) {
                states[[row, component]] = T::of(map.rest(component) + delta);
            }
        }
        let all = samples.clone().take(plain).chain(samples.clone());
        let starts = Starts {
            states: &states,
            sequences: &all.map(sequence).collect::<Vec<_>>(),
        };
        let ends = endpoints(map, drive, &starts, settings.steps, execution)?;
        for i in 0..samples.len() {
            let (a, b) = (ends.row(i % plain), ends.row(plain + i));
            let square: f64 = outputs
                .iter()
                .map(|&i| {
                    let difference: f64 = b[i].into() - a[i].into();
                    difference * difference
                })
                .sum();
            self.log_distance
                .push((square.sqrt() + settings.floor).ln());
            self.observable.push(map.observable(a));
        }
        Ok(())
    }
}
