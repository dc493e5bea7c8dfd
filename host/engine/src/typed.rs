//! A node as the struct of its inputs.

use crate::{Context, IntoOutputs, Node, Outputs, Refusal};
use spec::{Behaviour, InputError, Inputs, Role, Values};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// A node whose inputs are its fields; `#[derive(Inputs)]` gives the description, this trait the work.
pub trait TypedNode: Inputs + Send + 'static {
    /// `class_type` in graph JSON; ComfyUI's where it has such a node, so that its workflows load.
    const ID: &'static str;
    const CATEGORY: &'static str;
    const DISPLAY_NAME: &'static str = Self::ID;
    /// Runs because somebody wants its effect.
    const OUTPUT_NODE: bool = false;
    /// May the outputs go to the persistent store?
    const PERSISTENT: bool = false;
    /// False for nodes that run every time.
    const DETERMINISTIC: bool = true;
    /// Raised when results change although the inputs do not.
    const REVISION: u32 = 0;
    /// False for nodes with ComfyUI's names, whose clients send extra inputs.
    const STRICT: bool = true;
    /// Names of the outputs, where their types do not say enough; fewer names than outputs leave the rest.
    const OUTPUT_NAMES: &'static [&'static str] = &[];
    const ALIASES: &'static [&'static str] = &[];

    /// What the node asks of the engine besides values.
    fn behaviour() -> Behaviour {
        Behaviour::default()
    }

    type Output: IntoOutputs;

    /// See [`Node::fingerprint`].
    ///
    /// # Errors
    /// When a named file cannot be read.
    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        let _ = (ctx, constants);
        Ok(String::new())
    }

    /// See [`Node::validate`].
    ///
    /// # Errors
    /// When the check itself fails.
    fn validate(inputs: &Values, types: &BTreeMap<String, String>) -> anyhow::Result<Option<Refusal>> {
        let _ = (inputs, types);
        Ok(None)
    }

    /// See [`Node::check_lazy`]. The fields of lazy inputs are options, since what nobody asked for stays away.
    ///
    /// # Errors
    /// The node fails.
    fn check_lazy(ctx: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
        let _ = ctx;
        let linked = |i: &spec::Input| i.lazy && inputs.contains_key(&i.name);
        Ok(Self::inputs().into_iter().filter(linked).map(|i| i.name).collect())
    }

    /// See [`Node::restore`].
    ///
    /// # Errors
    /// Is logged, and the node runs again.
    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        let _ = (ctx, outputs);
        Ok(true)
    }

    /// See [`Node::run`].
    ///
    /// # Errors
    /// Says what went wrong; the engine adds which node.
    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output>;
}

/// A typed node as the engine takes it.
pub fn node<T: TypedNode>() -> Arc<dyn Node> {
    let mut outputs = T::Output::outputs();
    for (output, name) in outputs.iter_mut().zip(T::OUTPUT_NAMES) {
        output.name = (*name).to_owned();
    }
    let spec = spec::Node {
        id: T::ID.to_owned(),
        role: Role::Node,
        display_name: T::DISPLAY_NAME.to_owned(),
        category: T::CATEGORY.to_owned(),
        description: T::description().to_owned(),
        inputs: T::inputs(),
        outputs,
        output_node: T::OUTPUT_NODE,
        deterministic: T::DETERMINISTIC,
        revision: T::REVISION,
        experimental: false,
        deprecated: false,
        aliases: T::ALIASES.iter().map(|a| (*a).to_owned()).collect(),
        strict: T::STRICT,
        behaviour: T::behaviour(),
    };
    Arc::new(Typed::<T> { spec, inputs: PhantomData })
}

struct Typed<T> {
    spec: spec::Node,
    inputs: PhantomData<fn() -> T>,
}

impl<T: TypedNode> Node for Typed<T> {
    fn spec(&self) -> &spec::Node {
        &self.spec
    }

    fn fingerprint(&self, ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        T::fingerprint(ctx, constants)
    }

    fn persistent(&self) -> bool {
        T::PERSISTENT
    }

    fn restore(&self, ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        T::restore(ctx, outputs)
    }

    fn validate(&self, inputs: &Values, types: &BTreeMap<String, String>) -> anyhow::Result<Option<Refusal>> {
        T::validate(inputs, types)
    }

    fn check_lazy(&self, ctx: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
        T::check_lazy(ctx, inputs)
    }

    fn run(&self, ctx: &Context, inputs: Values) -> anyhow::Result<Outputs> {
        let node = T::from_values(inputs).map_err(|e| anyhow::anyhow!(wrong_inputs(&e)))?;
        Ok(node.run(ctx)?.into_outputs())
    }
}

fn wrong_inputs(errors: &[InputError]) -> String {
    errors.iter().map(|e| format!("input `{}`: {}", e.input, e.message)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Services, WithUi};
    use serde_json::json;
    use spec::{FromValue, Input, ObjectType, Socket, Value, Widget};

    struct Picture(u32);
    impl ObjectType for Picture {
        const SOCKET: &'static str = "IMAGE";
    }

    struct Grow {
        image: Arc<Picture>,
        by: u32,
    }

    impl Inputs for Grow {
        fn description() -> &'static str {
            "Makes a picture larger."
        }
        fn inputs() -> Vec<Input> {
            let input = |name: &str, socket, widget, required| Input {
                name: name.into(),
                socket,
                widget,
                required,
                is_list: false,
                lazy: false,
                tooltip: None,
            };
            vec![
                input("image", <Arc<Picture>>::socket(), Widget::None, true),
                input("by", u32::socket(), u32::widget(), false),
            ]
        }
        fn from_values(values: Values) -> Result<Self, Vec<InputError>> {
            let wrong = |input: &str, message: String| InputError { input: input.into(), message };
            let absent = || "required, but absent".to_owned();
            let image = values.get("image").ok_or_else(absent).and_then(FromValue::from_value);
            let by = values.get("by").map_or(Ok(2), u32::from_value);
            match (image, by) {
                (Ok(image), Ok(by)) => Ok(Self { image, by }),
                (image, by) => Err([image.err().map(|m| wrong("image", m)), by.err().map(|m| wrong("by", m))]
                    .into_iter()
                    .flatten()
                    .collect()),
            }
        }
    }

    impl TypedNode for Grow {
        const ID: &'static str = "Grow";
        const CATEGORY: &'static str = "image";
        const OUTPUT_NAMES: &'static [&'static str] = &["larger"];
        type Output = WithUi<(Arc<Picture>, Vec<String>)>;

        fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
            let larger = Arc::new(Picture(self.image.0 * self.by));
            Ok(WithUi::new((larger, vec!["a".to_owned()])).show("text", "grown").file("x.png".as_ref(), "00ff"))
        }
    }

    #[test]
    fn a_struct_of_inputs_describes_and_runs_itself() {
        let node = node::<Grow>();
        let spec = node.spec();
        assert_eq!((spec.id.as_str(), spec.description.as_str()), ("Grow", "Makes a picture larger."));
        let outputs: Vec<_> = spec.outputs.iter().map(|o| (o.name.as_str(), o.socket.clone(), o.is_list)).collect();
        assert_eq!(outputs, [("larger", Socket::Image, false), ("STRING", Socket::Text, true)]);
        let inputs = Values::from([("image".into(), Value::object(Picture(4))), ("by".into(), 3.into())]);
        let outputs = node.run(&Context::detached(Services::new()), inputs).unwrap();
        match &outputs.values[0] {
            Value::Object(o) => assert_eq!(o.get::<Picture>().unwrap().0, 12),
            other => panic!("{other:?}"),
        }
        assert_eq!(outputs.ui["files"], json!([{"path": "x.png", "sha256": "00ff"}]));
    }

    #[test]
    fn wrong_inputs_are_named_all_at_once() {
        let inputs = Values::from([("by".into(), Value::from("many"))]);
        let error = node::<Grow>().run(&Context::detached(Services::new()), inputs).unwrap_err();
        assert_eq!(error.to_string(), "input `image`: required, but absent; input `by`: expected INT, found \"many\"");
    }
}
