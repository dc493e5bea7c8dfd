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
    /// Tags in front of this text keep their places, and those behind its second occurrence, if there is one; the text
    /// itself is removed. Default: none.
    pub keep_tokens_separator: String,
    /// Tags that call up what is trained; every caption must start with them. Default: none.
    pub activation_tags: Vec<String>,
    /// Put in front of each caption, with a space between, unless it is there already. Default: nothing.
    pub caption_prefix: String,
    /// Put behind each caption, with a space between. Default: nothing.
    pub caption_suffix: String,
    /// What stands between tags in captions. Default `,`.
    pub caption_separator: String,
    /// Stands between tags that stay together, and becomes `caption_separator` at the end. Default: none.
    pub secondary_separator: String,
    /// Share of steps with an empty caption. Default 0.
    pub caption_dropout: f64,
    /// Every so many epochs all captions are empty. Default 0: never.
    pub caption_dropout_every_epochs: u64,
    /// Share of tags that are left out at each step. Default 0.
    pub tag_dropout: f64,
    /// Steps over which the number of tags grows to all of them; below 1 a share of the run. Default 0.
    pub token_warmup_step: f64,
    /// Tags at the start of that growth. Default 1.
    pub token_warmup_min: usize,
    /// Choose one of several lines of a caption, and one of `{a|b}`. Default false: only the first line counts.
    pub wildcards: bool,
    /// Tokens that the CLIP text encoders read: 75, 150 or 225; what is longer is cut. Default 75.
    pub max_token_length: usize,
    /// Tokens of a prompt in a text encoder that has no length of its own (T5). Default 512.
    pub t5_tokens: usize,
    /// Take the text states this many layers before the end; 1 is the last. Default: the layer that the family reads;
    /// some anime bases of SD 1.5 want 2.
    pub clip_skip: Option<usize>,
    /// Accept images without a caption. Default false.
    pub allow_missing_captions: bool,
}

impl Default for CaptionOptions {
    fn default() -> Self {
        Self {
            shuffle_tags: true,
            keep_tokens: None,
            keep_tokens_separator: String::new(),
            activation_tags: Vec::new(),
            caption_prefix: String::new(),
            caption_suffix: String::new(),
            caption_separator: ",".into(),
            secondary_separator: String::new(),
            caption_dropout: 0.0,
            caption_dropout_every_epochs: 0,
            tag_dropout: 0.0,
            token_warmup_step: 0.0,
            token_warmup_min: 1,
            wildcards: false,
            max_token_length: 75,
            t5_tokens: 512,
            clip_skip: None,
            allow_missing_captions: false,
        }
    }
}

impl CaptionOptions {
    /// What is done to captions, with `keep_tokens` tags held in front.
    pub fn pipeline(&self, keep_tokens: usize) -> Pipeline {
        Pipeline {
            prefix: self.caption_prefix.clone(),
            suffix: self.caption_suffix.clone(),
            dropout: self.caption_dropout,
            dropout_every_epochs: self.caption_dropout_every_epochs,
            wildcards: self.wildcards,
            shuffle: self.shuffle_tags,
            keep_tokens,
            keep_separator: self.keep_tokens_separator.clone(),
            warmup_steps: self.token_warmup_step,
            warmup_min: self.token_warmup_min,
            tag_dropout: self.tag_dropout,
            separator: self.caption_separator.clone(),
            second_separator: self.secondary_separator.clone(),
        }
    }

    /// Rows of tokens that a caption becomes.
    pub fn rows(&self) -> usize {
        self.max_token_length / 75
    }
}

impl Section for CaptionOptions {
    fn check(&self, problems: &mut Problems) {
        problems.at_least_one("clip_skip", self.clip_skip.unwrap_or(1) as u64);
        problems.want(
            (16..=4096).contains(&self.t5_tokens),
            format!("`t5_tokens`: expected 16 to 4096, found {}", self.t5_tokens),
        );
        problems.share("caption_dropout", self.caption_dropout);
        problems.share("tag_dropout", self.tag_dropout);
        problems.not_negative("token_warmup_step", self.token_warmup_step);
        problems.at_least_one("token_warmup_min", self.token_warmup_min as u64);
        problems.want(
            [75, 150, 225].contains(&self.max_token_length),
            format!("`max_token_length`: expected 75, 150 or 225, found {}", self.max_token_length),
        );
        let separators = [&self.keep_tokens_separator, &self.secondary_separator];
        problems.want(!self.caption_separator.is_empty(), "`caption_separator`: expected a text, found none");
        problems.want(
            separators.iter().all(|s| **s != self.caption_separator),
            "`keep_tokens_separator` and `secondary_separator` must differ from `caption_separator`",
        );
        let activation = self.activation_tags.len();
        if let Some(keep) = self.keep_tokens
            && self.shuffle_tags
            && self.keep_tokens_separator.is_empty()
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
