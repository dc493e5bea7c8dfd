//! The evaluator on a pretend encoder, whose embedding of a picture is its mean colour, and of a text the colour it names.

use super::*;
use plugin_test::{Array, FakeHost, FakeModel, Running, image_from_rgb, open_evaluator};
use serde_json::Value;

fn encoder(text: &'static str) -> Running {
    let model = FakeModel::new("encoders/e").run(move |inputs| {
        let (name, array) = &inputs[0];
        let values = if name == "pixels" {
            let each = array.data.len() / 3;
            array.data.chunks(each).map(|c| c.iter().sum::<f32>() / each as f32).collect()
        } else {
            let said: String = array.data.iter().map(|b| char::from(*b as u8)).collect();
            assert_eq!(said, text);
            vec![1.0, 0.0, 0.0]
        };
        Ok(vec![("embeds".into(), Array::new(&[1, 3], values)?)])
    });
    FakeHost::new().model(model).install()
}

fn image(rgb: [u8; 3]) -> Image {
    image_from_rgb(2, 3, &rgb.repeat(6)).unwrap()
}

fn sample(rgb: [u8; 3], prompt: &str, off: Option<[u8; 3]>) -> Sample {
    Sample {
        id: "s".into(),
        image: image(rgb),
        prompt: prompt.into(),
        reference: off.map(image),
        seed: None,
        extra: None,
    }
}

fn value(scores: &[Score], metric: &str) -> Option<f64> {
    scores.iter().find(|s| s.metric == metric).map(|s| (s.value * 1e4).round() / 1e4)
}

fn open(settings: Value) -> ClipScore {
    open_evaluator(settings).unwrap()
}

#[test]
fn pictures_are_compared_with_prompts_data_set_and_each_other() {
    let _host = encoder("red");
    let mut e = open(json!({"model": "encoders/e", "ignore": "OHWX, style"}));
    e.reference(vec![image([255, 0, 0]), image([0, 255, 0])]).unwrap();
    let scores = e
        .add(vec![
            sample([255, 0, 0], "ohwx, red", Some([0, 255, 0])),
            sample([0, 0, 255], "ohwx, red", None),
            sample([255, 0, 0], "ohwx", None),
        ])
        .unwrap();
    assert_eq!(value(&scores[0], "clip_text"), Some(100.0));
    assert_eq!((value(&scores[0], "clip_dataset"), value(&scores[0], "clip_nearest")), (Some(0.5), Some(1.0)));
    assert_eq!(value(&scores[0], "clip_lora_shift"), Some(1.0));
    assert_eq!((value(&scores[1], "clip_text"), value(&scores[1], "clip_lora_shift")), (Some(0.0), None));
    assert_eq!(value(&scores[2], "clip_text"), None, "nothing is left of the prompt");
    assert_eq!(value(&e.finish().unwrap(), "clip_diversity"), Some(1.0));
    assert_eq!(e.finish().unwrap(), [], "it starts anew");
}

#[test]
fn without_texts_and_data_set_less_is_measured() {
    let _host = encoder("");
    let mut e = open(json!({"model": "encoders/e", "text": false}));
    let scores = e.add(vec![sample([9, 9, 9], "red", None)]).unwrap();
    assert_eq!(scores, [[]]);
    assert!(
        open_evaluator::<ClipScore>(json!({"model": "encoders/none"})).err().unwrap().message.contains("encoders/none")
    );
}
