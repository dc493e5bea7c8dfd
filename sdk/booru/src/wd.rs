//! The file format of the WD taggers (v1.4 to v3), run by the host's `inference` interface.
//!
//! `model.onnx`: one input, float32 NHWC, BGR, 0–255, square; one output, a score in 0..=1 for each row of
//! `selected_tags.csv`. Source: the model cards and demos of SmilingWolf's wd-vit/convnext/swinv2-tagger-v3.

use crate::labels::{self, Label};
use plugin_sdk::inference::{self, ModelInfo, Session};
use plugin_sdk::{ChannelOrder, Error, Image, Layout, PixelFormat, ResizeSpec, Result, Tensor, TensorSpec};

/// The host's family name of these models.
pub const FAMILY: &str = "tagger";
const LABELS: &str = "selected_tags.csv";

/// A loaded tagger.
pub struct Tagger {
    session: Session,
    labels: Vec<Label>,
    input: String,
    /// Side of the square that the model sees, in pixels.
    size: u32,
    /// Files exported with a fixed batch take exactly that many pictures.
    fixed_batch: Option<usize>,
}

impl Tagger {
    /// Loads the model of this name; `auto` or an empty name takes the host's only tagger.
    ///
    /// # Errors
    /// There is no such model, it was not granted, or its shapes or label list are not those of a WD tagger.
    pub fn load(model: &str) -> Result<Self> {
        let name = if matches!(model, "" | "auto") { only_tagger()? } else { model.to_owned() };
        let session = inference::load(&name, None)?;
        let info = session.info()?;
        let (input, size, fixed_batch) = input_of(&info)?;
        let csv = session.asset(LABELS)?;
        let labels = String::from_utf8(csv)
            .map_err(|_| "label list: expected UTF-8".to_owned())
            .and_then(|csv| labels::parse(&csv))
            .map_err(|e| Error::invalid_input(format!("model `{name}`: {e}")))?;
        Ok(Self { session, labels, input, size, fixed_batch })
    }

    /// The labels, in the order of the scores.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Scores in 0..=1, one list per picture, one score per label.
    ///
    /// # Errors
    /// The host could not read a picture or run the model.
    pub fn scores(&self, images: &[&Image]) -> Result<Vec<Vec<f32>>> {
        let mut out = Vec::with_capacity(images.len());
        for part in images.chunks(self.fixed_batch.unwrap_or(images.len()).max(1)) {
            let mut batch = part.iter().map(|image| self.prepare(image)).collect::<Result<Vec<_>>>()?;
            // A file with a fixed batch of 4 also gets 4 pictures when only 3 are left: the last one again.
            while self.fixed_batch.is_some_and(|n| batch.len() < n) {
                let last = batch.last().map(Tensor::share).transpose()?;
                batch.extend(last);
            }
            let side = self.size;
            let tensor = Tensor::stack(&batch.iter().collect::<Vec<_>>())?; // (b, side, side, 3)
            debug_assert_eq!(tensor.shape(), [batch.len() as u32, side, side, 3]);
            let result = self.session.run(&[(&self.input, &tensor)])?;
            let values = match result.first() {
                Some((_, scores)) => scores.read_f32()?, // (b, labels)
                None => Vec::new(),
            };
            let expected = batch.len() * self.labels.len();
            if values.len() != expected {
                return Err(Error::invalid_input(format!(
                    "expected {expected} scores ({} pictures × {} rows of {LABELS}), found {}; do model and list belong together?",
                    batch.len(),
                    self.labels.len(),
                    values.len()
                )));
            }
            out.extend(values.chunks(self.labels.len()).take(part.len()).map(<[f32]>::to_vec));
        }
        Ok(out)
    }

    /// Alpha on white, centred on a white square, bicubic to the model's size, BGR, 0–255: (side, side, 3).
    fn prepare(&self, image: &Image) -> Result<Tensor> {
        let (width, height) = (image.width(), image.height());
        let plain = image.format() != PixelFormat::Rgba8 && width == height;
        let square = if plain { None } else { Some(white_square(image)?) };
        let spec = TensorSpec {
            // A picture of the right size must arrive untouched.
            resize: (width.max(height) != self.size).then(|| ResizeSpec::stretch(self.size, self.size)),
            layout: Layout::Nhwc,
            order: ChannelOrder::Bgr,
            scale: 1.0,
            ..TensorSpec::default()
        };
        square.as_ref().unwrap_or(image).to_tensor(&spec)?.reshape(&[self.size, self.size, 3])
    }
}

/// The picture on a white square of its longer side, as Pillow's `paste` with an alpha mask puts it there.
fn white_square(image: &Image) -> Result<Image> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let side = width.max(height);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    let rgba = image.read(PixelFormat::Rgba8)?;
    let mut out = vec![255_u8; side * side * 3];
    for (y, row) in rgba.chunks_exact(width * 4).enumerate() {
        let from = ((y + top) * side + left) * 3;
        for (to, p) in out[from..from + width * 3].chunks_exact_mut(3).zip(row.chunks_exact(4)) {
            for c in 0..3 {
                to[c] = over_white(p[c], p[3]);
            }
        }
    }
    Image::from_pixels(side as u32, side as u32, PixelFormat::Rgb8, &out)
}

/// Pillow's rounding: (v·a + 255·(255−a)) / 255 to the nearest, in integers.
fn over_white(value: u8, alpha: u8) -> u8 {
    let sum = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 128;
    (((sum >> 8) + sum) >> 8) as u8
}

fn only_tagger() -> Result<String> {
    let mut names: Vec<String> =
        inference::models()?.into_iter().filter(|m| m.family == FAMILY).map(|m| m.name).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(Error::not_found(
            "no tagger is installed; put a folder with model.onnx and selected_tags.csv into models/taggers",
        )),
        _ => Err(Error::invalid_input(format!(
            "several taggers are installed; set `model` to one of {}",
            names.join(", ")
        ))),
    }
}

/// Name, side and fixed batch of the model's picture input.
fn input_of(info: &ModelInfo) -> Result<(String, u32, Option<usize>)> {
    let refuse = |found: String| {
        Err(Error::unsupported(format!(
            "model `{}`: expected one float input (batch, side, side, 3) as WD taggers have, found {found}",
            info.name
        )))
    };
    let [input] = info.inputs.as_slice() else { return refuse(format!("{} inputs", info.inputs.len())) };
    match input.shape.as_slice() {
        [batch, Some(h), Some(w), Some(3)] if h == w => Ok((input.name.clone(), *h, batch.map(|b| b as usize))),
        shape => {
            let shape: Vec<_> = shape.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
            refuse(format!("`{}` of shape ({})", input.name, shape.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::Dtype;
    use plugin_sdk::inference::IoDesc;
    use plugin_test::{Array, FakeHost, FakeModel, image_from_rgb};

    #[test]
    fn alpha_on_white() {
        assert_eq!(over_white(0, 0), 255);
        assert_eq!(over_white(10, 255), 10);
        assert_eq!(over_white(0, 128), 127);
        for (v, a) in (0..=255_u8).flat_map(|v| [0, 1, 77, 200, 254].map(|a| (v, a))) {
            let exact = (f64::from(v) * f64::from(a) + 255.0 * (255.0 - f64::from(a))) / 255.0;
            assert_eq!(f64::from(over_white(v, a)), exact.round(), "{v} {a}");
        }
    }

    fn model(batch: Option<u32>, side: Option<u32>) -> FakeModel {
        let shape = vec![batch, side, side, Some(3)];
        let input = IoDesc { name: "input".into(), dtype: Dtype::Float32, shape };
        FakeModel::new("taggers/t").asset(LABELS, b"name,category\na,0\n").input(input).run(move |inputs| {
            let array = &inputs[0].1;
            assert!(batch.is_none_or(|b| array.shape[0] == b), "fixed batch: {:?}", array.shape);
            let first: Vec<f32> =
                array.data.chunks_exact(array.data.len() / array.shape[0] as usize).map(|i| i[0]).collect();
            Ok(vec![("output".into(), Array::new(&[first.len() as u32, 1], first)?)])
        })
    }

    #[test]
    fn a_fixed_batch_is_filled_up() {
        let _host = FakeHost::new().model(model(Some(2), Some(2))).install();
        let tagger = Tagger::load("auto").unwrap();
        let images: Vec<Image> = (0..3).map(|v| image_from_rgb(2, 2, &[v; 12]).unwrap()).collect();
        let scores = tagger.scores(&images.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(scores, [[0.0], [1.0], [2.0]]);
        assert!(tagger.scores(&[]).unwrap().is_empty());
    }

    #[test]
    fn other_models_are_refused() {
        let _host = FakeHost::new().model(model(None, None)).install();
        let e = Tagger::load("taggers/t").err().unwrap().message;
        assert!(e.contains("expected one float input (batch, side, side, 3)"), "{e}");
        assert!(e.contains("`input` of shape (?, ?, ?, 3)"), "{e}");
    }
}
