//! The process of one native library: loads it, does what the host asks, and ends with the host.

use super::frames::{Arg, CALL, DONE, HOST, In, MAX_FRAME, Out, REPLY, Torn, receive};
use super::relay::{self, Items};
use super::{Library, open};
use crate::kinds::KINDS;
use parking_lot::Mutex;
use plugin_abi::{self as abi, ERROR, OK, PANICKED, Sink, Str, WHOLE};
use spec::{ErrorKind, PluginError, Role};
use std::ffi::c_void;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What the host asks for.
pub(super) mod op {
    pub(crate) const LOAD: u32 = 0;
    pub(crate) const DESCRIBE: u32 = 1;
    pub(crate) const OPEN: u32 = 2;
    pub(crate) const CLOSE: u32 = 3;
    pub(crate) const MAX_BATCH: u32 = 4;
    pub(crate) const CAPTION: u32 = 5;
    pub(crate) const NEXT_PAGE: u32 = 6;
    pub(crate) const PASSES: u32 = 7;
    pub(crate) const OBSERVE: u32 = 8;
    pub(crate) const APPLY: u32 = 9;
    pub(crate) const METRICS: u32 = 10;
    pub(crate) const REFERENCE: u32 = 11;
    pub(crate) const ADD: u32 = 12;
    pub(crate) const FINISH: u32 = 13;
    pub(crate) const NODE: u32 = 14;
}

/// The stream to the host. One question at a time.
struct Line {
    stream: Mutex<UnixStream>,
    replies: Mutex<Receiver<Vec<u8>>>,
    main: std::thread::ThreadId,
}

static LINE: OnceLock<Line> = OnceLock::new();

/// Serves a host at the other end of standard input, and does not return before it is gone.
///
/// # Errors
/// Standard input is no such stream.
pub fn serve_library() -> std::io::Result<()> {
    let stream = take_stdin()?;
    let reader = stream.try_clone()?;
    let (call, calls) = channel();
    let (reply, replies) = channel();
    let line = Line { stream: Mutex::new(stream), replies: Mutex::new(replies), main: std::thread::current().id() };
    if LINE.set(line).is_err() {
        return Err(std::io::Error::other("one library is served already"));
    }
    std::thread::Builder::new().name("host".into()).spawn(move || listen(reader, &call, &reply))?;
    let mut served = Served::default();
    for frame in calls {
        let (status, value, items) =
            served.serve(&mut In::new(&frame[1..])).unwrap_or_else(|Torn| failed("the host's message is torn"));
        let mut out = Out::new(DONE);
        out.puts(status, value, &items);
        let Some(line) = LINE.get() else { break };
        if out.send(&mut *line.stream.lock()).is_err() {
            break;
        }
    }
    end()
}

/// The stream gets a number of its own, so that a library that reads or closes standard input does not meet it.
fn take_stdin() -> std::io::Result<UnixStream> {
    // SAFETY: plain system calls on the process's own descriptors; the new one belongs to nobody else.
    unsafe {
        let own = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 50);
        if own < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        libc::dup2(null, 0);
        // A crash is expected here; a core file of it is of no use to anybody.
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        Ok(UnixStream::from_raw_fd(own))
    }
}

/// At once, whatever the library left running.
fn end() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

/// Sorts what comes, on a thread of its own: when the host goes, this process goes, whatever the library does.
fn listen(mut stream: UnixStream, call: &Sender<Vec<u8>>, reply: &Sender<Vec<u8>>) {
    while let Ok(Some(frame)) = receive(&mut stream) {
        let passed = match frame.first() {
            Some(&CALL) => call.send(frame).is_ok(),
            Some(&REPLY) => reply.send(frame).is_ok(),
            _ => false,
        };
        if !passed {
            break;
        }
    }
    end()
}

/// Asks the host from within a call of the library.
fn ask(out: Out, anyone: bool) -> Option<(i32, u64, Items)> {
    let line = LINE.get()?;
    if !anyone && std::thread::current().id() != line.main {
        return None;
    }
    // Held until the answer is there, so that answers do not go to others.
    let mut stream = line.stream.lock();
    out.send(&mut *stream).ok()?;
    let frame = line.replies.lock().recv().ok()?;
    In::new(&frame[1..]).puts().ok()
}

fn failed(why: &str) -> (i32, u64, Items) {
    let error = PluginError::new(ErrorKind::Unavailable, why);
    (ERROR, 0, vec![(WHOLE, ERROR, serde_json::to_vec(&error).unwrap_or_default())])
}

/// Collects what the library puts. More than fits into a message is counted, not kept.
#[derive(Default)]
struct Collected {
    items: Items,
    bytes: usize,
}

unsafe extern "C" fn collect(ctx: *mut c_void, index: u64, status: i32, data: Str) {
    // SAFETY: `ctx` is the `Collected` of the call in progress; the bytes are lent for this call.
    let (collected, data) = unsafe { (&mut *ctx.cast::<Collected>(), data.bytes()) };
    collected.bytes = collected.bytes.saturating_add(data.len() + 20);
    if collected.bytes < MAX_FRAME - 64 {
        collected.items.push((index, status, data.to_vec()));
    }
}

impl Collected {
    fn sink(&mut self) -> Sink {
        Sink { ctx: std::ptr::from_mut(self).cast(), put: collect }
    }

    fn done(self, status: i32, value: u64) -> (i32, u64, Items) {
        if self.bytes >= MAX_FRAME - 64 {
            let (_, _, why) = failed(&format!("it broke the contract: it answered with {} bytes", self.bytes));
            return (PANICKED, 0, why.into_iter().map(|(at, _, data)| (at, PANICKED, data)).collect());
        }
        (status, value, self.items)
    }
}

/// The library and the one object that was opened.
#[derive(Default)]
struct Served {
    library: Option<Library>,
    opened: Option<(Role, *mut c_void)>,
}

impl Served {
    fn serve(&mut self, from: &mut In<'_>) -> Result<(i32, u64, Items), Torn> {
        let what = from.u32()?;
        if what == op::LOAD {
            let path = String::from_utf8_lossy(from.bytes()?).into_owned();
            return Ok(match open(Path::new(&path), |real| relay::table(real, ask)) {
                Ok(library) => {
                    self.library = Some(library);
                    let kinds = library.kinds();
                    let bits = KINDS.iter().enumerate().filter(|(_, row)| kinds.contains(&row.kind));
                    (OK, bits.map(|(at, _)| 1 << at).sum(), Vec::new())
                }
                Err(why) => failed(&why),
            });
        }
        let Some(library) = self.library else { return Ok(failed("no library is loaded")) };
        let mut got = Collected::default();
        if what == op::DESCRIBE {
            // SAFETY: the function comes from the table of a library that speaks this ABI and is never unloaded.
            let status = unsafe { (library.table.describe)(got.sink()) };
            return Ok(got.done(status, 0));
        }
        if what == op::OPEN {
            let at = from.u32()? as usize;
            let role = KINDS.get(at).ok_or(Torn)?.kind;
            let config = from.bytes()?;
            return Ok(match self.open(&library, role, config, &mut got) {
                Ok(status) => got.done(status, 0),
                Err(why) => failed(&why),
            });
        }
        let (status, value) = self.call(&library, what, from, got.sink())?;
        Ok(got.done(status, value))
    }

    fn open(&mut self, library: &Library, role: Role, config: &[u8], got: &mut Collected) -> Result<i32, String> {
        let mut this = std::ptr::null_mut();
        macro_rules! open {
            ($table:ty, $row:path) => {{
                // SAFETY: this is the table of this interface; arguments live for the call.
                unsafe {
                    let table = library.interface::<$table>($row.interface).map_err(|e| e.to_string())?;
                    (table.open)(Str::new(config), &raw mut this, got.sink())
                }
            }};
        }
        use crate::kinds::{captioner, dataset_source, evaluator, node, tag_filter};
        let status = match role {
            Role::Captioner => open!(abi::CaptionerTable, captioner::ROW),
            Role::DatasetSource => open!(abi::DatasetSourceTable, dataset_source::ROW),
            Role::TagFilter => open!(abi::TagFilterTable, tag_filter::ROW),
            Role::Evaluator => open!(abi::EvaluatorTable, evaluator::ROW),
            Role::Node => {
                // SAFETY: this is the table of this interface.
                unsafe { library.interface::<abi::NodeTable>(node::ROW.interface) }.map_err(|e| e.to_string())?;
                OK
            }
        };
        if status == OK {
            self.opened = Some((role, this));
        }
        Ok(status)
    }

    fn call(&mut self, library: &Library, what: u32, from: &mut In<'_>, sink: Sink) -> Result<(i32, u64), Torn> {
        let Some((role, this)) = self.opened else { return Err(Torn) };
        macro_rules! table {
            ($table:ty, $row:ident) => {
                // SAFETY: this is the table of this interface.
                unsafe { library.interface::<$table>(crate::kinds::$row::ROW.interface) }.map_err(|_| Torn)?
            };
        }
        // SAFETY (all calls below): `this` comes from the `open` of the same table, and all pointers live for the call.
        Ok(match (role, what) {
            (Role::Captioner, _) => {
                let table = table!(abi::CaptionerTable, captioner);
                match what {
                    op::MAX_BATCH => (OK, u64::from(unsafe { (table.max_batch)(this) })),
                    op::CAPTION => {
                        let mut batch = Vec::new();
                        for _ in 0..from.count(16)? {
                            batch.push(abi::CaptionRequest { image: from.u64()?, known: Str::new(from.bytes()?) });
                        }
                        // SAFETY: see above.
                        (unsafe { (table.caption)(this, batch.as_ptr(), batch.len(), sink) }, 0)
                    }
                    _ => self.close(table.close, what)?,
                }
            }
            (Role::DatasetSource, _) => {
                let table = table!(abi::DatasetSourceTable, dataset_source);
                match what {
                    op::NEXT_PAGE => {
                        let (at, max) = (Str::get(from)?, from.u32()?);
                        // SAFETY: see above.
                        (unsafe { (table.next_page)(this, Str::lend(&at), max, sink) }, 0)
                    }
                    _ => self.close(table.close, what)?,
                }
            }
            (Role::TagFilter, _) => {
                let table = table!(abi::TagFilterTable, tag_filter);
                match what {
                    // SAFETY: see above.
                    op::PASSES => (OK, u64::from(unsafe { (table.passes)(this) })),
                    op::OBSERVE | op::APPLY => {
                        let mut batch = Vec::new();
                        for _ in 0..from.count(24)? {
                            let (id, subset) = (Str::new(from.bytes()?), Str::new(from.bytes()?));
                            batch.push(abi::FilterRequest { id, subset, annotation: Str::new(from.bytes()?) });
                        }
                        let call = if what == op::APPLY { table.apply } else { table.observe };
                        // SAFETY: see above.
                        (unsafe { call(this, batch.as_ptr(), batch.len(), sink) }, 0)
                    }
                    _ => self.close(table.close, what)?,
                }
            }
            (Role::Evaluator, _) => {
                let table = table!(abi::EvaluatorTable, evaluator);
                match what {
                    // SAFETY: see above.
                    op::METRICS => (unsafe { (table.metrics)(this, sink) }, 0),
                    op::REFERENCE => {
                        let images: Vec<u64> = (0..from.count(8)?).map(|_| from.u64()).collect::<Result<_, _>>()?;
                        (unsafe { (table.reference)(this, images.as_ptr(), images.len(), sink) }, 0)
                    }
                    op::ADD => {
                        let samples = samples(from)?;
                        // SAFETY: see above.
                        (unsafe { (table.add)(this, samples.as_ptr(), samples.len(), sink) }, 0)
                    }
                    op::FINISH => (unsafe { (table.finish)(this, sink) }, 0),
                    _ => self.close(table.close, what)?,
                }
            }
            (Role::Node, op::NODE) => {
                let (ask, request) = (from.u32()?, from.bytes()?);
                let table = table!(abi::NodeTable, node);
                // SAFETY: see above.
                (unsafe { (table.call)(ask, Str::new(request), sink) }, 0)
            }
            (Role::Node, _) => (OK, 0),
        })
    }

    fn close(&mut self, close: unsafe extern "C" fn(*mut c_void), what: u32) -> Result<(i32, u64), Torn> {
        let (op::CLOSE, Some((_, this))) = (what, self.opened.take()) else { return Err(Torn) };
        // SAFETY: `this` comes from the same table's `open` and is not used afterwards.
        unsafe { close(this) };
        Ok((OK, 0))
    }
}

/// What [`abi::Sample`]s point to lives as long as the message.
fn samples(from: &mut In<'_>) -> Result<Vec<abi::Sample>, Torn> {
    let mut samples = Vec::new();
    for _ in 0..from.count(40)? {
        let (image, reference, seed, has_seed) = (from.u64()?, from.u64()?, from.u64()?, from.u32()?);
        let (id, prompt) = (Str::new(from.bytes()?), Str::new(from.bytes()?));
        let given = from.u32()? != 0;
        let extra = from.bytes()?;
        let extra = if given { Str::new(extra) } else { Str::NULL };
        samples.push(abi::Sample { image, reference, id, prompt, extra, seed, has_seed });
    }
    Ok(samples)
}

// What the host sends is told apart by its first byte; this one only ever goes the other way.
const _: () = assert!(HOST != CALL && HOST != REPLY);
