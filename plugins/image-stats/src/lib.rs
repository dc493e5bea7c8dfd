//! An evaluator without weights: sharpness, clipping, saturation, colours, edges and burnt pixels against the data set,
//! what the LoRA changes with and without its activation tag, and how much seeds differ.
//!
//! The numbers describe; which of them matter, and how much, is for the one who chooses. Start at [`METRICS`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod burnt;
mod compare;
mod edges;
mod leakage;
mod measure;

use burnt::Burnt;
use compare::{DataSet, Look, difference, mean_pairwise};
use leakage::Leakage;
use measure::measure;
use oklab::{Converter, Lab, histogram};
use plugin_sdk::{
    Evaluator, Filter, Fit, Image, Info, Inputs, Metric, MetricRow, PixelFormat, ResizeSpec, Result, Sample, Score,
    export, info,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Measures pictures without any model.
#[derive(Inputs)]
pub struct Settings {
    /// Pictures are shrunk to this longer side before they are measured, so that sizes can be compared.
    #[input(default = 512, range = 32..=4096)]
    size: u32,
    /// The activation tag of the LoRA, for `effect_leakage`: what it changes in prompts without the tag. Empty: the LoRA
    /// has none and should always work.
    #[input(default = "")]
    activation: String,
}

/// What is measured. The distances to the data set need its pictures, `lora_effect` the picture without the LoRA, `burnt`
/// one of both; without them these numbers are left out.
pub const METRICS: &[MetricRow] = &[
    ("sharpness", true, 0.0, 10_000.0, true, "variance of the Laplacian of the luma"),
    ("clipping", false, 0.0, 1.0, true, "share of pixels with a channel at its end, as burnt pictures have"),
    ("saturation", false, 0.0, 1.0, true, "mean saturation"),
    ("palette_distance", false, 0.0, 1.0, true, "χ² distance of the colours to those of the data set"),
    (
        "edge_distance",
        false,
        0.0,
        1.0,
        true,
        "χ² distance of the edges, by strength and direction, to those of the data set",
    ),
    (
        "burnt",
        false,
        0.0,
        1.0,
        true,
        "share of gaudy, black and white pixels beyond those of the data set and of the same seed without the LoRA",
    ),
    (
        "dataset_gap",
        false,
        0.0,
        5.0,
        true,
        "standard deviations of sharpness, clipping and saturation from the data set's",
    ),
    ("lora_effect", true, 0.0, 0.5, true, "mean OKLab difference to the same seed and prompt without the LoRA"),
    (
        "effect_leakage",
        false,
        0.0,
        1.0,
        false,
        "mean lora_effect on prompts without the activation tag over that on prompts with it",
    ),
    ("diversity", true, 0.0, 0.5, false, "mean OKLab difference between the seeds of a prompt"),
];

/// Side of the copies whose pixels are compared one by one.
const THUMB: u32 = 48;

/// The evaluator.
pub struct ImageStats {
    size: u32,
    activation: String,
    convert: Converter,
    reference: Vec<Look>,
    leakage: Leakage,
    data_set: Option<DataSet>,
    /// Small copies of the samples by prompt, checkpoint and strength.
    groups: BTreeMap<String, Vec<Vec<Lab>>>,
}

impl Evaluator for ImageStats {
    type Settings = Settings;
    const INFO: Info = Info { category: "evaluate", ..info!("anagama.image-stats", "Image statistics") };

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self {
            size: settings.size,
            activation: settings.activation.trim().to_owned(),
            leakage: Leakage::default(),
            convert: Converter::new(),
            reference: Vec::new(),
            data_set: None,
            groups: BTreeMap::new(),
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        METRICS.iter().map(Metric::from).collect()
    }

    fn reference(&mut self, images: Vec<Image>) -> Result<()> {
        // The host may show the data set in several calls.
        for image in &images {
            self.reference.push(self.look(image)?);
        }
        self.data_set = DataSet::new(&self.reference);
        Ok(())
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        batch.iter().map(|sample| self.score(sample)).collect()
    }

    fn finish(&mut self) -> Result<Vec<Score>> {
        let leakage = std::mem::take(&mut self.leakage).share().map(|share| score("effect_leakage", share));
        let groups = std::mem::take(&mut self.groups);
        let means: Vec<f64> = groups.values().filter_map(|g| mean_pairwise(g)).collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let diversity = (!means.is_empty()).then(|| score("diversity", mean));
        Ok(leakage.into_iter().chain(diversity).collect())
    }
}

impl ImageStats {
    fn score(&mut self, sample: &Sample) -> Result<Vec<Score>> {
        let look = self.look(&sample.image)?;
        let m = look.measures;
        let mut out =
            vec![score("sharpness", m.sharpness), score("clipping", m.clipping), score("saturation", m.saturation)];
        if let Some(set) = &self.data_set {
            out.push(score("palette_distance", set.palette_distance(&look.histogram)));
            out.push(score("edge_distance", set.edge_distance(&look.edges)));
            out.push(score("dataset_gap", set.gap(&m)));
        }
        let off = sample.reference.as_ref().map(|off| self.copy(off).map(|(_, _, rgb)| Burnt::of(&rgb))).transpose()?;
        let usual = self.data_set.as_ref().map(|set| set.burnt).into_iter().chain(off).reduce(Burnt::or);
        if let Some(usual) = usual {
            out.push(score("burnt", look.burnt.beyond(usual)));
        }
        let thumb = self.thumb(&sample.image)?;
        if let Some(off) = &sample.reference {
            let effect = difference(&thumb, &self.thumb(off)?);
            out.push(score("lora_effect", effect));
            if !self.activation.is_empty() {
                self.leakage.add(leakage::has(&sample.prompt, &self.activation), effect);
            }
        }
        self.groups.entry(group(sample)).or_default().push(thumb);
        Ok(out)
    }

    fn look(&self, image: &Image) -> Result<Look> {
        let (width, height, rgb) = self.copy(image)?;
        let measures = measure(width, height, &rgb);
        let small = resized(image, 2 * THUMB, Fit::Contain)?;
        let small = small.as_ref().unwrap_or(image);
        let pixels = small.read(PixelFormat::Rgb8)?;
        Ok(Look {
            measures,
            burnt: Burnt::of(&rgb),
            histogram: histogram(&self.convert.all(&pixels)),
            edges: edges::edges(small.width() as usize, small.height() as usize, &pixels),
        })
    }

    /// Width, height and R, G, B bytes of a copy that is small enough to be compared with others.
    fn copy(&self, image: &Image) -> Result<(usize, usize, Vec<u8>)> {
        let copy = resized(image, self.size, Fit::Contain)?;
        let copy = copy.as_ref().unwrap_or(image);
        Ok((copy.width() as usize, copy.height() as usize, copy.read(PixelFormat::Rgb8)?))
    }

    /// A square copy, so that pictures of any size can be compared.
    fn thumb(&self, image: &Image) -> Result<Vec<Lab>> {
        let spec = ResizeSpec { width: THUMB, height: THUMB, fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
        Ok(self.convert.all(&image.resize(&spec)?.read(PixelFormat::Rgb8)?))
    }
}

/// A copy with at most this side; none if the picture is small enough.
fn resized(image: &Image, side: u32, fit: Fit) -> Result<Option<Image>> {
    let spec = ResizeSpec { width: side, height: side, fit, filter: Filter::Area, pad_color: 0 };
    (image.width().max(image.height()) > side).then(|| image.resize(&spec)).transpose()
}

/// Samples that differ only in their seed belong together.
fn group(sample: &Sample) -> String {
    let extra = |key| sample.extra.as_ref().and_then(|e| e.get(key)).unwrap_or(&Value::Null);
    format!("{}\n{}\n{}", sample.prompt, extra("checkpoint"), extra("strength"))
}

fn score(metric: &str, value: f64) -> Score {
    Score::new(metric, value)
}

export!(ImageStats: Evaluator);

#[cfg(test)]
mod tests;
