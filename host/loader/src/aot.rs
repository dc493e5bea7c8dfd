//! Compiled components on disk, so that a component is compiled once per machine and engine.
//!
//! A compiled file is machine code that will be run, so only files that this host wrote are trusted: the folder is
//! private to the user, files appear by atomic rename, and each is compared with the sha256 noted beside it.

use crate::digest::sha256;
use crate::lock::write_atomic;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Largest component that is compiled: compiling takes memory and time that grow faster than the file.
const MAX_COMPONENT: usize = 64 << 20;

pub(crate) struct AotCache {
    folder: PathBuf,
    /// Tells engines apart that cannot use each other's code.
    engine_key: String,
}

impl AotCache {
    pub(crate) fn new(folder: PathBuf, engine: &Engine) -> Self {
        let mut hasher = Sha256Hasher::default();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder, engine_key: sha256(&hasher.0)[..16].to_owned() }
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
        let code = engine.precompile_component(bytes).map_err(|e| format!("not a component: {e:#}"))?;
        // A cache that cannot be written costs time, not the answer.
        if let Err(e) = self.store(&file, &code) {
            tracing::warn!("compiled plugins are not kept: {}: {e}", self.folder.display());
        }
        // SAFETY: the bytes come from this very engine's compiler, unchanged.
        unsafe { Component::deserialize(engine, &code) }.map_err(|e| format!("{e:#}"))
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
        let cache = AotCache::new(dir.path().join("aot"), &engine);
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
        let cache = AotCache::new(dir.path().join("aot"), &engine);
        let e = cache.component(&engine, b"\x7fELF", &sha256(b"\x7fELF")).err().unwrap();
        assert!(e.contains("not a component"), "{e}");
    }
}
