//! The contract `anagama:plugin@0.1.0` is frozen: plugins that were made for it load for ever. Comments may change.

use sha2::{Digest, Sha256};
use tests::{Anagama, root};

/// Of all that `wit/` says, comments and blank lines left out. Never change it: additions are a new version in a folder of
/// its own, 0.1.1 or 0.2.0, beside this one.
const FROZEN: &str = "ef23fced76def710a63dada5e86f072a590ace72687a2bdd0e414c044dd715d6";

/// The lines that count, file by file in the order of names.
fn canonical() -> String {
    let mut files: Vec<_> = std::fs::read_dir(root().join("wit")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let mut text = String::new();
    for file in files {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            if !line.is_empty() {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[test]
fn the_contract_is_frozen() {
    let text = canonical();
    let found: String = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        found, FROZEN,
        "wit/ is frozen as 0.1.0: plugins that others built rely on every word of it. Add to a new version instead"
    );
}

#[test]
fn all_of_it_is_one_version() {
    for entry in std::fs::read_dir(root().join("wit")).unwrap() {
        let path = entry.unwrap().path();
        let first = std::fs::read_to_string(&path).unwrap();
        assert!(first.starts_with("package anagama:plugin@0.1.0;"), "{}", path.display());
    }
}

#[test]
fn a_plugin_from_the_first_day_is_installed_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("anagama.toml"), "plugins = [\"plugins\"]\n").unwrap();
    let run = |args: &[&str]| {
        let mut call = Anagama::new(args);
        for (name, folder) in [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache")] {
            call.command().env(name, dir.path().join(folder));
        }
        call.command().current_dir(dir.path());
        call.run()
    };
    let fixture = root().join("tests/fixtures/test.mean-colour-0.1.0.anagama");
    let said = run(&["plugin", "install", fixture.to_str().unwrap()]).expect(0).stdout();
    assert!(said.contains("installed test.mean-colour 0.1.0") && said.contains("asks for nothing"), "{said}");
    assert!(run(&["plugins", "list"]).expect(0).stdout().contains("test.mean-colour  0.1.0  wasm  captioner"));
    let again = run(&["plugin", "install", fixture.to_str().unwrap()]).expect(2).text();
    assert!(again.contains("installed already"), "{again}");

    // A manifest of the day after tomorrow, and one of yesterday.
    let manifest = dir.path().join("plugins/test.mean-colour/plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (version, says) in [("0.2.0", "this program is too old"), ("0.0.9", "the plugin is too old")] {
        std::fs::write(&manifest, text.replace("plugin@0.1.0", &format!("plugin@{version}"))).unwrap();
        let said = run(&["plugins", "list"]).text();
        assert!(said.contains(says), "{version}: {said}");
    }
    std::fs::write(&manifest, text).unwrap();
    run(&["plugin", "remove", "test.mean-colour"]).expect(0);
    assert!(run(&["plugins", "list"]).expect(0).stdout().contains("no plugins"));
}

#[test]
fn what_cannot_be_made_says_what_can() {
    let painter = Anagama::new(["plugin", "new", "painter", "x"]).run().expect(2).text();
    assert!(painter.contains("captioner, dataset-source, tag-filter, evaluator, node"), "{painter}");
    let c = Anagama::new(["plugin", "new", "evaluator", "x", "--lang", "c"]).run().expect(2).text();
    assert!(c.contains("no template for a evaluator in this language") && c.contains("captioner"), "{c}");
}
