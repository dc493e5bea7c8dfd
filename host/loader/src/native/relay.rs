//! The host's table on the other end of a stream: in the library's process each function sends its arguments, in the host
//! the same function of the real table is called with them, by the thread that is inside the library's call.

use super::frames::{Arg, In, Out, Torn};
use plugin_abi as abi;
use plugin_abi::{ERROR, HostTable, OK, Sink, Str, TensorInfo, WHOLE};
use std::ffi::c_void;

type Ctx = *mut c_void;
pub(super) type Items = Vec<(u64, i32, Vec<u8>)>;

/// How a stub asks the host: what was answered, or none if it must not ask now.
pub(super) type Ask = fn(Out, anyone: bool) -> Option<(i32, u64, Items)>;

/// Set once, before the library is loaded.
static ASK: std::sync::OnceLock<Ask> = std::sync::OnceLock::new();

/// Functions, by their number in a message.
mod id {
    macro_rules! ids {
        ($n:expr; $first:ident $($rest:ident)*) => { pub(super) const $first: u32 = $n; ids!($n + 1; $($rest)*); };
        ($n:expr;) => {};
    }
    ids!(0; LOG PROGRESS CANCELLED SEED WIDTH HEIGHT FORMAT IMAGE_DROP TENSOR_DROP SESSION_DROP HANDLE_DROP HASH
        IMAGE_VIEW TENSOR_VIEW TENSOR_INFO FROM_BYTES RESHAPE STACK RUN GENERATE);
    /// Where the regular ones begin.
    pub(super) const REGULAR: u32 = 100;
}

/// Collects what a function of the host puts.
struct Collected(Items);

unsafe extern "C" fn collect(ctx: *mut c_void, index: u64, status: i32, data: Str) {
    // SAFETY: `ctx` is the `Collected` of the call in progress; the bytes are lent for this call.
    unsafe { (*ctx.cast::<Collected>()).0.push((index, status, data.bytes().to_vec())) }
}

impl Collected {
    fn sink(&mut self) -> Sink {
        Sink { ctx: std::ptr::from_mut(self).cast(), put: collect }
    }
}

/// Asks, and gives the results to the library's sink; the value that came with them.
fn relay(out: Out, sink: Sink) -> (i32, u64, Items) {
    let Some((status, value, items)) = ASK.get().and_then(|ask| ask(out, false)) else {
        let error = r#"{"kind":"invalid-input","message":"the host's functions may only be called by the thread that is inside a call of the plugin"}"#;
        // SAFETY: the library lends the sink for this call.
        unsafe { (sink.put)(sink.ctx, WHOLE, ERROR, Str::new(error.as_bytes())) };
        return (ERROR, 0, Vec::new());
    };
    (status, value, items)
}

fn give(sink: Sink, items: &Items) {
    for (index, status, data) in items {
        // SAFETY: the library lends the sink for this call, the bytes live until `put` returns.
        unsafe { (sink.put)(sink.ctx, *index, *status, Str::new(data)) }
    }
}

fn ask(number: u32) -> Out {
    let mut out = Out::new(super::frames::HOST);
    out.u32(number);
    out
}

/// Without a sink: the value alone.
fn plain(out: Out, anyone: bool) -> u64 {
    ASK.get().and_then(|ask| ask(out, anyone)).map_or(0, |(_, value, _)| value)
}

fn refuse_null(sink: Sink) -> i32 {
    let error = r#"{"kind":"invalid-input","message":"expected a place for the result, found null"}"#;
    // SAFETY: the library lends the sink for this call.
    unsafe { (sink.put)(sink.ctx, WHOLE, ERROR, Str::new(error.as_bytes())) };
    ERROR
}

/// A function that gives a number through a pointer.
fn make(out: Out, place: *mut u64, sink: Sink) -> i32 {
    if place.is_null() {
        return refuse_null(sink);
    }
    let (status, value, items) = relay(out, sink);
    give(sink, &items);
    if status == OK {
        // SAFETY: not null, and by the ABI lent for the call.
        unsafe { place.write_unaligned(value) };
    }
    status
}

/// The regular functions: arguments, for some a place for a handle, a sink.
macro_rules! regular {
    ($(
        $name:ident ( $($arg:ident : $t:ty),* ) $(-> $made:ident)? ;
    )*) => {
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types, reason = "named after the functions of the table")]
        #[repr(u32)]
        enum Regular { $($name),* }

        /// What runs in the library's process.
        mod stub {
            use super::*;
            $( regular!(@stub $name ($($arg : $t),*) $($made)?); )*
        }

        /// The real function.
        fn regular(table: &HostTable, number: u32, from: &mut In<'_>, collected: &mut Collected) -> Result<(i32, u64), Torn> {
            $(
                if number == id::REGULAR + Regular::$name as u32 {
                    $( let $arg = <$t as Arg>::get(from)?; )*
                    return Ok(regular!(@call table $name collected ($($arg : $t),*) $($made)?));
                }
            )*
            Err(Torn)
        }

        fn set_regular(table: &mut HostTable) {
            $( table.$name = stub::$name; )*
        }
    };
    (@stub $name:ident ($($arg:ident : $t:ty),*)) => {
        pub(super) unsafe extern "C" fn $name(_: Ctx, $($arg: $t,)* sink: Sink) -> i32 {
            #[allow(unused_mut)]
            let mut out = ask(id::REGULAR + Regular::$name as u32);
            $( $arg.put(&mut out); )*
            let (status, _, items) = relay(out, sink);
            give(sink, &items);
            status
        }
    };
    (@stub $name:ident ($($arg:ident : $t:ty),*) $made:ident) => {
        pub(super) unsafe extern "C" fn $name(_: Ctx, $($arg: $t,)* place: *mut u64, sink: Sink) -> i32 {
            let mut out = ask(id::REGULAR + Regular::$name as u32);
            $( $arg.put(&mut out); )*
            make(out, place, sink)
        }
    };
    (@call $table:ident $name:ident $collected:ident ($($arg:ident : $t:ty),*)) => {
        // SAFETY: the host's own function; everything is lent for the call.
        (unsafe { ($table.$name)($table.ctx, $(<$t as Arg>::lend(&$arg),)* $collected.sink()) }, 0)
    };
    (@call $table:ident $name:ident $collected:ident ($($arg:ident : $t:ty),*) $made:ident) => {{
        let mut value = 0;
        // SAFETY: as above.
        let status = unsafe { ($table.$name)($table.ctx, $(<$t as Arg>::lend(&$arg),)* &raw mut value, $collected.sink()) };
        (status, value)
    }};
}

regular! {
    image_digest(image: u64);
    image_metadata(image: u64, key: Str);
    image_read(image: u64, area: *const abi::Rect, format: u32);
    image_resize(image: u64, spec: *const abi::ResizeSpec) -> handle;
    image_crop(image: u64, area: *const abi::Rect) -> handle;
    image_convert(image: u64, format: u32) -> handle;
    image_to_tensor(image: u64, spec: *const abi::TensorSpec) -> handle;
    image_encode(image: u64, codec: u32, quality: u32);
    image_share(image: u64) -> handle;
    image_decode(bytes: Str) -> handle;
    image_from_pixels(width: u32, height: u32, format: u32, pixels: Str) -> handle;
    tensor_read_bytes(tensor: u64);
    tensor_read_f32(tensor: u64);
    tensor_cast(tensor: u64, dtype: u32) -> handle;
    tensor_narrow(tensor: u64, dim: u32, start: u32, length: u32) -> handle;
    tensor_sigmoid(tensor: u64) -> handle;
    tensor_softmax(tensor: u64, dim: u32) -> handle;
    tensor_top_k(tensor: u64, k: u32);
    tensor_above(tensor: u64, threshold: f32);
    tensor_share(tensor: u64) -> handle;
    inference_models();
    inference_load(model: Str, options: Str) -> handle;
    session_info(session: u64);
    session_asset(session: u64, name: Str);
    files_list_dir(root: Str, path: Str, after: Str, limit: u32);
    files_read(root: Str, path: Str, max_bytes: u64);
    files_read_image(root: Str, path: Str) -> handle;
    storage_get(key: Str);
    storage_set(key: Str, value: Str);
    storage_delete(key: Str);
    storage_keys(prefix: Str, after: Str, limit: u32);
    http_fetch(request: Str, body: Str);
    http_fetch_image(request: Str, body: Str) -> handle;
    handle_type_name(handle: u64);
    handle_share(handle: u64) -> handle;
}

/// In the host: does what a message of the library asks.
pub(super) fn answer(table: &HostTable, frame: &mut In<'_>) -> Result<(i32, u64, Items), Torn> {
    let number = frame.u32()?;
    let mut got = Collected(Vec::new());
    let ctx = table.ctx;
    // SAFETY (all calls below): the host's own functions; pointers live for the call.
    let (status, value) = match number {
        id::LOG => {
            let (level, text) = (frame.u32()?, frame.bytes()?);
            unsafe { (table.log)(ctx, level, Str::new(text)) };
            (OK, 0)
        }
        id::PROGRESS => {
            let (done, total, text) = (frame.u64()?, frame.u64()?, frame.bytes()?);
            // SAFETY: see above.
            unsafe { (table.progress)(ctx, done, total, Str::new(text)) };
            (OK, 0)
        }
        id::CANCELLED => (OK, u64::from(unsafe { (table.cancelled)(ctx) }.cast_unsigned())),
        id::SEED => (OK, unsafe { (table.seed)(ctx) }),
        id::WIDTH => (OK, u64::from(unsafe { (table.image_width)(ctx, frame.u64()?) })),
        // SAFETY: see above.
        id::HEIGHT => (OK, u64::from(unsafe { (table.image_height)(ctx, frame.u64()?) })),
        id::FORMAT => (OK, u64::from(unsafe { (table.image_format)(ctx, frame.u64()?) })),
        id::IMAGE_DROP | id::TENSOR_DROP | id::SESSION_DROP | id::HANDLE_DROP => {
            unsafe { (table.image_drop)(ctx, frame.u64()?) };
            (OK, 0)
        }
        id::HASH => {
            let (image, kind) = (frame.u64()?, frame.u32()?);
            let mut value = 0;
            // SAFETY: see above.
            (unsafe { (table.image_perceptual_hash)(ctx, image, kind, &raw mut value, got.sink()) }, value)
        }
        id::IMAGE_VIEW | id::TENSOR_VIEW => {
            let (object, format) = (frame.u64()?, frame.u32()?);
            let mut view = Str::NULL;
            let status = unsafe {
                if number == id::IMAGE_VIEW {
                    (table.image_view)(ctx, object, format, &raw mut view, got.sink())
                } else {
                    (table.tensor_view)(ctx, object, &raw mut view, got.sink())
                }
            };
            if status == OK {
                // SAFETY: see above.
                got.0.push((0, OK, unsafe { view.bytes() }.to_vec()));
            }
            (status, 0)
        }
        id::TENSOR_INFO => {
            let struct_size = size_of::<TensorInfo>() as u32;
            let mut info = TensorInfo { struct_size, dtype: 0, rank: 0, shape: [0; abi::MAX_RANK] };
            // SAFETY: see above.
            let status = unsafe { (table.tensor_info)(ctx, frame.u64()?, &raw mut info, got.sink()) };
            if status == OK {
                let numbers = [info.dtype, info.rank].into_iter().chain(info.shape);
                got.0.push((0, OK, numbers.flat_map(u32::to_le_bytes).collect()));
            }
            (status, 0)
        }
        id::FROM_BYTES => {
            let (shape, dtype, bytes) = (numbers32(frame)?, frame.u32()?, frame.bytes()?);
            let mut value = 0;
            let bytes = Str::new(bytes);
            let place = &raw mut value;
            // SAFETY: see above.
            let status =
                unsafe { (table.tensor_from_bytes)(ctx, shape.as_ptr(), shape.len(), dtype, bytes, place, got.sink()) };
            (status, value)
        }
        id::RESHAPE => {
            let (tensor, shape) = (frame.u64()?, numbers32(frame)?);
            let mut value = 0;
            let place = &raw mut value;
            // SAFETY: see above.
            (unsafe { (table.tensor_reshape)(ctx, tensor, shape.as_ptr(), shape.len(), place, got.sink()) }, value)
        }
        id::STACK => {
            let tensors = numbers64(frame)?;
            let mut value = 0;
            let place = &raw mut value;
            // SAFETY: see above.
            (unsafe { (table.tensor_stack)(ctx, tensors.as_ptr(), tensors.len(), place, got.sink()) }, value)
        }
        id::RUN => {
            let session = frame.u64()?;
            let mut inputs = Vec::new();
            for _ in 0..frame.count(16)? {
                let (tensor, name) = (frame.u64()?, frame.bytes()?);
                inputs.push(abi::NamedTensor { name: Str::new(name), tensor });
            }
            // SAFETY: see above.
            (unsafe { (table.session_run)(ctx, session, inputs.as_ptr(), inputs.len(), got.sink()) }, 0)
        }
        id::GENERATE => {
            let (request, images) = (frame.bytes()?, numbers64(frame)?);
            let request = Str::new(request);
            (unsafe { (table.generate)(ctx, request, images.as_ptr(), images.len(), got.sink()) }, 0)
        }
        other => regular(table, other, frame, &mut got)?,
    };
    Ok((status, value, got.0))
}

fn numbers32(frame: &mut In<'_>) -> Result<Vec<u32>, Torn> {
    (0..frame.count(4)?).map(|_| frame.u32()).collect()
}

fn numbers64(frame: &mut In<'_>) -> Result<Vec<u64>, Torn> {
    (0..frame.count(8)?).map(|_| frame.u64()).collect()
}

// In the library's process. Pointers that it passes are valid for the call, by the ABI; that is what their SAFETY comments
// refer to.

unsafe extern "C" fn log(_: Ctx, level: u32, message: Str) {
    let mut out = ask(id::LOG);
    out.u32(level);
    // SAFETY: the ABI.
    out.bytes(unsafe { message.bytes() });
    plain(out, true);
}

unsafe extern "C" fn progress(_: Ctx, done: u64, total: u64, message: Str) {
    let mut out = ask(id::PROGRESS);
    out.u64(done);
    out.u64(total);
    // SAFETY: the ABI.
    out.bytes(unsafe { message.bytes() });
    plain(out, false);
}

unsafe extern "C" fn cancelled(_: Ctx) -> i32 {
    (plain(ask(id::CANCELLED), true) as u32).cast_signed()
}

unsafe extern "C" fn seed(_: Ctx) -> u64 {
    plain(ask(id::SEED), false)
}

macro_rules! of_one {
    ($($name:ident $id:ident $t:ty;)*) => {$(
        unsafe extern "C" fn $name(_: Ctx, object: u64) -> $t {
            let mut out = ask(id::$id);
            out.u64(object);
            plain(out, false) as $t
        }
    )*};
}
of_one! { width WIDTH u32; height HEIGHT u32; format FORMAT u32; }

macro_rules! drops {
    ($($name:ident $id:ident;)*) => {$(
        unsafe extern "C" fn $name(_: Ctx, object: u64) {
            let mut out = ask(id::$id);
            out.u64(object);
            plain(out, false);
            views::forget(object);
        }
    )*};
}
drops! { image_drop IMAGE_DROP; tensor_drop TENSOR_DROP; session_drop SESSION_DROP; handle_drop HANDLE_DROP; }

unsafe extern "C" fn image_perceptual_hash(_: Ctx, image: u64, kind: u32, place: *mut u64, sink: Sink) -> i32 {
    let mut out = ask(id::HASH);
    out.u64(image);
    out.u32(kind);
    make(out, place, sink)
}

/// Bytes that the library looks at without a copy of its own, until it drops the object.
mod views {
    use std::cell::RefCell;
    use std::collections::HashMap;

    thread_local! {
        // Of eight-byte words: aligned for every type of element.
        static KEPT: RefCell<HashMap<u64, Vec<Vec<u64>>>> = RefCell::default();
    }

    pub(super) fn keep(object: u64, bytes: &[u8]) -> *const u8 {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        });
        let words: Vec<u64> = words.collect();
        let pointer = words.as_ptr().cast::<u8>();
        KEPT.with_borrow_mut(|kept| kept.entry(object).or_default().push(words));
        pointer
    }

    pub(super) fn forget(object: u64) {
        KEPT.with_borrow_mut(|kept| kept.remove(&object));
    }
}

fn view(number: u32, object: u64, format: u32, place: *mut Str, sink: Sink) -> i32 {
    if place.is_null() {
        return refuse_null(sink);
    }
    let mut out = ask(number);
    out.u64(object);
    out.u32(format);
    let (status, _, items) = relay(out, sink);
    let [(_, OK, bytes)] = items.as_slice() else {
        give(sink, &items);
        return if status == OK { ERROR } else { status };
    };
    let lent = Str { ptr: views::keep(object, bytes), len: bytes.len() };
    // SAFETY: not null, and the ABI.
    unsafe { place.write_unaligned(lent) };
    OK
}

unsafe extern "C" fn image_view(_: Ctx, image: u64, format: u32, place: *mut Str, sink: Sink) -> i32 {
    view(id::IMAGE_VIEW, image, format, place, sink)
}

unsafe extern "C" fn tensor_view(_: Ctx, tensor: u64, place: *mut Str, sink: Sink) -> i32 {
    view(id::TENSOR_VIEW, tensor, 0, place, sink)
}

unsafe extern "C" fn tensor_info(_: Ctx, tensor: u64, place: *mut TensorInfo, sink: Sink) -> i32 {
    // SAFETY: null or, by the ABI, such a record with its size set.
    let Some(info) = (unsafe { place.as_mut() }).filter(|i| i.struct_size as usize >= size_of::<TensorInfo>()) else {
        return refuse_null(sink);
    };
    let mut out = ask(id::TENSOR_INFO);
    out.u64(tensor);
    let (status, _, items) = relay(out, sink);
    let [(_, OK, bytes)] = items.as_slice() else {
        give(sink, &items);
        return if status == OK { ERROR } else { status };
    };
    let mut numbers = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    (info.dtype, info.rank) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    info.shape.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
    OK
}

/// # Safety
/// `pointer` must be lent with `count` elements, or null with none.
unsafe fn elements<'a, T>(pointer: *const T, count: usize) -> &'a [T] {
    if count == 0 || pointer.is_null() {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { std::slice::from_raw_parts(pointer, count) }
}

fn put32(out: &mut Out, numbers: &[u32]) {
    out.u64(numbers.len() as u64);
    numbers.iter().for_each(|n| out.u32(*n));
}

fn put64(out: &mut Out, numbers: &[u64]) {
    out.u64(numbers.len() as u64);
    numbers.iter().for_each(|n| out.u64(*n));
}

unsafe extern "C" fn tensor_from_bytes(
    _: Ctx,
    shape: *const u32,
    rank: usize,
    dtype: u32,
    bytes: Str,
    place: *mut u64,
    sink: Sink,
) -> i32 {
    let mut out = ask(id::FROM_BYTES);
    // SAFETY: the ABI.
    put32(&mut out, unsafe { elements(shape, rank) });
    out.u32(dtype);
    // SAFETY: the ABI.
    out.bytes(unsafe { bytes.bytes() });
    make(out, place, sink)
}

unsafe extern "C" fn tensor_reshape(
    _: Ctx,
    tensor: u64,
    shape: *const u32,
    rank: usize,
    place: *mut u64,
    sink: Sink,
) -> i32 {
    let mut out = ask(id::RESHAPE);
    out.u64(tensor);
    // SAFETY: the ABI.
    put32(&mut out, unsafe { elements(shape, rank) });
    make(out, place, sink)
}

unsafe extern "C" fn tensor_stack(_: Ctx, tensors: *const u64, count: usize, place: *mut u64, sink: Sink) -> i32 {
    let mut out = ask(id::STACK);
    // SAFETY: the ABI.
    put64(&mut out, unsafe { elements(tensors, count) });
    make(out, place, sink)
}

unsafe extern "C" fn session_run(
    _: Ctx,
    session: u64,
    inputs: *const abi::NamedTensor,
    count: usize,
    sink: Sink,
) -> i32 {
    let mut out = ask(id::RUN);
    out.u64(session);
    // SAFETY: the ABI.
    let inputs = unsafe { elements(inputs, count) };
    out.u64(inputs.len() as u64);
    for input in inputs {
        out.u64(input.tensor);
        // SAFETY: the ABI.
        out.bytes(unsafe { input.name.bytes() });
    }
    let (status, _, items) = relay(out, sink);
    give(sink, &items);
    status
}

unsafe extern "C" fn generate(_: Ctx, request: Str, images: *const u64, count: usize, sink: Sink) -> i32 {
    let mut out = ask(id::GENERATE);
    // SAFETY: the ABI.
    out.bytes(unsafe { request.bytes() });
    // SAFETY: the ABI.
    put64(&mut out, unsafe { elements(images, count) });
    let (status, _, items) = relay(out, sink);
    give(sink, &items);
    status
}

/// The table that a library gets in a process of its own.
pub(super) fn table(real: HostTable, ask: Ask) -> HostTable {
    let _ = ASK.set(ask);
    let mut table = HostTable {
        log,
        progress,
        cancelled,
        seed,
        image_width: width,
        image_height: height,
        image_format: format,
        image_perceptual_hash,
        image_view,
        image_drop,
        tensor_from_bytes,
        tensor_info,
        tensor_view,
        tensor_reshape,
        tensor_stack,
        tensor_drop,
        session_run,
        session_drop,
        generate,
        handle_drop,
        ..real
    };
    set_regular(&mut table);
    table
}
