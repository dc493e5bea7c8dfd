//! Jobs of all states, page by page.

use super::{At, Call, Route};
use crate::http::{Reply, Response};
use crate::jobs::{Filter, Sort, State};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] =
    &[Route::get("/jobs", get).only(At::Api).slow(), Route::post("/jobs/cancel", cancel).only(At::Api)];

fn get(call: &Call) -> Reply {
    let filter = filter(call).map_err(|message| Response::error(400, message))?;
    let (rows, total) = call.app.jobs.list(&filter)?;
    let (offset, count) = (filter.offset as usize, rows.len());
    let jobs: Vec<Value> = rows.into_iter().map(|r| Value::Object(r.json)).collect();
    Ok(Response::json(&json!({
        "jobs": jobs,
        "pagination": { "offset": offset, "limit": filter.limit, "total": total, "has_more": offset + count < total },
    })))
}

fn filter(call: &Call) -> Result<Filter, String> {
    let mut states = Vec::new();
    for name in call.query("status").unwrap_or("").split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let known = || State::ALL.map(State::name).join(", ");
        states.push(
            State::from_name(name).ok_or_else(|| format!("Invalid status value: {name}. Valid values: {}", known()))?,
        );
    }
    let number = |name: &str| -> Result<Option<u32>, String> {
        let read = |v: &str| v.parse().map_err(|_| format!("{name} must be a non-negative integer"));
        call.query(name).filter(|v| !v.is_empty()).map(read).transpose()
    };
    let limit = number("limit")?;
    if limit == Some(0) {
        return Err("limit must be a positive integer".into());
    }
    let sort = match call.query("sort_by").unwrap_or("created_at") {
        "created_at" => Sort::Created,
        "execution_duration" => Sort::Duration,
        _ => return Err("sort_by must be 'created_at' or 'execution_duration'".into()),
    };
    let descending = match call.query("sort_order").unwrap_or("desc") {
        "desc" => true,
        "asc" => false,
        _ => return Err("sort_order must be 'asc' or 'desc'".into()),
    };
    let text = |name: &str| call.query(name).filter(|v| !v.is_empty()).map(str::to_owned);
    Ok(Filter {
        states,
        workflow: text("workflow_id"),
        search: text("search"),
        sort,
        descending,
        limit,
        offset: number("offset")?.unwrap_or(0),
    })
}

fn cancel(call: &Call) -> Reply {
    let body = call.json()?;
    let Some(given) = body["job_ids"].as_array().filter(|ids| !ids.is_empty()) else {
        return Err(Response::error(400, "job_ids must be a list that is not empty"));
    };
    let valid = |v: &&Value| v.as_str().is_some_and(|id| crate::ids::is_uuid(&id.to_ascii_lowercase()));
    let invalid: Vec<&Value> = given.iter().filter(|v| !valid(v)).collect();
    if !invalid.is_empty() {
        let body = json!({ "error": "job_ids must be UUIDs", "invalid_ids": invalid });
        return Err(Response::json(&body).status(400));
    }
    let mut cancelled = false;
    for id in given.iter().filter_map(Value::as_str) {
        cancelled |= super::job::stop(call, id)?;
    }
    Ok(Response::json(&json!({ "cancelled": cancelled })))
}
