use super::*;
use crate::Codec;
use crate::testing::gradient;

fn folder(files: &[(&str, Option<&str>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::write(path, gradient(40, 24).encode(Codec::Png, 0).unwrap()).unwrap(),
        }
    }
    dir
}

fn wrong(files: &[(&str, Option<&str>)], toml: &str) -> String {
    let dir = folder(files);
    std::fs::write(dir.path().join("set.toml"), toml).unwrap();
    format!("{:#}", read(&dir.path().join("set.toml"), Missing::Error).unwrap_err())
}

const TOML: &str = r#"
[general]
shuffle_caption = true
keep_tokens = 1
enable_bucket = true

[[datasets]]
resolution = [768, 512]
batch_size = 4
min_bucket_reso = 320

  [[datasets.subsets]]
  image_dir = "girl"
  num_repeats = 10
  keep_tokens = 2
  caption_dropout_rate = 0.1

  [[datasets.subsets]]
  image_dir = "reg"
  is_reg = true
  class_tokens = "girl"
"#;

#[test]
fn values_fall_down_the_levels() {
    let dir = folder(&[
        ("set.toml", Some(TOML)),
        ("girl/1.png", None),
        ("girl/1.txt", Some("ohwx girl, hat, sea\nsecond line")),
        ("girl/2.png", None),
        ("girl/2.caption", Some("\u{feff}ohwx girl, dog")),
        ("girl/old.txt", Some("x")),
        ("reg/a.png", None),
    ]);
    let import = read(&dir.path().join("set.toml"), Missing::Error).unwrap();
    let [one, two, reg] = import.dataset.items.as_slice() else { panic!("three pictures") };
    assert_eq!((one.id.as_str(), one.repeats, one.width, one.height), ("girl/1.png", 10, 40, 24));
    assert_eq!((one.caption(), two.caption()), ("ohwx girl, hat, sea".into(), "ohwx girl, dog".into()));
    assert_eq!((reg.caption(), reg.is_reg, reg.repeats), ("girl".into(), true, 1));
    assert_eq!((&one.settings["keep_tokens"], &reg.settings["keep_tokens"]), (&json!(2), &json!(1)));
    assert_eq!((&one.settings["caption_dropout"], reg.settings.get("caption_dropout")), (&json!(0.1), None));
    assert_eq!(one.settings["resolution"], json!([768, 512]));
    assert_eq!((&one.settings["bucket_min"], &one.settings["bucket_max"]), (&json!(320), &json!(1024)));
    let options = json!({"resolution": [768, 512], "buckets": true, "bucket_min": 320, "batch_size": 4});
    assert_eq!(Value::Object(import.options), options);
    let notes = import.dataset.notes.join("\n");
    for part in [
        "girl: 1 captions read from `.txt` files",
        "girl: 1 captions read from `.caption` files",
        "girl: 1 caption files are not used (looked for `.txt` and `.caption`): old.txt",
        "reg: 1 pictures without a caption get `girl`: a.png",
    ] {
        assert!(notes.contains(part), "{part} not in {notes}");
    }
    let named = files(&dir.path().join("set.toml")).unwrap();
    assert!(import.files.iter().all(|f| named.contains(f)), "{named:?} {:?}", import.files);
}

#[test]
fn what_the_file_does_not_say_is_sd_scripts_default() {
    let dir = folder(&[
        ("set.toml", Some("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"a\"\n")),
        ("a/1.png", None),
        ("a/1.txt", Some("hat")),
    ]);
    let import = read(&dir.path().join("set.toml"), Missing::Error).unwrap();
    let settings = json!({"buckets": false, "shuffle_tags": false, "keep_tokens": 0});
    assert_eq!(Value::Object(import.dataset.items[0].settings.clone()), settings);
    assert!(import.options.is_empty());
}

#[test]
fn faults_are_named_all_at_once() {
    let e = wrong(
        &[],
        "[general]\nflip = true\nimage_dir = \"x\"\n[[datasets]]\nbatch_size = \"4\"\n[[datasets.subsets]]\nresolution = 512\nface_crop_aug_range = [1.0, 2.0]\n[other]\n",
    );
    for part in [
        "[general]: unknown key `flip`; known: resolution, batch_size, enable_bucket,",
        "[general]: `image_dir` belongs into [[datasets.subsets]]",
        "[[datasets]] 1: `batch_size`: expected a whole number of 0 or more, found \"4\"",
        "[[datasets.subsets]] 1: `resolution` belongs into [general] or [[datasets]]",
        "`face_crop_aug_range` = [1.0,2.0] cannot be done here",
        "unknown table `other`",
    ] {
        assert!(e.contains(part), "{part} not in {e}");
    }
}

#[test]
fn a_missing_caption_is_an_error_unless_it_is_allowed() {
    let files = [("a/1.png", None), ("a/1.caption", Some("hat")), ("a/2.png", None)];
    let toml = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"a\"\n";
    let e = wrong(&files, toml);
    assert!(e.contains("1 pictures have no caption (`.txt` or `.caption` beside them): 2.png"), "{e}");
    let named = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"a\"\ncaption_extension = \".txt\"\n";
    assert!(wrong(&files, named).contains("2 pictures have no caption (`.txt` beside them)"));
    let dir = folder(&files);
    let path = dir.path().join("set.toml");
    std::fs::write(&path, toml).unwrap();
    let import = read(&path, Missing::Allowed).unwrap();
    assert_eq!(import.dataset.items[1].settings["allow_missing_captions"], json!(true));
}

#[test]
fn data_sets_must_agree_on_what_holds_for_the_run() {
    let files = [("a/1.png", None), ("a/1.txt", Some("hat"))];
    let set =
        |keys: &str, more: &str| format!("[[datasets]]\n{keys}\n[[datasets.subsets]]\nimage_dir = \"a\"\n{more}\n");
    let e = wrong(&files, &(set("batch_size = 1", "") + &set("batch_size = 2", "")));
    assert!(e.contains("different sizes (1, 2)"), "{e}");
    let e = wrong(&files, &(set("", "alpha_mask = true") + &set("", "")));
    assert!(e.contains("some subsets are masked"), "{e}");
    // One folder at two resolutions: two items, with settings of their own.
    let dir = folder(&files);
    let path = dir.path().join("set.toml");
    std::fs::write(&path, set("resolution = 512", "") + &set("resolution = 768", "")).unwrap();
    let import = read(&path, Missing::Error).unwrap();
    let ids: Vec<&str> = import.dataset.items.iter().map(|i| i.id.as_str()).collect();
    assert_eq!((ids, import.options.is_empty()), (vec!["a/1.png", "a/1.png (2)"], true));
    assert_eq!(import.dataset.items[1].settings["resolution"], json!(768));
}

#[test]
fn masks_and_metadata_files_are_read() {
    let toml = "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"a\"\nmetadata_file = \"m.json\"\nconditioning_data_dir = \"masks\"\nenable_wildcard = true\n";
    let files = [
        ("set.toml", Some(toml)),
        ("a/1.png", None),
        ("m.json", Some(r#"{"1": {"caption": "A hat\nA cap", "tags": "hat, red"}}"#)),
        ("masks/1.png", None),
    ];
    let dir = folder(&files);
    let import = read(&dir.path().join("set.toml"), Missing::Error).unwrap();
    let item = &import.dataset.items[0];
    assert_eq!(item.caption(), "A hat\nA cap, hat, red");
    assert_eq!(item.mask.as_ref().unwrap().digest, item.digest);
    assert_eq!(import.options["masked_loss"], json!(true));
    let plain = Dataset { items: vec![Item { mask: None, ..item.clone() }], notes: vec![] };
    assert_eq!(with_masks(&plain, &dir.path().join("masks"), true).unwrap().items, std::slice::from_ref(item));
    assert!(with_masks(&plain, dir.path(), true).unwrap_err().to_string().contains("no picture has a mask"));
    std::fs::remove_file(dir.path().join("masks/1.png")).unwrap();
    let e = format!("{:#}", read(&dir.path().join("set.toml"), Missing::Error).unwrap_err());
    assert!(e.contains("a/1.png has no mask in "), "{e}");
}

#[test]
fn kohyas_folder_names_are_repeats_and_classes() {
    let dir = folder(&[
        ("train/10_ohwx girl/1.png", None),
        ("train/10_ohwx girl/2.png", None),
        ("train/10_ohwx girl/2.txt", Some("ohwx girl, hat")),
        ("train/log/x.txt", Some("x")),
        ("reg/1_girl/r.png", None),
    ]);
    let import = read_folders(&dir.path().join("train"), Some(&dir.path().join("reg"))).unwrap();
    let rows: Vec<_> = import.dataset.items.iter().map(|i| (i.id.as_str(), i.repeats, i.is_reg, i.caption())).collect();
    assert_eq!(
        rows,
        [
            ("10_ohwx girl/1.png", 10, false, "ohwx girl".to_owned()),
            ("10_ohwx girl/2.png", 10, false, "ohwx girl, hat".into()),
            ("1_girl/r.png", 1, true, "girl".into()),
        ]
    );
    assert!(import.dataset.notes.iter().any(|n| n.contains("left out: log")), "{:?}", import.dataset.notes);
    let e = format!("{:#}", read_folders(dir.path(), None).unwrap_err());
    assert!(e.contains("no folders named `N_class`") && e.contains("reg, train"), "{e}");
}
