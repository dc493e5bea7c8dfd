//! A grid as one picture, with labels.

use crate::canvas::{Canvas, font, text_width, wrap};
use crate::types::{Cell, Grid};
use anyhow::{Result, bail};
use data::Image;
use serde_json::{Value as Json, json};

const PAPER: [u8; 3] = [250, 250, 248];
const INK: [u8; 3] = [24, 24, 28];
const FAINT: [u8; 3] = [110, 110, 118];

const TITLE: f32 = 26.0;
const LABEL: f32 = 18.0;
const LINE: f32 = 22.0;
/// Around everything, between cells, and between the pictures of a cell, in pixels.
const MARGIN: usize = 16;
const GAP: usize = 12;
const HAIR: usize = 2;
/// Small pictures are enlarged to about this side.
const SIDE: usize = 192;
const MAX_PIXELS: usize = 200_000_000;

/// A grid's picture, and where in it each cell's picture lies: (x, y, width, height).
pub(super) struct Drawing {
    pub(super) image: Image,
    pub(super) places: Vec<[usize; 4]>,
}

/// Draws a grid. A base picture that only the first row has is shown in every row.
pub(super) fn draw(grid: &Grid) -> Result<Drawing> {
    let font = font()?;
    if grid.cells.is_empty() {
        bail!("a grid without pictures; if it comes from training: `sample_prompts` says which are made");
    }
    let side = grid.cells.iter().map(|c| c.image.width.max(c.image.height) as usize).max().unwrap_or(1);
    let zoom = (SIDE / side).max(1);
    // Smaller pictures lie in the middle of their places.
    let size = |cell: &Cell| (cell.image.width as usize * zoom, cell.image.height as usize * zoom);
    let w = grid.cells.iter().map(|c| size(c).0).max().unwrap_or(1);
    let h = grid.cells.iter().map(|c| size(c).1).max().unwrap_or(1);
    let most = (0..grid.rows.len())
        .flat_map(|row| (0..grid.cols.len()).map(move |col| (row, col)))
        .map(|(row, col)| shown(grid, row, col).len())
        .max()
        .unwrap_or(1)
        .max(1);
    // Up to three side by side, more in a square.
    let across = if most <= 3 { most } else { (most as f64).sqrt().ceil() as usize };
    let down = most.div_ceil(across);
    let (cell_w, cell_h) = (across * (w + HAIR) - HAIR, down * (h + HAIR) - HAIR);

    let row_label = grid.rows.iter().map(|r| text_width(&font, LABEL, r)).fold(0.0, f32::max).min(260.0);
    let row_lines: Vec<Vec<String>> = grid.rows.iter().map(|r| wrap(&font, LABEL, row_label + 1.0, 6, r)).collect();
    let col_lines: Vec<Vec<String>> = grid.cols.iter().map(|c| wrap(&font, LABEL, cell_w as f32, 5, c)).collect();
    let col_label = col_lines.iter().map(Vec::len).max().unwrap_or(0) as f32 * LINE;
    let left = MARGIN + row_label.ceil() as usize + GAP;
    let width = left + grid.cols.len() * (cell_w + GAP) - GAP + MARGIN;
    let room = (width - 2 * MARGIN) as f32;
    let title = wrap(&font, TITLE, room, 3, &grid.title);
    let notes = wrap(&font, LABEL, room, 4, &settings_line(grid));
    let head = title.len() as f32 * (TITLE + 6.0) + notes.len() as f32 * LINE + GAP as f32;
    let top = MARGIN + (head + col_label).ceil() as usize + GAP / 2;
    let height = top + grid.rows.len() * (cell_h + GAP) - GAP + MARGIN;
    if width.saturating_mul(height) > MAX_PIXELS {
        bail!("the grid would be {width}×{height} pixels; show fewer checkpoints, prompts, strengths or seeds");
    }

    let mut canvas = Canvas::new(width, height, PAPER)?;
    let mut y = MARGIN as f32;
    for line in &title {
        canvas.text(MARGIN as f32, y, TITLE, INK, line);
        y += TITLE + 6.0;
    }
    for line in &notes {
        canvas.text(MARGIN as f32, y, LABEL, FAINT, line);
        y += LINE;
    }
    let column = |col: usize| left + col * (cell_w + GAP);
    for (col, lines) in col_lines.iter().enumerate() {
        // At the bottom of the band, next to the pictures.
        let start = top as f32 - (GAP / 2) as f32 - lines.len() as f32 * LINE;
        for (i, line) in lines.iter().enumerate() {
            let indent = (cell_w as f32 - text_width(&font, LABEL, line)) / 2.0;
            canvas.text(column(col) as f32 + indent, start + i as f32 * LINE, LABEL, INK, line);
        }
    }
    let mut places = vec![[0; 4]; grid.cells.len()];
    for (row, lines) in row_lines.iter().enumerate() {
        let y = top + row * (cell_h + GAP);
        let start = y as f32 + (cell_h as f32 - lines.len() as f32 * LINE) / 2.0;
        for (i, line) in lines.iter().enumerate() {
            canvas.text(MARGIN as f32, start + i as f32 * LINE, LABEL, INK, line);
        }
        for col in 0..grid.cols.len() {
            for (k, (index, cell)) in shown(grid, row, col).into_iter().enumerate() {
                let (wide, high) = size(cell);
                let left = column(col) + k % across * (w + HAIR) + (w - wide) / 2;
                let top = y + k / across * (h + HAIR) + (h - high) / 2;
                canvas.put(left, top, zoom, &cell.image);
                if cell.row == row {
                    places[index] = [left, top, wide, high];
                }
            }
        }
    }
    Ok(Drawing { image: canvas.finish()?, places })
}

/// What is seen at a row and column.
fn shown(grid: &Grid, row: usize, col: usize) -> Vec<(usize, &Cell)> {
    let at = |row: usize| -> Vec<(usize, &Cell)> {
        grid.cells.iter().enumerate().filter(|(_, c)| c.row == row && c.col == col).collect()
    };
    let own = at(row);
    if !own.is_empty() {
        return own;
    }
    at(0).into_iter().filter(|(_, c)| c.is_base()).collect()
}

/// How the pictures were made, for the line below the title.
fn settings_line(grid: &Grid) -> String {
    let Some(settings) = grid.settings.as_object() else { return String::new() };
    let plain = |v: &Json| match v {
        Json::String(s) => s.clone(),
        Json::Array(list) => list.iter().map(Json::to_string).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let all = settings.iter().filter(|(_, v)| !v.is_null() && v.as_str() != Some(""));
    all.map(|(k, v)| format!("{}: {}", k.replace('_', " "), plain(v))).collect::<Vec<_>>().join(" · ")
}

/// A grid without its pictures, but with their places in the drawing, for programs.
pub(super) fn describe(grid: &Grid, drawing: &Drawing) -> Json {
    let cells = grid.cells.iter().zip(&drawing.places).map(|(cell, place)| {
        let mut json = serde_json::to_value(cell.facts()).unwrap_or_default();
        json["place"] = json!(place);
        json["digest"] = cell.image.digest().into();
        json
    });
    json!({
        "title": grid.title,
        "row_axis": grid.row_axis,
        "rows": grid.rows,
        "col_axis": grid.col_axis,
        "cols": grid.cols,
        "settings": grid.settings,
        "size": [drawing.image.width, drawing.image.height],
        "cells": cells.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::PixelFormat;

    fn grid() -> Grid {
        let cell = |row: usize, col: usize, seed: u64, v: u8| Cell {
            row,
            col,
            checkpoint: (col > 0).then_some(50 * (row as u64 + 1)),
            strength: col as f64,
            prompt: "p".into(),
            seed,
            image: Image::new(8, 8, PixelFormat::Rgb8, vec![v; 192]).unwrap(),
        };
        Grid {
            title: "a test of checkpoints".into(),
            row_axis: "checkpoint".into(),
            rows: vec!["step 50".into(), "step 100".into()],
            col_axis: "strength".into(),
            cols: vec!["no LoRA".into(), "strength 1".into()],
            cells: vec![
                cell(0, 0, 1, 10),
                cell(0, 0, 2, 20),
                cell(0, 1, 1, 30),
                cell(0, 1, 2, 40),
                cell(1, 1, 1, 50),
                cell(1, 1, 2, 60),
            ],
            settings: json!({ "cfg": 4.5, "seeds": [1, 2], "none": null }),
        }
    }

    #[test]
    fn every_picture_is_where_the_description_says() {
        let grid = grid();
        let drawing = draw(&grid).unwrap();
        let json = describe(&grid, &drawing);
        let at = |x: usize, y: usize| drawing.image.pixels[(y * drawing.image.width as usize + x) * 3];
        for (cell, described) in grid.cells.iter().zip(json["cells"].as_array().unwrap()) {
            let [x, y, w, h]: [usize; 4] = serde_json::from_value(described["place"].clone()).unwrap();
            assert_eq!((w, h), (192, 192));
            for (dx, dy) in [(0, 0), (w - 1, 0), (w - 1, h - 1)] {
                assert_eq!(at(x + dx, y + dy), cell.image.pixels[0]);
            }
        }
        // The base, which the second row does not have, is shown there again, left of its first picture.
        let [x, y, w, _] = drawing.places[4];
        assert_eq!((at(x - GAP - 1, y), at(x - GAP - w - HAIR - 1, y)), (20, 10));
    }

    #[test]
    fn a_smaller_picture_lies_in_the_middle_of_its_place() {
        let mut grid = grid();
        grid.cells[2].image = Image::new(4, 8, PixelFormat::L8, vec![7; 32]).unwrap();
        let drawing = draw(&grid).unwrap();
        let ([x, y, w, h], [other, ..]) = (drawing.places[2], drawing.places[4]);
        assert_eq!((x, w, h), (other + 48, 96, 192));
        let at = |x: usize| drawing.image.pixels[(y * drawing.image.width as usize + x) * 3];
        assert_eq!((at(x), at(x - 1)), (7, PAPER[0]));
    }

    #[test]
    fn an_empty_grid_is_refused() {
        let error = draw(&Grid { cells: Vec::new(), ..grid() }).err().unwrap();
        assert!(error.to_string().contains("sample_prompts"), "{error}");
    }
}
