//! How programs name the modules of a network in their files: a row each. A file is matched with all of them at once.

use super::layouts::{self, Layout, Parameter, Spelling};
use super::place::Place;
use std::collections::HashMap;

/// A way of naming modules.
pub struct Naming {
    /// As people call it.
    pub name: &'static str,
    /// Programs that write it.
    pub written_by: &'static str,
    /// What stands in front of a module; `{c}` is `unet` or `transformer`.
    pub(super) prefixes: &'static [&'static str],
    /// What stands in front of a text encoder's module; `{k}` is kohya's prefix, `{t}` diffusers' folder, `{n}` the
    /// encoder's name.
    pub(super) texts: &'static [&'static str],
    style: Style,
    /// What stands between the parts of a path.
    joint: &'static str,
    /// Only for networks that diffusers calls this.
    pub component: Option<&'static str>,
    module: fn(&str) -> Option<String>,
    pub(crate) ends: Ends,
}

/// Whose module paths a naming is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Diffusers,
    Original,
}

/// How the tensors of a module are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// `.lora_down.weight`
    Kohya,
    /// `.lora_A.weight`
    Peft,
    /// `_lora.down.weight`, which has no place for anything but LoRA
    Processor,
}

/// All namings.
pub static NAMINGS: &[Naming] = &[
    Naming {
        name: "kohya, diffusers' names",
        written_by: "sd-scripts (SD 1.x and 2.x), LyCORIS, OneTrainer",
        prefixes: &["lora_unet_"],
        texts: &["{k}"],
        joint: "_",
        ends: Ends::Kohya,
        ..PLAIN
    },
    Naming {
        name: "kohya, original names",
        written_by: "sd-scripts (SDXL and Flux), LyCORIS",
        prefixes: &["lora_unet_"],
        texts: &["{k}"],
        style: Style::Original,
        joint: "_",
        ends: Ends::Kohya,
        ..PLAIN
    },
    Naming {
        name: "PEFT, diffusers",
        written_by: "diffusers' training scripts, ai-toolkit (no alpha: factor 1), SimpleTuner",
        prefixes: &["{c}."],
        texts: &["{t}."],
        ..PLAIN
    },
    Naming {
        name: "raw PEFT",
        written_by: "PEFT's own save_pretrained, some web trainers",
        prefixes: &["base_model.model.", "{c}.base_model.model."],
        texts: &["{t}.base_model.model."],
        ..PLAIN
    },
    Naming {
        name: "raw PEFT, original names",
        written_by: "trainers that wrap the original code",
        prefixes: &["base_model.model."],
        texts: &[],
        style: Style::Original,
        ..PLAIN
    },
    Naming {
        name: "attention processors",
        written_by: "diffusers before 0.22",
        prefixes: &["{c}.", ""],
        texts: &["{t}."],
        component: Some("unet"),
        module: processor,
        ends: Ends::Processor,
        ..PLAIN
    },
    Naming {
        name: "lycoris_",
        written_by: "LyCORIS' wrapper, SimpleTuner",
        prefixes: &["lycoris_"],
        texts: &[],
        joint: "_",
        ends: Ends::Kohya,
        ..PLAIN
    },
    Naming {
        name: "lora_transformer_",
        written_by: "OneTrainer (Flux)",
        prefixes: &["lora_transformer_"],
        texts: &["{k}"],
        joint: "_",
        component: Some("transformer"),
        ends: Ends::Kohya,
        ..PLAIN
    },
    Naming {
        name: "diffusion_model.",
        written_by: "ComfyUI's training and extraction nodes",
        prefixes: &["diffusion_model.", "model.diffusion_model."],
        texts: &["text_encoders.{n}.transformer.", "{n}.transformer."],
        style: Style::Original,
        ..PLAIN
    },
    Naming {
        name: "bare diffusers' names",
        written_by: "extractions from diffusers' weights",
        prefixes: &[""],
        texts: &[],
        ..PLAIN
    },
    Naming {
        name: "bare original names",
        written_by: "extractions from single-file weights",
        prefixes: &[""],
        texts: &[],
        style: Style::Original,
        ..PLAIN
    },
];

const PLAIN: Naming = Naming {
    name: "",
    written_by: "",
    prefixes: &[],
    texts: &[],
    style: Style::Diffusers,
    joint: ".",
    component: None,
    module: |module| Some(module.to_owned()),
    ends: Ends::Peft,
};

/// The name of an attention's projection within its processor, or of one of a CLIP layer.
fn processor(module: &str) -> Option<String> {
    let (attention, projection) =
        module.rsplit_once(".to_").map(|(a, p)| (format!("{a}.processor"), p)).or_else(|| {
            let (attention, projection) = module.rsplit_once('.')?;
            let short = projection.strip_suffix("_proj").filter(|_| attention.ends_with("self_attn"))?;
            Some((attention.to_owned(), short))
        })?;
    Some(format!("{attention}.to_{}", projection.strip_suffix(".0").unwrap_or(projection)))
}

/// A network of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    Network,
    /// By its number in the family's order.
    Text(usize),
}

/// The parameters of a text encoder, and what others call it.
pub(crate) struct TextNames {
    /// `clip_l`, `t5xxl`
    pub(crate) name: &'static str,
    /// `lora_te1_`
    pub(crate) kohya: &'static str,
    /// `text_encoder_2`
    pub(crate) diffusers: &'static str,
    pub(crate) parameters: Vec<Parameter>,
}

/// A module under one of its names.
#[cfg_attr(not(test), allow(dead_code))] // Name and naming are what the tests of the table are about.
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) naming: &'static Naming,
    pub(crate) part: Part,
    pub(crate) place: Place,
}

/// All names of all modules of a model.
pub(crate) struct Names {
    pub(crate) all: Vec<Name>,
    by_name: HashMap<String, usize>,
}

impl Names {
    pub(crate) fn new(network: &[Parameter], texts: &[TextNames]) -> Names {
        let mut names = Names { all: Vec::new(), by_name: HashMap::new() };
        let layout = Layout::of(network);
        let spelled = layout.map_or_else(Vec::new, |layout| layout.spell(network));
        let component = layout.map_or("", |layout| layout.component);
        for naming in NAMINGS.iter().filter(|naming| naming.component.is_none_or(|only| only == component)) {
            let prefixes: Vec<String> = naming.prefixes.iter().map(|prefix| prefix.replace("{c}", component)).collect();
            for spelling in &spelled {
                names.add(naming, &prefixes, Part::Network, spelling);
            }
            for (index, text) in texts.iter().enumerate() {
                let prefixes: Vec<String> = naming.texts.iter().flat_map(|t| text.prefixes(t, index)).collect();
                for spelling in layouts::text(&text.parameters) {
                    // A text encoder has the same paths everywhere.
                    let spelling = Spelling { original: spelling.diffusers.clone(), ..spelling };
                    names.add(naming, &prefixes, Part::Text(index), &spelling);
                }
            }
        }
        names
    }

    /// Where a module of a file lies.
    pub(crate) fn find(&self, name: &str) -> Option<&Name> {
        self.all.get(*self.by_name.get(name)?)
    }

    fn add(&mut self, naming: &'static Naming, prefixes: &[String], part: Part, spelling: &Spelling) {
        let path = match naming.style {
            Style::Diffusers => &spelling.diffusers,
            Style::Original => &spelling.original,
        };
        let Some(module) = path.as_deref().and_then(naming.module) else { return };
        let module = module.replace('.', naming.joint);
        for prefix in prefixes {
            let name = format!("{prefix}{module}");
            // Two namings agree where a module is called alike in both; the first row has it.
            self.by_name.entry(name.clone()).or_insert(self.all.len());
            self.all.push(Name { name, naming, part, place: spelling.place.clone() });
        }
    }
}

impl TextNames {
    /// A row's prefix for this encoder. Kohya's numbers are the encoder's own (T5 is the third, be there a second or
    /// not), its place in the model (OneTrainer), and none for the first.
    fn prefixes(&self, template: &str, index: usize) -> Vec<String> {
        if template != "{k}" {
            return vec![template.replace("{t}", self.diffusers).replace("{n}", self.name)];
        }
        let mut all = vec![self.kohya.to_owned()];
        let others = [format!("lora_te{}_", index + 1), "lora_te_".to_owned()];
        for other in others.into_iter().take(if index == 0 { 2 } else { 1 }) {
            if !all.contains(&other) {
                all.push(other);
            }
        }
        all
    }
}

/// Whether a name is one of a text encoder's modules in some naming, of whatever model.
pub(super) fn is_of_text(name: &str) -> bool {
    ["lora_te", "text_encoder", "clip_l.", "clip_g.", "clip_h.", "t5xxl."].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::place::Rows;

    fn parameter(path: &str, shape: &[usize]) -> Parameter {
        Parameter { path: path.into(), original: path.into(), shape: shape.into(), bias: true }
    }

    fn clip(kohya: &'static str, name: &'static str, diffusers: &'static str) -> TextNames {
        let parameters = vec![parameter("text_model.encoder.layers.0.self_attn.q_proj", &[4, 4])];
        TextNames { name, kohya, diffusers, parameters }
    }

    #[test]
    fn rows_are_unique_and_complete() {
        for (i, naming) in NAMINGS.iter().enumerate() {
            assert!(!naming.name.is_empty() && !naming.written_by.is_empty() && !naming.prefixes.is_empty());
            assert!(NAMINGS[..i].iter().all(|other| other.name != naming.name), "{}", naming.name);
        }
    }

    #[test]
    fn unets_are_found_under_all_names() {
        let to_out = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0";
        let original = "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0".to_owned();
        let network = [Parameter { original, ..parameter(to_out, &[4, 4]) }];
        let names = Names::new(
            &network,
            &[clip("lora_te1_", "clip_l", "text_encoder"), clip("lora_te2_", "clip_g", "text_encoder_2")],
        );
        for name in [
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
            "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0",
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out",
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out",
            "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
            "unet.base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
            "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
            "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
            "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
        ] {
            let found = names.find(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!((found.part, found.place.path.as_str()), (Part::Network, to_out), "{name}");
        }
        for (name, index) in [
            ("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 0),
            ("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 0),
            ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1),
            ("text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj", 1),
            ("text_encoder.text_model.encoder.layers.0.self_attn.to_q", 0),
            ("text_encoders.clip_g.transformer.text_model.encoder.layers.0.self_attn.q_proj", 1),
        ] {
            assert_eq!(names.find(name).unwrap_or_else(|| panic!("{name}")).part, Part::Text(index), "{name}");
        }
        assert!(names.find("lora_te3_text_model_encoder_layers_0_self_attn_q_proj").is_none());
        assert!(names.find("lora_transformer_conv_in").is_none());
    }

    #[test]
    fn transformers_are_found_whole_and_in_pieces() {
        let network = [parameter("double_blocks.0.img_attn.qkv", &[12, 4])];
        let names = Names::new(&network, &[]);
        let rows = |name: &str| names.find(name).unwrap_or_else(|| panic!("{name}")).place.rows;
        assert_eq!(rows("lora_unet_double_blocks_0_img_attn_qkv"), Rows::All);
        assert_eq!(rows("diffusion_model.double_blocks.0.img_attn.qkv"), Rows::All);
        assert_eq!(rows("transformer.transformer_blocks.0.attn.to_k"), Rows::Part(4, 4));
        assert_eq!(rows("lycoris_transformer_blocks_0_attn_to_v"), Rows::Part(8, 4));
        assert_eq!(rows("lora_transformer_transformer_blocks_0_attn_to_q"), Rows::Part(0, 4));
    }
}
