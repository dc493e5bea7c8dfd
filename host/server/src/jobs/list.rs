//! Jobs as the jobs API lists them.

use super::{Jobs, State, number_json, queue::parsed};
use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, params_from_iter};
use serde_json::{Map, Value, json};

/// Which jobs, and which part of them.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Empty: all.
    pub(crate) states: Vec<State>,
    pub(crate) workflow: Option<String>,
    /// Text that the prompt or the outputs hold.
    pub(crate) search: Option<String>,
    pub(crate) sort: Sort,
    pub(crate) descending: bool,
    pub(crate) limit: Option<u32>,
    pub(crate) offset: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Created,
    Duration,
}

/// A job without its prompt.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The object of the list.
    pub(crate) json: Map<String, Value>,
}

const COLUMNS: &str = "id, state, number, created, started, ended, error, outputs_count, previews, preview, workflow";

impl Jobs {
    /// The jobs of one page, and how many there are on all.
    pub(crate) fn list(&self, filter: &Filter) -> anyhow::Result<(Vec<Row>, usize)> {
        let (clause, mut values) = condition(filter);
        let connection = self.lock();
        let count = format!("SELECT count(*) FROM job WHERE {clause}");
        let total = connection.query_row(&count, params_from_iter(&values), |row| row.get(0))?;
        let order = match filter.sort {
            Sort::Created => "created",
            Sort::Duration => "coalesce(ended, 0) - coalesce(started, 0)",
        };
        let direction = if filter.descending { "DESC" } else { "ASC" };
        values.push(Sql::Integer(filter.limit.map_or(-1, i64::from)));
        values.push(Sql::Integer(filter.offset.into()));
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE {clause} ORDER BY {order} {direction}, seq {direction} LIMIT ? OFFSET ?"
        );
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map(params_from_iter(&values), row)?.collect::<Result<_, _>>()?;
        Ok((rows, total))
    }

    pub(crate) fn row(&self, id: &str) -> anyhow::Result<Option<Row>> {
        let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
        Ok(self.lock().query_row(&sql, [id], row).optional()?)
    }

    /// The same with outputs, messages and the prompt.
    pub(crate) fn details(&self, id: &str) -> anyhow::Result<Option<Row>> {
        let Some(mut row) = self.row(id)? else { return Ok(None) };
        let sql = "SELECT prompt, extra, outputs, status FROM job WHERE id = ?1";
        let more = self
            .lock()
            .query_row(sql, [id], |row| Ok((parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?, parsed(row, 3)?)));
        let Some((prompt, extra, outputs, status)) = more.optional()? else { return Ok(None) };
        if !outputs.is_null() {
            row.json.insert("outputs".into(), outputs);
        }
        if !status.is_null() {
            row.json.insert("execution_status".into(), status);
        }
        row.json.insert("workflow".into(), json!({ "prompt": prompt, "extra_data": extra }));
        Ok(Some(row))
    }

    /// How many jobs are in each state.
    pub(crate) fn counts(&self) -> anyhow::Result<Vec<(State, usize)>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached("SELECT state, count(*) FROM job GROUP BY state")?;
        let rows = query.query_map([], |row| Ok((State::from_number(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn condition(filter: &Filter) -> (String, Vec<Sql>) {
    let (mut parts, mut values) = (vec!["1".to_owned()], Vec::new());
    if !filter.states.is_empty() {
        let numbers: Vec<String> = filter.states.iter().map(|s| (*s as i64).to_string()).collect();
        parts.push(format!("state IN ({})", numbers.join(", ")));
    }
    if let Some(workflow) = &filter.workflow {
        parts.push("workflow = ?".into());
        values.push(Sql::Text(workflow.clone()));
    }
    if let Some(search) = &filter.search {
        parts.push("(instr(lower(prompt), ?) OR instr(lower(coalesce(outputs, '')), ?) OR id = ?)".into());
        values.extend(std::iter::repeat_n(Sql::Text(search.to_lowercase()), 3));
    }
    (parts.join(" AND "), values)
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let state = State::from_number(row.get(1)?);
    let mut json = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            json.insert(name.to_owned(), value);
        }
    };
    put("id", row.get::<_, String>(0)?.into());
    put("status", state.name().into());
    put("priority", number_json(row.get(2)?));
    put("create_time", row.get::<_, i64>(3)?.into());
    put("execution_start_time", row.get::<_, Option<i64>>(4)?.into());
    put("execution_end_time", row.get::<_, Option<i64>>(5)?.into());
    put("execution_error", parsed(row, 6)?);
    put("outputs_count", row.get::<_, Option<i64>>(7)?.map_or_else(|| json!(0), Value::from));
    put("previewable_outputs_count", row.get::<_, Option<i64>>(8)?.into());
    put("preview_output", parsed(row, 9)?);
    put("workflow_id", row.get::<_, Option<String>>(10)?.into());
    Ok(Row { json })
}
