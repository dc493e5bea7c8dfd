//! Whole runs on the tiny model: they resume exactly, and say what keeps them from starting.
#![allow(clippy::unwrap_used)]

mod kills;

use candle_core::{DType, Device};
use data::{Codec, Dataset, Image, Item, PixelFormat};
use serde_json::json;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use train::{Base, Cancelled, Config, Hooks, LogLine, Place, Quiet, Trained, Wish, train, train_from};

/// Candle goes backward by recursion.
fn with_large_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(f).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn base() -> Base {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference");
    let folder = PathBuf::from(std::env::var("ANAGAMA_REFERENCE").unwrap_or_else(|_| default.into()));
    let loaded = models::load(&folder.join("models/sd15"), &Device::Cpu, DType::F32).unwrap();
    Base::new(&loaded, "tiny")
}

/// Five coloured pictures with captions.
fn pictures(dir: &Path) -> Dataset {
    let mut dataset = Dataset::default();
    for (i, caption) in ["red, fox", "red, boat, lake", "red, tree", "red, house", "red, hat"].iter().enumerate() {
        let pixels: Vec<u8> = (0..128 * 128 * 3).map(|n| (n * (i + 3) % 251) as u8).collect();
        let image = Image::new(128, 128, PixelFormat::Rgb8, pixels).unwrap();
        let (id, path) = (format!("{i}.png"), dir.join(format!("{i}.png")));
        if !path.exists() {
            std::fs::write(&path, image.encode(Codec::Png, 90).unwrap()).unwrap();
        }
        dataset.items.push(Item {
            id,
            digest: data::Digest::of_file(&path).unwrap().to_string(),
            path,
            width: 128,
            height: 128,
            annotation: data::captions::parse(caption),
            repeats: 1,
            ..Item::default()
        });
    }
    dataset
}

fn config() -> Config {
    Config::default().with(json!({"rank": 2, "steps": 6, "resolution": 128, "learning_rate": 1e-2, "train_text_encoder": true, "caption_dropout": 0.2, "noise_offset": 0.05, "flip": true, "save_every_steps": 2, "keep_checkpoints": 1, "state_every": 1})).unwrap()
}

fn run(dir: &Path, config: &Config, base: &Base, set: &Dataset, hooks: &mut dyn Hooks) -> anyhow::Result<Trained> {
    let place = Place { state_dir: dir.join("state"), out_dir: dir.join("out"), cache: None };
    train(config, base, set, &place, hooks)
}

/// Stops after a step, politely or not.
struct Stop {
    after: u64,
    done: u64,
    dies: bool,
}

impl Hooks for Stop {
    fn step(&mut self, line: &LogLine, _: u64) {
        self.done = line.step;
        // As if killed: after the update, before anything of it is saved.
        assert!(!self.dies || line.step < self.after, "killed");
    }

    fn cancelled(&self) -> bool {
        !self.dies && self.done >= self.after
    }
}

#[test]
fn an_interrupted_run_ends_with_the_same_bytes() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let (base, set, config) = (base(), pictures(dir.path()), config());
        let whole = run(&dir.path().join("whole"), &config, &base, &set, &mut Quiet).unwrap();
        assert_eq!(whole.log.iter().map(|l| l.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        let kept: Vec<(u64, bool)> = whole.checkpoints.iter().map(|c| (c.step, c.is_last)).collect();
        assert_eq!(kept, [(4, false), (6, true)], "one checkpoint before the last is kept");
        assert!(!dir.path().join("whole/out/lora-step00000002.safetensors").exists());
        assert!(whole.facts.resumed_from.is_none());

        let cut = dir.path().join("cut");
        let error = run(&cut, &config, &base, &set, &mut Stop { after: 1, done: 0, dies: false }).unwrap_err();
        assert_eq!(error.downcast_ref::<Cancelled>().unwrap().step, 1);
        for after in [3, 4, 6] {
            let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut stop = Stop { after, done: 0, dies: true };
                run(&cut, &config, &base, &set, &mut stop)
            }));
            assert!(killed.is_err());
        }
        let rarely = config.with(json!({"state_every": 100})).unwrap();
        let resumed = run(&cut, &rarely, &base, &set, &mut Quiet).unwrap();
        assert_eq!(resumed.facts.resumed_from, Some(5));
        let sums = |t: &Trained| t.checkpoints.iter().map(|c| c.sha256.clone()).collect::<Vec<_>>();
        assert_eq!(sums(&resumed), sums(&whole));
        let losses = |t: &Trained| t.log.iter().map(|l| (l.step, l.loss, l.smooth)).collect::<Vec<_>>();
        assert_eq!(losses(&resumed), losses(&whole));

        // Done: nothing is computed again.
        let again = run(&cut, &config, &base, &set, &mut Stop { after: 0, done: 0, dies: true }).unwrap();
        assert_eq!(sums(&again), sums(&whole));

        // A state with a lost checkpoint cannot give the same files, so that it is left out.
        std::fs::remove_file(&again.checkpoints[0].path).unwrap();
        let anew = run(&cut, &config, &base, &set, &mut Quiet).unwrap();
        assert_eq!((anew.facts.resumed_from, sums(&anew)), (None, sums(&whole)));

        // Other settings must not go on from it.
        let other = config.with(json!({"rank": 3})).unwrap();
        let error = run(&cut, &other, &base, &set, &mut Quiet).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
    });
}

/// What every kind of optimizer keeps comes back: bytes, estimates, averages.
#[test]
fn a_killed_run_ends_with_the_same_bytes_whatever_the_optimizer_keeps() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let (base, set) = (base(), pictures(dir.path()));
        let sums = |t: &Trained| t.checkpoints.iter().map(|c| c.sha256.clone()).collect::<Vec<_>>();
        let mut cases = vec![json!({"optimizer": "adamw"})];
        cases.extend(["adamw8bit", "prodigy", "adamw_schedulefree"].map(|name| json!({"optimizer": name})));
        cases.push(json!({"ema_decay": 0.9, "ema_every": 2}));
        let short = json!({"steps": 3, "train_text_encoder": false, "lr_warmup": 0, "learning_rate": null, "rank": 32, "save_every_steps": null});
        let mut seen = Vec::new();
        for (i, case) in cases.into_iter().enumerate() {
            let config = config().with(short.clone()).unwrap().with(case.clone()).unwrap();
            let whole = run(&dir.path().join(format!("whole{i}")), &config, &base, &set, &mut Quiet).unwrap();
            let cut = dir.path().join(format!("cut{i}"));
            let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(&cut, &config, &base, &set, &mut Stop { after: 2, done: 0, dies: true })
            }));
            assert!(killed.is_err());
            let resumed = run(&cut, &config, &base, &set, &mut Quiet).unwrap();
            assert_eq!((resumed.facts.resumed_from, sums(&resumed)), (Some(1), sums(&whole)), "{case}");
            seen.push(sums(&whole));
        }
        // The average that is saved is not what was trained.
        assert_ne!(seen.first(), seen.last());
    });
}

#[test]
fn a_saved_lora_is_read_back_with_every_key() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let (base, set) = (base(), pictures(dir.path()));
        let config = config().with(json!({"steps": 1, "lr_warmup": 0.0})).unwrap();
        let trained = run(dir.path(), &config, &base, &set, &mut Quiet).unwrap();
        let bytes = std::fs::read(&trained.checkpoints[0].path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let text = base.text.parts()[0].targets();
        let layers = base.network.targets().iter().filter(|t| t.path.contains("attentions.")).count() + text.len();
        assert_eq!((file.len(), trained.facts.layers), (3 * layers, layers));
        for target in text {
            for leaf in ["lora_down.weight", "lora_up.weight", "alpha"] {
                file.tensor(&format!("{}.{leaf}", target.kohya)).unwrap();
            }
        }
    });
}

#[test]
fn what_keeps_a_run_from_starting_is_said_at_once() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let (base, mut set) = (base(), pictures(dir.path()));
        set.items[1].annotation = spec::Annotation::default();
        let config = config().with(json!({"activation_tags": ["blue"]})).unwrap();
        let error = run(dir.path(), &config, &base, &set, &mut Quiet).unwrap_err().to_string();
        assert!(error.contains("1.png") && error.contains("blue"), "{error}");

        let (mut set, config) = (pictures(dir.path()), config_without_state().with(json!({"steps": 1})).unwrap());
        std::fs::write(&set.items[0].path, b"\x89PNG\r\n\x1a\n").unwrap();
        set.items[0].digest = "broken".into();
        let error = format!("{:#}", run(dir.path(), &config, &base, &set, &mut Quiet).unwrap_err());
        assert!(error.contains("0.png"), "{error}");
    });
}

fn config_without_state() -> Config {
    config().with(json!({"seed": 7})).unwrap()
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let (base, set) = (base(), pictures(dir.path()));
        let config = config().with(json!({"learning_rate": 1e30, "lr_schedule": "constant", "lr_warmup": 0.0, "max_grad_norm": 0.0, "optimizer": "sgd"})).unwrap();
        let error = format!("{:#}", run(dir.path(), &config, &base, &set, &mut Quiet).unwrap_err());
        assert!(error.contains("step ") && error.contains("finite") && error.contains(".png"), "{error}");
        assert!(dir.path().join("state").read_dir().unwrap().count() > 0);
    });
}

#[test]
fn every_way_of_showing_a_picture_runs_and_resumes() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let (base, mut set) = (base(), pictures(dir.path()));
        set.items[0].is_reg = true;
        set.items[1].settings =
            json!({"resolution": 64, "flip": false, "caption_prefix": "old"}).as_object().unwrap().clone();
        let pixels: Vec<u8> = (0..64 * 64).map(|n| (n % 64 * 4) as u8).collect();
        let mask = dir.path().join("mask.png");
        std::fs::write(&mask, Image::new(64, 64, PixelFormat::L8, pixels).unwrap().encode(Codec::Png, 0).unwrap())
            .unwrap();
        set.items[2].mask = Some(data::Mask { digest: data::Digest::of_file(&mask).unwrap().to_string(), path: mask });
        let config = config().with(json!({
            "steps": 4, "resolution": null, "resolutions": [128, [128, 64]], "bucket_style": "ai-toolkit",
            "random_crop": true, "color_jitter": true, "variants": 3, "prior_loss_weight": 0.5, "masked_loss": true,
            "max_token_length": 150, "token_warmup_step": 2, "keep_tokens_separator": "|||",
            "caption_dropout_every_epochs": 2,
        }));
        let config = config.unwrap();
        let store = data::Store::open(dir.path().join("store")).unwrap();
        let go = |name: &str, hooks: &mut dyn Hooks| {
            let at = dir.path().join(name);
            let place = Place { state_dir: at.join("state"), out_dir: at.join("out"), cache: Some(&store) };
            train(&config, &base, &set, &place, hooks)
        };
        let whole = go("whole", &mut Quiet).unwrap();
        assert_eq!(whole.facts.plan.reg_per_epoch, 2 * 4);
        go("cut", &mut Stop { after: 2, done: 0, dies: false }).unwrap_err();
        let resumed = go("cut", &mut Quiet).unwrap();
        assert_eq!(resumed.facts.resumed_from, Some(2));
        assert_eq!(resumed.checkpoints.last().unwrap().sha256, whole.checkpoints.last().unwrap().sha256);
        // A subset cannot change what holds for the run.
        set.items[3].settings = json!({"rank": 3}).as_object().unwrap().clone();
        let error = run(dir.path(), &config, &base, &set, &mut Quiet).unwrap_err();
        assert!(format!("{error:#}").contains("cannot set `rank`"), "{error:#}");
    });
}

/// Notes when pictures are asked for; may fail the first time at a step.
#[derive(Default)]
struct Sampled {
    asked: Vec<(u64, String)>,
    fails_at: Option<u64>,
}

impl Hooks for Sampled {
    fn sample(&mut self, step: u64, total: u64, file: &[u8]) -> anyhow::Result<()> {
        assert_eq!(total, 6);
        anyhow::ensure!(self.fails_at != Some(step), "no paint");
        self.asked.push((step, data::Digest::of(file).to_string()));
        Ok(())
    }
}

#[test]
fn pictures_are_asked_for_on_the_way_with_the_network_as_it_is_saved() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (base, set) = (base(), pictures(dir.path()));
        let config = config()
            .with(json!({"sample_prompts": "a fox", "sample_every": 4, "state_every": 100, "save_every_steps": null}))
            .unwrap();
        let mut whole = Sampled::default();
        let trained = run(&at("whole"), &config, &base, &set, &mut whole).unwrap();
        assert_eq!(whole.asked.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 4, 6]);
        assert_eq!(whole.asked[2].1, trained.checkpoints[0].sha256, "another network than the one that is saved");

        // Pictures that could not be made end the run; it goes on there, and they are asked for again.
        let mut broken = Sampled { fails_at: Some(4), ..Sampled::default() };
        let error = run(&at("broken"), &config, &base, &set, &mut broken).unwrap_err();
        assert!(error.to_string().contains("no paint"), "{error:#}");
        let mut on = Sampled::default();
        let resumed = run(&at("broken"), &config, &base, &set, &mut on).unwrap();
        assert_eq!(resumed.facts.resumed_from, Some(4));
        assert_eq!(on.asked, whole.asked[1..]);

        // Other pictures are no other run.
        let other = config.with(json!({"sample_prompts": "a dog", "sample_every": 1})).unwrap();
        assert_eq!(
            run(&at("whole"), &other, &base, &set, &mut Sampled::default()).unwrap().facts.resumed_from,
            Some(6)
        );
    });
}

#[test]
fn a_run_that_is_told_to_keep_the_best_ends_with_it() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (base, set) = (base(), pictures(dir.path()));
        // So high a rate that the loss only rises after the first steps.
        let changes = json!({"validation_share": 0.2, "validation_every": 1, "validation_times": 2, "learning_rate": 0.3, "save_every_steps": null});
        let config = config().with(changes).unwrap();
        let trained = run(&at("best"), &config, &base, &set, &mut Wishes::new(5, Wish::KeepBest)).unwrap();
        let loss = |l: &LogLine| l.validated.unwrap().held_back;
        let best = trained.log.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap().step;
        let last = trained.checkpoints.last().unwrap();
        assert_eq!((last.step, last.is_best, last.is_last, trained.log.len()), (best, true, true, 5));
        assert!(best < 5, "the last step was the best: nothing is shown");
        assert_eq!(data::Digest::of_file(&last.path).unwrap().to_string(), last.sha256);
        assert_eq!(trained.checkpoints.iter().filter(|c| c.is_last).count(), 1);
        // Only the best of the best lies there.
        let files = std::fs::read_dir(at("best/out")).unwrap();
        let kept = files.filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().contains("-best-")).count();
        assert_eq!(kept, 1);

        // Without pictures that are held back, the last is kept, and that is said.
        struct Told(Wishes, Vec<String>);
        impl Hooks for Told {
            fn step(&mut self, line: &LogLine, total: u64) {
                self.0.step(line, total);
            }
            fn wish(&self) -> Wish {
                self.0.wish()
            }
            fn note(&mut self, text: &str) {
                self.1.push(text.to_owned());
            }
        }
        let plain = config.with(json!({"validation_share": 0})).unwrap();
        let mut told = Told(Wishes::new(2, Wish::KeepBest), Vec::new());
        let trained = run(&at("plain"), &plain, &base, &set, &mut told).unwrap();
        assert_eq!(trained.checkpoints.last().unwrap().step, 2);
        assert!(told.1.iter().any(|n| n.contains("the last is kept")), "{:?}", told.1);
    });
}

/// Wishes something after a step; a pause is over when it was asked for three times.
struct Wishes {
    after: u64,
    wish: Wish,
    done: u64,
    asked: Cell<u32>,
}

impl Wishes {
    fn new(after: u64, wish: Wish) -> Self {
        Self { after, wish, done: 0, asked: Cell::new(0) }
    }
}

impl Hooks for Wishes {
    fn step(&mut self, line: &LogLine, _: u64) {
        self.done = line.step;
    }

    fn wish(&self) -> Wish {
        if self.done < self.after {
            return Wish::Go;
        }
        self.asked.set(self.asked.get() + 1);
        if self.wish == Wish::Pause && self.asked.get() > 3 { Wish::Go } else { self.wish }
    }
}

#[test]
fn a_run_pauses_ends_early_and_goes_on_further() {
    with_large_stack(|| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (base, set, config) = (base(), pictures(dir.path()), config());
        let sums = |t: &Trained| t.checkpoints.iter().map(|c| c.sha256.clone()).collect::<Vec<_>>();
        let whole = run(&at("whole"), &config, &base, &set, &mut Quiet).unwrap();

        let mut pause = Wishes::new(3, Wish::Pause);
        let paused = run(&at("paused"), &config, &base, &set, &mut pause).unwrap();
        assert!(pause.asked.get() > 3, "it did not wait");
        assert_eq!(sums(&paused), sums(&whole));

        let early = run(&at("early"), &config, &base, &set, &mut Wishes::new(3, Wish::Finish)).unwrap();
        let kept: Vec<(u64, bool)> = early.checkpoints.iter().map(|c| (c.step, c.is_last)).collect();
        assert_eq!((kept, early.log.len(), early.facts.plan.total_steps), (vec![(2, false), (3, true)], 3, 3));
        let on = run(&at("early"), &config, &base, &set, &mut Quiet).unwrap();
        assert_eq!((on.facts.resumed_from, sums(&on)), (Some(3), sums(&whole)));

        // With a constant rate, four steps and two more are six.
        let constant = config.with(json!({"lr_schedule": "constant", "lr_warmup": 0.0})).unwrap();
        let long = run(&at("long"), &constant, &base, &set, &mut Quiet).unwrap();
        run(&at("short"), &constant.with(json!({"steps": 4})).unwrap(), &base, &set, &mut Quiet).unwrap();
        let state = at("short/state/state-00000004.safetensors");
        assert_eq!(train::state_step(&state).unwrap(), 4);
        let place = Place { state_dir: at("more/state"), out_dir: at("more/out"), cache: None };
        let more = train_from(&constant, &base, &set, &place, Some(&state), &mut Quiet).unwrap();
        assert_eq!((more.log.len(), more.facts.resumed_from), (2, Some(4)));
        assert_eq!(sums(&more).last(), sums(&long).last());
        let place = Place { state_dir: at("none/state"), out_dir: at("none/out"), cache: None };
        let four = constant.with(json!({"steps": 4})).unwrap();
        let error = train_from(&four, &base, &set, &place, Some(&state), &mut Quiet).unwrap_err().to_string();
        assert!(error.contains("step 4") && error.contains("`steps`"), "{error}");
    });
}

#[test]
fn pictures_that_are_held_back_are_looked_at_and_never_trained() {
    with_large_stack(|| {
        let (dir, base) = (tempfile::tempdir().unwrap(), base());
        let set = pictures(dir.path());
        let changes = json!({"validation_share": 0.2, "validation_every": 3, "validation_times": 2, "steps": 7});
        let config = config().with(changes).unwrap();
        let trained = run(dir.path(), &config, &base, &set, &mut Quiet).unwrap();
        assert_eq!((trained.facts.plan.images, trained.facts.plan.held_back), (4, 1));
        let seen: std::collections::BTreeSet<&String> = trained.log.iter().flat_map(|l| &l.images).collect();
        assert_eq!(seen.len(), 4);
        let looks: Vec<u64> = trained.log.iter().filter(|l| l.validated.is_some()).map(|l| l.step).collect();
        assert_eq!(looks, [3, 6, 7]);
        for line in &trained.log {
            assert!(line.validated.is_none_or(|v| v.held_back > 0.0 && v.trained > 0.0), "{line:?}");
        }
        // The best look has a checkpoint.
        let lost = |l: &LogLine| l.validated.map(|v| v.held_back);
        let best = trained
            .log
            .iter()
            .filter(|l| lost(l).is_some())
            .min_by(|a, b| lost(a).unwrap().total_cmp(&lost(b).unwrap()));
        let best = best.unwrap().step;
        let kept: Vec<u64> = trained.checkpoints.iter().filter(|c| c.is_best).map(|c| c.step).collect();
        assert_eq!(kept, [best]);
        // Looking changes nothing: with other times to look at, the same network comes out.
        let (other, dir) = (config.with(json!({"validation_times": 1})).unwrap(), tempfile::tempdir().unwrap());
        let again = run(dir.path(), &other, &base, &set, &mut Quiet).unwrap();
        let losses = |t: &Trained| t.log.iter().map(|l| l.loss).collect::<Vec<_>>();
        assert_eq!(losses(&trained), losses(&again));
        assert_ne!(trained.log[2].validated, again.log[2].validated);
    });
}
