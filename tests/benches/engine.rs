//! Cached re-runs of chains of nodes: what a user waits for after changing nothing.
#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use engine::{CancelToken, Context, Engine, Registry, Services, TypedNode, node};
use serde_json::json;
use spec::Inputs;

/// Adds one.
#[derive(Inputs)]
struct AddOne {
    /// A number.
    #[input(default = 0)]
    n: i64,
}

impl TypedNode for AddOne {
    const ID: &'static str = "AddOne";
    const CATEGORY: &'static str = "bench";
    const OUTPUT_NODE: bool = true;
    type Output = i64;

    fn run(self, _: &Context) -> anyhow::Result<i64> {
        Ok(self.n + 1)
    }
}

fn chain(length: usize) -> graph::Workflow {
    let node = |i: usize| {
        let n = if i == 0 { json!(0) } else { json!([format!("{}", i - 1), 0]) };
        (format!("{i}"), json!({"class_type": "AddOne", "inputs": {"n": n}}))
    };
    let nodes: serde_json::Map<String, serde_json::Value> = (0..length).map(node).collect();
    graph::Workflow::from_json(nodes.into()).unwrap()
}

fn engine(c: &mut Criterion) {
    for length in [25, 50, 100, 200, 400, 500, 1500] {
        let engine = Engine::new(Registry::new([node::<AddOne>()]), Services::new(), None);
        let workflow = chain(length);
        let run = || {
            let plan = graph::validate(&workflow, engine.registry()).unwrap();
            engine.run(&plan, &|_| {}, &CancelToken::new()).unwrap()
        };
        run();
        c.bench_function(&format!("engine/validate and re-run {length} cached nodes"), |b| b.iter(run));
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
