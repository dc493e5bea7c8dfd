use crate::files;
use anyhow::Context as _;
use data::{Dataset, Item};
use engine::{Context, Outputs, TypedNode, WithUi};
use spec::Inputs;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Saves a data set as a folder of pictures with a caption file beside each, as every trainer reads it.
#[derive(Inputs)]
pub(crate) struct SaveDataset {
    /// The data set.
    dataset: Arc<Dataset>,
    /// Folder below the output folder. Regularisation images go into one beside it, `…_regularisation`.
    #[input(default = "dataset")]
    folder: String,
    /// Put pictures into folders `N_subset`, where N is how often they are shown, as kohya's scripts expect.
    #[input(default = true)]
    kohya_folders: bool,
    /// Ending of the caption files.
    #[input(default = ".txt", options = [".txt", ".caption"])]
    caption_ending: String,
}

impl TypedNode for SaveDataset {
    const ID: &'static str = "SaveDataset";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Save dataset";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let mut out = WithUi::new(());
        let mut taken: BTreeMap<String, u32> = BTreeMap::new();
        let total = self.dataset.items.len() as u64;
        for (done, item) in self.dataset.items.iter().enumerate() {
            ctx.check_cancelled()?;
            let bytes = std::fs::read(&item.path).with_context(|| format!("cannot read {}", item.path.display()))?;
            let stem = self.stem(item);
            // Pictures of different folders may have one name.
            // Some file systems do not tell capitals from others.
            let n = taken.entry(stem.to_lowercase()).or_default();
            *n += 1;
            let stem = if *n > 1 { format!("{stem}_{n}") } else { stem };
            let ending = ending(&item.path, &bytes);
            let (path, sha256) = files::save(ctx, &format!("{stem}.{ending}"), &bytes)?;
            out = out.file(&path, sha256.as_str());
            let caption = item.caption();
            if !caption.is_empty() {
                let name = format!("{stem}{}", self.caption_ending);
                let (path, sha256) = files::save(ctx, &name, format!("{caption}\n").as_bytes())?;
                out = out.file(&path, sha256.as_str());
            }
            ctx.progress(done as u64 + 1, total, &item.id);
        }
        Ok(out)
    }
}

impl SaveDataset {
    fn stem(&self, item: &Item) -> String {
        let name =
            Path::new(&item.id).file_stem().map_or_else(|| "picture".into(), |s| s.to_string_lossy().into_owned());
        let name = plain(&name);
        // Among the others, regularisation images would be learned.
        let root = if item.is_reg { format!("{}_regularisation", self.folder) } else { self.folder.clone() };
        if !self.kohya_folders {
            return format!("{root}/{name}");
        }
        let subset = if item.subset.is_empty() { "pictures".to_owned() } else { plain(&item.subset) };
        format!("{root}/{}_{subset}/{name}", item.repeats)
    }
}

/// Bytes of a name; with its ending and number it must fit into what file systems allow.
const MAX_NAME: usize = 200;

/// Without what would lead into another folder, or make the name look like another.
fn plain(name: &str) -> String {
    let odd = |c: char| {
        "/\\:".contains(c) || c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut name: String = name.chars().map(|c| if odd(c) { '_' } else { c }).collect();
    while name.len() > MAX_NAME {
        name.pop();
    }
    if name.trim_matches('.').is_empty() { "_".to_owned() } else { name }
}

/// The picture's own ending; pictures from the store have none.
fn ending(path: &Path, bytes: &[u8]) -> String {
    let own = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let found = || (if bytes.starts_with(b"\xff\xd8") { "jpg" } else { "png" }).to_owned();
    own.unwrap_or_else(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder_and_look_like_what_they_are() {
        assert_eq!(plain("a/b\\c:d\0"), "a_b_c_d_");
        assert_eq!(plain("exe\u{202e}gnp"), "exe_gnp");
        assert_eq!((plain(".."), plain("é 漢 e\u{301}")), ("_".into(), "é 漢 e\u{301}".into()));
        let long = plain(&"漢".repeat(300));
        assert!(long.len() <= MAX_NAME && long.chars().all(|c| c == '漢'));
    }
}
