//! One turn of a module's history, put together from its steps, and how it is printed: for people,
//! or as one JSON document in a line.

use base64::{Engine, engine::general_purpose::STANDARD};
use interstice_abi::{
    failure::Failure,
    id::{ModuleName, NodeId, Seq, TimerId},
    schema::{ModuleSchema, Version},
    types::ColumnType,
    wire::{
        GrantChange, GrantTarget, HistoryBytes, HistoryEffect, HistoryInput, HistoryReducer,
        HistoryStep, OnConflict, TimerChange,
    },
};
use serde_json::{Map, Value as Json, json};

use crate::{
    app::App, clock, command::grants::Word, output::plain_lines, problem::Outcome, signature,
};

/// Before the further lines of a text that a module wrote.
const INDENT: &str = "\n      ";

/// A turn.
#[derive(Debug)]
pub(super) struct Turn {
    seq: Seq,
    time_ms: u64,
    input: Option<Input>,
    steps: Vec<Step>,
}

/// What it began with.
#[derive(Debug)]
struct Input {
    text: String,
    json: Json,
}

#[derive(Debug)]
struct Step {
    number: u32,
    ran: Option<HistoryReducer>,
    failure: Option<Failure>,
    effects: Vec<Effect>,
    starts: Vec<HistoryReducer>,
    dropped: u32,
}

#[derive(Debug)]
struct Effect {
    text: String,
    json: Json,
}

impl Turn {
    /// The turn of `step`, which is the first that is known of it.
    pub(super) fn begin(mut step: HistoryStep, schemas: &[ModuleSchema]) -> Self {
        let input = step.input.take().map(|input| Input::of(input, schemas));
        let mut turn = Self {
            seq: step.seq,
            time_ms: step.time_ms,
            input,
            steps: Vec::new(),
        };
        turn.add(step, schemas);
        turn
    }

    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    /// Adds a step, or the rest of the last one.
    pub(super) fn add(&mut self, step: HistoryStep, schemas: &[ModuleSchema]) {
        let effects = step
            .effects
            .into_iter()
            .map(|effect| Effect::of(effect, schemas));
        if step.first_effect > 0
            && let Some(last) = self.steps.last_mut()
        {
            last.effects.extend(effects);
            return;
        }
        self.steps.push(Step {
            number: step.step.0,
            ran: step.ran,
            failure: step.failure,
            effects: effects.collect(),
            starts: step.starts,
            dropped: step.dropped,
        });
    }

    /// Whether every step that it started has run.
    fn has_ended(&self) -> bool {
        let started: usize = self.steps.iter().map(|step| step.starts.len()).sum();
        self.steps.len() > started
    }

    /// Prints it.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn print(&self, app: &App) -> Outcome<()> {
        if app.output.is_json() {
            return app.output.json_line(&self.to_json());
        }
        app.output.line(plain_lines(&self.text()))
    }

    fn to_json(&self) -> Json {
        let steps: Vec<Json> = self.steps.iter().map(Step::to_json).collect();
        json!({
            "seq": self.seq.0,
            "time": clock::timestamp(self.time_ms),
            "time_ms": self.time_ms,
            "input": self.input.as_ref().map(|input| &input.json),
            "steps": steps,
            "ended": self.has_ended(),
        })
    }

    fn text(&self) -> String {
        let input = match &self.input {
            Some(input) => input.text.as_str(),
            None => "",
        };
        let time = clock::timestamp(self.time_ms);
        let mut lines = vec![format!("turn {} {time} {input}", self.seq)];
        self.steps.iter().for_each(|step| step.text(&mut lines));
        if !self.has_ended() {
            lines.push("  (under way)".to_string());
        }
        lines.join("\n")
    }
}

impl Step {
    fn to_json(&self) -> Json {
        let effects: Vec<&Json> = self.effects.iter().map(|effect| &effect.json).collect();
        let starts: Vec<Json> = self
            .starts
            .iter()
            .map(|start| json!({"module": start.module.as_str(), "reducer": start.reducer}))
            .collect();
        let failure = self.failure.as_ref();
        json!({
            "step": self.number,
            "module": self.ran.as_ref().map(|ran| ran.module.as_str()),
            "reducer": self.ran.as_ref().map(|ran| ran.reducer.as_str()),
            "outcome": if failure.is_some() { "failed" } else { "committed" },
            "failure": failure.map(|failure| json!({
                "code": failure.code.word(),
                "message": failure.message,
            })),
            "effects": effects,
            "starts": starts,
            "dropped": self.dropped,
        })
    }

    fn text(&self, lines: &mut Vec<String>) {
        let ran = self.ran.as_ref().map_or_else(|| "node".to_string(), name);
        let outcome = match &self.failure {
            Some(failure) => format!("failed: {failure}").replace('\n', INDENT),
            None => "committed".to_string(),
        };
        lines.push(format!("  {} {ran}: {outcome}", self.number));
        let effects = self.effects.iter().map(|effect| &effect.text);
        lines.extend(effects.map(|text| format!("    {text}")));
        let starts = self.starts.iter().map(name);
        lines.extend(starts.map(|start| format!("    starts {start}")));
        if self.dropped > 0 {
            lines.push(format!("    {} reactions were dropped", self.dropped));
        }
    }
}

impl Effect {
    fn of(effect: HistoryEffect, schemas: &[ModuleSchema]) -> Self {
        match effect {
            HistoryEffect::Change {
                module,
                schema,
                table,
                before,
                after,
            } => {
                let schema = schema_at(schemas, schema);
                let row = |bytes: &HistoryBytes| row(bytes, &table, schema);
                let (before, after) = (before.as_ref().map(row), after.as_ref().map(row));
                let (kind, rows) = match (&before, &after) {
                    (Some(before), Some(after)) => ("update", format!("{before} -> {after}")),
                    (Some(row), None) => ("delete", row.to_string()),
                    (None, Some(row)) => ("insert", row.to_string()),
                    (None, None) => ("nothing", String::new()),
                };
                Self {
                    text: format!("{kind} {module}.{table} {rows}"),
                    json: json!({
                        "kind": kind,
                        "module": module.as_str(),
                        "table": table,
                        "before": before,
                        "after": after,
                    }),
                }
            }
            HistoryEffect::Timer {
                module,
                timer,
                reducer,
                due_ms,
                change,
            } => {
                let due = clock::timestamp(due_ms);
                let (kind, text) = match change {
                    TimerChange::Set => ("timer-set", format!("set, due {due}")),
                    TimerChange::Gone => ("timer-gone", "gone".to_string()),
                };
                Self {
                    text: format!("timer {timer} for {module}.{reducer} {text}"),
                    json: json!({
                        "kind": kind,
                        "module": module.as_str(),
                        "timer": timer.0,
                        "reducer": reducer,
                        "due": due,
                        "due_ms": due_ms,
                    }),
                }
            }
            HistoryEffect::Called {
                module,
                reducer,
                schema,
                arguments,
            } => {
                let arguments = arguments_of(&arguments, &reducer, schema_at(schemas, schema));
                Self {
                    text: format!("called {module}.{reducer}{}", in_brackets(&arguments)),
                    json: json!({
                        "kind": "called",
                        "module": module.as_str(),
                        "reducer": reducer,
                        "arguments": arguments,
                    }),
                }
            }
        }
    }
}

impl Input {
    fn of(input: HistoryInput, schemas: &[ModuleSchema]) -> Self {
        let about = |kind: &str, module: &ModuleName| Self {
            text: format!("{kind} {module}"),
            json: json!({"kind": kind, "module": module.as_str()}),
        };
        match input {
            HistoryInput::Call {
                caller,
                caller_is_owner,
                module,
                reducer,
                schema,
                arguments,
            } => {
                let arguments = arguments_of(&arguments, &reducer, schema_at(schemas, schema));
                let owner = if caller_is_owner { "owner " } else { "" };
                let by = format!("by {owner}{caller}");
                let input = Self::run("call", &module, (&reducer, arguments), &by);
                let json = with(input.json, "caller", caller.to_string().into());
                Self {
                    text: input.text,
                    json: with(json, "caller_is_owner", caller_is_owner.into()),
                }
            }
            HistoryInput::Timer { module, timer } => {
                let input = about("timer", &module);
                Self {
                    text: format!("{} {timer}", input.text),
                    json: with(input.json, "timer", timer.0.into()),
                }
            }
            HistoryInput::CancelTimer {
                caller,
                module,
                timer,
            } => Self::cancelled(about("cancel-timer", &module), timer, &caller),
            HistoryInput::Install {
                module,
                version,
                hash,
                on_conflict,
            } => Self::installed(
                about("install", &module),
                &version.to_string(),
                hash,
                on_conflict,
            ),
            HistoryInput::Load { module } => about("load", &module),
            HistoryInput::Unload { module } => about("unload", &module),
            HistoryInput::Quarantine { module, reason } => {
                about("quarantine", &module).because(&reason)
            }
            HistoryInput::Remove { module } => about("remove", &module),
            HistoryInput::Grant {
                module,
                target,
                change: GrantChange::Grant,
            } => Self::granted(about("grant", &module), target),
            HistoryInput::Grant {
                module,
                target,
                change: GrantChange::Revoke,
            } => Self::granted(about("revoke", &module), target),
            HistoryInput::Connect { node } => Self {
                text: format!("connect {node}"),
                json: json!({"kind": "connect", "node": node}),
            },
            HistoryInput::Disconnect { node } => Self {
                text: format!("disconnect {node}"),
                json: json!({"kind": "disconnect", "node": node}),
            },
            HistoryInput::Drop {
                module,
                tables,
                timers,
            } => Self::dropped(about("drop", &module), tables, &timers),
            HistoryInput::InstallAll { modules } => Self::installed_together(&modules),
            HistoryInput::CatchUp { modules, installed } => Self::catching_up(&modules, &installed),
            HistoryInput::Missed {
                module,
                reducer,
                position,
                schema,
                arguments,
            } => {
                let arguments = arguments_of(&arguments, &reducer, schema_at(schemas, schema));
                let of = format!("of {position}");
                let input = Self::run("missed", &module, (&reducer, arguments), &of);
                Self {
                    text: input.text,
                    json: with(input.json, "position", position.to_string().into()),
                }
            }
            HistoryInput::NodeStart => Self {
                text: "start of the node".to_string(),
                json: json!({"kind": "node-start"}),
            },
        }
    }

    /// A reducer that the input runs, and why.
    fn run(kind: &str, module: &ModuleName, (reducer, arguments): (&str, Json), why: &str) -> Self {
        Self {
            text: format!("{kind} {module}.{reducer}{} {why}", in_brackets(&arguments)),
            json: json!({
                "kind": kind,
                "module": module.as_str(),
                "reducer": reducer,
                "arguments": arguments,
            }),
        }
    }

    fn installed(input: Self, version: &str, hash: [u8; 32], on_conflict: OnConflict) -> Self {
        let wipe = on_conflict == OnConflict::Wipe;
        let flag = if wipe { " --wipe" } else { "" };
        let hash = blake3::Hash::from_bytes(hash).to_hex().to_string();
        let json = with(input.json, "version", version.into());
        Self {
            text: format!("{} {version}{flag}", input.text),
            json: with(with(json, "hash", hash.into()), "wipe", wipe.into()),
        }
    }

    fn installed_together(modules: &[(ModuleName, Version)]) -> Self {
        let named = |(module, version): &(ModuleName, _)| format!("{module} {version}");
        let named: Vec<String> = modules.iter().map(named).collect();
        Self {
            text: format!("install {}", named.join(", ")),
            json: json!({"kind": "install", "modules": named}),
        }
    }

    fn because(self, reason: &str) -> Self {
        Self {
            text: format!("{}: {}", self.text, reason.replace('\n', INDENT)),
            json: with(self.json, "reason", reason.into()),
        }
    }

    fn granted(input: Self, target: GrantTarget) -> Self {
        let target = Word(target).to_string();
        Self {
            text: format!("{} {target}", input.text),
            json: with(input.json, "target", target.into()),
        }
    }

    fn catching_up(modules: &[ModuleName], installed: &[(ModuleName, Version)]) -> Self {
        let modules: Vec<&str> = modules.iter().map(ModuleName::as_str).collect();
        let named = |(module, version): &(ModuleName, _)| format!("{module} {version}");
        let named: Vec<String> = installed.iter().map(named).collect();
        let with_them = if named.is_empty() {
            String::new()
        } else {
            format!(", install {}", named.join(", "))
        };
        Self {
            text: format!("catch up {}{with_them}", modules.join(", ")),
            json: json!({"kind": "catch-up", "modules": modules, "installed": named}),
        }
    }

    fn cancelled(input: Self, timer: TimerId, caller: &NodeId) -> Self {
        let json = with(input.json, "timer", timer.0.into());
        Self {
            text: format!("{} {timer} by owner {caller}", input.text),
            json: with(json, "caller", caller.to_string().into()),
        }
    }

    fn dropped(input: Self, tables: Vec<String>, timers: &[TimerId]) -> Self {
        let timers: Vec<String> = timers.iter().map(ToString::to_string).collect();
        let what = [
            (!tables.is_empty()).then(|| format!("rows of {}", tables.join(", "))),
            (!timers.is_empty()).then(|| format!("timers {}", timers.join(", "))),
        ];
        let what: Vec<String> = what.into_iter().flatten().collect();
        let json = with(input.json, "tables", tables.into());
        Self {
            text: format!("{}: {}", input.text, what.join(", ")),
            json: with(json, "timers", timers.into()),
        }
    }
}

fn with(mut json: Json, key: &str, value: Json) -> Json {
    if let Some(object) = json.as_object_mut() {
        object.insert(key.to_string(), value);
    }
    json
}

fn name(reducer: &HistoryReducer) -> String {
    match reducer.reducer.as_str() {
        "" => format!("{} (load)", reducer.module),
        name => format!("{}.{name}", reducer.module),
    }
}

fn schema_at(schemas: &[ModuleSchema], place: Option<u32>) -> Option<&ModuleSchema> {
    schemas.get(usize::try_from(place?).ok()?)
}

/// A row as its table's columns; its bytes where they cannot be read.
fn row(bytes: &HistoryBytes, table: &str, schema: Option<&ModuleSchema>) -> Json {
    shown(bytes, |bytes| {
        let schema = schema?;
        let (_, table) = schema.table(table)?;
        let ty = ColumnType::Named(table.type_name.clone());
        signature::decode_json(bytes, &ty, &schema.types).ok()
    })
}

/// Arguments as a list; their bytes where they cannot be read.
fn arguments_of(bytes: &HistoryBytes, reducer: &str, schema: Option<&ModuleSchema>) -> Json {
    shown(bytes, |bytes| {
        let schema = schema?;
        let arguments = &schema.reducer(reducer)?.arguments;
        let values = signature::decode_arguments(bytes, arguments, &schema.types);
        values.ok().map(Json::Array)
    })
}

fn shown(bytes: &HistoryBytes, decode: impl FnOnce(&[u8]) -> Option<Json>) -> Json {
    let keyed = |key: &str, value: Json| Json::Object(Map::from_iter([(key.to_string(), value)]));
    match bytes {
        HistoryBytes::Whole(bytes) => {
            decode(bytes).unwrap_or_else(|| keyed("base64", STANDARD.encode(bytes).into()))
        }
        HistoryBytes::LeftOut { bytes } => keyed("bytes_left_out", (*bytes).into()),
    }
}

/// Arguments as in a call.
fn in_brackets(arguments: &Json) -> String {
    match arguments {
        Json::Array(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("({})", values.join(", "))
        }
        other => format!("({other})"),
    }
}
