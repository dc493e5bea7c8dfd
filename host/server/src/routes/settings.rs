//! The front end's settings: one flat object in a file, as ComfyUI keeps it.

use super::{Call, Route};
use crate::app::App;
use crate::http::{Reply, Response};
use crate::paths;
use anyhow::Context as _;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::path::PathBuf;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/settings", all),
    Route::post("/settings", set_many).slow(),
    Route::get("/settings/{id}", one),
    Route::post("/settings/{id}", set_one).slow(),
];

/// Reading, changing and writing is one step.
static CHANGING: Mutex<()> = Mutex::new(());

fn file(app: &App) -> PathBuf {
    super::userdata::root(app).join("comfy.settings.json")
}

fn read(app: &App) -> anyhow::Result<Map<String, Value>> {
    let file = file(app);
    match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

fn change(app: &App, change: impl FnOnce(&mut Map<String, Value>)) -> Reply {
    let _changing = CHANGING.lock();
    let mut settings = read(app)?;
    change(&mut settings);
    let text = serde_json::to_vec_pretty(&settings).context("settings")?;
    std::fs::create_dir_all(super::userdata::root(app)).context("the user's folder cannot be made")?;
    paths::write(&file(app), &text).with_context(|| format!("{} cannot be written", file(app).display()))?;
    Ok(Response::ok())
}

fn all(call: &Call) -> Reply {
    Ok(Response::json(&Value::Object(read(&call.app)?)))
}

fn one(call: &Call) -> Reply {
    let settings = read(&call.app)?;
    Ok(Response::json(settings.get(call.param("id")).unwrap_or(&Value::Null)))
}

fn set_many(call: &Call) -> Reply {
    let Value::Object(new) = call.json()? else { return Err(Response::error(400, "expected an object of settings")) };
    change(&call.app, |settings| settings.extend(new))
}

fn set_one(call: &Call) -> Reply {
    let value = call.json()?;
    change(&call.app, |settings| {
        settings.insert(call.param("id").to_owned(), value);
    })
}
