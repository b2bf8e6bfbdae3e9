//! What can be typed: the options that every command takes, and clap's own answers (help, version,
//! mistakes).

mod trailing;

use std::{io::Write, process::ExitCode};

use clap::{Args, Parser};

use crate::{
    command::Command,
    output::{Format, Output},
    problem::Problem,
};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "interstice-cli",
    version,
    propagate_version = true,
    about = "Runs Interstice nodes, and talks to them",
    long_about = "Runs Interstice nodes, and talks to them.\n\n\
        A node is one process that hosts modules: sandboxed WebAssembly programs with tables, reducers that change \
        them and queries that read them.",
    after_help = "Examples:\n  \
        interstice-cli example hello            a node with a module, to try things out\n  \
        interstice-cli init greeter             a module of your own\n  \
        interstice-cli up --module ./greeter    a node that runs it\n  \
        interstice-cli call greeter hello Bob   a call of its reducer `hello`\n\n\
        Exit codes: 0 done, 1 refused or failed, 2 usage, 3 node not reachable."
)]
pub struct CommandLine {
    #[command(flatten)]
    pub(crate) everywhere: Everywhere,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Everywhere {
    /// The node: a name of the registry, an id, HOST:PORT or a multiaddress. Without it: the local
    /// node, where only one runs
    #[arg(
        short = 'n',
        long = "node",
        value_name = "NODE",
        global = true,
        env = "INTERSTICE_NODE",
        hide_env_values = true
    )]
    pub node: Vec<String>,
    /// Print data and errors as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not ask before data are deleted
    #[arg(short = 'y', long, global = true)]
    pub yes: bool,
}

impl CommandLine {
    /// How this command prints.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(if self.everywhere.json {
            Format::Json
        } else {
            Format::Text
        })
    }
}

/// Reads the process's arguments.
///
/// # Errors
/// The exit code, after help, the version or a mistake has been printed.
pub fn read() -> Result<CommandLine, ExitCode> {
    let words = trailing::in_order(std::env::args_os());
    CommandLine::try_parse_from(words).map_err(|error| {
        let wants_json = std::env::args_os()
            .take_while(|argument| argument != "--")
            .any(|argument| argument == "--json");
        if error.use_stderr() && wants_json {
            let text = error.to_string();
            let message = text.trim_start_matches("error: ");
            // Where to find the help is for people.
            let message = message.split("\n\nFor more information").next();
            let message = message.unwrap_or_default().trim_end();
            Output::new(Format::Json).problem(&Problem::usage(message));
            return ExitCode::from(2);
        }
        // Help into a closed pipe is nobody's loss.
        let _ = error.print().and_then(|()| std::io::stdout().flush());
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_explanation_and_examples() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no explanation");
            let inner = command
                .get_subcommands()
                .filter(|inner| inner.get_name() != "help");
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("interstice-cli"), "{path} has no example");
            inner.for_each(|inner| check(inner, &path));
        }
        check(&CommandLine::command(), "");
    }

    #[test]
    fn what_begins_with_a_dash_is_an_argument() {
        for line in [
            "call bank open 1 -5",
            "call bank open 1 -y --json",
            "call bank open -- 1 -5",
            "call_reducer n bank open -inf --what",
            "query bank balance -.5 --ack applied",
        ] {
            let words = std::iter::once("interstice-cli").chain(line.split(' '));
            let words = trailing::in_order(words.map(Into::into));
            assert!(CommandLine::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
