use engine::{Context, TypedNode};
use spec::Inputs;

/// Yes or no.
#[derive(Inputs)]
pub(crate) struct PrimitiveBoolean {
    /// The answer.
    #[input(default = false)]
    value: bool,
}

impl TypedNode for PrimitiveBoolean {
    const ID: &'static str = "PrimitiveBoolean";
    const CATEGORY: &'static str = "utils/primitive";
    const DISPLAY_NAME: &'static str = "Boolean";
    const STRICT: bool = false;
    type Output = bool;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(self.value)
    }
}
