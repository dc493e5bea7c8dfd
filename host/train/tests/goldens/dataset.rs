//! What an epoch shows, in which order, and what is said of it: sd-scripts' `DreamBoothDataset`.

use crate::python_random::PythonRandom;
use crate::reference::json;
use data::{Dataset, Item};
use serde_json::{Value, json as object};
use train::{Batches, Config, Needs, SamplePrompt, plan, text_rows};

fn whole(v: &Value) -> u64 {
    v.as_u64().unwrap()
}

/// The images of a case, in sd-scripts' order: folder by folder.
fn dataset(case: &Value) -> Dataset {
    let mut set = Dataset::default();
    for (folder, f) in case["folders"].as_object().unwrap() {
        for image in f["images"].as_array().unwrap() {
            set.items.push(Item {
                id: format!("{folder}/{}", image["file"].as_str().unwrap()),
                width: whole(&image["size"][0]) as u32,
                height: whole(&image["size"][1]) as u32,
                repeats: whole(&f["num_repeats"]) as u32,
                is_reg: f["is_reg"].as_bool().unwrap(),
                subset: folder.clone(),
                annotation: data::captions::parse("ohwx"),
                ..Item::default()
            });
        }
    }
    set
}

fn config(case: &Value) -> Config {
    let keys = object!({"batch_size": case["batch_size"], "resolution": 512, "bucket_min": 256, "bucket_max": 1024});
    Config::default().with(keys).unwrap()
}

#[test]
fn epochs_equal_sd_scripts() {
    for case in json("dataset/epoch_order.json").as_array().unwrap() {
        let (set, config) = (dataset(case), config(case));
        let batches = Batches::new(&config, &set, Needs::default()).unwrap();
        for (item, &repeats) in set.items.iter().zip(&batches.repeats) {
            assert_eq!(u64::from(repeats), case["effective_repeats"][&item.id].as_u64().unwrap_or(0), "{}", item.id);
        }
        // sd-scripts shuffles once when it makes the buckets, and goes on from there.
        let mut order = batches.order();
        let seed = whole(&case["seed"]);
        order.shuffle(&mut PythonRandom::new(seed));
        for (n, wanted) in case["epochs"].as_array().unwrap().iter().enumerate() {
            order.shuffle(&mut PythonRandom::new(seed + n as u64 + 1));
            let name = |view: &usize| set.items[batches.views[*view].item].id.clone();
            let found: Vec<Vec<String>> =
                order.batches(config.run.batch_size).iter().map(|b| b.iter().map(name).collect()).collect();
            assert_eq!(object!(found), *wanted, "seed {seed}, epoch {}", n + 1);
        }
    }
}

#[test]
fn plans_equal_sd_scripts() {
    for case in json("dataset/epoch_order.json").as_array().unwrap() {
        let set = dataset(case);
        let plan = plan(&config(case), &set, Needs::default()).unwrap();
        let buckets: Vec<Value> =
            plan.buckets.iter().map(|b| object!({"resolution": [b.width, b.height], "count": b.shown})).collect();
        assert_eq!(object!(buckets), case["buckets"]);
        assert_eq!(plan.batches_per_epoch, whole(&case["steps_per_epoch"]));
        let train: u64 = set.items.iter().filter(|i| !i.is_reg).map(|i| u64::from(i.repeats)).sum();
        let reg: u64 = set.items.iter().filter(|i| i.is_reg).map(|i| u64::from(i.repeats)).sum();
        assert_eq!((train, reg), (whole(&case["num_train_images"]), whole(&case["num_reg_images"])));
        let error = case["mean_ar_error"].as_f64().unwrap();
        assert!((plan.mean_aspect_error - error).abs() < 1e-12, "{} {error}", plan.mean_aspect_error);
    }
}

/// The reference's captions are the folder's name and two tags that walk through numbers: `tag0`, `tag1` … and `tag 0`,
/// `tag 1` …; how far they walk is seen in the counts.
#[test]
fn tag_frequencies_equal_sd_scripts() {
    for case in json("dataset/epoch_order.json").as_array().unwrap() {
        let mut set = dataset(case);
        let wanted = case["tag_frequency"].as_object().unwrap();
        for (folder, counts) in wanted {
            let counts = counts.as_object().unwrap();
            let numbered = |start: &str| {
                let number = |k: &String| k.strip_prefix(start).is_some_and(|n| n.parse::<usize>().is_ok());
                counts.keys().filter(|k| number(k)).count()
            };
            let (tight, spaced) = (numbered("tag"), numbered("tag "));
            for (i, item) in set.items.iter_mut().filter(|i| i.subset == *folder).enumerate() {
                let caption = format!("{folder}, TAG{}, tag {}", i % tight, i % spaced);
                item.annotation = data::captions::parse(&caption);
            }
        }
        assert_eq!(train::tag_frequency(&set), object!(wanted));
    }
}

#[test]
fn long_captions_are_cut_as_by_sd_scripts() {
    let tokenizer = models::Tokenizer::clip().unwrap();
    for case in json("text/long_caption_chunks.json").as_array().unwrap() {
        let rows = whole(&case["max_token_length"]) as usize / 75;
        let wanted: Vec<Vec<u32>> = serde_json::from_value(case["ids"].clone()).unwrap();
        let (row, _) = text_rows::long_row(&tokenizer, case["text"].as_str().unwrap(), rows).unwrap();
        let pieces = text_rows::split(&row, tokenizer.end(), tokenizer.padding());
        // The file holds the long row before it is cut, or its pieces.
        if wanted.len() == 1 {
            assert_eq!(row, wanted[0]);
        } else {
            assert_eq!(pieces, wanted);
        }
        let joined: Vec<u32> = pieces.iter().flat_map(|p| p[1..p.len() - 1].to_vec()).collect();
        assert_eq!((pieces.len(), joined.as_slice()), (rows, &row[1..row.len() - 1]));
    }
}

#[test]
fn sample_prompt_lines_are_read_as_by_sd_scripts() {
    for case in json("text/sample_prompt_lines.json").as_array().unwrap() {
        let p = SamplePrompt::parse(case["line"].as_str().unwrap()).unwrap();
        let mut found = object!({
            "prompt": p.prompt, "width": p.width, "height": p.height, "seed": p.seed, "scale": p.scale,
            "sample_steps": p.sample_steps, "guidance_scale": p.guidance_scale,
            "negative_prompt": p.negative_prompt, "sample_sampler": p.sample_sampler,
        });
        found.as_object_mut().unwrap().retain(|_, v| !v.is_null());
        assert_eq!(found, case["parsed"], "{}", case["line"]);
    }
}
