//! The C table of an artefact's own nodes.

use super::{Library, guard, put_json, text};
use crate::node::run_wired;
use plugin_abi::{NodeTable, ONE_AT_A_TIME, Sink, Str, interface};
use std::ffi::c_void;

/// The table, if the artefact has nodes.
pub fn nodes<L: Library>(name: &str) -> Option<*const c_void> {
    let table: &'static NodeTable = const {
        &NodeTable { struct_size: size_of::<NodeTable>() as u32, thread_safety: ONE_AT_A_TIME, run: run::<L> }
    };
    (name == interface::NODE && !L::nodes().is_empty()).then_some((&raw const *table).cast())
}

unsafe extern "C" fn run<L: Library>(node: Str, inputs: Str, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends both for this call.
        let (node, inputs) = unsafe { (text(node)?, serde_json::from_slice(inputs.bytes())?) };
        let outputs = run_wired(&L::nodes(), node, inputs)?;
        (0..).zip(&outputs).try_for_each(|(i, values)| put_json(results, i, values))
    })
}
