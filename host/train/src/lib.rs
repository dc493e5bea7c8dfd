//! Trains networks such as LoRA on a frozen base: the loop, losses, optimizers, learning rate schedules, captions,
//! checkpoints and training state.
//!
//! Knows no graph, no node and no plugin; pictures come from [`data`], layers from [`models`]. Every choice is a row of
//! a table: [`NETWORKS`], [`OPTIMIZERS`], [`LR_SCHEDULES`], [`LOSSES`], [`WEIGHTINGS`], [`TIME_SAMPLINGS`]. Start at [`train`] and
//! [`Config`]; one step alone is [`Trainer`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod augment;
mod batches;
pub mod captions;
mod check;
mod config;
pub mod dice;
pub mod diffusion;
mod estimate;
mod evaluation;
mod feed;
mod hooks;
mod images;
mod log;
pub mod losses;
pub mod lr_schedules;
mod metadata;
pub mod networks;
pub mod noises;
pub mod optimizers;
mod own;
mod plan;
pub mod presets;
mod prompts;
mod ready;
mod run;
mod safetensors_file;
mod sample_prompts;
mod setup;
mod state;
mod step;
pub mod text_rows;
pub mod time_samplings;
mod validation;

pub use batches::{Batches, Order, Slice, View};
pub use check::check_gradients;
pub use config::{
    BaseDtype, CaptionOptions, Config, ConfigKey, ImageOptions, LossOptions, LrOptions, MemoryOptions, NetworkOptions,
    NoiseOptions, OptimizerOptions, Rates, Resolution, RunOptions, SampleOptions, SavingOptions, ValidationOptions,
    config_keys,
};
pub use estimate::{Estimate, Rung, Share, estimate};
pub use hooks::{Hooks, Quiet, Wish};
pub use log::{LogLine, smooth};
pub use losses::{LOSSES, Prediction, WEIGHTINGS};
pub use lr_schedules::LR_SCHEDULES;
pub use metadata::tag_frequency;
pub use networks::{NETWORKS, Targets};
pub use optimizers::OPTIMIZERS;
pub use plan::{Needs, Plan, PlannedBucket, Variety, plan};
pub use ready::{Example, READY_LOSSES, ReadyBase, ReadyLoss, ReadyTrained, train_ready};
pub use run::{Cancelled, CheckpointFile, Facts, LOG_FILE, Place, Trained, train, train_from};
pub use safetensors_file::SaveDtype;
pub use sample_prompts::SamplePrompt;
pub use setup::{Base, trainer};
pub use state::state_step;
pub use step::{Batch, Losses, Lrs, Objective, PartText, Text, Trainer};
pub use time_samplings::TIME_SAMPLINGS;
pub use validation::Validated;
