//! Two nodes of one's own: one joins strings, one turns a list round and passes a picture through.

use plugin_sdk::{Image, Info, Inputs, Node, Output, Result, Socket, Value, export, info};
use std::sync::Arc;

/// Joins two texts.
#[derive(Inputs)]
pub struct Join {
    /// The first part.
    a: String,
    /// The second part.
    #[input(default = "!")]
    b: String,
    /// What stands between them.
    #[input(default = " ", options = ["", " ", ", "])]
    separator: String,
}

impl Node for Join {
    type Inputs = Self;
    const INFO: Info = info!("test.echo-node", "Join texts");

    fn outputs() -> Vec<Output> {
        vec![output("text", Socket::Text, false), output("length", Socket::Int, false)]
    }

    fn run(inputs: Self) -> Result<Vec<Value>> {
        let text = format!("{}{}{}", inputs.a, inputs.separator, inputs.b);
        let length = text.chars().count() as u64;
        Ok(vec![text.into(), length.into()])
    }
}

/// Turns a list of texts round, and passes an image on.
#[derive(Inputs)]
pub struct Reverse {
    /// The texts.
    texts: Vec<String>,
    /// A picture, if there is one.
    image: Option<Arc<Image>>,
}

impl Node for Reverse {
    type Inputs = Self;
    const INFO: Info = info!("test.reverse", "Reverse texts");

    fn outputs() -> Vec<Output> {
        vec![output("texts", Socket::Text, true), output("image", Socket::Image, false)]
    }

    fn run(inputs: Self) -> Result<Vec<Value>> {
        let texts = inputs.texts.into_iter().rev().map(Value::from).collect();
        let image = match inputs.image {
            Some(image) => Value::object(image.share()?),
            None => Value::Data(plugin_sdk::serde_json::Value::Null),
        };
        Ok(vec![Value::List(texts), image])
    }
}

fn output(name: &str, socket: Socket, is_list: bool) -> Output {
    Output { name: name.into(), socket, is_list, tooltip: None }
}

export!(Join: Node, Reverse: Node);
