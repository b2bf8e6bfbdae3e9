//! Asking before data are deleted. Without a terminal the answer is no, unless `--yes` was given.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::{
    app::App,
    output::clean,
    problem::{Outcome, Problem},
};

/// Goes on only when the person agrees that `what` happens (`delete the data of module bank`).
///
/// # Errors
/// When they do not agree, or nobody is there to be asked.
pub fn before(app: &App, what: &str) -> Outcome<()> {
    if app.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Problem::failed(format!(
            "this would {what}, and nobody is there to be asked"
        ))
        .advise("give --yes to do it without being asked"));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "This will {}. Go on? [y/N] ", clean(what))
        .and_then(|()| io::stderr().flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (asked, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Problem::failed("nothing was done")),
    }
}
