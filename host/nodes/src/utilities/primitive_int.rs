use engine::{Context, TypedNode};
use spec::Inputs;

/// A whole number.
#[derive(Inputs)]
pub(crate) struct PrimitiveInt {
    /// The number.
    #[input(default = 0, seed)]
    value: i64,
}

impl TypedNode for PrimitiveInt {
    const ID: &'static str = "PrimitiveInt";
    const CATEGORY: &'static str = "utils/primitive";
    const DISPLAY_NAME: &'static str = "Int";
    const STRICT: bool = false;
    type Output = i64;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(self.value)
    }
}
