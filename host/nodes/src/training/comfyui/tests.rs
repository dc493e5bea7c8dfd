//! The nodes on small pictures and the embedded base.

use super::folder;
use crate::testing::{base, host, output, run, value};
use crate::types::{Conditioning, ImageBatch, Latent, LossMap};
use data::{Codec, Image, PixelFormat};
use engine::Context;
use spec::{ObjectType, Value};
use std::path::Path;
use std::sync::Arc;

fn picture(path: &Path, width: u32, height: u32, caption: Option<&str>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i * 7 % 251) as u8).collect();
    let image = Image::new(width, height, PixelFormat::Rgb8, pixels).unwrap();
    std::fs::write(path, image.encode(Codec::Png, 100).unwrap()).unwrap();
    if let Some(caption) = caption {
        std::fs::write(path.with_extension("txt"), format!("{caption}\n")).unwrap();
    }
}

/// A folder in `input`: two pictures of one size, and one twice in a folder of kohya's.
fn folder_of_pictures(dir: &Path) -> Context {
    let set = dir.join("input/set");
    picture(&set.join("b.png"), 32, 32, None);
    picture(&set.join("a.png"), 32, 32, Some("a red hat"));
    picture(&set.join("2_more/c.png"), 48, 32, Some("a blue hat"));
    host(dir)
}

fn list<T: ObjectType>(value: &Value) -> Vec<Arc<T>> {
    let Value::List(items) = value else { panic!("{value:?}") };
    let one = |item: &Value| match item {
        Value::Object(object) => object.get().unwrap(),
        other => panic!("{other:?}"),
    };
    items.iter().map(one).collect()
}

#[test]
fn pictures_of_a_folder_come_in_the_order_of_their_names_with_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = folder_of_pictures(dir.path());
    let batch = run(&ctx, "LoadImageSetFromFolderNode", vec![("folder", "set".into())]).unwrap();
    assert_eq!(output::<ImageBatch>(&batch, 0).images().len(), 2);
    let found = run(&ctx, "LoadImageTextDataSetFromFolder", vec![("folder", "input/set".into())]).unwrap();
    let sizes: Vec<u32> = list::<ImageBatch>(&found.values[0]).iter().map(|b| b.images()[0].width).collect();
    assert_eq!(sizes, [48, 48, 32, 32]);
    let Value::List(texts) = &found.values[1] else { panic!() };
    let texts: Vec<String> = texts.iter().map(|t| spec::FromValue::from_value(t).unwrap()).collect();
    assert_eq!(texts, ["a blue hat", "a blue hat", "a red hat", ""]);
    let error = folder::files(&ctx, "nowhere").unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("input"), "{error}");
}

#[test]
fn pictures_of_other_sizes_are_an_error_unless_told_how() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = folder_of_pictures(dir.path());
    let (_, clip, _) = base(&ctx);
    let inputs =
        |method: &str| vec![("folder", "set".into()), ("clip", value(&clip)), ("resize_method", method.into())];
    let error = run(&ctx, "LoadImageTextSetFromFolderNode", inputs("None")).unwrap_err();
    assert!(format!("{error:#}").contains("resize_method"), "{error:#}");
    let both = run(&ctx, "LoadImageTextSetFromFolderNode", inputs("Crop")).unwrap();
    let images = output::<ImageBatch>(&both, 0);
    assert!(images.images().iter().all(|i| (i.width, i.height) == (48, 32)) && images.images().len() == 4);
    assert_eq!(
        output::<Conditioning>(&both, 1).0.len(),
        4,
        "a prompt for each picture, also for those without a caption"
    );
}

#[test]
fn latents_of_one_size_are_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = folder_of_pictures(dir.path());
    let (_, clip, vae) = base(&ctx);
    let found = run(&ctx, "LoadImageTextDataSetFromFolder", vec![("folder", "set".into())]).unwrap();
    let inputs = vec![
        ("images", found.values[0].clone()),
        ("texts", found.values[1].clone()),
        ("vae", value(&vae)),
        ("clip", value(&clip)),
    ];
    let made = run(&ctx, "MakeTrainingDataset", inputs).unwrap();
    assert_eq!(list::<Latent>(&made.values[0]).len(), 4);
    let inputs = vec![("latents", made.values[0].clone()), ("conditioning", made.values[1].clone())];
    let buckets = run(&ctx, "ResolutionBucket", inputs).unwrap();
    let sizes: Vec<usize> = list::<Latent>(&buckets.values[0]).iter().map(|l| l.samples.dim(0).unwrap()).collect();
    assert_eq!(sizes, [2, 2]);
    assert_eq!(list::<Conditioning>(&buckets.values[1]).iter().map(|c| c.0.len()).collect::<Vec<_>>(), [2, 2]);
    let inputs = vec![("images", found.values[0].clone()), ("vae", value(&vae)), ("clip", value(&clip))];
    assert!(run(&ctx, "MakeTrainingDataset", [inputs, vec![("texts", found.values[1].clone())]].concat()).is_ok());
}

#[test]
fn losses_are_drawn_and_counted_on() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let losses = Arc::new(LossMap { loss: vec![0.5, 0.25, 0.125] });
    for name in ["loss_graph_00001_.png", "loss_graph_00002_.png"] {
        run(&ctx, "LossGraphNode", vec![("loss", value(&losses))]).unwrap();
        assert!(dir.path().join("out").join(name).is_file(), "{name}");
    }
    let none = Arc::new(LossMap { loss: vec![] });
    assert!(run(&ctx, "LossGraphNode", vec![("loss", value(&none))]).is_err());
}

#[test]
fn latents_of_two_sizes_are_trained_on_saved_and_put_on_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = folder_of_pictures(dir.path());
    let (model, clip, vae) = base(&ctx);
    let found = run(&ctx, "LoadImageTextDataSetFromFolder", vec![("folder", "set".into())]).unwrap();
    let inputs = vec![
        ("images", found.values[0].clone()),
        ("texts", found.values[1].clone()),
        ("vae", value(&vae)),
        ("clip", value(&clip)),
    ];
    let made = run(&ctx, "MakeTrainingDataset", inputs).unwrap();
    let train = |more: Vec<(&str, Value)>| {
        let inputs = vec![
            ("model", value(&model)),
            ("latents", made.values[0].clone()),
            ("positive", made.values[1].clone()),
            ("batch_size", 3.into()),
            ("rank", 2.into()),
            ("learning_rate", 0.01.into()),
        ];
        run(&ctx, "TrainLoraNode", [inputs, more].concat())
    };
    let trained = train(vec![("steps", 3.into()), ("loss_function", "Huber".into())]).unwrap();
    let losses = output::<LossMap>(&trained, 1);
    assert!(losses.loss.len() == 3 && losses.loss.iter().all(|l| l.is_finite() && *l > 0.0), "{losses:?}");
    assert!(matches!(&trained.values[2], Value::Data(n) if *n == 3));
    let lora = trained.values[0].clone();
    run(&ctx, "SaveLoRA", vec![("lora", lora.clone()), ("steps", trained.values[2].clone())]).unwrap();
    assert!(dir.path().join("out/loras/ComfyUI_trained_lora_3_steps_00001_.safetensors").is_file());
    let with = run(&ctx, "LoraModelLoader", vec![("model", value(&model)), ("lora", lora)]).unwrap();
    assert_eq!(output::<crate::types::Model>(&with, 0).digest, model.digest);
    let error = train(vec![("positive", Value::List(vec![]))]).err().map(|e| format!("{e:#}")).unwrap_or_default();
    assert!(error.contains("a prompt for each"), "{error}");
}
