use data::Image;
use serde::{Deserialize, Serialize};
use spec::ObjectType;

/// Pictures that differ in two ways, such as checkpoint and strength, with everything else equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    pub title: String,
    /// What the rows differ in: `checkpoint` …
    pub row_axis: String,
    pub rows: Vec<String>,
    /// What the columns differ in: `strength`, `prompt` …
    pub col_axis: String,
    pub cols: Vec<String>,
    /// Several cells may share a row and a column: one per seed or prompt.
    pub cells: Vec<Cell>,
    /// How all of them were made: sampler, steps, guidance …
    pub settings: serde_json::Value,
}

/// One picture of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub row: usize,
    pub col: usize,
    /// Optimizer step of the checkpoint; none for the base without a LoRA.
    pub checkpoint: Option<u64>,
    /// 0 for the base without a LoRA.
    pub strength: f64,
    pub prompt: String,
    pub seed: u64,
    pub image: Image,
}

/// Everything of a cell but its picture: what the store keeps as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellFacts {
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) strength: f64,
    pub(crate) prompt: String,
    pub(crate) seed: u64,
}

impl Cell {
    /// Was it made without the LoRA?
    pub fn is_base(&self) -> bool {
        self.checkpoint.is_none() || self.strength == 0.0
    }

    pub(crate) fn facts(&self) -> CellFacts {
        let Self { row, col, checkpoint, strength, prompt, seed, image: _ } = self.clone();
        CellFacts { row, col, checkpoint, strength, prompt, seed }
    }
}

impl CellFacts {
    pub(crate) fn with(self, image: Image) -> Cell {
        let Self { row, col, checkpoint, strength, prompt, seed } = self;
        Cell { row, col, checkpoint, strength, prompt, seed, image }
    }
}

impl ObjectType for Grid {
    const SOCKET: &'static str = "GRID";
}

impl Grid {
    /// The picture with the same prompt and seed without the LoRA.
    pub fn base_of(&self, cell: &Cell) -> Option<&Cell> {
        self.cells.iter().find(|c| c.is_base() && c.prompt == cell.prompt && c.seed == cell.seed)
    }
}
