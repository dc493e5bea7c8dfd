use crate::python_random::PythonRandom;
use crate::reference::json;
use train::captions::{Moment, Pipeline};

#[test]
fn every_caption_equals_sd_scripts() {
    let file = json("dataset/captions.json");
    let captions: Vec<&str> = file["captions"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    for run in file["runs"].as_array().unwrap() {
        let option = |key: &str| match &run["options"][key] {
            serde_json::Value::Null => &file["defaults"][key],
            found => found,
        };
        let text = |key: &str| option(key).as_str().unwrap_or_default().to_owned();
        let number = |key: &str| option(key).as_f64().unwrap_or(0.0);
        let pipeline = Pipeline {
            prefix: text("caption_prefix"),
            suffix: text("caption_suffix"),
            dropout: number("caption_dropout_rate"),
            dropout_every_epochs: number("caption_dropout_every_n_epochs") as u64,
            wildcards: option("enable_wildcard").as_bool().unwrap(),
            shuffle: option("shuffle_caption").as_bool().unwrap(),
            keep_tokens: number("keep_tokens") as usize,
            keep_separator: text("keep_tokens_separator"),
            warmup_steps: number("token_warmup_step"),
            warmup_min: number("token_warmup_min") as usize,
            tag_dropout: number("caption_tag_dropout_rate"),
            separator: text("caption_separator"),
            second_separator: text("secondary_separator"),
        };
        let mut dice = PythonRandom::new(run["seed"].as_u64().unwrap());
        for result in run["results"].as_array().unwrap() {
            let whole = |key: &str| result[key].as_u64().unwrap();
            let total = run["max_train_steps"].as_u64().unwrap();
            let at = Moment { epoch: whole("epoch"), step: whole("step"), total };
            let found = pipeline.prompt(captions[whole("caption_index") as usize], at, &mut dice);
            assert_eq!(found, result["output"].as_str().unwrap(), "{} {} {result}", run["name"], run["seed"]);
        }
    }
}
