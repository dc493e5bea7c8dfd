//! The names of layers and matrices in LoRA files.

use super::Module;
use crate::adapter::Target;
use crate::network::Network;
use crate::text::Texts;
use std::collections::{BTreeMap, HashMap};

/// A matrix of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaf {
    Down,
    Up,
    Mid,
    Alpha,
}

/// How the ends of keys are written.
const LEAVES: &[(&str, Leaf)] = &[
    // kohya, also LyCORIS' LoCon
    (".lora_down.weight", Leaf::Down),
    (".lora_up.weight", Leaf::Up),
    (".lora_mid.weight", Leaf::Mid),
    (".alpha", Leaf::Alpha),
    // PEFT and diffusers
    (".lora_A.weight", Leaf::Down),
    (".lora_B.weight", Leaf::Up),
    (".lora_A.default.weight", Leaf::Down),
    (".lora_B.default.weight", Leaf::Up),
    // older diffusers
    (".lora.down.weight", Leaf::Down),
    (".lora.up.weight", Leaf::Up),
    (".lora_linear_layer.down.weight", Leaf::Down),
    (".lora_linear_layer.up.weight", Leaf::Up),
];

/// The layer's name and the matrix that a key is.
pub(super) fn split(key: &str) -> Option<(&str, Leaf)> {
    LEAVES.iter().find_map(|(end, leaf)| Some((key.strip_suffix(end)?, *leaf)))
}

/// Networks that are not LoRA, by the end of a key or, where that is not enough, by a piece of it.
const OTHERS: &[(&str, &str)] = &[
    (".dora_scale", "DoRA"),
    (".hada_w", "LoHa"),
    (".hada_t", "LoHa"),
    (".lokr_", "LoKr"),
    (".oft_", "OFT"),
    (".a1.weight", "GLoRA"),
    (".on_input", "IA3"),
    (".w_norm", "norm difference"),
    (".b_norm", "norm difference"),
];

/// What a file with this key is, if it is not a LoRA.
pub(super) fn other_kind(key: &str) -> Option<&'static str> {
    if key.ends_with(".diff") || key.ends_with(".diff_b") {
        return Some("full-weight difference");
    }
    OTHERS.iter().find(|(piece, _)| key.contains(piece)).map(|(_, name)| *name)
}

/// The layers of a model under all the names that files give them: 0 for the denoising network, then one for each text
/// encoder.
pub(super) struct Targets(HashMap<String, (usize, Target)>);

impl Targets {
    pub(super) fn new(network: &Network, texts: &Texts) -> Targets {
        let mut names = HashMap::new();
        let mut add = |net: usize, folder: &str, kohya: &str, targets: Vec<Target>| {
            for target in targets {
                names.insert(format!("{folder}.{}", target.path), (net, target.clone()));
                names.insert(format!("{kohya}{}", target.path.replace('.', "_")), (net, target.clone()));
                names.insert(target.kohya.clone(), (net, target));
            }
        };
        let row = &texts.family().network;
        add(0, row.folder, row.kohya, network.targets());
        for (i, part) in texts.parts().iter().enumerate() {
            add(1 + i, part.row().folder, part.row().kohya, part.targets());
        }
        Targets(names)
    }

    pub(super) fn find(&self, name: &str) -> Option<&(usize, Target)> {
        self.0.get(name).or_else(|| self.0.get(name.strip_prefix("base_model.model.")?))
    }
}

/// What a LoRA that does not fit was made for, as far as its names and shapes say.
pub(super) fn guess(modules: &BTreeMap<String, std::sync::Arc<Module>>, metadata: &HashMap<String, String>) -> String {
    let has = |pieces: &[&str]| modules.keys().any(|name| pieces.iter().any(|piece| name.contains(piece)));
    let text_width = modules.iter().find(|(name, _)| name.ends_with("attn2_to_k")).map(|(_, m)| m.extent().1);
    let family =
        if has(&["double_blocks_", "single_blocks_", "single_transformer_blocks", "transformer.transformer_blocks"]) {
            Some("Flux.1")
        } else if has(&["lora_te2_", "lora_unet_input_blocks_", "lora_unet_output_blocks_"]) || text_width == Some(2048)
        {
            Some("SDXL")
        } else if text_width == Some(1024) {
            Some("SD 2.x")
        } else {
            None
        };
    let stated = ["modelspec.architecture", "ss_base_model_version"].iter().find_map(|key| metadata.get(*key));
    match (family, stated) {
        (Some(family), _) => format!("this looks like a LoRA for {family}; use it with a checkpoint of that family"),
        (None, Some(stated)) => format!("the file says that it was made for `{stated}`"),
        (None, None) => {
            "it was made for another model; a LoRA fits checkpoints of the family and size it was trained on".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_keys_are_known() {
        assert_eq!(split("lora_unet_x.lora_down.weight"), Some(("lora_unet_x", Leaf::Down)));
        assert_eq!(split("unet.a.b.lora_B.weight"), Some(("unet.a.b", Leaf::Up)));
        assert_eq!(split("x.alpha"), Some(("x", Leaf::Alpha)));
        assert_eq!(split("x.weight"), None);
        assert_eq!(other_kind("lora_unet_x.hada_w1_a"), Some("LoHa"));
        assert_eq!(other_kind("lora_unet_x.diff"), Some("full-weight difference"));
        assert_eq!(other_kind("model.diffusion_model.out.0.weight"), None);
    }
}
