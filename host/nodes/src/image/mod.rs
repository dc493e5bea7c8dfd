//! Pictures: reading, writing, changing.

mod image_rotate;
mod image_scale;
mod load_image;
mod pixels;
mod preview_image;
mod save_image;

use crate::Make;
use engine::node;
pub(crate) use pixels::{from_tensor, to_tensor};
pub(crate) use save_image::with_workflow;

pub(crate) const NODES: &[Make] = &[
    node::<load_image::LoadImage>,
    node::<save_image::SaveImage>,
    node::<preview_image::PreviewImage>,
    node::<image_scale::ImageScale>,
    node::<image_rotate::ImageRotate>,
];
