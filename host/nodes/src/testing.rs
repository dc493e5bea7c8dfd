//! A host on the embedded base, to test nodes one by one.

use crate::types::{Clip, Conditioning, ImageBatch, Latent, Model, VaeModel};
use crate::{Host, ModelDirs};
use data::{Digest, Image, Item, PixelFormat, Store};
use engine::{Context, Outputs, Services};
use serde_json::json;
use spec::{ObjectType, Value, Values};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const BASE: &str = "embedded-base";

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A host whose models are the examples' and those in `dir/models`, writing below `dir`.
pub(crate) fn host(dir: &Path) -> Context {
    host_with(dir, |host| host)
}

/// The same, changed.
pub(crate) fn host_with(dir: &Path, change: impl FnOnce(Host) -> Host) -> Context {
    let store = Arc::new(Store::open(dir.join("store")).unwrap());
    let config = loader::LoaderConfig {
        cache_dir: dir.join("cache"),
        lock_file: dir.join("lock.json"),
        ..loader::LoaderConfig::default()
    };
    let loader = Arc::new(loader::Loader::new(config).unwrap());
    let models = ModelDirs::new(vec![repository("examples/models"), dir.join("models")]);
    let host = Host::new(models, dir.join("out"), dir.to_owned(), store, loader, json!({ "1": {} }));
    Context::detached(Services::new().with(change(host)))
}

/// Runs a node of this class.
pub(crate) fn run(ctx: &Context, class: &str, inputs: Vec<(&str, Value)>) -> anyhow::Result<Outputs> {
    let node = crate::builtin().into_iter().find(|n| n.spec().id == class).unwrap();
    node.run(ctx, inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Values>())
}

/// The n-th output as what it is.
pub(crate) fn output<T: ObjectType>(outputs: &Outputs, n: usize) -> Arc<T> {
    match &outputs.values[n] {
        Value::Object(object) => object.get().unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn value<T: ObjectType>(object: &Arc<T>) -> Value {
    Value::Object(spec::Object::new(object.clone()))
}

/// The embedded base.
pub(crate) fn base(ctx: &Context) -> (Arc<Model>, Arc<Clip>, Arc<VaeModel>) {
    let loaded = run(ctx, "DiffusersLoader", vec![("model_path", BASE.into())]).unwrap();
    (output(&loaded, 0), output(&loaded, 1), output(&loaded, 2))
}

pub(crate) fn prompt(ctx: &Context, clip: &Arc<Clip>, text: &str) -> Arc<Conditioning> {
    output(&run(ctx, "CLIPTextEncode", vec![("clip", value(clip)), ("text", text.into())]).unwrap(), 0)
}

pub(crate) fn decode(ctx: &Context, vae: &Arc<VaeModel>, latent: &Arc<Latent>) -> Vec<Image> {
    let outputs = run(ctx, "VAEDecode", vec![("vae", value(vae)), ("samples", value(latent))]).unwrap();
    output::<ImageBatch>(&outputs, 0).images().to_vec()
}

/// A picture of `cells` × `cells` blocks of colours, which are others for each seed.
pub(crate) fn blocks(seed: u32, width: u32, height: u32, cells: u32) -> Image {
    let block = |x: u32, y: u32| {
        let mut h = seed.wrapping_mul(0x9e37_79b9)
            ^ (x * cells / width).wrapping_mul(0x85eb_ca6b)
            ^ (y * cells / height).wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        (h ^ (h >> 12)).to_le_bytes()
    };
    let rgb: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| block(x, y)[..3].to_vec())).collect();
    Image::new(width, height, PixelFormat::Rgb8, rgb).unwrap()
}

/// A picture of a data set, written to a folder.
pub(crate) fn item(dir: &Path, name: &str, bytes: &[u8]) -> Item {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    Item { id: name.into(), path, digest: Digest::of(bytes).to_string(), ..Item::default() }
}

/// The largest difference of any two bytes.
pub(crate) fn difference(a: &Image, b: &Image) -> u8 {
    assert_eq!((a.width, a.height, a.format), (b.width, b.height, b.format));
    a.pixels.iter().zip(b.pixels.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}
