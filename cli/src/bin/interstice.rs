//! The program `interstice`: `interstice-cli` under its short name.

/// Turns allocate and free small pieces on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    interstice_cli::main()
}
