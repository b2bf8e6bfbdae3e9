//! `bindings`: the public schemas in `src/bindings/` of a module's crate, from which the SDK
//! generates typed code.

mod files;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use interstice_abi::{binding::ModuleBinding, failure::Failure, schema::ModuleSchema};
use serde_json::{Value as Json, json};

use self::files::{Bindings as Folder, Bound};
use crate::{
    app::App,
    module_schema,
    problem::{Outcome, Problem},
    registry::Registry,
    session::Session,
};

/// The commands below `bindings`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bindings {
    /// Add a binding
    #[command(
        subcommand,
        after_help = "Examples:\n  interstice-cli bindings add module local bank ./audit"
    )]
    Add(Add),
    Update(Update),
    List(List),
    Remove(Remove),
}

/// The commands below `bindings add`.
#[derive(Debug, Subcommand)]
pub(crate) enum Add {
    Module(AddModule),
}

/// Bind a module of the same node
#[derive(Debug, Args)]
#[command(
    long_about = "Fetch the public schema of a module into `src/bindings/`, for a module that runs on the same node. `build.rs` \
        is made where it is missing.",
    after_help = "Examples:\n  \
        interstice-cli bindings add module local bank\n  \
        interstice-cli bindings add module local bank ./audit\n  \
        interstice-cli bindings add module ../bank bank      from a crate or .wasm file"
)]
pub(crate) struct AddModule {
    /// The node that has the module; or the module's crate or .wasm file
    from: String,
    /// The module
    module: String,
    /// The folder of the crate that uses it
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// Fetch all bindings again
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    interstice-cli bindings update                      from the local node\n  \
    interstice-cli bindings update ./audit --node garden")]
pub(crate) struct Update {
    /// The crate's folder
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// List the bindings
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  interstice-cli bindings list\n  interstice-cli bindings list ./audit --json"
)]
pub(crate) struct List {
    /// The crate's folder
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// Remove a binding
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  interstice-cli bindings remove bank ./audit")]
pub(crate) struct Remove {
    /// The module that is bound
    module: String,
    /// The crate's folder
    #[arg(default_value = ".")]
    path: PathBuf,
}

impl Bindings {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        match self {
            Self::Add(Add::Module(command)) => add(app, &command).await,
            Self::Update(command) => update(app, &command).await,
            Self::List(command) => list(app, &command),
            Self::Remove(command) => remove(app, &command),
        }
    }
}

async fn add(app: &App, command: &AddModule) -> Outcome<()> {
    let folder = Folder::of_crate(&command.path)?;
    let known = Registry::read(&app.home)?;
    let schema = match module_schema::path(&command.from) {
        Some(path) if known.find(&command.from).is_none() => {
            named(module_schema::of_path(app, &path)?, &command.module)?
        }
        _ => {
            Session::open(app, Some(&command.from))
                .await?
                .schema(&command.module)
                .await?
        }
    };
    let before = folder
        .read()?
        .into_iter()
        .find(|bound| bound.binding.name == schema.name.as_str());
    let (path, binding) = write(&folder, &schema, before.as_ref())?;
    let has_build = folder.require_build_script()?;
    if app.output.is_json() {
        app.output.json(&json!({"module": binding.name, "version": binding.version.to_string(), "file": path.display().to_string()}))?;
    } else {
        app.output.line(format!(
            "bound {} {} in {}",
            binding.name,
            binding.version,
            path.display()
        ))?;
        let snake = binding.name.to_lowercase().replace('-', "_");
        app.output.say(format!(
            "its functions are `ctx.{snake}()`, its types `crate::bindings::{snake}`"
        ));
    }
    if !has_build {
        app.output.warn(
            "Cargo.toml has no build-dependency on interstice-sdk, which build.rs needs: repeat the line of [dependencies] under \
             [build-dependencies]",
        );
    }
    Ok(())
}

/// The schema, if its module is called `module`.
fn named(schema: ModuleSchema, module: &str) -> Outcome<ModuleSchema> {
    let wanted = module.split('@').next().unwrap_or(module);
    if schema.name.as_str() == wanted {
        return Ok(schema);
    }
    Err(Failure::not_found("module", wanted, [schema.name.as_str()]).into())
}

fn write(
    folder: &Folder,
    schema: &ModuleSchema,
    before: Option<&Bound>,
) -> Outcome<(PathBuf, ModuleBinding)> {
    let mut binding = ModuleBinding::of(schema);
    binding.alias = before.and_then(|bound| bound.binding.alias.clone());
    let path = before.map_or_else(
        || folder.path_for(&binding.name),
        |bound| bound.path.clone(),
    );
    folder.write(&path, &binding)?;
    Ok((path, binding))
}

async fn update(app: &App, command: &Update) -> Outcome<()> {
    let folder = Folder::of_crate(&command.path)?;
    let bindings = folder.read()?;
    if bindings.is_empty() {
        app.output.say(format!(
            "there are no bindings in {}",
            folder.folder().display()
        ));
        return if app.output.is_json() {
            app.output.json(&json!([]))
        } else {
            Ok(())
        };
    }
    let session = Session::open(app, None).await?;
    let mut done = Vec::new();
    for bound in &bindings {
        let name = &bound.binding.name;
        let schema = session
            .schema(name)
            .await
            .map_err(|problem| problem.about(format!("binding {}", bound.path.display())))?;
        let (_, binding) = write(&folder, &schema, Some(bound))?;
        let changed = binding != bound.binding;
        done.push(json!({
            "module": name, "before": bound.binding.version.to_string(), "version": binding.version.to_string(), "changed": changed
        }));
        if !app.output.is_json() {
            let what = match (changed, binding.version == bound.binding.version) {
                (false, _) => format!("{name} {} is unchanged", binding.version),
                (true, true) => format!("{name} {} has changed", binding.version),
                (true, false) => format!(
                    "{name} {} became {}",
                    bound.binding.version, binding.version
                ),
            };
            app.output.line(what)?;
        }
    }
    if app.output.is_json() {
        app.output.json(&Json::Array(done))
    } else {
        Ok(())
    }
}

fn list(app: &App, command: &List) -> Outcome<()> {
    let folder = Folder::of_crate(&command.path)?;
    let bindings = folder.read()?;
    if app.output.is_json() {
        let all = bindings.iter().map(|bound| {
            json!({
                "module": bound.binding.name,
                "version": bound.binding.version.to_string(),
                "alias": bound.binding.alias,
                "file": bound.path.display().to_string(),
            })
        });
        return app.output.json(&Json::Array(all.collect()));
    }
    if bindings.is_empty() {
        app.output.say(format!(
            "there are no bindings in {}",
            folder.folder().display()
        ));
        return Ok(());
    }
    let rows = bindings.iter().map(|bound| {
        vec![
            bound.binding.name.clone(),
            bound.binding.version.to_string(),
            bound.path.display().to_string(),
        ]
    });
    app.output.table(&["module", "version", "file"], rows)
}

fn remove(app: &App, command: &Remove) -> Outcome<()> {
    let folder = Folder::of_crate(&command.path)?;
    let bindings = folder.read()?;
    let Some(bound) = bindings
        .iter()
        .find(|bound| bound.binding.name == command.module)
    else {
        let known = bindings.iter().map(|bound| bound.binding.name.as_str());
        let failure = Failure::not_found("binding", &command.module, known);
        return Err(Problem::from(failure).advise("`bindings list` shows all"));
    };
    std::fs::remove_file(&bound.path)
        .map_err(|error| Problem::file("remove", &bound.path, &error))?;
    if app.output.is_json() {
        app.output
            .json(&json!({"module": command.module, "done": "removed"}))
    } else {
        app.output.line(format!("removed {}", bound.path.display()))
    }
}
