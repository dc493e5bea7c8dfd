//! An artefact's own nodes as a component.

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package anagama:sdk-node;
            world node { export anagama:plugin/node@0.1.0; }
        ",
        world: "node",
        with: {
            "anagama:plugin/types@0.1.0": crate::wasm::imports::anagama::plugin::types,
            "anagama:plugin/tensors@0.1.0": crate::wasm::imports::anagama::plugin::tensors,
            "anagama:plugin/images@0.1.0": crate::wasm::imports::anagama::plugin::images,
            "anagama:plugin/handles@0.1.0": crate::wasm::imports::anagama::plugin::handles,
        },
        pub_export_macro: true,
        export_macro_name: "export_node",
        default_bindings_module: "plugin_sdk::wasm::node::bindings",
    });
}

use super::convert::{annotation_in, annotation_out, error_out};
use super::imports::anagama::plugin::{handles, images, tensors, types};
use super::set_up;
use crate::host::Artefact;
use crate::node::{Judgement, fingerprint_wired, lazy_wired, run_wired, validate_wired};
use crate::place::Place;
use crate::wire::{Wire, WireFeed, WireInputs, WireNode, WireReturned};
use bindings::exports::anagama::plugin::node as wit;
use bindings::exports::anagama::plugin::node::{Guest, Value};
use std::marker::PhantomData;

pub struct Glue<A>(PhantomData<A>);

type Inputs = Vec<(String, Vec<Value>)>;

impl<A: Artefact> Guest for Glue<A> {
    fn run(node: String, place: wit::Place, inputs: Inputs) -> Result<wit::Returned, types::Error> {
        set_up();
        run_wired(&A::nodes(), &node, place_in(place), inputs_in(inputs)).map(returned).map_err(error_out)
    }

    fn check_lazy(node: String, place: wit::Place, inputs: Inputs) -> Result<Vec<String>, types::Error> {
        set_up();
        lazy_wired(&A::nodes(), &node, place_in(place), inputs_in(inputs)).map_err(error_out)
    }

    fn validate(node: String, inputs: Inputs, types: Vec<(String, String)>) -> Result<wit::Verdict, types::Error> {
        set_up();
        match validate_wired(&A::nodes(), &node, inputs_in(inputs), &types).map_err(error_out)? {
            Judgement::Accepted => Ok(wit::Verdict::Accepted),
            Judgement::Refused(reason) => Ok(wit::Verdict::Refused(reason)),
        }
    }

    fn fingerprint(node: String, place: wit::Place, inputs: Inputs) -> Result<Option<String>, types::Error> {
        set_up();
        fingerprint_wired(&A::nodes(), &node, place_in(place), inputs_in(inputs)).map_err(error_out)
    }
}

fn place_in(place: wit::Place) -> Place {
    Place { id: place.id, prefix: place.prefix }
}

fn inputs_in(inputs: Inputs) -> WireInputs {
    inputs.into_iter().map(|(name, values)| (name, values.into_iter().map(wire).collect())).collect()
}

fn returned(returned: WireReturned) -> wit::Returned {
    wit::Returned {
        outputs: returned.outputs.into_iter().map(feed).collect(),
        nodes: returned.nodes.into_iter().map(new_node).collect(),
        ui: returned.ui,
    }
}

fn new_node(node: WireNode) -> wit::NewNode {
    wit::NewNode {
        id: node.id,
        class_type: node.class_type,
        inputs: node.inputs.into_iter().map(|(name, value)| (name, feed(value))).collect(),
        display_id: node.display_id,
    }
}

fn feed(feed: WireFeed) -> wit::Feed {
    match feed {
        WireFeed::Values(values) => wit::Feed::Values(values.into_iter().map(value).collect()),
        WireFeed::Link(node, slot) => wit::Feed::Link((node, slot)),
    }
}

fn wire(value: Value) -> Wire {
    match value {
        Value::None => Wire::None,
        Value::Int(v) => Wire::Int(v),
        Value::Float(v) => Wire::Float(v),
        Value::Boolean(v) => Wire::Boolean(v),
        Value::Text(v) => Wire::Text(v),
        Value::Json(v) => Wire::Json(v),
        Value::Image(v) => Wire::Image(v.take_handle().into()),
        Value::Tensor(v) => Wire::Tensor(v.take_handle().into()),
        Value::Annotation(v) => Wire::Annotation(annotation_in(v)),
        Value::Handle(v) => Wire::Handle(v.take_handle().into()),
        Value::Blocker(message) => Wire::Blocker(message),
    }
}

fn value(wire: Wire) -> Value {
    match wire {
        Wire::None => Value::None,
        Wire::Int(v) => Value::Int(v),
        Wire::Float(v) => Value::Float(v),
        Wire::Boolean(v) => Value::Boolean(v),
        Wire::Text(v) => Value::Text(v),
        Wire::Json(v) => Value::Json(v),
        Wire::Annotation(v) => Value::Annotation(annotation_out(v)),
        Wire::Blocker(message) => Value::Blocker(message),
        // SAFETY: these handles were given away by their objects and are not used again.
        Wire::Image(h) => Value::Image(unsafe { images::Image::from_handle(h as u32) }),
        // SAFETY: as above.
        Wire::Tensor(h) => Value::Tensor(unsafe { tensors::Tensor::from_handle(h as u32) }),
        // SAFETY: as above.
        Wire::Handle(h) => Value::Handle(unsafe { handles::Handle::from_handle(h as u32) }),
    }
}
