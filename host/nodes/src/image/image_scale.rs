use super::resize::{resize_each, way_names};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Changes the size of pictures.
#[derive(Inputs)]
pub(crate) struct ImageScale {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How neighbouring pixels are mixed.
    #[input(default = "nearest-exact", options = way_names())]
    upscale_method: String,
    /// New width in pixels; 0 keeps the shape.
    #[input(default = 512, range = 0..=16384)]
    width: u32,
    /// New height in pixels; 0 keeps the shape.
    #[input(default = 512, range = 0..=16384)]
    height: u32,
    /// Cut off what does not fit the new shape, instead of stretching.
    #[input(default = "disabled", options = ["disabled", "center"])]
    crop: String,
}

impl TypedNode for ImageScale {
    const ID: &'static str = "ImageScale";
    const CATEGORY: &'static str = "image/upscaling";
    const DISPLAY_NAME: &'static str = "Upscale Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        resize_each(ctx, &self.image, &self.upscale_method, self.crop == "center", |w, h| {
            size((w, h), self.width as usize, self.height as usize)
        })
    }
}

/// The new size; a side of 0 follows from the other. None if both are.
pub(super) fn size((w, h): (usize, usize), width: usize, height: usize) -> Option<(usize, usize)> {
    let follow = |n: usize, of: usize, to: usize| ((n * to) as f64 / of as f64).round_ties_even().max(1.0) as usize;
    match (width, height) {
        (0, 0) => None,
        (0, height) => Some((follow(w, h, height), height)),
        (width, 0) => Some((width, follow(h, w, width))),
        both => Some(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_of_zero_keeps_the_shape() {
        assert_eq!(size((4, 2), 0, 0), None);
        assert_eq!(size((4, 2), 0, 3), Some((6, 3)));
        assert_eq!(size((4, 2), 6, 0), Some((6, 3)));
        assert_eq!(size((4, 2), 5, 5), Some((5, 5)));
    }
}
