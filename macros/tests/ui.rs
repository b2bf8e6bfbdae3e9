//! Every mistake that a user can make is a compile error at the right place that says what to
//! write instead.
//!
//! Each file holds the mistakes of one stage of the compiler: what the macros see, what types say,
//! what constants say.

#[test]
fn mistakes_are_compile_errors_that_say_what_to_write() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/everything_that_is_allowed.rs");
    cases.compile_fail("tests/ui/wrong_*.rs");
}
