//! The orthonormal frames along an orbit, which covariant Lyapunov vectors are made of
//! (Ginelli et al. 2007).
//!
//! Every q steps the pushed frame is orthonormalised: D F^q(s_m) Q_m = Q_{m+1} R_{m+1}, with R
//! upper triangular and its diagonal positive.

use ndarray::{Array2, Array3, s};

use crate::drive::{Drive, TileInput};
use crate::ensemble::Execution;
use crate::error::Error;
use crate::frame::{Frame, OverTangents};
use crate::lanes::{Kernel, Lanes, Real, dispatch};
use crate::map::StateMap;
use crate::orbit::Starts;
use crate::orthonormal::{Reflections, orthonormalise};
use crate::tangent::{first_frame, push_frame};

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
pub fn frames<T: Real, M: StateMap<T>>(
    map: &M,
    drive: &Drive<T>,
    starts: &Starts<'_, T>,
    settings: &Settings,
    execution: Execution<'_>,
) -> Result<Frames, Error> {
    starts.check(map, drive)?;
    let (n, k) = (map.dim(), settings.k);
    if k == 0 || k > n {
        let reason = format!("expected 1 to {n}, found {k}");
        return Err(Error::settings("k", reason));
    }
    Error::unless_any("interval", settings.interval)?;
    let walk = |_| {
        let walk = Walk {
            map,
            drive,
            starts,
            settings,
            execution,
        };
        dispatch(execution.isa, walk)
    };
    let mut parts = execution.map(1, walk)?;
    Ok(parts.remove(0))
}

struct Walk<'a, T, M> {
    map: &'a M,
    drive: &'a Drive<T>,
    starts: &'a Starts<'a, T>,
    settings: &'a Settings,
    execution: Execution<'a>,
}

impl<T: Real, M: StateMap<T>> Kernel<T> for Walk<'_, T, M> {
    type Output = Result<Frames, Error>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        let &Settings {
            k,
            transient,
            count,
            interval,
            seed,
        } = self.settings;
        let n = self.map.dim();
        let mut x: Vec<[L; 1]> = (0..n)
            .map(|row| [L::splat(self.starts.states[[0, row]])])
            .collect();
        let mut y = x.clone();
        let mut input = TileInput::<L, 1>::new(self.map);
        let mut at = vec![L::zero(); self.map.linearisation_len()];
        let mut frame = Frame::zeros::<OverTangents>(n, k, C);
        let mut next = Frame::zeros::<OverTangents>(n, k, C);
        let mut reflections = Reflections::<L, OverTangents>::new(n, k);
        first_frame::<L, OverTangents>(&mut frame, seed, 0..1);
        orthonormalise(&mut frame, &mut reflections);

        let mut found = Frames {
            states: Array2::zeros((count + 1, n)),
            q: Array3::zeros((count + 1, n, k)),
            r: Array3::zeros((count, k, k)),
        };
        let mut pushed = Array2::zeros((n, k));
        found.keep(0, &x, &frame);
        for t in 0..transient + count * interval {
            self.execution.check()?;
            let sequence = |_| Some(self.starts.sequences[0]);
            let u = input.at(self.map, self.drive, t, sequence);
            self.map.linearise(u, &x, &mut y, &mut at);
            std::mem::swap(&mut x, &mut y);
            push_frame(self.map, &at, &mut frame, &mut next);
            if t < transient {
                if (t + 1) % interval == 0 || t + 1 == transient {
                    orthonormalise(&mut frame, &mut reflections);
                    found.keep(0, &x, &frame);
                }
            } else if (t + 1 - transient) % interval == 0 {
                let m = (t + 1 - transient) / interval;
                for ((row, i), v) in pushed.indexed_iter_mut() {
                    *v = frame.get::<OverTangents>(row, i).as_slice()[0].into();
                }
                orthonormalise(&mut frame, &mut reflections);
                found.keep(m, &x, &frame);
                found.relate(m, &pushed);
            }
        }
        Ok(found)
    }
}

impl Frames {
    #[inline(always)]
    fn keep<L: Lanes>(&mut self, m: usize, x: &[[L; 1]], frame: &Frame<L>) {
        for (s, [x]) in self.states.row_mut(m).iter_mut().zip(x) {
            *s = x.as_slice()[0].into();
        }
        for ((row, i), q) in self.q.slice_mut(s![m, .., ..]).indexed_iter_mut() {
            *q = frame.get::<OverTangents>(row, i).as_slice()[0].into();
        }
    }

    /// R_m = Q_mᵀ W for the pushed frame W; every sum in the order of the rows.
    #[inline(always)]
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
