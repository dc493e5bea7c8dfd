//! The objects that travel between nodes. Data sets are `data::Dataset`.

mod checkpoints;
mod choice;
mod conditioning;
mod control_net;
mod custom;
mod grid;
mod image;
mod latent;
mod mask;
mod model;
mod scores;
mod summary;
mod train_options;
mod trained;
mod training_state;
mod upscale_model;
mod vision;

pub use checkpoints::{CheckpointFile, Checkpoints, Facts, LogLine};
pub use choice::{Choice, Ranked};
pub use conditioning::{Area, Beside, Cond, CondMask, Conditioning, PictureText, Size};
pub use control_net::{Control, ControlNetModel};
pub use custom::{Guidance, Guider, Noise, Sampler, Sigmas};
pub(crate) use grid::CellFacts;
pub use grid::{Cell, Grid};
pub use image::ImageBatch;
pub use latent::Latent;
pub use mask::Mask;
pub use model::{Clip, Model, VaeModel};
pub use scores::{MetricInfo, SampleScores, ScoreRow, Scores};
pub use summary::DatasetSummary;
pub(crate) use train_options::same;
pub use train_options::{Setting, TrainOptions};
pub use trained::{LoraModel, LossMap};
pub use training_state::TrainingState;
pub use upscale_model::UpscaleModel;
pub use vision::{ClipVision, ClipVisionOutput, Style};
