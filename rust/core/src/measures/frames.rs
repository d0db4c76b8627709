//! The orthonormal frames along an orbit, which covariant Lyapunov vectors are made of
//! (Ginelli et al. 2007).
//!
//! Every q steps the pushed frame is orthonormalised: D F^q(s_m) Q_m = Q_{m+1} R_{m+1}, with R
//! upper triangular and its diagonal positive.

use lstm_edge_kernels::Error;
use lstm_edge_kernels::engine::Tangents;
use lstm_edge_kernels::lanes::Real;
use lstm_edge_kernels::system::System;
use lstm_edge_kernels::tile::Tile;
use ndarray::{Array2, Array3, s};

use crate::drive::{Drive, TileInput};
use crate::ensemble::Execution;
use crate::orbit::Starts;
use crate::tangent::first_frame;

/// How to follow them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Vectors, from the fastest growing.
    pub k: usize,
    /// Steps before the first frame.
    pub transient: usize,
    /// How often the frame is orthonormalised after them.
    pub count: usize,
    /// q: steps from one frame to the next.
    pub interval: usize,
    /// Of the first frame of all.
    pub seed: u64,
}

/// States (count + 1, n), frames Q (count + 1, n, k) and R (count, k, k) along one orbit.
pub struct Frames {
    /// s_m
    pub states: Array2<f64>,
    /// Q_m
    pub q: Array3<f64>,
    /// R_{m+1} takes Q_m to Q_{m+1}.
    pub r: Array3<f64>,
}

/// The frames along the orbit of the first of `starts`.
///
/// # Errors
/// Settings out of range, starts that do not fit the map, or a cancelled call.
pub fn frames<T: Real>(
    map: &dyn System<T>,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Frames, Error> {
    starts.check(map, drive)?;
    let &Settings {
        k,
        transient,
        count,
        interval,
        seed,
    } = settings;
    let n = map.dim();
    if k == 0 || k > n {
        let reason = format!("expected 1 to {n}, found {k}");
        return Err(Error::settings("k", reason));
    }
    Error::unless_any("interval", interval)?;
    let engine = map.on(execution.isa);
    let mut x = starts.tile(0..1, engine.lanes());
    let mut y = x.clone();
    let mut input = TileInput::new(map, engine.lanes());
    let mut at = Tile::zeros(map.linearisation_len(), engine.lanes());
    let mut frame = engine.tangents(k, true, execution.cancel);
    first_frame(&mut *frame, n, k, seed, std::iter::once(0));

    let mut found = Frames {
        states: Array2::zeros((count + 1, n)),
        q: Array3::zeros((count + 1, n, k)),
        r: Array3::zeros((count, k, k)),
    };
    let mut pushed = Array2::zeros((n, k));
    found.keep(0, &x, &*frame);
    for t in 0..transient + count * interval {
        execution.check()?;
        let u = input.at(&*engine, drive, t, |_| Some(starts.sequences[0]));
        engine.linearise(u, &x, &mut y, &mut at);
        std::mem::swap(&mut x, &mut y);
        frame.push(&at);
        if t < transient {
            if (t + 1) % interval == 0 || t + 1 == transient {
                frame.orthonormalise();
                found.keep(0, &x, &*frame);
            }
        } else if (t + 1 - transient) % interval == 0 {
            let m = (t + 1 - transient) / interval;
            for ((row, i), v) in pushed.indexed_iter_mut() {
                *v = frame.get(0, row, i).into();
            }
            frame.orthonormalise();
            found.keep(m, &x, &*frame);
            found.relate(m, &pushed);
        }
    }
    Ok(found)
}

impl Frames {
    fn keep<T: Real>(&mut self, m: usize, x: &Tile<T>, frame: &dyn Tangents<T>) {
        for (s, x) in self.states.row_mut(m).iter_mut().zip(x.lane(0)) {
            *s = x.into();
        }
        for ((row, i), q) in self.q.slice_mut(s![m, .., ..]).indexed_iter_mut() {
            *q = frame.get(0, row, i).into();
        }
    }

    /// R_m = Q_mᵀ W for the pushed frame W; every sum in the order of the rows.
    fn relate(&mut self, m: usize, pushed: &Array2<f64>) {
        let q = self.q.slice(s![m, .., ..]);
        let mut r = self.r.slice_mut(s![m - 1, .., ..]);
        for (q, w) in q.outer_iter().zip(pushed.outer_iter()) {
            for ((i, &q), mut r) in q.iter().enumerate().zip(r.outer_iter_mut()) {
                for (r, &w) in r.iter_mut().zip(w).skip(i) {
                    *r += q * w;
                }
            }
        }
    }
}
