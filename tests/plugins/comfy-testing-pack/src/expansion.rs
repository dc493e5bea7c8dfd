//! Nodes that become graphs.

use crate::nodes;
use crate::values::{Batch, out, plain, solid};
use plugin_sdk::spec::{Behaviour, Feed};
use plugin_sdk::{Handle, Inputs, Result, Returned, Value, place};
use std::sync::Arc;

/// Two pictures.
#[derive(Inputs)]
pub(crate) struct Two {
    input1: Batch,
    input2: Batch,
}

/// A number.
#[derive(Inputs)]
pub(crate) struct Mixed {
    #[input(link)]
    input1: f64,
}

/// What a picture is sampled from.
#[derive(Inputs)]
pub(crate) struct Sampling {
    #[input(name = "model", link)]
    model: Value,
    #[input(link)]
    clip: Value,
    #[input(link)]
    vae: Value,
    #[input(default = 0, seed, required)]
    seed: u64,
    #[input(default = 20, range = 1..=100, required)]
    steps: u32,
    #[input(default = 7.0, range = 0.0..=30.0, required)]
    cfg: f64,
    #[input(default = "a hill with a tree", multiline, required)]
    prompt: String,
    #[input(default = "", multiline, required)]
    negative_prompt: String,
}

/// Three pictures, and how long each sleeps.
#[derive(Inputs)]
pub(crate) struct Sleepers {
    image1: Batch,
    image2: Batch,
    image3: Batch,
    #[input(default = 0.5, range = 0.0..=10.0, step = 0.01, required)]
    sleep1: f64,
    #[input(default = 0.5, range = 0.0..=10.0, step = 0.01, required)]
    sleep2: f64,
    #[input(default = 0.5, range = 0.0..=10.0, step = 0.01, required)]
    sleep3: f64,
}

/// Two pictures in turn.
#[derive(Inputs)]
pub(crate) struct Generation {
    image1: Batch,
    image2: Batch,
    #[input(default = 3, range = 1..=10, required)]
    num_async_nodes: u32,
    #[input(default = 0.2, range = 0.1..=1.0, required)]
    sleep_duration: f64,
}

/// The size of all stubs.
fn stub<'i>(more: impl IntoIterator<Item = (&'i str, Feed)>) -> Vec<(&'i str, Feed)> {
    let size = [("height", Feed::from(512)), ("width", Feed::from(512)), ("batch_size", Feed::from(1))];
    more.into_iter().chain(size).collect()
}

/// The pictures again, as a value of their own.
fn share(batch: &Batch) -> Result<Feed> {
    let images = batch.0.iter().map(|i| Ok(Arc::new(i.share()?))).collect::<Result<_>>()?;
    Ok(Feed::from(Value::from(Batch(images))))
}

fn tenth(value: f64) -> Result<Vec<Value>> {
    let picture = |v: f64| Ok::<_, plugin_sdk::Error>(Value::from(Batch(vec![solid(v, 512, 512)?])));
    Ok(vec![picture(value)?, picture(1.0)?])
}

nodes! {
    TestDynamicDependencyCycle "Dynamic Dependency Cycle" (Two) -> [out("IMAGE")] |i| {
        let mut graph = place::graph();
        let mask = graph.node("StubMask", stub([("value", Feed::from(0.5))]));
        let mask = || Feed::link(&mask, 0);
        let first = graph.node("TestLazyMixImages", [("image1", share(&i.input1)?), ("mask", mask())]);
        let second = [("image1", Feed::link(&first, 0)), ("image2", share(&i.input2)?), ("mask", mask())];
        let second = graph.node("TestLazyMixImages", second);
        graph.set(&first, "image2", Some(Feed::link(&second, 0)));
        Ok(graph.finish([Feed::link(second, 0)]).into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestMixedExpansionReturns "Mixed Expansion Returns" (Mixed) -> [out("IMAGE"), out("IMAGE")] |i| {
        if i.input1 <= 0.1 {
            return Ok(tenth(0.1)?.into());
        }
        if i.input1 <= 0.2 {
            return Ok(Returned { values: tenth(0.2)?, ..Returned::default() });
        }
        let mut graph = place::graph();
        let mask = graph.node("StubMask", stub([("value", Feed::from(0.3))]));
        let black = graph.node("StubImage", stub([("content", Feed::from("BLACK"))]));
        let white = graph.node("StubImage", stub([("content", Feed::from("WHITE"))]));
        let mix = [("image1", black), ("image2", white), ("mask", mask)].map(|(name, id)| (name, Feed::link(id, 0)));
        let mix = graph.node("TestLazyMixImages", mix);
        let white = Value::from(Batch(vec![solid(1.0, 512, 512)?]));
        Ok(graph.finish([Feed::link(mix, 0), Feed::from(white)]).into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestSamplingInExpansion "Sampling In Expansion" (Sampling) -> [out("IMAGE")] |i| {
        let mut graph = place::graph();
        let again = |value: &Value| match value.as_object::<Handle>() {
            Some(handle) => Ok(Feed::from(Value::object(handle.share()?))),
            None => Ok::<Feed, plugin_sdk::Error>(Feed::from(value.clone())),
        };
        let positive = graph.node("CLIPTextEncode", [("text", Feed::from(i.prompt)), ("clip", again(&i.clip)?)]);
        let negative =
            graph.node("CLIPTextEncode", [("text", Feed::from(i.negative_prompt)), ("clip", again(&i.clip)?)]);
        let size = [("width", Feed::from(512)), ("height", Feed::from(512)), ("batch_size", Feed::from(1))];
        let latent = graph.node("EmptyLatentImage", size);
        let sampler = graph.node("KSampler", [
            ("model", again(&i.model)?),
            ("positive", Feed::link(positive, 0)),
            ("negative", Feed::link(negative, 0)),
            ("latent_image", Feed::link(latent, 0)),
            ("seed", Feed::from(i.seed)),
            ("steps", Feed::from(i.steps)),
            ("cfg", Feed::from(i.cfg)),
            ("sampler_name", Feed::from("euler_ancestral")),
            ("scheduler", Feed::from("normal")),
        ]);
        let decoded = graph.node("VAEDecode", [("samples", Feed::link(sampler, 0)), ("vae", again(&i.vae)?)]);
        Ok(graph.finish([Feed::link(decoded, 0)]).into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestParallelSleep "Parallel Sleep" (Sleepers) -> [out("IMAGE")] |i| {
        let mut graph = place::graph();
        let mut sleep = |image: &Batch, seconds: f64| {
            Ok::<_, plugin_sdk::Error>(graph.node("TestSleep", [("value", share(image)?), ("seconds", Feed::from(seconds))]))
        };
        let one = sleep(&i.image1, i.sleep1)?;
        let two = sleep(&i.image2, i.sleep2)?;
        let three = sleep(&i.image3, i.sleep3)?;
        let inputs = [("input1", one), ("input2", two), ("input3", three)].map(|(name, id)| (name, Feed::link(id, 0)));
        let blend = graph.node("TestVariadicAverage", inputs);
        Ok(graph.finish([Feed::link(blend, 0)]).into())
    }; {
        const OUTPUT_NODE: bool = true;
        fn behaviour() -> Behaviour { plain() }
    }

    TestDynamicAsyncGeneration "Dynamic Async Generation" (Generation) -> [out("IMAGE")] |i| {
        let mut graph = place::graph();
        let mut sleeping = Vec::new();
        for n in 0..i.num_async_nodes {
            let image = if n % 2 == 0 { &i.image1 } else { &i.image2 };
            let inputs = [("value", share(image)?), ("seconds", Feed::from(i.sleep_duration))];
            sleeping.push(graph.node("TestSleep", inputs));
        }
        let names: Vec<String> = (1..=sleeping.len()).map(|n| format!("input{n}")).collect();
        let inputs = names.iter().zip(&sleeping).map(|(name, id)| (name.as_str(), Feed::link(id, 0)));
        let last = match sleeping.as_slice() {
            [only] => only.clone(),
            _ => graph.node("TestVariadicAverage", inputs),
        };
        Ok(graph.finish([Feed::link(last, 0)]).into())
    }; { fn behaviour() -> Behaviour { plain() } }
}
