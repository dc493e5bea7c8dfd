//! Native libraries: loaded after approval, spoken to through the C tables of `plugin-abi`.
//!
//! A library is never unloaded: its threads, thread-locals and pointers may outlive any count we keep. A call cannot
//! be interrupted; cancelling and the deadline reach it through `cancelled` and through the host's functions. In a process of
//! its own (`process`) it can: that is ended, and with it what went wrong.

mod calls;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod frames;
#[cfg(all(test, unix))]
mod fuzz_tests;
mod host;
mod nodes;
mod objects;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod relay;
mod values;

#[cfg(unix)]
pub use child::serve_library;
#[cfg(unix)]
pub use process::Runner;
#[cfg(unix)]
pub(crate) use process::Separate;

use crate::kinds::{KINDS, Kind, OpenError};
use crate::lock::write_atomic;
use crate::services::Services;
use objects::{LibraryContext, Objects};
use parking_lot::Mutex;
use plugin_abi::{ABI_MAGIC, ABI_MAJOR, ENTRY, Entry, HostTable, PluginTable, Str};
use spec::PluginInfo;
use std::collections::HashMap;
use std::ffi::c_void;
use std::path::Path;

/// A loaded library. Copies share it.
#[derive(Clone, Copy)]
pub(crate) struct Library {
    table: &'static PluginTable,
    context: &'static LibraryContext,
}

/// Libraries of this process by sha256: loading one twice would give it two sets of statics.
static LOADED: Mutex<Option<HashMap<String, Library>>> = Mutex::new(None);

impl Library {
    /// Loads the library with these bytes and this sha256, which the caller has found approved. It is opened from
    /// a private copy named after its hash, so that the file may be replaced while it runs.
    pub(crate) fn load(bytes: &[u8], sha: &str, folder: &Path) -> Result<Self, String> {
        let mut loaded = LOADED.lock();
        let loaded = loaded.get_or_insert_default();
        if let Some(library) = loaded.get(sha) {
            return Ok(*library);
        }
        let file = private_copy(bytes, sha, folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let library = open(&file, |table| table)?;
        loaded.insert(sha.to_owned(), library);
        Ok(library)
    }

    /// Asks the library what it is.
    pub(crate) fn describe(&self, services: Services) -> Result<PluginInfo, OpenError> {
        let objects = Objects::new(services, self.context);
        let results = objects.enter(|sink| {
            // SAFETY: the function comes from the table of a library that speaks this ABI and is never unloaded.
            unsafe { (self.table.describe)(sink) }
        });
        let results = results?.map_err(OpenError::Refused)?;
        results.json(0).map_err(|e| OpenError::Link(format!("describe: {e}")))
    }

    /// The kinds whose table it offers.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        KINDS.iter().filter(|row| !self.interface_pointer(row.interface).is_null()).map(|row| row.kind).collect()
    }

    fn interface_pointer(&self, name: &str) -> *const c_void {
        let (major, minor, patch) = crate::manifest::WIT_VERSION;
        let name = format!("{name}@{major}.{minor}.{patch}");
        // SAFETY: as in `describe`; the name lives for the call.
        unsafe { (self.table.get_interface)(Str::new(name.as_bytes())) }
    }

    /// The table of an interface.
    ///
    /// # Safety
    /// `T` must be the table that the ABI defines for `name`.
    unsafe fn interface<T>(&self, name: &str) -> Result<&'static T, OpenError> {
        let pointer = self.interface_pointer(name);
        if pointer.is_null() {
            return Err(OpenError::Link(format!("does not offer `{name}`")));
        }
        // SAFETY: every table begins with `struct_size`, and a library's tables live as long as the process.
        let size = unsafe { *pointer.cast::<u32>() };
        if (size as usize) < size_of::<T>() {
            return Err(OpenError::Link(format!(
                "`{name}`: expected a table of at least {} bytes, found {size}; the library was built for another ABI",
                size_of::<T>()
            )));
        }
        // SAFETY: the table is long enough, and the caller vouches for its type.
        Ok(unsafe { &*pointer.cast::<T>() })
    }
}

pub(crate) fn private_copy(bytes: &[u8], sha: &str, folder: &Path) -> std::io::Result<std::path::PathBuf> {
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    let file = std::path::absolute(folder.join(format!("{sha}{}", std::env::consts::DLL_SUFFIX)))?;
    // Written each time: what lies there may have been touched since.
    if std::fs::read(&file).ok().as_deref() != Some(bytes) {
        write_atomic(&file, bytes)?;
    }
    Ok(file)
}

fn open(file: &Path, change: impl FnOnce(HostTable) -> HostTable) -> Result<Library, String> {
    // SAFETY: loading runs the library's initialisers. The user approved exactly these bytes, knowing that.
    let library = unsafe { open_now(file) }.map_err(|e| format!("does not load: {e}"))?;
    // Never unloaded, see the module's documentation.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: the symbol's type is what the ABI says it is.
    let entry = unsafe { library.get::<Entry>(ENTRY.as_bytes()) }
        .map_err(|e| format!("is no plugin: it does not export `{ENTRY}`: {e}"))?;
    let context: &'static LibraryContext = Box::leak(Box::default());
    let host: &'static HostTable = Box::leak(Box::new(change(host::table(context))));
    // SAFETY: the host's table lives as long as the process.
    let pointer = unsafe { entry(host) };
    if pointer.is_null() {
        return Err(format!(
            "refuses this host, which speaks ABI {ABI_MAJOR}: one of the two is too old for the other"
        ));
    }
    // SAFETY: what the entry returns lives as long as the process and begins with four u32.
    let [size, magic, major, _] = unsafe { *pointer.cast::<[u32; 4]>() };
    if magic != ABI_MAGIC || major != ABI_MAJOR || (size as usize) < size_of::<PluginTable>() {
        let side = match (magic == ABI_MAGIC, major.cmp(&ABI_MAJOR)) {
            (false, _) => "it is no plugin of Anagama",
            (true, std::cmp::Ordering::Greater) => "this program is too old: the plugin needs a newer Anagama",
            (true, _) => "the plugin is too old: it must be built anew",
        };
        return Err(format!(
            "speaks ABI {major} (magic {magic:#x}, {size} bytes), this host speaks ABI {ABI_MAJOR}; {side}"
        ));
    }
    // SAFETY: checked above to be such a table, whole.
    let table = unsafe { &*pointer };
    // SAFETY: the string lives as long as the table.
    let wit = String::from_utf8_lossy(unsafe { table.wit_version.bytes() });
    crate::manifest::check_wit(&wit)?;
    Ok(Library { table, context })
}

#[cfg(unix)]
unsafe fn open_now(file: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // A missing symbol shall be found now, not in the middle of a call.
    // SAFETY: the caller's.
    unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
unsafe fn open_now(file: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the caller's.
    unsafe { libloading::Library::new(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_does_not_load() {
        let dir = tempfile::tempdir().unwrap();
        let e = Library::load(b"no library", "0123", dir.path()).err().unwrap();
        assert!(e.contains("does not load"), "{e}");
    }
}
