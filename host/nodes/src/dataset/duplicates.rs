use super::embed;
use crate::files;
use crate::types::ClipVision;
use anyhow::Context as _;
use data::duplicates::{Cluster, Limits, Link, Print, Quality, Relation, alike, clusters, links};
use data::{Dataset, DecodeLimits, Item};
use engine::{Context, Level, Outputs, TypedNode, WithUi};
use serde_json::{Map, Value, json};
use spec::Inputs;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Finds pictures that are there more than once: equal files and pixels, copies, crops, and variants with something
/// redrawn; by an encoder also those that are alike. Marks them and removes nothing; `kept` is the data set without copies.
#[derive(Inputs)]
pub(crate) struct MarkDuplicates {
    /// The data set.
    dataset: Arc<Dataset>,
    /// Bits of 64 in which the hashes of near pictures may differ.
    #[input(default = 10, range = 0..=11)]
    bits: u32,
    /// Near pictures are copies if no part of them differs by more than this; 0.6 to 0.8 tell copies from redrawn faces.
    #[input(default = 0.7, range = 0.0..=4.0, step = 0.05)]
    limit: f64,
    /// Look for pictures that are a part of another, too.
    #[input(default = true)]
    crops: bool,
    /// What `kept` goes without: copies, crops as well, variants as well, or all, which is also what is alike.
    #[input(default = "copies", options = ["copies", "copies and crops", "copies, crops and variants", "all"])]
    without: String,
    /// Name of the JSON file below the output folder.
    #[input(default = "duplicates.json")]
    filename: String,
    /// An encoder of pictures: CLIP. With it pictures are marked that are alike, though no pixels are the same.
    #[input(optional)]
    clip_vision: Option<Arc<ClipVision>>,
    /// From this cosine of their embeddings on pictures are alike. Only with an encoder.
    #[input(default = 0.985, range = 0.5..=1.0, step = 0.001)]
    cosine: f64,
}

impl TypedNode for MarkDuplicates {
    const ID: &'static str = "MarkDuplicates";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Mark duplicates";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset", "kept", "duplicates"];
    type Output = WithUi<(Arc<Dataset>, Arc<Dataset>, Value)>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let items = &self.dataset.items;
        let looked = prints(ctx, items, self.crops)?;
        let limits = Limits { bits: self.bits, block: self.limit as f32, crops: self.crops };
        let prints: Vec<Print> = looked.iter().map(|l| l.0.clone()).collect();
        let links = links(&prints, &limits);
        let quality: Vec<Quality> = items.iter().zip(&looked).map(|(item, l)| quality(item, l)).collect();
        let found = clusters(&links, &quality);

        let mut marked = Dataset::clone(&self.dataset);
        let mut left = BTreeSet::new();
        // The number of each picture's cluster.
        let mut related = vec![None; items.len()];
        for (number, cluster) in found.iter().enumerate() {
            let best = &items[cluster.best].id;
            related[cluster.best] = Some(number);
            mark(&mut marked.items[cluster.best], "duplicate", json!({"cluster": number, "best": true}));
            for (at, relation) in &cluster.others {
                related[*at] = Some(number);
                mark(&mut marked.items[*at], "duplicate", json!({"cluster": number, "relation": relation, "of": best}));
                if goes(*relation, &self.without) {
                    left.insert(*at);
                }
            }
        }
        let near = match &self.clip_vision {
            Some(vision) => {
                let embeddings = embed::embeddings(ctx, items, vision)?;
                let places: Vec<usize> = (0..items.len()).filter(|at| !left.contains(at)).collect();
                let is_related = |a: usize, b: usize| related[a].is_some() && related[a] == related[b];
                alike(&embeddings, &places, &quality, self.cosine as f32, is_related, |done| {
                    ctx.progress(done as u64, places.len() as u64, "comparing embeddings");
                    ctx.check_cancelled()
                })?
            }
            None => Vec::new(),
        };
        for link in &near {
            let of = &items[link.first].id;
            mark(&mut marked.items[link.second], "alike", json!({"of": of, "cosine": cosine(link)}));
            if goes(link.relation, &self.without) {
                left.insert(link.second);
            }
        }
        let mut kept = marked.clone();
        let mut at = 0;
        kept.items.retain(|_| {
            at += 1;
            !left.contains(&(at - 1))
        });
        if !left.is_empty() {
            kept.notes.push(format!("{} of {} pictures left out as duplicates", left.len(), items.len()));
        }
        let list: Vec<Value> = found.iter().map(|c| row(c, items)).chain(rows(&near, items)).collect();
        let text = text(&found, &near, items, left.len());
        ctx.log(Level::Info, text.lines().next().unwrap_or_default());
        let report = Value::Array(list);
        let (path, sha256) = files::save(ctx, &self.filename, &serde_json::to_vec_pretty(&report)?)?;
        let out = (Arc::new(marked), Arc::new(kept), report);
        Ok(WithUi::new(out).show("text", json!([text])).file(&path, sha256.as_str()))
    }
}

/// Is `kept` to go without pictures of this relation?
fn goes(relation: Relation, without: &str) -> bool {
    match without {
        "all" => true,
        "copies, crops and variants" => relation != Relation::Alike,
        "copies and crops" => relation.is_copy() || relation == Relation::Crop,
        _ => relation.is_copy(),
    }
}

/// A print of each picture, the size of its file, and whether that is without loss.
type Looked = (Print, u64, bool);

fn prints(ctx: &Context, items: &[Item], crops: bool) -> anyhow::Result<Vec<Looked>> {
    on_all_cores(ctx, items, |item| look(item, crops))
}

/// Looks at all pictures, on all cores; what was found is in their order.
pub(crate) fn on_all_cores<T: Send>(
    ctx: &Context,
    items: &[Item],
    look: impl Fn(&Item) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    in_parallel(ctx, items, look, |done| ctx.progress(done, items.len() as u64, "looking at pictures"))
}

/// The same; `told` is called with how many are done.
pub(super) fn in_parallel<T: Send>(
    ctx: &Context,
    items: &[Item],
    look: impl Fn(&Item) -> anyhow::Result<T> + Sync,
    told: impl Fn(u64) + Sync,
) -> anyhow::Result<Vec<T>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> anyhow::Result<Vec<(usize, T)>> {
        let mut out = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return Ok(out) };
            ctx.check_cancelled()?;
            out.push((at, look(item).with_context(|| item.id.clone())?));
            told(done.fetch_add(1, Ordering::Relaxed) as u64 + 1);
        }
    };
    let mut all = std::thread::scope(|scope| -> anyhow::Result<Vec<(usize, T)>> {
        let others: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for other in others {
            all.extend(other.join().map_err(|_| anyhow::anyhow!("a picture could not be looked at"))??);
        }
        Ok(all)
    })?;
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, looked)| looked).collect())
}

fn look(item: &Item, crops: bool) -> anyhow::Result<Looked> {
    let bytes = std::fs::read(&item.path)?;
    let lossless = bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"BM") || bytes.get(12..16) == Some(b"VP8L");
    Ok((Print::read(&bytes, &item.digest, &DecodeLimits::default(), crops)?, bytes.len() as u64, lossless))
}

fn quality(item: &Item, (print, bytes, lossless): &Looked) -> Quality {
    Quality {
        pixels: u64::from(print.width) * u64::from(print.height),
        lossless: *lossless,
        bytes: *bytes,
        tags: item.annotation.tags.len(),
    }
}

/// What is noted about a picture, by key.
pub(crate) fn extra(item: &Item) -> Map<String, Value> {
    item.annotation.extra.as_deref().and_then(|e| serde_json::from_str(e).ok()).unwrap_or_default()
}

/// Notes something about a picture under this key of its `extra`.
pub(super) fn mark(item: &mut Item, key: &str, mark: Value) {
    let mut extra = extra(item);
    extra.insert(key.to_owned(), mark);
    item.annotation.extra = Some(Value::Object(extra).to_string());
}

fn row(cluster: &Cluster, items: &[Item]) -> Value {
    let others: Vec<Value> =
        cluster.others.iter().map(|(at, relation)| json!({"id": items[*at].id, "relation": relation})).collect();
    json!({"best": items[cluster.best].id, "others": others})
}

/// The cosine of a link's pictures, to four places.
fn cosine(link: &Link) -> f64 {
    ((1.0 - f64::from(link.distance)) * 1e4).round() / 1e4
}

/// What is alike, by the pictures that stay.
fn rows(near: &[Link], items: &[Item]) -> Vec<Value> {
    let mut rows: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    for link in near {
        let other = json!({"id": items[link.second].id, "relation": link.relation, "cosine": cosine(link)});
        rows.entry(link.first).or_default().push(other);
    }
    rows.into_iter().map(|(best, others)| json!({"best": items[best].id, "others": others})).collect()
}

fn text(found: &[Cluster], near: &[Link], items: &[Item], left: usize) -> String {
    let all: usize = found.iter().map(|c| c.others.len()).sum();
    let more = if near.is_empty() { String::new() } else { format!(", {} more are alike to another", near.len()) };
    let mut lines = vec![format!(
        "{all} of {} pictures are duplicates of {} others{more}; {left} are not in `kept`",
        items.len(),
        found.len()
    )];
    for cluster in found.iter().take(30) {
        let others: Vec<String> = cluster
            .others
            .iter()
            .map(|(at, relation)| format!("{} ({})", items[*at].id, json!(relation).as_str().unwrap_or_default()))
            .collect();
        lines.push(format!("{}: {}", items[cluster.best].id, others.join(", ")));
    }
    for link in near.iter().take(30) {
        lines.push(format!("{}: {} (alike {:.4})", items[link.first].id, items[link.second].id, cosine(link)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use crate::testing::{blocks, host, item, output, run, value};
    use data::{Codec, Dataset, Filter, Fit, ResizeSpec};
    use serde_json::Value;
    use std::sync::Arc;

    #[test]
    fn the_best_stays_copies_are_marked_and_nothing_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let (one, two) = (blocks(1, 192, 192, 8), blocks(2, 192, 192, 8));
        let small = ResizeSpec { width: 96, height: 96, fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
        let items = vec![
            item(dir.path(), "1.jpg", &one.encode(Codec::Jpeg, 50).unwrap()),
            item(dir.path(), "2.png", &one.encode(Codec::Png, 0).unwrap()),
            item(dir.path(), "3.png", &two.encode(Codec::Png, 0).unwrap()),
            item(dir.path(), "4.png", &one.resize(&small).unwrap().encode(Codec::Png, 0).unwrap()),
            item(dir.path(), "5.png", &one.encode(Codec::Png, 0).unwrap()),
        ];
        let set = Arc::new(Dataset { items, notes: vec![] });
        let out = run(&ctx, "MarkDuplicates", vec![("dataset", value(&set))]).unwrap();
        let (marked, kept) = (output::<Dataset>(&out, 0), output::<Dataset>(&out, 1));
        let ids = |set: &Dataset| set.items.iter().map(|i| i.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&marked), ids(&set));
        assert_eq!(ids(&kept), ["2.png", "3.png"]);
        let mark = |at: usize| -> Value {
            let extra = marked.items[at].annotation.extra.as_deref().unwrap_or("{}");
            serde_json::from_str::<Value>(extra).unwrap()["duplicate"].clone()
        };
        assert_eq!(mark(1), serde_json::json!({"cluster": 0, "best": true}));
        assert_eq!(mark(0), serde_json::json!({"cluster": 0, "relation": "copy", "of": "2.png"}));
        assert_eq!((&mark(4)["relation"], &mark(2)), (&serde_json::json!("file"), &Value::Null));
        assert!(set.items.iter().all(|i| i.path.exists()));
        assert!(kept.notes[0].contains("3 of 5 pictures"), "{:?}", kept.notes);
    }
}
