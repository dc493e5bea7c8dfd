//! From prompts to what the network reads.

mod chunks;
mod clip_set_last_layer;
mod clip_text_encode;
mod lora_prompt;
mod lora_tags;
mod weights;

use crate::Make;
pub(crate) use chunks::encode;
use engine::node;
pub(crate) use lora_tags::refuse_tags;

pub(crate) const NODES: &[Make] = &[
    node::<clip_text_encode::CLIPTextEncode>,
    node::<clip_set_last_layer::CLIPSetLastLayer>,
    node::<lora_prompt::LoraPrompt>,
];
