//! The queue: accept, take the next, finish, delete.

use super::{Jobs, Outcome, State, Ticket, now, number_json};
use crate::outputs;
use anyhow::Context as _;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

/// A job to accept.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) id: String,
    /// None takes the next number.
    pub(crate) number: Option<f64>,
    /// Before all others.
    pub(crate) front: bool,
    pub(crate) client: Option<String>,
    pub(crate) prompt: Value,
    pub(crate) extra: Value,
    pub(crate) targets: Vec<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Accepted {
    Number(f64),
    /// The same job is there already, under this number: a client asked twice because it got no answer.
    Again(f64),
    /// Another job has this id and is not over.
    Taken,
}

impl Jobs {
    /// Accepts a job. Once this returns, the job outlives the process and the power.
    pub(crate) fn accept(&self, new: &New) -> anyhow::Result<Accepted> {
        let prompt = new.prompt.to_string();
        let mut connection = self.lock();
        let found: Option<(i64, f64, String)> = connection
            .query_row("SELECT state, number, prompt FROM job WHERE id = ?1", [&new.id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        if let Some((state, number, old)) = found
            && matches!(State::from_number(state), State::Pending | State::Running)
        {
            return Ok(if old == prompt { Accepted::Again(number) } else { Accepted::Taken });
        }
        // The promise is made here, so this one write waits for the disk; all others may come a moment later.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let accepted = insert(&mut connection, new, &prompt);
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        accepted.map(Accepted::Number).with_context(|| self.unwritable())
    }

    /// The next job, which from now on runs.
    pub(crate) fn claim(&self) -> anyhow::Result<Option<Ticket>> {
        let connection = self.lock();
        let sql = "UPDATE job SET state = 1, started = ?1, attempts = attempts + 1
            WHERE seq = (SELECT seq FROM job WHERE state = 0 ORDER BY number, seq LIMIT 1)
            RETURNING id, client, prompt, extra, targets, attempts";
        let mut query = connection.prepare_cached(sql)?;
        let mut rows = query.query([now()])?;
        let read = |row: &Row<'_>| -> rusqlite::Result<Ticket> {
            Ok(Ticket {
                id: row.get(0)?,
                client: row.get(1)?,
                prompt: parsed(row, 2)?,
                extra: parsed(row, 3)?,
                targets: serde_json::from_value(parsed(row, 4)?).unwrap_or_default(),
                attempts: row.get(5)?,
            })
        };
        let ticket = rows.next()?.map(read).transpose()?;
        // The change is written behind the last row; only asking for one more says whether that worked.
        rows.next().with_context(|| self.unwritable())?;
        Ok(ticket)
    }

    /// Records what became of a running job, and forgets the oldest beyond the policy.
    pub(crate) fn finish(&self, id: &str, outcome: &Outcome) -> anyhow::Result<()> {
        self.record(|connection| finish(connection, id, outcome, self.policy.keep))
    }

    /// How many jobs wait or run.
    pub(crate) fn remaining(&self) -> usize {
        let count =
            self.lock().query_row("SELECT count(*) FROM job WHERE state <= 1", [], |row| row.get::<_, usize>(0));
        count.unwrap_or_else(|error| {
            tracing::error!("the queue cannot be counted: {error}");
            0
        })
    }

    /// The jobs in this state as a JSON list of `[number, id, prompt, extra_data, outputs]`, in the order of their turn.
    pub(crate) fn queue_json(&self, state: State) -> anyhow::Result<String> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(
            "SELECT number, id, prompt, extra, targets FROM job WHERE state = ?1 ORDER BY number, seq",
        )?;
        let mut rows = query.query([state as i64])?;
        let mut text = String::from("[");
        while let Some(row) = rows.next()? {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&tuple(row)?);
        }
        text.push(']');
        Ok(text)
    }

    /// Deletes waiting jobs; gives how many there were.
    pub(crate) fn delete_pending(&self, ids: &[String]) -> anyhow::Result<usize> {
        self.record(|connection| {
            let mut deleted = 0;
            for id in ids {
                deleted += connection.execute("DELETE FROM job WHERE state = 0 AND id = ?1", [id])?;
            }
            Ok(deleted)
        })
    }

    pub(crate) fn clear_pending(&self) -> anyhow::Result<usize> {
        self.record(|c| Ok(c.execute("DELETE FROM job WHERE state = 0", [])?))
    }
}

fn insert(connection: &mut Connection, new: &New, prompt: &str) -> anyhow::Result<f64> {
    let transaction = connection.transaction()?;
    let number = match new.number {
        Some(number) => number,
        None => {
            let next = "INSERT INTO setting VALUES ('next-number', '1')
                ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1
                RETURNING CAST(value AS INTEGER) - 1";
            let next: i64 = transaction.query_row(next, [], |row| row.get(0))?;
            if new.front { -(next as f64) } else { next as f64 }
        }
    };
    transaction.execute("DELETE FROM job WHERE id = ?1 AND state >= 2", [&new.id])?;
    let workflow = new.extra["extra_pnginfo"]["workflow"]["id"].as_str();
    transaction.execute(
        "INSERT INTO job (id, number, state, client, prompt, extra, targets, workflow, created)
            VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            new.id,
            number,
            new.client,
            prompt,
            new.extra.to_string(),
            json!(new.targets).to_string(),
            workflow,
            now()
        ],
    )?;
    transaction.commit()?;
    Ok(number)
}

fn finish(connection: &mut Connection, id: &str, outcome: &Outcome, keep: u32) -> anyhow::Result<()> {
    let facts = outputs::facts(&outcome.outputs);
    let completed = outcome.state == State::Completed;
    let status = json!({
        "status_str": if completed { "success" } else { "error" }, "completed": completed, "messages": outcome.messages,
    });
    let transaction = connection.transaction()?;
    transaction.execute(
        "UPDATE job SET state = ?2, ended = ?3, outputs = ?4, meta = ?5, status = ?6, error = ?7, outputs_count = ?8,
            previews = ?9, preview = ?10 WHERE id = ?1",
        params![
            id,
            outcome.state as i64,
            now(),
            Value::Object(outcome.outputs.clone()).to_string(),
            Value::Object(outcome.meta.clone()).to_string(),
            status.to_string(),
            outcome.error.as_ref().map(Value::to_string),
            facts.count,
            facts.previewable,
            facts.preview.map(|p| p.to_string()),
        ],
    )?;
    transaction.execute("DELETE FROM job WHERE state >= 2 AND seq <= (SELECT max(seq) FROM job) - ?1", [keep])?;
    Ok(transaction.commit()?)
}

/// `[number, id, prompt, extra_data, outputs]`, put together from text that already is JSON.
pub(super) fn tuple(row: &Row<'_>) -> rusqlite::Result<String> {
    let (number, id): (f64, String) = (row.get(0)?, row.get(1)?);
    let (prompt, extra, targets): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(format!("[{},{},{prompt},{extra},{targets}]", number_json(number), json!(id)))
}

pub(super) fn parsed(row: &Row<'_>, index: usize) -> rusqlite::Result<Value> {
    let text: Option<String> = row.get(index)?;
    let wrong =
        |e: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, e.into());
    text.map_or(Ok(Value::Null), |t| serde_json::from_str(&t).map_err(wrong))
}
