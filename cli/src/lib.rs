//! The command line of Interstice: the programs `interstice-cli` and `interstice`.
//!
//! [`main`] is the whole story: read the arguments, run one command, print the problem, end with
//! its exit code. Each command has a file of its own below `command`. What they stand on, in the
//! order in which a command meets it:
//!
//! 1. [`args`]: what can be typed; [`app`]: what every command is given; [`ask`], [`output`],
//!    [`problem`].
//! 2. [`home`]: where files lie; [`registry`], [`address`], [`target`]: which node is meant.
//! 3. [`build`]: from a module's crate to its binary; [`module_schema`]: from there to its schema;
//!    [`sources`]: the SDK that this program carries.
//! 4. [`session`]: the conversation with a node; [`node_process`]: a node in this process or one
//!    of its own; [`reports`]: what such a node reports.
//! 5. [`benchmark`]: loads, and what came of them.
//! 6. [`signature`], [`json`], [`schema_text`], [`clock`]: values and schemas as people see them.

pub mod address;
pub mod app;
pub mod args;
pub mod ask;
pub mod benchmark;
pub mod build;
pub mod clock;
mod command;
pub mod home;
pub mod json;
pub mod module_schema;
pub mod node_process;
pub mod output;
pub mod problem;
pub mod registry;
pub mod reports;
pub mod schema_text;
pub mod session;
pub mod signature;
pub mod sources;
pub mod target;

use std::process::ExitCode;

use app::App;

/// Runs the command that was typed.
#[must_use]
pub fn main() -> ExitCode {
    let args = match args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let output = args.output();
    let result =
        App::new(&args.everywhere, output).and_then(|app| app.block_on(args.command.run(&app)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            output.problem(&problem);
            ExitCode::from(problem.exit_code())
        }
    }
}
