//! Reference pages are printed by the program; the committed copy must be the same. `ANAGAMA_BLESS=1` writes it anew.

use tests::{Anagama, root};

#[test]
fn the_page_of_nodes_is_what_the_program_prints() {
    is_printed("docs/nodes.md", &["nodes", "--builtin", "--markdown"]);
}

#[test]
fn the_page_of_models_is_what_the_program_prints() {
    is_printed("docs/models.md", &["models", "formats"]);
}

#[test]
fn the_page_of_interfaces_is_what_the_program_prints() {
    is_printed("docs/interfaces.md", &["plugin", "interfaces"]);
}

/// A committed page against what a command prints.
fn is_printed(page: &str, arguments: &[&str]) {
    let printed = Anagama::new(arguments).run().expect(0).stdout();
    let file = root().join(page);
    if std::env::var_os("ANAGAMA_BLESS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(printed == committed, "{page} is out of date; run the test with ANAGAMA_BLESS=1 and read the difference");
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_help() {
    let help = Anagama::new(["--help"]).run().expect(0).stdout();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for code in ["0", "1", "2", "3", "130"] {
        let row = format!("| `{code}` |");
        assert!(readme.contains(&row), "README.md has no row `{row}`");
        assert!(help.lines().any(|l| l.trim_start().starts_with(&format!("{code} "))), "--help lacks exit code {code}");
    }
}
