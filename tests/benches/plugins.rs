//! What crossing the plugin boundary costs: an empty call and a picture of one megapixel, as component and as library.
//!
//! `cargo xtask guests --native` builds what is measured.
#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use data::{CaptionRequest, Captioner, Image, PixelFormat};
use loader::{CallContext, Form, Loader, LoaderConfig};

/// The captioner `mean-colour` of the test guests, which looks at each picture through a small tensor.
fn captioner(form: Form, dir: &std::path::Path) -> Box<dyn Captioner> {
    let installed = tests::install("test-plugins/mean-colour", dir);
    let config = LoaderConfig {
        plugin_dirs: vec![dir.join("plugins")],
        cache_dir: dir.join("cache"),
        lock_file: dir.join("lock.json"),
        prefer_native: form == Form::Native,
        ..LoaderConfig::default()
    };
    if form == Form::Native {
        loader::approve(&config.lock_file, &installed).unwrap();
    }
    let loader = Loader::new(config).unwrap();
    let plugin = loader.plugin("test.mean-colour").unwrap();
    assert_eq!(plugin.form(), form);
    plugin.open_captioner(&serde_json::json!({}), CallContext::default()).unwrap()
}

fn plugins(c: &mut Criterion) {
    let pixels: Vec<u8> = (0..1024u32 * 1024 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let image = Image::new(1024, 1024, PixelFormat::Rgb8, pixels).unwrap();
    for (name, form) in [("wasm", Form::Wasm), ("native", Form::Native)] {
        let dir = tempfile::tempdir().unwrap();
        let mut captioner = captioner(form, dir.path());
        c.bench_function(&format!("plugin/empty call/{name}"), |b| b.iter(|| captioner.caption(Vec::new()).unwrap()));
        c.bench_function(&format!("plugin/1 megapixel/{name}"), |b| {
            b.iter(|| {
                let request = CaptionRequest { image: image.clone(), known: spec::Annotation::default() };
                captioner.caption(vec![request]).unwrap()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = plugins
}
criterion_main!(benches);
