//! Builds `anagama-gpu`: with the machine's CUDA toolkit if it has one, else with one put together from the packages that
//! NVIDIA publishes for Python, which need neither a graphics card nor a driver.

use crate::shell::{cargo, check, output};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The parts of CUDA that are needed to build. 13.0 throughout: what a newer compiler makes, a driver of that generation
/// (580) does not load.
const PACKAGES: &[&str] = &[
    "nvidia-cuda-nvcc==13.0.*",
    "nvidia-cuda-crt==13.0.*",
    "nvidia-nvvm==13.0.*",
    "nvidia-cuda-runtime==13.0.*",
    "nvidia-cuda-cccl==13.0.*",
    "nvidia-cublas==13.0.*",
    "nvidia-curand==10.4.0.*",
    "nvidia-cuda-nvrtc==13.0.*",
];

/// Libraries and the versions in their names; the linker wants names without.
const LIBRARIES: &[(&str, &str)] =
    &[("cublas", "13"), ("cublasLt", "13"), ("cudart", "13"), ("curand", "10"), ("nvrtc", "13")];

/// The oldest generation of cards that runs the result, as CUDA numbers them, unless `CUDA_COMPUTE_CAP` says otherwise:
/// 8.0 is Ampere; later ones compile the same code when they load it.
const OLDEST_CARD: &str = "80";

/// Builds the program; `release` as `cargo build --release` does.
pub(crate) fn run(root: &Path, release: bool) -> Result<()> {
    let mut build = cargo(root);
    // The whole workspace, as for `anagama`: other features of shared dependencies would build those a second time.
    build.args(["build", "--workspace", "--bin", "anagama-gpu", "--features", "app/cuda"]);
    if release {
        build.arg("--release");
    }
    if std::env::var_os("CUDA_COMPUTE_CAP").is_none() {
        build.env("CUDA_COMPUTE_CAP", OLDEST_CARD);
    }
    let installed = output(Command::new("nvcc").arg("--version"));
    if installed.is_some() {
        eprintln!("building with the CUDA toolkit of this machine");
    } else {
        let toolkit = toolkit(root)?;
        let (bin, lib) = (toolkit.join("bin"), toolkit.join("lib"));
        for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"] {
            build.env(name, &toolkit);
        }
        let before = |first: &[&Path], variable: &str| -> Result<OsString> {
            let old = std::env::var_os(variable).unwrap_or_default();
            let all = first.iter().map(|p| p.to_path_buf()).chain(std::env::split_paths(&old));
            Ok(std::env::join_paths(all.filter(|p| !p.as_os_str().is_empty()))?)
        };
        build.env("PATH", before(&[&bin], "PATH")?);
        build.env("LIBRARY_PATH", before(&[&lib, &lib.join("stubs")], "LIBRARY_PATH")?);
        // Where the program finds these libraries when it starts; the driver's own comes from the machine.
        build.env("ANAGAMA_CUDA_LIBRARIES", &lib);
    }
    eprintln!("building anagama-gpu; CUDA's kernels take about ten minutes the first time");
    check(&mut build)
}

/// The folder of a CUDA toolkit, put together if it is not there yet.
fn toolkit(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/cuda");
    let toolkit = folder.join("nvidia/cu13");
    let done = folder.join("complete");
    if done.is_file() {
        return Ok(toolkit);
    }
    eprintln!("setting up: no `nvcc` here, so CUDA 13.0 comes from {} Python packages (660 MB)", PACKAGES.len());
    let wheels = folder.join("wheels");
    fs::create_dir_all(&wheels).with_context(|| format!("cannot make `{}`", wheels.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]).arg(&wheels);
    check(pip.args(PACKAGES))?;
    for wheel in files(&wheels)? {
        check(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&folder))?;
    }
    for bin in [toolkit.join("bin"), toolkit.join("nvvm/bin")] {
        for program in files(&bin)? {
            make_executable(&program)?;
        }
    }
    let lib = toolkit.join("lib");
    link("lib", &toolkit.join("lib64"))?;
    for (name, version) in LIBRARIES {
        link(&format!("lib{name}.so.{version}"), &lib.join(format!("lib{name}.so")))?;
    }
    stub(root, &lib.join("stubs"))?;
    fs::remove_dir_all(&wheels)?;
    fs::write(&done, "")?;
    Ok(toolkit)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// A stand-in for the driver's library to link with: it has the names of all functions that are called and does nothing.
/// No package has it, because it comes with the driver.
fn stub(root: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let names = driver_functions(root)?;
    let source = folder.join("libcuda.c");
    let code: String = names.iter().map(|name| format!("int {name}(void) {{ return 999; }}\n")).collect();
    fs::write(&source, code)?;
    let mut compile = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compile.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]).arg(folder.join("libcuda.so")).arg(&source);
    check(&mut compile)?;
    link("libcuda.so", &folder.join("libcuda.so.1"))
}

/// The names of the driver's functions that cudarc, which candle calls CUDA through, declares.
fn driver_functions(root: &Path) -> Result<Vec<String>> {
    check(cargo(root).args(["fetch", "--quiet"]))?;
    let tree = output(cargo(root).args(["tree", "-p", "app", "--features", "cuda", "-i", "cudarc", "--depth", "0"]));
    let version =
        tree.and_then(|t| Some(t.lines().next()?.split_whitespace().nth(1)?.trim_start_matches('v').to_owned()));
    let version = version.context("`cargo tree` names no cudarc")?;
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let sources = home.join("registry/src");
    let registries = fs::read_dir(&sources).with_context(|| format!("cannot read `{}`", sources.display()))?;
    for registry in registries {
        let file = registry?.path().join(format!("cudarc-{version}/src/driver/sys/mod.rs"));
        if let Ok(text) = fs::read_to_string(&file) {
            return Ok(declared(&text));
        }
    }
    bail!("no source of cudarc {version} below {}", sources.display())
}

/// Names of the functions `cu…` that a source declares, each once.
fn declared(source: &str) -> Vec<String> {
    let mut names: Vec<String> = source
        .split("fn ")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| name.strip_prefix("cu").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_uppercase())))
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(unix)]
fn link(target: &str, at: &Path) -> Result<()> {
    if at.symlink_metadata().is_ok() {
        fs::remove_file(at)?;
    }
    std::os::unix::fs::symlink(target, at).with_context(|| format!("cannot make `{}`", at.display()))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn link(_: &str, _: &Path) -> Result<()> {
    bail!("install the CUDA toolkit 13.0, so that `nvcc` is found; only Linux gets one from here")
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_functions_are_found_once_each() {
        let source = "pub fn cuInit(flags: u32) -> CUresult;\n fn culib() {} fn cuMemAlloc_v2( fn cuInit(";
        assert_eq!(declared(source), ["cuInit", "cuMemAlloc_v2"]);
    }
}
