//! Orthonormal frames: V = Q R with a positive diagonal, by blocked Householder reflections.
//!
//! Householder's Q is orthonormal to rounding whatever the rank of V (Golub & Van Loan 2013,
//! sections 5.1.6 and 5.2.3), so a singular Jacobian needs no special case: its R_ii is zero.
//! Four reflections at a time are applied as I − P T Pᵀ (Schreiber & Van Loan 1989).

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::Array2;

use crate::frame::{Frame, OverTangents, Spread, by_width};
use crate::lanes::{Isa, Kernel, Lanes, Real, dispatch};

/// What never stops.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// Reflections applied together.
const BLOCK: usize = 4;

/// Four reflections I − τ p pᵀ at a time, and T of I − P T Pᵀ (upper triangular, by rows).
struct Block<L, E> {
    /// Row `first` and below; what is above is zero.
    p: Vec<[E; BLOCK]>,
    t: [[L; BLOCK]; BLOCK],
}

/// What [`orthonormalise`] found, and its scratch, for frames of one shape.
pub struct Reflections<L: Lanes, S: Spread<L>> {
    /// R_ii, one vector of lanes for each i. What is below the rounding of its own column cannot
    /// be told from zero: then that rounding stands here, with a minus.
    pub diagonal: Vec<L>,
    /// R_ii in units of the largest entry of its column.
    kept: Vec<L>,
    blocks: Vec<Block<L, S::Entry>>,
    sign: Vec<L>,
    scale: Vec<L>,
}

impl<L: Lanes, S: Spread<L>> Reflections<L, S> {
    /// For k vectors of length n.
    #[must_use]
    pub fn new(n: usize, k: usize) -> Self {
        let zero = S::entry(L::zero(), 0);
        Self {
            diagonal: vec![L::zero(); k],
            kept: vec![L::zero(); k],
            blocks: (0..k.div_ceil(BLOCK))
                .map(|b| Block {
                    p: vec![[zero; BLOCK]; n - (b * BLOCK).min(n)],
                    t: [[L::zero(); BLOCK]; BLOCK],
                })
                .collect(),
            sign: vec![L::zero(); k],
            scale: vec![L::zero(); S::columns(k)],
        }
    }

    /// The least R_ii in units of the largest entry of its column: what was left when the
    /// directions of the earlier columns were taken away. Rounding costs that R_ii about ε / kept
    /// of its value.
    #[must_use]
    #[inline(always)]
    pub fn least_kept(&self) -> L {
        let least = |a: L, &b: &L| b.abs().less(a, b.abs(), a);
        self.kept.iter().fold(L::splat(L::Scalar::of(1.0)), least)
    }
}

/// Replaces V by Q, and leaves the diagonal of R in `work`; neither, once it is to `stop`.
#[inline(always)]
pub fn orthonormalise<L: Lanes, S: Spread<L>>(
    frame: &mut Frame<L>,
    work: &mut Reflections<L, S>,
    stop: &AtomicBool,
) {
    rescale(frame, &mut work.scale);
    for b in 0..work.blocks.len() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let first = b * BLOCK;
        let block = &mut work.blocks[b];
        factorise::<L, S>(frame, block, first, &mut work.sign, &mut work.kept);
        let rest = first + BLOCK;
        if rest < frame.k {
            let from = frame.place[S::column(rest)].0;
            for panel in &mut frame.panels[from..] {
                by_width!(panel.width, W => {
                    let masks: [L; W] = std::array::from_fn(|c| {
                        S::mask(panel.first + c, rest, usize::MAX)
                    });
                    let rows = &mut panel.rows.as_chunks_mut::<W>().0[first..];
                    reflect::<L, S, W, true>(block, masks, rows);
                });
            }
        }
    }
    for (i, (r, &kept)) in work.diagonal.iter_mut().zip(&work.kept).enumerate() {
        let scale = work.scale[S::column(i)];
        *r = kept * S::lanes(S::entry(scale, i));
    }
    // Q = H_1 … H_k diag(sign): the reflections in reverse on the columns of the identity
    for panel in &mut frame.panels {
        panel.rows.fill(L::zero());
    }
    for i in 0..frame.k {
        frame.set::<S>(i, i, work.sign[i]);
    }
    for (b, block) in work.blocks.iter().enumerate().rev() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let first = b * BLOCK;
        let from = frame.place[S::column(first)].0;
        for panel in &mut frame.panels[from..] {
            by_width!(panel.width, W => {
                let rows = &mut panel.rows.as_chunks_mut::<W>().0[first..];
                let ones = [L::splat(L::Scalar::of(1.0)); W];
                reflect::<L, S, W, false>(block, ones, rows);
            });
        }
    }
}

/// Q of a matrix (n, k), k ≤ n.
#[must_use]
pub fn orthonormal(matrix: &Array2<f64>) -> Array2<f64> {
    struct Orthonormal<'a>(&'a Array2<f64>);
    impl Kernel<f64> for Orthonormal<'_> {
        type Output = Array2<f64>;
        #[inline(always)]
        fn run<L: Lanes<Scalar = f64>, const C: usize>(self) -> Array2<f64> {
            let (n, k) = self.0.dim();
            let mut frame = Frame::<L>::zeros::<OverTangents>(n, k, C);
            for ((row, i), &entry) in self.0.indexed_iter() {
                frame.put::<OverTangents>(0, row, i, entry);
            }
            let mut work = Reflections::<L, OverTangents>::new(n, k);
            orthonormalise(&mut frame, &mut work, &NEVER);
            Array2::from_shape_fn((n, k), |(row, i)| {
                frame.get::<OverTangents>(row, i).as_slice()[0]
            })
        }
    }
    dispatch(Isa::best(), Orthonormal(matrix))
}

/// Divides every vector by its largest entry, so that squares neither overflow nor vanish.
#[inline(always)]
fn rescale<L: Lanes>(frame: &mut Frame<L>, scale: &mut [L]) {
    let one = L::splat(L::Scalar::of(1.0));
    let tiny = L::splat(L::Scalar::TINY);
    for panel in &mut frame.panels {
        by_width!(panel.width, W => {
            let rows = panel.rows.as_chunks_mut::<W>().0;
            let mut largest = [tiny; W];
            for row in rows.iter() {
                for c in 0..W {
                    largest[c] = largest[c].max(row[c].abs());
                }
            }
            let inverse = largest.map(|x| one / x);
            for row in rows.iter_mut() {
                for c in 0..W {
                    row[c] = row[c] * inverse[c];
                }
            }
            scale[panel.first..][..W].copy_from_slice(&largest);
        });
    }
}

/// Σ p_j p_m over rows, in four interleaved sums.
#[inline(always)]
fn dot<L: Lanes, S: Spread<L>>(p: &[[S::Entry; BLOCK]], j: usize, m: usize) -> L {
    let mut sums = [L::zero(); 4];
    let (fours, rest) = p.as_chunks::<4>();
    for rows in fours {
        for r in 0..4 {
            sums[r] = S::lanes(rows[r][j]).mul_add(S::lanes(rows[r][m]), sums[r]);
        }
    }
    for (row, sum) in rest.iter().zip(&mut sums) {
        *sum = S::lanes(row[j]).mul_add(S::lanes(row[m]), *sum);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// Reflections that make the vectors first .. first + 4 triangular, and their T.
#[inline(always)]
fn factorise<L: Lanes, S: Spread<L>>(
    frame: &mut Frame<L>,
    block: &mut Block<L, S::Entry>,
    first: usize,
    sign: &mut [L],
    kept: &mut [L],
) {
    let one = L::splat(L::Scalar::of(1.0));
    let zero_entry = S::entry(L::zero(), 0);
    #[allow(clippy::cast_possible_truncation)]
    let rounding = L::splat(L::Scalar::of(4.0 * frame.n as f64 * L::Scalar::EPSILON));
    let columns = BLOCK.min(frame.k - first);
    for j in 0..BLOCK {
        let (panel, c) = frame.place[S::column(first + j.min(columns - 1))];
        let panel = &frame.panels[panel];
        let column = panel.rows[first * panel.width + c..].iter();
        for (row, &x) in block.p.iter_mut().zip(column.step_by(panel.width)) {
            row[j] = if j < columns {
                S::entry(x, first + j)
            } else {
                zero_entry
            };
        }
    }
    let mut tau = [L::zero(); BLOCK];
    for j in 0..columns {
        let (i, p) = (first + j, &mut block.p[j..]);
        let norm = dot::<L, S>(p, j, j).sqrt();
        let pivot = S::lanes(p[0][j]);
        let head = pivot + norm.copysign(pivot);
        p[0][j] = S::entry(head, 0);
        // what is left below rounding has no direction: no reflection
        tau[j] = norm.less(rounding, L::zero(), one / (norm * head.abs()));
        sign[i] = -one.copysign(pivot);
        kept[i] = norm.less(rounding, -rounding, norm);
        for m in j + 1..columns {
            let along = -(dot::<L, S>(p, j, m) * tau[j]);
            for row in p.iter_mut() {
                let x = S::lanes(row[j]).mul_add(along, S::lanes(row[m]));
                row[m] = S::entry(x, 0);
            }
        }
    }
    for j in 1..BLOCK {
        for row in block.p.iter_mut().take(j) {
            row[j] = zero_entry;
        }
    }
    triangular::<L, S>(block, tau);
}

/// T of H_1 H_2 H_3 H_4 = I − P T Pᵀ: T_jj = τ_j, T_lj = −τ_j Σ_m T_lm (p_m · p_j).
#[inline(always)]
fn triangular<L: Lanes, S: Spread<L>>(block: &mut Block<L, S::Entry>, tau: [L; BLOCK]) {
    let mut gram = [[L::zero(); BLOCK]; BLOCK];
    for row in &block.p {
        for j in 1..BLOCK {
            for m in 0..j {
                gram[m][j] = S::lanes(row[m]).mul_add(S::lanes(row[j]), gram[m][j]);
            }
        }
    }
    block.t = [[L::zero(); BLOCK]; BLOCK];
    for j in 0..BLOCK {
        block.t[j][j] = tau[j];
        for l in 0..j {
            let mut sum = L::zero();
            for m in l..j {
                sum = block.t[l][m].mul_add(gram[m][j], sum);
            }
            block.t[l][j] = -(tau[j] * sum);
        }
    }
}

/// A ← (I − P Tᵀ Pᵀ) A when `transpose`, else (I − P T Pᵀ) A, in the lanes where the mask is 1.
#[inline(always)]
fn reflect<L: Lanes, S: Spread<L>, const W: usize, const TRANSPOSE: bool>(
    block: &Block<L, S::Entry>,
    masks: [L; W],
    rows: &mut [[L; W]],
) {
    let mut along = [[L::zero(); W]; BLOCK];
    for (p, row) in block.p.iter().zip(rows.iter()) {
        for j in 0..BLOCK {
            let p = S::lanes(p[j]);
            for c in 0..W {
                along[j][c] = p.mul_add(row[c], along[j][c]);
            }
        }
    }
    let mut minus = [[L::zero(); W]; BLOCK];
    for j in 0..BLOCK {
        for l in 0..BLOCK {
            let t = if TRANSPOSE {
                block.t[l][j]
            } else {
                block.t[j][l]
            };
            for c in 0..W {
                minus[j][c] = t.mul_add(along[l][c], minus[j][c]);
            }
        }
        for c in 0..W {
            minus[j][c] = -(minus[j][c] * masks[c]);
        }
    }
    for (p, row) in block.p.iter().zip(rows.iter_mut()) {
        let mut new = *row; // in registers, and stored once
        for j in 0..BLOCK {
            let p = S::lanes(p[j]);
            for c in 0..W {
                new[c] = p.mul_add(minus[j][c], new[c]);
            }
        }
        *row = new;
    }
}
