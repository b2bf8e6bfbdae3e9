//! The imports of a guest, one safe function each: the only `unsafe` code of the SDK.
//!
//! Invariant: pointers handed to the host come from slices that outlive the call, and every
//! address of a `wasm32` guest fits into 32 bits. The native counterpart with the same functions
//! is `testing::imports`.

#![expect(
    unsafe_code,
    reason = "imports of a host are unsafe to call, whoever it is"
)]

use interstice_abi::host_call::Reply;

mod raw {
    #[link(wasm_import_module = "interstice")]
    unsafe extern "C" {
        pub(super) fn input_read(ptr: u32);
        pub(super) fn output_write(ptr: u32, len: u32);
        pub(super) fn reply_read(ptr: u32);
        pub(super) fn panic(ptr: u32, len: u32);
        pub(super) fn log(ptr: u32, len: u32);
        pub(super) fn time_now(out: u32, cap: u32) -> u64;
        pub(super) fn random(out: u32, cap: u32) -> u64;
        pub(super) fn node_id(out: u32, cap: u32) -> u64;
        pub(super) fn seq() -> u64;
        pub(super) fn schedule(name: u32, len: u32, delay_ms: u64, out: u32, cap: u32) -> u64;
        pub(super) fn cancel(timer: u64, out: u32, cap: u32) -> u64;
        pub(super) fn table_open(name: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_insert(table: u32, row: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_update(table: u32, row: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_upsert(table: u32, row: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_delete(table: u32, key: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_clear(table: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_get(
            table: u32,
            index: u32,
            key: u32,
            len: u32,
            out: u32,
            cap: u32,
        ) -> u64;
        pub(super) fn table_count(table: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_edge(table: u32, last: u32, out: u32, cap: u32) -> u64;
        pub(super) fn table_scan(table: u32, request: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn call_reducer(request: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn call_query(request: u32, len: u32, out: u32, cap: u32) -> u64;
        pub(super) fn timer_set(request: u32, len: u32, out: u32, cap: u32) -> u64;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "addresses and lengths of a wasm32 guest have 32 bits"
)]
fn source(bytes: &[u8]) -> (u32, u32) {
    (bytes.as_ptr() as usize as u32, bytes.len() as u32)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "addresses and lengths of a wasm32 guest have 32 bits"
)]
fn target(bytes: &mut [u8]) -> (u32, u32) {
    (bytes.as_mut_ptr() as usize as u32, bytes.len() as u32)
}

/// Fills `buffer`, which must be as long as the export's argument said.
pub(crate) fn input_read(buffer: &mut [u8]) {
    // SAFETY: the host writes exactly as many bytes as it told the export, and the caller made room for them.
    unsafe { raw::input_read(target(buffer).0) }
}

/// Sets the output of the running export.
pub(crate) fn output_write(bytes: &[u8]) {
    let (ptr, len) = source(bytes);
    // SAFETY: the host reads `len` bytes at `ptr`, which `bytes` keeps alive.
    unsafe { raw::output_write(ptr, len) }
}

/// Fills `buffer`, which must be as long as the last reply said.
pub(crate) fn reply_read(buffer: &mut [u8]) {
    // SAFETY: the host writes exactly as many bytes as its reply said, and the caller made room for them.
    unsafe { raw::reply_read(target(buffer).0) }
}

/// Leaves the message of the panic that is about to trap.
pub(crate) fn panic(message: &str) {
    let (ptr, len) = source(message.as_bytes());
    // SAFETY: the host reads `len` bytes at `ptr`, which `message` keeps alive.
    unsafe { raw::panic(ptr, len) }
}

/// One line into the module's log.
pub(crate) fn log(line: &str) {
    let (ptr, len) = source(line.as_bytes());
    // SAFETY: the host reads `len` bytes at `ptr`, which `line` keeps alive.
    unsafe { raw::log(ptr, len) }
}

/// The turn's number.
pub(crate) fn seq() -> u64 {
    // SAFETY: takes no pointer.
    unsafe { raw::seq() }
}

macro_rules! asks {
    ($($(#[$doc:meta])* $name:ident($($number:ident: $ty:ty),* $(; $bytes:ident)? $(=> $after:ident: $after_ty:ty)?);)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name($($number: $ty,)* $($bytes: &[u8],)? $($after: $after_ty,)? out: &mut [u8]) -> Reply {
            let (out_ptr, out_cap) = target(out);
            $(let $bytes = source($bytes);)?
            // SAFETY: the host reads what `source` describes and writes at most `out_cap` bytes at `out_ptr`;
            // both slices live until it returns.
            Reply::unpack(unsafe { raw::$name($($number,)* $($bytes.0, $bytes.1,)? $($after,)? out_ptr, out_cap) })
        }
    )*};
}

asks! {
    /// Milliseconds since 1970.
    time_now();
    /// The next number of the step's stream.
    random();
    /// This node's id.
    node_id();
    /// A timer for a reducer.
    schedule(; name => delay_ms: u64);
    /// Ends a pending timer.
    cancel(timer: u64);
    /// The handle of a table.
    table_open(; name);
    /// The row as stored.
    table_insert(table: u32; row);
    /// Nothing.
    table_update(table: u32; row);
    /// The row as stored.
    table_upsert(table: u32; row);
    /// Nothing.
    table_delete(table: u32; key);
    /// Nothing.
    table_clear(table: u32);
    /// 0, or 1 and the row.
    table_get(table: u32, index: u32; key);
    /// How many rows there are.
    table_count(table: u32);
    /// 0, or 1 and the first or last row.
    table_edge(table: u32, last: u32);
    /// A batch of rows.
    table_scan(table: u32; request);
    /// Nothing.
    call_reducer(; request);
    /// The result's bytes.
    call_query(; request);
    /// The timer's number.
    timer_set(; request);
}
