//! Scenario files: loads in TOML, each with the calls that prepare for it, how often it is
//! repeated, and where results go.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value as Json;

use super::load::{Ack, Kind, Load, Transport};
use crate::problem::{Outcome, Problem};

/// Most bytes of a scenario file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One `[[scenarios]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What runs.
    pub work: Work,
    /// How often.
    pub repeat: u32,
    /// Calls before the first run, each a reducer of the module with its arguments.
    pub setup: Vec<(String, Vec<Json>)>,
    /// Where its report goes, as JSON.
    pub output: Option<PathBuf>,
}

/// What a scenario runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A load on a node.
    Load(Load),
    /// The floor: the guest and a file, without a node.
    Limit {
        /// What it is called.
        name: String,
        /// How long each part runs, in milliseconds.
        duration_ms: u64,
    },
}

/// As it is written. Fields that are missing have the defaults of [`Load`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    limit: bool,
    module: Option<String>,
    reducer: Option<String>,
    query: Option<String>,
    connections: Option<u32>,
    in_flight: Option<u32>,
    duration_ms: Option<u64>,
    warmup_ms: Option<u64>,
    #[serde(default)]
    ack: Ack,
    args_json: Option<String>,
    rate: Option<u64>,
    #[serde(default)]
    transport: Transport,
    #[serde(default)]
    setup: Vec<WrittenCall>,
    repeat: Option<u32>,
    output: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall {
    reducer: String,
    #[serde(default)]
    args_json: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    scenarios: Vec<Written>,
}

/// Reads a scenario file.
///
/// # Errors
/// Names the file, the line or the scenario, and the field.
pub fn read(path: &Path) -> Outcome<Vec<Scenario>> {
    let wrong =
        |problem: &dyn std::fmt::Display| Problem::failed(format!("{}: {problem}", path.display()));
    let bytes = fs::metadata(path)
        .map_err(|error| Problem::file("read", path, &error))?
        .len();
    if bytes > FILE_BYTES_MAX {
        return Err(wrong(&format!(
            "it has {bytes} bytes; the limit is {FILE_BYTES_MAX}"
        )));
    }
    let text = fs::read_to_string(path).map_err(|error| Problem::file("read", path, &error))?;
    let file: WrittenFile = toml::from_str(&text).map_err(|error| wrong(&error))?;
    if file.scenarios.is_empty() {
        return Err(wrong(&"it has no [[scenarios]]"));
    }
    file.scenarios
        .into_iter()
        .map(|written| {
            let name = written.name.clone();
            scenario(written).map_err(|problem| wrong(&format!("scenario `{name}`: {problem}")))
        })
        .collect()
}

fn scenario(written: Written) -> Result<Scenario, String> {
    let repeat = written.repeat.unwrap_or(1);
    if repeat == 0 {
        return Err("repeat is 0; it must be at least 1".to_string());
    }
    let setup = written
        .setup
        .iter()
        .map(|call| Ok((call.reducer.clone(), arguments(call.args_json.as_deref())?)))
        .collect::<Result<Vec<_>, String>>()?;
    let output = written.output.clone();
    let work = if written.limit {
        Work::Limit {
            name: written.name,
            duration_ms: written.duration_ms.unwrap_or(3000),
        }
    } else {
        Work::Load(load(written)?)
    };
    Ok(Scenario {
        work,
        repeat,
        setup,
        output,
    })
}

fn load(written: Written) -> Result<Load, String> {
    let module = written.module.ok_or("it has no `module`")?;
    let (kind, function) = match (written.reducer, written.query) {
        (Some(reducer), None) => (Kind::Reducer, reducer),
        (None, Some(query)) => (Kind::Query, query),
        _ => return Err("it needs a `reducer` or a `query`, and not both".to_string()),
    };
    let usual = Load::new(&written.name, &module, &function, Vec::new());
    let load = Load {
        kind,
        connections: written.connections.unwrap_or(usual.connections),
        in_flight: written.in_flight.unwrap_or(usual.in_flight),
        duration_ms: written.duration_ms.unwrap_or(usual.duration_ms),
        warmup_ms: written.warmup_ms.unwrap_or(usual.warmup_ms),
        ack: written.ack,
        args_json: arguments(written.args_json.as_deref())?,
        rate: written.rate,
        transport: written.transport,
        ..usual
    };
    load.check().map_err(|problem| problem.to_string())?;
    Ok(load)
}

/// Arguments as a JSON array in a text.
///
/// # Errors
/// When it is not one.
pub fn arguments(text: Option<&str>) -> Result<Vec<Json>, String> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    match serde_json::from_str(text) {
        Ok(Json::Array(arguments)) => Ok(arguments),
        Ok(_) => Err(format!(
            "args_json must be a JSON array, as '[\"$seq\", 64]' is, not {text}"
        )),
        Err(error) => Err(format!("args_json is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<Scenario>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.toml");
        fs::write(&path, text).expect("writes");
        read(&path).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let text = "[[scenarios]]\nname = \"a\"\nmodule = \"m\"\nreducer = \"r\"\nargs_json = '[\"$seq\", 1]'\n\
                    setup = [{ reducer = \"fill\", args_json = '[5]' }]\n";
        let read = check(text).expect("reads");
        let expected = Load::new("a", "m", "r", vec!["$seq".into(), 1.into()]);
        let wanted = Scenario {
            work: Work::Load(expected),
            repeat: 1,
            setup: vec![("fill".to_string(), vec![5.into()])],
            output: None,
        };
        assert_eq!(read, [wanted]);
    }

    #[test]
    fn mistakes_name_the_file_and_the_field() {
        let load = "[[scenarios]]\nname = \"a\"\nmodule = \"m\"\nreducer = \"r\"\n";
        for (text, wanted) in [
            (String::new(), "scenarios"),
            ("[[scenarios]]\nname = \"a\"\n".to_string(), "no `module`"),
            (format!("{load}query = \"q\"\n"), "not both"),
            (format!("{load}repeat = 0\n"), "repeat is 0"),
            (format!("{load}in_flight = 0\n"), "in_flight of `a` is 0"),
            (format!("{load}in_fligth = 1\n"), "in_fligth"),
            (format!("{load}args_json = '{{}}'\n"), "JSON array"),
            (format!("{load}ack = \"maybe\"\n"), "maybe"),
        ] {
            let problem = check(&text).expect_err(wanted);
            assert!(
                problem.contains(wanted) && problem.contains("a.toml"),
                "{problem}"
            );
        }
    }
}
