//! What computes: the CPU in `anagama`, the first NVIDIA card in `anagama-gpu`.

use crate::exit::{Fail, invalid};
use anyhow::{Context, anyhow};
use clap::ValueEnum;
use std::path::Path;
use std::process::Command;

/// What computes the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The processor
    Cpu,
    /// The first NVIDIA graphics card
    Cuda,
}

/// The program with CUDA, beside this one.
const GPU_PROGRAM: &str = "anagama-gpu";

/// What to compute on, given what was asked for and what this program was built for. Asked for a card that it was not
/// built for, it becomes the program that was, with the same arguments.
pub(crate) fn choose(asked: Option<Device>, built: Device) -> Result<Device, Fail> {
    match (asked, built) {
        (None, built) => Ok(built),
        (Some(Device::Cuda), Device::Cpu) => Err(invalid(hand_over())),
        (Some(asked), _) => Ok(asked),
    }
}

/// Runs the program beside this one in place of it. Returns only if that does not work.
fn hand_over() -> anyhow::Error {
    let own = match std::env::current_exe().context("this program does not find itself") {
        Ok(own) => own,
        Err(error) => return error,
    };
    let other = own.with_file_name(format!("{GPU_PROGRAM}{}", std::env::consts::EXE_SUFFIX));
    if !other.is_file() {
        return missing(&other);
    }
    start(Command::new(&other).args(std::env::args_os().skip(1)), &other)
}

fn missing(other: &Path) -> anyhow::Error {
    anyhow!("no {} to compute on a graphics card with; build it with `cargo xtask gpu` (docs/gpu.md)", other.display())
}

#[cfg(unix)]
fn start(command: &mut Command, other: &Path) -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    anyhow::Error::from(command.exec()).context(format!("{} cannot be started", other.display()))
}

#[cfg(not(unix))]
fn start(command: &mut Command, other: &Path) -> anyhow::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => anyhow::Error::from(error).context(format!("{} cannot be started", other.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_computes_on_what_it_was_built_for_unless_asked() {
        let choose = |asked, built| choose(asked, built).ok();
        assert_eq!(choose(None, Device::Cpu), Some(Device::Cpu));
        assert_eq!(choose(None, Device::Cuda), Some(Device::Cuda));
        assert_eq!(choose(Some(Device::Cpu), Device::Cuda), Some(Device::Cpu));
        assert_eq!(choose(Some(Device::Cuda), Device::Cuda), Some(Device::Cuda));
    }

    #[test]
    fn a_missing_program_says_how_to_build_it() {
        let text = missing(Path::new("/opt/anagama-gpu")).to_string();
        assert!(text.contains("/opt/anagama-gpu") && text.contains("cargo xtask gpu"), "{text}");
    }
}
