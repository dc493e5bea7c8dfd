//! The table of jobs and its file.

use super::{Outcome, State};
use crate::room::{Reserve, no_room};
use anyhow::Context as _;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How much is kept, and what happens after a crash.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Finished jobs that are remembered.
    pub keep: u32,
    /// How often a job is started before a crash counts as its own fault.
    pub attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { keep: 10_000, attempts: 5 }
    }
}

/// All jobs.
pub(crate) struct Jobs {
    connection: Mutex<Connection>,
    pub(super) policy: Policy,
    /// What errors name.
    path: PathBuf,
    /// None in memory.
    reserve: Option<Reserve>,
}

/// Raised when the table changes; an older program refuses a newer file.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        number REAL NOT NULL,
        state INTEGER NOT NULL,
        client TEXT,
        prompt TEXT NOT NULL,
        extra TEXT NOT NULL,
        targets TEXT NOT NULL,
        workflow TEXT,
        created INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        outputs TEXT,
        meta TEXT,
        status TEXT,
        error TEXT,
        outputs_count INTEGER,
        previews INTEGER,
        preview TEXT
    );
    CREATE INDEX job_order ON job (state, number, seq);
    CREATE INDEX job_created ON job (created, seq);
    CREATE INDEX job_ended ON job (ended, seq);
    CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    PRAGMA user_version = 1;
";

impl Jobs {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// It cannot be read or written, or a newer program made it.
    pub(crate) fn open(path: &Path, policy: Policy) -> anyhow::Result<Self> {
        let reserve = Reserve::new(path.with_extension("reserve"));
        let open = || -> anyhow::Result<Self> { Self::prepare(Connection::open(path)?, policy) };
        let opened = open().or_else(|error| {
            // A server starts on a full disk too, to show what there is.
            if no_room(&error).is_some() && reserve.spend() { open() } else { Err(error) }
        });
        let mut jobs = opened.with_context(|| format!("jobs {}", path.display()))?;
        if let Err(error) = reserve.fill() {
            tracing::warn!("no room is kept for records of jobs: {error:#}");
        }
        jobs.path = path.to_owned();
        jobs.reserve = Some(reserve);
        Ok(jobs)
    }

    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::prepare(Connection::open_in_memory().unwrap(), Policy::default()).unwrap()
    }

    fn prepare(connection: Connection, policy: Policy) -> anyhow::Result<Self> {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.set_prepared_statement_cache_capacity(64);
        // Small: what is read often is small too.
        connection.pragma_update(None, "cache_size", -2000)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        anyhow::ensure!(version <= VERSION, "made by a newer version of this program ({version}, known is {VERSION})");
        if version == 0 {
            connection.execute_batch(&format!("BEGIN; {TABLES} COMMIT;"))?;
        }
        Ok(Self { connection: Mutex::new(connection), policy, path: PathBuf::new(), reserve: None })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }

    /// Writes what must be written: on a full disk into the room that was kept for it.
    pub(super) fn record<T>(&self, write: impl Fn(&mut Connection) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut connection = self.lock();
        let written = write(&mut connection).or_else(|error| {
            let spent = no_room(&error).is_some() && self.reserve.as_ref().is_some_and(Reserve::spend);
            if spent { write(&mut connection) } else { Err(error) }
        });
        written.with_context(|| self.unwritable())
    }

    pub(super) fn unwritable(&self) -> String {
        format!("{} cannot be written", self.path.display())
    }

    /// Is the room used up that was kept for records?
    pub(crate) fn is_short(&self) -> bool {
        self.reserve.as_ref().is_some_and(Reserve::is_spent)
    }

    /// Keeps room for records again.
    ///
    /// # Errors
    /// There still is none.
    pub(crate) fn keep_room(&self) -> anyhow::Result<()> {
        self.reserve.as_ref().map_or(Ok(()), Reserve::fill)
    }

    /// What this process remembers under a name.
    pub(crate) fn setting(&self, name: &str) -> anyhow::Result<Option<String>> {
        let sql = "SELECT value FROM setting WHERE name = ?1";
        Ok(self.lock().query_row(sql, [name], |row| row.get(0)).optional()?)
    }

    pub(crate) fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        self.record(|c| Ok(c.execute("INSERT OR REPLACE INTO setting VALUES (?1, ?2)", [name, value])?))?;
        Ok(())
    }

    /// Called at the start: jobs that ran when the last process ended wait again, or, after too many attempts, count
    /// as failed. Gives the ids of both.
    pub(crate) fn recover(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let running: Vec<(String, u32)> = {
            let connection = self.lock();
            let mut query = connection.prepare("SELECT id, attempts FROM job WHERE state = ?1 ORDER BY number, seq")?;
            let rows = query.query_map([State::Running as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        let (mut again, mut given_up) = (Vec::new(), Vec::new());
        for (id, attempts) in running {
            if attempts < self.policy.attempts {
                self.put_back(&id)?;
                again.push(id);
                continue;
            }
            let message = format!("the server ended {attempts} times while this job ran; it is not started again");
            let error = json!({
                "prompt_id": id, "node_id": null, "node_type": null, "executed": [], "exception_message": message,
                "exception_type": "ServerEnded", "traceback": [], "current_inputs": {}, "current_outputs": [],
                "timestamp": super::now(),
            });
            let outcome = Outcome {
                state: State::Failed,
                outputs: serde_json::Map::new(),
                meta: serde_json::Map::new(),
                messages: vec![json!(["execution_error", error])],
                error: Some(error),
            };
            self.finish(&id, &outcome)?;
            given_up.push(id);
        }
        Ok((again, given_up))
    }

    /// The job waits again, as if it had not been started.
    pub(crate) fn put_back(&self, id: &str) -> anyhow::Result<()> {
        let sql = "UPDATE job SET state = ?2, started = NULL WHERE id = ?1 AND state = ?3";
        self.record(|c| Ok(c.execute(sql, params![id, State::Pending as i64, State::Running as i64])?))?;
        Ok(())
    }

    /// The job has run for so long that a crash is not its fault: earlier ones are forgotten.
    pub(crate) fn trust(&self, id: &str) -> anyhow::Result<()> {
        self.lock().execute("UPDATE job SET attempts = 1 WHERE id = ?1", [id])?;
        Ok(())
    }

    /// The same for a job that did nothing wrong: the attempt does not count.
    pub(crate) fn postpone(&self, id: &str) -> anyhow::Result<()> {
        self.record(|c| Ok(c.execute("UPDATE job SET attempts = max(attempts - 1, 0) WHERE id = ?1", [id])?))?;
        self.put_back(id)
    }
}
