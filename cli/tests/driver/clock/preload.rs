//! A library that is loaded before a program and sets the program's wall clock by an offset, in
//! nanoseconds, that stands in the file which `INTERSTICE_TEST_CLOCK` names. All other clocks stay.

#![no_std]

use core::{
    ffi::{c_char, c_int, c_long, c_void},
    panic::PanicInfo,
    ptr::null_mut,
    sync::atomic::{AtomicI64, AtomicPtr, Ordering},
};

/// As the system calls it with.
#[repr(C)]
pub struct Time {
    seconds: i64,
    nanos: i64,
}

#[link(name = "c")]
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn mmap(
        at: *mut c_void,
        bytes: usize,
        access: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
}

#[cfg(target_arch = "x86_64")]
const CLOCK_GETTIME: c_long = 228;
#[cfg(target_arch = "aarch64")]
const CLOCK_GETTIME: c_long = 113;

const REALTIME: c_int = 0;
const READ: c_int = 1;
const SHARED: c_int = 1;
const SECOND: i64 = 1_000_000_000;

static NONE: AtomicI64 = AtomicI64::new(0);
static OFFSET: AtomicPtr<AtomicI64> = AtomicPtr::new(null_mut());

/// The offset, in memory that is shared with the file.
fn offset() -> &'static AtomicI64 {
    let mut at = OFFSET.load(Ordering::Acquire);
    if at.is_null() {
        at = mapped().unwrap_or(&raw const NONE as *mut AtomicI64);
        OFFSET.store(at, Ordering::Release);
    }
    // SAFETY: either a static or a page that is never unmapped.
    unsafe { &*at }
}

fn mapped() -> Option<*mut AtomicI64> {
    // SAFETY: the strings end with a zero, and the results are checked.
    unsafe {
        let path = getenv(c"INTERSTICE_TEST_CLOCK".as_ptr());
        if path.is_null() {
            return None;
        }
        let file = open(path, 0);
        if file < 0 {
            return None;
        }
        let page = mmap(null_mut(), 8, READ, SHARED, file, 0);
        (page.addr() != usize::MAX).then_some(page.cast())
    }
}

/// In place of libc's.
///
/// # Safety
/// As libc's: `time` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    // SAFETY: the system checks `time`, and it is written only after it has.
    unsafe {
        let outcome = syscall(CLOCK_GETTIME, clock, time);
        if outcome == 0 && clock == REALTIME {
            let by = offset().load(Ordering::Relaxed);
            let nanos = (*time).nanos + by % SECOND;
            (*time).seconds += by / SECOND + nanos.div_euclid(SECOND);
            (*time).nanos = nanos.rem_euclid(SECOND);
        }
        outcome as c_int
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
