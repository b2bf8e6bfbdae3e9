//! What a reducer can be subscribed to: `#[reducer(on = "…")]`.
//!
//! One grammar for the macros, the schema check and messages: [`Event`] prints as what it is
//! parsed from.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{id::check_name, period::show_period, schema::Visibility, text};

/// A table, from the point of view of a module: its own, another module's, or one on another node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableRef {
    /// The other node's name in the bindings; `None` on this node.
    #[serde(with = "text::optional")]
    pub node: Option<String>,
    /// The module's name; `None` for the module itself.
    #[serde(with = "text::optional")]
    pub module: Option<String>,
    /// The table's name, in lower case.
    #[serde(with = "text")]
    pub table: String,
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.node, &self.module].into_iter().flatten() {
            write!(f, "{part}.")?;
        }
        f.write_str(&self.table)
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowEvent {
    /// A row came. Argument: the row.
    Insert,
    /// A row was replaced under its key. Arguments: the old row, the new row.
    Update,
    /// A row went. Argument: the row.
    Delete,
}

/// A subscription of a reducer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// Once, when the module is first installed on a node.
    Init,
    /// At every load of the module.
    Load,
    /// A node or client has connected. Argument: its id.
    Connect,
    /// A node or client has gone. Argument: its id.
    Disconnect,
    /// A row of `table` changed. Arguments: see [`RowEvent`].
    Row {
        /// Whose rows.
        table: TableRef,
        /// Which change.
        event: RowEvent,
    },
    /// A replicated table of another node has caught up.
    Sync {
        /// The replicated table; its node and module are always given.
        table: TableRef,
    },
    /// A public reducer of another module of this node has committed. Arguments: those of the
    /// reducer.
    Call {
        /// The other module.
        #[serde(with = "text")]
        module: String,
        /// Its reducer.
        #[serde(with = "text")]
        reducer: String,
    },
    /// A frame may be drawn (`Gpu`).
    Render,
    /// Something was pressed or moved (`Input`). Argument: `InputEvent`.
    Input,
    /// An output stream can take frames (`Audio`).
    AudioOutput,
    /// An input stream has frames (`Audio`). Arguments: `stream_id: u64`, `Vec<Vec<f32>>`.
    AudioInput,
    /// Something happened to a socket (`Network`). Argument: `NetworkEvent`.
    Network,
    /// Somebody asks to load a module (`Module`). Argument: `ModuleEvent`, or none.
    ModuleLoad,
    /// Somebody asks to remove a module (`Module`). Argument: `ModuleEvent`, or none.
    ModuleRemove,
    /// Something happened to a file (`File`). Argument: `FileEvent`.
    File {
        /// Relative to what the module may see.
        path: String,
        /// Whether what lies below the path counts too.
        recursive: bool,
    },
    /// Nothing from outside: only the module itself, its timers and events run the reducer.
    Private,
    /// The node's own timer, from the module's load on.
    Every {
        /// The time between two runs, in milliseconds.
        period_ms: u64,
        /// Who else may run the reducer.
        visibility: Visibility,
    },
    /// The module was stopped, and some changes of `table` in that time are no longer known.
    /// Argument: the turn from which on they are handed over, a `u64`.
    Gap {
        /// The table of another module of this node; its module is always given.
        table: TableRef,
    },
}

/// The events that are one word, with their spelling.
const WORDS: [(&str, Event); 11] = [
    ("init", Event::Init),
    ("load", Event::Load),
    ("connect", Event::Connect),
    ("disconnect", Event::Disconnect),
    ("render", Event::Render),
    ("input", Event::Input),
    ("audio_output", Event::AudioOutput),
    ("audio_input", Event::AudioInput),
    ("network", Event::Network),
    ("module_load", Event::ModuleLoad),
    ("module_remove", Event::ModuleRemove),
];

impl Event {
    /// Whether others may call a reducer that this runs.
    #[must_use]
    pub fn allows_calls(&self) -> bool {
        matches!(
            self,
            Self::Every {
                visibility: Visibility::Public,
                ..
            }
        )
    }

    /// The authority that a module must declare to receive this event.
    #[must_use]
    pub fn authority(&self) -> Option<crate::schema::Authority> {
        use crate::schema::Authority;
        match self {
            Self::Render => Some(Authority::Gpu),
            Self::Input => Some(Authority::Input),
            Self::AudioOutput | Self::AudioInput => Some(Authority::Audio),
            Self::Network => Some(Authority::Network),
            Self::ModuleLoad | Self::ModuleRemove => Some(Authority::Module),
            Self::File { .. } => Some(Authority::File),
            _ => None,
        }
    }
}

impl FromStr for Event {
    type Err = String;

    /// Parses an event string.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    fn from_str(text: &str) -> Result<Self, String> {
        for (prefix, recursive) in [("file:", false), ("file_recursive:", true)] {
            if let Some(path) = text.strip_prefix(prefix) {
                return if path.is_empty() {
                    Err(format!("`{text}` names no path; write `{prefix}some/path`"))
                } else {
                    Ok(Self::File {
                        path: path.to_string(),
                        recursive,
                    })
                };
            }
        }
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            ["file"] => Err("`file` names no path; write `file:some/path`".to_string()),
            ["private"] => {
                Err("`private` is not an event; write `#[reducer(private)]`".to_string())
            }
            ["every"] => {
                Err("`every` is not an event; write `#[reducer(every = \"10s\")]`".to_string())
            }
            [word] => WORDS
                .iter()
                .find(|(name, _)| name == word)
                .map(|(_, event)| event.clone())
                .ok_or_else(|| format!("`{text}` is not an event; {}", expected())),
            [names @ .., last] => compound(text, names, last),
            [] => Err(expected()),
        }
    }
}

fn compound(text: &str, names: &[&str], last: &str) -> Result<Event, String> {
    for name in names {
        check_name("name in an event", name, true)
            .map_err(|problem| format!("`{text}` is not an event: {problem}"))?;
    }
    let row = |event| {
        table_ref(names).map(|table| Event::Row { table, event }).ok_or_else(|| {
            format!("`{text}` has too many parts; write `<table>.{last}`, `<module>.<table>.{last}` or `<node>.<module>.<table>.{last}`")
        })
    };
    match last {
        "insert" => row(RowEvent::Insert),
        "update" => row(RowEvent::Update),
        "delete" => row(RowEvent::Delete),
        "sync" | "table_sync" => match table_ref(names) {
            Some(table) if table.node.is_some() => Ok(Event::Sync { table }),
            _ => Err(format!(
                "`{text}` is not an event; write `<node>.<module>.<table>.sync`"
            )),
        },
        "gap" => match table_ref(names) {
            Some(table) if table.module.is_some() && table.node.is_none() => {
                Ok(Event::Gap { table })
            }
            _ => Err(format!(
                "`{text}` is not an event; write `<module>.<table>.gap`"
            )),
        },
        "call" => match names {
            [module, reducer] => Ok(Event::Call {
                module: (*module).to_string(),
                reducer: (*reducer).to_string(),
            }),
            _ => Err(format!(
                "`{text}` is not an event; write `<module>.<reducer>.call`"
            )),
        },
        _ => Err(format!("`{text}` does not end in an event; {}", expected())),
    }
}

fn table_ref(names: &[&str]) -> Option<TableRef> {
    let owned = |name: &str| Some(name.to_string());
    match *names {
        [table] => Some(TableRef {
            node: None,
            module: None,
            table: table.to_string(),
        }),
        [module, table] => Some(TableRef {
            node: None,
            module: owned(module),
            table: table.to_string(),
        }),
        [node, module, table] => Some(TableRef {
            node: owned(node),
            module: owned(module),
            table: table.to_string(),
        }),
        _ => None,
    }
}

fn expected() -> String {
    "expected `init`, `load`, `connect`, `disconnect`, `<table>.insert`, `.update` or `.delete` (also with \
     `<module>.` or `<node>.<module>.` in front), `<node>.<module>.<table>.sync`, `<module>.<table>.gap`, \
     `<module>.<reducer>.call`, `render`, `input`, `audio_output`, `audio_input`, `network`, `module_load`, `module_remove`, \
     `file:<path>` or `file_recursive:<path>`"
        .to_string()
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { table, event } => {
                let verb = match event {
                    RowEvent::Insert => "insert",
                    RowEvent::Update => "update",
                    RowEvent::Delete => "delete",
                };
                write!(f, "{table}.{verb}")
            }
            Self::Sync { table } => write!(f, "{table}.sync"),
            Self::Gap { table } => write!(f, "{table}.gap"),
            Self::Call { module, reducer } => write!(f, "{module}.{reducer}.call"),
            Self::File {
                path,
                recursive: false,
            } => write!(f, "file:{path}"),
            Self::File {
                path,
                recursive: true,
            } => write!(f, "file_recursive:{path}"),
            Self::Private => f.write_str("private"),
            Self::Every {
                period_ms,
                visibility,
            } => {
                write!(f, "every {}", show_period(*period_ms))?;
                match visibility {
                    Visibility::Private => Ok(()),
                    Visibility::Public => f.write_str(", public"),
                }
            }
            word => {
                let name = WORDS
                    .iter()
                    .find(|(_, event)| event == word)
                    .map_or("", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_prints_as_it_is_written() {
        for text in [
            "init",
            "load",
            "connect",
            "disconnect",
            "render",
            "input",
            "audio_output",
            "audio_input",
            "network",
            "module_load",
            "module_remove",
            "a.insert",
            "m-x.a.update",
            "n.m.a.delete",
            "n.m.a.sync",
            "m.a.gap",
            "hello-example.hello.call",
            "file:a/b.txt",
            "file_recursive:.",
        ] {
            assert_eq!(
                text.parse::<Event>().map(|event| event.to_string()),
                Ok(text.to_string())
            );
        }
        assert_eq!("n.m.t.table_sync".parse::<Event>(), "n.m.t.sync".parse());
    }

    #[test]
    fn what_is_not_an_event_says_what_to_write() {
        for text in [
            "",
            "file",
            "file:",
            "private",
            "every",
            "inits",
            "a.b.c.d.insert",
            "a.sync",
            "a.gap",
            "n.m.a.gap",
            "a.call",
            "a.b.c.call",
            "a.inserted",
            "a..insert",
            ".insert",
        ] {
            let message = text.parse::<Event>().expect_err(text);
            assert!(
                message.contains("write")
                    || message.contains("expected")
                    || message.contains("name"),
                "{message}"
            );
        }
    }
}
