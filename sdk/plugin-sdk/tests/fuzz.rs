//! Records of the host that are almost right, read by a native plugin: an answer or an error that can be read, never a crash.
//! How a case is had again says `plugin_test::fuzz`.
#![allow(clippy::unwrap_used)]

use plugin_abi::{
    CaptionRequest as RawCaption, CaptionerTable, ERROR, FilterRequest as RawFilter, NODE_CHECK_LAZY, NODE_FINGERPRINT,
    NODE_RUN, NODE_VALIDATE, NodeTable, OK, Sink, Str, TagFilterTable, WHOLE, interface,
};
use plugin_sdk::host::Artefact;
use plugin_sdk::native::{self, Library};
use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, FilterRequest, Info, Inputs, Node, NodePart, Output, PluginInfo, Result,
    Returned, Socket, TagFilter, Verdict, info,
};
use plugin_test::fuzz::{self, Random};
use serde_json::{Value, json};
use std::ffi::c_void;

/// Settings of every type.
#[derive(Inputs)]
pub struct Settings {
    /// A text.
    #[input(default = "a")]
    text: String,
    /// A number.
    #[input(default = 3, range = 0..=10)]
    number: u32,
    /// Another.
    #[input(default = 0.5, range = 0.0..=1.0)]
    share: f64,
    /// Yes or no.
    #[input(default = false)]
    flag: bool,
}

pub struct Describes(Settings);

impl Captioner for Describes {
    type Settings = Settings;
    const INFO: Info = info!("test.fuzzed", "Fuzzed");
    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }
    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let text = format!("{} {} {} {}", self.0.text, self.0.number, self.0.share, self.0.flag);
        Ok(batch.into_iter().map(|r| Ok(Annotation { text: Some(text.clone()), ..r.known })).collect())
    }
}

pub struct Keeps;

impl TagFilter for Keeps {
    type Settings = ();
    const INFO: Info = info!("test.fuzzed-filter", "Fuzzed, filter");
    fn open((): ()) -> Result<Self> {
        Ok(Self)
    }
    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        Ok(batch.into_iter().map(|r| Verdict::Keep(r.annotation)).collect())
    }
}

/// Joins two texts.
#[derive(Inputs)]
pub struct Join {
    /// The first part.
    a: String,
    /// How often.
    #[input(default = 1, range = 0..=3)]
    times: u32,
}

impl Node for Join {
    type Inputs = Self;
    const INFO: Info = info!("test.fuzzed-node", "Fuzzed, node");
    fn outputs() -> Vec<Output> {
        vec![Output { name: "text".into(), socket: Socket::Text, is_list: false, tooltip: None }]
    }
    fn run(inputs: Self) -> Result<Returned> {
        Ok(vec![inputs.a.repeat(inputs.times as usize).into()].into())
    }
}

struct Nodes;

impl Artefact for Nodes {
    fn describe() -> PluginInfo {
        plugin_sdk::describe(None, vec![plugin_sdk::node_part::<Join>()])
    }
    fn nodes() -> Vec<NodePart> {
        vec![NodePart::of::<Join>()]
    }
}

impl Library for Nodes {
    fn interface(name: &str) -> Option<*const c_void> {
        native::nodes::<Self>(name)
    }
}

/// Status of the call and what was put.
#[derive(Debug, Default)]
struct Puts(Vec<(u64, i32, Vec<u8>)>);

unsafe extern "C" fn put(ctx: *mut c_void, index: u64, status: i32, data: Str) {
    // SAFETY: `ctx` is the `Puts` of the call in progress, the bytes are lent for it.
    unsafe { (*ctx.cast::<Puts>()).0.push((index, status, data.bytes().to_vec())) }
}

/// Calls, and looks that an error is one that a host can read. Was it good?
fn called(f: impl FnOnce(Sink) -> i32) -> bool {
    let mut puts = Puts::default();
    let status = f(Sink { ctx: (&raw mut puts).cast(), put });
    let error = puts.0.iter().find(|(index, status, _)| *index == WHOLE && *status != OK);
    match status {
        OK => assert!(error.is_none(), "{puts:?}"),
        // No panic: that would be a third status.
        ERROR => {
            let (_, status, data) = error.unwrap();
            let record: Value = serde_json::from_slice(data).unwrap();
            assert!(*status == ERROR && record["message"].as_str().is_some_and(|m| !m.is_empty()), "{record}");
        }
        other => panic!("status {other}: {}", String::from_utf8_lossy(&puts.0[0].2)),
    }
    status == OK
}

fn changed(random: &mut Random, real: &Value) -> Vec<u8> {
    let mut value = real.clone();
    if random.next(4) > 0 {
        fuzz::change(random, &mut value);
    }
    let mut bytes = value.to_string().into_bytes();
    if random.next(3) == 0 {
        fuzz::shake(random, &mut bytes);
    }
    bytes
}

fn close_and_count(table: &CaptionerTable, this: *mut c_void, known: &[u8]) -> bool {
    let request = RawCaption { image: 0, known: Str::new(known) };
    // SAFETY: `this` was opened by the same table; everything is lent for the call.
    let good = called(|sink| unsafe { (table.caption)(this, &raw const request, 1, sink) });
    // SAFETY: as above; not used again.
    unsafe { (table.close)(this) };
    good
}

#[test]
fn odd_settings_and_captions_are_read_or_refused() {
    let _host = plugin_test::FakeHost::new().install();
    let table = native::captioner::table::<Describes>(interface::CAPTIONER).unwrap();
    // SAFETY: it is the table of this interface, and constant.
    let table = unsafe { &*table.cast::<CaptionerTable>() };
    let settings = json!({"text": "x", "number": 5, "share": 0.25, "flag": true});
    let known = json!({"text": "a", "tags": [{"name": "b", "score": 0.5, "category": "c"}], "extra": "{}"});
    let (mut opened, mut good) = (0, 0);
    fuzz::cases(
        10_000,
        |random| (changed(random, &settings), changed(random, &known)),
        |(settings, known)| {
            let mut this = std::ptr::null_mut();
            // SAFETY: everything is lent for the call.
            if called(|sink| unsafe { (table.open)(Str::new(settings), &raw mut this, sink) }) {
                opened += 1;
                good += usize::from(close_and_count(table, this, known));
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!((1000..9000).contains(&opened) && good > 500 && good < opened, "{opened} opened, {good} captions");
    }
}

#[test]
fn odd_items_are_filtered_or_refused() {
    let _host = plugin_test::FakeHost::new().install();
    let table = native::tag_filter::table::<Keeps>(interface::TAG_FILTER).unwrap();
    // SAFETY: it is the table of this interface, and constant.
    let table = unsafe { &*table.cast::<TagFilterTable>() };
    let mut this = std::ptr::null_mut();
    // SAFETY: everything is lent for the call.
    assert!(called(|sink| unsafe { (table.open)(Str::new(b"{}"), &raw mut this, sink) }));
    let annotation = json!({"tags": [{"name": "b"}], "text": null});
    fuzz::cases(
        10_000,
        |random| {
            let mut id = b"an id".to_vec();
            fuzz::shake(random, &mut id);
            (id, changed(random, &annotation))
        },
        |(id, annotation)| {
            let request = RawFilter { id: Str::new(id), subset: Str::NULL, annotation: Str::new(annotation) };
            // SAFETY: as above.
            called(|sink| unsafe { (table.apply)(this, &raw const request, 1, sink) });
        },
    );
    // SAFETY: as above; not used again.
    unsafe { (table.close)(this) };
}

#[test]
fn odd_calls_of_nodes_are_answered_or_refused() {
    let _host = plugin_test::FakeHost::new().install();
    // SAFETY: it is the table of this interface, and constant.
    let table = unsafe { &*Nodes::interface(interface::NODE).unwrap().cast::<NodeTable>() };
    let request = json!({
        "node": "test.fuzzed-node", "place": {"id": "7", "prefix": "7.0."},
        "inputs": [["a", [{"text": "x"}]], ["times", [{"int": 2}]]], "types": [["a", "STRING"]],
    });
    let mut good = 0;
    fuzz::cases(
        10_000,
        |random| {
            (*random.one(&[NODE_RUN, NODE_CHECK_LAZY, NODE_VALIDATE, NODE_FINGERPRINT, 99]), changed(random, &request))
        },
        |(what, request)| {
            // SAFETY: everything is lent for the call.
            good += usize::from(called(|sink| unsafe { (table.call)(*what, Str::new(request), sink) }));
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(good > 500 && good < 9500, "{good} good");
    }
}
