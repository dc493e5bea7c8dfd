//! @DESCRIPTION@.

use plugin_sdk::{Image, Info, Inputs, Node, Output, PixelFormat, Result, Returned, Socket, Value, export, info};
use std::sync::Arc;

/// Turns light into dark.
#[derive(Inputs)]
pub struct Invert {
    /// The picture.
    image: Arc<Image>,
    /// How much of it.
    #[input(default = 1.0, range = 0.0..=1.0)]
    strength: f64,
}

impl Node for Invert {
    type Inputs = Self;
    const INFO: Info = info!("@ID@", "@TITLE@");

    fn outputs() -> Vec<Output> {
        vec![Output { name: "image".into(), socket: Socket::Image, is_list: false, tooltip: None }]
    }

    fn run(inputs: Self) -> Result<Returned> {
        let invert = |p: u8| {
            let light = f64::from(p);
            (light + (255.0 - 2.0 * light) * inputs.strength).round() as u8
        };
        let mut pixels = inputs.image.read(PixelFormat::Rgb8)?;
        pixels.iter_mut().for_each(|p| *p = invert(*p));
        let (width, height) = (inputs.image.width(), inputs.image.height());
        Ok(vec![Value::object(Image::from_pixels(width, height, PixelFormat::Rgb8, &pixels)?)].into())
    }
}

export!(Invert: Node);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_becomes_black() {
        let _host = plugin_test::FakeHost::new().install();
        let white = plugin_test::image_from_rgb(1, 1, &[255, 255, 255]).unwrap();
        let out = plugin_test::run_node::<Invert>([("image", Value::object(white))]).unwrap();
        let image = out[0].as_object::<Image>().unwrap();
        assert_eq!(image.read(PixelFormat::Rgb8).unwrap(), [0, 0, 0]);
    }
}
