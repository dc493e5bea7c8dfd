//! Files that pyarrow wrote (`tests/peers/make_parquet.py`), whole and broken.

use super::*;
use plugin_test::fuzz;

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/samples/{name}.parquet", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn text(text: &str) -> Value {
    Value::Bytes(text.into())
}

fn list(all: &[Option<&str>]) -> Value {
    Value::List(all.iter().map(|t| t.map(|t| t.as_bytes().to_vec())).collect())
}

/// All values of a column.
fn column(bytes: Vec<u8>, name: &str) -> Result<Vec<Value>, String> {
    let table = Table::open(bytes)?;
    let leaf = table.texts(name)?.clone();
    table.read(&leaf).collect()
}

#[test]
fn what_pyarrow_wrote_is_read_in_every_form() {
    for name in ["plain", "snappy", "gzip"] {
        let table = Table::open(file(name)).unwrap();
        assert_eq!((table.rows(), table.names()), (5, vec!["n", "objects", "file_name", "text", "tags", "size"]));
        let of = |column_name| column(file(name), column_name).unwrap();
        assert_eq!(of("file_name"), ["a/1.png", "2.png", "3.png", "ä4.png", "5.png"].map(text), "{name}");
        let girl = text("A girl waits in the rain.");
        assert_eq!(of("text"), [girl, text("hat, coat"), Value::Null, text("hat, coat"), text("")], "{name}");
        let tags = [
            list(&[Some("hat"), Some("red coat")]),
            list(&[]),
            Value::Null,
            list(&[Some("sea"), None]),
            list(&[Some("hat")]),
        ];
        assert_eq!(of("tags"), tags, "{name}");
    }
}

#[test]
fn many_pages_and_groups_are_one_column() {
    let count = 1200;
    let of = |name| column(file("many"), name).unwrap();
    let texts = of("text");
    for (n, value) in texts.iter().enumerate() {
        let expected = if n % 7 == 0 { Value::Null } else { text(&format!("caption {}", n % 50)) };
        assert_eq!(*value, expected, "row {n}");
    }
    let names = of("file_name");
    assert!(
        names
            .iter()
            .enumerate()
            .all(|(n, v)| matches!(v, Value::Bytes(b) if b.ends_with(format!("-{n}.png").as_bytes())))
    );
    let tags = of("tags");
    for (n, value) in tags.iter().enumerate() {
        let all: Vec<String> = (0..n % 4).map(|k| format!("tag {k}")).collect();
        assert_eq!(*value, list(&all.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>()), "row {n}");
    }
    assert_eq!([texts.len(), names.len(), tags.len()], [count; 3]);
    // From any row on.
    let table = Table::open(file("many")).unwrap();
    for name in ["text", "tags"] {
        let (leaf, all) = (table.texts(name).unwrap(), of(name));
        for from in [0, 1, 449, 450, 451, 900, 1199, 1200, 5000] {
            let mut rows = table.read(leaf);
            rows.skip_rows(from).unwrap();
            let rest: Vec<Value> = rows.map(Result::unwrap).collect();
            assert_eq!(rest, all.get(from as usize..).unwrap_or_default(), "{name} from {from}");
        }
    }
}

#[test]
fn parts_of_records_are_columns_of_their_own() {
    let table = Table::open(file("images")).unwrap();
    assert_eq!(table.texts("image").unwrap_err(), "expected texts, found records of bytes, path");
    let parts = table.parts("image");
    assert!(parts.iter().all(|p| p.is_single() && p.readable().is_ok()));
    let bytes: Vec<Value> = table.read(parts[0]).map(Result::unwrap).collect();
    assert!(matches!(&bytes[0], Value::Bytes(b) if b.starts_with(b"\x89PNG")) && bytes[2] == Value::Null);
    let paths: Vec<Value> = table.read(parts[1]).map(Result::unwrap).collect();
    assert_eq!(paths, ["001.png", "002.png", "elsewhere.png"].map(text));
}

#[test]
fn what_is_not_read_is_named() {
    let e = |name: &str, of: &str| column(file(name), of).unwrap_err();
    assert_eq!(e("plain", "n"), "expected texts, found numbers (INT64)");
    assert_eq!(e("plain", "size"), "expected texts, found numbers (DOUBLE)");
    assert_eq!(e("plain", "objects"), "expected texts, found records of element, element");
    assert_eq!(e("plain", "gone"), "no column `gone`");
    let zstd = e("zstd", "text");
    assert!(zstd.contains("packed by Zstandard") && zstd.contains("compression=\"snappy\""), "{zstd}");
    assert!(e("delta", "text").contains("the encoding DELTA_BYTE_ARRAY"));
    assert!(column(file("delta"), "file_name").is_ok(), "the other columns are read");
}

#[test]
fn broken_files_have_messages() {
    let whole = file("snappy");
    let cut = |to: usize| whole[..to].to_vec();
    let footer = |length: u32| {
        let mut bytes = whole.clone();
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let mut secret = whole.clone();
    let end = secret.len();
    secret[end - 4..].copy_from_slice(b"PARE");
    for (bytes, part) in [
        (Vec::new(), "too short"),
        (b"PAR1".to_vec(), "cut off"),
        (b"PAR1PAR1".to_vec(), "cut off"),
        (b"{\"file_name\": \"1.png\"}".to_vec(), "no Parquet file"),
        (cut(whole.len() - 1), "cut off"),
        (cut(whole.len() / 2), "cut off"),
        (footer(u32::MAX), "would have 4294967295 bytes"),
        (footer(whole.len() as u32), "would have"),
        (footer(0), "damaged: it ends early"),
        (footer(7), "damaged"),
        (secret, "encrypted"),
    ] {
        let e = Table::open(bytes).err().unwrap();
        assert!(e.contains(part), "{part} not in {e}");
    }
}

#[test]
fn sizes_and_counts_of_strangers_are_not_believed() {
    // Each number of the headers and the footer becomes a huge one in turn: a varint of all bits stands where one of
    // few did. None may cost room or time.
    for name in ["plain", "snappy", "gzip"] {
        let whole = file(name);
        for at in 4..whole.len() - 8 {
            let mut bytes = whole.clone();
            let end = bytes.len().min(at + 9);
            bytes[at..end].fill(0xff);
            for column_name in ["text", "tags"] {
                if let Err(e) = column(bytes.clone(), column_name) {
                    assert!(!e.is_empty() && e.len() < 500, "{e}");
                }
            }
        }
    }
}

#[test]
fn changed_files_are_refused_or_read_the_same_way_each_time() {
    let files: Vec<Vec<u8>> = ["plain", "snappy", "gzip", "images", "many"].iter().map(|n| file(n)).collect();
    let (mut read, mut refused) = (0, 0);
    fuzz::cases(
        2000,
        |random| {
            let mut bytes = random.one(&files).clone();
            fuzz::shake(random, &mut bytes);
            bytes
        },
        |bytes| {
            for name in ["file_name", "text", "tags"] {
                let (first, again) = (column(bytes.clone(), name), column(bytes.clone(), name));
                assert_eq!(first, again);
                read += usize::from(first.is_ok());
                refused += usize::from(first.is_err());
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
    }
}
