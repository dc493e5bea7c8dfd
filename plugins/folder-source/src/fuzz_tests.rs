//! Lists and dataset files that are almost right: refused with words, or read the same way each time. See
//! `plugin_test::fuzz`.

use super::*;
use plugin_test::{FakeHost, fuzz, open_dataset_source};
use serde_json::{Value, json};

const LISTS: [(&str, &str); 4] = [
    (
        "metadata.jsonl",
        "{\"file_name\": \"1.png\", \"text\": \"hat, coat\"}\n{\"file_name\": \"a/2.png\", \"text\": null}\n",
    ),
    ("metadata.csv", "file_name,text\n1.png,\"hat, coat\"\na/2.png,sea\n"),
    (
        "set.toml",
        "[[datasets]]\nflip_aug = true\n[[datasets.subsets]]\nimage_dir = \"a\"\nmetadata_file = \"m.json\"\n",
    ),
    ("m.json", "{\"2\": {\"caption\": \"A hat.\", \"tags\": \"hat\"}}"),
];

/// A list as pyarrow writes it.
fn parquet() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/columns/samples/snappy.parquet")).unwrap()
}

fn read(changed: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let mut host = FakeHost::new().file("f", "1.png", b"").file("f", "a/2.png", b"");
    if changed == "metadata.parquet" {
        host =
            ["a/1.png", "2.png", "3.png", "ä4.png", "5.png"].iter().fold(FakeHost::new(), |h, p| h.file("f", p, b""));
        host = host.file("f", changed, bytes);
    }
    let toml = changed == "set.toml" || changed == "m.json";
    for (name, text) in LISTS {
        let bytes = if name == changed { bytes } else { text.as_bytes() };
        if name == changed || toml && !name.starts_with("metadata") {
            host = host.file("f", name, bytes);
        }
    }
    let _host = host.install();
    let settings: Value = json!({
        "folder": "f", "captions": "optional", "dataset_file": if toml { "set.toml" } else { "" },
    });
    let mut source: FolderSource = open_dataset_source(settings)?;
    Ok(source.next_page(None, 100)?.items.into_iter().map(|i| format!("{} {:?}", i.id, i.annotation)).collect())
}

#[test]
fn odd_lists_are_refused_or_read_the_same_way_each_time() {
    let (mut done, mut refused) = (0, 0);
    fuzz::cases(
        3000,
        |random| {
            if random.next(5) == 0 {
                let mut bytes = parquet();
                fuzz::shake(random, &mut bytes);
                return ("metadata.parquet", bytes);
            }
            let (name, text) = *random.one(&LISTS);
            let mut bytes = text.as_bytes().to_vec();
            if random.next(2) == 0 {
                bytes = fuzz::body(random, &[bytes]);
            } else {
                fuzz::shake(random, &mut bytes);
            }
            (name, bytes)
        },
        |(name, bytes)| match (read(name, bytes), read(name, bytes)) {
            (Ok(first), Ok(again)) => {
                done += 1;
                assert_eq!(first, again);
            }
            (Err(first), Err(again)) => {
                refused += 1;
                assert!(!first.message.is_empty() && first.message == again.message, "{first:?}");
            }
            (first, again) => panic!("{first:?}, then {again:?}"),
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(done > 100 && refused > 100, "{done} done, {refused} refused");
    }
}
