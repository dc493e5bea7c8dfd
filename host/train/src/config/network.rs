//! What is trained.

use super::{Problems, Section};
use crate::networks::{self, LayerRule, Naming, Rates, Shape, Targets};
use models::TargetKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkOptions {
    /// What is trained on top of the base: a row of `NETWORKS`. Default `lora`.
    #[serde(rename = "network")]
    pub kind: String,
    /// Rank of the added matrices, 1 to 1024. Default 16.
    pub rank: usize,
    /// Scale of what is added is alpha / rank. Default: the rank, so that the scale is 1.
    pub alpha: Option<f64>,
    /// Rank for kernels of more than a pixel, with `targets` `linear+conv`. Default: `rank`.
    pub conv_rank: Option<usize>,
    /// Alpha for kernels of more than a pixel. Default: the one that gives the other layers' scale.
    pub conv_alpha: Option<f64>,
    /// LoKr: a weight's sides are cut by this number where it divides them. Default: into two factors that are nearest to
    /// each other, for the smallest files.
    pub lokr_factor: Option<usize>,
    /// Which layers get a network: `attention`, `attention+feed-forward` (sd-scripts' set), `linear`, `linear+conv`
    /// (LoCon), or `layers` (none but those of `layers`). Default `attention+feed-forward`.
    pub targets: Targets,
    /// Layers with ranks of their own: a list of `{"pattern": regular expression, "rank": …, "alpha": …}`. Rank 0 leaves
    /// layers out. Default: none.
    pub layers: Vec<LayerRule>,
    /// Train the UNet. Default true.
    pub train_unet: bool,
    /// Train the text encoder, too. Default false.
    pub train_text_encoder: bool,
    /// Share of the values between LoRA's two matrices that are left out at each step. Default 0.
    pub dropout: f64,
    /// Share of the ranks that are left out for each image; for the kinds of LyCORIS the share of a change's rows. Default
    /// 0.
    pub rank_dropout: f64,
    /// How often a layer runs without its network. Default 0.
    pub module_dropout: f64,
    /// Factor on the learning rate of the second matrices (LoRA+), for which 16 is common. Default: none.
    pub loraplus_lr_ratio: Option<f64>,
    /// A network file to start from instead of from zero; its kind, layers and ranks must be those that are asked for.
    /// Default: none.
    pub start_from: Option<PathBuf>,
    /// Names in saved files: `kohya`, or `peft` (diffusers' and ai-toolkit's, LoRA only). Default `kohya`.
    pub naming: Naming,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            kind: "lora".into(),
            rank: 16,
            alpha: None,
            conv_rank: None,
            conv_alpha: None,
            lokr_factor: None,
            targets: Targets::default(),
            layers: Vec::new(),
            train_unet: true,
            train_text_encoder: false,
            dropout: 0.0,
            rank_dropout: 0.0,
            module_dropout: 0.0,
            loraplus_lr_ratio: None,
            start_from: None,
            naming: Naming::default(),
        }
    }
}

/// The largest rank that is taken for one.
const LARGEST: usize = 1024;

impl NetworkOptions {
    /// Alpha, which is the rank if nothing else was said.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(self.rank as f64)
    }

    /// Size of the network of a layer that no rule is for.
    pub fn shape(&self, kind: &TargetKind) -> Shape {
        let (rank, alpha) = match kind {
            TargetKind::Conv { kernel, .. } if *kernel > 1 => (self.conv_rank.unwrap_or(self.rank), self.conv_alpha),
            _ => (self.rank, Some(self.alpha())),
        };
        Shape { rank, alpha: alpha.unwrap_or_else(|| self.alpha_for(rank)), factor: self.lokr_factor }
    }

    /// Size of the network of a layer that a rule is for.
    pub fn ruled(&self, rule: &LayerRule) -> Shape {
        let alpha = rule.alpha.unwrap_or_else(|| self.alpha_for(rule.rank));
        Shape { rank: rule.rank, alpha, factor: self.lokr_factor }
    }

    /// The alpha that gives another rank the same scale.
    fn alpha_for(&self, rank: usize) -> f64 {
        self.alpha.map_or(rank as f64, |alpha| alpha * rank as f64 / self.rank as f64)
    }

    /// What is left out by chance.
    pub fn rates(&self) -> Rates {
        Rates { neurons: self.dropout, ranks: self.rank_dropout, module: self.module_dropout }
    }
}

impl Section for NetworkOptions {
    fn check(&self, problems: &mut Problems) {
        problems.want((1..=LARGEST).contains(&self.rank), format!("`rank`: expected 1 to 1024, found {}", self.rank));
        problems.positive("alpha", self.alpha());
        let rank = self.conv_rank.unwrap_or(1);
        problems.want((1..=LARGEST).contains(&rank), format!("`conv_rank`: expected 1 to 1024, found {rank}"));
        problems.positive("conv_alpha", self.conv_alpha.unwrap_or(1.0));
        problems.want(
            self.targets == Targets::LinearConv || (self.conv_rank.is_none() && self.conv_alpha.is_none()),
            "`conv_rank` and `conv_alpha` mean nothing unless `targets` is `linear+conv`",
        );
        for (key, share) in
            [("dropout", self.dropout), ("rank_dropout", self.rank_dropout), ("module_dropout", self.module_dropout)]
        {
            problems.want((0.0..1.0).contains(&share), format!("`{key}`: expected 0 or more, below 1, found {share}"));
        }
        problems.positive("loraplus_lr_ratio", self.loraplus_lr_ratio.unwrap_or(1.0));
        problems.at_least_one("lokr_factor", self.lokr_factor.unwrap_or(1) as u64);
        for rule in &self.layers {
            problems.found(rule.regex());
            let ok = rule.rank <= LARGEST;
            problems
                .want(ok, format!("`layers`: expected ranks of 0 to 1024, found {} for {:?}", rule.rank, rule.pattern));
            problems.positive("layers: alpha", rule.alpha.unwrap_or(1.0));
        }
        problems.want(
            self.targets != Targets::Layers || !self.layers.is_empty(),
            "`targets` is `layers`, but `layers` names none",
        );
        problems.want(
            self.train_unet || self.train_text_encoder,
            "nothing to train: `train_unet` and `train_text_encoder` are both false",
        );
        match networks::find(&self.kind) {
            Err(e) => problems.found::<()>(Err(e)),
            Ok(row) => {
                let mut means = |key: &str, used: bool, has: bool, instead: &str| {
                    problems.want(!used || has, format!("`{key}` means nothing for `{}`{instead}", row.name));
                };
                means("dropout", self.dropout > 0.0, row.neurons, "; use `rank_dropout` or `module_dropout`");
                means("loraplus_lr_ratio", self.loraplus_lr_ratio.is_some(), !row.ups.is_empty(), "");
                means("lokr_factor", self.lokr_factor.is_some(), row.factored, "");
                means("naming", self.naming == Naming::Peft, row.peft, ", whose tensors PEFT has no names for");
            }
        }
    }
}
