//! `doctor`: checks the files of a stopped node, explains what is damaged, and repairs what can be
//! repaired.

use clap::Args;
use interstice_actors::doctor::{Consent, Finding, Remedy, Report, examine, repair};
use serde_json::{Value as Json, json};

use crate::{
    app::App,
    problem::{Outcome, Problem},
    target::Target,
};

/// Check the files of a stopped node, and repair them
#[derive(Debug, Args)]
#[command(
    long_about = "Look through the files of a stopped node of this machine: its configuration and key, every block of its log, \
        every page of its tables, its bases and binaries; and whether all of it together brings the node back. Explains what is \
        damaged and what can be done.\n\n\
        Without --repair nothing is changed. A repair keeps whatever it changes or takes away in a folder `damaged-1`, `damaged-2` … \
        of the node. Acknowledged turns are given up only with --cut-log.",
    after_help = "Examples:\n  \
        interstice-cli doctor garden\n  \
        interstice-cli doctor garden --repair\n  \
        interstice-cli doctor garden --repair --cut-log\n\n\
        Exit codes: 0 the node is healthy, or is now; 1 something is damaged."
)]
pub(crate) struct Doctor {
    /// The node; without it, that of --node, or the local one where only one is
    name: Option<String>,
    /// Repair what can be repaired without losing anything that was acknowledged
    #[arg(long)]
    repair: bool,
    /// Give up the turns behind damage in the log where there is no other way
    #[arg(long, requires = "repair")]
    cut_log: bool,
}

impl Doctor {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let target = Target::chosen(app, self.name.as_deref())?;
        let Some(folder) = target.folder.clone() else {
            let text = format!(
                "node `{}` is not one of this machine, and the doctor needs its folder",
                target.label
            );
            return Err(Problem::failed(text).advise("run `doctor` where the node is"));
        };
        let consent = if self.cut_log {
            Consent::CutLog
        } else {
            Consent::LoseNothing
        };
        let repairs = self.repair;
        let work = move || {
            if repairs {
                repair(&folder, consent)
            } else {
                examine(&folder)
            }
        };
        let done = tokio::task::spawn_blocking(work).await;
        let report = done
            .map_err(|panic| Problem::failed(format!("the doctor ended badly: {panic}")))?
            .map_err(|error| {
                Problem::failed(error).about(format!("doctor of node `{}`", target.label))
            })?;
        let output = app.output;
        if output.is_json() {
            output.json(&as_json(&target.label, &report))?;
        } else {
            for line in lines(&target.label, &report) {
                output.line(line)?;
            }
        }
        if report.is_healthy() {
            return Ok(());
        }
        let problem = Problem::failed(format!("node `{}` is damaged", target.label));
        Err(match self.next(&target.label, &report) {
            Some(advice) => problem.advise(advice),
            None => problem,
        })
    }

    /// What to type next.
    fn next(&self, name: &str, report: &Report) -> Option<String> {
        let any = |wanted: fn(&Remedy) -> bool| {
            let mut findings = report.findings.iter();
            findings.any(|finding| wanted(&finding.remedy))
        };
        if any(|remedy| matches!(remedy, Remedy::ByHand(_))) {
            None
        } else if !self.cut_log && any(|remedy| matches!(remedy, Remedy::CutLog(_))) {
            Some(format!(
                "restore a backup, or give up what is lost: `doctor {name} --repair --cut-log`"
            ))
        } else if !self.repair && any(|remedy| matches!(remedy, Remedy::Repair(_))) {
            Some(format!("`doctor {name} --repair` repairs it"))
        } else {
            None
        }
    }
}

fn lines(name: &str, report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = report
        .repaired
        .iter()
        .map(|done| format!("repaired: {done}"))
        .collect();
    if let Some(aside) = &report.aside {
        lines.push(format!("what it was is kept in {}", aside.display()));
    }
    for finding in &report.findings {
        let place = finding
            .offset
            .map_or_else(String::new, |offset| format!(" at byte {offset}"));
        lines.push(format!(
            "{}: {}{place}: {}",
            finding.part.word(),
            finding.file.display(),
            finding.problem
        ));
        let (who, what) = remedy(finding);
        lines.push(format!("  {who}: {what}"));
    }
    match report.comes_back_to {
        Some(seq) if report.is_healthy() => {
            lines.push(format!(
                "node `{name}` is healthy: it comes back with turn {seq}"
            ));
        }
        Some(seq) => lines.push(format!(
            "node `{name}` comes back with turn {seq} all the same"
        )),
        None => lines.push(format!("node `{name}` does not start as it is")),
    }
    lines
}

fn remedy(finding: &Finding) -> (&'static str, &str) {
    match &finding.remedy {
        Remedy::Start(what) => ("the next start", what),
        Remedy::Repair(what) => ("--repair", what),
        Remedy::CutLog(what) => ("--repair --cut-log", what),
        Remedy::ByHand(what) => ("by hand", what),
    }
}

fn as_json(name: &str, report: &Report) -> Json {
    let findings = report.findings.iter().map(|finding| {
        let (who, what) = remedy(finding);
        json!({
            "part": finding.part.word(),
            "file": finding.file.display().to_string(),
            "offset": finding.offset,
            "problem": finding.problem,
            "remedy": { "by": who, "does": what },
        })
    });
    json!({
        "node": name,
        "healthy": report.is_healthy(),
        "comes_back_to": report.comes_back_to.map(|seq| seq.0),
        "findings": findings.collect::<Vec<Json>>(),
        "repaired": report.repaired,
        "aside": report.aside.as_ref().map(|aside| aside.display().to_string()),
    })
}
