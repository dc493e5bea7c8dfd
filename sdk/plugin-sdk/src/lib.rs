//! Everything a plugin needs: one trait per kind, the host's services, and [`export!`].
//!
//! The same source builds as a WASM component and as a native library; a plugin sees no difference. It knows no
//! host: images, tensors and models are handles on what the host owns, and `plugin-test` pretends to be one.
//! Start at the trait of your kind: [`Captioner`], [`DatasetSource`], [`TagFilter`], [`Evaluator`] or [`Node`].
//!
//! ```
//! use plugin_sdk::{Annotation, CaptionRequest, Captioner, Info, Inputs, PixelFormat, Result, Tag, info};
//!
//! /// Says whether a picture is dark or bright.
//! #[derive(Inputs)]
//! struct Settings {
//!     /// Pictures with a mean below this are dark.
//!     #[input(default = 100, range = 0..=255)]
//!     threshold: u8,
//! }
//!
//! struct Brightness(Settings);
//!
//! impl Captioner for Brightness {
//!     type Settings = Settings;
//!     const INFO: Info = info!("example.brightness", "Brightness");
//!
//!     fn open(settings: Settings) -> Result<Self> {
//!         Ok(Self(settings))
//!     }
//!
//!     fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
//!         let one = |request: CaptionRequest| {
//!             let pixels = request.image.read(PixelFormat::L8)?;
//!             let mean = pixels.iter().map(|&p| u64::from(p)).sum::<u64>() / pixels.len().max(1) as u64;
//!             let name = if mean < u64::from(self.0.threshold) { "dark" } else { "bright" };
//!             let tag = Tag { name: name.into(), ..Tag::default() };
//!             Ok(Annotation { tags: vec![tag], ..request.known })
//!         };
//!         Ok(batch.into_iter().map(one).collect())
//!     }
//! }
//!
//! plugin_sdk::export!(Brightness: Captioner);
//!
//! // In a test: a pretend host, and the plugin as the host would open it.
//! let _host = plugin_test::FakeHost::new().install();
//! let image = plugin_test::image_from_rgb(2, 1, &[0, 0, 0, 30, 30, 30]).unwrap();
//! let mut plugin: Brightness = plugin_test::open_captioner(serde_json::json!({})).unwrap();
//! let captions = plugin.caption(vec![CaptionRequest { image, known: Annotation::default() }]).unwrap();
//! assert_eq!(captions[0].as_ref().unwrap().tags[0].name, "dark");
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(all(panic = "abort", not(target_family = "wasm")))]
compile_error!("native plugins need `panic = \"unwind\"`: a panic must become an error, not the end of the host");

// The derive writes `::plugin_sdk::…`, in this crate's own tests too.
extern crate self as plugin_sdk;

#[macro_use]
mod macros;

mod captioner;
pub mod control;
mod dataset_source;
mod evaluator;
mod export;
pub mod files;
pub mod generation;
pub mod handles;
pub mod host;
pub mod http;
pub mod images;
pub mod inference;
mod info;
pub mod natural;
mod node;
pub mod place;
pub mod storage;
mod tag_filter;
pub mod tensors;
mod wire;

#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod native;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod wasm;

pub use captioner::{CaptionRequest, Captioner};
pub use dataset_source::{DatasetSource, Item, Media, Page};
pub use evaluator::{Evaluator, Metric, MetricRow, Sample, Score};
pub use handles::Handle;
pub use images::{
    ChannelOrder, Codec, Filter, Fit, Image, Layout, Perceptual, PixelFormat, Rect, ResizeSpec, TensorSpec,
};
pub use info::Info;
#[doc(hidden)]
pub use info::{Part, describe, settings};
pub use node::{Judgement, Node, Returned};
#[doc(hidden)]
pub use node::{NodePart, node_part};
#[doc(hidden)]
pub use serde_json;
#[doc(hidden)]
pub use spec;
pub use spec::traits::Inputs;
pub use spec::{
    Annotation, ErrorKind, FromValue, Input, InputError, ObjectType, Output, PluginError as Error, PluginInfo, Role,
    Socket, Tag, Value, Values, Widget,
};
pub use spec_derive::PluginInputs as Inputs;
pub use tag_filter::{FilterRequest, TagFilter, Verdict};
pub use tensors::{Dtype, Tensor};

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

// The README's plugin is compiled, so that it stays true.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
