//! Captioning by a server, and what becomes of captions: under the real loader, in both forms, and in whole runs.

mod checks;
mod runtime;
mod servers;
mod swap;
mod taggers;

use data::{CaptionRequest, DecodeLimits, Image};
use loader::{CallContext, Form, Grants, Limits, Loader, LoaderConfig, Plugin};
use serde_json::Value;
use spec::{Annotation, PluginError};
use std::sync::{Arc, Mutex};
use tests::root;

/// An installed plugin with its log.
struct Installed {
    plugin: Arc<Plugin>,
    log: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

impl Installed {
    fn new(name: &str, form: Form, grants: Grants) -> Self {
        Self::limited(name, form, grants, Limits::default())
    }

    fn limited(name: &str, form: Form, grants: Grants, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugin = tests::install(&format!("plugins/{name}"), dir.path());
        let config = LoaderConfig {
            plugin_dirs: vec![dir.path().join("plugins")],
            cache_dir: dir.path().join("cache"),
            lock_file: dir.path().join("lock.json"),
            prefer_native: form == Form::Native,
            limits,
            grants,
            env: Arc::new(|name| (name == "VLM_KEY").then(|| servers::KEY.to_owned())),
            ..LoaderConfig::default()
        };
        if form == Form::Native {
            loader::approve(&config.lock_file, &plugin).unwrap();
        }
        let loader = Loader::new(config).unwrap();
        assert!(loader.problems().is_empty(), "{:?}", loader.problems());
        let plugin = loader.plugin(&format!("anagama.{name}")).unwrap();
        assert_eq!(plugin.form(), form);
        Self { plugin, log: Arc::default(), _dir: dir }
    }

    fn call(&self) -> CallContext {
        let log = self.log.clone();
        CallContext {
            log: Arc::new(move |_, line| log.lock().unwrap().push(line.to_owned())),
            ..CallContext::default()
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The answers of a captioner, picture by picture.
    fn captions(
        &self,
        settings: &Value,
        requests: Vec<(Image, Annotation)>,
    ) -> Result<Vec<Result<Annotation, PluginError>>, PluginError> {
        let mut captioner = self.plugin.open_captioner(settings, self.call()).unwrap();
        let batch = requests.into_iter().map(|(image, known)| CaptionRequest { image, known }).collect();
        captioner.caption(batch)
    }
}

fn picture(name: &str) -> Image {
    Image::open(&root().join("examples/datasets").join(name), &DecodeLimits::default()).unwrap()
}
