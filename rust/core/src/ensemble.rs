//! Ensembles: many starts of one map, drawn from a seed and spread over threads.
//!
//! The only use of threads. A start's result depends on the start alone, never on the thread or
//! the neighbours it was computed with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use lstm_edge_kernels::Error;
use lstm_edge_kernels::lanes::{Isa, Real, default_float_mode};
use lstm_edge_kernels::system::System;

/// No call starts more threads than this, whatever was asked for: beyond it starting them takes
/// longer than they save.
pub const MOST_THREADS: usize = 256;

/// How a measure runs; no part of it changes a bit of the result.
#[derive(Clone, Copy)]
pub struct Execution<'a> {
    /// Threads of the call's own, at most [`MOST_THREADS`]; `None` for one a core, shared by all
    /// such calls. One thread is the caller's, with the priority that it has.
    pub threads: Option<usize>,
    /// The vector unit.
    pub isa: Isa,
    /// Set it to make the call return [`Error::Cancelled`] soon.
    pub cancel: &'a AtomicBool,
}

impl Execution<'_> {
    /// Refuses to go on once cancelled.
    ///
    /// # Errors
    /// [`Error::Cancelled`]
    pub fn check(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// How many threads there are to spread over.
    #[must_use]
    pub fn width(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(cores).min(MOST_THREADS)
    }

    /// The widest vector unit that leaves no thread without starts, and how many lanes it has.
    /// All units give the same bits.
    #[must_use]
    pub fn unit_for<T: Real>(&self, count: usize) -> (Isa, usize) {
        let widest = (self.isa, self.isa.lanes::<T>());
        let idle = count.div_ceil(widest.1) < self.width();
        if widest.0 == Isa::Avx512 && idle && Isa::available().contains(&Isa::Avx2) {
            return (Isa::Avx2, Isa::Avx2.lanes::<T>());
        }
        widest
    }

    /// `job(0), …, job(count − 1)` over the threads, in order.
    ///
    /// # Errors
    /// The first error of a job, or threads that cannot be started.
    pub fn map<R: Send>(
        &self,
        count: usize,
        job: impl Fn(usize) -> Result<R, Error> + Send + Sync,
    ) -> Result<Vec<R>, Error> {
        if self.threads == Some(1) {
            return (0..count).map(job).collect();
        }
        let pool = pool(self.width(), self.threads.is_none())?;
        pool.install(|| (0..count).into_par_iter().map(job).collect())
    }
}

/// A thread pool that no other call uses, or one that calls share.
///
/// Pools are kept for the next call, idle ones while all have at most [`MOST_THREADS`] threads; a
/// forked child must not reuse its parent's.
fn pool(threads: usize, shared: bool) -> Result<Arc<rayon::ThreadPool>, Error> {
    type Pools = HashMap<(u32, usize), Vec<Arc<rayon::ThreadPool>>>;
    static POOLS: LazyLock<Mutex<Pools>> = LazyLock::new(Mutex::default);
    let key = (std::process::id(), threads);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    // a pool whose only owner is the table is idle
    let idle = |pool: &Arc<_>| Arc::strong_count(pool) == 1;
    let mut there = pools.get(&key).into_iter().flatten();
    if let Some(pool) = there.find(|pool| shared || idle(pool)) {
        return Ok(pool.clone());
    }
    let own = pools
        .iter_mut()
        .filter(|((process, _), _)| *process == key.0);
    let own: Vec<_> = own.map(|(_, pools)| pools).collect();
    let kept: usize = own
        .iter()
        .flat_map(|pools| pools.iter())
        .map(threads_of)
        .sum();
    if kept + threads > MOST_THREADS {
        for pools in own {
            pools.retain(|pool| !idle(pool));
        }
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("lstm-edge-{i}"))
        .start_handler(|_| default_float_mode())
        .build()
        .map_err(|e| {
            let reason = format!("the system starts no more of them ({e})");
            Error::settings("threads", reason)
        })?;
    let pool = Arc::new(pool);
    pools.entry(key).or_default().push(pool.clone());
    Ok(pool)
}

fn threads_of(pool: &Arc<rayon::ThreadPool>) -> usize {
    pool.current_num_threads()
}

/// What random numbers are for, so that no two uses share any.
#[derive(Clone, Copy)]
enum Purpose {
    Start = 1,
    Frame = 2,
    Perturbation = 3,
}

fn generator(seed: u64, purpose: Purpose, member: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) | member as u64);
    rng
}

/// `count` states (count, n), uniform in the map's box of starts.
pub fn random_starts<T: Real>(map: &dyn System<T>, count: usize, seed: u64) -> Array2<T> {
    let n = map.dim();
    let mut states = Array2::from_elem((count, n), T::of(0.0));
    for (start, mut state) in states.outer_iter_mut().enumerate() {
        let mut rng = generator(seed, Purpose::Start, start);
        for (component, x) in state.iter_mut().enumerate() {
            let (low, high) = map.start_range(component);
            *x = T::of(low + (high - low) * rng.random::<f64>());
        }
    }
    states
}

/// The starts of an ensemble, and the sequence of the drive that each reads.
///
/// Random states, unless there is a batch of sequences: then starts are spread evenly over the
/// sequences and each begins at rest, as a net in training does. Only where there are more starts
/// than sequences do the later ones begin at a random state.
pub fn starts<T: Real>(
    map: &dyn System<T>,
    batch: usize,
    count: usize,
    seed: u64,
) -> (Array2<T>, Vec<usize>) {
    let mut states = random_starts(map, count, seed);
    for mut state in states.outer_iter_mut().take(batch) {
        for (component, x) in state.iter_mut().enumerate() {
            *x = T::of(map.rest(component));
        }
    }
    let sequence = |start| {
        if count <= batch {
            start * batch / count
        } else {
            start % batch.max(1)
        }
    };
    (states, (0..count).map(sequence).collect())
}

/// Gaussian n × k matrix, column by column, whose Q is the first frame of a start.
#[must_use]
pub fn gaussian_frame(n: usize, k: usize, seed: u64, start: usize) -> Array2<f64> {
    let mut rng = generator(seed, Purpose::Frame, start);
    let columns: Vec<f64> = (0..n * k).map(|_| rng.sample(StandardNormal)).collect();
    Array2::from_shape_fn((n, k), |(row, i)| columns[i * n + row])
}

/// Gaussian displacement δ of `count` components, standard deviation `noise`, for one sample.
#[must_use]
pub fn perturbation(count: usize, noise: f64, seed: u64, sample: usize) -> Vec<f64> {
    let mut rng = generator(seed, Purpose::Perturbation, sample);
    (0..count)
        .map(|_| noise * rng.sample::<f64, _>(StandardNormal))
        .collect()
}
