//! Reading and checking the files of `src/bindings`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use interstice_abi::{
    binding::{ModuleBinding, NodeBinding},
    schema::{Dependency, ModuleSchema},
};

use super::name::{camel, hides, hides_on_context, snake};

/// All bindings of a module.
#[derive(Default)]
pub(super) struct Loaded {
    /// Modules of the same node, in the order of their files.
    pub(super) modules: Vec<BoundModule>,
    /// Other nodes.
    pub(super) nodes: Vec<BoundNode>,
}

/// A module that code is generated for.
pub(super) struct BoundModule {
    /// The node it is on; `None` for the same node.
    pub(super) node: Option<NodeName>,
    /// The accessor's name, `<snake>`, from the alias where there is one.
    pub(super) snake: String,
    /// The module's name as written.
    pub(super) name: String,
    /// Its public view.
    pub(super) schema: ModuleSchema,
    /// What the schema of the module says about it.
    pub(super) dependency: Dependency,
}

/// The two names of another node.
#[derive(Clone)]
pub(super) struct NodeName {
    /// As written.
    pub(super) name: String,
    /// The accessor's name.
    pub(super) snake: String,
}

/// A node that code is generated for.
pub(super) struct BoundNode {
    /// Its names.
    pub(super) name: NodeName,
    /// Its address when the file was written.
    pub(super) address: String,
    /// Its modules.
    pub(super) modules: Vec<BoundModule>,
}

impl Loaded {
    /// Whether there is no binding.
    pub(super) fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.nodes.is_empty()
    }

    /// What all bindings rely on, by (node, module).
    pub(super) fn dependencies(&self) -> Vec<Dependency> {
        let remote = self.nodes.iter().flat_map(|node| &node.modules);
        let mut dependencies: Vec<Dependency> = self
            .modules
            .iter()
            .chain(remote)
            .map(|module| module.dependency.clone())
            .collect();
        dependencies.sort_by(|a, b| (&a.node, &a.module).cmp(&(&b.node, &b.module)));
        dependencies
    }
}

/// Reads every `.toml` file in `dir`.
///
/// # Errors
/// A sentence per mistake, which names the file.
pub(super) fn load(dir: &Path) -> Result<Loaded, Vec<String>> {
    let mut loading = Loading::default();
    for path in files(dir).map_err(|problem| vec![problem])? {
        let file = format!(
            "src/bindings/{}",
            path.file_name().unwrap_or_default().to_string_lossy()
        );
        if let Err(problems) = loading.file(&path, &file) {
            loading.problems.extend(
                problems
                    .iter()
                    .map(|problem| format!("{file}: {}", problem.trim_end())),
            );
        }
    }
    loading.finish()
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |error| format!("{}: cannot be read: {error}", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What stands under a name, for messages.
struct Claim {
    file: String,
    what: String,
}

#[derive(Default)]
struct Loading {
    loaded: Loaded,
    problems: Vec<String>,
    /// Who has taken which name of a type or module in `crate::bindings`.
    claims: BTreeMap<String, Claim>,
    /// Which file binds which (node, module), by `<snake>`: event strings find them so, whatever
    /// their aliases.
    bound: BTreeMap<(Option<String>, String), String>,
}

impl Loading {
    fn file(&mut self, path: &Path, file: &str) -> Result<(), Vec<String>> {
        let text = fs::read_to_string(path).map_err(|error| vec![error.to_string()])?;
        let keys: toml::Table = text.parse().map_err(one)?;
        if keys.contains_key("address") {
            let binding: NodeBinding = toml::from_str(&text).map_err(one)?;
            return self.node(&binding, file);
        }
        if keys.contains_key("modules") {
            return Err(vec![
                "`address` is missing: a file with `[[modules]]` binds another node".to_string(),
            ]);
        }
        let binding: ModuleBinding = toml::from_str(&text).map_err(one)?;
        let module = bound_module(&binding, None)?;
        let what = format!("the module `{}`", binding.name);
        self.claim(file, &what, &module.snake, binding.alias.is_some())?;
        self.bind(file, None, &binding.name)?;
        self.loaded.modules.push(module);
        Ok(())
    }

    fn node(&mut self, binding: &NodeBinding, file: &str) -> Result<(), Vec<String>> {
        binding.check()?;
        let name = NodeName {
            name: binding.name.clone(),
            snake: snake(binding.alias.as_ref().unwrap_or(&binding.name)),
        };
        let what = format!("the node `{}`", binding.name);
        self.claim(file, &what, &name.snake, binding.alias.is_some())?;
        let mut modules = Vec::new();
        let mut problems = Vec::new();
        let mut names: BTreeMap<String, &str> = BTreeMap::new();
        for module in &binding.modules {
            match bound_module(module, Some((binding, &name))) {
                Ok(bound) if hides(&bound.snake) => problems.push(hidden(
                    &format!("the module `{}`", module.name),
                    &bound.snake,
                    "a method of every value",
                )),
                Ok(bound) => {
                    if let Some(other) = names.insert(camel(&bound.snake), &module.name) {
                        problems.push(format!(
                            "the modules `{other}` and `{}` would get one name; give one of them another with `alias = \"…\"`",
                            module.name
                        ));
                    }
                    if let Err(found) = self.bind(file, Some(&binding.name), &module.name) {
                        problems.extend(found);
                    }
                    modules.push(bound);
                }
                Err(found) => problems.extend(
                    found
                        .iter()
                        .map(|problem| format!("in the module `{}`: {problem}", module.name)),
                ),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.loaded.nodes.push(BoundNode {
            name,
            address: binding.address.clone(),
            modules,
        });
        Ok(())
    }

    /// Takes a name in `crate::bindings`.
    fn claim(
        &mut self,
        file: &str,
        what: &str,
        snake: &str,
        has_alias: bool,
    ) -> Result<(), Vec<String>> {
        if hides_on_context(snake) {
            return Err(vec![hidden(what, snake, "a method of the context")]);
        }
        if let Some(other) = self.claims.get(&camel(snake)) {
            let change = if has_alias { "another" } else { "an" };
            return Err(vec![format!(
                "{what} would get the same name, `{snake}`, as {} of {}; remove one of the files, or give \
                 this one {change} `alias = \"…\"`",
                other.what, other.file
            )]);
        }
        let claim = Claim {
            file: file.to_string(),
            what: what.to_string(),
        };
        self.claims.insert(camel(snake), claim);
        Ok(())
    }

    fn bind(&mut self, file: &str, node: Option<&str>, module: &str) -> Result<(), Vec<String>> {
        let key = (node.map(snake), snake(module));
        match self.bound.insert(key, file.to_string()) {
            Some(other) => Err(vec![format!(
                "the module `{module}` is bound by {other} already; remove one of the files"
            )]),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Loaded, Vec<String>> {
        if self.problems.is_empty() {
            Ok(self.loaded)
        } else {
            Err(self.problems)
        }
    }
}

fn one(error: toml::de::Error) -> Vec<String> {
    vec![error.to_string()]
}

fn hidden(what: &str, snake: &str, by: &str) -> String {
    format!(
        "{what} cannot be reached as `.{snake}()`, which is {by}; add `alias = \"{snake}_module\"`, or another name that \
         is free, to the file"
    )
}

fn bound_module(
    binding: &ModuleBinding,
    node: Option<(&NodeBinding, &NodeName)>,
) -> Result<BoundModule, Vec<String>> {
    let schema = binding.to_schema()?;
    let dependency = binding.to_dependency(node.map(|(binding, _)| binding))?;
    let snake = snake(binding.alias.as_ref().unwrap_or(&binding.name));
    let problems = taken_names(&snake, &schema);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(BoundModule {
        node: node.map(|(_, name)| name.clone()),
        snake,
        name: binding.name.clone(),
        schema,
        dependency,
    })
}

/// Types that are called like items that the generator makes.
fn taken_names(module_snake: &str, schema: &ModuleSchema) -> Vec<String> {
    let camel = camel(module_snake);
    let mut made = vec![
        format!("{camel}ModuleHandle"),
        format!("Has{camel}ModuleHandle"),
    ];
    for table in &schema.tables {
        made.push(format!("{}Handle", table.type_name));
        made.push(format!("Has{}Handle", table.type_name));
    }
    let mut problems: Vec<String> = made
        .iter()
        .filter(|name| schema.types.types.contains_key(*name))
        .map(|name| {
            format!("the type `{name}` is called like an item that the binding makes; rename it in its module")
        })
        .collect();
    if matches!(module_snake, "self" | "super" | "crate" | "_") {
        problems.push(format!(
            "`{module_snake}` cannot name an item; add `alias = \"…\"` to the file"
        ));
    }
    for table in &schema.tables {
        if hides(&table.name) {
            problems.push(format!(
                "the table `{}` would hide behind a method of every value; rename it in its module",
                table.name
            ));
        }
    }
    problems
}
