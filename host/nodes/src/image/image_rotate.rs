use crate::types::ImageBatch;
use anyhow::{Result, bail};
use data::Image;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns pictures clockwise.
#[derive(Inputs)]
pub(crate) struct ImageRotate {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How far.
    #[input(default = "none", options = TURNS)]
    rotation: String,
}

const TURNS: [&str; 4] = ["none", "90 degrees", "180 degrees", "270 degrees"];

impl TypedNode for ImageRotate {
    const ID: &'static str = "ImageRotate";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Rotate Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> Result<Self::Output> {
        let Some(turns) = TURNS.iter().position(|t| *t == self.rotation) else {
            bail!("unknown rotation `{}`", self.rotation);
        };
        let turned = self.image.0.iter().map(|image| {
            let mut image = image.clone();
            for _ in 0..turns {
                image = quarter(&image)?;
            }
            Ok(image)
        });
        Ok(Arc::new(ImageBatch(turned.collect::<Result<_>>()?)))
    }
}

/// A quarter clockwise: the left column, from below, becomes the top row.
fn quarter(image: &Image) -> Result<Image> {
    let (w, h, n) = (image.width as usize, image.height as usize, image.format.channels());
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for x in 0..w {
        for y in (0..h).rev() {
            let at = (y * w + x) * n;
            pixels.extend_from_slice(&image.pixels[at..at + n]);
        }
    }
    let turned = Image::new(image.height, image.width, image.format, pixels)?;
    Ok(Image { metadata: image.metadata.clone(), ..turned })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::PixelFormat;

    #[test]
    fn turns_clockwise() {
        // 1 2 3      4 1
        // 4 5 6  →   5 2
        //            6 3
        let image = Image::new(3, 2, PixelFormat::L8, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let turned = quarter(&image).unwrap();
        assert_eq!((turned.width, turned.height, &turned.pixels[..]), (2, 3, &[4, 1, 5, 2, 6, 3][..]));
    }
}
