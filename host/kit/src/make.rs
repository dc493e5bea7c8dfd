//! `anagama plugin build`: from sources to `dist`.

use crate::Project;
use crate::project::{MANIFEST, Sources};
use anyhow::{Context, Result, bail, ensure};
use compile::{Programs, TARGET, Toolchain, check, copy, library};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How to build.
#[derive(Clone, Debug)]
pub struct Making {
    pub programs: Programs,
    /// Where compilers put what they make; none: `target` in the plugin's folder.
    pub target: Option<PathBuf>,
    /// Build the native library of a Rust plugin too.
    pub native: bool,
    /// Install what is missing to compile components.
    pub set_up: bool,
    /// The C compiler.
    pub cc: OsString,
    /// Where setting up puts the tools for Python and JavaScript.
    pub tools: PathBuf,
}

/// Builds a plugin into its `dist` folder; returns the files there, the manifest first.
///
/// # Errors
/// No compiler, or it fails.
pub fn build(project: &Project, making: &Making) -> Result<Vec<PathBuf>> {
    let dist = project.dist();
    let mut made = vec![dist.join(MANIFEST)];
    match project.sources()? {
        Sources::Rust => {
            if project.manifest.component.is_some() {
                made.push(component(project, making)?);
            }
            if making.native || project.manifest.component.is_none() {
                made.push(native(project, making)?);
            }
        }
        Sources::C => made.push(c_library(project, making)?),
        Sources::Interpreted(lang) => made.push(lang.build(project, making)?),
    }
    copy(&project.folder.join(MANIFEST), &made[0])?;
    Ok(made)
}

/// Compiles for wasm, and wraps.
fn component(project: &Project, making: &Making) -> Result<PathBuf> {
    let name = project.manifest.component.as_deref().unwrap_or_default();
    // Of this compiler alone: the native one has other files under the same names.
    let target = target(project, making).join("component");
    let mut build = Toolchain::find(making.set_up)?.build(&making.programs, &project.folder, &target);
    check(build.args(["--release", "--lib"]))?;
    let core = target.join(TARGET).join("release").join(name);
    let module = std::fs::read(&core).with_context(|| {
        format!(
            "{}: not built; `component` in {MANIFEST} is the library's name in Cargo.toml, with `_` for `-`, and `.wasm`",
            core.display()
        )
    })?;
    let out = project.dist().join(name);
    compile::write(&out, &compile::wrap(&module).with_context(|| core.display().to_string())?)?;
    Ok(out)
}

/// The name of the library for this machine, as the manifest has it.
fn native_name(project: &Project) -> Result<&str> {
    project.manifest.native_here().with_context(|| {
        let stem = project.manifest.component.as_deref().and_then(|c| c.strip_suffix(".wasm")).unwrap_or("plugin");
        format!(
            "{MANIFEST} names no library for this machine; add\n\n[native]\n{} = \"{}\"\n",
            loader::NATIVE_TARGET,
            library(stem)
        )
    })
}

fn native(project: &Project, making: &Making) -> Result<PathBuf> {
    let name = native_name(project)?;
    let target = target(project, making).join("native");
    let mut build = Command::new(&making.programs.cargo);
    build.current_dir(&project.folder).args(["build", "--release", "--lib", "--target-dir"]).arg(&target);
    check(&mut build)?;
    let out = project.dist().join(name);
    copy(&target.join("release").join(name), &out)?;
    Ok(out)
}

/// C has no bindings for components in this kit yet, so it is the native table that a C plugin fills.
fn c_library(project: &Project, making: &Making) -> Result<PathBuf> {
    ensure!(
        project.manifest.component.is_none(),
        "{MANIFEST} asks for a component, but plugins in C are built as native libraries only; remove `component`"
    );
    let name = native_name(project)?;
    let out = project.dist().join(name);
    std::fs::create_dir_all(project.dist()).with_context(|| project.dist().display().to_string())?;
    // A running host may have the old one open.
    let new = project.dist().join(format!(".{name}.new"));
    let mut build = Command::new(&making.cc);
    build.current_dir(&project.folder).args(["-std=c11", "-O2", "-Wall", "-fPIC", "-shared", "-fvisibility=hidden"]);
    build.args(["-I", "kit", "-o"]).arg(&new).args(project.c_files()).arg("-lm");
    let built = check(&mut build).and_then(|()| Ok(std::fs::rename(&new, &out)?));
    if let Err(e) = built {
        let _ = std::fs::remove_file(&new);
        if missing(&making.cc) {
            bail!("no C compiler: `{}` does not start; install one, or name it in CC", making.cc.display());
        }
        return Err(e);
    }
    Ok(out)
}

fn missing(program: &OsStr) -> bool {
    compile::output(Command::new(program).arg("--version")).is_none()
}

fn target(project: &Project, making: &Making) -> PathBuf {
    let own = project.folder.join("target");
    making.target.as_deref().map_or(own, |t: &Path| project.folder.join(t))
}
