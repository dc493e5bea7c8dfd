//! The messages between the host and the process of a native library: frames of bytes, read with checks on both sides.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// The host asks; the payload is an operation and its arguments.
pub(super) const CALL: u8 = 1;
/// The host answers a function that the library called.
pub(super) const REPLY: u8 = 2;
/// The library calls a function of the host.
pub(super) const HOST: u8 = 3;
/// The library is done with what the host asked.
pub(super) const DONE: u8 = 4;

/// Longest frame that a library may send.
pub(super) const MAX_FRAME: usize = 512 << 20;

/// A message being written.
pub(super) struct Out(Vec<u8>);

impl Out {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn puts(&mut self, status: i32, value: u64, puts: &[(u64, i32, Vec<u8>)]) {
        self.u32(status.cast_unsigned());
        self.u64(value);
        self.u64(puts.len() as u64);
        for (index, status, data) in puts {
            self.u64(*index);
            self.u32(status.cast_unsigned());
            self.bytes(data);
        }
    }

    /// Sends it as one frame.
    pub(super) fn send(&self, to: &mut impl Write) -> Result<()> {
        let length = u32::try_from(self.0.len())
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "more than 4 GiB in one message"))?;
        to.write_all(&length.to_le_bytes())?;
        to.write_all(&self.0)?;
        to.flush()
    }
}

/// The next frame; none if the other side is gone.
pub(super) fn receive(from: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        let why = format!("{length} bytes in one message, {MAX_FRAME} are allowed");
        return Err(Error::new(ErrorKind::InvalidData, why));
    }
    // Room is made as bytes come, not as they are announced.
    let mut frame = Vec::new();
    from.take(length as u64).read_to_end(&mut frame)?;
    if frame.len() < length {
        return Ok(None);
    }
    Ok(Some(frame))
}

/// A message being read. Whatever it lacks is an error, never a panic.
pub(super) struct In<'a>(&'a [u8]);

/// A message that does not say what it should.
#[derive(Debug, PartialEq)]
pub(super) struct Torn;

/// Status, value and results of a call.
pub(super) type Puts = (i32, u64, Vec<(u64, i32, Vec<u8>)>);

impl<'a> In<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self(frame)
    }

    fn take(&mut self, count: usize) -> std::result::Result<&'a [u8], Torn> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Torn)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> std::result::Result<u8, Torn> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> std::result::Result<u32, Torn> {
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Torn)
    }

    pub(super) fn u64(&mut self) -> std::result::Result<u64, Torn> {
        self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| Torn)
    }

    pub(super) fn bytes(&mut self) -> std::result::Result<&'a [u8], Torn> {
        let length = usize::try_from(self.u64()?).map_err(|_| Torn)?;
        self.take(length)
    }

    /// A number of things that follow, each of at least `size` bytes.
    pub(super) fn count(&mut self, size: usize) -> std::result::Result<usize, Torn> {
        let count = usize::try_from(self.u64()?).map_err(|_| Torn)?;
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(Torn);
        }
        Ok(count)
    }

    pub(super) fn puts(&mut self) -> std::result::Result<Puts, Torn> {
        let (status, value) = (self.u32()?.cast_signed(), self.u64()?);
        let mut puts = Vec::new();
        for _ in 0..self.count(20)? {
            puts.push((self.u64()?, self.u32()?.cast_signed(), self.bytes()?.to_vec()));
        }
        Ok((status, value, puts))
    }
}

/// A value that crosses as an argument of a host function.
pub(super) trait Arg: Sized {
    /// What holds it on the other side.
    type Held;
    fn put(&self, out: &mut Out);
    fn get(from: &mut In<'_>) -> std::result::Result<Self::Held, Torn>;
    fn lend(held: &Self::Held) -> Self;
}

macro_rules! numbers {
    ($($t:ty, $put:ident, $get:ident, $to:expr, $back:expr;)*) => {$(
        impl Arg for $t {
            type Held = Self;
            fn put(&self, out: &mut Out) {
                out.$put($to(*self));
            }
            fn get(from: &mut In<'_>) -> std::result::Result<Self, Torn> {
                Ok($back(from.$get()?))
            }
            fn lend(held: &Self) -> Self {
                *held
            }
        }
    )*};
}
numbers! {
    u32, u32, u32, |v| v, |v| v;
    u64, u64, u64, |v| v, |v| v;
    f32, u32, u32, f32::to_bits, f32::from_bits;
}

impl Arg for plugin_abi::Str {
    type Held = Option<Vec<u8>>;

    fn put(&self, out: &mut Out) {
        out.u32(u32::from(self.is_given()));
        // SAFETY: by the ABI, whoever passes a string lends it for the call.
        out.bytes(unsafe { self.bytes() });
    }

    fn get(from: &mut In<'_>) -> std::result::Result<Self::Held, Torn> {
        let given = from.u32()? != 0;
        let bytes = from.bytes()?;
        Ok(given.then(|| bytes.to_vec()))
    }

    fn lend(held: &Self::Held) -> Self {
        held.as_ref().map_or(Self::NULL, |bytes| Self::new(bytes))
    }
}

/// Records without pointers cross as their bytes, null as nothing.
macro_rules! records {
    ($($t:ty),*) => {$(
        impl Arg for *const $t {
            type Held = Option<Box<$t>>;
            fn put(&self, out: &mut Out) {
                // SAFETY: by the ABI, null or a record that is lent for the call; it has no pointers and no padding.
                let bytes = unsafe { self.as_ref() }.map_or(&[][..], |record| unsafe {
                    std::slice::from_raw_parts(std::ptr::from_ref(record).cast::<u8>(), size_of::<$t>())
                });
                out.bytes(bytes);
            }
            fn get(from: &mut In<'_>) -> std::result::Result<Self::Held, Torn> {
                let bytes = from.bytes()?;
                if bytes.is_empty() {
                    return Ok(None);
                }
                if bytes.len() != size_of::<$t>() {
                    return Err(Torn);
                }
                // SAFETY: as many bytes as the record has, and each of its fields takes any.
                Ok(Some(Box::new(unsafe { bytes.as_ptr().cast::<$t>().read_unaligned() })))
            }
            fn lend(held: &Self::Held) -> Self {
                held.as_deref().map_or(std::ptr::null(), std::ptr::from_ref)
            }
        }
    )*};
}
records!(plugin_abi::Rect, plugin_abi::ResizeSpec, plugin_abi::TensorSpec);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let mut out = Out::new(DONE);
        out.puts(-1, 7, &[(0, 0, b"one".to_vec()), (u64::MAX, 2, Vec::new())]);
        let mut wire = Vec::new();
        out.send(&mut wire).unwrap();
        let mut from = wire.as_slice();
        let frame = receive(&mut from).unwrap().unwrap();
        assert_eq!(receive(&mut from).unwrap(), None);
        let mut read = In::new(&frame);
        assert_eq!(read.u8(), Ok(DONE));
        assert_eq!(read.puts(), Ok((-1, 7, vec![(0, 0, b"one".to_vec()), (u64::MAX, 2, Vec::new())])));
        assert_eq!(read.u8(), Err(Torn));
    }

    #[test]
    fn torn_and_boastful_messages_are_refused() {
        let mut out = Out::new(DONE);
        out.puts(0, 0, &[(3, 0, vec![9; 50])]);
        let mut wire = Vec::new();
        out.send(&mut wire).unwrap();
        for end in 4..wire.len() - 1 {
            assert!(receive(&mut &wire[..end]).unwrap().is_none());
            assert!(In::new(&wire[5..end.max(5)]).puts().is_err(), "{end}");
        }
        assert!(receive(&mut &u32::MAX.to_le_bytes()[..]).is_err());
        let mut boast = vec![0; 12];
        boast.extend(u64::MAX.to_le_bytes());
        assert_eq!(In::new(&boast).puts(), Err(Torn));
        assert_eq!(<*const plugin_abi::Rect>::get(&mut In::new(&[3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])).err(), Some(Torn));
    }
}
