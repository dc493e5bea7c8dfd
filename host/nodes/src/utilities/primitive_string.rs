use engine::{Context, TypedNode};
use spec::Inputs;

/// A line of text.
#[derive(Inputs)]
pub(crate) struct PrimitiveString {
    /// The text.
    #[input(default = "", required)]
    value: String,
}

impl TypedNode for PrimitiveString {
    const ID: &'static str = "PrimitiveString";
    const CATEGORY: &'static str = "utils/primitive";
    const DISPLAY_NAME: &'static str = "String";
    const STRICT: bool = false;
    type Output = String;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(self.value)
    }
}
