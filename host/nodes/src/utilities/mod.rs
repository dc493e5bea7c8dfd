//! Values that are no pictures: texts, numbers, choices.

mod comfy_switch_node;
mod preview_any;
mod primitive_boolean;
mod primitive_float;
mod primitive_int;
mod primitive_string;
mod primitive_string_multiline;
mod resolution_selector;
mod string_concatenate;
mod string_replace;
#[cfg(test)]
mod tests;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[
    node::<preview_any::PreviewAny>,
    node::<primitive_int::PrimitiveInt>,
    node::<primitive_float::PrimitiveFloat>,
    node::<primitive_boolean::PrimitiveBoolean>,
    node::<primitive_string::PrimitiveString>,
    node::<primitive_string_multiline::PrimitiveStringMultiline>,
    node::<string_concatenate::StringConcatenate>,
    node::<string_replace::StringReplace>,
    node::<comfy_switch_node::ComfySwitchNode>,
    node::<resolution_selector::ResolutionSelector>,
];
