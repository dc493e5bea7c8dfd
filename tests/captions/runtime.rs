//! ONNX models by an onnxruntime that the user has.

use data::{Array, DecodeLimits, Image, Inference};
use std::path::PathBuf;
use tests::root;

/// `ANAGAMA_ONNXRUNTIME`, where systems keep it, or that of the Python that is found first.
fn library() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ANAGAMA_ONNXRUNTIME") {
        return Some(named.into());
    }
    let usual = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib", "/opt/onnxruntime/lib"];
    let system = usual.iter().map(|dir| PathBuf::from(dir).join("libonnxruntime.so")).find(|file| file.is_file());
    let python = || {
        let find = "import onnxruntime, glob, os; \
                    print(*glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), 'capi', 'libonnxruntime.so*'))[:1])";
        let done = std::process::Command::new("python3").args(["-c", find]).output().ok()?;
        let path = PathBuf::from(String::from_utf8(done.stdout).ok()?.trim());
        path.is_file().then_some(path)
    };
    system.or_else(python)
}

#[test]
fn an_onnxruntime_gives_the_scores_of_the_built_in_way() {
    let Some(library) = library() else {
        tests::skip("onnxruntime", "no libonnxruntime.so; name one in ANAGAMA_ONNXRUNTIME");
        return;
    };
    let tagger = root().join("examples/models/taggers/embedded-tagger");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("taggers/embedded-tagger");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(tagger.join("model.onnx"), folder.join("model.onnx")).unwrap();
    let registry = || inference::Registry::new(vec![dir.path().into()]);
    let (plain, fast) = (registry(), registry().with_onnxruntime(library));
    let load = |registry: &inference::Registry| registry.load("taggers/embedded-tagger", None).unwrap();
    let (plain, fast) = (load(&plain), load(&fast));
    assert_eq!(fast.info().device, "cpu, by onnxruntime");
    assert_eq!(fast.info().inputs, plain.info().inputs);
    assert_eq!(fast.info().digest, plain.info().digest);

    let image =
        Image::open(&root().join("examples/datasets/ohwx-character/001.png"), &DecodeLimits::default()).unwrap();
    let rgb = image.convert(data::PixelFormat::Rgb8);
    let side = 96;
    for batch in [1, 3] {
        let pixels = rgb.pixels.iter().cycle().take(batch * side * side * 3).map(|v| f32::from(*v)).collect();
        let input = Array::from_f32(vec![batch, side, side, 3], pixels).unwrap();
        let name = plain.info().inputs[0].name.clone();
        let run = |session: &dyn data::Session| session.run(vec![(name.clone(), input.clone())]).unwrap().remove(0);
        let (a, b) = (run(&*plain), run(&*fast));
        assert_eq!((&a.0, &a.1.shape), (&b.0, &b.1.shape));
        let off = a.1.to_f32().iter().zip(b.1.to_f32().iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= 1e-5, "{off}");
    }
}
