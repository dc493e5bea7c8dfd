use super::resize::way;
use crate::types::ImageBatch;
use anyhow::bail;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts pictures into one batch; all are brought to the size of the first. Opaque ones get an alpha channel if others
/// have one.
#[derive(Inputs)]
pub(crate) struct BatchImagesNode {
    /// The pictures, in the order of their numbers.
    #[input(grow = "image", count = 2..=50)]
    images: Vec<Arc<ImageBatch>>,
}

impl TypedNode for BatchImagesNode {
    const ID: &'static str = "BatchImagesNode";
    const CATEGORY: &'static str = "image/batch";
    const DISPLAY_NAME: &'static str = "Batch Images";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let mut pixels = Vec::new();
        for batch in &self.images {
            pixels.extend(batch.with_alpha()?);
        }
        if pixels.iter().any(|p| p.dims()[0] == 4) {
            for opaque in pixels.iter_mut().filter(|p| p.dims()[0] == 3) {
                *opaque = Tensor::cat(&[&*opaque, &opaque.narrow(0, 0, 1)?.ones_like()?], 0)?;
            }
        }
        let Some(first) = pixels.first() else { bail!("no pictures") };
        let (_, h, w) = first.dims3()?;
        let way = way("bilinear")?;
        for picture in &mut pixels {
            ctx.check_cancelled()?;
            if picture.dims()[1..] != [h, w] {
                *picture = way.resize(&picture.unsqueeze(0)?, h, w, true)?.squeeze(0)?;
            }
        }
        Ok(Arc::new(ImageBatch::from_pixels(pixels)?))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use crate::types::ImageBatch;
    use data::{Image, PixelFormat};
    use std::sync::Arc;

    fn grey(side: u32, value: u8, format: PixelFormat) -> Arc<ImageBatch> {
        let bytes = vec![value; (side * side) as usize * format.channels()];
        Arc::new(ImageBatch::new(vec![Image::new(side, side, format, bytes).unwrap()]))
    }

    #[test]
    fn all_get_the_size_of_the_first_and_the_order_is_that_of_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let images: Vec<_> = (0..11).map(|n| grey(2 + n % 2, 20 * n as u8, PixelFormat::Rgb8)).collect();
        let names: Vec<String> = (0..11).map(|n| format!("images.image{n}")).collect();
        let inputs = names.iter().zip(&images).map(|(name, image)| (name.as_str(), value(image))).collect();
        let batch = output::<ImageBatch>(&run(&ctx, "BatchImagesNode", inputs).unwrap(), 0);
        assert_eq!(batch.images().len(), 11);
        for (n, image) in batch.images().iter().enumerate() {
            assert_eq!((image.width, image.height), (2, 2));
            assert!(image.pixels[0].abs_diff(20 * n as u8) <= 1, "picture {n} is {}", image.pixels[0]);
        }
        let one = run(&ctx, "BatchImagesNode", vec![("images.image0", value(&images[0]))]).unwrap_err();
        assert!(one.to_string().contains("expected 2 to 50 links, found 1"), "{one}");
    }

    #[test]
    fn opaque_pictures_get_an_alpha_channel_beside_clear_ones() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let (opaque, clear) = (grey(2, 50, PixelFormat::Rgb8), grey(2, 100, PixelFormat::Rgba8));
        let inputs = vec![("images.image0", value(&opaque)), ("images.image1", value(&clear))];
        let batch = output::<ImageBatch>(&run(&ctx, "BatchImagesNode", inputs).unwrap(), 0);
        let first: Vec<_> = batch.images().iter().map(|i| i.pixels[..4].to_vec()).collect();
        assert_eq!(first, [[50, 50, 50, 255], [100, 100, 100, 100]]);
    }
}
