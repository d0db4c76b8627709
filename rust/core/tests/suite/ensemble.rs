//! Calls at the same time, and starts that cannot be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{Net, execution, settings};
use lstm_edge_core::drive::Drive;
use lstm_edge_core::measures::lyapunov::lyapunov;
use lstm_edge_core::orbit::Starts;
use lstm_edge_kernels::lanes::Isa;
use lstm_edge_kernels::system::System;
use ndarray::{Array2, Array3};

#[test]
fn calls_at_the_same_time_do_not_share_their_threads() {
    let (to_first, first) = channel();
    let (to_second, second) = channel();
    std::thread::scope(|scope| {
        for (sender, receiver) in [(to_second, first), (to_first, second)] {
            scope.spawn(move || {
                let receiver = std::sync::Mutex::new(receiver);
                execution(1, Isa::best()).map(1, |_| {
                    sender.send(()).unwrap();
                    // the other call waits for this one: on one thread both would for ever
                    let met = receiver
                        .lock()
                        .unwrap()
                        .recv_timeout(Duration::from_secs(20));
                    assert!(met.is_ok(), "two calls on one thread");
                    Ok(())
                })
            });
        }
    });
}

#[test]
fn starts_without_a_state_or_a_sequence_are_refused() {
    let map = Net::<f64>::random(2, &[3], 1.0, 0).map();
    let inputs = Array3::from_elem((4, 5, 2), 0.1);
    let drive = Drive::sequences(&inputs.view(), 2).unwrap();
    for (count, sequences) in [(0, vec![]), (3, vec![0, 1]), (2, vec![0, 4])] {
        let starts = Starts {
            states: &Array2::zeros((count, 6)),
            sequences: &sequences,
        };
        let run = execution(1, Isa::best());
        assert!(lyapunov(&*map, &drive, &starts, &settings(1, 5, 5), run).is_err());
    }
}

#[test]
fn a_frame_that_is_to_stop_is_given_up() {
    let map = Net::<f64>::random(1, &[4], 1.0, 0).map();
    let stop = AtomicBool::new(true);
    let system: &dyn System<f64> = &*map;
    let engine = system.on(Isa::best());
    let mut frame = engine.tangents(3, true, &stop);
    for stopped in [true, false] {
        stop.store(stopped, Ordering::Relaxed);
        for i in 0..3 {
            frame.set(0, i, i, 2.0);
        }
        frame.orthonormalise();
        let expected = if stopped { 0.0 } else { 2.0 };
        assert!((frame.diagonal(0, 2) - expected).abs() < 1e-12);
    }
}
