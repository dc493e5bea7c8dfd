//! Data sets: reading those of other trainers, saving, joining, reporting. Other sources are plugins.

mod check_pictures;
mod duplicates;
mod embed;
mod kohya;
mod masks;
mod merge;
pub(crate) mod report;
mod review;
mod save;
mod sd_scripts;

pub(crate) use duplicates::{extra, on_all_cores};

use crate::{Host, Make};
use engine::{Context, node};
use serde_json::Value as Json;
use spec::{Value, Values};
use std::path::{Path, PathBuf};

pub(crate) const NODES: &[Make] = &[
    node::<sd_scripts::SdScriptsDataset>,
    node::<kohya::KohyaFolders>,
    node::<masks::DatasetMasks>,
    node::<duplicates::MarkDuplicates>,
    node::<check_pictures::CheckPictures>,
    node::<report::DatasetReport>,
    node::<review::ReviewCaptions>,
    node::<save::SaveDataset>,
    node::<merge::MergeDatasets>,
];

/// Identity of the files that the constants `names` lead to, by their contents.
fn fingerprint(
    ctx: &Context,
    constants: &Values,
    names: &[&str],
    files: fn(&Path) -> anyhow::Result<Vec<PathBuf>>,
) -> anyhow::Result<String> {
    let host = ctx.services::<Host>();
    let mut all = String::new();
    for name in names {
        let Some(Value::Data(Json::String(path))) = constants.get(*name) else { continue };
        if path.trim().is_empty() {
            continue;
        }
        for file in files(&host.input_path(path))? {
            all += &format!("{} {}\n", file.display(), host.file_digest(&file)?);
        }
    }
    Ok(data::Digest::of(all.as_bytes()).to_string())
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use crate::types::TrainOptions;
    use data::{Codec, Dataset, Image, PixelFormat};
    use serde_json::json;
    use std::path::Path;

    fn picture(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let image = Image::new(8, 8, PixelFormat::Rgb8, vec![90; 192]).unwrap();
        std::fs::write(path, image.encode(Codec::Png, 0).unwrap()).unwrap();
    }

    #[test]
    fn a_file_of_sd_scripts_gives_pictures_and_options() {
        let dir = tempfile::tempdir().unwrap();
        let toml =
            "[[datasets]]\nresolution = 64\nbatch_size = 3\n[[datasets.subsets]]\nimage_dir = \"a\"\nflip_aug = true\n";
        std::fs::write(dir.path().join("set.toml"), toml).unwrap();
        picture(&dir.path().join("a/1.png"));
        let ctx = host(dir.path());
        let read = || run(&ctx, "SdScriptsDataset", vec![("file", "set.toml".into())]);
        assert!(read().unwrap_err().to_string().contains("set.toml"));
        std::fs::write(dir.path().join("a/1.txt"), "ohwx, hat").unwrap();
        let out = read().unwrap();
        let (set, options) = (output::<Dataset>(&out, 0), output::<TrainOptions>(&out, 1));
        assert_eq!((set.items[0].caption().as_str(), &set.items[0].settings["flip"]), ("ohwx, hat", &json!(true)));
        assert_eq!(serde_json::Value::Object(options.values()), json!({"batch_size": 3, "resolution": 64}));
        // What changes beside the file is seen.
        let node = crate::builtin().into_iter().find(|n| n.spec().id == "SdScriptsDataset").unwrap();
        let constants: spec::Values = [("file".to_owned(), "set.toml".into())].into_iter().collect();
        let before = node.fingerprint(&ctx, &constants).unwrap();
        std::fs::write(dir.path().join("a/1.txt"), "ohwx, cap").unwrap();
        assert_ne!(node.fingerprint(&ctx, &constants).unwrap(), before);
    }

    #[test]
    fn folders_of_kohya_get_masks() {
        let dir = tempfile::tempdir().unwrap();
        picture(&dir.path().join("train/10_ohwx girl/1.png"));
        picture(&dir.path().join("reg/1_girl/2.png"));
        picture(&dir.path().join("masks/1.png"));
        let ctx = host(dir.path());
        let inputs = vec![("folder", "train".into()), ("regularisation", "reg".into())];
        let set = output::<Dataset>(&run(&ctx, "KohyaFolders", inputs).unwrap(), 0);
        let rows: Vec<_> = set.items.iter().map(|i| (i.caption(), i.repeats, i.is_reg)).collect();
        assert_eq!(rows, [("ohwx girl".to_owned(), 10, false), ("girl".to_owned(), 1, true)]);
        let masked = |missing: &str| {
            let inputs = vec![("dataset", value(&set)), ("folder", "masks".into()), ("on_missing", missing.into())];
            run(&ctx, "DatasetMasks", inputs)
        };
        assert!(masked("stop").unwrap_err().to_string().contains("1_girl/2.png"));
        let masked = output::<Dataset>(&masked("count whole").unwrap(), 0);
        assert!(masked.items[0].mask.is_some() && masked.items[1].mask.is_none());
    }
}
