//! Plugins in languages with an interpreter: the component is the interpreter with the author's code in it.
//!
//! A tool of the language makes it, of an exact version, because the helper in the kit is written for what it generates. It
//! is found in the program's own cache, where setting up puts it, or on the path.

use crate::{Making, Project};
use anyhow::{Context, Result, bail, ensure};
use compile::{check, output};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The world that a plugin's component is made for, in its own kit.
pub(crate) const WORLD: &str = "this-plugin";

/// One such language.
pub(crate) struct Interpreted {
    pub(crate) name: &'static str,
    /// What the author writes.
    pub(crate) source: &'static str,
    /// The helper in the kit: file and text.
    pub(crate) helper: (&'static str, &'static str),
    /// Files that building writes into the kit, with `@ID@` and `@VERSION@` from the manifest.
    entries: &'static [(&'static str, &'static str)],
    /// The tool that makes components.
    tool: &'static str,
    version: &'static str,
    /// Where the tool lies in its own folder.
    program: &'static str,
    /// What a user types to have it on the path.
    by_hand: &'static str,
    install: fn(&Path) -> Result<()>,
    /// Fills in the arguments; the last is the file to make.
    arguments: fn(&mut Command, &Project, &Path),
}

impl std::fmt::Debug for Interpreted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

pub(crate) const LANGUAGES: [&Interpreted; 2] = [&PYTHON, &JS];

pub(crate) static PYTHON: Interpreted = Interpreted {
    name: "Python",
    source: "src/plugin.py",
    helper: ("anagama.py", include_str!("../templates/python/anagama.py")),
    entries: &[
        ("anagama_manifest.py", "ID = \"@ID@\"\nVERSION = \"@VERSION@\"\n"),
        ("entry.py", "import plugin\nfrom anagama import glue\n\nglobals().update(glue(plugin))\n"),
    ],
    tool: "componentize-py",
    version: "0.25.1",
    program: "bin/componentize-py",
    by_hand: "pip install componentize-py==0.25.1",
    install: |folder| {
        check(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let pip = folder.join("bin/pip");
        check(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", "componentize-py==0.25.1"]))
    },
    arguments: |command, project, out| {
        command.args(["-d", "kit/wit", "-w", WORLD, "componentize", "entry", "-p", "src", "-p", "kit"]);
        // What `pip install --target lib` put there.
        if project.folder.join("lib").is_dir() {
            command.args(["-p", "lib"]);
        }
        command.arg("-o").arg(out);
    },
};

pub(crate) static JS: Interpreted = Interpreted {
    name: "JavaScript",
    source: "src/plugin.js",
    helper: ("anagama.js", include_str!("../templates/js/anagama.js")),
    entries: &[(
        "entry.js",
        "import plugin from \"../src/plugin.js\";\nimport { glue } from \"./anagama.js\";\n\nexport const { describe, \
         captioner, datasetSource, tagFilter, evaluator, node } = glue(plugin, \"@ID@\", \"@VERSION@\");\n",
    )],
    tool: "componentize-qjs",
    version: "0.4.5",
    program: "node_modules/.bin/componentize-qjs",
    by_hand: "npm install -g componentize-qjs@0.4.5",
    install: |folder| {
        std::fs::create_dir_all(folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(folder);
        check(npm.arg("componentize-qjs@0.4.5"))
    },
    arguments: |command, _, out| {
        // Without the asynchronous half of the component model, which hosts of the contract 0.1 do not have.
        command
            .args(["--sync", "--module-root", ".", "--wit", "kit/wit", "-n", WORLD, "--js", "kit/entry.js", "-o"])
            .arg(out);
    },
};

/// The tool for a language (`python`, `js`), found or, with `set_up`, installed.
///
/// # Errors
/// It is not there, with what to do; or it cannot be installed.
pub fn tool(lang: crate::Lang, making: &Making) -> Result<PathBuf> {
    match lang {
        crate::Lang::Python => PYTHON.find(making),
        crate::Lang::Js => JS.find(making),
        crate::Lang::Rust | crate::Lang::C => bail!("{} needs no tool of this kind", lang.word()),
    }
}

impl Interpreted {
    fn find(&self, making: &Making) -> Result<PathBuf> {
        let folder = making.tools.join(format!("{}-{}", self.tool, self.version));
        let own = folder.join(self.program);
        if own.is_file() {
            return Ok(own);
        }
        let path = std::env::split_paths(&making.programs.path).map(|p| p.join(self.tool)).find(|p| p.is_file());
        let mut found = String::new();
        if let Some(path) = path {
            // The one for JavaScript does not tell its version.
            match output(Command::new(&path).arg("--version")) {
                Some(said) if !said.ends_with(self.version) => found = format!(" ({} is {said})", path.display()),
                _ => return Ok(path),
            }
        }
        ensure!(
            making.set_up,
            "no {} {} for plugins in {}{found}; `anagama plugin build --set-up` installs it into {}, or do: {}",
            self.tool,
            self.version,
            self.name,
            folder.display(),
            self.by_hand
        );
        eprintln!("setting up: {} {} in {}", self.tool, self.version, folder.display());
        let installed = (self.install)(&folder).and_then(|()| match own.is_file() {
            true => Ok(()),
            false => bail!("{}: not there afterwards", own.display()),
        });
        if let Err(e) = installed {
            // A half of it would be taken for the whole the next time.
            let _ = std::fs::remove_dir_all(&folder);
            return Err(e).with_context(|| format!("cannot install {}; by hand: {}", self.tool, self.by_hand));
        }
        Ok(own)
    }

    /// Makes the component in `dist`.
    pub(crate) fn build(&self, project: &Project, making: &Making) -> Result<PathBuf> {
        let manifest = &project.manifest;
        let name = manifest.component.as_deref();
        let name =
            name.with_context(|| format!("plugin.toml: plugins in {} are components: add `component`", self.name))?;
        let tool = self.find(making)?;
        for (file, text) in self.entries {
            let text = text.replace("@ID@", &manifest.id).replace("@VERSION@", &manifest.version);
            compile::write(&project.folder.join("kit").join(file), text.as_bytes())?;
        }
        let (dist, out) = (project.dist(), project.dist().join(name));
        std::fs::create_dir_all(&dist).with_context(|| dist.display().to_string())?;
        // A running host may read the old one, and a failed build leaves it as it was.
        let new = dist.join(format!(".{name}.new"));
        let mut build = Command::new(&tool);
        build.current_dir(&project.folder);
        // Packages of whatever environment the author is in are no part of the plugin.
        build.env("VIRTUAL_ENV", project.folder.join("kit"));
        (self.arguments)(&mut build, project, &new);
        let made = run(&mut build).and_then(|()| Ok(std::fs::rename(&new, &out)?));
        if made.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        made.with_context(|| format!("{}: cannot be made into a component", self.source))?;
        Ok(out)
    }
}

/// Runs quietly; what it said is part of the error.
fn run(command: &mut Command) -> Result<()> {
    let shown = compile::show(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let said = [output.stderr, output.stdout].map(|b| String::from_utf8_lossy(&b).trim().to_owned());
        bail!("`{shown}` failed ({})\n{}", output.status, said.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lang;

    #[test]
    fn a_missing_tool_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let programs = compile::Programs { cargo: "cargo".into(), path: dir.path().into() };
        let tools = dir.path().join("tools");
        let making = Making { programs, target: None, native: false, set_up: false, cc: "cc".into(), tools };
        for (lang, tool) in
            [(Lang::Python, "pip install componentize-py"), (Lang::Js, "npm install -g componentize-qjs")]
        {
            let e = super::tool(lang, &making).unwrap_err().to_string();
            assert!(e.contains(tool) && e.contains("--set-up"), "{e}");
        }
        assert!(super::tool(Lang::C, &making).is_err());
    }

    #[test]
    fn versions_are_named_the_same_everywhere() {
        for lang in LANGUAGES {
            assert!(lang.by_hand.contains(lang.version), "{lang:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_a_tool_says_is_part_of_the_error_and_the_old_component_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = crate::create(loader::Kind::Captioner, "me.x", Lang::Python, dir.path(), None).unwrap();
        let program = dir.path().join("tools/componentize-py-0.25.1/bin/componentize-py");
        compile::write(&program, b"#!/bin/sh\necho 'NameError: nowhere' >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        compile::write(&folder.join("dist/x.wasm"), b"old").unwrap();
        let programs = compile::Programs { cargo: "cargo".into(), path: dir.path().into() };
        let tools = dir.path().join("tools");
        let making = Making { programs, target: None, native: false, set_up: false, cc: "cc".into(), tools };
        let e = format!("{:#}", crate::build(&Project::open(&folder).unwrap(), &making).unwrap_err());
        assert!(e.contains("src/plugin.py") && e.contains("NameError: nowhere"), "{e}");
        assert_eq!(std::fs::read(folder.join("dist/x.wasm")).unwrap(), b"old");
        assert!(std::fs::read_to_string(folder.join("kit/anagama_manifest.py")).unwrap().contains("me.x"));
    }
}
