//! Nodes that check their inputs themselves.

use crate::nodes;
use crate::values::{Factor, one, out, plain, square};
use plugin_sdk::spec::{Behaviour, Validates};
use plugin_sdk::{Inputs, Judgement, Result, Returned, Value, Values};

/// Two pictures or numbers.
#[derive(Inputs)]
pub(crate) struct Factors {
    input1: Factor,
    input2: Factor,
}

/// Two numbers.
#[derive(Inputs)]
pub(crate) struct Numbers {
    #[input(link)]
    input1: f64,
    #[input(link)]
    input2: f64,
}

/// Two numbers up to 1.
#[derive(Inputs)]
pub(crate) struct Shares {
    // Bounds are for the host to check, and this node tells it not to.
    #[input(required)]
    input1: f64,
    #[input(required)]
    input2: f64,
}

fn product(i: Factors) -> Result<Returned> {
    match (i.input1, i.input2) {
        (Factor::Number(a), Factor::Number(b)) => one(square(a * b)?),
        (Factor::Picture(a), Factor::Number(b)) => one(a.map(|p| p * b)?),
        (Factor::Number(a), Factor::Picture(b)) => one(b.map(|p| a * p)?),
        (Factor::Picture(_), Factor::Picture(_)) => Err(plugin_sdk::Error::unsupported("the product of two pictures")),
    }
}

fn checks(inputs: &[&str], types: bool) -> Behaviour {
    let inputs = inputs.iter().map(|i| (*i).to_owned()).collect();
    Behaviour { validates: Some(Validates { inputs, all: false, types }), ..plain() }
}

/// Constants must be numbers with a fraction: 5 is refused, 5.0 is not.
fn floats(inputs: &Values) -> Judgement {
    for (name, value) in inputs {
        let Value::Data(value) = value else { continue };
        if !value.is_null() && !value.is_f64() {
            return Judgement::Refused(Some(format!("Invalid type of {name}: {value}")));
        }
    }
    Judgement::Accepted
}

nodes! {
    TestCustomValidation1 "Custom Validation 1" (Factors) -> [out("IMAGE")] product; {
        fn behaviour() -> Behaviour { checks(&["input1", "input2"], false) }
        fn validate(inputs: &Values, _: &[(String, String)]) -> Result<Judgement> { Ok(floats(inputs)) }
    }

    TestCustomValidation2 "Custom Validation 2" (Factors) -> [out("IMAGE")] product; {
        fn behaviour() -> Behaviour { checks(&["input1", "input2"], true) }

        fn validate(inputs: &Values, types: &[(String, String)]) -> Result<Judgement> {
            let wrong = types.iter().find(|(_, kind)| !matches!(kind.as_str(), "IMAGE" | "FLOAT"));
            Ok(match wrong {
                Some((name, kind)) => Judgement::Refused(Some(format!("Invalid type of {name}: {kind}"))),
                None => floats(inputs),
            })
        }
    }

    TestCustomValidation3 "Custom Validation 3" (Factors) -> [out("IMAGE")] product;
    { fn behaviour() -> Behaviour { plain() } }

    TestCustomValidation4 "Custom Validation 4" (Numbers) -> [out("IMAGE")] |i| one(square(i.input1 * i.input2)?); {
        fn behaviour() -> Behaviour { checks(&["input1", "input2"], false) }
        fn validate(inputs: &Values, _: &[(String, String)]) -> Result<Judgement> { Ok(floats(inputs)) }
    }

    TestCustomValidation5 "Custom Validation 5" (Shares) -> [out("IMAGE")] |i| one(square(i.input1 * i.input2)?); {
        fn behaviour() -> Behaviour {
            Behaviour { validates: Some(Validates { all: true, ..Validates::default() }), ..plain() }
        }

        fn validate(inputs: &Values, _: &[(String, String)]) -> Result<Judgement> {
            let seven = matches!(inputs.get("input2"), Some(Value::Data(v)) if v.as_f64() == Some(7.0));
            Ok(if seven { Judgement::Refused(Some("no 7, please".into())) } else { Judgement::Accepted })
        }
    }
}
