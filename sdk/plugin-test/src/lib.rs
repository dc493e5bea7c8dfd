//! A pretend host: images, tensors, models, files and pages in memory, to test plugins with plain `cargo test`.
//!
//! It computes as simply as possible: resizing is box sampling, there are no image codecs but its own `PIXELS` format
//! (see [`encode`]), models are closures. Start at [`FakeHost`]; [`fuzz`] makes inputs that are almost right.
//!
//! ```
//! let host = plugin_test::FakeHost::new().file("images", "1.txt", b"tree").seed(7).install();
//! assert_eq!(plugin_sdk::control::seed(), 7);
//! assert_eq!(plugin_sdk::files::read("images", "1.txt", 100)?, b"tree");
//! assert!(host.logs().is_empty());
//! # Ok::<(), plugin_sdk::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod fuzz;
mod host;
mod images;
mod model;
mod open;
mod tensors;

pub use host::{FakeHost, Running};
pub use images::{encode, image_from_rgb};
pub use model::FakeModel;
pub use open::{annotation, open_captioner, open_dataset_source, open_evaluator, open_tag_filter, run_node};
pub use tensors::{Array, map};
