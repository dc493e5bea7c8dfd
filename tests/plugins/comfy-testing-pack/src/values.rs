//! Pictures, masks and sockets as the nodes of the pack take and give them.

use plugin_sdk::spec::Behaviour;
use plugin_sdk::{Error, FromValue, Image, Output, PixelFormat, Result, Returned, Socket, Tensor, Value};
use std::sync::Arc;

/// An output of this type.
pub(crate) fn out(socket: &str) -> Output {
    Output { name: socket.into(), socket: Socket::from_name(socket), is_list: false, tooltip: None }
}

/// An output that is a list.
pub(crate) fn list(socket: &str) -> Output {
    Output { is_list: true, ..out(socket) }
}

/// Results of tests are worth no place in the store.
pub(crate) fn plain() -> Behaviour {
    Behaviour { memory_only: true, ..Behaviour::default() }
}

/// One value as all that a node gives.
pub(crate) fn one(value: impl Into<Value>) -> Result<Returned> {
    Ok(vec![value.into()].into())
}

pub(crate) fn null() -> Value {
    Value::Data(plugin_sdk::serde_json::Value::Null)
}

/// The pictures of a batch.
pub(crate) struct Batch(pub(crate) Vec<Arc<Image>>);

impl FromValue for Batch {
    fn socket() -> Socket {
        Socket::Image
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        Vec::<Arc<Image>>::from_value(value).map(Self)
    }
}

impl From<Batch> for Value {
    fn from(batch: Batch) -> Self {
        let mut items: Vec<Value> =
            batch.0.into_iter().map(|image| Self::Object(plugin_sdk::spec::Object::new(image))).collect();
        if items.len() == 1 { items.remove(0) } else { Self::List(items) }
    }
}

/// A picture of one brightness, 0…1.
pub(crate) fn solid(value: f64, width: u32, height: u32) -> Result<Arc<Image>> {
    let pixels = vec![level(value); width as usize * height as usize * 3];
    Ok(Arc::new(Image::from_pixels(width, height, PixelFormat::Rgb8, &pixels)?))
}

/// The 512 px square that most nodes of the pack make.
pub(crate) fn square(value: f64) -> Result<Value> {
    Ok(Batch(vec![solid(value, 512, 512)?]).into())
}

/// Rounded down, as a picture is saved.
fn level(value: f64) -> u8 {
    (value * 255.0).clamp(0.0, 255.0) as u8
}

impl Batch {
    /// Each picture's channels through a function of 0…1.
    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Result<Self> {
        let one = |image: &Arc<Image>| {
            let pixels: Vec<u8> =
                image.read(PixelFormat::Rgb8)?.iter().map(|&p| level(f(f64::from(p) / 255.0))).collect();
            Ok(Arc::new(Image::from_pixels(image.width(), image.height(), PixelFormat::Rgb8, &pixels)?))
        };
        self.0.iter().map(one).collect::<Result<_>>().map(Self)
    }

    /// The mean of batches of one size, picture by picture.
    pub(crate) fn mean(batches: &[Self]) -> Result<Self> {
        let count = batches.first().map_or(0, |b| b.0.len());
        if batches.iter().any(|b| b.0.len() != count) {
            return Err(Error::invalid_input("stack expects each batch to be equal size"));
        }
        let one = |i: usize| {
            let images: Vec<&Arc<Image>> = batches.iter().map(|b| &b.0[i]).collect();
            let (width, height) = same_size(&images)?;
            let mut sums = vec![0_u32; width as usize * height as usize * 3];
            for image in &images {
                for (sum, pixel) in sums.iter_mut().zip(image.read(PixelFormat::Rgb8)?) {
                    *sum += u32::from(pixel);
                }
            }
            let pixels: Vec<u8> = sums.into_iter().map(|s| (s / images.len() as u32) as u8).collect();
            Ok(Arc::new(Image::from_pixels(width, height, PixelFormat::Rgb8, &pixels)?))
        };
        (0..count).map(one).collect::<Result<_>>().map(Self)
    }
}

/// The size that all pictures have.
pub(crate) fn same_size(images: &[&Arc<Image>]) -> Result<(u32, u32)> {
    let sizes: Vec<(u32, u32)> = images.iter().map(|i| (i.width(), i.height())).collect();
    match sizes.first() {
        Some(&first) if sizes.iter().all(|s| *s == first) => Ok(first),
        _ => Err(Error::invalid_input(format!("pictures must have one size, found {sizes:?}"))),
    }
}

/// A mask: how much, 0…1.
pub(crate) struct Mask(pub(crate) Arc<Tensor>);

impl FromValue for Mask {
    fn socket() -> Socket {
        Socket::Mask
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        value.as_object().map(Self).ok_or_else(|| format!("expected MASK, found {}", value.describe()))
    }
}

impl Mask {
    pub(crate) fn values(&self) -> Result<Vec<f32>> {
        self.0.read_f32()
    }
}

/// Takes a picture or a number.
pub(crate) enum Factor {
    Number(f64),
    Picture(Batch),
}

impl FromValue for Factor {
    fn socket() -> Socket {
        Socket::from_name("IMAGE,FLOAT")
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Data(_) => f64::from_value(value).map(Self::Number),
            _ => Batch::from_value(value).map(Self::Picture),
        }
    }
}
