//! Files of the front end, and files in general: types, ranges, caching.

use super::{Call, page};
use crate::app::App;
use crate::http::{Body, Head, Reply, Response, decode, http_date};
use crate::paths;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// By ending. What is not here goes out as bytes.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("json", "application/json; charset=utf-8"),
    ("map", "application/json; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/plain; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("wasm", "application/wasm"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("glb", "model/gltf-binary"),
];

/// The folder of the front end.
pub(super) fn root(app: &App) -> Option<&PathBuf> {
    app.config.front_end.as_ref()
}

/// Any path that is no route.
pub(super) fn handle(call: &Call) -> Reply {
    let head = &call.request.head;
    let path = decode(&head.path);
    if let (Some(root), Some(below)) = (&call.app.config.templates, path.strip_prefix("/templates/")) {
        return file(head, &paths::existing(root, below)?);
    }
    let Some(root) = root(&call.app) else {
        return if path == "/" { page::page(call) } else { Err(Response::text(404, "404: Not Found")) };
    };
    let below = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let found = match paths::existing(root, below) {
        Err(paths::Refused::Absent) if below == "user.css" => return Ok(super::userdata::no_style()),
        found => found?,
    };
    if !found.is_file() {
        return Err(Response::text(404, "404: Not Found"));
    }
    let response = file(head, &found)?;
    let name = found.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(match name.as_str() {
        "index.html" => response.with("cache-control", "no-store"),
        // The names of built files hold their hashes.
        _ if below.starts_with("assets/") => response.with("cache-control", "public, max-age=31536000, immutable"),
        _ => response,
    })
}

/// A file as it is: with its type, by parts if asked for, and not at all if the client has it.
pub(super) fn file(head: &Head, path: &Path) -> Reply {
    let gone = |_| Response::empty(404);
    let mut file = std::fs::File::open(path).map_err(gone)?;
    let facts = file.metadata().map_err(gone)?;
    let length = facts.len();
    let changed = facts.modified().unwrap_or(UNIX_EPOCH);
    let nanoseconds = changed.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let tag = format!("\"{length:x}-{nanoseconds:x}\"");
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let kind = TYPES.iter().find(|(e, _)| *e == ending).map_or("application/octet-stream", |(_, kind)| kind);
    let response = Response::new(200, kind, Vec::new())
        .with("etag", tag.clone())
        .with("last-modified", http_date(changed))
        .with("accept-ranges", "bytes")
        .with("cache-control", "no-cache");
    if head
        .header("if-none-match")
        .is_some_and(|known| known.split(',').any(|k| k.trim().trim_start_matches("W/") == tag))
    {
        return Ok(response.status(304));
    }
    let unchanged = head.header("if-range").is_none_or(|known| known == tag);
    match head.header("range").filter(|_| unchanged).and_then(|r| range(r, length)) {
        None => Ok(Response { body: Body::File(file, length), ..response }),
        Some(Err(())) => Err(Response::empty(416).with("content-range", format!("bytes */{length}"))),
        Some(Ok((first, last))) => {
            file.seek(SeekFrom::Start(first)).map_err(gone)?;
            let response = response.status(206).with("content-range", format!("bytes {first}-{last}/{length}"));
            Ok(Response { body: Body::File(file, last - first + 1), ..response })
        }
    }
}

/// `bytes=a-b`; none for what is not understood, an error for what is not there.
fn range(text: &str, length: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count: u64 = last.trim().parse().ok()?;
        return Some(if count == 0 || length == 0 { Err(()) } else { Ok((length.saturating_sub(count), length - 1)) });
    }
    let first: u64 = first.trim().parse().ok()?;
    let last: u64 = if last.trim().is_empty() { u64::MAX } else { last.trim().parse().ok()? };
    if last < first {
        return None;
    }
    Some(if first >= length { Err(()) } else { Ok((first, last.min(length - 1))) })
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_read() {
        assert_eq!(range("bytes=0-3", 10), Some(Ok((0, 3))));
        assert_eq!(range("bytes=4-", 10), Some(Ok((4, 9))));
        assert_eq!(range("bytes=-4", 10), Some(Ok((6, 9))));
        assert_eq!(range("bytes=-40", 10), Some(Ok((0, 9))));
        assert_eq!(range("bytes=8-99", 10), Some(Ok((8, 9))));
        assert_eq!(range("bytes=10-", 10), Some(Err(())));
        for odd in ["bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=-0x"] {
            assert_eq!(range(odd, 10), None, "{odd}");
        }
    }
}
