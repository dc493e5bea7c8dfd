//! From prompts to what the network reads.

mod clip_set_last_layer;
mod clip_text_encode;
mod clip_text_encode_flux;
mod clip_text_encode_sdxl;
mod clip_text_encode_sdxl_refiner;
mod clip_vision_encode;
mod conditioning_average;
mod conditioning_combine;
mod conditioning_concat;
mod conditioning_set_area;
mod conditioning_set_area_percentage;
mod conditioning_set_mask;
mod conditioning_set_timestep_range;
mod conditioning_zero_out;
mod control;
mod control_net_apply;
mod control_net_apply_advanced;
mod encode;
mod flux_guidance;
mod inpaint_model_conditioning;
mod instruct_pix_to_pix_conditioning;
mod lora_prompt;
mod lora_tags;
mod pairs;
mod prompt_encode;
mod reference_latent;
mod style_model_apply;
#[cfg(test)]
mod tests;
mod unclip_conditioning;

use crate::Make;
pub(crate) use encode::{COMFYUI, encode};
use engine::node;
pub(crate) use lora_tags::refuse_tags;

pub(crate) const NODES: &[Make] = &[
    node::<clip_text_encode::CLIPTextEncode>,
    node::<clip_text_encode_sdxl::CLIPTextEncodeSDXL>,
    node::<clip_text_encode_sdxl_refiner::CLIPTextEncodeSDXLRefiner>,
    node::<clip_text_encode_flux::CLIPTextEncodeFlux>,
    node::<prompt_encode::PromptEncode>,
    node::<clip_set_last_layer::CLIPSetLastLayer>,
    node::<lora_prompt::LoraPrompt>,
    node::<conditioning_combine::ConditioningCombine>,
    node::<conditioning_average::ConditioningAverage>,
    node::<conditioning_concat::ConditioningConcat>,
    node::<conditioning_zero_out::ConditioningZeroOut>,
    node::<conditioning_set_timestep_range::ConditioningSetTimestepRange>,
    node::<conditioning_set_area::ConditioningSetArea>,
    node::<conditioning_set_area_percentage::ConditioningSetAreaPercentage>,
    node::<conditioning_set_mask::ConditioningSetMask>,
    node::<flux_guidance::FluxGuidance>,
    node::<control_net_apply::ControlNetApply>,
    node::<control_net_apply_advanced::ControlNetApplyAdvanced>,
    node::<inpaint_model_conditioning::InpaintModelConditioning>,
    node::<instruct_pix_to_pix_conditioning::InstructPixToPixConditioning>,
    node::<reference_latent::ReferenceLatent>,
    node::<clip_vision_encode::CLIPVisionEncode>,
    node::<unclip_conditioning::UnCLIPConditioning>,
    node::<style_model_apply::StyleModelApply>,
];
