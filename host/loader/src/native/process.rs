//! A native library in a process of its own, as the host sees it: the tables of the library are played by functions that
//! send what they are given, so that all else is as with a library in this process. One process serves one opened object;
//! when it ends, that object is what is lost.

use super::calls::Opened;
use super::child::op;
use super::frames::{Arg, CALL, DONE, HOST, In, MAX_FRAME, Out, REPLY, receive};
use super::nodes::NativeNode;
use super::objects::{LibraryContext, Objects, current, objects};
use super::{host, relay};
use crate::error::Fault;
use crate::kinds::captioner::RawCaptioner;
use crate::kinds::dataset_source::RawSource;
use crate::kinds::evaluator::RawEvaluator;
use crate::kinds::node::RawNode;
use crate::kinds::tag_filter::RawFilter;
use crate::kinds::{Artefact, KINDS, Kind, OpenError};
use crate::services::Services;
use parking_lot::Mutex;
use plugin_abi::{self as abi, ERROR, HostTable, ONE_AT_A_TIME, Sink, Str};
use spec::{ErrorKind, PluginError, PluginInfo, Role};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a waiting call looks whether it must end.
const POLL: Duration = Duration::from_millis(5);
/// Time that loading may take.
const LOADING: Duration = Duration::from_secs(20);
/// Time that closing may take.
const CLOSING: Duration = Duration::from_secs(1);
/// Bytes kept of what a library prints.
const LAST_WORDS: usize = 2000;

/// How to start a process for a library.
#[derive(Clone, Debug)]
pub struct Runner {
    /// A program that calls [`crate::serve_library`].
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// A library that is loaded anew for each object.
pub(crate) struct Separate {
    runner: Runner,
    /// The private copy of the library.
    file: PathBuf,
    table: &'static HostTable,
    context: &'static LibraryContext,
}

impl Separate {
    pub(crate) fn new(runner: Runner, file: PathBuf) -> Self {
        let context: &'static LibraryContext = Box::leak(Box::default());
        Self { runner, file, table: Box::leak(Box::new(host::table(context))), context }
    }

    /// What the library says of itself, and the kinds that it offers.
    pub(crate) fn describe(&self, services: Services) -> Result<(PluginInfo, Vec<Kind>), OpenError> {
        let (objects, bits) = self.start(services)?;
        let results = objects.enter(|sink| remote(Out::op(op::DESCRIBE), sink).0)?;
        let info = results.map_err(OpenError::Refused)?.json(0);
        let kinds = KINDS.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, row)| row.kind).collect();
        Ok((info.map_err(|e| OpenError::Link(format!("describe: {e}")))?, kinds))
    }

    /// Starts a process and loads the library there.
    fn start(&self, services: Services) -> Result<(Objects, u64), OpenError> {
        let process = Process::start(&self.runner, self.table)
            .map_err(|e| OpenError::Link(format!("no process for it: {}: {e}", self.runner.program.display())))?;
        let objects = Objects::new(services, self.context).with_process(process);
        let mut bits = 0;
        let results = objects.enter(|sink| {
            let mut out = Out::op(op::LOAD);
            out.bytes(self.file.as_os_str().as_encoded_bytes());
            let (status, value) = remote_within(out, sink, Some(LOADING));
            bits = value;
            status
        });
        results?.map_err(|e| OpenError::Link(e.message))?;
        Ok((objects, bits))
    }

    fn open(&self, kind: Kind, config: &str, services: Services) -> Result<Objects, OpenError> {
        let (objects, _) = self.start(services)?;
        let at = KINDS.iter().position(|row| row.kind == kind).unwrap_or_default();
        let results = objects.enter(|sink| {
            let mut out = Out::op(op::OPEN);
            out.u32(at as u32);
            out.bytes(config.as_bytes());
            remote(out, sink).0
        });
        results?.map_err(OpenError::Refused)?;
        Ok(objects)
    }

    fn opened<T>(
        &self,
        kind: Kind,
        table: &'static T,
        config: &str,
        services: Services,
    ) -> Result<Opened<T>, OpenError> {
        Ok(Opened::new(table, close, self.open(kind, config, services)?))
    }
}

impl Artefact for Separate {
    fn captioner(&self, config: &str, services: Services) -> Result<Box<dyn RawCaptioner>, OpenError> {
        Ok(Box::new(self.opened(Role::Captioner, &CAPTIONER, config, services)?))
    }

    fn dataset_source(&self, config: &str, services: Services) -> Result<Box<dyn RawSource>, OpenError> {
        Ok(Box::new(self.opened(Role::DatasetSource, &SOURCE, config, services)?))
    }

    fn tag_filter(&self, config: &str, services: Services) -> Result<Box<dyn RawFilter>, OpenError> {
        Ok(Box::new(self.opened(Role::TagFilter, &FILTER, config, services)?))
    }

    fn evaluator(&self, config: &str, services: Services) -> Result<Box<dyn RawEvaluator>, OpenError> {
        self.opened(Role::Evaluator, &EVALUATOR, config, services)?.evaluator()
    }

    fn node(&self, services: Services) -> Result<Box<dyn RawNode>, OpenError> {
        Ok(Box::new(NativeNode::new(&NODE, self.open(Role::Node, "{}", services)?)))
    }
}

/// A running process and the stream to it.
pub(super) struct Process {
    child: Child,
    stream: UnixStream,
    frames: Receiver<Vec<u8>>,
    table: &'static HostTable,
    /// The end of what it printed.
    words: Arc<Mutex<VecDeque<u8>>>,
    /// Reads that.
    listener: JoinHandle<()>,
    ended: bool,
}

impl Process {
    fn start(runner: &Runner, table: &'static HostTable) -> std::io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let (printed, writer) = std::io::pipe()?;
        let child = Command::new(&runner.program)
            .args(&runner.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(writer.try_clone()?)
            .stderr(writer)
            // Keys that are meant for this process are not meant for that one: it is the host who ends it.
            .process_group(0)
            .spawn()?;
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let (kept, mut reader) = (words.clone(), stream.try_clone()?);
        let listener = std::thread::Builder::new().name("library's output".into());
        let listener = listener.spawn(move || keep_words(printed, &kept))?;
        let (sender, frames) = channel();
        std::thread::Builder::new().name("library".into()).spawn(move || {
            while let Ok(Some(frame)) = receive(&mut reader) {
                if sender.send(frame).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { child, stream, frames, table, words, listener, ended: false })
    }

    /// One call into the library; what it asks the host meanwhile is answered. An error is why the process is dead.
    fn call(&mut self, out: &Out, within: Option<Duration>) -> Result<super::frames::Puts, Fault> {
        if self.ended || out.send(&mut self.stream).is_err() {
            return Err(self.died());
        }
        let until = within.map(|time| Instant::now() + time);
        let mut looked = Instant::now();
        loop {
            let next = self.frames.recv_timeout(POLL);
            // Also when it keeps the host busy.
            if looked.elapsed() >= POLL {
                looked = Instant::now();
                let must_end = current(|inner| Ok(inner.services.check().err())).ok().flatten();
                let late = until.is_some_and(|until| Instant::now() > until);
                let late = late.then(|| Fault::Deadline(within.unwrap_or_default()));
                if let Some(fault) = must_end.or(late) {
                    self.end();
                    return Err(fault);
                }
            }
            match next {
                Ok(frame) => {
                    let mut from = In::new(&frame);
                    match from.u8() {
                        Ok(HOST) => {
                            let answer = relay::answer(self.table, &mut from);
                            let Ok(answer) = answer else { return Err(self.kill("it sent what is no message")) };
                            if self.reply(answer).is_err() {
                                return Err(self.died());
                            }
                        }
                        Ok(DONE) => match from.puts() {
                            Ok(done) => return Ok(done),
                            Err(_) => return Err(self.kill("it sent what is no answer")),
                        },
                        _ => return Err(self.kill("it sent what is no message")),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.died()),
            }
        }
    }

    fn reply(&mut self, (status, value, items): (i32, u64, relay::Items)) -> std::io::Result<()> {
        let mut out = Out::new(REPLY);
        let bytes: usize = items.iter().map(|(_, _, data)| data.len() + 20).sum();
        if bytes < MAX_FRAME - 64 {
            out.puts(status, value, &items);
        } else {
            let error = PluginError::new(ErrorKind::TooLarge, format!("{bytes} bytes at once; read it in parts"));
            let error = serde_json::to_vec(&error).unwrap_or_default();
            out.puts(ERROR, 0, &[(abi::WHOLE, ERROR, error)]);
        }
        out.send(&mut self.stream)
    }

    fn kill(&mut self, why: &str) -> Fault {
        self.end();
        Fault::Trapped(format!("{why}; its process was ended"))
    }

    /// The stream is closed: how did the process end?
    fn died(&mut self) -> Fault {
        let asked = Instant::now();
        let mut status = self.child.try_wait();
        // The stream goes a moment before the process; one that closed it and lives on is ended.
        while matches!(status, Ok(None)) && asked.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(POLL);
            status = self.child.try_wait();
        }
        self.end();
        let how = match status {
            Ok(Some(status)) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("its process ended by signal {signal}{}", signal_name(signal)),
                (None, Some(code)) => format!("its process ended with exit code {code}, without an answer"),
                (None, None) => "its process ended".to_owned(),
            },
            _ => "its process closed the line to the host".to_owned(),
        };
        // Its last words may still be on their way; what it started may hold the line open for longer.
        let asked = Instant::now();
        while !self.listener.is_finished() && asked.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(POLL);
        }
        let words: Vec<u8> = self.words.lock().iter().copied().collect();
        let words = String::from_utf8_lossy(&words);
        let last: Vec<&str> = words.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let last = last[last.len().saturating_sub(3)..].join(" / ");
        let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
        Fault::Trapped(if last.is_empty() { how } else { format!("{how}; it last printed: {last}") })
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => " (segmentation fault)",
        libc::SIGABRT => " (abort)",
        libc::SIGBUS => " (bus error)",
        libc::SIGILL => " (illegal instruction)",
        libc::SIGFPE => " (arithmetic error)",
        libc::SIGKILL => " (killed, perhaps for lack of memory)",
        _ => "",
    }
}

fn keep_words(mut from: std::io::PipeReader, kept: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let mut kept = kept.lock();
        kept.extend(&buffer[..n]);
        let over = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..over);
    }
}

impl Out {
    fn op(number: u32) -> Self {
        let mut out = Self::new(CALL);
        out.u32(number);
        out
    }
}

/// Sends a call to the process of the running object, and gives what it puts to the sink.
fn remote(out: Out, sink: Sink) -> (i32, u64) {
    remote_within(out, sink, None)
}

fn remote_within(out: Out, sink: Sink, within: Option<Duration>) -> (i32, u64) {
    let Some(objects) = objects() else { return (ERROR, 0) };
    let result = objects.process(|process| process.call(&out, within));
    match result {
        Ok((status, value, items)) => {
            for (index, status, data) in &items {
                // SAFETY: the sink is that of the call in progress; the bytes live until `put` returns.
                unsafe { (sink.put)(sink.ctx, *index, *status, Str::new(data)) }
            }
            (status, value)
        }
        Err(fault) => {
            objects.stop(fault);
            (ERROR, 0)
        }
    }
}

/// As `remote`, where the library puts nothing.
fn value(out: Out) -> u64 {
    unsafe extern "C" fn nothing(_: *mut c_void, _: u64, _: i32, _: Str) {}
    remote(out, Sink { ctx: std::ptr::null_mut(), put: nothing }).1
}

unsafe extern "C" fn open(_: Str, _: *mut *mut c_void, _: Sink) -> i32 {
    // Objects are opened by `Separate::open`.
    ERROR
}

unsafe extern "C" fn close(_: *mut c_void) {
    unsafe extern "C" fn nothing(_: *mut c_void, _: u64, _: i32, _: Str) {}
    let sink = Sink { ctx: std::ptr::null_mut(), put: nothing };
    remote_within(Out::op(op::CLOSE), sink, Some(CLOSING));
}

/// # Safety
/// `pointer` must be lent with `count` elements.
unsafe fn elements<'a, T>(pointer: *const T, count: usize) -> &'a [T] {
    // SAFETY: the caller's; our own slices are never null.
    unsafe { std::slice::from_raw_parts(pointer, count) }
}

// Below, SAFETY comments refer to the callers in `calls.rs` and `nodes.rs`, which lend slices and strings for the call.

unsafe extern "C" fn max_batch(_: *mut c_void) -> u32 {
    value(Out::op(op::MAX_BATCH)) as u32
}

unsafe extern "C" fn caption(_: *mut c_void, batch: *const abi::CaptionRequest, count: usize, sink: Sink) -> i32 {
    let mut out = Out::op(op::CAPTION);
    out.u64(count as u64);
    // SAFETY: see above.
    for request in unsafe { elements(batch, count) } {
        out.u64(request.image);
        // SAFETY: see above.
        out.bytes(unsafe { request.known.bytes() });
    }
    remote(out, sink).0
}

static CAPTIONER: abi::CaptionerTable = abi::CaptionerTable {
    struct_size: size_of::<abi::CaptionerTable>() as u32,
    thread_safety: ONE_AT_A_TIME,
    open,
    close,
    max_batch,
    caption,
};

unsafe extern "C" fn next_page(_: *mut c_void, from: Str, max_items: u32, sink: Sink) -> i32 {
    let mut out = Out::op(op::NEXT_PAGE);
    from.put(&mut out);
    out.u32(max_items);
    remote(out, sink).0
}

static SOURCE: abi::DatasetSourceTable = abi::DatasetSourceTable {
    struct_size: size_of::<abi::DatasetSourceTable>() as u32,
    thread_safety: ONE_AT_A_TIME,
    open,
    close,
    next_page,
};

unsafe extern "C" fn passes(_: *mut c_void) -> u32 {
    value(Out::op(op::PASSES)) as u32
}

/// # Safety
/// As for [`elements`].
unsafe fn filter(number: u32, batch: *const abi::FilterRequest, count: usize, sink: Sink) -> i32 {
    let mut out = Out::op(number);
    out.u64(count as u64);
    // SAFETY: see above.
    for request in unsafe { elements(batch, count) } {
        for text in [request.id, request.subset, request.annotation] {
            // SAFETY: see above.
            out.bytes(unsafe { text.bytes() });
        }
    }
    remote(out, sink).0
}

unsafe extern "C" fn observe(_: *mut c_void, batch: *const abi::FilterRequest, count: usize, sink: Sink) -> i32 {
    // SAFETY: see above.
    unsafe { filter(op::OBSERVE, batch, count, sink) }
}

unsafe extern "C" fn apply(_: *mut c_void, batch: *const abi::FilterRequest, count: usize, sink: Sink) -> i32 {
    // SAFETY: see above.
    unsafe { filter(op::APPLY, batch, count, sink) }
}

static FILTER: abi::TagFilterTable = abi::TagFilterTable {
    struct_size: size_of::<abi::TagFilterTable>() as u32,
    thread_safety: ONE_AT_A_TIME,
    open,
    close,
    passes,
    observe,
    apply,
};

unsafe extern "C" fn metrics(_: *mut c_void, sink: Sink) -> i32 {
    remote(Out::op(op::METRICS), sink).0
}

unsafe extern "C" fn reference(_: *mut c_void, images: *const u64, count: usize, sink: Sink) -> i32 {
    let mut out = Out::op(op::REFERENCE);
    out.u64(count as u64);
    // SAFETY: see above.
    unsafe { elements(images, count) }.iter().for_each(|image| out.u64(*image));
    remote(out, sink).0
}

unsafe extern "C" fn add(_: *mut c_void, samples: *const abi::Sample, count: usize, sink: Sink) -> i32 {
    let mut out = Out::op(op::ADD);
    out.u64(count as u64);
    // SAFETY: see above.
    for sample in unsafe { elements(samples, count) } {
        out.u64(sample.image);
        out.u64(sample.reference);
        out.u64(sample.seed);
        out.u32(sample.has_seed);
        for text in [sample.id, sample.prompt] {
            // SAFETY: see above.
            out.bytes(unsafe { text.bytes() });
        }
        sample.extra.put(&mut out);
    }
    remote(out, sink).0
}

unsafe extern "C" fn finish(_: *mut c_void, sink: Sink) -> i32 {
    remote(Out::op(op::FINISH), sink).0
}

static EVALUATOR: abi::EvaluatorTable = abi::EvaluatorTable {
    struct_size: size_of::<abi::EvaluatorTable>() as u32,
    thread_safety: ONE_AT_A_TIME,
    open,
    close,
    metrics,
    reference,
    add,
    finish,
};

unsafe extern "C" fn run(_: Str, _: Str, _: Sink) -> i32 {
    // Superseded by `call`; this host does not use it.
    ERROR
}

unsafe extern "C" fn call(what: u32, request: Str, sink: Sink) -> i32 {
    let mut out = Out::op(op::NODE);
    out.u32(what);
    // SAFETY: see above.
    out.bytes(unsafe { request.bytes() });
    remote(out, sink).0
}

static NODE: abi::NodeTable =
    abi::NodeTable { struct_size: size_of::<abi::NodeTable>() as u32, thread_safety: ONE_AT_A_TIME, run, call };
