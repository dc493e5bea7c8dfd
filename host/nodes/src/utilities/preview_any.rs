use engine::{Context, TypedNode, WithUi};
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::ser::{PrettyFormatter, Serializer};
use spec::{Inputs, Value};

/// Shows any value as text, written as Python writes it, because ComfyUI's workflows compare such texts.
#[derive(Inputs)]
pub(crate) struct PreviewAny {
    /// The value.
    #[input(link)]
    source: Value,
}

impl TypedNode for PreviewAny {
    const ID: &'static str = "PreviewAny";
    const CATEGORY: &'static str = "utils";
    const DISPLAY_NAME: &'static str = "Preview as Text";
    const OUTPUT_NODE: bool = true;
    const STRICT: bool = false;
    type Output = WithUi<String>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let text = text(&self.source)?;
        Ok(WithUi::new(text.clone()).show("text", vec![text]))
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::Data(Json::Null) => "None".to_owned(),
        Value::Data(Json::Bool(true)) => "True".to_owned(),
        Value::Data(Json::Bool(false)) => "False".to_owned(),
        Value::Data(Json::String(text)) => text.clone(),
        Value::Data(Json::Number(number)) => number.to_string(),
        Value::Data(json) => pretty(json)?,
        other => other.describe(),
    })
}

/// Four spaces a level, and ASCII only.
fn pretty(json: &Json) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    ")))?;
    let mut text = String::with_capacity(bytes.len());
    for letter in String::from_utf8(bytes)?.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    Ok(text)
}
