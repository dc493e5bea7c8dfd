//! Manifests, captions and prompts that are almost right: read or refused with words, never a panic. How a case is had
//! again says `plugin_test::fuzz`.

use loader::Manifest;
use plugin_test::fuzz;
use std::path::Path;
use tests::root;

fn manifests() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for folder in ["plugins", "tests/guests", "tests/plugins"] {
        let folders = std::fs::read_dir(root().join(folder)).unwrap();
        files.extend(folders.map(|e| e.unwrap().path().join("plugin.toml")).filter(|f| f.is_file()));
    }
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    files.iter().map(|f| std::fs::read(f).unwrap()).collect()
}

#[test]
fn odd_manifests_are_read_or_refused() {
    let real = manifests();
    let (mut read, mut refused) = (0, 0);
    fuzz::cases(
        10_000,
        |random| {
            let mut text = random.one(&real).clone();
            if random.next(2) == 0 {
                fuzz::shake(random, &mut text);
            }
            let mut lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
            for _ in 0..random.next(3) {
                let at = random.next(lines.len().max(1));
                let Some(line) = lines.get_mut(at) else { continue };
                match (random.next(4), line.split_once('=')) {
                    (0, Some((key, _))) => *line = format!("{key}= {:?}", fuzz::text(random, &["../up.wasm", "a.b"])),
                    (1, Some((key, _))) => *line = format!("{key}= {}", fuzz::odd(random)),
                    (2, _) => drop(lines.remove(at)),
                    _ => {
                        let again = line.clone();
                        lines.insert(at, again);
                    }
                }
            }
            lines.join("\n")
        },
        |text| match Manifest::parse(text) {
            Ok(m) => {
                read += 1;
                assert!(m.id.contains('.') && m.id.len() <= 100, "{}", m.id);
                for file in m.component.iter().chain(m.native.values()) {
                    let own = Path::new(file).components().count() == 1 && !file.contains('/') && file != "..";
                    assert!(own, "{file:?} is no file of the plugin's own folder");
                }
                assert!(m.wit.starts_with("anagama:plugin@0.1."), "{}", m.wit);
            }
            Err(why) => {
                refused += 1;
                assert!(!why.trim().is_empty());
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(read > 500 && refused > 500, "{read} read, {refused} refused");
    }
}

#[test]
fn odd_captions_are_tags_or_one_line_of_text() {
    let real = [
        "1girl, solo, long hair",
        "She waits.\r\nThe rain, it falls on her.\n",
        "\u{feff}a photo of a small brown dog",
    ];
    fuzz::cases(
        10_000,
        |random| fuzz::text(random, &real),
        |caption| {
            let found = data::captions::parse(caption);
            let fine = |name: &str| !name.is_empty() && name == name.trim() && !name.contains([',', '\n']);
            assert!(found.tags.iter().all(|t| fine(&t.name)), "{found:?}");
            assert!(found.text.iter().all(|t| !t.contains('\n') && t == t.trim()), "{found:?}");
            assert!(found.text.is_none() || found.tags.is_empty());
            let joined = data::captions::join(&found);
            assert!(!joined.contains('\n') && joined.len() <= caption.len() * 2, "{joined:?}");
        },
    );
}

#[test]
fn odd_prompts_have_parts_with_weights_or_are_refused() {
    let real = [
        "masterpiece, (red hair:1.3), ((hat))",
        "[a\\(b\\)] BREAK (c:0.5)",
        "embedding:x (embedding:y:1.2), <lora:a:1>",
    ];
    for dialect in models::prompt::DIALECTS {
        let mut read = 0;
        fuzz::cases(
            10_000,
            |random| fuzz::text(random, &real),
            |prompt| match (dialect.parse)(prompt) {
                Ok(parts) => {
                    read += 1;
                    assert!(parts.iter().all(|(_, weight)| weight.is_finite()), "{parts:?}");
                    let length: usize = parts.iter().map(|(text, _)| text.len()).sum();
                    assert!(length <= prompt.len(), "{parts:?}");
                }
                Err(why) => assert!(!why.to_string().is_empty()),
            },
        );
        if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
            assert!(read > 5000, "{}: {read} of 10000 were read", dialect.name);
        }
    }
}
