//! How ComfyUI's nodes take part in a run: lists, lazy inputs, blockers, expansions, nodes that wait.

use crate::testing::{self, Fake, Shop, plan, run_with, run_with_events};
use crate::{CancelToken, Engine, Event, Raised, RunOptions, RunReport, RunsEveryTime, Status};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use spec::{Feed, GraphBuilder, Hidden, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn number(values: &spec::Values, name: &str) -> f64 {
    match values.get(name) {
        Some(Value::Data(v)) => v.as_f64().unwrap_or_else(|| panic!("{name}: {v}")),
        other => panic!("{name}: {other:?}"),
    }
}

/// `Const` (a), `List` (a, b, and more, as a list), `Mix` (lazy), `Block` (a if b is not a), `Loop` (counts down by
/// expanding), `Sleep`, `Sum` (of whole lists), `Id` (its own id), and output nodes `Show` and `Pass`.
fn nodes(shop: &Shop) -> Vec<Fake> {
    let mut list = shop.node("List", 1, Box::new(|_, v| Ok(vec![Value::List(v.values().cloned().collect())])));
    list.spec.outputs[0].is_list = true;
    list.spec.behaviour.variadic = true;

    // Takes a below 1, b above 0, both between.
    let mut mix = shop.node(
        "Mix",
        1,
        Box::new(|_, v| {
            let at = number(v, "at");
            let part = |name: &str, share: f64| if share == 0.0 { 0.0 } else { number(v, name) * share };
            Ok(vec![(part("a", 1.0 - at) + part("b", at)).into()])
        }),
    );
    mix.spec.inputs.iter_mut().for_each(|i| i.lazy = true);
    mix.spec.inputs.push(crate::testing::input("at"));
    mix.lazy = Some(Box::new(|v| {
        let at = number(v, "at");
        let absent = |name: &str| matches!(v.get(name), None | Some(Value::Data(Json::Null)));
        let mut wanted = Vec::new();
        wanted.extend((at < 1.0 && absent("a")).then(|| "a".to_owned()));
        // One after the other.
        wanted.extend((wanted.is_empty() && at > 0.0 && absent("b")).then(|| "b".to_owned()));
        wanted
    }));

    let mut block = shop.node(
        "Block",
        1,
        Box::new(|_, v| {
            let message = v.get("message").map(|_| "not this one".to_owned());
            let blocked = number(v, "a") == number(v, "b");
            Ok(vec![if blocked { Value::blocker(message) } else { v["a"].clone() }])
        }),
    );

    block.spec.behaviour.variadic = true;

    // count, value → after count steps value · 2^count; each step is a `Const` and a `Loop` of its own.
    let mut count = shop.node("Loop", 1, Box::new(|_, _| Ok(vec![Value::Data(Json::Null)])));
    count.expand = Some(Box::new(|ctx, v| {
        let (left, value) = (number(v, "a"), number(v, "b"));
        if left == 0.0 {
            return None;
        }
        let mut graph = GraphBuilder::new(ctx.graph_prefix());
        let double = graph.node("Const", [("a", Feed::from(value * 2.0))]);
        let next = graph.named("Loop", "next", [("a", Feed::from(left - 1.0)), ("b", Feed::link(&double, 0))]);
        graph.show_as(&double, "elsewhere");
        Some(graph.finish([Feed::link(&next, 0)]))
    }));
    count.done = Some(Box::new(|v| vec![v["b"].clone()]));

    let mut sleep = shop.node(
        "Sleep",
        1,
        Box::new(|ctx, v| {
            let until = Instant::now() + Duration::from_secs_f64(number(v, "b"));
            while Instant::now() < until {
                ctx.check_cancelled()?;
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(vec![v["a"].clone()])
        }),
    );
    sleep.spec.behaviour.asynchronous = true;

    let mut sum = shop.node(
        "Sum",
        1,
        Box::new(|_, v| {
            let Value::List(items) = &v["a"] else { panic!("{v:?}") };
            let total: f64 = items.iter().map(|i| if let Value::Data(d) = i { d.as_f64().unwrap() } else { 0.0 }).sum();
            Ok(vec![total.into()])
        }),
    );
    sum.spec.behaviour.takes_lists = true;

    let mut id = shop.node("Id", 1, Box::new(|_, v| Ok(vec![v["me"].clone()])));
    id.spec.behaviour.hidden = vec![("me".into(), Hidden::UniqueId)];

    let mut show = shop.node("Show", 0, Box::new(|_, _| Ok(Vec::new())));
    show.shows = true;
    let mut pass = shop.node("Pass", 1, Box::new(|_, v| Ok(vec![v["a"].clone()])));
    pass.spec.output_node = true;
    let constant = shop.node("Const", 1, Box::new(|_, v| Ok(vec![v["a"].clone()])));
    vec![list, mix, block, count, sleep, sum, id, show, pass, constant]
}

fn engine(nodes: Vec<Fake>, store: Option<Arc<dyn crate::ResultCache>>) -> Engine {
    let untyped = |mut node: Fake| {
        node.spec.inputs.iter_mut().for_each(|i| i.socket = spec::Socket::Any);
        node.spec.outputs.iter_mut().for_each(|o| o.socket = spec::Socket::Any);
        node
    };
    testing::engine(nodes.into_iter().map(untyped), store)
}

fn make(shop: &Shop) -> Engine {
    engine(nodes(shop), None)
}

fn constant(a: impl Into<Json>) -> Json {
    json!({"class_type": "Const", "inputs": {"a": a.into()}})
}

fn show(a: &str) -> Json {
    json!({"class_type": "Show", "inputs": {"a": [a, 0]}})
}

/// What a `Show` was given.
fn shown(report: &RunReport, id: &str) -> Json {
    report.outputs(id).map_or(Json::Null, |o| o.ui.get("shown").cloned().unwrap_or(Json::Null))
}

fn run(engine: &Engine, workflow: Json) -> RunReport {
    let report = run_with_events(engine, workflow).0;
    assert!(report.succeeded(), "{:?}", report.failures().collect::<Vec<_>>());
    report
}

#[test]
fn lazy_inputs_are_computed_when_asked_for() {
    let shop = Shop::default();
    let engine = make(&shop);
    let mix = |at: f64| {
        json!({"a": constant(10), "b": constant(20), "at": constant(at),
               "m": {"class_type": "Mix", "inputs": {"a": ["a", 0], "b": ["b", 0], "at": ["at", 0]}}, "s": show("m")})
    };
    for (at, result, ran) in [(0.0, 10.0, vec!["a", "at", "m", "s"]), (1.0, 20.0, vec!["at", "b", "m", "s"])] {
        engine.forget();
        let report = run(&engine, mix(at));
        assert_eq!(
            (shown(&report, "s"), shop.take_ran()),
            (json!([result]), ran.into_iter().map(str::to_owned).collect())
        );
    }
    engine.forget();
    let (report, events) = run_with_events(&engine, mix(0.5));
    assert_eq!(shown(&report, "s"), json!([15.0]));
    let starts = events.iter().filter(|e| matches!(e, Event::NodeStarted { node, .. } if &*node.id == "m")).count();
    assert_eq!(starts, 3, "twice put back");
    assert!(!engine.run(&plan(&engine, mix(0.5)), &|_| (), &CancelToken::new()).unwrap().cancelled);
}

#[test]
fn a_lazy_input_over_a_list_is_computed_if_one_item_needs_it() {
    let shop = Shop::default();
    let engine = make(&shop);
    let report = run(
        &engine,
        json!({
            "a": constant(0), "b": constant(1), "at": {"class_type": "List", "inputs": {"a": 0.0, "b": 0.5, "c": 1.0}},
            "m": {"class_type": "Mix", "inputs": {"a": ["a", 0], "b": ["b", 0], "at": ["at", 0]}}, "s": show("m"),
        }),
    );
    assert_eq!(shown(&report, "s"), json!([0.0, 0.5, 1.0]));
}

#[test]
fn what_a_lazy_node_asks_for_must_be_linked() {
    let shop = Shop::default();
    let engine = make(&shop);
    let (report, events) = run_with_events(
        &engine,
        json!({
            "a": constant(0), "at": constant(0.5),
            "m": {"class_type": "Mix", "inputs": {"a": ["a", 0], "at": ["at", 0]}}, "s": show("m"),
        }),
    );
    assert_eq!(report.failures().count(), 1);
    let error = events.iter().find_map(|e| if let Event::NodeFailed { error, .. } = e { Some(error) } else { None });
    assert_eq!(error.unwrap().kind, "comfy_execution.graph.NodeInputError");
}

#[test]
fn blocked_items_do_not_run_and_others_do() {
    let shop = Shop::default();
    let engine = make(&shop);
    let block = |more: Json| {
        let mut inputs = json!({"a": ["l", 0], "b": 2});
        inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"l": {"class_type": "List", "inputs": {"a": 1, "b": 2, "c": 3}},
               "x": {"class_type": "Block", "inputs": inputs},
               "l2": {"class_type": "List", "inputs": {"a": ["x", 0]}}, "s": show("l2")})
    };
    let (report, events) = run_with_events(&engine, block(json!({})));
    assert!(report.succeeded());
    assert_eq!(shown(&report, "s"), json!([1, 3]), "only the middle one is blocked");
    assert!(!events.iter().any(|e| matches!(e, Event::Blocked { .. })), "silently");
    engine.forget();
    let (report, events) = run_with_events(&engine, block(json!({"message": 1})));
    assert!(report.succeeded(), "the run still succeeds");
    let told: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|e| if let Event::Blocked { node, message } = e { Some((&*node.id, &**message)) } else { None })
        .collect();
    assert_eq!(told, [("l2", "not this one")], "once, at the first that is blocked");
}

#[test]
fn a_blocked_output_shows_nothing() {
    let shop = Shop::default();
    let engine = make(&shop);
    let report = run(
        &engine,
        json!({
            "c": constant(2), "x": {"class_type": "Block", "inputs": {"a": ["c", 0], "b": 2}}, "s": show("x"),
            "l": {"class_type": "List", "inputs": {"a": ["x", 0], "b": 1}},
            "sum": {"class_type": "Sum", "inputs": {"a": ["l", 0]}}, "t": show("sum"),
        }),
    );
    assert_eq!((shown(&report, "s"), shown(&report, "t")), (Json::Null, Json::Null));
    assert!(!shop.take_ran().iter().any(|id| id == "s" || id == "sum"));
}

#[test]
fn a_node_may_take_all_its_inputs_as_lists() {
    let shop = Shop::default();
    let engine = make(&shop);
    let report = run(
        &engine,
        json!({
            "l": {"class_type": "List", "inputs": {"a": 1, "b": 2, "c": 3}},
            "x": {"class_type": "Sum", "inputs": {"a": ["l", 0]}}, "s": show("x"),
            "y": {"class_type": "Sum", "inputs": {"a": 5}}, "t": show("y"),
        }),
    );
    assert_eq!((shown(&report, "s"), shown(&report, "t")), (json!([6.0]), json!([5.0])));
}

#[test]
fn nodes_stand_in_for_a_node_that_expands_within_each_other() {
    let shop = Shop::default();
    let engine = make(&shop);
    let workflow = |count: u64| json!({"c": {"class_type": "Loop", "inputs": {"a": count, "b": 3}}, "s": show("c")});
    let (report, events) = run_with_events(&engine, workflow(2));
    assert_eq!(shown(&report, "s"), json!([12.0]));
    let ran = ["c", "c.0.0.1", "c.0.0.next", "c.0.0.next.0.0.1", "c.0.0.next.0.0.next", "s"];
    assert_eq!(shop.take_ran(), ran);
    let inner = events.iter().find_map(|e| match e {
        Event::NodeStarted { node, .. } if &*node.id == "c.0.0.next.0.0.next" => Some(node.clone()),
        _ => None,
    });
    let inner = inner.unwrap();
    assert_eq!((&**inner.display(), &**inner.parent().unwrap(), &**inner.real()), ("c", "c.0.0.next", "c"));
    let shown_as = events.iter().find_map(|e| match e {
        Event::NodeFinished { node, .. } if &*node.id == "c.0.0.1" => Some(node.display().to_string()),
        _ => None,
    });
    assert_eq!(shown_as.unwrap(), "elsewhere");
    run(&engine, workflow(2));
    assert_eq!(shop.take_ran(), [""; 0], "the whole expansion is remembered");
    let deep = run(&engine, workflow(40));
    assert_eq!(shown(&deep, "s"), json!([3.0 * 2_f64.powi(40)]));
}

#[test]
fn some_calls_may_expand_and_others_not() {
    let shop = Shop::default();
    let engine = make(&shop);
    let report = run(
        &engine,
        json!({
            "l": {"class_type": "List", "inputs": {"a": 0, "b": 1, "c": 2}},
            "c": {"class_type": "Loop", "inputs": {"a": ["l", 0], "b": 1}}, "s": show("c"),
        }),
    );
    assert_eq!(shown(&report, "s"), json!([1, 2.0, 4.0]));
    assert!(shop.take_ran().contains(&"c.2.0.next.0.0.1".to_owned()), "the call's index is in the ids");
}

#[test]
fn outputs_within_expansions_run_and_values_pass_into_them() {
    struct Thing(u32);
    impl spec::ObjectType for Thing {
        const SOCKET: &'static str = "THING";
    }
    let shop = Shop::default();
    let mut all = nodes(&shop);
    let mut grow = shop.node("Grow", 1, Box::new(|_, _| unreachable!()));
    grow.expand = Some(Box::new(|ctx, _| {
        let mut graph = GraphBuilder::new(ctx.graph_prefix());
        let open = graph.node("Open", [("a", Feed::from(Value::object(Thing(5))))]);
        graph.node("Show", [("a", Feed::link(&open, 0))]);
        Some(graph.finish([Feed::from(7)]))
    }));
    all.push(grow);
    all.push(shop.node("Open", 1, Box::new(|_, v| Ok(vec![v["a"].as_object::<Thing>().unwrap().0.into()]))));
    let engine = engine(all, None);
    let workflow = || json!({"g": {"class_type": "Grow", "inputs": {}}, "s": show("g")});
    let report = run(&engine, workflow());
    assert_eq!((shown(&report, "s"), shown(&report, "g.0.0.2")), (json!([7]), json!([5])));
    shop.take_ran();
    run(&engine, workflow());
    assert_eq!(shop.take_ran(), [""; 0]);
}

#[test]
fn a_cycle_in_an_expansion_is_blamed_on_the_node_that_expanded() {
    let shop = Shop::default();
    let mut all = nodes(&shop);
    let mut bad = shop.node("Bad", 1, Box::new(|_, _| unreachable!()));
    bad.expand = Some(Box::new(|ctx, _| {
        let mut graph = GraphBuilder::new(ctx.graph_prefix());
        let one = graph.node("Const", []);
        let two = graph.node("Const", [("a", Feed::link(&one, 0))]);
        graph.set(&one, "a", Some(Feed::link(&two, 0)));
        Some(graph.finish([Feed::link(&two, 0)]))
    }));
    all.push(bad);
    let engine = engine(all, None);
    let (report, events) = run_with_events(
        &engine,
        json!({"g": {"class_type": "Bad", "inputs": {}}, "s": show("g"), "c": constant(1), "t": show("c")}),
    );
    assert_eq!(report.failures().next().unwrap().message, "node g (Bad): Dependency cycle detected");
    assert!(matches!(report.node("s").unwrap().status, Status::Blocked { .. }));
    assert_eq!(shown(&report, "t"), json!([1]), "the rest runs");
    let error = events.iter().find_map(|e| if let Event::NodeFailed { error, .. } = e { Some(error) } else { None });
    assert_eq!(error.unwrap().kind, "graph.DependencyCycleError");
}

#[test]
fn mistakes_in_expansions_are_the_expanding_nodes() {
    let shop = Shop::default();
    for (class, link, message) in [("Nothing", None, "'Nothing'"), ("Const", Some("gone"), "Node gone not found")] {
        let mut all = nodes(&shop);
        let mut bad = shop.node("Bad", 1, Box::new(|_, _| unreachable!()));
        bad.expand = Some(Box::new(move |ctx, _| {
            let mut graph = GraphBuilder::new(ctx.graph_prefix());
            let feed = link.map_or(Feed::from(1), |id| Feed::link(id, 0));
            let one = graph.node(class, [("a", feed)]);
            Some(graph.finish([Feed::link(one, 0)]))
        }));
        all.push(bad);
        let (report, _) =
            run_with_events(&engine(all, None), json!({"g": {"class_type": "Bad", "inputs": {}}, "s": show("g")}));
        assert_eq!(report.failures().next().unwrap().message, format!("node g (Bad): {message}"));
    }
}

#[test]
fn nodes_that_wait_run_side_by_side_and_so_do_their_items() {
    let shop = Shop::default();
    let engine = make(&shop).with_threads(1);
    let sleep = |a: Json| json!({"class_type": "Sleep", "inputs": {"a": a, "b": 0.3}});
    let mut workflow = json!({"l": {"class_type": "List", "inputs": {"a": 1, "b": 2, "c": 3, "d": 4}},
        "items": sleep(json!(["l", 0])), "si": show("items")});
    for i in 0..8 {
        workflow[format!("w{i}")] = sleep(json!(i));
        workflow[format!("s{i}")] = show(&format!("w{i}"));
    }
    let started = Instant::now();
    let report = run(&engine, workflow);
    // Twelve waits of 0.3 s one after the other would take 3.6 s.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(shown(&report, "si"), json!([1, 2, 3, 4]));
}

#[test]
fn a_class_may_limit_how_many_of_it_run_at_once() {
    let shop = Shop::default();
    let mut all = nodes(&shop);
    let (now, most) = (Arc::new(Mutex::new(0_u32)), Arc::new(Mutex::new(0_u32)));
    let seen = most.clone();
    let mut limited = shop.node(
        "Limited",
        1,
        Box::new(move |_, _| {
            *now.lock() += 1;
            let here = *now.lock();
            let mut most = most.lock();
            *most = here.max(*most);
            drop(most);
            std::thread::sleep(Duration::from_millis(40));
            *now.lock() -= 1;
            Ok(vec![1.into()])
        }),
    );
    limited.spec.behaviour.asynchronous = true;
    limited.spec.behaviour.concurrency = 2;
    all.push(limited);
    let mut workflow = json!({});
    for i in 0..6 {
        workflow[format!("w{i}")] = json!({"class_type": "Limited", "inputs": {"a": i}});
        workflow[format!("s{i}")] = show(&format!("w{i}"));
    }
    run(&engine(all, None), workflow);
    assert_eq!(*seen.lock(), 2);
}

#[test]
fn the_first_failure_may_end_the_run() {
    let shop = Shop::default();
    let mut all = nodes(&shop);
    all.push(shop.node("Fail", 1, Box::new(|_, _| Err(Raised::new("ValueError", "no").into()))));
    let engine = engine(all, None);
    let workflow = json!({"w": {"class_type": "Sleep", "inputs": {"a": 1, "b": 30.0}}, "s": show("w"),
        "f": {"class_type": "Fail", "inputs": {"a": 3}}, "t": show("f")});
    let options = RunOptions { fail_fast: true, ..RunOptions::default() };
    let started = Instant::now();
    let (report, events) = run_with(&engine, workflow, &options);
    assert!(started.elapsed() < Duration::from_secs(20), "the node that waits is stopped");
    assert!(!report.cancelled && !report.succeeded());
    let error = events.iter().find_map(|e| if let Event::NodeFailed { error, .. } = e { Some(error) } else { None });
    let error = error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_str(), &error.inputs["a"]), ("ValueError", "no", &json!([3])));
    assert!(!events.iter().any(|e| matches!(e, Event::NodeCancelled { .. })), "nobody asked to stop");
}

#[test]
fn an_interrupt_names_the_node_that_ran() {
    let shop = Shop::default();
    let mut all = nodes(&shop);
    let token = CancelToken::new();
    let stop = token.clone();
    all.push(shop.node(
        "Stop",
        1,
        Box::new(move |ctx, _| {
            stop.cancel();
            ctx.check_cancelled().map(|()| Vec::new())
        }),
    ));
    let engine = engine(all, None);
    let workflow = json!({"x": {"class_type": "Stop", "inputs": {}}, "s": show("x")});
    let events = std::cell::RefCell::new(Vec::new());
    let report = engine.run(&plan(&engine, workflow), &|e| events.borrow_mut().push(e), &token).unwrap();
    assert!(report.cancelled);
    let events = events.into_inner();
    assert!(events.iter().any(|e| matches!(e, Event::NodeCancelled { node } if &*node.id == "x")));
}

#[test]
fn a_node_may_say_that_it_runs_every_time_and_sees_only_constants() {
    let shop = Shop::default();
    let mut all = nodes(&shop);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let mut changing = shop.node("Changing", 1, Box::new(|_, v| Ok(vec![v["a"].clone()])));
    changing.spec.behaviour.fingerprints = true;
    changing.changed = Some(Box::new(move |v| {
        seen.lock().push(matches!(v["a"], Value::Data(Json::Null)));
        if number(v, "b") == 0.0 { Ok("same".into()) } else { Err(RunsEveryTime.into()) }
    }));
    all.push(changing);
    let engine = engine(all, None);
    let workflow = |b: u32| json!({"c": constant(1), "x": {"class_type": "Changing", "inputs": {"a": ["c", 0], "b": b}}, "s": show("x")});
    for (b, ran) in [(0, 3), (0, 0), (1, 2), (1, 2)] {
        run(&engine, workflow(b));
        assert_eq!(shop.take_ran().len(), ran);
    }
    assert_eq!(*asked.lock(), [true; 4], "what is linked is null");
}

#[test]
fn hidden_inputs_and_links_themselves() {
    let shop = Shop::default();
    let mut all = nodes(&shop);
    let mut curious = shop.node(
        "Curious",
        1,
        Box::new(|_, v| {
            let json = |name: &str| if let Value::Data(d) = &v[name] { d.clone() } else { Json::Null };
            Ok(vec![
                json!([json("me"), json("prompt"), json("live")["c"]["class_type"], json("extra"), json("a")]).into(),
            ])
        }),
    );
    let hidden = [
        ("me", Hidden::UniqueId),
        ("prompt", Hidden::Prompt),
        ("live", Hidden::DynPrompt),
        ("extra", Hidden::ExtraPngInfo),
    ];
    curious.spec.behaviour.hidden = hidden.map(|(name, kind)| (name.to_owned(), kind)).into();
    curious.spec.behaviour.raw_links = vec!["a".into()];
    all.push(curious);
    let engine = engine(all, None);
    let options = RunOptions { prompt: json!("sent"), extra_pnginfo: json!({"workflow": 1}), fail_fast: false };
    let workflow = json!({"c": constant(1), "x": {"class_type": "Curious", "inputs": {"a": ["c", 0]}}, "s": show("x")});
    let (report, _) = run_with(&engine, workflow, &options);
    assert_eq!(shown(&report, "s"), json!([["x", "sent", "Const", {"workflow": 1}, ["c", 0]]]));
    assert!(shop.take_ran().contains(&"c".to_owned()), "the linked node runs all the same");
}

#[test]
fn a_node_that_knows_its_id_is_another_under_another_id() {
    let shop = Shop::default();
    let engine = make(&shop);
    let workflow = |id: &str| json!({id: {"class_type": "Id", "inputs": {}}, "s": show(id)});
    assert_eq!(shown(&run(&engine, workflow("a")), "s"), json!(["a"]));
    assert_eq!(shown(&run(&engine, workflow("b")), "s"), json!(["b"]));
    shop.take_ran();
    run(&engine, workflow("b"));
    assert_eq!(shop.take_ran(), [""; 0]);
}

#[test]
fn equal_nodes_run_once_and_both_show() {
    let shop = Shop::default();
    let engine = make(&shop).with_threads(1);
    let (report, events) = run_with_events(&engine, json!({"c": constant(1), "s": show("c"), "t": show("c")}));
    assert_eq!((shown(&report, "s"), shown(&report, "t")), (json!([1]), json!([1])));
    assert_eq!(shop.take_ran().len(), 2);
    assert!(events.iter().any(|e| matches!(e, Event::NodeCached { ui, .. } if ui["shown"] == json!([1]))));
}

#[test]
fn what_is_at_hand_is_listed_needed_or_not() {
    let shop = Shop::default();
    let engine = make(&shop);
    let workflow = json!({"c": constant(1), "p": {"class_type": "Pass", "inputs": {"a": ["c", 0]}}, "s": show("p")});
    let listed = |events: &[Event]| {
        let nodes =
            events.iter().find_map(|e| if let Event::Cached { nodes } = e { Some(nodes.clone()) } else { None });
        nodes.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listed(&run_with_events(&engine, workflow.clone()).1), [""; 0]);
    assert_eq!(listed(&run_with_events(&engine, workflow).1), ["c", "p", "s"]);
}

#[test]
fn engines_with_other_services_share_what_they_remember() {
    let shop = Shop::default();
    let engine = make(&shop);
    let workflow = || json!({"c": constant(1), "s": show("c")});
    run(&engine, workflow());
    shop.take_ran();
    let other = engine.with_services(crate::Services::new().with(8_u32));
    assert_eq!(other.services().get::<u32>(), Some(&8));
    run(&other, workflow());
    assert_eq!(shop.take_ran(), [""; 0]);
    let none = make(&shop).with_cache(crate::CachePolicy::None);
    run(&none, workflow());
    run(&none, workflow());
    assert_eq!(shop.take_ran().len(), 4);
}
