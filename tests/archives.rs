//! Archives that are larger than what a plugin reads at once, in both forms and with the usual limits. The files are mostly
//! holes, which take no room and no time.

use data::{Media, SourceItem};
use loader::{CallContext, Form, Loader, LoaderConfig};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

const HOLE: u64 = 5 << 30;

fn picture(name: &str) -> Vec<u8> {
    std::fs::read(tests::root().join("examples/datasets/ohwx-character").join(name)).unwrap()
}

fn import(folder: &Path, form: Form, settings: &Value) -> Vec<SourceItem> {
    let dir = tempfile::tempdir().unwrap();
    let plugin = tests::install("plugins/archive-source", dir.path());
    let config = LoaderConfig {
        plugin_dirs: vec![dir.path().join("plugins")],
        cache_dir: dir.path().join("cache"),
        lock_file: dir.path().join("lock.json"),
        prefer_native: form == Form::Native,
        ..LoaderConfig::default()
    };
    if form == Form::Native {
        loader::approve(&config.lock_file, &plugin).unwrap();
    }
    let loader = Loader::new(config).unwrap();
    let plugin = loader.plugin("anagama.archive-source").unwrap();
    assert_eq!(plugin.form(), form);
    let call = CallContext { folders: [("f".to_owned(), folder.to_owned())].into(), ..CallContext::default() };
    let mut source = plugin.open_dataset_source(settings, call).unwrap();
    let (mut out, mut from) = (Vec::new(), None);
    loop {
        let page = source.next_page(from, 1).unwrap();
        out.extend(page.items);
        from = page.next;
        if from.is_none() {
            return out;
        }
    }
}

fn check(folder: &Path, expected: &[(&str, &[u8])]) {
    for form in [Form::Wasm, Form::Native] {
        let items = import(folder, form, &json!({"folder": "f", "max_unpacked": 65536}));
        let found: Vec<(&str, &[u8])> = items
            .iter()
            .map(|item| match &item.media {
                Media::Bytes(bytes) => (item.id.as_str(), bytes.as_slice()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(found == expected, "{form:?}: {:?}", found.iter().map(|(id, _)| id).collect::<Vec<_>>());
        assert_eq!(items[0].annotation.tags.len(), 2, "its caption");
    }
}

/// What local headers and the list say of a file that is not packed.
fn about(name: &str, data: &[u8], extra: u16) -> Vec<u8> {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
    }
    let mut out = vec![0; 8];
    out.extend([!crc, data.len() as u32, data.len() as u32].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([name.len() as u16, extra].iter().flat_map(|v| v.to_le_bytes()));
    out
}

#[test]
fn a_zip_of_several_gigabytes_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::create(dir.path().join("set.zip")).unwrap();
    let (one, two) = (picture("001.png"), picture("002.png"));
    let caption = b"hat, coat".as_slice();
    let mut list = Vec::new();
    for (name, data, at) in
        [("1.png", one.as_slice(), 0u64), ("1.txt", caption, 3 << 30), ("2.png", two.as_slice(), HOLE)]
    {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"PK\x03\x04\x2d\0").unwrap();
        file.write_all(&about(name, data, 0)).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file.write_all(data).unwrap();
        let far = u32::try_from(at).is_err();
        list.extend(b"PK\x01\x02\x2d\0\x2d\0");
        list.extend(about(name, data, if far { 12 } else { 0 }));
        list.extend([0; 10]);
        list.extend(u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
        list.extend(name.as_bytes());
        if far {
            list.extend([1, 0, 8, 0]);
            list.extend(at.to_le_bytes());
        }
    }
    let start = file.stream_position().unwrap();
    let long = start + list.len() as u64;
    list.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    list.extend([3, 3, long - start, start].iter().flat_map(|v| v.to_le_bytes()));
    list.extend(b"PK\x06\x07\0\0\0\0");
    list.extend(long.to_le_bytes());
    list.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\x03\0\x03\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    file.write_all(&list).unwrap();
    check(dir.path(), &[("set.zip/1.png", &one), ("set.zip/2.png", &two)]);
}

#[test]
fn a_tar_of_several_gigabytes_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::create(dir.path().join("set.tar")).unwrap();
    let one = picture("001.png");
    let mut at = 0;
    for (name, data, size) in [
        ("1.txt", b"hat, coat".as_slice(), 9),
        ("long.mp4", b"".as_slice(), HOLE),
        ("1.png", one.as_slice(), one.len() as u64),
    ] {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = b'0';
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&header).unwrap();
        file.write_all(data).unwrap();
        at += 512 + size.div_ceil(512) * 512;
    }
    file.set_len(at + 1024).unwrap();
    check(dir.path(), &[("set.tar/1.png", &one)]);
}
