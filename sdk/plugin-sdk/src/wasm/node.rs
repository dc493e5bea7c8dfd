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
use crate::node::{Wire, run_wired};
use bindings::exports::anagama::plugin::node::{Guest, Value};
use std::marker::PhantomData;

pub struct Glue<A>(PhantomData<A>);

impl<A: Artefact> Guest for Glue<A> {
    fn run(node: String, inputs: Vec<(String, Vec<Value>)>) -> Result<Vec<Vec<Value>>, types::Error> {
        set_up();
        let inputs = inputs.into_iter().map(|(name, values)| (name, values.into_iter().map(wire).collect())).collect();
        let outputs = run_wired(&A::nodes(), &node, inputs).map_err(error_out)?;
        Ok(outputs.into_iter().map(|values| values.into_iter().map(value).collect()).collect())
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
        // SAFETY: these handles were given away by their objects and are not used again.
        Wire::Image(h) => Value::Image(unsafe { images::Image::from_handle(h as u32) }),
        // SAFETY: as above.
        Wire::Tensor(h) => Value::Tensor(unsafe { tensors::Tensor::from_handle(h as u32) }),
        // SAFETY: as above.
        Wire::Handle(h) => Value::Handle(unsafe { handles::Handle::from_handle(h as u32) }),
    }
}
