use super::fingerprint;
use crate::Host;
use data::{Dataset, sd_scripts};
use engine::{Context, Level, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads folders as kohya's scripts name them, such as `10_ohwx girl`: how often its pictures are shown, and the caption
/// of those that have no caption file.
#[derive(Inputs)]
pub(crate) struct KohyaFolders {
    /// The folder that holds those folders; a relative path begins at the workflow's folder.
    #[input(host_list = "folder")]
    folder: String,
    /// The same for regularisation images: pictures of the class without the subject. Empty: none.
    #[input(default = "")]
    regularisation: String,
}

impl TypedNode for KohyaFolders {
    const ID: &'static str = "KohyaFolders";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Folders of kohya";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset"];
    type Output = Arc<Dataset>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        fingerprint(ctx, constants, &["folder", "regularisation"], sd_scripts::folder_files)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let host = ctx.services::<Host>();
        let reg = self.regularisation.trim();
        let reg = (!reg.is_empty()).then(|| host.input_path(reg));
        let import = sd_scripts::read_folders(&host.input_path(&self.folder), reg.as_deref())?;
        import.dataset.notes.iter().for_each(|note| ctx.log(Level::Info, note));
        Ok(Arc::new(import.dataset))
    }
}
