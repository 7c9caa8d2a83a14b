// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reading and writing big-endian words in octets without a panic path: at constant offsets of a
//! fixed array, and in order through a slice, which is also what the two XDR types that VMTP uses
//! (unsigned int, unsigned hyper) need.
//!
//! It knows no field of any packet.

/// The `N` octets of `octets` at the constant offset `AT`. A range outside the array does not
/// compile.
#[inline(always)]
pub(super) fn at<const AT: usize, const N: usize, const LEN: usize>(octets: &[u8; LEN]) -> [u8; N] {
    const { assert!(AT <= LEN && N <= LEN - AT) };
    match octets.get(AT..).and_then(|tail| tail.first_chunk::<N>()) {
        Some(chunk) => *chunk,
        // Excluded by the assertion above; the compiler drops it.
        None => [0; N],
    }
}

/// Writes `value` into `octets` at the constant offset `AT`. A range outside the array does not
/// compile.
#[inline(always)]
pub(super) fn put<const AT: usize, const N: usize, const LEN: usize>(
    octets: &mut [u8; LEN],
    value: [u8; N],
) {
    const { assert!(AT <= LEN && N <= LEN - AT) };
    if let Some(chunk) = octets
        .get_mut(AT..)
        .and_then(|tail| tail.first_chunk_mut::<N>())
    {
        *chunk = value;
    }
}

/// Takes big-endian words from the front of a slice, as XDR has them (RFC 1014).
///
/// A read past the end returns `None` and takes nothing.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first octet of `octets` on.
    #[inline]
    pub const fn new(octets: &'a [u8]) -> Self {
        Reader { rest: octets }
    }

    /// The next `N` octets as they are.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*chunk)
    }

    /// The next 4 octets as one big-endian word.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next 8 octets as one big-endian hyper.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// What has not been read yet.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Puts big-endian words at the front of a slice, as XDR has them (RFC 1014).
///
/// A write that does not fit returns `None` and writes nothing.
#[derive(Debug)]
pub struct Writer<'a> {
    rest: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    /// Writes from the first octet of `octets` on.
    #[inline]
    pub fn new(octets: &'a mut [u8]) -> Self {
        Writer {
            rest: octets,
            written: 0,
        }
    }

    /// Writes `N` octets as they are.
    #[inline]
    pub fn array<const N: usize>(&mut self, value: [u8; N]) -> Option<()> {
        if self.rest.len() < N {
            return None;
        }
        let (chunk, tail) = core::mem::take(&mut self.rest).split_first_chunk_mut::<N>()?;
        *chunk = value;
        self.rest = tail;
        self.written = self.written.saturating_add(N);
        Some(())
    }

    /// Writes one word in 4 octets, big-endian.
    #[inline]
    pub fn u32(&mut self, value: u32) -> Option<()> {
        self.array(value.to_be_bytes())
    }

    /// Writes one hyper in 8 octets, big-endian.
    #[inline]
    pub fn u64(&mut self, value: u64) -> Option<()> {
        self.array(value.to_be_bytes())
    }

    /// Octets written so far.
    #[inline]
    pub const fn written(&self) -> usize {
        self.written
    }
}
