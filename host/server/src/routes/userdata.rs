//! Files of the user: workflows, subgraphs, styles.

use super::{Call, Route};
use crate::app::App;
use crate::http::{Reply, Response};
use crate::paths;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/userdata/{file}", get).slow(),
    Route::post("/userdata/{file}", post).upload(),
    Route::delete("/userdata/{file}", delete).slow(),
    Route::post("/userdata/{file}/move/{dest}", rename).slow(),
];

/// Where they lie; the same place as in ComfyUI.
pub(super) fn root(app: &App) -> PathBuf {
    app.config.user_dir.join("default")
}

fn made(app: &App) -> Result<PathBuf, Response> {
    let root = root(app);
    std::fs::create_dir_all(&root).context("the user's folder cannot be made")?;
    Ok(root)
}

fn get(call: &Call) -> Reply {
    let file = match paths::existing(&root(&call.app), call.param("file")) {
        Ok(file) if file.is_file() => file,
        // The front end asks for this one at every start, and a browser complains where it is not.
        Err(paths::Refused::Absent) if call.param("file") == "user.css" => return Ok(no_style()),
        Ok(_) => return Err(Response::empty(404)),
        Err(refused) => return Err(refused.into()),
    };
    super::static_files::file(&call.request.head, &file)
}

/// A style sheet without rules.
pub(super) fn no_style() -> Response {
    Response::new(200, "text/css; charset=utf-8", Vec::new())
}

fn post(call: &Call) -> Reply {
    let root = made(&call.app)?;
    let file = paths::writable(&root, call.param("file"))?;
    if file.is_dir() {
        return Err(Response::empty(400));
    }
    if call.query("overwrite") == Some("false") && file.exists() {
        return Err(Response::text(409, "File already exists"));
    }
    paths::write(&file, &call.request.body).with_context(|| format!("{} cannot be written", file.display()))?;
    answer(call, &root, &file)
}

fn delete(call: &Call) -> Reply {
    let file = paths::existing(&root(&call.app), call.param("file"))?;
    if !file.is_file() {
        return Err(Response::empty(404));
    }
    std::fs::remove_file(&file).context("the file cannot be deleted")?;
    Ok(Response::empty(204))
}

fn rename(call: &Call) -> Reply {
    let root = made(&call.app)?;
    let source = paths::existing(&root, call.param("file"))?;
    let dest = paths::writable(&root, call.param("dest"))?;
    if call.query("overwrite") == Some("false") && dest.exists() {
        return Err(Response::text(409, "File already exists"));
    }
    std::fs::rename(&source, &dest).context("the file cannot be moved")?;
    answer(call, &root, &dest)
}

fn answer(call: &Call, root: &Path, file: &Path) -> Reply {
    let root = root.canonicalize().context("the user's folder")?;
    let info = call.query("full_info") == Some("true");
    Ok(Response::json(&if info { described(&root, file) } else { below(&root, file).into() }))
}

/// The path below a folder, with `/`.
pub(super) fn below(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/")
}

/// Path, size and times of a file.
pub(super) fn described(root: &Path, file: &Path) -> Value {
    let facts = file.metadata();
    let milliseconds = |time: std::io::Result<SystemTime>| {
        let since = time.ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
    };
    let (size, modified, created) = facts.map_or((0, 0, 0), |f| {
        let modified = milliseconds(f.modified());
        (f.len(), modified, f.created().map_or(modified, |c| milliseconds(Ok(c))))
    });
    json!({ "path": below(root, file), "size": size, "modified": modified, "created": created })
}
