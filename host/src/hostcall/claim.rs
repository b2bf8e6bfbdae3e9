//! Pointers and lengths from a guest: claims, until they have been held against its memory.
//!
//! A claim that is wrong is a [`Fault`]: the guest is broken or hostile, and no status would help
//! it.

use interstice_abi::host_call::Reply;

use crate::wasm::Fault;

/// Bytes of the guest that it says are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    ptr: u32,
    len: u32,
}

/// A buffer of the guest in which it wants an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(Claim);

impl Claim {
    /// As the guest said it.
    pub(crate) const fn new(ptr: u32, len: u32) -> Self {
        Self { ptr, len }
    }

    /// The claimed length in bytes.
    pub(crate) fn length(self) -> u64 {
        u64::from(self.len)
    }

    /// The bytes.
    ///
    /// # Errors
    /// [`Fault::Claim`] when they are not all in `memory`.
    pub(crate) fn read(self, memory: &[u8]) -> Result<&[u8], Fault> {
        let (start, end) = self.bounds();
        memory
            .get(start..end)
            .ok_or_else(|| self.fault(memory.len()))
    }

    /// The bytes, to be overwritten.
    ///
    /// # Errors
    /// As [`Claim::read`].
    pub(crate) fn write(self, memory: &mut [u8]) -> Result<&mut [u8], Fault> {
        let (start, end) = self.bounds();
        let size = memory.len();
        memory.get_mut(start..end).ok_or_else(|| self.fault(size))
    }

    /// Widened before they are added: two `u32`s overflow no `usize` of 64 bits; on 32 bits the
    /// sum saturates, which no memory reaches.
    fn bounds(self) -> (usize, usize) {
        let start = usize::try_from(self.ptr).unwrap_or(usize::MAX);
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        (start, start.saturating_add(len))
    }

    fn fault(self, memory: usize) -> Fault {
        Fault::Claim {
            ptr: self.ptr,
            len: self.length(),
            memory,
        }
    }
}

/// Copies `bytes` to `ptr`, whose length the guest was told before.
///
/// # Errors
/// As [`Claim::read`].
pub(super) fn put_at(memory: &mut [u8], ptr: u32, bytes: &[u8]) -> Result<(), Fault> {
    let size = memory.len();
    let fault = || Fault::Claim {
        ptr,
        len: bytes.len() as u64,
        memory: size,
    };
    let claim = Claim::new(ptr, u32::try_from(bytes.len()).map_err(|_| fault())?);
    claim.write(memory)?.copy_from_slice(bytes);
    Ok(())
}

impl Slot {
    /// As the guest said it.
    pub(crate) const fn new(out: u32, cap: u32) -> Self {
        Self(Claim::new(out, cap))
    }

    /// Checked before anything is done, so that a call with a bad buffer has done nothing.
    ///
    /// # Errors
    /// As [`Claim::read`].
    pub(super) fn check(self, memory: &[u8]) -> Result<(), Fault> {
        self.0.read(memory).map(|_| ())
    }

    /// Hands over an answer in parts: in the buffer when it fits, else through `waiting`.
    ///
    /// # Errors
    /// As [`Claim::read`].
    pub(super) fn put(
        self,
        memory: &mut [u8],
        waiting: &mut Vec<u8>,
        status: u16,
        parts: &[&[u8]],
    ) -> Result<Reply, Fault> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let buffer = self.0.write(memory)?;
        if let Some(answer) = buffer.get_mut(..total) {
            let mut rest = answer;
            for part in parts {
                // The parts' lengths add up to `answer`'s.
                let (here, behind) = rest.split_at_mut(part.len());
                here.copy_from_slice(part);
                rest = behind;
            }
        } else {
            *waiting = parts.concat();
        }
        let length = u32::try_from(total).map_err(|_| self.0.fault(total))?;
        Ok(Reply { status, length })
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Slot};

    #[test]
    fn a_claim_outside_of_memory_is_a_fault_whatever_its_numbers() {
        let mut memory = vec![7; 100];
        for (ptr, len, ok) in [
            (0, 100, true),
            (100, 0, true),
            (99, 1, true),
            (99, 2, false),
            (101, 0, false),
            (u32::MAX, 1, false),
            (u32::MAX, u32::MAX, false),
            (0, u32::MAX, false),
        ] {
            assert_eq!(
                Claim::new(ptr, len).read(&memory).is_ok(),
                ok,
                "{ptr} {len}"
            );
            assert_eq!(
                Claim::new(ptr, len).write(&mut memory).is_ok(),
                ok,
                "{ptr} {len}"
            );
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_waits() {
        let mut memory = vec![0; 8];
        let mut waiting = Vec::new();
        let reply = Slot::new(2, 3)
            .put(&mut memory, &mut waiting, 0, &[b"a", b"bc"])
            .unwrap();
        assert_eq!(
            (reply.length, memory.as_slice()),
            (3, &b"\0\0abc\0\0\0"[..])
        );
        assert!(waiting.is_empty());
        let reply = Slot::new(2, 3)
            .put(&mut memory, &mut waiting, 4, &[b"abc", b"d"])
            .unwrap();
        assert_eq!((reply.length, reply.status), (4, 4));
        assert_eq!(waiting, b"abcd");
        assert_eq!(memory, b"\0\0abc\0\0\0");
    }
}
