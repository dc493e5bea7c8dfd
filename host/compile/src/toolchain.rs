//! Finds a way to compile for `wasm32-unknown-unknown`.
//!
//! In this order: a toolchain that has the target; Debian's `rustc-web`, `cargo-web` and `rust-web-src`, with which cargo
//! builds the standard library itself; and, where setting up is allowed, `rustup target add` and installing the Debian
//! packages.

use crate::shell::{check, output};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What components are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// The workspace's `rust-version`: 1.95.
const MINIMUM: u32 = 95;

/// What the environment says of programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The cargo to start.
    pub cargo: OsString,
    /// Where programs are looked for.
    pub path: OsString,
}

/// How to compile components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The workspace's own toolchain has the target.
    Own,
    /// Debian's compiler builds the standard library; the workspace's linker links.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// A way that is there already; with `set_up` one that can be made, which is announced first.
    ///
    /// # Errors
    /// There is none, with what to do by hand.
    pub fn find(set_up: bool) -> Result<Self> {
        if own_has_target() {
            return Ok(Self::Own);
        }
        if debian_is_usable() {
            return Self::debian();
        }
        if !set_up {
            bail!("no way to compile for {TARGET}; do one of these, or let --set-up do it:\n{}", by_hand());
        }
        eprintln!("setting up: `rustup target add {TARGET}`, because the toolchain lacks it");
        let added = Command::new("rustup").args(["target", "add", TARGET]).status();
        if added.is_ok_and(|s| s.success()) && own_has_target() {
            return Ok(Self::Own);
        }
        eprintln!("setting up: rustup could not; installing the Debian packages {}", PACKAGES.join(" "));
        install_packages()?;
        if !debian_is_usable() {
            bail!(
                "the installed Debian rustc cannot build for {TARGET}: expected 1.{MINIMUM} or newer with its sources"
            );
        }
        Self::debian()
    }

    fn debian() -> Result<Self> {
        let sysroot = sysroot("rustc").unwrap_or_default();
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let bundled = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
        let known = [bundled, "/usr/bin/rust-lld".into(), "/usr/bin/wasm-ld".into()];
        match known.into_iter().find(|p| p.exists()) {
            Some(linker) => Ok(Self::Debian { linker }),
            None => bail!(
                "no linker for {TARGET}: expected `rust-lld` in the toolchain or `/usr/bin/wasm-ld` (package lld)"
            ),
        }
    }

    /// A `cargo build` in `folder` for the target, without packages and profile. `target` is for this compiler alone:
    /// two would spoil each other's cache.
    pub fn build(&self, programs: &Programs, folder: &Path, target: &Path) -> Command {
        let mut command = match self {
            Self::Own => Command::new(&programs.cargo),
            Self::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        command.current_dir(folder).args(["build", "--target", TARGET, "--target-dir"]).arg(target);
        if let Self::Debian { linker } = self {
            let mut path = OsString::from("/usr/bin:");
            path.push(&programs.path);
            command
                .args(["-Zbuild-std=std,panic_abort"])
                .env("PATH", path)
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            // What cargo sets for us is about the other toolchain.
            for name in ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTFLAGS", "RUSTC_WRAPPER"] {
                command.env_remove(name);
            }
        }
        command
    }
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    output(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

fn own_has_target() -> bool {
    sysroot("rustc").is_some_and(|s| s.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn debian_is_usable() -> bool {
    let version = output(Command::new("/usr/bin/rustc").arg("--version").env_remove("RUSTUP_TOOLCHAIN"));
    let new_enough = version.as_deref().and_then(minor).is_some_and(|m| m >= MINIMUM);
    let source = sysroot("/usr/bin/rustc").map(|s| s.join("lib/rustlib/src/rust/library"));
    new_enough && Path::new("/usr/bin/cargo").exists() && source.is_some_and(|s| s.is_dir())
}

/// 96 of `rustc 1.96.0 (…)`.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

fn install_packages() -> Result<()> {
    let install = || {
        let mut command = Command::new("apt-get");
        command
            .args(["install", "-y", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive");
        check(&mut command)
    };
    if install().is_ok() {
        return Ok(());
    }
    // A fresh machine knows no packages before this.
    let updated = check(Command::new("apt-get").arg("update"));
    if let Err(e) = updated.and_then(|()| install()) {
        bail!("{e:#}\nno way to compile for {TARGET}; do one of these by hand:\n{}", by_hand());
    }
    Ok(())
}

fn by_hand() -> String {
    format!("  rustup target add {TARGET}\n  apt-get install {} (as root)", PACKAGES.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some(96));
        assert_eq!(minor("rustc 1.63.0 (4b91a6ea7 2022-08-08)"), Some(63));
        assert_eq!(minor("clang 14"), None);
    }
}
