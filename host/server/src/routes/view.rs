//! Pictures and other results for clients.

use super::{Call, Route, static_files};
use crate::http::{Reply, Response};
use crate::{paths, pictures};

pub(super) const ROUTES: &[Route] = &[Route::get("/view", view).slow()];

/// A browser would run these with the rights of our pages.
const ACTIVE: [&str; 9] = ["html", "htm", "xhtml", "svg", "js", "mjs", "xml", "css", "mht"];

fn view(call: &Call) -> Reply {
    let Some(filename) = call.query("filename").filter(|f| !f.is_empty()) else { return Err(Response::empty(404)) };
    let (filename, noted) = paths::noted_type(filename);
    let kind = call.query("type").or(noted).unwrap_or("output");
    if filename.starts_with('/') || filename.contains("..") {
        return Err(Response::empty(400));
    }
    let root = super::upload::folder(&call.app, kind)?;
    // A folder in the name itself is dropped, as in ComfyUI.
    let name = paths::file_name(filename).ok_or_else(|| Response::empty(400))?;
    let below = match call.query("subfolder") {
        Some(folder) if !folder.is_empty() => format!("{folder}/{name}"),
        _ => name.clone(),
    };
    let file = paths::existing(root, &below)?;
    if !file.is_file() {
        return Err(Response::empty(404));
    }
    let shown = |response: Response| response.with("content-disposition", disposition("inline", &name));
    let read = || std::fs::read(&file).map_err(|_| Response::empty(404));
    if let Some(preview) = call.query("preview").filter(|p| !p.is_empty()) {
        let mut wanted = preview.split(';');
        let format = wanted.next().filter(|f| matches!(*f, "webp" | "jpeg")).unwrap_or("webp");
        let quality = wanted.next().and_then(|q| q.parse().ok()).unwrap_or(90);
        if let Some((bytes, mime)) = pictures::convert(&read()?, format, quality) {
            return Ok(shown(Response::new(200, mime, bytes)));
        }
    }
    if let Some(channel) = call.query("channel").filter(|c| matches!(*c, "rgb" | "a"))
        && let Some(bytes) = pictures::channel(&read()?, channel)
    {
        return Ok(shown(Response::new(200, "image/png", bytes)));
    }
    let response = static_files::file(&call.request.head, &file)?;
    let ending = name.rsplit('.').next().unwrap_or("").to_ascii_lowercase();
    if ACTIVE.contains(&ending.as_str()) {
        let response = response.with("content-type", "application/octet-stream");
        return Ok(response.with("content-disposition", disposition("attachment", &name)));
    }
    Ok(shown(response))
}

fn disposition(how: &str, name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\".contains(c) || c == ' ' { c } else { '_' }).collect();
    if plain == name {
        return format!("{how}; filename=\"{name}\"");
    }
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_written_twice() {
        assert_eq!(disposition("inline", "a\"b.png"), "inline; filename=\"a_b.png\"; filename*=UTF-8''a%22b%2Epng");
    }
}
