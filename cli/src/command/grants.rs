//! `grants`, `grant`, `revoke`: what a module may do.
//!
//! A grant is one word, the same in what is printed and in what is typed: `time`, `logging`,
//! `calls:MODULE`, `subscriptions:MODULE`, `authority:NAME`, `table:TABLE:read,insert`.

use std::{fmt, str::FromStr};

use clap::Args;
use interstice_abi::{
    event::TableRef,
    failure::nearest,
    schema::{Access, Authority},
    wire::{GrantChange, GrantEntry, GrantTarget, Subject},
};
use serde_json::{Value as Json, json};

use crate::{app::App, problem::Outcome, session::Session};

/// The bits of access by name.
const ACCESS: [(&str, Access); 4] = [
    ("read", Access::READ),
    ("insert", Access::INSERT),
    ("update", Access::UPDATE),
    ("delete", Access::DELETE),
];

/// All authorities.
const AUTHORITIES: [Authority; 6] = [
    Authority::Gpu,
    Authority::Audio,
    Authority::Input,
    Authority::File,
    Authority::Network,
    Authority::Module,
];

/// What a grant looks like.
const FORMS: &str = "`time`, `logging`, `calls:MODULE`, `subscriptions:MODULE`, `authority:NAME` or `table:TABLE:read,insert`";

/// Show what a module may do
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  interstice-cli grants audit\n  interstice-cli grants audit --json"
)]
pub(crate) struct Grants {
    /// The module
    module: String,
}

/// Allow a module something, while it runs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli grant audit calls:bank\n  \
    interstice-cli grant bank table:account:read,update\n  \
    interstice-cli grant bank time")]
pub(crate) struct Grant {
    /// The module
    module: String,
    /// time, logging, calls:MODULE, subscriptions:MODULE, authority:NAME or table:TABLE:read,insert
    what: Word,
}

/// Take back what a module may do, while it runs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli revoke audit calls:bank\n  \
    interstice-cli revoke bank table:account:delete\n  \
    interstice-cli revoke bank logging")]
pub(crate) struct Revoke {
    /// The module
    module: String,
    /// As for `grant`
    what: Word,
}

/// A grant in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) GrantTarget);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            GrantTarget::Time => f.write_str("time"),
            GrantTarget::Logging => f.write_str("logging"),
            GrantTarget::Calls { module } => write!(f, "calls:{module}"),
            GrantTarget::Subscriptions { module } => write!(f, "subscriptions:{module}"),
            GrantTarget::Authority(authority) => write!(f, "authority:{authority:?}"),
            GrantTarget::Table { table, access } => {
                write!(f, "table:{table}:{}", access.to_string().replace(", ", ","))
            }
        }
    }
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (kind, first, second) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let target = match (kind, first, second) {
            ("time", None, None) => GrantTarget::Time,
            ("logging", None, None) => GrantTarget::Logging,
            ("calls", Some(module), None) => GrantTarget::Calls {
                module: module.to_string(),
            },
            ("subscriptions", Some(module), None) => GrantTarget::Subscriptions {
                module: module.to_string(),
            },
            ("authority", Some(name), None) => GrantTarget::Authority(authority(name)?),
            ("table", Some(name), Some(bits)) => GrantTarget::Table {
                table: table(name)?,
                access: access(bits)?,
            },
            _ => return Err(format!("write {FORMS}")),
        };
        Ok(Self(target))
    }
}

fn authority(name: &str) -> Result<Authority, String> {
    let known = AUTHORITIES.map(|authority| format!("{authority:?}"));
    let found = AUTHORITIES
        .into_iter()
        .find(|authority| format!("{authority:?}").eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let near = nearest(name, known.iter().map(String::as_str));
        let hint = near.map_or_else(
            || format!("they are {}", known.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        format!("there is no authority `{name}`; {hint}")
    })
}

fn table(name: &str) -> Result<TableRef, String> {
    let parts: Vec<&str> = name.split('.').collect();
    let owned = |part: &&str| Some((*part).to_string());
    let (node, module, table) = match parts.as_slice() {
        [table] => (None, None, table),
        [module, table] => (None, owned(module), table),
        [node, module, table] => (owned(node), owned(module), table),
        _ => {
            return Err(format!(
                "`{name}` is not TABLE, MODULE.TABLE or NODE.MODULE.TABLE"
            ));
        }
    };
    Ok(TableRef {
        node,
        module,
        table: (*table).to_string(),
    })
}

fn access(bits: &str) -> Result<Access, String> {
    bits.split(',').try_fold(Access::default(), |access, word| {
        let bit = ACCESS.iter().find(|(name, _)| *name == word.trim());
        bit.map(|(_, bit)| access.with(*bit))
            .ok_or_else(|| format!("`{word}` is not one of read, insert, update, delete"))
    })
}

impl Grants {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, None).await?;
        let grants = session.grants(&self.module).await?;
        if app.output.is_json() {
            return app
                .output
                .json(&Json::Array(grants.iter().map(to_json).collect()));
        }
        app.output.table(
            &["holder", "grant", "since", "revoked"],
            grants.iter().map(row),
        )
    }
}

impl Grant {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        change(app, &self.module, self.what, GrantChange::Grant).await
    }
}

impl Revoke {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        change(app, &self.module, self.what, GrantChange::Revoke).await
    }
}

async fn change(app: &App, module: &str, what: Word, change: GrantChange) -> Outcome<()> {
    let session = Session::open_as_owner(app, None).await?;
    let word = what.to_string();
    let seq = session.change_grant(module, what.0, change).await?;
    if app.output.is_json() {
        return app
            .output
            .json(&json!({"module": module, "grant": word, "seq": seq.0}));
    }
    let done = match change {
        GrantChange::Grant => "granted",
        GrantChange::Revoke => "revoked",
    };
    app.output.line(format!("{done} {word} from seq {seq} on"))
}

fn holder(entry: &GrantEntry) -> String {
    match &entry.subject {
        Subject::Module => "module".to_string(),
        Subject::Function(name) => name.clone(),
    }
}

fn row(entry: &GrantEntry) -> Vec<String> {
    vec![
        holder(entry),
        Word(entry.target.clone()).to_string(),
        entry.since.to_string(),
        entry
            .revoked
            .map_or_else(String::new, |seq| seq.to_string()),
    ]
}

fn to_json(entry: &GrantEntry) -> Json {
    json!({
        "holder": holder(entry),
        "grant": Word(entry.target.clone()).to_string(),
        "since": entry.since.0,
        "revoked": entry.revoked.map(|seq| seq.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_reads_back_what_it_prints() {
        for text in [
            "time",
            "logging",
            "calls:bank",
            "subscriptions:bank",
            "authority:Gpu",
            "table:account:read,insert",
            "table:bank.account:read",
        ] {
            assert_eq!(
                text.parse::<Word>().map(|word| word.to_string()),
                Ok(text.to_string())
            );
        }
        for text in [
            "",
            "tim",
            "calls",
            "table:account",
            "table:account:reed",
            "authority:Gpus",
            "table:a.b.c.d:read",
        ] {
            assert!(text.parse::<Word>().is_err(), "{text}");
        }
    }
}
