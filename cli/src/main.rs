//! The program `interstice-cli`. Everything is in the library beside it, where tests can reach it.

/// Turns allocate and free small pieces on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    interstice_cli::main()
}
