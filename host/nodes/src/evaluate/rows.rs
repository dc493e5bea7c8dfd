//! Pictures of grids, put together by what made them: the rows of a table of scores.

use crate::types::{Cell, Grid, MetricInfo, SampleScores, ScoreRow, Scores};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A checkpoint and a strength; the strength by its bits, so that it can be a key. The base without a LoRA is first.
pub(crate) type Group = (Option<u64>, u64);

/// Pictures of all groups, each with its grid.
pub(crate) type Groups<'a> = BTreeMap<Group, Vec<(&'a Grid, &'a Cell)>>;

pub(crate) fn groups(grids: &[Arc<Grid>]) -> Groups<'_> {
    let mut groups = Groups::new();
    for grid in grids {
        for cell in &grid.cells {
            let group = if cell.is_base() { (None, 0) } else { (cell.checkpoint, cell.strength.max(0.0).to_bits()) };
            let cells = groups.entry(group).or_default();
            // The same picture may stand in both grids, and that of the base in every row.
            if !cells.iter().any(|(_, c)| c.prompt == cell.prompt && c.seed == cell.seed) {
                cells.push((&**grid, cell));
            }
        }
    }
    groups
}

/// Prompts and seeds that all rows have: only on these can rows be compared. If there are none, all of them.
pub(crate) fn shared<'a>(groups: &Groups<'a>) -> BTreeSet<(&'a String, u64)> {
    let pairs = |cells: &[(&'a Grid, &'a Cell)]| -> BTreeSet<(&'a String, u64)> {
        cells.iter().map(|(_, c)| (&c.prompt, c.seed)).collect()
    };
    let common = groups.values().map(|cells| pairs(cells)).reduce(|a, b| a.intersection(&b).copied().collect());
    common.filter(|c| !c.is_empty()).unwrap_or_else(|| groups.values().flat_map(|cells| pairs(cells)).collect())
}

/// Scores of every picture. A row has the means over those pictures whose prompts and seeds all rows have.
pub(super) fn table(
    grids: &[Arc<Grid>],
    metrics: Vec<MetricInfo>,
    mut each: impl FnMut(&Cell) -> anyhow::Result<BTreeMap<String, f64>>,
) -> anyhow::Result<Scores> {
    let groups = groups(grids);
    let shared = shared(&groups);
    let mut scores = Scores { metrics, ..Scores::default() };
    for ((checkpoint, strength), cells) in &groups {
        let (checkpoint, strength) = (*checkpoint, f64::from_bits(*strength));
        let mut means = Means::default();
        for (_, cell) in cells {
            let values = each(cell)?;
            if shared.contains(&(&cell.prompt, cell.seed)) {
                means.add(&values);
            }
            let (prompt, seed) = (cell.prompt.clone(), cell.seed);
            scores.samples.push(SampleScores { checkpoint, strength, prompt, seed, values });
        }
        scores.rows.push(ScoreRow { checkpoint, strength, values: means.finish() });
    }
    Ok(scores)
}

#[derive(Default)]
pub(crate) struct Means(BTreeMap<String, (f64, u32)>);

impl Means {
    pub(crate) fn add(&mut self, values: &BTreeMap<String, f64>) {
        for (name, value) in values {
            let (sum, n) = self.0.entry(name.clone()).or_default();
            *sum += value;
            *n += 1;
        }
    }

    pub(crate) fn finish(self) -> BTreeMap<String, f64> {
        self.0.into_iter().map(|(name, (sum, n))| (name, sum / f64::from(n))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Image, PixelFormat};
    use serde_json::json;

    fn cell(col: usize, strength: f64, prompt: &str) -> Cell {
        let image = Image::new(1, 1, PixelFormat::L8, vec![0]).unwrap_or_else(|e| panic!("{e}"));
        Cell {
            row: 0,
            col,
            checkpoint: (strength > 0.0).then_some(50),
            strength,
            prompt: prompt.into(),
            seed: 1,
            image,
        }
    }

    fn grid(cells: Vec<Cell>) -> Arc<Grid> {
        let (title, row_axis, col_axis) = (String::new(), String::new(), String::new());
        Arc::new(Grid { title, row_axis, rows: vec![], col_axis, cols: vec![], cells, settings: json!(null) })
    }

    #[test]
    fn rows_are_compared_on_what_all_of_them_have() {
        let first = grid(vec![cell(0, 0.0, "a"), cell(1, 0.5, "a"), cell(2, 1.0, "a")]);
        let second = grid(vec![cell(0, 0.0, "a"), cell(0, 0.0, "b"), cell(1, 1.0, "b")]);
        let grids = [first, second];
        let groups = groups(&grids);
        assert_eq!(groups.values().map(Vec::len).collect::<Vec<_>>(), [2, 1, 2]);
        assert_eq!(shared(&groups).into_iter().collect::<Vec<_>>(), [(&"a".to_owned(), 1)]);
        let apart = [grid(vec![cell(0, 0.5, "a"), cell(1, 1.0, "b")])];
        assert_eq!(shared(&super::groups(&apart)).len(), 2);

        let value = |cell: &Cell| Ok([("x".to_owned(), if cell.prompt == "a" { cell.strength } else { 9.0 })].into());
        let scores = table(&grids, Vec::new(), value).unwrap();
        assert_eq!(scores.rows.iter().map(|r| r.values["x"]).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
        assert_eq!(scores.samples.len(), 5, "what cannot be compared is scored all the same");
    }
}
