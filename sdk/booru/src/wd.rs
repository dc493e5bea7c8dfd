//! The file formats of the WD taggers and their kin, run by the host's `inference` interface.
//!
//! | input | pixels | scores |
//! |---|---|---|
//! | (batch, side, side, 3), WD v1.4 to v3 | BGR, 0–255 | as they are, 0..=1 |
//! | (batch, 3, side, side), newer kinds | BGR, −1…1 | logits, if any is below 0 |
//!
//! One output, a score for each row of `selected_tags.csv` or `tag_mapping.json`. Source: the model cards and demos of
//! SmilingWolf's wd-vit/convnext/swinv2-tagger-v3.

use crate::labels::{self, Label};
use crate::mapping;
use crate::scores::Scores;
use plugin_sdk::inference::{self, ModelInfo, Session};
use plugin_sdk::{ChannelOrder, Error, Filter, Image, Layout, PixelFormat, ResizeSpec, Result, Tensor, TensorSpec};

/// The host's family name of these models.
pub const FAMILY: &str = "tagger";

/// A label list: its file, and what reads it.
type List = (&'static str, fn(&str) -> std::result::Result<Vec<Label>, String>);
const LISTS: &[List] = &[("selected_tags.csv", labels::parse), ("tag_mapping.json", mapping::parse)];

/// How pictures are brought to the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// As the models' own demo.
    #[default]
    Bicubic,
    /// The mean over the covered area where a picture shrinks, as in sd-scripts; bicubic where it grows.
    Area,
}

impl Resize {
    /// As settings and [`Scores::resize`] have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bicubic => "bicubic",
            Self::Area => "area",
        }
    }

    fn filter(self, shrinks: bool) -> Filter {
        if self == Self::Area && shrinks { Filter::Area } else { Filter::CatmullRom }
    }
}

/// A loaded tagger.
pub struct Tagger {
    session: Session,
    name: String,
    weights: String,
    labels: Vec<Label>,
    /// The label list's file.
    list: &'static str,
    input: Input,
    resize: Resize,
}

/// The model's picture input.
struct Input {
    name: String,
    /// Side of the square that the model sees, in pixels.
    side: u32,
    /// Files exported with a fixed batch take exactly that many pictures.
    batch: Option<usize>,
    layout: Layout,
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
        let input = input_of(&info)?;
        let there = LISTS.iter().find(|(file, _)| info.assets.iter().any(|a| a == file));
        let Some((list, parse)) = there else {
            let files: Vec<&str> = LISTS.iter().map(|list| list.0).collect();
            return Err(Error::not_found(format!(
                "model `{name}`: expected a list of its labels beside it, {}, found {}",
                files.join(" or "),
                info.assets.join(", ")
            )));
        };
        // A configuration or list that was exchanged makes another tagger of the same weights.
        let mut weights = info.digest.clone();
        for file in info.assets.iter().filter(|a| *a == list || *a == "config.json") {
            weights.push_str(&format!(" {:016x}", hash(&session.asset(file)?)));
        }
        let labels = String::from_utf8(session.asset(list)?)
            .map_err(|_| format!("{list}: expected UTF-8"))
            .and_then(|text| parse(&text))
            .map_err(|e| Error::invalid_input(format!("model `{name}`: {e}")))?;
        Ok(Self { session, name, weights, labels, list, input, resize: Resize::default() })
    }

    /// The same tagger with another way to bring pictures to its size.
    #[must_use]
    pub fn resized(self, resize: Resize) -> Self {
        Self { resize, ..self }
    }

    /// The model's name in the host's folders.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The labels, in the order of the scores.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// What to keep of each picture: all scores from `least` on.
    ///
    /// # Errors
    /// As [`Tagger::scores`].
    pub fn judge(&self, images: &[&Image], least: f32) -> Result<Vec<Scores>> {
        let all = self.scores(images)?;
        let one = |(image, scores): (&&Image, Vec<f32>)| Scores {
            weights: self.weights.clone(),
            picture: image.digest(),
            resize: self.resize.name().to_owned(),
            ..Scores::new(&self.labels, &scores, least)
        };
        Ok(images.iter().zip(all).map(one).collect())
    }

    /// Are these this tagger's scores of this picture, down to `least`?
    pub fn gave(&self, scores: &Scores, image: &Image, least: f32) -> bool {
        scores.weights == self.weights
            && scores.resize == self.resize.name()
            && scores.least <= least
            && scores.picture == image.digest()
    }

    /// Scores in 0..=1, one list per picture, one score per label.
    ///
    /// # Errors
    /// The host could not read a picture or run the model.
    pub fn scores(&self, images: &[&Image]) -> Result<Vec<Vec<f32>>> {
        let Input { name, side, batch: fixed, layout } = &self.input;
        let mut out = Vec::with_capacity(images.len());
        for part in images.chunks(fixed.unwrap_or(images.len()).max(1)) {
            let mut batch = part.iter().map(|image| self.prepare(image)).collect::<Result<Vec<_>>>()?;
            // A file with a fixed batch of 4 also gets 4 pictures when only 3 are left: the last one again.
            while fixed.is_some_and(|n| batch.len() < n) {
                let last = batch.last().map(Tensor::share).transpose()?;
                batch.extend(last);
            }
            let tensor = Tensor::stack(&batch.iter().collect::<Vec<_>>())?;
            debug_assert_eq!(tensor.shape()[0], batch.len() as u32, "{side}");
            let result = self.session.run(&[(name, &tensor)])?;
            let mut values = match result.first() {
                Some((_, scores)) => scores.read_f32()?, // (b, labels)
                None => Vec::new(),
            };
            // Of thousands of labels most are absent: without one logit below 0 these are no logits.
            if *layout == Layout::Nchw
                && values.iter().any(|v| *v < 0.0)
                && let Some((_, logits)) = result.first()
            {
                values = logits.sigmoid()?.read_f32()?;
            }
            let expected = batch.len() * self.labels.len();
            if values.len() != expected {
                return Err(Error::invalid_input(format!(
                    "expected {expected} scores ({} pictures × {} rows of {}), found {}; do model and list belong together?",
                    batch.len(),
                    self.labels.len(),
                    self.list,
                    values.len()
                )));
            }
            out.extend(values.chunks(self.labels.len()).take(part.len()).map(<[f32]>::to_vec));
        }
        Ok(out)
    }

    /// Alpha on white, centred on a white square, brought to the model's size, BGR: (side, side, 3) or (3, side, side).
    fn prepare(&self, image: &Image) -> Result<Tensor> {
        let (width, height) = (image.width(), image.height());
        let plain = image.format() != PixelFormat::Rgba8 && width == height;
        let square = if plain { None } else { Some(white_square(image)?) };
        let (from, side, layout) = (width.max(height), self.input.side, self.input.layout);
        let filter = self.resize.filter(side < from);
        let (middle, spread) = if layout == Layout::Nchw { (127.5, 127.5) } else { (0.0, 1.0) };
        let spec = TensorSpec {
            // A picture of the right size must arrive untouched.
            resize: (from != side).then(|| ResizeSpec { filter, ..ResizeSpec::stretch(side, side) }),
            layout,
            order: ChannelOrder::Bgr,
            scale: 1.0,
            mean: [middle; 3],
            std: [spread; 3],
            ..TensorSpec::default()
        };
        let shape = if layout == Layout::Nchw { [3, side, side] } else { [side, side, 3] };
        square.as_ref().unwrap_or(image).to_tensor(&spec)?.reshape(&shape)
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

/// FNV-1a: tells files apart that nobody made to be mixed up.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

fn only_tagger() -> Result<String> {
    let mut names: Vec<String> =
        inference::models()?.into_iter().filter(|m| m.family == FAMILY).map(|m| m.name).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(Error::not_found(
            "no tagger is installed; put a folder with a model and its selected_tags.csv into models/taggers",
        )),
        _ => Err(Error::invalid_input(format!(
            "several taggers are installed; set `model` to one of {}",
            names.join(", ")
        ))),
    }
}

fn input_of(info: &ModelInfo) -> Result<Input> {
    let refuse = |found: String| {
        Err(Error::unsupported(format!(
            "model `{}`: expected one float input (batch, side, side, 3) or (batch, 3, side, side) as WD taggers have, \
             found {found}",
            info.name
        )))
    };
    let [input] = info.inputs.as_slice() else { return refuse(format!("{} inputs", info.inputs.len())) };
    let (batch, side, layout) = match input.shape.as_slice() {
        [batch, Some(h), Some(w), Some(3)] if h == w => (batch, *h, Layout::Nhwc),
        [batch, Some(3), Some(h), Some(w)] if h == w => (batch, *h, Layout::Nchw),
        shape => {
            let shape: Vec<_> = shape.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
            return refuse(format!("`{}` of shape ({})", input.name, shape.join(", ")));
        }
    };
    Ok(Input { name: input.name.clone(), side, batch: batch.map(|b| b as usize), layout })
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
        FakeModel::new("taggers/t").asset("selected_tags.csv", b"name,category\na,0\n").input(input).run(
            move |inputs| {
                let array = &inputs[0].1;
                assert!(batch.is_none_or(|b| array.shape[0] == b), "fixed batch: {:?}", array.shape);
                let first: Vec<f32> =
                    array.data.chunks_exact(array.data.len() / array.shape[0] as usize).map(|i| i[0]).collect();
                Ok(vec![("output".into(), Array::new(&[first.len() as u32, 1], first)?)])
            },
        )
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
        let bare = FakeModel::new("taggers/t").input(IoDesc {
            name: "input".into(),
            dtype: Dtype::Float32,
            shape: vec![None, Some(2), Some(2), Some(3)],
        });
        let _host = FakeHost::new().model(bare).install();
        let no_list = Tagger::load("taggers/t").err().unwrap().message;
        assert!(no_list.contains("selected_tags.csv or tag_mapping.json"), "{no_list}");
        assert!(e.contains("`input` of shape (?, ?, ?, 3)"), "{e}");
    }

    /// Channels first, centred on 0, and logits: the newer kinds.
    #[test]
    fn newer_layouts_see_other_numbers_and_give_logits() {
        let input = IoDesc { name: "x".into(), dtype: Dtype::Float32, shape: vec![None, Some(3), Some(2), Some(2)] };
        let list = br#"{"0": {"tag": "blue", "category": "General"}, "1": {"tag": "dark", "category": "Meta"}}"#;
        let model = |logits: bool| {
            FakeModel::new("taggers/t").asset("tag_mapping.json", list).input(input.clone()).run(move |inputs| {
                let data = &inputs[0].1.data;
                // Blue comes first: its plane, then the others.
                assert_eq!(data.len(), 12);
                let (blue, red) = (data[0], data[8]);
                let out = if logits { vec![blue * 4.0, -2.0] } else { vec![(blue + 1.0) / 2.0, (red + 1.0) / 2.0] };
                Ok(vec![("y".into(), Array::new(&[1, 2], out)?)])
            })
        };
        let blue = [0_u8, 0, 255].repeat(4);
        for (logits, wanted) in [(true, [0.982_013_8, 0.119_202_92]), (false, [1.0, 0.0])] {
            let _host = FakeHost::new().model(model(logits)).install();
            let image = image_from_rgb(2, 2, &blue).unwrap();
            let scores = Tagger::load("taggers/t").unwrap().scores(&[&image]).unwrap().remove(0);
            assert!(scores.iter().zip(wanted).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{scores:?}");
        }
    }

    #[test]
    fn kept_scores_are_taken_for_the_same_picture_and_model_only() {
        let _host = FakeHost::new().model(model(None, Some(2))).install();
        let tagger = Tagger::load("auto").unwrap();
        let images: Vec<Image> = [0, 1].map(|v| image_from_rgb(2, 2, &[v; 12]).unwrap()).into();
        let kept = tagger.judge(&[&images[1]], 0.05).unwrap().remove(0);
        assert!(tagger.gave(&kept, &images[1], 0.05) && tagger.gave(&kept, &images[1], 0.5));
        assert!(!tagger.gave(&kept, &images[0], 0.05) && !tagger.gave(&kept, &images[1], 0.04));
        let other = Scores { weights: "another".into(), ..kept.clone() };
        assert!(!tagger.gave(&other, &images[1], 0.05));
        assert!(!tagger.resized(Resize::Area).gave(&kept, &images[1], 0.05));
        let renamed = FakeModel::new("taggers/t").asset("selected_tags.csv", b"name,category\nb,0\n");
        let input =
            IoDesc { name: "input".into(), dtype: Dtype::Float32, shape: vec![None, Some(2), Some(2), Some(3)] };
        let _host = FakeHost::new().model(renamed.input(input)).install();
        let image = image_from_rgb(2, 2, &[1; 12]).unwrap();
        assert!(!Tagger::load("auto").unwrap().gave(&kept, &image, 0.05), "the label has another name");
    }
}
