//! A captioner as a component.

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package anagama:sdk-captioner;
            world captioner { export anagama:plugin/captioner@0.1.0; }
        ",
        world: "captioner",
        with: {
            "anagama:plugin/types@0.1.0": crate::wasm::imports::anagama::plugin::types,
            "anagama:plugin/tensors@0.1.0": crate::wasm::imports::anagama::plugin::tensors,
            "anagama:plugin/images@0.1.0": crate::wasm::imports::anagama::plugin::images,
        },
        pub_export_macro: true,
        export_macro_name: "export_captioner",
        default_bindings_module: "plugin_sdk::wasm::captioner::bindings",
    });
}

use super::State;
use super::convert::{annotation_in, annotation_out, error_out, image_in};
use super::imports::anagama::plugin::types;
use crate::{CaptionRequest, Captioner};
use bindings::exports::anagama::plugin::captioner::{Guest, Request};
use std::marker::PhantomData;

thread_local!(static STATE: State = const { State::new() });

pub struct Glue<T>(PhantomData<T>);

impl<T: Captioner> Guest for Glue<T> {
    fn open(config: String) -> Result<(), types::Error> {
        STATE.with(|s| s.open(&config, T::open)).map_err(error_out)
    }

    fn max_batch() -> u32 {
        STATE.with(|s| s.with(|object: &mut T| Ok(object.max_batch()))).unwrap_or(1)
    }

    fn caption(batch: Vec<Request>) -> Result<Vec<Result<types::Annotation, types::Error>>, types::Error> {
        let request = |r: Request| CaptionRequest { image: image_in(r.image), known: annotation_in(r.known) };
        let batch = batch.into_iter().map(request).collect();
        let answers = STATE.with(|s| s.with(|object: &mut T| object.caption(batch))).map_err(error_out)?;
        Ok(answers.into_iter().map(|a| a.map(annotation_out).map_err(error_out)).collect())
    }
}
