use crate::reference::json;
use train::lr_schedules::{Curve, find};

#[test]
fn every_rate_of_every_schedule_equals_the_reference() {
    let all = json("optim/lr_schedules.json");
    let mut compared = 0;
    for (name, case) in all.as_object().unwrap() {
        let kind = name.split('.').next().unwrap();
        // Here a warm-up goes with every schedule.
        let row = find(kind.trim_end_matches("_with_warmup")).unwrap_or_else(|e| panic!("{e}"));
        let args = &case["args"];
        let whole = |key: &str| args[key].as_u64();
        let curve = Curve::new(
            case["lr0"].as_f64().unwrap(),
            case["total"].as_u64().unwrap(),
            whole("num_warmup_steps").unwrap_or(0),
        );
        let curve = Curve {
            cycles: args["num_cycles"].as_f64().unwrap_or(1.0),
            power: args["power"].as_f64().unwrap_or(1.0),
            min_ratio: args["min_lr_rate"].as_f64().or(args["min_lr_ratio"].as_f64()).unwrap_or(0.0),
            timescale: whole("timescale"),
            decay: whole("num_decay_steps").unwrap_or(0),
            ..curve
        };
        for (step, wanted) in case["lr"].as_array().unwrap().iter().enumerate() {
            let (found, wanted) = (curve.lr * row.at(&curve, step as u64), wanted.as_f64().unwrap());
            assert!((found - wanted).abs() <= 1e-12 * curve.lr.max(wanted), "{name} step {step}: {found} {wanted}");
        }
        compared += 1;
    }
    assert!(compared > 0);
}
