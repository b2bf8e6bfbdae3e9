//! The program `interstice-cli`. Everything is in the library beside it, where tests can reach it.

fn main() -> std::process::ExitCode {
    interstice_cli::main()
}
