use anyhow::bail;
use engine::{Context, TypedNode};
use spec::{FromValue, Inputs, Value, Values};

/// Passes on one of two values.
#[derive(Inputs)]
pub(crate) struct ComfySwitchNode {
    /// Which of them.
    #[input(default = false, required)]
    switch: bool,
    /// What is passed on if not.
    #[input(lazy, link)]
    on_false: Option<Value>,
    /// What is passed on if so.
    #[input(lazy, link)]
    on_true: Option<Value>,
}

impl TypedNode for ComfySwitchNode {
    const ID: &'static str = "ComfySwitchNode";
    const CATEGORY: &'static str = "logic";
    const DISPLAY_NAME: &'static str = "Switch";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["output"];
    type Output = Value;

    /// The other value is not computed.
    fn check_lazy(_: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
        let switch = inputs.get("switch").is_some_and(|v| bool::from_value(v) == Ok(true));
        let (wanted, other) = if switch { ("on_true", "on_false") } else { ("on_false", "on_true") };
        let linked = [wanted, other].into_iter().find(|name| inputs.contains_key(*name));
        Ok(linked.into_iter().map(str::to_owned).collect())
    }

    /// If only one is linked, that one, whatever the switch says.
    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        match (self.on_false, self.on_true) {
            (Some(value), None) | (None, Some(value)) => Ok(value),
            (Some(off), Some(on)) => Ok(if self.switch { on } else { off }),
            (None, None) => bail!("link at least one of `on_false` and `on_true`"),
        }
    }
}
