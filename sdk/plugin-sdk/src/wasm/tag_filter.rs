//! A tag filter as a component.

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package anagama:sdk-tag-filter;
            world tag-filter { export anagama:plugin/tag-filter@0.1.0; }
        ",
        world: "tag-filter",
        with: {
            "anagama:plugin/types@0.1.0": crate::wasm::imports::anagama::plugin::types,
        },
        pub_export_macro: true,
        export_macro_name: "export_tag_filter",
        default_bindings_module: "plugin_sdk::wasm::tag_filter::bindings",
    });
}

use super::State;
use super::convert::{annotation_in, annotation_out, error_out};
use super::imports::anagama::plugin::types;
use crate::{FilterRequest, TagFilter};
use bindings::exports::anagama::plugin::tag_filter::{Guest, Request, Verdict};
use std::marker::PhantomData;

thread_local!(static STATE: State = const { State::new() });

pub struct Glue<T>(PhantomData<T>);

fn requests(batch: Vec<Request>) -> Vec<FilterRequest> {
    let one = |r: Request| FilterRequest { id: r.id, subset: r.subset, annotation: annotation_in(r.annotation) };
    batch.into_iter().map(one).collect()
}

impl<T: TagFilter> Guest for Glue<T> {
    fn open(config: String) -> Result<(), types::Error> {
        STATE.with(|s| s.open(&config, T::open)).map_err(error_out)
    }

    fn passes() -> u32 {
        STATE.with(|s| s.with(|object: &mut T| Ok(object.passes()))).unwrap_or(1)
    }

    fn observe(batch: Vec<Request>) -> Result<(), types::Error> {
        let batch = requests(batch);
        STATE.with(|s| s.with(|object: &mut T| object.observe(&batch))).map_err(error_out)
    }

    fn apply(batch: Vec<Request>) -> Result<Vec<Verdict>, types::Error> {
        let batch = requests(batch);
        let verdicts = STATE.with(|s| s.with(|object: &mut T| object.apply(batch))).map_err(error_out)?;
        let verdict = |v| match v {
            crate::Verdict::Keep(annotation) => Verdict::Keep(annotation_out(annotation)),
            crate::Verdict::Drop(why) => Verdict::Drop(why),
        };
        Ok(verdicts.into_iter().map(verdict).collect())
    }
}
