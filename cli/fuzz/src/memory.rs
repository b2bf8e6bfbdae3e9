//! An allocator that gives out no more than a target's limit: what would allocate by a claim
//! instead of by what has come ends the program, which libFuzzer reports with the input.
//!
//! libFuzzer's own limit on single allocations needs a sanitizer, which stable Rust does not have.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// From here on, everything that is allocated at one time may take so many bytes. A panic's report
/// may take more.
pub fn limit(bytes: usize) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Lifting a limit cannot fail; were it so, the report would be shorter.
        let _ = ALLOCATOR.set_limit(usize::MAX);
        report(panic);
    }));
    ALLOCATOR
        .set_limit(bytes)
        .expect("a program that has just begun is below every limit");
}
