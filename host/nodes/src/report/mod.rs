//! The report: one self-contained HTML file about a training.

mod dataset;
mod grid;
mod html;
mod node;
mod plot;
mod scores;
mod settings;

use crate::Make;

pub(crate) const NODES: &[Make] = &[engine::node::<node::HtmlReport>];
