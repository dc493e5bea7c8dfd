//! What an encoder of pictures makes of each picture of a data set.

use super::duplicates::in_parallel;
use crate::networks::picture;
use crate::types::ClipVision;
use anyhow::Context as _;
use candle_core::{DType, Tensor};
use data::duplicates::Embeddings;
use data::{DecodeLimits, Filter, Fit, Image, Item, ResizeSpec};
use engine::Context;

/// Pictures that the encoder sees at a time.
const BATCH: usize = 16;

/// One embedding a picture, in their order.
///
/// The whole picture is squeezed into the encoder's square: of a tall one the square in the middle would lack the face.
pub(super) fn embeddings(ctx: &Context, items: &[Item], vision: &ClipVision) -> anyhow::Result<Embeddings> {
    let side = vision.net.side() as u32;
    let mut all = Embeddings::default();
    for batch in items.chunks(BATCH) {
        let squares = in_parallel(ctx, batch, |item| square(item, side), |_| ())?;
        let seen = vision.net.encode(&Tensor::cat(&squares, 0)?, false)?.vectors()?;
        for (item, embedding) in batch.iter().zip(seen.to_dtype(DType::F32)?.to_vec2::<f32>()?) {
            all.push(&embedding).with_context(|| format!("{} ({})", item.id, item.path.display()))?;
        }
        ctx.progress(all.len() as u64, items.len() as u64, "embedding pictures");
    }
    Ok(all)
}

/// A picture as the encoder takes it, (1, 3, side, side), red first, 0…1; what is transparent is white.
fn square(item: &Item, side: u32) -> anyhow::Result<Tensor> {
    let image = Image::open(&item.path, &DecodeLimits::default())?;
    let spec =
        ResizeSpec { width: side, height: side, fit: Fit::Stretch, filter: Filter::CatmullRom, pad_color: 0xff_ffff };
    Ok(picture(&image.resize(&spec)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{blocks, host, item, output, repository, run, value};
    use data::{Codec, Dataset};
    use engine::Outputs;
    use serde_json::{Value, json};
    use std::path::Path;
    use std::sync::Arc;

    const ENCODER: &str = "host/models/tests/data/vision_clip_openai.safetensors";

    fn encoder() -> Arc<ClipVision> {
        let loaded = models::load_vision(&repository(ENCODER), &models::Memory::unlimited()).unwrap();
        Arc::new(ClipVision { net: loaded.net })
    }

    /// More pictures than a batch, one of which is there twice in other sizes.
    fn set(dir: &Path) -> Arc<Dataset> {
        let mut items: Vec<Item> = (0..BATCH as u32 + 4)
            .map(|n| item(dir, &format!("{n:02}.png"), &blocks(n, 180, 180, 6).encode(Codec::Png, 0).unwrap()))
            .collect();
        items.push(item(dir, "small.png", &blocks(3, 120, 120, 6).encode(Codec::Png, 0).unwrap()));
        Arc::new(Dataset { items, notes: vec![] })
    }

    fn mark(ctx: &Context, set: &Arc<Dataset>, vision: &Arc<ClipVision>, cosine: f64, without: &str) -> Outputs {
        let inputs = vec![
            ("dataset", value(set)),
            ("clip_vision", value(vision)),
            ("cosine", json!(cosine).into()),
            ("without", without.into()),
        ];
        run(ctx, "MarkDuplicates", inputs).unwrap()
    }

    fn extra(item: &Item) -> Value {
        serde_json::from_str(item.annotation.extra.as_deref().unwrap_or("{}")).unwrap()
    }

    /// All pairs of the first `n`, the nearest first, each picture embedded alone and compared in f64.
    fn pairs(set: &Dataset, vision: &ClipVision, n: usize) -> Vec<(f64, usize, usize)> {
        let side = vision.net.side() as u32;
        let of = |item: &Item| -> Vec<f64> {
            let seen = vision.net.encode(&square(item, side).unwrap(), false).unwrap().embeds;
            seen.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
        };
        let all: Vec<Vec<f64>> = set.items[..n].iter().map(of).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine =
            |a: usize, b: usize| dot(&all[a], &all[b]) / (dot(&all[a], &all[a]) * dot(&all[b], &all[b])).sqrt();
        let mut pairs: Vec<(f64, usize, usize)> =
            (0..n).flat_map(|b| (0..b).map(move |a| (a, b))).map(|(a, b)| (cosine(a, b), a, b)).collect();
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        pairs
    }

    #[test]
    fn what_an_encoder_finds_alike_is_marked_and_stays_unless_all_is_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let (set, vision) = (set(dir.path()), encoder());
        let n = set.items.len();
        // Between the nearest pair of different pictures and the next, so that there is exactly one.
        let near = pairs(&set, &vision, n - 1);
        let (first, second) = (near[0].1, near[0].2);
        let limit = f64::midpoint(near[0].0, near[1].0);
        assert!(near[0].0 - near[1].0 > 1e-5 && limit > 0.5, "{near:?}");

        let out = mark(&ctx, &set, &vision, limit, "copies");
        let (marked, kept) = (output::<Dataset>(&out, 0), output::<Dataset>(&out, 1));
        let cosine = (near[0].0 * 1e4).round() / 1e4;
        let alike: Vec<_> = marked.items.iter().filter_map(|i| Some((&i.id, extra(i).get("alike")?.clone()))).collect();
        // Both have equal pixels' number; the one with more bytes stays.
        let bytes = |at: usize| std::fs::metadata(&set.items[at].path).unwrap().len();
        let (best, other) = if bytes(second) > bytes(first) { (second, first) } else { (first, second) };
        let (best, other) = (&set.items[best].id, &set.items[other].id);
        assert_eq!(alike, [(other, json!({"of": best, "cosine": cosine}))]);
        // The smaller copy is a copy, and nothing else is said of it.
        assert_eq!(extra(&marked.items[n - 1])["duplicate"]["relation"], "copy");
        let ids = |set: &Dataset| set.items.iter().map(|i| i.id.clone()).collect::<Vec<_>>();
        assert!(!ids(&kept).contains(&"small.png".to_owned()) && ids(&kept).contains(other), "{:?}", ids(&kept));
        let spec::Value::Data(rows) = &out.values[2] else { panic!("no report") };
        let row = json!({"best": best, "others": [{"id": other, "relation": "alike", "cosine": cosine}]});
        assert!(rows.as_array().unwrap().contains(&row), "{rows}");
        let text = out.ui["text"][0].as_str().unwrap();
        assert!(text.starts_with(&format!("1 of {n} pictures are duplicates of 1 others, 1 more are alike")), "{text}");
        assert!(text.ends_with(&format!("{best}: {other} (alike {cosine:.4})")), "{text}");

        let kept = |without: &str| ids(&output::<Dataset>(&mark(&ctx, &set, &vision, limit, without), 1));
        assert!(kept("copies, crops and variants").contains(other));
        let all = kept("all");
        assert!(!all.contains(other) && all.contains(best) && all.len() == n - 2, "{all:?}");
        // Without an encoder nothing is alike.
        let plain = run(&ctx, "MarkDuplicates", vec![("dataset", value(&set)), ("cosine", json!(0.5).into())]).unwrap();
        assert!(output::<Dataset>(&plain, 0).items.iter().all(|i| extra(i).get("alike").is_none()));
    }

    #[test]
    fn a_picture_without_an_embedding_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let mut weights = candle_core::safetensors::load(repository(ENCODER), &candle_core::Device::Cpu).unwrap();
        let projection = weights["visual.proj"].zeros_like().unwrap();
        weights.insert("visual.proj".to_owned(), projection);
        let file = dir.path().join("zero.safetensors");
        candle_core::safetensors::save(&weights, &file).unwrap();
        let loaded = models::load_vision(&file, &models::Memory::unlimited()).unwrap();
        let vision = Arc::new(ClipVision { net: loaded.net });
        let inputs = vec![("dataset", value(&set(dir.path()))), ("clip_vision", value(&vision))];
        let error = format!("{:#}", run(&ctx, "MarkDuplicates", inputs).unwrap_err());
        assert!(error.contains("00.png") && error.contains("only zeros"), "{error}");
    }
}
