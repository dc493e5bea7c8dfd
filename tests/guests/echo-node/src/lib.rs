//! Nodes of one's own: one joins strings, one turns a list round and passes a picture through, one expands.

use plugin_sdk::spec::{Behaviour, Feed, Hidden, Validates};
use plugin_sdk::{
    Image, Info, Inputs, Judgement, Node, Output, Result, Returned, Socket, Value, Values, export, info, place,
    serde_json,
};
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

    fn run(inputs: Self) -> Result<Returned> {
        let text = format!("{}{}{}", inputs.a, inputs.separator, inputs.b);
        let length = text.chars().count() as u64;
        Ok(vec![text.into(), length.into()].into())
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

    fn run(inputs: Self) -> Result<Returned> {
        let texts = inputs.texts.into_iter().rev().map(Value::from).collect();
        let image = match inputs.image {
            Some(image) => Value::object(image.share()?),
            None => Value::Data(serde_json::Value::Null),
        };
        Ok(vec![Value::List(texts), image].into())
    }
}

/// Stands for a chain of nodes.
#[derive(Inputs)]
pub struct Grow {
    /// How many.
    #[input(lazy)]
    n: Option<u32>,
}

impl Node for Grow {
    type Inputs = Self;
    const INFO: Info = info!("test.grow", "Grow");
    const OUTPUT_NODE: bool = true;

    fn outputs() -> Vec<Output> {
        vec![output("last", Socket::Int, false), output("blocked", Socket::Text, false)]
    }

    fn behaviour() -> Behaviour {
        Behaviour {
            hidden: vec![("me".into(), Hidden::UniqueId)],
            validates: Some(Validates { types: true, ..Validates::default() }),
            fingerprints: true,
            ..Behaviour::default()
        }
    }

    fn run(inputs: Self) -> Result<Returned> {
        let mut graph = place::graph();
        let mut last = graph.node("test.grow", [("n", Feed::from(0))]);
        for _ in 1..inputs.n.unwrap_or_default() {
            last = graph.node("test.grow", [("n", Feed::link(&last, 0))]);
        }
        let blocked = Value::blocker(Some(place::node_id()));
        let mut returned = Returned::from(graph.finish([Feed::link(last, 0), Feed::from(blocked)]));
        returned.ui.insert("n".into(), serde_json::json!([inputs.n]));
        Ok(returned)
    }

    fn validate(_: &Values, types: &[(String, String)]) -> Result<Judgement> {
        let said = types.iter().map(|(input, kind)| format!("{input} is {kind}")).collect::<Vec<_>>();
        Ok(Judgement::Refused(Some(said.join(", "))))
    }

    fn fingerprint(_: &Values) -> Result<Option<String>> {
        Ok(None)
    }
}

fn output(name: &str, socket: Socket, is_list: bool) -> Output {
    Output { name: name.into(), socket, is_list, tooltip: None }
}

export!(Join: Node, Reverse: Node, Grow: Node);
