//! One host call from the guest's side: ask, fetch the answer, read it in place.
//!
//! Owns the reply buffer, and the counts of what can change tables behind a lazy iteration's back.
//! The imports are `sys` inside a node and `testing::imports` natively; both speak the same
//! protocol.

use std::{
    cell::{Cell, RefCell},
    thread::LocalKey,
};

use interstice_abi::{codec::Column, host_call::Reply};

use crate::Error;
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::sys as imports;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports;

/// Answers up to this size arrive with the call itself; most rows fit. Larger ones cost a second,
/// cheap call.
const REPLY_BUFFER_BYTES: usize = 4096;

/// Room for input and for encoded values that is kept from call to call: more than most need,
/// little beside a guest's memory.
const KEPT_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static REPLY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
    static RESETS: Cell<u32> = const { Cell::new(0) };
}

/// Asks the host with `call`, which is handed the reply buffer, and reads the answer with `read`.
///
/// # Errors
/// The host's refusal, or an internal error when `read` cannot make sense of the answer.
pub(crate) fn ask<T>(
    call: impl FnOnce(&mut [u8]) -> Reply,
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Error> {
    // Taken, not borrowed: natively, what answers a call may itself ask the host.
    let mut buffer = REPLY.take();
    buffer.resize(REPLY_BUFFER_BYTES, 0);
    let reply = call(&mut buffer);
    let length = reply.length as usize;
    let result = match buffer.get(..length) {
        Some(answer) => interpret(reply.status, answer, read),
        None => {
            let mut answer = vec![0; length];
            imports::reply_read(&mut answer);
            interpret(reply.status, &answer, read)
        }
    };
    REPLY.set(buffer);
    result
}

fn interpret<T>(
    status: u16,
    answer: &[u8],
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Error> {
    if status != 0 {
        return Err(Error::from_reply(status, answer));
    }
    read(answer).ok_or_else(|| Error::internal("the host's answer cannot be read"))
}

/// Hands the input of the export that runs, of so many bytes, to `run`.
pub(crate) fn with_input<T>(length: usize, run: impl FnOnce(&[u8]) -> T) -> T {
    with_kept(&INPUT, |input| {
        input.resize(length, 0);
        imports::input_read(input);
        run(input)
    })
}

/// Hands a value's bytes to `use_bytes`.
pub(crate) fn encoded<T>(value: &impl Column, use_bytes: impl FnOnce(&[u8]) -> T) -> T {
    with_kept(&ENCODED, |bytes| {
        value.encode(bytes);
        use_bytes(bytes)
    })
}

type Kept = &'static LocalKey<RefCell<Vec<u8>>>;

/// Lends an empty buffer: one that is allocated for each call is grown several times before it
/// holds a row.
fn with_kept<T>(kept: Kept, run: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    // Taken, not borrowed, as above.
    let mut buffer = kept.take();
    let result = run(&mut buffer);
    keep(kept, buffer);
    result
}

/// Not inlined, so that it is in a module once.
#[inline(never)]
fn keep(kept: Kept, mut buffer: Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_BYTES_MAX);
    kept.set(buffer);
}

/// Reads an answer that is one value.
pub(crate) fn value<T: Column>(answer: &[u8]) -> Option<T> {
    T::from_bytes(answer).ok()
}

/// Reads an answer that is 0, or 1 and a value.
pub(crate) fn optional<T: Column>(answer: &[u8]) -> Option<Option<T>> {
    Option::from_bytes(answer).ok()
}

/// Reads an empty answer.
#[expect(clippy::unnecessary_wraps, reason = "it has the shape of a reader")]
pub(crate) fn nothing(_: &[u8]) -> Option<()> {
    Some(())
}

/// How often this instance has called another module: any of that module's tables may be different.
pub(crate) fn calls() -> u32 {
    CALLS.get()
}

/// To be called beside every call into another module.
pub(crate) fn count_call() {
    CALLS.set(calls().wrapping_add(1));
}

/// How often a step has ended or, natively, a test has changed the world: any table may be
/// different.
pub(crate) fn resets() -> u32 {
    RESETS.get()
}

/// To be called where a step ends.
pub(crate) fn count_reset() {
    RESETS.set(resets().wrapping_add(1));
}

/// Ends the step, because a read that has no `Err` to give was refused.
#[expect(clippy::panic, reason = "this is how a step ends from the inside")]
#[cold]
pub(crate) fn end_step(error: &Error) -> ! {
    panic!("{error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_buffer_is_empty_for_each_use_and_does_not_stay_large() {
        let (inner, outer) = encoded(&1_u8, |outer| {
            let inner = encoded(&[2_u8, 3], <[u8]>::to_vec);
            (inner, outer.to_vec())
        });
        assert_eq!((inner, outer), (vec![2, 3], vec![1]));
        let large = vec![7_u8; 2 * KEPT_BYTES_MAX];
        assert!(encoded(&large, <[u8]>::len) > large.len());
        assert_eq!(encoded(&4_u8, <[u8]>::len), 1);
        let kept = ENCODED.take().capacity();
        assert!((1..=KEPT_BYTES_MAX).contains(&kept), "{kept}");
    }
}
