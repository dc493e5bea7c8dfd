use crate::testing::{FakeStore, Shop, engine, int, plan, run, run_with_events};
use crate::{CacheLevel, CancelToken, Engine, Event, Level, Status};
use serde_json::{Value, json};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn add(a: impl Into<Value>, b: impl Into<Value>) -> Value {
    json!({"class_type": "Add", "inputs": {"a": a.into(), "b": b.into()}})
}

fn save(a: &str) -> Value {
    json!({"class_type": "Save", "inputs": {"a": [a, 0]}})
}

/// Two branches from one root: 1 → 2 → s2, 1 → 3 → s3.
fn fork(left: i64) -> Value {
    json!({"1": add(1, 2), "2": add(json!(["1", 0]), left), "3": add(json!(["1", 0]), 7), "s2": save("2"), "s3": save("3")})
}

fn value(report: &crate::RunReport, id: &str) -> i64 {
    let outputs = report.outputs(id).unwrap();
    match &outputs.values[0] {
        spec::Value::Data(v) => v.as_i64().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_flow_along_links_and_unchanged_nodes_do_not_run_again() {
    let shop = Shop::default();
    let engine = engine(shop.nodes(), None);
    let report = run(&engine, fork(10));
    assert!(report.succeeded());
    assert_eq!((value(&report, "2"), value(&report, "3")), (13, 10));
    assert_eq!(shop.take_ran(), ["1", "2", "3", "s2", "s3"]);
    let report = run(&engine, fork(10));
    assert_eq!(shop.take_ran(), [""; 0]);
    assert_eq!(report.node("s2").unwrap().status, Status::Cached { from: CacheLevel::Memory });
    assert_eq!(report.node("1").unwrap().status, Status::NotNeeded);
}

#[test]
fn a_change_runs_only_what_depends_on_it() {
    let shop = Shop::default();
    let engine = engine(shop.nodes(), None);
    run(&engine, fork(10));
    shop.take_ran();
    let report = run(&engine, fork(11));
    assert_eq!(shop.take_ran(), ["2", "s2"]);
    assert_eq!(value(&report, "2"), 14);
}

#[test]
fn node_ids_titles_and_the_order_of_the_file_do_not_count() {
    let shop = Shop::default();
    let engine = engine(shop.nodes(), None);
    run(&engine, json!({"1": add(1, 2), "s": save("1")}));
    shop.take_ran();
    run(
        &engine,
        json!({"other": save("first"),
        "first": {"class_type": "Add", "inputs": {"b": "2", "a": 1}, "_meta": {"title": "new name"}}}),
    );
    assert_eq!(shop.take_ran(), [""; 0]);
}

#[test]
fn a_changed_file_runs_its_reader_again() {
    let shop = Shop::default();
    let nodes = shop.nodes();
    let digest = nodes[0].fingerprint.clone();
    let engine = engine(nodes, None);
    run(&engine, fork(1));
    shop.take_ran();
    *digest.lock() = Ok("sha of the new content".into());
    run(&engine, fork(1));
    assert_eq!(shop.take_ran().len(), 5);
}

#[test]
fn results_outlive_the_process_and_a_stored_output_pulls_nothing() {
    let shop = Shop::default();
    let store = Arc::new(FakeStore::default());
    let make = || {
        let mut nodes = shop.nodes();
        nodes[1].persistent = true;
        engine(nodes, Some(store.clone()))
    };
    let first = run(&make(), fork(1));
    shop.take_ran();
    assert_eq!(store.entries.lock().len(), 2);
    let second = run(&make(), fork(1));
    assert_eq!(shop.take_ran(), [""; 0]);
    assert_eq!(second.node("s3").unwrap().status, Status::Cached { from: CacheLevel::Store });
    assert_eq!(second.outputs("s3").unwrap().ui, first.outputs("s3").unwrap().ui);
    // `Add` is not persistent, so a changed branch pulls its root again.
    run(&make(), fork(2));
    assert_eq!(shop.take_ran(), ["1", "2", "s2"]);
}

#[test]
fn damaged_entries_and_lost_files_run_again() {
    let shop = Shop::default();
    let store = Arc::new(FakeStore::default());
    let make = |restores: bool| {
        let mut nodes = shop.nodes();
        nodes[1].persistent = true;
        *nodes[1].restores.lock() = restores;
        engine(nodes, Some(store.clone()))
    };
    let workflow = json!({"1": add(1, 2), "s": save("1")});
    run(&make(true), workflow.clone());
    shop.take_ran();
    *store.damaged.lock() = true;
    let (report, events) = run_with_events(&make(true), workflow.clone());
    assert!(report.succeeded());
    assert_eq!(shop.take_ran(), ["1", "s"]);
    let warned =
        |e: &Event| matches!(e, Event::Log { level: Level::Warn, message, .. } if message.contains("checksum differs"));
    assert!(events.iter().any(warned), "{events:?}");
    *store.damaged.lock() = false;
    run(&make(false), workflow);
    assert_eq!(shop.take_ran(), ["1", "s"]);
}

#[test]
fn a_full_disk_costs_the_cache_and_not_the_result() {
    let shop = Shop::default();
    let store = Arc::new(FakeStore::default());
    *store.full.lock() = true;
    let mut nodes = shop.nodes();
    nodes[0].persistent = true;
    let (report, events) = run_with_events(&engine(nodes, Some(store)), fork(1));
    assert!(report.succeeded());
    assert!(events.iter().any(|e| matches!(e, Event::Log { message, .. } if message.contains("no space left"))));
}

#[test]
fn nodes_that_differ_every_time_run_every_time_with_all_that_follows() {
    let shop = Shop::default();
    let store = Arc::new(FakeStore::default());
    let mut nodes = shop.nodes();
    let mut dice = shop.node("Dice", 1, Box::new(|_, _| Ok(vec![4.into()])));
    dice.spec.deterministic = false;
    nodes[1].persistent = true;
    nodes.push(dice);
    let engine = engine(nodes, Some(store.clone()));
    let workflow = json!({"d": {"class_type": "Dice", "inputs": {}}, "1": add(1, 1), "s": save("d"), "s1": save("1")});
    run(&engine, workflow.clone());
    shop.take_ran();
    run(&engine, workflow);
    assert_eq!(shop.take_ran(), ["d", "s"]);
    assert_eq!(store.entries.lock().len(), 1, "only the steady output is stored");
}

#[test]
fn a_failure_stops_what_needs_it_and_nothing_else() {
    let shop = Shop::default();
    let engine = engine(shop.nodes(), None);
    let (report, events) = run_with_events(
        &engine,
        json!({
            "7": {"class_type": "Fail", "inputs": {}}, "8": add(json!(["7", 0]), 1), "s8": save("8"),
            "9": {"class_type": "Panic", "inputs": {"a": 3}}, "s9": save("9"),
            "1": add(1, 1), "s1": save("1"),
        }),
    );
    assert!(!report.succeeded() && !report.cancelled);
    let failures: Vec<&str> = report.failures().map(|f| f.message).collect();
    assert_eq!(
        failures,
        ["node 7 (Fail): could not write: disk full", "node 9 (Panic): panicked: index 3 out of bounds"]
    );
    assert!(matches!(&report.node("s8").unwrap().status, Status::Blocked { by } if &*by.id == "7"));
    assert!(matches!(report.node("s1").unwrap().status, Status::Ran { .. }));
    let count = |which: fn(&Event) -> bool| events.iter().filter(|e| which(e)).count();
    assert_eq!(count(|e| matches!(e, Event::NodeFailed { .. })), 2);
    assert_eq!(count(|e| matches!(e, Event::NodeBlocked { .. })), 3);
    // What failed is tried again.
    shop.take_ran();
    run(&engine, json!({"7": {"class_type": "Fail", "inputs": {}}, "s7": save("7")}));
    assert_eq!(shop.take_ran(), ["7"]);
}

#[test]
fn a_missing_file_fails_its_node_and_not_the_others() {
    let shop = Shop::default();
    let mut nodes = shop.nodes();
    let loader = shop.node("Load", 1, Box::new(|_, _| Ok(vec![1.into()])));
    *loader.fingerprint.lock() = Err("a.safetensors: not found".into());
    nodes.push(loader);
    let report = run(
        &engine(nodes, None),
        json!({"4": {"class_type": "Load", "inputs": {}}, "s4": save("4"), "1": add(1, 1), "s1": save("1")}),
    );
    assert_eq!(report.failures().next().unwrap().message, "node 4 (Load): a.safetensors: not found");
    assert_eq!(shop.take_ran(), ["1", "s1"]);
}

#[test]
fn outputs_must_be_as_described() {
    let shop = Shop::default();
    let mut nodes = shop.nodes();
    nodes.push(shop.node("Short", 2, Box::new(|_, _| Ok(vec![1.into()]))));
    let report = run(&engine(nodes, None), json!({"1": {"class_type": "Short", "inputs": {}}, "s": save("1")}));
    assert!(
        report.failures().next().unwrap().message.contains("expected 2 outputs as the node describes them, found 1")
    );
}

#[test]
fn cancelling_stops_at_the_next_step_and_a_later_run_goes_on() {
    let shop = Shop::default();
    let token = CancelToken::new();
    let mut nodes = shop.nodes();
    let stop = token.clone();
    nodes.push(shop.node(
        "Slow",
        1,
        Box::new(move |ctx, v| {
            for step in 0..10_u64 {
                if step == 3 && int(v, "b") == 0 {
                    stop.cancel();
                }
                ctx.check_cancelled()?;
                ctx.progress(step, 10, "");
            }
            Ok(vec![5.into()])
        }),
    ));
    let engine = engine(nodes, None);
    let workflow = json!({"1": add(1, 1), "2": {"class_type": "Slow", "inputs": {"a": ["1", 0]}}, "s": save("2")});
    let report = engine.run(&plan(&engine, workflow.clone()), &|_| (), &token).unwrap();
    assert!(report.cancelled && !report.succeeded());
    assert_eq!(report.failures().count(), 0);
    assert_eq!(report.node("s").unwrap().status, Status::Cancelled);
    assert_eq!(shop.take_ran(), ["1", "2"]);
    let report = engine.run(&plan(&engine, workflow.clone()), &|_| (), &token).unwrap();
    assert!(report.cancelled);
    assert_eq!(shop.take_ran(), [""; 0], "a cancelled token starts nothing");
    let _ = engine.run(&plan(&engine, workflow), &|_| (), &CancelToken::new()).unwrap();
    assert_eq!(shop.take_ran(), ["2", "s"], "the finished node is remembered");
}

#[test]
fn progress_has_totals_and_an_estimate() {
    let shop = Shop::default();
    let mut nodes = shop.nodes();
    let work = |ctx: &crate::Context, _: &spec::Values| {
        for step in 1..=1000_u64 {
            ctx.progress(step, 1000, "loss 0.1");
        }
        assert_eq!(*ctx.services::<u32>(), 7);
        ctx.log(Level::Info, "done");
        Ok(vec![1.into()])
    };
    nodes.push(shop.node("Train", 1, Box::new(work)));
    let engine = engine(nodes, None);
    let (_, events) = run_with_events(&engine, json!({"1": {"class_type": "Train", "inputs": {}}, "s": save("1")}));
    let progress: Vec<&Event> = events.iter().filter(|e| matches!(e, Event::Progress { .. })).collect();
    assert!(progress.len() < 1000, "progress is thinned out");
    match progress.last().unwrap() {
        Event::Progress { done, total, eta, overall, .. } => {
            assert_eq!((*done, *total, overall.total), (1000, 1000, 2));
            assert_eq!(*eta, Some(0.0));
        }
        _ => unreachable!(),
    }
    let names: Vec<String> = events.iter().map(|e| json!(e)["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.first().unwrap(), "run-started");
    assert_eq!(names.last().unwrap(), "node-finished");
    assert!(engine.history().expected("Train", "1").is_some());
}

#[test]
fn independent_nodes_run_side_by_side() {
    let shop = Shop::default();
    let (to_second, from_first) = mpsc::channel();
    let (to_first, from_second) = mpsc::channel();
    let meet = |send: mpsc::Sender<()>, receive: mpsc::Receiver<()>| {
        let receive = parking_lot::Mutex::new(receive);
        move |_: &crate::Context, _: &spec::Values| {
            let _ = send.send(());
            receive.lock().recv_timeout(Duration::from_secs(20))?;
            Ok(vec![1.into()])
        }
    };
    let mut nodes = shop.nodes();
    nodes.push(shop.node("Left", 1, Box::new(meet(to_second, from_second))));
    nodes.push(shop.node("Right", 1, Box::new(meet(to_first, from_first))));
    let report = run(
        &engine(nodes, None),
        json!({"l": {"class_type": "Left", "inputs": {}}, "r": {"class_type": "Right", "inputs": {}},
               "1": add(json!(["l", 0]), json!(["r", 0])), "s": save("1")}),
    );
    assert!(report.succeeded(), "{:?}", report.failures().collect::<Vec<_>>());
}

#[test]
fn a_node_has_a_deep_stack() {
    fn deep(n: u64) -> u64 {
        let frame = std::hint::black_box([n; 128]);
        if n == 0 { frame[7] } else { deep(n - 1) + frame[0] }
    }
    let shop = Shop::default();
    let mut nodes = shop.nodes();
    nodes.push(shop.node("Deep", 1, Box::new(|_, _| Ok(vec![deep(50_000).into()]))));
    assert!(run(&engine(nodes, None), json!({"1": {"class_type": "Deep", "inputs": {}}, "s": save("1")})).succeeded());
}

#[test]
fn chains_of_ten_thousand_nodes_run_and_are_remembered() {
    let shop = Shop::default();
    let engine = engine(shop.nodes(), None);
    let mut chain = serde_json::Map::new();
    chain.insert("0".into(), add(0, 1));
    for i in 1..10_000 {
        chain.insert(i.to_string(), add(json!([(i - 1).to_string(), 0]), 1));
    }
    chain.insert("s".into(), save("9999"));
    let report = run(&engine, Value::Object(chain.clone()));
    assert_eq!(value(&report, "9999"), 10_000);
    assert_eq!(shop.take_ran().len(), 10_001);
    run(&engine, Value::Object(chain));
    assert_eq!(shop.take_ran(), [""; 0]);
}

#[test]
fn memory_keeps_only_what_the_last_plan_could_use() {
    let shop = Shop::default();
    let engine: Engine = engine(shop.nodes(), None);
    run(&engine, fork(1));
    run(&engine, fork(2));
    shop.take_ran();
    run(&engine, fork(1));
    assert_eq!(shop.take_ran(), ["2", "s2"]);
    engine.forget();
    run(&engine, fork(1));
    assert_eq!(shop.take_ran().len(), 5);
}
