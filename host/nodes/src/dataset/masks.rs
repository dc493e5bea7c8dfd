use super::fingerprint;
use crate::Host;
use data::{Dataset, sd_scripts};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Gives the pictures of a data set masks: white counts in the loss, black does not. They take effect with the trainer's
/// setting `masked_loss`.
#[derive(Inputs)]
pub(crate) struct DatasetMasks {
    /// The data set.
    dataset: Arc<Dataset>,
    /// A folder of masks with the names of the pictures, whatever their endings; a relative path begins at the
    /// workflow's folder.
    #[input(host_list = "folder")]
    folder: String,
    /// What to do with pictures without a mask: stop, or count them whole.
    #[input(default = "stop", options = ["stop", "count whole"])]
    on_missing: String,
}

impl TypedNode for DatasetMasks {
    const ID: &'static str = "DatasetMasks";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Masks for a dataset";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset"];
    type Output = Arc<Dataset>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        fingerprint(ctx, constants, &["folder"], sd_scripts::mask_files)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let folder = ctx.services::<Host>().input_path(&self.folder);
        let required = self.on_missing == "stop";
        Ok(Arc::new(sd_scripts::with_masks(&self.dataset, &folder, required)?))
    }
}
