//! The program `interstice`: `interstice-cli` under its short name.

fn main() -> std::process::ExitCode {
    interstice_cli::main()
}
