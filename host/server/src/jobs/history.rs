//! Finished jobs, as the history shows them.

use super::{Jobs, queue::tuple};
use rusqlite::{OptionalExtension, Row, params};
use serde_json::json;

/// Columns as [`tuple`] and [`entry`] read them.
const COLUMNS: &str = "number, id, prompt, extra, targets, outputs, meta, status";

impl Jobs {
    /// `{id: entry}` as JSON text, oldest first: from `offset`, or the last `max` if there is no offset.
    pub(crate) fn history_json(&self, max: Option<u32>, offset: Option<u32>) -> anyhow::Result<String> {
        let connection = self.lock();
        let (max, offset) = (max.map_or(-1, i64::from), offset.map(i64::from));
        let sql = match offset {
            Some(_) => format!("SELECT {COLUMNS} FROM job WHERE state >= 2 ORDER BY ended, seq LIMIT ?1 OFFSET ?2"),
            None => format!(
                "SELECT {COLUMNS} FROM (SELECT * FROM job WHERE state >= 2 ORDER BY ended DESC, seq DESC LIMIT ?1 OFFSET ?2)
                    ORDER BY ended, seq"
            ),
        };
        let mut query = connection.prepare_cached(&sql)?;
        let mut rows = query.query(params![max, offset.unwrap_or(0)])?;
        let mut text = String::from("{");
        while let Some(row) = rows.next()? {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&entry(row)?);
        }
        text.push('}');
        Ok(text)
    }

    /// `{id: entry}`, or `{}` if there is no such finished job.
    pub(crate) fn history_one_json(&self, id: &str) -> anyhow::Result<String> {
        let sql = format!("SELECT {COLUMNS} FROM job WHERE state >= 2 AND id = ?1");
        let entry = self.lock().query_row(&sql, [id], entry).optional()?;
        Ok(format!("{{{}}}", entry.unwrap_or_default()))
    }

    pub(crate) fn delete_history(&self, ids: &[String]) -> anyhow::Result<()> {
        self.record(|connection| {
            for id in ids {
                connection.execute("DELETE FROM job WHERE state >= 2 AND id = ?1", [id])?;
            }
            Ok(())
        })
    }

    pub(crate) fn clear_history(&self) -> anyhow::Result<()> {
        self.record(|c| Ok(c.execute("DELETE FROM job WHERE state >= 2", [])?))?;
        Ok(())
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<String> {
    let id: String = row.get(1)?;
    let or_empty = |index| row.get::<_, Option<String>>(index).map(|t| t.unwrap_or_else(|| "{}".to_owned()));
    let (outputs, meta, status) = (or_empty(5)?, or_empty(6)?, or_empty(7)?);
    let prompt = tuple(row)?;
    Ok(format!("{}:{{\"prompt\":{prompt},\"outputs\":{outputs},\"status\":{status},\"meta\":{meta}}}", json!(id)))
}
