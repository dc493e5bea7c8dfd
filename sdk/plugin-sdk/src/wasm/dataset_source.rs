//! A dataset source as a component.

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package anagama:sdk-dataset-source;
            world dataset-source { export anagama:plugin/dataset-source@0.1.0; }
        ",
        world: "dataset-source",
        with: {
            "anagama:plugin/types@0.1.0": crate::wasm::imports::anagama::plugin::types,
            "anagama:plugin/tensors@0.1.0": crate::wasm::imports::anagama::plugin::tensors,
            "anagama:plugin/images@0.1.0": crate::wasm::imports::anagama::plugin::images,
        },
        pub_export_macro: true,
        export_macro_name: "export_dataset_source",
        default_bindings_module: "plugin_sdk::wasm::dataset_source::bindings",
    });
}

use super::State;
use super::convert::{annotation_out, error_out, image_out};
use super::imports::anagama::plugin::types;
use crate::{DatasetSource, Media};
use bindings::exports::anagama::plugin::dataset_source as wit;
use std::marker::PhantomData;

thread_local!(static STATE: State = const { State::new() });

pub struct Glue<T>(PhantomData<T>);

impl<T: DatasetSource> wit::Guest for Glue<T> {
    fn open(config: String) -> Result<(), types::Error> {
        STATE.with(|s| s.open(&config, T::open)).map_err(error_out)
    }

    fn next_page(from: Option<String>, max_items: u32) -> Result<wit::Page, types::Error> {
        let page = STATE.with(|s| s.with(|object: &mut T| object.next_page(from, max_items))).map_err(error_out)?;
        let item = |item: crate::Item| wit::Item {
            id: item.id,
            media: match item.media {
                Media::Url(url) => wit::Media::Url(url),
                Media::File { root, path } => wit::Media::File((root, path)),
                Media::Bytes(bytes) => wit::Media::Bytes(bytes),
                Media::Image(image) => wit::Media::Image(image_out(image)),
            },
            annotation: annotation_out(item.annotation),
            origin: item.origin,
            license: item.license,
            digest: item.digest,
        };
        Ok(wit::Page { items: page.items.into_iter().map(item).collect(), next: page.next, total: page.total })
    }
}
