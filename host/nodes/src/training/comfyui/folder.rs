//! Pictures of a folder, as ComfyUI's training nodes read them.

use crate::Host;
use crate::types::ImageBatch;
use anyhow::{Context as _, Result, bail, ensure};
use data::{DecodeLimits, Filter, Fit, Image, PixelFormat, ResizeSpec};
use engine::Context;
use serde_json::Value as Json;
use spec::{Value, Values};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// ComfyUI's folders lie in its input folder: a name is looked for beside the workflow, and in `input` beside it.
fn resolve(ctx: &Context, folder: &str) -> Result<PathBuf> {
    let host = ctx.services::<Host>();
    let places = [host.input_path(folder), host.input_path(&format!("input/{folder}"))];
    match places.iter().find(|p| p.is_dir()) {
        Some(found) => Ok(found.clone()),
        None => bail!("no folder `{folder}`: looked at {} and {}", places[0].display(), places[1].display()),
    }
}

/// Pictures right in a folder, by name.
pub(super) fn files(ctx: &Context, folder: &str) -> Result<Vec<PathBuf>> {
    let folder = resolve(ctx, folder)?;
    let found: Vec<PathBuf> = entries(&folder)?.into_iter().filter(|p| is_picture(p)).collect();
    ensure!(!found.is_empty(), "{}: no pictures; expected {}", folder.display(), ENDINGS.join(", "));
    Ok(found)
}

/// Pictures of a folder and of the folders in it, by name; a folder `N_name` counts N times, as in kohya's scripts.
pub(super) fn files_with_repeats(ctx: &Context, folder: &str) -> Result<Vec<PathBuf>> {
    let folder = resolve(ctx, folder)?;
    let mut found = Vec::new();
    for path in entries(&folder)? {
        if is_picture(&path) {
            found.push(path);
        } else if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let repeats = name.split('_').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
            let inside: Vec<PathBuf> = entries(&path)?.into_iter().filter(|p| is_picture(p)).collect();
            found.extend(std::iter::repeat_n(inside, repeats).flatten());
        }
    }
    ensure!(!found.is_empty(), "{}: no pictures; expected {}", folder.display(), ENDINGS.join(", "));
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = read.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    path.is_file() && ending.is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

/// Identity of the pictures and captions of the folder that the constant `folder` names.
pub(super) fn fingerprint(ctx: &Context, constants: &Values) -> Result<String> {
    let Some(Value::Data(Json::String(folder))) = constants.get("folder") else { return Ok(String::new()) };
    let host = ctx.services::<Host>();
    let mut lines = Vec::new();
    for path in files_with_repeats(ctx, folder)? {
        for file in [path.clone(), path.with_extension("txt")] {
            if file.is_file() {
                lines.push(format!("{} {}", file.display(), host.file_digest(&file)?));
            }
        }
    }
    Ok(lines.join("\n"))
}

pub(super) fn open(path: &Path) -> Result<Image> {
    let image = Image::open(path, &DecodeLimits::default()).with_context(|| path.display().to_string())?;
    Ok(image.convert(PixelFormat::Rgb8))
}

/// The caption file beside a picture, without the spaces around it; empty if there is none.
pub(super) fn caption(picture: &Path) -> Result<String> {
    let path = picture.with_extension("txt");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Names for the input `resize_method`.
pub(super) const METHODS: [&str; 4] = ["None", "Stretch", "Crop", "Pad"];

/// All pictures in one size: that of the first, unless a width and height are given.
pub(super) fn batch(
    ctx: &Context,
    paths: &[PathBuf],
    method: &str,
    size: Option<(u32, u32)>,
) -> Result<Arc<ImageBatch>> {
    let mut images = Vec::with_capacity(paths.len());
    let mut size = size;
    for (done, path) in paths.iter().enumerate() {
        ctx.check_cancelled()?;
        let image = open(path)?;
        let (width, height) = *size.get_or_insert((image.width, image.height));
        images.push(fitted(image, method, width, height).with_context(|| path.display().to_string())?);
        ctx.progress(done as u64 + 1, paths.len() as u64, "reading pictures");
    }
    Ok(Arc::new(ImageBatch::new(images)))
}

fn fitted(image: Image, method: &str, width: u32, height: u32) -> Result<Image> {
    if (image.width, image.height) == (width, height) {
        return Ok(image);
    }
    let spec = |fit| ResizeSpec { width, height, fit, filter: Filter::Lanczos3, pad_color: 0 };
    Ok(match method {
        "Stretch" => image.resize(&spec(Fit::Stretch))?,
        "Crop" => image.resize(&spec(Fit::Cover))?,
        "Pad" => image.resize(&spec(Fit::Pad))?,
        _ => bail!(
            "expected a picture of {width}×{height}, found {}×{}; choose a `resize_method`, or use pictures of one size",
            image.width,
            image.height
        ),
    })
}
