use super::*;
use data::Dtype;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Doubles what it is given, refuses rows of −1 and panics at −2. While the gate is shut, a run that has begun waits.
struct Doubles {
    io: Vec<IoDesc>,
    joins: bool,
    /// What a batch becomes: its rows, or one row whatever it was given.
    whole: bool,
    gate: Mutex<bool>,
    opened: Condvar,
    /// Rows of the runs that have begun.
    runs: Mutex<Vec<usize>>,
}

fn io(rows: Option<u32>) -> Vec<IoDesc> {
    vec![IoDesc { name: "x".into(), dtype: Dtype::F32, shape: vec![rows, None] }]
}

impl Doubles {
    fn new() -> Self {
        Self {
            io: io(None),
            joins: true,
            whole: true,
            gate: Mutex::new(true),
            opened: Condvar::new(),
            runs: Mutex::default(),
        }
    }

    fn open(&self) {
        *self.gate.lock() = true;
        self.opened.notify_all();
    }
}

impl Network for Doubles {
    fn inputs(&self) -> &[IoDesc] {
        &self.io
    }

    fn outputs(&self) -> &[IoDesc] {
        &self.io
    }

    fn joins(&self) -> bool {
        self.joins
    }

    fn run(&self, inputs: &[Array]) -> Answer {
        self.runs.lock().push(inputs[0].shape[0]);
        let mut gate = self.gate.lock();
        while !*gate {
            self.opened.wait(&mut gate);
        }
        drop(gate);
        let values = inputs[0].to_f32();
        assert!(!values.contains(&-2.0), "it gives up");
        if values.contains(&-1.0) {
            return Err(PluginError::new(ErrorKind::InvalidInput, "a row is -1"));
        }
        let shape = if self.whole { inputs[0].shape.clone() } else { vec![1, values.len()] };
        Ok(vec![Array::from_f32(shape, values.iter().map(|v| v * 2.0).collect()).unwrap()])
    }
}

fn rows(values: &[f32], width: usize) -> Vec<Array> {
    vec![Array::from_f32(vec![values.len() / width, width], values.to_vec()).unwrap()]
}

fn until(what: &str, done: impl Fn() -> bool) {
    let most = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < most, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Answers of the calls, of which the first is computing when the others come. Each call: values, their width.
fn while_one_computes(net: &Arc<Doubles>, calls: &[(&[f32], usize)]) -> Vec<Answer> {
    let queue = Queue::new(net.clone(), Room { runs: 1, rows: 4 });
    *net.gate.lock() = false;
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (i, (values, width)) in calls.iter().enumerate() {
            let queue = &queue;
            threads.push(scope.spawn(move || queue.run(rows(values, *width), &|| true)));
            if i == 0 {
                until("the first run to begin", || net.runs.lock().len() == 1);
            } else {
                until("a call to wait", || queue.state.lock().waiting.len() == i);
            }
        }
        net.open();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn values(answer: &Answer) -> Vec<f32> {
    answer.as_ref().unwrap()[0].to_f32().to_vec()
}

#[test]
fn calls_that_wait_become_one_run() {
    let net = Arc::new(Doubles::new());
    let answers = while_one_computes(&net, &[(&[1.0], 1), (&[2.0], 1), (&[3.0, 4.0], 1), (&[5.0], 1), (&[6.0], 1)]);
    let found: Vec<Vec<f32>> = answers.iter().map(values).collect();
    assert_eq!(found, [vec![2.0], vec![4.0], vec![6.0, 8.0], vec![10.0], vec![12.0]]);
    assert_eq!(answers[2].as_ref().unwrap()[0].shape, [2, 1]);
    assert_eq!(*net.runs.lock(), [1, 4, 1], "at most four rows in one run");
}

#[test]
fn only_inputs_that_differ_in_their_rows_alone_are_joined() {
    let net = Arc::new(Doubles::new());
    let answers = while_one_computes(&net, &[(&[1.0], 1), (&[2.0], 1), (&[3.0, 4.0], 2), (&[5.0], 1)]);
    assert_eq!(answers.iter().map(values).collect::<Vec<_>>(), [vec![2.0], vec![4.0], vec![6.0, 8.0], vec![10.0]]);
    assert_eq!(*net.runs.lock(), [1, 2, 1]);
}

#[test]
fn one_bad_input_is_no_other_callers_error() {
    let net = Arc::new(Doubles::new());
    let answers = while_one_computes(&net, &[(&[1.0], 1), (&[2.0], 1), (&[-1.0], 1), (&[3.0], 1)]);
    assert_eq!((values(&answers[1]), values(&answers[3])), (vec![4.0], vec![6.0]));
    assert_eq!(answers[2].as_ref().unwrap_err().message, "a row is -1");
    assert_eq!(*net.runs.lock(), [1, 3, 1, 1, 1], "together, then each alone");
}

#[test]
fn a_network_whose_outputs_are_no_rows_runs_apart_from_then_on() {
    let net = Arc::new(Doubles { whole: false, ..Doubles::new() });
    let queue = Queue::new(net.clone(), Room { runs: 1, rows: 4 });
    let joined = |net: &Arc<Doubles>| {
        *net.gate.lock() = false;
        net.runs.lock().clear();
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3u8)
                .map(|i| {
                    scope.spawn({
                        let queue = &queue;
                        move || queue.run(rows(&[i.into()], 1), &|| true)
                    })
                })
                .collect();
            until("all calls", || {
                let state = queue.state.lock();
                let begun = net.runs.lock().len();
                if state.apart { begun == 3 } else { begun == 1 && state.waiting.len() == 2 }
            });
            net.open();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let mut found: Vec<f32> = answers.iter().flat_map(values).collect();
        found.sort_by(f32::total_cmp);
        assert_eq!(found, [0.0, 2.0, 4.0]);
        net.runs.lock().clone()
    };
    assert_eq!(joined(&net), [1, 2, 1, 1]);
    assert!(queue.state.lock().apart);
    assert_eq!(joined(&net), [1, 1, 1], "side by side, without a queue");
}

#[test]
fn a_fixed_number_of_rows_and_networks_that_do_not_say_so_are_never_joined() {
    for net in [Doubles { io: io(Some(1)), ..Doubles::new() }, Doubles { joins: false, ..Doubles::new() }] {
        let net = Arc::new(net);
        *net.gate.lock() = false;
        let queue = Queue::new(net.clone(), Room { runs: 1, rows: 4 });
        std::thread::scope(|scope| {
            for i in 0..3u8 {
                let queue = &queue;
                scope.spawn(move || {
                    assert_eq!(values(&queue.run(rows(&[i.into()], 1), &|| true)), [2.0 * f32::from(i)])
                });
            }
            until("all to run at once", || net.runs.lock().len() == 3);
            net.open();
        });
        assert_eq!(*net.runs.lock(), [1, 1, 1]);
    }
}

#[test]
fn who_leaves_while_waiting_is_not_computed() {
    let net = Arc::new(Doubles::new());
    *net.gate.lock() = false;
    let queue = Queue::new(net.clone(), Room { runs: 1, rows: 4 });
    let stay = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| queue.run(rows(&[1.0], 1), &|| true));
        until("the first run to begin", || net.runs.lock().len() == 1);
        let leaves = scope.spawn(|| queue.run(rows(&[2.0], 1), &|| stay.load(Ordering::Relaxed)));
        until("the second to wait", || queue.state.lock().waiting.len() == 1);
        let last = scope.spawn(|| queue.run(rows(&[3.0], 1), &|| true));
        until("the third to wait", || queue.state.lock().waiting.len() == 2);
        stay.store(false, Ordering::Relaxed);
        assert_eq!(leaves.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
        net.open();
        assert_eq!((values(&first.join().unwrap()), values(&last.join().unwrap())), (vec![2.0], vec![6.0]));
    });
    assert_eq!(*net.runs.lock(), [1, 1]);
}

#[test]
fn a_panic_ends_its_own_run_and_no_other() {
    let net = Arc::new(Doubles::new());
    let queue = Queue::new(net.clone(), Room { runs: 1, rows: 4 });
    *net.gate.lock() = false;
    std::thread::scope(|scope| {
        let bad = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| queue.run(rows(&[-2.0], 1), &|| true))).is_err());
        until("the bad run to begin", || net.runs.lock().len() == 1);
        let good = scope.spawn(|| queue.run(rows(&[1.0], 1), &|| true));
        until("the good one to wait", || queue.state.lock().waiting.len() == 1);
        net.open();
        assert!(bad.join().unwrap(), "it panics where it was called");
        assert_eq!(values(&good.join().unwrap()), [2.0]);
    });
    assert_eq!(queue.state.lock().running, 0);
}

#[test]
fn as_many_run_side_by_side_as_there_is_room_for() {
    let net = Arc::new(Doubles::new());
    *net.gate.lock() = false;
    let queue = Queue::new(net.clone(), Room { runs: 2, rows: 4 });
    std::thread::scope(|scope| {
        for i in 0..5u8 {
            let queue = &queue;
            scope.spawn(move || assert_eq!(values(&queue.run(rows(&[i.into()], 1), &|| true)), [2.0 * f32::from(i)]));
        }
        until("two to run and three to wait", || net.runs.lock().len() == 2 && queue.state.lock().waiting.len() == 3);
        net.open();
    });
    assert_eq!(net.runs.lock().iter().sum::<usize>(), 5);
    assert!(Room::of("cuda:0").rows > Room::of("cpu").rows && Room::of("cpu, by onnxruntime").runs >= 1);
}
