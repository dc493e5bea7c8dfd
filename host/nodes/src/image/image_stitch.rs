use super::resize::{bordered, way};
use crate::types::ImageBatch;
use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts pictures beside each other.
#[derive(Inputs)]
pub(crate) struct ImageStitch {
    /// The first pictures.
    image1: Arc<ImageBatch>,
    /// Where the second ones stand.
    #[input(default = "right", options = ["right", "down", "left", "up"])]
    direction: String,
    /// Bring the second to the height of the first, or to its width if they stand above each other; else both get a
    /// border.
    #[input(default = true)]
    match_image_size: bool,
    /// Pixels between them; an odd number is one more.
    #[input(default = 0, range = 0..=1024, step = 2)]
    spacing_width: u32,
    /// Colour of those pixels. Borders are white or black.
    #[input(default = "white", options = ["white", "black", "red", "green", "blue"])]
    spacing_color: String,
    /// The second pictures; of fewer, the last one is repeated.
    image2: Option<Arc<ImageBatch>>,
}

impl TypedNode for ImageStitch {
    const ID: &'static str = "ImageStitch";
    const CATEGORY: &'static str = "image/transform";
    const DISPLAY_NAME: &'static str = "Image Stitch";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let Some(image2) = &self.image2 else { return Ok(self.image1) };
        let (first, second) = (self.image1.pixels()?, image2.pixels()?);
        let (Some(last1), Some(last2)) = (first.last(), second.last()) else { bail!("no pictures to stitch") };
        let mut stitched = Vec::new();
        for n in 0..first.len().max(second.len()) {
            ctx.check_cancelled()?;
            stitched.push(self.pair(first.get(n).unwrap_or(last1), second.get(n).unwrap_or(last2))?);
        }
        Ok(Arc::new(ImageBatch::from_pixels(stitched)?))
    }
}

impl ImageStitch {
    /// Of pictures (3, h, w).
    fn pair(&self, first: &Tensor, second: &Tensor) -> Result<Tensor> {
        let wide = matches!(self.direction.as_str(), "right" | "left");
        // The axis that they share: 1 is the height, 2 the width.
        let (along, across) = if wide { (2, 1) } else { (1, 2) };
        let (mut first, mut second) = (first.clone(), second.clone());
        let length = if self.match_image_size {
            let ((_, h1, w1), (_, h2, w2)) = (first.dims3()?, second.dims3()?);
            let shape = w2 as f64 / h2 as f64;
            let (width, height) =
                if wide { ((h1 as f64 * shape) as usize, h1) } else { (w1, (w1 as f64 / shape) as usize) };
            second = way("lanczos")?.resize(&second.unsqueeze(0)?, height, width, false)?.squeeze(0)?;
            first.dim(across)?
        } else {
            first.dim(across)?.max(second.dim(across)?)
        };
        let border = if self.spacing_color == "white" { 1.0 } else { 0.0 };
        first = pad(&first, across, length, border)?;
        second = pad(&second, across, length, border)?;
        let spacing = (self.spacing_width + self.spacing_width % 2) as usize;
        let between = self.between(if wide { (length, spacing) } else { (spacing, length) })?;
        let (a, b) = if matches!(self.direction.as_str(), "left" | "up") { (second, first) } else { (first, second) };
        let parts = if spacing == 0 { vec![a, b] } else { vec![a, between, b] };
        Ok(Tensor::cat(&parts, along)?)
    }

    fn between(&self, (h, w): (usize, usize)) -> Result<Tensor> {
        let colour = match self.spacing_color.as_str() {
            "white" => [1f32; 3],
            "red" => [1.0, 0.0, 0.0],
            "green" => [0.0, 1.0, 0.0],
            "blue" => [0.0, 0.0, 1.0],
            _ => [0.0; 3],
        };
        Ok(Tensor::from_slice(&colour, (3, 1, 1), &Device::Cpu)?.repeat((1, h, w))?)
    }
}

/// The picture (3, h, w) in the middle of `length` along the axis; what is odd comes after it.
fn pad(picture: &Tensor, axis: usize, length: usize, value: f64) -> Result<Tensor> {
    let more = length - picture.dim(axis)?;
    let (here, none) = ((more / 2, more - more / 2), (0, 0));
    if axis == 1 { bordered(picture, here, none, value) } else { bordered(picture, none, here, value) }
}
