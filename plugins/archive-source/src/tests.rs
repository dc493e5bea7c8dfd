//! Archives as programs make them, and as strangers do.

use super::*;
use flate2::Crc;
use flate2::write::{DeflateEncoder, GzEncoder};
use plugin_test::{FakeHost, fuzz, open_dataset_source};
use serde_json::{Value, json};
use std::io::Write;

/// An entry of a zip: name, contents, and what its list says wrongly: flags, method, size.
#[derive(Clone, Default)]
struct Zipped {
    name: Vec<u8>,
    data: Vec<u8>,
    flags: u16,
    method: Option<u16>,
    claimed: Option<u32>,
}

fn file(name: &str, data: &[u8]) -> Zipped {
    Zipped { name: name.into(), data: data.to_vec(), ..Zipped::default() }
}

fn zip(entries: &[Zipped]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (n, entry) in entries.iter().enumerate() {
        // Every other one as it is.
        let method = entry.method.unwrap_or(if n % 2 == 0 { 8 } else { 0 });
        let mut packed = DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&entry.data).unwrap();
        let packed = if method == 0 { entry.data.clone() } else { packed.finish().unwrap() };
        let mut crc = Crc::new();
        crc.update(&entry.data);
        let size = entry.claimed.unwrap_or(entry.data.len() as u32);
        let mut about = Vec::new();
        about.extend([entry.flags, method, 0, 0].iter().flat_map(|v| v.to_le_bytes()));
        about.extend([crc.sum(), packed.len() as u32, size].iter().flat_map(|v| v.to_le_bytes()));
        about.extend((entry.name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        let header = out.len() as u32;
        out.extend(b"PK\x03\x04\x14\0");
        out.extend(&about);
        out.extend(&entry.name);
        out.extend(packed);
        list.extend(b"PK\x01\x02\x14\0\x14\0");
        list.extend(&about);
        list.extend([0; 10]);
        list.extend(header.to_le_bytes());
        list.extend(&entry.name);
    }
    let start = out.len() as u32;
    out.extend(&list);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([entries.len() as u16; 2].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([list.len() as u32, start].iter().flat_map(|v| v.to_le_bytes()));
    out.extend([0, 0]);
    out
}

/// A zip in the form for more than 4 GiB (zip64), without packing.
fn long_zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let mut crc = Crc::new();
        crc.update(data);
        let (size, header) = (data.len() as u64, out.len() as u64);
        let about = |sizes: [u32; 2], extra: u16| {
            let mut about = [0, 0, 0, 0].iter().flat_map(|v: &u16| v.to_le_bytes()).collect::<Vec<u8>>();
            about.extend([crc.sum(), sizes[0], sizes[1]].iter().flat_map(|v| v.to_le_bytes()));
            about.extend([name.len() as u16, extra].iter().flat_map(|v| v.to_le_bytes()));
            about
        };
        out.extend(b"PK\x03\x04\x2d\0");
        out.extend(about([size as u32; 2], 0));
        out.extend(name.as_bytes());
        out.extend(*data);
        list.extend(b"PK\x01\x02\x2d\0\x2d\0");
        list.extend(about([u32::MAX; 2], 33));
        list.extend([0; 10]);
        list.extend(u32::MAX.to_le_bytes());
        list.extend(name.as_bytes());
        // Another kind of facts first, then sizes and place.
        list.extend([9, 0, 1, 0, 7, 1, 0, 24, 0]);
        list.extend([size, size, header].iter().flat_map(|v| v.to_le_bytes()));
    }
    let (start, count) = (out.len() as u64, entries.len() as u64);
    let long = start + list.len() as u64;
    out.extend(&list);
    out.extend(b"PK\x06\x06");
    out.extend(44u64.to_le_bytes());
    out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend([count, count, list.len() as u64, start].iter().flat_map(|v| v.to_le_bytes()));
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend(long.to_le_bytes());
    out.extend([1, 0, 0, 0]);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([0xff; 12]);
    out.extend([0, 0]);
    out
}

fn tar(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, data) in entries {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[156] = *kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(header);
        out.extend(*data);
        out.resize(out.len().div_ceil(512) * 512, 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// (id, tags, contents) of all items, in pages of `count`, each page by an instance of its own.
fn all(settings: &Value, count: u32) -> Result<Vec<(String, String, String)>> {
    let (mut out, mut from) = (Vec::new(), None);
    loop {
        let mut source: ArchiveSource = open_dataset_source(settings.clone())?;
        let page = source.next_page(from, count)?;
        for item in page.items {
            let tags: Vec<String> = item.annotation.tags.iter().map(|t| t.name.clone()).collect();
            let data = match item.media {
                Media::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Media::Url(url) => url,
                other => panic!("{other:?}"),
            };
            out.push((item.id, tags.join(", "), data));
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(out),
        }
    }
}

fn refused(name: &str, bytes: &[u8], more: Value) -> String {
    let _host = FakeHost::new().file("f", name, bytes).install();
    let mut settings = json!({"folder": "f"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all(&settings, 10).unwrap_err().message
}

fn usual() -> Vec<Zipped> {
    vec![
        file("ink/10.png", b"ten"),
        file("ink/10.txt", b"hat, coat"),
        file("ink/2.png", b"two"),
        file("__MACOSX/ink/2.png", b"fork"),
        file("ink/alone.txt", b"x"),
        file("readme.md", b"x"),
        Zipped { method: Some(0), ..file("ink/", b"") },
    ]
}

#[test]
fn archives_of_every_kind_are_read_in_order_and_from_any_page() {
    let entries = [("b/3.png", b'0', b"three".as_slice()), ("b", b'5', b""), ("b/3.caption", b'0', b"sea")];
    let long = "long/".repeat(40) + "4.png";
    let pax = format!("{} path={long}\n", long.len() + 10);
    let packed = tar(&[("x", b'x', pax.as_bytes()), ("cut", b'0', b"four"), ("5.png", b'0', b"five")]);
    let host = FakeHost::new()
        .file("f", "1.zip", &zip(&usual()))
        .file("f", "2.tar", &tar(&entries))
        .file("f", "10.tgz", &gzip(&packed))
        .file("f", "list.txt", b"x")
        .install();
    let rows = [
        ("1.zip/ink/2.png", "", "two"),
        ("1.zip/ink/10.png", "hat, coat", "ten"),
        ("2.tar/b/3.png", "sea", "three"),
        ("10.tgz/5.png", "", "five"),
    ];
    let mut rows: Vec<_> = rows.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
    rows.push((format!("10.tgz/{long}"), String::new(), "four".to_owned()));
    for count in [1, 2, 100] {
        assert_eq!(all(&json!({"folder": "f"}), count).unwrap(), rows, "pages of {count}");
    }
    let told: Vec<String> = host.logs().into_iter().map(|(_, text)| text).collect();
    assert!(told.contains(&"1.zip: left out 1 files that are not pictures: readme.md".to_owned()), "{told:?}");
    assert!(told.contains(&"1.zip: left out 1 captions without a picture: ink/alone.txt".to_owned()), "{told:?}");
    let only = all(&json!({"folder": "f", "names": "2.tar", "captions": "ignore"}), 9).unwrap();
    assert_eq!((only.len(), only[0].1.as_str()), (1, ""));
}

#[test]
fn zip_archives_in_the_form_for_large_ones_are_read() {
    let archive = long_zip(&[("a/1.png", b"one"), ("a/1.txt", b"hat"), ("2.png", b"two")]);
    let _host = FakeHost::new().file("f", "1.zip", &archive).install();
    let rows = all(&json!({"folder": "f"}), 1).unwrap();
    let rows: Vec<_> = rows.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(rows, [("1.zip/2.png", "", "two"), ("1.zip/a/1.png", "hat", "one")]);
    let place = archive.len() - 42;
    for (at, value, part) in [
        // The place of the list's end, what is there, how many entries there are, and where their list begins.
        (place + 8, u64::MAX, "damaged or cut off"),
        (place + 8, 3, "damaged or cut off"),
        (place - 24, u64::MAX, "at most 200000"),
        (place - 24, 4, "damaged or cut off"),
        (place - 8, u64::MAX, "damaged or cut off"),
    ] {
        let mut broken = archive.clone();
        broken[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let e = refused("1.zip", &broken, json!({}));
        assert!(e.contains(part), "{at} {value}: {e}");
    }
}

#[test]
fn what_is_no_picture_may_be_large() {
    let video = Zipped { claimed: Some(u32::MAX - 1), method: Some(0), ..file("a.mp4", b"x") };
    let archive = zip(&[file("1.png", b"one"), video]);
    let _host = FakeHost::new().file("f", "1.zip", &archive).install();
    let rows = all(&json!({"folder": "f", "max_unpacked": 65536, "max_ratio": 100_000}), 5);
    assert!(rows.unwrap_err().message.contains("unpacks to"), "a bomb is one in any case");
    let video = Zipped { method: Some(0), ..file("a.mp4", &vec![7; MAX_PICTURE as usize + 1]) };
    let archive = zip(&[file("1.png", b"one"), video]);
    let _host = FakeHost::new().file("f", "1.zip", &archive).install();
    assert_eq!(all(&json!({"folder": "f"}), 5).unwrap().len(), 1);
}

#[test]
fn a_list_of_addresses_gives_them_with_captions() {
    let list = b"\xef\xbb\xbf# a comment\nhttps://a.example/1.png\that, coat\r\n\nhttp://a.example/2.png\n";
    let _host = FakeHost::new().file("f", "list.txt", list).install();
    let rows = all(&json!({"folder": "f", "names": "list.txt"}), 1).unwrap();
    assert_eq!(
        rows.iter().map(|r| (r.0.as_str(), r.1.as_str())).collect::<Vec<_>>(),
        [("https://a.example/1.png", "hat, coat"), ("http://a.example/2.png", "")]
    );
    let names = json!({"names": "list.txt"});
    let e = refused("list.txt", b"ftp://x/1.png\nhttps://a/1\nhttps://a/1\nhttps://a b/1\n", names.clone());
    for part in ["list.txt: line 1: expected an address", "line 3: `https://a/1` for the second time", "line 4"] {
        assert!(e.contains(part), "{part} not in {e}");
    }
    assert!(refused("list.txt", b"# none\n", names.clone()).contains("no addresses"));
    assert!(
        refused("list.txt", list, json!({"names": "list.txt", "captions": "required"})).contains("1 pictures have no")
    );
}

#[test]
fn what_strangers_put_into_archives_has_a_message() {
    let with = |entry: Zipped| zip(&[file("1.png", b"one"), entry]);
    let not_utf8 = Zipped { name: b"\x82\xa0.png".to_vec(), ..file("", b"x") };
    for (archive, part) in [
        (with(file("../../x.png", b"x")), "`../../x.png`: its name leads out of the archive"),
        (with(file("/etc/x.png", b"x")), "leads out"),
        (with(file("C:\\x.png", b"x")), "leads out"),
        (with(file("a\tb.png", b"x")), "signs that no name should have"),
        (with(not_utf8), "its name is not UTF-8"),
        (with(file("1.png", b"x")), "`1.png` is in it twice"),
        (with(file("./1.png", b"x")), "`1.png` is in it twice"),
        (with(Zipped { flags: 1, ..file("2.png", b"x") }), "`2.png`: it is encrypted"),
        (with(Zipped { method: Some(14), ..file("2.png", b"x") }), "a method other than deflate"),
        (zip(&[file("2.png", &vec![0; 4 << 20])]), "unpacks to"),
        (
            zip(&[Zipped { claimed: Some(100), ..file("2.png", &[7; 5000]) }]),
            "2.png: unpacks to more than the 100 bytes",
        ),
        (zip(&[Zipped { claimed: Some(u32::MAX - 1), method: Some(0), ..file("2.png", b"x") }]), "MiB, at most 48"),
        (zip(&[file("x.txt", b"x")]), "the archive has no pictures"),
        (b"no archive".to_vec(), "no zip archive"),
        (zip(&usual())[..60].to_vec(), "cut off"),
    ] {
        let e = refused("1.zip", &archive, json!({}));
        assert!(e.contains(part) && e.starts_with("1.zip: "), "{part} not in {e}");
    }
    let mut damaged = zip(&[file("1.png", &[5; 3000])]);
    damaged[36] ^= 0x55;
    assert!(refused("1.zip", &damaged, json!({})).contains("1.png: damaged"));
    let e = refused("1.zip", &zip(&usual()), json!({"captions": "required"}));
    assert!(e.contains("1 pictures have no caption (.txt or .caption beside them): ink/2.png"), "{e}");
}

#[test]
fn tar_archives_have_their_own_tricks() {
    let good = ("1.png", b'0', b"one".as_slice());
    for (archive, part) in [
        (tar(&[good, ("2.png", b'2', b"")]), "`2.png`: a link, which leads elsewhere"),
        (tar(&[good, ("../2.png", b'0', b"x")]), "leads out"),
        (tar(&[good, good]), "is in it twice"),
        (tar(&[good])[..512].to_vec(), "cut off"),
        (tar(&[good])[..1024].iter().copied().chain(vec![1; 512]).collect(), "cut off behind `1.png`"),
        (vec![7; 2048], "no tar archive"),
    ] {
        let e = refused("1.tar", &archive, json!({}));
        assert!(e.contains(part), "{part} not in {e}");
    }
    let bomb = gzip(&tar(&[("1.png", b'0', &vec![0; 9 << 20])]));
    let e = refused("1.tgz", &bomb, json!({}));
    assert!(e.contains("1.tgz: it unpacks to more than"), "{e}");
    let whole = gzip(&tar(&[good]));
    assert!(refused("1.tgz", &whole[..whole.len() / 2], json!({})).contains("cut off"));
    assert!(refused("1.tgz", b"plain", json!({})).contains("no gzip file"));
}

fn sample(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/columns/samples");
    std::fs::read(format!("{folder}/{name}.parquet")).unwrap()
}

#[test]
fn pictures_in_a_parquet_file_are_read_with_their_captions() {
    let host = FakeHost::new()
        .file("f", "train-00000-of-00001.parquet", &sample("images"))
        .file("f", "metadata.parquet", b"a list of other pictures")
        .install();
    let settings = json!({"folder": "f"});
    for count in [1, 2, 100] {
        let mut rows = Vec::new();
        let mut from = None;
        loop {
            let mut source: ArchiveSource = open_dataset_source(settings.clone()).unwrap();
            let page = source.next_page(from, count).unwrap();
            rows.extend(page.items);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let name = "train-00000-of-00001.parquet";
        let ids: Vec<&str> = rows.iter().map(|i| i.id.as_str()).collect();
        assert_eq!(ids, [1, 2, 3].map(|n| format!("{name}/{n}")), "pages of {count}");
        assert_eq!(rows[1].origin.as_deref(), Some("train-00000-of-00001.parquet/002.png"));
        let bytes = |i: &Item| if let Media::Bytes(bytes) = &i.media { bytes.clone() } else { panic!("{i:?}") };
        assert!(bytes(&rows[0]).starts_with(b"\x89PNG") && bytes(&rows[0]) != bytes(&rows[1]));
        assert!(bytes(&rows[2]).is_empty() && rows[2].annotation.tags[0].name == "gone");
    }
    let told = host.logs();
    assert!(told.iter().any(|(_, t)| t.contains("rows without a picture: 3 (elsewhere.png)")), "{told:?}");
    // Page after page from one instance.
    let mut source: ArchiveSource = open_dataset_source(settings).unwrap();
    let first = source.next_page(None, 1).unwrap();
    let second = source.next_page(first.next, 5).unwrap();
    assert_eq!((second.items.len(), second.items[0].id.as_str()), (2, "train-00000-of-00001.parquet/2"));
}

#[test]
fn parquet_files_without_pictures_or_captions_are_explained() {
    let e = |name: &str, more: Value| refused("x.parquet", &sample(name), more);
    let list = e("plain", json!({}));
    assert!(list.contains("x.parquet: no column with pictures: expected records of `bytes` and `path`"), "{list}");
    assert!(list.contains("the node Folder of pictures reads"), "{list}");
    let blip = e("images", json!({"caption_column": "blip"}));
    assert!(blip.contains("`blip`: no column `blip`; it has the columns image, text"), "{blip}");
    let image = e("images", json!({"caption_column": "image"}));
    assert!(image.contains("`image`: expected texts, found records of bytes, path"), "{image}");
    assert!(refused("x.parquet", b"PAR1", json!({})).contains("x.parquet: the Parquet file is cut off"));
    let _host = FakeHost::new().file("f", "x.parquet", &sample("images")).install();
    assert_eq!(all(&json!({"folder": "f", "captions": "required"}), 5).unwrap().len(), 3);
    assert_eq!(all(&json!({"folder": "f", "captions": "ignore"}), 5).unwrap()[0].1, "");
}

#[test]
fn what_is_too_large_is_said_with_what_to_do() {
    let _host = FakeHost::new().file("f", "1.tgz", &vec![0; MAX_PACKED as usize + 1]).install();
    let e = all(&json!({"folder": "f"}), 1).unwrap_err();
    assert!(e.kind == ErrorKind::TooLarge && e.message.contains("a .tar.gz may have 64 MiB"), "{e:?}");
    let many: Vec<Zipped> = (0..4u8).map(|n| file(&format!("{n}.png"), &[n; 700_000])).collect();
    let e = refused("1.zip", &zip(&many), json!({"max_unpacked": 2}));
    assert!(e.contains("it unpacks to 3 MiB, `max_unpacked` allows 2"), "{e}");
}

#[test]
fn positions_that_nobody_gave_are_refused() {
    let _host = FakeHost::new().file("f", "1.zip", &zip(&usual())).install();
    let mut source: ArchiveSource = open_dataset_source(json!({"folder": "f"})).unwrap();
    for from in ["", "no position", "2.zip\t"] {
        assert!(source.next_page(Some(from.into()), 5).unwrap_err().message.contains("no such position"));
    }
    // A picture that is gone is no reason to begin anew.
    assert_eq!(source.next_page(Some("1.zip\tink/3.png".into()), 5).unwrap().items.len(), 1);
    let _none = FakeHost::new().file("f", "x.png", b"").install();
    assert!(all(&json!({"folder": "f"}), 5).unwrap_err().message.contains("no archives"));
}

#[test]
fn broken_archives_are_refused_or_read_the_same_way_each_time() {
    let mut read = 0;
    fuzz::cases(
        1500,
        |random| {
            let (name, mut bytes) = match random.next(4) {
                3 => ("1.parquet", sample("images")),
                0 => ("1.zip", zip(&usual())),
                1 => ("1.tar", tar(&[("1.png", b'0', b"one"), ("1.txt", b'0', b"hat")])),
                _ => ("1.tgz", gzip(&tar(&[("1.png", b'0', b"one"), ("2.png", b'0', &[3; 700])]))),
            };
            fuzz::shake(random, &mut bytes);
            (name, bytes)
        },
        |(name, bytes)| {
            let _host = FakeHost::new().file("f", name, bytes).install();
            let settings = json!({"folder": "f"});
            let (first, again) = (all(&settings, 3), all(&settings, 3));
            read += usize::from(first.is_ok());
            match (first, again) {
                (Ok(first), Ok(again)) => assert_eq!(first, again),
                (Err(first), Err(again)) => assert_eq!(first.message, again.message),
                (first, again) => panic!("{first:?}, then {again:?}"),
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(read > 20, "{read}");
    }
}
