//! What the server needs of the host: nodes, an engine for each job, and facts to show.

use engine::{Engine, Registry};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// The part of the program that runs graphs.
pub trait Host: Send + Sync {
    /// The nodes that prompts may use now; others if plugins changed since it was asked last.
    fn registry(&self) -> Arc<Registry>;

    /// An engine for one job. What it remembers outlives the job.
    ///
    /// # Errors
    /// Its folders cannot be used.
    fn engine(&self, job: &Job<'_>) -> anyhow::Result<Engine>;

    /// A job is over, and its sender knows it.
    fn finished(&self) {}

    /// Forgets loaded models and cached results.
    fn free(&self, unload_models: bool, free_memory: bool);

    /// What computes.
    fn devices(&self) -> Vec<Device>;

    /// The memory that this program can have and what of it is free, in bytes; zeros where it cannot be told.
    fn memory(&self) -> (u64, u64);

    /// The kinds of models with their folders.
    fn model_folders(&self) -> Vec<(String, Vec<PathBuf>)>;

    /// The models of a kind by name.
    fn models(&self, kind: &str) -> Vec<String>;

    fn plugins(&self) -> Vec<Plugin>;
}

/// What an engine must know of its job.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// In API form.
    pub prompt: &'a Value,
    /// What the front end wants saved in pictures.
    pub extra_pnginfo: &'a Value,
    /// How pictures of the work so far are made: one of [`PREVIEW_METHODS`].
    pub preview_method: &'a str,
}

/// ComfyUI's names for ways to make pictures of the work so far.
pub const PREVIEW_METHODS: [&str; 4] = ["none", "auto", "latent2rgb", "taesd"];

/// What computes networks.
#[derive(Clone, Debug)]
pub struct Device {
    pub name: String,
    /// `cpu` or `cuda`.
    pub kind: String,
    pub total: u64,
    pub free: u64,
}

/// A plugin, as the page lists it.
#[derive(Clone, Debug)]
pub struct Plugin {
    pub id: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub nodes: Vec<String>,
}
