use super::frame::Frame;
use super::piece::Row;
use super::{DIALECTS, Dialect, Embeddings, Encoder, dialect};
use crate::error::Result;
use crate::text::{Texts, Token, TokenCutter};
use candle_core::{DType, Device, Tensor};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

fn reference() -> PathBuf {
    std::env::var_os("ANAGAMA_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"), PathBuf::from)
}

/// Recorded from the web UI's family and from ComfyUI.
#[test]
fn weights_are_the_peers() {
    let path = reference().join("text/prompt_weights.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: prompt weights: no {}", path.display());
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for (column, name) in [("comfyui", "comfyui"), ("web_ui", "a1111")] {
        for case in &cases {
            let prompt = case["prompt"].as_str().unwrap();
            let expected: Vec<(String, f64)> = serde_json::from_value(case[column].clone()).unwrap();
            let found = (dialect(name).unwrap().parse)(prompt).unwrap();
            let texts = |parts: &[(String, f64)]| parts.iter().map(|p| p.0.clone()).collect::<Vec<_>>();
            assert_eq!(texts(&found), texts(&expected), "{name}: {prompt}");
            for (f, e) in found.iter().zip(&expected) {
                assert!((f.1 - e.1).abs() < 1e-12, "{name}: {prompt}: {f:?}, expected {e:?}");
            }
        }
    }
}

#[test]
fn dialects_are_told_apart_by_name() {
    for (i, row) in DIALECTS.iter().enumerate() {
        assert!(DIALECTS[..i].iter().all(|other| other.name != row.name) && !row.about.is_empty());
    }
    assert!(dialect("klingon").err().unwrap().to_string().contains("comfyui, a1111"));
}

/// Each word is a token, and so is a comma.
struct Words {
    length: usize,
    unbounded: bool,
}

const COMMA: u32 = 2;

impl TokenCutter for Words {
    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let spaced = text.replace(',', " , ");
        let id = |word: &str| match word {
            "," => COMMA,
            _ => word.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b))) % 10_000 + 10,
        };
        Ok(spaced.split_whitespace().map(id).collect())
    }
    fn start(&self) -> Option<u32> {
        (!self.unbounded).then_some(0)
    }
    fn end(&self) -> u32 {
        1
    }
    fn padding(&self) -> u32 {
        3
    }
    fn length(&self) -> Option<usize> {
        (!self.unbounded).then_some(self.length)
    }
    fn least(&self) -> usize {
        self.length
    }
}

fn rows_with(dialect: &Dialect, cutter: &Words, embeddings: &Embeddings, prompt: &str) -> Result<Vec<Row>> {
    let frame =
        Frame { name: "clip_l", cutter, width: 2, embeddings, missed: RefCell::default(), notes: RefCell::default() };
    (dialect.chunk)(&(dialect.pieces)(&(dialect.parse)(prompt)?, &frame)?, &frame)
}

/// How many tokens of the prompt each row has.
fn filled(name: &str, cutter: &Words, prompt: &str) -> Vec<usize> {
    let rows = rows_with(dialect(name).unwrap(), cutter, &Embeddings::default(), prompt).unwrap();
    rows.iter().map(|row| row.iter().filter(|t| t.own).count()).collect()
}

/// 22 tokens and room for 20 of the prompt's.
const SHORT: Words = Words { length: 22, unbounded: false };

fn words(n: usize) -> String {
    (0..n).map(|i| format!("w{i} ")).collect()
}

#[test]
fn rows_have_start_end_and_padding() {
    for row in DIALECTS {
        let rows = rows_with(row, &SHORT, &Embeddings::default(), "a b").unwrap();
        let ids: Vec<u32> = rows[0].iter().map(|t| if let Token::Id(id) = t.token { id } else { 0 }).collect();
        assert_eq!((rows.len(), ids.len(), ids[0], ids[3], &ids[4..]), (1, 22, 0, 1, &[3u32; 18][..]));
        assert_eq!(filled(row.name, &SHORT, ""), [0]);
        assert_eq!(filled(row.name, &SHORT, &words(20)), [20]);
        assert_eq!(filled(row.name, &SHORT, &words(45)), [20, 20, 5]);
    }
}

#[test]
fn comfyui_keeps_short_parts_whole() {
    // 18 tokens, then 3 that do not fit: they go to the next row together; 8 are torn.
    assert_eq!(filled("comfyui", &SHORT, &format!("{}(a b c)", words(18))), [18, 3]);
    assert_eq!(filled("comfyui", &SHORT, &format!("{}({})", words(18), words(8))), [20, 6]);
    assert_eq!(filled("comfyui", &SHORT, "a BREAK b"), [3]);
}

#[test]
fn a1111_goes_back_to_a_comma_and_breaks() {
    let long = Words { length: 32, unbounded: false };
    // A comma at place 10 of 30 is 20 before the end: near enough; at 9 it is not.
    assert_eq!(filled("a1111", &long, &format!("{}, {}", words(10), words(25))), [11, 25]);
    assert_eq!(filled("a1111", &long, &format!("{}, {}", words(9), words(25))), [30, 5]);
    // A comma that does not fit begins the next row.
    assert_eq!(filled("a1111", &long, &format!("{}, b", words(30))), [30, 2]);
    assert_eq!(filled("a1111", &long, "a b BREAK c"), [2, 1]);
    // Brackets make it a word.
    assert_eq!(filled("a1111", &long, "(a BREAK b:1.2) BREAK c"), [3, 1]);
    assert_eq!(filled("a1111", &long, "a BREAK"), [1]);
    assert_eq!(filled("a1111", &long, "BREAK a"), [0, 1]);
    assert_eq!(filled("a1111", &long, "BREAKFAST"), [1]);
}

#[test]
fn rows_without_end_hold_everything() {
    let unbounded = Words { length: 12, unbounded: true };
    for row in DIALECTS {
        assert_eq!(filled(row.name, &unbounded, &words(100)), [100]);
    }
    let rows = rows_with(dialect("a1111").unwrap(), &unbounded, &Embeddings::default(), "a BREAK b").unwrap();
    assert_eq!((rows.len(), rows[0].len()), (1, 12));
}

fn write(folder: &Path, name: &str, tensors: &[(&str, &[f32], &[usize])]) {
    let tensors: Vec<(String, Tensor)> = tensors
        .iter()
        .map(|(k, v, shape)| ((*k).to_owned(), Tensor::from_slice(v, *shape, &Device::Cpu).unwrap()))
        .collect();
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let tensors: std::collections::HashMap<String, Tensor> = tensors.into_iter().collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("anagama-embeddings-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The vectors of the prompt, in order, with their weights.
fn vectors(name: &str, embeddings: &Embeddings, prompt: &str) -> Result<Vec<(Vec<f32>, f64)>> {
    let rows = rows_with(dialect(name).unwrap(), &SHORT, embeddings, prompt)?;
    let vector = |t: &super::piece::Weighted| match &t.token {
        Token::Vector(v) => Some((v.to_vec1::<f32>().unwrap(), t.weight)),
        Token::Id(_) => None,
    };
    Ok(rows.iter().flatten().filter_map(vector).collect())
}

#[test]
fn embeddings_are_called_by_both_dialects() {
    let folder = folder("called");
    write(&folder, "cat.safetensors", &[("emb_params", &[1.0, 2.0, 3.0, 4.0], &[2, 2])]);
    write(&folder, "style/dog.safetensors", &[("<dog>", &[5.0, 6.0], &[2])]);
    write(&folder, "both.safetensors", &[("clip_g", &[0.0; 3], &[1, 3]), ("clip_l", &[7.0, 8.0], &[1, 2])]);
    std::fs::write(folder.join("old.pt"), "pickled bytes").unwrap();
    let all = Embeddings::in_folders(&[folder.clone(), "/nowhere".into()]);
    assert_eq!(all.names().collect::<Vec<_>>(), ["both", "cat", "old", "style/dog"]);
    let cat = vec![(vec![1.0, 2.0], 1.2), (vec![3.0, 4.0], 1.2)];
    let dog = vec![(vec![5.0, 6.0], 1.0)];
    assert_eq!(vectors("comfyui", &all, "a (photo of embedding:cat, red:1.2)").unwrap(), cat);
    assert_eq!(vectors("a1111", &all, "a (photo of cat, red:1.2)").unwrap(), cat);
    assert_eq!(
        vectors("comfyui", &all, "embedding:style/dog embedding:both").unwrap(),
        [&dog[..], &[(vec![7.0, 8.0], 1.0)]].concat()
    );
    assert_eq!(vectors("comfyui", &all, "embedding:dog.safetensors").unwrap(), dog);
    assert_eq!(vectors("a1111", &all, "dog").unwrap(), dog);
    assert_eq!(vectors("a1111", &all, "dogs, cats").unwrap(), []);
    assert_eq!(vectors("comfyui", &all, "cat, dog").unwrap(), []);
    assert_eq!(all.perhaps_named("a DOG and embedding:both").len(), 2);
    // The comma behind the name is a token of its own.
    let rows = rows_with(dialect("comfyui").unwrap(), &SHORT, &all, "embedding:cat, red").unwrap();
    assert_eq!(rows[0].iter().filter(|t| t.own).count(), 4);
    for (prompt, says) in
        [("embedding:cut", "no embedding `cut`"), ("embedding:cut", "the nearest are cat"), ("embedding:old", "pickle")]
    {
        let error = vectors("comfyui", &all, prompt).unwrap_err().to_string();
        assert!(error.contains(says), "{prompt}: {error}");
    }
    let none =
        vectors("comfyui", &Embeddings::in_folders(&["/nowhere".into()]), "embedding:x").unwrap_err().to_string();
    assert!(none.contains("/nowhere") && none.contains("there are none"), "{none}");
}

#[test]
fn embeddings_of_other_models_and_broken_ones_are_told() {
    let folder = folder("broken");
    write(&folder, "wide.safetensors", &[("emb_params", &[0.0; 6], &[2, 3])]);
    write(&folder, "long.safetensors", &[("emb_params", &[0.0; 60], &[30, 2])]);
    write(&folder, "nan.safetensors", &[("emb_params", &[f32::NAN, 0.0], &[1, 2])]);
    write(&folder, "wrong.safetensors", &[("clip_l", &[0.0; 3], &[1, 3])]);
    let all = Embeddings::in_folders(&[folder]);
    for (name, says) in [("long", "at most 20 tokens"), ("nan", "no numbers"), ("wrong", "another model")] {
        let error = vectors("comfyui", &all, &format!("embedding:{name}")).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
    // It may be for the other encoder of a model: whether it is for none is seen when all have been asked.
    assert_eq!(vectors("comfyui", &all, "embedding:wide").unwrap(), []);
}

/// The text encoders of every reference model that has them.
fn reference_texts() -> Vec<(String, Texts)> {
    let folders = std::fs::read_dir(reference().join("models")).into_iter().flatten().flatten();
    let mut found: Vec<(String, Texts)> = folders
        .filter(|e| e.path().join("model_index.json").is_file())
        .filter_map(|e| {
            Some((
                e.file_name().to_string_lossy().into_owned(),
                crate::load(&e.path(), &Device::Cpu, DType::F32).ok()?.text,
            ))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn far(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn prompts_go_through_every_encoder_of_every_family() {
    let all = reference_texts();
    if all.is_empty() {
        println!("SKIPPED: prompts through encoders: no models in {}", reference().display());
        return;
    }
    let none = Embeddings::default();
    for (name, texts) in all {
        for dialect in DIALECTS {
            let encoder = Encoder { dialect, embeddings: &none, skip: None };
            let plain = encoder.encode(&texts, "a red cat").unwrap();
            let direct = texts.encode("a red cat").unwrap();
            assert!(far(&plain.states, &direct.states) < 1e-5, "{name}");
            assert_eq!(plain.pooled.is_some(), direct.pooled.is_some());
            // A weight of 1 is no weight; another one changes the states, and leaves what is pooled.
            let one = encoder.encode(&texts, "a (red:1.0) cat").unwrap();
            assert!(far(&plain.states, &one.states) < 1e-5, "{name}");
            let heavy = encoder.encode(&texts, "a (red:1.5) cat").unwrap();
            assert!(far(&plain.states, &heavy.states) > 1e-3, "{name}, {}", dialect.name);
            if let (Some(a), Some(b)) = (&plain.pooled, &heavy.pooled) {
                assert!(far(a, b) < 1e-5);
            }
            let count = &plain.counts[0];
            let own = texts.parts()[0].tokens().ids("a red cat").unwrap().len();
            assert_eq!((count.tokens, count.chunks), (own, 1));
            // What one encoder does not get another still reads: chunks are filled up.
            let (first, long) = (texts.parts()[0].name(), "cat, ".repeat(40));
            let longer = encoder.encode_each(&texts, |part| if part == first { long.as_str() } else { "cat" }).unwrap();
            assert!(longer.counts[0].chunks > 1 || longer.counts[0].room.is_none(), "{name}");
        }
        // z₀ + w·(z − z₀) at the word's place, by hand.
        let part = &texts.parts()[0];
        let row = |text: &str| vec![part.row_of(text).unwrap().0.into_iter().map(Token::Id).collect::<Vec<_>>()];
        let (full, empty) = (part.encode(&row("a red cat"), None).unwrap(), part.encode(&row(""), None).unwrap());
        if texts.parts().len() == 1 {
            let encoder = Encoder { dialect: DIALECTS[0], embeddings: &none, skip: None };
            let heavy = encoder.encode(&texts, "a (red:1.5) cat").unwrap().states;
            let at = |t: &Tensor, i: usize| t.narrow(1, i, 1).unwrap();
            let red = 1 + part.tokens().ids("a").unwrap().len();
            let (z, z0) = (at(&full.states, red), at(&empty.states, red));
            let want = (&z0 + ((z - &z0).unwrap() * 1.5).unwrap()).unwrap();
            assert!(far(&at(&heavy, red), &want) < 1e-5);
            assert!(far(&at(&heavy, 1), &at(&full.states, 1)) < 1e-6);
        }
    }
}

#[test]
fn an_embedding_of_a_word_is_the_word() {
    let Some((_, texts)) =
        reference_texts().into_iter().find(|(_, t)| t.parts().len() == 1 && t.parts()[0].clip().is_some())
    else {
        println!("SKIPPED: embeddings through encoders: no model with one CLIP in {}", reference().display());
        return;
    };
    let folder = folder("word");
    let width = texts.parts()[0].width();
    write(&folder, "zero.safetensors", &[("emb_params", &vec![0.0; width], &[1, width])]);
    let embeddings = Embeddings::in_folders(&[folder]);
    let states = |dialect: &'static Dialect, prompt: &str| {
        Encoder { dialect, embeddings: &embeddings, skip: None }.encode(&texts, prompt).unwrap().states
    };
    let comfyui = states(DIALECTS[0], "a embedding:zero cat");
    assert!(far(&comfyui, &states(DIALECTS[1], "a zero cat")) < 1e-6);
    assert!(far(&comfyui, &states(DIALECTS[0], "a zero cat")) > 1e-3);
    let wide = self::folder("wide");
    write(&wide, "wide.safetensors", &[("emb_params", &vec![0.0; width + 1], &[1, width + 1])]);
    let embeddings = Embeddings::in_folders(&[wide]);
    let encoder = Encoder { dialect: DIALECTS[0], embeddings: &embeddings, skip: None };
    let error = encoder.encode(&texts, "embedding:wide").unwrap_err().to_string();
    assert!(error.contains("was made for another model"), "{error}");
}
