//! Data sets: saving, joining, reporting. Where they come from is a plugin's business.

mod merge;
pub(crate) mod report;
mod save;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] =
    &[node::<report::DatasetReport>, node::<save::SaveDataset>, node::<merge::MergeDatasets>];
