//! The data set: warnings, tags, shapes, buckets, pictures with their captions.

use super::html::{escape, picture};
use crate::types::DatasetSummary;
use data::{Dataset, DecodeLimits, Image};
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
            "<figure><img src=\"{image}\" alt=\"{id}\" loading=\"lazy\"><figcaption>{caption}<br><span class=\"soft\">{id}{repeats}</span></figcaption></figure>"
        );
    }
    out.push_str("</div>");
    if dataset.items.len() > SHOWN {
        let _ = write!(out, "<p class=\"soft\">and {} more</p>", dataset.items.len() - SHOWN);
    }
    Ok(())
}
