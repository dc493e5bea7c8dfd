//! Records of a native plugin that are almost right, and messages of its process: read, or refused with words. How a case is
//! had again says `plugin_test::fuzz`.

use super::calls::Opened;
use super::frames::In;
use super::nodes::NativeNode;
use super::objects::{LibraryContext, Objects};
use super::values;
use crate::CallContext;
use crate::error::Fault;
use crate::kinds::captioner::RawCaptioner;
use crate::kinds::dataset_source::RawSource;
use crate::kinds::node::{NodeCall, RawNode};
use crate::kinds::tag_filter::RawFilter;
use crate::services::tests::services;
use data::{CaptionRequest, FilterRequest, Image, PixelFormat, Sample};
use plugin_abi::{self as abi, BULK, ERROR, OK, ONE_AT_A_TIME, PANICKED, Sink, Str, WHOLE};
use plugin_test::fuzz::{self, Random};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::ffi::c_void;

/// What the pretended library puts next, and returns.
type Case = (i32, Vec<(u64, i32, Vec<u8>)>);

thread_local! {
    static NEXT: RefCell<Case> = RefCell::default();
}

fn answer(sink: Sink) -> i32 {
    NEXT.with_borrow(|(status, items)| {
        for (index, status, data) in items {
            // SAFETY: the sink of the call in progress; the bytes live until `put` returns.
            unsafe { (sink.put)(sink.ctx, *index, *status, Str::new(data)) }
        }
        *status
    })
}

unsafe extern "C" fn open(_: Str, _: *mut *mut c_void, _: Sink) -> i32 {
    OK
}
unsafe extern "C" fn close(_: *mut c_void) {}
unsafe extern "C" fn number(_: *mut c_void) -> u32 {
    1
}
unsafe extern "C" fn caption(_: *mut c_void, _: *const abi::CaptionRequest, _: usize, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn next_page(_: *mut c_void, _: Str, _: u32, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn filter(_: *mut c_void, _: *const abi::FilterRequest, _: usize, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn whole(_: *mut c_void, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn reference(_: *mut c_void, _: *const u64, _: usize, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn add(_: *mut c_void, _: *const abi::Sample, _: usize, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn run(_: Str, _: Str, sink: Sink) -> i32 {
    answer(sink)
}
unsafe extern "C" fn call(_: u32, _: Str, sink: Sink) -> i32 {
    answer(sink)
}

const T: u32 = ONE_AT_A_TIME;
static CAPTIONER: abi::CaptionerTable =
    abi::CaptionerTable { struct_size: 0, thread_safety: T, open, close, max_batch: number, caption };
static SOURCE: abi::DatasetSourceTable =
    abi::DatasetSourceTable { struct_size: 0, thread_safety: T, open, close, next_page };
static FILTER: abi::TagFilterTable = abi::TagFilterTable {
    struct_size: 0,
    thread_safety: T,
    open,
    close,
    passes: number,
    observe: filter,
    apply: filter,
};
static EVALUATOR: abi::EvaluatorTable = abi::EvaluatorTable {
    struct_size: 0,
    thread_safety: T,
    open,
    close,
    metrics: whole,
    reference,
    add,
    finish: whole,
};
static NODE: abi::NodeTable = abi::NodeTable { struct_size: 0, thread_safety: T, run, call };

fn objects() -> Objects {
    let context: &'static LibraryContext = Box::leak(Box::default());
    let call = CallContext::default();
    Objects::new(services(&Default::default(), &Default::default(), call, &std::env::temp_dir()), context)
}

/// Records as good libraries put them.
fn real() -> Vec<Value> {
    let annotation = json!({"text": "a", "tags": [{"name": "b", "score": 0.5, "category": "general"}], "extra": "{}"});
    let item = json!({"id": "1", "media": {"file": ["root", "a.png"]}, "annotation": annotation, "origin": null});
    let feed = json!({"values": [{"int": 3}, "none", {"text": "x"}, {"image": 1}, {"annotation": annotation}]});
    let node = json!({"id": "n", "class-type": "X", "inputs": [["a", {"link": ["7", 0]}]], "display-id": null});
    vec![
        annotation.clone(),
        item,
        json!({"id": "2", "media": {"bytes": null}, "annotation": annotation, "digest": "md5:00"}),
        json!({"id": "3", "media": {"image": 5}, "annotation": {"tags": []}, "license": "x"}),
        json!({"next": "4", "total": 9}),
        json!({"keep": annotation}),
        json!({"drop": "why"}),
        json!([{"metric": "m", "value": 0.25}]),
        json!([{"name": "m", "higher-is-better": true, "low": 0.0, "high": 1.0, "per-sample": true, "description": ""}]),
        json!({"outputs": [feed, {"link": ["7", 1]}], "nodes": [node], "ui": "{}"}),
        json!({"kind": "denied", "message": "no", "retry-after-ms": 5, "extra": null}),
        json!(["a", "b"]),
        json!("accepted"),
        json!({"refused": null}),
    ]
}

/// A few records, most of them changed.
fn case(random: &mut Random, real: &[Value]) -> Case {
    let one = |random: &mut Random| {
        let mut record = random.one(real).clone();
        if random.next(3) > 0 {
            fuzz::change(random, &mut record);
        }
        let mut bytes = record.to_string().into_bytes();
        if random.next(4) == 0 {
            fuzz::shake(random, &mut bytes);
        }
        let index = *random.one(&[0, 0, 0, 1, 2, 77, WHOLE, WHOLE]);
        (index, *random.one(&[OK, OK, OK, OK, ERROR, PANICKED, BULK, -7]), bytes)
    };
    let items = (0..random.next(5)).map(|_| one(random)).collect();
    (*random.one(&[OK, OK, OK, OK, ERROR, PANICKED, 99]), items)
}

#[test]
fn odd_records_of_a_library_are_read_or_refused() {
    let image = || Image::new(2, 1, PixelFormat::L8, vec![0; 2]).unwrap();
    let mut captioner = Opened::new(&CAPTIONER, close, objects());
    let mut source = Opened::new(&SOURCE, close, objects());
    let mut filter = Opened::new(&FILTER, close, objects());
    let mut node = NativeNode::new(&NODE, objects());
    let requests = [CaptionRequest { image: image(), known: Default::default() }];
    let items = [FilterRequest { id: "a".into(), subset: String::new(), annotation: Default::default() }];
    let sample =
        || Sample { id: "a".into(), image: image(), prompt: String::new(), reference: None, seed: None, extra: None };
    let real = real();
    let (mut read, mut refused) = (0, 0);
    let mut see = |result: Result<Result<(), spec::PluginError>, Fault>| match result {
        Ok(Ok(())) => read += 1,
        Ok(Err(_)) | Err(Fault::Trapped(_)) => refused += 1,
        Err(fault) => panic!("{fault}"),
    };
    fuzz::cases(
        5000,
        |random| case(random, &real),
        |case| {
            NEXT.set(case.clone());
            see(captioner.caption(&requests).map(|r| r.map(drop)));
            see(source.next_page(None, 10).map(|r| r.map(drop)));
            see(filter.apply(&items).map(|r| r.map(drop)));
            see(node.run("x", &NodeCall::default()).map(|r| r.map(drop)));
            see(node.check_lazy("x", &NodeCall::default()).map(|r| r.map(drop)));
            see(node.validate("x", &NodeCall::default(), &[]).map(|r| r.map(drop)));
            see(node.fingerprint("x", &NodeCall::default()).map(|r| r.map(drop)));
            if let Ok(mut evaluator) = Opened::new(&EVALUATOR, close, objects()).evaluator() {
                see(evaluator.add(&[sample()]).map(|r| r.map(drop)));
                see(evaluator.finish().map(|r| r.map(drop)));
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(read > 500 && refused > 5000, "{read} read, {refused} refused");
    }
}

#[test]
fn odd_requests_of_a_library_are_read_or_refused() {
    let real = json!({
        "method": "get", "url": "https://a.example/x?y=1", "headers": [["a", "b"]], "timeout-ms": 5, "max-bytes": 10
    });
    fuzz::cases(
        10_000,
        |random| {
            let mut request = real.clone();
            fuzz::change(random, &mut request);
            let mut bytes = request.to_string().into_bytes();
            if random.next(2) == 0 {
                fuzz::shake(random, &mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        },
        |text| match values::request(text, Some(b"body")) {
            Ok(request) => assert!(request.headers.len() <= text.len()),
            Err(e) => assert!(e.message.starts_with("http request: ") && e.kind == spec::ErrorKind::InvalidInput),
        },
    );
}

#[test]
fn odd_messages_of_a_process_are_answered_or_torn() {
    let context: &'static LibraryContext = Box::leak(Box::default());
    let table = super::host::table(context);
    let mut answered = 0;
    let objects = objects();
    fuzz::cases(
        20_000,
        |random| {
            let number = match random.next(3) {
                0 => random.next(25) as u32,
                1 => 100 + random.next(40) as u32,
                _ => random.next(1000) as u32,
            };
            let mut frame = number.to_le_bytes().to_vec();
            for _ in 0..random.next(6) {
                match random.next(4) {
                    0 => frame.extend((random.next(5) as u64).to_le_bytes()),
                    1 => frame.extend((random.next(5) as u32).to_le_bytes()),
                    2 => frame.extend([3, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', b'c']),
                    _ => frame.extend([0xff; 8]),
                }
            }
            frame
        },
        |frame| {
            // Within a call, as in life.
            let done = objects.enter(|_| {
                answered += usize::from(super::relay::answer(&table, &mut In::new(frame)).is_ok());
                OK
            });
            assert!(done.is_ok() || matches!(done, Err(Fault::Trapped(_))));
            let _ = In::new(frame).puts();
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(answered > 1000, "{answered} answered");
    }
}
