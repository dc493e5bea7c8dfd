use engine::{Context, TypedNode};
use spec::Inputs;

/// Joins two texts.
#[derive(Inputs)]
pub(crate) struct StringConcatenate {
    /// The first.
    #[input(default = "", multiline, required)]
    string_a: String,
    /// The second.
    #[input(default = "", multiline, required)]
    string_b: String,
    /// What stands between them.
    #[input(default = "")]
    delimiter: String,
}

impl TypedNode for StringConcatenate {
    const ID: &'static str = "StringConcatenate";
    const CATEGORY: &'static str = "utils/string";
    const DISPLAY_NAME: &'static str = "Concatenate";
    const STRICT: bool = false;
    type Output = String;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok([self.string_a, self.string_b].join(&self.delimiter))
    }
}
