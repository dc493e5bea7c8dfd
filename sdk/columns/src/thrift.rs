//! Thrift's compact protocol, as far as Parquet's footer and page headers need it. Source:
//! github.com/apache/thrift, doc/specs/thrift-compact-protocol.md.

/// How deep structures may lie in each other where they are skipped.
const DEPTH: u32 = 32;

pub(crate) const TRUE: u8 = 1;
pub(crate) const FALSE: u8 = 2;
pub(crate) const I32: u8 = 5;
pub(crate) const I64: u8 = 6;
pub(crate) const BINARY: u8 = 8;
pub(crate) const LIST: u8 = 9;
pub(crate) const STRUCT: u8 = 12;

/// What is wrong, in words that go on behind «damaged: ».
pub(crate) type Result<T, E = &'static str> = std::result::Result<T, E>;

/// The bytes ended before a value did: more of them may help.
pub(crate) const SHORT: &str = "it ends early";

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or(SHORT)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long")
    }

    /// A signed number of any size.
    pub(crate) fn number(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number that may not be below 0.
    pub(crate) fn count(&mut self) -> Result<u64> {
        u64::try_from(self.number()?).map_err(|_| "a count is below 0")
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        let part = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(SHORT)?;
        self.at += length;
        Ok(part)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.binary()?.to_vec()).map_err(|_| "a name is not UTF-8")
    }

    /// Elements of a list, and how many.
    pub(crate) fn list(&mut self) -> Result<(u8, usize)> {
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| SHORT)?,
            short => usize::from(short),
        };
        // Every element has a byte at least.
        if length > self.bytes.len() - self.at { Err(SHORT) } else { Ok((head & 15, length)) }
    }

    /// A list of structures, each read by `one`.
    pub(crate) fn structures<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let (kind, length) = self.list()?;
        if kind != STRUCT && length > 0 {
            return Err("expected a list of structures");
        }
        let mut out = Vec::new();
        for _ in 0..length {
            out.push(one(self)?);
        }
        Ok(out)
    }

    /// The fields of a structure: `field` takes number and type, and says whether it read the value.
    pub(crate) fn structure(&mut self, mut field: impl FnMut(i16, u8, &mut Self) -> Result<bool>) -> Result<()> {
        let mut id = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => i16::try_from(self.number()?).map_err(|_| "a field's number is too large")?,
                more => id.checked_add(i16::from(more)).ok_or("a field's number is too large")?,
            };
            let kind = head & 15;
            if !field(id, kind, self)? {
                self.skip(kind, DEPTH)?;
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or("structures lie too deep in each other")?;
        match kind {
            TRUE | FALSE => {}
            3 => _ = self.byte()?,
            4..=6 => _ = self.varint()?,
            7 => self.pass(8)?,
            BINARY => _ = self.binary()?,
            LIST | 10 => {
                let (kind, length) = self.list()?;
                for _ in 0..length {
                    // In a list a truth value has a byte of its own.
                    if kind == TRUE || kind == FALSE { self.pass(1)? } else { self.skip(kind, depth)? }
                }
            }
            11 => {
                let length = self.varint()?;
                if length > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..length {
                        for kind in [kinds >> 4, kinds & 15] {
                            if kind == TRUE || kind == FALSE { self.pass(1)? } else { self.skip(kind, depth)? }
                        }
                    }
                }
            }
            STRUCT => loop {
                let head = self.byte()?;
                if head == 0 {
                    break;
                }
                if head >> 4 == 0 {
                    self.number()?;
                }
                self.skip(head & 15, depth)?;
            },
            13 => self.pass(16)?,
            _ => return Err("a value has an unknown type"),
        }
        Ok(())
    }

    fn pass(&mut self, count: usize) -> Result<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len()).ok_or(SHORT)?;
        Ok(())
    }
}
