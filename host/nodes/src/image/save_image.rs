use crate::types::ImageBatch;
use crate::{Host, files};
use anyhow::Result;
use data::{Codec, Image};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Saves pictures as PNG below the output folder, with the workflow that made them inside.
#[derive(Inputs)]
pub(crate) struct SaveImage {
    /// The pictures.
    images: Arc<ImageBatch>,
    /// Start of the files' names: `name` gives `name_00001_.png`. May have folders; `%width%`, `%height%`,
    /// `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%` and `%second%` are filled in.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
}

/// Two nodes may count in one folder at the same time.
static COUNTING: Mutex<()> = Mutex::new(());

/// Held while numbers are given out.
pub(super) fn counting() -> MutexGuard<'static, ()> {
    COUNTING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TypedNode for SaveImage {
    const ID: &'static str = "SaveImage";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Save Image";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let mut ui = WithUi::new(());
        let mut shown = Vec::new();
        let _counting = counting();
        for image in self.images.images() {
            let host = ctx.services::<Host>();
            let prefix = files::filled_in(&self.filename_prefix, (image.width, image.height), (host.now)());
            let name = format!("{prefix}_{:05}_.png", next_number(&host.out_path(&prefix)?));
            let (path, digest) = files::save(ctx, &name, &png(ctx, image)?)?;
            ui = ui.file(&path, digest.as_str());
            let (subfolder, filename) = name.rsplit_once('/').unwrap_or(("", &name));
            shown.push(json!({ "filename": filename, "subfolder": subfolder, "type": "output" }));
        }
        Ok(ui.show("images", shown))
    }
}

/// A picture as PNG with the workflow in it, in the text chunk that ComfyUI reads.
fn png(ctx: &Context, image: &Image) -> Result<Vec<u8>> {
    Ok(with_workflow(ctx, image.clone()).encode(Codec::Png, 100)?)
}

/// The picture with the running workflow attached, and with what a front end wants beside it.
pub(crate) fn with_workflow(ctx: &Context, image: Image) -> Image {
    let host = ctx.services::<Host>();
    let image = image.with_metadata("prompt", host.workflow.to_string());
    host.extra_pnginfo.iter().fold(image, |image, (name, value)| image.with_metadata(name, value.to_string()))
}

/// One more than the highest number of files `PREFIX_number_…` and `PREFIX_number.…`.
pub(crate) fn next_number(prefix: &Path) -> u32 {
    let folder = prefix.parent().unwrap_or(Path::new("."));
    let stem = format!("{}_", prefix.file_name().unwrap_or_default().to_string_lossy());
    let Ok(entries) = std::fs::read_dir(folder) else { return 1 };
    let numbers = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix(&stem)?.split(['_', '.']).next()?.parse::<u32>().ok()
    });
    numbers.max().map_or(1, |n| n.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_behind_the_highest() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("a");
        assert_eq!(next_number(&prefix), 1);
        for name in ["a_00002_.png", "a_00007_.png", "b_00009_.png", "a_x_.png", "ab_00010_.png", "a_00003.png"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(next_number(&prefix), 8);
        assert_eq!(next_number(&dir.path().join("nowhere/a")), 1);
    }
}
