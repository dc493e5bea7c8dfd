//! An evaluator as a component.

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package anagama:sdk-evaluator;
            world evaluator { export anagama:plugin/evaluator@0.1.0; }
        ",
        world: "evaluator",
        with: {
            "anagama:plugin/types@0.1.0": crate::wasm::imports::anagama::plugin::types,
            "anagama:plugin/tensors@0.1.0": crate::wasm::imports::anagama::plugin::tensors,
            "anagama:plugin/images@0.1.0": crate::wasm::imports::anagama::plugin::images,
        },
        pub_export_macro: true,
        export_macro_name: "export_evaluator",
        default_bindings_module: "plugin_sdk::wasm::evaluator::bindings",
    });
}

use super::State;
use super::convert::{error_out, image_in};
use super::imports::anagama::plugin::{images, types};
use crate::evaluator::finite;
use crate::{Error, Evaluator, Result as SdkResult, Sample, Score};
use bindings::exports::anagama::plugin::evaluator as wit;
use std::marker::PhantomData;

thread_local!(static STATE: State = const { State::new() });

pub struct Glue<T>(PhantomData<T>);

fn scores(scores: Vec<Score>) -> SdkResult<Vec<wit::Score>> {
    finite(&scores)?;
    Ok(scores.into_iter().map(|s| wit::Score { metric: s.metric, value: s.value }).collect())
}

fn sample(s: wit::Sample) -> SdkResult<Sample> {
    let (image, reference) = (image_in(s.image), s.reference.map(image_in));
    let extra = s.extra.map(|json| crate::serde_json::from_str(&json).map_err(Error::from)).transpose()?;
    Ok(Sample { id: s.id, image, prompt: s.prompt, reference, seed: s.seed, extra })
}

impl<T: Evaluator> wit::Guest for Glue<T> {
    fn open(config: String) -> Result<Vec<wit::Metric>, types::Error> {
        let metric = |m: crate::Metric| wit::Metric {
            name: m.name,
            higher_is_better: m.higher_is_better,
            low: m.low,
            high: m.high,
            per_sample: m.per_sample,
            description: m.description,
        };
        let metrics = STATE.with(|s| {
            s.open(&config, T::open)?;
            s.with(|object: &mut T| Ok(object.metrics()))
        });
        Ok(metrics.map_err(error_out)?.into_iter().map(metric).collect())
    }

    fn reference(batch: Vec<images::Image>) -> Result<(), types::Error> {
        let batch = batch.into_iter().map(image_in).collect();
        STATE.with(|s| s.with(|object: &mut T| object.reference(batch))).map_err(error_out)
    }

    fn add(batch: Vec<wit::Sample>) -> Result<Vec<Vec<wit::Score>>, types::Error> {
        let add = || {
            let batch = batch.into_iter().map(sample).collect::<SdkResult<Vec<_>>>()?;
            let all = STATE.with(|s| s.with(|object: &mut T| object.add(batch)))?;
            all.into_iter().map(scores).collect::<SdkResult<Vec<_>>>()
        };
        add().map_err(error_out)
    }

    fn finish() -> Result<Vec<wit::Score>, types::Error> {
        STATE.with(|s| s.with(|object: &mut T| object.finish())).and_then(scores).map_err(error_out)
    }
}
