//! ControlNets in a walk, on the reference's small SD 1.5.

use crate::testing::{host, output, prompt, repository, run, value};
use crate::types::{Clip, Conditioning, ControlNetModel, ImageBatch, Latent, Model};
use data::{Image, PixelFormat};
use engine::Context;
use spec::Value;
use std::path::Path;
use std::sync::Arc;

struct Bench {
    _dir: tempfile::TempDir,
    ctx: Context,
    model: Arc<Model>,
    positive: Arc<Conditioning>,
    negative: Arc<Conditioning>,
    net: Arc<ControlNetModel>,
    picture: Arc<ImageBatch>,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let models = dir.path().join("models");
        copy(&repository("tests/reference/models/sd15"), &models.join("diffusers/small"));
        copy(&repository("host/models/tests/data/controlnet_sd15"), &models.join("controlnet/small"));
        let ctx = host(dir.path());
        let loaded = run(&ctx, "DiffusersLoader", vec![("model_path", "small".into())]).unwrap();
        let (model, clip): (Arc<Model>, Arc<Clip>) = (output(&loaded, 0), output(&loaded, 1));
        let net = output(&run(&ctx, "ControlNetLoader", vec![("control_net_name", "small".into())]).unwrap(), 0);
        // A ramp, of another size than what is made.
        let pixels: Vec<u8> = (0..32 * 32).map(|i| (i % 32 * 8) as u8).collect();
        let ramp = Image::new(32, 32, PixelFormat::L8, pixels).unwrap().convert(PixelFormat::Rgb8);
        let (positive, negative) = (prompt(&ctx, &clip, "a tree"), prompt(&ctx, &clip, ""));
        Self { _dir: dir, ctx, model, positive, negative, net, picture: Arc::new(ImageBatch::new(vec![ramp])) }
    }

    /// (positive, negative) with the ControlNet on both, for a part of the schedule.
    fn advanced(
        &self,
        (positive, negative): (&Arc<Conditioning>, &Arc<Conditioning>),
        strength: f64,
        (start, end): (f64, f64),
    ) -> (Arc<Conditioning>, Arc<Conditioning>) {
        let inputs = vec![
            ("positive", value(positive)),
            ("negative", value(negative)),
            ("control_net", value(&self.net)),
            ("image", value(&self.picture)),
            ("strength", strength.into()),
            ("start_percent", start.into()),
            ("end_percent", end.into()),
        ];
        let outputs = run(&self.ctx, "ControlNetApplyAdvanced", inputs).unwrap();
        (output(&outputs, 0), output(&outputs, 1))
    }

    fn simple(&self, conditioning: &Arc<Conditioning>) -> Arc<Conditioning> {
        let inputs = vec![
            ("conditioning", value(conditioning)),
            ("control_net", value(&self.net)),
            ("image", value(&self.picture)),
        ];
        output(&run(&self.ctx, "ControlNetApply", inputs).unwrap(), 0)
    }

    fn made(&self, positive: &Arc<Conditioning>, negative: &Arc<Conditioning>) -> Vec<f32> {
        let size = |n: u32| Value::from(n);
        let empty = vec![("width", size(64)), ("height", size(96)), ("batch_size", size(2))];
        let latent: Arc<Latent> = output(&run(&self.ctx, "EmptyLatentImage", empty).unwrap(), 0);
        let inputs = vec![
            ("model", value(&self.model)),
            ("seed", 7.into()),
            ("steps", 3.into()),
            ("cfg", 3.0.into()),
            ("sampler_name", "euler".into()),
            ("scheduler", "normal".into()),
            ("positive", value(positive)),
            ("negative", value(negative)),
            ("latent_image", value(&latent)),
            ("denoise", 1.0.into()),
        ];
        let made: Arc<Latent> = output(&run(&self.ctx, "KSampler", inputs).unwrap(), 0);
        made.samples.flatten_all().unwrap().to_vec1().unwrap()
    }
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    let largest = a.iter().chain(b).fold(0f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

#[test]
fn a_controlnet_changes_the_picture_as_much_and_as_long_as_it_is_asked_to() {
    let bench = Bench::new();
    let both = (&bench.positive, &bench.negative);
    let made = |strength: f64, range: (f64, f64)| {
        let (positive, negative) = bench.advanced(both, strength, range);
        bench.made(&positive, &negative)
    };
    let plain = bench.made(both.0, both.1);
    let full = made(1.0, (0.0, 1.0));
    assert_eq!(made(0.0, (0.0, 1.0)), plain, "a strength of 0 is none");
    assert!(apart(&full, &plain) > 0.01);
    assert!(apart(&made(0.5, (0.0, 1.0)), &full) > 1e-3);
    let begin = made(1.0, (0.0, 0.3));
    assert!(apart(&begin, &full) > 1e-4 && apart(&begin, &plain) > 1e-4);
}

#[test]
fn controlnets_of_one_prompt_add_up() {
    let bench = Bench::new();
    let (positive, negative) = (&bench.positive, &bench.negative);
    let whole = bench.advanced((positive, negative), 1.0, (0.0, 1.0));
    let half = bench.advanced((positive, negative), 0.5, (0.0, 1.0));
    let twice = bench.advanced((&half.0, &half.1), 0.5, (0.0, 1.0));
    let (a, b) = (bench.made(&whole.0, &whole.1), bench.made(&twice.0, &twice.1));
    assert!(apart(&a, &b) < 1e-4, "{}", apart(&a, &b));
}

#[test]
fn the_simple_node_leads_both_sides_unless_the_other_has_one_of_its_own() {
    let bench = Bench::new();
    let (positive, negative) = (&bench.positive, &bench.negative);
    let both = bench.advanced((positive, negative), 1.0, (0.0, 1.0));
    let wanted = bench.made(&both.0, &both.1);
    let simple = bench.simple(positive);
    assert!(apart(&bench.made(&simple, negative), &wanted) < 1e-5);
    // One side alone is another picture: the advanced node does not reach over.
    assert!(apart(&bench.made(&both.0, negative), &wanted) > 1e-4);
    let own = bench.advanced((positive, negative), 0.2, (0.0, 1.0)).1;
    let (kept, expected) = (bench.made(&simple, &own), bench.made(&both.0, &own));
    assert!(apart(&kept, &expected) < 1e-5);
}
