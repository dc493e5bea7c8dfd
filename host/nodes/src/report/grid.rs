//! A grid as a table of pictures.

use super::html::{escape, picture};
use crate::types::{Cell, Choice, Grid, Scores};
use std::fmt::Write;

pub(super) fn table(grid: &Grid, choice: Option<&Choice>, scores: Option<&Scores>) -> anyhow::Result<String> {
    // Several pictures share a cell: all of them stay visible.
    let most = grid.cells.iter().fold(std::collections::BTreeMap::new(), |mut n, c| {
        *n.entry((c.row, c.col)).or_insert(0usize) += 1;
        n
    });
    let shared = most.values().copied().max().unwrap_or(1);
    let across = (shared as f64).sqrt().ceil() as usize;
    let width = (880 / (across * grid.cols.len().max(1))).clamp(80, 160);
    let mut out = format!("<div class=\"scroll\"><table class=\"grid\" style=\"--w:{width}px;--n:{across}\"><tr><th>");
    let _ = write!(out, "{} \\ {}</th>", escape(&grid.row_axis), escape(&grid.col_axis));
    for col in &grid.cols {
        let _ = write!(out, "<th>{}</th>", escape(col));
    }
    out.push_str("</tr>");
    for (row, label) in grid.rows.iter().enumerate() {
        let _ = write!(out, "<tr><td>{}</td>", escape(label));
        for col in 0..grid.cols.len() {
            // The base stands for all rows: shown in each, so that it is beside what it is compared with.
            let lonely = grid.cells.iter().filter(|c| c.col == col).all(|c| c.row == 0 && c.is_base());
            let source = if lonely { 0 } else { row };
            let cells: Vec<&Cell> = grid.cells.iter().filter(|c| (c.row, c.col) == (source, col)).collect();
            let is_choice = |c: &&Cell| {
                choice.is_some_and(|w| !c.is_base() && c.checkpoint == Some(w.step) && c.strength == w.strength)
            };
            let class = if cells.iter().any(is_choice) { " class=\"chosen\"" } else { "" };
            let _ = write!(out, "<td{class}><div>");
            for cell in cells {
                let tip = escape(&tip(cell, scores));
                let exact = if cell.image.width < 160 { " class=\"exact\"" } else { "" };
                let _ =
                    write!(out, "<img{exact} src=\"{}\" alt=\"{tip}\" title=\"{tip}\">", picture(&cell.image, 320)?);
            }
            out.push_str("</div></td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    let prompts: std::collections::BTreeSet<&str> = grid.cells.iter().map(|c| c.prompt.as_str()).collect();
    let seeds: std::collections::BTreeSet<String> = grid.cells.iter().map(|c| c.seed.to_string()).collect();
    let seeds = seeds.into_iter().collect::<Vec<_>>().join(", ");
    let _ = write!(out, "<p class=\"soft\">Equal seeds in all cells ({seeds}). Point at a picture for its scores.");
    if prompts.len() == 1 {
        let _ = write!(out, " Prompt: <code>{}</code>", prompts.iter().map(|p| escape(p)).collect::<String>());
    }
    out.push_str("</p>");
    Ok(out)
}

fn tip(cell: &Cell, scores: Option<&Scores>) -> String {
    let who = match cell.checkpoint {
        Some(step) if !cell.is_base() => format!("step {step}, strength {}", cell.strength),
        _ => "base, without LoRA".to_owned(),
    };
    let mut text = format!("{who}\n{}\nseed {}", cell.prompt, cell.seed);
    let found = scores.into_iter().flat_map(|s| &s.samples).find(|s| {
        let same = if cell.is_base() {
            s.checkpoint.is_none()
        } else {
            (s.checkpoint, s.strength) == (cell.checkpoint, cell.strength)
        };
        same && s.seed == cell.seed && s.prompt == cell.prompt
    });
    for (name, value) in found.into_iter().flat_map(|s| &s.values) {
        let _ = write!(text, "\n{name} {value:.3}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Image, PixelFormat};

    fn cell(col: usize, checkpoint: Option<u64>, strength: f64) -> Cell {
        let image = Image::new(2, 2, PixelFormat::Rgb8, vec![9; 12]).unwrap();
        Cell { row: 0, col, checkpoint, strength, prompt: "<b>".into(), seed: 3, image }
    }

    #[test]
    fn marks_the_choice_and_escapes_prompts() {
        let grid = Grid {
            title: "t".into(),
            row_axis: "checkpoint".into(),
            rows: vec!["50".into()],
            col_axis: "strength".into(),
            cols: vec!["off".into(), "1".into()],
            cells: vec![cell(0, None, 0.0), cell(1, Some(50), 1.0)],
            settings: serde_json::Value::Null,
        };
        let choice = Choice {
            name: "x".into(),
            path: "x".into(),
            sha256: String::new(),
            step: 50,
            strength: 1.0,
            trigger: String::new(),
            why: String::new(),
            ranking: vec![],
        };
        let html = table(&grid, Some(&choice), None).unwrap();
        assert_eq!(html.matches("class=\"chosen\"").count(), 1);
        assert_eq!(html.matches("data:image/png;base64,").count(), 2);
        assert!(!html.contains("<b>") && html.contains("&lt;b&gt;"));
        assert!(html.contains("base, without LoRA") && html.contains("step 50, strength 1"));
    }
}
