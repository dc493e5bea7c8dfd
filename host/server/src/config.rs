//! What the server is told at its start.

use crate::host::PREVIEW_METHODS;
use crate::jobs::Policy;
use serde_json::Value;
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
    /// How pictures of the work so far are made, unless a job asks for another way; one of
    /// [`PREVIEW_METHODS`](crate::PREVIEW_METHODS).
    pub preview_method: String,
    /// Longest side of such pictures, in pixels.
    pub preview_size: u32,
    /// The user's clock.
    pub now: fn() -> graph::Moment,
    /// As `/system_stats` shows them.
    pub arguments: Vec<String>,
    /// Of this program.
    pub version: String,
}

impl Config {
    /// How pictures of a job's work are made: as its `extra_data` asks, else as the server was started.
    pub(crate) fn preview_method<'a>(&'a self, extra_data: &'a Value) -> &'a str {
        let asked = extra_data["preview_method"].as_str().filter(|method| PREVIEW_METHODS.contains(method));
        asked.unwrap_or(&self.preview_method)
    }

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
            preview_method: "auto".to_owned(),
            preview_size: 512,
            now: graph::Moment::utc_now,
            arguments: Vec::new(),
            version: "0.1.0".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_may_ask_for_another_way_to_make_previews() {
        let config = Config { preview_method: "taesd".to_owned(), ..Config::below(std::path::Path::new("/")) };
        for (asked, expected) in [
            (json!({"preview_method": "none"}), "none"),
            (json!({"preview_method": "latent2rgb"}), "latent2rgb"),
            (json!({"preview_method": "default"}), "taesd"),
            (json!({"preview_method": 3}), "taesd"),
            (json!({}), "taesd"),
        ] {
            assert_eq!(config.preview_method(&asked), expected, "{asked}");
        }
    }
}
