use engine::{Context, TypedNode};
use spec::Inputs;

/// A number.
#[derive(Inputs)]
pub(crate) struct PrimitiveFloat {
    /// The number.
    #[input(default = 0.0, step = 0.1)]
    value: f64,
}

impl TypedNode for PrimitiveFloat {
    const ID: &'static str = "PrimitiveFloat";
    const CATEGORY: &'static str = "utils/primitive";
    const DISPLAY_NAME: &'static str = "Float";
    const STRICT: bool = false;
    type Output = f64;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(self.value)
    }
}
