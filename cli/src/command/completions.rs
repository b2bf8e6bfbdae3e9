//! `completions`: what a shell needs to complete this program's arguments.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{app::App, args::CommandLine, problem::Outcome};

/// The names under which the program is installed.
const NAMES: [&str; 2] = ["interstice-cli", "interstice"];

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli completions bash > ~/.local/share/bash-completion/completions/interstice-cli\n  \
    interstice-cli completions zsh > ~/.zfunc/_interstice-cli\n  \
    interstice-cli completions fish > ~/.config/fish/completions/interstice-cli.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, app: &App) -> Outcome<()> {
        let mut script = Vec::new();
        for name in NAMES {
            clap_complete::generate(self.shell, &mut CommandLine::command(), name, &mut script);
        }
        app.output.line(String::from_utf8_lossy(&script).trim_end())
    }
}
