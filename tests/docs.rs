//! Reference pages are printed by the program; the committed copy must be the same. `ANAGAMA_BLESS=1` writes it anew.

use tests::{Anagama, root};

#[test]
fn the_page_of_nodes_is_what_the_program_prints() {
    let printed = Anagama::new(["nodes", "--builtin", "--markdown"]).run().expect(0).stdout();
    let file = root().join("docs/nodes.md");
    if std::env::var_os("ANAGAMA_BLESS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        printed == committed,
        "docs/nodes.md is out of date; run the test with ANAGAMA_BLESS=1 and read the difference"
    );
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
