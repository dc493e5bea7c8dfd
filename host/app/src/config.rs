//! `anagama.toml`: where models, plugins and the store lie, and what plugins may do.

use anyhow::{Context, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Name of the configuration file.
pub(crate) const FILE_NAME: &str = "anagama.toml";

/// The file as written. Unknown keys are errors that list the known ones; paths are relative to the file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    models: Vec<PathBuf>,
    plugins: Vec<PathBuf>,
    store: Option<PathBuf>,
    lock: Option<PathBuf>,
    prefer_native: bool,
    native: loader::NativeHome,
    threads: Option<usize>,
    memory: Option<String>,
    onnxruntime: Option<PathBuf>,
    limits: Limits,
    grants: loader::Grants,
}

/// What one plugin call may use.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Limits {
    deadline_seconds: Option<f64>,
    memory_mib: Option<u64>,
    handles: Option<usize>,
    host_mib: Option<u64>,
}

/// The configuration with everything filled in; all paths are absolute.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file it came from; none: built-in defaults.
    pub(crate) file: Option<PathBuf>,
    pub(crate) models: Vec<PathBuf>,
    pub(crate) plugins: Vec<PathBuf>,
    pub(crate) store: PathBuf,
    /// What the loader keeps of plugins: compiled components, descriptions, storage.
    pub(crate) cache: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) prefer_native: bool,
    /// Where native libraries run whose grant does not say.
    pub(crate) native: loader::NativeHome,
    pub(crate) threads: Option<usize>,
    /// Bytes that the working copies of weights may take.
    pub(crate) memory: usize,
    /// The library that runs ONNX models; none: the built-in way.
    pub(crate) onnxruntime: Option<PathBuf>,
    pub(crate) limits: loader::Limits,
    pub(crate) grants: loader::Grants,
}

/// What the environment says about where things belong.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) current: PathBuf,
    /// `$XDG_CONFIG_HOME/anagama`.
    pub(crate) user_config: PathBuf,
    /// `$XDG_CACHE_HOME/anagama`.
    pub(crate) user_cache: PathBuf,
    /// `$XDG_DATA_HOME/anagama`.
    pub(crate) user_data: PathBuf,
    pub(crate) home: Option<PathBuf>,
}

impl Places {
    /// Reads the environment.
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let current = std::env::current_dir().context("the current folder cannot be read")?;
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let users = variable("HOME");
        let home = users.clone().unwrap_or_else(|| current.clone());
        let below = |name: &str, usual: &str| {
            variable(name).filter(|p| p.is_absolute()).unwrap_or_else(|| home.join(usual)).join("anagama")
        };
        let (user_config, user_cache) = (below("XDG_CONFIG_HOME", ".config"), below("XDG_CACHE_HOME", ".cache"));
        let user_data = below("XDG_DATA_HOME", ".local/share");
        Ok(Self { current, user_config, user_cache, user_data, home: users })
    }
}

impl Config {
    /// The file that was named, else the nearest above the workflow, else above the current folder, else the
    /// user's, else built-in defaults.
    pub(crate) fn find(named: Option<&Path>, workflow: Option<&Path>, places: &Places) -> anyhow::Result<Self> {
        if let Some(path) = named {
            return Self::read(&places.current.join(path), true, places);
        }
        let above = |start: &Path| start.ancestors().map(|a| a.join(FILE_NAME)).find(|p| p.is_file());
        let workflow = workflow.and_then(|w| std::fs::canonicalize(places.current.join(w)).ok());
        if let Some(path) =
            workflow.as_deref().and_then(Path::parent).and_then(above).or_else(|| above(&places.current))
        {
            return Self::read(&path, false, places);
        }
        let users = places.user_config.join(FILE_NAME);
        if users.is_file() { Self::read(&users, true, places) } else { Self::fill(File::default(), None, places) }
    }

    /// `trusted`: the user named the file or keeps it; one that merely lies near a workflow may have come with it.
    fn read(path: &Path, trusted: bool, places: &Places) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read"))?;
        let file: File = toml::from_str(&text).map_err(|e| anyhow::anyhow!("{shown}: {e}"))?;
        ensure!(
            trusted || file.lock.is_none(),
            "{shown}: `lock` says which native code may run, so a file that came with a workflow may not set it; \
             move it to {} or name the file with --config",
            places.user_config.join(FILE_NAME).display()
        );
        ensure!(
            trusted || file.onnxruntime.is_none(),
            "{shown}: `onnxruntime` names native code to be run, so a file that came with a workflow may not set it; move it to \
             {} or name the file with --config",
            places.user_config.join(FILE_NAME).display()
        );
        let grants = &file.grants;
        let named = grants.plugins.values().chain([&grants.default]).any(|g| !g.secrets.is_empty());
        ensure!(
            trusted || !named,
            "{shown}: `secrets` says where your keys stand and whom they are sent to, so a file that came with a workflow may \
             not set it; move it to {} or name the file with --config",
            places.user_config.join(FILE_NAME).display()
        );
        Self::fill(file, Some(path), places).with_context(|| shown.to_string())
    }

    fn fill(mut file: File, path: Option<&Path>, places: &Places) -> anyhow::Result<Self> {
        let base = path.and_then(Path::parent).unwrap_or(&places.current);
        let absolute = |p: PathBuf| clean(&base.join(p));
        for grant in file.grants.plugins.values_mut().chain([&mut file.grants.default]) {
            grant.folders.values_mut().for_each(|p| *p = absolute(std::mem::take(p)));
            let files = grant.secrets.values_mut().filter_map(|s| s.file.as_mut());
            files.for_each(|p| *p = absolute(std::mem::take(p)));
        }
        let usual = loader::Limits::default();
        let deadline = match file.limits.deadline_seconds {
            None => usual.deadline,
            Some(seconds) => {
                ensure!(
                    seconds > 0.0 && seconds <= 1e6,
                    "limits.deadline-seconds: expected more than 0 and at most 1000000, found {seconds}"
                );
                std::time::Duration::from_secs_f64(seconds)
            }
        };
        ensure!(file.threads != Some(0), "threads: expected 1 or more, found 0");
        let memory = file.memory.as_deref().map(crate::memory::parse).transpose().context("memory")?;
        let mib = |given: Option<u64>, usual: u64| given.map_or(usual, |m| m.saturating_mul(1 << 20));
        Ok(Self {
            file: path.map(Path::to_owned),
            models: file.models.into_iter().map(absolute).collect(),
            plugins: file.plugins.into_iter().map(absolute).collect(),
            store: file.store.map_or_else(|| places.user_cache.join("store"), absolute),
            cache: places.user_cache.join("plugins"),
            lock: file.lock.map_or_else(|| places.user_config.join("plugins.lock.json"), absolute),
            prefer_native: file.prefer_native,
            native: file.native,
            threads: file.threads,
            memory: memory.unwrap_or_else(crate::memory::usual),
            onnxruntime: file.onnxruntime.map(absolute),
            limits: loader::Limits {
                deadline,
                memory: mib(file.limits.memory_mib, usual.memory),
                handles: file.limits.handles.unwrap_or(usual.handles),
                host_bytes: mib(file.limits.host_mib, usual.host_bytes),
                ..usual
            },
            grants: file.grants,
        })
    }
}

/// Removes `.` and `a/..`, so that paths read well in messages. Does not follow links.
pub(crate) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(cleaned.components().next_back(), Some(Component::Normal(_))) => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        let places = Places {
            current: root.join("work"),
            user_config: root.join("config"),
            user_cache: root.join("cache"),
            user_data: root.join("data"),
            home: None,
        };
        for folder in [&places.current, &places.user_config] {
            std::fs::create_dir_all(folder).unwrap();
        }
        places
    }

    fn temp() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        (dir, places(&root))
    }

    #[test]
    fn without_a_file_there_are_defaults() {
        let (_dir, places) = temp();
        let config = Config::find(None, None, &places).unwrap();
        assert_eq!(config.file, None);
        assert_eq!(config.store, places.user_cache.join("store"));
        assert_eq!(config.limits, loader::Limits::default());
    }

    #[test]
    fn the_nearest_file_wins_and_paths_are_relative_to_it() {
        let (dir, places) = temp();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let examples = root.join("project/examples");
        std::fs::create_dir_all(examples.join("sample")).unwrap();
        std::fs::write(examples.join(FILE_NAME), "models = [\"models\"]\nstore = \"../out/store\"\nthreads = 3\n")
            .unwrap();
        std::fs::write(examples.join("sample/workflow.json"), "{}").unwrap();
        std::fs::write(places.user_config.join(FILE_NAME), "threads = 1").unwrap();
        let config = Config::find(None, Some(&examples.join("sample/workflow.json")), &places).unwrap();
        assert_eq!(config.models, [examples.join("models")]);
        assert_eq!(config.store, root.join("project/out/store"));
        assert_eq!(config.threads, Some(3));
        assert_eq!(Config::find(None, None, &places).unwrap().threads, Some(1));
        std::fs::write(places.current.join(FILE_NAME), "threads = 2").unwrap();
        assert_eq!(Config::find(None, None, &places).unwrap().threads, Some(2));
        let named = places.user_config.join(FILE_NAME);
        assert_eq!(Config::find(Some(&named), None, &places).unwrap().threads, Some(1));
    }

    #[test]
    fn unknown_keys_list_the_known_ones_and_name_the_file() {
        let (_dir, places) = temp();
        std::fs::write(places.current.join(FILE_NAME), "modles = []").unwrap();
        let error = format!("{:#}", Config::find(None, None, &places).unwrap_err());
        for part in ["anagama.toml", "line 1", "`modles`", "`models`", "`plugins`", "`limits`"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        std::fs::write(places.current.join(FILE_NAME), "[limits]\ndeadline-seconds = 0").unwrap();
        let error = format!("{:#}", Config::find(None, None, &places).unwrap_err());
        assert!(error.contains("deadline-seconds: expected more than 0"), "{error}");
        assert!(Config::find(Some(Path::new("absent.toml")), None, &places).is_err());
    }

    #[test]
    fn a_file_that_came_with_a_workflow_may_not_say_which_native_code_runs() {
        let (_dir, places) = temp();
        std::fs::write(places.current.join(FILE_NAME), "lock = \"my.lock\"").unwrap();
        let error = Config::find(None, None, &places).unwrap_err().to_string();
        assert!(error.contains("--config"), "{error}");
        let config = Config::find(Some(Path::new(FILE_NAME)), None, &places).unwrap();
        assert_eq!(config.lock, places.current.join("my.lock"));
    }

    #[test]
    fn a_file_that_came_with_a_workflow_may_not_name_an_onnxruntime() {
        let (_dir, places) = temp();
        std::fs::write(places.current.join(FILE_NAME), "onnxruntime = \"lib/libonnxruntime.so\"").unwrap();
        let error = Config::find(None, None, &places).unwrap_err().to_string();
        assert!(error.contains("`onnxruntime`") && error.contains("--config"), "{error}");
        let config = Config::find(Some(Path::new(FILE_NAME)), None, &places).unwrap();
        assert_eq!(config.onnxruntime, Some(places.current.join("lib/libonnxruntime.so")));
    }

    #[test]
    fn a_file_that_came_with_a_workflow_may_not_send_secrets() {
        let (_dir, places) = temp();
        let text = "[grants.plugins.\"a.b\".secrets]\nkey = { file = \"key.txt\", to = [\"https://a.example/*\"] }";
        std::fs::write(places.current.join(FILE_NAME), text).unwrap();
        let error = Config::find(None, None, &places).unwrap_err().to_string();
        assert!(error.contains("`secrets`") && error.contains("--config"), "{error}");
        let config = Config::find(Some(Path::new(FILE_NAME)), None, &places).unwrap();
        let file = config.grants.plugins["a.b"].secrets["key"].file.clone();
        assert_eq!(file, Some(places.current.join("key.txt")));
    }

    #[test]
    fn grants_are_read_per_plugin() {
        let (_dir, places) = temp();
        let text = "[grants.plugins.\"a.b\"]\nhttp = [\"https://x.example/*\"]\nfolders = { pictures = \"p\" }\n";
        std::fs::write(places.current.join(FILE_NAME), text).unwrap();
        let config = Config::find(None, None, &places).unwrap();
        let grant = &config.grants.plugins["a.b"];
        assert_eq!(grant.http, ["https://x.example/*"]);
        assert_eq!(grant.folders["pictures"], places.current.join("p"));
    }
}
