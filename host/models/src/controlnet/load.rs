//! ControlNets and T2I-Adapters from diffusers folders, and from single files in diffusers' names or those of the original code.

use super::{Adapter, ControlNet, Half, Kind, adapter, names};
use crate::config::Json;
use crate::error::Result;
use crate::family::Shapes;
use crate::load::{Source, below, open, shapes_of, whole};
use crate::memory::Memory;
use crate::unet::{Heads, UNetConfig, infer};
use serde_json::{Value, json};
use std::path::Path;

/// A ControlNet, as its loader gives it.
pub struct LoadedControlNet {
    pub net: ControlNet,
    /// SHA-256 over the files, in hexadecimal.
    pub digest: String,
    /// How it was read, for people.
    pub found: Vec<String>,
}

/// What files have before their keys: ControlNets of the original code, adapters of diffusers.
const PREFIXES: &[&str] = &["control_model.", "adapter."];

/// Loads a ControlNet from a file, or from its folder of a diffusers model.
///
/// # Errors
/// Files that are none, and keys that are missing, misshapen or left over.
pub fn load_controlnet(path: &Path, memory: &Memory) -> Result<LoadedControlNet> {
    let (files, config, digest) = open(path, "diffusion_pytorch_model")?;
    let mut source = below(path, &files, PREFIXES);
    source.config = config;
    source.memory = memory.clone();
    let net = read(&source)?;
    Ok(LoadedControlNet { net, digest, found: source.notes() })
}

fn read(source: &Source) -> Result<ControlNet> {
    if adapter::is_adapter(&source.shapes()) {
        let (light, theirs) = (!source.has("conv_in."), source.has(".resnets."));
        let entries = source.entries(|key, piece| match theirs {
            true => whole(key.to_owned(), piece),
            false => adapter::name(light, key, piece),
        });
        let shapes = shapes_of(&entries);
        let net = source.build(entries, |part| Adapter::build(&shapes, part))?;
        source.note("a T2I-Adapter");
        return Ok(ControlNet(Kind::Adapter(net)));
    }
    let old = source.has("input_hint_block.");
    if !old && !source.has("controlnet_cond_embedding.") {
        return Err(source.wrong(
            "this is no ControlNet or T2I-Adapter: it has neither `controlnet_cond_embedding` nor `input_hint_block` nor \
             an adapter's `body`. ControlNets of other kinds are not read",
        ));
    }
    let layers = crate::unet::names::layers(&source.shapes());
    let entries = source.entries(|key, piece| {
        let name = if old { names::diffusers(key, layers) } else { None };
        whole(name.unwrap_or_else(|| key.to_owned()), piece)
    });
    let shapes = shapes_of(&entries);
    let config = match &source.config {
        Some(json) => from_json(json)?,
        None => inferred(&shapes).map_err(|what| source.wrong(what))?,
    };
    let widths = widths(&shapes);
    let half = source.build(entries, |part| Half::build(config, &widths, part))?;
    Ok(ControlNet(Kind::Half(half)))
}

/// A ControlNet's config is that of a UNet without the way up, and two settings more.
fn from_json(json: &Json) -> Result<UNetConfig> {
    json.expect_values(&[
        ("controlnet_conditioning_channel_order", &["null", "\"rgb\""]),
        ("conditioning_channels", &["null", "3"]),
        ("global_pool_conditions", &["null", "false"]),
    ])?;
    let down: Vec<Value> = json.required("down_block_types")?;
    UNetConfig::from_json(&json.with("up_block_types", json!(vec!["UpBlock2D"; down.len()])))
}

/// A file alone does not show its heads: 8 of them where the text is SD 1.x's, else heads of 64 features.
fn inferred(shapes: &Shapes) -> Result<UNetConfig, String> {
    let mut shapes = shapes.clone();
    let channels = infer::dim(&shapes, "conv_in.weight", 1)?;
    shapes.insert("conv_out.weight".into(), vec![channels]);
    let text = infer::dim(&shapes, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1)?;
    infer::config(&shapes, if text <= 768 { Heads::Count(8) } else { Heads::Size(64) })
}

/// Channels of the picture's convolutions.
fn widths(shapes: &Shapes) -> Vec<usize> {
    let path = |i: usize| match i {
        0 => "controlnet_cond_embedding.conv_in.weight".to_owned(),
        n => format!("controlnet_cond_embedding.blocks.{}.weight", n - 1),
    };
    (0..).map_while(|i| shapes.get(&path(i))?.first().copied()).collect()
}
