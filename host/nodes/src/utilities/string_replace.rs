use engine::{Context, TypedNode};
use spec::Inputs;

/// Replaces a part of a text wherever it occurs.
#[derive(Inputs)]
pub(crate) struct StringReplace {
    /// The text.
    #[input(default = "", multiline, required)]
    string: String,
    /// What goes; if it is empty, the other is put around every character.
    #[input(default = "", multiline, required)]
    find: String,
    /// What comes instead.
    #[input(default = "", multiline, required)]
    replace: String,
}

impl TypedNode for StringReplace {
    const ID: &'static str = "StringReplace";
    const CATEGORY: &'static str = "utils/string";
    const DISPLAY_NAME: &'static str = "Replace";
    const STRICT: bool = false;
    type Output = String;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(self.string.replace(&self.find, &self.replace))
    }
}
