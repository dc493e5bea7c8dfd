//! The source as the host calls it.

use super::*;
use plugin_test::{FakeHost, open_dataset_source};
use serde_json::{Value, json};

/// All ids, in pages of two.
fn ids(settings: Value) -> Result<Vec<String>> {
    let mut source: FolderSource = open_dataset_source(settings)?;
    let (mut out, mut from) = (Vec::new(), None);
    loop {
        let page = source.next_page(from, 2)?;
        out.extend(page.items.into_iter().map(|i| i.id));
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(out),
        }
    }
}

fn pictures() -> FakeHost {
    FakeHost::new()
        .file("f", "10_ohwx/2.png", b"")
        .file("f", "10_ohwx/2.txt", b"1girl, solo")
        .file("f", "10_ohwx/10.png", b"")
        .file("f", "10_ohwx/10.caption", b"A girl waits in the rain.")
        .file("f", "1.jpg", b"")
        .file("f", "1.txt", b"a")
        .file("f", "notes.md", b"x")
        .file("f", ".cache/3.png", b"")
}

#[test]
fn lists_pictures_with_captions_subsets_and_repeats() {
    let host = pictures().install();
    let mut source: FolderSource = open_dataset_source(json!({"folder": "f"})).unwrap();
    let page = source.next_page(None, 100).unwrap();
    assert_eq!((page.total, page.next), (Some(3), None));
    let [one, two, three] = page.items.as_slice() else { panic!("expected three items") };
    assert_eq!([&one.id, &two.id, &three.id], ["1.jpg", "10_ohwx/2.png", "10_ohwx/10.png"]);
    assert!(matches!(&two.media, Media::File { root, path } if root == "f" && path == "10_ohwx/2.png"));
    assert_eq!(two.annotation.tags.len(), 2);
    let extra = |item: &Item| serde_json::from_str::<Value>(item.annotation.extra.as_deref().unwrap()).unwrap();
    assert_eq!(extra(two), json!({"repeats": 10, "subset": "ohwx", "natural_language": false}));
    assert_eq!(extra(one), json!({"repeats": 1, "subset": "", "natural_language": false}));
    assert_eq!(three.annotation.text.as_deref(), Some("A girl waits in the rain."));
    assert_eq!(extra(three)["natural_language"], true);
    assert!(host.logs()[0].1.contains("left out 1 files that are not pictures: notes.md"));
}

#[test]
fn goes_on_after_a_page_even_in_a_new_instance() {
    let _host = pictures().install();
    assert_eq!(ids(json!({"folder": "f"})).unwrap(), ["1.jpg", "10_ohwx/2.png", "10_ohwx/10.png"]);
    let mut again: FolderSource = open_dataset_source(json!({"folder": "f"})).unwrap();
    assert_eq!(again.next_page(Some("1.jpg".into()), 5).unwrap().items.len(), 2);
    assert_eq!(ids(json!({"folder": "f", "recursive": false})).unwrap(), ["1.jpg"]);
}

#[test]
fn missing_empty_and_orphaned_captions_are_reported_together() {
    let _host = FakeHost::new()
        .file("f", "a.png", b"")
        .file("f", "b.png", b"")
        .file("f", "b.txt", b" \n")
        .file("f", "c.txt", b"x")
        .install();
    let e = ids(json!({"folder": "f"})).unwrap_err().message;
    for part in [
        "1 pictures have no caption (.txt or .caption beside them): a.png; set `captions` to",
        "1 caption files cannot be used: b.txt: the file is empty",
        "1 caption files have no picture: c.txt",
    ] {
        assert!(e.contains(part), "{part} not in {e}");
    }
    assert_eq!(ids(json!({"folder": "f", "captions": "ignore"})).unwrap(), ["a.png", "b.png"]);
    let optional = ids(json!({"folder": "f", "captions": "optional"})).unwrap_err().message;
    assert!(optional.contains("b.txt") && !optional.contains("a.png"), "{optional}");
}

#[test]
fn a_folder_without_pictures_is_an_error() {
    let _host = FakeHost::new().file("f", "a.txt", b"x").install();
    let e = ids(json!({"folder": "f"})).unwrap_err();
    assert!(e.message.contains("the folder has no pictures: found 1 other files"), "{}", e.message);
    let _host = FakeHost::new().file("f", "data/train.parquet", b"x").install();
    let e = ids(json!({"folder": "f"})).unwrap_err();
    assert!(e.message.contains("data/train.parquet are read by the node Pictures in archives"), "{}", e.message);
}

/// Captions by id, as one text each.
fn captions(settings: Value) -> Result<Vec<(String, String)>> {
    let mut source: FolderSource = open_dataset_source(settings)?;
    let page = source.next_page(None, 100)?;
    let caption = |a: &Annotation| {
        let tags = a.tags.iter().map(|t| t.name.clone());
        tags.chain(a.text.clone()).collect::<Vec<_>>().join(", ")
    };
    Ok(page.items.iter().map(|i| (i.id.clone(), caption(&i.annotation))).collect())
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_list_says_what_pictures_show_and_captions_that_nobody_reads_are_told() {
    let host = FakeHost::new()
        .file(
            "f",
            "train/metadata.jsonl",
            b"{\"file_name\": \"1.png\", \"text\": \"hat, coat\"}\n{\"file_name\": \"2.png\", \"text\": null}",
        )
        .file("f", "train/1.png", b"")
        .file("f", "train/1.txt", b"old")
        .file("f", "train/2.png", b"")
        .file("f", "train/2.txt", b"beside")
        .file("f", "train/2.caption", b"second")
        .file("f", "test/metadata.csv", b"file_name,note,prompt\n3.png,x,\"a, [trigger]\"\n")
        .file("f", "test/3.png", b"")
        .install();
    let settings = json!({"folder": "f", "trigger": "ohwx"});
    let expected = pairs(&[("test/3.png", "a, ohwx"), ("train/1.png", "hat, coat"), ("train/2.png", "beside")]);
    assert_eq!(captions(settings).unwrap(), expected);
    let told = host.logs().pop().unwrap();
    assert!(told.1.contains("2 caption files are not read"), "{told:?}");
    assert!(told.1.contains("train/1.txt") && told.1.contains("train/2.caption"), "{told:?}");
}

#[test]
fn faults_of_lists_are_named_together() {
    let _host = FakeHost::new()
        .file("f", "metadata.csv", b"file_name,text\n1.png,a\ngone.png,b\n")
        .file("f", "sub/metadata.parquet", b"PAR1")
        .file("f", "1.png", b"")
        .install();
    let e = ids(json!({"folder": "f"})).unwrap_err().message;
    for part in ["1 listed pictures are not there: gone.png", "sub/metadata.parquet: the Parquet file is cut off"] {
        assert!(e.contains(part), "{part} not in {e}");
    }
    let e = ids(json!({"folder": "f", "caption_column": "blip"})).unwrap_err().message;
    assert!(e.contains("metadata.csv: line 2: no column `blip`"), "{e}");
}

fn dataset(toml: &str) -> FakeHost {
    FakeHost::new()
        .file("f", "set/data.toml", toml.as_bytes())
        .file("f", "set/girl/1.png", b"")
        .file("f", "set/girl/1.caption", b"hat")
        .file("f", "set/girl/1.txt", b"other")
        .file("f", "set/girl/2.png", b"")
        .file("f", "set/reg/9.png", b"")
        .file("f", "set/unused/8.png", b"")
        .file(
            "f",
            "set/meta.json",
            b"{\"set/girl/1\": {\"caption\": \"A girl\", \"tags\": \"hat\"}, \"2.png\": {\"tags\": \"coat\"}}",
        )
}

#[test]
fn a_dataset_file_chooses_folders_repeats_and_captions() {
    let toml = "[[datasets]]\nresolution = 512\ncaption_extension = \".caption\"\n[[datasets.subsets]]\nimage_dir = \"girl\"\n\
                num_repeats = 4\nclass_tokens = \"ohwx girl\"\n[[datasets.subsets]]\nimage_dir = \"reg\"\nis_reg = true\n\
                class_tokens = \"girl\"\n";
    let host = dataset(toml).install();
    let settings = json!({"folder": "f", "dataset_file": "set/data.toml"});
    let expected = [("set/girl/1.png", "hat"), ("set/girl/2.png", "ohwx girl"), ("set/reg/9.png", "girl")];
    assert_eq!(captions(settings.clone()).unwrap(), pairs(&expected));
    assert!(
        host.logs().iter().any(|(_, t)| t.contains("SdScriptsDataset") && t.contains("resolution")),
        "{:?}",
        host.logs()
    );
    let mut source: FolderSource = open_dataset_source(settings).unwrap();
    let extra = |item: &Item| serde_json::from_str::<Value>(item.annotation.extra.as_deref().unwrap()).unwrap();
    let items = source.next_page(None, 9).unwrap().items;
    assert_eq!((extra(&items[0])["repeats"].clone(), extra(&items[0])["subset"].clone()), (json!(4), json!("girl")));
    assert_eq!((extra(&items[2])["is_reg"].clone(), extra(&items[0]).get("is_reg")), (json!(true), None));
}

#[test]
fn metadata_of_sd_scripts_is_read_and_a_folder_may_come_twice() {
    let toml = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"girl\"\nmetadata_file = \"meta.json\"\n\
                [[datasets.subsets]]\nimage_dir = \"girl\"\nmetadata_file = \"meta.json\"\nnum_repeats = 2\n";
    let _host = dataset(toml).install();
    let settings = json!({"folder": "f", "dataset_file": "set/data.toml"});
    let rows = captions(settings.clone()).unwrap();
    let expected = ["set/girl/1.png", "set/girl/1.png#2", "set/girl/2.png", "set/girl/2.png#2"];
    assert_eq!(rows.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!((rows[0].1.as_str(), rows[2].1.as_str()), ("A girl, hat", "coat"));
    assert_eq!(ids(settings).unwrap(), expected, "page after page");
}

#[test]
fn what_a_dataset_file_says_wrong_is_refused() {
    for (toml, part) in [
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"girl\"\nnum_repeat = 2\n", "unknown key `num_repeat`"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"/data/girl\"\n", "is not below the granted folder"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"nowhere\"\n", "no pictures in `nowhere`"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"girl\"\n", "1 pictures have no caption"),
    ] {
        let _host = dataset(toml).install();
        let e = ids(json!({"folder": "f", "dataset_file": "set/data.toml"})).unwrap_err().message;
        assert!(e.contains(part), "{part} not in {e}");
    }
}

#[test]
fn captions_of_ai_toolkit_are_read() {
    let _host = FakeHost::new()
        .file("f", "1.jpg", b"")
        .file("f", "1.json", b"{\"caption\": \"[trigger] waits in the rain.\"}")
        .file("f", "_latent_cache/2.png", b"")
        .file("f", ".aitk_size.json", b"{}")
        .install();
    let settings = json!({"folder": "f", "caption_endings": ".txt, .json", "trigger": "ohwx"});
    assert_eq!(captions(settings).unwrap(), pairs(&[("1.jpg", "ohwx waits in the rain.")]));
}
