//! The shape of a Flux transformer, from a `config.json` or from its tensors.

use crate::config::Json;
use crate::error::Result;
use crate::family::Shapes;

/// The shape of a Flux transformer (`FluxTransformer2DModel` in diffusers, `Flux` in the original code).
#[derive(Clone, Debug, PartialEq)]
pub struct FluxConfig {
    /// Features of a token that comes in: the channels of 2×2 pixels of a latent.
    pub packed_in: usize,
    /// Features of a token that goes out.
    pub packed_out: usize,
    /// Features inside.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Features inside a feed-forward.
    pub mlp: usize,
    /// Features of the text states.
    pub context: usize,
    /// Features of the pooled text.
    pub pooled: usize,
    /// Blocks with separate streams for image and text.
    pub double_blocks: usize,
    /// Blocks with one stream.
    pub single_blocks: usize,
    /// Features of a head that are turned by each of a token's three positions: 0, row, column.
    pub axes: [usize; 3],
    /// Whether the guidance is an input (Flux.1-dev), or there is none (schnell).
    pub guidance: bool,
}

/// Of heads of 128 features: what every Flux.1 has.
const AXES: [usize; 3] = [16, 56, 56];

impl FluxConfig {
    /// Flux.1-dev, of 12 billion parameters.
    pub fn dev() -> FluxConfig {
        FluxConfig {
            packed_in: 64,
            packed_out: 64,
            hidden: 3072,
            heads: 24,
            mlp: 12288,
            context: 4096,
            pooled: 768,
            double_blocks: 19,
            single_blocks: 38,
            axes: AXES,
            guidance: true,
        }
    }

    pub(crate) fn from_json(json: &Json) -> Result<FluxConfig> {
        json.expect_values(&[("patch_size", &["null", "1"])])?;
        let packed_in = json.optional("in_channels")?.unwrap_or(64);
        let (heads, head): (usize, usize) =
            (json.required("num_attention_heads")?, json.required("attention_head_dim")?);
        let hidden = heads * head;
        let config = FluxConfig {
            packed_in,
            packed_out: json.optional("out_channels")?.unwrap_or(packed_in),
            hidden,
            heads,
            mlp: 4 * hidden,
            context: json.required("joint_attention_dim")?,
            pooled: json.required("pooled_projection_dim")?,
            double_blocks: json.required("num_layers")?,
            single_blocks: json.required("num_single_layers")?,
            axes: json.optional("axes_dims_rope")?.unwrap_or(AXES),
            guidance: json.optional("guidance_embeds")?.unwrap_or(false),
        };
        config.check().map_err(|what| json.wrong(what))?;
        Ok(config)
    }

    /// From the shapes of tensors with the original names. The split of a head's features over the positions does not
    /// show in them, but all published models have the same.
    pub(crate) fn from_shapes(shapes: &Shapes) -> Result<FluxConfig, String> {
        let dims = |name: &str, rank: usize| {
            let shape =
                shapes.get(name).ok_or_else(|| format!("`{name}` is missing, which tells the network's shape"))?;
            (shape.len() == rank).then_some(shape).ok_or_else(|| format!("`{name}`: found shape {shape:?}"))
        };
        let blocks = |prefix: &str, name: &str| {
            (0..).take_while(|i| shapes.contains_key(&format!("{prefix}.{i}.{name}"))).count()
        };
        let img = dims("img_in.weight", 2)?;
        let head = dims("double_blocks.0.img_attn.norm.query_norm.scale", 1)?[0];
        if head != AXES.iter().sum::<usize>() {
            return Err(format!(
                "heads of {head} features, where every Flux.1 has 128: how they are split over row and column does not \
                 show in the tensors; name a diffusers folder with the model's config.json"
            ));
        }
        let config = FluxConfig {
            packed_in: img[1],
            packed_out: dims("final_layer.linear.weight", 2)?[0],
            hidden: img[0],
            heads: img[0] / head,
            mlp: dims("double_blocks.0.img_mlp.0.weight", 2)?[0],
            context: dims("txt_in.weight", 2)?[1],
            pooled: dims("vector_in.in_layer.weight", 2)?[1],
            double_blocks: blocks("double_blocks", "img_attn.qkv.weight"),
            single_blocks: blocks("single_blocks", "linear1.weight"),
            axes: AXES,
            guidance: shapes.contains_key("guidance_in.in_layer.weight"),
        };
        config.check()?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.heads == 0 || !self.hidden.is_multiple_of(self.heads) {
            return Err(format!("{} features do not divide into {} heads", self.hidden, self.heads));
        }
        let head = self.hidden / self.heads;
        if self.axes.iter().sum::<usize>() != head || self.axes.iter().any(|axis| axis % 2 != 0) {
            return Err(format!("expected three even numbers that add up to {head}, found {:?}", self.axes));
        }
        if self.packed_in == 0
            || !self.packed_in.is_multiple_of(4)
            || self.packed_out == 0
            || !self.packed_out.is_multiple_of(4)
        {
            let (a, b) = (self.packed_in, self.packed_out);
            return Err(format!("tokens are 2×2 pixels, which {a} and {b} features are not"));
        }
        Ok(())
    }

    /// Channels of a latent that comes in.
    pub fn channels(&self) -> usize {
        self.packed_in / 4
    }
}
