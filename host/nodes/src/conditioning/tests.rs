use crate::testing::{host, output, run, value};
use crate::types::{Area, Cond, Conditioning};
use candle_core::{Device, Tensor};
use engine::Context;
use spec::Value;
use std::sync::Arc;

/// A text of tokens with one feature each.
fn text(states: &[f32], pooled: f32) -> Arc<Conditioning> {
    let states = Tensor::from_slice(states, (1, states.len(), 1), &Device::Cpu).unwrap();
    let pooled = Tensor::new(&[[pooled]], &Device::Cpu).unwrap();
    Arc::new(Conditioning::one(states, Some(pooled)))
}

fn made(ctx: &Context, class: &str, inputs: Vec<(&str, Value)>) -> Arc<Conditioning> {
    output(&run(ctx, class, inputs).unwrap(), 0)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn states(one: &Cond) -> Vec<f32> {
    flat(&one.states)
}

#[test]
fn two_texts_are_combined_averaged_and_joined() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (a, b) = (text(&[1.0, 2.0, 3.0], 10.0), text(&[5.0, 6.0], 20.0));
    let both = made(&ctx, "ConditioningCombine", vec![("conditioning_1", value(&a)), ("conditioning_2", value(&b))]);
    assert_eq!(both.0.iter().map(states).collect::<Vec<_>>(), [vec![1.0, 2.0, 3.0], vec![5.0, 6.0]]);
    let pair = |to, from| vec![("conditioning_to", value(to)), ("conditioning_from", value(from))];
    let joined = made(&ctx, "ConditioningConcat", pair(&a, &b));
    assert_eq!(
        (states(&joined.0[0]), flat(joined.0[0].pooled.as_ref().unwrap())),
        (vec![1.0, 2.0, 3.0, 5.0, 6.0], vec![10.0])
    );
    let mixed = |to, from| {
        let mut inputs = pair(to, from);
        inputs.push(("conditioning_to_strength", 0.75.into()));
        made(&ctx, "ConditioningAverage", inputs)
    };
    let shorter_behind = mixed(&a, &b);
    assert_eq!(states(&shorter_behind.0[0]), [2.0, 3.0, 2.25]);
    assert_eq!(flat(shorter_behind.0[0].pooled.as_ref().unwrap()), [12.5]);
    assert_eq!(states(&mixed(&b, &a).0[0]), [4.0, 5.0]);
    let zero = made(&ctx, "ConditioningZeroOut", vec![("conditioning", value(&both))]);
    assert!(zero.0.iter().all(|one| states(one).iter().chain(&flat(one.pooled.as_ref().unwrap())).all(|v| *v == 0.0)));
}

#[test]
fn texts_of_different_encoders_are_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let wide =
        Arc::new(Conditioning::one(Tensor::zeros((1, 3, 2), candle_core::DType::F32, &Device::Cpu).unwrap(), None));
    for class in ["ConditioningConcat", "ConditioningAverage"] {
        let inputs = vec![("conditioning_to", value(&text(&[1.0], 0.0))), ("conditioning_from", value(&wide))];
        let error = run(&ctx, class, inputs).unwrap_err().to_string();
        assert!(error.contains("has 1 features a token") && error.contains("has 2"), "{error}");
    }
}

#[test]
fn places_times_and_guidance_are_set_on_every_prompt() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let both = Arc::new(Conditioning([text(&[1.0], 0.0), text(&[2.0], 0.0)].iter().map(|c| c.0[0].clone()).collect()));
    let set = |class: &str, more: Vec<(&'static str, Value)>| {
        let mut inputs = vec![("conditioning", value(&both))];
        inputs.extend(more);
        made(&ctx, class, inputs)
    };
    let range = set("ConditioningSetTimestepRange", vec![("start", 0.25.into()), ("end", 0.5.into())]);
    assert!(range.0.iter().all(|one| one.range == (0.25, 0.5)));
    let area = set("ConditioningSetArea", vec![("width", 128.into()), ("x", 64.into()), ("strength", 2.0.into())]);
    assert!(
        area.0
            .iter()
            .all(|one| one.area == Some(Area::Latent { width: 16, height: 8, x: 8, y: 0 }) && one.strength == 2.0)
    );
    let share = set("ConditioningSetAreaPercentage", vec![("height", 0.5.into())]);
    assert_eq!(share.0[1].area, Some(Area::Share { width: 1.0, height: 0.5, x: 0.0, y: 0.0 }));
    let guidance = set("FluxGuidance", vec![]);
    assert!(guidance.0.iter().all(|one| one.guidance == Some(3.5)));
    assert_eq!(both.0[0].guidance, None);
}
