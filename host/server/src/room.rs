//! A full disk: who has to wait until there is room again, and what is kept free so that the end of a job can be recorded.

use anyhow::Context as _;
use parking_lot::Mutex;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// So many bytes are kept for records, and must be there again before the next job starts.
const ENOUGH: usize = 1 << 20;

/// If this failed because there was no room to write: says so in words.
pub(crate) fn no_room(error: &anyhow::Error) -> Option<&'static str> {
    let sqlite = || {
        let code = error.chain().find_map(|cause| cause.downcast_ref::<rusqlite::Error>())?.sqlite_error_code()?;
        match code {
            rusqlite::ErrorCode::DiskFull => Some("the disk is full"),
            // SQLite says this of a used up quota and of a limit on the size of files.
            rusqlite::ErrorCode::SystemIoFailure => Some("the disk is full or fails"),
            _ => None,
        }
    };
    engine::no_room(error).or_else(sqlite)
}

/// A file whose only use is to be given up.
pub(crate) struct Reserve {
    path: PathBuf,
    spent: AtomicBool,
}

impl Reserve {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, spent: AtomicBool::new(false) }
    }

    /// Gives its room back to the disk; false if it has none.
    pub(crate) fn spend(&self) -> bool {
        self.spent.store(true, Ordering::Relaxed);
        std::fs::remove_file(&self.path).is_ok()
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// Takes the room, unless it is taken already.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let there = self.path.metadata().is_ok_and(|m| m.len() == ENOUGH as u64);
        if !there {
            take(&self.path).with_context(|| format!("{} cannot be written", self.path.display())).inspect_err(
                |_| {
                    // A part of it is of no use.
                    let _ = std::fs::remove_file(&self.path);
                },
            )?;
        }
        self.spent.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn take(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(&noise()?)?;
    file.sync_all()
}

/// Bytes that no file system stores in less room than they take.
fn noise() -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; ENOUGH];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(bytes)
}

/// Whether jobs can write. Looks only after one could not.
pub(crate) struct Room {
    folders: Vec<PathBuf>,
    /// Why the queue waits.
    short: Mutex<Option<String>>,
}

impl Room {
    pub(crate) fn new(folders: &[&PathBuf]) -> Self {
        Self { folders: folders.iter().map(|f| (*f).clone()).collect(), short: Mutex::new(None) }
    }

    /// Something could not be written: no job starts before there is room again. Says whether that is news.
    pub(crate) fn ran_out(&self, why: &str) -> bool {
        self.short.lock().replace(why.to_owned()).is_none()
    }

    pub(crate) fn came_back(&self) {
        *self.short.lock() = None;
    }

    /// Why no job starts; none if jobs do.
    pub(crate) fn short(&self) -> Option<String> {
        self.short.lock().clone()
    }

    /// Tries to write.
    ///
    /// # Errors
    /// The folder that still has no room.
    pub(crate) fn look(&self) -> anyhow::Result<()> {
        let noise = noise()?;
        for folder in &self.folders {
            let write = || tempfile::tempfile_in(folder)?.write_all(&noise);
            write().with_context(|| format!("{} has no room", folder.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_taken_given_up_and_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        let reserve = Reserve::new(path.clone());
        for _ in 0..2 {
            reserve.fill().unwrap();
            assert_eq!((path.metadata().unwrap().len(), reserve.is_spent()), (1 << 20, false));
            assert!(reserve.spend() && reserve.is_spent() && !path.exists());
            assert!(!reserve.spend());
        }
        let nowhere = Reserve::new(dir.path().join("absent/reserve"));
        assert!(nowhere.fill().unwrap_err().to_string().contains("absent/reserve"));
    }

    #[test]
    fn the_queue_waits_from_the_first_failure_until_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("output");
        let room = Room::new(&[&folder]);
        assert!(room.ran_out("a.png") && !room.ran_out("b.png"));
        assert_eq!(room.short().as_deref(), Some("b.png"));
        assert!(room.look().unwrap_err().to_string().contains("output has no room"));
        std::fs::create_dir(&folder).unwrap();
        room.look().unwrap();
        room.came_back();
        assert_eq!(room.short(), None);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn sqlite_s_full_disk_is_known() {
        let code = |code| anyhow::Error::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        assert_eq!(no_room(&code(rusqlite::ffi::SQLITE_FULL).context("jobs")), Some("the disk is full"));
        assert!(no_room(&code(rusqlite::ffi::SQLITE_IOERR_WRITE)).is_some());
        assert_eq!(no_room(&code(rusqlite::ffi::SQLITE_CONSTRAINT)), None);
    }
}
