//! `anagama convert`: a workflow of the editor as API-format JSON.

use super::read_json;
use crate::cli::Convert;
use crate::clock::sending;
use crate::exit::{Exit, Fail, invalid};
use crate::host::Host;
use anyhow::{Context, anyhow};
use graph::Workflow;
use graph::ui::{FromCatalog, ObjectInfo, is_ui, to_api};
use std::path::Path;

pub(crate) fn convert(args: &Convert, config: Option<&Path>) -> Result<Exit, Fail> {
    let file = Some(args.workflow.as_path()).filter(|p| p.as_os_str() != "-");
    let (name, workflow) = read_json(file)?;
    let converted = if is_ui(&workflow) {
        match &args.object_info {
            Some(info) => {
                let (name, info) = read_json(Some(info))?;
                let info = ObjectInfo::new(info).map_err(|e| invalid(anyhow!("{name}: {e}")))?;
                to_api(&workflow, &info, &sending())
            }
            None => {
                let host = Host::open(config, file, false)?;
                to_api(&workflow, &FromCatalog(&host.registry), &sending())
            }
        }
        .context(name)
        .map_err(invalid)?
    } else {
        Workflow::from_json(workflow).context(name).map_err(invalid)?.to_json()
    };
    let text = serde_json::to_string_pretty(&converted)?;
    println!("{text}");
    Ok(Exit::Ok)
}
