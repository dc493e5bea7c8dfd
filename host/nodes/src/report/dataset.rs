//! The data set: warnings, tags, shapes, buckets, pictures with their captions.

use super::html::{escape, picture};
use crate::dataset::extra;
use crate::types::DatasetSummary;
use data::{Dataset, DecodeLimits, Image, Item};
use serde_json::Value;
use std::fmt::Write;

/// More pictures would make the file too large to open with pleasure.
const SHOWN: usize = 120;
/// Rarer tags are not listed.
const TAGS: usize = 90;

pub(super) fn section(dataset: Option<&Dataset>, summary: Option<&DatasetSummary>) -> anyhow::Result<String> {
    let mut out = String::new();
    if let Some(s) = summary {
        facts(&mut out, s);
    }
    let tags = summary.map(|s| s.tags.clone()).or_else(|| dataset.map(Dataset::tag_counts)).unwrap_or_default();
    if !tags.is_empty() {
        tag_list(&mut out, &tags);
    }
    if let Some(dataset) = dataset {
        thumbnails(&mut out, dataset)?;
    }
    Ok(out)
}

fn facts(out: &mut String, s: &DatasetSummary) {
    for problem in s.plan.problems.iter().chain(&s.plan.warnings).chain(&s.notes) {
        let _ = write!(out, "<p class=\"warn\">{}</p>", escape(problem));
    }
    let framing: Vec<String> = s.framing.iter().map(|(name, n)| format!("{n} {}", escape(name))).collect();
    let _ = write!(
        out,
        "<p>{} pictures, {} shown an epoch; {}. {} steps an epoch, {} in all.</p>",
        s.images,
        s.shown,
        framing.join(", "),
        s.plan.steps_per_epoch,
        s.plan.total_steps
    );
    out.push_str("<h3>Buckets as they are trained</h3><div class=\"scroll\"><table><tr><th>size</th><th>pictures</th>");
    out.push_str("<th>with repeats</th><th>batches an epoch</th><th>enlarged</th></tr>");
    for b in &s.plan.buckets {
        let _ = write!(
            out,
            "<tr><td>{}×{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            b.width, b.height, b.images, b.shown, b.batches, b.enlarged
        );
    }
    out.push_str("</table></div>");
    if s.subsets.len() > 1 {
        out.push_str("<h3>Subsets</h3><div class=\"scroll\"><table><tr><th>subset</th><th>pictures</th><th>with repeats</th></tr>");
        for (name, (images, shown)) in &s.subsets {
            let _ = write!(out, "<tr><td>{}</td><td>{images}</td><td>{shown}</td></tr>", escape(name));
        }
        out.push_str("</table></div>");
    }
}

fn tag_list(out: &mut String, tags: &[(String, usize)]) {
    let most = tags.iter().map(|t| t.1).max().unwrap_or(1).max(1);
    let _ = write!(out, "<h3>Tags ({})</h3><ul class=\"tags\">", tags.len());
    for (tag, n) in tags.iter().take(TAGS) {
        let share = *n as f64 / most as f64;
        let _ = write!(out, "<li><span>{}</span><i style=\"--n:{share:.3}\"></i><span>{n}</span></li>", escape(tag));
    }
    out.push_str("</ul>");
    if tags.len() > TAGS {
        let _ = write!(out, "<p class=\"soft\">and {} rarer ones</p>", tags.len() - TAGS);
    }
}

fn thumbnails(out: &mut String, dataset: &Dataset) -> anyhow::Result<()> {
    out.push_str("<h3>Pictures and captions as they are trained</h3><div class=\"thumbs\">");
    for item in dataset.items.iter().take(SHOWN) {
        let image = picture(&Image::open(&item.path, &DecodeLimits::default())?, 200)?;
        let (id, caption) = (escape(&item.id), escape(&item.caption()));
        let repeats = if item.repeats == 1 { String::new() } else { format!(" × {}", item.repeats) };
        let _ = write!(
            out,
            "<figure><img src=\"{image}\" alt=\"{id}\" loading=\"lazy\"><figcaption>{caption}<br><span class=\"soft\">{id}{repeats}</span>"
        );
        for line in found(item) {
            let _ = write!(out, "<br><span class=\"found\">{}</span>", escape(&line));
        }
        out.push_str("</figcaption></figure>");
    }
    out.push_str("</div>");
    if dataset.items.len() > SHOWN {
        let _ = write!(out, "<p class=\"soft\">and {} more</p>", dataset.items.len() - SHOWN);
    }
    Ok(())
}

/// What `CheckPictures` and `MarkDuplicates` noted of a picture, a line each.
fn found(item: &Item) -> Vec<String> {
    let notes = extra(item);
    let problems = notes.get("picture_check").and_then(|check| check["problems"].as_array());
    let mut lines: Vec<String> = problems.into_iter().flatten().filter_map(|p| p.as_str().map(str::to_owned)).collect();
    let of = |mark: &Value| mark["of"].as_str().map(str::to_owned);
    if let Some((mark, of)) = notes.get("duplicate").and_then(|mark| Some((mark, of(mark)?))) {
        lines.push(format!("{} of {of}", mark["relation"].as_str().unwrap_or("duplicate")));
    }
    if let Some((mark, of)) = notes.get("alike").and_then(|mark| Some((mark, of(mark)?))) {
        lines.push(format!("alike to {of} ({})", mark["cosine"]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Codec, PixelFormat};
    use serde_json::json;
    use spec::Annotation;

    #[test]
    fn what_was_found_stands_under_its_picture() {
        let dir = tempfile::tempdir().unwrap();
        let item = |id: &str, extra: Option<Value>| {
            let path = dir.path().join(id);
            let image = Image::new(8, 8, PixelFormat::L8, vec![7; 64]).unwrap();
            std::fs::write(&path, image.encode(Codec::Png, 0).unwrap()).unwrap();
            let annotation = Annotation { extra: extra.map(|e| e.to_string()), ..Annotation::default() };
            Item { id: id.into(), path, annotation, ..Item::default() }
        };
        let noted = json!({
            "picture_check": {"checks": ["tiny", "dark"], "problems": ["8×8: too <small>", "dark"], "allowed": []},
            "duplicate": {"cluster": 0, "relation": "variant", "of": "b.png"},
            "alike": {"of": "c.png", "cosine": 0.991},
        });
        let best = json!({"duplicate": {"cluster": 0, "best": true}});
        let items = vec![item("a.png", Some(noted)), item("b.png", Some(best)), item("c.png", None)];
        let page = section(Some(&Dataset { items, notes: vec![] }), None).unwrap();
        let figures: Vec<&str> = page.split("<figure>").skip(1).collect();
        let lines = |figure: &str| {
            figure
                .split("<span class=\"found\">")
                .skip(1)
                .map(|l| l.split("</span>").next().unwrap().to_owned())
                .collect()
        };
        let found: Vec<Vec<String>> = figures.iter().map(|figure| lines(figure)).collect();
        let first = ["8×8: too &lt;small&gt;", "dark", "variant of b.png", "alike to c.png (0.991)"];
        assert_eq!(found, [first.map(str::to_owned).to_vec(), vec![], vec![]]);
        assert!(figures.iter().all(|f| f.matches("</figcaption></figure>").count() == 1), "{page}");
    }
}
