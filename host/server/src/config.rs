//! What the server is told at its start.

use crate::jobs::Policy;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that the command line says. All paths are absolute.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Vec<SocketAddr>,
    pub output_dir: PathBuf,
    pub input_dir: PathBuf,
    pub temp_dir: PathBuf,
    /// Settings, workflows, and the file of jobs.
    pub user_dir: PathBuf,
    /// An unpacked front end; none: the small page of our own.
    pub front_end: Option<PathBuf>,
    /// Workflows that the front end offers to begin with; none: those in the front end's own folder.
    pub templates: Option<PathBuf>,
    /// Certificate chain and key, as PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// None: whoever can connect may do everything, which only loopback addresses may offer.
    pub token: Option<String>,
    /// Names beside `localhost` that requests may be addressed to.
    pub allowed_hosts: Vec<String>,
    /// An origin beside our own whose pages may call, or `*`.
    pub cors: Option<String>,
    pub max_upload: usize,
    /// Requests per second of one address; bursts may be five times as large. Loopback is not limited.
    pub rate: f64,
    pub policy: Policy,
    /// Longest side of previews, in pixels; none: no previews.
    pub preview_size: Option<u32>,
    /// The user's clock.
    pub now: fn() -> graph::Moment,
    /// As `/system_stats` shows them.
    pub arguments: Vec<String>,
    /// Of this program.
    pub version: String,
}

impl Config {
    /// A server for one user of this machine, with all folders below one.
    pub fn below(base: &std::path::Path) -> Self {
        Self {
            listen: vec![([127, 0, 0, 1], 8188).into()],
            output_dir: base.join("output"),
            input_dir: base.join("input"),
            temp_dir: base.join("temp"),
            user_dir: base.join("user"),
            front_end: None,
            templates: None,
            tls: None,
            token: None,
            allowed_hosts: Vec::new(),
            cors: None,
            max_upload: 100 << 20,
            rate: 200.0,
            policy: Policy::default(),
            preview_size: Some(512),
            now: graph::Moment::utc_now,
            arguments: Vec::new(),
            version: "0.1.0".to_owned(),
        }
    }
}
