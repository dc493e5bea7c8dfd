//! Lists, and lists as one value: `{"accum": […]}`.

use crate::nodes;
use crate::values::{list, null, one, out, plain};
use plugin_sdk::serde_json::{Value as Json, json};
use plugin_sdk::spec::Behaviour;
use plugin_sdk::{Error, FromValue, Inputs, Result, Socket, Value};

/// Several values as one.
pub(crate) struct Accumulation(Vec<Json>);

impl FromValue for Accumulation {
    fn socket() -> Socket {
        Socket::from_name("ACCUMULATION")
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let wrong = || format!("expected ACCUMULATION, found {}", value.describe());
        let Value::Data(json) = value else { return Err(wrong()) };
        json.get("accum").and_then(Json::as_array).cloned().map(Self).ok_or_else(wrong)
    }
}

impl From<Accumulation> for Value {
    fn from(accumulation: Accumulation) -> Self {
        Self::Data(json!({ "accum": accumulation.0 }))
    }
}

/// What is added to what.
#[derive(Inputs)]
pub(crate) struct Add {
    #[input(required)]
    to_add: Option<Value>,
    accumulation: Option<Accumulation>,
}

/// An accumulation.
#[derive(Inputs)]
pub(crate) struct Only {
    accumulation: Accumulation,
}

/// A list.
#[derive(Inputs)]
pub(crate) struct Whole {
    list: Vec<Value>,
}

/// A place in an accumulation.
#[derive(Inputs)]
pub(crate) struct Item {
    accumulation: Accumulation,
    #[input(default = 0, required)]
    index: i64,
}

/// A place in an accumulation, and what goes there.
#[derive(Inputs)]
pub(crate) struct NewItem {
    accumulation: Accumulation,
    #[input(default = 0, required)]
    index: i64,
    #[input(required)]
    value: Option<Value>,
}

/// Up to nine values.
#[derive(Inputs)]
pub(crate) struct Values {
    #[input(required)]
    value1: Option<Value>,
    value2: Option<Value>,
    value3: Option<Value>,
    value4: Option<Value>,
    value5: Option<Value>,
    value6: Option<Value>,
    value7: Option<Value>,
    value8: Option<Value>,
    value9: Option<Value>,
}

fn data(value: Option<Value>) -> Result<Json> {
    match value {
        None => Ok(Json::Null),
        Some(Value::Data(json)) => Ok(json),
        Some(other) => Err(Error::unsupported(format!("an accumulation holds data, not {}", other.describe()))),
    }
}

/// As in Python: from the end if negative.
fn at(index: i64, length: usize) -> Result<usize> {
    let place = if index < 0 { index + length as i64 } else { index };
    usize::try_from(place).ok().filter(|p| *p < length).ok_or_else(|| Error::invalid_input("list index out of range"))
}

nodes! {
    TestAccumulateNode "Accumulate" (Add) -> [out("ACCUMULATION")] |i| {
        let mut all = i.accumulation.map(|a| a.0).unwrap_or_default();
        all.push(data(i.to_add)?);
        one(Accumulation(all))
    }; { fn behaviour() -> Behaviour { plain() } }

    TestAccumulationHeadNode "Accumulation Head" (Only) -> [out("ACCUMULATION"), out("*")] |i| {
        let mut all = i.accumulation.0;
        let head = if all.is_empty() { null() } else { Value::Data(all.remove(0)) };
        Ok(vec![Accumulation(all).into(), head].into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestAccumulationTailNode "Accumulation Tail" (Only) -> [out("ACCUMULATION"), out("*")] |i| {
        let mut all = i.accumulation.0;
        let tail = all.pop().map_or_else(null, Value::Data);
        Ok(vec![Accumulation(all).into(), tail].into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestAccumulationToListNode "Accumulation to List" (Only) -> [list("*")] |i| {
        one(Value::List(i.accumulation.0.into_iter().map(Value::Data).collect()))
    }; { fn behaviour() -> Behaviour { plain() } }

    TestListToAccumulationNode "List to Accumulation" (Whole) -> [out("ACCUMULATION")] |i| {
        one(Accumulation(i.list.into_iter().map(|v| data(Some(v))).collect::<Result<_>>()?))
    }; { fn behaviour() -> Behaviour { Behaviour { takes_lists: true, ..plain() } } }

    TestAccumulationGetLengthNode "Accumulation Get Length" (Only) -> [out("INT")] |i| one(i.accumulation.0.len() as u64);
    { fn behaviour() -> Behaviour { plain() } }

    TestAccumulationGetItemNode "Accumulation Get Item" (Item) -> [out("*")] |i| {
        let mut all = i.accumulation.0;
        let index = at(i.index, all.len())?;
        one(Value::Data(all.swap_remove(index)))
    }; { fn behaviour() -> Behaviour { plain() } }

    TestAccumulationSetItemNode "Accumulation Set Item" (NewItem) -> [out("ACCUMULATION")] |i| {
        let mut all = i.accumulation.0;
        let index = at(i.index, all.len())?;
        all[index] = data(i.value)?;
        one(Accumulation(all))
    }; { fn behaviour() -> Behaviour { plain() } }

    TestMakeListNode "Make List" (Values) -> [list("*")] |i| {
        let all = [i.value1, i.value2, i.value3, i.value4, i.value5, i.value6, i.value7, i.value8, i.value9];
        one(Value::List(all.into_iter().flatten().collect()))
    }; { fn behaviour() -> Behaviour { plain() } }
}
