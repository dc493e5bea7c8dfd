//! The C table of an artefact's own nodes.

use super::{Library, guard, put_json, text};
use crate::node::{fingerprint_wired, lazy_wired, run_wired, validate_wired};
use crate::place::Place;
use crate::wire::{WireCall, WireFeed};
use crate::{Error, Result};
use plugin_abi::{
    NODE_CHECK_LAZY, NODE_FINGERPRINT, NODE_RUN, NODE_VALIDATE, NodeTable, ONE_AT_A_TIME, Sink, Str, interface,
};
use std::ffi::c_void;

/// The table, if the artefact has nodes.
pub fn nodes<L: Library>(name: &str) -> Option<*const c_void> {
    let table: &'static NodeTable = const {
        &NodeTable {
            struct_size: size_of::<NodeTable>() as u32,
            thread_safety: ONE_AT_A_TIME,
            run: run::<L>,
            call: call::<L>,
        }
    };
    (name == interface::NODE && !L::nodes().is_empty()).then_some((&raw const *table).cast())
}

unsafe extern "C" fn run<L: Library>(node: Str, inputs: Str, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends both for this call.
        let (node, inputs) = unsafe { (text(node)?, serde_json::from_slice(inputs.bytes())?) };
        let returned = run_wired(&L::nodes(), node, Place::default(), inputs)?;
        let values = returned.outputs.into_iter().map(|feed| match feed {
            WireFeed::Values(values) => Ok(values),
            WireFeed::Link(..) => Err(Error::unsupported("this host is too old for nodes that expand")),
        });
        let outputs = values.collect::<Result<Vec<_>>>()?;
        (0..).zip(&outputs).try_for_each(|(i, values)| put_json(results, i, values))
    })
}

unsafe extern "C" fn call<L: Library>(what: u32, request: Str, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends it for this call.
        let WireCall { node, place, inputs, types } = serde_json::from_slice(unsafe { request.bytes() })?;
        let nodes = L::nodes();
        match what {
            NODE_RUN => put_json(results, 0, &run_wired(&nodes, &node, place, inputs)?),
            NODE_CHECK_LAZY => put_json(results, 0, &lazy_wired(&nodes, &node, place, inputs)?),
            NODE_VALIDATE => put_json(results, 0, &validate_wired(&nodes, &node, inputs, &types)?),
            NODE_FINGERPRINT => put_json(results, 0, &fingerprint_wired(&nodes, &node, place, inputs)?),
            other => Err(Error::unsupported(format!("a node is asked for {other}, which this plugin does not know"))),
        }
    })
}
