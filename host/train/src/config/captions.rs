//! What is done to captions.

use super::{Problems, Section};
use crate::captions::Pipeline;
use serde::{Deserialize, Serialize};

/// What is done to captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionOptions {
    /// Shuffle tags at each step. Captions in sentences are never shuffled. Default true.
    pub shuffle_tags: bool,
    /// Tags in front that keep their places. Default: as many as all captions have in common, or as there are
    /// activation tags.
    pub keep_tokens: Option<usize>,
    /// Tags that call up what is trained; every caption must start with them. Default: none.
    pub activation_tags: Vec<String>,
    /// Share of steps with an empty caption. Default 0.
    pub caption_dropout: f64,
    /// Share of tags that are left out at each step. Default 0.
    pub tag_dropout: f64,
    /// Choose one of `{a|b}` in captions. Default false.
    pub wildcards: bool,
    /// Take the text states this many layers before the end; 1 is the last. Default 1, some anime bases want 2.
    pub clip_skip: usize,
    /// Accept images without a caption. Default false.
    pub allow_missing_captions: bool,
}

impl Default for CaptionOptions {
    fn default() -> Self {
        Self {
            shuffle_tags: true,
            keep_tokens: None,
            activation_tags: Vec::new(),
            caption_dropout: 0.0,
            tag_dropout: 0.0,
            wildcards: false,
            clip_skip: 1,
            allow_missing_captions: false,
        }
    }
}

impl CaptionOptions {
    /// What is done to captions, with `keep_tokens` tags held in front.
    pub fn pipeline(&self, keep_tokens: usize) -> Pipeline {
        Pipeline {
            dropout: self.caption_dropout,
            tag_dropout: self.tag_dropout,
            shuffle: self.shuffle_tags,
            wildcards: self.wildcards,
            keep_tokens,
            ..Pipeline::default()
        }
    }
}

impl Section for CaptionOptions {
    fn check(&self, problems: &mut Problems) {
        problems.at_least_one("clip_skip", self.clip_skip as u64);
        problems.share("caption_dropout", self.caption_dropout);
        problems.share("tag_dropout", self.tag_dropout);
        let activation = self.activation_tags.len();
        if let Some(keep) = self.keep_tokens
            && self.shuffle_tags
        {
            problems.want(
                activation == 0 || keep == activation,
                format!(
                    "`keep_tokens` is {keep}, but there are {activation} activation tags ({}): shuffling would move \
                     them, or hold others in place; set it to {activation}, or leave it out",
                    self.activation_tags.join(", ")
                ),
            );
        }
    }
}
