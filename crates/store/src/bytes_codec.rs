//! Integers and byte strings as this crate stores and sends them: integers with a fixed width, big endian;
//! byte strings after their length in 4 bytes. Reading is strict: bytes that are left over are an error.

/// Why bytes could not be read.
pub(crate) type CodecProblem = &'static str;

/// Appends `bytes` with its length in front.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // A string over 4 GiB cannot occur, because redb takes no such value. If it did, the result would not
    // decode.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads values from the front of some bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecProblem> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or("it is cut short")?;
        self.rest = rest;
        Ok(*array)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8, CodecProblem> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next 8 bytes as an integer.
    pub(crate) fn u64(&mut self) -> Result<u64, CodecProblem> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next byte string.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecProblem> {
        let length = self.array().map(u32::from_be_bytes)? as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or("it is cut short")?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), CodecProblem> {
        if self.rest.is_empty() { Ok(()) } else { Err("bytes are left over") }
    }
}
