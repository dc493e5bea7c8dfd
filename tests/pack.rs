//! The nodes of ComfyUI's execution tests, as a plugin, in workflows that show one behaviour each. The names of the
//! workflows' nodes say what they are for; what a picture's pixels must be follows from black, white and means of them.

use engine::{CachePolicy, CancelToken, Engine, Event, Registry, RunOptions, RunReport, Services, Status};
use loader::{Form, Grant, Grants, Limits, Loader, LoaderConfig};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Loaded once: compiling the component is the dear part.
fn loader() -> &'static Arc<Loader> {
    static LOADER: OnceLock<(tempfile::TempDir, Arc<Loader>)> = OnceLock::new();
    let (_, loader) = LOADER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        tests::install("test-plugins/comfy-testing-pack", dir.path());
        let config = LoaderConfig {
            plugin_dirs: vec![dir.path().join("plugins")],
            cache_dir: dir.path().join("cache"),
            lock_file: dir.path().join("lock.json"),
            limits: Limits::default(),
            grants: Grants {
                default: Grant { node_names: vec!["Stub*".into(), "Test*".into()], ..Grant::default() },
                ..Grants::default()
            },
            ..LoaderConfig::default()
        };
        let loader = Loader::new(config).unwrap();
        assert!(loader.problems().is_empty(), "{:?}", loader.problems());
        assert_eq!(loader.plugins()[0].form(), Form::Wasm);
        (dir, Arc::new(loader))
    });
    loader
}

struct Bench {
    engine: Engine,
    dir: Arc<tempfile::TempDir>,
}

impl Bench {
    fn new() -> Self {
        Self::with_cache(CachePolicy::Classic)
    }

    fn with_cache(policy: CachePolicy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut all = nodes::builtin();
        all.extend(nodes::plugin_nodes(loader()));
        let store = Arc::new(data::Store::open(dir.path().join("store")).unwrap());
        let out = dir.path().join("out");
        std::fs::create_dir_all(&out).unwrap();
        let models = nodes::ModelDirs::new(Vec::new());
        let host = nodes::Host::new(models, out, dir.path().to_owned(), store, loader().clone(), Value::Null);
        let engine = Engine::new(Registry::new(all), Services::new().with(host), None).with_cache(policy);
        Self { engine, dir: Arc::new(dir) }
    }

    fn run(&self, workflow: Value) -> Run {
        self.run_targets(workflow, None)
    }

    fn run_targets(&self, workflow: Value, targets: Option<&[&str]>) -> Run {
        let options = graph::Options { targets: targets.map(|t| t.iter().map(|id| (*id).to_owned()).collect()) };
        let workflow = graph::Workflow::from_json(workflow).unwrap();
        let checked = graph::check(&workflow, self.engine.registry(), &options);
        let plan = checked.plan.unwrap_or_else(|| panic!("{}", checked.problems));
        let events = RefCell::new(Vec::new());
        let options = RunOptions { fail_fast: true, ..RunOptions::default() };
        let report = self.engine.run_with(&plan, &options, &|e| events.borrow_mut().push(e), &CancelToken::new());
        Run { report: report.unwrap(), events: events.into_inner(), dir: self.dir.clone() }
    }

    /// The error types at each node.
    fn refuses(&self, workflow: Value) -> Vec<(String, String)> {
        let workflow = graph::Workflow::from_json(workflow).unwrap();
        let checked = graph::check(&workflow, self.engine.registry(), &graph::Options::default());
        let errors = checked.problems.node_errors();
        let kind = |id: &str, e: &Value| (id.to_owned(), e["type"].as_str().unwrap().to_owned());
        errors.iter().flat_map(|(id, n)| n["errors"].as_array().unwrap().iter().map(|e| kind(id, e))).collect()
    }
}

struct Run {
    report: RunReport,
    events: Vec<Event>,
    /// Kept as long as its pictures may be looked at.
    dir: Arc<tempfile::TempDir>,
}

impl Run {
    #[track_caller]
    fn ok(self) -> Self {
        assert!(self.report.succeeded(), "{:?}", self.report.failures().collect::<Vec<_>>());
        self
    }

    fn ran(&self, id: &str) -> bool {
        self.events.iter().any(|e| matches!(e, Event::NodeStarted { node, .. } if &*node.id == id))
    }

    /// Smallest and largest value of each saved picture.
    fn pictures(&self, id: &str) -> Vec<(u8, u8)> {
        let Some(outputs) = self.report.outputs(id) else { return Vec::new() };
        let saved = outputs.ui.get("images").and_then(Value::as_array).cloned().unwrap_or_default();
        let extremes = |image: &Value| {
            let name = image["filename"].as_str().unwrap();
            let path = self.dir.path().join("out").join(image["subfolder"].as_str().unwrap_or_default()).join(name);
            let pixels = image::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8().into_raw();
            (*pixels.iter().min().unwrap(), *pixels.iter().max().unwrap())
        };
        saved.iter().map(extremes).collect()
    }

    fn failure(&self) -> (String, String) {
        let failed = self.events.iter().find_map(|e| match e {
            Event::NodeFailed { node, error, .. } => Some((node.real().to_string(), error.message.clone())),
            _ => None,
        });
        failed.expect("no node failed")
    }
}

fn node(class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

fn picture(content: &str) -> Value {
    node("StubImage", json!({"content": content, "height": 32, "width": 32, "batch_size": 1}))
}

fn mask(value: impl Into<Value>) -> Value {
    node("StubMask", json!({"value": value.into(), "height": 32, "width": 32, "batch_size": 1}))
}

fn save(from: &str) -> Value {
    node("SaveImage", json!({"images": [from, 0], "filename_prefix": "x"}))
}

fn mix(a: &str, b: &str, mask: &str) -> Value {
    node("TestLazyMixImages", json!({"image1": [a, 0], "image2": [b, 0], "mask": [mask, 0]}))
}

fn lazy(at: f64) -> Value {
    json!({"black": picture("BLACK"), "white": picture("WHITE"), "mask": mask(at),
           "mix": mix("black", "white", "mask"), "save": save("mix")})
}

#[test]
fn lazy_inputs_that_nobody_asks_for_do_not_run() {
    let run = Bench::new().run(lazy(0.0)).ok();
    assert_eq!(run.pictures("save"), [(0, 0)]);
    assert!(run.ran("black") && run.ran("mask") && run.ran("mix") && !run.ran("white"));
    let run = Bench::new().run(lazy(0.3)).ok();
    assert_eq!(run.pictures("save"), [(76, 76)]);
}

#[test]
fn caches_keep_what_they_should() {
    for (policy, cached) in [(CachePolicy::Classic, true), (CachePolicy::Lru(100), true), (CachePolicy::None, false)] {
        let bench = Bench::with_cache(policy);
        bench.run(lazy(0.5)).ok();
        let again = bench.run(lazy(0.5)).ok();
        assert_eq!(["black", "white", "mask", "mix"].map(|id| again.ran(id)), [!cached; 4]);
        let changed = bench.run(lazy(0.4)).ok();
        assert_eq!((changed.ran("black"), changed.ran("white"), changed.ran("mix")), (!cached, !cached, true));
    }
}

#[test]
fn a_failing_node_is_named_with_its_message() {
    let mut workflow = lazy(0.5);
    workflow["white"]["inputs"]["height"] = json!(16);
    let (id, message) = Bench::new().run(workflow).failure();
    assert_eq!(id, "mix");
    assert!(message.contains("one size"), "{message}");
}

#[test]
fn nodes_check_constants_and_types_of_links() {
    let bench = Bench::new();
    let refused = |class: &str, input1: Value| {
        let product = node(class, json!({"input1": input1, "input2": 3.0}));
        let stubs = json!({"int": node("StubInt", json!({"value": 5})), "mask": mask(5.0),
            "float": node("StubFloat", json!({"value": 5.0})), "p": product, "save": save("p")});
        bench.refuses(stubs).into_iter().filter(|(id, _)| id == "p").map(|(_, kind)| kind).collect::<Vec<_>>()
    };
    let custom = ["custom_validation_failed"; 2];
    for wrong in [json!(5), json!("foo")] {
        assert_eq!(refused("TestCustomValidation1", wrong), custom);
    }
    assert!(refused("TestCustomValidation1", json!(5.0)).is_empty());
    for wrong in [json!(["int", 0]), json!(["mask", 0])] {
        assert_eq!(refused("TestCustomValidation1", wrong), ["return_type_mismatch"]);
    }
    // Named at each input that the check covers, `input_types` among them.
    assert_eq!(refused("TestCustomValidation2", json!(["int", 0])), ["custom_validation_failed"; 3]);
    for class in ["TestCustomValidation3", "TestCustomValidation4"] {
        assert_eq!(refused(class, json!(["int", 0])), ["return_type_mismatch"]);
    }
    for class in ["TestCustomValidation2", "TestCustomValidation3", "TestCustomValidation4"] {
        assert!(refused(class, json!(["float", 0])).is_empty(), "{class}");
    }
    let fifth = |input2: f64| {
        let product = node("TestCustomValidation5", json!({"input1": 0.0, "input2": input2}));
        bench.refuses(json!({"p": product, "save": save("p")})).len()
    };
    assert_eq!((fifth(0.5), fifth(5.0), fifth(7.0)), (0, 0, 2), "bounds are the node's own matter");
    let checked = |value: f64| {
        let waits = node("TestAsyncValidation", json!({"value": value, "threshold": 10.0}));
        bench.refuses(json!({"p": waits, "save": save("p")})).len()
    };
    assert_eq!((checked(5.0), checked(15.0)), (0, 2));
}

#[test]
fn cycles_are_found_before_the_run_or_in_it() {
    let bench = Bench::new();
    let cyclic = json!({"white": picture("WHITE"), "mask": mask(0.5), "one": mix("two", "white", "mask"),
        "two": mix("one", "white", "mask"), "save": save("two")});
    assert!(bench.refuses(cyclic).iter().all(|(_, kind)| kind == "dependency_cycle"));
    let dynamic = json!({"black": picture("BLACK"), "white": picture("WHITE"), "save": save("cycle"),
        "cycle": node("TestDynamicDependencyCycle", json!({"input1": ["black", 0], "input2": ["white", 0]}))});
    let run = bench.run(dynamic);
    assert_eq!(run.failure(), ("cycle".to_owned(), "Dependency cycle detected".to_owned()));
}

#[test]
fn a_missing_node_costs_only_the_outputs_that_need_it() {
    let bench = Bench::new();
    let mut workflow = json!({"black": picture("BLACK"), "white": picture("WHITE"), "mask": mask(0.5),
        "bad": mix("black", "gone", "mask"), "good": mix("black", "white", "mask"), "s1": save("bad"), "s2": save("good")});
    assert_eq!(bench.refuses(workflow.clone()), [("bad".to_owned(), "exception_during_inner_validation".to_owned())]);
    let run = bench.run(workflow.clone()).ok();
    assert_eq!((run.pictures("s2"), run.report.node("s1").is_none()), (vec![(127, 127)], true));
    workflow["gone"] = picture("WHITE");
    assert_eq!(bench.run(workflow).ok().pictures("s1"), [(127, 127)]);
}

#[test]
fn a_node_says_itself_when_it_has_changed() {
    let bench = Bench::new();
    let workflow = |change: bool| {
        json!({"black": picture("BLACK"), "save": save("c"),
            "c": node("TestCustomIsChanged", json!({"image": ["black", 0], "should_change": change}))})
    };
    let ran = [false, false, true, true].map(|change| bench.run(workflow(change)).ok().ran("c"));
    assert_eq!(ran, [true, false, true, true]);
    let constant = node("StubConstantImage", json!({"value": 0.5, "height": 32, "width": 32, "batch_size": 1}));
    let half = node("TestIsChangedWithConstants", json!({"image": ["i", 0], "value": 0.5}));
    let workflow = json!({"i": constant, "h": half, "save": save("h")});
    let runs = [bench.run(workflow.clone()).ok(), bench.run(workflow).ok()];
    assert_eq!(runs.each_ref().map(|r| r.pictures("save")), [vec![(63, 63)], vec![(63, 63)]]);
    assert_eq!(runs.map(|r| r.ran("h")), [true, false]);
}

#[test]
fn undeclared_inputs_are_used() {
    let inputs = json!({"input1": ["b", 0], "input2": ["w", 0], "input3": ["b", 0], "input4": ["b", 0]});
    let average = node("TestVariadicAverage", inputs);
    let run = Bench::new().run(json!({"b": picture("BLACK"), "w": picture("WHITE"), "a": average, "save": save("a")}));
    assert_eq!(run.ok().pictures("save"), [(63, 63)]);
}

#[test]
fn loops_copy_the_nodes_between_their_ends() {
    let bench = Bench::new();
    for rounds in 1..5_u32 {
        let run = bench.run(json!({
            "b": picture("BLACK"), "w": picture("WHITE"),
            "c": node("TestCustomIsChanged", json!({"should_change": true, "image": ["w", 0]})),
            "open": node("TestForLoopOpen", json!({"remaining": rounds, "initial_value1": ["c", 0]})),
            "a": node("TestVariadicAverage", json!({"input1": ["b", 0], "input2": ["open", 2]})),
            "close": node("TestForLoopClose", json!({"flow_control": ["open", 0], "initial_value1": ["a", 0]})),
            "save": save("close"),
        }));
        let run = run.ok();
        let grey = (255 / 2_u32.pow(rounds)) as u8;
        assert_eq!(run.pictures("save"), [(grey, grey)], "{rounds} rounds");
        assert!(run.ran("c"));
    }
}

#[test]
fn items_of_a_list_may_expand_or_not() {
    let list = node("TestMakeListNode", json!({"value1": 0.1, "value2": 0.2, "value3": 0.3}));
    let mixed = node("TestMixedExpansionReturns", json!({"input1": ["l", 0]}));
    let literal = node("SaveImage", json!({"images": ["m", 1], "filename_prefix": "y"}));
    let run = Bench::new().run(json!({"l": list, "m": mixed, "s1": save("m"), "s2": literal})).ok();
    assert_eq!(run.pictures("s1"), [(25, 25), (51, 51), (76, 76)]);
    assert_eq!(run.pictures("s2"), [(255, 255); 3]);
}

#[test]
fn a_list_runs_a_lazy_node_for_each_item() {
    let mut workflow = lazy(0.0);
    workflow["l"] = node("TestMakeListNode", json!({"value1": 0.0, "value2": 0.5, "value3": 1.0}));
    workflow["mask"]["inputs"]["value"] = json!(["l", 0]);
    let run = Bench::new().run(workflow).ok();
    assert_eq!(run.pictures("save"), [(0, 0), (127, 127), (255, 255)]);
}

#[test]
fn nodes_that_sleep_do_so_together() {
    let sleep = |seconds: f64| node("TestSleep", json!({"value": ["b", 0], "seconds": seconds}));
    let bench = Bench::new();
    bench.run(json!({"b": picture("BLACK"), "s": save("b")})).ok();
    let started = Instant::now();
    let run = bench.run(json!({"b": picture("BLACK"), "1": sleep(2.9), "2": sleep(3.0), "3": sleep(3.1),
        "s1": save("1"), "s2": save("2"), "s3": save("3")}));
    let took = started.elapsed();
    assert!(took < Duration::from_millis(7000), "{took:?}");
    assert_eq!(run.ok().pictures("s1"), [(0, 0)]);
    let started = Instant::now();
    let sleeps = json!({"image1": ["b", 0], "image2": ["w", 0], "image3": ["w", 0], "sleep1": 2.9, "sleep2": 3.0, "sleep3": 3.1});
    let workflow =
        json!({"b": picture("BLACK"), "w": picture("WHITE"), "p": node("TestParallelSleep", sleeps), "s": save("p")});
    let run = bench.run(workflow).ok();
    assert!(started.elapsed() < Duration::from_millis(7000), "{:?}", started.elapsed());
    assert_eq!(run.pictures("s"), [(170, 170)]);
    let sleeps = json!({"image1": ["b", 0], "image2": ["w", 0], "num_async_nodes": 5, "sleep_duration": 0.5});
    let workflow = json!({"b": picture("BLACK"), "w": picture("WHITE"), "g": node("TestDynamicAsyncGeneration", sleeps), "s": save("g")});
    let run = bench.run(workflow).ok();
    assert_eq!(run.pictures("s"), [(102, 102)], "two of five are white");
    let progress = run.events.iter().filter(|e| matches!(e, Event::Progress { .. })).count();
    assert!(progress > 5, "only {progress} steps were shown");
}

#[test]
fn blocked_items_are_left_out() {
    let verbose = |verbose: bool| {
        json!({"b": picture("BLACK"), "w": picture("WHITE"),
            "images": node("TestMakeListNode", json!({"value1": ["b", 0], "value2": ["w", 0], "value3": ["b", 0]})),
            "numbers": node("TestMakeListNode", json!({"value1": 1, "value2": 2, "value3": 3})),
            "compare": node("TestIntConditions", json!({"a": ["numbers", 0], "b": 2, "operation": "=="})),
            "block": node("TestExecutionBlocker", json!({"input": ["images", 0], "block": ["compare", 0], "verbose": verbose})),
            "list": node("TestMakeListNode", json!({"value1": ["block", 0]})), "save": save("list")})
    };
    let run = Bench::new().run(verbose(false)).ok();
    assert_eq!(run.pictures("save"), [(0, 0), (0, 0)]);
    let told = |run: &Run| run.events.iter().filter(|e| matches!(e, Event::Blocked { .. })).count();
    assert_eq!(told(&run), 0);
    let run = Bench::new().run(verbose(true)).ok();
    assert_eq!((run.pictures("save").len(), told(&run)), (2, 1), "said once, and the run succeeds");
}

#[test]
fn targets_run_with_what_they_need_and_nothing_else() {
    let scaled =
        |from: &str, value: f64| node("TestOutputNodeWithSocketOutput", json!({"image": [from, 0], "value": value}));
    let workflow = json!({"b": picture("BLACK"), "w": picture("WHITE"), "one": scaled("w", 0.5), "two": scaled("one", 0.5),
        "s1": save("one"), "s2": save("two"), "s3": save("b")});
    let run = Bench::new().run_targets(workflow, Some(&["s2"])).ok();
    assert_eq!(
        ["w", "one", "two", "s2", "b", "s1", "s3"].map(|id| run.ran(id)),
        [true, true, true, true, false, false, false]
    );
    assert_eq!(run.pictures("s2"), [(63, 63)]);
}

#[test]
fn errors_of_nodes_that_wait_are_theirs_and_the_next_run_goes_on() {
    let bench = Bench::new();
    let with = |bad: Value| json!({"b": picture("BLACK"), "bad": bad, "s": save("bad")});
    let fails = node("TestAsyncError", json!({"value": ["b", 0], "error_after": 0.1}));
    let (id, message) = bench.run(with(fails)).failure();
    assert_eq!(id, "bad");
    assert!(message.contains("Intentional async"), "{message}");
    let slow = node("TestAsyncTimeout", json!({"value": ["b", 0], "timeout": 0.1, "operation_time": 2.0}));
    assert!(bench.run(with(slow)).failure().1.contains("timeout"));
    let mut both = with(node("TestSyncError", json!({"value": ["b", 0]})));
    both["sleep"] = node("TestSleep", json!({"value": ["b", 0], "seconds": 20.0}));
    both["s2"] = save("sleep");
    let started = Instant::now();
    assert_eq!(bench.run(both).failure().0, "bad");
    assert!(started.elapsed() < Duration::from_secs(10), "the sleeper is stopped: {:?}", started.elapsed());
    let fine = node("TestSleep", json!({"value": ["b", 0], "seconds": 0.1}));
    assert!(bench.run(with(fine)).ok().ran("bad"));
}

#[test]
fn waiting_nodes_of_every_form_give_their_values() {
    let bench = Bench::new();
    let mut workflow = json!({"w": picture("WHITE")});
    for i in 0..4 {
        let limited = json!({"value": ["w", 0], "duration": 0.1, "node_id": i});
        workflow[format!("limit{i}")] = node("TestAsyncConcurrentLimit", limited);
        workflow[format!("user{i}")] =
            node("TestAsyncResourceUser", json!({"value": ["w", 0], "resource_id": format!("r{i}"), "duration": 0.05}));
        workflow[format!("s{i}")] = save(&format!("limit{i}"));
        workflow[format!("t{i}")] = save(&format!("user{i}"));
    }
    workflow["batch"] = node("TestAsyncBatchProcessing", json!({"images": ["w", 0], "process_time_per_item": 0.05}));
    workflow["lazy"] = node("TestAsyncLazyCheck", json!({"input1": "a", "input2": "b", "condition": true}));
    for (class, id) in [("TestAsyncProgressUpdate", "p1"), ("TestSyncProgressUpdate", "p2")] {
        workflow[id] = node(class, json!({"value": ["w", 0], "sleep_seconds": 0.3}));
    }
    for id in ["batch", "lazy", "p1", "p2"] {
        workflow[format!("save {id}")] = save(id);
    }
    let run = bench.run(workflow.clone()).ok();
    assert_eq!((run.pictures("s3"), run.pictures("t3")), (vec![(255, 255)], vec![(255, 255)]));
    assert_eq!((run.pictures("save batch"), run.pictures("save lazy")), (vec![(0, 0)], vec![(255, 255)]));
    let again = bench.run(workflow).ok();
    assert!(!again.ran("user0") && matches!(again.report.node("save p1").unwrap().status, Status::Cached { .. }));
}

#[test]
fn accumulations_and_logic_compute() {
    let workflow = json!({
        "a1": node("TestAccumulateNode", json!({"to_add": 3})),
        "a2": node("TestAccumulateNode", json!({"to_add": 5, "accumulation": ["a1", 0]})),
        "set": node("TestAccumulationSetItemNode", json!({"accumulation": ["a2", 0], "index": 0, "value": 11})),
        "items": node("TestAccumulationToListNode", json!({"accumulation": ["set", 0]})),
        "halves": node("TestIntMathOperation", json!({"a": ["items", 0], "b": 2, "operation": "divide"})),
        "back": node("TestListToAccumulationNode", json!({"list": ["halves", 0]})),
        "length": node("TestAccumulationGetLengthNode", json!({"accumulation": ["back", 0]})),
        "head": node("TestAccumulationHeadNode", json!({"accumulation": ["back", 0]})),
        "tail": node("TestAccumulationTailNode", json!({"accumulation": ["back", 0]})),
        "item": node("TestAccumulationGetItemNode", json!({"accumulation": ["back", 0], "index": -1})),
        "less": node("TestFloatConditions", json!({"a": 0.5, "b": 0.6, "operation": "<"})),
        "match": node("TestStringConditions", json!({"a": "Cats", "b": "c.t", "operation": "a MATCH REGEX(b)", "case_sensitive": false})),
        "both": node("TestBoolOperationNode", json!({"a": ["less", 0], "b": ["match", 0], "op": "a AND b"})),
        "not": node("TestToBoolNode", json!({"value": ["both", 0], "invert": true})),
        "show": node("TestMakeListNode", json!({"value1": ["length", 0], "value2": ["head", 1], "value3": ["tail", 1],
            "value4": ["item", 0], "value5": ["not", 0]})),
        "end": node("TestExecutionBlocker", json!({"input": ["show", 0], "block": false, "verbose": false})),
        "b": picture("BLACK"), "out": node("TestOutputNodeWithSocketOutput", json!({"image": ["b", 0], "value": 1.0})),
    });
    // Nothing of this is an output node, so a loop over the values is what pulls it.
    let mut workflow = workflow;
    workflow["mask"] = mask(json!(0.0));
    workflow["pull"] = node("TestWhileLoopOpen", json!({"condition": ["not", 0], "initial_value0": ["end", 0]}));
    workflow["block"] = node("TestExecutionBlocker", json!({"input": ["b", 0], "block": ["not", 0], "verbose": false}));
    workflow["save"] = save("block");
    let pull = node("TestVariadicAverage", json!({"input1": ["b", 0], "more": ["pull", 1]}));
    workflow["average"] = pull;
    workflow["save2"] = save("average");
    let run = Bench::new().run(workflow).ok();
    let value = |id: &str, slot: usize| match &run.report.outputs(id).unwrap().values[slot] {
        spec::Value::Data(json) => json.clone(),
        spec::Value::List(items) => {
            items.iter().map(|i| if let spec::Value::Data(j) = i { j.clone() } else { Value::Null }).collect()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(value("show", 0), json!([2, 5, 2, 2, false]));
    assert_eq!(value("halves", 0), json!([5, 2]), "rounded down");
    assert_eq!(run.pictures("save"), [(0, 0)]);
}

#[test]
fn all_nodes_of_the_pack_are_there() {
    let plugin = &loader().plugins()[0];
    assert_eq!(plugin.info().nodes.len(), 52);
    let sampling = plugin.info().nodes.iter().find(|n| n.id == "TestSamplingInExpansion").unwrap();
    assert_eq!(sampling.inputs.iter().filter(|i| i.required).count(), 8);
}
