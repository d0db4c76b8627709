//! The engine: a state map on one vector unit, as an object that works on whole tiles.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::frame::{Frame, OverTangents, OverTrajectories, Spread, by_width};
use crate::lanes::{Kernel, Lanes, Part, Real};
use crate::map::StateMap;
use crate::orthonormal::{Reflections, orthonormalise};
use crate::tile::Tile;

/// A state map on one vector unit.
///
/// Tiles of states are [`Engine::lanes`] or [`Engine::width`] wide; those of a derivative and of
/// what goes with it are as wide as the lanes.
pub trait Engine<T: Real> {
    /// Trajectories of a vector.
    fn lanes(&self) -> usize;
    /// Trajectories of the widest tile: as many vectors as the registers hold.
    fn width(&self) -> usize;
    /// u: what the input makes of the sums of the first layer.
    fn project(&self, input: &Tile<T>, u: &mut Tile<T>);
    /// y = F(x, u); without u the input is zero.
    fn step(&self, u: Option<&Tile<T>>, x: &Tile<T>, y: &mut Tile<T>);
    /// y = F(x, u), keeping in `at` what the derivative at (x, u) needs.
    fn linearise(&self, u: Option<&Tile<T>>, x: &Tile<T>, y: &mut Tile<T>, at: &mut Tile<T>);
    /// Makes tangent vectors of length 1, and gives the lengths they had; what vanished stays.
    fn normalise(&self, v: &mut Tile<T>, lengths: &mut [T]);
    /// w = DF v for one tangent vector a trajectory, made of length 1.
    fn grow(&self, at: &Tile<T>, v: &Tile<T>, w: &mut Tile<T>, lengths: &mut [T]);
    /// Adds x and x² to `sums` (2n rows), and gives of every trajectory |x − memory|², 1 + |x|²
    /// and Σ weights x, which are the rows of `seen`.
    fn observe(
        &self,
        x: &Tile<T>,
        memory: &Tile<T>,
        weights: &Tile<T>,
        sums: &mut Tile<T>,
        seen: &mut Tile<T>,
    );
    /// The bits in which each trajectory differs from what is remembered, all components together.
    fn differ(&self, x: &Tile<T>, memory: &Tile<T>, bits: &mut [T]);
    /// k tangent vectors for each trajectory of a vector; or, `over_tangents`, for one
    /// trajectory, with tangent vectors in the lanes. Both give the same bits. Once they are to
    /// `stop` they soon return, with nothing of use in them.
    fn tangents<'a>(
        &'a self,
        k: usize,
        over_tangents: bool,
        stop: &'a AtomicBool,
    ) -> Box<dyn Tangents<T> + 'a>;
}

/// Frames of tangent vectors along the trajectories of an engine.
pub trait Tangents<T> {
    /// One number of tangent vector i of a trajectory.
    fn get(&self, trajectory: usize, row: usize, i: usize) -> T;
    /// Writes it.
    fn set(&mut self, trajectory: usize, row: usize, i: usize, value: T);
    /// V ← DF V, for the derivative kept in `at`.
    fn push(&mut self, at: &Tile<T>);
    /// V ← Q of V = Q R.
    fn orthonormalise(&mut self);
    /// R_ii of the last orthonormalisation; see [`Reflections::diagonal`].
    fn diagonal(&self, trajectory: usize, i: usize) -> T;
    /// The least that it kept; see [`Reflections::least_kept`].
    fn least_kept(&self, trajectory: usize) -> T;
}

/// Binds a map to a vector unit.
pub(crate) struct Bind<'a, M>(pub &'a M);

impl<'a, T: Real, M: StateMap<T>> Kernel<T> for Bind<'a, M> {
    type Output = Box<dyn Engine<T> + 'a>;

    #[inline(always)]
    fn run<L: Lanes<Scalar = T>, const C: usize>(self) -> Self::Output {
        Box::new(On::<M, L, C>(self.0, PhantomData))
    }
}

/// A map on the unit whose lanes are `L`, with `C` of them in the widest tile.
struct On<'a, M, L, const C: usize>(&'a M, PhantomData<fn() -> L>);

/// Passes: each a function of its own, compiled for the lanes of its unit.
macro_rules! passes {
    ($($name:ident<M, L $(, $c:ident)?> ($($field:ident: $t:ty),* $(,)?) $body:block)*) => {$(
        #[allow(non_camel_case_types)]
        struct $name<'a, T, M, L $(, const $c: usize)?> {
            $($field: $t,)*
            lanes: PhantomData<(&'a T, &'a M, L)>,
        }

        impl<T: Real, M: StateMap<T>, L: Lanes<Scalar = T> $(, const $c: usize)?> Part
            for $name<'_, T, M, L $(, $c)?>
        {
            #[inline(always)]
            fn run(self) {
                let Self { $($field,)* .. } = self;
                $body
            }
        }
    )*};
}

passes! {
    project<M, L, C>(map: &'a M, input: &'a Tile<T>, u: &'a mut Tile<T>) {
        map.project::<L, C>(input.columns(), u.columns_mut());
    }

    step<M, L, C>(map: &'a M, u: Option<&'a Tile<T>>, x: &'a Tile<T>, y: &'a mut Tile<T>) {
        map.step::<L, C>(u.map_or(&[], Tile::columns), x.columns(), y.columns_mut());
    }

    linearise<M, L>(
        map: &'a M,
        u: Option<&'a Tile<T>>,
        x: &'a Tile<T>,
        y: &'a mut Tile<T>,
        at: &'a mut Tile<T>,
    ) {
        let at = at.columns_mut::<L, 1>().as_flattened_mut();
        map.linearise(u.map_or(&[], Tile::columns), x.columns(), y.columns_mut(), at);
    }

    grow<M, L>(
        map: &'a M,
        at: &'a Tile<T>,
        v: &'a Tile<T>,
        w: &'a mut Tile<T>,
        lengths: &'a mut [T],
    ) {
        let at = at.columns::<L, 1>().as_flattened();
        map.push::<L, 1>(at, v.columns(), w.columns_mut());
        unit_length::<L>(w.columns_mut(), lengths);
    }

    push_frame<M, L>(
        map: &'a M,
        at: &'a Tile<T>,
        frame: &'a Frame<L>,
        next: &'a mut Frame<L>,
        stop: &'a AtomicBool,
    ) {
        let at = at.columns::<L, 1>().as_flattened();
        for (v, w) in frame.panels.iter().zip(&mut next.panels) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            by_width!(v.width, W => {
                let (v, w) = (v.rows.as_chunks::<W>().0, w.rows.as_chunks_mut::<W>().0);
                map.push::<L, W>(at, v, w);
            });
        }
    }

    normalise<M, L>(v: &'a mut Tile<T>, lengths: &'a mut [T]) {
        unit_length::<L>(v.columns_mut(), lengths);
    }

    observe<M, L>(
        x: &'a Tile<T>,
        memory: &'a Tile<T>,
        weights: &'a Tile<T>,
        sums: &'a mut Tile<T>,
        seen: &'a mut Tile<T>,
    ) {
        let (x, memory) = (x.columns::<L, 1>(), memory.columns::<L, 1>());
        let (first, second) = sums.columns_mut::<L, 1>().split_at_mut(x.len());
        let weights = weights.columns::<L, 1>();
        let (mut apart, mut size, mut signal) = (L::zero(), L::splat(T::of(1.0)), L::zero());
        for (row, ([x], [m])) in x.iter().zip(memory).enumerate() {
            let difference = *x - *m;
            let square = *x * *x;
            apart = difference.mul_add(difference, apart);
            size = size + square;
            signal = weights[row][0].mul_add(*x, signal);
            first[row][0] = first[row][0] + *x;
            second[row][0] = second[row][0] + square;
        }
        seen.columns_mut::<L, 1>().copy_from_slice(&[[apart], [size], [signal]]);
    }

    differ<M, L, C>(x: &'a Tile<T>, memory: &'a Tile<T>, bits: &'a mut [T]) {
        let mut changed = [L::zero(); C];
        for (x, m) in x.columns::<L, C>().iter().zip(memory.columns::<L, C>()) {
            for c in 0..C {
                changed[c] = changed[c].bit_or(x[c].bit_xor(m[c]));
            }
        }
        for (bits, changed) in bits.chunks_exact_mut(L::N).zip(&changed) {
            bits.copy_from_slice(changed.as_slice());
        }
    }
}

/// Makes vectors of length 1, and gives the lengths they had.
#[inline(always)]
fn unit_length<L: Lanes>(v: &mut [[L; 1]], lengths: &mut [L::Scalar]) {
    let (one, tiny) = (L::splat(L::Scalar::of(1.0)), L::splat(L::Scalar::TINY));
    let largest = v.iter().fold(tiny, |most, [v]| most.max(v.abs()));
    let inverse = one / largest;
    let mut square = L::zero();
    for [v] in v.iter_mut() {
        *v = *v * inverse;
        square = v.mul_add(*v, square);
    }
    let length = square.sqrt();
    let inverse = one / length.max(tiny);
    for [v] in v.iter_mut() {
        *v = *v * inverse;
    }
    lengths.copy_from_slice((length * largest).as_slice());
}

/// Runs a pass on lanes `L`.
macro_rules! run {
    ($L:ident: $name:ident<$M:ident $(, $c:tt)?> { $($field:ident $(: $value:expr)?),* $(,)? }) => {
        $L::call($name::<T, $M, $L $(, $c)?> {
            $($field $(: $value)?,)*
            lanes: PhantomData,
        })
    };
}

impl<T, M, L, const C: usize> Engine<T> for On<'_, M, L, C>
where
    T: Real,
    M: StateMap<T>,
    L: Lanes<Scalar = T>,
{
    fn lanes(&self) -> usize {
        L::N
    }

    fn width(&self) -> usize {
        L::N * C
    }

    fn project(&self, input: &Tile<T>, u: &mut Tile<T>) {
        let map = self.0;
        if u.width() == L::N {
            run!(L: project<M, 1> { map, input, u });
        } else {
            run!(L: project<M, C> { map, input, u });
        }
    }

    fn step(&self, u: Option<&Tile<T>>, x: &Tile<T>, y: &mut Tile<T>) {
        let map = self.0;
        if x.width() == L::N {
            run!(L: step<M, 1> { map, u, x, y });
        } else {
            run!(L: step<M, C> { map, u, x, y });
        }
    }

    fn linearise(&self, u: Option<&Tile<T>>, x: &Tile<T>, y: &mut Tile<T>, at: &mut Tile<T>) {
        run!(L: linearise<M> { map: self.0, u, x, y, at });
    }

    fn normalise(&self, v: &mut Tile<T>, lengths: &mut [T]) {
        run!(L: normalise<M> { v, lengths });
    }

    fn grow(&self, at: &Tile<T>, v: &Tile<T>, w: &mut Tile<T>, lengths: &mut [T]) {
        run!(L: grow<M> { map: self.0, at, v, w, lengths });
    }

    fn observe(
        &self,
        x: &Tile<T>,
        memory: &Tile<T>,
        weights: &Tile<T>,
        sums: &mut Tile<T>,
        seen: &mut Tile<T>,
    ) {
        run!(L: observe<M> { x, memory, weights, sums, seen });
    }

    fn differ(&self, x: &Tile<T>, memory: &Tile<T>, bits: &mut [T]) {
        run!(L: differ<M, C> { x, memory, bits });
    }

    fn tangents<'a>(
        &'a self,
        k: usize,
        over_tangents: bool,
        stop: &'a AtomicBool,
    ) -> Box<dyn Tangents<T> + 'a> {
        if over_tangents {
            Box::new(Bundle::<M, L, OverTangents>::new(self.0, k, C, stop))
        } else {
            Box::new(Bundle::<M, L, OverTrajectories>::new(self.0, k, C, stop))
        }
    }
}

/// A frame with its scratch.
struct Bundle<'a, M, L: Lanes, S: Spread<L>> {
    map: &'a M,
    frame: Frame<L>,
    next: Frame<L>,
    reflections: Reflections<L, S>,
    kept: L,
    stop: &'a AtomicBool,
}

impl<'a, M: StateMap<L::Scalar>, L: Lanes, S: Spread<L>> Bundle<'a, M, L, S> {
    fn new(map: &'a M, k: usize, widest: usize, stop: &'a AtomicBool) -> Self {
        let n = map.dim();
        Self {
            map,
            frame: Frame::zeros::<S>(n, k, widest),
            next: Frame::zeros::<S>(n, k, widest),
            reflections: Reflections::new(n, k),
            kept: L::zero(),
            stop,
        }
    }
}

impl<T: Real, M: StateMap<T>, L: Lanes<Scalar = T>, S: Spread<L>> Tangents<T>
    for Bundle<'_, M, L, S>
{
    fn get(&self, trajectory: usize, row: usize, i: usize) -> T {
        self.frame.get::<S>(row, i).as_slice()[trajectory]
    }

    fn set(&mut self, trajectory: usize, row: usize, i: usize, value: T) {
        self.frame.put::<S>(trajectory, row, i, value);
    }

    fn push(&mut self, at: &Tile<T>) {
        let (map, frame, next, stop) = (self.map, &self.frame, &mut self.next, self.stop);
        run!(L: push_frame<M> { map, at, frame, next, stop });
        std::mem::swap(&mut self.frame, &mut self.next);
    }

    fn orthonormalise(&mut self) {
        struct Orthonormalise<'a, L: Lanes, S: Spread<L>>(
            &'a mut Frame<L>,
            &'a mut Reflections<L, S>,
            &'a mut L,
            &'a AtomicBool,
        );
        impl<L: Lanes, S: Spread<L>> Part for Orthonormalise<'_, L, S> {
            #[inline(always)]
            fn run(self) {
                orthonormalise(self.0, self.1, self.3);
                *self.2 = self.1.least_kept();
            }
        }
        let (frame, work) = (&mut self.frame, &mut self.reflections);
        L::call(Orthonormalise(frame, work, &mut self.kept, self.stop));
    }

    fn diagonal(&self, trajectory: usize, i: usize) -> T {
        self.reflections.diagonal[i].as_slice()[trajectory]
    }

    fn least_kept(&self, trajectory: usize) -> T {
        self.kept.as_slice()[trajectory]
    }
}
