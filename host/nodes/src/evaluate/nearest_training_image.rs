use super::rows;
use crate::dataset::on_all_cores;
use crate::files;
use crate::types::{Cell, Grid, MetricInfo, Scores};
use anyhow::bail;
use data::duplicates::{Limits, Print, nearest};
use data::{Dataset, DecodeLimits, Filter, Fit, Image, Item, ResizeSpec};
use engine::{Context, Level, Outputs, TypedNode, WithUi};
use serde_json::{Value, json};
use spec::Inputs;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Finds the training picture that each picture of a grid is most like. A LoRA that repeats its training pictures has
/// learned them by heart: trained too long, or on too few.
#[derive(Inputs)]
pub(crate) struct NearestTrainingImage {
    /// The pictures to judge.
    grid: Arc<Grid>,
    /// More pictures of the same checkpoints, such as other prompts.
    #[input(optional)]
    second_grid: Option<Arc<Grid>>,
    /// What was trained on.
    dataset: Arc<Dataset>,
    /// A picture repeats another if no part of it differs by more than this; 0.6 to 0.8 tell copies from redrawn faces.
    #[input(default = 0.7, range = 0.0..=4.0, step = 0.05)]
    limit: f64,
    /// Name of the JSON file below the output folder.
    #[input(default = "nearest.json")]
    filename: String,
}

impl TypedNode for NearestTrainingImage {
    const ID: &'static str = "NearestTrainingImage";
    const CATEGORY: &'static str = "evaluate";
    const DISPLAY_NAME: &'static str = "Nearest training image";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["scores", "nearest"];
    type Output = WithUi<(Arc<Scores>, Value)>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let items = &self.dataset.items;
        if items.is_empty() {
            bail!("input `dataset`: it has no pictures to compare with");
        }
        let limits = Limits { block: self.limit as f32, ..Limits::default() };
        let grids: Vec<Arc<Grid>> = [self.grid].into_iter().chain(self.second_grid).collect();
        // By the size of the made pictures: a training picture is compared as training saw it, cut to their shape.
        let mut trained: BTreeMap<(u32, u32), Vec<Print>> = BTreeMap::new();
        for cell in grids.iter().flat_map(|g| &g.cells) {
            let size = (cell.image.width, cell.image.height);
            if let Entry::Vacant(place) = trained.entry(size) {
                place.insert(on_all_cores(ctx, items, |item| cut(item, size))?);
            }
        }
        let mut list = Vec::new();
        let (mut repeated, mut made) = (0, 0);
        let scores = rows::table(&grids, metrics(), |cell| {
            ctx.check_cancelled()?;
            let print = Print::of(&cell.image, "", false)?;
            let near =
                trained.get(&(cell.image.width, cell.image.height)).and_then(|all| nearest(&print, all, &limits));
            let Some(near) = near else { return Ok(BTreeMap::new()) };
            made += usize::from(!cell.is_base());
            repeated += usize::from(!cell.is_base() && near.is_repeated());
            list.push((near.distance, entry(cell, &items[near.at], &near)));
            let memorised = if near.is_repeated() { 1.0 } else { 0.0 };
            Ok([("nearest_distance".to_owned(), f64::from(near.distance)), ("memorised".to_owned(), memorised)].into())
        })?;
        list.sort_by(|a, b| a.0.total_cmp(&b.0));
        let report: Vec<Value> = list.into_iter().map(|(_, entry)| entry).collect();
        let text = format!("{repeated} of {made} pictures made with the LoRA repeat a training picture");
        ctx.log(if repeated > 0 { Level::Warn } else { Level::Info }, &text);
        let (path, sha256) = files::save(ctx, &self.filename, &serde_json::to_vec_pretty(&report)?)?;
        let out = (Arc::new(scores), Value::Array(report));
        Ok(WithUi::new(out).show("text", json!([text])).file(&path, sha256.as_str()))
    }
}

fn cut(item: &Item, (width, height): (u32, u32)) -> anyhow::Result<Print> {
    let image = Image::open(&item.path, &DecodeLimits::default())?;
    let spec = ResizeSpec { width, height, fit: Fit::Cover, filter: Filter::Area, pad_color: 0 };
    Ok(Print::of(&image.resize(&spec)?, &item.digest, true)?)
}

fn entry(cell: &Cell, item: &Item, near: &data::duplicates::Nearest) -> Value {
    json!({
        "checkpoint": cell.checkpoint,
        "strength": cell.strength,
        "prompt": cell.prompt,
        "seed": cell.seed,
        "nearest": item.id,
        "relation": near.relation,
        "distance": near.distance,
    })
}

fn metrics() -> Vec<MetricInfo> {
    let metric = |name: &str, higher_is_better, high, description: &str| MetricInfo {
        name: name.to_owned(),
        evaluator: NearestTrainingImage::ID.to_owned(),
        higher_is_better,
        low: 0.0,
        high,
        per_sample: true,
        description: description.to_owned(),
    };
    vec![
        metric("memorised", false, 1.0, "share of pictures that repeat a training picture or a part of it"),
        metric(
            "nearest_distance",
            true,
            3.0,
            "largest difference of a part from the nearest training picture, in standard deviations",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{blocks, host, item, output, run, value};
    use data::Codec;

    fn cell(checkpoint: Option<u64>, seed: u64, image: Image) -> Cell {
        let strength = if checkpoint.is_some() { 1.0 } else { 0.0 };
        Cell { row: 0, col: 0, checkpoint, strength, prompt: "a".into(), seed, image }
    }

    #[test]
    fn a_picture_learned_by_heart_is_named_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        // The middle of the tall one is square, as training cut it.
        let png = |image: &Image| image.encode(Codec::Png, 0).unwrap();
        let tall = blocks(2, 96, 192, 8);
        let items = vec![
            item(dir.path(), "1.png", &png(&blocks(1, 128, 128, 8))),
            item(dir.path(), "2.png", &png(&tall)),
            item(dir.path(), "3.png", &png(&blocks(3, 128, 128, 8))),
        ];
        let square = ResizeSpec { width: 64, height: 64, fit: Fit::Cover, filter: Filter::Area, pad_color: 0 };
        let jpeg = |image: &Image| Image::decode(&image.encode(Codec::Jpeg, 70).unwrap(), &DecodeLimits::default());
        let by_heart = jpeg(&tall.resize(&square).unwrap()).unwrap();
        let grid = Arc::new(Grid {
            title: String::new(),
            row_axis: String::new(),
            rows: vec![],
            col_axis: String::new(),
            cols: vec![],
            cells: vec![
                cell(None, 1, blocks(11, 64, 64, 8)),
                cell(None, 2, blocks(12, 64, 64, 8)),
                cell(Some(50), 1, blocks(13, 64, 64, 8)),
                cell(Some(50), 2, blocks(14, 64, 64, 8)),
                cell(Some(100), 1, blocks(15, 64, 64, 8)),
                cell(Some(100), 2, by_heart),
            ],
            settings: json!(null),
        });
        let set = Arc::new(Dataset { items, notes: vec![] });
        let out = run(&ctx, "NearestTrainingImage", vec![("grid", value(&grid)), ("dataset", value(&set))]).unwrap();
        let scores = output::<Scores>(&out, 0);
        let memorised: Vec<_> = scores.rows.iter().map(|r| (r.checkpoint, r.values["memorised"])).collect();
        assert_eq!(memorised, [(None, 0.0), (Some(50), 0.0), (Some(100), 0.5)]);
        let sample = scores.samples.iter().find(|s| s.checkpoint == Some(100) && s.seed == 2).unwrap();
        assert!(sample.values["nearest_distance"] < 0.7, "{sample:?}");
        assert!(scores.samples.iter().filter(|s| *s != sample).all(|s| s.values["nearest_distance"] > 0.7));
        let known: Vec<_> = scores.metrics.iter().map(|m| m.name.as_str()).collect();
        assert!(sample.values.keys().all(|k| known.contains(&k.as_str())));

        // The most alike comes first, with its name.
        let file: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out/nearest.json")).unwrap()).unwrap();
        assert_eq!(file.as_array().unwrap().len(), 6);
        assert_eq!((&file[0]["nearest"], &file[0]["relation"]), (&json!("2.png"), &json!("copy")));
        assert_eq!((&file[0]["checkpoint"], &file[0]["seed"]), (&json!(100), &json!(2)));
        let nothing = Arc::new(Dataset::default());
        let refused = run(&ctx, "NearestTrainingImage", vec![("grid", value(&grid)), ("dataset", value(&nothing))]);
        assert!(refused.unwrap_err().to_string().contains("no pictures"));
    }
}
