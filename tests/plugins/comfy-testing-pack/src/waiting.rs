//! Nodes that mostly wait.

use crate::nodes;
use crate::values::{Batch, null, one, out, plain, square};
use plugin_sdk::spec::{Behaviour, Validates};
use plugin_sdk::{Error, ErrorKind, Inputs, Judgement, Result, Value, Values, control};

/// Anything, after a while.
#[derive(Inputs)]
pub(crate) struct Sleep {
    #[input(name = "value", required)]
    value: Option<Value>,
    #[input(default = 1.0, range = 0.0..=9999.0, step = 0.01, required)]
    seconds: f64,
}

/// A number below another.
#[derive(Inputs)]
pub(crate) struct Threshold {
    #[input(default = 5.0, required)]
    value: f64,
    #[input(default = 10.0, required)]
    threshold: f64,
}

/// A number below a maximum.
#[derive(Inputs)]
pub(crate) struct Maximum {
    #[input(default = 5.0, required)]
    value: f64,
    #[input(default = 10.0, required)]
    max_value: f64,
}

/// Anything, and when to fail.
#[derive(Inputs)]
pub(crate) struct Failing {
    #[input(required)]
    value: Option<Value>,
    #[input(default = 0.1, range = 0.0..=10.0, required)]
    error_after: f64,
}

/// Anything, how long it may take and how long it takes.
#[derive(Inputs)]
pub(crate) struct Timeout {
    #[input(required)]
    value: Option<Value>,
    #[input(default = 1.0, range = 0.1..=10.0, required)]
    timeout: f64,
    #[input(default = 2.0, range = 0.1..=10.0, required)]
    operation_time: f64,
}

/// Anything.
#[derive(Inputs)]
pub(crate) struct Anything {
    #[input(required)]
    value: Option<Value>,
}

/// One of two, by a condition.
#[derive(Inputs)]
pub(crate) struct Chosen {
    #[input(lazy, required)]
    input1: Option<Value>,
    #[input(lazy, required)]
    input2: Option<Value>,
    #[input(default = true, required)]
    condition: bool,
}

/// Anything, with something that only one may use at a time.
#[derive(Inputs)]
pub(crate) struct Resource {
    #[input(required)]
    value: Option<Value>,
    #[input(default = "resource_0", required)]
    resource_id: String,
    #[input(default = 0.1, range = 0.0..=1.0, required)]
    duration: f64,
}

/// Pictures, one after the other.
#[derive(Inputs)]
pub(crate) struct Pictures {
    images: Batch,
    #[input(default = 0.1, range = 0.01..=1.0, required)]
    process_time_per_item: f64,
}

/// Anything, two at a time.
#[derive(Inputs)]
pub(crate) struct Limited {
    #[input(required)]
    value: Option<Value>,
    #[input(default = 0.5, range = 0.1..=2.0, required)]
    duration: f64,
    #[input(default = 0, required)]
    node_id: i64,
}

/// Anything, with progress.
#[derive(Inputs)]
pub(crate) struct Progress {
    #[input(required)]
    value: Option<Value>,
    #[input(default = 1.0, required)]
    sleep_seconds: f64,
}

fn waits() -> Behaviour {
    Behaviour { asynchronous: true, ..plain() }
}

fn judged() -> Behaviour {
    Behaviour { validates: Some(Validates { all: true, ..Validates::default() }), ..plain() }
}

fn again(value: Option<Value>) -> Value {
    value.unwrap_or_else(null)
}

fn seconds(seconds: f64) -> u32 {
    (seconds * 1000.0).clamp(0.0, f64::from(u32::MAX)) as u32
}

fn number(inputs: &Values, name: &str) -> f64 {
    match inputs.get(name) {
        Some(Value::Data(value)) => value.as_f64().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// Sleeps with progress, a hundredth of a second at a time.
fn sleep(duration: f64) -> Result<()> {
    let total = seconds(duration);
    let mut done = 0;
    while done < total {
        if control::cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        let part = (total - done).min(10);
        control::sleep(part);
        done += part;
        control::progress(done.into(), Some(total.into()), "");
    }
    Ok(())
}

nodes! {
    TestSleep "Test Sleep" (Sleep) -> [out("*")] |i| {
        sleep(i.seconds)?;
        one(again(i.value))
    }; {
        fn behaviour() -> Behaviour {
            Behaviour { hidden: vec![("unique_id".into(), plugin_sdk::spec::Hidden::UniqueId)], ..waits() }
        }
    }

    TestAsyncValidation "Test Async Validation" (Threshold) -> [out("IMAGE")] |i| {
        let _ = i.threshold;
        one(square(i.value / 10.0)?)
    }; {
        fn behaviour() -> Behaviour { judged() }

        fn validate(inputs: &Values, _: &[(String, String)]) -> Result<Judgement> {
            control::sleep(50);
            let (value, threshold) = (number(inputs, "value"), number(inputs, "threshold"));
            Ok(match value > threshold {
                true => Judgement::Refused(Some(format!("Value {value} exceeds threshold {threshold}"))),
                false => Judgement::Accepted,
            })
        }
    }

    TestAsyncError "Test Async Error" (Failing) -> [out("*")] |i| {
        let _ = i.value;
        control::sleep(seconds(i.error_after));
        Err(Error::internal("Intentional async execution error for testing"))
    }; { fn behaviour() -> Behaviour { waits() } }

    TestAsyncValidationError "Test Async Validation Error" (Maximum) -> [out("IMAGE")] |i| {
        one(square(i.value / i.max_value)?)
    }; {
        fn behaviour() -> Behaviour { judged() }

        fn validate(inputs: &Values, _: &[(String, String)]) -> Result<Judgement> {
            control::sleep(50);
            let (value, most) = (number(inputs, "value"), number(inputs, "max_value"));
            Ok(match value > most {
                true => Judgement::Refused(Some(format!("Async validation failed: {value} > {most}"))),
                false => Judgement::Accepted,
            })
        }
    }

    TestAsyncTimeout "Test Async Timeout" (Timeout) -> [out("*")] |i| {
        control::sleep(seconds(i.operation_time.min(i.timeout)));
        if i.operation_time > i.timeout {
            return Err(Error::internal(format!("Operation timed out after {} seconds (timeout)", i.timeout)));
        }
        one(again(i.value))
    }; { fn behaviour() -> Behaviour { waits() } }

    TestSyncError "Test Sync Error" (Anything) -> [out("*")] |i| {
        let _ = i.value;
        Err(Error::internal("Intentional sync execution error for testing"))
    }; { fn behaviour() -> Behaviour { plain() } }

    TestAsyncLazyCheck "Test Async Lazy Check" (Chosen) -> [out("IMAGE")] |i| {
        let _ = (i.input1, i.input2, i.condition);
        one(square(1.0)?)
    }; {
        fn behaviour() -> Behaviour { plain() }

        fn check_lazy(inputs: &Values) -> Result<Vec<String>> {
            control::sleep(50);
            let condition = !matches!(inputs.get("condition"), Some(Value::Data(v)) if v.as_bool() == Some(false));
            let name = if condition { "input1" } else { "input2" };
            let absent = matches!(inputs.get(name), None | Some(Value::Data(plugin_sdk::serde_json::Value::Null)));
            Ok(absent.then(|| name.to_owned()).into_iter().collect())
        }
    }

    // A component keeps no state between calls, so nobody else can hold the resource.
    TestAsyncResourceUser "Test Async Resource User" (Resource) -> [out("*")] |i| {
        let _ = i.resource_id;
        control::sleep(seconds(i.duration));
        one(again(i.value))
    }; { fn behaviour() -> Behaviour { waits() } }

    TestAsyncBatchProcessing "Test Async Batch Processing" (Pictures) -> [out("IMAGE")] |i| {
        let total = i.images.0.len() as u64;
        for done in 1..=total {
            control::sleep(seconds(i.process_time_per_item));
            control::progress(done, Some(total), "");
        }
        one(i.images.map(|p| 1.0 - p)?)
    }; {
        fn behaviour() -> Behaviour {
            Behaviour { hidden: vec![("unique_id".into(), plugin_sdk::spec::Hidden::UniqueId)], ..waits() }
        }
    }

    TestAsyncConcurrentLimit "Test Async Concurrent Limit" (Limited) -> [out("*")] |i| {
        let _ = i.node_id;
        control::sleep(seconds(i.duration));
        one(again(i.value))
    }; { fn behaviour() -> Behaviour { Behaviour { concurrency: 2, ..waits() } } }

    TestAsyncProgressUpdate "Async Progress Update Test Node" (Progress) -> [out("*")] |i| {
        sleep(i.sleep_seconds)?;
        one(again(i.value))
    }; { fn behaviour() -> Behaviour { waits() } }

    TestSyncProgressUpdate "Sync Progress Update Test Node" (Progress) -> [out("*")] |i| {
        sleep(i.sleep_seconds)?;
        one(again(i.value))
    }; { fn behaviour() -> Behaviour { plain() } }
}
