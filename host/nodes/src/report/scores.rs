//! Scores as a table whose colours say what is good.

use super::html::escape;
use crate::evaluate::goodness;
use crate::types::{Choice, ScoreRow, Scores};
use std::fmt::Write;

pub(super) fn table(scores: &Scores, choice: Option<&Choice>) -> String {
    let mut out = "<div class=\"scroll\"><table class=\"heat\"><tr><th>checkpoint × strength</th>".to_owned();
    if choice.is_some() {
        out.push_str("<th>total ↑</th>");
    }
    for metric in &scores.metrics {
        let arrow = if metric.higher_is_better { "↑" } else { "↓" };
        let tip = escape(&format!("{} ({})", metric.description, metric.evaluator));
        let _ = write!(out, "<th title=\"{tip}\">{} {arrow}</th>", escape(&metric.name.replace('_', " ")));
    }
    out.push_str("</tr>");
    for row in sorted(scores) {
        let chosen = choice.is_some_and(|c| row.checkpoint == Some(c.step) && row.strength == c.strength);
        let name = match row.checkpoint {
            Some(step) => format!("{step} × {}", row.strength),
            None => "base".to_owned(),
        };
        let _ = write!(out, "<tr{}><td>{name}</td>", if chosen { " class=\"chosen\"" } else { "" });
        if let Some(choice) = choice {
            let total = choice.ranking.iter().find(|r| Some(r.step) == row.checkpoint && r.strength == row.strength);
            match total {
                Some(r) => drop(write!(out, "<td style=\"--g:{:.3}\">{:.3}</td>", r.total, r.total)),
                None => out.push_str("<td></td>"),
            }
        }
        for metric in &scores.metrics {
            match row.values.get(&metric.name) {
                Some(v) => {
                    let good = goodness(metric, *v);
                    let _ = write!(out, "<td style=\"--g:{good:.3}\">{}</td>", number(*v));
                }
                None => out.push_str("<td>–</td>"),
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div><p class=\"soft\">Deeper colour is better; arrows say which way. Means over the prompts and seeds that all rows have.</p>");
    out.push_str("<details><summary>What the columns mean</summary><table class=\"settings\">");
    for m in &scores.metrics {
        let (name, what) = (escape(&m.name), escape(&m.description));
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{what} <span class=\"soft\">({})</span></td></tr>",
            escape(&m.evaluator)
        );
    }
    out + "</table></details>"
}

/// Base first, then by step and strength.
fn sorted(scores: &Scores) -> Vec<&ScoreRow> {
    let mut rows: Vec<&ScoreRow> = scores.rows.iter().collect();
    rows.sort_by(|a, b| a.checkpoint.cmp(&b.checkpoint).then(a.strength.total_cmp(&b.strength)));
    rows
}

/// Three digits that matter.
fn number(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        a if a >= 1.0 || a == 0.0 => format!("{v:.2}"),
        _ => format!("{v:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MetricInfo;

    #[test]
    fn the_base_comes_first_and_absent_values_stay_empty() {
        let metric = MetricInfo {
            name: "tag_recall".into(),
            evaluator: "e".into(),
            higher_is_better: true,
            low: 0.0,
            high: 1.0,
            per_sample: true,
            description: "a < b".into(),
        };
        let row = |checkpoint, values: &[f64]| ScoreRow {
            checkpoint,
            strength: 1.0,
            values: values.iter().map(|v| ("tag_recall".to_owned(), *v)).collect(),
        };
        let rows = vec![row(Some(100), &[0.75]), row(Some(50), &[]), row(None, &[0.5])];
        let html = table(&Scores { metrics: vec![metric], rows, samples: vec![] }, None);
        let places = ["<td>base</td>", "<td>50 × 1</td><td>–</td>", "--g:0.750"].map(|t| html.find(t).unwrap());
        assert!(places.is_sorted(), "{html}");
        assert!(html.contains("a &lt; b"));
    }
}
