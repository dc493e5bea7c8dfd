//! Pictures from clients.

use super::{Call, Route};
use crate::app::App;
use crate::http::{Part, Reply, Response, parts};
use crate::{paths, pictures};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const ROUTES: &[Route] =
    &[Route::post("/upload/image", image).upload(), Route::post("/upload/mask", mask).upload()];

/// Where an upload goes.
struct Place {
    kind: String,
    subfolder: String,
    overwrite: bool,
}

fn image(call: &Call) -> Reply {
    let form = form(call)?;
    let file = picture(&form)?;
    save(&call.app, &place(&form), file.filename.as_deref().unwrap_or(""), file.bytes)
}

/// A mask is the alpha of a picture that lies here already.
fn mask(call: &Call) -> Reply {
    let form = form(call)?;
    let file = picture(&form)?;
    let original = text(&form, "original_ref").and_then(|t| serde_json::from_str::<Value>(&t).ok());
    let Some(original) = original.filter(Value::is_object) else { return Err(Response::text(400, "no original_ref")) };
    let field = |name: &str| original[name].as_str().unwrap_or("").to_owned();
    let root = folder(&call.app, original["type"].as_str().unwrap_or("output"))?;
    let below = Path::new(&field("subfolder")).join(field("filename"));
    let source = paths::existing(root, &below.to_string_lossy())?;
    let source = std::fs::read(&source).map_err(|_| Response::empty(400))?;
    let joined =
        pictures::with_alpha_of(&source, file.bytes).ok_or_else(|| Response::text(400, "expected two pictures"))?;
    save(&call.app, &place(&form), file.filename.as_deref().unwrap_or(""), &joined)
}

fn form<'a>(call: &'a Call) -> Result<Vec<Part<'a>>, Response> {
    let kind = call.request.head.header("content-type").unwrap_or("");
    parts(kind, &call.request.body).ok_or_else(|| Response::text(400, "expected multipart/form-data"))
}

fn picture<'a, 'b>(form: &'b [Part<'a>]) -> Result<&'b Part<'a>, Response> {
    form.iter().find(|p| p.name == "image" && p.filename.is_some()).ok_or_else(|| Response::empty(400))
}

fn text(form: &[Part<'_>], name: &str) -> Option<String> {
    form.iter().find(|p| p.name == name).map(Part::text)
}

fn place(form: &[Part<'_>]) -> Place {
    let text = |name: &str| text(form, name).unwrap_or_default();
    let kind = Some(text("type")).filter(|t| !t.is_empty()).unwrap_or_else(|| "input".to_owned());
    Place { kind, subfolder: text("subfolder"), overwrite: matches!(text("overwrite").as_str(), "true" | "1") }
}

/// The folder of a type.
pub(super) fn folder<'a>(app: &'a App, kind: &str) -> Result<&'a PathBuf, Response> {
    match kind {
        "input" => Ok(&app.config.input_dir),
        "output" => Ok(&app.config.output_dir),
        "temp" => Ok(&app.config.temp_dir),
        _ => Err(Response::empty(400)),
    }
}

fn save(app: &App, place: &Place, name: &str, bytes: &[u8]) -> Reply {
    let root = folder(app, &place.kind)?;
    let name = paths::file_name(name).ok_or_else(|| Response::empty(400))?;
    let at = |name: &str| {
        let below = if place.subfolder.is_empty() { name.to_owned() } else { format!("{}/{name}", place.subfolder) };
        paths::writable(root, &below).map_err(|refused| match refused {
            paths::Refused::NoRoom => refused.into(),
            _ => Response::empty(400),
        })
    };
    let (mut free, mut file) = (name.clone(), at(&name)?);
    if !place.overwrite {
        let (stem, ending) =
            name.rsplit_once('.').map_or((name.as_str(), String::new()), |(s, e)| (s, format!(".{e}")));
        let mut number = 0;
        while file.exists() {
            // The same picture again is the same file.
            if std::fs::read(&file).is_ok_and(|old| old == bytes) {
                return Ok(answer(&free, place));
            }
            number += 1;
            free = format!("{stem} ({number}){ending}");
            file = at(&free)?;
        }
    }
    if file.is_dir() {
        return Err(Response::empty(400));
    }
    paths::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(answer(&free, place))
}

fn answer(name: &str, place: &Place) -> Response {
    Response::json(&json!({ "name": name, "subfolder": place.subfolder, "type": place.kind }))
}
