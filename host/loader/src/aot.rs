//! Compiled components on disk, so that a component is compiled once per machine and engine.
//!
//! A compiled file is machine code that will be run, so only files that this host wrote are trusted: the folder is
//! private to the user, files appear by atomic rename, and each is compared with the sha256 noted beside it.

use crate::digest::sha256;
use crate::lock::write_atomic;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Largest component that is compiled: compiling takes memory and time that grow faster than the file.
const MAX_COMPONENT: usize = 64 << 20;
/// From this size on a component is compiled by the [`Compiler`], if there is one.
const LARGE: usize = 1 << 20;

/// Compiles large components in another process, so that its memory is limited and given back: gets the component's file
/// and the file to make, for which [`compile`] is to be called there.
pub type Compiler = Arc<dyn Fn(&Path, &Path) -> Result<(), String> + Send + Sync>;

/// Compiles a component's file for this machine, as a [`Compiler`]'s process does. What it makes is code that the host will
/// trust, so `out` must be where the host said.
///
/// # Errors
/// The file is no component, or cannot be read or written.
pub fn compile(component: &Path, out: &Path) -> Result<(), String> {
    let problem = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    let bytes = std::fs::read(component).map_err(|e| problem(component, e))?;
    let engine = crate::wasm::engine().map_err(|e| format!("{e:#}"))?;
    let code = precompile(&engine, &bytes)?;
    std::fs::write(out, code).map_err(|e| problem(out, e))
}

fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(bytes).map_err(|e| format!("not a component: {e:#}"))
}

pub(crate) struct AotCache {
    folder: PathBuf,
    compiler: Option<Compiler>,
    /// Tells engines apart that cannot use each other's code.
    engine_key: String,
}

impl AotCache {
    pub(crate) fn new(folder: PathBuf, engine: &Engine, compiler: Option<Compiler>) -> Self {
        let mut hasher = Sha256Hasher::default();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder, compiler, engine_key: sha256(&hasher.0)[..16].to_owned() }
    }

    /// The component with these bytes and this sha256, compiled now or earlier.
    pub(crate) fn component(&self, engine: &Engine, bytes: &[u8], sha: &str) -> Result<Component, String> {
        let file = self.folder.join(format!("{sha}-{}.cwasm", self.engine_key));
        if let Some(component) = load(engine, &file) {
            return Ok(component);
        }
        if bytes.len() > MAX_COMPONENT {
            return Err(format!(
                "expected a component of at most {} MiB, found {} MiB",
                MAX_COMPONENT >> 20,
                bytes.len() >> 20
            ));
        }
        let code = match &self.compiler {
            Some(compiler) if bytes.len() >= LARGE => self.elsewhere(compiler, bytes)?,
            _ => precompile(engine, bytes)?,
        };
        // A cache that cannot be written costs time, not the answer.
        if let Err(e) = self.store(&file, &code) {
            tracing::warn!("compiled plugins are not kept: {}: {e}", self.folder.display());
        }
        // SAFETY: the bytes come from the compiler of this program, by way of a folder that only this user may enter if it
        // ran in another process.
        unsafe { Component::deserialize(engine, &code) }.map_err(|e| format!("{e:#}"))
    }

    /// Compiles in another process. Both files lie in a folder of their own that nobody else may enter.
    fn elsewhere(&self, compiler: &Compiler, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let problem = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        private_folder(&self.folder).map_err(problem)?;
        let dir = tempfile::tempdir_in(&self.folder).map_err(problem)?;
        let (component, out) = (dir.path().join("component.wasm"), dir.path().join("component.cwasm"));
        std::fs::write(&component, bytes).map_err(problem)?;
        compiler(&component, &out)?;
        std::fs::read(&out).map_err(|e| format!("nothing was compiled: {e}"))
    }

    fn store(&self, file: &Path, code: &[u8]) -> std::io::Result<()> {
        private_folder(&self.folder)?;
        write_atomic(file, code)?;
        write_atomic(&sum_file(file), sha256(code).as_bytes())
    }
}

/// The component in a file that this host wrote, if the file is whole and unchanged.
fn load(engine: &Engine, file: &Path) -> Option<Component> {
    let code = std::fs::read(file).ok()?;
    let sum = std::fs::read_to_string(sum_file(file)).ok()?;
    if !is_private(file.parent()?) || sha256(&code) != sum {
        tracing::warn!("{}: damaged or not private, compiled again", file.display());
        return None;
    }
    // SAFETY: the folder can be written by this user alone, and the bytes just read are those that this host
    // compiled and noted the sha256 of. They are mapped from memory, so a later change of the file does no harm.
    match unsafe { Component::deserialize(engine, &code) } {
        Ok(component) => Some(component),
        Err(e) => {
            tracing::warn!("{}: {e:#}; compiled again", file.display());
            None
        }
    }
}

fn sum_file(file: &Path) -> PathBuf {
    file.with_extension("sha256")
}

/// Makes a folder that only this user may enter.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(unix)]
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(folder).is_ok_and(|m| m.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
}

/// Collects what is hashed, to hash it with something stable between runs of the program.
#[derive(Default)]
struct Sha256Hasher(Vec<u8>);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest component there is: the header alone.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn compiles_once_and_again_when_the_file_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let engine = crate::wasm::engine().unwrap();
        let cache = AotCache::new(dir.path().join("aot"), &engine, None);
        let sha = sha256(EMPTY);
        cache.component(&engine, EMPTY, &sha).unwrap();
        let file = dir.path().join(format!("aot/{sha}-{}.cwasm", cache.engine_key));
        let written = std::fs::metadata(&file).unwrap().modified().unwrap();
        // From the cache: the bytes are not even looked at.
        cache.component(&engine, b"", &sha).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written);

        let mut code = std::fs::read(&file).unwrap();
        let last = code.len() - 1;
        code[last] ^= 1;
        std::fs::write(&file, &code).unwrap();
        assert!(cache.component(&engine, b"", &sha).is_err(), "damaged code is not run");
        cache.component(&engine, EMPTY, &sha).unwrap();
        assert!(load(&engine, &file).is_some());

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let folder = file.parent().unwrap();
            assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
            assert!(load(&engine, &file).is_none(), "others could have written it");
        }
    }

    #[test]
    fn other_bytes_are_no_component() {
        let dir = tempfile::tempdir().unwrap();
        let engine = crate::wasm::engine().unwrap();
        let cache = AotCache::new(dir.path().join("aot"), &engine, None);
        let e = cache.component(&engine, b"\x7fELF", &sha256(b"\x7fELF")).err().unwrap();
        assert!(e.contains("not a component"), "{e}");
    }

    #[test]
    fn large_components_are_compiled_elsewhere_and_small_ones_here() {
        let dir = tempfile::tempdir().unwrap();
        let engine = crate::wasm::engine().unwrap();
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let count = asked.clone();
        let compiler: Compiler = Arc::new(move |component, out| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            compile(component, out)
        });
        let cache = AotCache::new(dir.path().join("aot"), &engine, Some(compiler));
        cache.component(&engine, EMPTY, &sha256(EMPTY)).unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0);
        // A custom section of a mebibyte, whose name is empty.
        let mut large = EMPTY.to_vec();
        large.extend([0, 0x81, 0x80, 0x40, 0]);
        large.resize(large.len() + LARGE, 0);
        for _ in 0..2 {
            cache.component(&engine, &large, &sha256(&large)).unwrap();
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
        let left = std::fs::read_dir(dir.path().join("aot")).unwrap().count();
        assert_eq!(left, 4, "two components and their sums, nothing else");

        let broken: Compiler = Arc::new(|_, _| Err("killed".to_owned()));
        let cache = AotCache::new(dir.path().join("other"), &engine, Some(broken));
        assert_eq!(cache.component(&engine, &large, &sha256(&large)).err().unwrap(), "killed");
        let lazy: Compiler = Arc::new(|_, _| Ok(()));
        let cache = AotCache::new(dir.path().join("other"), &engine, Some(lazy));
        assert!(cache.component(&engine, &large, &sha256(&large)).err().unwrap().contains("nothing was compiled"));
    }
}
