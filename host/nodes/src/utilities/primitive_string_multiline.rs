use engine::{Context, TypedNode};
use spec::Inputs;

/// A text of several lines.
#[derive(Inputs)]
pub(crate) struct PrimitiveStringMultiline {
    /// The text.
    #[input(default = "", multiline, required)]
    value: String,
}

impl TypedNode for PrimitiveStringMultiline {
    const ID: &'static str = "PrimitiveStringMultiline";
    const CATEGORY: &'static str = "utils/primitive";
    const DISPLAY_NAME: &'static str = "String (Multiline)";
    const STRICT: bool = false;
    type Output = String;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(self.value)
    }
}
