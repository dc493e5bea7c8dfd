use super::load_image::{LoadImage, file_fingerprint};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};

/// Reads a picture that was saved before, and what is transparent in it as a mask.
#[derive(Inputs)]
pub(crate) struct LoadImageOutput {
    /// The file; `name [output]` lies in the output folder.
    #[input(host_list = "file")]
    image: String,
}

impl TypedNode for LoadImageOutput {
    const ID: &'static str = "LoadImageOutput";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Load Image (from Outputs)";
    const STRICT: bool = false;
    type Output = <LoadImage as TypedNode>::Output;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        file_fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        LoadImage { image: self.image }.run(ctx)
    }
}
